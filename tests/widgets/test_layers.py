"""The layer bridge with real viewers: nothing lands elsewhere, nothing of the user's is overwritten."""

import numpy as np
import pytest
from napari.layers import Labels

from napari_unet.core.errors import InputError
from napari_unet.widgets.bridge import layers as bridge
from napari_unet.widgets.bridge import marks
from napari_unet.widgets.bridge.layers import (
    add_result,
    annotation_of,
    keep_selection,
    make_annotation,
    next_object,
)
from napari_unet.widgets.bridge.marks import source_of
from napari_unet.widgets.bridge.placement import world_axes
from napari_unet.widgets.bridge.timeline import count_as_predicted
from napari_unet.widgets.painting import brushes


@pytest.mark.parametrize(
    ("shape", "arguments", "channels", "expected"),
    [
        ((20, 30), {}, "auto", (20, 30)),
        ((20, 30, 3), {"rgb": True}, "auto", (20, 30)),
        ((20, 30, 4), {"rgb": True}, "first", (20, 30)),  # RGB speaks for itself
        ((5, 20, 30, 3), {"rgb": True}, "auto", (5, 20, 30)),
        ((5, 20, 30), {}, "auto", (5, 20, 30)),
        ((2, 20, 30), {}, "first", (20, 30)),
        ((20, 30, 2), {}, "last", (20, 30)),
        ((2, 5, 20, 30), {}, "first", (5, 20, 30)),
        ((5, 2, 20, 30), {}, "middle", (5, 20, 30)),
    ],
)
def test_paint_has_the_shape_of_the_pixels(viewer, shape, arguments, channels, expected):
    image = viewer.add_image(np.zeros(shape, np.uint8), name="cells", **arguments)
    paint = make_annotation(viewer, image, channels)
    assert isinstance(paint, Labels)
    assert paint.name == "cells paint"
    assert paint.data.shape == expected
    assert paint.data.dtype == np.int32
    assert not paint.data.any()
    assert viewer.layers[-1] is paint


def test_a_multiscale_image_is_painted_at_full_resolution(viewer):
    pyramid = [np.zeros((64, 96)), np.zeros((32, 48)), np.zeros((16, 24))]
    image = viewer.add_image(pyramid, multiscale=True)
    paint = make_annotation(viewer, image)
    assert paint.data.shape == (64, 96)
    assert not paint.multiscale
    assert bridge.copy_image(image).shape == (64, 96)


def test_paint_lies_where_the_image_lies(viewer):
    image = viewer.add_image(
        np.zeros((20, 30)),
        scale=(0.5, 0.25),
        translate=(7, 8),
        rotate=30,
        shear=[0.2],
        affine=[[1, 0.1, 5], [0, 1, 6], [0, 0, 1]],
        units=("um", "um"),
        axis_labels=("y", "x"),
    )
    paint = make_annotation(viewer, image)
    for point in ((0, 0), (3, 4), (19, 29)):
        np.testing.assert_allclose(paint.data_to_world(point), image.data_to_world(point))
    assert paint.units == image.units
    assert paint.axis_labels == ("y", "x")


@pytest.mark.parametrize(("channels", "kept"), [("first", slice(1, None)), ("last", slice(None, -1))])
def test_dropping_the_channel_axis_keeps_scale_units_and_names_of_the_others(viewer, channels, kept):
    image = viewer.add_image(
        np.zeros((4, 5, 6, 7)),
        scale=(1, 2, 3, 4),
        translate=(5, 6, 7, 8),
        units=("pixel", "um", "um", "um"),
        axis_labels=("a", "b", "c", "d"),
    )
    paint = make_annotation(viewer, image, channels)
    np.testing.assert_array_equal(paint.scale, np.array([1, 2, 3, 4])[kept])
    np.testing.assert_array_equal(paint.translate, np.array([5, 6, 7, 8])[kept])
    assert paint.units == image.units[kept]
    assert paint.axis_labels == image.axis_labels[kept]


def test_dropping_a_channel_axis_in_the_middle_leaves_axes_unnamed(viewer):
    paint = make_annotation(viewer, viewer.add_image(np.zeros((3, 4, 2, 20, 30))), "middle")
    assert paint.axis_labels == ("-4", "-3", "-2", "-1")


@pytest.mark.parametrize(
    ("shape", "channels", "how", "expected"),
    [
        ((2, 3, 8, 9), "auto", {}, "t time, z space, y space, x space"),
        ((3, 8, 9), "first", {"axis_labels": ("c", "row", "column")}, "row space, column space"),
        ((3, 8, 9), "auto", {"axis_labels": ("time", "y", "x")}, "time time, y space, x space"),
        ((3, 8, 9), "auto", {"units": ("min", "um", "um")}, "t time, y space, x space"),
        ((5, 2, 3, 8, 9), "auto", {}, "q , t time, z space, y space, x space"),
    ],
)
def test_results_on_disk_have_the_axes_of_their_image(viewer, shape, channels, how, expected):
    image = viewer.add_image(np.zeros(shape), **how)
    assert ", ".join(f"{axis.name} {axis.kind}" for axis in world_axes(image, channels)) == expected


def test_an_image_has_one_paint_layer_whatever_it_is_called(viewer):
    image = viewer.add_image(np.zeros((20, 30)), name="cells")
    other = viewer.add_image(np.zeros((20, 30)), name="cells")
    paint = make_annotation(viewer, image)
    image.name, paint.name = "renamed", "my strokes"
    assert make_annotation(viewer, image) is paint
    assert annotation_of(viewer, image) is paint
    assert annotation_of(viewer, other) is None
    assert source_of(viewer, paint) is image
    assert make_annotation(viewer, other) is not paint


def test_a_new_paint_layer_replaces_one_that_was_deleted(viewer):
    image = viewer.add_image(np.zeros((20, 30)))
    first = make_annotation(viewer, image)
    viewer.layers.remove(first)
    assert annotation_of(viewer, image) is None
    assert make_annotation(viewer, image) is not first


def test_paint_that_was_saved_and_opened_again_is_taken_up(viewer):
    image = viewer.add_image(np.zeros((20, 30)), name="cells")
    opened = viewer.add_labels(np.full((20, 30), 7), name="cells paint")
    viewer.add_labels(np.zeros((9, 9), int), name="cells objects")
    assert make_annotation(viewer, image) is opened
    assert (opened.data == 7).all()


def test_an_image_that_is_opened_again_has_what_belonged_to_it(viewer):
    image = viewer.add_image(np.zeros((6, 8)), name="cells")
    paint = make_annotation(viewer, image)
    marks.set_mode(paint, "classes")
    result = add_result(viewer, image, "classes", np.ones((6, 8), np.int32))
    viewer.layers.remove(image)
    again = viewer.add_image(np.zeros((6, 8)), name="cells")
    assert make_annotation(viewer, again) is paint
    assert marks.mode_of(paint) == "classes"
    assert source_of(viewer, result) is source_of(viewer, paint) is again
    assert viewer.layers.selection.active is paint


def test_paint_of_an_image_that_is_there_is_not_taken_up(viewer):
    paint = make_annotation(viewer, viewer.add_image(np.zeros((6, 8)), name="cells"))
    other = viewer.add_image(np.zeros((6, 8)), name="other")
    paint.name = "other paint"
    assert make_annotation(viewer, other) is not paint


def test_paint_of_another_shape_is_not_taken_up(viewer):
    image = viewer.add_image(np.zeros((20, 30)), name="cells")
    other = viewer.add_labels(np.zeros((30, 20), int), name="cells paint")
    assert make_annotation(viewer, image) is not other


def test_a_removed_image_gets_no_paint(viewer):
    image = viewer.add_image(np.zeros((20, 30)), name="cells")
    viewer.layers.remove(image)
    with pytest.raises(InputError, match="'cells' is no longer in the viewer"):
        make_annotation(viewer, image)
    assert list(viewer.layers) == []


def test_channels_that_leave_no_plane_are_refused(viewer):
    image = viewer.add_image(np.zeros((20, 30)), name="cells")
    with pytest.raises(InputError, match="choose 'none'"):
        make_annotation(viewer, image, "first")


def test_the_source_of_an_image_is_itself_and_of_a_strange_layer_nothing(viewer):
    image = viewer.add_image(np.zeros((20, 30)))
    assert source_of(viewer, image) is image
    assert source_of(viewer, viewer.add_labels(np.zeros((20, 30), int))) is None
    paint = make_annotation(viewer, image)
    viewer.layers.remove(image)
    assert source_of(viewer, paint) is None


def test_copies_do_not_change_when_the_user_paints_on(viewer):
    image = viewer.add_image(np.zeros((20, 30)))
    paint = make_annotation(viewer, image)
    before, pixels = bridge.copy_paint(paint), bridge.copy_image(image)
    paint.data_setitem((np.array([1]), np.array([2])), 5)
    image.data[0, 0] = 9
    assert not before.any()
    assert not pixels.any()


@pytest.mark.parametrize("hidden", ["from the beginning", "before the 3-D view"])
def test_hidden_labels_are_written_on(viewer, hidden):
    labels = viewer.add_labels(np.zeros((3, 20, 30), int), visible=hidden == "before the 3-D view")
    labels.visible = False
    if hidden == "before the 3-D view":
        viewer.dims.ndisplay = 3
    else:
        viewer.dims.set_current_step(0, 2)
    bridge.write_pixels(labels, (np.array([2]), np.array([5]), np.array([6])), 4)
    assert labels.data[2, 5, 6] == 4
    labels.undo()
    assert not labels.data.any()


def test_lazy_images_are_handed_on_unread(viewer):
    dask = pytest.importorskip("dask.array")
    lazy = dask.zeros((20, 30), chunks=10)
    assert bridge.copy_image(viewer.add_image(lazy)) is lazy


@pytest.mark.parametrize(
    ("painted", "expected"),
    [
        ([], 2),
        ([1], 2),
        ([2], 3),
        ([1, 5], 6),
        ([2**31 - 2], 2**31 - 1),
        ([2, 3, 2**31 - 1], 4),
        ([2**31 - 1], 2),
    ],
)
def test_next_object_is_a_value_nobody_has(viewer, painted, expected):
    paint = make_annotation(viewer, viewer.add_image(np.zeros((4, 5))))
    paint.data[0, : len(painted)] = painted
    assert next_object(paint) == expected


def test_paint_of_few_bits_has_a_next_object_while_a_value_is_free(viewer, monkeypatch):
    """Such as a mask of 0 and 255 that was opened as the paint."""
    told = []
    monkeypatch.setattr(brushes, "show_warning", told.append)
    image = viewer.add_image(np.zeros((20, 20)), name="cells")
    paint = viewer.add_labels(np.full((20, 20), 255, np.uint8), name="cells paint")
    assert make_annotation(viewer, image) is paint
    for _ in range(2):
        brushes.paint_next_object(paint)
        assert paint.selected_label == 2
    paint.data.flat[:256] = np.arange(256)
    brushes.paint_next_object(paint)
    assert "All numbers up to 255 are in use" in told[0]
    assert paint.selected_label == 2
    paint.selected_label = 0
    brushes.paint_object(paint)
    assert paint.selected_label == 255


def test_the_highest_id_survives_the_viewer(viewer):
    image = viewer.add_image(np.zeros((4, 5)))
    paint = make_annotation(viewer, image)
    paint.selected_label = 2**31 - 1
    paint.brush_size = 1
    paint.paint((1, 1), 2**31 - 1)
    assert bridge.copy_paint(paint)[1, 1] == 2**31 - 1
    objects = np.full((4, 5), 2**31 - 1, np.int32)
    shown = add_result(viewer, image, "objects", objects)
    assert shown.data.dtype == np.int32
    assert (shown.data == 2**31 - 1).all()


def test_image_channels(viewer):
    rgb = viewer.add_image(np.zeros((4, 5, 3), np.uint8), rgb=True)
    stack = viewer.add_image(np.zeros((2, 4, 5)))
    paint = make_annotation(viewer, stack, "first")
    assert marks.image_channels(rgb) == "last"
    assert marks.image_channels(stack) == "auto"
    assert marks.image_channels(stack, paint) == "first"


def test_mode_is_noted_on_the_paint(viewer):
    paint = make_annotation(viewer, viewer.add_image(np.zeros((4, 5))))
    assert marks.mode_of(paint) == "objects"
    marks.set_mode(paint, "classes")
    assert marks.mode_of(paint) == "classes"
    strange = viewer.add_labels(np.zeros((4, 5), int))
    marks.set_mode(strange, "classes")
    assert marks.mode_of(strange) == "objects"


@pytest.mark.parametrize("kind", ["objects", "classes"])
def test_labels_come_back_on_their_image_below_its_paint(viewer, kind):
    image = viewer.add_image(
        np.zeros((6, 8)), name="cells", scale=(2, 3), translate=(1, 1), units=("um", "um")
    )
    paint = make_annotation(viewer, image)
    other = viewer.add_image(np.zeros((6, 8)))
    viewer.layers.selection.active = paint
    result = add_result(viewer, image, kind, np.ones((6, 8), np.int32))
    assert isinstance(result, Labels)
    assert result.name == f"cells {kind}"
    assert source_of(viewer, result) is image
    np.testing.assert_array_equal(result.scale, (2, 3))
    np.testing.assert_array_equal(result.translate, (1, 1))
    assert result.units == image.units
    assert list(viewer.layers) == [image, result, paint, other]
    assert viewer.layers.selection.active is paint
    assert marks.is_result(result)
    assert not marks.is_result(paint)
    assert not marks.is_result(image)


def test_a_result_lies_above_its_image_also_where_its_paint_was_moved_below(viewer):
    image = viewer.add_image(np.zeros((6, 8)))
    paint = make_annotation(viewer, image)
    other = viewer.add_image(np.zeros((6, 8)))
    viewer.layers.move(viewer.layers.index(paint), 0)
    result = add_result(viewer, image, "objects", np.ones((6, 8), np.int32))
    assert list(viewer.layers) == [paint, image, result, other]


def test_layers_that_are_selected_together_stay_so(viewer):
    image = viewer.add_image(np.zeros((6, 8)))
    paint = make_annotation(viewer, image)
    viewer.layers.selection = {image, paint}
    result = add_result(viewer, image, "objects", np.ones((6, 8), np.int32))
    assert viewer.layers.selection == {image, paint}
    viewer.layers.selection.clear()
    other = add_result(viewer, image, "classes", np.ones((6, 8), np.int32))
    assert viewer.layers.selection == {other}
    viewer.layers.selection = {image, result}
    with keep_selection(viewer):
        viewer.layers.remove(result)
    assert viewer.layers.selection == {image}


def test_the_weight_map_lies_on_top_of_the_paint(viewer):
    image = viewer.add_image(np.zeros((6, 8)))
    paint = make_annotation(viewer, image)
    weights = add_result(viewer, image, "weights", np.ones((6, 8), np.float32))
    assert list(viewer.layers) == [image, paint, weights]
    assert weights.colormap.colors[0, 3] == 0  # what is unknown is seen through


def test_no_object_has_the_colour_of_background(viewer):
    image = viewer.add_image(np.zeros((6, 8)))
    paint = make_annotation(viewer, image)
    objects = add_result(viewer, image, "objects", np.ones((6, 8), np.int32))
    background = paint.get_color(1)
    assert not any(np.allclose(paint.get_color(value), background) for value in range(2, 242))
    assert not any(np.allclose(objects.get_color(value), background) for value in range(1, 500))
    classes = add_result(viewer, image, "classes", np.ones((6, 8), np.uint8))
    np.testing.assert_array_equal(classes.get_color(1), background)


def test_an_unedited_result_is_updated_in_place_and_keeps_the_name_the_user_gave(viewer):
    image = viewer.add_image(np.zeros((6, 8)))
    first = add_result(viewer, image, "objects", np.ones((6, 8), np.int32))
    first.name = "nuclei"
    second = add_result(viewer, image, "objects", np.full((6, 8), 3, np.int32))
    assert second is first
    assert first.name == "nuclei"
    assert (first.data == 3).all()
    assert (bridge.predicted_labels(first) == 3).all()


def test_a_result_that_is_updated_is_called_as_its_image_is_now(viewer):
    first, image = (viewer.add_image(np.zeros((6, 8)), name="cells") for _ in range(2))
    of_first = add_result(viewer, first, "objects", np.ones((6, 8), np.int32))
    image.name = "cells 2"
    result = add_result(viewer, image, "objects", np.ones((6, 8), np.int32))
    first.name, image.name = "old", "cells"
    assert add_result(viewer, image, "objects", np.zeros((6, 8), np.int32)) is result
    assert result.name == "cells objects [1]"  # beside that of the image that was called so
    assert add_result(viewer, first, "objects", np.ones((6, 8), np.int32)) is of_first
    image.name = "new"
    assert add_result(viewer, image, "objects", np.ones((6, 8), np.int32)) is result
    assert [layer.name for layer in (of_first, result)] == ["old objects", "new objects"]
    assert len(viewer.layers) == 4


def test_an_edited_result_is_never_overwritten(viewer):
    image = viewer.add_image(np.zeros((6, 8)))
    first = add_result(viewer, image, "objects", np.ones((6, 8), np.int32))
    first.data_setitem((np.array([2]), np.array([3])), 0)
    edited = first.data.copy()
    second = add_result(viewer, image, "objects", np.full((6, 8), 3, np.int32))
    assert second is not first
    assert first in viewer.layers
    np.testing.assert_array_equal(first.data, edited)
    assert bridge.predicted_labels(first)[2, 3] == 1
    assert add_result(viewer, image, "objects", np.full((6, 8), 4, np.int32)) is second


def test_edits_that_went_into_the_paint_may_be_overwritten(viewer):
    image = viewer.add_image(np.zeros((6, 8)))
    first = add_result(viewer, image, "objects", np.ones((6, 8), np.int32))
    first.data_setitem((np.array([2]), np.array([3])), 0)
    count_as_predicted(first)
    assert bridge.predicted_labels(first)[2, 3] == 0
    assert add_result(viewer, image, "objects", np.full((6, 8), 3, np.int32)) is first


def test_objects_in_a_layer_that_was_given_fewer_bits_keep_their_numbers(viewer):
    image = viewer.add_image(np.zeros((20, 30)))
    result = add_result(viewer, image, "objects", np.ones((20, 30), np.int32))
    result.data = result.data.astype(np.uint8)  # napari's menu: Convert data type
    more = np.arange(600, dtype=np.int32).reshape(20, 30)
    assert bridge.update_plane(result, (), more)
    np.testing.assert_array_equal(result.data, more)


def test_a_duplicate_that_the_user_made_is_theirs(viewer):
    image = viewer.add_image(np.zeros((6, 8)))
    result = add_result(viewer, image, "objects", np.ones((6, 8), np.int32))
    data, state, _ = result.as_layer_data_tuple()
    duplicate = viewer.add_labels(data.copy(), **{**state, "name": "mine"})
    assert not marks.is_result(duplicate)
    viewer.layers.remove(result)
    assert add_result(viewer, image, "objects", np.full((6, 8), 3, np.int32)) is not duplicate
    assert (duplicate.data == 1).all()


def test_a_layer_of_the_same_name_is_not_touched(viewer):
    image = viewer.add_image(np.zeros((6, 8)), name="cells")
    mine = viewer.add_labels(np.ones((6, 8), np.int32), name="cells objects")
    result = add_result(viewer, image, "objects", np.full((6, 8), 3, np.int32))
    assert result is not mine
    assert (mine.data == 1).all()


def test_results_of_two_images_of_one_name_stay_apart(viewer):
    first, second = (viewer.add_image(np.zeros((6, 8)), name="cells") for _ in range(2))
    on_first = add_result(viewer, first, "objects", np.ones((6, 8), np.int32))
    on_second = add_result(viewer, second, "objects", np.full((6, 8), 2, np.int32))
    assert source_of(viewer, on_first) is first
    assert source_of(viewer, on_second) is second
    assert (on_first.data == 1).all()


@pytest.mark.parametrize("kind", ["objects", "classes", "weights", "probabilities"])
def test_nothing_is_added_when_the_image_is_gone(viewer, kind):
    image = viewer.add_image(np.zeros((6, 8)))
    viewer.layers.remove(image)
    shape = (2, 6, 8) if kind == "probabilities" else (6, 8)
    assert add_result(viewer, image, kind, np.ones(shape, np.int32)) is None
    assert list(viewer.layers) == []


def test_two_classes_show_the_foreground_with_fixed_limits(viewer):
    image = viewer.add_image(np.zeros((6, 8)), name="cells")
    probabilities = np.stack((np.full((6, 8), 0.9), np.full((6, 8), 0.1))).astype(np.float32)
    shown = add_result(viewer, image, "probabilities", probabilities)
    assert shown.name == "cells probability"
    assert shown.contrast_limits == [0, 1]
    np.testing.assert_array_equal(shown.data, probabilities[1])
    assert add_result(viewer, image, "probabilities", probabilities[::-1]) is shown
    assert len(viewer.layers) == 2


def test_more_classes_show_one_layer_each(viewer):
    image = viewer.add_image(np.zeros((6, 8)), name="cells")
    probabilities = np.full((3, 6, 8), 1 / 3, np.float32)
    add_result(viewer, image, "probabilities", probabilities)
    add_result(viewer, image, "probabilities", probabilities)
    assert [layer.name for layer in viewer.layers[1:]] == [
        f"cells probability of class {k}" for k in (1, 2, 3)
    ]


def test_results_of_images_with_channels_lie_on_the_pixels(viewer):
    stack = viewer.add_image(np.zeros((2, 6, 8)), scale=(1, 2, 3))
    rgb = viewer.add_image(np.zeros((6, 8, 3), np.uint8), rgb=True, scale=(4, 5))
    np.testing.assert_array_equal(
        add_result(viewer, stack, "objects", np.zeros((6, 8), np.int32)).scale, (2, 3)
    )
    np.testing.assert_array_equal(
        add_result(viewer, rgb, "objects", np.zeros((6, 8), np.int32)).scale, (4, 5)
    )


def test_a_change_of_dtype_or_shape_makes_a_new_layer(viewer):
    image = viewer.add_image(np.zeros((6, 8)))
    first = add_result(viewer, image, "objects", np.ones((6, 8), np.int32))
    assert add_result(viewer, image, "objects", np.ones((6, 8), np.uint8)) is not first


def test_an_image_that_napari_shows_as_lines_gets_paint_where_its_last_axis_is_the_channel(viewer):
    image = viewer.add_image(np.zeros((20, 30, 1)), name="lines")
    with pytest.raises(InputError, match=r"'lines' has shape \(20, 30, 1\).*as image\[..., 0\]"):
        make_annotation(viewer, image)
    assert list(viewer.layers) == [image]
    assert make_annotation(viewer, image, "last").data.shape == (20, 30)
    narrow = viewer.add_image(np.zeros((20, 1)), name="narrow")
    assert make_annotation(viewer, narrow).data.shape == (20, 1)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # napari's, of the same image
def test_an_image_without_pixels_gets_no_paint(viewer):
    image = viewer.add_image(np.zeros((0, 64, 64), np.uint8), name="none")
    with pytest.raises(InputError, match=r"'none' is empty \(shape \(0, 64, 64\)\)"):
        make_annotation(viewer, image)
    assert list(viewer.layers) == [image]

"""Channels that lie among the planes of an image are moved in front of them before paint and results come."""

import numpy as np
import pytest
import tifffile
import zarr
from dask import array
from dock_helpers import discs, save, say
from napari.layers import Labels

from napari_unet.files.projects.project import read_project
from napari_unet.files.projects.project_reading import load_project
from napari_unet.widgets.bridge.channel_order import move_channels_first
from napari_unet.widgets.bridge.layers import add_result, annotation_of, make_annotation
from napari_unet.widgets.paint import PaintDock
from napari_unet.widgets.predict import PredictDock
from napari_unet.widgets.projects.window_project import project_of

pytestmark = pytest.mark.usefixtures("models")

SHAPE = (3, 4, 2, 40, 50)  # T, Z, C, Y, X, as ImageJ has them


def numbered(shape=SHAPE):
    """Pixels of which no two are equal."""
    return np.arange(np.prod(shape), dtype=np.int32).reshape(shape)


def choose(box, value):
    box.setCurrentIndex(box.findData(value))


@pytest.mark.parametrize(
    ("shape", "channels", "axis"),
    [
        (SHAPE, "middle", 2),
        ((4, 2, 40, 50), "middle", 1),
        ((4, 40, 50, 2), "last", 3),
        ((40, 50, 2), "last", 2),
    ],
)
@pytest.mark.parametrize("kind", ["array", "levels", "dask", "zarr"])
def test_the_same_pixels_are_at_the_same_place(viewer, shape, channels, axis, kind):
    pixels = numbered(shape)
    data = {
        "array": pixels,
        "levels": [pixels, pixels[..., ::2, ::2, :] if channels == "last" else pixels[..., ::2, ::2]],
        "dask": array.from_array(pixels),
        "zarr": zarr.create_array({}, data=pixels),
    }[kind]
    scale, shift = np.arange(2, 2 + len(shape)), np.arange(10, 10 + len(shape))
    names = tuple("tzyxc"[-len(shape) :])
    image = viewer.add_image(data, rgb=False, scale=scale, translate=shift, axis_labels=names)
    image.contrast_limits, own = (5, 99), image.unique_id
    viewer.dims.set_point(range(len(shape)), shift + scale)  # pixel 1 along each axis
    before = image.get_value(viewer.dims.point, world=True)
    assert "now on its first axis" in move_channels_first(viewer, image, channels)
    order = [axis, *(other for other in range(len(shape)) if other != axis)]
    moved = image.data[0] if kind == "levels" else image.data
    assert isinstance(moved, np.ndarray) == (kind in ("array", "levels"))  # others are not read
    np.testing.assert_array_equal(np.asarray(moved), pixels.transpose(order))
    np.testing.assert_array_equal(image.scale, scale[order])
    np.testing.assert_array_equal(image.translate, shift[order])
    assert image.axis_labels == tuple(names[at] for at in order)
    np.testing.assert_allclose(viewer.dims.point, (shift + scale)[order])
    if kind != "levels":  # of which another may be shown
        assert image.get_value(viewer.dims.point, world=True) == before == pixels[(1,) * len(shape)]
    assert (image.contrast_limits, image.unique_id) == ([5, 99], own)
    assert move_channels_first(viewer, image, "first") == ""


def test_nothing_is_copied_and_axes_without_names_have_none(viewer):
    pixels = numbered()
    image = viewer.add_image(pixels)
    move_channels_first(viewer, image, "middle")
    assert np.shares_memory(image.data, pixels)
    assert image.axis_labels == ("-5", "-4", "-3", "-2", "-1")


def test_what_was_seen_as_lines_is_seen_whole(viewer):
    image = viewer.add_image(numbered((400, 500, 2)), rgb=False)  # X and C are seen
    move_channels_first(viewer, image, "last")
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], (199.5, 249.5))
    image = viewer.add_image(numbered((4, 2, 400, 500)))
    viewer.scene.camera.center = (10, 20)
    move_channels_first(viewer, image, "middle")
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], (10, 20))  # as the same axes are seen


@pytest.mark.parametrize(
    ("shape", "channels", "rgb"),
    [
        ((2, 40, 50), "middle", False),  # they are first
        ((2, 4, 40, 50), "first", False),
        ((4, 2, 40, 50), "auto", False),
        ((4, 2, 40, 50), "none", False),
        ((40, 50), "last", False),  # there are none
        ((4, 40, 50, 3), "last", True),
    ],
)
def test_what_lies_right_stays(viewer, shape, channels, rgb):
    pixels = np.zeros(shape, np.uint8)
    image = viewer.add_image(pixels, rgb=rgb)
    assert move_channels_first(viewer, image, channels) == ""
    assert image.data is pixels


def test_an_image_with_paint_stays(viewer):
    image = viewer.add_image(numbered())
    make_annotation(viewer, image)
    assert move_channels_first(viewer, image, "middle") == ""
    assert image.data.shape == SHAPE


def test_results_of_channels_taken_for_planes_go_unless_they_were_edited(viewer):
    image, other = viewer.add_image(numbered()), viewer.add_image(numbered())
    objects = np.ones(SHAPE, np.int32)
    first = add_result(viewer, image, "objects", objects)
    first.data_setitem((np.array([0]),) * 5, 5)
    add_result(viewer, image, "objects", objects)
    add_result(viewer, image, "probabilities", np.zeros((2, *SHAPE), np.float32))
    of_other = add_result(viewer, other, "objects", objects)
    move_channels_first(viewer, image, "middle")
    assert set(viewer.layers) == {image, other, first, of_other}


# In the docks.


def test_a_stroke_lands_on_the_plane_that_is_seen(viewer, qtbot):
    dock = PaintDock(viewer)
    qtbot.addWidget(dock)
    image = viewer.add_image(numbered())
    viewer.dims.set_point(range(5), (0, 3, 1, 20, 30))  # T 0, Z 3, C 1
    choose(dock.channels, "middle")
    dock.make()
    paint = dock.annotation
    np.testing.assert_array_equal(viewer.dims.point, (1, 0, 3, 20, 30))
    paint.paint(paint.world_to_data(viewer.dims.point[-4:]), 7)
    assert paint.data[0, 3, 20, 30] == 7
    assert np.argwhere(paint.data.any(axis=(2, 3))).tolist() == [[0, 3]]
    assert image.get_value(viewer.dims.point, world=True) == numbered()[0, 3, 1, 20, 30]
    # Made again, the paint finds the channels where they are now.
    assert dock.channels.currentData() == "first"
    shape = image.data.shape
    viewer.layers.remove(paint)
    dock.make()
    assert image.data.shape == shape
    assert dock.annotation.data.shape == shape[1:]


def test_results_lie_on_the_planes_they_are_of_each_time(viewer, qtbot, models):
    dock = PredictDock(viewer)
    qtbot.addWidget(dock)
    dock.select_model(save(models, channels=2))
    for name, channels in (("first", "auto"), ("second", "middle")):
        image = viewer.add_image(discs((3, 4, 2, 64, 64)), name=name)
        dock.image.choose(image)
        choose(dock.form.channels_choice, channels)
        for _ in range(2):
            dock.start()
            qtbot.waitUntil(lambda: not dock.is_running, timeout=60_000)
            assert say(dock, "predict_status").startswith("Done")
        assert image.data.shape == (2, 3, 4, 64, 64)
        assert viewer.layers[f"{name} objects"].data.shape == (3, 4, 64, 64)
    assert len(viewer.layers) == 4


def test_a_project_links_the_file_all_the_same(make_napari_viewer, tmp_path, qtbot):
    path, folder = tmp_path / "movie.tif", tmp_path / "project"
    (tmp_path / "elsewhere").mkdir()
    tifffile.imwrite(path, numbered().astype(np.uint16), imagej=True, metadata={"axes": "TZCYX"})
    viewer = make_napari_viewer()
    (image,) = viewer.open(path, plugin="napari")
    project_of(viewer).create(folder)
    dock = PaintDock(viewer)
    viewer.window.add_dock_widget(dock)
    choose(dock.channels, "middle")
    dock.make()
    dock.annotation.paint((0, 3, 20, 30), 7)
    project_of(viewer).session.flush()
    viewer.close()
    (entry,) = read_project(folder).images
    assert entry.kept == ""
    assert entry.shape == image.data.shape == (2, 3, 4, 40, 50)

    found = load_project(folder)
    np.testing.assert_array_equal(found.images[0], image.data)
    viewer = make_napari_viewer()
    viewer.open(folder, plugin="napari-unet-interactive")
    qtbot.waitUntil(lambda: project_of(viewer).session is not None, timeout=20_000)
    np.testing.assert_array_equal(viewer.layers["movie"].data, image.data)
    paint = annotation_of(viewer, viewer.layers["movie"])
    assert isinstance(paint, Labels)
    assert paint.data[0, 3, 20, 30] == 7
    viewer.close()

    path.rename(path.parent / "elsewhere" / path.name)
    viewer = make_napari_viewer()
    viewer.open(folder, plugin="napari-unet-interactive")
    qtbot.waitUntil(lambda: project_of(viewer).session is not None, timeout=20_000)
    assert [layer.name for layer in viewer.layers] == ["movie paint"]
    (again,) = viewer.open(path.parent / "elsewhere" / path.name, plugin="napari")  # by hand
    project_of(viewer).session.flush()
    np.testing.assert_array_equal(again.data, image.data)
    assert annotation_of(viewer, again) is viewer.layers["movie paint"]

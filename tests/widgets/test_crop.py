"""An image of what is in view of a larger one: its pixels, its place, and what is hidden."""

from dataclasses import replace

import dask.array
import numpy as np
import pytest
from dock_helpers import discs
from napari.components import ViewerModel
from napari.layers import Image

from napari_unet.cli import main
from napari_unet.core.errors import InputError
from napari_unet.core.painted.regions import complete
from napari_unet.files.projects.project import read_project
from napari_unet.widgets.bridge.layers import annotation_of, make_annotation
from napari_unet.widgets.bridge.marks import accept_objects, known_full_of, mode_of, set_filled, set_mode
from napari_unet.widgets.bridge.sight import bring_up
from napari_unet.widgets.crop import crop, crop_to_view
from napari_unet.widgets.painting.regions import take_region_tool
from napari_unet.widgets.projects.window_project import open_project, project_of
from napari_unet.widgets.training.training_images import copy_pairs

PLACE = {
    "scale": (2.0, 0.5, 0.25),
    "translate": (1.0, 3.0, 4.0),
    "rotate": 30,
    "shear": (0, 0, 0.2),
    "affine": np.diag([1.0, 2, 3, 1]),
    "units": ("um",) * 3,
}


def look_at(image: Image, rows: tuple[int, int], columns: tuple[int, int]) -> None:
    """Note what the canvas notes on the layer when these pixels are in view."""
    corners = image.corner_pixels
    corners[:, -2:] = np.transpose([rows, columns])
    image.corner_pixels = corners


@pytest.mark.parametrize("lazily", [False, True])
def test_the_part_has_the_pixels_in_view_where_they_were(viewer, lazily):
    pixels = discs((3, 64, 80))
    image = viewer.add_image(dask.array.from_array(pixels) if lazily else pixels, name="slide", **PLACE)
    image.colormap, image.contrast_limits = "magma", (1000, 3000)
    look_at(image, (10, 40), (-5, 30))
    assert crop(viewer).startswith("'slide part' has the 3 × 30 × 30 pixels in view")
    part = viewer.layers.selection.active
    np.testing.assert_array_equal(part.data, pixels[:, 10:40, :30])
    np.testing.assert_allclose(part.data_to_world((1, 2, 3)), image.data_to_world((1, 12, 3)))
    assert (part.colormap.name, list(part.contrast_limits), part.units) == (
        "magma",
        [1000, 3000],
        image.units,
    )
    assert not image.visible


def test_channels_paint_and_pyramids(viewer):
    pixels = discs((2, 64, 80))
    levels = [pixels, pixels[:, ::2, ::2]]
    first, second = viewer.add_image(levels, channel_axis=0, multiscale=True, name=["DAPI", "GFP"])
    paint = make_annotation(viewer, first)
    for layer in (first, second):
        layer._data_level = 1
        look_at(layer, (4, 10), (0, 12))  # pixels of that level
    crop(viewer)  # the paint is selected
    assert [layer.name for layer in viewer.layers if layer.visible] == ["DAPI part", "GFP part"]
    for channel, name in zip(pixels, ("DAPI part", "GFP part"), strict=True):
        np.testing.assert_array_equal(viewer.layers[name].data, channel[8:20, :24])
    bring_up(viewer, first)
    assert first.visible
    assert second.visible
    assert paint.visible


def test_colours_stay_colours(viewer):
    image = viewer.add_image(np.zeros((64, 80, 3), np.uint8), rgb=True)
    look_at(image, (0, 20), (0, 30))
    crop(viewer)
    assert viewer.layers[-1].rgb
    assert viewer.layers[-1].data.shape == (20, 30, 3)


def test_paint_comes_along_with_what_is_known_about_it(viewer):
    image = viewer.add_image(discs((3, 64, 80)), name="slide", scale=(3, 2, 2), translate=(0, 5, 7))
    paint = make_annotation(viewer, image)
    paint.data[1, 12:20, 5:10] = 2
    paint.data[1, 24:30, 5:10] = 3
    paint.data[1, 36:50, 20:24] = 4  # half of it is in view
    paint.data[1, 0:3, 60:70] = 1
    accept_objects(paint, [2, 3, 4])
    paint.data[1, 24, 5] = 0  # an object that nobody has accepted as it is
    paint.brush_size = 7
    regions = take_region_tool(viewer, paint, "rectangle")
    regions.add([[1, 10, 2], [1, 10, 15], [1, 60, 15], [1, 60, 2]], shape_type="rectangle")
    looked = known_full_of(paint)
    viewer.layers.selection.active = paint
    look_at(image, (10, 40), (2, 30))
    assert "pixels in view, and a copy of what is painted there: paint, train" in crop(viewer)
    part = viewer.layers["slide part"]
    copied = annotation_of(viewer, part)
    assert viewer.layers.selection.active is copied
    np.testing.assert_array_equal(copied.data, paint.data[:, 10:40, 2:30])
    np.testing.assert_allclose(copied.data_to_world((1, 2, 3)), paint.data_to_world((1, 12, 5)))
    assert copied.brush_size == 7
    full = known_full_of(copied)
    assert replace(full, regions=()).within(copied.data) == {2}
    (region,), (whole,) = full.regions, looked.regions
    np.testing.assert_array_equal(
        complete(copied.data.copy(), (region,)), complete(paint.data.copy(), (whole,))[:, 10:40, 2:30]
    )
    assert known_full_of(paint).accepted == looked.accepted
    assert [layer.name for layer in viewer.layers if layer.visible] == [
        "slide part",
        "slide part complete regions",
        "slide part paint",
    ]
    set_mode(paint, "classes")
    set_filled(paint, True)
    viewer.layers.selection.active = image
    crop(viewer)
    again = viewer.layers.selection.active
    assert mode_of(again) == "classes"
    assert known_full_of(again).filled


def test_without_paint_in_view_there_is_no_annotation_layer(viewer):
    image = viewer.add_image(discs((64, 80)), name="slide")
    make_annotation(viewer, image).data[50:, 50:] = 1
    look_at(image, (10, 40), (2, 30))
    assert "copy" not in crop(viewer)
    assert viewer.layers.selection.active is viewer.layers["slide part"]
    assert annotation_of(viewer, viewer.layers["slide part"]) is None


def test_images_below_do_not_show_around_the_part(viewer):
    below, beside = (
        viewer.add_image(discs((64, 80)), name="below"),
        viewer.add_image(discs((64, 80)), name="beside", translate=(0, 100)),
    )
    paint = make_annotation(viewer, below)
    image = viewer.add_image(discs((64, 80)), name="slide")
    look_at(image, (10, 40), (2, 30))
    assert crop(viewer).endswith("as on any image. 'below', which lay below it, is hidden.")
    assert [layer.name for layer in viewer.layers if layer.visible] == ["beside", "slide part"]
    bring_up(viewer, below)
    assert paint.visible
    assert beside.visible
    viewer.layers.remove("slide part")
    viewer.canvas.grid.enabled = True
    viewer.layers.selection.active = image
    assert "hidden" not in crop(viewer)  # all are seen beside one another


def test_what_cannot_be_cropped_is_said(viewer):
    image = viewer.add_image(discs((3, 64, 80)))
    look_at(image, (-9, 70), (1, 80))
    with pytest.raises(InputError, match="All of 'Image' is in view; zoom in"):
        crop(viewer)
    look_at(image, (70, 90), (0, 80))
    with pytest.raises(InputError, match="Nothing of 'Image' is in view"):
        crop(viewer)
    viewer.dims.ndisplay = 3
    with pytest.raises(InputError, match="3-D view; press Ctrl"):
        crop(viewer)
    viewer.add_image(discs())
    viewer.layers.selection.clear()
    with pytest.raises(InputError, match="No image is selected"):
        crop(viewer)


def test_in_a_window_zooming_in_decides(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    image = viewer.add_image(discs((64, 80)), scale=(2, 2))
    crop_to_view(viewer)
    assert len(viewer.layers) == 1  # napari shows why
    viewer.scene.camera.center, viewer.scene.camera.zoom = (60, 80), 20
    qtbot.waitUntil(lambda: image.corner_pixels[0].min() > 0)
    crop_to_view(viewer)
    part = viewer.layers[-1]
    assert min(part.data.shape) > 3
    assert max(part.data.shape) < 60
    middle = np.add(part.data_to_world((0, 0)), part.data_to_world(np.subtract(part.data.shape, 1))) / 2
    np.testing.assert_allclose(middle, (60, 80), atol=2)
    assert not image.visible


@pytest.mark.parametrize("channels", [(), (2,)])
def test_strokes_on_a_part_and_on_the_whole_are_told_before_they_are_learnt_twice(viewer, channels):
    pixels = np.stack([discs((64, 80))] * 2) if channels else discs((64, 80))
    image = viewer.add_image(pixels, name="slide")
    paint = make_annotation(viewer, image, "first" if channels else "none")
    paint.data[12, 5:10] = 2
    paint.data[60, 5:10] = 1
    viewer.layers.selection.active = image
    look_at(image, (10, 40), (2, 30))
    crop(viewer)
    part = viewer.layers["slide part"]
    look_at(part, (20, 30), (10, 20))
    viewer.layers.selection.active = part
    crop(viewer)
    inner = viewer.layers["slide part part"]
    strokes = make_annotation(viewer, inner, "first" if channels else "none")
    strokes.data[0, 0] = 2
    pairs = [(each, annotation_of(viewer, each)) for each in (image, part, inner)]
    (told,) = copy_pairs(pairs, []).doubts
    assert told.startswith("'slide' and 'slide part' show the same place and both have strokes there")
    twice, too_good = "there: these count twice", "the score is too good"
    assert f"{twice}, and {too_good}" in told
    (told,) = copy_pairs(pairs[:1], pairs[1:2]).doubts  # scored on what is learnt
    assert f"there: {too_good}" in told
    (told,) = copy_pairs(pairs[:2], pairs[2:]).doubts  # scored elsewhere
    assert f"{twice}; erase there on one of them" in told
    assert copy_pairs(pairs[::2], []).doubts == []
    paint.data[30, 12] = 1  # pixel (0, 0) of the part in the part
    (told,) = copy_pairs(pairs[::2], []).doubts
    assert told.startswith("'slide' and 'slide part part' show")
    pairs[1][1].data[:] = paint.data[:] = 0
    assert copy_pairs(pairs, []).doubts == []


@pytest.mark.parametrize("channels", [(), (2,)])
def test_in_a_project_they_are_told_as_well(viewer, tmp_path, capsys, channels):
    pixels = np.stack([discs((64, 80))] * 2) if channels else discs((64, 80))
    where = "first" if channels else "none"
    image = viewer.add_image(pixels, name="slide")
    for rows, columns in (((0, 40), (0, 40)), ((20, 30), (20, 30))):
        viewer.layers.selection.active = image
        look_at(image, rows, columns)
        crop(viewer)
        image = viewer.layers[-1]
    paint = make_annotation(viewer, viewer.layers["slide"], where)
    paint.data[22, 2:30] = 2
    paint.data[60, 5:10] = 1
    make_annotation(viewer, image, where).data[2, 5:7] = 2
    make_annotation(viewer, image, where).data[4, 5:7] = 1
    project_of(viewer).create(tmp_path / "p")
    project_of(viewer).close()

    def doubts(viewer):
        names = ("slide", "slide part part")
        pairs = [(viewer.layers[name], annotation_of(viewer, viewer.layers[name])) for name in names]
        return copy_pairs(pairs, []).doubts

    (told,) = doubts(viewer)
    again = ViewerModel()
    open_project(again, tmp_path / "p")
    assert doubts(again) == [told]
    image = again.layers["slide"]
    again.layers.remove(image)
    project_of(again).session.flush()
    project_of(again).create(tmp_path / "copy")
    project_of(again).close()
    for folder in ("p", "copy"):
        assert [image.part_of for image in read_project(tmp_path / folder).images] == ["", "slide", "slide"]
    small = [
        "--set",
        "network.features=2",
        "network.levels=2",
        "training.patch_size=16",
        "training.batch_size=1",
    ]
    usual = ["train", "--project", str(tmp_path / "p"), "--steps", "1", "--device", "cpu", *small]
    assert main(usual) == 0
    assert told in capsys.readouterr().err
    assert main([*usual, "--validation", "slide part part"]) == 0
    assert "there: the score is too good" in capsys.readouterr().err
    paint.data[22] = 0
    assert doubts(viewer) == []


def test_another_image_is_not_taken_for_the_one_that_was_cropped(viewer, tmp_path):
    image = viewer.add_image(discs((64, 80)), name="slide")
    look_at(image, (0, 40), (0, 40))
    crop(viewer)
    project_of(viewer).create(tmp_path / "p")
    session = project_of(viewer).session
    session.flush()
    viewer.layers.remove(image)
    session.flush()
    session.forget_missing()
    project_of(viewer).close()
    again = ViewerModel()
    open_project(again, tmp_path / "p")
    again.add_image(discs((64, 80)), name="slide")
    project_of(again).close()
    part, other = read_project(tmp_path / "p").images
    assert (part.key, part.part_of, part.first_pixel) == ("slide part", "slide", (0, 0))
    assert other.key == "slide 2"

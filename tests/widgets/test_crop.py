"""An image of what is in view of a larger one: its pixels, its place, and what is hidden."""

import dask.array
import numpy as np
import pytest
from dock_helpers import discs
from napari.layers import Image

from napari_unet.core.errors import InputError
from napari_unet.widgets.bridge.layers import make_annotation
from napari_unet.widgets.bridge.sight import bring_up
from napari_unet.widgets.crop import crop, crop_to_view

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

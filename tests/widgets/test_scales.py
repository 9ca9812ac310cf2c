"""The size of the pixels of layers in the world, and in the models that learn from them."""

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_unet.files.pixels.pixel_size import PixelSize, common_pixel_size
from napari_unet.widgets.bridge.placement import micrometres
from napari_unet.widgets.predicting.prediction_targets import Target, source_image


@pytest.mark.parametrize(
    ("scale", "units", "expected"),
    [
        ((2, 3), ("um", "um"), PixelSize(2, 3)),
        ((500, 0.25), ("nm", "um"), PixelSize(0.5, 0.25)),
        ((0.001, -0.001), ("mm", "mm"), PixelSize(1, 1)),
        ((4, 2, 3), ("um", "um", "um"), PixelSize(2, 3, 4)),
        ((4, 2, 3), ("second", "um", "um"), PixelSize(2, 3)),
        ((2, 3), ("pixel", "pixel"), None),
    ],
)
def test_of_layers(scale, units, expected):
    layer = Labels(np.zeros((2,) * len(scale), np.uint8), scale=scale, units=units)
    found = micrometres(layer)
    if expected is None:
        assert found is None
    else:
        for axis in "XYZ":
            assert found.along(axis) == pytest.approx(expected.along(axis))


@pytest.mark.parametrize(
    ("channels", "scale", "expected"),
    [
        ("last", (2, 3, 1), PixelSize(2, 3)),
        ("first", (1, 2, 3), PixelSize(2, 3)),
        ("none", (4, 2, 3), PixelSize(2, 3, 4)),
    ],
)
def test_of_images_with_channels(channels, scale, expected):
    image = Image(np.zeros((2, 2, 2), np.uint8), rgb=False, scale=scale, units=("um",) * 3)
    viewer = ViewerModel()
    viewer.add_layer(image)
    steps = {axis.name: axis.step for axis in source_image(viewer, Target(image, channels)).axes}
    assert steps == {axis.lower(): step for axis in "ZYX" if (step := expected.along(axis)) is not None}


@pytest.mark.parametrize(
    ("sizes", "ndim", "expected"),
    [
        ([PixelSize(1, 2)], 2, (1, 2)),
        ([PixelSize(1, 2), PixelSize(1.005, 2)], 2, (1, 2)),
        ([PixelSize(1, 2), PixelSize(1.02, 2)], 2, None),
        ([PixelSize(1, 2), None], 2, None),
        ([PixelSize(1, 2)], 3, None),
        ([PixelSize(1, 2, 3), PixelSize(1, 2, 3)], 3, (3, 1, 2)),
        ([], 2, None),
    ],
)
def test_what_images_have_in_common(sizes, ndim, expected):
    assert common_pixel_size(sizes, ndim) == expected

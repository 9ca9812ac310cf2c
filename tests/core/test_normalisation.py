"""Robust scaling of whatever a microscope, or a colleague, saves."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_unet.core.arrays import normalisation as module
from napari_unet.core.arrays.normalisation import Normalisation, apply_limits
from napari_unet.core.errors import InputError

FULL = Normalisation(0, 100)


def normalised(image, normalisation=FULL):
    return apply_limits(image, normalisation.limits(image))


@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", ">u2", ">i4", "i8", "f2", ">f4", "f8", "g"])
def test_the_type_does_not_matter(dtype):
    ramp = np.arange(101).reshape(1, 1, 101)
    image = ramp.astype(dtype)[:, :, ::-1]
    scaled = normalised(image)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled[0, 0], np.linspace(1, 0, 101), atol=1e-6)


def test_percentiles_by_hand():
    image = np.arange(1001, dtype=np.uint16).reshape(1, 7, 143)
    np.testing.assert_allclose(Normalisation().limits(image), [[10, 998]])
    np.testing.assert_allclose(normalised(image, Normalisation()).max(), (1000 - 10) / 988, rtol=1e-6)


@settings(deadline=None)
@given(
    pixels=hnp.arrays(st.sampled_from(["u1", "u2"]), hnp.array_shapes(min_dims=3, max_dims=4, max_side=9)),
    low=st.floats(0, 99),
    reach=st.floats(0.01, 1),
    written=st.booleans(),
    compiled=st.booleans(),
)
def test_pixels_that_are_counted_have_the_percentiles_of_numpy(pixels, low, reach, written, compiled):
    high = low + reach * (100 - low)
    pixels = pixels[..., ::-1, ::2]
    pixels.flags.writeable = written
    with patch.object(module, "_COMPILING", "sys" if compiled else "not imported"):
        found = Normalisation(low, high).limits(pixels)
    for channel, limits in zip(pixels, found, strict=True):
        expected = np.percentile(channel, (low, high))
        if expected[0] == expected[1]:
            expected = np.array([channel.min(), max(channel.max(), channel.min() + 1.0)])
        np.testing.assert_array_equal(limits, expected)


@pytest.mark.parametrize(
    ("dtype", "values", "largest"),
    [
        ("u1", [3, 200, 255], 255),
        ("u1", [0, 0, 1], 1),
        ("f4", [0.0, 0.5, 1.0], 1),
        ("u2", [0, 256, 4095], 65535),
        ("i4", [-5, 0, 70000], 70000),
        ("f4", [np.nan, np.nan, np.nan], 1),
    ],
)
def test_the_range_of_the_bits(dtype, values, largest):
    image = np.array([[values], [[0, 0, 0]]]).astype(dtype)  # the channels of an image are of one kind
    np.testing.assert_array_equal(Normalisation(method="range").limits(image), [[0, largest], [0, largest]])


def test_mean_and_deviation_of_every_channel():
    image = np.random.default_rng(0).normal([[[5.0]], [[-900.0]]], [[[2.0]], [[30.0]]], (2, 40, 50))
    scaling = Normalisation(method="deviations")
    scaled = scaling.scale(image, scaling.limits(image))
    np.testing.assert_allclose(scaled.mean((1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(scaled.std((1, 2)), 1, rtol=1e-6)
    assert scaled.min() < -2.5  # dark pixels are not clipped, as they are between percentiles
    flat = np.full((1, 4, 4), 7.0)
    assert (scaling.scale(flat, scaling.limits(flat)) == 0).all()


def test_there_is_no_other_method():
    with pytest.raises(InputError, match="choose one of 'percentiles', 'range', 'deviations'"):
        Normalisation(method="z-score")


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        ([5.0, 5.0, 5.0], [0, 0, 0]),
        ([0, 0, 0], [0, 0, 0]),
        ([np.nan, 0.0, 1.0], [0, 0, 1]),
        ([np.inf, -np.inf, 0.0, 2.0], [4, -1, 0, 1]),
        ([np.nan, np.nan, np.nan], [0, 0, 0]),
        ([np.inf, -np.inf, np.nan], [4, -1, 0]),
        ([1e30, 0.0, -1e30], [1, 0.5, 0]),
        ([3e38, -3e38, 0.0], [1, 0, 0.5]),
        ([1e308, -1e308, 0.0, 1.0], [4, -1, 0, 1]),  # beyond float32 is as good as infinite
        ([1e20, 1e20, 1e20], [0, 0, 0]),  # float64 cannot tell 1e20 + 1 from 1e20
        ([1e20, 1e20, np.inf, -np.inf], [0, 0, 4, -1]),
        ([-3e38, -3e38, 0.0], [0, 0, 1]),
        ([5e-324, 0.0, 1.0], [0, 0, 1]),
        ([5e-324, 0.0, 0.0], [1, 0, 0]),
        ([1e9 + 1, 1e9, 1e9 + 2], [0.5, 0, 1]),
    ],
)
def test_every_value_becomes_finite_in_range(pixels, expected):
    image = np.array(pixels, dtype=np.float64).reshape(1, 1, -1)
    np.testing.assert_allclose(normalised(image)[0, 0], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "pixels"),
    [("i4", [-(2**31), 0, 2**31 - 1]), ("u4", [0, 2**31, 2**32 - 1]), ("i8", [-(2**63), 0, 2**63 - 1])],
)
def test_extremes_of_integers_do_not_overflow(dtype, pixels):
    scaled = normalised(np.array(pixels, dtype=dtype).reshape(1, 1, 3))
    np.testing.assert_allclose(scaled[0, 0], [0, 0.5, 1], atol=1e-6)


def test_channels_are_scaled_on_their_own():
    image = np.array([[[0, 1]], [[100, 300]], [[7, 7]]])
    np.testing.assert_array_equal(FULL.limits(image), [[0, 1], [100, 300], [7, 8]])
    np.testing.assert_array_equal(normalised(image), [[[0, 1]], [[0, 1]], [[0, 0]]])


def test_sparse_signal_is_not_lost():
    """Where the percentiles coincide, the full range tells."""
    image = np.zeros((1, 100, 100), np.uint16)
    image[0, 50, 50] = 1000
    np.testing.assert_array_equal(Normalisation().limits(image), [[0, 1000]])


def test_a_hot_pixel_is_clipped():
    image = np.tile(np.arange(100, dtype=np.float32), (1, 100, 1))
    image[0, 3, 3] = 60_000
    scaled = normalised(image, Normalisation())
    assert scaled[0, 3, 3] == 4
    assert scaled[0, :, 99].min() > 0.9


def test_one_nan_spoils_nothing_else():
    image = np.random.default_rng(0).random((1, 64, 64))
    spoilt = image.copy()
    spoilt[0, 10, 10] = np.nan
    difference = np.abs(normalised(spoilt, Normalisation()) - normalised(image, Normalisation()))
    difference[0, 10, 10] = 0
    assert difference.max() < 1e-2


def test_a_large_image_is_sampled_well():
    image = np.random.default_rng(0).normal(1000, 50, (1, 2500, 2500)).astype(np.float32)
    exact = np.percentile(image, (1, 99.8))
    np.testing.assert_allclose(Normalisation().limits(image)[0], exact, atol=2)


def test_a_volume_and_a_single_row():
    for shape in ((2, 3, 4, 5), (1, 1, 2_000_000)):
        image = np.arange(np.prod(shape), dtype=np.int64).reshape(shape)
        scaled = normalised(image)
        assert scaled.shape == shape
        assert scaled.min() == 0
        assert scaled.max() == pytest.approx(1, abs=1e-5)


def test_a_tile_looks_like_the_image_it_is_from():
    image = np.random.default_rng(0).random((2, 40, 40))
    limits = Normalisation().limits(image)
    tile = (slice(None), slice(8, 24), slice(3, 17))
    np.testing.assert_array_equal(apply_limits(image[tile], limits), apply_limits(image, limits)[tile])


@settings(deadline=None)
@given(hnp.arrays(np.float64, (2, 3, 4), elements=st.floats(allow_nan=True, allow_infinity=True, width=64)))
def test_nothing_gets_out_of_range(image):
    limits = Normalisation().limits(image)
    assert np.isfinite(limits).all()
    assert (limits[:, 0] < limits[:, 1]).all()
    scaled = apply_limits(image, limits)
    assert np.isfinite(scaled).all()
    assert scaled.min() >= -1
    assert scaled.max() <= 4


@pytest.mark.parametrize(("low", "high"), [(-1, 99), (50, 50), (60, 40), (1, 100.5), (float("nan"), 99)])
def test_percentiles_out_of_order_are_refused(low, high):
    with pytest.raises(InputError, match="0 <= low < high <= 100"):
        Normalisation(low, high)

"""Depths against scipy's distance transform, in masks of every form, shallow and deep."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from napari_unet.core.arrays import blocks
from napari_unet.core.relief.depth import squared_depth

masks = array_shapes(min_dims=1, max_dims=3, max_side=12).flatmap(
    lambda shape: arrays(np.bool_, shape, elements=st.booleans())
)


def expected(mask):
    return np.rint(ndimage.distance_transform_edt(mask) ** 2)


@settings(max_examples=150, deadline=None)
@given(masks.filter(lambda mask: not mask.all()), st.integers(1, 40))
def test_any_mask_in_any_number_of_parts(mask, part):
    with patch.object(blocks, "_PART", part), patch.object(blocks.os, "cpu_count", lambda: 5):
        depth = squared_depth(mask)
    assert depth.dtype == np.uint16
    np.testing.assert_array_equal(depth, expected(mask))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(("half", "dtype"), [(150, np.uint16), (180, np.uint16), (181, np.float32)])
def test_deep_objects(half, dtype, axis):
    mask = np.ones((2 * half + 1, 600), bool)  # the middle is half + 1 from either end
    mask[[0, -1]] = False
    mask = mask.swapaxes(0, axis)
    depth = squared_depth(mask)
    assert depth.dtype == dtype
    np.testing.assert_array_equal(depth, expected(mask))


def test_one_pixel_of_background_far_away():
    mask = np.ones((300, 700), bool)
    mask[20, 30] = False
    np.testing.assert_array_equal(squared_depth(mask), expected(mask))


def test_without_background_all_is_one_deep():
    np.testing.assert_array_equal(squared_depth(np.ones((3, 4), bool)), 1)
    np.testing.assert_array_equal(squared_depth(np.zeros((3, 4), bool)), 0)


def test_a_mask_that_is_a_part_of_another():
    mask = np.random.default_rng(0).random((40, 50)) > 0.1
    np.testing.assert_array_equal(squared_depth(mask[::2, 3:41]), expected(mask[::2, 3:41]))

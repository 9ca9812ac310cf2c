"""Depth in full objects against a search through all pixels, and what is not known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_unet.core.painted.object_distance import (
    UNKNOWN,
    choose_reach,
    full_objects,
    measure_depths,
    object_distance,
)

paints = arrays(np.int32, array_shapes(min_dims=2, max_dims=3, max_side=7), elements=st.integers(0, 4))


def nearest_outside(mask, spacing):
    """Return for every pixel of the mask the distance to the nearest other pixel, by trying them all."""
    outside = np.argwhere(~mask) * spacing
    result = np.zeros(mask.shape)
    for pixel in np.argwhere(mask):
        result[tuple(pixel)] = np.sqrt(((outside - pixel * spacing) ** 2).sum(axis=1)).min()
    return result


@settings(deadline=None, max_examples=60)
@given(paints, st.sampled_from([True, False, (2,), (3, 4)]), st.sampled_from([1.0, 2.5]))
def test_a_search_through_all_pixels(paint, full, first_axis):
    spacing = (first_axis, *(1.0,) * (paint.ndim - 1))
    expected = np.full(paint.shape, UNKNOWN)
    expected[paint == 1] = 0
    for value in (2, 3, 4):
        mask = paint == value
        # An object in a corner may fill its widened box, and then shows no border.
        if any(found == value for found, _, _ in full_objects(paint, full)):
            expected[mask] = np.minimum(nearest_outside(mask, spacing)[mask] / 2, 1)
    np.testing.assert_allclose(
        object_distance(paint, measure_depths(paint, full, spacing).values(), 2), expected, rtol=1e-6
    )


def test_the_edge_of_the_image_is_no_border():
    paint = np.zeros((5, 9), np.int32)
    paint[:, :4] = 2
    distance = object_distance(paint, measure_depths(paint, True).values(), 10)
    np.testing.assert_allclose(distance[2], [0.4, 0.3, 0.2, 0.1, *[UNKNOWN] * 5])


def test_touching_objects_have_their_border_where_they_touch():
    paint = np.zeros((5, 8), np.int32)
    paint[1:4, 1:4], paint[1:4, 4:7] = 2, 3
    distance = object_distance(paint, measure_depths(paint, True).values(), 2)
    np.testing.assert_allclose(distance[2, 1:7], [0.5, 1, 0.5, 0.5, 1, 0.5])


@pytest.mark.parametrize(
    ("full", "spacing", "expected"),
    [(True, None, 2.5), (True, (2.0, 2.0), 5.0), ((3,), None, 2.0), (False, None, None), ((9,), None, None)],
)
def test_the_reach_is_half_the_depth_of_the_median_object(full, spacing, expected):
    paint = np.zeros((40, 40), np.int32)
    paint[2:5, 2:5], paint[10:19, 10:19], paint[22:35, 22:35] = 3, 2, 4  # depths 2, 5 and 7
    assert choose_reach(measure_depths(paint, full, spacing).values(), spacing) == expected


def test_the_highest_ids_are_found_in_no_time():
    """Not by a list as long as the highest id, which takes all memory there is."""
    paint = np.zeros((9, 12), np.int32)
    paint[1:4, 1:4], paint[5:8, 1:4], paint[2:6, 6:10] = 2**31 - 1, 2, 2**31 - 2
    found = [(value, box) for value, box, _ in full_objects(paint, (2, 2**31 - 1))]
    assert found == [(2, (slice(4, 9), slice(0, 5))), (2**31 - 1, (slice(0, 5), slice(0, 5)))]

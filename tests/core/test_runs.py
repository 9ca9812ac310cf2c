"""Runs of equal pixels, and how many and which pixels have a value."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from painting import MAX, small_paint

from napari_unet.core.arrays.runs import count_values, pixels_of, runs


@settings(deadline=None)
@given(small_paint)
def test_counts_and_runs_match_the_pixels(paint):
    values, counts = np.unique(paint[paint > 0], return_counts=True)
    assert count_values(paint) == dict(zip(values.tolist(), counts.tolist(), strict=True))
    np.testing.assert_array_equal(np.repeat(*runs(paint)), paint.ravel())
    assert (runs(paint)[1] > 0).all()


@settings(deadline=None)
@given(small_paint, st.sets(st.sampled_from([1, 2, 3, 5, 7, MAX])))
def test_pixels_of_values_are_where_these_are(paint, values):
    found = pixels_of(paint, values)
    assert found.keys() == values & set(np.unique(paint).tolist())
    for value, pixels in found.items():
        np.testing.assert_array_equal(pixels, np.flatnonzero(paint == value))

"""Runs of equal pixels, and the pixels of every value."""

import numpy as np
from hypothesis import given, settings
from painting import small_paint

from napari_unet.core.arrays.runs import count_values, runs


@settings(deadline=None)
@given(small_paint)
def test_counts_and_runs_match_the_pixels(paint):
    values, counts = np.unique(paint[paint > 0], return_counts=True)
    assert count_values(paint) == dict(zip(values.tolist(), counts.tolist(), strict=True))
    np.testing.assert_array_equal(np.repeat(*runs(paint)), paint.ravel())
    assert (runs(paint)[1] > 0).all()

"""The pieces of objects, counted."""

import numpy as np
from hypothesis import given, settings
from painting import small_paint
from scipy import ndimage

from napari_unet.core.painted.pieces import count_pieces


@settings(deadline=None)
@given(small_paint)
def test_pieces_are_what_is_connected_within_a_plane(paint):
    planes = paint.reshape(-1, *paint.shape[-2:]) if paint.ndim > 1 else [paint]
    expected = {}
    for value in np.unique(paint[paint >= 2]).tolist():
        around = np.ones((3,) * planes[0].ndim)
        expected[value] = max(ndimage.label(plane == value, around)[1] for plane in planes)
    assert count_pieces(paint) == expected

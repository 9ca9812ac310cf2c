"""The pieces of objects, counted and numbered."""

import numpy as np
from hypothesis import given, settings
from painting import small_paint
from scipy import ndimage

from napari_unet.core.painted.holdout import number_parts
from napari_unet.core.painted.painted_pixels import PaintedPixels
from napari_unet.core.painted.pieces import count_pieces, number_pieces


@settings(deadline=None)
@given(small_paint)
def test_pieces_are_what_is_connected_within_a_plane(paint):
    planes = paint.reshape(-1, *paint.shape[-2:]) if paint.ndim > 1 else [paint]
    expected = {}
    for value in np.unique(paint[paint >= 2]).tolist():
        around = np.ones((3,) * planes[0].ndim)
        expected[value] = max(ndimage.label(plane == value, around)[1] for plane in planes)
    assert count_pieces(paint) == expected


def test_pieces_get_numbers_of_their_own_but_for_objects_on_several_planes():
    above, below = np.zeros((2, 3, 24), np.int32)
    above[1, ::4], above[1, 2::4] = 2, 7
    below[1, ::4], below[1, 2::4] = 2, 9
    paints = [PaintedPixels.of(plane, number_parts(plane, "objects")) for plane in (above, below)]
    (one, other), pieces = number_pieces(paints, [0, 0])
    assert pieces == {2: 6, 7: 6, 9: 6}
    assert set(one.values[::2]) == set(other.values[::2]) == {2}
    own = np.concatenate((one.values[1::2], other.values[1::2]))
    assert np.unique(own).size == 12
    assert own.min() > 2
    assert number_pieces(paints[:1] * 2, [0, 1])[1] == {2: 12, 7: 12}

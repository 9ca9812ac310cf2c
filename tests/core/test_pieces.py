"""The pieces of objects, counted and numbered."""

import numpy as np
from hypothesis import given, settings
from painting import small_paint
from scipy import ndimage

from napari_unet.core.painted.holdout import number_parts
from napari_unet.core.painted.object_distance import full_objects
from napari_unet.core.painted.painted_pixels import PaintedPixels
from napari_unet.core.painted.pieces import count_pieces, number_pieces, piece_sizes, separate_pieces


@settings(deadline=None)
@given(small_paint)
def test_pieces_are_what_is_connected_within_a_plane(paint):
    planes = paint.reshape(-1, *paint.shape[-2:]) if paint.ndim > 1 else [paint]
    expected = {}
    for value in np.unique(paint[paint >= 2]).tolist():
        around = np.ones((3,) * planes[0].ndim)
        expected[value] = max(ndimage.label(plane == value, around)[1] for plane in planes)
    assert count_pieces(paint) == expected


@settings(deadline=None)
@given(small_paint)
def test_the_sizes_of_pieces_are_those_of_each_object_alone(paint):
    plane = paint.reshape(-1, paint.shape[-1])
    masks = [mask for _, _, mask in full_objects(plane, True)]
    expected = [np.count_nonzero(piece) for mask in masks for piece in separate_pieces(mask)]
    assert sorted(piece_sizes(plane).tolist()) == sorted(expected)


def test_the_sizes_of_pieces_are_without_specks():
    plane = np.zeros((5, 20), np.int32)
    plane[1:3, 1:5], plane[4, 8], plane[4, 12:14], plane[1:3, 15] = 2, 2, 2, 3
    assert sorted(piece_sizes(plane).tolist()) == [2, 2, 8]
    assert piece_sizes(np.full((3, 4), 2, np.int32)).size == piece_sizes(0 * plane).size == 0


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

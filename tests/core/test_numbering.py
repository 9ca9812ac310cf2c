"""Numbers of their own for objects that were painted with one, against a slow way to give them."""

import numpy as np
import pytest
from hypothesis import given, settings
from painting import paints
from scipy import ndimage

from napari_unet.core.correcting.numbering import number_separately
from napari_unet.core.errors import InputError
from napari_unet.core.painted.pieces import count_pieces


def renumbered(paint, **arguments):
    indices, values = number_separately(paint, **arguments)
    after = paint.copy()
    after[indices] = values
    return after, indices, values


@settings(deadline=None)
@given(paints())
def test_every_place_of_a_plane_has_a_number_of_its_own(paint):
    paint = paint.astype(np.int32)
    after, indices, values = renumbered(paint)
    assert set(count_pieces(after).values()) <= {1} or paint.ndim == 3
    np.testing.assert_array_equal(after < 2, paint < 2)
    np.testing.assert_array_equal(after[paint < 2], paint[paint < 2])
    assert (paint[indices] != values).all()
    assert not np.isin(values, paint).any()
    pieces = count_pieces(paint)
    for value in np.unique(paint[paint >= 2]).tolist():
        parts, count = ndimage.label(paint == value, np.ones((3,) * paint.ndim))
        numbers = [set(after[parts == part].tolist()) for part in range(1, count + 1)]
        assert all(len(number) == 1 for number in numbers)  # what is connected stays one object
        if pieces[value] == 1:
            assert numbers == [{value}] * count
        else:
            assert numbers[0] == {value}
            assert len(set().union(*numbers)) == count


def test_objects_by_hand():
    paint = np.array([[2, 0, 2, 0, 3], [0, 0, 0, 0, 3], [1, 2, 2, 1, 0]], np.uint8)
    np.testing.assert_array_equal(renumbered(paint)[0], [[2, 0, 4, 0, 3], [0, 0, 0, 0, 3], [1, 5, 5, 1, 0]])
    assert not renumbered(paint, but={2})[2].size


def test_the_first_piece_of_a_volume_keeps_its_number():
    paint = np.zeros((2, 3, 1), np.int32)
    paint[0, 2] = paint[1, [0, 2]] = 2
    np.testing.assert_array_equal(renumbered(paint)[0][..., 0], [[0, 0, 2], [3, 0, 2]])


def test_strokes_in_several_planes_stay_one_object():
    paint = np.zeros((5, 6, 6), np.int32)
    paint[[0, 4], 1:3, 1:3] = 2  # one object, in two planes
    paint[[0, 1], 1, [1, 2]] = 3
    paint[0, 4, 4] = 3  # two objects, one of them in two planes that touch
    after, _, _ = renumbered(paint)
    assert np.unique(after[[0, 4], 2, 2]).tolist() == [2]
    assert np.unique(after).tolist() == [0, 2, 3, 4]
    assert after[0, 4, 4] == 4
    assert after[0, 1, 1] == after[1, 1, 2] == 3


def test_paint_without_numbers_left_says_so():
    paint = np.tile(np.arange(256, dtype=np.uint8), (3, 1))
    paint[1] = 0
    with pytest.raises(InputError, match="All numbers up to 255 are in use"):
        number_separately(paint)

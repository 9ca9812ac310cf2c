"""What paint means, against slow and obvious readings of it."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from painting import MAX, assert_one_sentence, small_paint

from napari_unet.core.annotation import check_paint, find_seams, read_paint
from napari_unet.core.errors import InputError
from napari_unet.core.painted.advice import summarise_paint


def seams_by_hand(paint):
    """Look at every pixel and all its neighbours."""
    seams = np.zeros(paint.shape, bool)
    for here in np.ndindex(paint.shape):
        for step in product((-1, 0, 1), repeat=paint.ndim):
            there = tuple(np.add(here, step))
            if all(0 <= i < n for i, n in zip(there, paint.shape, strict=True)):
                seams[here] |= paint[here] >= 2 and paint[there] >= 2 and paint[here] != paint[there]
    return seams


@settings(deadline=None)
@given(small_paint)
def test_seams_are_both_sides_of_every_touch(paint):
    np.testing.assert_array_equal(find_seams(paint), seams_by_hand(paint))


@settings(deadline=None)
@given(small_paint, st.data())
def test_annotation_commutes_with_flips_and_rotations(paint, data):
    axis = data.draw(st.integers(0, paint.ndim - 1))
    axes = data.draw(st.permutations(range(paint.ndim)))
    flipped = read_paint(np.flip(paint, axis).transpose(axes))
    expected = read_paint(paint)
    for name in ("target", "known"):
        np.testing.assert_array_equal(
            getattr(flipped, name), np.flip(getattr(expected, name), axis).transpose(axes)
        )


def test_objects_mode_by_hand():
    paint = np.array(
        [
            [0, 1, 2, 2, 3, 3, 0],
            [0, 1, 2, 2, 3, 3, 0],
            [1, 1, 2, 2, 1, 3, 0],
            [4, 1, 2, 0, 1, 1, 5],
        ]
    )
    annotation = read_paint(paint, "objects")
    expected = np.array(
        [
            [0, 0, 1, 0, 0, 1, 0],
            [0, 0, 1, 0, 0, 1, 0],
            [0, 0, 1, 0, 0, 0, 0],  # (2, 3) touches (1, 4) and (2, 5) touches (3, 6) at a corner
            [1, 0, 1, 0, 0, 0, 0],
        ]
    )
    np.testing.assert_array_equal(annotation.target, expected)
    np.testing.assert_array_equal(annotation.known, paint > 0)
    assert (annotation.target.dtype, annotation.known.dtype, annotation.n_classes) == (np.uint8, np.bool_, 2)


@pytest.mark.parametrize(("asked", "classes"), [(None, 4), (4, 4), (7, 7), (255, 255)])
def test_classes_mode_keeps_touching_classes(asked, classes):
    annotation = read_paint(np.array([[0, 1, 2, 4]]), "classes", n_classes=asked)
    np.testing.assert_array_equal(annotation.target, [[0, 0, 1, 3]])
    np.testing.assert_array_equal(annotation.known, [[False, True, True, True]])
    assert annotation.n_classes == classes


def test_a_mode_that_is_none_is_refused():
    with pytest.raises(InputError, match="'object'"):
        read_paint(np.array([[1, 2]]), "object")


@pytest.mark.parametrize("paint", [[[0, 0]], [[0, 1]], [[1, 2]]])
def test_there_are_two_classes_at_least(paint):
    for asked in (None, 2):
        assert read_paint(np.array(paint), "classes", n_classes=asked).n_classes == 2


def test_classes_mode_holds_255_classes():
    annotation = read_paint(np.arange(256)[np.newaxis], "classes")
    assert annotation.n_classes == 255
    assert annotation.target.max() == 254


@pytest.mark.parametrize(
    ("values", "mode", "n_classes", "words"),
    [
        ([1, 256], "classes", None, "256"),
        ([1, 4], "classes", 3, "3 classes"),
        ([1, 2], "classes", 1, "between 2 and 255"),
        ([1, 2], "classes", 256, "between 2 and 255"),
        ([1, 2], "objects", 3, "objects mode has background and object"),
    ],
)
def test_classes_that_do_not_fit_are_said_in_one_sentence(values, mode, n_classes, words):
    with pytest.raises(InputError, match=words) as error:
        read_paint(np.array([values]), mode, n_classes=n_classes)
    assert_one_sentence(str(error.value))


@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", ">u2", "<i4", ">i4", ">i8", "<u8", "f2", ">f4", "f8"])
def test_paint_of_any_type_becomes_native_int32(dtype):
    paint = np.array([[0, 1, 100]]).astype(dtype)[:, ::-1]
    checked = check_paint(paint)
    assert checked.dtype == np.int32
    assert checked.dtype.isnative
    np.testing.assert_array_equal(checked, [[100, 1, 0]])


@pytest.mark.parametrize("dtype", ["<i4", ">i4", "u4", ">i8", "u8", "f8", ">f8"])
def test_the_highest_id_survives(dtype):
    assert check_paint(np.array([MAX - 1, MAX], dtype=dtype)).tolist() == [MAX - 1, MAX]


def test_int32_paint_is_not_copied():
    paint = np.ones((2, 2), np.int32)
    assert np.shares_memory(check_paint(paint), paint)


@pytest.mark.parametrize(
    ("paint", "words"),
    [
        (np.zeros((0, 5), int), "empty"),
        (np.array(3), "empty"),
        (np.array([True, False]), "yes/no mask"),
        ("paint.tif", "The paint is 'paint.tif'; give the pixels"),
        (None, "The paint is None; give the pixels"),
        (object(), "or the data of a layer"),
        (np.array([1 + 0j]), "complex"),
        (np.array([1, None]), "object"),
        (np.array(["2"]), "<U1"),
        (np.array([-1, 2]), "negative values .down to -1"),
        (np.array([-1.0, 2]), "negative"),
        (np.array([0.5]), "not whole"),
        (np.array([1, np.nan, 3]), "not whole"),
        (np.array([1, np.inf]), "not whole"),
        (np.array([2**31]), "2147483648, more than 2147483647"),
        (np.array([2**64 - 1], np.uint64), "18446744073709551615"),
        (np.array([1e300]), "more than 2147483647"),
        (np.array([2**24], np.float32), "more than 16777215"),  # 2**24 + 1 is the same float32
        (np.array([2048], np.float16), "more than 2047"),
    ],
)
def test_what_is_not_paint_is_said_in_one_sentence(paint, words):
    for reader in (check_paint, read_paint, summarise_paint):
        with pytest.raises(InputError, match=words) as error:
            reader(paint)
        assert_one_sentence(str(error.value))

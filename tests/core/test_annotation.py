"""What paint means, against slow and obvious readings of it."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from napari_unet.core.annotation import (
    check_paint,
    check_teachable,
    count_pieces,
    count_values,
    find_seams,
    read_paint,
    runs,
    summarise_paint,
)
from napari_unet.core.errors import InputError

MAX = 2**31 - 1

small_paint = hnp.arrays(
    np.int32,
    hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=6),
    elements=st.sampled_from([0, 1, 2, 3, 7, MAX - 1, MAX]),
)


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
    ("counts", "mode", "words"),
    [
        ({}, "objects", "Nothing is painted.* a few objects"),
        ({}, "classes", "Nothing is painted.* at least one other class"),
        ({1: 1}, "objects", "Only background.* a few objects"),
        ({1: 1}, "classes", "Only background.* another class"),
        ({2: 1, 3: 1}, "objects", "No background"),
        ({3: 1}, "classes", "Only class 3"),
        ({1: 1, 256: 1}, "classes", "256"),
    ],
)
def test_what_cannot_teach_is_said_in_one_sentence(counts, mode, words):
    with pytest.raises(InputError, match=words) as error:
        check_teachable(counts, mode)
    assert_one_sentence(str(error.value))


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


def assert_one_sentence(text):
    assert text[0].isupper()
    assert text.endswith(".")
    assert "\n" not in text
    assert ". " not in text


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


@settings(deadline=None)
@given(small_paint)
def test_counts_and_runs_match_the_pixels(paint):
    values, counts = np.unique(paint[paint > 0], return_counts=True)
    assert count_values(paint) == dict(zip(values.tolist(), counts.tolist(), strict=True))
    np.testing.assert_array_equal(np.repeat(*runs(paint)), paint.ravel())
    assert (runs(paint)[1] > 0).all()


@settings(deadline=None)
@given(small_paint, st.sampled_from(["objects", "classes"]))
def test_summary_says_how_much_there_is_and_whether_it_can_teach(paint, mode):
    summary = summarise_paint(paint, mode)
    assert summary.background == np.count_nonzero(paint == 1)
    assert summary.foreground == np.count_nonzero(paint >= 2)
    assert summary.objects == np.unique(paint[paint >= 2]).size
    for sentence in summary.missing:
        assert_one_sentence(sentence.replace(", ...", ""))
    if summary.teachable:
        check_teachable(summary.counts, mode)
        assert np.count_nonzero(read_paint(paint, mode).known) == sum(summary.counts.values())
    else:
        with pytest.raises(InputError) as error:
            check_teachable(summary.counts, mode)
        assert summary.missing == (str(error.value),)


@pytest.mark.parametrize(
    ("pixels", "mode", "teachable", "words"),
    [
        ({1: 5, 2: 5, 3: 5}, "objects", True, []),
        ({1: 5, 2: 5}, "objects", True, ["Only one object"]),
        ({1: 5, 2: 5}, "classes", True, []),
        ({1: 5, 4: 5}, "classes", True, ["classes 2, 3;"]),
        ({2: 5, 3: 5}, "classes", True, ["class 1;"]),
        ({2: 50, 3: 50}, "classes", True, ["class 1;"]),
        ({1: 1, 7: 1}, "classes", True, ["classes 2, 3, 4, 5, 6;"]),
        ({1: 1, 9: 1}, "classes", True, ["classes 2, 3, 4, 5, 6, ...;"]),
        ({1: 79, 2: 1, 3: 1}, "objects", True, []),
        ({1: 80, 2: 1, 3: 1}, "objects", True, ["Background covers 40 times as many pixels as objects"]),
        ({1: 2, 2: 40, 3: 39}, "objects", True, []),
        ({1: 2, 2: 40, 3: 40}, "objects", True, ["Objects cover 40 times as many pixels as background"]),
        ({1: 41, 2: 1}, "classes", True, ["41 times as many pixels as other classes"]),
        ({1: 400, 2: 1}, "objects", True, ["Only one object", "400 times"]),
        ({1: 1, 256: 1}, "classes", False, ["256"]),
        ({}, "objects", False, ["Nothing"]),
        ({1: 3}, "objects", False, ["Only background"]),
        ({2: 3}, "objects", False, ["No background"]),
        ({2: 3}, "classes", False, ["Only class 2"]),
    ],
)
def test_summary_says_what_is_missing(pixels, mode, teachable, words):
    paint = np.repeat([0, *pixels], [3, *pixels.values()])
    summary = summarise_paint(paint, mode)
    assert summary.teachable == teachable
    assert summary.counts == pixels
    assert len(summary.missing) == len(words)
    for sentence, word in zip(summary.missing, words, strict=True):
        assert word in sentence


@pytest.mark.parametrize("factor", [1, 500_009], ids=["small ids", "scattered ids"])
def test_summary_counts_thousands_of_objects_whatever_their_ids(factor):
    rows, columns = np.indices((2048, 2048)) // 40
    ids = (2 + rows * 52 + columns).astype(np.int64)
    paint = np.where((np.indices(ids.shape) % 40 < 30).all(axis=0), ids * factor % MAX, 1).astype(np.int32)
    assert summarise_paint(paint).objects == 52 * 52


@settings(deadline=None)
@given(small_paint)
def test_places_are_what_is_connected_within_a_plane(paint):
    planes = paint.reshape(-1, *paint.shape[-2:]) if paint.ndim > 1 else [paint]
    expected = {}
    for value in np.unique(paint[paint >= 2]).tolist():
        around = np.ones((3,) * planes[0].ndim)
        expected[value] = max(ndimage.label(plane == value, around)[1] for plane in planes)
    assert count_pieces(paint) == expected


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ([2], None),  # one object in one place
        ([2, 2], "painted in 2 separate pieces but share number 2"),
        ([7, 7, 7], "painted in 3 separate pieces but share number 7"),
        ([2, 3, 4, 4], None),  # a broken stroke
        ([2, 2, 3, 3], "painted in 4 separate pieces but share 2 numbers"),
        ([2, 2, 3], None),
    ],
)
def test_forgotten_numbers_are_told(places, words):
    paint = np.zeros((5, 40), np.int32)
    paint[0] = 1
    for column, value in enumerate(places):
        paint[2:4, 4 * column : 4 * column + 2] = value
    summary = summarise_paint(paint)
    assert summary.lacks_numbers == (words is not None)
    assert (words or "") in " ".join(summary.missing)
    assert summary.lacks_numbers == any("its own number" in sentence for sentence in summary.missing)
    if summary.lacks_numbers:
        assert not any("Only one object" in sentence for sentence in summary.missing)
    assert not summarise_paint(paint, "classes").lacks_numbers


def test_an_object_that_is_stroked_in_several_planes_needs_no_other_number():
    paint = np.zeros((9, 8, 8), np.int32)
    paint[::4, 2:4, 2:4] = 2
    paint[0, 7] = 1
    assert count_pieces(paint) == {2: 1}
    assert not summarise_paint(paint).lacks_numbers

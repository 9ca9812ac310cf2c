"""How much is painted, and what is said of paint that cannot teach."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from painting import MAX, assert_one_sentence, small_paint

from napari_unet.core.annotation import read_paint
from napari_unet.core.errors import InputError
from napari_unet.core.painted.advice import check_teachable, describe_paint, summarise_paint
from napari_unet.core.painted.pieces import count_pieces


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


def test_255_classes_can_be_taught():
    check_teachable({1: 1, 255: 1}, "classes")


def test_seams_between_objects_are_background_enough():
    """As in labels of cells that fill the space."""
    apart = np.array([[[2, 2, 0, 3]], [[0, 0, 0, 0]]], np.int32)
    assert not summarise_paint(apart).teachable
    touching = np.where(apart == 0, 2, apart)
    assert summarise_paint(touching).teachable
    check_teachable({2: 1, 3: 1}, "objects", [apart[1], touching[0]])
    with pytest.raises(InputError, match="or fill objects until they touch"):
        check_teachable({2: 1, 3: 1}, "objects", apart)
    assert not summarise_paint(np.where(touching == 3, 2, touching)).teachable


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
        check_teachable(summary.counts, mode, paint.reshape(-1, *paint.shape[-2:]))
        assert np.count_nonzero(read_paint(paint, mode).known) == sum(summary.counts.values())
    else:
        with pytest.raises(InputError) as error:
            check_teachable(summary.counts, mode, paint.reshape(-1, *paint.shape[-2:]))
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
        (dict.fromkeys(range(1, 13), 9), "classes", True, []),
        (dict.fromkeys(range(1, 14), 9), "classes", True, ["13 classes are painted; if they are separate"]),
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


def test_where_all_is_labelled_no_more_paint_is_asked_for():
    paint = np.repeat([[1], [2]], [90, 1], axis=0)
    paint[-1, 0] = 2
    assert not any("times as many" in sentence for sentence in summarise_paint(paint).missing)
    paint[0] = 0
    assert any("89 times as many" in sentence for sentence in summarise_paint(paint).missing)


@pytest.mark.parametrize("factor", [1, 500_009], ids=["small ids", "scattered ids"])
def test_summary_counts_thousands_of_objects_whatever_their_ids(factor):
    rows, columns = np.indices((2048, 2048)) // 40
    ids = (2 + rows * 52 + columns).astype(np.int64)
    paint = np.where((np.indices(ids.shape) % 40 < 30).all(axis=0), ids * factor % MAX, 1).astype(np.int32)
    assert summarise_paint(paint).objects == 52 * 52


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


def test_accepted_objects_need_no_other_numbers():
    paint = np.zeros((5, 40), np.int32)
    paint[0] = 1
    for column, value in enumerate((2, 2, 3, 3)):
        paint[2:4, 4 * column : 4 * column + 2] = value
    assert not summarise_paint(paint, accepted={2, 3}).lacks_numbers
    assert summarise_paint(paint, accepted={2}).lacks_numbers
    assert "in 2 separate pieces but share number 3" in " ".join(summarise_paint(paint, accepted={2}).missing)


def test_an_object_that_is_stroked_in_several_planes_needs_no_other_number():
    paint = np.zeros((9, 8, 8), np.int32)
    paint[::4, 2:4, 2:4] = 2
    paint[0, 7] = 1
    assert count_pieces(paint) == {2: 1}
    assert not summarise_paint(paint).lacks_numbers


@pytest.mark.parametrize(
    ("pixels", "mode", "sentence"),
    [
        (
            {1: 2226, 2: 3, 4: 1887},
            "classes",
            "Painted: background 2,226 px; class 2, 3 px; class 4, 1,887 px.",
        ),
        (dict.fromkeys(range(2, 8), 2), "classes", "Painted: background 0 px; 6 other classes, 12 px."),
        ({1: 5}, "classes", "Painted: background 5 px; 0 other classes, 0 px."),
        ({1: 5, 2: 1}, "objects", "Painted: background 5 px; 1 object, 1 px."),
        ({1: 5, 2: 1, 9: 1}, "objects", "Painted: background 5 px; 2 objects, 2 px."),
    ],
)
def test_how_much_is_painted_in_words(pixels, mode, sentence):
    paint = np.repeat([0, *pixels], [3, *pixels.values()])
    assert describe_paint(summarise_paint(paint, mode), mode) == sentence

"""What is wrong where, by tables worked out by hand and by what must hold of any labels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.core.errors import InputError
from napari_unet.core.scoring.label_errors import ERROR_COLOURS, ErrorKind, compare_parts, error_sites

LETTERS = dict(zip(".MISG", range(5), strict=True))  # nothing, missed, invented, split, merged
SWAPPED = np.array([0, ErrorKind.INVENTED, ErrorKind.MISSED, ErrorKind.MERGED, ErrorKind.SPLIT])
NAMELESS = np.array([0, 1, 2, 3, 3])


def label_errors(predicted, truth, ndim=None):
    parts = [part.errors for part in compare_parts(predicted, truth, ndim=ndim)]
    assert all(part.dtype == np.uint8 for part in parts)
    return np.array(parts, np.uint8).reshape(truth.shape)


def row(text):
    return np.array([[0 if c == "." else int(c) for c in text]])


TABLE = {
    "right": ("22..1111", "11..2222", "........"),
    "nothing at all": ("....", "....", "...."),
    "missed": ("....22", "11..22", "MM...."),
    "invented": ("11..22", "....22", "II...."),
    "elsewhere": ("11....", "....11", "II..MM"),
    "split in halves": ("11112222", "11111111", "SSSSSSSS"),
    "split, one part holds": ("11111122", "11111111", "......SS"),
    "split with a gap": ("11.22.33", "11111111", "SSSSSSSS"),
    "merged halves": ("11111111", "11112222", "GGGGGGGG"),
    "a small one swallowed": ("11111111", "11111122", "......GG"),
    "merged, and background": (".111111.", ".11.222.", ".GGGGGG."),
    "split over the border": (".112211.", ".11111..", ".SSSSSS."),
    "poor outline": ("1.......", "111.....", "IMM....."),
    "at half it is no partner": ("11......", "1111....", "IIMM...."),
}


@pytest.mark.parametrize(("predicted", "truth", "expected"), TABLE.values(), ids=TABLE)
def test_tables(predicted, truth, expected):
    errors = label_errors(row(predicted), row(truth))
    assert errors.tolist() == [[LETTERS[letter] for letter in expected]]


few_ids = st.sampled_from([0, 0, 1, 2, 3, 2**31 - 1])
pairs_of_labels = st.tuples(st.integers(1, 4), st.integers(1, 7)).flatmap(
    lambda shape: st.tuples(*[arrays(np.int64, shape, elements=few_ids)] * 2)
)


def slow_kinds(of, other, alone, held, holding):
    """What is wrong with every object of one image, written out."""

    def inside(a, b):  # more than half of object a, of ``mine``, in object b, of ``yours``
        return lambda mine, yours: 2 * ((mine == a) & (yours == b)).sum() > (mine == a).sum()

    kinds = {}
    ids, others = np.unique(of[of > 0]), np.unique(other[other > 0])
    for a in ids:
        if any(((of == a) & (other == b)).sum() * 2 > ((of == a) | (other == b)).sum() for b in others):
            kinds[a] = 0
            continue
        found = {alone}
        if sum(inside(b, a)(other, of) for b in others) >= 2:
            found.add(holding)
        for b in others:
            if inside(a, b)(of, other) and sum(inside(c, b)(of, other) for c in ids) >= 2:
                found.add(held)
        kinds[a] = max(found)
    return kinds


@settings(deadline=None, max_examples=200)
@given(pairs_of_labels)
def test_agrees_with_the_rule_written_out(pair):
    predicted, truth = pair
    missed, invented, split, merged = ErrorKind
    true_kinds = slow_kinds(truth, predicted, missed, merged, split)
    predicted_kinds = slow_kinds(predicted, truth, invented, split, merged)
    expected = [
        [max(true_kinds.get(t, 0), predicted_kinds.get(p, 0)) for t, p in zip(ts, ps, strict=True)]
        for ts, ps in zip(truth, predicted, strict=True)
    ]
    assert label_errors(predicted, truth).tolist() == expected


@settings(deadline=None, max_examples=100)
@given(pairs_of_labels)
def test_right_is_right_and_background_is_background(pair):
    predicted, truth = pair
    assert not label_errors(truth, truth).any()
    errors = label_errors(predicted, truth)
    assert not errors[(predicted == 0) & (truth == 0)].any()
    # Where one image alone holds an object, prediction and truth trade places; merged goes before split in
    # both of them.
    alone = (predicted > 0) != (truth > 0)
    there, back = errors[alone], label_errors(truth, predicted)[alone]
    np.testing.assert_array_equal(NAMELESS[SWAPPED[there]], NAMELESS[back])


def test_planes_one_by_one():
    truth = np.stack([row("11.."), row("1...")])
    predicted = np.stack([row("11.."), row("..11")])
    assert label_errors(predicted, truth, ndim=2).tolist() == [[[0, 0, 0, 0]], [[1, 0, 2, 2]]]
    # As one object through both planes, 2 of 5 pixels are shared.
    assert label_errors(predicted, truth).tolist() == [[[2, 2, 0, 0]], [[1, 0, 2, 2]]]


def test_labels_that_cannot_be_compared():
    with pytest.raises(InputError, match="compare labels of the same image"):
        label_errors(row("11"), row("111"))


def test_no_pixels():
    assert label_errors(np.zeros((0, 3), int), np.zeros((0, 3), int), ndim=1).shape == (0, 3)
    assert error_sites(np.zeros((0, 3), np.uint8)) == []


def test_sites_are_parts_from_large_to_small():
    errors = np.zeros((6, 8), np.uint8)
    errors[0, 0] = errors[1, 1] = ErrorKind.MISSED  # joined at a corner
    errors[2:5, 3:6] = ErrorKind.SPLIT
    errors[5, 7] = ErrorKind.MISSED
    sites = error_sites(errors)
    assert [(site.kind, site.centre, site.size) for site in sites] == [
        (ErrorKind.SPLIT, (3, 4), 9),
        (ErrorKind.MISSED, (0.5, 0.5), 2),
        (ErrorKind.MISSED, (5, 7), 1),
    ]


def test_sites_of_planes_are_in_one_plane_each():
    errors = np.zeros((3, 4, 5), np.uint8)
    errors[:2, 1, 1:3] = ErrorKind.MERGED
    assert [site.centre for site in error_sites(errors, ndim=2)] == [(0, 1, 1.5), (1, 1, 1.5)]
    assert [site.centre for site in error_sites(errors)] == [(0.5, 1, 1.5)]


def test_every_kind_has_a_colour_of_its_own():
    assert set(ERROR_COLOURS) == set(ErrorKind)
    assert len(set(ERROR_COLOURS.values())) == len(ErrorKind)

"""Strokes kept for validation: whole, a fair part, and the same ones while the user paints on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import label

from napari_unet.core.errors import InputError
from napari_unet.core.holdout import hold_out


@st.composite
def strokes(draw, values=(1, 2, 3), fewest=0, most=14):
    """Return a grid of strokes: a cell of 4x4 pixels is empty or holds a diagonal or a bar of one value."""
    paint = np.zeros((24, 28), np.int32)
    cells = [(row, column) for row in range(0, 24, 4) for column in range(0, 28, 4)]
    cells = draw(st.permutations(cells))
    start = 0
    for value in values:
        count = draw(st.integers(fewest, most))
        for row, column in cells[start : start + count]:
            place(paint, row, column, value, draw(st.booleans()))
        start += count
    return paint


def place(paint, row, column, value, diagonal=True):
    if diagonal:
        paint[row + np.arange(3), column + np.arange(3)] = value
    else:
        paint[row + 1, column : column + 3] = value


def as_objects(paint):
    """Give every stroke of value 2 and up its own id, far apart."""
    parts = label(paint * (paint >= 2), connectivity=2)
    return np.where(paint >= 2, 2 + parts * 10_000_019, paint).astype(np.int32)


fractions = st.sampled_from([0.05, 0.1, 0.2, 0.29, 0.5])


@settings(deadline=None)
@given(strokes(), fractions, st.integers(0, 9))
def test_each_class_gives_whole_strokes_and_keeps_most(paint, fraction, seed):
    mask = hold_out(paint, "classes", fraction, seed)
    assert not mask[paint == 0].any()
    present = [value for value in (1, 2, 3) if (paint == value).any()]
    parts = {value: label(paint == value, connectivity=2) for value in present}
    if len(present) < 2 or min(part.max() for part in parts.values()) < 5:
        assert not mask.any()
        return
    for part in parts.values():
        kept = [mask[part == number] for number in range(1, part.max() + 1)]
        assert all(pixels.all() or not pixels.any() for pixels in kept)
        assert 1 <= sum(pixels.all() for pixels in kept) <= max(1, round(fraction * len(kept), 9))


@settings(deadline=None)
@given(strokes(fewest=5), st.integers(0, 9))
def test_objects_are_one_class_of_whole_ids(paint, seed):
    paint = as_objects(paint)
    ids = np.unique(paint[paint >= 2])
    paint[23, 27] = ids[0]  # a second, separate part of an object
    mask = hold_out(paint, "objects", 0.2, seed)
    kept = np.unique(paint[mask & (paint >= 2)])
    assert 1 <= kept.size <= 0.2 * ids.size
    np.testing.assert_array_equal(mask & (paint >= 2), np.isin(paint, kept))
    assert (paint[mask] == 1).any()
    assert (paint[~mask] == 1).any()


@settings(deadline=None)
@given(strokes(fewest=5, most=13), fractions, st.integers(0, 9), st.data())
def test_another_stroke_moves_one_of_its_class_at_most(paint, fraction, seed, data):
    before = hold_out(paint, "classes", fraction, seed)
    free = [(r, c) for r in range(0, 24, 4) for c in range(0, 28, 4) if not paint[r : r + 4, c : c + 4].any()]
    row, column = data.draw(st.sampled_from(free))
    value = data.draw(st.sampled_from([1, 2, 3]))
    more = paint.copy()
    place(more, row, column, value)
    if label(more, connectivity=2).max() != label(paint, connectivity=2).max() + 1:
        return  # the new stroke joined an old one
    moved = (hold_out(more, "classes", fraction, seed) != before) & (paint > 0)
    assert not moved[paint != value].any()
    assert label(moved, connectivity=2).max() <= 1


def grid(count):
    """Return ``count`` background strokes, then as many objects, in rows of 50."""
    paint = np.zeros((200, 200), np.int32)
    values = paint[::4, ::4].reshape(-1).copy()
    values[:count] = 1
    values[1250 : 1250 + count] = np.arange(2, 2 + count)
    paint[::4, ::4] = values.reshape(50, 50)
    return paint


def test_most_strokes_keep_their_lot_as_the_paint_grows():
    """By the number of a stroke, or a generator that walks over them, many would move at each addition."""
    moves = 0
    for count in range(20, 120):
        before, after = (hold_out(grid(n), "objects", 0.2, 0) for n in (count, count + 1))
        moves += np.count_nonzero((before != after) & (grid(count) > 0))
    assert moves < 100  # of 14,000; it is 30


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5])
def test_about_the_fraction_is_kept(fraction):
    paint = grid(1000)
    shares = [hold_out(paint, "objects", fraction, seed)[paint > 0].mean() for seed in range(5)]
    assert fraction * 0.9 < np.mean(shares) <= fraction


def test_the_draw_is_the_same_everywhere():
    """Pinned: a project must keep its validation strokes from one version or machine to the next."""
    assert np.flatnonzero(hold_out(grid(20), "objects", 0.2, 0)).tolist() == [
        12,
        24,
        48,
        20004,
        20008,
        20012,
        20052,
    ]
    assert not np.array_equal(hold_out(grid(20), "objects", 0.2, 1), hold_out(grid(20), "objects", 0.2, 0))


@pytest.mark.parametrize(
    ("paint", "mode"),
    [
        (np.zeros((5, 5), int), "objects"),
        (np.zeros((5, 5), int), "classes"),
        (grid(4), "objects"),
        (np.where(grid(9) == 1, 0, grid(9)), "objects"),
        (np.minimum(grid(9), 1), "objects"),
        (np.minimum(grid(9), 1), "classes"),
    ],
)
def test_nothing_is_spared_where_there_is_too_little(paint, mode):
    assert not hold_out(paint, mode, 0.2, 0).any()


def test_no_fraction_keeps_nothing():
    assert not hold_out(grid(20), "objects", 0, 0).any()


@pytest.mark.parametrize("fraction", [-0.1, 0.51, float("nan")])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(InputError, match=r"between 0 and 0\.5"):
        hold_out(grid(20), "objects", fraction, 0)


def test_volumes():
    paint = np.zeros((3, 40, 40), np.int32)
    paint[:, ::4, ::8] = 1
    paint[:, ::4, 4::8] = np.arange(2, 52).reshape(10, 5)
    mask = hold_out(paint, "objects", 0.2, 0)
    assert (mask == mask[:1]).all()  # a stroke through all planes is one
    assert 0 < mask[0].sum() <= 20

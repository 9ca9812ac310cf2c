"""Strokes kept for validation: whole, a fair part, and the same ones while the user paints on."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import label

from napari_unet.core.annotation import FIRST_OBJECT
from napari_unet.core.borders.weight_config import WeightConfig
from napari_unet.core.correcting.numbering import number_separately
from napari_unet.core.painted.advice import summarise_paint
from napari_unet.core.painted.holdout import BLOCK, GUARD, number_parts, split_pixels
from napari_unet.core.painted.painted_pixels import PaintedPixels, scatter
from napari_unet.core.painted.painted_plane import Measure, measure_plane
from napari_unet.core.painted.pieces import number_pieces


class Maps(NamedTuple):
    """What of a paint is taught and scored, and in which strokes, as arrays of its shape."""

    taught: np.ndarray
    held_out: np.ndarray
    strokes: np.ndarray


def split_strokes(paints, mode, fraction, seed, images=None):
    paints = [paint.astype(np.int32) for paint in paints]
    pixels = [PaintedPixels.of(paint, number_parts(paint, mode)) for paint in paints]
    images = range(len(paints)) if images is None else images
    if mode == "objects":
        pixels, _ = number_pieces(pixels, images)
    splits = split_pixels(pixels, mode, fraction, seed, images=images)
    return [
        Maps(*(scatter(part, painted) for part in (split.taught, split.held_out, split.strokes)))
        for split, painted in zip(splits, pixels, strict=True)
    ]


def hold_out(paint, mode, fraction, seed):
    (split,) = split_strokes([paint], mode, fraction, seed)
    return split.held_out


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


@pytest.mark.parametrize("mode", ["classes", "objects"])
@settings(deadline=None)
@given(strokes(fewest=5, most=13), fractions, st.integers(0, 9), st.data())
def test_another_stroke_moves_one_of_its_class_at_most(mode, paint, fraction, seed, data):
    """Also one of objects, of which many have one number."""
    before = hold_out(paint, mode, fraction, seed)
    free = [(r, c) for r in range(0, 24, 4) for c in range(0, 28, 4) if not paint[r : r + 4, c : c + 4].any()]
    row, column = data.draw(st.sampled_from(free))
    value = data.draw(st.sampled_from([1, 2, 3]))
    more = paint.copy()
    place(more, row, column, value)
    if label(more, connectivity=2).max() != label(paint, connectivity=2).max() + 1:
        return  # the new stroke joined an old one
    moved = (hold_out(more, mode, fraction, seed) != before) & (paint > 0)
    others = paint != value if mode == "classes" or value == 1 else paint == 1
    assert not moved[others].any()
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


def test_volumes():
    paint = np.zeros((3, 40, 40), np.int32)
    paint[:, ::4, ::8] = 1
    paint[:, ::4, 4::8] = np.arange(2, 52).reshape(10, 5)
    mask = hold_out(paint, "objects", 0.2, 0)
    assert (mask == mask[:1]).all()  # a stroke through all planes is one
    assert 0 < mask[0].sum() <= 20


# Large strokes, cut into blocks


@st.composite
def filled(draw):
    """Planes of one image with two large strokes, or few; some with a third class in small strokes."""
    shape = draw(st.tuples(st.integers(60, 250), st.integers(60, 250)))
    paints = []
    for _ in range(draw(st.integers(1, 2))):
        paint = np.zeros(shape, np.int32)
        for value in (1, 2):
            for _ in range(draw(st.integers(1, 3))):
                start = [draw(st.integers(0, length - 20)) for length in shape]
                sides = [draw(st.integers(5, 200)) for _ in shape]
                paint[start[0] : start[0] + sides[0], start[1] : start[1] + sides[1]] = value
        paints.append(paint)
    return paints


def window(mask, reach):
    """Whether any pixel is True within ``reach`` along both axes: the slow way, by shifting."""
    padded = np.pad(mask, reach)
    shifts = range(2 * reach + 1)
    return np.any(
        [padded[y : y + mask.shape[0], x : x + mask.shape[1]] for y in shifts for x in shifts], axis=0
    )


@settings(deadline=None, max_examples=30)
@given(filled(), st.integers(0, 5), st.sampled_from([0.1, 0.2, 0.5]))
def test_no_held_out_pixel_is_near_a_taught_one_of_its_class(paints, seed, fraction):
    splits = split_strokes(paints, "classes", fraction, seed, images=[0] * len(paints))
    again = split_strokes(paints, "classes", fraction, seed, images=[0] * len(paints))
    for paint, split, same in zip(paints, splits, again, strict=True):
        np.testing.assert_array_equal(split.held_out, same.held_out)
        np.testing.assert_array_equal(split.strokes > 0, paint > 0)
        assert not (split.taught & split.held_out).any()
        assert not ((split.taught | split.held_out) & (paint == 0)).any()
        for value in (1, 2):
            held, taught = (mask & (paint == value) for mask in (split.held_out, split.taught))
            is_large = held.any() and sum(label(p == value, connectivity=2).max() for p in paints) < 5
            if is_large:
                assert not (held & window(taught, GUARD)).any()
    if len(splits) == 2 and all(split.held_out.any() for split in splits):
        # A block goes through all planes: what is held out on one is not taught on the next.
        for value in (1, 2):
            if sum(label(p == value, connectivity=2).max() for p in paints) < 5:
                one, other = (
                    split.held_out & (paint == value) for split, paint in zip(splits, paints, strict=True)
                )
                assert not (one & splits[1].taught & (paints[1] == value)).any()
                assert not (other & splits[0].taught & (paints[0] == value)).any()


def filled_background(size=480):
    """A background filled in one go around twenty objects."""
    paint = np.ones((size, size), np.int32)
    for number in range(20):
        y, x = divmod(number, 5)
        paint[40 + 100 * y : 60 + 100 * y, 40 + 90 * x : 60 + 90 * x] = 2 + number
    return paint


def test_blocks_of_a_filled_background_and_whole_objects():
    paint = filled_background()
    (split,) = split_strokes([paint], "objects", 0.2, 0)
    background = split.held_out & (paint == 1)
    kept = np.unique(paint[split.held_out & (paint > 1)])
    np.testing.assert_array_equal(split.held_out & (paint > 1), np.isin(paint, kept))
    assert 1 <= kept.size <= 4
    # A hundred blocks, of which a fifth is kept, and of these the inner 32 x 32 pixels of 48 x 48.
    cells = {(y // BLOCK, x // BLOCK) for y, x in np.argwhere(background).tolist()}
    assert 8 <= len(cells) <= 20
    assert background.sum() <= len(cells) * (BLOCK - 2 * GUARD) ** 2
    lost = (paint == 1) & ~split.taught
    assert 0.05 < lost.mean() < 0.25


def test_painting_elsewhere_leaves_the_blocks_where_they_are():
    paint = filled_background()
    paint[:, 400:] = 0
    before = split_strokes([paint], "objects", 0.2, 0)[0].held_out & (paint == 1)
    paint[:, 400:470] = 1
    after = split_strokes([paint], "objects", 0.2, 0)[0].held_out & (paint == 1)
    changed = (before != after)[:, :384]
    assert changed.any(axis=1).sum() <= BLOCK  # one row of blocks at most


def test_a_stroke_that_is_most_of_its_class_is_never_held_out_whole():
    paint = np.zeros((200, 200), np.int32)
    paint[:60:6, :150:10] = np.arange(2, 152).reshape(10, 15)  # dots
    paint[100:, :100] = 1
    paint[100::20, 110:120] = 1
    seen = set()
    for seed in range(30):
        held = hold_out(paint, "objects", 0.5, seed) & (paint == 1)
        assert not held[100:, :100].all()
        seen.add(bool(held[100:, :100].any()))
    assert seen == {True, False}


def test_the_background_of_complete_regions_is_held_out_in_blocks():
    # Six complete fields: whole ones would leave the objects of a field without their surroundings.
    paints = []
    for _ in range(6):
        paint = np.ones((250, 250), np.int32)
        for number, (y, x) in enumerate(np.ndindex(5, 5), start=2):
            paint[50 * y + 20 : 50 * y + 30, 50 * x + 20 : 50 * x + 30] = number
        paints.append(paint)
    splits = split_strokes(paints, "objects", 0.2, 0)
    assert any(split.held_out.any() for split in splits)
    for paint, split in zip(paints, splits, strict=True):
        assert np.count_nonzero(split.held_out & (paint == 1)) < 0.3 * np.count_nonzero(paint == 1)
        for number in range(2, 27):
            assert np.unique(split.held_out[paint == number]).size == 1


def test_few_strokes_on_each_of_many_planes_are_enough():
    planes = []
    for number in range(6):
        paint = np.zeros((40, 40), np.int32)
        paint[5, 5 + number : 15] = 1
        paint[20, 5 + number : 15] = 2 + number
        planes.append(paint)
    assert not any(split_strokes([plane], "objects", 0.2, 0)[0].held_out.any() for plane in planes)
    splits = split_strokes(planes, "objects", 0.2, 0, images=[0] * 6)
    held = [(plane[split.held_out] > 1).any() for plane, split in zip(planes, splits, strict=True)]
    assert sum(held) == 1
    numbers = [set(np.unique(split.strokes[split.strokes > 0]).tolist()) for split in splits]
    assert len(set.union(*numbers)) == sum(map(len, numbers)) == 12


def test_an_object_on_many_planes_of_one_image_is_one_stroke():
    paint = grid(20)
    both = split_strokes([paint, paint], "objects", 0.2, 0, images=[0, 0])
    np.testing.assert_array_equal(both[0].held_out & (paint > 1), both[1].held_out & (paint > 1))
    np.testing.assert_array_equal(both[0].strokes[paint > 1], both[1].strokes[paint > 1])
    assert not set(both[0].strokes[paint == 1]) & set(both[1].strokes[paint == 1])
    apart = split_strokes([paint, paint], "objects", 0.2, 0)
    assert not set(apart[0].strokes[paint > 1]) & set(apart[1].strokes[paint > 1])


# Objects that lack numbers


@settings(deadline=None)
@given(st.one_of(strokes((1, 2)), strokes()), st.booleans(), fractions, st.integers(0, 9))
def test_pieces_are_held_out_as_if_each_had_its_number(paint, full, fraction, seed):
    """So nothing of a training changes where numbers that were forgotten are given later."""
    lacks = summarise_paint(paint).lacks_numbers
    apart = paint.copy()
    if lacks:
        apart[number_separately(paint)[0]] = number_separately(paint)[1]
    measure = Measure(WeightConfig(), "objects")
    image = np.zeros((1, *paint.shape), np.float32)
    planes = [measure_plane(0, (), image, each, measure, full=full) for each in (paint, apart)]
    (one,), (other,) = (
        split_pixels(number_pieces([plane.pixels], [0])[0], "objects", fraction, seed, images=[0])
        for plane in planes
    )
    n_objects = np.count_nonzero(np.unique(paint) >= FIRST_OBJECT)
    if not (full and n_objects > 1):  # a rim between objects is of that with the highest number
        np.testing.assert_array_equal(one.held_out, other.held_out)
        np.testing.assert_array_equal(one.taught, other.taught)
        pairs = np.unique(np.stack([one.strokes, other.strokes]), axis=1)
        assert len(set(pairs[0])) == len(set(pairs[1])) == pairs.shape[1]
    if not lacks:
        (same,), pieces = number_pieces([planes[0].pixels], [0])
        assert same is planes[0].pixels
        assert pieces == {}
    elif min(label(paint == 1, connectivity=2).max(), label(paint >= 2, connectivity=2).max()) >= 5:
        assert one.held_out.any()


def test_a_rim_is_of_the_place_that_it_is_around():
    paint = np.zeros((40, 60), np.int32)
    for y in range(4, 40, 12):
        paint[y : y + 6, 4:60:12] = paint[y : y + 6, 5:60:12] = 2
    paint[0:40:12, :50] = 1
    paint[38, 58] = 1
    image = np.zeros((1, *paint.shape), np.float32)
    plane = measure_plane(0, (), image, paint, Measure(WeightConfig(), "objects"), full=True)
    (split,) = split_pixels(number_pieces([plane.pixels], [0])[0], "objects", 0.2, 0, images=[0])
    strokes = scatter(split.strokes, plane.pixels)
    pieces = label(paint == 2, connectivity=2)
    for number in range(1, pieces.max() + 1):
        wide = window(pieces == number, 1)
        assert np.unique(strokes[wide & (plane.rims == 2)]).tolist() == [strokes[pieces == number][0]]
    assert split.held_out.any()


def test_an_object_on_several_planes_is_never_parted():
    """Its pieces may be of one object, or of several; those of another on one plane are told apart."""
    plane = np.minimum(grid(20), 2)
    both = split_strokes([plane, plane], "objects", 0.2, 0, images=[0, 0])
    for split in both:
        assert np.unique(split.strokes[plane == 2]).size == 1
    assert both[0].strokes[plane == 2][0] == both[1].strokes[plane == 2][0]
    other = np.where(plane == 2, 3, plane)
    apart = split_strokes([plane, other], "objects", 0.2, 0, images=[0, 0])
    numbers = [np.unique(split.strokes[plane == 2]) for split in apart]
    assert [one.size for one in numbers] == [20, 20]
    assert not set(numbers[0]) & set(numbers[1])
    # What is on both is one, beside what is not.
    mixed = np.where(grid(60) > 1, 3, 0)
    mixed[190, 190] = 2
    first, second = split_strokes([plane, mixed], "objects", 0.2, 0, images=[0, 0])
    assert np.unique(first.strokes[plane == 2]).tolist() == [second.strokes[190, 190]]
    assert np.unique(second.strokes[mixed == 3]).size == 60


def test_pieces_in_a_volume_are_one_object():
    volume = np.stack([np.minimum(grid(20), 2)] * 2)
    (split,) = split_strokes([volume], "objects", 0.2, 0)
    assert np.unique(split.strokes[volume == 2]).size == 1


def test_each_image_has_numbers_or_lacks_them_by_itself():
    one, many = np.minimum(grid(20), 2), grid(20)
    many[199, 199] = 2  # a second part of an object
    splits = split_strokes([one, many], "objects", 0.2, 0)
    assert np.unique(splits[0].strokes[one == 2]).size == 20
    assert np.unique(splits[1].strokes[many == 2]).size == 1
    assert not set(splits[0].strokes[one == 2]) & set(splits[1].strokes[many >= 2])


def test_what_is_held_out_of_paint_that_got_numbers_is_that_of_objects():
    """Where most objects get numbers, what is left with one is one object, taught or scored as a whole."""
    paint = np.minimum(grid(20), 2)
    places = np.argwhere(paint == 2)
    for number, (y, x) in enumerate(places[:9], start=3):
        paint[y, x] = number
    assert summarise_paint(paint).lacks_numbers
    before = hold_out(paint, "objects", 0.5, 0)
    assert np.unique(before[paint == 2]).size == 2
    for number, (y, x) in enumerate(places[9:12], start=20):
        paint[y, x] = number
    assert not summarise_paint(paint).lacks_numbers
    after = hold_out(paint, "objects", 0.5, 0)
    assert np.unique(after[paint == 2]).size == 1
    np.testing.assert_array_equal(after[paint == 1], before[paint == 1])

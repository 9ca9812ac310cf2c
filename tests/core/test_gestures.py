"""What gestures change: whole objects, in the objects and in the paint, and nothing else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_unet.core.correcting.gestures import accept, merge, reject, split, touched_objects
from napari_unet.core.correcting.numbering import unused_values
from napari_unet.core.errors import InputError
from napari_unet.core.painted.known_full import KnownFull


def labels_of(rows):
    return np.array([[int(letter) for letter in row] for row in rows], np.int32)


def after(array, edit):
    result = array.copy()
    result.ravel()[edit.pixels] = edit.values
    return result


def random_scene(rng, shape):
    """Touching and separate objects, some in two pieces, and paint that partly agrees with them."""
    noise = ndimage.gaussian_filter(rng.normal(size=shape), 2)
    objects, _ = ndimage.label(noise > np.quantile(noise, 0.5))
    seeds = np.where(rng.random(shape) < 0.02, rng.integers(1, 9, shape), 0)
    near = ndimage.distance_transform_edt(seeds == 0, return_distances=False, return_indices=True)
    objects = np.where(objects > 0, seeds[tuple(near)] * rng.integers(1, 4), 0).astype(np.int32)
    paint = np.where(rng.random(shape) < 0.1, rng.integers(0, 7, shape), 0).astype(np.int32)
    paint[objects == objects.max()] = 3
    return objects, paint


def check(correction, objects, paint):
    """Check what holds of every gesture, and return objects and paint after it."""
    new_objects, new_paint = after(objects, correction.objects), after(paint, correction.paint)
    assert (objects.ravel()[correction.objects.pixels] != correction.objects.values).all()
    assert (paint.ravel()[correction.paint.pixels] != correction.paint.values).all()
    untouched = np.ones(objects.size, bool)
    untouched[correction.pixels] = False
    assert np.array_equal(new_objects.ravel()[untouched], objects.ravel()[untouched])
    # Elsewhere paint is at most taken away, of objects that are painted anew.
    elsewhere = untouched & (new_paint.ravel() != paint.ravel())
    assert (new_paint.ravel()[elsewhere] == 0).all()
    assert (paint.ravel()[elsewhere] >= 2).all()
    full = KnownFull().accept(new_paint, correction.painted).within(new_paint)
    assert full == (set(correction.painted) or False)
    for value, pixels in correction.painted.items():
        assert np.array_equal(np.flatnonzero(new_paint.ravel() == value), pixels)
    return new_objects, new_paint


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(24, 26), (3, 18, 20)]))
def test_accepting_paints_whole_objects_and_twice_changes_nothing(seed, shape):
    rng = np.random.default_rng(seed)
    objects, paint = random_scene(rng, shape)
    ids = rng.permutation(np.unique(objects[objects > 0]))[:3].tolist()
    correction = accept(objects, paint, ids)
    new_objects, new_paint = check(correction, objects, paint)
    assert np.array_equal(new_objects, objects)
    assert len(set(correction.values)) == len(ids)
    for number, value in zip(ids, correction.values, strict=True):
        assert value >= 2
        assert np.array_equal(new_paint == value, objects == number)
    again = accept(objects, new_paint, ids)
    assert again.values == correction.values
    assert again.paint.pixels.size == 0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(24, 26), (3, 18, 20)]))
def test_rejecting_takes_away_whole_objects_and_spares_the_strokes_of_others(seed, shape):
    rng = np.random.default_rng(seed)
    objects, paint = random_scene(rng, shape)
    ids = rng.permutation(np.unique(objects[objects > 0]))[:2].tolist()
    new_objects, new_paint = check(reject(objects, paint, ids), objects, paint)
    inside = np.isin(objects, ids)
    assert np.array_equal(new_objects, np.where(inside, 0, objects))
    for value in range(2, 7):
        was = paint == value
        if 2 * np.count_nonzero(was & inside) > np.count_nonzero(was):
            assert value not in new_paint
        else:
            assert np.array_equal(new_paint == value, was)
    assert (new_paint[inside & (paint < 2)] == 1).all()


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(24, 26), (3, 18, 20)]))
def test_splitting_parts_objects_and_keeps_all_of_their_pixels(seed, shape):
    rng = np.random.default_rng(seed)
    objects, paint = random_scene(rng, shape)
    path = rng.uniform(-3, 28, (rng.integers(1, 5), len(shape)))
    path[:, :-2] = 1
    touched = touched_objects(objects, path)
    try:
        correction = split(objects, paint, path)
    except InputError:
        return
    new_objects, new_paint = check(correction, objects, paint)
    assert np.array_equal(new_objects > 0, objects > 0)
    old, new = set(np.unique(objects)), set(np.unique(new_objects))
    assert old < new
    assert new - old == set(range(max(old) + 1, max(old) + 1 + len(new - old)))
    parted = {number for number in old if (new_objects[objects == number] != number).any()}
    assert parted <= set(touched)
    for number in parted:
        parts = np.unique(new_objects[objects == number])
        assert number in parts  # the largest keeps it
        sizes = {part: np.count_nonzero(new_objects == part) for part in parts}
        assert sizes[number] == max(sizes.values())
        for part in parts:
            value = np.unique(new_paint[new_objects == part])
            assert value.size == 1
            assert value[0] in correction.values
    assert len(correction.values) == len(new - old) + len(parted)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(24, 26), (3, 18, 20)]))
def test_merging_makes_one_object_of_all_that_are_touched(seed, shape):
    rng = np.random.default_rng(seed)
    objects, paint = random_scene(rng, shape)
    path = rng.uniform(0, 20, (3, len(shape)))
    path[:, :-2] = 1
    touched = touched_objects(objects, path)
    if len(touched) < 2:
        with pytest.raises(InputError, match="from one object into another"):
            merge(objects, paint, path)
        return
    correction = merge(objects, paint, path)
    new_objects, new_paint = check(correction, objects, paint)
    whole = np.isin(objects, touched)
    assert np.unique(new_objects[whole]).size == 1
    assert new_objects[whole][0] in touched
    assert np.array_equal(new_objects[~whole], objects[~whole])
    assert np.array_equal(new_paint == correction.values[0], whole)


OBLONG = labels_of(["0000000000", "0444444440", "0444444440", "0444444440", "0000000000"])


@pytest.mark.parametrize(
    ("path", "sizes"),
    [
        ([(0, 4), (4, 4)], (15, 9)),  # what is under the stroke goes to the larger side here
        ([(-9, 4), (40, 4)], (15, 9)),
        ([(1, 4), (3, 4)], (15, 9)),
        ([(2, 4), (2, 4), (3, 4)], (15, 9)),  # carried on up and down
        ([(0, 0), (4, 9)], None),
    ],
    ids=["across", "from far away", "from edge to edge", "half of the way", "aslant"],
)
def test_a_stroke_cuts_where_it_is_drawn(path, sizes):
    correction = split(OBLONG, np.zeros_like(OBLONG), path)
    new_objects, _ = check(correction, OBLONG, np.zeros_like(OBLONG))
    assert set(np.unique(new_objects)) == {0, 4, 5}
    if sizes:
        found = sorted((np.count_nonzero(new_objects == number) for number in (4, 5)), reverse=True)
        assert found[0] + found[1] == 24
        assert abs(found[0] - sizes[0]) <= 3


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ([(0, 0), (0, 9)], "touches no object"),
        ([(2, 1)], "cuts no object in two"),
        ([(50, 50), (60, 60)], "touches no object"),
    ],
)
def test_a_stroke_that_cuts_nothing_says_so(path, said):
    with pytest.raises(InputError, match=said):
        split(OBLONG, np.zeros_like(OBLONG), path)


def test_only_what_is_crossed_is_cut_even_if_the_stroke_ends_in_the_next():
    objects = labels_of(["0000000", "0333000", "0333000", "0333000", "0555500", "0555500", "0000000"])
    correction = split(objects, np.zeros_like(objects), [(0, 2), (4, 2)])
    new_objects, _ = check(correction, objects, np.zeros_like(objects))
    assert np.array_equal(new_objects == 5, objects == 5)
    assert set(np.unique(new_objects)) == {0, 3, 5, 6}


def test_a_volume_is_cut_along_the_axis_that_is_not_seen():
    objects = np.zeros((5, 12, 14), np.int32)
    objects[1:4, 2:10, 2:12] = 7
    new_objects, _ = check(
        split(objects, np.zeros_like(objects), [(2, 0, 6), (2, 11, 6)]), objects, np.zeros_like(objects)
    )
    assert set(np.unique(new_objects)) == {0, 7, 8}
    assert np.array_equal(new_objects[1], new_objects[2])
    sideways = split(objects, np.zeros_like(objects), [(0, 5, 6), (4, 5, 6)], axes=(2, 0))
    new_objects, _ = check(sideways, objects, np.zeros_like(objects))
    assert np.array_equal(new_objects[:, 3], new_objects[:, 8])


def test_a_stroke_of_the_object_becomes_it_and_that_of_a_neighbour_stays():
    objects = labels_of(["00000000", "04444000", "04444000", "00000000"])
    paint = labels_of(["00000000", "02220000", "00203333", "00000000"])
    paint[0, 1] = 2  # sticks out
    correction = accept(objects, paint, [4])
    assert correction.values == (2,)
    _, new_paint = check(correction, objects, paint)
    assert np.array_equal(new_paint, labels_of(["00000000", "02222000", "02222333", "00000000"]))
    _, new_paint = check(reject(objects, paint, [4]), objects, paint)
    assert np.array_equal(new_paint, labels_of(["00000000", "01111000", "01113333", "00000000"]))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.uint16, np.int64])
def test_numbers_near_the_highest_are_followed_by_the_lowest_free_ones(dtype):
    highest = min(np.iinfo(dtype).max, np.iinfo(np.int32).max)
    objects = np.zeros((6, 8), dtype)
    objects[1:5, 1:7] = highest
    objects[0, 0] = 1
    paint = objects.copy()
    paint[paint == highest] = 0
    paint[5, 5] = highest
    correction = split(objects, paint, [(0, 4), (5, 4)])
    new_objects, new_paint = check(correction, objects, paint)
    assert set(np.unique(new_objects)) == {0, 1, 2, highest}
    assert new_objects.dtype == dtype
    assert set(correction.values) == {2, 3}
    assert new_paint[5, 5] == highest
    assert unused_values(objects, 1, at_least=1) == [2]


def test_paint_without_a_free_value_says_so():
    objects = np.zeros((20, 20), np.int32)
    objects[1:4, 5:8] = 1
    paint = np.ones((20, 20), np.uint8)
    paint.ravel()[-256:] = np.arange(256)
    with pytest.raises(InputError, match="All numbers up to 255 are in use"):
        accept(objects, paint, [1])


def test_other_shapes_are_refused():
    with pytest.raises(InputError, match="choose the objects and the paint of one image"):
        accept(np.zeros((4, 5), int), np.zeros((5, 4), int), [1])

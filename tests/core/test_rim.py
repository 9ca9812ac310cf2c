"""What lies just outside of full objects, against a search through all pixels; and that it is learnt."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from painting import boxes
from taught import build_dataset

from napari_unet.core.borders.weight_config import WeightConfig
from napari_unet.core.painted.rim import TaughtPlane, find_rims
from napari_unet.core.weights import border_weights

paints = arrays(np.int32, array_shapes(min_dims=2, max_dims=3, max_side=6), elements=st.integers(0, 4))


@settings(deadline=None, max_examples=60)
@given(paints, st.sampled_from([True, False, (2,), (3, 4)]))
def test_a_search_through_all_pixels(paint, full):
    named = (2, 3, 4) if full is True else full or ()
    objects = np.argwhere(np.isin(paint, named))
    expected = np.zeros(paint.shape, np.int32)
    for pixel in np.ndindex(paint.shape):
        beside = objects[np.abs(objects - pixel).max(axis=1, initial=0) <= 1]
        if paint[pixel] == 0 and len(beside):
            expected[pixel] = max(paint[tuple(other)] for other in beside)
    found = find_rims(paint, full)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, expected)


def drawing():
    """Return paint: background below, two full objects that touch, and a stroke of a third."""
    paint = np.zeros((12, 16), np.int32)
    paint[10:, :] = 1
    paint[2:6, 2:5], paint[2:6, 5:9], paint[3, 12:15] = 2, 3, 4
    return paint


@pytest.mark.parametrize("full", [(2, 3), (2,), True])
def test_what_is_around_full_objects_is_learnt_as_if_it_were_painted(full):
    paint, image = drawing(), np.random.default_rng(0).random((12, 16))
    by_hand = np.where(find_rims(paint, full) > 0, 1, paint)
    (sample,) = build_dataset([image], [paint], held_out=0, full=[full]).samples
    (other,) = build_dataset([image], [by_hand], held_out=0, full=[full]).samples
    for name in ("target", "weight", "paint", "distance"):
        np.testing.assert_array_equal(getattr(sample, name), getattr(other, name), err_msg=name)
    for found, expected in zip(sample.pixels, other.pixels, strict=True):
        np.testing.assert_array_equal(found, expected)
    # The border term is highest there, as between cells that somebody parted by hand.
    np.testing.assert_array_equal(sample.weight, border_weights(by_hand, WeightConfig()))


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_edited_paint_is_taught_as_if_it_had_never_been_other(data):
    paint = data.draw(arrays(np.int32, (14, 15), elements=st.integers(0, 4)))
    fulls = st.sampled_from([True, False, {2}, {3, 4}, {2, 4}])
    plane = TaughtPlane.of(paint.copy(), data.draw(fulls))
    for _ in range(data.draw(st.integers(1, 5))):
        box = data.draw(st.none() | boxes(paint.shape))
        if box is not None:
            paint[box] = data.draw(st.integers(0, 5))
        before, full = plane.taught, data.draw(fulls)
        plane, changed = plane.edited(paint.copy(), box, full)
        np.testing.assert_array_equal(plane.painted, paint)
        np.testing.assert_array_equal(plane.taught, np.where(find_rims(paint, full) > 0, 1, paint))
        differs = plane.taught != before
        if changed is not None:
            differs[changed] = False
        assert not differs.any()


def test_a_rim_is_no_paint_that_anybody_made():
    paint, image = drawing(), np.random.default_rng(0).random((12, 16))
    alone, taught = (build_dataset([image], [paint], full=[full]) for full in (False, True))
    assert taught.known_pixels == alone.known_pixels == np.count_nonzero(paint)


def test_an_object_and_its_rim_are_one_stroke():
    paint = np.zeros((80, 80), np.int32)
    for number, (row, column) in enumerate(np.ndindex(6, 6)):
        paint[4 + 12 * row : 10 + 12 * row, 4 + 12 * column : 10 + 12 * column] = 2 + number
    for row, column in np.ndindex(5, 5):
        paint[12 + 12 * row : 14 + 12 * row, 12 + 12 * column : 14 + 12 * column] = 1
    image = np.random.default_rng(0).random(paint.shape)
    (sample,) = build_dataset([image], [paint], held_out=0.3, full=[True]).samples
    kept = {int(value) for value in np.unique(paint[sample.held_out > 0]) if value > 1}
    assert kept
    for number, (row, column) in enumerate(np.ndindex(6, 6)):
        box = (slice(3 + 12 * row, 11 + 12 * row), slice(3 + 12 * column, 11 + 12 * column))
        rim = paint[box] == 0
        taught, held_out = sample.weight[box] > 0, sample.held_out[box] > 0
        assert taught[rim].all() != held_out[rim].all() == (2 + number in kept)
        assert np.unique(sample.strokes[box]).size == 1

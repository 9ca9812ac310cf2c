"""What lies just outside of full objects, against a search through all pixels; and that it is learnt."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_unet.core.dataset import build_dataset
from napari_unet.core.object_distance import full_objects
from napari_unet.core.rim import find_rim
from napari_unet.core.weights import WeightConfig, class_weights

paints = arrays(np.int32, array_shapes(min_dims=2, max_dims=3, max_side=6), elements=st.integers(0, 4))


@settings(deadline=None, max_examples=60)
@given(paints, st.sampled_from([True, False, (2,), (3, 4)]), st.integers(0, 2**32 - 1))
def test_a_search_through_all_pixels(paint, full, seed):
    taught = (paint > 0) & (np.random.default_rng(seed).random(paint.shape) < 0.7)
    named = {value for value, _, _ in full_objects(paint, full)}
    objects = np.argwhere(np.isin(paint, list(named)) & taught)
    expected = [
        index
        for index, pixel in enumerate(np.ndindex(paint.shape))
        if paint[pixel] == 0 and (np.abs(objects - pixel).max(axis=1, initial=0) <= 1).any()
    ]
    assert find_rim(paint, full, taught).tolist() == expected


def drawing():
    """Return paint: background below, two full objects that touch, and a stroke of a third."""
    paint = np.zeros((12, 16), np.int32)
    paint[10:, :] = 1
    paint[2:6, 2:5], paint[2:6, 5:9], paint[3, 12:15] = 2, 3, 4
    return paint


@pytest.mark.parametrize(("full", "columns"), [((2, 3), (1, 10)), ((2,), (1, 6)), (True, (1, 16))])
def test_what_is_around_full_objects_is_learnt_as_background(full, columns):
    paint, image = drawing(), np.random.default_rng(0).random((12, 16))
    weights = WeightConfig(w0=0)
    (alone,) = build_dataset([image], [paint], weights=weights, held_out=0).samples
    (sample,) = build_dataset([image], [paint], weights=weights, held_out=0, full=[full]).samples
    rim = (sample.weight > 0) & (paint == 0)
    rows, first_last = np.nonzero(rim)
    assert (rows.min(), rows.max()) == (1, 6)
    assert (first_last.min(), first_last.max() + 1) == columns
    assert not sample.target[rim].any()
    assert (sample.distance[rim] == 0).all()
    pixels = np.array([pixels.size for pixels in sample.pixels])
    np.testing.assert_array_equal(sample.weight[rim], np.float32(class_weights(pixels, weights)[0]))
    # Nothing else changes: neither the paint's own weights, nor where patches are drawn around.
    np.testing.assert_array_equal(sample.weight[~rim], alone.weight[~rim])
    for found, expected in zip(sample.pixels, alone.pixels, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_the_rim_of_what_is_held_out_is_not_taught():
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
        assert (sample.weight[box][rim] > 0).all() == (2 + number not in kept)

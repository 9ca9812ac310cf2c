"""The table behind the scores, against scikit-image's, and the map of errors made along with them."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.metrics import contingency_table

from napari_unet.core.arrays.lazy import LazyPixels
from napari_unet.core.errors import InputError
from napari_unet.core.scoring import overlap as overlap_module
from napari_unet.core.scoring.agreement import measure_agreement
from napari_unet.core.scoring.label_errors import compare_parts
from napari_unet.core.scoring.overlap import comparable_parts, find_overlap, found_by_plane, touching_ids
from napari_unet.core.scoring.scores import evaluate, pooled_scores

shapes = st.lists(st.integers(0, 5), min_size=1, max_size=3).map(tuple)
pairs = shapes.flatmap(lambda shape: st.tuples(*[arrays(np.uint8, shape, elements=st.integers(0, 4))] * 2))


@settings(deadline=None)
@given(pairs)
def test_the_table_is_that_of_scikit_image(pair):
    predicted, truth = pair
    overlap, runs = find_overlap(predicted, truth)
    assert runs.lengths.sum() == truth.size
    if not truth.size:
        assert (overlap.n_true, overlap.n_predicted, overlap.pixels.size) == (0, 0, 0)
        return
    expected = contingency_table(truth, predicted, sparse_type="array").toarray()
    ids = [np.r_[0, ids.astype(int)] for ids in (overlap.true_ids, overlap.predicted_ids)]
    expected = expected[ids[0]][:, ids[1]]
    table = np.zeros_like(expected)
    table[overlap.true, overlap.predicted] = overlap.pixels
    np.testing.assert_array_equal(table, expected)
    np.testing.assert_array_equal(overlap.true_sizes, expected.sum(1))
    np.testing.assert_array_equal(overlap.predicted_sizes, expected.sum(0))
    assert overlap.pixels.all()


@given(pairs)
def test_runs_are_the_images(pair):
    predicted, truth = pair
    overlap, runs = find_overlap(predicted, truth)
    numbers = np.repeat(runs.true, runs.lengths).reshape(truth.shape)
    ids = np.concatenate([[0], overlap.true_ids])
    np.testing.assert_array_equal(ids[numbers], truth)


def test_memory_does_not_follow_the_largest_id():
    labels = np.array([[0, 2**63 - 1, 2**40]])
    overlap, _ = find_overlap(labels, labels)
    assert (overlap.n_true, overlap.pixels.tolist()) == (2, [1, 1, 1])


@pytest.mark.parametrize("dtype", [np.int32, ">u2", np.uint64])
def test_labels_of_any_whole_type_and_order(dtype):
    labels = np.arange(12).reshape(3, 4)[::-1, ::2] // 3
    assert find_overlap(labels.astype(dtype), labels)[0].n_predicted == len(np.unique(labels[labels > 0]))


def test_what_touches():
    labels = np.zeros((9, 9), int)
    labels[0, 0:2], labels[0, 2:4] = 1, 2  # side by side
    labels[3, 0], labels[5, 0] = 3, 4  # one pixel between
    labels[8, 0], labels[8, 3] = 5, 6  # two between
    labels[3, 5], labels[4, 6] = 7, 8  # by a corner only
    assert touching_ids(labels).tolist() == [1, 2, 3, 4]
    assert touching_ids(labels[None].repeat(2, 0)).tolist() == [1, 2, 3, 4]
    assert touching_ids(np.array([[[1]], [[2]]])).tolist() == [1, 2]
    assert touching_ids(np.zeros((0, 3), int)).size == 0


@settings(deadline=None)
@given(pairs, st.integers(1, 70), st.booleans())
def test_labels_that_are_not_in_memory_score_the_same(pair, block, both):
    predicted, truth = pair
    with patch.object(overlap_module, "_BLOCK", block):
        lazily = measure_agreement(LazyPixels(predicted) if both else predicted, LazyPixels(truth))
    assert lazily == measure_agreement(predicted, truth)


def test_negative_labels_that_are_not_in_memory():
    labels = np.arange(20).reshape(4, 5)
    with (
        patch.object(overlap_module, "_BLOCK", 4),
        pytest.raises(InputError, match=r"true labels are negative in places"),
    ):
        evaluate(LazyPixels(labels), LazyPixels(-labels))


@pytest.mark.parametrize(("ndim", "parts"), [(None, 1), (4, 1), (9, 1), (3, 2), (2, 6), (1, 24)])
def test_parts(ndim, parts):
    labels = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    found = list(comparable_parts(labels, labels * 2, ndim))
    assert len(found) == parts
    np.testing.assert_array_equal(np.array([part for part, _ in found]).reshape(labels.shape), labels)
    np.testing.assert_array_equal(np.array([part for _, part in found]).reshape(labels.shape), labels * 2)


@pytest.mark.parametrize("ndim", [None, 2])
def test_scores_and_errors_from_one_table_are_those_made_alone(ndim):
    predicted, truth = np.random.default_rng(0).integers(0, 5, (2, 3, 6, 7))
    parts = list(compare_parts(predicted, truth, ndim=ndim))
    assert pooled_scores(part.agreement for part in parts) == evaluate(predicted, truth, ndim=ndim)
    alone = [next(compare_parts(*pair)).errors for pair in comparable_parts(predicted, truth, ndim)]
    np.testing.assert_array_equal([part.errors for part in parts], alone)


def test_agreements_add_up_field_by_field():
    predicted, truth = np.random.default_rng(1).integers(0, 5, (2, 6, 7))
    one = measure_agreement(predicted, truth)
    both = one + one
    assert (both.pixels, both.n_true, both.bits_over) == (84, 2 * one.n_true, 2 * one.bits_over)


def test_objects_of_a_2d_network_are_told_from_volumes():
    volume = np.zeros((4, 6, 6), int)
    volume[:, 1:3, 1:3], volume[:, 4:, 4:] = 1, 2
    by_plane = np.where(volume > 0, volume + 2 * np.arange(4)[:, None, None], 0)
    for view in (np.asarray, LazyPixels):
        assert found_by_plane(view(by_plane), view(volume))
    assert not found_by_plane(volume, volume)
    assert not found_by_plane(by_plane, by_plane)
    assert not found_by_plane(by_plane * (np.arange(4) < 2)[:, None, None], volume)
    assert not found_by_plane(by_plane[:1], volume[:1])
    assert not found_by_plane(by_plane[0], volume[0])

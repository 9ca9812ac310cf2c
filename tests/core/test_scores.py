"""Scores against tables worked out by hand and against slow, obvious oracles."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment
from skimage.metrics import adapted_rand_error

from napari_unet.core.errors import InputError
from napari_unet.core.instances import InstanceConfig
from napari_unet.core.prediction import Prediction
from napari_unet.core.scores import Scores, evaluate

LARGEST = 2**31 - 1


def row(text: str) -> np.ndarray:
    return np.array([[0 if c == "." else int(c) for c in text]])


# prediction, truth: IoU, Dice, AP 50, AP 75, AP 90, splits, merges
TABLE = {
    "equal up to the ids": ("22..1111", "11..2222", (1, 1, 1, 1, 1, 0, 0)),
    "nothing predicted": ("........", "11..2222", (0, 0, 0, 0, 0, 0, 0)),
    "nothing true": ("11..2222", "........", (0, 0, 0, 0, 0, 0, 0)),
    "nothing at all": ("........", "........", (1, 1, 1, 1, 1, 0, 0)),
    "elsewhere": ("11......", "......11", (0, 0, 0, 0, 0, 0, 0)),
    "one of two": ("11......", "11..2222", (1 / 3, 1 / 2, 1 / 2, 1 / 2, 1 / 2, 0, 0)),
    "IoU 3/4, exactly": ("1110", "1111", (3 / 4, 6 / 7, 1, 1, 0, 0, 0)),
    "IoU 9/10, exactly": ("111111111.", "1111111111", (9 / 10, 18 / 19, 1, 1, 1, 0, 0)),
    "split in halves": ("11112222", "11111111", (1, 1, 1 / 2, 0, 0, 1, 0)),
    "split, one part holds": ("11111122", "11111111", (1, 1, 1 / 2, 1 / 2, 0, 1, 0)),
    "merged halves": ("11111111", "11112222", (1, 1, 1 / 2, 0, 0, 0, 1)),
    "split in three": ("11.22.33", "11111111", (6 / 8, 12 / 14, 0, 0, 0, 1, 0)),
    "half inside is not inside": ("1122..", ".1111.", (3 / 5, 6 / 8, 1 / 2, 0, 0, 0, 0)),
}


@pytest.mark.parametrize(("predicted", "truth", "expected"), TABLE.values(), ids=TABLE)
def test_tables(predicted, truth, expected):
    scores = evaluate(row(predicted), row(truth))
    found = (
        scores.foreground_iou,
        scores.dice,
        scores.ap_50,
        scores.ap_75,
        scores.ap_90,
        scores.splits,
        scores.merges,
    )
    assert found == pytest.approx(expected)
    assert (scores.n_true, scores.n_predicted) == (
        len(set(truth) - set(".0")),
        len(set(predicted) - set(".0")),
    )


@pytest.mark.parametrize(
    ("predicted", "truth", "error"),
    [("..", "..", 0), ("11", "..", 1), ("..", "1.", 0), ("11", "11", 0), ("12", "11", 1)],
)
def test_adapted_rand_error_where_pairs_are_few(predicted, truth, error):
    assert evaluate(row(predicted), row(truth)).adapted_rand_error == error


def slow_average_precision(predicted, truth, least):
    true_ids, predicted_ids = np.unique(truth[truth > 0]), np.unique(predicted[predicted > 0])
    matches = np.zeros((len(true_ids), len(predicted_ids)))
    for i, a in enumerate(true_ids):
        for j, b in enumerate(predicted_ids):
            either = ((truth == a) | (predicted == b)).sum()
            matches[i, j] = ((truth == a) & (predicted == b)).sum() >= least * either
    true_positive = matches[linear_sum_assignment(matches, maximize=True)].sum()
    everything = len(true_ids) + len(predicted_ids) - true_positive
    return true_positive / everything if everything else 1.0


def slow_splits(predicted, truth):
    return sum(
        sum(
            2 * ((predicted == b) & (truth == a)).sum() > (predicted == b).sum()
            for b in np.unique(predicted[predicted > 0])
        )
        >= 2
        for a in np.unique(truth[truth > 0])
    )


few_ids = st.sampled_from([0, 0, 1, 2, 3, 70_000, LARGEST])
pairs_of_labels = st.tuples(st.integers(1, 4), st.integers(1, 7)).flatmap(
    lambda shape: st.tuples(*[arrays(np.int64, shape, elements=few_ids)] * 2)
)


@settings(deadline=None, max_examples=300)
@given(pairs_of_labels)
def test_agrees_with_slow_definitions(pair):
    predicted, truth = pair
    scores = evaluate(predicted, truth)
    shared, either = ((predicted > 0) & (truth > 0)).sum(), ((predicted > 0) | (truth > 0)).sum()
    assert scores.foreground_iou == (shared / either if either else 1)
    assert scores.dice == (2 * shared / (shared + either) if either else 1)
    assert scores.ap_50 == slow_average_precision(predicted, truth, 0.5)
    assert scores.ap_75 == slow_average_precision(predicted, truth, 0.75)
    assert scores.ap_90 == slow_average_precision(predicted, truth, 0.9)
    assert scores.splits == slow_splits(predicted, truth)
    assert scores.merges == slow_splits(truth, predicted)
    values = dataclasses.astuple(scores)
    assert np.isfinite(values).all()
    assert all(0 <= value <= 1 for value in values[:6])


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32 - 1))
def test_adapted_rand_error_agrees_with_scikit_image(seed):
    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(0, 4, (2, 6, 8))
    truth[0, :2] = predicted[0, :2] = 1  # at least one pair, else scikit-image divides by zero
    expected = adapted_rand_error(truth, predicted)[0]
    assert evaluate(predicted, truth).adapted_rand_error == pytest.approx(expected, abs=1e-12)


@settings(deadline=None, max_examples=50)
@given(pairs_of_labels)
def test_a_perfect_prediction_is_perfect(pair):
    _, truth = pair
    scores = evaluate(truth, truth)
    assert dataclasses.astuple(scores)[:8] == (1, 1, 1, 1, 1, 0, 0, 0)


def test_many_objects_with_large_ids():
    squares = np.kron(np.arange(20_000, dtype=np.int64).reshape(100, 200), np.ones((4, 4), np.int64))
    truth = np.where(squares > 0, LARGEST - squares, 0)
    scores = evaluate(squares.astype(np.int32), truth.astype(np.uint32))
    assert (scores.n_true, scores.n_predicted, scores.ap_90, scores.adapted_rand_error) == (
        19_999,
        19_999,
        1,
        0,
    )


def test_a_prediction_is_scored_by_its_objects():
    truth = row("11..22")
    foreground = (truth > 0).astype(np.float32)
    prediction = Prediction(np.stack((1 - foreground, foreground)), 2, instances=InstanceConfig(min_size=1))
    assert evaluate(prediction, truth).ap_90 == 1


def test_the_shape_of_an_array_does_not_matter():
    rng = np.random.default_rng(0)
    predicted, truth = rng.integers(0, 9, (2, 4, 5, 6))
    assert evaluate(predicted, truth) == evaluate(predicted.reshape(20, 6), truth.reshape(20, 6))


@pytest.mark.parametrize(
    ("predicted", "truth", "sentence"),
    [
        (np.zeros((3, 4), int), np.zeros((4, 3), int), r"\(3, 4\) and the true ones \(4, 3\)"),
        (np.zeros((3, 4)), np.zeros((3, 4), int), "predicted labels are of type float64"),
        (np.zeros((3, 4), int), np.zeros((3, 4), bool), "true labels are of type bool"),
        (np.zeros((3, 4), int), np.full((3, 4), -2), r"negative values \(down to -2\)"),
    ],
)
def test_labels_that_cannot_be_compared(predicted, truth, sentence):
    with pytest.raises(InputError, match=sentence):
        evaluate(predicted, truth)


def test_scores_read_as_a_sentence():
    text = str(Scores(0.9, 0.95, 0.8, 0.7, 0.6, 0.1, 2, 1, 12, 11))
    assert text.startswith("11 objects predicted, 12 true: foreground IoU 0.900")
    assert text.endswith("2 split, 1 merged.")

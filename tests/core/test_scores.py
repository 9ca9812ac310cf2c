"""Scores against tables worked out by hand, slow and obvious oracles, and scikit-image."""

import dataclasses
from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment
from skimage.metrics import adapted_rand_error, variation_of_information

from napari_unet.core.errors import InputError
from napari_unet.core.instances import InstanceConfig
from napari_unet.core.objects.prediction import Prediction
from napari_unet.core.scoring.agreement import Agreement, measure_agreement
from napari_unet.core.scoring.scores import Scores, evaluate, mean_scores, pooled_scores

LARGEST = 2**31 - 1
ERRORS = ("pixel_error", "adapted_rand_error", "variation_of_information", "splits", "merges")
RATIOS = (
    *("foreground_iou", "dice", "ap_50", "ap_75", "ap_90"),
    *("precision", "recall", "f1", "touching_recall"),
)


def row(text: str) -> np.ndarray:
    return np.array([[0 if c == "." else int(c) for c in text]])


def values(scores, names):
    return tuple(getattr(scores, name) for name in names)


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
    names = ("foreground_iou", "dice", "ap_50", "ap_75", "ap_90", "splits", "merges")
    assert values(scores, names) == pytest.approx(expected)
    assert (scores.n_true, scores.n_predicted) == (
        len(set(truth) - set(".0")),
        len(set(predicted) - set(".0")),
    )


# prediction, truth: matched, precision, recall, F1, touching recall, touching, pixel error, VI over, VI under
H = 3 / 4 * log2(4 / 3) + 1 / 4 * log2(4)  # of one in four
MORE = {
    "nothing at all": ("....", "....", (0, 1, 1, 1, 1, 0, 0, 0, 0)),
    "nothing predicted": ("....", "11..", (0, 0, 0, 0, 1, 0, 1 / 2, 0, 1)),
    "nothing true": ("11..", "....", (0, 0, 0, 0, 1, 0, 1 / 2, 1, 0)),
    "perfect": ("1122", "2211", (2, 1, 1, 1, 1, 2, 0, 0, 0)),
    "split in halves": ("1122", "1111", (1, 1 / 2, 1, 2 / 3, 1, 0, 0, 1, 0)),
    "merged halves": ("1111", "1122", (1, 1, 1 / 2, 2 / 3, 0, 2, 0, 0, 1)),
    "one of two touching": ("1123", "1122", (2, 2 / 3, 1, 4 / 5, 1 / 2, 2, 0, 1 / 2, 0)),
    "one pixel between": ("11.22", "11.22", (2, 1, 1, 1, 1, 2, 0, 0, 0)),
    "two pixels between": ("11..22", "11..22", (2, 1, 1, 1, 1, 0, 0, 0, 0)),
    "a part": ("1...", "1111", (0, 0, 0, 0, 1, 0, 3 / 4, H, 0)),
}


@pytest.mark.parametrize(("predicted", "truth", "expected"), MORE.values(), ids=MORE)
def test_more_tables(predicted, truth, expected):
    scores = evaluate(row(predicted), row(truth))
    names = (
        *("n_matched", "precision", "recall", "f1", "touching_recall", "n_touching", "pixel_error"),
        *("vi_oversegmentation", "vi_undersegmentation"),
    )
    assert values(scores, names) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("predicted", "truth", "error"),
    [("..", "..", 0), ("11", "..", 1), ("..", "1.", 0), ("11", "11", 0), ("12", "11", 1)],
)
def test_adapted_rand_error_where_pairs_are_few(predicted, truth, error):
    assert evaluate(row(predicted), row(truth)).adapted_rand_error == error


@pytest.mark.parametrize("shape", [(0, 0), (3, 0), (0, 4, 4)])
def test_an_image_without_pixels_agrees_with_itself(shape):
    nothing = np.zeros(shape, np.int32)
    for ndim in (None, 2):
        scores = evaluate(nothing, nothing, ndim=ndim)
        assert set(values(scores, RATIOS)) == {1}
        assert set(values(scores, ERRORS)) == {0}


def test_labels_without_axes_are_one_pixel():
    assert evaluate(3, 4).n_matched == 1


def matches(predicted, truth, least):
    true_ids, predicted_ids = np.unique(truth[truth > 0]), np.unique(predicted[predicted > 0])
    table = np.zeros((len(true_ids), len(predicted_ids)))
    for i, a in enumerate(true_ids):
        for j, b in enumerate(predicted_ids):
            either = ((truth == a) | (predicted == b)).sum()
            table[i, j] = ((truth == a) & (predicted == b)).sum() >= least * either
    return int(table[linear_sum_assignment(table, maximize=True)].sum()), len(true_ids), len(predicted_ids)


def slow_average_precision(predicted, truth, least):
    found, n_true, n_predicted = matches(predicted, truth, least)
    everything = n_true + n_predicted - found
    return found / everything if everything else 1.0


def slow_splits(predicted, truth):
    return sum(
        sum(
            2 * ((predicted == b) & (truth == a)).sum() > (predicted == b).sum()
            for b in np.unique(predicted[predicted > 0])
        )
        >= 2
        for a in np.unique(truth[truth > 0])
    )


def slow_touching(predicted, truth):
    """Pixel by pixel; which objects touch, and which of those have a partner."""
    touching = set()
    for at in np.ndindex(truth.shape):
        for axis in range(truth.ndim):
            for step in (1, 2):
                to = tuple(index + step * (axis == other) for other, index in enumerate(at))
                if to[axis] < truth.shape[axis] and truth[at] and truth[to] and truth[at] != truth[to]:
                    touching |= {truth[at], truth[to]}
    found = 0
    for a in touching:
        for b in np.unique(predicted[predicted > 0]):
            shared = ((truth == a) & (predicted == b)).sum()
            found += shared > ((truth == a) | (predicted == b)).sum() / 2
    return len(touching), found / len(touching) if touching else 1


few_ids = st.sampled_from([0, 0, 1, 2, 3, 70_000, LARGEST])
pairs_of_labels = st.tuples(st.integers(1, 4), st.integers(1, 7)).flatmap(
    lambda shape: st.tuples(*[arrays(np.int64, shape, elements=few_ids)] * 2)
)


@settings(deadline=None, max_examples=200)
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
    assert (scores.n_touching, scores.touching_recall) == slow_touching(predicted, truth)
    assert scores.pixel_error == ((predicted > 0) != (truth > 0)).mean()
    found, n_true, n_predicted = matches(predicted, truth, 0.5)
    assert (scores.n_matched, scores.n_true, scores.n_predicted) == (found, n_true, n_predicted)
    if n_true and n_predicted:
        assert scores.precision == found / n_predicted
        assert scores.recall == found / n_true
        assert scores.f1 == 2 * found / (n_true + n_predicted)
    assert np.isfinite(dataclasses.astuple(scores)).all()
    assert all(0 <= value <= 1 for value in values(scores, (*RATIOS, "pixel_error", "adapted_rand_error")))


def renamed(labels, rng):
    """The same objects under other, large, ids."""
    ids = np.unique(labels[labels > 0])
    names = rng.choice(LARGEST - 1, ids.size, replace=False) + 1
    result = np.zeros_like(labels)
    for old, new in zip(ids, names, strict=True):
        result[labels == old] = new
    return result


@settings(deadline=None, max_examples=100)
@given(pairs_of_labels, st.integers(0, 2**32 - 1))
def test_ids_do_not_matter_nor_do_turns(pair, seed):
    predicted, truth = pair
    rng = np.random.default_rng(seed)
    scores = dataclasses.astuple(evaluate(predicted, truth))
    other = evaluate(renamed(predicted, rng), renamed(truth, rng))
    assert dataclasses.astuple(other) == pytest.approx(scores, abs=1e-12)
    turned = evaluate(predicted.T[::-1], truth.T[::-1])
    assert dataclasses.astuple(turned) == pytest.approx(scores, abs=1e-12)


@settings(deadline=None, max_examples=100)
@given(pairs_of_labels)
def test_prediction_and_truth_in_each_others_place(pair):
    there, back = evaluate(*pair), evaluate(*pair[::-1])
    same = ("foreground_iou", "dice", "ap_50", "ap_75", "ap_90", "f1", "pixel_error", "n_matched")
    assert values(there, same) == values(back, same)
    assert there.variation_of_information == pytest.approx(back.variation_of_information, abs=1e-12)
    for one, other in [
        ("splits", "merges"),
        ("precision", "recall"),
        ("n_true", "n_predicted"),
        ("vi_oversegmentation", "vi_undersegmentation"),
    ]:
        assert values(there, (one, other)) == pytest.approx(values(back, (other, one)), abs=1e-12)


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32 - 1))
def test_agrees_with_scikit_image(seed):
    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(0, 4, (2, 6, 8))
    truth[0, :2] = predicted[0, :2] = 1  # at least one pair, else scikit-image divides by zero
    scores = evaluate(predicted, truth)
    assert scores.adapted_rand_error == pytest.approx(adapted_rand_error(truth, predicted)[0], abs=1e-12)
    parts = variation_of_information(truth, predicted)
    assert values(scores, ("vi_oversegmentation", "vi_undersegmentation")) == pytest.approx(parts, abs=1e-12)


@settings(deadline=None, max_examples=50)
@given(pairs_of_labels)
def test_a_perfect_prediction_is_perfect(pair):
    _, truth = pair
    scores = evaluate(truth, truth)
    assert set(values(scores, RATIOS)) == {1}
    assert set(values(scores, ERRORS)) == {0}  # exactly, without the rounding of logarithms
    assert scores.n_matched == scores.n_true == scores.n_predicted


def test_many_objects_with_large_ids():
    squares = np.kron(np.arange(20_000, dtype=np.int64).reshape(100, 200), np.ones((4, 4), np.int64))
    truth = np.where(squares > 0, LARGEST - squares, 0)
    scores = evaluate(squares.astype(np.int32), truth.astype(np.uint32))
    names = ("n_true", "n_predicted", "ap_90", "adapted_rand_error", "n_touching")
    assert values(scores, names) == (19_999, 19_999, 1, 0, 19_999)


def test_a_prediction_is_scored_by_its_objects():
    truth = row("11..22")
    foreground = (truth > 0).astype(np.float32)
    prediction = Prediction(np.stack((1 - foreground, foreground)), 2, instances=InstanceConfig(min_size=1))
    assert evaluate(prediction, truth).ap_90 == 1


def test_a_prediction_of_planes_is_scored_plane_by_plane():
    truth = np.stack([row("1111"), row("1111")])  # one object through both planes
    foreground = (truth > 0).astype(np.float32)
    for ndim, n_true in ((2, 2), (3, 1)):
        prediction = Prediction(
            np.stack((1 - foreground, foreground)), ndim, instances=InstanceConfig(min_size=1)
        )
        scores = evaluate(prediction, truth)
        assert (scores.n_true, scores.ap_90) == (n_true, 1)


# Planes and pools.


@settings(deadline=None, max_examples=50)
@given(arrays(np.int64, (2, 3, 4, 5), elements=few_ids))
def test_planes_are_pooled(pair):
    predicted, truth = pair
    by_plane = [measure_agreement(*plane) for plane in zip(predicted, truth, strict=True)]
    scores = evaluate(predicted, truth, ndim=2)
    assert scores == pooled_scores(by_plane)
    assert scores == evaluate(predicted[None], truth[None], ndim=2)
    assert (
        evaluate(predicted, truth) == evaluate(predicted, truth, ndim=3) == evaluate(predicted, truth, ndim=9)
    )
    # As if the planes were one image with background between them, as far as objects and areas go.
    apart = np.arange(3)[:, None, None] * 10
    ids = [np.unique(labels, return_inverse=True)[1].reshape(labels.shape) for labels in pair]
    wide = [
        np.pad(np.where(labels > 0, number + apart + 1, 0), ((0, 0), (0, 2), (0, 0))).reshape(-1, 5)
        for labels, number in zip(pair, ids, strict=True)
    ]
    names = [*RATIOS, "splits", "merges", "n_true", "n_predicted", "n_matched", "n_touching"]
    assert values(evaluate(*wide), names) == values(scores, names)


def test_pooled_and_mean_scores_by_hand():
    pairs = [("1111....", "1111...."), ("........", "11223344")]
    agreements = [measure_agreement(row(predicted), row(truth)) for predicted, truth in pairs]
    pooled = pooled_scores(agreements)
    assert values(pooled, ("n_true", "n_matched", "recall", "precision")) == (5, 1, 1 / 5, 1)
    assert values(pooled, ("foreground_iou", "pixel_error")) == (4 / 12, 8 / 16)
    # The truth tells nothing of the second prediction, which has no information; it holds 2 bits itself.
    assert values(pooled, ("vi_oversegmentation", "vi_undersegmentation")) == (0, 1)
    mean = mean_scores([evaluate(row(predicted), row(truth)) for predicted, truth in pairs])
    assert (mean["n_true"], mean["recall"], mean["precision"], mean["foreground_iou"]) == (2.5, 0.5, 0.5, 0.5)
    assert list(mean) == [field.name for field in dataclasses.fields(Scores)]
    assert pooled_scores([]) == pooled_scores([Agreement()]) == evaluate(row("."), row("."))
    with pytest.raises(InputError, match="at least one pair"):
        mean_scores([])


def test_the_objects_of_a_list_are_those_of_images_of_their_own():
    images = [(row("11.2"), row("1122")), (row("11"), row("1."))]
    predicted, truth = zip(*images, strict=True)
    expected = pooled_scores(measure_agreement(*image) for image in images)
    assert evaluate(list(predicted), truth) == expected
    assert (expected.n_predicted, expected.n_true) == (3, 3)
    both = np.stack([row("1122"), row("1122")])
    assert evaluate(list(both), both).n_true == 2 * evaluate(both, both).n_true
    probabilities = np.stack([both == 0, both > 0]).astype(np.float32)
    prediction = Prediction(probabilities, ndim=2, instances=InstanceConfig(min_size=1))
    assert evaluate([prediction, prediction], [both, both]).n_true == 8
    assert evaluate(row("11.2").tolist(), row("1122").tolist()) == evaluate(row("11.2"), row("1122"))
    with pytest.raises(InputError, match="one truth for each prediction, in the same order"):
        evaluate(list(predicted), [truth[0]])
    with pytest.raises(InputError, match="one truth for each prediction, in the same order"):
        evaluate(list(predicted), 3)
    with pytest.raises(InputError, match=r"^Image 2: The predicted labels have shape \(1, 2\)"):
        evaluate(list(predicted), [truth[0], truth[0]])


def test_a_mask_in_place_of_labels_is_logged(caplog):
    labels = row("11.22.33")
    evaluate(labels, labels)
    assert not caplog.messages
    evaluate(labels, (labels > 0).astype(int))
    assert ["The truth holds one object" in message for message in caplog.messages] == [True]


@pytest.mark.parametrize(
    ("predicted", "truth", "sentence"),
    [
        (np.zeros((3, 4), int), np.zeros((4, 3), int), r"\(3, 4\) and the true ones \(4, 3\)"),
        (np.zeros((3, 4)), np.zeros((3, 4), int), "predicted labels are of type float64"),
        ("a.tif", np.zeros((3, 4), int), "predicted labels are 'a.tif'; give the pixels"),
        (np.zeros((3, 4), int), None, "true labels are None; give the pixels"),
        (
            np.zeros((3, 4), int),
            Prediction(np.ones((2, 3, 4), np.float32), ndim=2, mode="objects"),
            r"labels are Prediction.{,40}; give the pixels",
        ),
        (
            np.zeros((3, 4), int),
            np.zeros((3, 4), bool),
            "true labels are a yes/no mask; give each",
        ),
        (np.zeros((3, 4), int), np.full((3, 4), -2), r"negative in places \(down to -2\)"),
    ],
)
def test_labels_that_cannot_be_compared(predicted, truth, sentence):
    with pytest.raises(InputError, match=sentence):
        evaluate(predicted, truth)


@pytest.mark.parametrize("ndim", [0, -1, "2"])
def test_objects_extend_along_an_axis_at_least(ndim):
    with pytest.raises(InputError, match=f"ndim is {ndim!r}"):
        evaluate(row("11.2"), row("1133"), ndim=ndim)


def test_scores_read_as_a_sentence():
    text = str(evaluate(row("11.2"), row("1133")))
    assert text.startswith("2 objects predicted, 2 true, 2 matched: foreground IoU 0.750")
    assert text.endswith("0 split, 0 merged.")

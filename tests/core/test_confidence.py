"""The interval of a score and what strokes tell apart: against loops, known intervals and simulation."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from napari_unet.core.scoring import confidence
from napari_unet.core.scoring.confidence import mean_iou, score_interval

DRAWS = 50
"""In place of 1000, which a loop cannot make."""


@st.composite
def tables(draw, strokes=8, classes=3):
    """Confusions (S, K, K) of strokes; some without pixels, some of two classes, as at a seam."""
    count = draw(st.integers(0, strokes))
    size = draw(st.integers(2, classes))
    values = st.sampled_from([0, 0, 0, 1, 7, 100, 10**6])
    cells = draw(st.lists(values, min_size=count * size**2, max_size=count * size**2))
    return np.array(cells, np.int64).reshape(count, size, size)


def plain_iou(table):
    ratios = []
    for k in range(1, len(table)):
        union = table[k].sum() + table[:, k].sum() - table[k, k]
        if union > 0:
            ratios.append(table[k, k] / union)
    return sum(ratios) / len(ratios) if ratios else 1.0


def members(confusions):
    """Return for each class that has strokes the numbers of those."""
    found = {}
    for number, table in enumerate(confusions):
        if table.sum():
            found.setdefault(int(np.argmax(table.sum(axis=1))), []).append(number)
    return dict(sorted(found.items()))


def plain_interval(confusions, seed):
    """What ``score_interval`` is, draw by draw and stroke by stroke."""
    groups, classes = members(confusions), confusions.shape[-1]
    if len(groups) < 2 or min(map(len, groups.values())) < 2:
        return 0.0, 1.0
    rng = np.random.default_rng(seed)
    lows, highs = np.zeros((2, DRAWS, classes, classes))
    for value, numbers in groups.items():
        n = len(numbers)
        shares = rng.standard_exponential((DRAWS, n + 1))
        shares[:, n] = rng.standard_gamma(0.5, DRAWS)
        size = sum(confusions[number].sum() for number in numbers) / n
        for draw in range(DRAWS):
            total = sum(shares[draw])
            for share, number in zip(shares[draw], numbers, strict=False):
                lows[draw] += n * share / total * confusions[number]
                highs[draw] += n * share / total * confusions[number]
            extra = n * shares[draw, n] / total * size
            highs[draw, value, value] += extra
            for other in range(classes):
                if other != value:
                    lows[draw, value, other] += extra / (classes - 1)
    score = plain_iou(confusions.sum(axis=0))
    low, high = (np.quantile([plain_iou(t) for t in ts], q) for ts, q in ((lows, 0.05), (highs, 0.95)))
    return min(low, score), max(high, score)


@settings(deadline=None, max_examples=25)
@given(tables(), st.integers(0, 3))
def test_the_interval_is_that_of_its_definition(confusions, seed):
    with patch.object(confidence, "_DRAWS", DRAWS):
        found = score_interval(confusions, seed=seed)
        assert found == score_interval(confusions, seed=seed)
    assert found == pytest.approx(plain_interval(confusions, seed), abs=1e-9)


@settings(deadline=None)
@given(tables(strokes=20, classes=4))
def test_the_interval_holds_the_score_and_lies_in_0_to_1(confusions):
    low, high = score_interval(confusions, seed=0)
    assert 0 <= low <= mean_iou(confusions.sum(axis=0)) <= high <= 1


def alternatives(n, right):
    """``n`` strokes of either class; of the second, so many are all right and the others not at all."""
    confusions = np.zeros((2 * n, 2, 2), np.int64)
    confusions[:n, 0, 0] = 1
    confusions[n : n + right, 1, 1] = confusions[n + right :, 1, 0] = 1000
    return confusions


@pytest.mark.parametrize(("n", "right"), [(2, 2), (5, 5), (6, 4), (20, 17), (20, 0)])
def test_strokes_that_are_right_or_wrong_have_the_interval_of_jeffreys(n, right):
    """With next to no background, the intersection over union is the part of the strokes that are right."""
    low, high = score_interval(alternatives(n, right), seed=0)
    expected = beta.ppf(0.05, right, n - right + 0.5), beta.ppf(0.95, right + 0.5, n - right)
    assert (low, high) == pytest.approx(np.nan_to_num(expected, nan=[0.0, 1.0]), abs=0.04)


@pytest.mark.parametrize("size", [1, 1_000_000])
def test_more_strokes_and_not_more_pixels_make_it_sure(size):
    widths = [np.diff(score_interval(alternatives(n, n) * size, seed=0)) for n in (2, 4, 16, 64)]
    assert np.all(np.diff(np.ravel(widths)) < 0)
    assert widths[0] > 0.5
    assert widths[-1] < 0.1


@pytest.mark.parametrize("n", [2, 5, 20])
@pytest.mark.parametrize("shape", [(2, 0.3), (0.5, 0.2), (5, 5), (0.05, 0.02)])
def test_it_holds_the_true_score_in_nine_of_ten_cases(n, shape):
    """Strokes with a random part right, in random sizes; without the extra stroke, it is as few as half."""
    rng = np.random.default_rng(0)
    true = np.array([[0.95, 0.05], [1 - np.divide(*shape) / (1 + np.divide(*shape)), 0]])
    true[1, 1] = 1 - true[1, 0]
    held = 0
    for case in range(200):
        confusions = np.zeros((2 * n, 2, 2))
        right = np.concatenate([rng.beta(9.5, 0.5, n), rng.beta(*shape, n)])
        sizes = 1000 * rng.lognormal(0, 0.5, 2 * n)
        truth = np.repeat([0, 1], n)
        confusions[np.arange(2 * n), truth, truth] = right * sizes
        confusions[np.arange(2 * n), truth, 1 - truth] = (1 - right) * sizes
        low, high = score_interval(confusions.astype(np.int64), seed=case)
        held += low <= mean_iou(true) <= high
    assert held >= 0.87 * 200  # 0.9, less two standard errors of 200 cases


@pytest.mark.parametrize(
    "confusions",
    [
        np.zeros((0, 2, 2), np.int64),
        np.zeros((4, 2, 2), np.int64),
        np.array([[[9, 1], [0, 0]]] * 5),  # one class only
        np.array([[[9, 1], [0, 0]]] * 5 + [[[0, 0], [1, 9]]]),  # one stroke of the other
        np.array([[[9, 1], [0, 0]], [[0, 0], [1, 9]]]),  # one of each
    ],
)
def test_what_cannot_be_known_is_said_to_be_unknown(confusions):
    assert score_interval(confusions, seed=0) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("confusion", "expected"),
    [
        ([[5, 0], [0, 5]], 1.0),
        ([[5, 5], [0, 5]], 0.5),
        ([[9, 0], [5, 0]], 0.0),
        ([[9, 0], [0, 0]], 1.0),
        ([[0, 0], [0, 0]], 1.0),
        ([[1, 0, 0], [0, 4, 4], [0, 0, 0]], 0.25),
        ([[1, 0, 0], [0, 4, 0], [0, 0, 0]], 1.0),
    ],
)
def test_mean_iou_of_known_tables(confusion, expected):
    assert mean_iou(np.array(confusion)) == expected


@given(tables())
def test_mean_iou_of_many_tables_at_once(confusions):
    assert mean_iou(confusions).tolist() == pytest.approx([plain_iou(table) for table in confusions])

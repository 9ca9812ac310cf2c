"""How far a score on a few strokes can be trusted, and whether they tell one network from another.

The pixels of one stroke are right or wrong together, so strokes are what is counted, not pixels: a million
pixels in two strokes are two observations.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.9
"""Part of the trainings whose interval should hold the score on all such strokes."""

_DRAWS = 1000

_EXTRA = 0.5
"""Part of an invented stroke that is added to those of a class."""


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """What the network got right and wrong."""

    # (S, K, K) pixels by (truth, prediction) of every stroke, in the same order for the same paint
    confusions: NDArray[np.int64]
    loss: float  # weighted cross-entropy of all of it; not finite where the network computes nonsense

    @property
    def score(self) -> float:
        """The mean intersection over union of the classes but background; see :func:`mean_iou`."""
        return float(mean_iou(self.confusions.sum(axis=0)))

    @property
    def is_finite(self) -> bool:
        """Whether the network computes numbers at all."""
        return math.isfinite(self.loss)

    def interval(self, seed: int) -> tuple[float, float]:
        """Return how far the score can be trusted; see :func:`score_interval`."""
        return score_interval(self.confusions, seed=seed)


def mean_iou(confusion: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return the mean intersection over union of all classes but the first.

    Parameters
    ----------
    confusion : array (..., K, K)
        Counts, or sums of weights, of pixels by (truth, prediction).

    Returns
    -------
    array (...) float64
        In [0, 1]. Classes with neither truth nor prediction do not count, and it is 1 if there are no others.
    """
    counts = np.asarray(confusion, np.float64)
    hits = np.diagonal(counts, axis1=-2, axis2=-1)[..., 1:]
    unions = (counts.sum(axis=-2) + counts.sum(axis=-1))[..., 1:] - hits
    present = unions > 0
    ratios = np.divide(hits, unions, out=np.zeros_like(hits), where=present)
    classes = present.sum(axis=-1)
    means = np.divide(ratios.sum(axis=-1), classes, out=np.ones(classes.shape), where=classes > 0)
    clipped: NDArray[np.float64] = np.minimum(means, 1.0)  # weighted sums may be a rounding error above
    return clipped


def score_interval(confusions: NDArray[np.integer], *, seed: int) -> tuple[float, float]:
    """Return the range in which the score would be with any number of strokes like these.

    A Bayesian bootstrap (Rubin 1981) over the strokes of each class. By itself, it would put five strokes
    that are all right at exactly 1, and hold the true score in half of all cases instead of 9 in 10. So half
    a stroke that is all wrong is added to every class for the lower end, and half a one that is all right for
    the upper end, as large as the mean of its class. For strokes that are either right or wrong, this is
    close to the interval of Jeffreys (Brown, Cai & DasGupta 2001).

    Parameters
    ----------
    confusions : array (S, K, K) int
        Pixels by (truth, prediction), for every stroke. A stroke belongs to the class of most of its pixels.
    seed : int
        Seeds the draws; the same seed and counts give the same interval.

    Returns
    -------
    low, high : float
        0 <= low <= score <= high <= 1. (0, 1), nothing is known, where there are not two classes with
        strokes, or one of them has a single stroke.
    """
    counts = np.asarray(confusions, np.float64)
    groups = list(_strokes_of_classes(counts))
    if len(groups) < 2 or min(len(strokes) for _, strokes in groups) < 2:
        return 0.0, 1.0
    classes = counts.shape[-1]
    score = float(mean_iou(counts.sum(axis=0)))
    worst, best = np.zeros((2, _DRAWS, classes, classes))
    all_shares = _draw_shares(seed, tuple(len(strokes) for _, strokes in groups), _DRAWS)
    for (value, strokes), shares in zip(groups, all_shares, strict=True):
        drawn = np.tensordot(shares[:, :-1], strokes, axes=1)
        extra = shares[:, -1, None] * (strokes.sum() / len(strokes))
        right = np.eye(classes)[value]
        wrong = (1 - right) / (classes - 1)  # as all others alike
        worst += drawn
        worst[:, value] += extra * wrong
        best += drawn
        best[:, value] += extra * right
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(mean_iou(worst), tail), np.quantile(mean_iou(best), 1 - tail)
    return min(float(low), score), max(float(high), score)


@lru_cache(maxsize=1)  # drawing them takes as long as everything else
def _draw_shares(seed: int, numbers: tuple[int, ...], draws: int) -> list[NDArray[np.float64]]:
    """Return how often each stroke of each class counts, and last the invented one, (draws, S + 1)."""
    rng = np.random.default_rng(seed)
    result = []
    for number in numbers:
        shares = rng.standard_exponential((draws, number + 1))
        shares[:, -1] = rng.standard_gamma(_EXTRA, draws)
        shares *= number / shares.sum(axis=1, keepdims=True)
        result.append(shares)
    return result


def _strokes_of_classes(counts: NDArray[np.float64]) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield every class that has strokes, and those of ``counts`` (S, K, K) that are theirs."""
    truths = counts.sum(axis=-1)
    painted = truths.sum(axis=-1) > 0
    for value in range(counts.shape[-1]):
        chosen = painted & (truths.argmax(axis=-1) == value)
        if chosen.any():
            yield value, counts[chosen]

"""Where a network wavers between classes, and where it is unclear whether touching objects part."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.instances import InstanceConfig, Landscape

_EAGER = 2.0
"""A seam is unclear if it is seen with so many times less contrast, but not with so many times more."""

_WIDE = 2
"""Pixels to either side of a seam that count as it."""


def uncertainty(foreground: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Return how much (…YX) the two most probable classes rival each other: 0 if one is certain, 1 in a draw.

    Parameters
    ----------
    foreground : array (K - 1, …YX)
        Probability of every class but the background.
    """
    best = np.clip(1 - foreground.sum(axis=0, dtype=np.float32), 0, 1)
    second = np.zeros_like(best)
    for probability in foreground:
        np.maximum(second, np.minimum(best, probability), out=second)
        np.maximum(best, probability, out=best)
    result: NDArray[np.float32] = 1 - (best - second)
    return np.nan_to_num(result, copy=False)


def without_lines(uncertain: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return uncertainty (…YX) less its lines of one or two pixels.

    These are the outlines of objects, which are never quite certain. This is a grey opening with a cube of
    three pixels.
    """
    for fold in (np.minimum, np.maximum):
        for axis in range(uncertain.ndim):
            uncertain = _with_neighbours(uncertain, fold, axis)
    return uncertain


def unclear_seams(probability: NDArray[np.floating[Any]], reading: InstanceConfig) -> NDArray[np.bool_]:
    """Return where touching objects may part or not, which the probability of foreground itself cannot show.

    Merged objects are foreground with certainty, gap and all. But a slightly more eager reading splits them:
    what depends on that is unclear.

    Parameters
    ----------
    probability : array (spatial...)
        Of foreground.
    reading : InstanceConfig
        How objects are read from it.
    """
    landscape = Landscape.of(probability, reading)
    eager = landscape.objects(replace(reading, contrast=reading.contrast / _EAGER))
    careful = landscape.objects(replace(reading, contrast=reading.contrast * _EAGER))
    seams = np.zeros(eager.shape, bool)
    for axis in range(eager.ndim):
        one: tuple[slice, ...] = (slice(None),) * axis + (slice(1, None),)
        other: tuple[slice, ...] = (slice(None),) * axis + (slice(None, -1),)
        split = (eager[one] != eager[other]) & (eager[one] > 0) & (eager[other] > 0)
        seams[one] |= split & (careful[one] == careful[other])
    for _ in range(_WIDE if seams.any() else 0):
        along = (_with_neighbours(seams, np.maximum, axis) for axis in range(seams.ndim))
        seams = np.logical_or.reduce(list(along))
    return seams


def _with_neighbours(values: NDArray[Any], fold: np.ufunc, axis: int) -> NDArray[Any]:
    """Return the minimum or maximum of every pixel and its two neighbours along one axis.

    Many times faster than the filters of scipy.
    """
    result = values.copy()
    before, behind = ((slice(None),) * axis + (part,) for part in (slice(None, -1), slice(1, None)))
    fold(result[behind], values[before], out=result[behind])
    fold(result[before], values[behind], out=result[before])
    return result

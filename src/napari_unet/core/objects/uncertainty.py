"""Where a network wavers between classes, and where it is unclear whether touching objects part."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

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
    grown: NDArray[np.bool_] = ndimage.binary_dilation(seams, iterations=_WIDE) if seams.any() else seams
    return grown

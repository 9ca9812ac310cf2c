"""Where a network wavers, and whether it is a seam between two objects that it cannot see."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_CERTAIN, _POSSIBLE = 0.8, 0.3
"""Two cores of objects above the one that are joined above the other touch, and their seam is unclear."""

_CORE = 0.03
"""Share of the window that such a core covers at least."""


def uncertainty(foreground: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Return how much the two most probable classes rival each other: 0 where one is certain, 1 in a draw.

    Parameters
    ----------
    foreground : array (K - 1, …YX)
        Probability of every class but the background.

    Returns
    -------
    array (…YX) float32
    """
    best = np.clip(1 - foreground.sum(axis=0, dtype=np.float32), 0, 1)
    second = np.zeros_like(best)
    for probability in foreground:
        np.maximum(second, np.minimum(best, probability), out=second)
        np.maximum(best, probability, out=best)
    result: NDArray[np.float32] = 1 - (best - second)
    return np.nan_to_num(result, copy=False)


def has_unclear_seam(foreground: NDArray[np.floating[Any]]) -> bool:
    """Return whether two objects are joined in a window (K - 1, spatial...) of the foreground."""
    for probability in foreground:
        joined, _ = ndimage.label(probability > _POSSIBLE)
        cores, count = ndimage.label(probability > _CERTAIN)
        sizes = np.bincount(cores.ravel(), minlength=count + 1)
        large = np.flatnonzero(sizes[1:] >= _CORE * cores.size) + 1
        if large.size < 2:
            continue
        wholes = ndimage.maximum(joined, cores, large)
        if np.unique(wholes).size < len(wholes):
            return True
    return False

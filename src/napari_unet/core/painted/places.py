"""Separate places that are painted with one number: most likely several objects, of which nobody said so."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_SPECK = 0.25
"""Part of the pixels of the largest place of an object, below which one is a speck beside it."""


def separate_places(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Return the connected parts (full connectivity) of the mask of an object, each a mask of that shape.

    Specks, of less than a quarter of the pixels of the largest part, are left out.
    """
    parts, count = ndimage.label(mask, np.ones((3,) * mask.ndim))
    if count == 1:
        return [mask]
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    return [parts == 1 + place for place in np.flatnonzero(sizes >= _SPECK * sizes.max(initial=0))]

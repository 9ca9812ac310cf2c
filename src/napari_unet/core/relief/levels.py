"""The landscape that is flooded: heights as 16-bit whole numbers, in a frame."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

OUTSIDE = -(2**15)
"""Level of the frame around an image."""

GROUND = OUTSIDE + 1
"""Level of pixels that are not flooded, lower than all that are."""

_STEPS = 64
"""Levels that one unit of height is divided into: finer than bfloat16 tells log-odds apart."""

_HIGHEST = 500.0
"""Heights are counted in 16 bits, from -500 to 500 in 1/64."""


def framed(shape: Sequence[int]) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Return an array for a landscape in a frame, so that every pixel has all its neighbours, and its inside.

    The inside is not initialised; levels from :func:`to_levels` go there.
    """
    level = np.empty([size + 2 for size in shape], np.int16)
    for axis in range(level.ndim):
        across = np.moveaxis(level, axis, 0)
        across[0] = across[-1] = OUTSIDE
    return level, level[(slice(1, -1),) * len(shape)]


def to_levels(height: NDArray[np.floating], mask: NDArray[np.bool_]) -> NDArray[np.int16]:
    """Return a landscape, or a part of it, in levels.

    Parameters
    ----------
    height : array (spatial...) float
        In [-500, 500]; it counts in steps of 1/64. Of equal heights the first in raster order counts as the
        higher.
    mask : array (spatial...) bool
        Pixels to flood; all others are ground. Hills are connected through faces, and so are parts of the
        ground; parts of the mask that are not connected know nothing of each other.
    """
    steps = np.clip(height, -_HIGHEST, _HIGHEST)
    steps *= _STEPS
    level: NDArray[np.int16] = np.rint(steps, out=steps).astype(np.int16)
    # Ground outside the mask; choosing by the mask would take twice as long. What overflows comes back.
    level -= np.int16(GROUND)
    level *= mask
    level += np.int16(GROUND)
    return level


def difference_in_levels(height: float) -> int:
    """Return a difference of heights in levels, limited to more than any two heights differ by."""
    return round(min(height, 3 * _HIGHEST) * _STEPS)

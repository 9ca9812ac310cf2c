"""How deep the pixels of a mask lie in it: the exact distance to the nearest background.

The squared distance is a sum over the axes, so it is minimised one axis after the other (Felzenszwalb &
Huttenlocher, Theory of Computing 2012). Where objects are shallow, as in most images, it is fastest to
compare each pixel with its neighbours along the axis, many pixels with one instruction, until all others are
farther away: 4096² pixels of touching nuclei take 0.07 s of one core, and 0.52 s with `edt`, which does the
rest.
"""

import os
from functools import partial
from math import prod
from typing import Any

import numpy as np
from edt import edtsq
from numpy.typing import NDArray

from napari_unet.core.arrays.blocks import MAX_THREADS, in_parts


def squared_depth(mask: NDArray[np.bool_]) -> NDArray[Any]:
    """Return the squared distance of every pixel of the mask to the nearest background, 0 outside.

    Parameters
    ----------
    mask : array (spatial...) bool
        The edge of the image is no border. Where there is no background, all pixels are 1 deep.

    Returns
    -------
    array (spatial...) uint16 or float32
        float32 where a pixel is deeper than 180.
    """
    from napari_unet.core.relief.depth_kernel import REACH, spread, sweep

    if mask.all():
        return mask.astype(np.uint16)
    shape = mask.shape
    squared = np.empty(shape, np.uint16)
    rows = len(mask), -1
    in_parts(
        partial(sweep, np.ascontiguousarray(mask).reshape(rows), squared.reshape(rows)),
        0, prod(shape[1:]), mask.size,
    )  # fmt: skip
    for axis in range(1, mask.ndim):
        lines = squared.reshape(prod(shape[:axis]), -1)
        in_parts(partial(spread, lines, prod(shape[axis + 1 :])), 0, len(lines), mask.size)
    if squared.max() <= REACH**2:
        return squared
    deep: NDArray[np.float32] = edtsq(mask, parallel=min(MAX_THREADS, os.cpu_count() or 1))
    return deep

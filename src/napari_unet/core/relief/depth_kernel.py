"""The compiled inner loops of :mod:`napari_unet.core.relief.depth`; importing this module imports numba.

They have no branches inside, so that the compiler makes one instruction of 16 or 32 pixels.
"""

from typing import Any

import numpy as np

from napari_unet.core.arrays.compiling import compiled

REACH = 180
"""Depth in pixels that is found: twice its square fits 16 bits."""

_FAR = np.uint16(2**15 - 1)
"""Squared depth beyond that."""

_RUN = 256
_STRIDE = 4


@compiled()
def sweep(mask: Any, squared: Any, start: Any, stop: Any) -> None:
    """Write the squared distances along the first axis: one sweep down, one up.

    ``mask`` (n, m) is bool, ``squared`` (n, m) uint16; columns ``start`` to ``stop`` are written.
    """
    beyond = np.uint16(REACH + 1)
    for left in range(start, stop, _RUN):
        right = min(left + _RUN, stop)
        distance = np.full(right - left, beyond, np.uint16)
        for y in range(len(mask)):
            here, out = mask[y, left:right], squared[y, left:right]
            for x in range(here.size):
                distance[x] = min(distance[x] + here[x], beyond) * here[x]
                out[x] = distance[x]
        distance[:] = beyond
        for y in range(len(mask) - 1, -1, -1):
            out = squared[y, left:right]
            for x in range(out.size):
                distance[x] = min(distance[x] + 1, beyond, out[x])
                out[x] = min(distance[x] * distance[x], _FAR)


@compiled()
def spread(squared: Any, stride: Any, start: Any, stop: Any) -> None:
    """Lower each squared distance to that of a pixel along another axis, and the way there, if that is less.

    ``squared`` (lines, n) uint16 is written to, lines ``start`` to ``stop``; neighbours along the axis are
    ``stride`` apart in them.
    """
    margin = REACH * stride
    padded = np.full(squared.shape[1] + 2 * margin, _FAR)
    for line in range(start, stop):
        lowest = squared[line]
        for x in range(lowest.size):
            padded[margin + x] = lowest[x]
        for left in range(0, lowest.size, _RUN):
            low = lowest[left : left + _RUN]
            for distance in range(1, REACH + 1):
                step = np.uint16(distance * distance)
                if distance % _STRIDE == 1:
                    highest = np.uint16(0)
                    for x in range(low.size):
                        highest = max(highest, low[x])
                    if highest <= step:  # all others are farther
                        break
                at, way = margin + left, distance * stride
                before, behind = padded[at - way :][: low.size], padded[at + way :][: low.size]
                for x in range(low.size):
                    low[x] = min(low[x], np.uint16(min(before[x], behind[x]) + step))

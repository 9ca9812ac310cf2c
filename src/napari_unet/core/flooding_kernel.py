"""The compiled inner loop of :mod:`napari_unet.core.flooding`; importing this module imports numba."""

from typing import Any

import numpy as np

from napari_unet.core.compiling import compiled


@compiled(inline="always")
def _root(parent: Any, pixel: Any) -> Any:
    """Return the first pixel of the basin that ``pixel`` belongs to, and shorten the way there."""
    while parent[pixel] != pixel:
        parent[pixel] = parent[parent[pixel]]
        pixel = parent[pixel]
    return pixel


@compiled()
def flood(order: Any, height: Any, steps: Any, contrast: Any, min_area: Any) -> Any:
    """Return for every pixel the first pixel (summit) of its basin, -1 outside.

    Parameters
    ----------
    order : array (N,) int
        Flat indices of the pixels to flood, the highest first. None of them lies at the edge of the array.
    height : array (P,) int32
        Height of every pixel of the flattened array.
    steps : array (2 * ndim,) int
        What to add to a flat index to come to each neighbour.
    contrast, min_area : int
        See :func:`napari_unet.core.flooding.find_basins`.
    """
    parent = np.full(height.size, -1, np.int32)
    area = np.zeros(height.size, np.int32)
    for pixel in order:
        level = height[pixel]
        highest = -1
        for step in steps:
            near = pixel + step
            if parent[near] >= 0 and (highest < 0 or height[near] > height[highest]):
                highest = near
        if highest < 0:
            parent[pixel], area[pixel] = pixel, 1
            continue
        mine = _root(parent, highest)
        parent[pixel] = mine
        area[mine] += 1
        for step in steps:
            near = pixel + step
            if parent[near] < 0:
                continue
            other = _root(parent, near)
            if other == mine:
                continue
            low, high = (mine, other) if height[mine] < height[other] else (other, mine)
            if height[low] - level < contrast or area[low] < min_area:
                parent[low] = high
                area[high] += area[low]
                mine = high
    for pixel in order:
        parent[pixel] = _root(parent, pixel)
    return parent

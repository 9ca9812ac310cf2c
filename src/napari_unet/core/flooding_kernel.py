"""The compiled inner loops of :mod:`napari_unet.core.flooding`; importing this module imports numba.

Images are flattened and framed by ``OUTSIDE``, so that every pixel inside has all its neighbours; ``steps``
(2 * ndim,) is what to add to a flat index to come to each.
"""

from typing import Any

import numpy as np

from napari_unet.core.compiling import compiled

OUTSIDE = -(2**15)
"""Level of pixels that are not flooded, lower than all others."""

_LEVELS = 2**16
_REMEMBERED = 2**12


@compiled(inline="always")
def _root(parent: Any, node: Any) -> Any:
    """Return the first of the set that ``node`` belongs to, and shorten the way there."""
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@compiled()
def climb(level: Any, steps: Any) -> Any:
    """Return for every pixel which summit is found uphill, 1..C in raster order, and 0 outside.

    The way leads to the highest of the neighbours that are flooded earlier: those that are higher, or as high
    and earlier in raster order. ``level`` (P,) is int16.
    """
    uphill = np.zeros(level.size, np.int32)  # a pixel, or when negative a summit
    count = 0
    for pixel in range(level.size):
        here = level[pixel]
        if here == OUTSIDE:
            continue
        highest = 0
        for step in steps:
            near = pixel + step
            there = level[near]
            if (there > here or (there == here and near < pixel)) and (
                highest == 0 or there > level[highest]
            ):
                highest = near
        if highest == 0:
            count += 1
            uphill[pixel] = -count
        else:
            uphill[pixel] = highest
    for start in range(level.size):
        pixel = start
        while uphill[pixel] > 0:
            pixel = uphill[pixel]
        summit = uphill[pixel]
        pixel = start
        while uphill[pixel] > 0:
            uphill[pixel], pixel = summit, uphill[pixel]
    for pixel in range(level.size):
        uphill[pixel] = -uphill[pixel]
    return uphill, count


@compiled()
def sort_pixels(level: Any, hills: Any, count: Any, steps: Any) -> Any:
    """Return what is met when the water falls: everything by which basins grow and touch.

    Returns
    -------
    summits : array (count + 1,) int32
        Level of each summit.
    order : array (N,) int32
        Hill of every pixel, the highest first; of equal ones the first in raster order.
    saddles : array (M,) int32
        Places in ``order`` of pixels that have flooded neighbours of other hills.
    heights : array (M,) int32
        Their levels.
    near : array (M, 2 * ndim) int32
        The hills of these neighbours, in the order of ``steps``; 0 for all others.
    """
    summits = np.full(count + 1, OUTSIDE, np.int32)
    begin = np.zeros(_LEVELS + 1, np.int64)
    begin_saddle = np.zeros(_LEVELS + 1, np.int64)
    candidates = np.empty(level.size, np.int32)
    n_saddles = 0
    for pixel in range(level.size):
        here = level[pixel]
        if here == OUTSIDE:
            continue
        hill = hills[pixel]
        summits[hill] = max(summits[hill], here)
        begin[-here + 2**15] += 1
        for step in steps:
            near = pixel + step
            if hills[near] != hill and (level[near] > here or (level[near] == here and near < pixel)):
                candidates[n_saddles] = pixel
                n_saddles += 1
                begin_saddle[-here + 2**15] += 1
                break
    # From how many there are to where they begin.
    n_pixels = total = 0
    for place in range(_LEVELS + 1):
        begin[place], n_pixels = n_pixels, n_pixels + begin[place]
        begin_saddle[place], total = total, total + begin_saddle[place]
    order = np.empty(n_pixels, np.int32)
    saddles = np.empty(n_saddles, np.int32)
    heights = np.empty(n_saddles, np.int32)
    others = np.zeros((n_saddles, steps.size), np.int32)
    candidate = 0
    for pixel in range(level.size):
        here = level[pixel]
        if here == OUTSIDE:
            continue
        hill = hills[pixel]
        place = begin[-here + 2**15]
        begin[-here + 2**15] += 1
        order[place] = hill
        if candidate == n_saddles or candidates[candidate] != pixel:
            continue
        candidate += 1
        row = begin_saddle[-here + 2**15]
        begin_saddle[-here + 2**15] += 1
        saddles[row], heights[row] = place, here
        for side in range(steps.size):
            near = pixel + steps[side]
            if hills[near] != hill and (level[near] > here or (level[near] == here and near < pixel)):
                others[row, side] = hills[near]
    return summits, order, saddles, heights, others


@compiled()
def flood(  # noqa: PLR0917 - arrays of one Relief, in its order; numba takes no keywords here
    summits: Any, order: Any, saddles: Any, heights: Any, near: Any, contrast: Any, min_area: Any
) -> Any:
    """Return for every hill 0..C the hill of its basin, and how many pixels that has, 0 for other hills.

    The arrays are those of :func:`sort_pixels`; ``contrast`` and ``min_area`` are integers, see
    :meth:`napari_unet.core.flooding.Relief.basins`.
    """
    parent = np.arange(summits.size).astype(np.int32)
    area = np.zeros(summits.size, np.int32)
    flooded = 0
    for row in range(saddles.size):
        while flooded <= saddles[row]:
            area[_root(parent, order[flooded])] += 1
            flooded += 1
        mine = _root(parent, order[saddles[row]])
        for hill in near[row]:
            if hill == 0:
                continue
            other = _root(parent, hill)
            if other == mine:
                continue
            low, high = (mine, other) if summits[mine] < summits[other] else (other, mine)
            if summits[low] - heights[row] < contrast or area[low] < min_area:
                parent[low] = high
                area[high] += area[low]
                area[low] = 0
                mine = high
    for hill in order[flooded:]:
        area[_root(parent, hill)] += 1
    for hill in range(parent.size):
        parent[hill] = _root(parent, hill)
    return parent, area


@compiled()
def find_rims(regions: Any, strides: Any) -> Any:
    """Return which regions touch: pairs (2,) of different numbers but 0, each at least once."""
    # Most pairs touch at many pixels: what was seen lately is not noted again.
    seen = np.zeros((_REMEMBERED, 2), np.int32)
    pairs = np.empty((_REMEMBERED, 2), np.int32)
    count = 0
    for pixel in range(regions.size):
        one = regions[pixel]
        if one == 0:
            continue
        for stride in strides:
            other = regions[pixel + stride]
            low, high = min(one, other), max(one, other)
            if not 0 < low < high:
                continue
            slot = (low * 31 + high) % _REMEMBERED
            if seen[slot, 0] == low and seen[slot, 1] == high:
                continue
            seen[slot, 0], seen[slot, 1] = low, high
            if count == len(pairs):
                longer = np.empty((2 * count, 2), np.int32)
                longer[:count] = pairs
                pairs = longer
            pairs[count, 0], pairs[count, 1] = low, high
            count += 1
    return pairs[:count].copy()


@compiled()
def first_pixels(regions: Any, count: Any) -> Any:
    """Return the index of the first pixel of each region 0..count - 1; of absent ones, the size."""
    first = np.full(count, regions.size, np.int32)
    for pixel in range(regions.size - 1, -1, -1):
        first[regions[pixel]] = pixel
    return first


@compiled()
def fill_regions(labels: Any, at_edge: Any, rims: Any) -> None:
    """Give holes the label of the object around them; see :meth:`napari_unet.core.flooding.Relief.fill`."""
    parent = np.arange(labels.size).astype(np.int32)
    for row in range(len(rims)):
        one, other = rims[row, 0], rims[row, 1]
        if labels[one] == 0 and labels[other] == 0:
            parent[_root(parent, one)] = _root(parent, other)
    lowest = np.full(labels.size, 2**31 - 1, np.int32)
    highest = np.zeros(labels.size, np.int32)
    for row in range(len(rims)):
        one, other = rims[row, 0], rims[row, 1]
        if (labels[one] == 0) == (labels[other] == 0):
            continue
        hole = _root(parent, one if labels[one] == 0 else other)
        label = max(labels[one], labels[other])
        lowest[hole] = min(lowest[hole], label)
        highest[hole] = max(highest[hole], label)
    for region in range(1, labels.size):
        if at_edge[region]:
            lowest[_root(parent, region)] = 0
    for region in range(1, labels.size):
        hole = _root(parent, region)
        if labels[region] == 0 and lowest[hole] == highest[hole]:
            labels[region] = lowest[hole]

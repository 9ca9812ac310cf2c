"""The compiled inner loops of :mod:`napari_unet.core.flooding`; importing this module imports numba.

Images are flattened and framed by ``OUTSIDE``, so that every pixel inside has all its neighbours; ``steps``
(2 * ndim,) is what to add to a flat index to come to each. Pixels ``start`` to ``stop`` are a part of an
image; all parts are worked on at once.
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
def find_uphill(level: Any, steps: Any, uphill: Any, start: Any, stop: Any) -> Any:
    """Write for the pixels of a part which neighbour is uphill, of a summit itself; return the summits.

    Uphill is the highest of the neighbours that are flooded earlier: those that are higher, or as high and
    earlier in raster order. ``level`` (P,) is int16, ``uphill`` (P,) int32 and 0 for pixels outside.
    """
    summits = np.empty(stop - start, np.int32)
    count = 0
    for pixel in range(start, stop):
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
            summits[count] = highest = pixel
            count += 1
        uphill[pixel] = highest
    return summits[:count].copy()


@compiled()
def climb(uphill: Any, hills: Any, start: Any, stop: Any) -> None:
    """Write for the pixels of a part which hill they are on; of all parts ``hills`` has that of the summits.

    Of other parts only the summits are read, so that all parts may be climbed at once.
    """
    for first in range(start, stop):
        pixel = first
        while uphill[pixel] != pixel and not (start <= pixel < stop and hills[pixel]):
            pixel = uphill[pixel]
        hill = hills[pixel]
        pixel = first
        while start <= pixel < stop and hills[pixel] != hill:
            hills[pixel] = hill
            pixel = uphill[pixel]


@compiled()
def count_pixels(level: Any, hills: Any, steps: Any, start: Any, stop: Any) -> Any:
    """Return what is found in a part: pixels and saddles of each level, the highest first, and the saddles.

    Saddles are pixels that have flooded neighbours of other hills.
    """
    pixels = np.zeros(_LEVELS, np.int64)
    saddles = np.zeros(_LEVELS, np.int64)
    found = np.empty(stop - start, np.int32)
    count = 0
    for pixel in range(start, stop):
        here = level[pixel]
        if here == OUTSIDE:
            continue
        pixels[-here + 2**15 - 1] += 1
        for step in steps:
            near = pixel + step
            if hills[near] != hills[pixel] and (level[near] > here or (level[near] == here and near < pixel)):
                found[count] = pixel
                count += 1
                saddles[-here + 2**15 - 1] += 1
                break
    return pixels, saddles, found[:count].copy()


@compiled()
def sort_pixels(  # noqa: PLR0917 - numba takes no keywords here
    level: Any,
    hills: Any,
    steps: Any,
    found: Any,
    begin: Any,
    begin_saddle: Any,
    met: Any,
    start: Any,
    stop: Any,
) -> None:
    """Write what is met in a part when the water falls: everything by which basins grow and touch.

    Parameters
    ----------
    found : array int32
        Saddles of the part, from :func:`count_pixels`.
    begin, begin_saddle : array (levels,) int64
        Where pixels and saddles of each level begin for this part; changed.
    met : tuple
        What is written to: ``order`` (N,) int32, the hill of every pixel, the highest first, of equal ones
        the first in raster order; ``saddles`` (M,) int32, places in ``order`` of the saddles; ``heights``
        (M,) int32, their levels; ``near`` (M, 2 * ndim) int32, the hills of their flooded neighbours, in the
        order of ``steps``, 0 for all others.
    """
    order, saddles, heights, others = met
    candidate = 0
    for pixel in range(start, stop):
        here = level[pixel]
        if here == OUTSIDE:
            continue
        hill = hills[pixel]
        place = begin[-here + 2**15 - 1]
        begin[-here + 2**15 - 1] += 1
        order[place] = hill
        if candidate == found.size or found[candidate] != pixel:
            continue
        candidate += 1
        row = begin_saddle[-here + 2**15 - 1]
        begin_saddle[-here + 2**15 - 1] += 1
        saddles[row], heights[row] = place, here
        for side in range(steps.size):
            near = pixel + steps[side]
            if hills[near] != hill and (level[near] > here or (level[near] == here and near < pixel)):
                others[row, side] = hills[near]


@compiled()
def flood(  # noqa: PLR0917 - arrays of one Relief, in its order; numba takes no keywords here
    summits: Any, order: Any, saddles: Any, heights: Any, near: Any, contrast: Any, min_area: Any
) -> Any:
    """Return for every hill 0..C the hill of its basin, and how many pixels that has, 0 for other hills.

    The arrays are those of a Relief; ``contrast`` and ``min_area`` are integers, see
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
def find_rims(regions: Any, strides: Any, start: Any, stop: Any) -> Any:
    """Return which regions touch in a part: pairs (2,) of different numbers but 0, each at least once."""
    # Most pairs touch at many pixels: what was seen lately is not noted again.
    seen = np.zeros((_REMEMBERED, 2), np.int32)
    pairs = np.empty((_REMEMBERED, 2), np.int32)
    count = 0
    for pixel in range(start, stop):
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

"""The compiled inner loops of :mod:`napari_unet.core.relief.flooding`; importing this module imports numba.

Images are flattened and framed by ``OUTSIDE``, so that every pixel inside has all its neighbours; ``steps``
(2 * ndim,) is what to add to a flat index to come to each, first those ahead, then those behind. Pixels
``start`` to ``stop`` are a part of an image; all parts are worked on at once.
"""

from typing import Any

import numpy as np

from napari_unet.core.arrays.compiling import compiled
from napari_unet.core.relief.levels import GROUND, OUTSIDE

NEVER = 2**62
"""When regions meet if one of them is ground: after all others."""

_RUN = 2**12
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
    """Write for the pixels of a part which neighbour is uphill, and return the summits.

    Uphill is the highest of the neighbours that are flooded earlier: those that are higher, or as high and
    earlier in raster order. From the ground it is never a hill. ``level`` (P,) is int16; ``uphill`` (P,) int8
    becomes 1 + its place in ``steps``, 0 for a summit, and any number in the frame.
    """
    summits = np.empty(stop - start, np.int32)
    count = 0
    highest = np.empty(_RUN, np.int16)
    # Run by run, so that the compiler does many pixels with one instruction.
    for begin in range(start, stop, _RUN):
        here = level[begin : min(begin + _RUN, stop)]
        way = uphill[begin : begin + here.size]
        for pixel in range(here.size):
            highest[pixel] = here[pixel]
        for side in range(steps.size):
            there = level[begin + steps[side] : begin + steps[side] + here.size]
            behind = steps[side] < 0
            for pixel in range(here.size):
                rises = (there[pixel] > highest[pixel]) & (here[pixel] > GROUND)
                rises |= behind & (there[pixel] == here[pixel]) & (way[pixel] == 0)
                highest[pixel] = there[pixel] if rises else highest[pixel]
                way[pixel] = side + 1 if rises else way[pixel]
        for pixel in range(here.size):
            if way[pixel] == 0 and here[pixel] != OUTSIDE:
                summits[count] = begin + pixel
                count += 1
    return summits[:count].copy()


@compiled()
def climb(  # noqa: PLR0917 - numba takes no keywords here
    level: Any, steps: Any, uphill: Any, regions: Any, count: Any, start: Any, stop: Any
) -> Any:
    """Write for the pixels of a part which region they are in; ``regions`` has that of all summits.

    Of other parts only the summits are read, so that all parts may be climbed at once. Returns the first of
    the pixels written of each region 0..count - 1, 2**31 - 1 where there are none.
    """
    firsts = np.full(count, 2**31 - 1, np.int32)
    path = np.empty(_RUN, np.int32)
    for first in range(start, stop):
        region = regions[first]
        if region or level[first] == OUTSIDE:
            continue
        pixel, length = first, 0
        while region == 0:
            if length < path.size and start <= pixel < stop:  # of a longer path the rest is climbed again
                path[length] = pixel
                length += 1
            pixel += steps[uphill[pixel] - 1]
            if start <= pixel < stop or uphill[pixel] == 0:
                region = regions[pixel]
        for place in path[:length]:
            regions[place] = region
        firsts[region] = min(first, firsts[region])
    return firsts


@compiled()
def add_up_excess(regions: Any, values: Any, threshold: Any, scale: Any, sums: Any) -> None:
    """Add to ``sums`` (R + 1,) of each region of a plane (Y, X) by how much values are above the threshold.

    That counts times ``scale``, to the nearest integer, but 1 at least.
    """
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            excess = values[row, column] - threshold
            if excess > 0:
                sums[regions[row, column]] += max(1, int(excess * scale + 0.5))


@compiled()
def find_rims(level: Any, regions: Any, steps: Any, start: Any, stop: Any) -> Any:
    """Return which regions touch in a part, and when they meet as the water falls.

    Returns
    -------
    rims : array (N,) int64
        Pairs of different regions but 0, each at least once, and once with the moment when they meet first:
        two int32 in one number, which is compared and moved in less time.
    meetings : array (N,) int64
        Sorted, these are the pairs of hills in the order in which they meet: by the later of the two pixels
        that touch, and of one pixel by the side where it does. NEVER for ground.
    """
    # Most pairs touch at many pixels: the first moment is kept until another pair needs the place.
    kept = np.zeros(_REMEMBERED, np.int64)
    kept_meetings = np.full(_REMEMBERED, NEVER)
    rims = np.empty(_REMEMBERED, np.int64)
    meetings = np.empty(_REMEMBERED, np.int64)
    count = 0
    axes = steps.size // 2
    places = np.empty(_RUN, np.int32)
    for begin in range(start, stop, _RUN):
        here = regions[begin : min(begin + _RUN, stop)]
        for axis in range(axes):
            # First where, without a branch that the processor would have to guess.
            there = regions[begin + steps[axis] : begin + steps[axis] + here.size]
            found = 0
            for place in range(here.size):
                places[found] = begin + place
                found += (here[place] != there[place]) & (here[place] != 0) & (there[place] != 0)
            for pixel in places[:found]:
                near = pixel + steps[axis]
                is_later = level[near] <= level[pixel]
                later, side = (near, axis + axes) if is_later else (pixel, axis)
                meeting: Any = NEVER
                if level[later] > GROUND:
                    meeting = ((-np.int64(level[later]) + 2**15) << 40) + (later << 4) + side
                low, high = min(regions[pixel], regions[near]), max(regions[pixel], regions[near])
                pair = (np.int64(high) << 32) + low
                slot = (low * 31 + high) % _REMEMBERED
                if kept[slot] == pair:
                    kept_meetings[slot] = min(kept_meetings[slot], meeting)
                    continue
                if count == len(rims):
                    rims, meetings = _longer(rims), _longer(meetings)
                rims[count], meetings[count] = kept[slot], kept_meetings[slot]
                count += kept[slot] > 0
                kept[slot], kept_meetings[slot] = pair, meeting
    at = np.flatnonzero(kept)
    return np.concatenate((rims[:count], kept[at])), np.concatenate((meetings[:count], kept_meetings[at]))


@compiled()
def _longer(array: Any) -> Any:
    longer = np.empty(2 * array.size, array.dtype)
    for place in range(array.size):
        longer[place] = array[place]
    return longer


@compiled()
def flood(  # noqa: PLR0917 - arrays of one Relief; numba takes no keywords here
    level: Any,
    uphill: Any,
    steps: Any,
    summits: Any,
    rims: Any,
    meetings: Any,
    contrast: Any,
    min_area: Any,
) -> Any:
    """Return for every region 0..R the hill of its basin.

    The arrays are those of a Relief; ``contrast`` and ``min_area`` are integers, see
    :meth:`napari_unet.core.relief.flooding.Relief.basins`.
    """
    parent = np.arange(summits.size).astype(np.int32)
    is_large = np.zeros(summits.size, np.bool_)
    following = np.zeros(summits.size, np.int32)  # the hills of a basin, each with the next
    last = parent.copy()
    for row in range(meetings.size):
        low, high = _root(parent, rims[row, 0]), _root(parent, rims[row, 1])
        if low == high:
            continue
        fall = level[summits[low]] - level[summits[high]]
        if fall > 0 or (fall == 0 and low < high):
            low, high = high, low
        saddle = (meetings[row] >> 4) & (2**36 - 1)
        stands_out = level[summits[low]] - level[saddle] >= contrast
        for hill in (low, high):
            if stands_out and (hill == low or fall == 0):
                stands_out = is_large[hill] = is_large[hill] or _is_large(
                    level, uphill, steps, summits, following, hill, saddle, min_area
                )
        if stands_out:
            continue
        is_large[high] = is_large[high] or is_large[low]
        parent[low] = high
        following[last[high]] = low
        last[high] = last[low]
    for region in range(parent.size):
        parent[region] = _root(parent, region)
    return parent


@compiled()
def _is_large(  # noqa: PLR0917 - numba takes no keywords here
    level: Any, uphill: Any, steps: Any, summits: Any, following: Any, hill: Any, saddle: Any, min_area: Any
) -> Any:
    """Return whether a basin has ``min_area`` pixels when the water has fallen to ``saddle``.

    ``hill`` is its first. Pixels are looked at from the summits down, and no more than needed.
    """
    height = level[saddle]
    above = [summits[hill]]
    count = 1
    while count < min_area:
        if len(above) == 0:
            hill = following[hill]
            if hill == 0:
                return False
            above.append(summits[hill])
            count += 1
            continue
        pixel = above.pop()
        for side in range(steps.size):
            near = pixel - steps[side]
            if uphill[near] == side + 1 and (
                level[near] > height or (level[near] == height and near <= saddle)
            ):
                above.append(near)
                count += 1
    return True


@compiled()
def fill_regions(labels: Any, at_edge: Any, rims: Any) -> None:
    """Give holes the label of the object around them, as ``Relief.fill`` says."""
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

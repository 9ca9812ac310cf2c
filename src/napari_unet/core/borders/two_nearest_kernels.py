"""The compiled inner loops of :mod:`napari_unet.core.borders.two_nearest`; importing this imports numba.

A pixel's distance to an object is one whole number, its key: ``squared distance << bits | object id``. Keys
compare as distances do, and an addition makes the key of a pixel further along. The loops have no branches,
so the compiler makes one instruction of 8 or 16 pixels. They run without Python's lock and start no threads
of their own, so any number of Python threads may call them at once.
"""

# ruff: noqa: PLR0917 (numba passes keyword arguments slowly, or not at all)

from typing import Any

import numpy as np

from napari_unet.core.arrays.compiling import compiled

_CHUNK = 64  # pixels of a line that stop together: a few registers full


@compiled(inline="always")
def _insert(first: Any, second: Any, keys: Any, step: Any, id_bits: Any) -> None:
    """Take ``keys + step`` into the two lowest keys of different ids, ``first`` and ``second``."""
    whole = first.dtype.type  # numba would compute in 64 bits, at half the speed
    for i in range(first.size):
        low, high = first[i], second[i]
        key = whole(keys[i] + step)
        higher = min(high, max(key, low))
        second[i] = high if whole(whole(key ^ low) & id_bits) == 0 else higher
        first[i] = min(low, key)


@compiled(inline="always")
def _insert_two(first: Any, second: Any, nearest: Any, farther: Any, step: Any, id_bits: Any) -> None:
    """Do that with two arrays of keys in one go."""
    whole = first.dtype.type
    for i in range(first.size):
        low, high = first[i], second[i]
        key = whole(nearest[i] + step)
        higher = min(high, max(key, low))
        high = high if whole(whole(key ^ low) & id_bits) == 0 else higher
        low = min(low, key)
        key = whole(farther[i] + step)
        higher = min(high, max(key, low))
        second[i] = high if whole(whole(key ^ low) & id_bits) == 0 else higher
        first[i] = min(low, key)


@compiled()
def sweep_first_axis(
    objects: Any, out_nearest: Any, out_second: Any, start: int, stop: int, steps: Any, bits: int, none: Any
) -> None:
    """Find the two nearest objects of each pixel along the first axis, in one sweep down and one up.

    Parameters
    ----------
    objects : array (n, m) int32 or int64
        The ids of objects, and ``none`` elsewhere; all axes but the first are one.
    out_nearest, out_second : arrays (n, m)
        The result: keys; only the rows from ``start`` to ``stop`` are written.
    start, stop : int
    steps : array (reach + 1,)
        What to add to the id of an object 0, 1, ... pixels away, as far as the cut-off reaches.
    bits : int
        Bits of the id in a key.
    none : int
        The key of no object.
    """
    whole = objects.dtype.type
    row, id_bits, reach = whole(1 << bits), whole((1 << bits) - 1), steps.size
    low, high = np.empty(_CHUNK, objects.dtype), np.empty(_CHUNK, objects.dtype)
    for left in range(0, objects.shape[1], _CHUNK):
        right = min(left + _CHUNK, objects.shape[1])
        # On the way the distance in a key is not squared yet, so that a row further adds 1 to all of them.
        near, far = low[: right - left], high[: right - left]
        near[:] = none
        far[:] = none
        for y in range(stop):
            for i in range(near.size):
                near[i] = min(whole(near[i] + row), none)
                far[i] = min(whole(far[i] + row), none)
            _insert(near, far, objects[y, left:right], whole(0), id_bits)
            if y >= start:
                out_near, out_far = out_nearest[y, left:right], out_second[y, left:right]
                for i in range(near.size):
                    out_near[i] = near[i]
                    out_far[i] = far[i]
        near[:] = none
        far[:] = none
        for y in range(objects.shape[0] - 1, start - 1, -1):
            for i in range(near.size):
                near[i] = min(whole(near[i] + row), none)
                far[i] = min(whole(far[i] + row), none)
            _insert(near, far, objects[y, left:right], whole(0), id_bits)
            if y < stop:
                out_near, out_far = out_nearest[y, left:right], out_second[y, left:right]
                _insert_two(out_near, out_far, near, far, whole(0), id_bits)
                for out in (out_near, out_far):
                    for i in range(out.size):
                        distance = out[i] >> bits
                        squared = steps[min(distance, reach - 1)] if distance < reach else none
                        out[i] = whole(squared + (out[i] & id_bits))


@compiled()
def spread_along_axis(
    nearest: Any, second: Any, out_nearest: Any, out_second: Any,
    starts: Any, width: int, stride: int, steps: Any, id_bits: Any,
) -> None:  # fmt: skip
    """Take into each pixel's two lowest keys those of the pixels before and behind it along one axis.

    Parameters
    ----------
    nearest, second : arrays (n,) int32 or int64
        Keys, flattened. Around each line there are as many more pixels as ``steps`` reaches.
    out_nearest, out_second : arrays (n,)
        The result; only the lines are written.
    starts : array of int64
        Where the lines begin. A line is ``width`` pixels along the last axis, whatever axis is worked on.
    stride : int
        Elements from one neighbour along the axis to the next.
    steps : array (reach + 1,)
        What to add to the key of a pixel 0, 1, ... further along.
    id_bits : int
        Mask of the object id in a key.
    """
    for start in starts:
        for offset in range(0, width, _CHUNK):
            here = start + offset
            stop = here + min(_CHUNK, width - offset)
            low, high = out_nearest[here:stop], out_second[here:stop]
            near, far = nearest[here:stop], second[here:stop]
            for i in range(low.size):
                low[i] = near[i]
                high[i] = far[i]
            for distance in range(1, steps.size):
                step = steps[distance]
                highest = high[0]
                for i in range(high.size):
                    highest = max(highest, high[i])
                if highest <= step:  # from here on everything is further than what is there
                    break
                for shift in (-distance * stride, distance * stride):
                    near, far = nearest[here + shift : stop + shift], second[here + shift : stop + shift]
                    _insert_two(low, high, near, far, step, id_bits)


@compiled()
def spread_nearest_along_axis(
    nearest: Any, out: Any, starts: Any, width: int, stride: int, steps: Any
) -> None:
    """Do the same for the lowest key alone, whatever its id; half the work, and it stops earlier."""
    whole = nearest.dtype.type
    for start in starts:
        for offset in range(0, width, _CHUNK):
            here = start + offset
            stop = here + min(_CHUNK, width - offset)
            low, other = out[here:stop], nearest[here:stop]
            for i in range(low.size):
                low[i] = other[i]
            for distance in range(1, steps.size):
                step = steps[distance]
                highest = low[0]
                for i in range(low.size):
                    highest = max(highest, low[i])
                if highest <= step:
                    break
                for shift in (-distance * stride, distance * stride):
                    other = nearest[here + shift : stop + shift]
                    for i in range(low.size):
                        low[i] = min(low[i], whole(other[i] + step))

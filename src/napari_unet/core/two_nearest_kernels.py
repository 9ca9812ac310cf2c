"""The compiled inner loop of :mod:`napari_unet.core.two_nearest`; importing this module imports numba.

A pixel's distance to an object is one whole number, its key: ``squared distance << bits | object id``. Keys
compare as distances do, and an addition makes the key of a pixel further along. The loops have no branches, so
the compiler makes one instruction of 8 or 16 pixels. They run without Python's lock and start no threads of
their own, so any number of Python threads may call them at once.
"""

# ruff: noqa: PLR0917 (numba passes keyword arguments slowly, or not at all)

from collections.abc import Callable
from typing import Any

from numba import njit

_CHUNK = 64  # pixels of a line that stop together: a few registers full


def _compile(**options: Any) -> Callable[[Any], Any]:
    """Return the decorator; where no folder can be written to, it compiles anew in each process."""

    def decorate(function: Any) -> Any:
        try:
            return njit(nogil=True, cache=True, **options)(function)
        except (
            RuntimeError
        ):  # numba's "no locator available": neither beside the source nor in the home folder
            return njit(nogil=True, **options)(function)

    return decorate


@_compile(inline="always")
def _insert(first: Any, second: Any, keys: Any, step: Any, id_bits: Any) -> None:
    """Take ``keys + step`` into the two lowest keys of different ids, ``first`` and ``second``."""
    whole = first.dtype.type  # numba would compute in 64 bits, at half the speed
    for i in range(first.size):
        low, high = first[i], second[i]
        key = whole(keys[i] + step)
        higher = min(high, max(key, low))
        second[i] = high if whole(whole(key ^ low) & id_bits) == 0 else higher
        first[i] = min(low, key)


@_compile(inline="always")
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


@_compile()
def spread_along_axis(
    nearest: Any, second: Any, out_nearest: Any, out_second: Any,
    starts: Any, width: int, stride: int, steps: Any, id_bits: Any, none: Any,
) -> None:  # fmt: skip
    """Take into each pixel's two lowest keys those of the pixels before and behind it along one axis.

    Parameters
    ----------
    nearest, second : arrays (n,) int32 or int64
        Keys, flattened. Around each line there are as many more pixels as ``steps`` reaches. ``second`` is
        None before the first axis, where no pixel has a second object.
    out_nearest, out_second : arrays (n,)
        The result; only the lines are written.
    starts : array of int64
        Where the lines begin. A line is ``width`` pixels along the last axis, whatever axis is worked on.
    stride : int
        Neighbours along the axis are so many elements apart.
    steps : array (reach + 1,)
        What to add to the key of a pixel 0, 1, ... further along.
    id_bits : int
        Mask of the object id in a key.
    none : int
        The key of no object.
    """
    for start in starts:
        for offset in range(0, width, _CHUNK):
            here = start + offset
            stop = here + min(_CHUNK, width - offset)
            low, high = out_nearest[here:stop], out_second[here:stop]
            low[:] = nearest[here:stop]
            if second is None:
                high[:] = none
            else:
                high[:] = second[here:stop]
            for distance in range(1, steps.size):
                step = steps[distance]
                highest = high[0]
                for i in range(high.size):
                    highest = max(highest, high[i])
                if highest <= step:  # from here on everything is further than what is there
                    break
                up, down = distance * stride, -distance * stride
                if second is None:
                    _insert(low, high, nearest[here + up : stop + up], step, id_bits)
                    _insert(low, high, nearest[here + down : stop + down], step, id_bits)
                else:
                    after, before = second[here + up : stop + up], second[here + down : stop + down]
                    _insert_two(low, high, nearest[here + up : stop + up], after, step, id_bits)
                    _insert_two(low, high, nearest[here + down : stop + down], before, step, id_bits)


@_compile()
def spread_nearest_along_axis(
    nearest: Any, out: Any, starts: Any, width: int, stride: int, steps: Any
) -> None:
    """Do the same for the lowest key alone, whatever its id; half the work, and it stops earlier."""
    whole = nearest.dtype.type
    for start in starts:
        for offset in range(0, width, _CHUNK):
            here = start + offset
            stop = here + min(_CHUNK, width - offset)
            low = out[here:stop]
            low[:] = nearest[here:stop]
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

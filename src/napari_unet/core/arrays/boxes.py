"""Boxes of pixels in an array, and the places in them."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

Box = tuple[slice, ...]
"""One slice for each axis, with start and stop, both within the array."""

Plane = tuple[int, ...]
"""Index of a plane, or of a volume, along the axes before its own; () where there are none."""


def whole(shape: Sequence[int]) -> Box:
    """Return the box that is all of an array of that shape."""
    return tuple(slice(0, length) for length in shape)


def widen(box: Box, margin: Sequence[int], shape: Sequence[int]) -> Box:
    """Return ``box`` with ``margin`` pixels more on both sides of each axis, as far as the array goes."""
    return tuple(
        slice(max(0, side.start - more), min(length, side.stop + more))
        for side, more, length in zip(box, margin, shape, strict=True)
    )


def box_of(mask: NDArray[np.bool_]) -> Box | None:
    """Return the smallest box around all True pixels; None if there are none."""
    box: list[slice] = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        filled = np.flatnonzero(mask.any(axis=others))
        if not filled.size:
            return None
        part = slice(int(filled[0]), int(filled[-1]) + 1)
        box.append(part)
        mask = mask[(slice(None),) * axis + (part,)]
    return tuple(box)


def box_around(flat: NDArray[np.intp], shape: Sequence[int]) -> Box:
    """Return the smallest box with all pixels with these flat indices, (N,), of an array of that shape."""
    places = np.unravel_index(flat, tuple(shape))
    return tuple(slice(int(at.min()), int(at.max()) + 1) for at in places)


def flat_places(places: Sequence[NDArray[np.intp]], box: Box, shape: Sequence[int]) -> NDArray[np.intp]:
    """Return the flat indices, in an array of that shape, of ``places`` (an array for each axis) in a box."""
    within = tuple(at + side.start for at, side in zip(places, box, strict=True))
    flat: NDArray[np.intp] = np.ravel_multi_index(within, tuple(shape))
    return flat


def enclose(one: Box, other: Box) -> Box:
    """Return the smallest box with both boxes in it."""
    return tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, other, strict=True))


def part_of(box: Sequence[slice], outer: Sequence[slice]) -> Box:
    """Return ``box`` as it lies in ``outer``, which holds it."""
    return tuple(
        slice(part.start - around.start, part.stop - around.start)
        for part, around in zip(box, outer, strict=True)
    )


def common(one: Box, other: Box) -> Box | None:
    """Return the box in which two boxes overlap; None where they do not."""
    shared = tuple(slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, other, strict=True))
    return shared if all(side.start < side.stop for side in shared) else None


def cut_up(shape: Sequence[int], sides: Sequence[int]) -> list[Box]:
    """Return boxes with these sides, smaller at the far ends, that make up an array, in raster order."""
    axes = [
        [slice(start, min(start + side, size)) for start in range(0, size, side)]
        for size, side in zip(shape, sides, strict=True)
    ]
    return list(product(*axes))

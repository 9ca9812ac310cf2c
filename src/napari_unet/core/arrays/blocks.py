"""Work on an array block by block, a few blocks at once, each with the margin that it needs to see.

Blocks stay in the processor's cache, so time per pixel does not depend on the size of the image, and what is
computed on the way never takes the memory of more than a few blocks.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Box = tuple[slice, ...]
"""One slice for each axis, with start and stop, both within the array."""

Plane = tuple[int, ...]
"""Index of a plane, or of a volume, along the axes before its own; () where there are none."""

MAX_THREADS = 4
"""Few, because a training may be running on the same processor, and memory is the limit soon."""

_PIXELS = 2**16  # of a block, without its margin: its arrays fit the second-level cache

_BLOCKS_PER_THREAD = 4  # with fewer, starting a thread does not pay

_PART = 2**18
"""Pixels of an image for each thread: fewer are done before another thread has started."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Block:
    """A part of an array."""

    core: Box  # where the result goes; blocks tile the array
    window: Box  # what is read for it: the core and the margin around it, as far as the array goes
    margin: tuple[int, ...]  # pixels of margin asked for on both sides, along each axis

    @property
    def inner(self) -> Box:
        """The core as part of the window."""
        return part_of(self.core, self.window)


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


def plan_blocks(shape: Sequence[int], margin: Sequence[int] | None = None) -> list[Block]:
    """Cut an array of that shape into blocks, by default without a margin.

    Sides are four times the margin or more, so that margins cost little more than they must.
    """
    margin = (0,) * len(shape) if margin is None else tuple(margin)
    usual = round(_PIXELS ** (1 / len(shape)))
    cores = plan_cores(shape, [max(usual, 4 * more) for more in margin])
    return [Block(core, widen(core, margin, shape), margin) for core in cores]


def plan_cores(shape: Sequence[int], block: Sequence[int]) -> list[Box]:
    """Cut an array of that shape into blocks, in raster order."""
    axes = [
        [slice(start, min(start + side, size)) for start in range(0, size, side)]
        for size, side in zip(shape, block, strict=True)
    ]
    return list(product(*axes))


def in_parts(work: Callable[[int, int], Result], start: int, stop: int, pixels: int) -> list[Result]:
    """Call ``work`` with the ends of a few ranges that make up ``start`` to ``stop``, all at once.

    With fewer ``pixels`` in all there are fewer ranges. Returns the results in order.
    """
    number = max(1, min(MAX_THREADS, os.cpu_count() or 1, pixels // _PART))
    ends = [start + (stop - start) * count // number for count in range(number + 1)]
    if number == 1:
        return [work(start, stop)]
    with ThreadPoolExecutor(number, thread_name_prefix="parts") as pool:
        return list(pool.map(work, ends[:-1], ends[1:]))


def for_each_block(work: Callable[[Block], None], blocks: Sequence[Block]) -> None:
    """Call ``work`` with every block, a few at once; an error in one of them is raised here."""
    threads = min(MAX_THREADS, os.cpu_count() or 1, len(blocks) // _BLOCKS_PER_THREAD)
    if threads <= 1:
        for block in blocks:
            work(block)
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="blocks") as pool:
        list(pool.map(work, blocks))

"""Work on an array block by block, a few blocks at once, each with the margin that it needs to see.

Blocks stay in the processor's cache, so time per pixel does not depend on the size of the image, and what is
computed on the way never takes the memory of more than a few blocks.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from napari_unet.core.arrays.boxes import Box, cut_up, part_of, widen

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


def plan_blocks(shape: Sequence[int], margin: Sequence[int] | None = None) -> list[Block]:
    """Cut an array of that shape into blocks, by default without a margin.

    Sides are four times the margin or more, so that margins cost little more than they must.
    """
    margin = (0,) * len(shape) if margin is None else tuple(margin)
    usual = round(_PIXELS ** (1 / len(shape)))
    cores = cut_up(shape, [max(usual, 4 * more) for more in margin])
    return [Block(core, widen(core, margin, shape), margin) for core in cores]


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

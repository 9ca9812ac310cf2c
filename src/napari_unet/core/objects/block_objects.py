"""Objects of an image that does not fit into memory: block by block, and still those of the whole image.

What becomes of a connected part of ``p > threshold`` depends on the probabilities in that part alone. So
parts within one block are separated there; the pieces of parts that cross a border between blocks are
joined, and each such part is separated in its own bounding box. Holes, connected parts of the background, are
joined in the same way. Ids follow the first pixels, whatever the blocks.
"""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.arrays.boxes import Box, cut_up, flat_places, widen
from napari_unet.core.arrays.ordered import map_in_order
from napari_unet.core.errors import InputError
from napari_unet.core.instances import InstanceConfig, find_objects, first_pixels
from napari_unet.core.objects.block_pieces import MOST, Holes, Pieces, neighbours_of_holes

BYTES_PER_PIXEL = 64
"""Peak memory of separating a box: probabilities, depths, the landscape and its hills, and labels."""

_AT_ONCE = 2
"""Blocks worked on at the same time: memory soon is the limit, and each has several threads."""

Result = TypeVar("Result")


class Readable(Protocol):
    """An array that is read by slices: numpy, zarr, a memory-mapped file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Size along each axis."""
        ...

    def __getitem__(self, index: Any, /) -> Any: ...


class Writable(Readable, Protocol):
    """An array that is read and written by slices."""

    def __setitem__(self, index: Any, value: Any, /) -> None: ...


def find_objects_in_blocks(
    foreground: Readable,
    config: InstanceConfig,
    *,
    block: Sequence[int],
    out: Writable,
    plane: tuple[int, ...] = (),
    used: int = 0,
    memory: int | None = None,
) -> Generator[float, None, int]:
    """Find in one plane or volume what :func:`napari_unet.core.instances.find_objects` would, block by block.

    Parameters
    ----------
    foreground : array-like (leading..., spatial...) float32
        Probability of foreground in [0, 1]; read by slices.
    config : InstanceConfig
        Thresholds and sizes.
    block : sequence of int
        Pixels of a block along each spatial axis; a multiple of the chunks of ``out`` if it has any, for
        blocks are read while others are written. The result does not depend on it.
    out : array-like (leading..., spatial...) int32
        Where the objects go; until the end it holds intermediate ids. Its previous content does not matter.
    plane : tuple of int
        Index along the leading axes.
    used : int
        Highest id of the planes before; the first object is the next.
    memory : int, optional
        Bytes that separating one region may take; None does not ask.

    Yields
    ------
    float
        After every block, the part of the work that is done. Work that is stopped then must start again.

    Returns
    -------
    int
        Highest id used.

    Raises
    ------
    InputError
        If a connected region of foreground, which is separated in one piece, does not fit into ``memory``.
        Otherwise a few blocks are in memory, and some 50 bytes for each object.

    Notes
    -----
    Regions that span the same blocks are separated together, in the box around them all. Cost: the image is
    read once, ``out`` is read and written three times.
    """
    return (yield from _Plane(foreground, config, tuple(block), out, plane, memory).find(used))


@dataclass(eq=False)
class _Plane:
    """The work on one plane: intermediate ids are in ``out``, what is known about each is here.

    Positive ids are objects, or pieces of parts that cross a border ("open"); negative ones are pieces of the
    background that do.
    """

    foreground: Readable
    config: InstanceConfig
    block: tuple[int, ...]
    out: Writable
    plane: tuple[int, ...]
    memory: int | None
    last: int = 0  # the highest intermediate id so far
    ids: list[NDArray[np.int64]] = field(default_factory=list)  # of objects ...
    firsts: list[NDArray[np.int64]] = field(default_factory=list)  # ... and indices of their first pixels

    def __post_init__(self) -> None:
        self.shape = tuple(self.foreground.shape[len(self.plane) :])
        self.cores = cut_up(self.shape, self.block)

    def find(self, used: int) -> Generator[float, None, int]:
        pieces = Pieces()
        with self._of_cores(self._separate_inside) as separated:
            for number, (core, inside) in enumerate(separated, start=1):
                self._keep_inside(core, inside, pieces)
                yield 0.5 * number / len(self.cores)
        groups = self._group(pieces)
        for number, (box, member) in enumerate(groups, start=1):
            self._separate_across(box, member)
            yield 0.5 + 0.2 * number / len(groups)
        owners = np.zeros(1, np.int64)
        if self.config.fill_holes:
            holes = Holes()
            with self._of_cores(self._fill_inside) as filled:
                for number, (core, closed) in enumerate(filled, start=1):
                    self._keep_filled(core, closed, holes)
                    yield 0.7 + 0.15 * number / len(self.cores)
            owners = holes.owners()
        final, used = self._number(used)
        final = np.concatenate((final, final[owners[:0:-1]]))  # negative ids count from the end

        def renumber(core: Box) -> NDArray[np.int32]:
            return final[self._read(core)]

        with self._of_cores(renumber) as renumbered:
            for number, (core, result) in enumerate(renumbered, start=1):
                self._write(core, result)
                yield 0.85 + 0.15 * number / len(self.cores)
        return used

    def _of_cores(
        self, work: Callable[[Box], Result]
    ) -> "closing[Generator[tuple[Box, Result], None, None]]":
        """Give every block and what ``work`` makes of it, in order; the next ones are begun meanwhile.

        Writing follows that order, so the result is the same for any number of threads.
        """
        threads = min(_AT_ONCE, os.cpu_count() or 1, len(self.cores))
        return closing(map_in_order(work, self.cores, threads))

    def _read(self, box: Box) -> NDArray[np.int32]:
        return np.array(self.out[(*self.plane, *box)])

    def _write(self, box: Box, labels: NDArray[np.int32]) -> None:
        self.out[(*self.plane, *box)] = labels

    def _take(self, count: int) -> int:
        """Reserve that many ids and return the one before them."""
        before = self.last
        self.last += count
        if self.last >= MOST:
            raise InputError(
                f"There are more than {MOST} connected regions; raise instances.threshold: most of them are "
                "noise."
            )
        return before

    def _separate(
        self, probability: NDArray[Any], member: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
        """Return the objects 1, 2, ... of some parts, holes still open, and their first pixels."""
        config = replace(self.config, fill_holes=False)
        objects = find_objects(np.where(member, probability, np.float32(0)), config, ndim=member.ndim)
        return objects, first_pixels(objects)[1:]

    def _note(self, first: NDArray[np.intp], box: Box) -> int:
        """Give the objects of a box, with these first pixels, the ids after the one that is returned."""
        before = self._take(first.size)
        sides = [part.stop - part.start for part in box]
        self.ids.append(np.arange(before + 1, before + first.size + 1))
        self.firsts.append(flat_places(np.unravel_index(first, sides), box, self.shape).astype(np.int64))
        return before

    def _separate_inside(self, core: Box) -> tuple[NDArray[np.int32], NDArray[np.intp], list[Box]]:
        """Return what is in a block: objects 1..n, and after them pieces that reach into other blocks.

        With them come the first pixels of the objects, in the block, and boxes around the pieces.
        """
        probability = np.asarray(self.foreground[(*self.plane, *core)])
        parts, n_parts = ndimage.label(probability > self.config.threshold)
        is_open, _ = _at_faces(parts, n_parts, core, self.shape)
        closed = ~is_open
        closed[0] = False
        labels, first = self._separate(probability, closed[parts])
        opened = np.flatnonzero(is_open)
        numbers = np.zeros(n_parts + 1, np.int32)
        numbers[opened] = first.size + 1 + np.arange(opened.size)
        labels += numbers[parts]
        boxes = ndimage.find_objects(parts)
        return labels, first, [boxes[part - 1] for part in opened]

    def _keep_inside(
        self, core: Box, inside: tuple[NDArray[np.int32], NDArray[np.intp], list[Box]], pieces: Pieces
    ) -> None:
        labels, first, boxes = inside
        before = self._note(first, core)
        opened = self._take(len(boxes)) + 1 + np.arange(len(boxes), dtype=np.int32)
        np.add(labels, before, out=labels, where=labels > 0)
        self._write(core, labels)
        pieces.add(opened, boxes, core)
        for pairs in self._across_faces(core, labels):
            pieces.join(pairs[(pairs > 0).all(axis=1)])

    def _across_faces(self, core: Box, labels: NDArray[np.int32]) -> Iterator[NDArray[np.int32]]:
        """Give, for each axis with a block before this one, the pairs (n, 2) of ids that meet there."""
        for axis, part in enumerate(core):
            if part.start > 0:
                other = (*core[:axis], slice(part.start - 1, part.start), *core[axis + 1 :])
                pairs = np.stack([np.take(labels, [0], axis).ravel(), self._read(other).ravel()], axis=1)
                yield np.unique(pairs, axis=0)

    def _group(self, pieces: Pieces) -> list[tuple[Box, NDArray[np.int32]]]:
        """Return boxes and the ids of the pieces that are separated in each."""
        ids, starts, stops, part_of = pieces.parts()
        if not ids.size:
            return []
        block = np.array(self.block)
        n_parts = int(part_of.max()) + 1
        low = np.full((n_parts, len(block)), MOST, np.int64)
        high = np.zeros((n_parts, len(block)), np.int64)
        np.minimum.at(low, part_of, starts)
        np.maximum.at(high, part_of, stops)
        _, group_of_part = np.unique(
            np.concatenate([low // block, (high - 1) // block], axis=1), axis=0, return_inverse=True
        )
        group_of_part = group_of_part.ravel()
        group = group_of_part[part_of]
        order = np.argsort(group, kind="stable")
        groups = []
        for members in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
            corner, end = starts[members].min(axis=0), stops[members].max(axis=0)
            box = tuple(slice(int(a), int(b)) for a, b in zip(corner, end, strict=True))
            # With the background next to them, from which depths are measured: none is nearer.
            box = widen(box, (1,) * len(box), self.shape)
            self._check_memory(box)
            groups.append((box, np.sort(ids[members])))
        return groups

    def _check_memory(self, box: Box) -> None:
        sides = [part.stop - part.start for part in box]
        needed = prod(sides) * BYTES_PER_PIXEL
        if self.memory is not None and needed > self.memory:
            raise InputError(
                f"The foreground is connected over {' × '.join(map(str, sides))} pixels; separating it needs "
                f"{needed / 2**30:.1f} GB of memory, and {self.memory / 2**30:.1f} GB are free, so raise "
                "instances.threshold, train on more background between objects, or ask for classes or "
                "probabilities."
            )

    def _separate_across(self, box: Box, member: NDArray[np.int32]) -> None:
        labels = self._read(box)
        place = np.minimum(np.searchsorted(member, labels), member.size - 1)
        chosen = member[place] == labels
        objects, first = self._separate(np.asarray(self.foreground[(*self.plane, *box)]), chosen)
        np.add(objects, self._note(first, box), out=objects, where=objects > 0)
        self._write(box, np.where(chosen, objects, labels))

    def _fill_inside(self, core: Box) -> tuple[NDArray[np.int32], ...]:
        """Return a block with its holes filled; pieces of background that reach into others are -1, -2, ...

        With it come the lowest and the highest label that touch each piece.
        """
        labels = self._read(core)
        parts, n_parts = ndimage.label(labels == 0)
        lowest, highest = neighbours_of_holes(parts, n_parts, labels)
        is_open, at_edge = _at_faces(parts, n_parts, core, self.shape)
        lowest[at_edge] = 0
        ids = np.where(~is_open & (lowest == highest), lowest, 0).astype(np.int32)
        opened = np.flatnonzero(is_open)
        ids[opened] = -1 - np.arange(opened.size)
        ids[0] = 0
        labels += ids[parts]
        return labels, lowest[opened], highest[opened]

    def _keep_filled(self, core: Box, filled: tuple[NDArray[np.int32], ...], holes: Holes) -> None:
        labels, lowest, highest = filled
        before = holes.add(lowest, highest)
        np.subtract(labels, before, out=labels, where=labels < 0)
        self._write(core, labels)
        for pairs in self._across_faces(core, labels):
            holes.meet(pairs)

    def _number(self, used: int) -> tuple[NDArray[np.int32], int]:
        """Return the final id of every intermediate one, and the highest."""
        ids = np.concatenate([*self.ids, np.zeros(0, np.int64)])
        firsts = np.concatenate([*self.firsts, np.zeros(0, np.int64)])
        if used + ids.size > MOST:
            raise InputError(
                f"There are more than {MOST} objects; raise instances.min_size: most of them are noise."
            )
        final = np.zeros(self.last + 1, np.int32)
        final[ids[np.argsort(firsts, kind="stable")]] = used + 1 + np.arange(ids.size)
        return final, used + ids.size


def _at_faces(
    parts: NDArray[np.int32], n_parts: int, core: Box, shape: tuple[int, ...]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which parts 1..n_parts of a block touch another block, and which the edge of the image.

    The first value of both, of no part, is False.
    """
    at_block, at_edge = np.zeros((2, n_parts + 1), np.bool_)
    for axis, (part, size) in enumerate(zip(core, shape, strict=True)):
        across = np.moveaxis(parts, axis, 0)
        (at_block if part.start > 0 else at_edge)[across[0]] = True
        (at_block if part.stop < size else at_edge)[across[-1]] = True
    at_block[0] = at_edge[0] = False
    return at_block, at_edge

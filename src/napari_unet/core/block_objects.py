"""Objects of an image that does not fit into memory: block by block, and still those of the whole image.

What becomes of a connected part of ``p > threshold`` depends on the probabilities in that part alone. So
parts within one block are separated there; of those that cross a border between blocks, all pieces are found
and joined, and each is separated in its own bounding box. Holes are connected parts of the background and
are joined in the same way. Ids follow the first pixels, whatever the blocks.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from napari_unet.core.blocks import Box, plan_cores, widen
from napari_unet.core.errors import InputError
from napari_unet.core.instances import InstanceConfig, find_objects, first_pixels, neighbours_of_holes

BYTES_PER_PIXEL = 64
"""Peak of separating a box in memory: probabilities, labels of several kinds, and the watershed's queue."""

_MOST = int(np.iinfo(np.int32).max)


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
        Pixels of a block along each spatial axis; best a multiple of the chunks of ``out``. The result does
        not depend on it.
    out : array-like (leading..., spatial...) int32
        Where the objects go; until the end it holds intermediate ids. What it holds before does not matter.
    plane : tuple of int
        Index along the leading axes.
    used : int
        Highest id of the planes before; the first object is the next.
    memory : int, optional
        Bytes that separating one region may take; None does not ask.

    Yields
    ------
    float
        After every block, the part of the work that is done. It can be stopped then; a new start begins
        anew.

    Returns
    -------
    int
        Highest id used.

    Raises
    ------
    InputError
        If a connected region of foreground is so large that it does not fit into ``memory``: a region is
        separated in one piece. Memory is otherwise that of a few blocks, and some 50 bytes for each object.

    Notes
    -----
    Regions that span the same blocks are separated together, in the box around them all. Cost: the image is
    read once, ``out`` is read and written three times.
    """
    work = _Plane(foreground, config, block=tuple(block), out=out, plane=plane, memory=memory)
    return (yield from work.find(used))


class _Plane:
    """The work on one plane: intermediate ids in ``out``, what is known of each id here.

    Positive ids are objects, or pieces of parts that cross a border ("open"); negative ones are pieces of the
    background that do.
    """

    def __init__(
        self,
        foreground: Readable,
        config: InstanceConfig,
        *,
        block: tuple[int, ...],
        out: Writable,
        plane: tuple[int, ...],
        memory: int | None,
    ) -> None:
        self.foreground = foreground
        self.config = config
        self.block = block
        self.out = out
        self.plane = plane
        self.memory = memory
        self.shape = tuple(foreground.shape[len(plane) :])
        self.cores = plan_cores(self.shape, block)
        self.last = 0  # the highest intermediate id so far
        self.ids: list[NDArray[np.int64]] = []  # of objects ...
        self.firsts: list[NDArray[np.int64]] = []  # ... and the raster indices of their first pixels

    def find(self, used: int) -> Generator[float, None, int]:
        pieces = _Pieces()
        for number, core in enumerate(self.cores, start=1):
            self._separate_inside(core, pieces)
            yield 0.5 * number / len(self.cores)
        groups = self._group(pieces)
        for number, (box, member) in enumerate(groups, start=1):
            self._separate_across(box, member)
            yield 0.5 + 0.2 * number / len(groups)
        owners = np.zeros(1, np.int64)
        if self.config.fill_holes:
            holes = _Holes()
            for number, core in enumerate(self.cores, start=1):
                self._fill_inside(core, holes)
                yield 0.7 + 0.15 * number / len(self.cores)
            owners = holes.owners()
        final, used = self._number(used)
        for number, core in enumerate(self.cores, start=1):
            labels = self._read(core)
            np.copyto(labels, owners[np.maximum(-labels, 0)], where=labels < 0, casting="same_kind")
            self._write(core, final[labels])
            yield 0.85 + 0.15 * number / len(self.cores)
        return used

    def _read(self, box: Box) -> NDArray[np.int32]:
        return np.array(self.out[(*self.plane, *box)])

    def _write(self, box: Box, labels: NDArray[np.int32]) -> None:
        self.out[(*self.plane, *box)] = labels

    def _take(self, count: int) -> int:
        """Reserve that many ids and return the one before them."""
        before = self.last
        self.last += count
        if self.last >= _MOST:
            raise InputError(
                f"There are more than {_MOST} connected regions; raise instances.threshold, for most of them "
                "are noise."
            )
        return before

    def _separate(self, probability: NDArray[Any], member: NDArray[np.bool_], box: Box) -> NDArray[np.int32]:
        """Return the objects of some parts, 0 elsewhere, holes still open, with ids of their own."""
        config = replace(self.config, fill_holes=False)
        objects = find_objects(np.where(member, probability, np.float32(0)), config, ndim=member.ndim)
        count = int(objects.max(initial=0))
        before = self._take(count)
        first = np.unravel_index(first_pixels(objects, count)[1:], objects.shape)
        corner = tuple(index + part.start for index, part in zip(first, box, strict=True))
        self.ids.append(np.arange(before + 1, before + count + 1))
        self.firsts.append(np.ravel_multi_index(corner, self.shape).astype(np.int64))
        return np.where(objects > 0, objects + np.int32(before), np.int32(0))

    def _separate_inside(self, core: Box, pieces: "_Pieces") -> None:
        probability = np.asarray(self.foreground[(*self.plane, *core)])
        parts, n_parts = ndimage.label(probability > self.config.threshold)
        is_open = _at_faces(parts, n_parts, core, self.shape)
        closed = ~is_open
        closed[0] = False
        labels = self._separate(probability, closed[parts], core)
        opened = np.flatnonzero(is_open)
        ids = np.zeros(n_parts + 1, np.int32)
        ids[opened] = self._take(opened.size) + 1 + np.arange(opened.size)
        labels += ids[parts]
        self._write(core, labels)
        boxes = ndimage.find_objects(parts)
        pieces.add(ids[opened], [boxes[part - 1] for part in opened], core)
        for pairs in self._across_faces(core, labels):
            pieces.join(pairs[(pairs > 0).all(axis=1)])

    def _across_faces(self, core: Box, labels: NDArray[np.int32]) -> Iterator[NDArray[np.int32]]:
        """Give, for each axis with a block before this one, the pairs (n, 2) of ids that meet there."""
        for axis, part in enumerate(core):
            if part.start > 0:
                other = (*core[:axis], slice(part.start - 1, part.start), *core[axis + 1 :])
                pairs = np.stack([np.take(labels, [0], axis).ravel(), self._read(other).ravel()], axis=1)
                yield np.unique(pairs, axis=0)

    def _group(self, pieces: "_Pieces") -> list[tuple[Box, NDArray[np.int32]]]:
        """Return boxes and the ids of the pieces that are separated in each."""
        ids, starts, stops, part_of = pieces.parts()
        if not ids.size:
            return []
        block = np.array(self.block)
        n_parts = int(part_of.max()) + 1
        low = np.full((n_parts, len(block)), _MOST, np.int64)
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
        needed = int(np.prod(sides, dtype=np.float64)) * BYTES_PER_PIXEL
        if self.memory is not None and needed > self.memory:
            raise InputError(
                f"The foreground is connected over {' × '.join(map(str, sides))} pixels, and to separate its "
                f"objects takes {needed / 2**30:.1f} GB of memory, of which {self.memory / 2**30:.1f} GB are "
                "free; raise instances.threshold, train on more background between objects, or ask for "
                "classes or probabilities."
            )

    def _separate_across(self, box: Box, member: NDArray[np.int32]) -> None:
        labels = self._read(box)
        place = np.minimum(np.searchsorted(member, labels), member.size - 1)
        chosen = member[place] == labels
        objects = self._separate(np.asarray(self.foreground[(*self.plane, *box)]), chosen, box)
        self._write(box, np.where(chosen, objects, labels))

    def _fill_inside(self, core: Box, holes: "_Holes") -> None:
        labels = self._read(core)
        parts, n_parts = ndimage.label(labels == 0)
        lowest, highest = neighbours_of_holes(parts, n_parts, labels)
        lowest[_at_edges(parts, core, self.shape)] = 0
        is_open = _at_faces(parts, n_parts, core, self.shape)
        ids = np.where(~is_open & (lowest == highest), lowest, 0).astype(np.int32)
        opened = np.flatnonzero(is_open)
        ids[opened] = -holes.add(lowest[opened], highest[opened])
        ids[0] = 0
        labels += ids[parts]
        self._write(core, labels)
        for pairs in self._across_faces(core, labels):
            holes.meet(pairs)

    def _number(self, used: int) -> tuple[NDArray[np.int32], int]:
        """Return the final id of every intermediate one, and the highest."""
        ids = np.concatenate([*self.ids, np.zeros(0, np.int64)])
        firsts = np.concatenate([*self.firsts, np.zeros(0, np.int64)])
        if used + ids.size > _MOST:
            raise InputError(
                f"There are more than {_MOST} objects; raise instances.min_size, for most are noise."
            )
        final = np.zeros(self.last + 1, np.int32)
        final[ids[np.argsort(firsts, kind="stable")]] = used + 1 + np.arange(ids.size)
        return final, used + ids.size


def _at_faces(parts: NDArray[np.int32], n_parts: int, core: Box, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which parts 1..n_parts of a block touch another block; the first value, of no part, is False."""
    touching = np.zeros(n_parts + 1, np.bool_)
    for axis, (part, size) in enumerate(zip(core, shape, strict=True)):
        across = np.moveaxis(parts, axis, 0)
        if part.start > 0:
            touching[across[0]] = True
        if part.stop < size:
            touching[across[-1]] = True
    touching[0] = False
    return touching


def _at_edges(parts: NDArray[np.int32], core: Box, shape: tuple[int, ...]) -> NDArray[np.int32]:
    """Return the parts of a block at the edge of the image."""
    found = [np.zeros(0, np.int32)]
    for axis, (part, size) in enumerate(zip(core, shape, strict=True)):
        across = np.moveaxis(parts, axis, 0)
        found += [across[0].ravel()] * (part.start == 0) + [across[-1].ravel()] * (part.stop == size)
    return np.unique(np.concatenate(found))


class _Pieces:
    """Pieces of foreground that cross borders: where they are, and which belong together."""

    def __init__(self) -> None:
        self._ids: list[NDArray[np.int32]] = []
        self._boxes: list[NDArray[np.int64]] = []
        self._pairs: list[NDArray[np.int32]] = []

    def add(self, ids: NDArray[np.int32], boxes: Sequence[Box], core: Box) -> None:
        if not boxes:
            return
        origin = [part.start for part in core]
        within = np.array([[(side.start, side.stop) for side in box] for box in boxes], np.int64)
        self._ids.append(ids)
        self._boxes.append(within + np.array(origin)[:, np.newaxis])  # (pieces, axes, start and stop)

    def join(self, pairs: NDArray[np.int32]) -> None:
        self._pairs.append(pairs)

    def parts(
        self,
    ) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
        """Return ids, first corners, last corners and the number of the part of every piece."""
        if not self._ids:
            nothing = np.zeros(0, np.int32)
            return nothing, np.zeros((0, 0), np.int64), np.zeros((0, 0), np.int64), nothing
        ids, boxes = np.concatenate(self._ids), np.concatenate(self._boxes)
        pairs = np.searchsorted(ids, np.concatenate(self._pairs))  # ids only ever rise
        return ids, boxes[..., 0], boxes[..., 1], _joined(pairs, ids.size)


class _Holes:
    """Pieces of background that cross borders, 1, 2, ...: what touches them, and which belong together."""

    def __init__(self) -> None:
        self._count = 0
        self._lowest = [np.zeros(1, np.int32)]
        self._highest = [np.zeros(1, np.int32)]
        self._pairs = [np.zeros((0, 2), np.int32)]
        self._rims = [np.zeros((0, 2), np.int32)]

    def add(self, lowest: NDArray[np.int32], highest: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the numbers of new pieces with these lowest and highest neighbours."""
        before, self._count = self._count, self._count + lowest.size
        self._lowest.append(lowest)
        self._highest.append(highest)
        return np.arange(before + 1, self._count + 1, dtype=np.int32)

    def meet(self, pairs: NDArray[np.int32]) -> None:
        """Note what lies on both sides of a border: pieces are negative, objects positive."""
        is_piece = pairs < 0
        self._pairs.append(-pairs[is_piece.all(axis=1)])
        mixed = pairs[is_piece.any(axis=1) & ~is_piece.all(axis=1)]
        self._rims.append(np.stack([-mixed.min(axis=1), mixed.max(axis=1)], axis=1))

    def owners(self) -> NDArray[np.int64]:
        """Return, for each piece, the object that encloses it, or 0."""
        lowest, highest = np.concatenate(self._lowest), np.concatenate(self._highest)
        rims = np.concatenate(self._rims)
        np.minimum.at(lowest, rims[:, 0], rims[:, 1])
        np.maximum.at(highest, rims[:, 0], rims[:, 1])
        hole = _joined(np.concatenate(self._pairs), lowest.size)
        n_holes = int(hole.max()) + 1
        least = np.full(n_holes, _MOST, np.int32)
        most = np.zeros(n_holes, np.int32)
        np.minimum.at(least, hole, lowest)
        np.maximum.at(most, hole, highest)
        owner = np.where(least == most, least, 0)[hole]
        owner[0] = 0
        return owner.astype(np.int64)


def _joined(pairs: NDArray[Any], count: int) -> NDArray[np.int32]:
    """Return the number of the connected component of each of ``count`` nodes."""
    links = coo_array((np.ones(len(pairs), np.bool_), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, component = connected_components(links, directed=False)
    return np.asarray(component, np.int32)

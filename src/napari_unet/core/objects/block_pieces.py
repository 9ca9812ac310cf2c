"""Pieces of foreground and of holes that cross borders between blocks, and which of them belong together."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from napari_unet.core.arrays.boxes import Box

MOST = int(np.iinfo(np.int32).max)
"""Ids, and labels of pixels, are at most this."""


class Pieces:
    """Pieces of foreground that cross borders: where they are, and which belong together."""

    def __init__(self) -> None:
        self._ids: list[NDArray[np.int32]] = []
        self._boxes: list[NDArray[np.int64]] = []
        self._pairs: list[NDArray[np.int32]] = []

    def add(self, ids: NDArray[np.int32], boxes: Sequence[Box], core: Box) -> None:
        """Note the pieces of a block; ``boxes`` are within it."""
        if not boxes:
            return
        origin = [part.start for part in core]
        within = np.array([[(side.start, side.stop) for side in box] for box in boxes], np.int64)
        self._ids.append(ids)
        self._boxes.append(within + np.array(origin)[:, np.newaxis])  # (pieces, axes, start and stop)

    def join(self, pairs: NDArray[np.int32]) -> None:
        """Note ids of pieces (n, 2) that touch."""
        self._pairs.append(pairs)

    def parts(self) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
        """Return ids, first corners, last corners and the number of the part of every piece."""
        if not self._ids:
            nothing = np.zeros(0, np.int32)
            return nothing, np.zeros((0, 0), np.int64), np.zeros((0, 0), np.int64), nothing
        ids, boxes = np.concatenate(self._ids), np.concatenate(self._boxes)
        pairs = np.searchsorted(ids, np.concatenate(self._pairs))  # ids only ever rise
        return ids, boxes[..., 0], boxes[..., 1], _joined(pairs, ids.size)


class Holes:
    """Pieces of background that cross borders, 1, 2, ...: what touches them, and which belong together."""

    def __init__(self) -> None:
        self._count = 0
        self._lowest = [np.zeros(1, np.int32)]
        self._highest = [np.zeros(1, np.int32)]
        self._pairs = [np.zeros((0, 2), np.int32)]
        self._rims = [np.zeros((0, 2), np.int32)]

    def add(self, lowest: NDArray[np.int32], highest: NDArray[np.int32]) -> int:
        """Note pieces with these lowest and highest neighbours; return the number before theirs."""
        before, self._count = self._count, self._count + lowest.size
        self._lowest.append(lowest)
        self._highest.append(highest)
        return before

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
        least = np.full(n_holes, MOST, np.int32)
        most = np.zeros(n_holes, np.int32)
        np.minimum.at(least, hole, lowest)
        np.maximum.at(most, hole, highest)
        owner = np.where(least == most, least, 0)[hole]
        owner[0] = 0
        return owner.astype(np.int64)


def neighbours_of_holes(
    holes: NDArray[np.int32], n_holes: int, labels: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the lowest and the highest label that touches each hole 0..n_holes through a face.

    ``holes`` numbers the pixels whose label is 0. A hole that touches none has the largest int32 and 0.
    """
    lowest = np.full(n_holes + 1, MOST, np.int32)
    highest = np.zeros(n_holes + 1, np.int32)
    is_hole = holes > 0
    for axis in range(labels.ndim):
        before: tuple[Any, ...] = (..., slice(None, -1), *[slice(None)] * (labels.ndim - 1 - axis))
        behind: tuple[Any, ...] = (..., slice(1, None), *[slice(None)] * (labels.ndim - 1 - axis))
        rim = np.nonzero(is_hole[before] != is_hole[behind])
        hole = np.maximum(holes[before][rim], holes[behind][rim])
        label = np.maximum(labels[before][rim], labels[behind][rim])
        np.minimum.at(lowest, hole, label)
        np.maximum.at(highest, hole, label)
    return lowest, highest


def _joined(pairs: NDArray[Any], count: int) -> NDArray[np.int32]:
    """Return the number of the connected component of each of ``count`` nodes."""
    links = coo_array((np.ones(len(pairs), np.bool_), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, component = connected_components(links, directed=False)
    return np.asarray(component, np.int32)

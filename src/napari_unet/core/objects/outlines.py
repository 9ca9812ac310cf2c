"""Outlines of objects along the edges of their pixels: filled, they give back exactly these pixels."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.arrays.lazy import Pixels

Ring = NDArray[np.int64]
"""Corners (N, 2), as x and y, of a closed line along the edges of pixels; the first is not repeated.

The corner (0, 0) is that of the first pixel, (1, 1) the one opposite. Consecutive corners differ in x or y.
"""

_EAST, _SOUTH, _WEST, _NORTH = range(4)


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """The outline of an object in one plane."""

    value: int
    # index of the plane among the axes before Y and X
    plane: tuple[int, ...]
    # one for each part whose pixels share edges: the line around it, and those around its holes. Lines of an
    # object touch themselves and each other at most in single points
    parts: tuple[tuple[Ring, ...], ...]


def trace_outlines(labels: Pixels) -> Iterator[Outline]:
    """Yield the outlines of all objects, plane by plane and by value.

    Pixels that share only a corner are in different parts. Of a line around a part, the shoelace formula
    gives a positive area; of one around a hole, a negative one.

    Parameters
    ----------
    labels : array (…YX) integer
        0 is no object. One plane is in memory at a time.
    """
    for where in np.ndindex(labels.shape[:-2]):
        yield from _of_plane(np.asarray(labels[where]), where)


def _of_plane(labels: NDArray[np.integer[Any]], where: tuple[int, ...]) -> Iterator[Outline]:
    from skimage.measure import label

    parts = label(labels, background=0, connectivity=1)  # type: ignore[no-untyped-call]
    values = np.zeros(parts.max(initial=0) + 1, labels.dtype)
    values[parts] = labels
    found = dict[int, list[tuple[Ring, ...]]]()
    for part, rings in _rings(parts).items():
        # The line around a part encloses those of its holes.
        found.setdefault(int(values[part]), []).append(tuple(sorted(rings, key=_area, reverse=True)))
    for value in sorted(found):
        yield Outline(value, where, tuple(found[value]))


def _rings(parts: NDArray[np.int64]) -> dict[int, list[Ring]]:
    """Return the lines around every part and its holes, by the value of the part."""
    owner, start, heading, stride = _edges(parts)
    if not len(owner):
        return {}
    step = np.array([1, stride, -1, -stride])
    base = (owner * (stride * (len(parts) + 2)) + start) * 4
    order = np.argsort(base + heading)
    owner, start, heading, base = owner[order], start[order], heading[order], base[order]
    leaving = base + heading
    # Where two pixels of a part share only a corner, two edges leave it. Turning left there goes on along the
    # other pixel, so that the line around a hole never merges with the one around its part.
    ahead = base - start * 4 + (start + step[heading]) * 4
    left = np.searchsorted(leaving, ahead + (heading - 1) % 4)
    left = np.minimum(left, len(leaving) - 1)
    follower = np.where(leaving[left] == ahead + (heading - 1) % 4, left, np.searchsorted(leaving, ahead))
    is_corner = np.empty(len(start), bool)
    is_corner[follower] = heading[follower] != heading
    xy = np.stack([start % stride, start // stride], axis=1)
    result = dict[int, list[Ring]]()
    for loop in _loops(follower.tolist()):
        line = np.array(loop)
        result.setdefault(int(owner[line[0]]), []).append(xy[line[is_corner[line]]])
    return result


def _edges(
    parts: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], int]:
    """Return the edges between parts and what is beside them.

    Returns the part of every edge, the corner it starts from, as x + stride * y, its heading, and the stride.
    The part is always to the right of its edges.
    """
    padded = np.pad(parts, 1)
    stride = padded.shape[1]
    found = []
    for heading, pixels, beside, dy, dx in (
        (_EAST, padded[1:-1, 1:-1], padded[:-2, 1:-1], 0, 0),
        (_SOUTH, padded[1:-1, 1:-1], padded[1:-1, 2:], 0, 1),
        (_WEST, padded[1:-1, 1:-1], padded[2:, 1:-1], 1, 1),
        (_NORTH, padded[1:-1, 1:-1], padded[1:-1, :-2], 1, 0),
    ):
        y, x = np.nonzero((pixels != beside) & (pixels > 0))
        found.append((pixels[y, x], (y + dy) * stride + x + dx, np.full(len(y), heading)))
    owner, start, headings = (np.concatenate(each) for each in zip(*found, strict=True))
    return owner.astype(np.int64), start, headings, stride


def _loops(follower: list[int]) -> Iterator[list[int]]:
    """Yield the cycles of a permutation."""
    is_new = [True] * len(follower)
    for first in range(len(follower)):
        loop = []
        at = first
        while is_new[at]:
            is_new[at] = False
            loop.append(at)
            at = follower[at]
        if loop:
            yield loop


def _area(ring: Ring) -> int:
    """Return the area within a line by the shoelace formula."""
    x, y = ring.T
    return int(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) // 2

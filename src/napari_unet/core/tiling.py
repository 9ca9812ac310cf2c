"""Blocks of an image that a network computes one by one, so that together they equal the whole image.

Two facts make this exact. The corners of all blocks lie on the network's pooling grid, so a pixel meets the
same neighbours in every pooling. And each block is read with so much context around it (its halo) that no
pixel that is written depends on where the reading ended. Blocks are disjoint: nothing is averaged, and a
finished block is final.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.arrays.lazy import Pixels

WHOLE = 2**40
"""A halo that reaches beyond every image, for a network that must see all of it; on every pooling grid."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """What tiling must know of a network; the same for every axis, in pixels."""

    alignment: int  # the pooling grid; corners of tiles are multiples of it
    # context read on each side of a block; a multiple of `alignment` for a same-padded network, the margin
    # for a valid one. With `WHOLE` every tile reads the whole image
    halo: int
    # "same": the output is as large as the input, whose sizes are multiples of `alignment`. "valid": the
    # output is smaller by `halo` on each side
    padding: Literal["same", "valid"]
    remainder: int = 0  # what output sizes of a valid network leave when divided by `alignment`


@dataclass(frozen=True, slots=True)
class Tile:
    """One block: a slice for each spatial axis, always with integer start and stop."""

    # what the network sees, in pixels of the image; may reach outside (a negative start is *before* the
    # image, not counted from its end), where `read_mirrored` fills in
    read: tuple[slice, ...]
    # the pixels of the image this tile decides; the tiles of an image cover each pixel once
    write: tuple[slice, ...]
    crop: tuple[slice, ...]  # where these pixels are in the output of the network


def plan_tiles(
    shape: Sequence[int], tile_size: int, geometry: Geometry, region: Sequence[slice] | None = None
) -> tuple[Tile, ...]:
    """Cut an image, or a region of it, into tiles, row by row.

    Parameters
    ----------
    shape : sequence of int
        Spatial shape of the image, every size >= 1.
    tile_size : int
        Largest edge of the blocks that are written, in pixels, rounded up to the alignment. Blocks are made
        equal: two of 264 pixels, not one of 512 and one of 16.
    geometry : Geometry
        Of the network.
    region : sequence of slice, optional
        The pixels to cover, such as the ``write`` of a tile; starts are multiples of the alignment. None is
        the whole image.

    Returns
    -------
    tuple of Tile
        All ``read`` sizes fit the network. A same-padded network sees the image mirrored at its far ends up
        to a multiple of the alignment, and pads that with zeros itself; a valid one sees it mirrored on all
        sides.
    """
    region = [slice(0, size) for size in shape] if region is None else region
    axes = [_plan_axis(size, part, tile_size, geometry) for size, part in zip(shape, region, strict=True)]
    return tuple(Tile(*zip(*parts, strict=True)) for parts in itertools.product(*axes))


def _plan_axis(
    size: int, region: slice, tile_size: int, geometry: Geometry
) -> list[tuple[slice, slice, slice]]:
    """Return what every tile reads, writes and crops along one axis, as :class:`Tile` has it."""
    step, halo = geometry.alignment, geometry.halo
    length = region.stop - region.start
    blocks = _divide_up(length, _round_up(tile_size, step))
    edge = _round_up(_divide_up(length, blocks), step)
    parts = []
    for start in range(region.start, region.stop, edge):
        stop = min(start + edge, region.stop)
        if geometry.padding == "same":
            read = slice(max(0, start - halo), min(_round_up(size, step), start + edge + halo))
            offset = start - read.start
        else:
            # The smallest output that holds the block and leaves the right remainder.
            output = _round_up(stop - start - geometry.remainder, step) + geometry.remainder
            read, offset = slice(start - halo, start + output + halo), 0
        parts.append((read, slice(start, stop), slice(offset, offset + stop - start)))
    return parts


def _divide_up(number: int, by: int) -> int:
    return -(-number // by)


def _round_up(number: int, step: int) -> int:
    return _divide_up(number, step) * step


def read_mirrored(image: Pixels, slices: Sequence[slice]) -> NDArray[Any]:
    """Read a block that may reach outside the image, where the image is mirrored at its edge pixels.

    Parameters
    ----------
    image : array or LazyPixels (..., spatial)
        The slices apply to its last axes; those before are read whole. Only what is needed is touched.
    slices : sequence of slice
        One for each spatial axis, start and stop in pixels, at any distance from the image.

    Returns
    -------
    array (..., spatial)
        A view where the block lies inside. The edge pixel itself is not repeated: ``3 2 1 [0 1 2 3] 2 1 0``.
    """
    box, indices = mirrored_box(image.shape[image.ndim - len(slices) :], slices)
    whole: tuple[Any, ...] = (..., *box)
    block = np.asarray(image[whole])
    for axis, index in enumerate(indices, start=block.ndim - len(slices)):
        if index is not None:
            block = np.take(block, index, axis=axis)
    return block


def mirrored_box(
    shape: Sequence[int], slices: Sequence[slice]
) -> tuple[list[slice], list[NDArray[np.intp] | None]]:
    """Return how :func:`read_mirrored` reads a block of an image of spatial ``shape``.

    Returns
    -------
    box : list of slice
        The part of the image to read; plain slices are what a lazy array can load piece by piece.
    indices : list of array
        What to take from the box along each axis; None is all of it.
    """
    box, indices = [], []
    for part, size in zip(slices, shape, strict=True):
        index = _mirror(part, size)
        first = int(index.min())
        box.append(slice(first, int(index.max()) + 1))
        indices.append(index - first if part.start < 0 or part.stop > size else None)
    return box, indices


def _mirror(part: slice, size: int) -> NDArray[np.intp]:
    index = np.arange(part.start, part.stop)
    if size == 1:
        return np.zeros_like(index)
    period = 2 * (size - 1)
    index %= period
    reflected: NDArray[np.intp] = np.minimum(index, period - index)
    return reflected

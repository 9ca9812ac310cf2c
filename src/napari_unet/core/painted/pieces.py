"""Separate pieces that are painted with one number: most likely several objects, of which nobody said so."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from napari_unet.core.annotation import FIRST_OBJECT
from napari_unet.core.arrays.runs import runs
from napari_unet.core.painted.painted_pixels import PaintedPixels

_PIECES_PER_NUMBER = 2
"""Mean number of pieces per object number at which these are no broken strokes: numbers were forgotten."""

_SPECK = 0.25
"""Part of the pixels of the largest piece of an object, below which one is a speck beside it."""


def count_pieces(paint: NDArray[np.integer[Any]]) -> dict[int, int]:
    """Return how many separate pieces each object of ``paint`` (…YX) has in the plane where it has most.

    A piece is connected (8 neighbours). In a stack, strokes of an object may lie planes apart. Runs of equal
    pixels are connected, far fewer than pixels: a training may be using the same processor.
    """
    height, width = (1, *paint.shape)[-2:]
    values, starts, stops, rows = _runs_in_rows(paint)
    at = np.unique(_connect(values, starts, stops, rows, (height, width)))
    in_planes, pieces = np.unique(np.stack((values[at], rows[at] // height)), axis=1, return_counts=True)
    most: dict[int, int] = {}
    for value, here in zip(in_planes[0].tolist(), pieces.tolist(), strict=True):
        most[value] = max(most.get(value, 0), here)
    return most


def lack_numbers(pieces: Mapping[int, int]) -> bool:
    """Return whether objects are painted in so many ``pieces`` that most have no number of their own.

    ``pieces`` are those of a whole paint, from :func:`count_pieces`.
    """
    return sum(pieces.values()) >= max(_PIECES_PER_NUMBER * len(pieces), 2)


def find_pieces(
    flat: NDArray[np.intp], values: NDArray[np.int32], shape: tuple[int, int]
) -> NDArray[np.intp]:
    """Return for each object pixel (N,) of a plane (Y, X) the first pixel of its piece.

    ``flat`` are the flat indices of the pixels, in ascending order, and ``values`` their paint. See
    :func:`count_pieces` for what a piece is.
    """
    if not flat.size:
        return flat
    all_rows = flat // shape[1]
    goes_on = (np.diff(flat) == 1) & (np.diff(values) == 0) & (np.diff(all_rows) == 0)
    first = np.flatnonzero(np.concatenate(([True], ~goes_on)))
    lengths = np.diff(first, append=flat.size)
    starts = flat[first]
    run = _connect(values[first], starts, starts + lengths, all_rows[first], shape)
    pieces: NDArray[np.intp] = np.repeat(starts[run], lengths)
    return pieces


def _connect(
    values: NDArray[np.integer[Any]],
    starts: NDArray[np.intp],
    stops: NDArray[np.intp],
    rows: NDArray[np.intp],
    shape: tuple[int, int],
) -> NDArray[np.intp]:
    """Return for each run (N,) within a row, in raster order, the index of the first run of its piece."""
    height, width = shape
    # In the next row of the same plane, runs that overlap it or touch one of its corners.
    first = np.searchsorted(stops, np.maximum(starts - 1, rows * width) + width, "right")
    behind = np.searchsorted(starts, np.minimum(stops + 1, (rows + 1) * width) + width, "left")
    below = np.where(rows % height < height - 1, np.maximum(behind - first, 0), 0)
    run = np.repeat(np.arange(values.size), below)
    other = np.arange(run.size) + np.repeat(first - np.cumsum(below) + below, below)
    is_same = values[run] == values[other]
    links = coo_array(
        (np.ones(np.count_nonzero(is_same), bool), (run[is_same], other[is_same])), (values.size,) * 2
    )
    _, piece = connected_components(links, directed=False)
    _, at, inverse = np.unique(piece, return_index=True, return_inverse=True)
    found: NDArray[np.intp] = at[inverse]
    return found


def _runs_in_rows(paint: NDArray[np.integer[Any]]) -> tuple[NDArray[Any], ...]:
    """Return value, flat start and stop, and row of every run of an object within a row, in raster order."""
    width = paint.shape[-1]
    values, lengths = runs(paint)
    starts = np.cumsum(lengths) - lengths
    is_object = values >= FIRST_OBJECT
    values, starts, lengths = values[is_object], starts[is_object], lengths[is_object]
    first = starts // width
    n_rows = (starts + lengths - 1) // width - first + 1
    run = np.repeat(np.arange(values.size), n_rows)
    rows = first[run] + np.arange(run.size) - np.repeat(np.cumsum(n_rows) - n_rows, n_rows)
    stops = np.minimum((starts + lengths)[run], (rows + 1) * width)
    return values[run], np.maximum(starts[run], rows * width), stops, rows


def separate_pieces(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Return the connected parts (full connectivity) of the mask of an object, each a mask of that shape.

    Specks, of less than a quarter of the pixels of the largest part, are left out.
    """
    parts, count = ndimage.label(mask, np.ones((3,) * mask.ndim))
    if count == 1:
        return [mask]
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    return [parts == 1 + piece for piece in np.flatnonzero(sizes >= _SPECK * sizes.max(initial=0))]


def piece_sizes(paint: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the pixels of all the separate pieces of the objects of a plane (Y, X), but specks.

    As of :func:`separate_pieces`; one that is all of the plane is left out.
    """
    values, starts, stops, rows = _runs_in_rows(paint)
    sizes = np.bincount(_connect(values, starts, stops, rows, paint.shape), stops - starts).astype(np.int64)
    first = np.flatnonzero(sizes)
    sizes = sizes[first]
    _, number = np.unique(values[first], return_inverse=True)
    largest = np.zeros(number.size, np.int64)
    np.maximum.at(largest, number, sizes)
    kept: NDArray[np.int64] = sizes[(sizes >= _SPECK * largest[number]) & (sizes < paint.size)]
    return kept


def number_pieces(
    paints: Sequence[PaintedPixels],
    images: Sequence[int],
    *,
    but: Mapping[int, Collection[int]] | None = None,
) -> tuple[list[PaintedPixels], dict[int, int]]:
    """Return the paints of planes with a number for each piece, where the paint of their image lacks numbers.

    An object that is on several planes keeps one number: nothing tells which of its pieces are of one object.
    So do all in a volume.

    Parameters
    ----------
    paints : sequence of PaintedPixels
        In "objects" mode.
    images : sequence of int
        The image each paint is a plane of.
    but : mapping of int to collection of int, optional
        By image, objects that are one each, which are left out of the ``pieces``.

    Returns
    -------
    numbered : list of PaintedPixels
        As they were given; or with the numbers 2 and up, which differ where those of the paint do. Then what
        is in a rim is of the last of the pieces beside it.
    pieces : dict of int to int
        In how many pieces the objects of the images are that lack numbers, by their value.
    """
    members: dict[int, list[int]] = {}
    for member, image in enumerate(images):
        members.setdefault(image, []).append(member)
    numbered = list(paints)
    pieces: Counter[int] = Counter()
    for image, planes in members.items():
        of_image, in_image = _number_image([paints[plane] for plane in planes])
        known = (but or {}).get(image, ())
        pieces.update({value: count for value, count in in_image.items() if value not in known})
        for plane, pixels in zip(planes, of_image, strict=True):
            numbered[plane] = pixels
    return numbered, dict(pieces)


def _number_image(paints: Sequence[PaintedPixels]) -> tuple[Sequence[PaintedPixels], dict[int, int]]:
    pieces: list[NDArray[np.intp]] = []
    most: dict[int, int] = {}
    n_planes: Counter[int] = Counter()
    for pixels in paints:
        if len(pixels.shape) != 2:
            return paints, {}
        is_object = pixels.values >= FIRST_OBJECT
        flat, values = pixels.flat[is_object], pixels.values[is_object]
        pieces.append(find_pieces(flat, values, pixels.shape))
        present, counts = np.unique(values[pieces[-1] == flat], return_counts=True)
        n_planes.update(present.tolist())
        for value, count in zip(present.tolist(), counts.tolist(), strict=True):
            most[value] = max(most.get(value, 0), count)
    if not lack_numbers(most):
        return paints, {}
    shared = np.array(sorted(value for value, count in n_planes.items() if count > 1), np.int32)
    numbered = []
    n_numbers = FIRST_OBJECT + shared.size
    for pixels, piece in zip(paints, pieces, strict=True):
        is_object = pixels.values >= FIRST_OBJECT
        values = pixels.values[is_object]
        firsts = pixels.flat[is_object][piece == pixels.flat[is_object]]
        numbers = pixels.values.copy()
        numbers[is_object] = np.where(
            np.isin(values, shared),
            FIRST_OBJECT + np.searchsorted(shared, values),
            n_numbers + np.searchsorted(firsts, piece),
        )
        n_numbers += firsts.size
        numbered.append(replace(pixels, values=numbers, parts=_number_rims(pixels, numbers)))
    return numbered, most


def _number_rims(pixels: PaintedPixels, numbers: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the parts of pixels (N,) whose objects were given other ``numbers`` (N,)."""
    in_rim = np.flatnonzero(pixels.parts < 0)
    y, x = np.divmod(pixels.flat[in_rim], pixels.shape[1])
    of_rim = np.zeros(in_rim.size, np.int32)
    for down, right in product((-1, 0, 1), repeat=2):
        beside = (y + down) * pixels.shape[1] + x + right
        at = np.minimum(np.searchsorted(pixels.flat, beside), pixels.flat.size - 1)
        is_same = (pixels.flat[at] == beside) & (pixels.values[at] == -pixels.parts[in_rim])
        is_same &= (x + right >= 0) & (x + right < pixels.shape[1])
        of_rim = np.where(is_same, np.maximum(of_rim, numbers[at]), of_rim)
    parts = pixels.parts.copy()
    parts[in_rim] = -of_rim
    return parts

"""Which paint is kept for validation: whole strokes, or blocks of strokes too large to be spared whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label

from napari_unet.core.annotation import BACKGROUND, FIRST_OBJECT, Mode
from napari_unet.core.arrays.runs import runs
from napari_unet.core.painted.painted_pixels import PaintedPixels

FEWEST_STROKES = 5
"""With fewer strokes (or blocks) of any class, every one of them is needed for training."""

LARGE = 0.5
"""A stroke with more than this part of the paint of its class is not held out whole."""

VAST = 36_864
"""Nor is background of more pixels than this, 16 blocks: what is left of a complete region is around many
objects, and without it nothing would teach their borders."""

BLOCK = 48
"""Edge in pixels, along the last two axes, of the grid that cuts large strokes into blocks."""

GUARD = 8
"""Pixels on each side of a held-out block that are neither taught nor scored.

What a network sees reaches much further, and may: it is the *answers* near by that would give a block away,
since noise, blur and texture repeat themselves over a few pixels.
"""

_FEWEST_PIXELS = BLOCK - 2 * GUARD
"""A block counts if it holds as many scored pixels as a line across it."""


@dataclass(frozen=True, slots=True, eq=False)
class PixelSplit:
    """What of the painted pixels of one plane or volume is taught, and what is scored."""

    # (N,) pixels to train on, and to validate on. Those in neither guard a block
    taught: NDArray[np.bool_]
    held_out: NDArray[np.bool_]
    # (N,) the number, from 1, of the stroke or block of each. Over several paints, the numbers differ, but
    # for the same object of one image
    strokes: NDArray[np.int32]


@dataclass(slots=True)
class _Unit:
    """A stroke or block: its class, where it is first met (it draws its lot by that), and its pixels."""

    group: int
    first_pixel: int
    pixels: int = 0


def number_parts(paint: NDArray[np.int32], mode: Mode) -> NDArray[np.int32]:
    """Return a number from 1 for every connected part of one value (…YX), 0 elsewhere.

    In "objects" mode the background alone is numbered: an object is all paint of its value.
    """
    if mode == "objects":
        paint = (paint == BACKGROUND).astype(np.int32)
    numbers: NDArray[Any] = label(paint, background=0, connectivity=paint.ndim)  # type: ignore[no-untyped-call]
    return numbers.astype(np.int32, copy=False)


def split_pixels(
    paints: Sequence[PaintedPixels],
    mode: Mode,
    fraction: float,
    seed: int,
    *,
    images: Sequence[int],
) -> list[PixelSplit]:
    """Choose the strokes that are kept for validation.

    A stroke is a connected part (full connectivity) of one paint value; in "objects" mode all paint of one
    object, connected or not, on all planes of its image. Pixels of one stroke look too much alike to train on
    some and validate on the others.

    Some strokes are too large to be spared: each one of a class that has fewer than 5, such as a background
    that was filled in one go, any with more than half the paint of its class, and background of more than 16
    blocks, such as that of a complete region. These are cut along a grid of 48 pixels into blocks (columns
    through the planes of an image). Of a block that is held out, the outer 8 pixels are neither taught nor
    scored, so that no scored pixel lies within 8 pixels of a taught one of such a stroke.

    Each stroke draws a number in [0, 1) from its own first pixel (in C order), each block from its corner,
    and the seed, and those below ``fraction`` are kept: painting one more stroke does not reshuffle the
    others, as an index or a random generator that walks over the strokes would. Only where that leaves a
    class without validation, or takes more of it than ``fraction``, the lowest numbers decide, so that a new
    stroke changes the lot of one other stroke of its class at most, and of none of another class; except that
    a class goes from blocks to strokes when it has its fifth.

    Parameters
    ----------
    paints : sequence of PaintedPixels
        Of planes or volumes, with numbers, see :func:`napari_unet.core.painted.pieces.number_pieces`. They
        share one lottery, so that few strokes on each of many planes are enough.
    mode : {"objects", "classes"}
        In "objects" mode the classes are background and objects; in "classes" mode, the values painted.
    fraction : float
        Part of the strokes of each class to keep, in [0, 0.5]; at most that part, but at least one.
    seed : int
        Another seed draws other strokes.
    images : sequence of int
        The image each paint is a plane of.

    Returns
    -------
    list of PixelSplit
        One for each paint. Nothing is held out if ``fraction`` is 0, there are not two classes, or any class
        has fewer than 5 strokes or blocks; otherwise every class has at least one that is held out, and 4
        others.
    """
    strokes, units = _number_strokes(paints, images, mode)
    whole = [PixelSplit(numbers > 0, np.zeros(numbers.shape, bool), numbers) for numbers in strokes]
    if fraction == 0:
        return whole
    large = _large_strokes(units)
    strokes, blocks = _cut_blocks(paints, strokes, images, units, large)
    candidates = {number: unit for number, unit in units.items() if number not in large} | {
        number: block for number, block in blocks.items() if block.pixels >= _FEWEST_PIXELS
    }
    chosen = _draw_lots(candidates, {unit.group for unit in units.values()}, fraction, seed)
    if chosen.size == 0:
        return whole
    highest = len(units) + len(blocks)
    is_chosen = _marked(chosen, highest)
    is_block = _marked(np.fromiter(blocks, np.int32), highest)
    splits = []
    for pixels, numbers in zip(paints, strokes, strict=True):
        kept = is_chosen[numbers]
        outer = is_block[numbers] & ~_inside(pixels.shape, pixels.flat)
        splits.append(PixelSplit(~kept, kept & ~outer, numbers))
    return splits


def _marked(numbers: NDArray[np.int32], highest: int) -> NDArray[np.bool_]:
    """Return for 0 to ``highest`` whether it is one of ``numbers``."""
    marked = np.zeros(highest + 1, bool)
    marked[numbers] = True
    return marked


def _number_strokes(
    paints: Sequence[PaintedPixels], images: Sequence[int], mode: Mode
) -> tuple[list[NDArray[np.int32]], dict[int, _Unit]]:
    """Return the number of the stroke of every painted pixel, and what is known of each stroke."""
    strokes: list[NDArray[np.int32]] = []
    units: dict[int, _Unit] = {}
    objects: dict[tuple[int, int], int] = {}  # (image, paint value) to number
    for pixels, image in zip(paints, images, strict=True):
        # Of an object its value, of all else the number of its part: below 0, so that the two differ.
        is_object = (pixels.values >= FIRST_OBJECT) & (mode == "objects")
        names, lengths = runs(np.where(is_object, pixels.values, -pixels.parts))
        starts = np.cumsum(lengths) - lengths
        unique, first_run, inverse = np.unique(names, return_index=True, return_inverse=True)
        counts = np.bincount(inverse, weights=lengths, minlength=unique.size).astype(np.int64)
        first = starts[first_run]
        numbers = np.zeros(unique.size, np.int32)
        # The first pixel of an object may be one of its rim.
        values = np.where(unique >= FIRST_OBJECT, unique, pixels.values[first])
        # In the order of values, and of first pixels: the same whatever numbers the parts have.
        for index in np.lexsort((first, values)).tolist():
            value = int(values[index])
            number = len(units) + 1
            if mode == "objects" and value >= FIRST_OBJECT:
                number = objects.setdefault((image, value), number)
                value = FIRST_OBJECT
            unit = units.setdefault(number, _Unit(value, int(pixels.flat[first[index]])))
            unit.pixels += int(counts[index])
            numbers[index] = number
        strokes.append(np.repeat(numbers[inverse], lengths))
    return strokes, units


def _large_strokes(units: dict[int, _Unit]) -> frozenset[int]:
    """Return the numbers of the strokes that cannot be spared whole."""
    large: set[int] = set()
    for group in {unit.group for unit in units.values()}:
        of_group = {number: unit.pixels for number, unit in units.items() if unit.group == group}
        limit = LARGE * sum(of_group.values()) if len(of_group) >= FEWEST_STROKES else 0
        if group == BACKGROUND:
            limit = min(limit, VAST)
        large.update(number for number, pixels in of_group.items() if pixels > limit)
    return frozenset(large)


def _cut_blocks(
    paints: Sequence[PaintedPixels],
    strokes: Sequence[NDArray[np.int32]],
    images: Sequence[int],
    units: dict[int, _Unit],
    large: frozenset[int],
) -> tuple[list[NDArray[np.int32]], dict[int, _Unit]]:
    """Return the numbers with those of blocks in place of large strokes, and the blocks.

    The pixels of a block are those that may be scored. In one cell of the grid, the large strokes of one
    class are one block.
    """
    result: list[NDArray[np.int32]] = []
    blocks: dict[int, _Unit] = {}
    numbered: dict[tuple[int, int, int], int] = {}  # (image, class, corner) to number
    is_large = _marked(np.fromiter(large, np.int32), len(units))
    groups = np.array([0, *(units[number].group for number in range(1, len(units) + 1))])
    for painted, numbers, image in zip(paints, strokes, images, strict=True):
        cut = numbers.copy()
        result.append(cut)
        chosen = np.flatnonzero(is_large[numbers])
        if chosen.size == 0:
            continue
        flat = painted.flat[chosen]
        columns = painted.shape[-1]
        y, x = flat // columns % painted.shape[-2], flat % columns
        corner = (y // BLOCK * columns + x // BLOCK) * BLOCK
        group = groups[numbers[chosen]]
        # One key for both: a sort of single numbers is many times faster than one of pairs.
        keys = group.astype(np.int64) * (painted.shape[-2] * columns * BLOCK) + corner
        names, lengths = runs(keys)
        unique, inverse = np.unique(names, return_inverse=True)
        inverse = np.repeat(inverse, lengths)
        inside = _inside(painted.shape, flat)
        counts = np.bincount(inverse, weights=inside, minlength=unique.size)
        new = np.zeros(unique.size, np.int32)
        for index, (key, pixels) in enumerate(zip(unique.tolist(), counts.tolist(), strict=True)):
            of_group, at = divmod(key, painted.shape[-2] * columns * BLOCK)
            number = numbered.setdefault((image, of_group, at), len(units) + len(numbered) + 1)
            blocks.setdefault(number, _Unit(of_group, at)).pixels += int(pixels)
            new[index] = number
        cut[chosen] = new[inverse]
    return result, blocks


def _inside(shape: tuple[int, ...], flat: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return which pixels are far enough from the next block of the grid."""
    y, x = flat // shape[-1] % shape[-2] % BLOCK, flat % shape[-1] % BLOCK
    return (y >= GUARD) & (y < BLOCK - GUARD) & (x >= GUARD) & (x < BLOCK - GUARD)


def _draw_lots(
    candidates: dict[int, _Unit], groups: set[int], fraction: float, seed: int
) -> NDArray[np.int32]:
    """Return the numbers of the strokes that are held out: none, unless every class can spare some."""
    chosen: list[int] = []
    for group in groups:
        drawn = sorted(
            (_draw(seed, unit.first_pixel), number)
            for number, unit in candidates.items()
            if unit.group == group
        )
        if len(groups) < 2 or len(drawn) < FEWEST_STROKES:
            return np.zeros(0, np.int32)
        # A hair more than the product: 0.29 * 100 is 28.999999999999996.
        at_most = max(1, int(fraction * len(drawn) + 1e-9))
        below = sum(lot < fraction for lot, _ in drawn)
        chosen += [number for _, number in drawn[: min(at_most, max(1, below))]]
    return np.array(chosen, np.int32)


def _draw(seed: int, pixel: int) -> float:
    """Return the number in [0, 1) that belongs to ``pixel``, the same on every machine, in every version."""
    digest = blake2b(f"{seed} {pixel}".encode(), digest_size=6).digest()
    return float(int.from_bytes(digest) / 2**48)

"""Which paint is kept for validation: whole strokes, or blocks of strokes too large to be spared whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.annotation import FIRST_OBJECT, Mode, check_mode, check_paint, count_values, runs
from napari_unet.core.errors import InputError

FEWEST_STROKES = 5
"""With fewer strokes (or blocks) of any class, every one of them is needed for training."""

LARGE = 0.5
"""A stroke with more than this part of the paint of its class is not held out whole."""

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
class Split:
    """What of one paint is taught, and what is scored.

    Parameters
    ----------
    taught, held_out : arrays (…YX) bool
        Known pixels to train on, and to validate on. Those in neither are unknown, or guard a block.
    strokes : array (…YX) int32
        A number for every stroke or block, 0 where nothing is known. Over several paints, the numbers differ,
        but for the same object of one image.
    """

    taught: NDArray[np.bool_]
    held_out: NDArray[np.bool_]
    strokes: NDArray[np.int32]


@dataclass(slots=True)
class _Unit:
    """A stroke or block: its class, where it is first met (it draws its lot by that), and its pixels."""

    group: int
    first_pixel: int
    pixels: int = 0


def split_strokes(
    paints: Sequence[NDArray[Any]],
    mode: Mode,
    fraction: float,
    seed: int,
    *,
    images: Sequence[int] | None = None,
) -> list[Split]:
    """Choose the strokes that are kept for validation.

    A stroke is a connected part (full connectivity) of one paint value; in "objects" mode all paint of one
    object, connected or not, on all planes of its image. Pixels of one stroke look too much alike to train on
    some and validate on the others.

    Some strokes are too large to be spared: each one of a class that has fewer than 5, such as a background
    that was filled in one go, and any with more than half the paint of its class. These are cut along a grid
    of 48 pixels into blocks (columns through the planes of an image). Of a block that is held out, the outer
    8 pixels are neither taught nor scored, so that no scored pixel lies within 8 pixels of a taught one of
    such a stroke.

    Each stroke draws a number in [0, 1) from its own first pixel (in C order), each block from its corner,
    and the seed, and those below ``fraction`` are kept: painting one more stroke does not reshuffle the
    others, as an index or a random generator that walks over the strokes would. Only where that leaves a
    class without validation, or takes more of it than ``fraction``, the lowest numbers decide, so that a new
    stroke changes the lot of one other stroke of its class at most, and of none of another class; except that
    a class goes from blocks to strokes when it has its fifth.

    Parameters
    ----------
    paints : sequence of arrays (…YX)
        Planes or volumes; see :func:`napari_unet.core.annotation.check_paint`. They share one lottery, so
        that few strokes on each of many planes are enough.
    mode : {"objects", "classes"}
        In "objects" mode the classes are background and objects; in "classes" mode, the values painted.
    fraction : float
        Part of the strokes of each class to keep, in [0, 0.5]; at most that part, but at least one.
    seed : int
        Another seed draws other strokes.
    images : sequence of int, optional
        The image each paint is a plane of; without it, each is an image of its own.

    Returns
    -------
    list of Split
        One for each paint. Nothing is held out if ``fraction`` is 0, there are not two classes, or any class
        has fewer than 5 strokes or blocks; otherwise every class has at least one that is held out, and 4
        others.

    Raises
    ------
    InputError
        If one of ``paints`` is not paint, or ``fraction`` is out of range.
    """
    checked = [check_paint(paint) for paint in paints]
    check_mode(mode)
    if not 0 <= fraction <= 0.5:
        raise InputError(f"The fraction of strokes to hold out is {fraction}; choose between 0 and 0.5.")
    sources = range(len(checked)) if images is None else images
    strokes, units = _number_strokes(checked, sources, mode)
    whole = [Split(numbers > 0, np.zeros(numbers.shape, bool), numbers) for numbers in strokes]
    if fraction == 0:
        return whole
    large = _large_strokes(units)
    strokes, blocks = _cut_blocks(strokes, sources, units, large)
    candidates = {number: unit for number, unit in units.items() if number not in large} | {
        number: block for number, block in blocks.items() if block.pixels >= _FEWEST_PIXELS
    }
    chosen = _draw_lots(candidates, {unit.group for unit in units.values()}, fraction, seed)
    if chosen.size == 0:
        return whole
    splits = []
    for numbers in strokes:
        kept = np.isin(numbers, chosen)
        in_block = np.isin(numbers, np.fromiter(blocks, np.int32))
        splits.append(Split((numbers > 0) & ~kept, kept & (~in_block | _inside(numbers.shape)), numbers))
    return splits


def _number_strokes(
    paints: Sequence[NDArray[np.int32]], images: Sequence[int], mode: Mode
) -> tuple[list[NDArray[np.int32]], dict[int, _Unit]]:
    """Return a number for every stroke, 0 elsewhere, and what is known of each."""
    strokes: list[NDArray[np.int32]] = []
    units: dict[int, _Unit] = {}
    objects: dict[tuple[int, int], int] = {}  # (image, paint value) to number
    for paint, image in zip(paints, images, strict=True):
        numbers = np.zeros(paint.shape, np.int32)
        for value in count_values(paint):
            if mode == "objects" and value >= FIRST_OBJECT:
                break
            parts, count = ndimage.label(paint == value, structure=np.ones((3,) * paint.ndim, bool))
            numbers += np.where(parts, parts + len(units), 0).astype(np.int32)
            units |= {number: _Unit(value, -1) for number in range(len(units) + 1, len(units) + count + 1)}
        if mode == "objects":
            values, lengths = runs(paint)
            ids, inverse = np.unique(values, return_inverse=True)
            for value in ids[ids >= FIRST_OBJECT].tolist():
                number = objects.setdefault((image, value), len(units) + 1)
                units.setdefault(number, _Unit(FIRST_OBJECT, -1))
            of_value = np.array([objects.get((image, value), 0) for value in ids.tolist()], np.int32)
            numbers += np.repeat(of_value[inverse], lengths).reshape(paint.shape)
        _measure(numbers, units)
        strokes.append(numbers)
    return strokes, units


def _measure(numbers: NDArray[np.int32], units: dict[int, _Unit]) -> None:
    """Add the pixels of every stroke, and its first pixel if it has none yet."""
    values, lengths = runs(numbers)
    starts = np.cumsum(lengths) - lengths
    found, first_run, inverse = np.unique(values, return_index=True, return_inverse=True)
    pixels = np.bincount(inverse, weights=lengths)
    for number, run, count in zip(found.tolist(), first_run.tolist(), pixels.tolist(), strict=True):
        if number:
            unit = units[number]
            unit.pixels += int(count)
            unit.first_pixel = int(starts[run]) if unit.first_pixel < 0 else unit.first_pixel


def _large_strokes(units: dict[int, _Unit]) -> frozenset[int]:
    """Return the numbers of the strokes that cannot be spared whole."""
    large: set[int] = set()
    for group in {unit.group for unit in units.values()}:
        of_group = {number: unit.pixels for number, unit in units.items() if unit.group == group}
        limit = LARGE * sum(of_group.values()) if len(of_group) >= FEWEST_STROKES else 0
        large.update(number for number, pixels in of_group.items() if pixels > limit)
    return frozenset(large)


def _cut_blocks(
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
    for numbers, image in zip(strokes, images, strict=True):
        cut = numbers.copy()
        result.append(cut)
        flat = np.flatnonzero(np.isin(numbers, np.fromiter(large, np.int32)))
        if flat.size == 0:
            continue
        place = np.unravel_index(flat, numbers.shape)
        y, x = place[-2:]
        corner = (y // BLOCK * numbers.shape[-1] + x // BLOCK) * BLOCK
        of_stroke = {number: units[number].group for number in np.unique(numbers.ravel()[flat]).tolist()}
        groups = np.array([of_stroke.get(number, 0) for number in range(max(of_stroke, default=0) + 1)])
        group = groups[numbers.ravel()[flat]]
        inside = _inside(numbers.shape)[tuple(place)]
        pairs, inverse = np.unique(np.stack([group, corner]), axis=1, return_inverse=True)
        counts = np.bincount(inverse.reshape(-1), weights=inside, minlength=pairs.shape[1])
        new = np.zeros(pairs.shape[1], np.int32)
        for index, ((of_group, at), pixels) in enumerate(zip(pairs.T.tolist(), counts.tolist(), strict=True)):
            number = numbered.setdefault((image, of_group, at), len(units) + len(numbered) + 1)
            blocks.setdefault(number, _Unit(of_group, at)).pixels += int(pixels)
            new[index] = number
        cut.ravel()[flat] = new[inverse.reshape(-1)]
    return result, blocks


def _inside(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return where a block is far enough from the next one, as a view of ``shape``."""
    y, x = (
        (np.arange(length) % BLOCK >= GUARD) & (np.arange(length) % BLOCK < BLOCK - GUARD)
        for length in shape[-2:]
    )
    return np.broadcast_to(y[:, None] & x, shape)


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

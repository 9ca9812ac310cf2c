"""What paint means: which pixels are known, what they are, and what is still missing.

Paint is the integer array of the annotation layer: 0 unlabelled (never background), 1 background, 2 and up
objects or, in ``classes`` mode, the other classes. All that reads paint reads it through this module.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from napari_unet.core.arrays.lazy import as_pixels, check_given
from napari_unet.core.errors import InputError

Mode = Literal["objects", "classes"]

Number = TypeVar("Number", bound=np.integer[Any])

BACKGROUND = 1
"""Paint value of the background, in both modes."""

FIRST_OBJECT = 2
"""Lowest paint value of an object (``objects`` mode) or of a class other than background (``classes``)."""

MAX_CLASSES = 255
"""Classes are stored as paint values in uint8."""

IMBALANCE = 40
"""Ratio of background to foreground pixels, or the reverse, at which the summary asks for the rarer."""

_PIECES_PER_NUMBER = 2
"""Mean number of pieces per object number at which these are no broken strokes: numbers were forgotten."""

_PAIRS = {  # by the offset of a neighbour along an axis: the pixels that have it, and those neighbours
    -1: (slice(1, None), slice(None, -1)),
    0: (slice(None), slice(None)),
    1: (slice(None, -1), slice(1, None)),
}
_MAX_ID = int(np.iinfo(np.int32).max)
_NAMED = 5  # missing classes named in a sentence
_VALUES = "0 unlabelled, 1 background, 2 and up objects or other classes"


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """What a network is taught, and where."""

    target: NDArray[np.uint8]  # (…YX) 0-based class: 0 background. 0 as well where nothing is known
    known: NDArray[np.bool_]  # (…YX) True where there is paint
    n_classes: int  # K >= 2, background included


@dataclass(frozen=True, slots=True)
class PaintSummary:
    """How much of each is painted, and what it cannot teach yet."""

    background: int  # pixels painted 1
    foreground: int  # pixels painted 2 and up
    # different values painted from 2 up: objects, or in `classes` mode classes other than background
    objects: int
    counts: Mapping[int, int]  # pixels of every value painted, in ascending order of the values
    # whether objects are painted in so many separate pieces that most of them have no number of their own
    lacks_numbers: bool
    teachable: bool  # whether a network can be taught anything by it; if not, `missing[0]` is the reason
    # sentences for the screen, the most important first; empty when nothing is missing
    missing: tuple[str, ...]


def check_paint(paint: NDArray[Any]) -> NDArray[np.int32]:
    """Return ``paint`` as int32, or say why it cannot be paint.

    Parameters
    ----------
    paint : array
        Any shape and byte order. Integers from 0 to 2**31 - 1; or whole floats, which some programs save, if
        their type can tell all ids up to the highest apart. A bool mask is refused: nobody can tell whether
        its True means object or (value 1) background.

    Returns
    -------
    array int32
        Same shape and values, native byte order; not copied when it is int32 already.

    Raises
    ------
    InputError
        If the array is empty, holds negative, fractional or too large values, or is of another type.
    """
    paint = np.asarray(as_pixels(paint))
    check_given("The paint is", paint)
    if paint.size == 0 or paint.ndim == 0:
        raise InputError(f"The paint is empty (shape {paint.shape}); choose paint that covers the image.")
    if paint.dtype.kind == "b":
        raise InputError(f"The paint is a yes/no mask; give whole numbers instead: {_VALUES}.")
    if paint.dtype.kind not in "uif":
        raise InputError(
            f"The paint has values of type {paint.dtype}; give whole numbers instead: {_VALUES}."
        )
    lowest, highest = paint.min(), paint.max()
    largest = _MAX_ID
    if paint.dtype.kind == "f":
        # One NaN or infinity anywhere shows in the extremes.
        if not (np.isfinite(lowest) and np.isfinite(highest) and np.all(paint == np.rint(paint))):
            raise InputError(f"The paint has values that are not whole numbers; give whole ones: {_VALUES}.")
        # From the next number on, neighbouring ids may already have become one.
        largest = min(_MAX_ID, 2 ** (np.finfo(paint.dtype).nmant + 1) - 1)
    if lowest < 0:
        raise InputError(
            f"The paint has negative values (down to {int(lowest)}); give none below 0: {_VALUES}."
        )
    if highest > largest:
        raise InputError(
            f"The paint has the value {int(highest)}, more than {largest}, the highest that paint of type "
            f"{paint.dtype} may have; renumber its objects from 2."
        )
    return paint.astype(np.int32, copy=False)


def read_paint(paint: NDArray[Any], mode: Mode = "objects", *, n_classes: int | None = None) -> Annotation:
    """Return target and known pixels of ``paint``, whether or not they are enough to teach.

    Parameters
    ----------
    paint : array (…YX)
        See :func:`check_paint`.
    mode : {"objects", "classes"}
        In "objects" mode foreground is paint >= 2, less the seams: a pixel of one object that touches (full
        connectivity, all axes) a pixel of another becomes background, on both sides, so that the network is
        taught to keep them apart. In "classes" mode the target is paint - 1.
    n_classes : int, optional
        Classes of the network, 2 to 255, where there may be more than in this paint. None takes the highest
        value painted, at least 2.

    Raises
    ------
    InputError
        If there are more classes than ``n_classes`` or 255, or there is no such mode.
    """
    paint = check_paint(paint)
    if mode not in get_args(Mode):
        raise InputError(f"The mode is {mode!r}; choose 'objects' or 'classes'.")
    known = paint > 0
    if mode == "objects":
        if n_classes not in (None, 2):
            raise InputError(
                f"A network of {n_classes} classes was asked for; objects mode has background and object, so "
                "choose classes mode."
            )
        inside = (paint >= FIRST_OBJECT) & ~find_seams(paint)
        return Annotation(inside.view(np.uint8), known, 2)
    highest = int(paint.max())
    limit = MAX_CLASSES if n_classes is None else n_classes
    if not 2 <= limit <= MAX_CLASSES:
        raise InputError(
            f"A network of {n_classes} classes was asked for; choose between 2 and {MAX_CLASSES}."
        )
    if highest > limit:
        raise InputError(_too_many_classes(highest, limit))
    target = np.where(known, paint - BACKGROUND, 0).astype(np.uint8)
    return Annotation(target, known, n_classes or max(highest, 2))


def find_seams(paint: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return True at every pixel of an object (paint >= 2) that touches a pixel of another object.

    Touching is full connectivity along all axes (8 neighbours in 2-D, 26 in 3-D), so the result commutes
    with flips, rotations by 90 degrees and transposition. Time is a few passes over the array for each
    direction (4 in 2-D, 13 in 3-D), memory a few bytes a pixel.
    """
    is_object = paint >= FIRST_OBJECT
    seams = np.zeros(paint.shape, bool)
    for step in product((-1, 0, 1), repeat=paint.ndim):
        if step <= (0,) * paint.ndim:  # every pair of neighbours is seen from one of its two sides
            continue
        here, there = zip(*(_PAIRS[side] for side in step), strict=True)
        touching = (paint[here] != paint[there]) & is_object[here] & is_object[there]
        seams[here] |= touching
        seams[there] |= touching
    return seams


def summarise_paint(paint: NDArray[Any], mode: Mode = "objects") -> PaintSummary:
    """Return how much is painted and, in words, what the paint cannot teach yet.

    Quick enough to call after every stroke: a few passes over the array, a sort not of its pixels but of its
    runs of equal pixels (45 ms for 2048x2048 pixels with 2,000 objects).

    Raises
    ------
    InputError
        If the array is not paint at all; see :func:`check_paint`. Paint that is not enough never raises.
    """
    paint = check_paint(paint)
    counts = count_values(paint)
    background = counts.get(BACKGROUND, 0)
    foreground = sum(counts.values()) - background
    fault = _fault(counts, mode)
    pieces = count_pieces(paint) if mode == "objects" else {}
    return PaintSummary(
        background=background,
        foreground=foreground,
        objects=len(counts) - (BACKGROUND in counts),
        counts=counts,
        lacks_numbers=lack_numbers(pieces),
        teachable=fault is None,
        missing=advise(counts, mode, pieces) if fault is None else (fault,),
    )


def count_values(paint: NDArray[np.int32]) -> dict[int, int]:
    """Return the number of pixels of every value painted (0 left out), in ascending order of the values."""
    values, lengths = runs(paint)
    painted = values > 0
    unique, which = np.unique(values[painted], return_inverse=True)
    # Weighted counts are float64: exact up to 2**53 pixels.
    pixels = np.bincount(which, weights=lengths[painted], minlength=unique.size)
    return dict(zip(unique.tolist(), pixels.astype(np.int64).tolist(), strict=True))


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


def lack_numbers(pieces: Mapping[int, int]) -> bool:
    """Return whether objects are painted in so many ``pieces`` that most have no number of their own.

    ``pieces`` are those of a whole paint, from :func:`count_pieces`.
    """
    return sum(pieces.values()) >= max(_PIECES_PER_NUMBER * len(pieces), 2)


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


def check_teachable(counts: Mapping[int, int], mode: Mode) -> None:
    """Raise ``InputError`` if pixels of these values, summed over all planes, cannot teach anything."""
    fault = _fault(counts, mode)
    if fault is not None:
        raise InputError(fault)


def advise(counts: Mapping[int, int], mode: Mode, pieces: Mapping[int, int]) -> tuple[str, ...]:
    """Return, in sentences, what teachable paint still lacks.

    ``counts`` are the pixels of every value, summed over all planes; ``pieces`` as for :func:`lack_numbers`.
    """
    sentences = []
    if lack_numbers(pieces):
        some = f"number {next(iter(pieces))}" if len(pieces) == 1 else f"{len(pieces)} numbers"
        sentences.append(
            f"Objects are painted in {sum(pieces.values())} separate pieces but share {some}; give each "
            "object its own number, or nothing tells them apart."
        )
    elif mode == "objects" and len(counts) == 2:
        sentences.append(
            "Only one object is painted; paint another near it, or nothing shows how to keep them apart."
        )
    highest = max(counts) if mode == "classes" else 0
    absent = [value for value in range(BACKGROUND, highest) if value not in counts]
    if absent:
        named = ", ".join(str(value) for value in absent[:_NAMED]) + ", ..." * (len(absent) > _NAMED)
        classes, them = ("class", "it") if len(absent) == 1 else ("classes", "them")
        sentences.append(
            f"There is no paint for {classes} {named}; paint some, or the network cannot learn {them}."
        )
    background = counts.get(BACKGROUND, 0)
    foreground = sum(counts.values()) - background
    name = "objects" if mode == "objects" else "other classes"
    if background >= IMBALANCE * foreground:
        times = background // foreground
        sentences.append(f"Background covers {times} times as many pixels as {name}; paint more {name}.")
    elif background and foreground >= IMBALANCE * background:
        times = foreground // background
        sentences.append(
            f"{name.capitalize()} cover {times} times as many pixels as background; paint more background."
        )
    return tuple(sentences)


def runs(paint: NDArray[Number]) -> tuple[NDArray[Number], NDArray[np.int64]]:
    """Return the values and lengths of the runs of equal pixels of the flattened array.

    Paint has few runs, so sorting or renumbering its values by runs costs little, however large the ids are.
    """
    flat = paint.reshape(-1)
    first = np.zeros(min(flat.size, 1), np.intp)
    starts = np.concatenate((first, np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    return flat[starts], np.diff(starts, append=flat.size)


def _too_many_classes(highest: int, limit: int) -> str:
    return (
        f"The paint has the value {highest}, but there can only be {limit} classes; paint classes with the "
        f"values 1 to {limit}, or choose objects mode."
    )


def _fault(counts: Mapping[int, int], mode: Mode) -> str | None:
    """Return why nothing can be taught by these pixels, or None."""
    if not counts:
        others = "a few objects" if mode == "objects" else "at least one other class"
        return f"Nothing is painted yet; paint some background (1) and {others} (2 and up)."
    if mode == "classes" and max(counts) > MAX_CLASSES:
        return _too_many_classes(max(counts), MAX_CLASSES)
    if max(counts) == BACKGROUND:
        others = "a few objects" if mode == "objects" else "another class"
        return f"Only background is painted; paint {others} (2 and up)."
    if mode == "objects" and BACKGROUND not in counts:
        return "No background is painted; paint some background (1) between and around the objects."
    if mode == "classes" and len(counts) == 1:
        return f"Only class {max(counts)} is painted; paint at least one other class, such as background (1)."
    return None

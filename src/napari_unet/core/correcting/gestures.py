"""Accept, reject, split and merge predicted objects: what a gesture changes in them, and in the paint.

A gesture is a statement about whole objects. What it says is painted: accepted, split and merged objects up
to their border, each with a value of its own, rejected ones as background. So it teaches as all paint does.

A painted object that has more than half of its pixels in the object of a gesture *is* that object: it
becomes it or, where it is rejected, background, and what sticks out becomes unlabelled again. From others,
such as the stroke of a neighbour that reaches a little into it, a rejection takes nothing.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_unet.core.annotation import BACKGROUND, FIRST_OBJECT
from napari_unet.core.arrays.runs import count_values, pixels_of
from napari_unet.core.correcting.numbering import unused_values
from napari_unet.core.correcting.strokes import divide, inside, spread, trace
from napari_unet.core.errors import InputError

GestureKind = Literal["accepted", "rejected", "split", "merged"]

Places = NDArray[np.intp]
"""Places in a flattened array, each once."""


@dataclass(frozen=True, slots=True)
class Gesture:
    """A judgement of one object."""

    kind: GestureKind
    time: float  # seconds since 1970


@dataclass(frozen=True, slots=True, eq=False)
class Edit:
    """New values for some pixels: ``array.ravel()[edit.pixels] = edit.values``; none that change nothing."""

    pixels: Places
    values: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Correction:
    """What a gesture changes."""

    kind: GestureKind
    objects: Edit  # of the predicted objects
    paint: Edit
    pixels: Places  # all pixels of the objects it speaks of, changed or not
    painted: dict[int, Places]  # the objects that are now painted up to their border, and their pixels
    # the paint value of each object that came of it; 1 for each one that was rejected
    values: tuple[int, ...]


def accept(objects: NDArray[Any], paint: NDArray[Any], ids: Collection[int]) -> Correction:
    """Paint objects as they were predicted.

    Parameters
    ----------
    objects : array (…YX) of int
        Predicted objects, 0 background.
    paint : array (…YX) of int
        Of the same shape, in "objects" mode.
    ids : collection of int
        The objects to accept.

    Raises
    ------
    InputError
        If the shapes differ, or no value of the paint is free for an object.
    """
    _check(objects, paint)
    found = pixels_of(objects, ids)
    return _paint_whole("accepted", paint, [found[number] for number in ids], _changes(objects, []))


def reject(objects: NDArray[Any], paint: NDArray[Any], ids: Collection[int]) -> Correction:
    """Take objects away, and paint background where they were; arguments as of :func:`accept`."""
    _check(objects, paint)
    pixels = _joined(list(pixels_of(objects, ids).values()))
    flat = paint.ravel()
    ((same, erased),) = _same_objects(paint, [pixels])
    others = (flat[pixels] >= FIRST_OBJECT) & ~np.isin(flat[pixels], same)
    return Correction(
        kind="rejected",
        objects=_changes(objects, [(pixels, 0)]),
        paint=_changes(paint, [(pixels[~others], BACKGROUND), (erased, 0)]),
        pixels=pixels,
        painted={},
        values=(BACKGROUND,) * len(ids),
    )


def split(
    objects: NDArray[Any], paint: NDArray[Any], path: ArrayLike, axes: tuple[int, int] = (-2, -1)
) -> Correction:
    """Cut every object in two or more that a stroke crosses.

    Parameters
    ----------
    objects, paint : arrays (…YX) of int
        As of :func:`accept`.
    path : array (N, D) float
        The stroke, from point to point, in pixels.
    axes : tuple of two ints
        The axes of the plane it was drawn on. Along the others, an object is cut as it is in that plane.

    Returns
    -------
    Correction
        The largest part keeps the number of the object, the others get numbers that no object has. No pixel
        leaves the objects: those under the stroke belong to a part beside it. Where the stroke crosses no
        object, but ends in one, it is continued to the nearest border of that object.

    Raises
    ------
    InputError
        If no object is cut in two, the shapes differ, or no number or value is free.
    """
    _check(objects, paint)
    stroke = np.asarray(path, float)
    kept = tuple(sorted(axis % objects.ndim for axis in axes))
    touched = touched_objects(objects, path, axes)
    if not touched:
        raise InputError("The stroke touches no object; draw it across one that is to be split.")
    whole = pixels_of(objects, touched)
    pieces = [_cut(objects, number, whole[number], stroke, kept) for number in touched]
    if not any(pieces):
        longest = max(touched, key=lambda number: _length_in(objects, number, stroke, kept))
        pieces = [_cut(objects, longest, whole[longest], stroke, kept, carry_on=True)]
    cut = [sorted(found, key=len, reverse=True) for found in pieces if found]
    if not cut:
        raise InputError("The stroke cuts no object in two; draw it across one, from side to side.")
    smaller = [piece for found in cut for piece in found[1:]]
    renamed = zip(smaller, unused_values(objects, len(smaller), at_least=1), strict=True)
    parts = [piece for found in cut for piece in found]
    return _paint_whole("split", paint, parts, _changes(objects, renamed))


def merge(
    objects: NDArray[Any], paint: NDArray[Any], path: ArrayLike, axes: tuple[int, int] = (-2, -1)
) -> Correction:
    """Make one object of all that a stroke touches; arguments as of :func:`split`.

    Returns
    -------
    Correction
        The object has the number that the largest of them had. No pixel joins the objects.

    Raises
    ------
    InputError
        If the stroke touches fewer than two objects, the shapes differ, or no value is free.
    """
    _check(objects, paint)
    touched = touched_objects(objects, path, axes)
    if len(touched) < 2:
        raise InputError("Draw the stroke from one object into another; all that it touches become one.")
    pieces = pixels_of(objects, touched)
    largest = max(touched, key=lambda number: pieces[number].size)
    whole = _joined(list(pieces.values()))
    return _paint_whole("merged", paint, [whole], _changes(objects, [(whole, largest)]))


def touched_objects(objects: NDArray[Any], path: ArrayLike, axes: tuple[int, int] = (-2, -1)) -> list[int]:
    """Return the objects that a stroke touches, in that order; arguments as of :func:`split`."""
    stroke = np.asarray(path, float)
    kept = tuple(sorted(axis % objects.ndim for axis in axes))
    plane = _plane(objects, stroke, kept)
    under = plane[inside(trace(stroke[:, kept]), plane.shape)]
    numbers, first = np.unique(under, return_index=True)
    return [int(number) for number in numbers[np.argsort(first)] if number > 0]


def _check(objects: NDArray[Any], paint: NDArray[Any]) -> None:
    if objects.shape != paint.shape:
        raise InputError(
            f"The predicted objects have shape {objects.shape} and the paint {paint.shape}; choose the "
            "objects and the paint of one image."
        )


def _plane(objects: NDArray[Any], stroke: NDArray[np.float64], kept: tuple[int, ...]) -> NDArray[Any]:
    """Return the plane that the stroke was drawn on, as a view."""
    at = np.clip(np.rint(stroke[0]).astype(int), 0, np.array(objects.shape) - 1)
    index = tuple(slice(None) if axis in kept else int(at[axis]) for axis in range(objects.ndim))
    return objects[index]


def _cut(
    objects: NDArray[Any],
    number: int,
    pixels: Places,
    stroke: NDArray[np.float64],
    kept: tuple[int, ...],
    *,
    carry_on: bool = False,
) -> list[Places]:
    """Return which ``pixels`` of an object are in each part into which the stroke cuts it, if it does."""
    y, x = (np.unravel_index(pixels, objects.shape)[axis] for axis in kept)
    box = (slice(int(y.min()), int(y.max()) + 1), slice(int(x.min()), int(x.max()) + 1))
    mask = _plane(objects, stroke, kept)[box] == number
    rows, columns = trace(stroke[:, kept])
    parts = divide(mask, (rows - box[0].start, columns - box[1].start), carry_on=carry_on)
    if parts is None:
        return []
    if objects.ndim > 2:
        spread(parts, parts == 0)
    which = parts[y - box[0].start, x - box[1].start]
    return [pixels[which == part] for part in range(1, int(which.max()) + 1)]


def _length_in(objects: NDArray[Any], number: int, stroke: NDArray[np.float64], kept: tuple[int, ...]) -> int:
    """Return how many pixels of the stroke are in an object."""
    plane = _plane(objects, stroke, kept)
    return int(np.count_nonzero(plane[inside(trace(stroke[:, kept]), plane.shape)] == number))


def _paint_whole(
    kind: GestureKind, paint: NDArray[Any], parts: Sequence[Places], objects: Edit
) -> Correction:
    """Paint every part as an object of its own, under the value it has already if it has one."""
    flat = paint.ravel()
    pixels = _joined(parts)
    taken: list[int | None] = []
    erased: list[Places] = []
    for part, (same, outside) in zip(parts, _same_objects(paint, parts), strict=True):
        erased.append(outside)
        largest = max(same, key=lambda value: np.count_nonzero(flat[part] == value), default=None)
        taken.append(largest)
    fresh = iter(unused_values(paint, taken.count(None), at_least=FIRST_OBJECT))
    values = [next(fresh) if value is None else value for value in taken]
    return Correction(
        kind=kind,
        objects=objects,
        # What sticks out of one part may be in another, which is painted.
        paint=_changes(paint, [(_without(_joined(erased), pixels), 0), *zip(parts, values, strict=True)]),
        pixels=pixels,
        painted=dict(zip(values, parts, strict=True)),
        values=tuple(values),
    )


def _same_objects(paint: NDArray[Any], parts: Sequence[Places]) -> list[tuple[list[int], Places]]:
    """Return for each part the painted objects with more than half of their pixels in it, and the others."""
    flat = paint.ravel()
    counts = [count_values(flat[part]) for part in parts]
    painted = {value for of_part in counts for value in of_part if value >= FIRST_OBJECT}
    everywhere = pixels_of(paint, painted)
    found = []
    for part, of_part in zip(parts, counts, strict=True):
        same = [
            value for value in of_part if value in painted and 2 * of_part[value] > everywhere[value].size
        ]
        found.append((same, _joined([_without(everywhere[value], part) for value in same])))
    return found


def _joined(parts: Sequence[Places]) -> Places:
    return np.sort(np.concatenate([np.zeros(0, np.intp), *parts]), kind="stable")


def _without(pixels: Places, others: Places) -> Places:
    return np.setdiff1d(pixels, others, assume_unique=True) if pixels.size else pixels


def _changes(labels: NDArray[Any], wanted: Iterable[tuple[Places, int]]) -> Edit:
    """Return which pixels change if every part gets its value; parts do not overlap."""
    written = list(wanted)
    pixels = np.concatenate([np.zeros(0, np.intp), *(part for part, _ in written)])
    values = np.repeat(
        np.array([value for _, value in written], np.int64), [part.size for part, _ in written]
    )
    changed = labels.ravel()[pixels] != values
    return Edit(pixels[changed], values[changed])

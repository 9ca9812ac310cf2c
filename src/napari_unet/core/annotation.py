"""What paint means: which pixels are known, and what they are.

Paint is the integer array of the annotation layer: 0 unlabelled (never background), 1 background, 2 and up
objects or, in ``classes`` mode, the other classes. All that reads paint reads it through this module.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.arrays.lazy import as_pixels, check_given
from napari_unet.core.errors import InputError

Mode = Literal["objects", "classes"]

BACKGROUND = 1
"""Paint value of the background, in both modes."""

FIRST_OBJECT = 2
"""Lowest paint value of an object (``objects`` mode) or of a class other than background (``classes``)."""

MAX_CLASSES = 255
"""Classes are stored as paint values in uint8."""

_PAIRS = {  # by the offset of a neighbour along an axis: the pixels that have it, and those neighbours
    -1: (slice(1, None), slice(None, -1)),
    0: (slice(None), slice(None)),
    1: (slice(None, -1), slice(1, None)),
}
_MAX_ID = int(np.iinfo(np.int32).max)
_VALUES = "0 unlabelled, 1 background, 2 and up objects or other classes"


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """What a network is taught, and where."""

    target: NDArray[np.uint8]  # (…YX) 0-based class: 0 background. 0 as well where nothing is known
    known: NDArray[np.bool_]  # (…YX) True where there is paint
    n_classes: int  # K >= 2, background included


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
        raise InputError(too_many_classes(highest, limit))
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


def too_many_classes(highest: int, limit: int) -> str:
    """Return in a sentence that there is paint of a class above the highest that there can be."""
    return (
        f"The paint has the value {highest}, but there can only be {limit} classes; paint classes with the "
        f"values 1 to {limit}, or choose objects mode."
    )

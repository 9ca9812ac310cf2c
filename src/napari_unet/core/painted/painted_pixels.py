"""The painted pixels of a plane, few of all its pixels, and the objects that they belong to."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import BACKGROUND, FIRST_OBJECT
from napari_unet.core.arrays.runs import by_value
from napari_unet.core.borders.weight_reading import TOUCHING


@dataclass(frozen=True, slots=True, eq=False)
class PaintedPixels:
    """The N painted pixels of one plane or volume, in C order."""

    shape: tuple[int, ...]  # of the plane
    flat: NDArray[np.intp]  # (N,) flat indices
    values: NDArray[np.int32]  # (N,) paint
    # (N,) number of the connected part of each, as `number_parts` returns it, or other numbers that differ
    # where those do. In the rim of an object it is minus the value of that object: rim and object are one
    # stroke, since either would give the other away
    parts: NDArray[np.int32]

    @classmethod
    def of(
        cls, paint: NDArray[np.int32], parts: NDArray[np.int32], rims: NDArray[np.int32] | None = None
    ) -> "PaintedPixels":
        """Return those of checked paint (…YX), which is background where there are ``rims``.

        Parameters
        ----------
        paint : array (…YX) int32
        parts : array (…YX) int32
            From :func:`napari_unet.core.painted.holdout.number_parts`, of the paint without rims.
        rims : array (…YX) int32, optional
            From :func:`napari_unet.core.painted.rim.find_rims`; None where there are none.
        """
        flat = np.flatnonzero(paint)
        numbers = parts.reshape(-1)[flat]
        if rims is not None:
            numbers -= rims.reshape(-1)[flat]
        return cls(paint.shape, flat, paint.reshape(-1)[flat], numbers)

    @property
    def background(self) -> NDArray[np.intp]:
        """Flat indices of painted background."""
        pixels: NDArray[np.intp] = self.flat[self.values == BACKGROUND]
        return pixels

    def edited(
        self,
        rows: slice,
        paint: NDArray[np.int32],
        parts: NDArray[np.int32],
        rims: NDArray[np.int32] | None = None,
    ) -> "PaintedPixels":
        """Return what :meth:`of` would, after an edit that changed only these rows of the first axis."""
        row = prod(self.shape[1:])
        first, last = np.searchsorted(self.flat, (rows.start * row, rows.stop * row))
        anew = self.of(paint[rows], parts[rows], None if rims is None else rims[rows])

        def joined(before: NDArray[Any], within: NDArray[Any]) -> NDArray[Any]:
            return np.concatenate((before[:first], within, before[last:]))

        return PaintedPixels(
            self.shape,
            joined(self.flat, anew.flat + rows.start * row),
            joined(self.values, anew.values),
            joined(self.parts, anew.parts),
        )


def scatter(
    values: NDArray[Any], pixels: PaintedPixels, onto: tuple[NDArray[Any], PaintedPixels] | None = None
) -> NDArray[Any]:
    """Return an array of the shape of the plane with ``values`` (N,) where it is painted, 0 elsewhere.

    An array that was scattered earlier, given with its pixels, is rewritten: for few pixels of a large plane
    that takes a hundredth of the time.
    """
    if onto is None:
        result = np.zeros(pixels.shape, values.dtype)
    else:
        result, before = onto
        result.reshape(-1)[before.flat] = 0
    result.reshape(-1)[pixels.flat] = values
    return result


@dataclass(frozen=True, slots=True, eq=False)
class PaintedObjects:
    """The N objects of one painted plane or volume, in the order of their values."""

    inside: NDArray[np.intp]  # (N,) flat index of a pixel of each
    # (N or more, ndim) lengths of the bounding box of each in pixels; or of each piece, where they lack
    # numbers
    spans: NDArray[np.intp]
    # whether two of them are so close, or touch, that the weight map has a border between them; True as well
    # where no border is asked for
    shows_border: bool


def find_painted_objects(
    painted: PaintedPixels, numbered: PaintedPixels, border: NDArray[np.float32], w0: float
) -> PaintedObjects:
    """Return the objects of paint in "objects" mode.

    Parameters
    ----------
    painted : PaintedPixels
        Every value >= 2 is one object, connected or not.
    numbered : PaintedPixels
        The same with a number for each piece, if they lack numbers; see
        :func:`napari_unet.core.painted.pieces.number_pieces`.
    border : array (N,) float32
        The border term of the weight map of that paint, where it is painted.
    w0 : float
        Height of the border term, >= 0.
    """
    pixels, starts, counts = _by_object(painted)
    inside = pixels[starts + counts // 2]
    if numbered is not painted:
        pixels, starts, _ = _by_object(numbered)
    spans = np.zeros((starts.size, len(painted.shape)), np.intp)
    if starts.size:
        for axis, places in enumerate(np.unravel_index(pixels, painted.shape)):
            spans[:, axis] = np.maximum.reduceat(places, starts) - np.minimum.reduceat(places, starts) + 1
    return PaintedObjects(inside, spans, shows_border=w0 == 0 or bool((border >= TOUCHING * w0).any()))


def _by_object(painted: PaintedPixels) -> tuple[NDArray[np.intp], ...]:
    """Return the pixels of objects, one object after the other, where each starts, and how many it has."""
    is_object = painted.values >= FIRST_OBJECT
    # The pixels of an object stay in the order of the plane, so the middle one is near its middle.
    order, _, starts = by_value(painted.values[is_object])
    return painted.flat[is_object][order], starts, np.diff(starts, append=order.size)

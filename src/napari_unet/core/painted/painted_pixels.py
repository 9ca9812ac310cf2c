"""The painted pixels of a plane: few among those of an image, so that they alone are handled."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import BACKGROUND


@dataclass(frozen=True, slots=True, eq=False)
class PaintedPixels:
    """The N painted pixels of one plane or volume, in C order: strokes are few among the pixels of an image.

    Parameters
    ----------
    shape : tuple of int
        Of the plane.
    flat : array (N,) of int
        Flat indices.
    values : array (N,) int32
        Paint.
    parts : array (N,) int32
        Number of the connected part that each is of, as
        :func:`napari_unet.core.painted.holdout.number_parts` returns it, or any other numbers that differ
        where those do. In the rim of an object it is the value of that object, negative: rim and object are
        one stroke, for either would give the other away.
    """

    shape: tuple[int, ...]
    flat: NDArray[np.intp]
    values: NDArray[np.int32]
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

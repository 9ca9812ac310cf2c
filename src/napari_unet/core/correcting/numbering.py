"""Numbers that no object has yet, and objects that were painted with one number and need their own."""

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label

from napari_unet.core.annotation import FIRST_OBJECT
from napari_unet.core.arrays.boxes import box_of
from napari_unet.core.errors import InputError
from napari_unet.core.painted.pieces import count_pieces

_LAST_VALUE = int(np.iinfo(np.int32).max)


def unused_values(labels: NDArray[Any], count: int, *, at_least: int) -> list[int]:
    """Return values that ``labels`` do not hold: those after the highest, or else the lowest ones free.

    Raises
    ------
    InputError
        If fewer are free of those that the type of the labels has, or int32, in which napari selects them.
    """
    if count == 0:
        return []
    limit = min(int(np.iinfo(labels.dtype).max), _LAST_VALUE)
    first = max(int(labels.max(initial=0)) + 1, at_least)
    if first + count - 1 <= limit:
        return list(range(first, first + count))
    used = np.unique(labels)
    free = np.arange(at_least, min(at_least + used.size + count, limit + 1))
    free = free[~np.isin(free, used)][:count]
    if free.size < count:
        raise InputError(
            f"All numbers up to {limit} are in use, so there is none for another object; store the layer "
            "with more bits (right-click it in the layer list, Convert data type)."
        )
    return [int(value) for value in free]


def number_separately(
    paint: NDArray[np.integer[Any]], *, but: Collection[int] = ()
) -> tuple[tuple[NDArray[np.intp], ...], NDArray[np.integer[Any]]]:
    """Give each piece a number of its own, of objects that are in several separate pieces in a plane.

    Parameters
    ----------
    paint : array (…YX) of integers
        Pieces in neighbouring planes that touch are one. The first of each object, in raster order, keeps
        its number.
    but : collection of int
        Objects that stay as they are.

    Returns
    -------
    indices : tuple of arrays (N,)
        Along each axis, of the pixels that get another number.
    values : array (N,)
        These numbers, which the paint does not hold yet, in the raster order of the first pixels.

    Raises
    ------
    InputError
        If the type of the paint has not enough numbers left.
    """
    scattered = [value for value, pieces in count_pieces(paint).items() if pieces > 1 and value not in but]
    chosen = np.isin(paint, scattered)
    indices = np.nonzero(chosen)
    before = paint[indices]
    box = box_of(chosen)
    if box is None:
        return indices, before
    shown = np.where(chosen[box], paint[box], 0)
    parts = label(shown, connectivity=paint.ndim)[chosen[box]]  # type: ignore[no-untyped-call]
    _, first, part = np.unique(parts, return_index=True, return_inverse=True)
    raster = np.argsort(first)  # the library numbers the parts of a volume along its longest axis first
    first, part = first[raster], np.argsort(raster)[part]
    numbers = before[first]
    is_other = np.ones(first.size, bool)
    is_other[np.unique(numbers, return_index=True)[1]] = False
    numbers[is_other] = unused_values(paint, int(np.count_nonzero(is_other)), at_least=FIRST_OBJECT)
    values = numbers[part]
    changed = values != before
    return tuple(at[changed] for at in indices), values[changed]

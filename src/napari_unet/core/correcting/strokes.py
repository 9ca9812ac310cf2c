"""A stroke of the mouse on a plane: the pixels it runs through, and how it cuts an object."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from skimage.draw import line as draw_line

from napari_unet.core.arrays.boxes import box_of, widen

Line = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Rows and columns of the pixels of a stroke, in the order in which it was drawn."""

_CRUMB = 9
_CRUMB_PART = 0.1
"""A piece of fewer pixels than that, and less than this part of the object, was cut off by the tremor of a
hand; it stays with the piece beside it."""

_ALL_SIDES = np.ones((3, 3), bool)


def trace(points: ArrayLike) -> Line:
    """Return the pixels of a stroke from point to point (N, 2), each beside the next along one axis.

    So nothing that is connected over corners only slips through.
    """
    corners = np.rint(np.asarray(points, float).reshape(-1, 2)).astype(int)
    rows, columns = [corners[:1, 0]], [corners[:1, 1]]
    for first, last in zip(corners[:-1].tolist(), corners[1:].tolist(), strict=True):
        y, x = draw_line(*first, *last)  # type: ignore[no-untyped-call]
        # Between two pixels that touch at a corner comes the one beside both.
        y, x = np.repeat(y, 2)[1:], np.repeat(x, 2)[:-1]
        rows.append(y[1:])
        columns.append(x[1:])
    return np.concatenate(rows), np.concatenate(columns)


def inside(line: Line, shape: tuple[int, ...]) -> Line:
    """Return the pixels of ``line`` that are in an array of ``shape`` (YX)."""
    y, x = line
    kept = (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])
    return y[kept], x[kept]


def divide(mask: NDArray[np.bool_], line: Line, *, carry_on: bool = False) -> NDArray[np.int32] | None:
    """Return the parts into which a stroke cuts an object.

    Parameters
    ----------
    mask : array (YX) bool
        The object, or what is seen of it; it may consist of several pieces.
    line : two arrays of int
        The pixels of the stroke, from :func:`trace`; they may lie outside the array.
    carry_on : bool
        Whether an end of the stroke that lies in the object is carried on to the nearest border of it.

    Returns
    -------
    array (YX) int32 or None
        1, 2, ... in the object, 0 elsewhere. What is under the stroke belongs to a part beside it. None if
        the stroke does not cut it in two.
    """
    if carry_on:
        ends = [line[0][[0, -1]], line[1][[0, -1]]]
        for number, (y, x) in enumerate(zip(*ends, strict=True)):
            if 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1] and mask[y, x]:
                more = trace([(y, x), _nearest_outside(mask, (int(y), int(x)))])
                before, after = (line, more) if number else ((more[0][::-1], more[1][::-1]), line)
                line = np.concatenate((before[0], after[0])), np.concatenate((before[1], after[1]))
    cut = np.zeros(mask.shape, bool)
    cut[inside(line, mask.shape)] = True
    cut &= mask
    pieces, count = ndimage.label(mask & ~cut, structure=_ALL_SIDES)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    beside = np.zeros(count + 1, bool)
    beside[np.unique(pieces[ndimage.binary_dilation(cut, _ALL_SIDES)])] = True
    large = (sizes >= _CRUMB) | (sizes >= _CRUMB_PART * np.count_nonzero(mask))
    parts = beside & large
    parts[0] = False
    if np.count_nonzero(parts) < 2:
        return None
    numbers = np.where(parts, np.cumsum(parts), 0).astype(np.int32)
    divided: NDArray[np.int32] = numbers[pieces]
    spread(divided, mask & (divided == 0))
    return divided


def spread(parts: NDArray[np.int32], where: NDArray[np.bool_]) -> None:
    """Give the pixels ``where`` the number of the nearest of ``parts`` (YX), in place."""
    holes = box_of(where)
    if holes is None:
        return
    box = widen(holes, (2, 2), parts.shape)  # beside the holes there are parts
    near = ndimage.distance_transform_edt(parts[box] == 0, return_distances=False, return_indices=True)
    parts[box] = np.where(where[box], parts[box][tuple(near)], parts[box])


def _nearest_outside(mask: NDArray[np.bool_], place: tuple[int, int]) -> tuple[int, int]:
    """Return the pixel nearest to ``place`` that is not of the object; it may be beside the array."""
    near = ndimage.distance_transform_edt(np.pad(mask, 1), return_distances=False, return_indices=True)
    y, x = (int(axis[place[0] + 1, place[1] + 1]) - 1 for axis in near)
    return y, x

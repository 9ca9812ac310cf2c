"""How deep every pixel of a fully painted object lies in it: what the distance head of a network learns.

The border of a stroke says nothing about the border of the object, so only objects that are known to be
painted in full (filled, or accepted from a prediction) have a depth. That they are is told, never guessed.
"""

from collections.abc import Collection, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.annotation import BACKGROUND, FIRST_OBJECT
from napari_unet.core.two_nearest import with_small_ids

Full = bool | Collection[int]
"""Which objects of a paint are painted in full: all (True), none (False), or those with these values."""

UNKNOWN = -1.0
"""Where there is no distance to learn: unpainted pixels, and objects that are not painted in full."""

_REACH = 0.5
"""Depth that counts as the middle of an object, as a part of the largest depth of the median object."""

_SMALLEST_REACH = 2.0


def full_objects(
    paint: NDArray[np.int32], full: Full
) -> Iterator[tuple[int, tuple[slice, ...], NDArray[np.bool_]]]:
    """Yield value, bounding box (one pixel wider where the image allows) and mask in it of every full object.

    An object that fills the whole of its box, and so of the image, shows no border and is left out.
    """
    if full is False:
        return
    numbers = with_small_ids(paint)  # scipy keeps a place for every number up to the highest
    for number, box in enumerate(ndimage.find_objects(numbers), start=1):
        if box is None:
            continue
        value = int(paint[box][numbers[box] == number][0])
        if value < FIRST_OBJECT or (full is not True and value not in full):
            continue
        wide = tuple(
            slice(max(cut.start - 1, 0), min(cut.stop + 1, edge))
            for cut, edge in zip(box, paint.shape, strict=True)
        )
        mask = paint[wide] == value
        if not mask.all():
            yield value, wide, mask


def choose_reach(
    paints: Sequence[NDArray[np.int32]], full: Sequence[Full], spacing: Sequence[float] | None = None
) -> float | None:
    """Return the depth from which on all is as deep: half that of the median object; None without a full one.

    Parameters
    ----------
    paints : sequence of arrays (…YX) int32
    full : sequence of Full
        For each paint.
    spacing : sequence of float, optional
        Pixel size along each axis.

    Returns
    -------
    float or None
        In pixels, or the unit of ``spacing``; at least 2 pixels of the finest axis.
    """
    depths = [
        float(ndimage.distance_transform_edt(mask, sampling=spacing).max())
        for paint, which in zip(paints, full, strict=True)
        for _, _, mask in full_objects(paint, which)
    ]
    if not depths:
        return None
    return max(_REACH * float(np.median(depths)), _SMALLEST_REACH * min(spacing or (1.0,)))


def object_distance(
    paint: NDArray[np.int32], full: Full, reach: float, spacing: Sequence[float] | None = None
) -> NDArray[np.float32]:
    """Return the distance of every pixel to the border of its object, relative to ``reach`` and at most 1.

    Parameters
    ----------
    paint : array (…YX) int32
    full : Full
    reach : float
        From :func:`choose_reach`. Deeper than that the network would have to look far for a border that
        decides nothing.
    spacing : sequence of float, optional
        Pixel size along each axis.

    Returns
    -------
    array (…YX) float32
        In (0, 1] in full objects, 0 on painted background, -1 (``UNKNOWN``) elsewhere. The edge of the image
        is no border: objects may go on behind it.
    """
    result = np.full(paint.shape, UNKNOWN, np.float32)
    result[paint == BACKGROUND] = 0
    for _, box, mask in full_objects(paint, full):
        depth = ndimage.distance_transform_edt(mask, sampling=spacing)
        result[box][mask] = np.minimum(depth[mask] / reach, 1)
    return result

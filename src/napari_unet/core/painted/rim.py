"""Where objects end: the pixels just outside of a fully painted object are background.

Paint that fills an object to its border says so, though nothing is painted there. Without these pixels the
border is taught from inside alone, and masks grow over it: on small nuclei by enough to halve the overlap
with the truth. Where another object lies there, it is the seam between the two, which is background as well,
and where the border weights are highest.
"""

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.annotation import BACKGROUND, FIRST_OBJECT
from napari_unet.core.arrays.boxes import Box, box_of, enclose, part_of, whole, widen
from napari_unet.core.painted.object_distance import Full


def find_rims(paint: NDArray[np.int32], full: Full) -> NDArray[np.int32]:
    """Return the unlabelled pixels beside fully painted objects: background that nobody has to paint.

    Parameters
    ----------
    paint : array (…YX) int32
        In "objects" mode, or a window of it: what is found depends on the pixels next to each other alone.
    full : Full
        Which of its objects are painted in full.

    Returns
    -------
    array (…YX) int32
        The value of the object that the pixel is beside, the highest where there are several; 0 elsewhere.
        Neighbours are those of full connectivity.
    """
    if full is False:
        return np.zeros(paint.shape, np.int32)
    is_full = paint >= FIRST_OBJECT if full is True else np.isin(paint, list(full))
    near: NDArray[np.int32] = ndimage.maximum_filter(np.where(is_full, paint, 0), size=3, mode="nearest")
    return np.where(paint == 0, near, 0)


@dataclass(frozen=True, slots=True, eq=False)
class TaughtPlane:
    """A plane (YX) of paint as it was ``painted`` and as it is ``taught``: which differs around full objects.

    Where none is ``full``, the two are one array.
    """

    painted: NDArray[Any]
    taught: NDArray[Any]
    full: Full

    @classmethod
    def of(cls, painted: NDArray[Any], full: Full) -> "TaughtPlane":
        """Return a plane whose rims are not known yet."""
        return cls(painted, painted if full is False else _with_rims(painted, full), full)

    def edited(
        self, painted: NDArray[Any], changed: Box | None, full: Full
    ) -> tuple["TaughtPlane", Box | None]:
        """Return the plane after an edit, at the cost of the edit alone, and where what it teaches changed.

        Parameters
        ----------
        painted : array (YX)
            Another array than before, or the same where only what is full changed.
        changed : tuple of slice, or None
            Where it is painted otherwise; None for nowhere.
        full : Full
            Which of its objects are full now, inside and outside of that box.
        """
        if full != self.full:
            judged = _judged_otherwise(painted, self.full, full)
            boxes = [box for box in (changed, judged) if box is not None]
            changed = reduce(enclose, boxes) if boxes else None
        if changed is None:
            return TaughtPlane(painted, self.taught, full), None
        beside = (1,) * painted.ndim
        near = widen(changed, beside, painted.shape)
        if full is False:
            return TaughtPlane(painted, painted, full), near
        wide = widen(near, beside, painted.shape)
        taught = self.taught.copy()
        taught[near] = _with_rims(painted[wide], full)[part_of(near, wide)]
        return TaughtPlane(painted, taught, full), near


def _with_rims(painted: NDArray[Any], full: Full) -> NDArray[Any]:
    return np.where(find_rims(painted, full) > 0, painted.dtype.type(BACKGROUND), painted)


def _judged_otherwise(painted: NDArray[Any], before: Full, after: Full) -> Box | None:
    """Return the box of the objects that have become full or no longer are."""
    if before is True or after is True:
        return whole(painted.shape)
    return box_of(np.isin(painted, list(set(before or ()) ^ set(after or ()))))

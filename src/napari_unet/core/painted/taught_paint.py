"""A plane of paint as it is taught: with the background around full objects, which nobody had to paint."""

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import BACKGROUND
from napari_unet.core.arrays.blocks import Box, box_of, enclose, part_of, whole, widen
from napari_unet.core.painted.object_distance import Full
from napari_unet.core.painted.rim import find_rims


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
        """Return a plane whose rims are to be found everywhere."""
        return cls(painted, painted if full is False else _with_rims(painted, full), full)

    def edited(
        self, painted: NDArray[Any], changed: Box | None, full: Full
    ) -> tuple["TaughtPlane", Box | None]:
        """Return the plane after an edit, for what the edit costs, and where it is taught otherwise.

        Parameters
        ----------
        painted : array (YX)
            Another array than before, or the same where only what is full changed.
        changed : tuple of slice, or None
            Where it is painted otherwise; None for nowhere.
        full : Full
            Which of its objects are full now, also outside of that box.
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
    """Return the box of the objects that have become full, or are so no more."""
    if before is True or after is True:
        return whole(painted.shape)
    return box_of(np.isin(painted, list(set(before or ()) ^ set(after or ()))))

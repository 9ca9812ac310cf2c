"""What the user made of predicted objects stays in those that are predicted, or read, next."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import BACKGROUND
from napari_unet.core.arrays.boxes import Plane
from napari_unet.core.correcting.gestures import Places


@dataclass(frozen=True, slots=True, eq=False)
class Corrected:
    """What was said about the objects of one image."""

    paint: NDArray[Any]  # (…YX), in "objects" mode
    accepted: Collection[int]  # values of the painted objects that stay as they are painted
    rejected: Sequence[Places]  # where there is no object; all of that is painted as background

    def keep(self, objects: NDArray[np.int32], plane: Plane = (), *, taken: int = 0) -> NDArray[np.int32]:
        """Return the new ``objects`` (spatial...) of a plane of the image with the corrected ones in it.

        They are numbered on from ``taken``: the new ones in their order, then the accepted ones in that of
        their values. A new object is left out if more than half of its pixels were accepted, or are painted
        as background. Of others, what was accepted or rejected is cut off.
        """
        paint = np.asarray(self.paint[plane])
        accepted = np.isin(paint, list(self.accepted))
        sizes = np.bincount(objects.ravel())
        spoken_of = objects[accepted | (paint == BACKGROUND)]
        stays = 2 * np.bincount(spoken_of, minlength=sizes.size) <= sizes
        stays &= sizes > 0
        stays[0] = False
        result: NDArray[np.int32] = np.where(stays, taken + np.cumsum(stays), 0).astype(np.int32)[objects]
        first = int(np.ravel_multi_index((*plane, *(0,) * paint.ndim), self.paint.shape))
        for pixels in self.rejected:
            result.flat[pixels[(pixels >= first) & (pixels < first + paint.size)] - first] = 0
        _, number = np.unique(paint[accepted], return_inverse=True)
        result[accepted] = taken + np.count_nonzero(stays) + 1 + number
        return result

    def keep_in_all(self, objects: NDArray[np.int32], ndim: int) -> Iterator[Plane]:
        """Write the corrected objects into the new ``objects`` (…YX) of the whole image, plane by plane.

        They are numbered on from plane to plane. Each plane has ``ndim`` axes; those that change are yielded.
        """
        taken, more = 0, 0
        for plane in np.ndindex(objects.shape[: objects.ndim - ndim]):
            here = objects[plane]
            count = count_from(taken, here)
            if self.is_about(plane):
                here[...] = self.keep(here, plane, taken=taken + more)
                more += count_from(taken + more, here) - count
                yield plane
            elif more:
                np.add(here, more, out=here, where=here > 0)
                yield plane
            taken += count

    def count_accepted(self, plane: Plane = ()) -> int:
        """Return how many objects of a plane, or of all of them, were accepted."""
        if not plane:
            return len(self.accepted)
        return int(np.isin(list(self.accepted), self.paint[plane]).sum())

    def is_about(self, plane: Plane) -> bool:
        """Return whether anything may have been said about the objects of this plane."""
        return bool(np.any(self.paint[plane]))


def count_from(taken: int, objects: NDArray[np.int32]) -> int:
    """Return how many ``objects`` of a plane there are, which are numbered on from ``taken``."""
    return max(int(objects.max(initial=0)) - taken, 0)

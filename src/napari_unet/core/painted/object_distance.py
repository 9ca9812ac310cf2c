"""How deep every pixel of a fully painted object lies in it: what the distance head of a network learns.

The border of a stroke says nothing about the border of the object, so only objects that are known to be
painted in full (filled, or accepted from a prediction) have a depth. The user says which, nobody guesses.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.annotation import BACKGROUND, FIRST_OBJECT
from napari_unet.core.arrays.boxes import Box, widen
from napari_unet.core.borders.two_nearest import with_small_ids

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
        value = number if numbers is paint else int(paint[box][numbers[box] == number][0])
        if is_full(value, full):
            wide, mask = outline(paint, value, box)
            if not mask.all():
                yield value, wide, mask


def is_full(value: int, full: Full) -> bool:
    """Return whether paint of ``value`` is an object that is painted in full."""
    return value >= FIRST_OBJECT and (full if isinstance(full, bool) else value in full)


def outline(paint: NDArray[np.int32], value: int, box: Box) -> tuple[tuple[slice, ...], NDArray[np.bool_]]:
    """Return the ``box`` around an object, one pixel wider where ``paint`` allows, and its mask in it."""
    wide = widen(box, (1,) * paint.ndim, paint.shape)
    return wide, paint[wide] == value


@dataclass(frozen=True, slots=True, eq=False)
class Depth:
    """How deep the pixels of one full object lie in it."""

    box: tuple[slice, ...]  # its bounding box, one pixel wider where the image allows
    # distance to the border of the object, 0 outside of it. The edge of the image is no border: objects may
    # go on behind it
    depth: NDArray[np.float32]
    deepest: float  # the highest of `depth`

    @classmethod
    def of(
        cls, box: tuple[slice, ...], mask: NDArray[np.bool_], spacing: Sequence[float] | None = None
    ) -> "Depth":
        """Return that of an object with this mask in its box."""
        depth = ndimage.distance_transform_edt(mask, sampling=spacing)
        return cls(box, depth.astype(np.float32), float(depth.max()))

    def draw(self, distance: NDArray[np.float32], reach: float) -> None:
        """Write the distances of this object into a map (…YX) of them."""
        np.copyto(distance[self.box], np.minimum(self.depth / reach, 1), where=self.depth > 0)

    def erase(self, distance: NDArray[np.float32]) -> None:
        """Make the distances of this object unknown in a map (…YX)."""
        distance[self.box][self.depth > 0] = UNKNOWN


def measure_depths(
    paint: NDArray[np.int32], full: Full, spacing: Sequence[float] | None = None
) -> dict[int, Depth]:
    """Return, by value, the depths of the full objects of ``paint`` (…YX).

    ``spacing`` is the pixel size along each axis; depths are in its unit, without it in pixels.
    """
    return {value: Depth.of(box, mask, spacing) for value, box, mask in full_objects(paint, full)}


def choose_reach(depths: Iterable[Depth], spacing: Sequence[float] | None = None) -> float | None:
    """Return the depth from which on all counts as deep: half that of the median full object; None without.

    In pixels, or the unit of ``spacing``; at least 2 pixels of the finest axis.
    """
    deepest = [depth.deepest for depth in depths]
    if not deepest:
        return None
    return max(_REACH * float(np.median(deepest)), _SMALLEST_REACH * min(spacing or (1.0,)))


def object_distance(paint: NDArray[np.int32], depths: Iterable[Depth], reach: float) -> NDArray[np.float32]:
    """Return the distance of every pixel to the border of its object, relative to ``reach`` and at most 1.

    Parameters
    ----------
    paint : array (…YX) int32
    depths : iterable of Depth
        Of its full objects.
    reach : float
        From :func:`choose_reach`. Deeper than that the network would have to look far for a border that
        decides nothing.

    Returns
    -------
    array (…YX) float32
        In (0, 1] in full objects, 0 on painted background, -1 (``UNKNOWN``) elsewhere.
    """
    result = np.full(paint.shape, UNKNOWN, np.float32)
    result[paint == BACKGROUND] = 0
    for depth in depths:
        depth.draw(result, reach)
    return result

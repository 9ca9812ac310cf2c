"""Which objects of a paint are known to be painted up to their border: told by the user, never guessed.

Either all of them are filled; or some lie in a complete region, with all their border in it; or some came
from a prediction that the user accepted or corrected. Such an accepted object counts as long as its pixels
are exactly those that were accepted: once it is painted over, added to or erased from, nobody has said that
it is still right. Undoing the change makes it count again, and redoing it does not.
"""

import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import FIRST_OBJECT
from napari_unet.core.arrays.boxes import Box, flat_places
from napari_unet.core.arrays.runs import by_value, pixels_of
from napari_unet.core.painted.object_distance import Full
from napari_unet.core.painted.regions import Region, cores, objects_inside

_NOWHERE = np.zeros(0, np.intp)


@dataclass(frozen=True, slots=True)
class KnownFull:
    """What the user said about the objects of one paint."""

    filled: bool = False  # whether all of them are painted up to their border
    # paint value and checksum of the pixels of every accepted object, as it was then. An object that was
    # accepted twice is in it twice, so that the first shape is still known when the second is undone
    accepted: frozenset[tuple[int, int]] = frozenset()
    regions: tuple[Region, ...] = ()  # where everything is annotated

    def accept(self, paint: NDArray[np.integer[Any]], values: Collection[int]) -> "KnownFull":
        """Return a copy with the objects of these ``values`` accepted as they are in ``paint`` (…YX)."""
        return self.accept_pixels(pixels_of(paint, [value for value in values if value >= FIRST_OBJECT]))

    def accept_pixels(self, painted: Mapping[int, NDArray[np.intp]]) -> "KnownFull":
        """Return a copy with objects accepted whose pixels are known.

        Parameters
        ----------
        painted : mapping of int to array of int
            The paint value of every object, and the flat indices of its pixels, in ascending order.
        """
        return replace(self, accepted=self.accepted.union((v, _checksum(at)) for v, at in painted.items()))

    def within(self, paint: NDArray[np.integer[Any]]) -> Full:
        """Return which objects of ``paint`` (…YX) are painted in full.

        Returns
        -------
        Full
            True where all are, else the values of those in complete regions and of those that are as they
            were accepted; False for none.
        """
        if self.filled:
            return True
        return self.still_accepted(paint) | objects_inside(paint, self.regions) or False

    def still_accepted(self, paint: NDArray[np.integer[Any]]) -> set[int]:
        """Return the values of the objects of ``paint`` (…YX) that are exactly as they were accepted."""
        present = pixels_of(paint, {value for value, _ in self.accepted})
        return {value for value, at in present.items() if (value, _checksum(at)) in self.accepted}


def _divided(values: NDArray[np.integer[Any]], pixels: NDArray[np.intp]) -> dict[int, NDArray[np.intp]]:
    """Return the ``pixels`` (N,) of every one of the ``values`` (N,) of pixels, in the order they are in."""
    order, present, starts = by_value(values)
    return dict(zip(present.tolist(), np.split(pixels[order], starts[1:]), strict=False))


def _checksum(pixels: NDArray[np.intp]) -> int:
    """Return a checksum of an object's ``pixels``, ascending, which changes if it is painted on."""
    return zlib.crc32(pixels.astype("<i8").tobytes())


class FollowedFull:
    """What :meth:`KnownFull.within` returns for one paint, brought up to date edit by edit.

    It keeps the pixels of the objects that may be full: the accepted, or all if there are complete regions.

    Parameters
    ----------
    known : KnownFull
        What was told of its objects.
    shape : tuple of int
        Of the paint (…YX), which is taken to be empty before the first :meth:`edit`.
    """

    def __init__(self, known: KnownFull, shape: tuple[int, ...]) -> None:
        self.known = known
        self.shape = shape
        self.full: Full = known.filled
        """As :meth:`KnownFull.within` returns it; another object whenever it is another set."""
        self._values = [] if known.filled else sorted({value for value, _ in known.accepted})
        self._cores: dict[int, NDArray[np.bool_]] = {}
        for plane, core in () if known.filled else cores(known.regions, shape):
            number = int(np.ravel_multi_index(plane, shape[:-2])) if plane else 0
            self._cores[number] = core.reshape(-1)
        self._pixels: dict[int, NDArray[np.intp]] = {}

    def edit(self, index: tuple[int, ...], box: Box, values: NDArray[np.integer[Any]]) -> None:
        """Take in what is painted now in a box of the paint: ``values``, of its shape.

        ``index``, of the plane or volume that ``box`` is a part of, is along the leading axes.
        """
        if not self._values and not self._cores:
            return
        box = (*(slice(at, at + 1) for at in index), *box)
        values = values[(np.newaxis,) * len(index)]
        followed = values >= FIRST_OBJECT if self._cores else np.isin(values, self._values)
        at = np.nonzero(followed)
        here = _divided(values[at], flat_places(at, box, self.shape))
        first, last = (
            int(np.ravel_multi_index(corner, self.shape))
            for corner in ([side.start for side in box], [side.stop - 1 for side in box])
        )
        near = {value for value, pixels in self._pixels.items() if pixels[0] <= last and pixels[-1] >= first}
        full: set[int] = set() if isinstance(self.full, bool) else set(self.full)
        for value in near | here.keys():
            before, now = self._pixels.get(value, _NOWHERE), here.get(value, _NOWHERE)
            within = np.ones(before.shape, bool)
            for along, side in zip(np.unravel_index(before, self.shape), box, strict=True):
                within &= (along >= side.start) & (along < side.stop)
            if np.array_equal(before[within], now):
                continue
            pixels = np.union1d(before[~within], now)
            self._pixels[value] = pixels
            full.discard(value)
            if not pixels.size:
                del self._pixels[value]
            elif (value, _checksum(pixels)) in self.known.accepted or self._are_inside(pixels):
                full.add(value)
        self.full = full or False

    def _are_inside(self, pixels: NDArray[np.intp]) -> bool:
        """Return whether all of these pixels, and all beside them, are in complete regions."""
        planes, in_plane = np.divmod(pixels, self.shape[-2] * self.shape[-1])
        return all(
            plane in self._cores and bool(self._cores[plane][in_plane[planes == plane]].all())
            for plane in np.unique(planes).tolist()
        )

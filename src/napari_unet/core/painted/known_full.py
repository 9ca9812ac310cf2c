"""Which objects of a paint are known to be painted up to their border: told by the user, never guessed.

Either all of them are filled; or some lie in a complete region, with all their border in it; or some came
from a prediction that the user accepted or mended. Such an accepted object counts as long as its pixels are
just those that were accepted: once something is painted over it, added to it or erased of it, nobody has said
that it is still right. Undoing that makes it count again, and redoing it does not.
"""

import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import FIRST_OBJECT
from napari_unet.core.painted.object_distance import Full
from napari_unet.core.painted.regions import Region, objects_inside


@dataclass(frozen=True, slots=True)
class KnownFull:
    """What was told of the objects of one paint.

    Parameters
    ----------
    filled : bool
        Whether all of them are painted up to their border.
    accepted : frozenset of (int, int)
        Paint value and checksum of the pixels of every accepted object, as it was then. An object that was
        accepted twice is in it twice, so that the first shape is still known when the second is undone.
    regions : tuple of Region
        Where everything is annotated.
    """

    filled: bool = False
    accepted: frozenset[tuple[int, int]] = frozenset()
    regions: tuple[Region, ...] = ()

    def accept(self, paint: NDArray[np.integer[Any]], values: Collection[int]) -> "KnownFull":
        """Return the same with the objects of these ``values`` accepted as they are in ``paint`` (…YX)."""
        objects = [value for value in values if value >= FIRST_OBJECT]
        return replace(self, accepted=self.accepted.union(_checksums(paint, objects)))

    def accept_pixels(self, painted: Mapping[int, NDArray[np.intp]]) -> "KnownFull":
        """Return the same with objects accepted of which the pixels are known.

        Parameters
        ----------
        painted : mapping of int to array of int
            Of every object, its paint value and its places in the flattened paint, in ascending order.
        """
        return replace(self, accepted=self.accepted.union((v, checksum(at)) for v, at in painted.items()))

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
        """Return the values of the objects of ``paint`` (…YX) that are as they were accepted."""
        present = _checksums(paint, {value for value, _ in self.accepted})
        return {value for value, checksum in present if (value, checksum) in self.accepted}


def _checksums(paint: NDArray[np.integer[Any]], values: Collection[int]) -> Iterable[tuple[int, int]]:
    """Yield every one of ``values`` that ``paint`` holds, with a checksum of where it does."""
    if values:
        flat = paint.ravel()
        where = np.flatnonzero(np.isin(flat, list(values)))
        for value, places in places_by_value(flat[where], where):
            yield value, checksum(places)


def places_by_value(
    values: NDArray[np.integer[Any]], places: NDArray[np.intp]
) -> Iterable[tuple[int, NDArray[np.intp]]]:
    """Yield every one of the ``values`` (N,) of pixels with its ``places`` (N,), in the order they are in."""
    order = np.argsort(values, kind="stable")
    present, first = np.unique(values[order], return_index=True)
    yield from zip(present.tolist(), np.split(places[order], first[1:]), strict=False)


def checksum(places: NDArray[np.intp]) -> int:
    """Return what tells an accepted object from one that was painted on: of its ``places``, ascending."""
    return zlib.crc32(places.astype("<i8").tobytes())

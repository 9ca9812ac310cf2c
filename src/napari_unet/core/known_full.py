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

from napari_unet.core.object_distance import Full
from napari_unet.core.regions import Region, objects_inside


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
        return replace(self, accepted=self.accepted.union(_checksums(paint, values)))

    def accept_pixels(self, painted: Mapping[int, NDArray[np.intp]]) -> "KnownFull":
        """Return the same with objects accepted of which the pixels are known.

        Parameters
        ----------
        painted : mapping of int to array of int
            Of every object, its paint value and its places in the flattened paint, in ascending order.
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
        """Return the values of the objects of ``paint`` (…YX) that are as they were accepted."""
        present = _checksums(paint, {value for value, _ in self.accepted})
        return {value for value, checksum in present if (value, checksum) in self.accepted}


def _checksums(paint: NDArray[np.integer[Any]], values: Collection[int]) -> Iterable[tuple[int, int]]:
    """Yield every one of ``values`` that ``paint`` holds, with a checksum of where it does."""
    if not values:
        return
    flat = paint.ravel()
    where = np.flatnonzero(np.isin(flat, list(values)))
    held = flat[where]
    order = np.argsort(held, kind="stable")  # so that the pixels of a value stay in raster order
    present, first = np.unique(held[order], return_index=True)
    for value, pixels in zip(present.tolist(), np.split(where[order], first[1:]), strict=False):
        yield value, _checksum(pixels)


def _checksum(pixels: NDArray[np.intp]) -> int:
    return zlib.crc32(pixels.astype("<i8").tobytes())

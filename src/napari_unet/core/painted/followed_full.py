"""Which objects of a paint are full while somebody paints: a stroke costs what its own objects do."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import FIRST_OBJECT
from napari_unet.core.arrays.blocks import Box
from napari_unet.core.painted.known_full import KnownFull, checksum, places_by_value
from napari_unet.core.painted.regions import cores

if TYPE_CHECKING:
    from napari_unet.core.painted.object_distance import Full

_NOWHERE = np.zeros(0, np.intp)


class FollowedFull:
    """What :meth:`KnownFull.within` says of one paint, brought up to date edit by edit.

    It keeps where the objects lie that may be full: the accepted, or all where there are complete regions.

    Parameters
    ----------
    known : KnownFull
        What was told of its objects.
    shape : tuple of int
        Of the paint (…YX), of which nothing is known before it is told by :meth:`edit`.
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
        self._places: dict[int, NDArray[np.intp]] = {}

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
        flat = np.ravel_multi_index(
            tuple(along + side.start for along, side in zip(at, box, strict=True)), self.shape
        )
        here = dict(places_by_value(values[at], flat))
        first, last = (
            int(np.ravel_multi_index(corner, self.shape))
            for corner in ([side.start for side in box], [side.stop - 1 for side in box])
        )
        near = {value for value, places in self._places.items() if places[0] <= last and places[-1] >= first}
        full: set[int] = set() if isinstance(self.full, bool) else set(self.full)
        for value in near | here.keys():
            before, now = self._places.get(value, _NOWHERE), here.get(value, _NOWHERE)
            within = self._lie_in(box, before)
            if np.array_equal(before[within], now):
                continue
            places = np.union1d(before[~within], now)
            self._places[value] = places
            full.discard(value)
            if not places.size:
                del self._places[value]
            elif (value, checksum(places)) in self.known.accepted or self._are_inside(places):
                full.add(value)
        self.full = full or False

    def _lie_in(self, box: Box, places: NDArray[np.intp]) -> NDArray[np.bool_]:
        result = np.ones(places.shape, bool)
        for along, side in zip(np.unravel_index(places, self.shape), box, strict=True):
            result &= (along >= side.start) & (along < side.stop)
        return result

    def _are_inside(self, places: NDArray[np.intp]) -> bool:
        """Return whether all of these places are in complete regions, and nothing beside them is not."""
        planes, pixels = np.divmod(places, self.shape[-2] * self.shape[-1])
        return all(
            plane in self._cores and bool(self._cores[plane][pixels[planes == plane]].all())
            for plane in np.unique(planes).tolist()
        )

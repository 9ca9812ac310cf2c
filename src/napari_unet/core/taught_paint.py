"""Paint as it is taught, read plane by plane: with the background that nobody had to paint."""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import BACKGROUND, Mode
from napari_unet.core.known_full import KnownFull
from napari_unet.core.object_distance import Full
from napari_unet.core.regions import Plane, Region, complete
from napari_unet.core.rim import find_rims


class TaughtPaint:
    """Paint (…YX) with background in its complete regions and around its full objects, which nobody copies.

    Parameters
    ----------
    paint : array (…YX) of integers
        It may be painted on meanwhile.
    known : KnownFull
        What is known of its objects, and its complete regions.
    mode : {"objects", "classes"}
        In "classes" mode no object is full.
    """

    def __init__(self, paint: Any, known: KnownFull, mode: Mode) -> None:
        self._paint = paint
        self._known = known
        self._mode = mode
        self.shape: tuple[int, ...] = paint.shape

    @cached_property
    def _full(self) -> Full:
        """Which objects are full: found when somebody reads, since all of the paint is looked through."""
        if self._mode != "objects" or self._known == KnownFull():
            return False
        return self._known.within(np.asarray(self._paint))

    def __getitem__(self, plane: Plane) -> NDArray[Any]:
        """Return a plane: the paint itself where nothing is to be added, else a copy."""
        pixels = np.asarray(self._paint[plane])
        regions = [Region((), each.box, each.mask) for each in self._known.regions if each.plane == plane]
        if regions:
            pixels = complete(pixels.copy(), regions)
        if self._full is False:
            return pixels
        return np.where(find_rims(pixels, self._full) > 0, pixels.dtype.type(BACKGROUND), pixels)

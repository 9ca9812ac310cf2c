"""What a network predicts for a view while it learns, put together from single blocks."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_unet.core.learning.view import View
from napari_unet.core.objects.rereading import Rereading
from napari_unet.network.events import Preview
from napari_unet.widgets.bridge.placement import placement
from napari_unet.widgets.guiding.next_place_run import Known


class Mosaic:
    """The part of a view that is known by now: blocks come one by one, and the view moves."""

    def __init__(self, view: View) -> None:
        self.view = view
        self._parts: dict[tuple[int, int], Preview] = {}
        self._is_stale = False
        self._values: NDArray[np.float32] | None = None
        self.is_known = np.zeros((0, 0), bool)
        self._corner = (0, 0)

    @property
    def values(self) -> NDArray[np.float32] | None:
        """Probabilities (K, Y, X) of all parts, put together on request; None without any."""
        if self._is_stale:
            self._is_stale = False
            self._compose()
        return self._values

    def suits(self, view: View) -> bool:
        """Whether the known parts belong to ``view`` as well, or to what is beside it."""
        mine = self.view
        return (mine.key, mine.plane, mine.step) == (view.key, view.plane, view.step)

    def add(self, event: Preview) -> None:
        """Take a part, and forget parts that are out of sight."""
        self._parts[event.box[0].start, event.box[1].start] = event
        self._parts = {
            at: part
            for at, part in self._parts.items()
            if all(
                mine.start < seen.stop and seen.start < mine.stop
                for mine, seen in zip(part.box, self.view.box, strict=True)
            )
        } or {(event.box[0].start, event.box[1].start): event}
        self._is_stale = True

    def _compose(self) -> None:
        step = self.view.step
        top = min(part.box[0].start for part in self._parts.values())
        left = min(part.box[1].start for part in self._parts.values())
        bottom = max(part.box[0].stop for part in self._parts.values())
        right = max(part.box[1].stop for part in self._parts.values())
        shape = -(-(bottom - top) // step), -(-(right - left) // step)
        classes = len(next(iter(self._parts.values())).probabilities)
        self._values = np.zeros((classes, *shape), np.float32)
        self.is_known = np.zeros(shape, bool)
        for part in self._parts.values():
            y, x = (part.box[0].start - top) // step, (part.box[1].start - left) // step
            here = (slice(y, y + part.probabilities.shape[1]), slice(x, x + part.probabilities.shape[2]))
            self._values[(slice(None), *here)] = part.probabilities
            self.is_known[here] = True
        self._corner = (top, left)

    def foreground(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return ``values`` without the background, in the whole plane; 0 where nothing is known."""
        step, (top, left) = self.view.step, self._corner
        parts = np.where(self.is_known, values[1:], 0).repeat(step, axis=1).repeat(step, axis=2)
        result = np.zeros((len(parts), *self.view.paint_shape[-2:]), np.float32)
        here = result[:, top : top + parts.shape[1], left : left + parts.shape[2]]
        here[...] = parts[:, : here.shape[1], : here.shape[2]]
        return result

    def place(self, paint: Labels) -> dict[str, Any]:
        """Return the place of the mosaic in the world, as arguments of a layer."""
        step, leading = self.view.step, len(self.view.plane)
        # Pixel 0 of the mosaic is in the middle of the first square of pixels.
        middle = [corner + (step - 1) / 2 for corner in self._corner]
        world = paint.data_to_world((*self.view.plane, *middle))
        return placement(paint) | {
            "scale": np.asarray(paint.scale) * ((1,) * leading + (step, step)),
            "translate": np.asarray(paint.affine.inverse(world)),
        }


def known_of(mosaics: Iterable[Mosaic]) -> Known | None:
    """Return what the network predicts for the planes of an image that have a mosaic; None without any."""
    planes = {
        mosaic.view.plane: mosaic.foreground(mosaic.values) for mosaic in mosaics if mosaic.values is not None
    }
    if not planes:
        return None
    others = ("object",) if len(next(iter(planes.values()))) == 1 else ()
    return Known(None, Rereading(planes), ("background", *others))

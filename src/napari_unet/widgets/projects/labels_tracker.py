"""Which parts of painted labels may have changed since they were saved."""

import time
from collections import deque
from typing import Any

from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtCore import QObject

from napari_unet.files.projects.project_labels import Chunk, chunks_in
from napari_unet.widgets.bridge.marks import full_data
from napari_unet.widgets.bridge.placement import pixel_shown
from napari_unet.widgets.window.lifetime import follow

_SMALL = 2**28
"""Labels up to this many bytes are compared whole after every stroke: a thread needs a tenth of a second."""

_SWEEP_S = 10.0
"""Seconds between looks through all planes of larger labels: undo or a script may have changed them."""

_BATCH = 128
"""Chunks of such a look that one save takes: strokes must not wait for it."""


class LabelsTracker(QObject):
    """Listens to one layer and says what to compare with the disk: above all what ``viewer`` shows of it.

    napari does not say which pixels an undo, a fill or a script has changed, so it names more than has
    changed: the saver compares before it writes.
    """

    def __init__(self, viewer: ViewerModel, layer: Labels, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.layer = layer
        self.is_kept = False
        """Whether a project keeps the layer: paint, and predictions once they were corrected."""
        self._pixels: Any = None
        self._touched = True
        self._seen: set[Chunk] = set()
        self._rest: deque[Chunk] = deque()
        self._swept = -_SWEEP_S
        self._unswept = False
        follow(self, self._on_stroke, layer.events.paint, layer.events.labels_update)
        # The last: what counts as predicted has changed.
        follow(self, self._on_change, layer.events.set_data, layer.events.data, layer.events.metadata)

    @property
    def has_news(self) -> bool:
        """Whether there is something to compare."""
        waiting = self._touched or self._rest or self._sweep_is_due
        return bool(waiting) or full_data(self.layer) is not self._pixels

    def take(self) -> list[Chunk]:
        """Return the chunks to compare with the disk now; each is returned once."""
        pixels = full_data(self.layer)
        is_other = pixels is not self._pixels
        self._pixels = pixels
        touched, self._touched = self._touched, False
        seen, self._seen = self._seen, set()
        if is_other or pixels.nbytes <= _SMALL:
            self._rest.clear()
            self._unswept = False
            return list(chunks_in(pixels.shape)) if touched or is_other else []
        if self._sweep_is_due and not self._rest:
            self._rest.extend(chunks_in(pixels.shape))
            self._swept, self._unswept = time.monotonic(), False
        batch = [self._rest.popleft() for _ in range(min(_BATCH, len(self._rest)))]
        return [*seen, *batch]

    def again(self) -> None:
        """Compare everything again: what was taken has not been saved."""
        self._pixels = None

    def _on_stroke(self, _event: object = None) -> None:
        self.is_kept = True
        self._on_change()

    def _on_change(self, _event: object = None) -> None:
        self._touched = True
        pixels = full_data(self.layer)
        if pixels.nbytes > _SMALL:
            self._unswept = True
            self._seen.update(chunks_in(pixels.shape, self._visible(pixels.shape)))

    @property
    def _sweep_is_due(self) -> bool:
        """Whether the last look through all planes is long ago, and something changed since."""
        return self._unswept and time.monotonic() - self._swept > _SWEEP_S

    def _visible(self, shape: tuple[int, ...]) -> tuple[slice, ...]:
        """Return the box of the visible pixels: a plane, or everything if volumes are shown."""
        dims = self._viewer.dims
        displayed = {axis - dims.ndim for axis in dims.displayed}
        return tuple(
            slice(0, length) if axis in displayed else slice(at, at + 1)
            for axis, length, at in zip(
                range(-len(shape), 0), shape, pixel_shown(self._viewer, self.layer), strict=True
            )
        )

"""The layer in which the tiles of a running prediction appear as they are finished."""

import time
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Layer
from numpy.typing import NDArray

from napari_unet.core.arrays.axes import Channels
from napari_unet.core.objects.preview import PreviewPart
from napari_unet.widgets.bridge.layers import insert_result, keep_selection, protect
from napari_unet.widgets.bridge.marks import is_result, source_of
from napari_unet.widgets.bridge.placement import result_layer, spatial_axes
from napari_unet.widgets.bridge.sight import hide_with_image
from napari_unet.widgets.predicting.prediction_run import PreviewBegun

_REST = 10
"""The wait before the next repaint, as a multiple of the time that the last one took."""

_TYPES = {"objects": np.int32, "classes": np.uint8, "probabilities": np.float32}

_PATIENCE_S = 1.0
"""A prediction that is faster shows no preview."""


class PreviewLayer:
    """Shows the preview of one image at a time, and removes it when the results are there.

    Meanwhile, earlier results of the image are hidden: they would cover it.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._source: tuple[Image, Channels] | None = None
        self._begun: PreviewBegun | None = None
        self._data: NDArray[Any] | None = None
        self._layer: Layer | None = None
        self._hidden: list[Layer] = []
        self._is_seen = False
        self._has_news = False
        self._not_before = 0.0

    def begin(self, source: Image, channels: Channels, begun: PreviewBegun) -> None:
        """Get ready for the tiles of another image."""
        self.end()
        self._source, self._begun = (source, channels), begun
        self._not_before = time.monotonic() + _PATIENCE_S

    def add(self, part: PreviewPart | None) -> None:
        """Take the preview of a tile; :meth:`repaint` shows it."""
        if part is None or self._begun is None:
            return
        if self._data is None:
            self._data = np.zeros(self._begun.shape, _TYPES[self._begun.kind])
        self._data[part.where] = part.values
        self._has_news = True

    def repaint(self) -> None:
        """Show all tiles so far, unless the last repaint was so recent that this would slow down the work."""
        started = time.monotonic()
        if not self._has_news or started < self._not_before:
            return
        self._has_news = False
        if self._layer is None:
            self._show()
        elif self._layer in self._viewer.layers:  # otherwise the user deleted it
            self._layer.refresh(extent=False)
        self._not_before = time.monotonic() + _REST * (time.monotonic() - started)

    def end(self) -> None:
        """Remove the preview, and show again what it had hidden."""
        if self._layer is not None and self._layer in self._viewer.layers:
            with keep_selection(self._viewer):
                self._viewer.layers.remove(self._layer)
        for layer in self._hidden:
            layer.visible = True
            if self._is_seen and self._source is not None and not self._source[0].visible:
                hide_with_image(layer)  # another image was brought up meanwhile
        self._source = self._begun = self._data = self._layer = None
        self._hidden, self._has_news = [], False

    def _show(self) -> None:
        if self._source is None or self._begun is None or self._data is None:
            return
        source, channels = self._source
        if source not in self._viewer.layers:
            return
        self._hidden = [
            layer
            for layer in self._viewer.layers
            if layer.visible and source_of(self._viewer, layer) is source and is_result(layer)
        ]
        self._is_seen = source.visible
        for layer in self._hidden:
            layer.visible = False
        layer = result_layer(
            source,
            self._begun.kind,
            f"{source.name} preview",
            self._data,
            spatial_axes(source, channels),
            steps=self._begun.steps,
        )
        insert_result(self._viewer, source, layer, "preview")
        protect(layer)
        self._layer = layer

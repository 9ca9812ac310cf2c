"""The stroke that is being drawn on a layer of labels."""

import numpy as np
from napari.layers import Labels
from numpy.typing import ArrayLike, NDArray

from napari_unet.core.correcting.numbering import unused_values
from napari_unet.core.correcting.strokes import inside, trace
from napari_unet.core.errors import InputError
from napari_unet.widgets.bridge.layers import write_pixels

_WIDTH = 2
"""Pixels of the screen."""


class StrokePreview:
    """Shows a stroke in the labels themselves, in a colour that no object has, and removes it again.

    So the stroke is visible among the objects, costs as little as a brush, and adds no layer. It is on the
    plane of two ``axes``; ``zoom`` is in pixels of the screen per unit of the world.
    """

    def __init__(self, layer: Labels, axes: tuple[int, ...], zoom: float) -> None:
        self._layer = layer
        self._axes = axes
        self._width = max(1, round(_WIDTH / (zoom * abs(float(layer.scale[axes[-1]])))))
        self._before: list[tuple[tuple[NDArray[np.intp], ...], NDArray[np.generic]]] = []
        try:
            self._number: int | None = unused_values(layer.data, 1, at_least=1)[0]
        except InputError:
            self._number = None  # no colour is left; the stroke works unseen

    @property
    def was_drawn(self) -> bool:
        """Whether anything was shown."""
        return bool(self._before)

    def draw(self, points: ArrayLike) -> None:
        """Draw from point to point (N, D), in pixels."""
        if self._number is None:
            return
        places = np.asarray(points, float)
        y, x = trace(places[:, list(self._axes)])
        dy, dx = np.indices((self._width, self._width)).reshape(2, -1, 1) - self._width // 2
        shape = self._layer.data.shape
        y, x = inside(((y + dy).ravel(), (x + dx).ravel()), (shape[self._axes[0]], shape[self._axes[1]]))
        if y.size == 0:
            return
        at = np.clip(np.rint(places[0]).astype(int), 0, np.array(shape) - 1)
        index = [np.full(y.size, start) for start in at]
        index[self._axes[0]], index[self._axes[1]] = y, x
        indices = tuple(index)
        self._before.append((indices, self._layer.data[indices]))
        write_pixels(self._layer, indices, self._number)

    def clear(self) -> None:
        """Put back what was there."""
        for indices, labels in reversed(self._before):
            write_pixels(self._layer, indices, labels)

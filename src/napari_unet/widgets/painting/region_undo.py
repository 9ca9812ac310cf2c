"""Undo and redo of complete regions; napari has them for labels only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Shapes
from numpy.typing import NDArray

from napari_unet.widgets.bridge.timeline import REDO, UNDO

_DONE = ("added", "changed", "removed")
"""The actions that napari reports once a change of shapes is finished."""


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    """The shapes of a layer as they were at one time."""

    corners: Sequence[NDArray[Any]]
    kinds: Sequence[str]

    @classmethod
    def of(cls, layer: Shapes) -> "_Drawn":
        return cls([np.array(corners) for corners in layer.data], [str(kind) for kind in layer.shape_type])

    def is_in(self, layer: Shapes) -> bool:
        pairs = zip(self.corners, layer.data, strict=False)
        return self.kinds == list(layer.shape_type) and all(np.array_equal(*pair) for pair in pairs)


class RegionUndo:
    """Lets Ctrl+Z undo the last change of the shapes of ``layer``, and Ctrl+Shift+Z redo it."""

    def __init__(self, layer: Shapes) -> None:
        self._layer = layer
        self._steps = [_Drawn.of(layer)]
        self._at = 0
        self._is_moving = False
        layer.events.data.connect(self._on_data)
        layer.bind_key(UNDO, lambda _layer: self._move(-1), overwrite=True)
        layer.bind_key(REDO, lambda _layer: self._move(1), overwrite=True)

    def _on_data(self, event: Any) -> None:
        if self._is_moving or str(event.action) not in _DONE or self._steps[self._at].is_in(self._layer):
            return
        self._steps[self._at + 1 :] = [_Drawn.of(self._layer)]
        self._at += 1

    def _move(self, by: int) -> None:
        at, layer = self._at + by, self._layer
        if not 0 <= at < len(self._steps) or not self._steps[self._at].is_in(layer):  # a shape is being drawn
            return
        self._at, self._is_moving = at, True
        layer.data = []
        drawn = self._steps[at]
        if drawn.kinds:
            layer.add(
                drawn.corners,
                shape_type=drawn.kinds,
                edge_width=layer.current_edge_width,
                edge_color=layer.current_edge_color,
                face_color=layer.current_face_color,
            )
        self._is_moving = False

"""Undo and redo of complete regions, which napari has for labels alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Shapes
from numpy.typing import NDArray

from napari_unet.widgets.bridge.timeline import REDO, UNDO

_DONE = ("added", "changed", "removed")
"""What napari tells when shapes are as they are to be; before that, they are on their way."""


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
    """Lets Ctrl+Z take back what was last done to the shapes of ``layer``, and Ctrl+Shift+Z do it again."""

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
        if not 0 <= at < len(self._steps) or not self._steps[self._at].is_in(layer):  # one is being drawn
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

"""Keeps track of the annotation layer of the chosen image, whatever happens to the layers."""

from contextlib import ExitStack
from typing import Any

from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer, Points, Shapes
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]  # no qtpy stubs

from napari_unet.widgets.bridge.layers import annotation_of
from napari_unet.widgets.bridge.marks import full_data, mark_of
from napari_unet.widgets.bridge.placement import PLACEMENT, axes_of, lies_on, placement
from napari_unet.widgets.parts.form import LayerChooser
from napari_unet.widgets.parts.turning import Turning
from napari_unet.widgets.window.lifetime import follow


class AnnotationWatcher(QObject):
    """Follows the annotation layer of the image that is chosen in ``chooser``, and lives as long as that.

    When a layer is selected in napari's list, its image is chosen, too: strokes land there. Layers that
    belong to the chosen image and lie on it follow when it is moved, scaled or turned.
    """

    layer_changed = Signal(object)
    """The annotation layer, or None, whenever it is another one."""
    painted = Signal()
    """The paint may have changed: by a stroke, undo, redo, or new data of it or of the image. It is also sent
    when another plane is shown."""
    noted = Signal()
    """Something was noted with the paint: its mode, or which objects are filled to their border."""
    brush_changed = Signal()
    """The mode, value, size or colours of the brush have changed."""

    def __init__(self, viewer: ViewerModel, chooser: LayerChooser) -> None:
        super().__init__(chooser)
        self._viewer = viewer
        self._chooser = chooser
        self._layer: Labels | None = None
        self._followed = ExitStack()
        self._image: Image | None = None
        self._image_followed = ExitStack()
        self._on_it: list[tuple[Layer, tuple[int, ...], dict[str, Any]]] = []
        Turning(viewer, chooser)
        chooser.layer_changed.connect(self.look)
        layers = viewer.layers
        follow(self, self.look, layers.events.inserted, layers.events.removed, layers.selection.events.active)
        self.look()

    @property
    def layer(self) -> Labels | None:
        """The annotation layer of the chosen image, if it has one."""
        return self._layer

    def look(self, _event: object = None) -> None:
        """Look again which layer it is."""
        image = self._chooser.layer
        layer = annotation_of(self._viewer, image)
        self._look_what_lies_on(image, layer)
        if layer is self._layer:
            return
        self._followed.close()
        self._layer = layer
        if layer is not None:
            events = layer.events
            brush = (events.selected_label, events.mode, events.brush_size, events.colormap)
            self._followed.callback(follow(self, self._on_paint, events.paint, events.data, events.set_data))
            self._followed.callback(follow(self, self._on_note, events.metadata))
            self._followed.callback(follow(self, self._on_brush, *brush))
        self.layer_changed.emit(layer)

    def _look_what_lies_on(self, image: Image | None, paint: Labels | None) -> None:
        if image is not self._image:
            self._image_followed.close()
            self._image = image
            if image is not None:
                moves = [image.events[name] for name in PLACEMENT]
                self._image_followed.callback(follow(self, self._on_placed, *moves))
                self._image_followed.callback(follow(self, self._on_paint, image.events.data))
        self._on_it = []
        if image is None:
            return
        for layer in self._viewer.layers:
            # Regions, and the ring around a place, have the units of the paint.
            pixels = paint if isinstance(layer, Shapes | Points) else layer
            mark = mark_of(layer)
            if pixels is not None and mark is not None and mark.image == image.unique_id:
                axes = axes_of(image, full_data(pixels))
                where = placement(image, axes)
                if lies_on(layer, where):
                    self._on_it.append((layer, axes, where))

    def _on_placed(self, _event: object = None) -> None:
        before, self._on_it = self._on_it, []
        for layer, axes, where in before:
            if self._image is not None and lies_on(layer, where):  # it was not moved alone since
                now = placement(self._image, axes)
                for name, value in now.items():
                    setattr(layer, name, value)
                self._on_it.append((layer, axes, now))

    def _on_paint(self, _event: object = None) -> None:
        self.painted.emit()

    def _on_note(self, _event: object = None) -> None:
        self.noted.emit()

    def _on_brush(self, _event: object = None) -> None:
        self.brush_changed.emit()

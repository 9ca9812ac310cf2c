"""Turns a dock to the image of the layer that the user selects in napari's list: strokes land there."""

from typing import Any

from napari.components import ViewerModel
from napari.layers import Image, Layer
from qtpy.QtCore import QObject

from napari_unet.widgets.bridge.marks import is_image, source_of
from napari_unet.widgets.bridge.sight import blended, parts_of
from napari_unet.widgets.parts.form import LayerChooser
from napari_unet.widgets.window.lifetime import follow, later


class Turning(QObject):
    """Chooses the image of a layer that is selected or opened, unless several images are chosen.

    While its ``chooser`` is disabled, as when the dock computes, the choice stays. So does it when another
    channel of the picture is selected on which the user works already, for example to see it better.
    """

    def __init__(self, viewer: ViewerModel, chooser: LayerChooser) -> None:
        super().__init__(chooser)
        self._viewer = viewer
        self._chooser = chooser
        self._opened: Image | None = None
        self._turned_by: Layer | None = None
        # By then, code that adds a layer and selects the previous one again has done so.
        self._selected = later(self, 0, self._turn)
        follow(self, self._on_inserted, viewer.layers.events.inserted)
        follow(self, self._on_selected, viewer.layers.selection.events.active)
        self._turn()  # to what the user works on as the dock opens

    def _on_inserted(self, event: Any) -> None:
        if is_image(event.value):
            self._opened = event.value
        self._selected.start()

    def _on_selected(self, _event: object) -> None:
        self._selected.start()

    def _turn(self) -> None:
        active = self._viewer.layers.selection.active
        image, before = source_of(self._viewer, active), self._turned_by
        self._turned_by = None if image is None else active
        if image is None:  # for example labels that came with an image
            image = self._opened
        elif active is before:  # a layer has come, and another image may have been chosen in the dock
            image = None
        self._opened = None
        is_free = self._chooser.isEnabled() and not self._chooser.several
        if image is not None and is_free and not self._is_beside_chosen(image):
            self._chooser.choose(image)

    def _is_beside_chosen(self, image: Image) -> bool:
        """Return whether ``image`` is a bare channel of the chosen picture, which has paint or results."""
        chosen = self._chooser.layer
        if chosen is None or self._has_layers(image):
            return False
        if image in parts_of(self._viewer, chosen):
            return True
        return self._has_layers(chosen) and image in blended(self._viewer, chosen)

    def _has_layers(self, image: Image) -> bool:
        layers = (layer for layer in self._viewer.layers if layer is not image)
        return any(source_of(self._viewer, layer) is image for layer in layers)

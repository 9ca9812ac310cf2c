"""Buttons that save what was predicted, for a Predict dock on its own: the U-Net dock has such buttons."""

from napari.components import ViewerModel
from napari.layers import Image
from qtpy.QtWidgets import QWidget

from napari_unet.widgets.parts.form import Column, LayerChooser, Sentence, button
from napari_unet.widgets.predicting.object_table import labels_of
from napari_unet.widgets.predicting.prediction_inputs import images_chosen
from napari_unet.widgets.predicting.saving import LabelSaver
from napari_unet.widgets.window.lifetime import follow


class SaveRow(QWidget):
    """Saves the labels of the chosen images, or a table of them; hidden while there are none."""

    def __init__(self, viewer: ViewerModel, image: LayerChooser) -> None:
        super().__init__()
        self._viewer, self._image = viewer, image
        self._saver = LabelSaver(viewer, self)
        column = Column(self)
        labels = button(
            "Save labels…",
            self._ask,
            name="predict_save",
            tooltip="Write the predicted labels to a TIFF file, or as outlines for ImageJ (.zip) or QuPath\n"
            "(.geojson). Those of several images go into a folder.",
        )
        table = button(
            "Save table…",
            self._ask_table,
            name="predict_save_table",
            tooltip="Write the size, place and brightness of every object to a CSV file: of this image,\n"
            "or of all that are chosen together.",
        )
        column.add_row(labels, table)
        self._told = column.add(Sentence("predict_saved"))
        self._saver.told.connect(self._told.say)
        image.layer_changed.connect(self._on_image)
        image.several_changed.connect(self._on_image)
        layers = viewer.layers
        follow(
            self,
            self._refresh,
            layers.events.inserted,
            layers.events.removed,
            layers.selection.events.changed,
        )
        self._refresh()

    def _images(self) -> list[Image]:
        """Return the chosen images that have predicted labels."""
        layer = self._image.layer
        images = images_chosen(self._viewer, self._image.several) if layer is None else [layer]
        return [image for image in images if labels_of(self._viewer, image)]

    def _ask(self) -> None:
        self._told.say("")
        self._saver.ask(self._images())

    def _ask_table(self) -> None:
        self._told.say("")
        self._saver.ask_table(self._images())

    def _on_image(self, _chosen: object) -> None:
        self._told.say("")  # the sentence is on what was chosen before
        self._refresh()

    def _refresh(self, _event: object = None) -> None:
        self.setVisible(bool(self._images()))

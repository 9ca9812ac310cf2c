"""How an image is shown to a starter: the size of its objects and its contrast."""

from dataclasses import replace

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget
from superqt import QLabeledSlider

from napari_unet.network.config import PredictionConfig
from napari_unet.network.events import ImageScaled
from napari_unet.widgets.parts.form import Sentence, add_form, add_row, describe


class ScaleForm(QWidget):
    """Two sliders, of which the first follows an estimate until the user moves it."""

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        form = add_form(column)
        self._size = QLabeledSlider(Qt.Orientation.Horizontal)
        self._size.setRange(4, 200)
        self._size.setValue(30)
        self._size.valueChanged.connect(lambda _value: self._estimate.setChecked(False))
        add_row(
            form,
            "Object size",
            self._size,
            name="predict_object_size",
            tooltip="Diameter of the objects in pixels of the image. The starter sees the image scaled\n"
            "by it; the result is on the image's own pixels. Moving it ends the estimate.",
        )
        self._estimate = QCheckBox("Estimate it from the image")
        self._estimate.setChecked(True)
        describe(
            self._estimate,
            name="predict_estimate",
            tooltip="Let every image tell how large its objects are; the slider shows what was found.\n"
            "Default: on.",
        )
        form.addRow(self._estimate)  # over both columns: it is too long for one
        self._contrast = QLabeledSlider(Qt.Orientation.Horizontal)
        self._contrast.setRange(25, 400)
        self._contrast.setValue(100)
        add_row(
            form,
            "Contrast",
            self._contrast,
            name="predict_contrast",
            tooltip="In per cent of what follows from the brightest and darkest pixels of the image:\n"
            "raise it where dim objects are missed, lower it where noise is taken for objects. Default: 100.",
        )
        self._told = Sentence("predict_scaled")
        form.addRow(self._told)

    def apply(self, config: PredictionConfig) -> PredictionConfig:
        """Return ``config`` with the values of the sliders."""
        return replace(
            config,
            object_size="estimate" if self._estimate.isChecked() else float(self._size.value()),
            contrast=self._contrast.value() / 100,
        )

    def show_scaled(self, event: ImageScaled) -> None:
        """Show how large the objects of an image were taken to be."""
        self._told.say(event.message, "hint" if event.is_sure else "warning")
        if event.estimated:
            self._size.blockSignals(True)
            self._size.setValue(round(event.object_size))
            self._size.blockSignals(False)

"""How an image is shown to a starter: the size of its objects and its contrast."""

from dataclasses import replace

from qtpy.QtWidgets import QWidget
from superqt.utils import signals_blocked

from napari_unet.network.config import PredictionConfig
from napari_unet.network.events import ImageScaled
from napari_unet.widgets.parts.form import Form, Sentence, check_box, column_in, slider


class ScaleForm(QWidget):
    """Two sliders, of which the first follows an estimate until the user moves it."""

    def __init__(self) -> None:
        super().__init__()
        column = column_in(self)
        form = Form(column)
        self._size = form.add(
            "Object size",
            slider(4, 200, 30),
            name="predict_object_size",
            tooltip="Diameter of the objects in pixels of the image. The starter sees the image scaled\n"
            "by it; the result is on the image's own pixels. Moving it ends the estimate.",
        )
        self._size.valueChanged.connect(lambda _value: self._estimate.setChecked(False))
        self._estimate = check_box(
            "Estimate it from the image",
            name="predict_estimate",
            tooltip="Let every image tell how large its objects are; the slider shows what was found.\n"
            "Default: on.",
            is_on=True,
        )
        form.addRow(self._estimate)  # over both columns: it is too long for one
        self._contrast = form.add(
            "Contrast",
            slider(25, 400, 100),
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
            with signals_blocked(self._size):
                self._size.setValue(round(event.object_size))

"""The settings of a prediction on the screen."""

from dataclasses import replace

from qtpy.QtWidgets import QCheckBox, QWidget
from superqt.utils import signals_blocked

from napari_unet.core.annotation import Mode
from napari_unet.core.arrays.axes import Channels
from napari_unet.core.errors import InputError
from napari_unet.core.objects.prediction import PredictionKind
from napari_unet.network.config import PredictionConfig
from napari_unet.network.events import ImageScaled
from napari_unet.widgets.parts.form import Column, Form, Sentence, check_box, choice, device_choice, slider
from napari_unet.widgets.parts.section import Section
from napari_unet.widgets.predicting.object_form import ObjectForm


class ScaleForm(QWidget):
    """Two sliders; the first follows an estimate until the user moves it."""

    def __init__(self) -> None:
        super().__init__()
        column = Column(self)
        form = Form(column)
        self._size = form.add(
            "Object size",
            slider(4, 200, 30),
            name="predict_object_size",
            tooltip="Diameter of the objects in image pixels. The starter sees the image scaled to suit\n"
            "it; the result has the image's own pixels. Moving the slider ends the estimate.",
        )
        self._size.valueChanged.connect(lambda _value: self._estimate.setChecked(False))
        self._estimate = check_box(
            "Estimate it from the image",
            name="predict_estimate",
            tooltip="Estimate the size of objects from each image; the slider shows what was found.\n"
            "Default: on.",
            is_on=True,
        )
        form.addRow(self._estimate)  # over both columns: it is too long for one
        self._contrast = form.add(
            "Contrast",
            slider(25, 400, 100),
            name="predict_contrast",
            tooltip="In per cent of what the brightest and darkest pixels of the image suggest:\n"
            "raise it if dim objects are missed, lower it if noise is taken for objects. Default: 100.",
        )

    def apply(self, config: PredictionConfig) -> PredictionConfig:
        """Return ``config`` with the values of the sliders."""
        return replace(
            config,
            object_size="estimate" if self._estimate.isChecked() else float(self._size.value()),
            contrast=self._contrast.value() / 100,
        )

    def show_estimate(self, size: float) -> None:
        """Show the estimated size of the objects of an image."""
        with signals_blocked(self._size):
            self._size.setValue(round(size))


_KINDS: dict[PredictionKind, tuple[str, str]] = {
    "objects": ("Objects", "Labels: every object has its own number."),
    "classes": ("Classes", "Labels: the most probable class of every pixel."),
    "probabilities": ("Probability", "How sure the network is of every pixel, 0 to 1."),
}


class PredictionForm(QWidget):
    """The settings of the Predict dock except model and image; reads as a ``PredictionConfig``."""

    def __init__(self) -> None:
        super().__init__()
        column = Column(self)
        self._kinds: dict[PredictionKind, QCheckBox] = {
            kind: check_box(text, name=f"predict_{kind}", tooltip=tooltip)
            for kind, (text, tooltip) in _KINDS.items()
        }
        self._mode: Mode = "objects"
        self._is_starter = False
        self._kinds["objects"].setChecked(True)
        column.add_row(*self._kinds.values()).addStretch()
        self.scale = column.add(ScaleForm())
        self.scale.setVisible(False)
        self._told = column.add(Sentence("predict_scaled"))
        self.objects = column.add(ObjectForm())
        self._kinds["objects"].toggled.connect(self.objects.setVisible)
        self._add_advanced(column)

    def _add_advanced(self, column: Column) -> None:
        advanced = Section("Advanced", name="predict_advanced", tooltip="Channels, device.")
        column.addWidget(advanced)
        inner = Column(advanced.content, 12)
        form = Form(inner)
        self.channels_choice = form.add(
            "Channels",
            choice(
                [
                    ("Automatic", "auto"),
                    ("None", "none"),
                    ("First axis", "first"),
                    ("Before Y and X", "middle"),
                    ("Last axis", "last"),
                ]
            ),
            name="predict_channels",
            tooltip="Which axis of the image holds its channels. Default: automatic, as the model needs it.",
        )
        self._device = form.add(
            "Device",
            device_choice(),
            name="predict_device",
            tooltip="What to compute on. Default: automatic, a GPU if there is one.",
        )
        self._orientations = check_box(
            "Average eight orientations",
            name="predict_orientations",
            tooltip="On: the network also sees the image turned and mirrored; often a little better, and\n"
            "eight times slower. Default: off.",
        )
        form.addRow(self._orientations)
        self._learnt_pixels = check_box(
            "Scale to the pixels it learnt from",
            name="predict_learnt_pixels",
            tooltip="On: if the pixels of the image are larger or smaller than those that the model learnt\n"
            "from, as under another objective, the network sees the image scaled. Both must say how\n"
            "large their pixels are; the result has the image's own. Off: the image as it is. Default: on.",
            is_on=True,
        )
        form.addRow(self._learnt_pixels)
        self._keep = check_box(
            "Show tiles after a cancel",
            name="predict_keep",
            tooltip="On: a cancelled prediction adds what it has finished. Off: it adds nothing.",
        )
        form.addRow(self._keep)

    def suit(self, mode: Mode, *, is_starter: bool = False) -> None:
        """Tick objects or classes, when a model of another mode than the last one is chosen.

        Size and contrast are shown only for a starter: other models know how large objects are in images like
        those they learnt from.
        """
        self._is_starter = is_starter
        self.scale.setVisible(is_starter)
        self._learnt_pixels.setVisible(not is_starter)
        if mode != self._mode:
            self._mode = mode
            self._kinds["objects"].setChecked(mode == "objects")
            self._kinds["classes"].setChecked(mode == "classes")

    @property
    def mode(self) -> Mode:
        """What the chosen model learnt: objects or classes."""
        return self._mode

    @property
    def kinds(self) -> tuple[PredictionKind, ...]:
        """The results to make; ``InputError`` if nothing is ticked."""
        kinds = tuple(kind for kind, box in self._kinds.items() if box.isChecked())
        if not kinds:
            raise InputError("No result is ticked; choose objects, classes or probability.")
        return kinds

    @property
    def channels(self) -> Channels:
        """Where images have their channels."""
        channels: Channels = self.channels_choice.currentData()
        return channels

    @property
    def device(self) -> str:
        """The device asked for."""
        return str(self._device.currentData())

    @property
    def keeps_unfinished(self) -> bool:
        """Whether a cancelled prediction shows its finished tiles."""
        return bool(self._keep.isChecked())

    def config(self) -> PredictionConfig:
        """Return the form's values."""
        config = PredictionConfig(
            test_time_augmentation=self._orientations.isChecked(),
            # What is the model's own follows the scale of each image.
            instances=None if self.objects.is_fitted else self.objects.config,
        )
        if self._is_starter:
            return self.scale.apply(config)
        return replace(config, object_size="estimate" if self._learnt_pixels.isChecked() else "unscaled")

    def show_scaled(self, event: ImageScaled | None) -> None:
        """Show how an image was scaled, if it was."""
        if event is None:
            self.forget_scaled()
            return
        self._told.say(event.message, "hint" if event.is_sure else "warning")
        if event.estimated and event.object_size is not None:
            self.scale.show_estimate(event.object_size)

    def forget_scaled(self, _image: object = None) -> None:
        """Clear the sentence: it was on another image."""
        self._told.say("")

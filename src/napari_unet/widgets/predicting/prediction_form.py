"""What a prediction can be set to on the screen."""

from dataclasses import replace

from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QVBoxLayout, QWidget

from napari_unet.core.annotation import Mode
from napari_unet.core.arrays.axes import Channels
from napari_unet.core.errors import InputError
from napari_unet.network.config import PredictionConfig
from napari_unet.widgets.bridge.layers import Kind
from napari_unet.widgets.parts.form import add_form, add_row, choice, describe
from napari_unet.widgets.parts.section import Section
from napari_unet.widgets.predicting.object_form import ObjectForm
from napari_unet.widgets.predicting.scale_form import ScaleForm
from napari_unet.widgets.window.preferences import read_preferences


class PredictionForm(QWidget):
    """The settings of the Predict dock but model and image; reads as a ``PredictionConfig``."""

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self._kinds: dict[Kind, QCheckBox] = {
            "objects": self._kind("Objects", "objects", "Labels: every object has its own number."),
            "classes": self._kind("Classes", "classes", "Labels: the most probable class of every pixel."),
            "probabilities": self._kind(
                "Probability",
                "probabilities",
                "How sure the network is of every pixel, 0 to 1.",
            ),
        }
        self._mode: Mode = "objects"
        self._is_starter = False
        self._kinds["objects"].setChecked(True)
        row = QHBoxLayout()
        for box in self._kinds.values():
            row.addWidget(box)
        row.addStretch()
        column.addLayout(row)
        self.scale = ScaleForm()
        self.scale.setVisible(False)
        column.addWidget(self.scale)
        self.objects = ObjectForm()
        column.addWidget(self.objects)
        self._add_advanced(column)

    @staticmethod
    def _kind(text: str, name: str, tooltip: str) -> QCheckBox:
        box = QCheckBox(text)
        describe(box, name=f"predict_{name}", tooltip=tooltip)
        return box

    def _add_advanced(self, column: QVBoxLayout) -> None:
        advanced = Section("Advanced", name="predict_advanced", tooltip="Channels, device.")
        column.addWidget(advanced)
        inner = QVBoxLayout(advanced.content)
        inner.setContentsMargins(12, 0, 0, 0)
        form = add_form(inner)
        self._channels = choice(
            [("Automatic", "auto"), ("None", "none"), ("First axis", "first"), ("Last axis", "last")]
        )
        add_row(
            form,
            "Channels",
            self._channels,
            name="predict_channels",
            tooltip="Which axis of the image holds its channels. Default: automatic, as the model needs it.",
        )
        self._device = choice(
            [("Automatic", "auto"), ("CPU", "cpu"), ("NVIDIA GPU", "cuda"), ("Apple GPU", "mps")]
        )
        self._device.setCurrentIndex(max(self._device.findData(read_preferences().device), 0))
        add_row(
            form,
            "Device",
            self._device,
            name="predict_device",
            tooltip="What computes. Default: automatic, a GPU where there is one.",
        )
        self._orientations = QCheckBox("Average eight orientations")
        describe(
            self._orientations,
            name="predict_orientations",
            tooltip="On: the network also sees the image turned and mirrored; often a little better, and\n"
            "eight times slower. Default: off.",
        )
        form.addRow(self._orientations)
        self._keep = QCheckBox("Show tiles after a cancel")
        describe(
            self._keep,
            name="predict_keep",
            tooltip="On: a cancelled prediction adds what it has finished. Off: it adds nothing.",
        )
        form.addRow(self._keep)

    def suit(self, mode: Mode, *, is_starter: bool = False) -> None:
        """Tick objects or classes, when a model of another mode than the last one is chosen.

        Size and contrast are asked for a starter alone: other models take images as they are.
        """
        self._is_starter = is_starter
        self.scale.setVisible(is_starter)
        if mode != self._mode:
            self._mode = mode
            self._kinds["objects"].setChecked(mode == "objects")
            self._kinds["classes"].setChecked(mode == "classes")

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """What to make.

        Raises
        ------
        InputError
            If nothing is ticked.
        """
        kinds = tuple(kind for kind, box in self._kinds.items() if box.isChecked())
        if not kinds:
            raise InputError("Nothing is ticked to be made; choose objects, classes or probability.")
        return kinds

    @property
    def channels(self) -> Channels:
        """Where images have their channels."""
        channels: Channels = self._channels.currentData()
        return channels

    @property
    def device(self) -> str:
        """The device asked for."""
        return str(self._device.currentData())

    @property
    def keeps_unfinished(self) -> bool:
        """Whether a cancelled prediction gives its finished tiles."""
        return bool(self._keep.isChecked())

    def config(self) -> PredictionConfig:
        """Return the form's values."""
        config = PredictionConfig(
            test_time_augmentation=self._orientations.isChecked(),
            instances=self.objects.config,
        )
        if not self._is_starter:
            return config
        if self.objects.is_fitted:
            config = replace(config, instances=None)  # which follows the scale of each image
        return self.scale.apply(config)

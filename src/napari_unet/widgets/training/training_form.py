"""The settings of a training on the screen: a few choices in sight, the rest folded away."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal

import napari
from napari.layers import Image
from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # no qtpy stubs
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QFileDialog, QSpinBox, QWidget

from napari_unet.core.annotation import Mode
from napari_unet.core.arrays.axes import Channels
from napari_unet.core.borders.weight_config import WeightConfig
from napari_unet.core.errors import InputError
from napari_unet.files.networks.models import read_info
from napari_unet.files.networks.starters import is_starter, starter_names, starter_path
from napari_unet.files.plain import from_plain
from napari_unet.network.config import AugmentationConfig, TrainingConfig, UNetConfig
from napari_unet.network.events import Stopped
from napari_unet.widgets.bridge.marks import images_of
from napari_unet.widgets.parts.form import (
    Column,
    Form,
    LayerChooser,
    Sentence,
    check_box,
    choice,
    device_choice,
)
from napari_unet.widgets.parts.section import Section
from napari_unet.widgets.parts.turning import Turning
from napari_unet.widgets.window.preferences import read_preferences

_SIZES = (
    ("Small – quick, for a CPU", UNetConfig(features=16)),
    ("Medium", UNetConfig(features=32)),
    ("Large – for a GPU", UNetConfig(features=64)),
)

_AUGMENTATIONS = (
    ("Off", AugmentationConfig.none()),
    (
        "Gentle",
        AugmentationConfig(
            rotation=15,
            scale=0.1,
            elastic=2,
            brightness=0.05,
            contrast=0.1,
            gamma=0.1,
            noise=0.02,
            colour=0.1,
        ),
    ),
    ("Normal", AugmentationConfig()),
    (
        "Strong",
        AugmentationConfig(
            scale=0.4, elastic=8, brightness=0.2, contrast=0.4, gamma=0.4, noise=0.1, colour=0.6
        ),
    ),
)

_PATIENCE = 20
"""Validations without progress, 500 steps: shorter halts are common on the way up."""

_SCRATCH: Literal["scratch"] = "scratch"
_LAST: Literal["last"] = "last"
_BROWSE: Literal["browse"] = "browse"

_ALL_PAINTED = "and all other painted images"

_ADAPTS = (
    "The starter knows cells, and learns slowly, so that it forgets little. For classes of tissue, choose "
    "Scratch."
)


class TrainingForm(QWidget):
    """The form of the Train dock; reads as a :class:`~napari_unet.network.config.TrainingConfig`.

    Where it ``offers_weights``, a preset of border weights is chosen here.
    """

    device_changed = Signal()
    """Another device was chosen."""
    images_changed = Signal()
    """Other images were chosen to learn from or to score on."""

    def __init__(self, viewer: "napari.viewer.Viewer", *, offers_weights: bool) -> None:
        super().__init__()
        self._viewer = viewer
        column = Column(self)
        form = Form(column)
        self.image = form.add(
            "Image", LayerChooser(viewer), name="train_image", tooltip="The painted image to learn from."
        )
        self.all_painted = check_box(
            _ALL_PAINTED,
            lambda _all: self.images_changed.emit(),
            name="train_all",
            tooltip="Learn from all images in this viewer that have paint, not only from the chosen one.",
        )
        form.addRow(self.all_painted)  # over both columns: it is too long for one
        self.image.layer_changed.connect(lambda _layer: self.images_changed.emit())
        if offers_weights:  # in a dock on its own: the steps of the U-Net dock share the image
            Turning(viewer, self.image)
        starters = [(f"{name} (starter)", starter_path(name)) for name in starter_names()]
        self._start = choice([*starters, ("Scratch", _SCRATCH), ("A model file…", _BROWSE)])
        self._start_before = 0
        self._is_start_chosen = False
        self._start.activated.connect(self._on_start_chosen)
        form.add(
            "Start from",
            self._start,
            name="train_start_from",
            tooltip="A starter knows many kinds of cells and learns yours from a few strokes; its channels\n"
            "and classes are adapted. Scratch knows nothing. Or continue the training of a model.",
        )
        self._adapts = form.add_wide(Sentence("train_start_adapts"))
        self._size = form.add(
            "Network",
            choice(_SIZES),
            name="train_size",
            tooltip="A larger network can learn more difficult images and takes longer over every step.\n"
            "A model whose training you continue keeps its size.",
        )
        self._minutes = form.add(
            "Time limit",
            QDoubleSpinBox(),
            name="train_minutes",
            tooltip="Training ends by itself after this time; the best network is kept whenever it ends.",
        )
        self._minutes.setRange(0.1, 1440)
        self._minutes.setDecimals(1)
        self._minutes.setSuffix(" min")
        self._minutes.setValue(read_preferences().training_minutes)
        self._add_advanced(column, offers_weights=offers_weights)
        self._choose_start(0)

    def _add_advanced(self, column: Column, *, offers_weights: bool) -> None:
        advanced = Section("Advanced", name="train_advanced", tooltip="Settings that seldom need a change.")
        column.addWidget(advanced)
        inner = Column(advanced.content, 12)
        form = Form(inner)
        self._device = form.add(
            "Device",
            device_choice(),
            name="train_device_choice",
            tooltip="What to compute on. Default: automatic, a GPU if there is one.",
        )
        self._device.currentIndexChanged.connect(lambda _index: self.device_changed.emit())
        self._faster = form.add_wide(Sentence("train_faster"))
        self._ndim = form.add(
            "Dimensions",
            choice([("2-D planes", 2), ("3-D volumes", 3)]),
            name="train_ndim",
            tooltip="3-D sees the planes above and below, and is many times slower. Border widths are in\n"
            "pixels of the finest axis; the others count by the scale of the layer. Default: 2-D.",
        )
        self._ndim.currentIndexChanged.connect(self._on_ndim)
        self._patch = form.add(
            "Patch size",
            choice([("Automatic", None), *((f"{size} px", size) for size in (64, 128, 256, 512))]),
            name="train_patch",
            tooltip="Edge of the training pieces. Larger ones show more context and need more memory.\n"
            "Default: automatic.",
        )
        self._rate = form.add(
            "Learning rate",
            choice([(f"{rate:g}", rate) for rate in (2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2)]),
            name="train_rate",
            tooltip="Higher learns faster, too high does not learn at all. "
            f"Default: {TrainingConfig().learning_rate:g}.",
        )
        self._rate.setCurrentIndex(self._rate.findData(TrainingConfig().learning_rate))
        self._held_out = form.add(
            "Held out",
            QSpinBox(),
            name="train_held_out",
            tooltip="Share of the strokes kept for scoring: more makes the score trustworthy, less leaves\n"
            "more to learn from. Default: 20 %.",
        )
        self._held_out.setRange(0, 50)
        self._held_out.setSingleStep(5)
        self._held_out.setSuffix(" %")
        self._held_out.setValue(round(100 * TrainingConfig().held_out))
        self._validation = form.add(
            "Score on",
            LayerChooser(self._viewer, none="Held-out strokes"),
            name="train_validation",
            tooltip="How to measure the network: on some strokes kept out of the training, or on a\n"
            "whole painted image kept out, which costs an image but says more. Default: held-out strokes.",
        )
        self._validation.layer_changed.connect(lambda _layer: self.images_changed.emit())
        self._patience = check_box(
            "Stop if nothing improves",
            name="train_patience",
            tooltip=f"End before the time limit when {_PATIENCE} scores in a row are no better than before.\n"
            "The best network is kept either way; this frees the computer. Default: off.",
        )
        form.addRow(self._patience)
        self._augmentation = form.add(
            "Variation",
            choice(_AUGMENTATIONS),
            name="train_augmentation",
            tooltip="How much the pieces are turned, bent and dimmed at random. Strong helps with few\n"
            "strokes and learns more slowly. Default: normal.",
        )
        self._augmentation.setCurrentIndex(2)
        self._preset = choice(
            [
                ("Gentle", WeightConfig.preset("gentle")),
                ("Paper (2015)", WeightConfig.preset("paper")),
                ("Freiburg (2019)", WeightConfig.preset("freiburg")),
            ]
        )
        if offers_weights:
            form.add(
                "Weights",
                self._preset,
                name="train_weights",
                tooltip="How much the gaps between objects count; see the Weights dock. Default: gentle.",
            )
        self._seed = form.add(
            "Seed",
            QSpinBox(),
            name="train_seed",
            tooltip="The same number repeats the same random choices; another makes new ones. Default: 0.",
        )
        self._seed.setRange(0, 2**31 - 1)

    @property
    def seconds(self) -> float:
        """The time limit in seconds."""
        return float(self._minutes.value()) * 60

    @property
    def device(self) -> str:
        """The device asked for: "auto", "cpu", "cuda" or "mps"."""
        return str(self._device.currentData())

    @property
    def validation_image(self) -> Image | None:
        """The image to score on, None for held-out strokes."""
        return self._validation.layer

    def with_way_out(self, why: str) -> str:
        """Return ``why`` a training cannot begin; if another image is named, with how to leave it out."""
        chosen = self.image.layer
        others = (image.name for image in images_of(self._viewer) if image is not chosen)
        if (
            chosen is None
            or not self.all_painted.isChecked()
            or not any(f"'{name}'" in why for name in others)
        ):
            return why
        return f"{why} To learn from '{chosen.name}' alone, untick '{_ALL_PAINTED}'."

    def show_hint(self, hint: str) -> None:
        """Say how to get a faster device; "" says nothing."""
        self._faster.say(hint)

    def config(self, *, mode: Mode, weights: WeightConfig | None, channels: Channels) -> TrainingConfig:
        """Return the values of the form; ``InputError`` if they cannot be used together."""
        return TrainingConfig(
            mode=mode,
            seconds=self.seconds,
            seed=self._seed.value(),
            channels=channels,
            patch_size=self._patch.currentData(),
            learning_rate=self._rate.currentData(),
            held_out=self._held_out.value() / 100,
            patience=_PATIENCE if self._patience.isChecked() else None,
            network=replace(self._size.currentData(), ndim=self._ndim.currentData()),
            weights=weights or self._preset.currentData(),
            augmentation=self._augmentation.currentData(),
        )

    def chosen_start(self, last: Stopped | None) -> Stopped | Path | None:
        """Return what to go on from: ``last`` in this window, a file, or None for scratch."""
        chosen = self._start.currentData()
        if chosen == _LAST:
            return last
        return chosen if isinstance(chosen, Path) else None

    def offer_last(self, name: str) -> None:
        """Offer to go on from the model just trained, and choose that: corrections are learnt on top."""
        index = self._start.findData(_LAST)
        if index < 0:
            index = self._start.findData(_SCRATCH) + 1
            self._start.insertItem(index, "", _LAST)
        self._start.setItemText(index, f"Last model: {name}")
        self._is_start_chosen = False
        self._choose_start(index)

    def start_from_file(self, path: Path) -> None:
        """Choose a model file to go on from, with the settings it was trained with."""
        # If anything is wrong with the file, this is said when the training starts.
        with suppress(InputError):
            if is_starter(path):
                self._choose_start(_index_of(self._start, path))
                return
            training = read_info(path, verify=False)["training"]
            self._show_settings(from_plain(TrainingConfig, training, "training", ignore_unknown=True))
        self.choose_file(path)

    def follow_model(self, path: Path, *, is_last: bool) -> None:
        """Go on from the model that was just used, as its errors are mended, unless the user chose otherwise.

        ``is_last`` where it is the one that is offered as the last.
        """
        index = self._start.findData(_LAST) if is_last else -1
        if self._is_start_chosen or self._start.currentData() == path:
            return
        if index >= 0:
            self._choose_start(index)
        else:
            self.start_from_file(path)

    def offer_file(self, path: Path) -> int:
        """Offer to go on from a model file, and return its index; nothing is chosen."""
        index = _index_of(self._start, path)
        if index < 0:
            index = self._start.count() - 1
            self._start.insertItem(index, path.stem, path)
        return index

    def choose_file(self, path: Path) -> None:
        """Choose a model file to go on from, and leave the other settings as they are."""
        self._choose_start(self.offer_file(path))

    def _show_settings(self, config: TrainingConfig) -> None:
        """Choose the settings in ``config``, except those that belong to image, paint and machine."""
        for box, value in (
            (self._ndim, config.network.ndim),
            (self._patch, config.patch_size),
            (self._rate, config.learning_rate),
            (self._augmentation, config.augmentation),
            (self._preset, config.weights),
        ):
            _choose(box, value)
        self._held_out.setValue(round(100 * config.held_out))
        self._seed.setValue(config.seed)

    def _on_start_chosen(self, index: int) -> None:
        self._is_start_chosen = True
        start = self._start.itemData(index)
        if start != _BROWSE:
            if isinstance(start, Path) and index != self._start_before:
                self.start_from_file(start)
            else:
                self._choose_start(index)
            return
        self._start.setCurrentIndex(self._start_before)
        chosen, _ = QFileDialog.getOpenFileName(
            self, "Go on from a model", str(read_preferences().models_folder), "Models (*.safetensors)"
        )
        if chosen:
            self.start_from_file(Path(chosen))

    def _choose_start(self, index: int) -> None:
        self._start.setCurrentIndex(index)
        self._start_before = index
        start = self._start.itemData(index)
        self._size.setEnabled(start == _SCRATCH)
        from_starter = isinstance(start, Path) and is_starter(start)
        self._adapts.say(_ADAPTS if from_starter else "")
        # A starter can become 3-D; any other model stays what it is.
        begins = start == _SCRATCH or from_starter
        self._ndim.setEnabled(begins)

    def _on_ndim(self, _index: int) -> None:
        """Begin from scratch in 3-D, unless the user asks for the starter again."""
        start = self._start.currentData()
        if self._ndim.currentData() == 3 and isinstance(start, Path) and is_starter(start):
            self._choose_start(self._start.findData(_SCRATCH))


def _choose(box: QComboBox, value: object) -> None:
    """Choose a value, and offer it from now on if it was not offered yet."""
    if _index_of(box, value) < 0:
        box.addItem("As the model", value)
    box.setCurrentIndex(_index_of(box, value))


def _index_of(box: QComboBox, value: object) -> int:
    """Return the index of a value, or -1; for `findData`, equal paths or settings would be different ones."""
    return next((index for index in range(box.count()) if box.itemData(index) == value), -1)

"""How objects are read from probabilities: a few controls to set before or after a prediction."""

from dataclasses import replace
from math import log2
from pathlib import Path
from typing import Any, get_args

from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # no qtpy stubs
from qtpy.QtWidgets import QDoubleSpinBox, QSpinBox, QWidget

from napari_unet.core.instances import InstanceConfig, Separation
from napari_unet.widgets.parts.form import Column, Form, button, check_box, choice, slider
from napari_unet.widgets.parts.section import Section

_WHOLE, _OCTAVES = 8.0, 5
"""Contrast at 0 on the slider, and how often it halves up to 100, where it is 0.25."""

_SEPARATIONS: dict[Separation, str] = {"both": "Both", "probability": "Seam", "shape": "Outline"}


def contrast_of(eagerness: float) -> float:
    """Return the contrast for how eagerly touching objects are split, 0 to 100: every 20 halve it."""
    return float(_WHOLE / 2 ** (_OCTAVES * eagerness / 100))


def eagerness_of(contrast: float) -> int:
    """Return the place on the slider that is nearest to a contrast; the inverse of :func:`contrast_of`."""
    return min(max(round(100 * log2(_WHOLE / contrast) / _OCTAVES), 0), 100)


class ObjectForm(QWidget):
    """A section with the fields of ``InstanceConfig``; what the user changes is remembered for each model."""

    changed = Signal()
    """The user changed a setting."""

    def __init__(self) -> None:
        super().__init__()
        self._model: Path | None = None
        self._fitted = self._config = InstanceConfig()
        self._own: dict[Path, InstanceConfig] = {}
        self._is_filling = False
        column = Column(self)
        section = Section(
            "Objects",
            name="predict_objects_section",
            tooltip="How objects are separated; after a prediction, the result follows at once.",
            is_open=True,
        )
        column.addWidget(section)
        inner = Column(section.content, 12)
        self._add_controls(inner)
        self._show()

    def _add_controls(self, column: Column) -> None:
        form = Form(column)
        self._split = form.add(
            "Split touching",
            slider(0, 100, 0),
            name="predict_split",
            tooltip="How eagerly touching objects are split: 0 keeps nearly all whole, 100 cuts at the\n"
            "faintest seam. Default: what fits the objects painted for the model, else 40.",
        )
        self._split.valueChanged.connect(lambda value: self._change(contrast=contrast_of(value)))
        self._min_size = form.add(
            "Smallest object",
            QSpinBox(),
            name="predict_min_size",
            tooltip="Objects of fewer pixels are left out, and larger ones that the network is not sure of.\n"
            "Default: a twentieth of a painted object.",
        )
        self._min_size.setRange(1, 1_000_000)
        self._min_size.setSuffix(" px")
        self._min_size.valueChanged.connect(lambda value: self._change(min_size=value))
        self._threshold = form.add(
            "Threshold",
            QDoubleSpinBox(),
            name="predict_threshold",
            tooltip="Pixels more probable than this belong to objects; raise it for smaller objects.\n"
            "Default: 0.50, or what suits the painted objects better.",
        )
        self._threshold.setRange(0, 0.99)
        self._threshold.setSingleStep(0.05)
        self._threshold.valueChanged.connect(lambda value: self._change(threshold=round(value, 2)))
        self._separate_by = form.add(
            "Separate by",
            choice([(_SEPARATIONS.get(name, name), name) for name in get_args(Separation)]),
            name="predict_separate_by",
            tooltip="What shows where touching objects meet: a seam of lower probability, or a narrow\n"
            "outline. Default: what suits the painted objects best, else both.",
        )
        self._separate_by.currentIndexChanged.connect(
            lambda _index: self._change(separate_by=self._separate_by.currentData())
        )
        self._fill_holes = check_box(
            "Fill holes",
            lambda is_on: self._change(fill_holes=is_on),
            name="predict_fill_holes",
            tooltip="Make background that one object encloses part of it. Default: on.",
        )
        self._reset = button(
            "Model's values",
            self.reset,
            name="predict_reset",
            tooltip="Go back to the values fitted to the paint that this model learnt from.",
        )
        column.add_row(self._fill_holes, self._reset).insertStretch(1)

    @property
    def config(self) -> InstanceConfig:
        """The settings."""
        return self._config

    @property
    def is_fitted(self) -> bool:
        """Whether the settings are the model's own."""
        return self._config == self._fitted

    def choose(self, model: Path, fitted: InstanceConfig) -> None:
        """Show how objects of ``model`` are read: as fitted to its paint, or as the user chose for it."""
        if (model, fitted) == (self._model, self._fitted):
            return
        self._model, self._fitted = model, fitted
        self._config = self._own.get(model, fitted)
        self._show()

    def reset(self) -> None:
        """Go back to the model's own values."""
        if self._model is not None:
            self._own.pop(self._model, None)
        if self._config != self._fitted:
            self._config = self._fitted
            self._show()
            self.changed.emit()

    def _change(self, **change: Any) -> None:
        """Take one setting from its control; values that a control shows rounded keep their digits."""
        if self._is_filling:
            return
        self._config = replace(self._config, **change)
        if self._model is not None:
            self._own[self._model] = self._config
        self._reset.setEnabled(self._config != self._fitted)
        self.changed.emit()

    def _show(self) -> None:
        self._is_filling = True
        self._split.setValue(eagerness_of(self._config.contrast))
        self._min_size.setValue(self._config.min_size)
        self._threshold.setValue(self._config.threshold)
        self._separate_by.setCurrentIndex(self._separate_by.findData(self._config.separate_by))
        self._fill_holes.setChecked(self._config.fill_holes)
        self._is_filling = False
        self._reset.setEnabled(self._config != self._fitted)

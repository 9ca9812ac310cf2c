"""The Weights dock: see how much every painted pixel will count, before the network is taught."""

from dataclasses import replace
from functools import partial

import napari
import numpy as np
from napari.layers import Image, Layer
from qtpy.QtCore import Qt, QTimer, Signal  # type: ignore[attr-defined]  # no qtpy stubs
from qtpy.QtWidgets import QCheckBox, QWidget
from superqt import QLabeledDoubleSlider

from napari_unet.core.weights import WeightConfig
from napari_unet.widgets import layers as bridge
from napari_unet.widgets.form import LayerChooser, Sentence, add_form, add_row, choice, describe, fill
from napari_unet.widgets.latest import Latest
from napari_unet.widgets.watcher import AnnotationWatcher
from napari_unet.widgets.weight_preview import WeightPreview, preview_weights

_SETTLED_MS = 150
"""Time without a change of the controls or the paint after which the map is computed."""

_CUSTOM = "custom"


class WeightsDock(QWidget):
    """Set the border weights, with a live preview of the weight map.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer whose layers are offered, and which shows the preview.
    scrollable : bool
        False where another dock holds this one and scrolls.
    """

    config_changed = Signal(object)
    """The :class:`WeightConfig`, whenever it is another one."""

    def __init__(self, viewer: "napari.viewer.Viewer", *, scrollable: bool = True) -> None:
        super().__init__()
        self._viewer = viewer
        self._base = WeightConfig()
        self._fit_limits = True
        self._source: Image | None = None
        self._map: Layer | None = None
        self._latest = Latest("Weight map", self)
        self._latest.result.connect(self._show_preview)
        self._latest.failed.connect(self._show_fault)
        self._settled = QTimer(self)
        self._settled.setSingleShot(True)
        self._settled.setInterval(_SETTLED_MS)
        self._settled.timeout.connect(self._compute)
        self._build(scrollable)
        self._show_values(self._base)
        self._watcher.layer_changed.connect(self._on_annotation)
        self._watcher.painted.connect(self._settled.start)
        self._on_annotation()

    def config(self) -> WeightConfig:
        """Return what is set: the preset chosen last, with the values of the controls."""
        return replace(
            self._base,
            w0=self.w0.value(),
            sigma=self.sigma.value(),
            class_balance=self.class_balance.currentData(),
        )

    def _build(self, scrollable: bool) -> None:
        column = fill(self, scrollable=scrollable)
        form = add_form(column)
        self.image = LayerChooser(self._viewer)
        self._watcher = AnnotationWatcher(self._viewer, self.image)
        add_row(form, "Image", self.image, name="weights_image", tooltip="The image whose paint is weighed.")
        self.preset = choice(
            (("Paper (2015)", "paper"), ("Freiburg (2019)", "freiburg"), ("Custom", _CUSTOM))
        )
        self.preset.activated.connect(self._on_preset)
        add_row(
            form,
            "Preset",
            self.preset,
            name="weights_preset",
            tooltip="Published settings to begin from.\n"
            "Paper: borders count inside objects too.\n"
            "Freiburg: they count in the background only, and background far from objects hardly at all.",
        )
        self.w0 = _slider(0, 100, decimals=1, step=0.5)
        add_row(
            form,
            "Height w0",
            self.w0,
            name="weights_w0",
            tooltip="How much more a pixel counts that lies between two touching objects; 0 for no borders.",
        )
        self.sigma = _slider(0.5, 50, decimals=1, step=0.5)
        add_row(
            form,
            "Width \N{GREEK SMALL LETTER SIGMA}",
            self.sigma,
            name="weights_sigma",
            tooltip="How wide a gap still counts as a border, in pixels: more where objects lie loosely.",
        )
        self.class_balance = choice((("Balanced", "inverse"), ("As painted", "none")))
        add_row(
            form,
            "Class balance",
            self.class_balance,
            name="weights_class_balance",
            tooltip="Balanced: of the class with less paint, every pixel counts more.\n"
            "As painted: every pixel counts alike, whatever its class.",
        )
        self.w0.valueChanged.connect(self._on_value)
        self.sigma.valueChanged.connect(self._on_value)
        self.class_balance.currentIndexChanged.connect(self._on_value)
        self.show_map = QCheckBox("Show the weight map")
        describe(
            self.show_map,
            name="weights_show",
            tooltip="Show the map as an image layer that follows the paint and these settings.",
        )
        self.show_map.toggled.connect(self._on_show)
        column.addWidget(self.show_map)
        self.sentence = Sentence("weights_sentence")
        column.addWidget(self.sentence)
        column.addStretch()

    def _show_values(self, config: WeightConfig) -> None:
        fields = (self.w0, self.sigma, self.class_balance)
        for field in fields:
            field.blockSignals(True)
        self.w0.setValue(config.w0)
        self.sigma.setValue(config.sigma)
        self.class_balance.setCurrentIndex(self.class_balance.findData(config.class_balance))
        for field in fields:
            field.blockSignals(False)

    def _on_preset(self, _index: int) -> None:
        name = self.preset.currentData()
        if name == _CUSTOM:
            return
        self._base = WeightConfig.preset(name)
        self._show_values(self._base)
        self._fit_limits = True
        self._changed()

    def _on_value(self, _value: object) -> None:
        config = self.config()
        presets = (name for name in ("paper", "freiburg") if WeightConfig.preset(name) == config)
        self.preset.setCurrentIndex(self.preset.findData(next(presets, _CUSTOM)))
        self._changed()

    def _changed(self) -> None:
        self.config_changed.emit(self.config())
        self._settled.start()

    def _on_annotation(self, _layer: object = None) -> None:
        self._fit_limits = True
        self._settled.start()

    def _on_show(self, show: bool) -> None:
        if self._map is not None and not show:
            self._map.visible = False
        self._settled.start()

    # The preview, computed in the background and shown while the box is ticked.

    def _compute(self) -> None:
        paint, image = self._watcher.layer, self.image.layer
        if paint is None or image is None:
            self._latest.cancel()
            what = "Open an image" if image is None else "Make an annotation layer in the Paint dock"
            self.sentence.say(f"{what} to see what counts how much.")
            return
        point = np.round(paint.world_to_data(self._viewer.dims.point)[-paint.ndim :]).astype(int)
        visible = tuple(np.clip(point, 0, np.array(paint.data.shape) - 1).tolist())[:-2]
        self._source = image
        self._latest.submit(
            partial(preview_weights, bridge.copy_paint(paint), self.config(), bridge.mode_of(paint), visible)
        )

    def _show_preview(self, preview: WeightPreview) -> None:
        self.sentence.say(preview.sentence)
        if not self.show_map.isChecked() or self._source is None:
            return
        layer = bridge.add_result(self._viewer, self._source, "weights", preview.weights)
        if layer is None:
            return
        self._map = layer
        layer.visible = True
        if self._fit_limits:
            # Only now: limits that moved with the sliders would hide what the sliders do.
            self._fit_limits = False
            layer.contrast_limits = (0, max(1.0, float(preview.weights.max())))

    def _show_fault(self, sentence: str) -> None:
        self.sentence.say(sentence, "warning")


def _slider(lowest: float, highest: float, *, decimals: int, step: float) -> QLabeledDoubleSlider:
    slider = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
    slider.setRange(lowest, highest)
    slider.setDecimals(decimals)
    slider.setSingleStep(step)  # type: ignore[arg-type]  # superqt's own double slider takes a float
    return slider

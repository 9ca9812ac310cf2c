"""The Weights dock: see how much every painted pixel will count, before the network is taught."""

from dataclasses import replace
from functools import partial
from typing import Any, get_args

import napari
import numpy as np
from napari.layers import Image, Layer
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from superqt import QLabeledDoubleSlider
from superqt.utils import signals_blocked

from napari_unet.core.arrays.boxes import Plane
from napari_unet.core.borders.weight_config import Preset, WeightConfig
from napari_unet.files.pixels.pixel_size import relative_spacing
from napari_unet.widgets.bridge import layers as bridge
from napari_unet.widgets.bridge import marks
from napari_unet.widgets.bridge.placement import pixel_shown, pixel_sizes
from napari_unet.widgets.painting.watcher import AnnotationWatcher
from napari_unet.widgets.painting.weight_preview import PlaneMap, WeightPreviews
from napari_unet.widgets.parts.dock import Dock, without_proxy
from napari_unet.widgets.parts.form import Form, LayerChooser, Sentence, check_box, choice
from napari_unet.widgets.parts.latest import Latest
from napari_unet.widgets.projects.window_project import project_of
from napari_unet.widgets.window.lifetime import follow, later

_CUSTOM = "custom"


class WeightsDock(Dock):
    """Set the border weights, with a live preview of the weight map."""

    def __init__(self, viewer: "napari.viewer.Viewer", *, scrollable: bool = True) -> None:
        super().__init__(scrollable=scrollable)
        self._viewer = viewer = without_proxy(viewer)
        self._base = WeightConfig.preset("gentle")
        self._peak: float | None = 0.0
        self._map: Layer | None = None
        self._pixels: NDArray[np.float32] | None = None
        self._keys: dict[Plane, object] = {}
        self._all_asked = True
        self._previews = WeightPreviews()
        self._latest = Latest("Weight map", self, patient=True)
        self._latest.result.connect(self._show_preview)
        self._latest.failed.connect(lambda sentence: self.sentence.say(sentence, "warning"))
        # What happens in one turn of the event loop is one request, and several planes are one refresh.
        self._due = later(self, 0, self._compute)
        self._written = later(self, 0, self._refresh)
        self._build()
        self._show_values(self._base)
        self.image.layer_changed.connect(self._on_annotation)
        self._watcher.layer_changed.connect(self._on_annotation)
        self._watcher.painted.connect(self._due.start)
        self._watcher.noted.connect(self._due.start)
        follow(self, self._on_removed, viewer.layers.events.removed)
        self._on_annotation()
        project_of(viewer).keep_settings("weights", self)

    def config(self) -> WeightConfig:
        """Return the settings: the preset chosen last, with the values of the controls."""
        return replace(
            self._base,
            w0=self.w0.value(),
            sigma=self.sigma.value(),
            class_balance=self.class_balance.currentData(),
        )

    def _build(self) -> None:
        column = self.column
        form = Form(column)
        self.image = LayerChooser(self._viewer)
        self._watcher = AnnotationWatcher(self._viewer, self.image)
        form.add("Image", self.image, name="weights_image", tooltip="The image whose paint is weighed.")
        self.preset = form.add(
            "Preset",
            choice(
                (
                    ("Gentle", "gentle"),
                    ("Paper (2015)", "paper"),
                    ("Freiburg (2019)", "freiburg"),
                    ("Custom", _CUSTOM),
                )
            ),
            name="weights_preset",
            tooltip="Settings to begin from.\n"
            "Gentle: the paper's with lower borders, for a few filled objects.\n"
            "Paper: borders count inside objects too.\n"
            "Freiburg: they count in the background only, and background far from objects hardly at all.",
        )
        self.preset.activated.connect(self._on_preset)
        self.w0 = form.add(
            "Height w0",
            _slider(0, 100),
            name="weights_w0",
            tooltip="How much more a pixel between two touching objects counts; 0 for no borders.",
        )
        self.sigma = form.add(
            "Width \N{GREEK SMALL LETTER SIGMA}",
            _slider(0.5, 50),
            name="weights_sigma",
            tooltip="How wide a gap still counts as a border, in pixels: more if objects lie far apart.\n"
            "Where pixels are not square or cubic, those of the finest axis, by the scale of the layer.",
        )
        self.class_balance = form.add(
            "Class balance",
            choice((("Automatic", "auto"), ("Balanced", "inverse"), ("As painted", "none"))),
            name="weights_class_balance",
            tooltip="Automatic: balanced, unless nearly every pixel is painted.\n"
            "Balanced: every pixel of the class with less paint counts more.\n"
            "As painted: every pixel counts the same, whatever its class.",
        )
        self.w0.valueChanged.connect(self._on_value)
        self.sigma.valueChanged.connect(self._on_value)
        self.class_balance.currentIndexChanged.connect(self._on_value)
        self.show_map = check_box(
            "Show the weight map",
            self._on_show,
            name="weights_show",
            tooltip="Show the map as an image layer that follows paint and settings: bright pixels count\n"
            "most, transparent ones not at all. The line around filled objects is learnt as background.",
        )
        column.addWidget(self.show_map)
        self.sentence = column.add(Sentence("weights_sentence"))
        column.addStretch()

    def _show_values(self, config: WeightConfig) -> None:
        with signals_blocked(self.w0), signals_blocked(self.sigma), signals_blocked(self.class_balance):
            self.w0.setValue(config.w0)
            self.sigma.setValue(config.sigma)
            self.class_balance.setCurrentIndex(self.class_balance.findData(config.class_balance))

    def _on_preset(self, _index: int) -> None:
        name = self.preset.currentData()
        if name == _CUSTOM:
            return
        self._base = WeightConfig.preset(name)
        self._show_values(self._base)
        self._latest.cancel()  # the limits of the old map do not fit the new one
        self._peak = 0.0
        self._due.start()

    def _on_value(self, _value: object) -> None:
        config = self.config()
        presets = (name for name in get_args(Preset) if WeightConfig.preset(name) == config)
        self.preset.setCurrentIndex(self.preset.findData(next(presets, _CUSTOM)))
        self._keep_limits()
        self._due.start()

    def _on_annotation(self, _layer: object = None) -> None:
        self._latest.cancel()  # the running preview belongs to another layer
        if self._map is not None and marks.source_of(self._viewer, self._map) is not self.image.layer:
            self._map.visible, self._map = False, None
        self._previews = WeightPreviews()
        self._peak = 0.0
        self._due.start()

    def _on_show(self, show: bool) -> None:
        if self._map is not None:
            self._map.visible = show
        self._due.start()

    def _on_removed(self, event: Any) -> None:
        """Untick the box when the user deletes the map; one whose image is gone is removed here."""
        if event.value is self._map and marks.source_of(self._viewer, event.value) is not None:
            self.show_map.setChecked(False)

    # The preview, computed in the background and shown while the box is ticked.

    def _compute(self) -> None:
        bridge.remove_orphans(self._viewer, "weights")
        paint, image = self._watcher.layer, self.image.layer
        if paint is None or image is None:
            self._latest.cancel()
            what = "Open an image" if image is None else "Make an annotation layer under Paint"
            self.sentence.say(f"{what} to see what counts how much.")
            return
        shown = None
        if self.show_map.isChecked():
            shown = dict(self._keys) if self._is_mine(image, paint.data.shape) else {}
        self._all_asked = not shown
        config = self.config()
        # Not a copy of the paint: plane by plane, the thread copies only what has changed.
        spacing = relative_spacing(pixel_sizes(paint, image)[-2:])
        maps = partial(
            self._previews.maps,
            paint.data,
            marks.known_full_of(paint),
            config,
            marks.mode_of(paint),
            visible=pixel_shown(self._viewer, paint)[:-2],
            shown=shown,
            spacing=spacing,
        )
        self._latest.submit(maps, partial(self._previews.sentence, config))

    def _is_mine(self, image: Image, shape: tuple[int, ...]) -> bool:
        """Whether the map layer still exists, is of this image, and has the pixels that were put there."""
        layer, pixels = self._map, self._pixels
        return (
            layer is not None
            and pixels is not None
            and layer in self._viewer.layers
            and layer.data is pixels
            and pixels.shape == shape
            and marks.source_of(self._viewer, layer) is image
        )

    def _show_preview(self, preview: PlaneMap | str) -> None:
        if isinstance(preview, str):
            self.sentence.say(preview)
            self._keep_limits()
            return
        paint, image = self._watcher.layer, self.image.layer
        if not self.show_map.isChecked() or image is None or paint is None:
            return
        if not self._is_mine(image, paint.data.shape):
            self._add_map(image, paint.data.shape)
        if self._map is None or self._pixels is None:
            return
        self._pixels[preview.plane] = preview.weights
        self._keys[preview.plane] = preview.key
        self._written.start()
        if self._peak is not None:
            self._peak = max(self._peak, float(preview.weights.max()))
            self._map.contrast_limits = (0, max(1.0, self._peak))

    def _keep_limits(self) -> None:
        """Leave the limits alone after the first map: new limits would hide what the sliders do."""
        if self._peak:
            self._peak = None

    def _refresh(self) -> None:
        if self._map is not None:
            self._map.refresh(extent=False, highlight=False)

    def _add_map(self, image: Image, shape: tuple[int, ...]) -> None:
        self._pixels = np.zeros(shape, np.float32)
        self._keys = {}
        self._map = bridge.add_result(self._viewer, image, "weights", self._pixels)
        if self._map is not None:
            self._map.visible = True
        if not self._all_asked:  # the layer was deleted after the request, which had left out the maps on it
            self._due.start()


def _slider(lowest: float, highest: float) -> QLabeledDoubleSlider:
    slider = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
    slider.setRange(lowest, highest)
    slider.setDecimals(1)
    slider.setSingleStep(0.5)  # type: ignore[arg-type]  # superqt's own double slider takes a float
    return slider

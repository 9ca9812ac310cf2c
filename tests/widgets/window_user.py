"""A user who does anything, in any order: random actions on a real window with all docks open.

Every action draws from a generator of its own, seeded by the number of the user and of the action, and
chooses among things by their names. So a list of actions can be replayed, and shortened: ``only`` says which
to keep.
"""

import re
import shutil
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import tifffile
from dock_helpers import TINY, discs, make_model, save
from mouse import Hand
from napari.layers import Image, Labels, Layer, Points, Shapes, _layer_actions
from qtpy.QtCore import QThreadPool
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QInputDialog,
    QLineEdit,
    QMessageBox,
    QScrollBar,
    QWidget,
)
from superqt import QLabeledDoubleSlider, QLabeledSlider
from window_watch import Fault, NapariError, Watch

from napari_unet.files.networks.models import save_model
from napari_unet.widgets.bridge.layers import annotation_of
from napari_unet.widgets.bridge.marks import full_data, is_paint, kind_of
from napari_unet.widgets.correcting.corrector import holds_tool
from napari_unet.widgets.crop import crop_to_view
from napari_unet.widgets.parts.form import Sentence
from napari_unet.widgets.predict import PredictDock
from napari_unet.widgets.predicting.prediction_inputs import FILES
from napari_unet.widgets.projects.window_project import project_of
from napari_unet.widgets.train import TrainDock
from napari_unet.widgets.training.training_form import TrainingForm
from napari_unet.widgets.window.lifetime import is_alive

PLUGIN = "napari-unet-interactive"
DOCKS = ("U-Net", "Paint", "Weights", "Train", "Predict", "Evaluate", "Project")

_PAINTS = re.compile(
    r"(paint_number|paint_corrections|unet_take|paint_own_\w+|correct_(accept|reject|undo))$"
)
"""Buttons that write paint."""
# Without Control-G: with many layers, napari's grid takes seconds whenever one of them is shown or hidden.
_KEYS = (
    *("G", "O", "N", "J", "A", "R", "S", "U", "E", "P", "F", "L", "Z", "M", "V", "B", "Escape"),
    *("Control-Z", "Control-Shift-Z", "Control-Y", "Control-E", "Control-T", "Control-R"),
    *("1", "2", "3", "4", "5", "6", "Left", "Right", "Alt-N", "[", "]", "=", "-", "D"),
)


class Chance:
    """What is random in one action; choices among named things hold when other things are missing."""

    def __init__(self, *seeds: int) -> None:
        self.rng = np.random.default_rng(seeds)

    def pick(self, items: Iterable[Any], name: Callable[[Any], object] = str) -> Any:
        """Return one of ``items``, or None without any."""
        salt = int(self.rng.integers(2**32))
        return min(items, key=lambda item: zlib.crc32(f"{salt}{name(item)}".encode()), default=None)

    def happens(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def whole(self, low: int, high: int) -> int:
        """Return a whole number from ``low`` to ``high``."""
        return int(self.rng.integers(low, high + 1))

    def number(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))


class Wanderer(Hand):
    """A hand whose places are pixels of the canvas: it needs no plane."""

    def _on_canvas(self, at):
        return np.array(at, float)


class User:
    """Acts on a window and checks after every action that nothing went wrong.

    Parameters
    ----------
    viewer : napari.Viewer
    home : Path
        The home folder, in which everything is.
    monkeypatch : pytest.MonkeyPatch
        Answers the dialogs.
    seed : int
        Which user.
    """

    def __init__(self, viewer, home: Path, monkeypatch, seed: int) -> None:
        self.viewer, self.home, self.seed = viewer, home, seed
        self.done: list[str] = []
        self.hand = Wanderer(viewer)
        self.chance = Chance(seed, 0)
        self._docks: dict[str, Any] = {}
        self._closed: list[QWidget] = []
        self._has_meddled = False  # with the files of the plugin
        self._steps = 4
        self._make_files()
        self._answer_dialogs(monkeypatch)
        config = TrainingForm.config

        def tiny(form, **given):
            return replace(
                config(form, **given), steps=self._steps, network=TINY, patch_size=32, batch_size=2
            )

        monkeypatch.setattr(TrainingForm, "config", tiny)
        docks = self._open_docks
        self.watch = Watch(viewer, lambda: [dock for _, dock in docks()], self._images, monkeypatch)

    def play(self, count: int, only: Sequence[int] | None = None) -> None:
        """Do ``count`` actions, or ``only`` those with these numbers; :class:`Fault` if one goes wrong."""
        with self.watch.listening():
            self._attempt("begin", self._begin, -1)
            for number in range(count) if only is None else only:
                self.chance = Chance(self.seed, number + 1)
                name = ACTIONS[self.chance.rng.choice(len(ACTIONS), p=_ODDS)]
                self._attempt(name, getattr(self, name), number)
            self.chance = Chance(self.seed, 0)
            for name, act in (("end", self._end), ("recover", self._recover), ("close", self._close)):
                self._attempt(name, act, count)

    def _attempt(self, name: str, act: Callable[[], Any], number: int) -> None:
        self.done.append(f"{number} {name}")
        self._allowed: list[Layer] = []
        self._allows_paint = False
        try:
            with self.watch.action():
                act()
                QTest.qWait(self.chance.whole(1, 60))
                if name != "close":
                    self.watch.check(self._allowed, allows_paint=self._allows_paint)
        except (Fault, NapariError) as error:
            error.add_note(f"User {self.seed} did:\n" + "\n".join(self.done))
            raise

    def _note(self, *what: object) -> None:
        self.done[-1] += " " + " ".join(map(str, what))

    # What is there.

    def _open_docks(self) -> list[tuple[str, QWidget]]:
        return [(name, widget) for name, (_, widget) in self._docks.items() if is_alive(widget)]

    def _controls(self, *kinds: type) -> list[tuple[str, Any]]:
        """Return the controls that the user could reach, by names such as Train/train_start."""
        return [
            (f"{name}/{control.objectName()}", control)
            for name, widget in self._open_docks()
            for control in widget.findChildren(QWidget)
            if isinstance(control, kinds)
            and control.objectName()
            and not control.objectName().startswith("qt_")
            and control.isVisibleTo(widget)
            and control.isEnabled()
            and not isinstance(control, QScrollBar)
            and not isinstance(control.parent(), QLabeledSlider | QLabeledDoubleSlider)
        ]

    def _layer(self, *kinds: type, where: Callable[[Layer], bool] = lambda _: True) -> Any:
        found = (layer for layer in self.viewer.layers if isinstance(layer, kinds or Layer) and where(layer))
        return self.chance.pick(found, lambda layer: layer.name)

    # Files and dialogs.

    def _make_files(self) -> None:
        images, self.models = self.home / "images", self.home / "U-Net models"
        for folder in (images, self.models, self.home / "saved"):
            folder.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(images / "a.tif", discs())
        tifffile.imwrite(images / "b.tif", discs((80, 72), 1))
        tifffile.imwrite(images / "stack.tif", discs((3, 48, 48), 2), photometric="minisblack")
        colours = np.stack([discs(seed=seed) // 32 for seed in range(3)], -1).astype(np.uint8)
        tifffile.imwrite(images / "rgb.tif", colours, photometric="rgb")
        (images / "broken.tif").write_bytes((images / "a.tif").read_bytes()[:300])
        save(self.models, "grey")
        save(self.models, "colours", channels=3)
        save(self.models, "classes", classes=4)
        save(self.models, "volumes", ndim=3)
        starters = self.home / "package" / "data" / "starters"  # as the fixture of this name has it
        starters.mkdir(parents=True)
        save_model(replace(make_model(), object_size=18.0), starters / "dots.safetensors", half=True)
        self._images = sorted(images.iterdir())

    def _answer_dialogs(self, monkeypatch) -> None:
        def wait() -> None:
            QTest.qWait(self.chance.whole(1, 120))  # meanwhile, jobs end behind the dialog

        def save_name(_parent=None, _title="", suggested="", kinds="", *_rest):
            wait()
            if self.chance.happens(0.25):
                return "", ""
            kind = self.chance.pick(str(kinds).split(";;"))
            suffix = re.search(r"\*(\.[\w.]+)", kind)
            name = self.chance.pick(("one", "two", "µ three", "one.tif", "no folder/one"))
            ending = suffix[1] if suffix and self.chance.happens(0.7) else ""
            chosen = str(self.home / "saved" / f"{name}{ending}")
            if self.chance.happens(0.3):
                chosen = suggested
            self._note("saves as", chosen)
            return chosen, kind

        def open_name(*_given):
            wait()
            if self.chance.happens(0.25):
                return "", ""
            found = sorted(path for path in self.home.rglob("*") if path.is_file())
            likely = [path for path in found if path.suffix in (".safetensors", ".tif", ".zip", ".training")]
            chosen = self.chance.pick(likely if self.chance.happens(0.9) else found)
            self._note("opens", chosen)
            return str(chosen), ""

        def folder(*_given):
            wait()
            if self.chance.happens(0.25):
                return ""
            found = [self.home, *(path for path in self.home.iterdir() if path.is_dir())]
            projects = [path.parent for path in self.home.rglob("project.toml")]
            chosen = self.chance.pick(projects if projects and self.chance.happens(0.5) else found)
            self._note("chooses", chosen)
            return str(chosen)

        def item(_parent, _title, _label, items, *_rest, **_more):
            wait()
            return (str(self.chance.pick(items)), True) if self.chance.happens(0.8) else ("", False)

        def text(*_given, **_more):
            wait()
            return self.chance.pick((("Ann", True), ("", True), ("", False)))

        def question(*_given, **_more):
            wait()
            yes = self.chance.happens(0.5)
            return QMessageBox.StandardButton.Yes if yes else QMessageBox.StandardButton.No

        monkeypatch.setattr(QFileDialog, "getSaveFileName", save_name)
        monkeypatch.setattr(QFileDialog, "getOpenFileName", open_name)
        monkeypatch.setattr(QFileDialog, "getExistingDirectory", folder)
        monkeypatch.setattr(QInputDialog, "getItem", item)
        monkeypatch.setattr(QInputDialog, "getText", text)
        monkeypatch.setattr(QMessageBox, "question", question)

    # The actions: the docks.

    def _begin(self) -> None:
        # This image stays: napari 0.9.2 crashes on a processor that draws labels and nothing else.
        self.base = self.viewer.add_image(discs(), name="base")
        for name in DOCKS if self.chance.happens(0.5) else DOCKS[:1]:
            self._open(name)

    def _open(self, name: str) -> None:
        self._docks[name] = self.viewer.window.add_plugin_dock_widget(PLUGIN, name)

    def dock_open(self) -> None:
        closed = [name for name in DOCKS if name not in dict(self._open_docks())]
        name = self.chance.pick(closed)
        if name is not None:
            self._note(name)
            self._open(name)

    def dock_close(self) -> None:
        name = self.chance.pick([name for name, _ in self._open_docks()])
        if name is not None and len(self._open_docks()) > 1:
            self._note(name)
            frame, widget = self._docks.pop(name)
            self._closed.append(widget)
            frame.destroyOnClose()

    def press(self) -> None:
        buttons = [pair for pair in self._controls(QAbstractButton) if not pair[1].isCheckable()]
        self._press(*(self.chance.pick(buttons, lambda pair: pair[0]) or (None, None)))

    def press_main(self) -> None:
        """Press one of the buttons that begin or end something."""
        names = r"(start|predict|train|take|make|next|go|pause|stop|cancel|accept|background|object)$"
        buttons = [pair for pair in self._controls(QAbstractButton) if re.search(names, pair[0])]
        self._press(*(self.chance.pick(buttons, lambda pair: pair[0]) or (None, None)))

    def _press(self, name: str | None, made: Any) -> None:
        if name is None:
            return
        self._note(name)
        self._steps = self.chance.pick((2, 30, 30, 100_000))
        self._allows_paint = bool(_PAINTS.search(name))
        if name.endswith(("project_open", "unet_project")):
            self._allowed += list(self.viewer.layers)
            self.viewer.dims.ndisplay = 2  # napari cannot add hidden colours to the 3-D view
        made.click()
        prefix = re.search(r"/(train|predict)_start$", name)
        if prefix and is_alive(made):
            dock = made
            while not isinstance(dock, TrainDock | PredictDock):
                dock = dock.parent()
            said = dock.findChild(Sentence, f"{prefix[1]}_status")
            if not dock.is_running and said.isHidden():
                raise Fault("it neither begins nor says why")

    def train(self) -> None:
        """Get a training going: make the paint teach, unfold the step, press Start."""
        self.paint_enough()
        for step in [made for name, made in self._controls(QAbstractButton) if name.endswith("unet_step_3")]:
            if not step.isChecked():
                step.click()
        starts = [pair for pair in self._controls(QAbstractButton) if pair[0].endswith("/train_start")]
        self._press(*(self.chance.pick(starts, lambda pair: pair[0]) or (None, None)))

    def predict(self) -> None:
        """Choose an image in a Predict dock, and press Predict."""
        docks = [dock for dock in self.watch.widgets(PredictDock) if not dock.is_running]
        dock = self.chance.pick(docks, lambda dock: dock.parent() is None)
        if dock is None:
            return
        for step in [made for name, made in self._controls(QAbstractButton) if name.endswith("unet_step_4")]:
            if not step.isChecked():
                step.click()
        dock.image.setCurrentIndex(self.chance.pick(range(dock.image.count()), dock.image.itemText) or 0)
        self._note(dock.image.currentText())
        if dock.image.several == FILES:
            dock.findChild(QLineEdit, "predict_files").setText(str(self.home / "images"))
            dock.findChild(QLineEdit, "predict_output").setText(str(self.home / "saved" / "results"))
        starts = [pair for pair in self._controls(QAbstractButton) if pair[0].endswith("/predict_start")]
        self._press(*(self.chance.pick(starts, lambda pair: pair[0]) or (None, None)))

    def set_control(self) -> None:
        kinds = (QComboBox, QAbstractSpinBox, QAbstractSlider, QLineEdit, QAbstractButton, QLabeledSlider)
        controls = self._controls(*kinds, QLabeledDoubleSlider)
        controls = [
            pair for pair in controls if not isinstance(pair[1], QAbstractButton) or pair[1].isCheckable()
        ]
        name, control = self.chance.pick(controls, lambda pair: pair[0]) or (None, None)
        if name is None:
            return
        self._note(name)
        match control:
            case QComboBox():
                if control.count():
                    control.setCurrentIndex(
                        self.chance.pick(range(control.count()), lambda index: control.itemText(index))
                    )
                    self._note(control.currentText())
            case QAbstractButton():
                control.click()
            case QLineEdit():
                places = (*sorted(self.home.iterdir()), self.home / "images" / "*.tif", "", "no such", "/")
                control.setText(str(self.chance.pick(places)))
                control.editingFinished.emit()
                self._note(control.text())
            case _:
                low, high = control.minimum(), control.maximum()
                value = self.chance.number(low, min(high, low + 100))
                control.setValue(value if isinstance(control.value(), float) else round(value))
                self._note(control.value())

    # The layers.

    def image_add(self) -> None:
        make = self.chance.pick(
            (
                *("grey", "small", "stack", "volume", "rgb", "rgba", "channels", "time", "float", "flat"),
                *("bad", "signed", "bool", "line", "dask", "pyramid", "locked", "scaled", "one"),
                "last",
            )
        )
        rng = self.chance.rng
        grey = discs((self.chance.whole(20, 90), self.chance.whole(20, 90)), self.chance.whole(0, 9))
        stack = discs((self.chance.whole(2, 4), 48, self.chance.whole(30, 60)), self.chance.whole(0, 9))
        bad = grey.astype(np.float32)
        bad[3:6] = np.nan
        bad[8] = np.inf
        locked = grey.copy()
        locked.flags.writeable = False
        layers: dict[str, tuple[Any, dict[str, Any]]] = {
            "grey": (grey, {}),
            "small": (grey[:9, :7], {}),
            "stack": (stack, {}),
            "volume": (stack, {"scale": (3, 1, 1), "axis_labels": ("z", "y", "x")}),
            "rgb": (rng.integers(0, 255, (50, 40, 3), np.uint8), {"rgb": True}),
            "rgba": (rng.integers(0, 255, (50, 40, 4), np.uint8), {"rgb": True}),
            "channels": (stack[:2], {"channel_axis": 0}),
            "time": (discs((2, 3, 40, 44), 3), {}),
            "float": (grey / 7.0 - 99, {}),
            "flat": (np.full((40, 40), 7, np.uint16), {}),
            "bad": (bad, {}),
            "signed": (grey.astype(np.int16) - 900, {}),
            "bool": (grey > 3000, {}),
            "line": (grey[:1], {}),
            "dask": (da.from_array(stack, chunks=(1, 24, 24)), {}),
            "pyramid": ([grey, grey[::2, ::2]], {"multiscale": True}),
            "locked": (locked, {}),
            "scaled": (grey, {"scale": (0.25, 0.25), "translate": (5, -3), "units": ("um", "um")}),
            "one": (stack[:1], {}),
            "last": (np.moveaxis(stack, 0, -1), {}),
        }
        data, how = layers[make]
        name = self.chance.pick(("cells", "nuclei", "µ", "base", "a/b"))
        self._note(make, name)
        self.viewer.add_image(data, name=name, **how)

    def image_open(self) -> None:
        path = self.chance.pick([path for path in self._images if path.name != "broken.tif"])
        if path is not None:
            self._note(path.name)
            self.viewer.open(str(path), plugin="napari")

    def foreign_add(self) -> None:
        """Add labels, shapes or points of the user's own."""
        image = self._layer(Image)
        shape = full_data(image).shape[: image.ndim]
        kind = self.chance.pick(("labels", "empty labels", "other labels", "paint", "shapes", "points"))
        self._note(kind, image.name)
        rng = self.chance.rng
        match kind:
            case "labels":
                self.viewer.add_labels(rng.integers(0, 4, shape), name="mine")
            case "empty labels":
                self.viewer.add_labels(np.zeros(shape, np.uint8), name="Labels")
            case "other labels":
                self.viewer.add_labels(rng.integers(0, 9, (20, 30), np.uint16), name="other")
            case "paint":
                self.viewer.add_labels(rng.integers(0, 3, shape), name=f"{image.name} paint")
            case "shapes":
                self.viewer.add_shapes([np.array([[1, 1], [9, 9]])], shape_type="rectangle", name="drawn")
            case "points":
                self.viewer.add_points(np.array([[3, 3]]), name="points")

    def layer_remove(self) -> None:
        layer = self._layer(where=lambda layer: layer is not self.base)
        if layer is not None:
            self._note(layer.name)
            self._allowed.append(layer)
            self.viewer.layers.remove(layer)

    def layers_remove(self) -> None:
        """Remove all that are selected."""
        chosen = [layer for layer in self.viewer.layers.selection if layer is not self.base]
        self._note(*chosen)
        self._allowed += chosen
        self.viewer.layers.selection = chosen
        self.viewer.layers.remove_selected()

    def layer_rename(self) -> None:
        layer = self._layer()
        name = self.chance.pick(("cells", "cells paint", "", "base objects", "ü/ö", "a" * 90))
        self._note(layer.name, "->", name)
        layer.name = name

    def layer_move(self) -> None:
        count = len(self.viewer.layers)
        if count > 1:
            self.viewer.layers.move(self.chance.whole(0, count - 1), self.chance.whole(0, count - 1))

    def layer_show(self) -> None:
        layer = self._layer(where=lambda layer: layer is not self.base)
        if layer is not None:
            self._note(layer.name)
            layer.visible = not layer.visible

    def layer_select(self) -> None:
        layer = self._layer()
        self._note(layer.name)
        self.viewer.layers.selection.active = layer

    def layers_select(self) -> None:
        chosen = [layer for layer in self.viewer.layers if self.chance.happens(0.4)]
        self._note(*chosen)
        self.viewer.layers.selection = set(chosen)

    def layer_place(self) -> None:
        layer = self._layer()
        what = self.chance.pick(("scale", "translate", "rotate", "axis_labels", "units"))
        self._note(layer.name, what)
        ndim = layer.ndim
        match what:
            case "scale":
                layer.scale = self.chance.rng.choice([0.1, 1, 1, 3], ndim)
            case "translate":
                layer.translate = self.chance.rng.choice([-5, 0, 20], ndim)
            case "rotate":
                layer.rotate = self.chance.pick((0, 30, 90))
            case "axis_labels":
                names = "tczyx"[-ndim:] if self.chance.happens(0.7) else "abcde"[-ndim:]
                layer.axis_labels = tuple(names)
            case "units":
                layer.units = (self.chance.pick(("um", "pixel", "nm")),) * ndim

    def layer_look(self) -> None:
        layer = self._layer()
        self._note(layer.name)
        layer.opacity = self.chance.number(0, 1)
        layer.blending = self.chance.pick(("additive", "translucent", "opaque", "minimum"))
        if isinstance(layer, Image) and not layer.rgb:
            layer.contrast_limits = (self.chance.whole(0, 5), self.chance.whole(6, 3000))
            layer.colormap = self.chance.pick(("gray", "red", "viridis"))
        if isinstance(layer, Labels):
            layer.contour = self.chance.whole(0, 2)
            layer.editable = self.chance.happens(0.9)
            layer.n_edit_dimensions = min(self.chance.whole(2, 3), layer.ndim)
            layer.preserve_labels = self.chance.happens(0.2)

    def layer_data(self) -> None:
        """Give a layer of the user's other pixels, as a script or another plugin does."""
        layer = self._layer(Image, Labels, where=lambda layer: not layer.multiscale)
        self._allowed.append(layer)
        data = np.asarray(layer.data)
        how = self.chance.pick(("crop", "same", "dtype", "zero"))
        self._note(layer.name, how)
        rgb = isinstance(layer, Image) and layer.rgb
        match how:
            case "crop":
                rows = data.shape[-3] if rgb else data.shape[-2]
                half = slice(0, max(rows // 2, 1))
                layer.data = data[..., half, :, :] if rgb else data[..., half, :]
            case "same":
                layer.data = data.copy()
            case "dtype":
                layer.data = data.astype(np.uint16) if isinstance(layer, Labels) else data.astype(np.float32)
            case "zero":
                layer.data = np.zeros_like(data)
        if isinstance(layer, Labels):
            layer._reset_history()  # napari 0.9.2 keeps it, and fails to undo on another shape

    def layer_menu(self) -> None:
        """Use an entry of the menu of the layer list."""
        layer, layers = self._layer(), self.viewer.layers
        layers.selection.active = layer
        entry = self.chance.pick(("duplicate", "link", "show", "hide", "convert"))
        self._note(layer.name, entry)
        match entry:
            case "duplicate":
                _layer_actions._duplicate_layer(layers)
            case "link":
                layers.selection = set(layers)
                _layer_actions._link_selected_layers(layers)
                _layer_actions._unlink_selected_layers(layers)
            case "show":
                _layer_actions._show_unselected(layers)
            case "hide":
                _layer_actions._hide_unselected(layers)
                self.base.visible = True
            case "convert" if not getattr(layer, "multiscale", False):
                self._convert(layer)

    def _convert(self, layer: Layer) -> None:
        layers = self.viewer.layers
        if isinstance(layer, Labels):
            self._allowed.append(layer)
            if self.chance.happens(0.3):
                _layer_actions._convert_to_image(layers)
            elif np.asarray(layer.data).max(initial=0) < 128:
                _layer_actions._convert_dtype(layers, self.chance.pick(("int64", "uint8", "int8")))
        elif isinstance(layer, Image) and layer is not self.base:
            if layer.ndim > 2 and self.chance.happens(0.5):
                _layer_actions._project(layers, mode="max")
            elif layer.ndim > 2:
                self._allowed.append(layer)
                _layer_actions._split_stack(layers)
            # napari cannot convert an image of which it projected a part.
            elif np.issubdtype(layer.data.dtype, np.integer) and layer.projection_mode == "none":
                self._allowed.append(layer)
                _layer_actions._convert_to_labels(layers)

    # The view.

    def view_dims(self) -> None:
        dims = self.viewer.dims
        what = self.chance.pick(("step", "step", "step", "roll", "transpose", "3d", "home"))
        self._note(what)
        match what:
            case "step":
                for axis in range(dims.ndim):
                    dims.set_current_step(axis, self.chance.whole(0, max(int(dims.nsteps[axis]) - 1, 0)))
            case "roll":
                dims.roll()
            case "transpose":
                dims.transpose()
            case "3d":
                dims.ndisplay = 5 - dims.ndisplay
            case "home":
                self.viewer.fit_to_view()

    def view_zoom(self) -> None:
        camera = self.viewer.scene.camera
        camera.zoom *= self.chance.number(0.3, 3)
        camera.center = tuple(np.add(camera.center, self.chance.number(-9, 9)))

    def crop(self) -> None:
        crop_to_view(self.viewer)

    # Mouse and keys.

    def key(self) -> None:
        key = self.chance.pick(_KEYS)
        self._note(key)
        self._allow_edits()
        self._allows_paint = key in ("A", "R", "Control-Z", "Control-Shift-Z")
        self.hand.hover(self._places(1)[0])
        self.hand.press(key)

    def stroke(self) -> None:
        self._note(self.viewer.layers.selection.active)
        self._allow_edits()
        self.hand.drag(self._places(self.chance.whole(1, 4)))

    def _allow_edits(self) -> None:
        active = self.viewer.layers.selection.active
        if isinstance(active, Labels | Shapes | Points):
            self._allowed.append(active)
        self._allows_paint = holds_tool(active)

    def _places(self, count: int) -> list[tuple[int, int]]:
        return [(self.chance.whole(150, 450), self.chance.whole(150, 450)) for _ in range(count)]

    def paint(self) -> None:
        """Paint on the paint of an image, as with the brush or the bucket."""
        layer = self._layer(Labels, where=is_paint)
        if layer is None or not layer.editable or self.viewer.dims.ndisplay == 3:
            return
        self._allowed.append(layer)
        value = self.chance.pick((0, 1, 1, 2, 3, 4, 7))
        where = [self.chance.whole(0, size - 1) for size in layer.data.shape]
        self._note(layer.name, value, where)
        layer.brush_size = self.chance.whole(1, 12)
        layer.selected_label = value
        for _ in range(self.chance.whole(1, 4)):
            layer.paint(tuple(where), value)
            where = np.minimum(np.add(where, self.chance.whole(0, 5)), np.array(layer.data.shape) - 1)
        if self.chance.happens(0.1):
            layer.fill(tuple(where), value)

    def paint_enough(self) -> None:
        """Make the paint teach: background, and two objects on every plane."""
        layer = self._layer(Labels, where=is_paint)
        if layer is None or not layer.editable or not layer.visible:
            return
        self._note(layer.name)
        self._allowed.append(layer)
        marked = np.zeros(layer.data.shape, bool)
        height, width = layer.data.shape[-2:]
        for value, part in enumerate((slice(0, height // 4), slice(height // 3, height // 2)), start=1):
            marked[:] = False
            marked[..., part, : width // 2] = True
            layer.data_setitem(np.nonzero(marked), value)

    def correct(self) -> None:
        """Edit predicted labels."""
        layer = self._layer(Labels, where=lambda layer: kind_of(layer) in ("objects", "classes"))
        if layer is None or not layer.editable or self.viewer.dims.ndisplay == 3:
            return
        self._note(layer.name)
        layer.brush_size = self.chance.whole(1, 8)
        where = [self.chance.whole(0, size - 1) for size in layer.data.shape]
        layer.paint(where, self.chance.pick((0, 1, 2, 3)))

    def undo(self) -> None:
        layer = self._layer(Labels)
        if layer is not None:
            self._note(layer.name)
            self._allowed.append(layer)
            self._allows_paint = True
            self.viewer.layers.selection.active = layer
            self.hand.press(self.chance.pick(("Control-Z", "Control-Z", "Control-Shift-Z")))

    # The disk.

    def disk(self) -> None:
        """Remove or damage files that the plugin made."""
        kept = {self.home / "images", self.home / "saved", *self._images}
        files = (path for path in sorted(self.home.rglob("*")) if "package" not in path.parts)
        found = [path for path in files if path not in kept]
        path = self.chance.pick(found, lambda path: path.name)
        if path is None:
            return
        self._note(path)
        self._has_meddled = True
        if path.is_dir():
            shutil.rmtree(path)
        elif self.chance.happens(0.7):
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[: self.chance.whole(0, 200)])

    def drop(self) -> None:
        """Drop the folder of a project on the window."""
        folder = self.chance.pick([path.parent for path in self.home.rglob("project.toml")])
        if folder is not None:
            self._note(folder)
            self._allowed += list(self.viewer.layers)
            self.viewer.dims.ndisplay = 2  # napari cannot add hidden colours to the 3-D view
            self.viewer.open(str(folder), plugin=PLUGIN)

    # Time.

    def wait(self) -> None:
        QTest.qWait(self.chance.whole(50, 700))

    def wait_for_end(self) -> None:
        """Wait until nothing is computed, except for a long training."""
        self._wait(10, stops=False)

    def _wait(self, seconds: float, *, stops: bool) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if stops:
                self._stop_all()
            QTest.qWait(30)
            if self.watch.is_idle():
                return True
        return False

    def _stop_all(self) -> None:
        for kind in (TrainDock, PredictDock):
            for dock in self.watch.widgets(kind):
                if dock.is_running:
                    dock.stop()

    # The end.

    def _end(self) -> None:
        """Stop everything: it ends, closed docks are deleted, and the project is on disk as in the window."""
        if not self._wait(90, stops=True):
            titles = [job._title for job in self.watch.running]
            raise Fault(f"it does not come to an end: {titles}, {threading.enumerate()}")
        end = time.monotonic() + 20
        while any(is_alive(widget) for widget in self._closed) and time.monotonic() < end:
            QTest.qWait(50)
        left = [widget for widget in self._closed if is_alive(widget)]
        if left:
            raise Fault(f"closed docks live on: {left}")
        if not self._has_meddled:
            self.watch.check_project()

    def _recover(self) -> None:
        """After all this, a new image can be painted, learnt and segmented."""
        viewer = self.viewer
        viewer.dims.ndisplay = 2
        viewer.dims.order = tuple(range(viewer.dims.ndim))
        if "U-Net" not in dict(self._open_docks()):
            self._open("U-Net")
        dock = self._docks["U-Net"][1]
        self.models.mkdir(exist_ok=True)
        image = viewer.add_image(discs(seed=5), name="another")
        viewer.layers.selection.active = image
        QTest.qWait(50)
        dock.paint.image.choose(image)
        dock.paint.mode_choice.setCurrentIndex(0)
        dock.paint.make()
        paint = annotation_of(viewer, image)
        if paint is None:
            raise Fault(f"no annotation layer: {dock.paint.advice.text()}")
        paint.data_setitem(np.nonzero(_where((2, 5, 60), (30, 5, 60))), 1)
        paint.data_setitem(np.nonzero(_where((12, 12, 20), (13, 12, 20))), 2)
        paint.data_setitem(np.nonzero(_where((42, 42, 50), (43, 42, 50))), 3)
        self.watch.note(paint)
        self._steps = 3
        form = dock.train.form
        form.image.choose(image)
        start = form.findChild(QComboBox, "train_start_from")
        start.setCurrentIndex(next(k for k in range(start.count()) if "cratch" in start.itemText(k)))
        for name in ("train_ndim", "train_device_choice", "predict_device", "predict_channels"):
            dock.findChild(QComboBox, name).setCurrentIndex(0)  # this user's choices may not suit
        dock.findChild(QCheckBox, "predict_objects").setChecked(True)
        form.all_painted.setChecked(False)
        dock.train.start()
        if not self._wait(60, stops=False):
            raise Fault("the last training does not end")
        model = project_of(viewer).last_model
        if model is None or "Saved" not in dock.train._outcome.text():
            raise Fault(f"the last training failed: {dock.train._status.text()}")
        dock.predict.image.choose(image)
        dock.predict.select_model(model)
        dock.predict.start()
        if not self._wait(60, stops=False):
            raise Fault("the last prediction does not end")
        if not dock.predict._status.text().startswith("Done"):
            raise Fault(f"the last prediction failed: {dock.predict._status.text()}")

    def _close(self) -> None:
        self.viewer.close()
        end = time.monotonic() + 10
        while _threads_left() and time.monotonic() < end:
            QTest.qWait(50)
        if left := _threads_left():
            raise Fault(f"threads are left: {left}")


def _threads_left() -> list[str]:
    saving = [thread.name for thread in threading.enumerate() if thread.name == "Saving the project"]
    return saving + ["of the pool"] * QThreadPool.globalInstance().activeThreadCount()


def _where(*bars: tuple[int, int, int]) -> np.ndarray:
    marked = np.zeros((64, 64), bool)
    for row, first, last in bars:
        marked[row : row + 2, first:last] = True
    return marked


_WEIGHTS = {
    "press": 14,
    "press_main": 14,
    "set_control": 12,
    "train": 3,
    "predict": 3,
    "dock_open": 2,
    "dock_close": 1.5,
    "image_add": 3,
    "image_open": 2,
    "foreign_add": 2,
    "layer_remove": 3,
    "layers_remove": 1,
    "layer_rename": 1,
    "layer_move": 2,
    "layer_show": 2,
    "layer_select": 5,
    "layers_select": 1,
    "layer_place": 2,
    "layer_look": 2,
    "layer_data": 1,
    "layer_menu": 2,
    "view_dims": 3,
    "view_zoom": 2,
    "crop": 1,
    "key": 6,
    "stroke": 6,
    "paint": 5,
    "paint_enough": 3,
    "correct": 3,
    "undo": 4,
    "disk": 0.7,
    "drop": 0.4,
    "wait": 3,
    "wait_for_end": 2,
}
ACTIONS = tuple(_WEIGHTS)
_ODDS = np.array(list(_WEIGHTS.values())) / sum(_WEIGHTS.values())

"""The whole loop on a real micrograph, played in a real napari: paint, weigh, train, predict, correct.

``napari-unet demo`` runs it, or ``python -m napari_unet.widgets.demo --output DIR``. It presses the buttons
of the U-Net dock as a user would, and writes a picture of every stage, the model and the labels to DIR.
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import napari
import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QEventLoop, Qt, QTimer
from qtpy.QtWidgets import QAbstractButton, QApplication, QDoubleSpinBox, QLabel
from scipy import ndimage
from skimage import draw

from napari_unet.console import ready_streams
from napari_unet.core.errors import InputError
from napari_unet.files.pixels.images import write_image
from napari_unet.network.failures import sentence
from napari_unet.widgets.unet import UNetDock
from napari_unet.widgets.window.preferences import PLUGIN

_IMAGE = "immunohistochemistry"

_SECONDS = 66.0
"""Training time: with two CPU cores the whole demo then takes less than three minutes."""

_PATIENCE_S = 900.0
"""Longest wait for anything; a slow machine is not an error, but a job that never ends is."""


@dataclass(frozen=True, slots=True)
class Stroke:
    """One line of a brush: paint ``value``, ``width`` in pixels, and the points (y, x) in pixels it joins."""

    value: int
    width: int
    points: tuple[tuple[int, int], ...]


def read_strokes() -> tuple[Stroke, ...]:
    """Return the stored strokes, background first, for ``skimage.data.immunohistochemistry``."""
    text = (files("napari_unet") / "data" / "demo_strokes.json").read_text(encoding="utf-8")
    return tuple(
        Stroke(stroke["value"], stroke["width"], tuple((y, x) for y, x in stroke["points"]))
        for stroke in json.loads(text)["strokes"]
    )


def paint_stroke(layer: Labels, stroke: Stroke) -> None:
    """Paint one stroke into ``layer`` as the brush does, in one step of undo."""
    layer.brush_size = stroke.width
    layer.selected_label = stroke.value
    line = np.zeros(layer.data.shape, bool)
    for start, stop in pairwise((*stroke.points, stroke.points[-1])):
        line[draw.line(*start, *stop)] = True  # type: ignore[no-untyped-call]  # scikit-image is untyped
    marked = ndimage.distance_transform_edt(~line) <= stroke.width / 2
    # All at once: napari colours the whole layer again for every mark of its brush.
    layer.data_setitem(np.nonzero(marked), stroke.value)


class Demo:
    """The stages, in order; each leaves a picture in ``output``, where files of earlier runs are replaced."""

    def __init__(self, output: Path, seconds: float) -> None:
        self._output = output
        self._seconds = seconds
        self._began = time.monotonic()
        output.mkdir(parents=True, exist_ok=True)
        self._viewer = napari.Viewer(title="U-Net demo")
        self._viewer.window.resize(1560, 960)
        frame, dock = self._viewer.window.add_plugin_dock_widget(PLUGIN, "U-Net")
        self._dock: UNetDock = dock
        self._closed = False
        dock.destroyed.connect(self._on_closed)
        dock.window().resizeDocks([frame], [380], Qt.Orientation.Horizontal)

    def run(self) -> None:
        """Play all stages; ``InputError`` if a job fails or the window is closed before the end."""
        self._open_image()
        self._paint()
        self._weigh()
        self._train()
        self._predict()
        self._correct()
        self._say(f"Done. Pictures, model and labels are in {self._output}.")

    def close(self) -> None:
        """Close the window: otherwise Qt may crash when Python ends."""
        if not self._closed:
            self._viewer.close()
        QApplication.processEvents()

    def _open_image(self) -> None:
        self._viewer.open_sample(PLUGIN, _IMAGE)
        self._rest(0.5)  # the canvas takes its size
        self._viewer.reset_view()
        self._picture("01-image")
        self._say("Opened a micrograph: glands of the colon, nuclei in blue, many of them touching.")

    def _paint(self) -> None:
        self._press("paint_make")
        (paint,) = [layer for layer in self._viewer.layers if isinstance(layer, Labels)]
        strokes = read_strokes()
        for stroke in strokes:
            paint_stroke(paint, stroke)
            self._rest(0.02)
        self._rest(1)  # the dock counts the paint
        self._picture("02-paint")
        objects = len({stroke.value for stroke in strokes}) - 1
        self._say(f"Painted {len(strokes)} strokes: {objects} of the nuclei, and the background.")
        self._annotation = paint
        write_image(self._output / "paint.tif", paint.data, "YX")

    def _weigh(self) -> None:
        self._show_step(2)
        self._press("weights_show")
        name = f"{_IMAGE} weights"
        self._await(lambda: name in self._viewer.layers)
        self._rest(0.5)
        self._picture("03-weights")
        self._say("Weighed the paint: the gaps between nuclei that touch count most.")
        self._press("weights_show")
        self._await(lambda: not self._viewer.layers[name].visible)

    def _train(self) -> None:
        self._show_step(3)
        dock = self._dock.train
        saved: list[Path] = []
        dock.saved.connect(saved.append)
        self._dock.findChild(QDoubleSpinBox, "train_minutes").setValue(self._seconds / 60)
        self._say(f"Training for {self._seconds:.0f} s …")
        self._press("train_start")
        begin = time.monotonic()
        self._await(lambda: not dock.is_running or time.monotonic() > begin + 0.6 * self._seconds)
        self._picture("04-training")
        self._await(lambda: not dock.is_running)
        if not saved:
            raise InputError(self._text("train_status"))
        self._rest(0.5)
        self._picture("05-trained")
        self._say(f"Trained: {self._text('train_status')}")
        # Out of the folder of the user's own models.
        model = self._output / "nuclei.safetensors"
        shutil.move(saved[0], model)
        with suppress(OSError):
            saved[0].parent.rmdir()
        self._dock.predict.select_model(model)

    def _predict(self) -> None:
        self._show_step(4)
        dock = self._dock.predict
        self._annotation.visible = False
        self._press("predict_start")
        self._await(lambda: not dock.is_running)
        name = f"{_IMAGE} objects"
        if name not in self._viewer.layers:
            raise InputError(self._text("predict_status"))
        self._objects = objects = self._viewer.layers[name]
        self._viewer.layers.selection.active = objects
        objects.contour = 2
        objects.opacity = 1
        self._rest(0.5)
        self._picture("06-objects")
        self._say(f"Predicted: {np.unique(objects.data).size - 1} nuclei in the whole image.")
        write_image(self._output / "objects.tif", objects.data, "YX")

    def _correct(self) -> None:
        self._show_step(1)
        objects, paint = self._objects, self._annotation
        ids, sizes = np.unique(objects.data[objects.data > 0], return_counts=True)
        if not ids.size:
            raise InputError("The network found no nucleus at all; run the demo again with more --seconds.")
        wrong = int(ids[np.argmin(sizes)])
        before = np.count_nonzero(paint.data)
        objects.fill(tuple(np.argwhere(objects.data == wrong)[0]), 0)
        self._press("paint_corrections")
        self._await(lambda: bool(np.count_nonzero(paint.data) > before))
        paint.visible = True
        self._rest(0.5)
        self._picture("07-corrected")
        self._say("Corrected: erased a speck from the prediction and took that into the paint.")
        write_image(self._output / "corrected.tif", objects.data, "YX")
        write_image(self._output / "corrected_paint.tif", paint.data, "YX")

    def _on_closed(self) -> None:
        self._closed = True

    def _press(self, name: str) -> None:
        self._dock.findChild(QAbstractButton, name).click()

    def _text(self, name: str) -> str:
        return str(self._dock.findChild(QLabel, name).text())

    def _show_step(self, number: int) -> None:
        """Open one of the numbered steps and fold the others."""
        for other in range(1, 5):
            title = self._dock.findChild(QAbstractButton, f"unet_step_{other}")
            title.setChecked(other == number)

    def _say(self, sentence: str) -> None:
        print(f"[{time.monotonic() - self._began:5.1f} s] {sentence}", flush=True)

    def _picture(self, name: str) -> None:
        self._rest(0.2)
        self._viewer.screenshot(str(self._output / f"{name}.png"), canvas_only=False, flash=False)

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        self._await(lambda: time.monotonic() >= until)

    def _await(self, condition: Callable[[], bool]) -> None:
        """Let the window work until ``condition()`` is true."""
        loop, timer, until = QEventLoop(), QTimer(), time.monotonic() + _PATIENCE_S
        timer.timeout.connect(loop.quit)
        timer.start(20)
        while not condition():
            loop.exec()
            if self._closed:
                raise InputError(f"The window was closed before the end; what was made is in {self._output}.")
            if time.monotonic() > until:
                raise InputError(f"Nothing happened for {_PATIENCE_S:.0f} s; this machine may be too busy.")


def main(arguments: list[str] | None = None) -> int:
    """Play the demo; return 0, or 1 after one sentence on stderr if a job failed."""
    parser = argparse.ArgumentParser(prog="napari-unet demo", description=__doc__)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument("--headless", action="store_true", help="close napari at the end")
    parser.add_argument("--seconds", type=float, default=_SECONDS, help="training time")
    options = parser.parse_args(arguments)
    ready_streams()
    demo, result = None, 0
    try:
        demo = Demo(options.output, options.seconds)
        demo.run()
    except (InputError, OSError) as error:
        print(f"The demo ended early: {sentence(error)}", file=sys.stderr)
        result = 1
    if demo is not None and not (options.headless or result):
        print("napari stays open: paint on, train again, or close the window.")
        napari.run()
    elif demo is not None:
        demo.close()
    return result


if __name__ == "__main__":
    sys.exit(main())

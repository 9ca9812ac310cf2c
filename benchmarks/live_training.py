"""How painting slows down while a network learns and shows previews, and how soon it learns from strokes.

    xvfb-run -a python benchmarks/live_training.py
    xvfb-run -a python benchmarks/live_training.py --side 1024 --turns 1 --seconds 15   # to see that it works

A real viewer, the Train dock, an image of 4096x4096 pixels, strokes by mouse events on the canvas. Painting
in idle napari and painting while the dock trains with its live preview alternate, so that a busy machine
slows down both.

- Brush latency: from a movement of the mouse to the end of the redraw it causes.
- A stroke to its first patch: from the release of the button to the drawing of a training patch around it.
- The first preview: from the press of Start to the layer.
- Previews: the part of the training time that they take, without drawing.

Ends with 1 if a bar is missed.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import napari
import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QEventLoop, QPointF, Qt, QTimer
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication, QWidget

from napari_unet.core import patches
from napari_unet.core.learning import live_dataset
from napari_unet.network.events import Preview, StepDone
from napari_unet.network.learning import live_preview, resident
from napari_unet.widgets.bridge.layers import make_annotation
from napari_unet.widgets.train import TrainDock
from napari_unet.widgets.training.live_preview import is_preview
from training_speed import make_nuclei

MOVE_MS, MOVES, REST = 20, 30, 40
PERCENTILES = (50, 95, 99, 100)
BRUSH_RATIO, FIRST_PATCH_MS, FIRST_PREVIEW_MS, PREVIEW_SHARE = 1.3, 1000, 10_000, 0.15


class Mouse:
    """Draws strokes on the canvas one after the other, and times every movement."""

    def __init__(self, canvas: QWidget, paint: Labels) -> None:
        self._canvas = canvas
        self._paint = paint
        self._rng = np.random.default_rng(0)
        self._at = np.zeros(2)
        self._step = np.zeros(2)
        self._tick = 0
        self.latencies: list[float] = []
        self.released: list[float] = []

    def move(self) -> None:
        """Do what a hand does in 1/50 s: press, move, release, or rest."""
        phase = self._tick % (MOVES + REST)
        self._tick += 1
        if phase == 0:
            size = np.array([self._canvas.width(), self._canvas.height()])
            self._at = self._rng.uniform(0.2, 0.8, 2) * size
            self._step = self._rng.normal(0, 3, 2)
            self._paint.selected_label = int(self._rng.integers(1, 200))
            self._send(QMouseEvent.Type.MouseButtonPress)
        elif phase < MOVES:
            self._at = self._at + self._step
            began = time.perf_counter()
            self._send(QMouseEvent.Type.MouseMove)
            self._canvas.repaint()
            self.latencies.append(time.perf_counter() - began)
        elif phase == MOVES:
            self._send(QMouseEvent.Type.MouseButtonRelease)
            self.released.append(time.monotonic())

    def _send(self, kind: Any) -> None:
        left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
        at = QPointF(*self._at)
        moves = kind == QMouseEvent.Type.MouseMove
        held = none if kind == QMouseEvent.Type.MouseButtonRelease else left
        event = QMouseEvent(
            kind,
            at,
            QPointF(self._canvas.mapToGlobal(at.toPoint())),
            none if moves else left,
            held,
            Qt.KeyboardModifier.NoModifier,
        )
        QApplication.sendEvent(self._canvas, event)


def turn(seconds: float, mouse: Mouse) -> list[float]:
    """Paint for this long; return the latencies in seconds."""
    mouse.latencies.clear()
    loop, hand = QEventLoop(), QTimer()
    hand.setTimerType(Qt.TimerType.PreciseTimer)
    hand.timeout.connect(mouse.move)
    hand.start(MOVE_MS)
    QTimer.singleShot(round(1000 * seconds), loop.quit)
    loop.exec()
    hand.stop()
    return list(mouse.latencies)


def wait_for(condition: Callable[[], bool], seconds: float = 300.0) -> None:
    """Run the event loop until ``condition()``."""
    loop, timer, end = QEventLoop(), QTimer(), time.perf_counter() + seconds
    timer.timeout.connect(loop.quit)
    timer.start(20)
    while not condition():
        loop.exec()
        if time.perf_counter() > end:
            raise TimeoutError("Nothing happened.")


def report(name: str, values: list[float]) -> list[float]:
    """Print a row in ms and return its figures."""
    figures = [1000 * float(value) for value in np.percentile(values or [np.nan], PERCENTILES)]
    print(f"| {name} | {' | '.join(f'{value:.1f}' for value in figures)} | {len(values)} |", flush=True)
    return figures


class Patches:
    """Notes when the place of the first patch around new paint is chosen, to be cut in memory or on a GPU."""

    def __init__(self) -> None:
        self.drawn: list[float] = []
        self._last: object = None
        self._choose = patches.choose_place
        patches.choose_place = resident.choose_place = self

    def __call__(self, *given: Any, **named: Any) -> Any:
        """Choose a place."""
        place = self._choose(*given, **named)
        fresh = named.get("fresh")
        if fresh is not None and fresh is not self._last:
            self._last = fresh
            self.drawn.append(time.monotonic())
        return place

    def waits(self, released: list[float]) -> list[float]:
        """Return how long it took from the release of every stroke to the next first patch."""
        waits = []
        for number, end in enumerate(released):
            following = released[number + 1] if number + 1 < len(released) else np.inf
            first = next((moment for moment in self.drawn if moment >= end), None)
            if first is not None and first < following:
                waits.append(first - end)
        return waits


class Previews:
    """Adds up the time that previews take in the training thread."""

    def __init__(self) -> None:
        self.seconds = 0.0
        look = live_preview.LivePreview.look

        def timed(*given: Any) -> Iterator[Preview]:
            events = look(*given)
            while True:
                began = time.perf_counter()
                event = next(events, None)
                self.seconds += time.perf_counter() - began
                if event is None:
                    return
                yield event

        live_preview.LivePreview.look = timed


def time_joining() -> list[float]:
    """Return a list that grows by the seconds that each stroke, or several at once, takes to be taken in."""
    taken: list[float] = []
    update = live_dataset.LiveDataset.update

    def timed(*given: Any) -> bool:
        began = time.perf_counter()
        has_changed = update(*given)
        if has_changed:
            taken.append(time.perf_counter() - began)
        return has_changed

    live_dataset.LiveDataset.update = timed
    return taken


def measure(
    viewer: napari.Viewer, dock: TrainDock, mouse: Mouse, patches: Patches, *, turns: int, seconds: float
) -> int:
    """Paint in idle and in training turns, print the times, and return how many bars are missed."""
    idle: list[float] = []
    busy: list[float] = []
    waits: list[float] = []
    firsts: list[float] = []
    took, previewing, learning = time_joining(), Previews(), 0.0
    print("| ms | median | p95 | p99 | max | values |\n|---|---|---|---|---|---|")
    for number in range(1, turns + 1):
        quiet = turn(seconds, mouse)
        began = time.perf_counter()
        dock.start()
        run = dock._run
        if run is None:
            raise RuntimeError(dock._status.text())
        seen: list[Any] = []
        run.job.happened.connect(seen.append)
        wait_for(lambda: any(map(is_preview, viewer.layers)))
        firsts.append(time.perf_counter() - began)
        mouse.released.clear()
        patches.drawn.clear()
        trained = turn(seconds, mouse)
        learning += time.perf_counter() - began
        waits += patches.waits(mouse.released[:-1])
        dock.stop()
        wait_for(lambda: not dock.is_running)
        steps = sum(isinstance(event, StepDone) for event in seen)
        previews = sum(isinstance(event, Preview) for event in seen)
        report(f"{number}: brush, idle", quiet)
        report(f"{number}: brush, training ({steps} steps, {previews} previews)", trained)
        idle += quiet
        busy += trained
    before, after = report("**brush, idle**", idle), report("**brush, training**", busy)
    ratios = [b / a for a, b in zip(before, after, strict=True)]
    print("| **ratio** | " + " | ".join(f"{ratio:.2f}" for ratio in ratios) + " | |")
    until_patch = report("**stroke to its first patch**", waits)
    report("**of which taking it in**", took)
    until_preview = report("**Start to first preview**", firsts)
    rows = (
        ("brush latency, training / idle, p95", ratios[1], BRUSH_RATIO),
        ("a stroke to its first patch, p99, ms", until_patch[2], FIRST_PATCH_MS),
        ("Start to the first preview, worst, ms", until_preview[3], FIRST_PREVIEW_MS),
        ("previews, part of the training time", previewing.seconds / learning, PREVIEW_SHARE),
    )
    print("\n| | | bar | |\n|---|---|---|---|")
    for name, value, bar in rows:
        print(f"| {name} | {value:.2f} | <= {bar:g} | {'met' if value <= bar else '**short**'} |")
    return sum(not value <= bar for _, value, bar in rows)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=4096, help="of the image, in pixels")
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each turn")
    args = parser.parse_args()
    viewer = napari.Viewer()
    viewer.window.resize(1400, 900)
    pixels, strokes = make_nuclei((args.side, args.side), np.random.default_rng(0))
    image = viewer.add_image(pixels, name="nuclei")
    paint = make_annotation(viewer, image)
    paint.data = strokes
    paint.brush_size = 12
    paint.mode = "paint"
    viewer.layers.selection.active = paint
    viewer.scene.camera.zoom = 1.0
    viewer.scene.camera.center = (0, args.side / 2, args.side / 2)
    patches = Patches()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HOME"] = folder  # where models go
        dock = TrainDock(viewer)
        dock.form._held_out.setValue(0)  # a held-out stroke is in no patch
        viewer.window.add_dock_widget(dock, name="Train")
        mouse = Mouse(viewer.window._qt_viewer.canvas.native, paint)
        turn(5, mouse)  # napari's own warm-up
        dock.start()
        wait_for(lambda: "Step" in dock._status.text())  # the import of torch, once
        dock.stop()
        wait_for(lambda: not dock.is_running)
        missed = measure(viewer, dock, mouse, patches, turns=args.turns, seconds=args.seconds)
        viewer.close()
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())

"""How long the window does not respond while a network trains and the user paints.

    xvfb-run -a python benchmarks/responsiveness.py

A real viewer, the Train dock, an image of 2048x2048 pixels. A timer marks the annotation layer 50 times
a second, like a brush; another records when the main thread responds. Painting in idle napari and painting
while the dock trains (from the press of Start, including preparation) alternate in one run, so that a busy
machine slows down both. A gap is the time from one response to the next, 5 ms at best. Ends with 1 if the
99th percentile is more than 1.5 times that of idle napari.
"""

import argparse
import os
import sys
import tempfile
import time
from itertools import pairwise

import napari
import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QEventLoop, Qt, QTimer

from live_training import report, wait_for
from napari_unet.widgets.bridge.layers import make_annotation
from napari_unet.widgets.train import TrainDock
from training_speed import make_nuclei

SIDE, BEAT_MS, MARK_MS = 2048, 5, 20
BAR = 1.5


class Brush:
    """Paints strokes one after the other, a mark at a time."""

    def __init__(self, layer: Labels) -> None:
        self._layer = layer
        self._rng = np.random.default_rng(0)
        self._left = 0

    def mark(self) -> None:
        """Move the brush by a few pixels and paint."""
        if self._left == 0:
            self._left = 40
            self._place = self._rng.uniform(200, SIDE - 200, 2)
            self._step = self._rng.normal(0, 3, 2)
            self._value = int(self._rng.integers(1, 30))
        self._left -= 1
        last, self._place = self._place, self._place + self._step
        self._layer.paint(tuple(np.round(last)), self._value)


def turn(seconds: float, brush: Brush) -> list[float]:
    """Paint for this long; return the gaps in seconds."""
    loop, heart, hand = QEventLoop(), QTimer(), QTimer()
    beats: list[float] = []
    end = time.perf_counter() + seconds

    def beat() -> None:
        beats.append(time.perf_counter())
        if beats[-1] > end:
            loop.quit()

    for timer, slot, interval in ((heart, beat, BEAT_MS), (hand, brush.mark, MARK_MS)):
        timer.setTimerType(Qt.TimerType.PreciseTimer)
        timer.timeout.connect(slot)
        timer.start(interval)
    loop.exec()
    heart.stop()
    hand.stop()
    return [after - before for before, after in pairwise(beats)]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each turn")
    args = parser.parse_args()
    viewer = napari.Viewer()
    pixels, strokes = make_nuclei((SIDE, SIDE), np.random.default_rng(0))
    image = viewer.add_image(pixels, name="nuclei")
    paint = make_annotation(viewer, image)
    paint.data = strokes
    paint.brush_size = 12
    viewer.layers.selection.active = paint
    steps: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HOME"] = folder  # where models go
        dock = TrainDock(viewer)
        viewer.window.add_dock_widget(dock, name="Train")
        brush = Brush(paint)
        turn(5, brush)  # napari's own warm-up
        dock.start()
        wait_for(lambda: "Step" in dock._status.text())  # the import of torch, once
        dock.stop()
        wait_for(lambda: not dock.is_running)
        idle: list[float] = []
        busy: list[float] = []
        print("| ms | median | p95 | p99 | max | gaps |\n|---|---|---|---|---|---|")
        for number in range(1, args.turns + 1):
            quiet = turn(args.seconds, brush)
            dock.start()
            trained = turn(args.seconds, brush)
            dock.stop()
            wait_for(lambda: not dock.is_running)
            if dock._last is not None:
                steps.append(dock._last.model.history.steps)
            report(f"{number}: idle", quiet)
            report(f"{number}: training", trained)
            idle += quiet
            busy += trained
        before, after = report("**idle**", idle), report("**training**", busy)
        ratios = [b / a for a, b in zip(before, after, strict=True)]
        print("| **ratio** | " + " | ".join(f"{ratio:.2f}" for ratio in ratios) + " | |")
        verdict = "met" if ratios[2] <= BAR else "**short**"
        print(f"\np99 of the gaps, training / idle: {ratios[2]:.2f}, bar <= {BAR}: {verdict}")
        print(f"\nsteps in {args.seconds:.0f} s, preparation included: {steps}")
        viewer.close()
    return int(ratios[2] > BAR)


if __name__ == "__main__":
    sys.exit(main())

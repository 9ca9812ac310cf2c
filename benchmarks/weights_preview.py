"""How soon a stroke appears in the weight map on the screen, and how long it blocks the window.

    xvfb-run -a python benchmarks/weights_preview.py [--hidden] [--filled]

A real viewer, 2048x2048 pixels, 2,000 touching objects, the Weights dock with its map shown. With
``--filled`` they are marked as filled to their border, and nothing is painted between them. A stroke is one
``layer.paint``; it has arrived when the map layer holds all of the new weights and has notified the canvas.
With ``--hidden`` the window is not shown and nothing is drawn, which leaves only the plugin's own time.
"""

import sys
import time
from collections.abc import Callable
from itertools import pairwise
from statistics import median

import napari
import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QEventLoop, Qt, QTimer

from border_weights import make_cells
from napari_unet.core.painted.rim import find_rims
from napari_unet.core.weights import border_weights
from napari_unet.widgets.bridge.layers import make_annotation
from napari_unet.widgets.bridge.marks import set_filled
from napari_unet.widgets.weights import WeightsDock

SIDE, OBJECTS = 2048, 2000
WARM_UP, STROKES = 5, 20
SLOTS = ("_compute", "_show_preview", "_refresh")  # the dock's work on the main thread


class TimedDock(WeightsDock):
    """The dock, with a sum of the time its slots take."""

    seconds = 0.0


def _timed(name: str) -> Callable[..., None]:
    def slot(dock: TimedDock, *arguments: object) -> None:
        start = time.perf_counter()
        getattr(WeightsDock, name)(dock, *arguments)
        dock.seconds += time.perf_counter() - start

    return slot


for _name in SLOTS:
    setattr(TimedDock, _name, _timed(_name))


def until(arrived: Callable[[], bool], timeout: float = 60.0) -> float:
    """Run the event loop until ``arrived()``; return the longest time in seconds without a response."""
    loop, heart = QEventLoop(), QTimer()
    beats = [time.perf_counter()]

    def beat() -> None:
        beats.append(time.perf_counter())
        if arrived() or beats[-1] - beats[0] > timeout:
            loop.quit()

    heart.setTimerType(Qt.TimerType.PreciseTimer)
    heart.timeout.connect(beat)
    heart.start(1)
    loop.exec()
    if not arrived():
        raise TimeoutError("The preview did not arrive.")
    return max(after - before for before, after in pairwise(beats))


def wait(seconds: float) -> float:
    """Run the event loop for this long; return the longest time in seconds without a response."""
    end = time.perf_counter() + seconds
    return until(lambda: time.perf_counter() >= end)


def strokes(seed: int) -> list[tuple[tuple[int, int], int]]:
    """Return the places and values of strokes: background, objects, erased."""
    rng = np.random.default_rng(seed)
    return [
        (tuple(rng.integers(50, SIDE - 50, 2).tolist()), int(value))
        for value in np.resize((1, OBJECTS + 10, 0), WARM_UP + STROKES)
    ]


def painted_image(viewer: napari.Viewer, *, filled: bool) -> Labels:
    """Add an image and its paint of touching objects, with background between them or ``filled``."""
    paint = make_annotation(viewer, viewer.add_image(np.zeros((SIDE, SIDE), np.uint8), name="cells"))
    cells = make_cells((SIDE, SIDE), OBJECTS)
    paint.data = np.where(cells == 1, 0, cells) if filled else cells
    set_filled(paint, filled)
    paint.brush_size = 20
    return paint


def report(name: str, seconds: list[float]) -> None:
    """Print a row: median and worst of the strokes after the warm-up."""
    kept = [1000 * value for value in seconds[WARM_UP:]]
    print(f"| {name} | {median(kept):.0f} ms | {max(kept):.0f} ms |")


def main() -> None:
    """Measure and print."""
    viewer = napari.Viewer(show="--hidden" not in sys.argv)
    filled = "--filled" in sys.argv
    paint = painted_image(viewer, filled=filled)
    wait(1)
    turns = []  # what napari itself takes for a stroke
    for place, value in strokes(0):
        paint.paint(place, value)
        turns.append(wait(0.2))
    dock = TimedDock(viewer)
    viewer.window.add_dock_widget(dock, name="Weights")
    dock.show_map.setChecked(True)
    start = time.perf_counter()
    until(lambda: "objects touch" in dock.sentence.text())
    first = time.perf_counter() - start
    wait(1)
    shown = dock._map
    if shown is None:
        raise RuntimeError("There is no map.")
    told: list[float] = []
    shown.events.set_data.connect(lambda _event: told.append(time.perf_counter()))
    arrivals, slots, longest = [], [], []
    for place, value in strokes(1):
        told.clear()
        dock.seconds = 0.0
        start = time.perf_counter()
        paint.paint(place, value)
        turn = until(lambda: bool(told))
        arrivals.append(told[0] - start)
        longest.append(max(turn, wait(0.5)))
        slots.append(dock.seconds)
        if len(told) != 1:
            raise RuntimeError(f"The map was shown {len(told)} times for one stroke.")
    taught = np.where(find_rims(paint.data, full=filled) > 0, 1, paint.data)
    np.testing.assert_allclose(shown.data, border_weights(taught, dock.config()), rtol=1e-5, atol=1e-5)

    slides = []
    for number in range(WARM_UP + STROKES):
        told.clear()
        start = time.perf_counter()
        dock.w0.setValue(20 + number)
        until(lambda: bool(told))
        slides.append(told[0] - start)
        wait(0.3)

    print(f"First map, with numba's start: {first:.2f} s\n")
    print(f"| 2048², 2,000 {'filled' if filled else 'touching'} objects | median | worst |\n|---|---|---|")
    report("stroke to map on the layer", arrivals)
    report("of it on the main thread, in the dock", slots)
    report("longest that the window does not answer, drawing included", longest)
    report("the same without the dock", turns)
    report("w0 slider to map on the layer", slides)
    viewer.close()


if __name__ == "__main__":
    sys.exit(main())

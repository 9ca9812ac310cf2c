"""How long a gesture on predicted objects takes, and its undo.

    xvfb-run -a python benchmarks/gestures.py [--hidden]

A real viewer, 2048x2048 pixels, 2,000 touching objects. A gesture is over when both layers are changed and
have notified the canvas; with ``--hidden`` nothing is drawn. Every kind of gesture is made on objects all
over the image, and undone again.
"""

import sys
import time
from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING

import napari
import numpy as np

from border_weights import make_cells
from napari_unet.widgets.bridge.layers import add_result, make_annotation
from napari_unet.widgets.bridge.timeline import timeline_of
from napari_unet.widgets.correcting.corrector import corrector_of

if TYPE_CHECKING:
    from napari_unet.core.correcting.gestures import GestureKind

SIDE, OBJECTS = 2048, 2000
REPEATS = 20
BAR_MS = 100


def measure(work: Callable[[], object]) -> float:
    """Return how many milliseconds ``work`` takes."""
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)


def main() -> int:
    """Measure and print; 1 if the bar is not met."""
    cells = make_cells((SIDE, SIDE), OBJECTS)
    objects = np.where(cells > 1, cells - 1, 0).astype(np.int32)
    viewer = napari.Viewer(show="--hidden" not in sys.argv)
    image = viewer.add_image(np.zeros((SIDE, SIDE), np.uint8), name="cells")
    layer = add_result(viewer, image, "objects", objects)
    paint = make_annotation(viewer, image)
    corrector, timeline = corrector_of(viewer, layer), timeline_of(paint)
    rng = np.random.default_rng(0)
    places = np.argwhere(objects > 0)
    print(f"| {REPEATS} times each | median | worst | undone, median | worst |\n|---|---|---|---|---|")
    kinds: tuple[GestureKind, ...] = ("accepted", "rejected", "split", "merged")
    worst = 0.0
    for kind in kinds:
        done, undone = [], []
        while len(done) < REPEATS:
            at = rng.choice(places).astype(float)
            path = at[None] if kind in ("accepted", "rejected") else at + np.array([(-40, 0), (40, 0)])
            before = len(timeline.gestures)
            took = measure(lambda kind=kind, path=path: corrector.stroke(kind, path, (0, 1)))
            if len(timeline.gestures) > before:  # a stroke need not cut anything
                done.append(took)
                undone.append(measure(timeline.undo))
        worst = max(worst, median(done), median(undone))
        figures = (median(done), max(done), median(undone), max(undone))
        print(f"| {kind} | {' | '.join(f'{figure:.0f} ms' for figure in figures)} |")
    print(f"\nbar {BAR_MS} ms: {'met' if worst <= BAR_MS else 'not met'}")
    viewer.close()
    return int(worst > BAR_MS)


if __name__ == "__main__":
    sys.exit(main())

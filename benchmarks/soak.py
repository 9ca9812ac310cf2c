"""An hour of painting, training, previewing and predicting in one window: nothing may grow or be left behind.

    xvfb-run -a python benchmarks/soak.py --minutes 60
    xvfb-run -a python benchmarks/soak.py --minutes 3      # to see that it works

Rounds of two minutes, as a user would work: start training, paint, erase and undo while it learns and shows
previews, look elsewhere, stop, segment. After each round, memory, layers, threads, timers and workers are
counted. The last lines say whether memory grew by more than 5 % after the first 5 minutes (in a shorter run:
after the first third), and whether the last quarter of the rest always had more of something than its first
half. Exit code 1 if so.
"""

import argparse
import gc
import os
import sys
import tempfile
import threading
import time
from dataclasses import dataclass

import napari
import numpy as np
import psutil
from napari.layers import Labels
from qtpy.QtCore import QObject, QThreadPool, QTimer

from live_training import wait_for
from napari_unet.widgets.bridge.layers import make_annotation
from napari_unet.widgets.predict import PredictDock
from napari_unet.widgets.train import TrainDock
from training_speed import make_nuclei

SIDE, ROUND_S, STROKE_S = 1024, 120.0, 2.0
SETTLED_MIN, GROWTH = 5.0, 0.05


@dataclass(frozen=True, slots=True)
class Count:
    """Counts at the end of a round."""

    minutes: float
    megabytes: float
    layers: int
    threads: int
    timers: int
    objects: int
    workers: int


def count(viewer: napari.Viewer, began: float) -> Count:
    """Count what could be left behind, once everything that can be freed is."""
    for _ in range(3):
        gc.collect()
    timers = [timer for timer in window_children(viewer, QTimer) if timer.isActive()]
    pool = QThreadPool.globalInstance()
    return Count(
        minutes=(time.perf_counter() - began) / 60,
        megabytes=psutil.Process().memory_info().rss / 2**20,
        layers=len(viewer.layers),
        # Qt's pool keeps a few threads for a while; Python lists them as dummies for ever.
        threads=sum(not thread.name.startswith("Dummy-") for thread in threading.enumerate()),
        timers=len(timers),
        objects=len(window_children(viewer, QObject)),
        workers=0 if pool is None else pool.activeThreadCount(),
    )


def window_children(viewer: napari.Viewer, kind: type) -> list[QObject]:
    """Return the Qt objects of the docks."""
    return [child for dock in viewer.window.dock_widgets.values() for child in dock.findChildren(kind)]


def work(
    viewer: napari.Viewer, dock: TrainDock, paint: Labels, rng: np.random.Generator, seconds: float
) -> None:
    """Paint, erase, undo and look around while the network learns."""
    dock.start()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end and dock.is_running:
        at = rng.uniform(50, SIDE - 50, 2)
        value = int(rng.choice([0, 1, 1, *range(2, 60)]))
        for step in range(20):
            paint.paint(tuple(np.round(at + 2 * step)), value)
        if rng.random() < 0.3:
            paint.undo()
        viewer.scene.camera.center = (0, *rng.uniform(300, SIDE - 300, 2))
        viewer.scene.camera.zoom = float(rng.choice([0.5, 1.0, 2.0]))
        pause = time.perf_counter() + STROKE_S
        wait_for(lambda until=pause: time.perf_counter() > until)
    dock.stop()
    wait_for(lambda: not dock.is_running)


def main() -> int:
    """Run and judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--round", type=float, default=ROUND_S, help="seconds of training in each round")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    viewer = napari.Viewer()
    viewer.window.resize(1400, 900)
    pixels, strokes = make_nuclei((SIDE, SIDE), rng)
    image = viewer.add_image(pixels, name="nuclei")
    paint = make_annotation(viewer, image)
    paint.data = strokes
    viewer.layers.selection.active = paint
    counts: list[Count] = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HOME"] = folder  # where models go
        trains, predicts = TrainDock(viewer), PredictDock(viewer)
        trains.saved.connect(predicts.select_model)
        viewer.window.add_dock_widget(trains, name="Train")
        viewer.window.add_dock_widget(predicts, name="Predict", tabify=True)
        began = time.perf_counter()
        print(
            "| min | MB | layers | threads | timers | Qt objects | workers |\n|---|---|---|---|---|---|---|"
        )
        while time.perf_counter() - began < 60 * args.minutes:
            work(viewer, trains, paint, rng, args.round)
            predicts.start()
            wait_for(lambda: not predicts.is_running)
            now = count(viewer, began)
            counts.append(now)
            print(
                f"| {now.minutes:.1f} | {now.megabytes:.0f} | {now.layers} | {now.threads} | {now.timers} | "
                f"{now.objects} | {now.workers} |",
                flush=True,
            )
        viewer.close()
    return judge(counts, args.minutes)


def judge(counts: list[Count], minutes: float) -> int:
    """Say what grew; return 1 if anything did."""
    settled = SETTLED_MIN if minutes > 2 * SETTLED_MIN else minutes / 3
    later = [one for one in counts if one.minutes >= settled]
    if len(later) < 2:
        print("Too short a run to judge; it needs two rounds after the first third.")
        return 0
    first, last = later[0], later[-1]
    growth = last.megabytes / first.megabytes - 1
    faults = [] if growth <= GROWTH else [f"memory grew by {growth:.1%}"]
    # A warning, for example, makes its widgets once, when it is first shown, and a count may fall before or
    # after something temporary. A leak continues, so that counts never become as small again.
    for name in ("layers", "threads", "timers", "objects", "workers"):
        most = max(getattr(one, name) for one in later[: len(later) // 2])
        least = min(getattr(one, name) for one in later[3 * len(later) // 4 :])
        if least > most:
            faults.append(f"{name} went from at most {most} to at least {least}")
    print(f"\nFrom minute {first.minutes:.0f} to {last.minutes:.0f}, memory grew by {growth:.1%}.")
    print("; ".join(faults).capitalize() + "." if faults else "Nothing was left behind.")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())

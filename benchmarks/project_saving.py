"""How long saving a project blocks the window while a user paints on a large image.

Strokes are painted on 4096² pixels in a real viewer, once without and once with an open project. Printed are
the longest and the 99th percentile, in milliseconds, of the project's work on the main thread at each tick
(wall time, and processor time, which other work does not change), and of the gap between two turns of the
event loop, which is all that a user can feel.

    xvfb-run -a python benchmarks/project_saving.py [--seconds 10] [--size 4096]
"""

import argparse
import tempfile
import time
from pathlib import Path

import napari
import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_unet.files.projects.project_store import read_labels
from napari_unet.widgets.bridge.layers import make_annotation
from napari_unet.widgets.projects.project_session import ProjectSession
from napari_unet.widgets.projects.window_project import project_of


def main() -> None:
    """Paint, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--size", type=int, default=4096)
    options = parser.parse_args()
    viewer = napari.Viewer()
    rng = np.random.default_rng(0)
    image = viewer.add_image(rng.integers(0, 4000, (options.size,) * 2).astype(np.uint16), name="large")
    paint = make_annotation(viewer, image)
    paint.brush_size = 30
    ticks: list[float] = []
    worked: list[float] = []
    look = ProjectSession.tick

    def timed(self: ProjectSession, *arguments: object) -> None:
        start, own = time.perf_counter(), time.thread_time()
        look(self, *arguments)  # type: ignore[arg-type]
        ticks.append(1000 * (time.perf_counter() - start))
        worked.append(1000 * (time.thread_time() - own))

    ProjectSession.tick = timed  # type: ignore[method-assign]
    without = gaps_while_painting(paint, options.seconds, options.size)
    with tempfile.TemporaryDirectory() as folder:
        project = project_of(viewer)
        project.create(Path(folder) / "project")
        session = project.session
        assert session is not None
        session.flush()  # the image itself, once
        ticks.clear()
        worked.clear()
        with_project = gaps_while_painting(paint, options.seconds, options.size)
        start = time.perf_counter()
        session.flush()
        flush = 1000 * (time.perf_counter() - start)
        assert np.array_equal(read_labels(session.folder, "large.zarr")[0], paint.data)
        print(f"look of the project    {told(ticks)}   (bar: 20 ms)")
        print(f"  of it at work        {told(worked)}")
        print(f"event loop, no project {told(without)}")
        print(f"event loop, project    {told(with_project)}")
        print(f"save at closing        {flush:.0f} ms")
        viewer.close()


def gaps_while_painting(paint: napari.layers.Labels, seconds: float, size: int) -> list[float]:
    """Paint a stroke every 15 ms and return the milliseconds between turns of the event loop."""
    rng = np.random.default_rng(1)
    gaps: list[float] = []
    last = time.perf_counter()

    def turn() -> None:
        nonlocal last
        now = time.perf_counter()
        gaps.append(1000 * (now - last))
        last = now

    timer = QTimer()
    timer.setInterval(0)
    timer.timeout.connect(turn)
    timer.start()
    strokes = QTimer()
    strokes.setInterval(15)
    strokes.timeout.connect(lambda: paint.paint(tuple(rng.integers(0, size, 2)), int(rng.integers(1, 9))))
    strokes.start()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        QApplication.processEvents()
    timer.stop()
    strokes.stop()
    return gaps[1:] or gaps


def told(values: list[float]) -> str:
    """Return the longest and the 99th percentile as text."""
    return f"max {max(values):6.1f} ms   p99 {np.percentile(values, 99):6.1f} ms"


if __name__ == "__main__":
    main()

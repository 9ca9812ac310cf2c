"""A napari to be killed: paints stroke after stroke in a window with an open project, each of them told.

Run as ``window_painter.py FOLDER``, on a screen.
"""

import itertools
import sys
import time
from pathlib import Path

import napari
import numpy as np
from qtpy.QtCore import QTimer

from napari_unet.widgets.bridge.layers import make_annotation
from napari_unet.widgets.projects.window_project import project_of

SIZE, STEP = 2048, 16


def centre(number):
    """Return the middle of the stroke of this number; those of the first 16,000 do not overlap."""
    row, column = divmod(number, SIZE // STEP)
    return row * STEP + STEP // 2, column * STEP + STEP // 2


def main(folder):
    viewer = napari.Viewer(show=False)
    image = viewer.add_image(np.random.default_rng(0).integers(0, 255, (SIZE, SIZE), np.uint8), name="cells")
    paint = make_annotation(viewer, image)
    paint.brush_size = 8
    project_of(viewer).create(folder)
    numbers = itertools.count()

    def stroke():
        number = next(numbers)
        paint.paint(centre(number), number + 2)
        print(number, time.monotonic(), flush=True)

    timer = QTimer()
    timer.setInterval(20)
    timer.timeout.connect(stroke)
    timer.start()
    napari.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

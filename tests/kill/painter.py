"""A process to be killed: paints stroke after stroke, and saves all the while as a window does.

Every stroke is told on a line of its own, on stdout, once it is painted: its number and when. Run as
``painter.py FOLDER``.
"""

import itertools
import sys
import threading
import time
from pathlib import Path

import numpy as np

from napari_unet.files.projects.project import LayerLook, ProjectImage, ProjectLabels
from napari_unet.files.projects.project_labels import chunks_in
from napari_unet.files.projects.project_store import ImageState, LabelsState, ProjectState, ProjectStore

SIZE = 1536
STROKE_S = 0.01


def place(number):
    """Return where the stroke of this number is; those of the first 9,000 do not overlap."""
    row, column = divmod(number, SIZE // 16)
    return slice(row * 16, row * 16 + 12), slice(column * 16, column * 16 + 12)


def main(folder):
    if (folder / "project.toml").exists():
        store, first = ProjectStore.open(folder), int(sys.stdin.readline())
    else:
        store, first = ProjectStore.create(folder), 0
    image = np.random.default_rng(0).integers(0, 255, (SIZE, SIZE), np.uint8)
    paint = np.zeros((SIZE, SIZE), np.int32)
    for number in range(first):
        paint[place(number)] = number + 2
    entry = ProjectImage("cells", LayerLook("cells"), image.shape, "uint8")
    seen = itertools.count()

    def save():
        while True:
            labels = ProjectLabels("cells.zarr", "cells", LayerLook(f"paint {next(seen)}"))
            chunks = list(chunks_in(paint.shape))
            store.save(ProjectState((ImageState(entry, image),), (LabelsState(labels, paint, chunks),)))
            time.sleep(0.05)

    threading.Thread(target=save, daemon=True).start()
    order = np.random.default_rng(0)
    for number in range(first, (SIZE // 16) ** 2):
        paint[place(number)] = number + 2
        print(number, time.monotonic(), flush=True)
        time.sleep(STROKE_S * order.random())


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""A process to be killed: ``napari-unet train`` on a small image, which keeps its model every 0.1 s.

Run as ``commander.py FOLDER``.
"""

import sys
from pathlib import Path

import numpy as np
import tifffile

from napari_unet.cli import main
from napari_unet.files.networks import training_file


def train(folder):
    rng = np.random.default_rng(0)
    paint = np.zeros((64, 64), np.int32)
    paint[2:10], paint[20:30, 20:30], paint[40:50, 40:50] = 1, 2, 3
    for name, array in (("images", rng.integers(0, 255, paint.shape).astype(np.uint8)), ("paint", paint)):
        (folder / name).mkdir(parents=True)
        tifffile.imwrite(folder / name / "a.tif", array)
    training_file.CHECKPOINT_S = 0.1
    given = ["--images", folder / "images", "--paint", folder / "paint", "--output", folder / "m.safetensors"]
    small = ["network.features=2", "network.levels=2", "training.patch_size=32", "training.batch_size=1"]
    main(["train", *map(str, given), "--steps", "1000000", "--json", "--set", *small])


if __name__ == "__main__":
    train(Path(sys.argv[1]))

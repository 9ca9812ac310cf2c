"""A process to be killed: trains a tiny network and saves model and state again and again, each time told.

Run as ``trainer.py FOLDER``.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_unet.files.networks.models import save_model
from napari_unet.files.networks.states import save_state
from napari_unet.network.config import TrainingConfig, UNetConfig
from napari_unet.network.events import Stopped
from napari_unet.network.training import train_events


def main(folder):
    rng = np.random.default_rng(0)
    image = rng.normal(size=(64, 64)).astype(np.float32)
    paint = np.zeros((64, 64), np.int32)
    paint[2:10], paint[20:30, 20:30], paint[40:50, 40:50] = 1, 2, 3
    network = UNetConfig(features=4, levels=2)
    config = TrainingConfig(steps=2, network=network, patch_size=32, batch_size=2)
    stopped = next(e for e in train_events([image], [paint], config, device="cpu") if isinstance(e, Stopped))
    path = folder / "model.safetensors"
    for number in range(100_000):
        model = replace(stopped.model, class_names=("background", f"round {number}"))
        save_model(model, path)
        save_state(stopped.state, model, path)
        print(number, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""A process to be killed: segments an image to zarr, tile by tile, each of them told.

Run as ``predictor.py FOLDER``; what another one has left in the folder is gone on with.
"""

import sys
from pathlib import Path

from predicting import KINDS, config_for, make_model, picture

from napari_unet.files.results.large_prediction import predict_to_zarr


def events(folder):
    """Yield what happens."""
    model, image = make_model(seed=5), picture(330, 290)
    return predict_to_zarr(model, image, folder, "a", config_for(model, image), kinds=KINDS, device="cpu")


if __name__ == "__main__":
    for event in events(Path(sys.argv[1])):
        print(type(event).__name__, flush=True)

"""Whether the memory of a prediction depends on the image size: zarr in, zarr out.

    python benchmarks/prediction_memory.py [--sizes 4096 8192 16384] [--folder DIR]
    python benchmarks/prediction_memory.py --sizes 4096 30000      # 6 minutes, 5 GB of disk meanwhile

Each size is segmented by a separate process, whose resident memory is read every 50 ms. The images are
repeated blurred noise in chunks of 512 pixels; the network is small and untrained, with a threshold that
gives many objects: memory depends on tiles, chunks and objects, not on what they show.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import zarr
from scipy import ndimage

TILE = 512
FLAT = 0.1
"""The bar: largest part by which memory may exceed that of the smallest image."""


def make_image(path: Path, size: int) -> None:
    """Write a square image with this edge in pixels, chunk by chunk."""
    noise = ndimage.gaussian_filter(np.random.default_rng(0).random((TILE, TILE)), 8, mode="wrap")
    chunk = np.uint16(60000 * (noise - noise.min()) / np.ptp(noise))
    image = zarr.create_array(path, shape=(size, size), chunks=(TILE, TILE), dtype="uint16")
    for y in range(0, size, TILE):
        for x in range(0, size, TILE):
            image[y : y + TILE, x : x + TILE] = chunk[: size - y, : size - x]


def segment(folder: Path) -> None:
    """Segment the image in a folder; runs in the measured process."""
    import torch

    from napari_unet.core.arrays.normalisation import Normalisation
    from napari_unet.core.instances import InstanceConfig
    from napari_unet.files.pixels.sources import open_image
    from napari_unet.files.results.large_prediction import predict_to_zarr
    from napari_unet.network.config import PredictionConfig, TrainingConfig, UNetConfig
    from napari_unet.network.events import TileDone
    from napari_unet.network.model import History, Model
    from napari_unet.network.prediction import predict
    from napari_unet.network.unet import UNet

    network = UNetConfig(features=4, levels=2)
    torch.manual_seed(1)
    model = Model(
        network=network,
        weights=UNet(network).state_dict(),
        normalisation=Normalisation(),
        mode="objects",
        class_names=("background", "foreground"),
        training=TrainingConfig(network=network),
        history=History(),
    )
    pixels = open_image(folder / "image.zarr").pixels
    config = PredictionConfig(tile_size=TILE, precision="float32")
    some = predict(model, np.asarray(pixels[:TILE, :TILE]), config).probabilities[1]
    instances = InstanceConfig(float(np.quantile(some, 0.7)))
    config = PredictionConfig(tile_size=TILE, precision="float32", instances=instances)
    start = time.perf_counter()
    tiles = 0.0
    for event in predict_to_zarr(model, pixels, folder, "image", config):
        if isinstance(event, TileDone):
            tiles = time.perf_counter()
    print(tiles - start, time.perf_counter() - tiles)


def watch(folder: Path) -> tuple[float, list[float]]:
    """Return the peak of the resident memory in bytes, and the seconds of the tiles and of the objects."""
    command = [sys.executable, __file__, "--segment", str(folder)]
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            peak = max(peak, watched.memory_info().rss)
            time.sleep(0.05)
        assert process.stdout is not None
        assert process.returncode == 0
        return peak, [float(word) for word in process.stdout.read().split()]


def main() -> int:
    """Measure and print; 1 if the bar is not met."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs="+", default=[4096, 8192, 16384])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--segment", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.segment:
        segment(arguments.segment)
        return 0
    print(
        "| image | objects | peak memory | against the first | bar | | tiles | objects |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    first, met = 0.0, True
    for size in arguments.sizes:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
            folder = Path(name)
            make_image(folder / "image.zarr", size)
            peak, seconds = watch(folder)
            first = first or peak
            objects = zarr.open_array(folder / "image_objects.zarr" / "0", mode="r")
            count = max(int(objects.blocks[place].max()) for place in np.ndindex(objects.cdata_shape))
            times = " | ".join(f"{value:.0f} s" for value in seconds)
            is_flat = peak <= (1 + FLAT) * first
            met &= is_flat
            cells = [f"{size}²", f"{count:,}", f"{peak / 2**20:.0f} MB", f"{peak / first:.3f}"]
            cells += [f"<= {1 + FLAT}", "met" if is_flat else "short", times]
            print("| " + " | ".join(cells) + " |", flush=True)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())

"""How fast and how exactly images are segmented, compared with the network alone, a notebook and MONAI.

    python benchmarks/prediction.py [--size 4096] [--features 16] [--threads 2] [--quick] [--rows NAME ...]
    python benchmarks/prediction.py --device cuda [--rows speed exactness stages]

Compared methods run in turn in one process. Times are medians of wall and processor time; the latter says
more on a busy machine. The network has random weights, which changes only the picture. A row is a function of
``Bench`` in ``ROWS``; it returns lines of the table.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import zarr
from monai.inferers.utils import sliding_window_inference
from numpy.typing import NDArray
from torch import Tensor, nn

from border_weights import make_cells, make_probabilities
from napari_unet.core.arrays.normalisation import Normalisation, apply_limits
from napari_unet.core.instances import InstanceConfig, find_objects
from napari_unet.core.objects.prediction import Prediction
from napari_unet.core.tiling import plan_tiles
from napari_unet.files.results import large_prediction
from napari_unet.files.results.large_prediction import Stored, predict_to_zarr
from napari_unet.network.config import PredictionConfig, TrainingConfig, UNetConfig
from napari_unet.network.device import choose_device, choose_precision, describe_device
from napari_unet.network.model import History, Model
from napari_unet.network.prediction import plan_prediction, predict
from napari_unet.network.tiles.gpu_tiles import fetch, scaled, send
from napari_unet.network.tiles.inference import class_probabilities, ready_network
from napari_unet.network.unet import UNet

WINDOW = 512  # of MONAI, which is slower with smaller ones


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the table: what was compared, both figures, their ratio, the bar and whether it is met."""

    name: str
    here: str
    other: str
    ratio: str
    bar: str
    met: bool


@dataclass(frozen=True, slots=True)
class Seconds:
    """Median of the repeats."""

    wall: float
    cpu: float


class Bench:
    """An image, a model, and the ways to segment the image with it.

    Parameters
    ----------
    size : int
        Edge of the image in pixels.
    features : int
        Of the network.
    device : torch.device
    quick : bool
        Measure once.
    """

    def __init__(self, size: int, features: int, device: torch.device, *, quick: bool) -> None:
        self.size = size
        self.device = device
        self.repeats = 1 if quick else 3 if device.type == "cpu" else 11
        self.precision = choose_precision(device)
        self.image = np.random.default_rng(0).integers(0, 4096, (size, size), dtype=np.uint16)
        self.model = _random_model(UNetConfig(features=features), self.image)

    def tensor(self, size: int | None = None) -> Tensor:
        """Return the normalised image, or its corner, (1, 1, Y, X) float32."""
        limits = self.model.normalisation.limits(self.image[np.newaxis])
        corner = self.image[np.newaxis, :size, :size]
        return torch.from_numpy(apply_limits(corner, limits))[None].to(self.device)

    def predict(self, image: NDArray[Any], config: PredictionConfig = PredictionConfig()) -> Prediction:
        """Return the product's result for an image."""
        return predict(self.model, image, config, device=str(self.device))

    @cached_property
    def ready(self) -> UNet:
        """The network as used for tiles: folded, channels last, in the best precision."""
        return ready_network(self.model, self.device, self.precision)

    @cached_property
    def plain(self) -> UNet:
        """The network as in a notebook: float32, with separate batch normalisation."""
        network = UNet(self.model.network).eval()
        network.load_state_dict(dict(self.model.weights))
        return network.to(self.device)

    def in_layout(self, x: Tensor) -> Tensor:
        """Return the input that ``ready`` likes best."""
        return x.to(self.precision).contiguous(memory_format=torch.channels_last)

    @cached_property
    def seconds(self) -> Mapping[str, Seconds]:
        """Time of every way to segment the image."""
        x = self.tensor()
        fast = self.in_layout(x)
        # As after the first image of a process: torch and numba import and compile on first use.
        self.predict(self.image[:64, :64]).objects  # noqa: B018 (computed when it is asked for)
        return in_turn(
            {
                "tiles": lambda: self.predict(self.image),
                "whole": lambda: self.ready(fast),
                "eager": lambda: self.plain(x),
                "monai eager": lambda: _monai(self.plain, x),
                "monai ready": lambda: _monai(self.ready, fast),
            },
            self.repeats,
            self.device,
        )


def _random_model(config: UNetConfig, image: NDArray[Any]) -> Model:
    """Return a network with random weights, whose batch normalisation fits the image as after a training.

    Otherwise values would grow from layer to layer, and rounding errors with them.
    """
    torch.manual_seed(0)
    network = UNet(config)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias, std=0.3)
            module.momentum = None  # the mean of its input
    normalised = apply_limits(image[np.newaxis, :256, :256], Normalisation().limits(image[np.newaxis]))
    with torch.no_grad():
        network.train()(torch.from_numpy(normalised)[None])
    return Model(
        network=config,
        weights=network.state_dict(),
        normalisation=Normalisation(),
        mode="objects",
        class_names=("background", "object"),
        training=TrainingConfig(network=config),
        history=History(),
    )


def _monai(network: nn.Module, x: Tensor) -> Tensor:
    result = sliding_window_inference(x, WINDOW, 1, network, overlap=0.5, mode="gaussian")
    assert isinstance(result, Tensor)
    return result


@torch.inference_mode()
def in_turn(ways: Mapping[str, Callable[[], Any]], repeats: int, device: torch.device) -> dict[str, Seconds]:
    """Time every way ``repeats`` times, one after the other, so that disturbances affect all of them.

    On a GPU each runs once just before, so that it already has any memory that it keeps; what the one before
    left is gone by then.
    """
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    on_gpu = device.type == "cuda"
    for repeat in range(repeats):
        for name, way in ways.items():
            if on_gpu:
                torch.cuda.empty_cache()
                way()
                torch.cuda.synchronize(device)
            start = time.perf_counter(), time.process_time()
            way()
            if on_gpu:
                torch.cuda.synchronize(device)
            taken = time.perf_counter() - start[0], time.process_time() - start[1]
            times[name].append(taken)
            print(f"{repeat + 1}: {name} {taken[0]:.3f} s", file=sys.stderr)
    return {
        name: Seconds(*(median(column) for column in zip(*rows, strict=True))) for name, rows in times.items()
    }


def speed(bench: Bench) -> Iterator[Line]:
    """Pixels per second from the camera's array to probabilities, compared with less work than that."""
    on_gpu = bench.device.type == "cuda"
    rows: list[tuple[str, str, float | None]] = [
        ("one forward of the same network (bare)", "whole", 0.8 if on_gpu else 0.85),
        ("plain eager float32, whole", "eager", None if on_gpu else 6.0),
        (f"MONAI, windows of {WINDOW}, plain float32", "monai eager", None if on_gpu else 3.0),
        (f"MONAI, windows of {WINDOW}, the same network as here", "monai ready", None if on_gpu else 3.0),
    ]
    pixels = bench.size**2 / 1e6
    here = bench.seconds["tiles"]
    for name, key, bar in rows:
        other = bench.seconds[key]
        ratio = other.wall / here.wall
        yield Line(
            f"Mpx/s, tiles / {name}",
            f"{pixels / here.wall:.2f}",
            f"{pixels / other.wall:.2f}",
            f"{ratio:.2f} (processor: {other.cpu / here.cpu:.2f})",
            f">= {bar}" if bar else "",
            ratio >= (bar or 0),
        )


@torch.inference_mode()
def exactness(bench: Bench) -> Iterator[Line]:
    """Largest difference of probabilities, in float32, from one pass of the same network over the image.

    On a GPU that network computes in float64.
    """
    edge = min(bench.size, 1024)
    x = bench.tensor(edge)
    image = bench.image[:edge, :edge]
    # The corner has other percentiles than the image: give it the limits of x.
    network = ready_network(bench.model, bench.device, torch.float32)
    limits = bench.model.normalisation.limits(image[np.newaxis])
    x = torch.from_numpy(apply_limits(image[np.newaxis], limits))[None].to(network.head.weight)
    whole = network(x.contiguous(memory_format=torch.channels_last)).softmax(1)[0].cpu().numpy()
    seams = _monai(network, x).softmax(1)[0].cpu().numpy()
    for tile_size in (64, 176, 512):
        config = PredictionConfig(tile_size=tile_size, precision="float32")
        tiled = bench.predict(image, config).probabilities
        yield _difference(f"largest difference, tiles of {tile_size}", tiled, whole, 1e-5)
    worst = float(np.abs(seams - whole).max())
    yield Line("the same, MONAI", "", f"{worst:.1g}", "", "", met=True)


def _difference(name: str, result: NDArray[Any], truth: NDArray[Any], bar: float) -> Line:
    worst = float(np.abs(result - truth).max())
    return Line(name, f"{worst:.1g}", "", "", f"<= {bar:g}", worst <= bar)


def objects(bench: Bench) -> Iterator[Line]:
    """Seconds to find objects, at a density of 5,000 in 4096², compared with those of the network."""
    cells = make_cells((bench.size, bench.size), round(5000 * (bench.size / 4096) ** 2))
    probability = make_probabilities(cells)
    find_objects(probability[:64, :64], ndim=2)
    here = in_turn({"objects": lambda: find_objects(probability, ndim=2)}, 3, torch.device("cpu"))["objects"]
    network = bench.seconds["tiles"]
    share = here.wall / network.wall
    yield Line(
        "s, objects from probabilities / network",
        f"{here.wall:.2f}",
        f"{network.wall:.2f}",
        f"{share:.2f} (processor: {here.cpu / network.cpu:.2f})",
        "<= 0.2",
        share <= 0.2,
    )


def partition(bench: Bench) -> Iterator[Line]:
    """Objects of an image segmented to disk in tiles and blocks, compared id by id with the whole."""
    edge = min(bench.size, 1024)
    image = bench.image[:edge, :edge]
    whole = bench.predict(image, PredictionConfig(tile_size=edge, precision="float32"))
    # An untrained network: a threshold that gives many objects, none of which spans the image.
    instances = InstanceConfig(float(np.quantile(whole.probabilities[1], 0.8)), contrast=0.5)
    expected = replace(whole, instances=instances).objects
    for tile_size in (64, 176, 512):
        config = PredictionConfig(tile_size=tile_size, precision="float32", instances=instances)
        with (
            tempfile.TemporaryDirectory() as name,
            patch.object(large_prediction, "_OBJECT_BLOCK", tile_size**2),
        ):
            *_, last = predict_to_zarr(bench.model, image, name, "image", config, device=str(bench.device))
            assert isinstance(last, Stored)
            found = zarr.open_array(last.outputs["objects"] / "0", mode="r")[...]
        differing = int(np.count_nonzero(found != expected))
        yield Line(
            f"pixels whose id differs, of {expected.max():,} objects, tiles and blocks of {tile_size}",
            f"{differing}",
            "",
            "",
            "0",
            differing == 0,
        )


@torch.inference_mode()
def stages(bench: Bench) -> Iterator[Line]:
    """Milliseconds of each stage, once for an image and for a tile, one after the other, on a GPU."""
    model, image, device = bench.model, bench.image, bench.device
    plan = plan_prediction(model, image, PredictionConfig(), device=str(device))
    tile = plan_tiles(plan.shape, plan.tile_size, plan.geometry)[0]
    x = bench.tensor()[..., : tile.read[0].stop, : tile.read[1].stop].contiguous()
    raw = image[np.newaxis, *tile.read]
    sent = send(raw, device)
    probabilities = class_probabilities(bench.ready, x, tile.crop, 1)
    ways: dict[str, Callable[[], Any]] = {
        "image: limits": lambda: model.normalisation.limits(image[np.newaxis]),
        "image: all of the plan": lambda: plan_prediction(
            model, image, PredictionConfig(), device=str(device)
        ),
        "image: network made ready": lambda: ready_network(model, device, bench.precision),
        "tile: sent": lambda: send(raw, device),
        "tile: scaled": lambda: scaled(sent, plan.limits, (-1.0, 4.0)),
        "tile: network": lambda: class_probabilities(bench.ready, x, tile.crop, 1),
        "tile: fetched": lambda: fetch(probabilities, np.zeros(probabilities.shape, np.float32)),
    }
    for name, seconds in in_turn(ways, bench.repeats, device).items():
        yield Line(f"ms, {name}", f"{1e3 * seconds.wall:.2f}", "", "", "", met=True)
    yield Line("tiles", str(plan.tile_run().total), "", "", "", met=True)


ROWS: dict[str, Callable[[Bench], Iterator[Line]]] = {
    "exactness": exactness,
    "partition": partition,
    "speed": speed,
    "objects": objects,
    "stages": stages,
}


def main() -> int:
    """Measure and print; 1 if a bar is not met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--features", type=int, default=UNetConfig().features)
    parser.add_argument("--threads", type=int, help="2 with the CPU, all with a GPU")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true", help="measure once")
    parser.add_argument("--rows", nargs="*", choices=ROWS, help="all but stages")
    args = parser.parse_args()
    device = choose_device(args.device)
    if args.threads or device.type == "cpu":
        torch.set_num_threads(args.threads or 2)
    bench = Bench(args.size, args.features, device, quick=args.quick)
    print(describe_device(device))
    print(f"{args.size}², {args.features} features, {torch.get_num_threads()} threads, {bench.precision}\n")
    print("| case | here | the other | ratio | bar | |\n|---|---|---|---|---|---|")
    met = True
    for name in args.rows or [name for name in ROWS if name != "stages"]:
        for line in ROWS[name](bench):
            verdict = ("met" if line.met else "short") if line.bar else ""
            cells = (line.name, line.here, line.other, line.ratio, line.bar, verdict)
            print("| " + " | ".join(cells) + " |", flush=True)
            met &= line.met
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())

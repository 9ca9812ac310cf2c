"""Does 3-D training benefit from a 2-D starter? Half a volume is painted, the other half scored.

    OMP_NUM_THREADS=1 python benchmarks/volumes.py --data ../shared/data [--start cells] [--seeds 0 1 2]

A simulated annotator paints some planes of one half: strokes in the sections of some objects, and of
background. The same paint trains a network with random weights, and one with the kernels of the starter in
the middle plane of its own. At every mark the training is stopped, and the other half is scored by object,
in 3-D. Objects of fewer than 50 voxels, cut off at the edges of a volume, are not counted. Training time is
processor time of one thread, see annotation_efficiency.py.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray

from annotator import BACKGROUND, FIRST_OBJECT, Labels, paint_image
from methods import Clock
from napari_unet import TrainingConfig, evaluate, load_model, predict
from napari_unet.core.control import Control
from napari_unet.files.networks.starters import find_model
from napari_unet.network.config import UNetConfig
from napari_unet.network.events import Started, StepDone, Stopped
from napari_unet.network.model import Model
from napari_unet.network.training import train_events

_ENDLESS = 10**9
_SMALLEST = 50


@dataclass(frozen=True)
class Volume:
    """A data file, the plane where its halves meet, and the edges of its voxels."""

    path: str
    axis: int
    every: int
    spacing: tuple[float, float, float]


VOLUMES = {
    "plant": Volume("nuclei_plant_3d/images/1135_mini.tif", axis=2, every=8, spacing=(0.28, 0.127, 0.127)),
    "stardist": Volume("nuclei_stardist_3d/images/img3d.tif", axis=1, every=4, spacing=(1.0, 1.0, 1.0)),
}


def main() -> None:
    """Train from both starts and print the scores."""
    args = _parse()
    torch.set_num_threads(1)
    for seed in args.seeds:
        for name in args.volumes:
            for row in compare(name, seed, args):
                with args.output.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                print(json.dumps(row), flush=True)


def compare(name: str, seed: int, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield a row for every start and mark."""
    volume = VOLUMES[name]
    path = args.data / volume.path
    image = tifffile.imread(path)
    labels = tifffile.imread(path.parent.with_name("labels") / path.name).astype(np.int32)
    middle = image.shape[volume.axis] // 2
    (painted, truth), (other, expected) = (
        [part.take(range(*ends), volume.axis) for part in (image, labels)]
        for ends in ((0, middle), (middle, image.shape[volume.axis]))
    )
    paint = paint_planes(truth, volume.every, np.random.default_rng(seed))
    expected = _without_small(expected)
    config = replace(
        TrainingConfig(seed=seed), network=UNetConfig(ndim=3), spacing=volume.spacing, seconds=None
    )
    for start in (None, load_model(find_model(args.start))):
        for mark, model in learn(painted, paint, config, start, args):
            found = predict(model, other).objects
            scores = evaluate(found, expected)
            yield {
                "volume": name,
                "seed": seed,
                "start": args.start if start else "random weights",
                "mark": mark,
                "steps": model.history.steps,
                "strokes": int(np.unique(paint[paint >= FIRST_OBJECT]).size),
                "ap_50": round(scores.ap_50, 4),
                "iou": round(scores.foreground_iou, 4),
            }


def paint_planes(labels: Labels, every: int, rng: np.random.Generator) -> Labels:
    """Return strokes in every n-th plane: of background and up to 6 objects, each with its own value."""
    paint = np.zeros_like(labels)
    for plane in range(every // 2, len(labels), every):
        if not labels[plane].any():
            continue
        drawn = paint_image(labels[plane], "strokes", objects=6, background=4, rng=rng, brush=1.5).paint
        stroke = drawn >= FIRST_OBJECT
        paint[plane][stroke] = labels[plane][stroke] + BACKGROUND  # an object has one value in all planes
        paint[plane][drawn == BACKGROUND] = BACKGROUND
    return paint


def learn(
    image: NDArray[np.generic],
    paint: Labels,
    config: TrainingConfig,
    start: Model | None,
    args: argparse.Namespace,
) -> Iterator[tuple[float, Model]]:
    """Train from mark to mark, and yield the result of a stop at each."""
    last: Stopped | None = None
    done = 0.0
    for mark in args.marks:
        clock, control = Clock("processor", args.factor), Control()
        events = train_events(
            [image],
            [paint],
            replace(config, steps=_ENDLESS),
            start=last.model if last else start,
            resume=last and last.state,
            control=control,
        )
        for event in events:
            if isinstance(event, Started):
                clock.restart()
            elif isinstance(event, StepDone) and clock.seconds >= mark - done:
                control.stop()
            elif isinstance(event, Stopped):
                last = event
        if last is None:
            raise RuntimeError("The training ended without a model.")
        done = mark
        yield mark, last.model


def _without_small(labels: Labels) -> Labels:
    sizes = np.bincount(labels.ravel())
    return np.where(sizes[labels] < _SMALLEST, 0, labels)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder of labelled images, with a folder for each source")
    add("--output", type=Path, default=Path("benchmarks/output/volumes.jsonl"))
    add("--volumes", nargs="+", choices=list(VOLUMES), default=list(VOLUMES))
    add("--start", default="cells", help="a starter or a model file")
    add("--seeds", nargs="+", type=int, default=[0, 1])
    add("--marks", nargs="+", type=float, default=[30.0, 60.0, 120.0], help="seconds of training")
    add("--factor", type=float, default=1.67, help="processor seconds that count as one second")
    args = parser.parse_args()
    args.output.parent.mkdir(parents=True, exist_ok=True)
    return args


if __name__ == "__main__":
    main()

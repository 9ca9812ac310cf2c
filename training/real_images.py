"""The real images that a starter learns from, and those that are kept out."""

import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from skimage.segmentation import find_boundaries

from napari_unet.core.arrays.normalisation import Normalisation, apply_limits

DATA_LIST = Path(__file__).with_name("data.toml")

KINDS = ("fluorescence", "histology", "phase", "brightfield", "membranes")


@dataclass(frozen=True, slots=True, eq=False)
class RealImage:
    """A labelled plane: ``channels`` (C, Y, X) float32, normalised as in the product, and its labels.

    ``diameter`` is that of the median object, in pixels.
    """

    kind: str
    channels: NDArray[np.float32]
    labels: NDArray[np.int32]
    diameter: float


def list_files(data: Path, leave_out: Collection[str] = ()) -> list[tuple[str, Path, int | None]]:
    """Return kind, path and number of planes (None: a flat image) of every image to train on."""
    listed = tomllib.loads(DATA_LIST.read_text(encoding="utf-8"))
    files = []
    for entry in listed["sets"]:
        if entry["kind"] not in leave_out:
            paths = sorted(data.glob(entry["images"]))[: entry["first"]]
            files += [(entry["kind"], path, entry.get("planes")) for path in paths]
    return files


def shares(leave_out: Collection[str] = ()) -> dict[str, float]:
    """Return how often each kind of real image is drawn; the shares add up to 1 unless none is left."""
    listed: dict[str, float] = tomllib.loads(DATA_LIST.read_text(encoding="utf-8"))["shares"]
    kept = {kind: share for kind, share in listed.items() if kind not in leave_out}
    total = sum(kept.values())
    return {kind: share / total for kind, share in kept.items()}


def load_images(data: Path, leave_out: Collection[str] = ()) -> list[RealImage]:
    """Return every plane to train on.

    Raises
    ------
    SystemExit
        If an expected kind of images is missing from the folder.
    """
    images = []
    for kind, path, planes in list_files(data, leave_out):
        image = tifffile.imread(path)
        labels = tifffile.imread(path.parent.with_name("labels") / path.name).astype(np.int32)
        if planes is None:
            images.append(_real_image(kind, image, labels))
        else:
            # Every other plane: neighbours look the same. Walls are where cells meet.
            for plane in range(0, planes, 2):
                walls = find_boundaries(labels[plane], mode="thick")
                images.append(_real_image(kind, image[plane], np.where(walls, 0, labels[plane])))
    missing = set(shares(leave_out)) - {image.kind for image in images}
    if missing:
        raise SystemExit(f"There are no images of {', '.join(sorted(missing))} under {data}.")
    return images


def _real_image(kind: str, image: NDArray[np.generic], labels: NDArray[np.int32]) -> RealImage:
    channels = np.moveaxis(image[..., :3], -1, 0) if image.ndim == 3 else image[None]
    channels = apply_limits(channels, Normalisation().limits(channels))
    areas = np.bincount(labels.ravel())[1:]
    diameter = 2 * float(np.sqrt(np.median(areas[areas > 0]) / np.pi))
    return RealImage(kind, channels, labels, diameter)

"""The views that a starter learns from, on the device, and batches of them."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from make_views import DRAWN, PLANES
from napari_unet.network.augment import Batch, augment, source_margin
from napari_unet.network.config import AugmentationConfig
from real_images import shares


@dataclass(frozen=True, slots=True, eq=False)
class Library:
    """Views as packed by ``make_views.py``, (N, Y, X) each, on the device.

    ``numbers`` has the numbers of the views of each kind.
    """

    image: Tensor
    target: Tensor
    weight: Tensor
    distance: Tensor
    extent: NDArray[np.int64]
    numbers: dict[str, NDArray[np.intp]]


def load_library(folder: Path, device: torch.device) -> Library:
    """Read the files that ``make_views.py`` wrote."""
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="c") for name in PLANES}
    planes = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
    kinds = np.array(json.loads((folder / "kinds.json").read_text(encoding="utf-8")))
    numbers = {str(kind): np.flatnonzero(kinds == kind) for kind in np.unique(kinds)}
    return Library(**planes, extent=np.load(folder / "extent.npy"), numbers=numbers)


def choose_views(
    library: Library, count: int, rng: np.random.Generator, *, drawn: float, leave_out: Collection[str]
) -> NDArray[np.intp]:
    """Return the numbers of ``count`` views: a part ``drawn``, the others from the remaining kinds."""
    kinds = {kind: share for kind, share in shares(leave_out).items() if kind in library.numbers}
    names, parts = [DRAWN, *kinds], np.array([drawn if kinds else 1.0, *kinds.values()])
    parts[1:] *= (1 - drawn) / max(parts[1:].sum(), 1e-9)
    chosen = rng.choice(len(names), size=count, p=parts)
    return np.array([rng.choice(library.numbers[names[index]]) for index in chosen])


def cut_batch(
    library: Library,
    views: NDArray[np.intp],
    rng: np.random.Generator,
    generator: torch.Generator,
    *,
    edge: int,
    config: AugmentationConfig,
) -> Batch:
    """Return a patch of each view, cut at random and augmented.

    Outside a view its border pixels are repeated, with weight 0.
    """
    device = library.image.device
    margin = source_margin((edge, edge), config)
    where, inside = [], []
    for axis in (0, 1):
        extent = library.extent[views, axis]
        start = rng.integers(np.minimum(extent - edge, 0), np.maximum(extent - edge, 0) + 1)
        place = start[:, None] - margin[axis] + np.arange(edge + 2 * margin[axis])
        inside.append((place >= 0) & (place < extent[:, None]))
        where.append(np.clip(place, 0, extent[:, None] - 1))
    rows, columns, number = (
        torch.from_numpy(values).to(device) for values in (where[0], where[1], views.astype(np.int64))
    )
    at = number[:, None, None], rows[:, :, None], columns[:, None, :]
    known = torch.from_numpy(inside[0][:, :, None] & inside[1][:, None, :]).to(device)
    return augment(
        library.image[at][:, None].float(),
        library.target[at],
        library.weight[at].float() * known,
        (edge, edge),
        config=config,
        generator=generator,
        distance=library.distance[at].float(),
    )

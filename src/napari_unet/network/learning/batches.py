"""From a dataset to batches on the device: sizes that fit network and images, patches, augmentation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from napari_unet.core.errors import InputError
from napari_unet.core.learning.dataset import Dataset
from napari_unet.core.learning.live_dataset import Fresh
from napari_unet.core.painted.painted_plane import PaintedPlane
from napari_unet.core.patches import Patch, draw_patch
from napari_unet.network import geometry
from napari_unet.network.augment import Batch, augment, source_margin
from napari_unet.network.config import AugmentationConfig, TrainingConfig
from napari_unet.network.device import free_memory
from napari_unet.network.memory import free_host_memory
from napari_unet.network.unet import UNet, centre_crop

_USUAL = {("cpu", 2): (192, 4), ("cpu", 3): (48, 2), ("gpu", 2): (256, 8), ("gpu", 3): (96, 2)}
"""Edge in pixels of what a patch teaches, and how many make a batch, by kind of device and dimension."""

_FEWEST, _MOST = 2, 32
"""Where another size is asked for, a batch has as many patches as have the usual pixels, within these."""

_BYTES_OF_KNOWN = 30
"""Bytes that every painted pixel takes at least when planes become a dataset: measured were 34 to 90."""


@dataclass(frozen=True, slots=True)
class BatchShape:
    """How many patches make a batch, and their sizes along each spatial axis, in pixels.

    ``taught`` is the size of the output of the network, ``margin`` what a valid network sees beyond it on
    each side.
    """

    patches: int
    taught: tuple[int, ...]
    margin: tuple[int, ...]

    @property
    def seen(self) -> tuple[int, ...]:
        """The size of the input of the network."""
        return tuple(edge + 2 * extra for edge, extra in zip(self.taught, self.margin, strict=True))


def plan_batches(dataset: Dataset, config: TrainingConfig, device: torch.device) -> BatchShape:
    """Return the batch that suits the device, its patches no larger than the images and network need."""
    network = config.network
    kind = "cpu" if device.type == "cpu" else "gpu", network.ndim
    extra = geometry.margin(network)
    taught_edge, patches = _USUAL[kind]
    usual = taught_edge + 2 * extra
    edge = config.patch_size or usual
    # Two pixels at the bottom of the network are the least that batch normalisation can compute with.
    smallest = 2 * network.alignment
    taught = []
    for axis in range(network.ndim):
        longest = max(sample.target.shape[axis] for sample in dataset.samples)
        wanted = max(min(edge, longest + 2 * extra), smallest)
        if not geometry.fits(network, wanted):
            wanted = geometry.nearest_sizes(network, wanted)[1]
        taught.append(wanted - 2 * extra)
    as_many_pixels = round(patches * (usual / edge) ** network.ndim)
    patches = config.batch_size or min(max(_FEWEST, as_many_pixels), _MOST)
    return BatchShape(patches, tuple(taught), (extra,) * network.ndim)


def check_memory(dataset: Dataset, config: TrainingConfig, device: torch.device) -> None:
    """Raise ``InputError`` if network and batch need more memory than there is, before either is made.

    What is counted is less than a training takes, so that nothing is refused that might run: weights, their
    average, gradient and two moments; and what the convolutions of the first level keep, in 16 bits.
    """
    network, shape = config.network, plan_batches(dataset, config, device)
    with torch.device("meta"):
        weights = sum(values.numel() for values in UNet(network).parameters())
    kept = 4 * network.features * 2 * shape.patches * math.prod(shape.taught)
    needed, free = 5 * 4 * weights + kept, free_memory(device)
    if needed > free:
        size = " x ".join(map(str, shape.seen))
        raise InputError(
            f"Batches of {shape.patches:,} patches of {size} pixels and a network of {weights / 1e6:,.1f} "
            f"million weights need more than {needed / 2**30:,.0f} GB, and {free / 2**30:,.1f} GB are free; "
            "choose a smaller batch size, patch size or network."
        )


def check_paint_fits(planes: Sequence[PaintedPlane]) -> None:
    """Raise ``InputError`` if to learn from all that is painted needs more memory than there is.

    As little is counted as any paint takes; a process that goes beyond its memory ends without a word.
    """
    known = sum(len(plane.pixels.flat) for plane in planes)
    needed, free = _BYTES_OF_KNOWN * known, free_host_memory()
    if needed > free:
        raise InputError(
            f"{known / 1e6:,.0f} million pixels are painted; to learn from them needs more than "
            f"{needed / 2**30:,.1f} GB, and {free / 2**30:,.1f} GB are free. Crop the images, paint or "
            "complete less of them, or close other programs."
        )


def draw_batch(
    dataset: Dataset,
    shape: BatchShape,
    config: TrainingConfig,
    device: torch.device,
    *,
    rng: np.random.Generator,
    generator: torch.Generator,
    fresh: Fresh | None = None,
) -> Batch:
    """Return random, augmented patches on the device; the first around the ``fresh`` paint, if there is any.

    Returns
    -------
    Batch
        The image is as large as the network sees, (B, C, *seen), all else (B, *taught).
    """
    around = source_margin(shape.seen, config.augmentation)
    margin = [extra + more for extra, more in zip(shape.margin, around, strict=True)]
    patches = [
        draw_patch(dataset, shape.taught, rng, margin=margin, fresh=None if number else fresh)
        for number in range(shape.patches)
    ]
    image, target, weight, distance = stack(patches, device)
    view = augment(
        image,
        target,
        weight,
        shape.seen,
        config=augmentation_of(dataset, config),
        generator=generator,
        distance=distance,
    )
    return crop_margin(view, shape)


def augmentation_of(dataset: Dataset, config: TrainingConfig) -> AugmentationConfig:
    """Return how patches change: the less in colour, the more painted images there are."""
    painted = sum(sample.teaches for sample in dataset.samples)
    return replace(config.augmentation, colour=config.augmentation.colour / painted)


def stack(patches: list[Patch], device: torch.device) -> Batch:
    """Return patches of one size as a batch on the device."""
    image = torch.from_numpy(np.stack([patch.image for patch in patches]))
    target = torch.from_numpy(np.stack([patch.target for patch in patches]))
    weight = torch.from_numpy(np.stack([patch.weight for patch in patches]))
    distances = [patch.distance for patch in patches if patch.distance is not None]
    distance = torch.from_numpy(np.stack(distances)).to(device) if distances else None
    return Batch(image.to(device), target.to(device), weight.to(device), distance)


def crop_margin(batch: Batch, shape: BatchShape) -> Batch:
    """Return a batch in which all but the image is cropped from (B, *seen) to (B, *taught)."""

    def cropped(values: Tensor) -> Tensor:
        return centre_crop(values[:, None], shape.taught)[:, 0]

    image, target, weight, distance = batch
    return Batch(image, cropped(target), cropped(weight), None if distance is None else cropped(distance))

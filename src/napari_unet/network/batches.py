"""From a dataset to batches on the device: sizes that fit network and images, patches, augmentation."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_unet.core.dataset import Dataset
from napari_unet.core.live_dataset import Fresh
from napari_unet.core.patches import Patch, draw_patch
from napari_unet.network import geometry
from napari_unet.network.augment import Batch, augment, source_margin
from napari_unet.network.config import TrainingConfig, UNetConfig
from napari_unet.network.unet import centre_crop

_PATCH = {("cpu", 2): 192, ("cpu", 3): 48, ("gpu", 2): 256, ("gpu", 3): 96}
"""Edge in pixels of what a patch teaches, by kind of device and dimension."""

_BATCH = {("cpu", 2): 4, ("cpu", 3): 2, ("gpu", 2): 8, ("gpu", 3): 2}


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


def plan_batches(
    dataset: Dataset, network: UNetConfig, config: TrainingConfig, device: torch.device
) -> BatchShape:
    """Return the batch that suits the device, its patches no larger than the images and network need."""
    kind = "cpu" if device.type == "cpu" else "gpu", network.ndim
    extra = geometry.margin(network)
    edge = config.patch_size or _PATCH[kind] + 2 * extra
    # Two pixels at the bottom of the network are the least that batch normalisation can compute with.
    smallest = 2 * network.alignment
    taught = []
    for axis in range(network.ndim):
        longest = max(sample.target.shape[axis] for sample in dataset.samples)
        wanted = max(min(edge, longest + 2 * extra), smallest)
        if not geometry.fits(network, wanted):
            wanted = geometry.nearest_sizes(network, wanted)[1]
        taught.append(wanted - 2 * extra)
    return BatchShape(config.batch_size or _BATCH[kind], tuple(taught), (extra,) * network.ndim)


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
    image, target, weight, distance = augment(
        image,
        target,
        weight,
        shape.seen,
        config=config.augmentation,
        generator=generator,
        distance=distance,
    )
    return Batch(
        image,
        crop_margin(target, shape),
        crop_margin(weight, shape),
        None if distance is None else crop_margin(distance, shape),
    )


def stack(patches: list[Patch], device: torch.device) -> Batch:
    """Return patches of one size as a batch on the device."""
    image = torch.from_numpy(np.stack([patch.image for patch in patches]))
    target = torch.from_numpy(np.stack([patch.target for patch in patches]))
    weight = torch.from_numpy(np.stack([patch.weight for patch in patches]))
    distances = [patch.distance for patch in patches if patch.distance is not None]
    distance = torch.from_numpy(np.stack(distances)).to(device) if distances else None
    return Batch(image.to(device), target.to(device), weight.to(device), distance)


def crop_margin(values: Tensor, shape: BatchShape) -> Tensor:
    """Return the part of (B, *seen) that the network is taught, (B, *taught)."""
    return centre_crop(values[:, None], list(shape.taught))[:, 0]

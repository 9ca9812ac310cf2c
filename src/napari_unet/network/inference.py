"""A trained network made ready to predict: folded, moved to its device, and how large its tiles may be."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_unet.core.errors import InputError
from napari_unet.core.tiling import WHOLE, Geometry, plan_tiles
from napari_unet.network.bands import run_cropped
from napari_unet.network.config import UNetConfig
from napari_unet.network.geometry import margin
from napari_unet.network.model import Model
from napari_unet.network.orientation import ORIENTATIONS
from napari_unet.network.unet import UNet

_MEMORY_SHARE = 0.5
"""Part of the free memory that a tile may take: the estimate is rough, and other programs live here, too."""

_MOST_VALUES = 2**31 - 1
"""Values in one tensor; GPU kernels that count in 32 bits refuse more."""

_PROMPT_PIXELS = 1280**2
"""Pixels beyond which larger 2-D tiles gain little on a CPU, and keep users waiting for what they see."""


def ready_network(model: Model, device: torch.device, precision: torch.dtype) -> UNet:
    """Return the network of a model in evaluation mode, on a device and in a precision.

    The model itself stays as it is.

    Raises
    ------
    InputError
        If the weights are not those of the network that the model describes.
    """
    # Only training has a use for the distance.
    config = replace(model.network, distance=False)
    with torch.device("meta"):  # no memory and no random numbers for weights that are replaced at once
        network = UNet(config)
    try:
        # Detached, so that what is done to the network's parameters is not done to the model's.
        network.load_state_dict(
            {
                name: values.detach()
                for name, values in model.weights.items()
                if not name.startswith("distance_head.")
            },
            assign=True,
        )
    except RuntimeError as error:
        raise InputError(
            "The weights of this model do not belong to the network it describes; choose another model."
        ) from error
    network.eval().requires_grad_(requires_grad=False)
    fold_batch_norm(network)
    network.to(device, precision)
    if model.network.ndim == 2:
        # The layout the convolutions compute in; in 3-D it made no measurable difference.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
    return network


def fold_batch_norm(network: UNet) -> None:
    """Fold every batch normalisation into the convolution before it, in place, so that it costs nothing.

    In evaluation mode it is one factor and one offset per feature map, which the convolution can apply.
    """
    for layers in network.modules():
        if not isinstance(layers, nn.Sequential):
            continue
        for index, (layer, following) in enumerate(pairwise(layers)):
            if isinstance(following, (nn.BatchNorm2d, nn.BatchNorm3d)):
                layers[index] = fuse_conv_bn_eval(cast("nn.Conv2d | nn.Conv3d", layer), following)
                layers[index + 1] = nn.Identity()


@torch.inference_mode()
def probabilities_of(
    network: UNet, block: NDArray[np.float32], crop: tuple[slice, ...], orientations: int = 1
) -> NDArray[np.float32]:
    """Return the class probabilities of one block.

    Parameters
    ----------
    network : UNet
        From :func:`ready_network`.
    block : array (C, spatial...) float32
        Normalised intensities, of a size that fits the network.
    crop : tuple of slice
        The part of the output that is wanted.
    orientations : int
        The network sees the block as it is and, for more than 1 (at most 8), turned and mirrored; the
        probabilities are averaged.

    Returns
    -------
    array (K, spatial...) float32
        Soft-max in float32, whatever the network computes in.
    """
    weight = network.head.weight
    x = torch.from_numpy(block)[None]  # (1, C, ...)
    if weight.device.type == "cuda":
        x = x.pin_memory()  # else the copy would wait for the GPU, and other tiles with it
    x = x.to(weight.device, non_blocking=True).to(weight.dtype)
    lost = 2 * margin(network.config)
    seen = [size - lost for size in block.shape[1:]]
    mean = torch.zeros(())
    for count, orientation in enumerate(ORIENTATIONS[:orientations], start=1):
        logits = run_cropped(network, orientation.turn(x), orientation.turn_crop(crop, seen))  # (1, K, ...)
        probabilities = orientation.turn_back(_activate(logits[0]))
        mean = probabilities if count == 1 else mean.lerp_(probabilities, 1 / count)
    result: NDArray[np.float32] = mean.contiguous().cpu().numpy()
    return result


def _activate(logits: torch.Tensor) -> torch.Tensor:
    """Return the outputs of a network (K, ...) as what they mean."""
    return logits.contiguous().float().softmax(dim=0)  # else channels last, which takes five times as long


def plan_tile_size(
    shape: Sequence[int], geometry: Geometry, config: UNetConfig, *, memory: int, itemsize: int, cached: bool
) -> int:
    """Return the edge of the blocks that predict an image with the least work and within the memory.

    Large blocks spend less on their halos, small ones need less memory and are seen sooner.

    Parameters
    ----------
    shape : sequence of int
        Spatial shape of the image in pixels.
    geometry : Geometry
        Of the network.
    config : UNetConfig
        Of the network.
    memory : int
        Free memory in bytes.
    itemsize : int
        Bytes of one value of a feature map.
    cached : bool
        Whether the device is a CPU, whose cache the bands of 2-D tiles stay in: then 1,000 pixels will do.

    Returns
    -------
    int
        A multiple of the alignment; the alignment itself if nothing fits.
    """
    if geometry.halo == WHOLE:  # smaller tiles would each do all the work
        return -(-max(shape) // geometry.alignment) * geometry.alignment
    pixels = min(
        memory * _MEMORY_SHARE / bytes_per_pixel(config, itemsize), _MOST_VALUES / (2 * config.features)
    )
    if cached and config.ndim == 2:
        pixels = min(pixels, _PROMPT_PIXELS)
    best, least = geometry.alignment, float("inf")
    for edge in range(geometry.alignment, max(shape) + geometry.alignment, geometry.alignment):
        reads = [
            [tile.read[0].stop - tile.read[0].start for tile in plan_tiles((size,), edge, geometry)]
            for size in shape
        ]
        work = np.prod([float(sum(axis)) for axis in reads])
        if np.prod([float(max(axis)) for axis in reads]) <= pixels and work < least:
            best, least = edge, float(work)
    return best


def bytes_per_pixel(config: UNetConfig, itemsize: int) -> int:
    """Return the memory one pixel of a tile takes at the peak, in bytes.

    The peak is at the top of the expanding path, where it is not computed in bands: the copied and the
    upsampled features, both once more where they are joined, two convolutions of these, and what was
    upsampled; then image, logits and probabilities in float32.
    """
    return 7 * config.features * itemsize + 4 * (config.in_channels + 3 * config.classes)

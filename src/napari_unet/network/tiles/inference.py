"""A trained network made ready to predict, folded and on its device, and what it makes of a block."""

from dataclasses import replace
from itertools import pairwise
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from napari_unet.core.errors import InputError
from napari_unet.network.geometry import margin
from napari_unet.network.model import Model
from napari_unet.network.orientation import ORIENTATIONS
from napari_unet.network.tiles.bands import run_cropped
from napari_unet.network.tiles.launching import launch
from napari_unet.network.unet import UNet


def ready_network(model: Model, device: torch.device, precision: torch.dtype) -> UNet:
    """Return the network of a model in evaluation mode, on a device and in a precision.

    The model itself stays as it is. On an NVIDIA GPU, float32 is computed in float64: for tiles of another
    size cuDNN adds up in another order, and unless told otherwise it rounds to 10 bits.

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
    if device.type == "cuda" and precision == torch.float32:
        precision = torch.float64
    # The layout that 2-D convolutions compute in; in 3-D it made no measurable difference.
    layout = torch.channels_last if model.network.ndim == 2 else torch.preserve_format
    network.to(device, precision, memory_format=layout)  # type: ignore[call-overload]  # missing in torch's stubs
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
                convolution = cast("nn.Conv2d | nn.Conv3d", layer)
                convolution.weight, convolution.bias = fuse_conv_bn_weights(
                    convolution.weight,
                    convolution.bias,
                    cast("Tensor", following.running_mean),
                    cast("Tensor", following.running_var),
                    following.eps,
                    following.weight,
                    following.bias,
                )
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

    def probabilities(x: Tensor) -> Tensor:
        return class_probabilities(network, x, crop, orientations)

    x = torch.from_numpy(block)[None]  # (1, C, ...)
    device = network.head.weight.device
    if device.type == "cuda":
        # Pinned, else the copy would wait for the GPU, and other tiles with it.
        found = launch(probabilities, x.pin_memory().to(device, non_blocking=True)).result()
    else:
        found = probabilities(x.to(device))
    result: NDArray[np.float32] = found.cpu().numpy()
    return result


def class_probabilities(network: UNet, x: Tensor, crop: tuple[slice, ...], orientations: int) -> Tensor:
    """Return what :func:`probabilities_of` does, of a block (1, C, spatial...) beside the network, there."""
    x = x.to(network.head.weight.dtype)
    lost = 2 * margin(network.config)
    seen = [size - lost for size in x.shape[2:]]
    mean = torch.zeros(())
    for count, orientation in enumerate(ORIENTATIONS[:orientations], start=1):
        logits = run_cropped(network, orientation.turn(x), orientation.turn_crop(crop, seen))
        probabilities = orientation.turn_back(
            logits[0].contiguous().float().softmax(dim=0)  # channels last would take five times as long
        )
        mean = probabilities if count == 1 else mean.lerp_(probabilities, 1 / count)
    return mean.contiguous()

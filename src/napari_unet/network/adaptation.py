"""The weights of one network as those of another, so that what it has learnt still holds there.

For other channels, other classes, or one more spatial axis. Nothing is drawn at random: a starter knows as
much of an image in colour as of a grey one, and of cells of two kinds as of cells.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from napari_unet.core.errors import InputError
from napari_unet.core.learning.mixture import Mixture
from napari_unet.network.config import UNetConfig
from napari_unet.network.model import Model

_FIRST, _FIRST_BIAS = "contracting.0.0.weight", "contracting.0.0.bias"
_FIRST_MEAN = "contracting.0.1.running_mean"
"""What batch normalisation subtracts; the convolution before it has no bias."""

_HEAD_WEIGHT, _HEAD_BIAS = "head.weight", "head.bias"


def adapted_weights(
    weights: Mapping[str, Tensor], old: UNetConfig, new: UNetConfig, mixture: Mixture | None = None
) -> dict[str, Tensor]:
    """Return the weights of a network ``old`` for a network ``new``.

    Parameters
    ----------
    weights : mapping of str to torch.Tensor
        State dict of a network ``old``; shared where nothing changes.
    old, new : UNetConfig
        May differ in their channels, classes and spatial axes (2 to 3, not back). The head for the distance
        stays as it is.
    mixture : Mixture, optional
        The grey image that is seen of other channels; by default, their mean.

    Raises
    ------
    InputError
        If they differ in the axes and ``old`` has three.
    """
    result = dict(weights)
    if old.in_channels != new.in_channels:
        result |= _mixed(weights, mixture or Mixture(np.full(new.in_channels, 1 / new.in_channels), 0.0))
    if old.classes != new.classes:
        result[_HEAD_WEIGHT] = share_classes(weights[_HEAD_WEIGHT], new.classes)
        result[_HEAD_BIAS] = share_classes(weights[_HEAD_BIAS], new.classes, splits_probability=True)
    if old.ndim == new.ndim:
        return result
    if old.ndim == 3:
        raise InputError(
            "The starting model is 3-D and cannot become 2-D; start from scratch or from a 2-D model."
        )
    return {name: inflate(tensor) for name, tensor in result.items()}


def _mixed(weights: Mapping[str, Tensor], mixture: Mixture) -> dict[str, Tensor]:
    """Return the first layer for new channels, of which it sees a mixture in place of each that it had.

    The offset of the mixture is applied after the convolution, and so is slightly wrong only at the very edge
    of the image, where the padding is 0.
    """
    kernel = weights[_FIRST]
    grey = kernel.sum(dim=1, keepdim=True)
    shares = torch.from_numpy(mixture.shares).to(kernel).reshape(1, -1, *(1,) * (kernel.ndim - 2))
    constant = mixture.offset * grey.flatten(1).sum(dim=1)
    if _FIRST_BIAS in weights:
        return {_FIRST: grey * shares, _FIRST_BIAS: weights[_FIRST_BIAS] + constant}
    return {_FIRST: grey * shares, _FIRST_MEAN: weights[_FIRST_MEAN] - constant}


def share_classes(rows: Tensor, classes: int, *, splits_probability: bool = False) -> Tensor:
    """Return the rows (K, ...) of a head for so many classes.

    The background, row 0, stays. New classes are the mean of the others; where one becomes several, and
    ``splits_probability`` (for the bias), they share its probability equally, so that the background's does
    not change. Of too many classes the last are left out; for two, all but the background become one.
    """
    known = rows[1:]
    mean = known.mean(dim=0, keepdim=True)
    if classes == 2:
        objects = mean + (math.log(len(known)) if splits_probability else 0)
    elif len(known) == 1:
        objects = mean.repeat(classes - 1, *(1,) * (rows.ndim - 1))
        objects = objects - (math.log(classes - 1) if splits_probability else 0)
    else:
        missing = max(classes - 1 - len(known), 0)
        objects = torch.cat([known[: classes - 1], mean.repeat(missing, *(1,) * (rows.ndim - 1))])
    return torch.cat([rows[:1], objects])


def inflate(kernel: Tensor) -> Tensor:
    """Return a 2-D kernel (F, C, Y, X) as a 3-D one that sees each plane alone; others stay as they are.

    Convolutions have it in their middle plane, up-convolutions in both of the planes they make.
    """
    if kernel.ndim != 4:
        return kernel
    edge = kernel.shape[-1]
    if edge % 2 == 0:
        return kernel[:, :, None].repeat(1, 1, edge, 1, 1)
    deep = kernel.new_zeros(*kernel.shape[:2], edge, *kernel.shape[2:])
    deep[:, :, edge // 2] = kernel
    return deep


def for_channels(model: Model, channels: int) -> Model:
    """Return a model that takes images of so many channels: a starter, which takes any; else as it is."""
    if not model.is_starter or channels == model.network.in_channels:
        return model
    network = replace(model.network, in_channels=channels)
    weights = adapted_weights(model.weights, model.network, network)
    return replace(model, network=network, weights=weights)

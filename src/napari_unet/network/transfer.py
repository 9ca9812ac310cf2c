"""What a training starts from: fresh weights, or those of a model fitted to these images and classes."""

from dataclasses import replace

import torch

from napari_unet.core.errors import InputError
from napari_unet.network.config import TrainingConfig, UNetConfig
from napari_unet.network.model import Model
from napari_unet.network.state import TrainingState, reason_against
from napari_unet.network.unet import UNet


def fresh_network(config: UNetConfig, seed: int) -> UNet:
    """Return a network whose weights depend on ``seed`` alone; torch's global generator stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return UNet(config)


def starting_network(
    start: Model | None,
    resume: TrainingState | None,
    config: TrainingConfig,
    *,
    in_channels: int,
    classes: int,
    distance: bool = False,
) -> tuple[UNet, tuple[str, ...], TrainingState | None]:
    """Return what a training with ``config`` begins with.

    Returns
    -------
    network : UNet
        For ``in_channels`` and ``classes``, with a head for the ``distance`` if it is to be learnt.
    warnings : tuple of str
        A sentence for everything that could not be taken over from ``start`` and ``resume``.
    resume : TrainingState or None
        None if it does not fit.

    Raises
    ------
    InputError
        If there is a state without its model.
    """
    if start is None:
        if resume is not None:
            raise InputError("A training state came without its model; give the model to start from as well.")
        network = replace(config.network, in_channels=in_channels, classes=classes, distance=distance)
        return fresh_network(network, config.seed), (), None
    adapted, warnings = adapted_network(start, in_channels, classes, config.seed, distance=distance)
    reason = "" if resume is None else reason_against(resume, start, adapted, config.mode)
    return (adapted, (*warnings, reason), None) if reason else (adapted, warnings, resume)


def adapted_network(
    start: Model, in_channels: int, classes: int, seed: int, *, distance: bool = False
) -> tuple[UNet, tuple[str, ...]]:
    """Return the network of ``start`` for ``in_channels`` and ``classes``, and what had to be learnt anew.

    Weights are taken over wherever their shapes agree; the first or last convolution of a network for another
    number of channels or classes starts from random weights. A head for the distance is kept, and added where
    ``distance`` is to be learnt.

    Returns
    -------
    network : UNet
    warnings : tuple of str
        A sentence for each layer that could not be taken over.
    """
    config = replace(
        start.network,
        in_channels=in_channels,
        classes=classes,
        distance=distance or start.network.distance,
    )
    network = fresh_network(config, seed)
    fresh = network.state_dict()
    network.load_state_dict(
        fresh | {name: value for name, value in start.weights.items() if value.shape == fresh[name].shape}
    )
    warnings = []
    if in_channels != start.network.in_channels:
        warnings.append(
            f"The starting model was trained on {_count(start.network.in_channels, 'channel')} and these "
            f"images have {in_channels}; its first layer is learnt anew."
        )
    if classes != start.network.classes:
        warnings.append(
            f"The starting model tells {start.network.classes} classes apart and this paint has {classes}; "
            "its last layer is learnt anew."
        )
    return network, tuple(warnings)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"

"""What a training starts from: fresh weights, or those of a model fitted to these images and classes."""

from dataclasses import replace
from threading import Lock
from typing import Literal

import torch

from napari_unet.core.errors import InputError
from napari_unet.core.learning.mixture import Mixture
from napari_unet.network.adaptation import adapted_weights
from napari_unet.network.config import TrainingConfig, UNetConfig
from napari_unet.network.events import Adapted, Warned
from napari_unet.network.learning.state import TrainingState, reason_against
from napari_unet.network.model import Model
from napari_unet.network.unet import UNet

_DRAWING = Lock()
"""Held while torch's global generator draws weights, since another thread may draw from it, too."""

_KNOWN = 0.2
"""Part of the learning rate for what a starter knows already, so that it forgets less."""

_MOST_PULL = 0.1
_SHARPNESS = 4
"""So a starter that scores .9 is pulled back at .066, and one that scores .5 at .006."""


def starting_rates(
    start: Model | None, config: TrainingConfig, *, in_channels: int, classes: int
) -> TrainingConfig:
    """Return ``config`` with the learning rates and the pull that suit ``start``, where it leaves them open.

    The pull of a starter stays open, see :func:`pull_of_starter`. They are saved with the model, so that
    later trainings go on in the same way.
    """
    body, ends = 1.0, 1.0
    pull: float | None = 0.0
    if start is not None and start.is_starter:
        fits = (start.network.in_channels, start.network.classes) == (in_channels, classes)
        body, ends, pull = _KNOWN, (1.0 if fits else 1 / _KNOWN), None
    elif start is not None and start.training.body_rate is not None:
        body, ends = start.training.body_rate, start.training.ends_rate or 1.0
        pull = start.training.pull or 0.0
    return replace(
        config,
        body_rate=body if config.body_rate is None else config.body_rate,
        ends_rate=ends if config.ends_rate is None else config.ends_rate,
        pull=pull if config.pull is None else config.pull,
    )


def origin_of(start: Model | None, *, goes_on: bool) -> str:
    """Return in words where the first weights of a training come from; ``goes_on`` says it is resumed."""
    if start is None:
        return ""
    steps = start.history.steps
    if goes_on or start.is_starter or not steps:
        return start.origin
    own = f", whose own were {start.origin}" if start.origin else ""
    return f"taken from a model that had been trained for {steps:,} step{'s' * (steps != 1)}{own}"


def pull_of_starter(score: float) -> float:
    """Return how much is kept of a starter with this score on the paint before the first step.

    Few strokes cannot improve what it does right already, but make it forget: touching nuclei are no longer
    separated. Where it is wrong, as on a kind of image it has never seen, it must not stand in the way.
    """
    return float(_MOST_PULL * score**_SHARPNESS)


def fresh_network(config: UNetConfig, seed: int) -> UNet:
    """Return a network whose weights depend on ``seed`` alone; torch's global generator stays as it was."""
    with _DRAWING, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return UNet(config)


def starting_network(
    start: Model | None,
    resume: TrainingState | None,
    config: TrainingConfig,
    *,
    in_channels: int,
    classes: int,
    distance: bool,
    mixture: Mixture | None,
) -> tuple[UNet, list[Adapted | Warned], TrainingState | None]:
    """Return what a training with ``config`` begins with; of new channels it sees the ``mixture`` at first.

    Returns
    -------
    network : UNet
        For ``in_channels`` and ``classes``, with a head for the ``distance`` if it is to be learnt.
    told : list of Adapted or Warned
        What had to be adapted of ``start``, and why ``resume`` could not be taken over.
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
        return fresh_network(network, config.seed), [], None
    adapted, sentences = adapted_network(
        start, in_channels, classes, config.seed, ndim=config.network.ndim, distance=distance, mixture=mixture
    )
    reason = "" if resume is None else reason_against(resume, start, adapted, config.mode)
    told: list[Adapted | Warned] = [Adapted(sentence) for sentence in sentences]
    return (adapted, [*told, Warned(reason)], None) if reason else (adapted, told, resume)


def adapted_network(
    start: Model,
    in_channels: int,
    classes: int,
    seed: int,
    *,
    ndim: Literal[2, 3],
    distance: bool,
    mixture: Mixture | None,
) -> tuple[UNet, tuple[str, ...]]:
    """Return the network of ``start`` for ``in_channels`` and ``classes``, and how it was adapted.

    See :mod:`napari_unet.network.adaptation`. A head for the distance is kept, and added, with random
    weights, where ``distance`` is to be learnt.

    Returns
    -------
    network : UNet
    sentences : tuple of str
        One for each adaptation that a user should know of.
    """
    old = start.network
    config = replace(
        old, ndim=ndim, in_channels=in_channels, classes=classes, distance=distance or old.distance
    )
    network = fresh_network(config, seed)
    network.load_state_dict(network.state_dict() | adapted_weights(start.weights, old, config, mixture))
    sentences = []
    if in_channels != old.in_channels:
        seen = "their mean" if mixture is None else "the mixture of them that tells your paint apart best"
        sentences.append(
            f"The starting model was trained on images with {old.in_channels} "
            f"channel{'s' * (old.in_channels != 1)}, and these have {in_channels}: it "
            f"first sees {seen}, and learns to tell the channels apart."
        )
    if classes != old.classes:
        sentences.append(
            f"The starting model tells {old.classes} classes apart, background included, and this paint has "
            f"{classes}: {_begins(old.classes, classes)}."
        )
    if config.ndim != old.ndim:
        sentences.append(
            "The starting model is 2-D and this training 3-D: it begins by seeing each plane alone, and "
            "learns to connect them."
        )
    return network, tuple(sentences)


def _begins(old: int, new: int) -> str:
    if old == 2:
        return "each begins as what the model knows as an object"
    if new == 2:
        return "all but the background begin as one"
    return "the last ones are left out" if new < old else "new ones begin as the mean of the others"

"""Where a training stopped: what a model needs beside its weights to go on as if it had never stopped."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.core.learning.dataset import Dataset
from napari_unet.core.scoring.confidence import Tally
from napari_unet.network.model import Model

if TYPE_CHECKING:
    from torch import Tensor

    from napari_unet.network.learning.batches import BatchShape
    from napari_unet.network.unet import UNet

Tensors = Mapping[str, "Tensor"]


@dataclass(frozen=True, slots=True, eq=False)
class LearnerState:
    """What a `Learner` has become; all tensors are on the CPU."""

    updates: int  # steps that changed the weights: those with a finite loss
    # state dicts of the network as the last step left it, and of its running average
    network: Tensors
    average: Tensors
    # running means of the gradient and of its square, which AdamW keeps for every parameter
    first_moment: Tensors
    second_moment: Tensors
    anchor: Tensors  # the weights that it is pulled back to; empty where it is not
    loss_scale: float  # of the gradient scaler of float16 training
    scale_growth: int  # the steps since that last changed


@dataclass(frozen=True, slots=True, eq=False)
class Best:
    """The network that will be kept: its weights, its step, and the best result so far.

    Of two networks that are as good the later is kept, so its own result may be a little lower.
    """

    weights: Tensors
    step: int
    highest: Tally


@dataclass(frozen=True, slots=True, eq=False)
class TrainingState:
    """A training between two steps."""

    step: int  # steps made so far, in all sessions
    learner: LearnerState
    # state of the numpy generator that draws patches, as its `bit_generator` gives it
    patch_rng: Mapping[str, Any]
    augment_rng: "Tensor"  # state of the torch generator that augments them, uint8
    # the best network of the validations that a longer training would have made as well, without the one
    # made because training stopped
    best: Best | None
    data: str  # `fingerprint` of what was trained on


def fingerprint(dataset: Dataset, shape: "BatchShape", seed: int) -> str:
    """Return a checksum of all that scores depend on: equal where the scores of two trainings compare."""
    digest = sha256(repr((shape, seed, dataset.n_classes, dataset.on)).encode())
    for sample in dataset.samples:
        maps = (sample.target, sample.weight, sample.held_out, sample.strokes, sample.distance)
        for array in (sample.image, *(values for values in maps if values is not None)):
            digest.update(repr(array.shape).encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def reason_against(state: TrainingState, start: Model, network: "UNet", mode: str) -> str:
    """Return why a training of ``network`` cannot go on from ``state``, in a sentence; "" if it can.

    Parameters
    ----------
    state : TrainingState
    start : Model
        The model that the state is said to belong to.
    network : UNet
        What is to be trained: that of ``start``, fitted to these images and this paint.
    mode : {"objects", "classes"}
        What the paint means.
    """
    learner, weights = state.learner, _shapes(network.state_dict())
    parameters = _shapes(dict(network.named_parameters()))
    if state.step != start.history.steps:
        reason = f"The training state is of step {state.step} and the model of step {start.history.steps}"
    elif start.mode != mode:
        reason = f"The model has learnt {start.mode} and this paint is of {mode}"
    elif (
        any(_shapes(tensors) != weights for tensors in (learner.network, learner.average))
        or any(_shapes(tensors) != parameters for tensors in (learner.first_moment, learner.second_moment))
        or _shapes(learner.anchor).items() - parameters.items()
        or (state.best is not None and _shapes(state.best.weights) != weights)
    ):
        reason = "The training state does not fit these channels or classes"
    else:
        return ""
    return f"{reason}; training starts from the weights alone."


def _shapes(tensors: Tensors) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}

"""How a starter is trained: batches of views, a schedule, and checkpoints.

The batch of a step depends only on the seed and the number of the step, so that a training that was killed
continues from its last checkpoint as if nothing had happened.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import cos, pi
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from library import Library, choose_views, cut_batch
from napari_unet import load_model, save_model
from napari_unet.core.instances import InstanceConfig
from napari_unet.files.networks.states import load_state, save_state
from napari_unet.network.augment import Batch
from napari_unet.network.config import AugmentationConfig, TrainingConfig, UNetConfig
from napari_unet.network.device import choose_precision, describe_device
from napari_unet.network.learning.learner import Learner
from napari_unet.network.learning.state import TrainingState
from napari_unet.network.learning.transfer import fresh_network
from napari_unet.network.model import History, Model
from napari_unet.network.record import Record
from napari_unet.network.unet import UNet
from views import OBJECT_SIZE, WEIGHTS

_WARM_UP = 100

_CERTAIN = 0.95
"""After long training, probabilities vary inside objects, which must not be split there."""

_SEEN = 16
"""Batches for measuring batch normalisation whenever the model is written."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The numbers of a training.

    Parameters
    ----------
    steps : int, optional
    minutes : float, optional
        Limits for all sessions together. The first one reached ends the training; one must be given.
    seed : int
    leave_out : tuple of str
        Kinds of real images that are not trained on.
    drawn : float
        Part of the patches that shows drawn micrographs; all, if no kind of real images is left.
    batch, patch : int
        Patches per step and their edge in pixels.
    tail : float
        Last part of the training, in which the rate falls to zero; 0 keeps it constant.
    network, augmentation, learning_rate
        As in the product.
    """

    steps: int | None = None
    minutes: float | None = None
    seed: int = 0
    leave_out: tuple[str, ...] = ()
    drawn: float = 0.5
    batch: int = 4
    patch: int = 128
    tail: float = 0.35
    learning_rate: float = 3e-3
    network: UNetConfig = field(default_factory=lambda: UNetConfig(distance=True))
    augmentation: AugmentationConfig = field(
        default_factory=lambda: AugmentationConfig(brightness=0.15, contrast=0.3, gamma=0.4, noise=0.08)
    )

    def progress(self, step: int, seconds: float) -> float:
        """Return the part of the training that is done, in [0, 1]."""
        parts = [step / self.steps] if self.steps else []
        parts += [seconds / 60 / self.minutes] if self.minutes else []
        return min(max(parts, default=0.0), 1.0)

    def rate(self, step: int, seconds: float) -> float:
        """Return the part of the peak learning rate: rising, then constant, finally falling as a cosine."""
        left = (1 - self.progress(step, seconds)) / self.tail if self.tail else 1.0
        return min(step / _WARM_UP, 1.0) * (1.0 if left >= 1 else 0.5 - 0.5 * cos(pi * max(left, 0.02)))


def draw_batch(library: Library, recipe: Recipe, step: int) -> Batch:
    """Return the batch of a step."""
    rng = np.random.default_rng([recipe.seed, 1, step])
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    views = choose_views(library, recipe.batch, rng, drawn=recipe.drawn, leave_out=recipe.leave_out)
    return cut_batch(library, views, rng, generator, edge=recipe.patch, config=recipe.augmentation)


@dataclass(frozen=True, slots=True)
class Progress:
    """Sent from time to time: the mean loss of the steps since the last time."""

    step: int
    seconds: float
    loss: float


def train_starter(
    recipe: Recipe,
    library: Library,
    output: Path,
    *,
    resume: bool = False,
    start: Model | None = None,
    checkpoint_every: int = 250,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Progress]:
    """Train and write the model to ``output``, and beside it everything needed to continue.

    Parameters
    ----------
    recipe : Recipe
    library : Library
        Training runs on its device.
    output : Path
    resume : bool
        Continue from ``output`` and the state beside it, if they exist.
    start : Model, optional
        Begin with these weights.
    checkpoint_every : int
        Steps between two checkpoints.
    stopped : callable
        Called after every step; True ends the training.
    """
    device = library.image.device
    precision = choose_precision(device)
    network = fresh_network(recipe.network, recipe.seed)
    if start is not None:
        network.load_state_dict(dict(start.weights))
    learner = Learner(
        network, device=device, precision=precision, learning_rate=recipe.learning_rate, seed=recipe.seed
    )
    step, earlier = 0, History()
    if resume and output.exists():
        model = load_model(output)
        state = load_state(model, output)
        if state is not None:
            learner.load(state.learner, state.step)
            step, earlier = state.step, model.history
    record, began = Record(earlier), perf_counter() - earlier.seconds
    losses: list[float] = []

    def write() -> None:
        learner.calibrate([draw_batch(library, recipe, step + ahead).image for ahead in range(_SEEN)])
        seconds = perf_counter() - began
        history = record.history(best_step=step, steps=step, seconds=seconds, device=describe_device(device))
        model = _model(recipe, learner.weights(), network, history)
        save_model(model, output)
        save_state(_state(recipe, learner, step), model, output)

    done = False
    while not done:
        step += 1
        seconds = perf_counter() - began
        loss = learner.step(*draw_batch(library, recipe, step), rate=recipe.rate(step, seconds))
        if loss is not None:
            losses.append(loss)
            record.add_loss(step, seconds, loss)
        done = recipe.progress(step, perf_counter() - began) >= 1 or stopped()
        if done or step % checkpoint_every == 0:
            write()
        if done or step % 50 == 0:
            yield Progress(step, perf_counter() - began, float(np.mean(losses)) if losses else float("nan"))
            losses.clear()


def _model(recipe: Recipe, weights: dict[str, torch.Tensor], network: UNet, history: History) -> Model:
    training = TrainingConfig(
        network=network.config,
        augmentation=recipe.augmentation,
        weights=WEIGHTS,
        learning_rate=recipe.learning_rate,
        patch_size=recipe.patch,
        batch_size=recipe.batch,
        seed=recipe.seed,
        held_out=0.0,
    )
    return Model(
        network=network.config,
        weights=weights,
        normalisation=training.normalisation,
        mode="objects",
        class_names=("background", "object"),
        training=training,
        history=history,
        instances=InstanceConfig(min_size=30, certain=_CERTAIN),
        object_size=OBJECT_SIZE,
    )


def _state(recipe: Recipe, learner: Learner, step: int) -> TrainingState:
    return TrainingState(
        step=step,
        learner=learner.state(),
        # Not used: the batch of a step follows from its number.
        patch_rng=np.random.default_rng(recipe.seed).bit_generator.state,
        augment_rng=torch.Generator().manual_seed(recipe.seed).get_state(),
        best=None,
        data="",
    )

"""How a starter is trained: a pool of views, batches out of it, a schedule, and checkpoints.

What a step sees follows from the seed and its number alone, so a training that was killed goes on from its
last checkpoint as if it had not been.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import cos, pi
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from napari_unet import load_model, save_model
from napari_unet.core.dataset import Dataset, Sample
from napari_unet.core.instances import InstanceConfig
from napari_unet.core.patches import draw_patch
from napari_unet.files.states import load_state, save_state
from napari_unet.network.augment import Batch, augment, source_margin
from napari_unet.network.batches import stack
from napari_unet.network.config import AugmentationConfig, TrainingConfig, UNetConfig
from napari_unet.network.device import choose_device, choose_precision, describe_device
from napari_unet.network.learner import Learner
from napari_unet.network.model import History, Model
from napari_unet.network.record import Record
from napari_unet.network.state import TrainingState
from napari_unet.network.transfer import fresh_network
from napari_unet.network.unet import UNet
from real_images import RealImage, shares
from views import OBJECT_SIZE, WEIGHTS, real_view, synthetic_view

_WARM_UP = 100
_TOTAL = 10**9

_SEEN = 16
"""Batches by which batch normalisation is measured whenever the model is written."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The numbers of a training.

    Parameters
    ----------
    steps : int, optional
    minutes : float, optional
        Of all sessions together. The first of both to be reached ends the training; one must be given.
    seed : int
    leave_out : tuple of str
        Kinds of real images that are not trained on.
    synthetic : float
        Part of the views that is synthetic; 1 where there are no real images.
    batch, patch : int
        Patches per step and their edge in pixels.
    pool : int
        Views to draw patches from; a new one takes the place of the oldest at every other step.
    tail : float
        Last part of the training, in which the rate falls to nothing; 0 keeps it up.
    network, augmentation, learning_rate
        As in the product.
    """

    steps: int | None = None
    minutes: float | None = None
    seed: int = 0
    leave_out: tuple[str, ...] = ()
    synthetic: float = 0.5
    batch: int = 4
    patch: int = 128
    pool: int = 96
    tail: float = 0.35
    learning_rate: float = 3e-3
    network: UNetConfig = field(default_factory=lambda: UNetConfig(distance=True))
    augmentation: AugmentationConfig = field(
        default_factory=lambda: AugmentationConfig(brightness=0.15, contrast=0.3, gamma=0.4, noise=0.08)
    )

    def progress(self, step: int, seconds: float) -> float:
        """Return how much of the training is done, in [0, 1]."""
        parts = [step / self.steps] if self.steps else []
        parts += [seconds / 60 / self.minutes] if self.minutes else []
        return min(max(parts, default=0.0), 1.0)

    def rate(self, step: int, seconds: float) -> float:
        """Return the part of the peak learning rate: rising, then constant, at last falling as a cosine."""
        left = (1 - self.progress(step, seconds)) / self.tail if self.tail else 1.0
        return min(step / _WARM_UP, 1.0) * (1.0 if left >= 1 else 0.5 - 0.5 * cos(pi * max(left, 0.02)))


class Pool:
    """The views that patches are drawn from at a step; the same whenever it is made.

    Parameters
    ----------
    recipe : Recipe
    images : list of RealImage
    """

    def __init__(self, recipe: Recipe, images: list[RealImage]) -> None:
        self._recipe = recipe
        self._views: deque[Sample] = deque(maxlen=recipe.pool)
        self._next: int | None = None
        kinds = shares(recipe.leave_out)
        self._kinds = list(kinds)
        self._shares = list(kinds.values())
        self._images = {kind: [image for image in images if image.kind == kind] for kind in kinds}

    def at(self, step: int) -> list[Sample]:
        """Return the views of a step, made as far as they are not there yet."""
        stop = self._recipe.pool + step // 2
        start = stop - self._recipe.pool if self._next is None else self._next
        self._views.extend(self._view(number) for number in range(start, stop))
        self._next = stop
        return list(self._views)

    def _view(self, number: int) -> Sample:
        rng = np.random.default_rng([self._recipe.seed, 0, number])
        if not self._kinds or rng.random() < self._recipe.synthetic:
            return synthetic_view(rng)
        return real_view(self._images[self._kinds[int(rng.choice(len(self._kinds), p=self._shares))]], rng)


def draw_batch(views: list[Sample], recipe: Recipe, step: int) -> Batch:
    """Return the batch of a step."""
    rng = np.random.default_rng([recipe.seed, 1, step])
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    size = (recipe.patch, recipe.patch)
    dataset = Dataset(samples=tuple(views), in_channels=1, n_classes=2, known_pixels=_TOTAL)
    margin = source_margin(size, recipe.augmentation)
    patches = [draw_patch(dataset, size, rng, margin=margin) for _ in range(recipe.batch)]
    image, target, weight, distance = stack(patches, torch.device("cpu"))
    return augment(
        image, target, weight, size, config=recipe.augmentation, generator=generator, distance=distance
    )


@dataclass(frozen=True, slots=True)
class Progress:
    """Told now and then: the mean loss of the steps since the last time."""

    step: int
    seconds: float
    loss: float


def train_starter(
    recipe: Recipe,
    images: list[RealImage],
    output: Path,
    *,
    resume: bool = False,
    start: Model | None = None,
    checkpoint_every: int = 250,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Progress]:
    """Train and write the model to ``output``, with all that is needed to go on beside it.

    Parameters
    ----------
    recipe, images
        ``images`` as :func:`real_images.load_images` returns them.
    output : Path
    resume : bool
        Go on from ``output`` and the state beside it, if they are there.
    start : Model, optional
        Begin with these weights.
    checkpoint_every : int
        Steps between two checkpoints.
    stopped : callable
        Asked after every step; True ends the training.
    """
    device = choose_device("auto")
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
    record, began, pool = Record(earlier), perf_counter() - earlier.seconds, Pool(recipe, images)
    losses: list[float] = []

    def write() -> None:
        learner.settle([draw_batch(pool.at(step), recipe, step + ahead).image for ahead in range(_SEEN)])
        seconds = perf_counter() - began
        history = record.history(best_step=step, steps=step, seconds=seconds, device=describe_device(device))
        model = _model(recipe, learner.weights(), network, history)
        save_model(model, output)
        save_state(_state(recipe, learner, step), model, output)

    done = False
    while not done:
        step += 1
        seconds = perf_counter() - began
        batch = draw_batch(pool.at(step), recipe, step)
        batch = Batch(*(None if part is None else part.to(device) for part in batch))
        loss = learner.step(*batch, rate=recipe.rate(step, seconds))
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
        instances=InstanceConfig(min_size=40),
        object_size=OBJECT_SIZE,
    )


def _state(recipe: Recipe, learner: Learner, step: int) -> TrainingState:
    return TrainingState(
        step=step,
        learner=learner.state(),
        # Not used: what a step sees follows from its number.
        patch_rng=np.random.default_rng(recipe.seed).bit_generator.state,
        augment_rng=torch.Generator().manual_seed(recipe.seed).get_state(),
        best=None,
        data="",
    )

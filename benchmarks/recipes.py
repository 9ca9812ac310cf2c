"""How RootPainter and nnU-Net would train our network on the same paint.

Only the recipe is theirs: patches, loss, optimiser, schedule, and the choice of weights. The U-Net, its
start, precision, patch and batch size, the reading of the paint (including seams between touching objects)
and the resampling of patches are ours, so that all do the same number of steps in a second. Their own
networks are larger and normalise by groups (RootPainter) or instances (nnU-Net); here all have batch norm.

RootPainter (Smith et al., New Phytologist 2022): random patches with at least one painted pixel; Dice + 0.3
cross-entropy with logits set to 0 where nothing is painted; SGD 0.01, Nesterov momentum 0.99; the weights
with the highest F1 on its validation paint. We validate every 25 steps, not once in 612 patches, which would
be too rare in a few hundred steps.

nnU-Net v2 (Isensee et al., Nature Methods 2021), with its ignore label: patches centred on annotated pixels,
every third on a foreground pixel; Dice and cross-entropy over annotated pixels; SGD 0.01, Nesterov momentum
0.99, weight decay 3e-5, gradients clipped to 12, polynomial decay over the seconds it is given; the last
weights. No validation paint is held out. Before the last mark it is scored as if stopped half-way; for its
best result at 30 s, give it 30 s.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from annotator import Labels
from kinds import Image
from methods import Snapshot, Task
from napari_unet import predict
from napari_unet.core.borders.weight_config import WeightConfig
from napari_unet.core.learning.dataset import Dataset, Sample, join_planes
from napari_unet.core.learning.reading import DatasetConfig, read_planes
from napari_unet.core.patches import Patch, cut_patch, place_box
from napari_unet.network.augment import augment, source_margin
from napari_unet.network.config import AugmentationConfig, TrainingConfig
from napari_unet.network.device import choose_device, choose_precision
from napari_unet.network.learning.batches import BatchShape, crop_margin, plan_batches, stack
from napari_unet.network.learning.transfer import fresh_network
from napari_unet.network.learning.validation import Validation
from napari_unet.network.model import History, Model
from scoring import every_way

_RATE = 0.01
_MOMENTUM = 0.99
_FIRST_LOOK, _EVERY = 5, 25
"""Steps at which RootPainter's F1 is measured: those of our own validation."""


@dataclass(frozen=True)
class Recipe:
    """The parts of a recipe that are theirs.

    Parameters
    ----------
    draw : callable
        From the samples, the number of the patch in its batch, and a generator, to the middle of a patch: the
        index of the sample and a position.
    loss : callable
        From logits (B, 2, Y, X), target (B, Y, X) and known pixels (B, Y, X) bool.
    rate : callable
        Learning rate after a fraction in [0, 1] of the time.
    weight_decay, clip : float
    held_out : float
        Fraction of the strokes that choose the weights; 0 keeps the last.
    augmentation : AugmentationConfig
    """

    draw: Callable[[Dataset, int, tuple[int, ...], np.random.Generator], tuple[Sample, tuple[int, ...]]]
    loss: Callable[[Tensor, Tensor, Tensor], Tensor]
    rate: Callable[[float], float]
    weight_decay: float
    clip: float
    held_out: float
    augmentation: AugmentationConfig


def rootpainter_loss(logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Return Dice + 0.3 cross-entropy, both over all pixels, with logits 0 where nothing is known."""
    logits = logits.float() * known[:, None]
    target = target.long() * known
    entropy = functional.cross_entropy(logits, target)
    if not target.any():
        return 0.3 * entropy
    return rootpainter_dice(logits, target) + 0.3 * entropy


def rootpainter_dice(logits: Tensor, target: Tensor) -> Tensor:
    """Return 1 - Dice of the probability of foreground, over all pixels of the batch."""
    foreground = logits.softmax(dim=1)[:, 1]
    return 1 - 2 * (foreground * target).sum() / (foreground.sum() + target.sum())


def nnunet_loss(logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Return soft Dice of the foreground (negative, over the batch) + mean cross-entropy, on known pixels."""
    logits = logits.float()
    foreground = logits.softmax(dim=1)[:, 1][known]
    truth = target[known].float()
    smooth = 1e-5
    dice = (2 * (foreground * truth).sum() + smooth) / (foreground.sum() + truth.sum() + smooth)
    entropy = functional.cross_entropy(logits, target.long(), reduction="none")
    return entropy[known].mean() - dice


def _anywhere_with_paint(
    dataset: Dataset, _number: int, size: tuple[int, ...], rng: np.random.Generator
) -> tuple[Sample, tuple[int, ...]]:
    while True:
        sample = dataset.samples[rng.integers(len(dataset.samples))]
        corner = [
            int(rng.integers(max(length - edge, 0) + 1))
            for length, edge in zip(sample.target.shape, size, strict=True)
        ]
        box = tuple(slice(start, start + edge) for start, edge in zip(corner, size, strict=True))
        if sample.weight[box].any():
            return sample, tuple(start + edge // 2 for start, edge in zip(corner, size, strict=True))


def _on_paint(
    dataset: Dataset, number: int, _size: tuple[int, ...], rng: np.random.Generator
) -> tuple[Sample, tuple[int, ...]]:
    sample = dataset.samples[rng.integers(len(dataset.samples))]
    pixels = sample.pixels[1] if number % 3 == 0 and sample.pixels[1].size else np.concatenate(sample.pixels)
    position = np.unravel_index(pixels[rng.integers(pixels.size)], sample.target.shape)
    return sample, tuple(int(index) for index in position)


ROOTPAINTER = Recipe(
    draw=_anywhere_with_paint,
    loss=rootpainter_loss,
    rate=lambda _: _RATE,
    weight_decay=0.0,
    clip=float("inf"),
    held_out=0.2,
    augmentation=AugmentationConfig(colour=0.0),
)

NNUNET = Recipe(
    draw=_on_paint,
    loss=nnunet_loss,
    rate=lambda fraction: _RATE * (1 - min(fraction, 1.0)) ** 0.9,
    weight_decay=3e-5,
    clip=12.0,
    held_out=0.0,
    augmentation=AugmentationConfig(elastic=0.0, scale=0.4, colour=0.0),
)


def rootpainter(task: Task) -> Iterator[Snapshot]:
    """Train as RootPainter does."""
    return train_by(ROOTPAINTER, task)


def nnunet(task: Task) -> Iterator[Snapshot]:
    """Train as nnU-Net does."""
    return train_by(NNUNET, task)


def train_by(recipe: Recipe, task: Task) -> Iterator[Snapshot]:
    """Train with a recipe and yield its model at every mark."""
    run = _Run(recipe, task)
    task.clock.restart()
    for mark in task.marks:
        while task.clock.seconds < mark:
            run.step(task.clock.seconds / task.marks[-1])
        with task.clock.paused():
            yield Snapshot((mark,), run.segmenter(), run.steps)


class _Run:
    """A network in training with a recipe."""

    def __init__(self, recipe: Recipe, task: Task) -> None:
        self._recipe = recipe
        self._settings = task.settings
        self._device = choose_device("auto")
        config = replace(task.settings.training, augmentation=recipe.augmentation, seed=task.seed)
        dataset_config = DatasetConfig(
            ndim=2,
            mode="objects",
            channels="auto",
            weights=WeightConfig(w0=0.0, class_balance="none"),
            normalisation=config.normalisation,
            held_out=recipe.held_out,
            spacing=None,
            seed=task.seed,
        )
        paints = [painted.paint for painted in task.painted]
        dataset = join_planes(read_planes(task.images, paints, dataset_config), dataset_config)
        shape = replace(config.network, in_channels=dataset.in_channels, classes=dataset.n_classes)
        self._config: TrainingConfig = replace(config, network=shape)
        # A sample without paint to train on is never drawn.
        self._dataset = replace(
            dataset, samples=tuple(sample for sample in dataset.samples if sample.weight.any())
        )
        self._network = fresh_network(shape, task.seed).to(self._device)
        self._network = self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._precision = choose_precision(self._device, config.precision)
        self._optimiser = torch.optim.SGD(
            self._network.parameters(),
            lr=_RATE,
            momentum=_MOMENTUM,
            nesterov=True,
            weight_decay=recipe.weight_decay,
        )
        self._shape: BatchShape = plan_batches(
            self._dataset, replace(self._config, network=shape), self._device
        )
        self._validation = Validation(dataset, self._shape, self._device)
        self._rng = np.random.default_rng(task.seed)
        self._generator = torch.Generator().manual_seed(task.seed)
        self._best: dict[str, Tensor] = {}
        self._best_score = 0.0
        self._paints = [painted.paint for painted in task.painted]
        self.steps = 0

    def step(self, fraction: float) -> None:
        """Train on one batch, at this fraction of the time."""
        self.steps += 1
        image, target, weight = self._batch()
        self._network.train()
        self._optimiser.zero_grad(set_to_none=True)
        with self._autocast():
            logits = self._network(image.contiguous(memory_format=torch.channels_last))
        known = weight > 0
        if known.any():  # a transform may move the only painted pixel out of the patch
            loss = self._recipe.loss(logits, target, known)
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(self._network.parameters(), self._recipe.clip)
            for group in self._optimiser.param_groups:
                group["lr"] = self._recipe.rate(fraction)
            self._optimiser.step()
        if self._recipe.held_out and (self.steps == _FIRST_LOOK or self.steps % _EVERY == 0):
            self._keep_best()

    def segmenter(self) -> Callable[[Image], dict[str, Labels]]:
        """Return a function that segments an image with the model that a stop would give."""
        config = self._config
        model = Model(
            network=config.network,
            weights=self._best or self._weights(),
            normalisation=config.normalisation,
            mode="objects",
            class_names=("background", "object"),
            training=config,
            history=History(),
        )
        settings = self._settings.prediction
        return lambda image: every_way(predict(model, image, settings).probabilities[1], self._paints)

    def _batch(self) -> tuple[Tensor, Tensor, Tensor]:
        shape, recipe = self._shape, self._recipe
        around = source_margin(shape.seen, recipe.augmentation)
        margin = [extra + more for extra, more in zip(shape.margin, around, strict=True)]
        patches: list[Patch] = []
        for number in range(shape.patches):
            sample, middle = recipe.draw(self._dataset, number, shape.taught, self._rng)
            box = place_box(middle, shape.taught, sample.target.shape)
            patches.append(cut_patch(sample, sample.weight, box, margin))
        image, target, weight, _ = stack(patches, self._device)
        view = augment(
            image, target, weight, shape.seen, config=recipe.augmentation, generator=self._generator
        )
        return crop_margin(view, shape)[:3]

    def _keep_best(self) -> None:
        # F1 = 2 IoU / (1 + IoU), so both choose the same; at IoU 0, F1 is NaN and hence never better.
        score = self._validation.tally(self._predict).score
        if score > self._best_score:
            self._best_score, self._best = score, self._weights()

    @torch.no_grad()
    def _predict(self, image: Tensor) -> Tensor:
        self._network.eval()
        with self._autocast():
            logits: Tensor = self._network(image)
        return logits.float()

    def _autocast(self) -> Any:
        enabled = self._precision != torch.float32
        return torch.autocast(self._device.type, dtype=self._precision, enabled=enabled)

    def _weights(self) -> dict[str, Tensor]:
        return {
            name: value.detach().to("cpu").contiguous().clone(memory_format=torch.contiguous_format)
            for name, value in self._network.state_dict().items()
        }

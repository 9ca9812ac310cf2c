"""How good the network is by now, on the same few crops throughout a training."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_unet.core.dataset import Dataset
from napari_unet.core.patches import Patch, cut_patch, place_box
from napari_unet.network.batches import BatchShape, crop_margin, stack
from napari_unet.network.loss import weighted_cross_entropy

_CROPS = 8


class Validation:
    """Fixed crops around the held-out paint; around the training paint, if none is held out.

    Parameters
    ----------
    dataset : Dataset
    shape : BatchShape
        Size of the crops and how many are predicted together.
    device : torch.device
    seed : int
        Seeds the choice of the crops.
    """

    def __init__(self, dataset: Dataset, shape: BatchShape, device: torch.device, seed: int) -> None:
        self.on: Literal["held-out", "training"] = (
            "held-out" if any(sample.held_out.any() for sample in dataset.samples) else "training"
        )
        self._classes = dataset.n_classes
        crops = _choose_crops(dataset, shape, self.on, np.random.default_rng(seed))
        self._batches = []
        for first in range(0, len(crops), shape.patches):
            image, target, weight = stack(crops[first : first + shape.patches], device)
            self._batches.append((image, crop_margin(target, shape), crop_margin(weight, shape)))

    def score(self, predict: Callable[[Tensor], Tensor]) -> tuple[float, float]:
        """Return the mean intersection over union of the classes other than background, and the loss.

        Parameters
        ----------
        predict : callable
            From images (B, C, …YX) to logits (B, K, …YX).

        Returns
        -------
        score : float
            In [0, 1], over the known pixels; classes with neither paint nor prediction do not count, and 1 if
            there are no others.
        loss : float
            Weighted cross-entropy of all crops together.
        """
        confusion = torch.zeros(self._classes * self._classes, dtype=torch.int64)
        loss = total = 0.0
        for image, target, weight in self._batches:
            logits = predict(image)
            share = float(weight.sum())
            loss += float(weighted_cross_entropy(logits, target, weight)) * share
            total += share
            known = weight > 0
            pairs = target[known].long() * self._classes + logits.argmax(dim=1)[known]
            confusion += torch.bincount(pairs, minlength=confusion.numel()).cpu()
        return mean_iou(confusion.reshape(self._classes, self._classes).numpy()), loss / max(total, 1e-30)


def mean_iou(confusion: NDArray[np.int64]) -> float:
    """Return the mean intersection over union of all classes but the first, of counts (truth, prediction)."""
    hits = np.diagonal(confusion)[1:]
    unions = (confusion.sum(axis=0) + confusion.sum(axis=1))[1:] - hits
    present = unions > 0
    return float(np.mean(hits[present] / unions[present])) if present.any() else 1.0


def _choose_crops(
    dataset: Dataset, shape: BatchShape, on: Literal["held-out", "training"], rng: np.random.Generator
) -> list[Patch]:
    """Return up to 8 crops, around a pixel of one class after the other; no pixel counts twice."""
    samples, classes = dataset.samples, dataset.n_classes
    maps = [sample.held_out if on == "held-out" else sample.weight for sample in samples]
    # For each sample and class, the pixels that no crop shows yet.
    left = [
        list(sample.pixels) if on == "training" else _pixels_of_each_class(sample.target, weight, classes)
        for sample, weight in zip(samples, maps, strict=True)
    ]
    crops: list[Patch] = []
    for number in range(_CROPS):
        # The class whose turn it is, or else the next one that has pixels left.
        turn = [(number + step) % classes for step in range(classes)]
        candidates = next(
            (
                found
                for value in turn
                if (found := [(n, value) for n in range(len(left)) if left[n][value].size])
            ),
            None,
        )
        if candidates is None:
            break
        index, value = candidates[rng.integers(len(candidates))]
        sample, pixels = samples[index], left[index][value]
        middle = np.unravel_index(pixels[rng.integers(pixels.size)], sample.target.shape)
        box = place_box([int(position) for position in middle], shape.taught, sample.target.shape)
        crops.append(cut_patch(sample, maps[index], box, shape.margin))
        # Copied, and only for the few samples that are shown: the map itself belongs to the training.
        maps[index] = maps[index].copy()
        maps[index][tuple(slice(max(cut.start, 0), cut.stop) for cut in box)] = 0
        left[index] = _pixels_of_each_class(sample.target, maps[index], classes)
    return crops


def _pixels_of_each_class(
    target: NDArray[np.uint8], weight: NDArray[np.float32], classes: int
) -> list[NDArray[np.intp]]:
    """Return for each class the flat indices of the pixels with weight."""
    known = np.flatnonzero(weight)
    values = target.ravel()[known]
    return [known[values == value] for value in range(classes)]

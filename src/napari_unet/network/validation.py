"""How good the network is by now: its errors on every stroke that is scored, on the same crops throughout."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_unet.core.confidence import Tally
from napari_unet.core.dataset import Dataset, ScoredOn
from napari_unet.core.patches import Patch, cut_patch, place_box, read_padded
from napari_unet.network.batches import BatchShape, crop_margin, stack
from napari_unet.network.loss import weighted_cross_entropy

INTERVAL = 25
"""Steps between validations; steps, not seconds, so that the same seed validates at the same ones."""

_COST = 0.05
"""Part of the training time that validation may take."""

_STEP = 3
"""A step costs as much as so many predictions of its patches: forward, and twice that backward."""


class Validation:
    """Fixed crops around the paint that is scored: all of it, if a twentieth of the training time allows.

    Parameters
    ----------
    dataset : Dataset
        Its held-out paint is scored; its training paint, where nothing is held out.
    shape : BatchShape
        Size of the crops and how many are predicted together.
    device : torch.device
    """

    def __init__(self, dataset: Dataset, shape: BatchShape, device: torch.device) -> None:
        self.on: ScoredOn = dataset.on
        self._classes = dataset.n_classes
        crops = list(_choose_crops(dataset, shape, most=crop_budget(shape.patches)))
        numbers, indices = np.unique(np.stack([strokes for _, strokes in crops]), return_inverse=True)
        # Numbered anew, for there may be thousands of strokes and few in the crops; 0 is no stroke.
        self.strokes = int(np.count_nonzero(numbers))
        self._has_gaps = numbers[0] == 0
        indices = indices.reshape(len(crops), *shape.taught)
        self._batches = []
        for first in range(0, len(crops), shape.patches):
            part = slice(first, first + shape.patches)
            image, target, weight, _ = stack([patch for patch, _ in crops[part]], device)
            strokes = torch.from_numpy(indices[part]).to(device)
            self._batches.append((image, crop_margin(target, shape), crop_margin(weight, shape), strokes))

    def tally(self, predict: Callable[[Tensor], Tensor]) -> Tally:
        """Return how the network does that ``predict`` is, from images (B, C, …YX) to logits (B, K, …YX)."""
        size = self._classes**2
        counts = torch.zeros((self.strokes + self._has_gaps) * size, dtype=torch.int64)
        loss = total = 0.0
        for image, target, weight, strokes in self._batches:
            logits = predict(image)
            share = float(weight.sum())
            loss += float(weighted_cross_entropy(logits, target, weight)) * share
            total += share
            known = weight > 0
            pairs = target[known].long() * self._classes + logits.argmax(dim=1)[known]
            counts += torch.bincount(strokes[known] * size + pairs, minlength=counts.numel()).cpu()
        confusions = counts.reshape(-1, self._classes, self._classes).numpy()
        return Tally(confusions[int(self._has_gaps) :], loss / max(total, 1e-30))


def crop_budget(patches: int) -> int:
    """Return how many crops may be scored every ``INTERVAL`` steps of so many patches each."""
    return max(1, int(_COST * _STEP * INTERVAL * patches))


def _choose_crops(
    dataset: Dataset, shape: BatchShape, *, most: int
) -> Iterator[tuple[Patch, NDArray[np.int32]]]:
    """Yield crops with the strokes in them, until all paint is in one or there are ``most``.

    The images take turns, in each the classes do, and in each class the strokes that no crop shows yet, those
    with the most pixels first. No pixel counts twice.
    """
    # What no crop shows yet, of the samples that have something to show.
    left = [
        (sample, np.where(sample.weight if dataset.on == "training" else sample.held_out, sample.strokes, 0))
        for sample in dataset.samples
    ]
    left = [(sample, strokes) for sample, strokes in left if strokes.any()]
    crops = 0
    while left and crops < most:
        turn = crops % dataset.n_classes
        for sample, strokes in list(left[: most - crops]):
            middle = _next_middle(sample.target, strokes, turn, dataset.n_classes)
            box = place_box(middle, shape.taught, strokes.shape)
            weight = sample.weight if dataset.on == "training" else sample.held_out
            shown = read_padded(strokes, box)
            patch = cut_patch(sample, weight, box, shape.margin)
            taught = tuple(
                slice(extra, extra + edge) for extra, edge in zip(shape.margin, shape.taught, strict=True)
            )
            patch.weight[taught] *= shown > 0
            strokes[tuple(slice(max(cut.start, 0), cut.stop) for cut in box)] = 0
            yield patch, shown
            crops += 1
        left = [(sample, strokes) for sample, strokes in left if strokes.any()]


def _next_middle(
    target: NDArray[np.uint8], strokes: NDArray[np.int32], turn: int, n_classes: int
) -> list[int]:
    """Return a pixel in the midst of the largest stroke of the class whose turn it is, or of the next one."""
    flat = np.flatnonzero(strokes)
    late = (target.ravel()[flat].astype(np.int64) - turn) % n_classes
    flat = flat[late == late.min()]
    numbers = strokes.ravel()[flat]
    found, counts = np.unique(numbers, return_counts=True)
    of_stroke = flat[numbers == found[counts.argmax()]]
    middle = np.unravel_index(of_stroke[of_stroke.size // 2], strokes.shape)
    return [int(position) for position in middle]

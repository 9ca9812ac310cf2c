"""How good the network is by now: its errors on every scored stroke, on the same crops throughout."""

from collections.abc import Callable, Iterator
from math import prod
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_unet.core.arrays.boxes import Box
from napari_unet.core.errors import InputError
from napari_unet.core.learning.dataset import Dataset, Sample, ScoredOn
from napari_unet.core.patches import Patch, cut_patch, place_box
from napari_unet.core.scoring.confidence import Tally
from napari_unet.network.learning.batches import BatchShape, crop_margin, stack
from napari_unet.network.learning.loss import weighted_cross_entropy

INTERVAL = 25
"""Steps between validations on a processor; steps, not seconds, so that the same seed validates at the same
ones."""

_COST = 0.05
"""Part of the training time that validation may take."""

_STEP = 3
"""Cost of a step in predictions of its patches: one forward, and twice that backward."""


_TOGETHER = 4
"""How many times the patches of a step a GPU predicts at once: few take as long as many."""


class _Crops(NamedTuple):
    """Crops that are predicted together, as a batch of training (B, …).

    ``total`` is the sum of their weights, ``known`` (N,) are the flat indices of pixels with weight, ``rows``
    (N,) the rows of the confusions, one for every class of every stroke, that these count in.
    """

    image: Tensor
    target: Tensor
    weight: Tensor
    total: float
    known: Tensor
    rows: Tensor


class Validation:
    """Fixed crops around the paint that is scored: all of it, if a twentieth of the training time allows.

    Parameters
    ----------
    dataset : Dataset
        Its held-out paint is scored; its training paint, where nothing is held out.
    shape : BatchShape
        Size of the crops and how many are predicted together.
    device : torch.device

    Raises
    ------
    InputError
        If none of that paint has any weight.
    """

    def __init__(self, dataset: Dataset, shape: BatchShape, device: torch.device) -> None:
        self.on: ScoredOn = dataset.on
        self._classes = dataset.n_classes
        crops = list(_choose_crops(dataset, shape, most=crop_budget(shape.patches)))
        if not crops:
            raise InputError(
                "All paint to score on has weight 0; choose weights.foreground or weights.background above 0."
            )
        strokes = np.stack([shown for _, shown in crops])
        # Numbered anew, for there may be thousands of strokes and few in the crops; 0 is no stroke.
        present = np.bincount(strokes.reshape(-1)) > 0
        self.strokes = int(np.count_nonzero(present[1:]))
        self._has_gaps = bool(present[0])
        indices = (np.cumsum(present) - 1)[strokes]
        self._batches: list[_Crops] = []
        together = shape.patches * (1 if device.type == "cpu" else _TOGETHER)
        for first in range(0, len(crops), together):
            part = slice(first, first + together)
            image, target, weight, _ = crop_margin(stack([patch for patch, _ in crops[part]], device), shape)
            known = torch.nonzero(weight.reshape(-1), as_tuple=True)[0]
            of_stroke = torch.from_numpy(indices[part]).to(device)
            rows = of_stroke.reshape(-1)[known] * self._classes + target.reshape(-1)[known]
            self._batches.append(_Crops(image, target, weight, float(weight.sum()), known, rows))

    def tally(self, predict: Callable[[Tensor], Tensor]) -> Tally:
        """Return how the network does that ``predict`` is, from images (B, C, …YX) to logits (B, K, …YX)."""
        size = (self.strokes + self._has_gaps) * self._classes**2
        counts = torch.zeros(size, dtype=torch.int64, device=self._batches[0].image.device)
        losses = []
        for crops in self._batches:
            logits = predict(crops.image)
            losses.append(weighted_cross_entropy(logits, crops.target, crops.weight))
            cells = crops.rows * self._classes + logits.argmax(dim=1).reshape(-1)[crops.known]
            counts.index_add_(0, cells, torch.ones_like(cells))
        confusions = counts.cpu().reshape(-1, self._classes, self._classes).numpy()
        # Read at the end: a GPU and the processor wait for each other at every value that is read.
        shares = [crops.total for crops in self._batches]
        loss = sum(value * share for value, share in zip(torch.stack(losses).tolist(), shares, strict=True))
        return Tally(confusions[int(self._has_gaps) :], loss / max(sum(shares), 1e-30))


def interval_on(device: torch.device) -> int:
    """Return the steps between validations: on a GPU, which makes as many in a fraction of a second, more."""
    return INTERVAL if device.type == "cpu" else 2 * INTERVAL


def crop_budget(patches: int) -> int:
    """Return how many crops may be scored every ``INTERVAL`` steps of so many patches each."""
    return max(1, int(_COST * _STEP * INTERVAL * patches))


def _choose_crops(
    dataset: Dataset, shape: BatchShape, *, most: int
) -> Iterator[tuple[Patch, NDArray[np.int32]]]:
    """Yield crops with the strokes in them, until all paint is in one or there are ``most``.

    The images take turns, in each the classes do, each image beginning with the next one, and in each class
    the strokes that no crop shows yet, those with the most pixels first. No pixel counts twice.
    """
    classes = dataset.n_classes
    unseen_in = [_Unseen(sample, dataset.on) for sample in dataset.samples]
    left = [(first, unseen) for first, unseen in enumerate(unseen_in) if unseen.flat.size]
    crops = turn = 0
    while left and crops < most:
        for first, unseen in left[: most - crops]:
            middle = unseen.middle((first + turn) % classes, classes)
            box = place_box(middle, shape.taught, unseen.sample.target.shape)
            shown = unseen.show(box)
            patch = cut_patch(unseen.sample, unseen.weight, box, shape.margin)
            taught = tuple(
                slice(extra, extra + edge) for extra, edge in zip(shape.margin, shape.taught, strict=True)
            )
            patch.weight[taught] *= shown > 0
            yield patch, shown
            crops += 1
        turn += 1
        left = [(first, unseen) for first, unseen in left if unseen.flat.size]


class _Unseen:
    """The scored pixels of a sample that no crop shows yet; nothing else of a large image is looked at.

    ``flat``, ``strokes`` and ``classes`` (N,) tell where they are, in C order, and what.
    """

    def __init__(self, sample: Sample, on: ScoredOn) -> None:
        self.sample = sample
        self.weight = sample.weight if on == "training" else sample.held_out
        flat = sample.painted.flat
        self.flat = flat[self.weight.reshape(-1)[flat] > 0]
        self.strokes = sample.strokes.reshape(-1)[self.flat]
        self.classes = sample.target.reshape(-1)[self.flat]

    def middle(self, turn: int, n_classes: int) -> list[int]:
        """Return a pixel in the midst of the largest stroke of the class whose turn it is, or of the next."""
        late = (np.arange(n_classes) - turn) % n_classes
        present = np.flatnonzero(np.bincount(self.classes, minlength=n_classes))
        chosen = self.classes == present[late[present].argmin()]
        largest = np.bincount(self.strokes[chosen]).argmax()
        of_stroke = self.flat[chosen & (self.strokes == largest)]
        middle = np.unravel_index(of_stroke[of_stroke.size // 2], self.sample.target.shape)
        return [int(position) for position in middle]

    def show(self, box: Box) -> NDArray[np.int32]:
        """Return the strokes in ``box``, 0 where there is none; these are seen from now on."""
        shape = self.sample.target.shape
        row = prod(shape[1:])
        first, last = np.searchsorted(self.flat, (max(box[0].start, 0) * row, box[0].stop * row))
        places = np.stack(np.unravel_index(self.flat[first:last], shape), axis=1)
        places -= [cut.start for cut in box]
        edges = [cut.stop - cut.start for cut in box]
        inside = np.zeros(self.flat.size, bool)
        inside[first:last] = ((places >= 0) & (places < edges)).all(axis=1)
        shown = np.zeros(edges, np.int32)
        shown[tuple(places[inside[first:last]].T)] = self.strokes[inside]
        left = ~inside
        self.flat, self.strokes, self.classes = self.flat[left], self.strokes[left], self.classes[left]
        return shown

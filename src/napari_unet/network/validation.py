"""How good the network is by now: its errors on every stroke that is scored, on the same crops throughout."""

from collections.abc import Callable, Iterator
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_unet.core.blocks import Box
from napari_unet.core.confidence import Tally
from napari_unet.core.dataset import Dataset, Sample, ScoredOn
from napari_unet.core.patches import Patch, cut_patch, place_box
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
        strokes = np.stack([shown for _, shown in crops])
        # Numbered anew, for there may be thousands of strokes and few in the crops; 0 is no stroke.
        present = np.bincount(strokes.reshape(-1)) > 0
        self.strokes = int(np.count_nonzero(present[1:]))
        self._has_gaps = bool(present[0])
        indices = (np.cumsum(present) - 1)[strokes]
        self._batches = []
        for first in range(0, len(crops), shape.patches):
            part = slice(first, first + shape.patches)
            image, target, weight, _ = stack([patch for patch, _ in crops[part]], device)
            of_stroke = torch.from_numpy(indices[part]).to(device)
            self._batches.append((image, crop_margin(target, shape), crop_margin(weight, shape), of_stroke))

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
    left = [_Unseen(sample, dataset.on) for sample in dataset.samples]
    left = [unseen for unseen in left if unseen.flat.size]
    crops = 0
    while left and crops < most:
        turn = crops % dataset.n_classes
        for unseen in left[: most - crops]:
            box = place_box(unseen.middle(turn, dataset.n_classes), shape.taught, unseen.sample.target.shape)
            shown = unseen.show(box)
            patch = cut_patch(unseen.sample, unseen.weight, box, shape.margin)
            taught = tuple(
                slice(extra, extra + edge) for extra, edge in zip(shape.margin, shape.taught, strict=True)
            )
            patch.weight[taught] *= shown > 0
            yield patch, shown
            crops += 1
        left = [unseen for unseen in left if unseen.flat.size]


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
        self.flat, self.strokes, self.classes = (
            self.flat[~inside],
            self.strokes[~inside],
            self.classes[~inside],
        )
        return shown

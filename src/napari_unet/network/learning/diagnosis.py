"""Why a training does not get anywhere, in words: what was found, what it means, what to do next.

:mod:`napari_unet.core.painted.advice` says what the paint alone cannot teach. Here is what shows in view of
the network (:func:`doubts`), or only once it has learnt for a while (:class:`Watch`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import ceil, prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from napari_unet.core.annotation import Mode
from napari_unet.core.learning.dataset import Dataset, Sample
from napari_unet.core.painted.holdout import FEWEST_STROKES
from napari_unet.core.patches import place_box
from napari_unet.core.tiling import read_mirrored
from napari_unet.network.config import TrainingConfig, UNetConfig
from napari_unet.network.events import Resolved, Warned
from napari_unet.network.geometry import seen_by
from napari_unet.network.learning.batches import BatchShape

_FIRST_LOOK = 100
"""Steps after which a network that learns has left its random start behind, average included."""

_AGAIN = 50
"""Steps after which a warning is checked again."""

_CROPS = 8
_MOST_LEVELS = 7


def doubts(dataset: Dataset, config: TrainingConfig) -> tuple[str, ...]:
    """Return, in sentences, what stands in the way before the first step.

    Parameters
    ----------
    dataset : Dataset
    config : TrainingConfig
        Of the training; its ``network`` is the one that is trained.
    """
    spans = [sample.objects.spans for sample in dataset.samples if sample.objects is not None]
    sentences = [about_size(np.concatenate(spans), config.network)] if spans else []
    if config.held_out:
        sentences.append(about_score(dataset, config.mode))
    return tuple(filter(None, sentences))


def about_size(spans: NDArray[np.intp], network: UNetConfig) -> str | None:
    """Return a warning if most objects are larger than what the network sees, or None.

    Parameters
    ----------
    spans : array (N, ndim) of int
        Length of the bounding boxes of the painted objects along every axis, in pixels.
    network : UNetConfig
    """
    if not len(spans):
        return None
    # The shorter side: a long, thin object is understood from its width.
    across = ceil(np.median(spans.min(axis=1)))
    if across <= field_of_view(network):
        return None
    deeper = (replace(network, levels=levels) for levels in range(network.levels + 1, _MOST_LEVELS + 1))
    enough = next((config for config in deeper if field_of_view(config) >= across), None)
    more = f"take {enough.levels} levels, which see {field_of_view(enough)}, or " if enough else ""
    levels = f"{network.levels} level{'s' * (network.levels != 1)}"
    return (
        f"Half of the painted objects span {across} pixels or more, and a network of {levels} sees "
        f"{field_of_view(network)} at once, so it cannot tell the inside of one from the outside; {more}"
        f"shrink the images {ceil(across / field_of_view(network))} times."
    )


def field_of_view(network: UNetConfig) -> int:
    """Return how many pixels along every axis the network sees to decide on one."""
    first, last = seen_by(network, 1)
    return last - first


def about_score(dataset: Dataset, mode: Mode) -> str | None:
    """Return a warning if the score is measured on the training paint, or None."""
    if dataset.on != "training":
        return None
    taught = [sample for sample in dataset.samples if sample.teaches]
    known = sum(sample.painted.flat.size for sample in taught)
    objects = [len(sample.objects.spans) for sample in taught if sample.objects is not None]
    is_many = not objects or sum(objects) >= FEWEST_STROKES
    if is_many and 2 * known > sum(prod(sample.painted.shape) for sample in taught):
        return (
            "Most of what is learnt from is painted, but in pieces too large to hold some out, so the "
            "score is measured on the training paint itself and says little about the rest; paint another "
            "image, and score on that one."
        )
    each = "background and objects" if mode == "objects" else "every class"
    return (
        "There is too little paint to hold some out, so the score is measured on the training paint itself "
        f"and says little about the rest; paint at least {FEWEST_STROKES} strokes each of {each}."
    )


class Watch:
    """Looks now and then at predictions of a few places, for faults that the loss does not show.

    Parameters
    ----------
    dataset : Dataset
    shape : BatchShape
        Size of the crops, and how many are predicted together.
    device : torch.device
    seed : int
        Seeds the choice of the places.
    """

    def __init__(self, dataset: Dataset, shape: BatchShape, device: torch.device, seed: int) -> None:
        self._shape = shape
        self._device = device
        self._seed = seed
        # The warning about each fault; "" after it was resolved: nothing is said twice.
        self._said: dict[str, str] = {}
        self.follow(dataset)

    def follow(self, dataset: Dataset) -> None:
        """Look at the places of another dataset from now on: the paint has changed."""
        self._dataset = dataset
        self._crops: list[tuple[NDArray[np.float32], _Places]] = []  # chosen once they are looked at
        taught = [sample for sample in dataset.samples if sample.teaches]
        objects = [sample.objects for sample in taught if sample.objects is not None]
        self._mode: Mode = "objects" if objects else "classes"
        self._shows_border = not objects or any(found.shows_border for found in objects)

    def look(self, step: int, predict: Callable[[Tensor], Tensor]) -> Iterator[Warned | Resolved]:
        """Tell which faults have appeared by ``step``, and which are gone.

        Predicts only after 100, 200, 400, 800 … steps, and every 50 while something is wrong.

        Parameters
        ----------
        step : int
            Number of the step just made, from 1.
        predict : callable
            From images (B, C, …YX) to logits (B, K, …YX).
        """
        rounds, rest = divmod(step, _FIRST_LOOK)
        is_time = step > 0 and rest == 0 and rounds.bit_count() == 1
        if not (is_time or (any(self._said.values()) and step % _AGAIN == 0)):
            return
        classes = self._predict(predict)
        together = None if self._shows_border else about_borders(*self._count_joined(classes))
        now = {"one class": about_classes(classes, step, self._mode), "borders": together}
        if now["one class"]:  # where all is one object, all objects run together
            now["borders"] = self._said.get("borders")
        for fault, sentence in now.items():
            if sentence and fault not in self._said:
                self._said[fault] = sentence
                yield Warned(sentence)
            elif not sentence and self._said.get(fault):
                yield Resolved(self._said[fault])
                self._said[fault] = ""

    def _predict(self, predict: Callable[[Tensor], Tensor]) -> list[NDArray[np.intp]]:
        """Return the predicted class of every pixel of every crop."""
        if not self._crops:
            self._crops = _choose_crops(self._dataset, self._shape, np.random.default_rng(self._seed))
        classes: list[NDArray[np.intp]] = []
        patches = self._shape.patches
        for first in range(0, len(self._crops), patches):
            images = np.stack([image for image, _ in self._crops[first : first + patches]])
            classes.extend(predict(torch.from_numpy(images).to(self._device)).argmax(dim=1).cpu().numpy())
        return classes

    def _count_joined(self, classes: Sequence[NDArray[np.intp]]) -> tuple[int, int]:
        """Return how many painted objects share a predicted one, and how many are predicted at all."""
        found: set[tuple[int, int]] = set()
        joined: set[tuple[int, int]] = set()
        for predicted, (_, places) in zip(classes, self._crops, strict=True):
            regions, _ = ndimage.label(predicted)
            of_region: dict[int, set[tuple[int, int]]] = {}
            for name, place in places.items():
                if regions[place]:
                    of_region.setdefault(int(regions[place]), set()).add(name)
            for names in of_region.values():
                found |= names
                joined |= names if len(names) > 1 else set()
        return len(joined), len(found)


def about_classes(classes: Sequence[NDArray[Any]], step: int, mode: Mode) -> str | None:
    """Return a warning if all predicted classes (0 background) are the same, or None."""
    values = {int(value) for predicted in classes for value in np.unique(predicted)}
    if len(values) != 1:
        return None
    value = values.pop()
    if mode == "objects":
        taken, rarer = ("objects", "background") if value else ("background", "objects")
    else:
        taken, rarer = f"class {value + 1}" if value else "background", "the other classes"
    return (
        f"After {step} steps the network still takes everything for {taken}; paint more of {rarer}, where "
        "they are easy to tell apart, or train for longer."
    )


def about_borders(joined: int, found: int) -> str | None:
    """Return a warning if many of the ``found`` painted objects share a predicted one, or None.

    Only for paint that shows no border between two objects: where it does, the network may yet learn it.
    """
    if joined < 2 or 4 * joined < found:
        return None
    return (
        f"{joined} of {found} painted objects run together in the prediction, and the paint never "
        "shows what lies between two of them; draw a thin line of background between neighbours, or fill two "
        "that touch."
    )


_Places = dict[tuple[int, int], tuple[int, ...]]


def _choose_crops(
    dataset: Dataset, shape: BatchShape, rng: np.random.Generator
) -> list[tuple[NDArray[np.float32], _Places]]:
    """Return images (C, *seen) around painted pixels of one class after the other.

    With each comes where in the network's output the painted objects are, by numbers of sample and object.
    """
    crops = []
    for number in range(_CROPS):
        value = number % dataset.n_classes
        candidates = [n for n, sample in enumerate(dataset.samples) if sample.pixels[value].size]
        if not candidates:
            continue
        index = candidates[rng.integers(len(candidates))]
        sample = dataset.samples[index]
        middle = np.unravel_index(rng.choice(sample.pixels[value]), sample.target.shape)
        box = place_box([int(position) for position in middle], shape.taught, sample.target.shape)
        wide = [slice(cut.start - more, cut.stop + more) for cut, more in zip(box, shape.margin, strict=True)]
        places = {(index, name): place for name, place in _objects_in(sample, box).items()}
        crops.append((np.ascontiguousarray(read_mirrored(sample.image, wide)), places))
    return crops


def _objects_in(sample: Sample, box: Sequence[slice]) -> dict[int, tuple[int, ...]]:
    """Return for every painted object in the box where one of its pixels is, counted from its corner."""
    if sample.objects is None:
        return {}
    corner = [cut.start for cut in box]
    places = np.stack(np.unravel_index(sample.objects.inside, sample.target.shape), axis=1) - corner
    inside = np.all((places >= 0) & (places < [cut.stop - cut.start for cut in box]), axis=1)
    return {int(n): tuple(places[n].tolist()) for n in np.flatnonzero(inside)}

"""Objects of several classes in an image that does not fit into memory; see `block_objects.py`."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.arrays.boxes import cut_up, flat_places
from napari_unet.core.instances import InstanceConfig
from napari_unet.core.objects.block_objects import Readable, Writable, find_objects_in_blocks

_FINDING = 0.8
"""Share of the work that is finding the objects of every class; the rest is joining them."""


def find_class_objects_in_blocks(
    probabilities: Readable,
    config: InstanceConfig,
    *,
    block: Sequence[int],
    out: Writable,
    scratch: Writable | None = None,
    plane: tuple[int, ...] = (),
    used: int = 0,
    memory: int | None = None,
) -> Generator[float, None, int]:
    """Find in one plane or volume the objects of :class:`napari_unet.core.objects.prediction.Prediction`.

    Parameters
    ----------
    probabilities : array-like (K - 1, leading..., spatial...) float32
        Of every class but the background.
    scratch : array-like (leading..., spatial...) int32, optional
        Holds the objects of one class for a while; needed if there are several.
    config, block, out, plane, used, memory
        As in :func:`napari_unet.core.objects.block_objects.find_objects_in_blocks`, like what is yielded,
        returned and raised.
    """
    n_classes = probabilities.shape[0]
    if n_classes == 1:
        return (
            yield from find_objects_in_blocks(
                probabilities[0], config, block=block, out=out, plane=plane, used=used, memory=memory
            )
        )
    if scratch is None:
        raise ValueError(f"Finding the objects of {n_classes} classes needs a scratch array.")
    work = _Classes(probabilities, tuple(block), out, plane)
    highest_ids = [0]  # of the background and every class so far
    for number in range(n_classes):
        found = find_objects_in_blocks(
            probabilities[number],
            config,
            block=block,
            out=scratch if number else out,
            plane=plane,
            used=highest_ids[-1],
            memory=memory,
        )
        highest = yield from _scaled(found, _FINDING * number / n_classes, _FINDING / n_classes)
        highest_ids.append(highest)
        if number:
            work.merge(scratch, np.array(highest_ids))
    yield _FINDING
    return (yield from _scaled(work.number(highest_ids[-1], used), _FINDING, 1 - _FINDING))


def _scaled(work: Generator[float, None, int], start: float, share: float) -> Generator[float, None, int]:
    """Do some work as a share of a larger one."""
    while True:
        try:
            part = next(work)
        except StopIteration as end:
            result: int = end.value
            return result
        yield start + share * part


@dataclass(eq=False)
class _Classes:
    """Objects of several classes in one array; the class of each follows from its id."""

    probabilities: Readable
    block: tuple[int, ...]
    out: Writable
    plane: tuple[int, ...]

    def __post_init__(self) -> None:
        self.shape = tuple(self.probabilities.shape[1 + len(self.plane) :])
        self.cores = cut_up(self.shape, self.block)

    def merge(self, newest: Readable, highest_ids: NDArray[np.intp]) -> None:
        """Give the pixels of the newest class to it where it is more probable than what is there."""
        for core in self.cores:
            added = np.asarray(newest[(*self.plane, *core)])
            if not added.any():
                continue
            labels = np.array(self.out[(*self.plane, *core)])
            probability = np.asarray(self.probabilities[(slice(None), *self.plane, *core)])
            of_class = np.searchsorted(highest_ids, labels) - 1  # -1 where nothing is yet
            there = np.take_along_axis(probability, np.maximum(of_class, 0)[np.newaxis], axis=0)[0]
            # A filled hole may hold zeros, and even they win where nothing is.
            wins = (added > 0) & ((labels == 0) | (probability[len(highest_ids) - 2] > there))
            labels[wins] = added[wins]
            self.out[(*self.plane, *core)] = labels

    def number(self, highest: int, used: int) -> Generator[float, None, int]:
        """Renumber by first pixels: an object can be covered whole, and its id must leave no gap."""
        nowhere = prod(self.shape)
        first = np.full(highest + 1, nowhere)
        for number, core in enumerate(self.cores, start=1):
            labels, place = np.unique(np.asarray(self.out[(*self.plane, *core)]), return_index=True)
            sides = [part.stop - part.start for part in core]
            np.minimum.at(first, labels, flat_places(np.unravel_index(place, sides), core, self.shape))
            yield 0.5 * number / len(self.cores)
        first[0] = nowhere
        count = int(np.count_nonzero(first < nowhere))
        ids = np.zeros(highest + 1, np.int32)
        ids[np.argsort(first, kind="stable")[:count]] = used + 1 + np.arange(count)
        for number, core in enumerate(self.cores, start=1):
            self.out[(*self.plane, *core)] = ids[np.asarray(self.out[(*self.plane, *core)])]
            yield 0.5 + 0.5 * number / len(self.cores)
        return used + count

"""What a weight map says, in a sentence: how many objects touch, and how much of the loss borders carry."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import FIRST_OBJECT
from napari_unet.core.arrays.runs import runs
from napari_unet.core.borders.two_nearest import with_small_ids

TOUCHING = 0.5
"""An object touches another where the border term in or beside it is this part of w0 or more, so where the
two are up to 1.18 sigma apart: near enough for the border between them to count."""


@dataclass(frozen=True, slots=True)
class WeightReading:
    """What a weight map says."""

    touching: int  # painted objects that are next to another
    objects: int  # all painted objects
    # part, 0 to 1, of the sum of all weights, and so of the loss of a network that knows nothing yet, that is
    # border term
    border_share: float

    @property
    def sentence(self) -> str:
        """The reading in words, with what to do where there is no border."""
        if self.objects == 0:
            return "No object is painted yet, so there is no border to learn; paint a few objects."
        if self.objects == 1:
            return "Only one object is painted, so there is no border to learn; paint another near it."
        share = 100 * self.border_share
        percent = "less than 1" if 0 < share < 0.5 else f"{share:.0f}"
        if self.touching:
            verb = "touches" if self.touching == 1 else "touch"
            some = f"{self.touching} of {self.objects} objects {verb}"
            return f"{some}; borders carry {percent} % of the loss."
        return (
            f"None of {self.objects} objects touch; borders carry {percent} % of the loss. Paint objects "
            "that touch, with background between them, or choose a larger \N{GREEK SMALL LETTER SIGMA}."
        )


def count_touching(objects: NDArray[Any], border: NDArray[np.float32]) -> tuple[int, int]:
    """Return how many objects touch another, and how many there are.

    Parameters
    ----------
    objects : array (…YX) of integers
        Paint in "objects" mode, or the components of "classes" mode plus 1: every value >= 2 is one object.
    border : array (…YX) float32
        The border term of its weight map, for a w0 of 1.
    """
    objects = with_small_ids(np.where(objects >= FIRST_OBJECT, objects, 0))
    there = np.zeros(int(objects.max(initial=0)) + 1, bool)
    touching = there.copy()
    there[runs(objects)[0]] = True
    touching[objects[_grow(border >= TOUCHING)]] = True
    return int(touching[1:].sum()), int(there[1:].sum())


def _grow(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the mask and its neighbours: a preset may leave the objects themselves without border term."""
    for axis in range(mask.ndim):
        before = np.moveaxis(mask, axis, 0)
        mask = mask.copy()
        after = np.moveaxis(mask, axis, 0)
        after[1:] |= before[:-1]
        after[:-1] |= before[1:]
    return mask

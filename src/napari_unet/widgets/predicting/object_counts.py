"""How many objects were found in each plane or volume of an image."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_unet.files.pixels.world_axes import Axis


@dataclass(frozen=True, slots=True)
class ObjectCounts:
    """How many objects there are in each plane or volume of an image; ``each`` is the word for these.

    As many as ``accepted`` are not as they were predicted now, but as the user accepted them before.
    """

    numbers: tuple[int, ...]
    each: str = "plane"
    accepted: int = 0

    @classmethod
    def of(cls, objects: NDArray[np.int32], ndim: int, axes: Sequence[Axis]) -> "ObjectCounts":
        """Count ``objects`` (leading…, spatial…), which are numbered from 1 on, one plane after the other.

        Objects have ``ndim`` axes; ``axes`` are those of the image, or () if they are not known.
        """
        numbers = _numbers(objects, ndim)
        if [axis.kind for axis in axes[: len(axes) - ndim]] == ["time"]:
            return cls(numbers, "frame")
        return cls(numbers, "plane" if ndim == 2 else "volume")

    def corrected(self, objects: NDArray[np.int32], ndim: int, accepted: int) -> "ObjectCounts":
        """Return the counts with as many as ``accepted`` of the ``objects`` as the user accepted them."""
        return replace(self, numbers=_numbers(objects, ndim), accepted=accepted)


def _numbers(objects: NDArray[np.int32], ndim: int) -> tuple[int, ...]:
    parts = objects.reshape(-1, *objects.shape[objects.ndim - ndim :])
    highest = np.array([0, *(int(part.max(initial=0)) for part in parts)])
    return tuple(np.diff(np.maximum.accumulate(highest)).tolist())

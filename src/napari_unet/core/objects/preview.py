"""A coarse picture of a prediction that grows tile by tile, for those who watch.

It takes every n-th pixel, so that its cost does not grow with the image. Objects are found in each tile by
itself: the final result differs where they cross tiles, and where they are small.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, prod
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.objects.prediction import Prediction, PredictionKind
from napari_unet.core.tiling import Tile

_OF_A_PLANE = 2**20
"""Pixels of a preview of one plane or volume, at most."""

_OF_ALL = 2**26
"""Pixels of a preview of a whole stack, at most."""

_SHARE = 0.1
"""Part of the time that may go into finding its objects; beyond it, touching ones are not parted."""


@dataclass(frozen=True, slots=True, eq=False)
class PreviewPart:
    """What the preview shows of one tile: ``values`` at ``where`` in it, (leading..., spatial...)."""

    where: tuple[int | slice, ...]
    values: NDArray[Any]


class Previewer:
    """Makes the preview of one image.

    Parameters
    ----------
    shape : sequence of int
        (leading..., spatial...) of the image.
    ndim : int
        Number of its spatial axes.
    kind : {"objects", "classes", "probabilities"}
        What is shown: int32 objects, uint8 classes, or float32 probability of anything but the background.

    Attributes
    ----------
    step : int
        One of this many pixels is shown, along each spatial axis.
    steps : tuple of int
        The same for all axes: 1 along the leading ones.
    shape : tuple of int
        Of the preview, (leading..., spatial...).
    """

    def __init__(self, shape: Sequence[int], ndim: int, kind: PredictionKind) -> None:
        leading, spatial = tuple(shape[:-ndim]), tuple(shape[-ndim:])
        most = max(1.0, min(_OF_A_PLANE, _OF_ALL / prod(leading)))
        self.step = max(1, ceil((prod(spatial) / most) ** (1 / ndim)))
        self.steps = (1,) * len(leading) + (self.step,) * ndim
        self.shape = (*leading, *(-(-size // self.step) for size in spatial))
        self.kind = kind
        self._began = perf_counter()
        self._spent = 0.0
        self._used = 0

    def part(self, plane: tuple[int, ...], tile: Tile, prediction: Prediction) -> PreviewPart | None:
        """Return the preview of a tile, or None if it is too small for one.

        Parameters
        ----------
        plane : tuple of int
            Index along the leading axes.
        tile : Tile
        prediction : Prediction
            Of what the tile writes.
        """
        coarse = tuple(slice(-(-part.start // self.step), -(-part.stop // self.step)) for part in tile.write)
        if any(part.start >= part.stop for part in coarse):
            return None
        within: tuple[Any, ...] = tuple(
            slice(of_coarse.start * self.step - part.start, None, self.step)
            for of_coarse, part in zip(coarse, tile.write, strict=True)
        )
        probabilities = np.ascontiguousarray(prediction.probabilities[(slice(None), *within)])
        smallest = max(1, prediction.instances.min_size // self.step**prediction.ndim)
        instances = replace(prediction.instances, min_size=smallest)
        sampled = replace(prediction, probabilities=probabilities, instances=instances)
        return PreviewPart((*plane, *coarse), self._values(sampled))

    def _values(self, prediction: Prediction) -> NDArray[Any]:
        if self.kind == "classes":
            return prediction.classes
        if self.kind == "probabilities":
            rest: NDArray[np.float32] = 1 - prediction.probabilities[0]
            return rest
        before = perf_counter()
        if self._spent <= _SHARE * (before - self._began):
            objects = prediction.objects
        else:
            objects = _components(prediction)
        self._spent += perf_counter() - before
        shown = np.where(objects > 0, objects + np.int32(self._used), np.int32(0))
        self._used += int(objects.max(initial=0))
        return shown


def _components(prediction: Prediction) -> NDArray[np.int32]:
    """Return the connected parts of the foreground without specks, which costs hardly anything."""
    config = prediction.instances
    above = (prediction.probabilities[1:].max(axis=0) - config.threshold) / (1 - config.threshold)
    labels, _ = ndimage.label(above > 0, output=np.int32)
    sizes = np.bincount(labels.ravel(), above.ravel())
    labels[sizes[labels] <= config.min_size - 1] = 0
    return np.asarray(labels, np.int32)

"""How large the objects of an image are, as a starter sees them.

A starter finds objects of the size that it learnt from. So it sees the image at several scales: at the right
one, the objects it finds have the size expected there, it is sure of them, and it finds the same at the next
scales. At a finer scale it takes grain for objects, the smaller the finer; at a coarser one it joins several.
"""

import math
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.core.arrays.lazy import Pixels
from napari_unet.core.arrays.resampling import scaled_shape, scaled_view
from napari_unet.core.instances import find_objects
from napari_unet.core.tiling import read_mirrored
from napari_unet.network.adaptation import for_channels
from napari_unet.network.geometry import box_to_read
from napari_unet.network.model import Model
from napari_unet.network.tiles.inference import probabilities_of, ready_network
from napari_unet.network.unet import UNet

LARGEST_FACTOR = 3.0
"""Finest scale that is tried: nine times the work of the image as it is."""

_STEPS = 10
"""Scales that are tried, two for every doubling."""

_EDGE = {2: 384, 3: 96}
"""Edge in pixels of what the starter is shown at every scale, from the middle of the image."""

_FEWEST = 3
"""Objects that an estimate needs, at least."""

_WIDTH = 0.7
"""Standard deviation, in doublings, of how far objects may miss the expected size at the right scale, and of
how much what is found there grows with a scale twice as coarse."""

_FINER, _COARSER = (-1,), (1, 2)
"""Steps to the scales that should show the same as the right one: at finer ones, objects fall apart sooner
than they are lost at coarser ones."""

_SURE = 0.75
"""Mean probability of what is found at which the estimate counts as sure."""


@dataclass(frozen=True, slots=True)
class SizeEstimate:
    """The diameter in pixels that objects of an image have, and whether the starter is sure of it."""

    diameter: float
    is_sure: bool


@dataclass(frozen=True, slots=True)
class _Sight:
    """What was found at one scale: the usual diameter in pixels of the image, and the mean probability."""

    diameter: float
    probability: float


def estimate_size(
    model: Model, pixels: Pixels, limits: NDArray[np.float64], device: torch.device, precision: torch.dtype
) -> SizeEstimate:
    """Return the size of the objects in the middle of an image (C, leading..., spatial...).

    Takes about as long as to predict two megapixels. Where nothing is found at any scale, the size is the one
    that leaves the image as it is.

    Parameters
    ----------
    model : Model
        A starter.
    pixels, limits
        The image, and the intensities (C, 2) of it that become 0 and 1.
    device, precision
        What computes, and in which numbers.
    """
    seen_best = cast("float", model.object_size)
    network = ready_network(for_channels(model, pixels.shape[0]), device, precision)
    sizes: list[float] = []
    sights: list[_Sight | None] = []
    for step in range(_STEPS):
        factor = LARGEST_FACTOR * 2.0 ** (-step / 2)
        size = seen_best / factor
        if sizes and max(pixels.shape[-model.network.ndim :]) < 2 * size:
            break
        sizes.append(size)
        sights.append(_look(model, network, pixels, limits, factor))
    votes = [_vote(sizes, sights, step) for step in range(len(sizes))]
    best = int(np.argmax(votes))
    chosen = sights[best]
    if chosen is None:
        return SizeEstimate(seen_best, is_sure=False)
    return SizeEstimate(sizes[best] * 2 ** (_peak(votes, best) / 2), chosen.probability >= _SURE)


def _look(
    model: Model, network: UNet, pixels: Pixels, limits: NDArray[np.float64], factor: float
) -> _Sight | None:
    """Return what the starter finds in the middle of the scaled image, or None where that is too little."""
    ndim = model.network.ndim
    shape = scaled_shape(pixels.shape[-ndim:], factor)
    box = []
    for length in shape:
        start = max(0, (length - _EDGE[ndim]) // 2)
        box.append(slice(start, min(length, start + _EDGE[ndim])))
    read, crop = box_to_read(model.network, box)
    plane: tuple[Any, ...] = (slice(None), *(length // 2 for length in pixels.shape[1:-ndim]))
    block = read_mirrored(scaled_view(pixels, limits, shape)[plane], read)
    foreground = 1 - probabilities_of(network, np.ascontiguousarray(block), crop)[0]
    objects = find_objects(foreground, model.instances, ndim=ndim)
    areas = np.bincount(objects.ravel())[1:]
    areas = areas[areas > 0]
    sure = foreground[foreground > 0.5]
    if areas.size < _FEWEST or not sure.size:
        return None
    of_unit_ball = math.pi / 4 if ndim == 2 else math.pi / 6
    diameter = float(np.median(areas) / of_unit_ball) ** (1 / ndim)
    return _Sight(diameter / factor, float(sure.mean()))


def _vote(sizes: list[float], sights: list[_Sight | None], step: int) -> float:
    """Return the logarithm of how likely the size of this step is, up to a constant."""
    sight = sights[step]
    if sight is None:
        return -math.inf
    off = math.log2(sight.diameter / sizes[step])
    growths = []  # in doublings, for each doubling of the scale
    for steps in (*_FINER, *_COARSER):
        other = sights[step + steps] if 0 <= step + steps < len(sights) else None
        if other is not None:
            growths.append(2 * math.log2(other.diameter / sight.diameter) / steps)
        elif steps in _COARSER:
            growths.append(1.0)  # objects so large that few are in sight are less likely
    growth = float(np.mean(np.square(growths)))
    return math.log(2 * sight.probability - 1) - (off**2 + growth) / (2 * _WIDTH**2)


def _peak(votes: list[float], best: int) -> float:
    """Return how many steps from the ``best`` vote the parabola through it and its neighbours is highest."""
    around = votes[max(best - 1, 0) : best + 2]
    if len(around) < 3 or not np.isfinite(around).all():
        return 0.0
    low, middle, high = around
    bend = low - 2 * middle + high
    return 0.5 * (low - high) / bend if bend < 0 else 0.0

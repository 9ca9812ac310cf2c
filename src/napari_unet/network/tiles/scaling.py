"""Images scaled to what a model learnt from, and its probabilities brought back onto the grid of the image.

A starter sees best objects of one size, and any other model those in pixels as large as it learnt from.

A tile is of the image itself, so that progress, cancelling, resuming and stores know nothing of the scale.
For every tile, only the scaled pixels that its own are interpolated from are computed, on the grid of the
whole scaled image: tiles stay exact.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.core.arrays.boxes import part_of
from napari_unet.core.arrays.lazy import Pixels
from napari_unet.core.arrays.resampling import plan_axis, resample, scaled_shape, scaled_view
from napari_unet.core.errors import InputError
from napari_unet.core.instances import InstanceConfig
from napari_unet.core.tiling import Geometry, Tile, plan_tiles, read_mirrored
from napari_unet.network.config import PredictionConfig
from napari_unet.network.model import Model
from napari_unet.network.tiles.inference import probabilities_of
from napari_unet.network.tiles.object_size import estimate_size
from napari_unet.network.unet import UNet

_FACTORS = (1 / 16, 8.0)
"""Smallest and largest scale: the first leaves nothing of an image, the last is 64 times the work."""

_SAME = 0.02
"""A scale within this of 1 would only cost time and sharpness."""

_ALIKE = 1.1
"""Pixel sizes within this factor count as equal: in training, the size of objects varies by more."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How an image is scaled for a model, and why."""

    # pixels of the scaled image for each of the image, along every spatial axis; 1 leaves it as it is
    factor: float
    # of a starter: diameter in pixels that objects of the image are taken to have
    object_size: float | None = None
    estimated: bool = False  # whether that was estimated from the image, rather than given
    is_sure: bool = True  # whether the starter was sure of its estimate; true if the size was given
    # of any other model: width in micrometres of the pixels of the image, and of those it learnt from
    pixel_sizes: tuple[float, float] | None = None

    def reading(self, config: InstanceConfig, ndim: int) -> InstanceConfig:
        """Return how objects are read on the grid of the image, if ``config`` is for the scaled image."""
        return replace(config, min_size=max(1, round(config.min_size / self.factor**ndim)))


def check_object_size(model: Model, config: PredictionConfig) -> None:
    """Raise ``InputError`` if a size of objects is given for a model that is no starter."""
    if not (model.is_starter or isinstance(config.object_size, str)):
        raise InputError(
            f"prediction.object_size is {config.object_size:g} but this model is no starter; leave it out, "
            "or choose a starter."
        )


def choose_scale(
    model: Model,
    pixels: Pixels,
    limits: NDArray[np.float64],
    config: PredictionConfig,
    pixel_size: Sequence[float] | None,
    *,
    device: torch.device,
    precision: torch.dtype,
) -> Scale | None:
    """Return how an image (C, leading..., spatial...) is to be scaled, None if it is not.

    ``pixel_size`` is its own along the spatial axes, in micrometres; ``device`` and ``precision`` are what a
    size of objects is estimated with.

    Raises
    ------
    InputError
        If a size of objects is given for a model that is no starter.
    """
    check_object_size(model, config)
    wanted = config.object_size
    if wanted == "unscaled":
        return None
    if model.object_size is None:
        return _to_learnt_pixels(model.pixel_size, pixel_size)
    estimate = None
    if isinstance(wanted, str):
        estimate = estimate_size(model, pixels, limits, device, precision)
        wanted = estimate.diameter
    factor = min(max(model.object_size / wanted, _FACTORS[0]), _FACTORS[1])
    return Scale(
        factor=1.0 if abs(factor - 1) < _SAME else factor,
        object_size=wanted,
        estimated=estimate is not None,
        is_sure=estimate is None or estimate.is_sure,
    )


def _to_learnt_pixels(learnt: Sequence[float] | None, own: Sequence[float] | None) -> Scale | None:
    """Return the scale at which pixels of an image are as large as those that a model learnt from.

    None where either size is not known, or they are alike; where their ratio is not the same along all axes,
    as of volumes with other steps in Z; and where it is so large that one of them must be wrong.
    """
    if learnt is None or own is None:
        return None
    ratios = [here / there for here, there in zip(own, learnt, strict=True)]
    factor = math.prod(ratios) ** (1 / len(ratios))
    is_even = max(ratios) <= _ALIKE * min(ratios)
    if not is_even or 1 / _ALIKE <= factor <= _ALIKE or not _FACTORS[0] <= factor <= _FACTORS[1]:
        return None
    return Scale(factor, pixel_sizes=(own[-1], learnt[-1]))


@dataclass(frozen=True, slots=True, eq=False)
class ScaledTiles:
    """Computes tiles of an image on its scaled grid."""

    pixels: Pixels  # (C, leading..., spatial...) the image
    limits: NDArray[np.float64]  # (C, 2) intensities that become 0 and 1
    factor: float  # see `Scale`
    geometry: Geometry  # of the network

    def compute(
        self,
        network: UNet,
        orientations: int,
        plane: tuple[int, ...],
        tile: Tile,
        out: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Return the probabilities (K, spatial...) of what a tile writes, in ``out`` if it is given."""
        shape = self.pixels.shape[-len(tile.write) :]
        small = scaled_shape(shape, self.factor)
        back = [
            plan_axis(length, whole, part)
            for length, whole, part in zip(small, shape, tile.write, strict=True)
        ]
        step = self.geometry.alignment
        region = [slice(axis.source.start // step * step, axis.source.stop) for axis in back]
        (part,) = plan_tiles(small, max(cut.stop - cut.start for cut in region), self.geometry, region)
        view = scaled_view(self.pixels, self.limits, small)
        of_plane: tuple[Any, ...] = (slice(None), *plane)
        block = read_mirrored(view[of_plane], part.read)
        probabilities = probabilities_of(network, np.ascontiguousarray(block), part.crop, orientations)
        inner = part_of([axis.source for axis in back], region)
        result = resample(probabilities[(slice(None), *inner)], back)
        return np.clip(result, 0, 1, out=result if out is None else out)


def tiles_of_image(geometry: Geometry, scale: Scale | None) -> Geometry:
    """Return the geometry of tiles of the image; if it is scaled, nothing is read around them."""
    if scale is None or scale.factor == 1:
        return geometry
    return Geometry(geometry.alignment, 0, "same")

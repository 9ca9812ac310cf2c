"""Images on a finer or coarser grid of the same field, block by block and the same in every block.

Pixel ``j`` of ``m`` covers what pixels ``j * n / m`` to ``(j + 1) * n / m`` of ``n`` do. Its value is the
mean of the pixels around its centre under a triangle as wide as the coarser of the two grids: linear
interpolation to a finer grid, smoothing against aliases to a coarser one. The weights follow from the two
lengths alone, so blocks equal the whole bit for bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from napari_unet.core.arrays.lazy import LazyPixels, Pixels
from napari_unet.core.arrays.normalisation import apply_limits


@dataclass(frozen=True, slots=True, eq=False)
class AxisResampling:
    """How some pixels of one axis are computed: from ``source``, its pixels times ``weights`` (new, old)."""

    source: slice
    weights: sparse.csr_array


def plan_axis(length: int, new_length: int, part: slice) -> AxisResampling:
    """Return how the pixels ``part`` of an axis of ``new_length`` follow from one of ``length``."""
    ratio = length / new_length
    reach = max(1.0, ratio)
    centres = (np.arange(part.start, part.stop) + 0.5) * ratio - 0.5
    first = np.floor(centres - reach).astype(np.intp) + 1
    index = first[:, None] + np.arange(int(2 * reach) + 1)
    weights = np.clip(1 - np.abs(index - centres[:, None]) / reach, 0, None)
    weights[(index < 0) | (index >= length)] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    rows, columns = np.nonzero(weights)
    used = index[rows, columns]
    source = slice(int(used.min()), int(used.max()) + 1)
    values = weights[rows, columns].astype(np.float32)
    shape = (part.stop - part.start, source.stop - source.start)
    return AxisResampling(source, sparse.csr_array((values, (rows, used - source.start)), shape=shape))


def resample(block: NDArray[Any], axes: Sequence[AxisResampling]) -> NDArray[np.float32]:
    """Return ``block`` (..., spatial...), which is the ``source`` of ``axes``, on the new grid."""
    result = np.asarray(block, np.float32)
    for place, axis in enumerate(axes, start=result.ndim - len(axes)):
        moved = np.moveaxis(result, place, 0)
        flat = axis.weights @ np.ascontiguousarray(moved).reshape(moved.shape[0], -1)
        result = np.moveaxis(flat.reshape(-1, *moved.shape[1:]), 0, place)
    return np.ascontiguousarray(result)


class _Scaled:
    """What :func:`scaled_view` is a view of; indexed with whole numbers and slices, one for each axis."""

    dtype = np.dtype(np.float32)

    def __init__(self, pixels: Pixels, limits: NDArray[np.float64], spatial: Sequence[int]) -> None:
        self._pixels, self._limits, self._ndim = pixels, limits, len(spatial)
        self.shape = (*pixels.shape[: -len(spatial)], *spatial)

    def __getitem__(self, key: tuple[Any, ...]) -> NDArray[np.float32]:
        before, parts = key[: -self._ndim], key[-self._ndim :]
        old, new = self._pixels.shape[-self._ndim :], self.shape[-self._ndim :]
        axes = [
            plan_axis(length, new_length, slice(*part.indices(new_length)))
            for length, new_length, part in zip(old, new, parts, strict=True)
        ]
        where = (*before, *(axis.source for axis in axes))
        block = np.asarray(self._pixels[where])
        return resample(apply_limits(block, self._limits[before[0]]), axes)


def scaled_view(pixels: Pixels, limits: NDArray[np.float64], spatial: Sequence[int]) -> LazyPixels:
    """Return normalised intensities on another grid, float32, computed where they are read.

    Parameters
    ----------
    pixels : array or LazyPixels (C, leading..., spatial...)
    limits : array (C, 2) float64
        Intensities that become 0 and 1, before anything is averaged: a pixel that is not a number spoils no
        other.
    spatial : sequence of int
        The new lengths of the spatial axes.
    """
    return LazyPixels(_Scaled(pixels, limits, spatial))


def scaled_shape(shape: Sequence[int], factor: float) -> tuple[int, ...]:
    """Return the lengths nearest to ``factor`` times those of ``shape``, at least 1."""
    return tuple(max(1, round(length * factor)) for length in shape)

"""How a place looks, in a few numbers, and how unlike the painted places that is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_unet.core.arrays.boxes import Plane
from napari_unet.core.arrays.lazy import Pixels
from napari_unet.core.arrays.normalisation import Normalisation, apply_limits

_PAINTED = 500
"""Painted blocks that looks are compared with, at equal distances in the order of the image."""


def block_mean(plane: NDArray[np.float32], blocks: Sequence[int]) -> NDArray[np.float32]:
    """Return the mean of every block; those at the far edges are smaller.

    Parameters
    ----------
    plane : array (spatial...) float32
    blocks : sequence of int
        Edges of a block along every axis.
    """
    for axis, block in enumerate(blocks):
        across = np.moveaxis(plane, axis, 0)
        whole = len(across) // block * block
        means = across[:whole].reshape(whole // block, block, *across.shape[1:]).mean(axis=1)
        if whole < len(across):
            means = np.concatenate((means, across[whole:].mean(axis=0, keepdims=True)))
        plane = np.moveaxis(means, 0, axis)
    return plane


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """Local mean and spread of every channel in windows as large as an object; and those of the paint.

    ``painted`` is a tree of the features of painted blocks, None without paint; ``spread`` how far these
    lie from each other.
    """

    image: Pixels
    limits: NDArray[np.float64]
    blocks: tuple[int, ...]
    sigma: tuple[float, ...]
    painted: cKDTree | None
    spread: float

    @classmethod
    def of(
        cls, image: Pixels, paint: NDArray[np.integer[Any]], blocks: tuple[int, ...], extent: Sequence[float]
    ) -> "Looks":
        """Look at ``image`` (C, …YX) where it is painted."""
        sigma = tuple(size / (4 * block) for size, block in zip(extent, blocks, strict=True))
        bare = cls(image, Normalisation().limits(image), blocks, sigma, None, 0.0)
        parts = []
        for plane in np.ndindex(paint.shape[: paint.ndim - len(blocks)]):
            painted = paint[plane] != 0
            if painted.any():
                cover = block_mean(painted.astype(np.float32), blocks)
                parts.append(bare.features(plane)[:, cover > 0].T)
        if not parts:
            return bare
        known = np.concatenate(parts)
        known = known[np.linspace(0, len(known) - 1, min(len(known), _PAINTED)).astype(int)]
        spread = float(np.linalg.norm(known.std(axis=0))) or 1e-3
        return cls(image, bare.limits, blocks, sigma, cKDTree(known), spread)

    def features(self, plane: Plane) -> NDArray[np.float32]:
        """Return (2 C, blocks...) of one plane."""
        where: tuple[Any, ...] = (slice(None), *plane)
        pixels = apply_limits(np.asarray(self.image[where]), self.limits)
        result = []
        for channel in pixels:
            mean = ndimage.gaussian_filter(block_mean(channel, self.blocks), self.sigma)
            square = ndimage.gaussian_filter(block_mean(channel * channel, self.blocks), self.sigma)
            result += [mean, np.sqrt(np.maximum(square - mean * mean, 0))]
        return np.stack(result)

    def novelty(self, plane: Plane, where: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return (N,) from 0, exactly like something painted, towards 1; without paint 1.

        Of the N blocks of the plane that are True in ``where``, in raster order.
        """
        if self.painted is None:
            return np.ones(int(np.count_nonzero(where)), np.float32)
        distance, _ = self.painted.query(self.features(plane)[:, where].T)
        # Half way where it is a tenth as far from the nearest paint as these are from their middle.
        result: NDArray[np.float32] = (distance / (distance + 0.1 * self.spread)).astype(np.float32)
        return result

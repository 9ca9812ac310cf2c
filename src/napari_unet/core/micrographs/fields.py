"""Random fields and blurs: the raw material of textures, haze and uneven light, in any dimension."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Field = NDArray[np.float32]


def smooth_noise(shape: Sequence[int], scale: float, rng: np.random.Generator) -> Field:
    """Return Gaussian noise that changes over ``scale`` pixels, with mean 0 and standard deviation 1.

    Independent values on a coarse grid are spread by Gaussians, axis after axis as products of matrices: as
    fast for large scales as for small ones.
    """
    spacing = max(scale, 1.0)
    spread = []
    for edge in shape:
        points = np.arange(-2, int(np.ceil(edge / spacing)) + 3) * spacing
        weights = np.exp(-0.5 * ((np.arange(edge)[:, None] - points) / (0.7 * spacing)) ** 2)
        spread.append((weights / np.sqrt((weights**2).sum(axis=1, keepdims=True))).astype(np.float32))
    field = rng.standard_normal([weights.shape[1] for weights in spread], dtype=np.float32)
    for weights in spread:
        # Contract the first axis and append the fine one: after all rounds they are in order again.
        field = np.tensordot(field, weights, axes=([0], [1]))
    return field


def blurred(field: Field, sigma: float) -> Field:
    """Return the field seen through a Gaussian point spread of ``sigma`` pixels."""
    if sigma <= 0:
        return field
    result: Field = ndimage.gaussian_filter(field, sigma, mode="nearest", truncate=3.0)
    return result


def uneven_light(shape: Sequence[int], depth: float, rng: np.random.Generator) -> Field:
    """Return how brightly each pixel is lit, from ``1 - depth`` to 1: a slope, or a vignette off centre."""
    slope = np.zeros(shape, np.float32)
    for axis, edge in enumerate(shape[-2:], start=len(shape) - 2):
        along = np.linspace(-1, 1, edge, dtype=np.float32) if edge > 1 else np.zeros(1, np.float32)
        along = rng.uniform(-1, 1) * along + rng.uniform(-1, 0) * (along - rng.uniform(-0.5, 0.5)) ** 2
        slope += along.reshape([-1 if other == axis else 1 for other in range(len(shape))])
    slope -= slope.min()
    highest = float(slope.max())
    return 1 - depth + depth * slope / highest if highest > 0 else np.ones(shape, np.float32)

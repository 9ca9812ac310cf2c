"""The grey image in which painted objects differ most from painted background.

A starter that knows one channel is shown colours as grey at first. In their mean, two stains may look alike,
and a channel without the objects hides those of another.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.learning.dataset import Sample

_MOST = 1_000_000
"""Pixels of each kind that are looked at, at most."""

_STEADINESS = 0.05
"""Part of the mean variance that is added to that of every channel: few pixels look more alike than all."""

_LIMITS = (1.0, 99.8)
"""Percentiles of the grey image that become 0 and 1, as of every channel; see `Normalisation`."""


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """Grey as ``shares`` (C,) of the normalised channels, added up, and ``offset``."""

    shares: NDArray[np.float64]
    offset: float


def telling_mixture(samples: Sequence[Sample]) -> Mixture | None:
    """Return the mixture of channels that tells painted objects from background best, with unit range.

    It is Fisher's linear discriminant, with a sign that keeps bright objects bright and dark ones dark. None
    where no channel tells them apart, or there is paint of one kind only.
    """
    channels = samples[0].image.shape[0]
    background = _pixels([(sample.image, sample.pixels[:1]) for sample in samples], channels)
    objects = _pixels([(sample.image, sample.pixels[1:]) for sample in samples], channels)
    if min(background.shape[1], objects.shape[1]) < 2:
        return None
    within = (
        np.cov(objects).reshape(channels, channels) + np.cov(background).reshape(channels, channels)
    ) / 2
    within += (_STEADINESS * np.trace(within) / channels + 1e-9) * np.eye(channels)
    shares = np.linalg.solve(within, objects.mean(axis=1) - background.mean(axis=1))
    if not np.abs(shares).sum() > 0:
        return None
    shares *= (1 if shares.sum() >= 0 else -1) / np.abs(shares).sum()
    whole = [sample.image.reshape(channels, -1) for sample in samples]
    step = -(-sum(pixels.shape[1] for pixels in whole) // _MOST)
    low, high = np.percentile(np.concatenate([shares @ pixels[:, ::step] for pixels in whole]), _LIMITS)
    if not high > low:
        return None
    return Mixture(shares / (high - low), -float(low) / float(high - low))


def _pixels(
    parts: Sequence[tuple[NDArray[np.float32], Sequence[NDArray[np.intp]]]], channels: int
) -> NDArray[np.float64]:
    """Return the values (C, n) of some pixels of images, at flat indices."""
    total = sum(index.size for _, indices in parts for index in indices)
    step = max(1, -(-total // _MOST))
    values = [image.reshape(channels, -1)[:, index[::step]] for image, indices in parts for index in indices]
    return np.concatenate(values, axis=1).astype(np.float64) if values else np.zeros((channels, 0))

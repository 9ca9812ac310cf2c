"""Robust scaling of intensities, the same for training and prediction."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.errors import InputError

_SAMPLE = 1_000_000
"""Percentiles are read from about this many pixels on a regular grid: exact enough, and fast."""

_CLIP = (-1.0, 4.0)
"""Range kept after scaling, in units of the percentile range: a hot pixel must not swamp those around it."""

_LARGEST = float(np.finfo(np.float32).max)
"""No camera counts beyond it, and differences of larger values could leave the range of float64."""


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Map the ``low`` and ``high`` percentile of every channel of an image to 0 and 1.

    The percentiles are stored with the model; their values are read from each whole image or stack, never
    from a crop or tile, so images of different exposure look alike to the network, and a tile like its image.

    Parameters
    ----------
    low, high : float
        Percentiles, 0 <= low < high <= 100.
    """

    low: float = 1.0
    high: float = 99.8

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= 100:
            raise InputError(
                f"normalisation.low is {self.low} and normalisation.high {self.high}; "
                "choose 0 <= low < high <= 100."
            )

    def limits(self, image: NDArray[Any]) -> NDArray[np.float64]:
        """Return the values that become 0 and 1.

        Parameters
        ----------
        image : array (C, ...)
            Any real dtype; pixels that are NaN, infinite or beyond the range of float32 are left out.

        Returns
        -------
        array (C, 2) float64
            Lower and upper value of each channel, never equal: a constant channel, or one without a finite
            pixel, gets a range of 1 (or, where float64 cannot add 1, the next higher number).
        """
        step = max(1, int(np.ceil((image[0].size / _SAMPLE) ** (1 / max(image.ndim - 1, 1)))))
        result = np.empty((image.shape[0], 2))
        for channel, pixels in enumerate(image):
            sample = np.asarray(pixels[(slice(None, None, step),) * pixels.ndim], dtype=np.float64)
            finite = sample[np.abs(sample) <= _LARGEST]
            low, high = np.percentile(finite, (self.low, self.high)) if finite.size else (0.0, 1.0)
            if high <= low and finite.size:
                # Sparse signal: most pixels are equal, the percentiles coincide, the full range still tells.
                low, high = float(finite.min()), float(finite.max())
            result[channel] = low, high if high > low else max(low + 1.0, np.nextafter(low, np.inf))
        return result


def apply_limits(image: NDArray[Any], limits: NDArray[np.float64]) -> NDArray[np.float32]:
    """Scale ``image`` (C, ...) so that ``limits`` (C, 2) become 0 and 1.

    Returns
    -------
    array (C, ...) float32
        Clipped to [-1, 4]; NaN becomes 0, infinities the ends of that range: one bad pixel would otherwise
        spoil every pixel within the network's receptive field.
    """
    shape = (-1,) + (1,) * (image.ndim - 1)
    low = limits[:, 0].reshape(shape)
    span = (limits[:, 1] - limits[:, 0]).reshape(shape)
    with np.errstate(invalid="ignore", over="ignore"):
        # In float64: 32-bit integers and 1e30 floats must not lose their differences before they are small.
        scaled = np.subtract(image, low, dtype=np.float64, casting="unsafe")  # bool has no difference
        scaled /= span
        np.clip(scaled, *_CLIP, out=scaled)
    result: NDArray[np.float32] = scaled.astype(np.float32)
    result[np.isnan(result)] = 0
    return result

"""Robust scaling of intensities, the same for training and prediction."""

import sys
from dataclasses import dataclass
from itertools import product
from math import ceil, prod, sqrt
from numbers import Real
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.arrays.lazy import Pixels
from napari_unet.core.configs import check_choices, make_plain
from napari_unet.core.errors import InputError

_SAMPLE = 1_000_000
"""Percentiles are read from about this many pixels on a regular grid: exact enough, and fast."""

_PLANES = 32
"""So many YX planes of a stack, at equal distances, are read for its percentiles; more if they are small."""

_WHOLE = 2**26
"""Pixels of a plane (8192 x 8192) up to which the grid covers all of it. Of a larger plane it covers windows,
because a grid over the whole plane, however wide, would read every chunk of an image on disk."""

_WINDOWS, _WINDOW = 16, 512
"""How many windows along an axis, at equal distances, and their edge in pixels."""

Method = Literal["percentiles", "range", "deviations"]

_CLIP = (-1.0, 4.0)
CLIPS: dict[Method, tuple[float, float]] = {
    "percentiles": _CLIP,
    "range": _CLIP,
    "deviations": (-20.0, 20.0),
}
"""Range kept after scaling, the limits being 0 and 1: a hot pixel must not swamp those around it."""

_RANGES = (1.0, 255.0, 65535.0)
"""Largest intensities of images between 0 and 1, of 8 and of 16 bits."""

_COUNTABLE = (np.dtype(np.uint8), np.dtype(np.uint16))
"""Types of pixels with few values."""

_COMPILING = "napari_unet.core.arrays.compiling"
"""The module that imports numba."""

_LARGEST = float(np.finfo(np.float32).max)
"""No camera counts beyond it, and differences of larger values could leave the range of float64."""


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Map the ``low`` and ``high`` percentile of every channel of an image to 0 and 1.

    The percentiles are stored with the model; their values are those of each whole image or stack, never
    of a crop or tile, so images of different exposure look alike to the network, and a tile like its image.

    Parameters
    ----------
    low, high : float
        Percentiles, 0 <= low < high <= 100.
    method : {"percentiles", "range", "deviations"}
        The others are there for networks that were trained elsewhere and leave ``low`` and ``high`` unused:
        "range" maps 0 to 0, and the least of 1, 255 and 65535 that no pixel exceeds to 1; "deviations" the
        mean of every channel to 0 and its standard deviation to 1.
    """

    low: float = 1.0
    high: float = 99.8
    method: Method = "percentiles"

    def __post_init__(self) -> None:
        make_plain(self)
        check_choices(self, "normalisation")
        given: tuple[object, ...] = self.low, self.high
        if not (all(isinstance(value, Real) for value in given) and 0 <= self.low < self.high <= 100):
            raise InputError(
                f"normalisation.low is {self.low!r} and normalisation.high {self.high!r}; "
                "choose 0 <= low < high <= 100."
            )

    def limits(self, image: Pixels) -> NDArray[np.float64]:
        """Return the values that become 0 and 1.

        They are exact for images of up to a million pixels, and estimated from a sample of larger ones. Which
        pixels are in the sample follows from the shape of the image alone, so an image has the same limits in
        training as in prediction, in memory as on disk: of the YX planes 32 at equal distances, the first and
        the last included, or as many as have a million pixels; of a plane of more than 2**26 pixels, 16
        windows of 512 pixels along every axis longer than 8192; and there every n-th pixel of every n-th row,
        n the smallest number that leaves a million pixels of each channel.

        Parameters
        ----------
        image : array or LazyPixels (C, ..., Y, X)
            Any real dtype; pixels that are NaN, infinite or beyond the range of float32 are left out.

        Returns
        -------
        array (C, 2) float64
            Lower and upper value of each channel, never equal: a constant channel, or one without a finite
            pixel, gets a range of 1 (or, where float64 cannot add 1, the next higher number).
        """
        result = np.empty((image.shape[0], 2))
        parts = _sample(image)
        for channel in range(image.shape[0]):
            low, high = self._limits([part[channel] for part in parts])
            result[channel] = low, high if high > low else max(low + 1.0, np.nextafter(low, np.inf))
        if self.method == "range":
            result[:, 1] = result[:, 1].max()  # the channels of one image are of one kind
        return result

    def _limits(self, parts: list[NDArray[Any]]) -> tuple[float, float]:
        """Return the limits of a channel, given in parts (Y, X)."""
        wanted = np.array((self.low, self.high))
        if self.method == "percentiles" and parts[0].dtype in _COUNTABLE:
            (low, high), ends = _counted_percentiles(parts, wanted)
        else:
            pixels = np.concatenate([part.ravel() for part in parts]).astype(np.float64)
            pixels = pixels[np.abs(pixels) <= _LARGEST]
            if not pixels.size:
                return 0.0, 1.0
            ends = float(pixels.min()), float(pixels.max())
            if self.method == "range":
                return 0.0, next((limit for limit in _RANGES if ends[1] <= limit), ends[1])
            if self.method == "deviations":
                mean = float(pixels.mean())
                return mean, mean + float(pixels.std())
            low, high = np.percentile(pixels, wanted)
        # Sparse signal: most pixels are equal, the percentiles coincide, the full range still tells.
        return (low, high) if high > low else ends

    def scale(self, image: Pixels, limits: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return ``image`` (C, ...) so that ``limits`` (C, 2) are 0 and 1; see :func:`apply_limits`."""
        return apply_limits(image, limits, CLIPS[self.method])


def _sample(image: Pixels) -> list[NDArray[Any]]:
    """Return the pixels that :meth:`Normalisation.limits` is about, in parts (C, Y, X)."""
    *leading, rows, columns = image.shape[1:]
    total = prod(leading)
    count = min(total, max(_PLANES, _SAMPLE // (rows * columns)))
    planes = np.linspace(0, total - 1, count).round().astype(int)
    windows = [_windows(length, whole=rows * columns <= _WHOLE) for length in (rows, columns)]
    edges = [sum(part.stop - part.start for part in parts) for parts in windows]
    step = max(1, ceil(sqrt(planes.size * prod(edges) / _SAMPLE)))
    parts = []
    for plane in planes:
        for window in product(*windows):
            grid = [slice(part.start, part.stop, step) for part in window]
            parts.append(np.asarray(image[(slice(None), *np.unravel_index(plane, leading), *grid)]))
    return parts


def _counted_percentiles(
    parts: list[NDArray[Any]], wanted: NDArray[np.float64]
) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """Return what `np.percentile` does, to the last bit, but faster; and the least and the largest value.

    Parameters
    ----------
    parts : list of array (Y, X)
        Of one of the types ``_COUNTABLE``, with at least one pixel.
    wanted : array of float64
        Percentiles.
    """
    counts = _counts(parts)
    values = np.flatnonzero(counts)
    up_to = np.cumsum(counts[values])  # how many are of every value or less
    last = up_to[-1] - 1
    at = last * (wanted / 100)
    before = np.floor(at)
    low, high = (
        values[np.searchsorted(up_to, np.minimum(index, last), side="right")].astype(np.float64)
        for index in (before, before + 1)
    )
    way = at - before
    found = np.where(way < 0.5, low + (high - low) * way, high - (high - low) * (1 - way))
    return found, (float(values[0]), float(values[-1]))


def _counts(parts: list[NDArray[Any]]) -> NDArray[np.int64]:
    """Return how many pixels there are of every value, parts as for `_counted_percentiles`.

    The compiled loop saves two milliseconds, but importing numba takes half a second: it counts only once
    other loops have been compiled.
    """
    n_values = np.iinfo(parts[0].dtype).max + 1
    if _COMPILING not in sys.modules:
        return np.bincount(np.concatenate([part.ravel() for part in parts]), minlength=n_values)
    from napari_unet.core.arrays.counting_kernel import count

    counts = np.zeros(n_values, np.int64)
    for part in parts:
        count(part, counts)
    return counts


def _windows(length: int, *, whole: bool) -> list[slice]:
    """Return the parts of an axis that are looked at."""
    if whole or length <= _WINDOWS * _WINDOW:
        return [slice(0, length)]
    starts = np.linspace(0, length - _WINDOW, _WINDOWS).round().astype(int).tolist()
    return [slice(start, start + _WINDOW) for start in starts]


def apply_limits(
    image: Pixels, limits: NDArray[np.float64], clip: tuple[float, float] = _CLIP
) -> NDArray[np.float32]:
    """Scale ``image`` (C, ...) so that ``limits`` (C, 2) become 0 and 1.

    Returns
    -------
    array (C, ...) float32
        Clipped to ``clip``; NaN becomes 0, infinities the ends of that range: one bad pixel would otherwise
        spoil every pixel within the network's receptive field.
    """
    shape = (-1,) + (1,) * (image.ndim - 1)
    low = limits[:, 0].reshape(shape)
    span = (limits[:, 1] - limits[:, 0]).reshape(shape)
    with np.errstate(invalid="ignore", over="ignore"):
        # In float64: 32-bit integers and 1e30 floats must not lose their differences before they are small.
        scaled = np.subtract(image, low, dtype=np.float64, casting="unsafe")  # bool has no difference
        scaled /= span
        np.clip(scaled, *clip, out=scaled)
    result: NDArray[np.float32] = scaled.astype(np.float32)
    result[np.isnan(result)] = 0
    return result

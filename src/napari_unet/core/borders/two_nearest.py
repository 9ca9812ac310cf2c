"""Exact distances to the nearest and to the second nearest object, for every pixel, in any dimension.

The squared distance to an object is a sum over the axes, so it can be minimised one axis after the other, as
in the distance transform of Felzenszwalb & Huttenlocher (Theory of Computing 2012). The same holds for the
two nearest *different* objects: a third that is farther at one place of a line is so for all who look from
across it. So each axis in turn replaces the two best of a pixel by the two best of its line. Time grows with
the number of pixels and with the cut-off, or the distance to the second object where that is less; the number
of objects does not enter.

docs/benchmarks.md has how long this takes, and what others take. numpy would read and write memory at each of
the hundreds of comparisons per pixel, and a C extension would need a compiler or a wheel for every platform.
numba costs its import, a compilation once per installation and loading in later processes, all of it at the
first call and in the thread that calls.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, frexp, hypot, isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.arrays.blocks import Block
from napari_unet.core.arrays.runs import Number, runs
from napari_unet.core.errors import InputError

MAX_DIRECT_ID = 2**20
"""Objects with ids up to this need not be renumbered: the bits left of a key are enough for distances."""

_LARGEST_RATIO = 1e100  # of the sides of a pixel; squared it is still a float


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """Squared distances as whole numbers, and how they share a key with the object's id.

    Exact where the squares of the pixel's sides are whole multiples of the smallest, as without ``spacing``;
    elsewhere rounded to far below what float32 can tell, unless ids and distances both are huge.
    """

    # for each axis the squared distance of 0, 1, 2 ... pixels, as far as the cut-off goes
    steps: tuple[NDArray[np.int64], ...]
    limit: int  # the largest squared distance within the cut-off
    unit: float  # the distance whose square is 1, in the unit of `spacing`
    bits: int  # bits of the id in a key
    dtype: np.dtype[Any]  # of keys: int32 (twice as fast) where that is wide enough, or int64

    @property
    def margin(self) -> tuple[int, ...]:
        """How many pixels away an object can still be within the cut-off, along each axis."""
        return tuple(steps.size - 1 for steps in self.steps)

    @property
    def none(self) -> int:
        """The key of no object: above all others, and the sum of it and any step still fits."""
        return int(np.iinfo(self.dtype).max) // 2 + 1

    def key_steps(self, axis: int) -> NDArray[Any]:
        """Return what 0, 1, 2 ... pixels along an axis add to a key."""
        return (self.steps[axis] << self.bits).astype(self.dtype)


def check_spacing(spacing: Sequence[float] | None, ndim: int) -> tuple[float, ...]:
    """Return the pixel size along each of ``ndim`` axes, 1 where there is no ``spacing``.

    Raises
    ------
    InputError
        If there is not one finite size above 0 for each axis.
    """
    if spacing is None:
        return (1.0,) * ndim
    try:
        sampling = tuple(map(float, np.atleast_1d(spacing)))
    except (TypeError, ValueError) as error:
        raise InputError(f"The pixel size is {spacing!r}; give one number for each axis.") from error
    if len(sampling) != ndim or not all(isfinite(size) and size > 0 for size in sampling):
        raise InputError(
            f"The pixel size is {sampling} and the paint has {ndim} axes; give each axis a size above 0."
        )
    return sampling


def make_metric(shape: Sequence[int], sampling: Sequence[float], cutoff: float, highest_id: int) -> Metric:
    """Return the metric for an array of that shape.

    Parameters
    ----------
    shape : sequence of int
    sampling : sequence of float
        Pixel size along each axis.
    cutoff : float
        Largest distance of interest, in the unit of ``sampling``.
    highest_id : int
        No object's id is above it.
    """
    smallest = min(sampling)
    ratios = [min(size / smallest, _LARGEST_RATIO) for size in sampling]
    across = hypot(*(ratio * (length - 1) for ratio, length in zip(ratios, shape, strict=True)))
    reach = min(across, cutoff / smallest)
    bits = max(highest_id, 1).bit_length()
    squares = [ratio * ratio for ratio in ratios]
    # A key of int64 has 62 bits for id and squared distance; what is left goes behind the point.
    fraction = min(61 - bits - frexp(reach * reach + 1)[1], 40)
    whole = fraction >= 0 and all(square == round(square) for square in squares)
    scale = 1.0 if whole else 2.0**fraction
    # Sums of rounded squares may be half a unit too large per axis; the cut-off must not lose them.
    limit = floor(reach * reach * scale * (1 + 1e-12) + (0 if whole else len(shape) / 2))
    steps = []
    for square, length in zip(squares, shape, strict=True):
        most = min(length - 1, int(reach / square**0.5 * (1 + 1e-12)))
        steps.append(np.rint(square * scale * np.arange(most + 1, dtype=float) ** 2).astype(np.int64))
    dtype = np.dtype(np.int32 if limit << bits < 2**30 else np.int64)
    return Metric(tuple(steps), limit, smallest / scale**0.5, bits, dtype)


def two_nearest_keys(
    objects: NDArray[np.int32], there: NDArray[np.bool_], block: Block, metric: Metric
) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Return the keys of the two nearest objects in the core of a block.

    Parameters
    ----------
    objects : array of int32
        The ids of the objects in ``block.window``.
    there : array of bool
        Where in the window there are objects.
    block : Block
        Its margin is that of ``metric`` or more.
    metric : Metric

    Returns
    -------
    nearest, second : arrays of the shape of the core
        ``key >> metric.bits`` is a squared distance; none counts that is above ``metric.limit``. None where
        there are fewer than two objects in the window.
    """
    from napari_unet.core.borders.two_nearest_kernels import spread_along_axis, sweep_first_axis

    nearest = _surrounded(objects, there, block, metric)
    if np.count_nonzero(nearest == nearest.min()) >= np.count_nonzero(there):
        return None
    second, to_nearest, to_second = (np.empty_like(nearest) for _ in range(3))
    rows = _core(block)[0]
    sweep_first_axis(
        nearest.reshape(len(nearest), -1), to_nearest.reshape(len(nearest), -1),
        to_second.reshape(len(nearest), -1), rows.start, rows.stop,
        metric.key_steps(0), metric.bits, metric.dtype.type(metric.none),
    )  # fmt: skip
    for axis in range(1, nearest.ndim):
        nearest, second, to_nearest, to_second = to_nearest, to_second, nearest, second
        starts, width = _lines(block, axis, nearest.shape)
        stride = nearest.strides[axis] // nearest.itemsize
        spread_along_axis(
            nearest.reshape(-1), second.reshape(-1), to_nearest.reshape(-1), to_second.reshape(-1),
            starts, width, stride, metric.key_steps(axis), metric.dtype.type((1 << metric.bits) - 1),
        )  # fmt: skip
    core = _core(block)
    return to_nearest[core], to_second[core]


def nearest_keys(there: NDArray[np.bool_], block: Block, metric: Metric) -> NDArray[Any] | None:
    """Return the keys of the nearest object alone, whichever it is, or None; see :func:`two_nearest_keys`."""
    from napari_unet.core.borders.two_nearest_kernels import spread_nearest_along_axis

    if not there.any():
        return None
    nearest = _surrounded(there, there, block, metric)
    out = np.empty_like(nearest)
    for axis in range(nearest.ndim):
        starts, width = _lines(block, axis, nearest.shape)
        stride = nearest.strides[axis] // nearest.itemsize
        spread_nearest_along_axis(
            nearest.reshape(-1), out.reshape(-1), starts, width, stride, metric.key_steps(axis)
        )
        nearest, out = out, nearest
    return nearest[_core(block)]


def with_small_ids(objects: NDArray[Number]) -> NDArray[Number]:
    """Return ``objects`` if all ids fit a key well, or else numbered 1, 2, ... in order; 0 stays 0."""
    if objects.max(initial=0) <= MAX_DIRECT_ID:
        return objects
    values, lengths = runs(objects)
    _, numbers = np.unique(np.append(values, 0), return_inverse=True)
    return np.repeat(numbers[:-1].astype(objects.dtype), lengths).reshape(objects.shape)


def _surrounded(
    objects: NDArray[Any], there: NDArray[np.bool_], block: Block, metric: Metric
) -> NDArray[Any]:
    """Return the keys of the window, padded where its margin lies outside the image."""
    shape = [core.stop - core.start + 2 * more for core, more in zip(block.core, block.margin, strict=True)]
    keys = np.full(shape, metric.none, metric.dtype)
    inside = tuple(
        slice(window.start - core.start + more, window.stop - core.start + more)
        for window, core, more in zip(block.window, block.core, block.margin, strict=True)
    )
    keys[inside] = np.where(there, objects, metric.dtype.type(metric.none))
    return keys


def _core(block: Block) -> tuple[slice, ...]:
    return tuple(
        slice(more, more + core.stop - core.start)
        for core, more in zip(block.core, block.margin, strict=True)
    )


def _lines(block: Block, axis: int, shape: tuple[int, ...]) -> tuple[NDArray[np.int64], int]:
    """Return the starts and the width of the lines, along the last axis, that later axes read.

    They hold the core along this axis and those before it, and also the margins along those to come.
    """
    core = _core(block)
    ranges = [range(side.start, side.stop) for side in core[: axis + 1]] + [*map(range, shape[axis + 1 :])]
    *rows, along = ranges
    starts = np.ravel_multi_index(np.ix_(*rows, along[:1]), shape)
    return starts.reshape(-1).astype(np.int64, copy=False), len(along)

"""The weight map: how much every known pixel counts in the loss, and why the narrow gaps count most.

``w = known * (w_c + w0 exp(-(d1 + d2)^2 / (2 sigma^2)))``, equation 2 of Ronneberger, Fischer & Brox, "U-Net:
Convolutional Networks for Biomedical Image Segmentation" (MICCAI 2015), restricted to known pixels; and its
successor in Falk et al., "U-Net: deep learning for cell counting, detection, and morphometry" (Nature Methods
2019), whose border term counts in the background only, where the class weight falls off around objects.

The map is a sum of parts, :class:`WeightParts`, because they change for different reasons: a stroke changes
the border term near it and nowhere else, but the class balance everywhere.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log, sqrt
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label

from napari_unet.core.annotation import FIRST_OBJECT, Mode, check_paint, read_paint
from napari_unet.core.arrays.blocks import Block, for_each_block, plan_blocks
from napari_unet.core.arrays.boxes import widen
from napari_unet.core.borders.two_nearest import (
    Metric,
    check_spacing,
    make_metric,
    nearest_keys,
    two_nearest_keys,
    with_small_ids,
)
from napari_unet.core.borders.weight_config import TOLERANCE, WeightConfig, class_weights, settled
from napari_unet.core.configs import check_kind
from napari_unet.core.errors import InputError

_HUGE = 1e30  # pixels in a sigma, or less; float32 can hold it, and nothing is left of its Gaussian

_HALO_TOLERANCE = 2.0**-32  # of its height: below what float32 can tell, so the halo term counts as exact


@dataclass(frozen=True, slots=True, eq=False)
class WeightParts:
    """The terms of the weight map of one paint, before class balance, which depends on all planes."""

    kinds: NDArray[np.uint8]  # (…YX) 0 where nothing is known, otherwise 1 + class, so 1 is background
    border: NDArray[np.float32]  # (…YX) the border term; 0 where it does not count
    halo: NDArray[np.float32] | None  # (…YX) the halo term likewise; None where the configuration has none
    pixels: NDArray[np.int64]  # (K,) known pixels of each class
    # (…YX) in "classes" mode the number of the connected part that each pixel of class >= 2 is of
    components: NDArray[np.int32] | None

    def sum(self, config: WeightConfig, pixels: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Return the weight map (…YX), balanced by ``pixels`` (K,), by default its own.

        Of other pixels, the class balance must be settled, see ``weight_config.settled``.
        """
        weights = self.border if self.halo is None else self.border + self.halo
        if pixels is None:
            pixels, config = self.pixels, settled(config, int(self.pixels.sum()), self.kinds.size)
        return weights + _class_table(pixels, config)[self.kinds]

    def at(
        self, flat: NDArray[np.intp], config: WeightConfig, pixels: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return the weight map at flat indices (N,) alone, balanced by ``pixels`` (K,) as in :meth:`sum`."""
        weights = self.border.reshape(-1)[flat]
        if self.halo is not None:
            weights += self.halo.reshape(-1)[flat]
        weights += _class_table(pixels, config)[self.kinds.reshape(-1)[flat]]
        return weights


def border_weights(
    paint: NDArray[Any],
    config: WeightConfig = WeightConfig(),
    *,
    spacing: Sequence[float] | None = None,
    mode: Mode = "objects",
) -> NDArray[np.float32]:
    """Return how much every pixel counts in the loss.

    Parameters
    ----------
    paint : array (…YX)
        See :func:`napari_unet.core.annotation.check_paint`. It need not be enough to train on.
    config : WeightConfig
        The formula's parameters.
    spacing : sequence of float, optional
        Pixel size along each axis; distances, and so ``sigma``, are in its unit. None counts in pixels.
    mode : {"objects", "classes"}
        In "objects" mode an object is all paint of one value >= 2, before seams are cut out. In "classes"
        mode it is a connected part (full connectivity) of one class >= 2; distances are taken within each
        class and the border terms of the classes summed.

    Returns
    -------
    array (…YX) float32
        0 where nothing is known. Elsewhere the class weight, plus the border term
        ``w0 exp(-(d1 + d2)^2 / (2 sigma^2))`` with the Euclidean distances d1, d2 to the nearest and second
        nearest object (0 with fewer than two objects), plus the halo term with d1 to the nearest object of
        any class. Distances are cut off where the border term, summed over the classes, must be below 1e-3 of
        w0, which bounds its error; everything else is exact up to float32 rounding.

    Raises
    ------
    InputError
        If ``paint`` is not paint, ``spacing`` does not fit it, or in "classes" mode there are more than 255
        classes or 3 axes.
    """
    paint = check_paint(paint)
    parts = measure_parts(paint, config, spacing=spacing, mode=mode)
    weights = parts.border  # used nowhere else, so it need not be copied
    table = _class_table(parts.pixels, settled(config, int(parts.pixels.sum()), paint.size))

    def add(block: Block) -> None:
        if parts.halo is not None:
            weights[block.core] += parts.halo[block.core]
        weights[block.core] += table[parts.kinds[block.core]]

    for_each_block(add, plan_blocks(paint.shape))
    return weights


def measure_parts(
    paint: NDArray[Any],
    config: WeightConfig = WeightConfig(),
    *,
    spacing: Sequence[float] | None = None,
    mode: Mode = "objects",
) -> WeightParts:
    """Return the parts that :func:`border_weights` adds up; parameters and errors are the same.

    Only ``class_balance`` does not matter here.
    """
    paint = check_paint(paint)
    check_kind(config, WeightConfig, "configuration", "a WeightConfig, such as WeightConfig.preset('paper')")
    sampling = check_spacing(spacing, paint.ndim)
    if mode == "classes" and paint.ndim > 3:
        raise InputError(
            f"The paint has {paint.ndim} axes, and in classes mode at most 3 are measured together; give one "
            "plane or volume at a time."
        )
    # The highest value says how many classes there are, or that there are too many.
    n_classes = read_paint(paint.max(keepdims=True), mode).n_classes
    components = number_components(paint) if mode == "classes" else None
    return measure_window(paint, components, config, sampling, n_classes=n_classes)


def reaches(config: WeightConfig, n_classes: int) -> tuple[float, float]:
    """Return how far objects matter for border and halo term, in the unit of ``config.sigma``."""
    # Every one of the K - 1 border terms may be wrong; in objects mode there is one.
    border = config.sigma * sqrt(2 * log((n_classes - 1) / TOLERANCE))
    halo = config.halo_sigma * sqrt(-2 * log(_HALO_TOLERANCE))
    return border if config.w0 else 0.0, halo if config.halo else 0.0


def number_components(paint: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the connected parts (full connectivity) of the classes >= 2, numbered from 1; 0 elsewhere."""
    classes = np.where(paint >= FIRST_OBJECT, paint, 0)
    numbers: NDArray[Any] = label(classes, background=0, connectivity=paint.ndim)  # type: ignore[no-untyped-call]
    return numbers.astype(np.int32, copy=False)


def measure_window(
    paint: NDArray[np.int32],
    components: NDArray[np.int32] | None,
    config: WeightConfig,
    sampling: tuple[float, ...],
    *,
    n_classes: int,
) -> WeightParts:
    """Return the parts of the weight map of checked paint, or of a window of it.

    Parameters
    ----------
    paint : array (…YX) int32
    components : array (…YX) int32 or None
        In "classes" mode what :func:`number_components` says of all the paint, in the window; None in
        "objects" mode.
    config, sampling, n_classes
        As for all the paint.
    """
    mode: Mode = "objects" if components is None else "classes"
    parts = WeightParts(
        kinds=np.empty(paint.shape, np.uint8),
        border=np.zeros(paint.shape, np.float32),
        halo=np.zeros(paint.shape, np.float32) if config.halo else None,
        pixels=np.zeros(n_classes, np.int64),
        components=components,
    )
    border_reach, halo_reach = reaches(config, n_classes)
    objects = with_small_ids(paint if components is None else components)
    metric = make_metric(paint.shape, sampling, border_reach, int(objects.max()))
    beside = (1,) * paint.ndim
    counting = Lock()

    def fill(block: Block) -> None:
        near = Block(block.core, widen(block.core, beside, paint.shape), beside)
        annotation = read_paint(paint[near.window], mode, n_classes=n_classes)
        kinds = ((annotation.target + np.uint8(1)) * annotation.known)[near.inner]
        parts.kinds[block.core] = kinds
        here = int(kinds.max())  # looking for those alone beats np.bincount, which widens them first
        counts = np.array([np.count_nonzero(kinds == kind) for kind in range(1, here + 1)], np.int64)
        with counting:
            parts.pixels[:here] += counts
        where = _counts(kinds, config)
        if not (config.w0 and where.any()):
            return
        window = objects[block.window]
        for there in _of_each_class(paint[block.window], mode):
            keys = two_nearest_keys(window, there, block, metric)
            if keys is not None:
                term = _border_term(*keys, metric, config.sigma)
                term *= np.float32(config.w0)
                term *= where
                parts.border[block.core] += term

    for_each_block(fill, plan_blocks(paint.shape, metric.margin))
    if parts.halo is not None:
        _fill_halo(parts.halo, paint, parts.kinds, config, make_metric(paint.shape, sampling, halo_reach, 1))
    return parts


def _class_table(pixels: NDArray[np.int64], config: WeightConfig) -> NDArray[np.float32]:
    """Return the class weight of every kind, (K + 1,); unknown is 0."""
    return np.concatenate(([np.float32(0)], class_weights(pixels, config)))


def _counts(kinds: NDArray[np.uint8], config: WeightConfig) -> NDArray[np.bool_]:
    """Return where border and halo terms count."""
    return kinds > 0 if config.border_in_foreground else kinds == 1


def _of_each_class(paint: NDArray[np.int32], mode: Mode) -> Iterator[NDArray[np.bool_]]:
    """Yield where there are objects between which there is a border."""
    if mode == "objects":
        yield paint >= FIRST_OBJECT
        return
    for value in np.flatnonzero(np.bincount(paint.reshape(-1))):
        if value >= FIRST_OBJECT:
            yield paint == value


def _border_term(
    nearest: NDArray[Any], second: NDArray[Any], metric: Metric, sigma: float
) -> NDArray[np.float32]:
    """Return ``exp(-(d1 + d2)^2 / (2 sigma^2))``, 0 beyond the cut-off, from the keys of two objects."""
    squared = second >> metric.bits
    total = np.sqrt((nearest >> metric.bits).astype(np.float32)) + np.sqrt(squared.astype(np.float32))
    return _gaussian(total, metric.unit / sigma) * (squared <= metric.limit)


def _fill_halo(
    halo: NDArray[np.float32],
    paint: NDArray[np.int32],
    kinds: NDArray[np.uint8],
    config: WeightConfig,
    metric: Metric,
) -> None:
    def fill(block: Block) -> None:
        where = _counts(kinds[block.core], config)
        if not where.any():
            return
        keys = nearest_keys(paint[block.window] >= FIRST_OBJECT, block, metric)
        if keys is not None:
            squared = keys >> metric.bits
            term = _gaussian(np.sqrt(squared.astype(np.float32)), metric.unit / config.halo_sigma)
            term *= np.float32(config.halo)
            term *= where
            term *= squared <= metric.limit
            halo[block.core] = term

    for_each_block(fill, plan_blocks(paint.shape, metric.margin))


def _gaussian(distance: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    # Scaled before it is squared: a pixel size in metres, squared, could leave the range of float32.
    with np.errstate(over="ignore"):
        distance = distance * np.float32(min(scale, _HUGE))
        distance *= distance
        distance *= np.float32(-0.5)
        return np.exp(distance, out=distance)

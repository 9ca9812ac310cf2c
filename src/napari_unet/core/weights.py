"""The weight map: how much every known pixel counts in the loss, and why the narrow gaps count most.

``w = known * (w_c + w0 exp(-(d1 + d2)^2 / (2 sigma^2)))``, equation 2 of Ronneberger, Fischer & Brox, "U-Net:
Convolutional Networks for Biomedical Image Segmentation" (MICCAI 2015), restricted to known pixels; and its
successor in Falk et al., "U-Net: deep learning for cell counting, detection, and morphometry" (Nature Methods
2019), whose border term counts in the background only, where the class weight falls off around objects.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite, log, sqrt
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.annotation import (
    FIRST_OBJECT,
    Mode,
    check_paint,
    count_values,
    read_paint,
    runs,
)
from napari_unet.core.errors import InputError

ClassBalance = Literal["inverse", "none"]

CLASS_WEIGHT_RANGE = (0.1, 10.0)
"""Inverse class frequencies are clipped to this range: a speck of a class must not drown all the others."""

TOLERANCE = 1e-3
"""The border term is left out where it is smaller than this part of w0, so it is never wrong by more."""


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and isfinite(value)


@dataclass(frozen=True, slots=True)
class WeightConfig:
    """How the weight map is made from paint.

    ``w = known * (class weight + border term + halo term)``; see :func:`border_weights`. The defaults are the
    paper's.

    Parameters
    ----------
    w0 : float
        Height of the border term, >= 0.
    sigma : float
        Width of the border term in pixels, or in the unit of ``spacing``; > 0.
    class_balance : {"inverse", "none"}
        "inverse" multiplies the weight of every class c by ``N / (K n_c)``, clipped to [0.1, 10]: of N known
        pixels in K classes, n_c are of class c. Its mean over the known pixels is 1 unless the clip acts.
    foreground, background : float
        Weight of a pixel of each before class balance, >= 0.
    border_in_foreground : bool
        Whether border and halo terms count inside objects too, or in the background and seams only.
    halo, halo_sigma : float
        Height (>= 0) and width (> 0, as ``sigma``) of ``halo exp(-d1^2 / (2 halo_sigma^2))``, which raises
        the background near any object.
    """

    w0: float = 10.0
    sigma: float = 5.0
    class_balance: ClassBalance = "inverse"
    foreground: float = 1.0
    background: float = 1.0
    border_in_foreground: bool = True
    halo: float = 0.0
    halo_sigma: float = 10.0

    def __post_init__(self) -> None:
        for name in ("w0", "foreground", "background", "halo"):
            value = getattr(self, name)
            if not (_is_number(value) and value >= 0):
                raise InputError(f"weights.{name} is {value!r}; choose 0 or more.")
        for name in ("sigma", "halo_sigma"):
            value = getattr(self, name)
            if not (_is_number(value) and value > 0):
                raise InputError(f"weights.{name} is {value!r}; choose a distance of more than 0.")
        if not isinstance(self.border_in_foreground, bool):
            raise InputError(
                f"weights.border_in_foreground is {self.border_in_foreground!r}; choose true or false."
            )
        if self.class_balance not in ("inverse", "none"):
            raise InputError(f"weights.class_balance is {self.class_balance!r}; choose 'inverse' or 'none'.")

    @classmethod
    def preset(cls, name: str) -> "WeightConfig":
        """Return the configuration of the 2015 "paper", or of the "freiburg" plugin (Falk et al. 2019).

        Raises
        ------
        InputError
            If there is no preset of that name.
        """
        if name == "paper":
            return cls()
        if name == "freiburg":
            return cls(
                w0=50.0,
                sigma=6.0,
                class_balance="none",
                background=0.1,
                border_in_foreground=False,
                halo=0.9,
                halo_sigma=10.0,
            )
        raise InputError(f"There is no weight preset {name!r}; choose 'paper' or 'freiburg'.")


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
        If ``paint`` is not paint, ``spacing`` does not fit it, or there are more than 255 classes.
    """
    paint = check_paint(paint)
    sampling = _check_spacing(spacing, paint.ndim)
    annotation = read_paint(paint, mode)
    pixels = np.bincount(annotation.target[annotation.known], minlength=annotation.n_classes)
    weights = class_weights(pixels, config)[annotation.target] * annotation.known
    where = annotation.known if config.border_in_foreground else annotation.known & (annotation.target == 0)
    # Every one of the K - 1 terms may be wrong; in objects mode there is one.
    reach = config.sigma * sqrt(2 * log((annotation.n_classes - 1) / TOLERANCE))
    if config.w0:
        for objects in _objects_of_each_class(paint, mode):
            nearest, second = two_nearest_distances(objects, spacing=sampling, cutoff=reach)
            nearest += second
            weights += np.where(where, config.w0 * _gaussian(nearest, config.sigma), 0)
    foreground = paint >= FIRST_OBJECT
    if config.halo and foreground.any():
        distance = ndimage.distance_transform_edt(~foreground, sampling=sampling)
        weights += np.where(where, config.halo * _gaussian(distance, config.halo_sigma), 0)
    return weights


def class_weights(pixels: NDArray[np.int64], config: WeightConfig) -> NDArray[np.float32]:
    """Return the weight of each class, before border and halo terms.

    Parameters
    ----------
    pixels : array (K,) of integers
        Known pixels of each class, background first: of one image, or of all images of a training.
    config : WeightConfig

    Returns
    -------
    array (K,) float32
    """
    weights = np.full(pixels.size, config.foreground, np.float32)
    weights[0] = config.background
    if config.class_balance == "inverse":
        # An absent class has no pixel that its weight could count for; 1 only avoids the division by zero.
        mean = pixels.sum() / max(np.count_nonzero(pixels), 1)
        weights *= np.clip(mean / np.maximum(pixels, 1), *CLASS_WEIGHT_RANGE)
    return weights


def two_nearest_distances(
    objects: NDArray[np.int32], *, spacing: Sequence[float] | None = None, cutoff: float | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the exact Euclidean distances of every pixel to the nearest and second nearest object.

    One distance transform per object, on its bounding box widened by ``cutoff``: time grows with the sum of
    these boxes, a small multiple of the image for compact objects. An object scattered over the whole image
    costs a transform of the whole image, as does every object without a cut-off. Memory is a few times the
    image.

    Parameters
    ----------
    objects : array (…YX) of integers
        0 where there is no object; every other value is one object, connected or not.
    spacing : sequence of float, optional
        Pixel size along each axis; None counts in pixels.
    cutoff : float, optional
        Distance, in the unit of ``spacing``, beyond which no object is looked for; None for no limit.

    Returns
    -------
    d1, d2 : arrays (…YX) float32
        d1 <= d2, 0 inside an object for d1; infinite where no such object is within ``cutoff``.
    """
    sampling = _check_spacing(spacing, objects.ndim)
    d1 = np.full(objects.shape, np.inf, np.float32)
    d2 = np.full(objects.shape, np.inf, np.float32)
    numbered = _renumber(objects)
    for number, box in enumerate(ndimage.find_objects(numbered), start=1):
        window = _widen(box, objects.shape, sampling, cutoff)
        distance = ndimage.distance_transform_edt(numbered[window] != number, sampling=sampling)
        if cutoff is not None:
            distance[distance > cutoff] = np.inf
        near, far = d1[window], d2[window]
        np.minimum(far, np.maximum(near, distance), out=far, casting="same_kind")
        np.minimum(near, distance, out=near, casting="same_kind")
    return d1, d2


def _check_spacing(spacing: Sequence[float] | None, ndim: int) -> tuple[float, ...]:
    if spacing is None:
        return (1.0,) * ndim
    sampling = tuple(float(size) for size in spacing)
    if len(sampling) != ndim or not all(isfinite(size) and size > 0 for size in sampling):
        raise InputError(
            f"The pixel size is {sampling} and the paint has {ndim} axes; give each axis one of more than 0."
        )
    return sampling


def _objects_of_each_class(paint: NDArray[np.int32], mode: Mode) -> Iterator[NDArray[np.int32]]:
    if mode == "objects":
        yield np.where(paint >= FIRST_OBJECT, paint, 0)
        return
    full = np.ones((3,) * paint.ndim, bool)
    for value in count_values(paint):
        if value >= FIRST_OBJECT:
            yield ndimage.label(paint == value, structure=full)[0]


def _gaussian(distance: NDArray[Any], sigma: float) -> NDArray[np.float32]:
    # Divided first: a pixel size in metres, squared, could leave the range of float32.
    with np.errstate(over="ignore"):
        scaled = (distance / sigma).astype(np.float32, copy=False)
        result: NDArray[np.float32] = np.exp(np.float32(-0.5) * scaled**2)
    return result


def _renumber(objects: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return ``objects`` with the ids 1, 2, ... in order, so that tables over ids stay small; 0 stays 0."""
    values, lengths = runs(objects)
    _, numbers = np.unique(np.append(values, 0), return_inverse=True)
    return np.repeat(numbers[:-1].astype(np.int32), lengths).reshape(objects.shape)


def _widen(
    box: tuple[slice, ...], shape: tuple[int, ...], sampling: tuple[float, ...], cutoff: float | None
) -> tuple[slice, ...]:
    if cutoff is None:
        return tuple(slice(0, length) for length in shape)
    window = []
    for side, size, length in zip(box, sampling, shape, strict=True):
        margin = int(min(cutoff / size, length))
        window.append(slice(max(0, side.start - margin), min(length, side.stop + margin)))
    return tuple(window)

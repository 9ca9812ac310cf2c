"""Everything a training run reads: normalised planes with their targets and weights."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import (
    Annotation,
    Mode,
    advise,
    check_mode,
    check_paint,
    check_teachable,
    count_values,
    read_paint,
)
from napari_unet.core.axes import Channels, channels_first
from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.core.holdout import hold_out
from napari_unet.core.normalisation import Normalisation, apply_limits
from napari_unet.core.weights import WeightConfig, measure_parts


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One annotated plane (2-D network) or volume (3-D network).

    Parameters
    ----------
    image : array (C, *spatial) float32
        Normalised intensities.
    target : array (*spatial) uint8
        Classes, 0 background.
    weight : array (*spatial) float32
        Weight map of the paint to train on; 0 elsewhere.
    held_out : array (*spatial) float32
        Weight map of the paint kept for validation; 0 elsewhere. No pixel is in both.
    pixels : tuple of arrays of int
        For each class the flat indices of the pixels to train on.
    """

    image: NDArray[np.float32]
    target: NDArray[np.uint8]
    weight: NDArray[np.float32]
    held_out: NDArray[np.float32]
    pixels: tuple[NDArray[np.intp], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """The samples of a training run.

    Parameters
    ----------
    samples : tuple of Sample
    in_channels, n_classes : int
        Channels of every image, C, and classes of every target, K.
    known_pixels : int
        Pixels with paint, over all samples.
    warnings : tuple of str
        Sentences for the user: what the paint cannot teach well.
    """

    samples: tuple[Sample, ...]
    in_channels: int
    n_classes: int
    known_pixels: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Plane:
    """An annotated plane as it came: ``image`` (C, *spatial) is a view, ``limits`` are of the whole image."""

    image: NDArray[Any]
    limits: NDArray[np.float64]
    paint: NDArray[np.int32]


def build_dataset(
    images: Sequence[NDArray[Any]],
    paints: Sequence[NDArray[Any]],
    *,
    ndim: int = 2,
    mode: Mode = "objects",
    channels: Channels = "auto",
    weights: WeightConfig = WeightConfig(),
    normalisation: Normalisation = Normalisation(),
    held_out: float = 0.2,
    spacing: Sequence[float] | None = None,
    seed: int = 0,
    control: Control | None = None,
) -> Dataset:
    """Return what a network can be trained on, or say why these images and paints cannot teach it.

    Planes without paint are neither normalised nor copied; intensity limits are read from each whole image
    all the same, as they are at predict time.

    Parameters
    ----------
    images : sequence of arrays
        Each with or without a channel axis, of any real dtype.
    paints : sequence of arrays
        One for each image, with the shape of its pixels (…YX). A single one may lack background or objects.
    ndim : {2, 3}
        Spatial axes of the network: one sample per annotated YX plane, or ZYX volume.
    mode, channels, weights, normalisation, spacing
        As in :class:`napari_unet.network.config.TrainingConfig`. Class balance is over all paints together: a
        plane with little of a class must not weigh that class more than another plane does.
    held_out : float
        Fraction of the strokes kept for validation. Nothing is kept where a class would be left without
        training paint, or the validation with fewer than two classes.
    seed : int
        Seeds the choice of the strokes.
    control : Control, optional
        Polled once per plane.

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        If images and paints do not fit each other or the paint cannot teach; with the number of the image
        where there are several. Also when ``control`` was stopped.
    """
    check_mode(mode)
    pairs = _check_pairs(images, paints, ndim, channels)
    planes = _painted_planes(pairs, ndim, normalisation, control)
    counts: Counter[int] = Counter()
    for plane in planes:
        counts.update(count_values(plane.paint))
    check_teachable(counts, mode)
    n_classes = 2 if mode == "objects" else max(2, *counts)

    annotations = [read_paint(plane.paint, mode, n_classes=n_classes) for plane in planes]
    pixels = np.zeros(n_classes, np.int64)
    for annotation in annotations:
        pixels += np.bincount(annotation.target[annotation.known], minlength=n_classes)
    if np.count_nonzero(pixels) < 2:
        raise InputError(
            "Every pixel of the painted objects touches another object, so all of it counts as the seam "
            "between them; paint the objects wider."
        )
    kept = _choose_held_out(planes, annotations, mode, held_out, seed)
    samples = []
    for plane, annotation, validation in zip(planes, annotations, kept, strict=True):
        _check_running(control)
        weight = measure_parts(plane.paint, weights, spacing=spacing, mode=mode).sum(weights, pixels)
        taught = annotation.known & ~validation
        samples.append(
            Sample(
                image=apply_limits(plane.image, plane.limits),
                target=annotation.target,
                weight=weight * taught,
                held_out=weight * validation,
                pixels=tuple(
                    np.flatnonzero(taught & (annotation.target == value)) for value in range(n_classes)
                ),
            )
        )
    return Dataset(
        samples=tuple(samples),
        in_channels=samples[0].image.shape[0],
        n_classes=n_classes,
        known_pixels=sum(counts.values()),
        warnings=advise(counts, mode),
    )


def _check_pairs(
    images: Sequence[NDArray[Any]], paints: Sequence[NDArray[Any]], ndim: int, channels: Channels
) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Return every image, channels first, with its paint, after checking that all of them fit together."""
    if len(images) != len(paints):
        raise InputError(
            f"There are {len(images)} images and {len(paints)} paints; give one paint for each image, in the "
            "same order."
        )
    if len(images) == 0:  # not `not images`: several images of one shape may come as one array
        raise InputError("There is no image to train on; choose at least one image and its paint.")
    pairs: list[tuple[NDArray[Any], NDArray[Any]]] = []
    for number, (pixels, labels) in enumerate(zip(images, paints, strict=True), start=1):
        paint = np.asanyarray(labels)
        with _naming(number, len(images)):
            image = channels_first(pixels, ndim=ndim, channels=channels, paint_shape=paint.shape)
        pairs.append((image, paint))
        first = len(pairs[0][0])
        if len(image) != first:
            raise InputError(
                f"Image {number} has {len(image)} channel{'s' * (len(image) != 1)} and image 1 has {first}; "
                "train on images with the same channels."
            )
    return pairs


def _painted_planes(
    pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]],
    ndim: int,
    normalisation: Normalisation,
    control: Control | None,
) -> list[_Plane]:
    """Return every plane with paint on it."""
    planes: list[_Plane] = []
    for number, (image, paint) in enumerate(pairs, start=1):
        _check_running(control)
        indices = [index for index in np.ndindex(paint.shape[:-ndim]) if paint[index].any()]
        if not indices:
            continue
        limits = normalisation.limits(image)
        with _naming(number, len(pairs)):
            planes.extend(
                _Plane(image[(slice(None), *index)], limits, check_paint(paint[index])) for index in indices
            )
    return planes


@contextmanager
def _naming(number: int, total: int) -> Iterator[None]:
    """Put the number of the image in front of what is wrong with it, where there are several."""
    try:
        yield
    except InputError as error:
        if total == 1:
            raise
        raise InputError(f"Image {number}: {error}") from None


def _choose_held_out(
    planes: Sequence[_Plane], annotations: Sequence[Annotation], mode: Mode, fraction: float, seed: int
) -> list[NDArray[np.bool_]]:
    """Return for each plane the pixels kept for validation; none where there is too little to share."""
    masks = [hold_out(plane.paint, mode, fraction, seed) for plane in planes]
    # Strokes of every class are on either side, but those of an object may consist of seams, which are
    # background.
    taught: set[int] = set()
    validated: set[int] = set()
    for annotation, mask in zip(annotations, masks, strict=True):
        taught.update(np.unique(annotation.target[annotation.known & ~mask]).tolist())
        validated.update(np.unique(annotation.target[mask]).tolist())
    if validated <= taught and len(validated) >= 2:
        return masks
    return [np.zeros_like(mask) for mask in masks]


def _check_running(control: Control | None) -> None:
    if control is not None and control.stopped:
        raise InputError("Training was stopped before its first step, so there is no model; start it again.")

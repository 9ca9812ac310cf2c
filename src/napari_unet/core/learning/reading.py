"""Images and paint as they come: checked, read plane by plane, normalised and measured."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import Mode, check_paint, read_paint
from napari_unet.core.arrays.axes import Channels, channels_first, without_equal_channels
from napari_unet.core.arrays.lazy import Pixels, as_pixels, check_given
from napari_unet.core.arrays.normalisation import Normalisation
from napari_unet.core.arrays.runs import count_values
from napari_unet.core.borders.weight_config import WeightConfig
from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.core.painted.advice import check_teachable
from napari_unet.core.painted.object_distance import Full
from napari_unet.core.painted.painted_plane import Measure, PaintedPlane, measure_plane

COLOURS = 3
"""Channels of a picture in colours."""


@dataclass(frozen=True, slots=True)
class DatasetConfig:
    """How images and paint become a dataset."""

    ndim: int  # spatial axes of the network: one sample per annotated YX plane, or ZYX volume
    # what is not explained here is as in `TrainingConfig`. Class balance is over all paints together: a plane
    # with little of a class must not weigh that class more than another plane does
    mode: Mode
    channels: Channels
    weights: WeightConfig
    normalisation: Normalisation
    # fraction of the strokes kept for validation, see `split_pixels`. Nothing is kept where a class would be
    # left without training paint, or the validation with fewer than two classes
    held_out: float
    spacing: Sequence[float] | None
    seed: int
    # of the model that is trained on: images with as many keep them, were they all equal; None for any
    in_channels: int | None = None

    @property
    def measure(self) -> Measure:
        """How planes are measured."""
        return Measure(self.weights, self.mode, self.spacing)


@dataclass(frozen=True, slots=True, eq=False)
class _Plane:
    """An annotated plane as it came, of image ``number`` (from 0), at ``index`` along the leading axes.

    ``image`` (C, *spatial) is a view, ``limits`` are of the whole image; ``scored`` is whether it is of a
    validation image, ``full`` which of its objects are painted in full.
    """

    number: int
    index: tuple[int, ...]
    scored: bool
    image: Pixels
    limits: NDArray[np.float64]
    paint: NDArray[np.int32]
    full: Full


def read_planes(
    images: Sequence[Any],
    paints: Sequence[Any],
    config: DatasetConfig,
    *,
    validation: int = 0,
    full: Sequence[Full] | None = None,
    names: Sequence[str] = (),
    colours_first: Sequence[bool] = (),
    control: Control | None = None,
) -> list[PaintedPlane]:
    """Return every plane with paint on it, measured, or say why these images and paints cannot teach.

    Paint is read plane by plane. Of the image, planes without paint are neither normalised nor copied; some
    are looked at for the intensity limits, which are of the whole image as they are at predict time (see
    :meth:`napari_unet.core.arrays.normalisation.Normalisation.limits`).

    Parameters
    ----------
    images : sequence of arrays
        Each with or without a channel axis, of any real dtype, in memory or not (dask, zarr, memory-mapped);
        of different shapes and contrasts, as they come.
    paints : sequence of arrays
        One for each image, with the shape of its pixels (…YX). A single one may lack background or objects.
    validation : int
        So many of the last images are for scoring alone: nothing is learnt from them, not even the class
        balance, and nothing is held out of the others.
    full : sequence of Full, optional
        For each image, which of its objects are painted in full; None for none. See
        :mod:`napari_unet.core.painted.object_distance`. Only objects mode has a use for it.
    names : sequence of str, optional
        What the images are called where something is wrong with one of several; by default "Image 1" and so
        on.
    colours_first : sequence of bool, optional
        For each image whether its first axis is known to be one of colours, as the last axis of a picture is.
    control : Control, optional
        Polled once per plane; a stop is an ``InputError``.

    Raises
    ------
    InputError
        If images and paints do not fit each other or the paint cannot teach.
    """
    names = names or [f"Image {number}" for number in range(1, len(images) + 1)]
    pairs = _check_pairs(images, paints, config, names, colours_first)
    if full is not None and len(full) != len(pairs):
        raise InputError(
            f"There are {len(pairs) - validation} images to learn from, and for {len(full) - validation} it "
            "is said which objects are full; say so for each image, in the same order, or for none."
        )
    whole = full or (False,) * len(pairs)
    planes = _painted_planes(pairs, whole, config, validation=validation, names=names, control=control)
    if validation and not any(plane.scored for plane in planes):
        raise InputError(
            "No validation image has paint; paint on one, or leave the choice to held-out strokes."
        )
    # Before they are measured, which takes time.
    counts = count_together(count_values(plane.paint) for plane in planes if not plane.scored)
    check_teachable(counts, config.mode, (plane.paint for plane in planes if not plane.scored))
    measured = []
    for plane in planes:
        _check_running(control)
        with _naming(names, plane.number):
            read_paint(plane.paint.max(keepdims=True), config.mode, n_classes=classes_of(counts, config))
        measured.append(
            measure_plane(
                plane.number,
                plane.index,
                config.normalisation.scale(plane.image, plane.limits),
                plane.paint,
                config.measure,
                full=plane.full,
                scored=plane.scored,
            )
        )
    return measured


def are_in_colours(images: Sequence[Any], paints: Sequence[Any]) -> bool:
    """Return whether any of these images, which were read, has several channels."""
    return any(
        prod(np.shape(image)) > prod(np.shape(paint)) for image, paint in zip(images, paints, strict=True)
    )


def classes_of(counts: Mapping[int, int], config: DatasetConfig) -> int:
    """Return how many classes there are in paint with pixels of these values, 2 at least."""
    return 2 if config.mode == "objects" else max(2, *counts)


def count_together(counts: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """Return how many pixels of each value there are in all, from those of several planes."""
    together: Counter[int] = Counter()
    for of_plane in counts:
        together.update(of_plane)
    return dict(together)


def _check_pairs(
    images: Sequence[Any],
    paints: Sequence[Any],
    config: DatasetConfig,
    names: Sequence[str],
    colours_first: Sequence[bool],
) -> list[tuple[Pixels, Pixels]]:
    """Return every image, channels first, with its paint, after checking that all of them fit together.

    Grey pictures are often saved in colours. One channel is read of them, beside grey images or where all are
    such pictures.
    """
    if len(images) != len(paints):
        raise InputError(
            f"There are {len(images)} images and {len(paints)} paints; give one paint for each image, in the "
            "same order."
        )
    if not images:
        raise InputError("There is no image to train on; choose at least one image and its paint.")
    pairs: list[tuple[Pixels, Pixels]] = []
    in_colours = True
    known = colours_first or (False,) * len(images)
    for number, (pixels, labels, is_known) in enumerate(zip(images, paints, known, strict=True)):
        paint = as_pixels(labels)
        with _naming(names, number):
            check_given("The paint is", paint)
            image = channels_first(
                pixels, ndim=config.ndim, channels=config.channels, paint_shape=paint.shape
            )
        pairs.append((image, paint))
        # Of other axes a model of one channel would not know that they are no planes.
        is_last = as_pixels(pixels).shape[:-1] == paint.shape
        in_colours &= len(image) == COLOURS and (is_last or is_known)
    if len({len(image) for image, _ in pairs}) > 1:
        pairs = [(without_equal_channels(image), paint) for image, paint in pairs]
    elif in_colours and config.in_channels != COLOURS:
        pairs = _as_grey(pairs)
    first = len(pairs[0][0])
    for name, (image, _) in zip(names, pairs, strict=True):
        if len(image) != first:
            raise InputError(
                f"{name} has {len(image)} channel{'s' * (len(image) != 1)} and {names[0]} has "
                f"{first}; train on images with the same channels."
            )
    return pairs


def _as_grey(pairs: list[tuple[Pixels, Pixels]]) -> list[tuple[Pixels, Pixels]]:
    """Return images in one channel each, with their paint, if all colours of all of them are greys."""
    found = []
    for image, paint in pairs:
        grey = without_equal_channels(image)
        if len(grey) > 1:
            return pairs
        found.append((grey, paint))
    return found


def _painted_planes(
    pairs: Sequence[tuple[Pixels, Pixels]],
    full: Sequence[Full],
    config: DatasetConfig,
    *,
    validation: int,
    names: Sequence[str],
    control: Control | None,
) -> list[_Plane]:
    """Return every plane with paint on it."""
    planes: list[_Plane] = []
    for number, ((image, paint), whole) in enumerate(zip(pairs, full, strict=True)):
        scored = number >= len(pairs) - validation
        limits = None
        for index in np.ndindex(paint.shape[: -config.ndim]):
            _check_running(control)
            painted = np.asarray(paint[index])
            if painted.any():
                limits = config.normalisation.limits(image) if limits is None else limits
                pixels = image[(slice(None), *index)]
                with _naming(names, number):
                    planes.append(_Plane(number, index, scored, pixels, limits, check_paint(painted), whole))
    return planes


@contextmanager
def _naming(names: Sequence[str], number: int) -> Iterator[None]:
    """Put the name of the image in front of what is wrong with it, where there are several."""
    try:
        yield
    except InputError as error:
        if len(names) == 1:
            raise
        raise InputError(f"{names[number]}: {error}") from None


def _check_running(control: Control | None) -> None:
    if control is not None and control.stopped:
        raise InputError("Training was stopped before its first step, so there is no model; start it again.")

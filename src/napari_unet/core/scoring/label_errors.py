"""Where a prediction is wrong, object by object, as a label image to look at."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.scoring.agreement import Agreement, agreement_of
from napari_unet.core.scoring.overlap import Overlap, Runs, comparable_parts, find_overlap, touching_ids


class ErrorKind(IntEnum):
    """What is wrong with an object; the values of an error map, in which 0 is no error."""

    MISSED = 1
    INVENTED = 2
    SPLIT = 3
    MERGED = 4


ERROR_COLOURS: Mapping[ErrorKind, str] = MappingProxyType(
    {
        ErrorKind.MISSED: "#e69f00",
        ErrorKind.INVENTED: "#56b4e9",
        ErrorKind.SPLIT: "#f0e442",
        ErrorKind.MERGED: "#cc79a7",
    }
)
"""Colours that people with any kind of colour vision can tell apart (Okabe and Ito, 2008)."""


@dataclass(frozen=True, slots=True)
class ErrorSite:
    """A connected part of an error map."""

    kind: ErrorKind
    centre: tuple[float, ...]  # middle of its box in pixels, one for each axis of the map
    size: int  # its pixels


def error_map(overlap: Overlap, runs: Runs, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return what is wrong at every pixel of two label images of this shape.

    An object is right if it has a partner in the other image with an intersection over union above 0.5. Of
    the others, with "in" meaning more than half of the pixels:

    - MERGED: predicted objects that hold two or more true ones, and true objects in such a one;
    - SPLIT: true objects that hold two or more predicted ones, and predicted objects in such a one;
    - MISSED: all other true objects;
    - INVENTED: all other predicted objects.

    An object that is both merged and split is merged, and a pixel of two wrong objects has the higher value.
    A poor outline (intersection over union of 0.5 or less) is a true object missed and a predicted one
    invented.

    Parameters
    ----------
    overlap, runs
        From :func:`napari_unet.core.scoring.overlap.find_overlap`.
    shape : tuple of int

    Returns
    -------
    array of uint8
        Values of :class:`ErrorKind`, 0 where nothing is wrong.
    """
    of_true, of_predicted = _kinds(overlap)
    of_runs = np.maximum(of_true[runs.true], of_predicted[runs.predicted])
    return np.repeat(of_runs, runs.lengths).reshape(shape)


def _kinds(overlap: Overlap) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return what is wrong with every true and every predicted object; with background, nothing."""
    true = np.full(overlap.n_true + 1, ErrorKind.MISSED, np.uint8)
    predicted = np.full(overlap.n_predicted + 1, ErrorKind.INVENTED, np.uint8)
    split, merging = overlap.split, overlap.merging
    pieces = overlap.in_true & split[overlap.true]
    predicted[overlap.predicted[pieces]] = ErrorKind.SPLIT
    true[split] = ErrorKind.SPLIT
    swallowed = overlap.in_predicted & merging[overlap.predicted]
    true[overlap.true[swallowed]] = ErrorKind.MERGED
    predicted[merging] = ErrorKind.MERGED
    right = overlap.partners
    true[overlap.true[right]] = predicted[overlap.predicted[right]] = 0
    true[0] = predicted[0] = 0
    return true, predicted


def error_sites(errors: NDArray[np.uint8], *, ndim: int | None = None) -> list[ErrorSite]:
    """Return the connected parts of an error map, the largest first, to be looked at one by one.

    Parameters
    ----------
    errors : array of uint8
        As :func:`error_map` returns it.
    ndim : int, optional
        Parts extend along the last ``ndim`` axes only.
    """
    # Pixels of one object that touch at a corner are one place to look at.
    neighbours = np.zeros((3,) * errors.ndim, np.bool_)
    leading = 0 if ndim is None else max(errors.ndim - ndim, 0)
    neighbours[(1,) * leading] = True
    sites = []
    for kind in ErrorKind:
        parts, count = ndimage.label(errors == kind, neighbours)
        if not count:
            continue
        sizes = np.bincount(parts.ravel())[1:]
        for box, size in zip(ndimage.find_objects(parts), sizes, strict=True):
            centre = tuple((side.start + side.stop - 1) / 2 for side in box)
            sites.append(ErrorSite(kind, centre, int(size)))
    return sorted(sites, key=lambda site: -site.size)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A plane, or the whole, of two label images compared; ``errors`` as ``error_map`` returns it."""

    agreement: Agreement
    errors: NDArray[np.uint8]


def compare_parts(
    prediction: NDArray[np.integer[Any]], truth: NDArray[np.integer[Any]], *, ndim: int | None = None
) -> Iterator[Part]:
    """Compare labels part by part, so that progress can be shown and the work stopped.

    Parameters
    ----------
    prediction, truth : array of int
        Labels of one shape: 0 is background.
    ndim : int, optional
        As for :func:`napari_unet.core.scoring.scores.evaluate`: 2 makes every plane a part, in C order.

    Raises
    ------
    InputError
        As for :func:`napari_unet.core.scoring.scores.evaluate`.
    """
    for part in comparable_parts(prediction, truth, ndim):
        overlap, runs = find_overlap(*part)
        errors = error_map(overlap, runs, part[0].shape)
        yield Part(agreement_of(overlap, touching_ids(part[1])), errors)

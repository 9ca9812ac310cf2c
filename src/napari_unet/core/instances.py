"""From the probability of foreground to separate objects."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

from napari_unet.core.errors import InputError


@dataclass(frozen=True, slots=True)
class InstanceConfig:
    """How probabilities become objects.

    Parameters
    ----------
    threshold : float
        Pixels whose probability of foreground is above it belong to objects, in [0, 1).
    seed_threshold : float
        Connected pixels above it are the seed of one object, in [threshold, 1): raise it to split touching
        objects more eagerly, lower it to keep objects whole.
    min_size : int
        Objects of fewer pixels (voxels in 3-D) are removed, at least 1. Seeds of less than half of that do
        not count: they are noise, and would cut objects up.
    fill_holes : bool
        Whether background that one object encloses becomes part of it.
    """

    threshold: float = 0.5
    seed_threshold: float = 0.9
    min_size: int = 16
    fill_holes: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise InputError(f"instances.threshold is {self.threshold}; choose at least 0 and less than 1.")
        if not self.threshold <= self.seed_threshold < 1:
            raise InputError(
                f"instances.seed_threshold is {self.seed_threshold}; choose at least instances.threshold "
                f"({self.threshold}) and less than 1."
            )
        if self.min_size < 1:
            raise InputError(
                f"instances.min_size is {self.min_size}; choose 1 pixel (keeps everything) or more."
            )


def find_objects(
    foreground: NDArray[np.floating[Any]], config: InstanceConfig | None = None, *, ndim: int
) -> NDArray[np.int32]:
    """Separate the foreground into objects by a seeded watershed.

    Every connected part of ``p > seed_threshold`` is the seed of one object and grows, most probable pixels
    first, within ``p > threshold``. A part of ``p > threshold`` without a seed is an object as it is: dim
    objects must not vanish.

    Parameters
    ----------
    foreground : array (leading..., spatial...) float32
        Probability of foreground in [0, 1]; NaN counts as background.
    config : InstanceConfig, optional
        Thresholds and sizes.
    ndim : int
        Number of spatial axes, counted from the last. The leading axes are planes: objects do not cross them.

    Returns
    -------
    array (leading..., spatial...) int32
        0 background; objects 1, 2, 3, ... in the raster order of their first pixels, so the same
        probabilities always give the same ids, and no two planes share one. Every object is connected through
        faces.

    Raises
    ------
    InputError
        If the array has fewer axes than ``ndim``.

    Notes
    -----
    Compared on simulated probabilities (blurred, noisy, some objects dim) of discs and of real masks of
    nuclei and spindly cells; AP at IoU 0.5 / AP at 0.75 / touching objects found. With seams that are at all
    visible, as the border weights teach them: connected components .78/.65/.64, seeds of any size
    .92/.84/.97, these seeds .94/.86/.97, watershed on the distance transform (h-maxima, h = 1 px)
    .92/.82/.94. Where no seam is visible the distance transform wins, .85/.71/.81 against .67/.54/.46, at ten
    times the cost.
    """
    config = config or InstanceConfig()
    if not 1 <= ndim <= foreground.ndim:
        raise InputError(
            f"The probabilities have {foreground.ndim} axes and {ndim} of them should be spatial; "
            f"choose between 1 and {foreground.ndim}."
        )
    objects = np.zeros(foreground.shape, np.int32)
    used = 0
    for plane in np.ndindex(foreground.shape[: foreground.ndim - ndim]):
        labels, count = _grow_seeds(foreground[plane], config)
        labels = _drop_small(labels, count, config.min_size)
        if config.fill_holes:
            _fill_holes(labels)
        labels, count = number_in_raster_order(labels, count)
        np.add(labels, used, out=objects[plane], where=labels > 0)
        used += count
    return objects


def _grow_seeds(probability: NDArray[Any], config: InstanceConfig) -> tuple[NDArray[np.int32], int]:
    parts, n_parts = ndimage.label(probability > config.threshold)
    seeds, n_seeds = ndimage.label(probability > config.seed_threshold)
    seeds = _drop_small(seeds, n_seeds, config.min_size // 2)
    part_of_seed = np.zeros(n_seeds + 1, np.intp)
    part_of_seed[seeds] = parts
    part_of_seed[0] = 0
    seeds_in_part = np.bincount(part_of_seed[1:], minlength=n_parts + 1)
    # Only parts with several seeds need the watershed, by far the slowest step; the others are one object.
    shared = seeds_in_part > 1
    shared[0] = False
    ids = np.where(shared, 0, n_seeds + np.arange(n_parts + 1))
    ids[0] = 0
    labels = ids[parts].astype(np.int32)
    if shared.any():
        contested = shared[parts]
        grown = watershed(  # type: ignore[no-untyped-call]  # scikit-image has no types
            -probability, np.where(contested, seeds, 0), mask=contested
        )
        labels += grown
    return labels, n_seeds + n_parts


def _drop_small(labels: NDArray[np.int32], count: int, min_size: int) -> NDArray[np.int32]:
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    ids = np.arange(count + 1, dtype=np.int32)
    ids[sizes < min_size] = 0
    return ids[labels]


def _fill_holes(labels: NDArray[np.int32]) -> None:
    # A hole is a connected part of the background that touches one object only and not the image's edge.
    # Looking at the background once, not object by object, keeps the cost independent of their number.
    holes, n_holes = ndimage.label(labels == 0)
    lowest = np.full(n_holes + 1, np.iinfo(np.int32).max, np.int32)
    highest = np.zeros(n_holes + 1, np.int32)
    for axis in range(labels.ndim):
        forward_holes, forward_labels = np.moveaxis(holes, axis, 0), np.moveaxis(labels, axis, 0)
        for hole, neighbour in (
            (forward_holes[:-1], forward_labels[1:]),
            (forward_holes[1:], forward_labels[:-1]),
        ):
            rim = (hole > 0) & (neighbour > 0)
            np.minimum.at(lowest, hole[rim], neighbour[rim])
            np.maximum.at(highest, hole[rim], neighbour[rim])
        lowest[forward_holes[0]] = lowest[forward_holes[-1]] = 0
    owner = np.where(lowest == highest, lowest, 0).astype(np.int32)
    owner[0] = 0
    labels += owner[holes]


def number_in_raster_order(labels: NDArray[np.int32], count: int) -> tuple[NDArray[np.int32], int]:
    """Return the labels renumbered 1, 2, ... in the raster order of their first pixels, and their number.

    ``count`` is at least the largest label.
    """
    flat = labels.ravel()
    backwards = np.flatnonzero(flat)[::-1]
    first = np.full(count + 1, flat.size)
    first[flat[backwards]] = backwards  # of repeated ids the last assignment stays: the first pixel
    order = np.argsort(first, kind="stable")
    n_objects = int(np.count_nonzero(first < flat.size))
    ids = np.zeros(count + 1, np.int32)
    ids[order[:n_objects]] = np.arange(1, n_objects + 1)
    return ids[labels], n_objects

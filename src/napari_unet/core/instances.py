"""From the probability of foreground to separate objects."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, prod
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.arrays.blocks import Block, for_each_block, plan_blocks
from napari_unet.core.configs import check_choices, check_number, make_plain
from napari_unet.core.errors import InputError
from napari_unet.core.relief.depth import squared_depth
from napari_unet.core.relief.flooding import Relief, survey
from napari_unet.core.relief.levels import framed, to_levels

Separation = Literal["both", "probability", "shape"]

_DEPTH_WEIGHT = 4.0
"""Weight of the logarithm of the depth against the log-odds of the probability: half the depth is 2.8."""

_CERTAIN = 255
"""How much a pixel that the network is certain of adds to the size of its object; a doubtful one adds 1."""

_MOST_PIXELS = 2**31 - 1
"""Pixels of a landscape and its frame: their places are counted in 32 bits."""

_LEAST, _MOST = 1e-4, 0.9999
"""Probabilities count as this at least and at most: further out, rounding decides."""


@dataclass(frozen=True, slots=True)
class InstanceConfig:
    """How probabilities become objects.

    Parameters
    ----------
    threshold : float
        Pixels whose probability of foreground is above it belong to objects, in [0, 1).
    separate_by : {"both", "probability", "shape"}
        What tells where touching objects meet: a seam of lower probability, as training with border weights
        makes it; the outline, which is narrow there; or both together.
    contrast : float
        How clear the place where objects meet must be for them to stay apart, more than 0: the fall, from the
        lesser of two summits to the saddle between them, in log-odds of the probability (2 is the fall from
        0.95 to 0.72) plus four times the logarithm of the depth (2 is the fall to 0.6 of it). Lower it to
        split touching objects more eagerly, raise it to keep objects whole.
    min_size : int
        Objects of fewer pixels (voxels in 3-D) are removed, at least 1. A pixel counts by how far its
        probability is above the threshold, up to 1, so objects of which the network is not sure must be
        larger.
    fill_holes : bool
        Whether background that one object encloses becomes part of it.
    certain : float
        Probability from which on a pixel is inside an object for certain, at least 0.5 and at most 0.9999:
        by what it varies above that, nothing is separated.
    min_part : float
        A part is split off only if at least this many times ``min_size`` pixels rise above the place where it
        meets the rest; at least 1. Smaller ones are noise and would cut objects up, while small objects by
        themselves are often real.
    """

    threshold: float = 0.5
    separate_by: Separation = "both"
    contrast: float = 2.0
    min_size: int = 8
    fill_holes: bool = True
    certain: float = _MOST
    min_part: float = 2.0

    def __post_init__(self) -> None:
        make_plain(self)
        for name in ("threshold", "contrast", "min_size", "certain", "min_part"):
            check_number(Integral if name == "min_size" else Real, f"instances.{name}", getattr(self, name))
        if not 0 <= self.threshold < 1:
            raise InputError(f"instances.threshold is {self.threshold}; choose at least 0 and less than 1.")
        check_choices(self, "instances")
        if not self.contrast > 0:
            raise InputError(f"instances.contrast is {self.contrast}; choose more than 0.")
        if not 1 <= self.min_size < 2**63:
            raise InputError(
                f"instances.min_size is {self.min_size}; choose 1 pixel (keeps everything) or more."
            )
        if not 1 <= self.min_part < inf:
            raise InputError(f"instances.min_part is {self.min_part}; choose 1 or more.")
        if not 0.5 <= self.certain <= _MOST:
            raise InputError(f"instances.certain is {self.certain}; choose at least 0.5 and at most {_MOST}.")


def find_objects(
    foreground: NDArray[np.floating[Any]], config: InstanceConfig = InstanceConfig(), *, ndim: int
) -> NDArray[np.int32]:
    """Separate the foreground into objects: the hills of a landscape of probability and depth.

    See :mod:`napari_unet.core.relief.flooding`; docs/tried.md has what else was tried. A part of
    ``p > threshold`` that has one summit is an object however low it is: what separates objects removes none.

    Parameters
    ----------
    foreground : array (leading..., spatial...) float32
        Probability of foreground in [0, 1]; NaN counts as background.
    config : InstanceConfig
        Thresholds and sizes.
    ndim : int
        Number of spatial axes, counted from the last. The leading axes are planes: objects do not cross them.

    Returns
    -------
    array (leading..., spatial...) int32
        0 background; objects 1, 2, 3, ... in the raster order of their first pixels, so the same
        probabilities always give the same ids, and no two planes share one. Every object is connected through
        faces. What becomes of a connected part of ``p > threshold`` depends on that part alone, so images
        may be separated block by block (`core/objects/block_objects.py`).

    Raises
    ------
    InputError
        If a plane or volume has more pixels than can be told apart in 32 bits.
    """
    objects = np.zeros(foreground.shape, np.int32)
    used = 0
    for plane in np.ndindex(foreground.shape[: foreground.ndim - ndim]):
        used += Landscape.of(foreground[plane], config).write_objects(config, objects[plane], used)
    return objects


def check_pixels(shape: Sequence[int]) -> None:
    """Raise ``InputError`` if a plane or volume of this shape has more pixels than 32 bits tell apart."""
    if prod(side + 2 for side in shape) > _MOST_PIXELS:
        raise InputError(
            f"Objects are found in at most {_MOST_PIXELS:,} pixels at once, and here are "
            f"{' × '.join(map(str, shape))}; crop the image, or segment its file with "
            "napari-unet predict --format zarr."
        )


@dataclass(frozen=True, slots=True, eq=False)
class Landscape:
    """The foreground of one plane or volume, as its objects are read from it with any contrast and sizes."""

    # as in the configurations that it can be read with
    threshold: float
    separate_by: Separation
    certain: float
    relief: Relief  # its hills of probability and depth, and the ground between them
    # (R + 1,) how sure the network is of the pixels of each region: 255 for each of which it is certain
    sureness: NDArray[np.int64]

    @classmethod
    def of(cls, foreground: NDArray[np.floating[Any]], config: InstanceConfig) -> "Landscape":
        """Survey a plane or volume (spatial...) of probabilities of foreground, most of the work.

        ``InputError`` as :func:`check_pixels`.
        """
        check_pixels(foreground.shape)
        relief = survey(_levels(foreground, config))
        sureness = relief.add_up_excess(foreground, config.threshold, _CERTAIN / (1 - config.threshold))
        return cls(config.threshold, config.separate_by, config.certain, relief, sureness)

    def suits(self, config: InstanceConfig) -> bool:
        """Return whether :meth:`objects` can be asked for with this configuration."""
        mine = (self.threshold, self.separate_by, self.certain)
        return mine == (config.threshold, config.separate_by, config.certain)

    def objects(self, config: InstanceConfig) -> NDArray[np.int32]:
        """Return the objects (spatial...) as :func:`find_objects` numbers them; see :meth:`write_objects`."""
        objects = np.empty(self.relief.regions.shape, np.int32)
        self.write_objects(config, objects)
        return objects

    def write_objects(self, config: InstanceConfig, out: NDArray[np.int32], used: int = 0) -> int:
        """Write the objects to ``out`` (spatial...), numbered on from ``used``; return how many there are.

        Raises
        ------
        ValueError
            If the configuration does not suit.
        """
        if not self.suits(config):
            raise ValueError(f"The landscape was surveyed for other settings than {config}.")
        relief = self.relief
        smallest_part = min(config.min_part * (config.min_size - 1), 2**62)  # no image has more pixels
        basins = relief.basins(config.contrast, 1 + round(smallest_part))
        first = relief.first.copy()
        np.minimum.at(first, basins, relief.first)
        sureness = np.bincount(basins, self.sureness)
        kept = np.flatnonzero(sureness > _CERTAIN * (config.min_size - 1))
        numbers = np.zeros(basins.size, np.int32)
        numbers[kept[np.argsort(first[kept])]] = np.arange(used + 1, used + kept.size + 1)
        labels = numbers[basins]
        if config.fill_holes:
            relief.fill(labels)  # a hole begins after the object around it, so the order stays

        def write(block: Block) -> None:
            out[block.core] = labels[relief.regions[block.core]]

        for_each_block(write, plan_blocks(out.shape))
        return int(kept.size)


def _levels(foreground: NDArray[np.floating[Any]], config: InstanceConfig) -> NDArray[np.int16]:
    """Return the landscape of a plane or volume, framed."""
    mask = foreground > config.threshold
    squared = None if config.separate_by == "probability" else squared_depth(mask)
    level, inside = framed(mask.shape)

    def write(block: Block) -> None:
        part = block.core
        probability = None if config.separate_by == "shape" else foreground[part]
        deep = None if squared is None else squared[part]
        height = _heights(probability, deep, mask[part], config.certain)
        inside[part] = to_levels(height, mask[part])

    for_each_block(write, plan_blocks(mask.shape))
    return level


def _heights(
    probability: NDArray[Any] | None,
    squared_depth: NDArray[Any] | None,
    mask: NDArray[np.bool_],
    most: float,
) -> NDArray[np.float32]:
    """Return the height of every pixel of the mask: log-odds plus the weighted logarithm of its depth.

    Of both, what is None does not count. Probabilities are at most ``most``. Other pixels have any number.
    """
    # Everywhere: choosing the pixels of the mask again and again takes longer than their neighbours do.
    height = np.zeros(mask.shape, np.float32)
    if probability is not None:
        certain = np.fmax(probability, _LEAST, dtype=np.result_type(probability, height))  # NaN, too
        np.minimum(certain, most, out=certain)
        np.subtract(1, certain, out=height)
        np.divide(certain, height, out=height)
        np.log(height, out=height)
    if squared_depth is not None:
        # Half a pixel more: from 1 to 2 pixels of depth is not yet twice as deep.
        depth = squared_depth.astype(np.float32)
        np.sqrt(depth, out=depth)
        depth += np.float32(0.5)
        np.log(depth, out=depth)
        depth *= np.float32(_DEPTH_WEIGHT)
        height += depth
    return height


def number_in_raster_order(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the labels renumbered 1, 2, ... in the raster order of their first pixels."""
    first = first_pixels(labels)
    present = np.argsort(first, kind="stable")[: np.count_nonzero(first < labels.size)]
    ids = np.zeros(first.size, np.int32)
    ids[present] = np.arange(1, present.size + 1)
    return ids[labels]


def first_pixels(labels: NDArray[np.int32]) -> NDArray[np.intp]:
    """Return the raster index of the first pixel of each label from 0 on; of 0 and absent ones, the size."""
    flat = labels.ravel()
    backwards = np.flatnonzero(flat)[::-1]
    first = np.full(int(flat.max(initial=0)) + 1, flat.size)
    first[flat[backwards]] = backwards  # of repeated ids the last assignment stays: the first pixel
    return first

"""Divide a landscape into its hills: one basin for every summit that stands out enough.

The pixels are flooded from the top down. A pixel without flooded neighbours is a summit and begins a basin;
any other joins the basin of its highest neighbour. Where two basins meet, at a saddle, the one with the lower
summit becomes part of the other if it does not stand out: if it rises less than ``contrast`` above the
saddle, or is smaller there than ``min_area``. What is not merged stays apart, and the saddles are the border.

This is the segmentation by persistence of Chazal, Guibas, Oudot & Skraba (2013), "Persistence-based
clustering in Riemannian manifolds", J. ACM 60(6), with an area beside the height; without the area, its
basins are those of a watershed from h-maxima (Grimaud's dynamics, 1992), found in one pass instead of three.

Which summit is uphill of a pixel, and in which order hills touch, depends on the landscape alone. So the
pixels are looked at once, by :func:`survey`; what merges for one contrast and area is then told from hills,
of which there are a hundred times fewer.
"""

import os
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.blocks import MAX_THREADS

_STEPS = 64
"""Levels that one unit of height is divided into: finer than bfloat16 tells log-odds apart."""

_HIGHEST = 500.0
"""Heights are counted in 16 bits, from -500 to 500 in 1/64."""

_PART = 2**18
"""Pixels of an image for each thread: fewer are done before another has begun."""


@dataclass(frozen=True, slots=True, eq=False)
class Relief:
    """A landscape cut into regions: its hills, one for every summit however low, and the ground between.

    Parameters
    ----------
    regions : array (spatial...) int32
        Hills 1..H in the raster order of their summits, then the connected parts of the ground H+1..R.
    first : array (R + 1,) int32
        Raster index of the first pixel of each region; of region 0, which is none, the number of pixels.
    at_edge : array (R + 1,) bool
        Whether a region touches the edge of the image.
    rims : array (…, 2) int32
        Pairs of regions that touch, some more than once.
    summits, order, saddles, heights, near : arrays of int32
        What is met from the top down, see :func:`napari_unet.core.flooding_kernel.sort_pixels`.
    """

    regions: NDArray[np.int32]
    first: NDArray[np.int32]
    at_edge: NDArray[np.bool_]
    rims: NDArray[np.int32]
    summits: NDArray[np.int32]
    order: NDArray[np.int32]
    saddles: NDArray[np.int32]
    heights: NDArray[np.int32]
    near: NDArray[np.int32]

    @property
    def nbytes(self) -> int:
        """Memory it takes."""
        return sum(
            array.nbytes
            for array in (self.regions, self.rims, self.order, self.saddles, self.heights, self.near)
        )

    def basins(self, contrast: float, min_area: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return which hills make up each basin.

        Parameters
        ----------
        contrast : float
            Height by which a basin stands out of the saddle at least, else it is merged.
        min_area : int
            Pixels of a basin above the saddle at least, else it is merged.

        Returns
        -------
        basins : array (H + 1,) int32
            The hill with the summit of the basin that each hill belongs to; of equal summits it is one that
            was flooded earlier. 0 for 0.
        sizes : array (H + 1,) int32
            Pixels of the basin of each such hill, 0 for all others.
        """
        from napari_unet.core.flooding_kernel import flood

        return flood(  # type: ignore[no-any-return]  # numba has no types
            self.summits,
            self.order,
            self.saddles,
            self.heights,
            self.near,
            round(contrast * _STEPS),
            min_area,
        )

    def fill(self, labels: NDArray[np.int32]) -> None:
        """Give every hole the label of the one object around it.

        A hole is a connected part of what has label 0, hills included, that touches one object only and not
        the edge of the image.

        Parameters
        ----------
        labels : array (R + 1,) int32
            Object of every region, written to.
        """
        from napari_unet.core.flooding_kernel import fill_regions

        fill_regions(labels, self.at_edge, self.rims)


def survey(height: NDArray[np.floating], mask: NDArray[np.bool_]) -> Relief:
    """Cut a landscape into regions.

    Parameters
    ----------
    height : array (spatial...) float
        The landscape, in [-500, 500]; it counts in steps of 1/64. Of equal heights the first in raster order
        counts as the higher.
    mask : array (spatial...) bool
        Pixels to flood; all others are ground. Hills are connected through faces, and so are parts of the
        ground; parts of the mask that are not connected know nothing of each other.
    """
    from napari_unet.core.flooding_kernel import OUTSIDE, find_rims, first_pixels

    inside = (slice(1, -1),) * mask.ndim
    # A frame, so that every pixel of the mask has all its neighbours.
    level = np.full([size + 2 for size in mask.shape], OUTSIDE, np.int16)
    level[inside][mask] = np.rint(np.clip(height[mask], -_HIGHEST, _HIGHEST) * _STEPS)
    strides = np.array(level.strides) // level.itemsize
    steps = np.concatenate((strides, -strides))
    bounds = _divide(level.size)
    with ThreadPoolExecutor(len(bounds), thread_name_prefix="flooding") as pool:
        labelling = pool.submit(ndimage.label, ~mask)
        hills, summits = _find_hills(level.ravel(), steps, bounds, pool)
        parts, n_parts = labelling.result()
        framed = hills.reshape(level.shape).copy()
        np.add(parts, summits.size, out=framed[inside], where=parts > 0)
        rims = [pool.submit(find_rims, framed.ravel(), strides, *part) for part in bounds]
        met = _sort(level.ravel(), hills, steps, bounds, pool)
        touching = np.concatenate([found.result() for found in rims])
    regions = np.ascontiguousarray(framed[inside])
    at_edge = np.zeros(summits.size + n_parts + 1, np.bool_)
    for axis in range(mask.ndim):
        across = np.moveaxis(regions, axis, 0)
        at_edge[across[0]] = at_edge[across[-1]] = True
    levels = np.concatenate(([OUTSIDE], level.ravel()[summits])).astype(np.int32)
    return Relief(regions, first_pixels(regions.ravel(), at_edge.size), at_edge, touching, levels, *met)


def _divide(size: int) -> list[tuple[int, int]]:
    """Return where parts of an image begin and end that are worked on at once."""
    number = max(1, min(MAX_THREADS, os.cpu_count() or 1, size // _PART))
    ends = [size * count // number for count in range(number + 1)]
    return list(pairwise(ends))


def _find_hills(
    level: NDArray[np.int16], steps: NDArray[np.int64], bounds: Sequence[tuple[int, int]], pool: Executor
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return for every pixel which summit is uphill, 1..C in raster order, 0 outside; and the summits."""
    from napari_unet.core.flooding_kernel import climb, find_uphill

    uphill = np.zeros(level.size, np.int32)
    found = [pool.submit(find_uphill, level, steps, uphill, *part) for part in bounds]
    summits = np.concatenate([part.result() for part in found])
    hills = np.zeros(level.size, np.int32)
    hills[summits] = np.arange(1, summits.size + 1)
    for climbed in [pool.submit(climb, uphill, hills, *part) for part in bounds]:
        climbed.result()
    return hills, summits


def _sort(
    level: NDArray[np.int16],
    hills: NDArray[np.int32],
    steps: NDArray[np.int64],
    bounds: Sequence[tuple[int, int]],
    pool: Executor,
) -> tuple[NDArray[np.int32], ...]:
    """Return what is met from the top down; see :func:`napari_unet.core.flooding_kernel.sort_pixels`."""
    from napari_unet.core.flooding_kernel import count_pixels, sort_pixels

    counting = [pool.submit(count_pixels, level, hills, steps, *part) for part in bounds]
    pixels, saddles, found = zip(*(counted.result() for counted in counting), strict=True)
    begin, n_pixels = _begins(pixels)
    begin_saddle, n_saddles = _begins(saddles)
    met = (
        np.empty(n_pixels, np.int32),
        np.empty(n_saddles, np.int32),
        np.empty(n_saddles, np.int32),
        np.zeros((n_saddles, steps.size), np.int32),
    )
    sorting = [
        pool.submit(sort_pixels, level, hills, steps, of_part, first, first_saddle, met, start, stop)
        for of_part, first, first_saddle, (start, stop) in zip(
            found, begin, begin_saddle, bounds, strict=True
        )
    ]
    for part in sorting:
        part.result()
    return met


def _begins(counts: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.int64], int]:
    """Return where each level begins of each part (parts, levels): by level, then by part; and the total."""
    of_level = np.stack(counts, axis=1)
    ends = np.cumsum(of_level).reshape(of_level.shape)
    return np.ascontiguousarray((ends - of_level).T), int(ends[-1, -1])

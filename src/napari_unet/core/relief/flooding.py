"""Divide a landscape into its hills: one basin for every summit that stands out enough.

The pixels are flooded from the top down. A pixel without flooded neighbours is a summit and begins a basin;
any other joins the basin of its highest neighbour. Where two basins meet, at a saddle, the one with the lower
summit becomes part of the other if it does not stand out: if it rises less than ``contrast`` above the
saddle, or is smaller there than ``min_area``; of equal summits either must stand out. What is not merged
stays apart, and the saddles are the border.

This is the segmentation by persistence of Chazal, Guibas, Oudot & Skraba (2013), "Persistence-based
clustering in Riemannian manifolds", J. ACM 60(6), with an area beside the height; without the area, its
basins are those of a watershed from h-maxima (Grimaud's dynamics, 1992), found in one pass instead of three.

Which summit is uphill of a pixel, and in which order hills touch, depends on the landscape alone. So
:func:`survey` looks at the pixels once; what merges for one contrast and area then follows from the places
where two hills touch first. There are thirty times fewer of those, and the others change nothing: a basin
that has stood out once always does, since the water only falls.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.arrays.blocks import in_parts
from napari_unet.core.relief.levels import difference_in_levels


@dataclass(frozen=True, slots=True, eq=False)
class Relief:
    """A landscape cut into regions: its hills, one for every summit however low, and pieces of the ground."""

    # (spatial...) hills and pieces of the ground, 1..R in the raster order of their summits, or first pixels
    regions: NDArray[np.int32]
    level: NDArray[np.int16]  # (framed spatial...) the landscape, see `framed`
    uphill: NDArray[np.int8]  # (framed spatial...) which neighbour is uphill, see `find_uphill`
    # (R + 1,) place in the frame of the summit of each region; of region 0, which is none, 0
    summits: NDArray[np.int32]
    first: NDArray[np.int32]  # (R + 1,) place in the frame of the first pixel of each region
    at_edge: NDArray[np.bool_]  # (R + 1,) whether a region touches the edge of the image
    # (…, 2) pairs of regions that touch, some more than once; of hills in the order in which they meet
    rims: NDArray[np.int32]
    meetings: NDArray[np.int64]  # (M,) when the hills of the first pairs meet, see `find_rims`

    @property
    def nbytes(self) -> int:
        """Memory it takes."""
        return sum(
            array.nbytes for array in (self.regions, self.level, self.uphill, self.rims, self.meetings)
        )

    def add_up_excess(self, values: NDArray[Any], threshold: float, scale: float) -> NDArray[np.int64]:
        """Return for each region (R + 1,) by how much the values of its pixels are above a threshold.

        Parameters
        ----------
        values : array (spatial...)
            Of any dtype that is compared with a number. Only those above the threshold count; NaN does not.
        threshold : float
        scale : float
            How much an excess of 1 counts; each pixel adds a whole number, at least 1.
        """
        from napari_unet.core.relief.flooding_kernel import add_up_excess

        # Compared as numpy compares; then half precision, truth values and foreign byte orders, which numba
        # does not know, as single precision.
        limit = values.dtype.type(threshold) if values.dtype.kind == "f" else threshold
        values = np.asarray(values, np.result_type(values, np.float32))
        regions = self.regions

        def work(start: int, stop: int) -> NDArray[np.int64]:
            sums = np.zeros(self.summits.size, np.int64)
            rows = slice(start, stop)
            for plane in np.ndindex(values.shape[1:-1]):
                add_up_excess(
                    np.atleast_2d(regions[rows][(slice(None), *plane)]),
                    np.atleast_2d(values[rows][(slice(None), *plane)]),
                    float(limit),
                    scale,
                    sums,
                )
            return sums

        total: NDArray[np.int64] = np.sum(in_parts(work, 0, len(values), values.size), axis=0)
        return total

    def basins(self, contrast: float, min_area: int) -> NDArray[np.int32]:
        """Return which hills make up each basin.

        Parameters
        ----------
        contrast : float
            Height by which a basin stands out of the saddle at least, else it is merged.
        min_area : int
            Pixels of a basin above the saddle at least, else it is merged.

        Returns
        -------
        array (R + 1,) int32
            The hill with the summit of the basin that each hill belongs to; of equal summits the first in
            raster order. Of the ground the region itself.
        """
        from napari_unet.core.relief.flooding_kernel import flood

        return flood(  # type: ignore[no-any-return]  # numba has no types
            self.level.ravel(),
            self.uphill.ravel(),
            _steps(self.level),
            self.summits,
            self.rims,
            self.meetings,
            difference_in_levels(contrast),
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
        from napari_unet.core.relief.flooding_kernel import fill_regions

        fill_regions(labels, self.at_edge, self.rims)


def survey(level: NDArray[np.int16]) -> Relief:
    """Cut a landscape (framed spatial...) into regions; see :func:`napari_unet.core.relief.levels.framed`."""
    from napari_unet.core.relief.flooding_kernel import climb, find_uphill

    steps = _steps(level)
    flat = level.ravel()
    uphill = np.zeros(level.size, np.int8)
    regions = np.zeros(level.size, np.int32)
    bounds = int(steps[0]), level.size - int(steps[0]), level.size  # at both ends there is only frame
    found = in_parts(partial(find_uphill, flat, steps, uphill), *bounds)
    summits = np.concatenate([np.zeros(1, np.int32), *found])

    def number(start: int, stop: int) -> None:  # in parts: it is the first to touch this memory
        first, last = np.searchsorted(summits, (start, stop))
        regions[summits[first:last]] = np.arange(first, last)

    in_parts(number, *bounds)
    firsts = in_parts(partial(climb, flat, steps, uphill, regions, summits.size), *bounds)
    rims, meetings, on_ground = _rims(flat, regions, steps, bounds)
    inside = regions.reshape(level.shape)[(slice(1, -1),) * level.ndim]
    at_edge = np.zeros(summits.size, np.bool_)
    for axis in range(level.ndim):
        across = np.moveaxis(inside, axis, 0)
        at_edge[across[0]] = at_edge[across[-1]] = True
    return Relief(
        inside,
        level,
        uphill,
        summits,
        first=np.min([summits, *firsts], axis=0),
        at_edge=at_edge,
        rims=np.concatenate((rims, on_ground)),
        meetings=meetings,
    )


def _rims(
    level: NDArray[np.int16],
    regions: NDArray[np.int32],
    steps: NDArray[np.int64],
    bounds: tuple[int, int, int],
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int32]]:
    """Return the pairs of hills that touch, when they meet, in that order, and the pairs with ground."""
    from napari_unet.core.relief.flooding_kernel import NEVER, find_rims

    def in_order(start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        pairs, meetings = find_rims(level, regions, steps, start, stop)
        of_hills = np.flatnonzero(meetings < NEVER)
        order = of_hills[np.argsort(meetings[of_hills])]
        return pairs[order], meetings[order], pairs[meetings == NEVER]

    pairs, meetings, on_ground = map(np.concatenate, zip(*in_parts(in_order, *bounds), strict=True))
    order = np.argsort(meetings, kind="stable")  # which merges what is in order already
    return _as_rims(pairs[order]), meetings[order], _as_rims(on_ground)


def _as_rims(pairs: NDArray[np.int64]) -> NDArray[np.int32]:
    return pairs.view(np.int32).reshape(-1, 2)


def _steps(level: NDArray[np.int16]) -> NDArray[np.int64]:
    """Return what to add to a flat index to come to each neighbour: first those ahead, then those behind."""
    strides = np.array(level.strides) // level.itemsize
    return np.concatenate((strides, -strides))

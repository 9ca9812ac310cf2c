"""Complete regions: boxes and polygons in which everything is annotated, so that the rest is background.

The paint itself is not changed. It is read as a copy in which the unlabelled pixels of the regions are
background, and the objects inside are known to be painted up to their border.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from napari_unet.core.annotation import BACKGROUND, FIRST_OBJECT
from napari_unet.core.arrays.boxes import Plane
from napari_unet.core.arrays.runs import count_values

_ON_PLANE = 0.5
"""Pixels between the planes of the first and the last vertex from which on a shape lies across planes."""

_NEIGHBOURS = np.ones((3, 3), bool)

_CORNERS_OF_ELLIPSE = 90


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """The pixels of one plane in which everything is annotated."""

    plane: Plane  # index of the plane along all axes but the last two
    box: tuple[slice, slice]  # bounding box in the plane (YX), inside the image
    mask: NDArray[np.bool_]  # which of its pixels belong to the region; at least one does

    def lies_in(self, shape: Sequence[int]) -> bool:
        """Return whether paint of this shape has all its pixels; paint may be replaced by that of another."""
        return (
            len(self.plane) == len(shape) - 2
            and all(at < size for at, size in zip(self.plane, shape[:-2], strict=True))
            and all(side.stop <= size for side, size in zip(self.box, shape[-2:], strict=True))
        )


def shape_outline(corners: NDArray[Any], kind: str) -> NDArray[np.float64]:
    """Return the corners of a rectangle or polygon as they are; of an "ellipse", given by its box, many."""
    if kind != "ellipse":
        return np.asarray(corners, float)
    centre = corners.mean(axis=0)
    along, across = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    angle = np.linspace(0, 2 * np.pi, _CORNERS_OF_ELLIPSE, endpoint=False)[:, None]
    return np.asarray(centre + np.sin(angle) * along + np.cos(angle) * across)


def outline_region(vertices: ArrayLike, shape: Sequence[int]) -> Region | None:
    """Return the pixels whose centres a polygon encloses.

    Parameters
    ----------
    vertices : array (N, D) float
        The corners in order, in pixels of the paint: the centre of pixel (3, 5) is at (3.0, 5.0). Where the
        outline crosses itself, what it goes around twice is outside.
    shape : sequence of D int
        Shape of the paint (…YX).

    Returns
    -------
    Region or None
        None for a polygon that encloses no pixel of the image, or lies across planes.
    """
    corners = np.asarray(vertices, float)
    if len(corners) < 3 or not np.isfinite(corners).all():
        return None
    leading = corners[:, :-2]
    if leading.size and np.ptp(leading, axis=0).max(initial=0) >= _ON_PLANE:
        return None
    plane = tuple(np.rint(leading.mean(axis=0)).astype(int).tolist())
    if any(not 0 <= at < size for at, size in zip(plane, shape, strict=False)):
        return None
    corners = corners[:, -2:]
    first = np.maximum(np.ceil(corners.min(axis=0)), 0).astype(int)
    last = np.minimum(np.floor(corners.max(axis=0)), np.array(shape[-2:]) - 1).astype(int)
    if (last < first).any():
        return None
    mask = _inside(corners - first, tuple((last - first + 1).tolist()))
    if not mask.any():
        return None
    y, x = (slice(start, stop + 1) for start, stop in zip(first.tolist(), last.tolist(), strict=True))
    return Region(plane, (y, x), mask)


def complete(paint: NDArray[Any], regions: Sequence[Region]) -> NDArray[Any]:
    """Write background into the unlabelled pixels of ``regions``, in place, and return ``paint`` (…YX).

    Here and everywhere else, regions that reach beyond the paint belong to other paint and are ignored.
    """
    for region in regions:
        if region.lies_in(paint.shape):
            pixels = paint[region.plane][region.box]
            pixels[region.mask & (pixels == 0)] = BACKGROUND
    return paint


def complete_everywhere(paint: NDArray[Any]) -> NDArray[Any]:
    """Return a copy of ``paint`` in which everything is annotated: background where nothing is painted."""
    return np.where(paint == 0, BACKGROUND, paint).astype(paint.dtype)


def overlooked(objects: NDArray[Any], paint: NDArray[Any], regions: Sequence[Region]) -> int:
    """Return how many predicted ``objects`` (…YX) the regions make background: most of it is unpainted.

    A user who forgets to accept an object that is right would teach that it is not there.
    """
    found = set[int]()
    for region in (region for region in regions if region.lies_in(paint.shape)):
        here = np.where(region.mask, objects[region.plane][region.box], 0)
        bare = count_values(np.where(paint[region.plane][region.box] == 0, here, 0))
        everywhere = count_values(here)
        found.update(value for value, pixels in bare.items() if 2 * pixels > everywhere[value])
    return len(found)


def objects_inside(paint: NDArray[np.integer[Any]], regions: Sequence[Region]) -> set[int]:
    """Return the values of the objects of ``paint`` (…YX) that lie in ``regions`` with all their borders.

    An object that touches the outside of its region may go on there, and is left out.
    """
    inside: Counter[int] = Counter()
    for plane, core in cores(regions, paint.shape):
        inside.update(count_values(np.where(core, paint[plane], 0)))
    if not inside:
        return set()
    everywhere = count_values(np.asarray(paint))
    return {value for value in inside if value >= FIRST_OBJECT and everywhere[value] == inside[value]}


def cores(regions: Sequence[Region], shape: tuple[int, ...]) -> Iterator[tuple[Plane, NDArray[np.bool_]]]:
    """Yield every plane that has regions, and which of its pixels (YX) are in them with all their neighbours.

    An object whose pixels are all among these ends in its regions.
    """
    regions = [region for region in regions if region.lies_in(shape)]
    for plane in sorted({region.plane for region in regions}):
        mask = np.zeros(shape[-2:], bool)
        for region in regions:
            if region.plane == plane:
                mask[region.box] |= region.mask
        # Outside the image there is nothing that could be missing.
        yield plane, ndimage.binary_erosion(mask, _NEIGHBOURS, border_value=1)


def _inside(corners: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which pixels of an array of ``shape`` (YX) a polygon encloses, row by row.

    Left of a pixel inside, its row crosses the outline an odd number of times. Unlike
    ``skimage.draw.polygon``, which asks every pixel for every corner, this takes a lasso of hundreds of
    corners around a whole image in milliseconds.
    """
    crossings = np.zeros((shape[0], shape[1] + 1), np.uint32)
    for (y, x), (next_y, next_x) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        low, high = sorted((y, next_y))
        # An edge owns its upper end and not its lower one: rows through a corner cross once.
        rows = np.arange(max(ceil(low), 0), min(ceil(high), shape[0]))
        at = x + (rows - y) * ((next_x - x) / (next_y - y)) if rows.size else np.zeros(0)
        columns = np.clip(np.ceil(at), 0, shape[1]).astype(int)
        crossings[rows, columns] += 1
    return (np.cumsum(crossings[:, :-1], axis=1) % 2).astype(bool)

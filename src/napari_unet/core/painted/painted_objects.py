"""What the painted objects of a plane are like: where they are, how wide, and whether any two are close."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import FIRST_OBJECT
from napari_unet.core.borders.two_nearest import with_small_ids
from napari_unet.core.borders.weight_reading import TOUCHING
from napari_unet.core.painted.painted_pixels import PaintedPixels


@dataclass(frozen=True, slots=True, eq=False)
class PaintedObjects:
    """The N objects of one painted plane or volume, in the order of their values.

    Parameters
    ----------
    inside : array (N,) of int
        Flat index of a pixel of each.
    spans : array (N, ndim) of int
        Length of the bounding box of each along every axis, in pixels.
    shows_border : bool
        Whether two of them are so close, or touch, that the weight map has a border between them; True as
        well where no border is asked for.
    """

    inside: NDArray[np.intp]
    spans: NDArray[np.intp]
    shows_border: bool


def find_painted_objects(painted: PaintedPixels, border: NDArray[np.float32], w0: float) -> PaintedObjects:
    """Return the objects of paint in "objects" mode.

    Parameters
    ----------
    painted : PaintedPixels
        Every value >= 2 is one object, connected or not.
    border : array (N,) float32
        The border term of the weight map of that paint, where it is painted.
    w0 : float
        Height of the border term, >= 0.
    """
    is_object = painted.values >= FIRST_OBJECT
    pixels = painted.flat[is_object]
    objects = with_small_ids(painted.values[is_object])
    # Stable: the pixels of an object stay in the order of the plane, so the middle one is near its middle.
    order = np.argsort(objects, kind="stable")
    pixels = pixels[order]
    _, starts, counts = np.unique(objects[order], return_index=True, return_counts=True)
    spans = np.zeros((starts.size, len(painted.shape)), np.intp)
    if starts.size:
        for axis, places in enumerate(np.unravel_index(pixels, painted.shape)):
            spans[:, axis] = np.maximum.reduceat(places, starts) - np.minimum.reduceat(places, starts) + 1
    return PaintedObjects(
        inside=pixels[starts + counts // 2],
        spans=spans,
        shows_border=w0 == 0 or bool((border >= TOUCHING * w0).any()),
    )

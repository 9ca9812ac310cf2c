"""Divide a landscape into its hills: one basin for every summit that stands out enough.

The pixels are flooded from the top down. A pixel without flooded neighbours is a summit and begins a basin;
any other joins the basin of its highest neighbour. Where two basins meet, at a saddle, the one with the lower
summit becomes part of the other if it does not stand out: if it rises less than ``contrast`` above the
saddle, or is smaller there than ``min_area``. What is not merged stays apart, and the saddles are the border.

This is the segmentation by persistence of Chazal, Guibas, Oudot & Skraba (2013), "Persistence-based
clustering in Riemannian manifolds", J. ACM 60(6), with an area beside the height; without the area, its
basins are those of a watershed from h-maxima (Grimaud's dynamics, 1992), found in one pass instead of three.
"""

import numpy as np
from numpy.typing import NDArray

_STEPS = 64
"""Levels that one unit of height is divided into: finer than bfloat16 tells log-odds apart."""

_HIGHEST = 500.0
"""Heights are counted in 16 bits, which sort fast: from -500 to 500 in 1/64."""


def find_basins(
    height: NDArray[np.floating], mask: NDArray[np.bool_], *, contrast: float, min_area: int
) -> tuple[NDArray[np.int32], int]:
    """Return the basins of the pixels of ``mask``, and how many there are.

    Parameters
    ----------
    height : array (spatial...) float
        The landscape, in [-500, 500]; it counts in steps of 1/64.
    mask : array (spatial...) bool
        Pixels to flood. Basins of parts that are not connected through faces know nothing of each other.
    contrast : float
        Height by which a basin stands out of the saddle at least, else it is merged.
    min_area : int
        Pixels of a basin above the saddle at least, else it is merged.

    Returns
    -------
    labels : array (spatial...) int32
        0 outside, basins 1..N in the raster order of their summits. Each is connected through faces. Of equal
        heights the first in raster order counts as the higher.
    count : int
    """
    from napari_unet.core.flooding_kernel import flood

    # A frame, so that every pixel of the mask has all its neighbours.
    framed = np.pad(mask, 1)
    pixels = np.flatnonzero(framed)
    levels = np.zeros(framed.size, np.int32)
    levels[pixels] = np.rint(np.clip(height[mask], -_HIGHEST, _HIGHEST) * _STEPS)
    order = pixels[np.argsort(-levels[pixels].astype(np.int16), kind="stable")]
    strides = np.array(framed.strides) // framed.itemsize
    summits = flood(order, levels, np.concatenate((strides, -strides)), round(contrast * _STEPS), min_area)
    numbers = np.zeros(framed.size, np.int32)
    is_summit = np.flatnonzero(summits[pixels] == pixels)
    numbers[pixels[is_summit]] = np.arange(1, is_summit.size + 1)
    labels = np.zeros(mask.shape, np.int32)
    labels[mask] = numbers[summits[pixels]]
    return labels, int(is_summit.size)

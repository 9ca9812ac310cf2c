"""Where objects end: the pixels just outside of a fully painted object are not it.

Paint that fills an object to its border says so, though nothing is painted there. Without these pixels the
border is taught from inside alone, and masks grow over it: on small nuclei by enough to halve the overlap
with the truth. Where another object lies there, it is the seam between the two, which is background as well.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.object_distance import Full, full_objects


def find_rim(paint: NDArray[np.int32], full: Full, taught: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the unlabelled pixels beside fully painted objects: background that nobody has to paint.

    Parameters
    ----------
    paint : array (…YX) int32
        In "objects" mode.
    full : Full
        Which of its objects are painted in full.
    taught : array (…YX) bool
        Painted pixels to learn from. Only what is beside these counts: the rim of an object that is held out
        would give its border away.

    Returns
    -------
    array (N,) of int
        Flat indices in ascending order, each once. Neighbours are those of full connectivity.
    """
    if full is False:
        return np.zeros(0, np.intp)
    is_rim = np.zeros(paint.shape, bool)
    beside = np.ones((3,) * paint.ndim, bool)
    for _, box, mask in full_objects(paint, full):
        is_rim[box] |= ndimage.binary_dilation(mask & taught[box], beside)
    return np.flatnonzero(is_rim & (paint == 0))

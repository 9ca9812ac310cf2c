"""Where objects end: the pixels just outside of a fully painted object are background.

Paint that fills an object to its border says so, though nothing is painted there. Without these pixels the
border is taught from inside alone, and masks grow over it: on small nuclei by enough to halve the overlap
with the truth. Where another object lies there, it is the seam between the two, which is background as well,
and where the border weights are highest.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.annotation import FIRST_OBJECT
from napari_unet.core.painted.object_distance import Full


def find_rims(paint: NDArray[np.int32], full: Full) -> NDArray[np.int32]:
    """Return the unlabelled pixels beside fully painted objects: background that nobody has to paint.

    Parameters
    ----------
    paint : array (…YX) int32
        In "objects" mode, or a window of it: what is found depends on the pixels next to each other alone.
    full : Full
        Which of its objects are painted in full.

    Returns
    -------
    array (…YX) int32
        The value of the object that the pixel is beside, the highest where there are several; 0 elsewhere.
        Neighbours are those of full connectivity.
    """
    if full is False:
        return np.zeros(paint.shape, np.int32)
    is_full = paint >= FIRST_OBJECT if full is True else np.isin(paint, list(full))
    near: NDArray[np.int32] = ndimage.maximum_filter(np.where(is_full, paint, 0), size=3, mode="nearest")
    return np.where(paint == 0, near, 0)

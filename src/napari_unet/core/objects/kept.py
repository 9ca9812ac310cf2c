"""What was corrected stays when objects are read again with other settings."""

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray


def keep_corrected(
    labels: NDArray[np.int32],
    paint: NDArray[np.integer[Any]],
    accepted: Collection[int],
    rejected: NDArray[np.bool_],
) -> NDArray[np.int32]:
    """Return newly read objects with those in them that the user made.

    Parameters
    ----------
    labels : array (…YX) int32
        The objects as they were read, 0 background.
    paint : array (…YX) of int
        The paint of the same pixels.
    accepted : collection of int
        The values of the painted objects that stay as they are painted.
    rejected : array (…YX) bool
        Where there is no object.

    Returns
    -------
    array (…YX) int32
        ``labels`` itself where nothing was corrected. An object that has more than half of its pixels where
        something was is left out; of others, the rest stays. Painted objects have the numbers that follow
        the highest of ``labels``, in the order of their values.
    """
    kept = np.isin(paint, list(accepted))
    taken = kept | rejected
    if not taken.any():
        return labels
    sizes = np.bincount(labels.ravel())
    inside = np.bincount(labels[taken], minlength=sizes.size)
    remaining = np.where(2 * inside > sizes, 0, np.arange(sizes.size)).astype(np.int32)
    result: NDArray[np.int32] = remaining[labels]
    result[rejected] = 0
    values, number = np.unique(paint[kept], return_inverse=True)
    if values.size:
        result[kept] = sizes.size + number
    return result

"""Results of single planes, put together to those of a stack."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.widgets.bridge.layers import Kind


def into_stack(
    stack: NDArray[Any] | None,
    plane: tuple[int, ...],
    result: NDArray[Any],
    shape: tuple[int, ...],
    kind: Kind,
) -> NDArray[Any]:
    """Return a copy of ``stack`` with ``result`` as one of its planes.

    Parameters
    ----------
    stack : array (…YX), or (K, …YX) for probabilities, or None
        What was predicted of other planes; None, or another shape or type, is an empty stack.
    plane : tuple of int
        Index of the plane.
    result : array (YX), or (K, YX)
        The new plane; ids of objects are raised so that no other plane has them.
    shape : tuple of int
        …YX of the stack.
    kind : {"objects", "classes", "probabilities"}
    """
    where: tuple[Any, ...] = plane
    if kind == "probabilities":
        shape, where = (result.shape[0], *shape), (slice(None), *plane)
    if stack is None or stack.shape != shape or stack.dtype != result.dtype:
        full = np.zeros(shape, result.dtype)
    else:
        full = stack.copy()
    full[where] = 0
    if kind == "objects":
        result = _renumbered(result, taken=full)
    full[where] = result
    return full


def _renumbered(objects: NDArray[Any], taken: NDArray[Any]) -> NDArray[Any]:
    count, highest = int(objects.max(initial=0)), int(taken.max(initial=0))
    if highest + count <= np.iinfo(objects.dtype).max:
        raised: NDArray[Any] = np.where(objects > 0, objects + highest, 0).astype(objects.dtype)
        return raised
    # The user gave an object a huge id: the lowest numbers that are left.
    used = np.unique(taken)
    free = np.setdiff1d(np.arange(1, used.size + count + 1), used)[:count]
    ids: NDArray[Any] = np.concatenate([[0], free]).astype(objects.dtype)
    renumbered: NDArray[Any] = ids[objects]
    return renumbered

"""Large stacks, plane by plane: paint, and results of which most planes may be empty."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def copy_planes(stack: ArrayLike) -> NDArray[Any]:
    """Return a copy of a stack (…YX) whose planes of zeros take no memory until something is written there.

    It takes as long as any other copy where no plane is empty, and much less where most of them are.
    """
    given = np.asarray(stack)
    copy: NDArray[Any] = np.zeros(given.shape, given.dtype)
    for plane in np.ndindex(given.shape[:-2]):
        if given[plane].any():
            copy[plane] = given[plane]
    return copy


def equal_planes(one: ArrayLike, other: ArrayLike) -> bool:
    """Return whether two stacks (…YX) are equal.

    Comparing all planes at once first makes room for as many truths, which takes several times as long.
    """
    if np.shape(one) != np.shape(other):
        return False
    some, others = np.asarray(one), np.asarray(other)
    return all(np.array_equal(some[plane], others[plane]) for plane in np.ndindex(some.shape[:-2]))

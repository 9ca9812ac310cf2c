"""Label images in runs of equal pixels, of which paint has few, however many pixels and large ids it has."""

from collections.abc import Collection
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", bound=np.integer[Any])


def runs(paint: NDArray[Number]) -> tuple[NDArray[Number], NDArray[np.int64]]:
    """Return the values and lengths of the runs of equal pixels of the flattened array.

    Paint has few runs, so sorting or renumbering its values by runs costs little, however large the ids are.
    """
    flat = paint.reshape(-1)
    first = np.zeros(min(flat.size, 1), np.intp)
    starts = np.concatenate((first, np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    return flat[starts], np.diff(starts, append=flat.size)


def count_values(paint: NDArray[np.integer[Any]]) -> dict[int, int]:
    """Return the number of pixels of every value painted (0 left out), in ascending order of the values."""
    values, lengths = runs(paint)
    painted = values > 0
    unique, which = np.unique(values[painted], return_inverse=True)
    # Weighted counts are float64: exact up to 2**53 pixels.
    pixels = np.bincount(which, weights=lengths[painted], minlength=unique.size)
    return dict(zip(unique.tolist(), pixels.astype(np.int64).tolist(), strict=True))


def by_value(
    labels: NDArray[Number], values: Collection[int] | None = None
) -> tuple[NDArray[np.intp], NDArray[Number], NDArray[np.intp]]:
    """Sort the pixels of ``labels`` by their value, or those of some ``values`` alone.

    Returns
    -------
    pixels : array (N,)
        Their flat indices, in ascending order within a value.
    present : array (M,)
        The values that are there, in ascending order.
    starts : array (M,)
        Where each of these begins among the pixels.
    """
    of_runs, lengths = runs(labels)
    chosen = np.arange(of_runs.size) if values is None else np.flatnonzero(np.isin(of_runs, list(values)))
    order = chosen[np.argsort(of_runs[chosen], kind="stable")]
    begins, lengths = (np.cumsum(lengths) - lengths)[order], lengths[order]
    before = np.cumsum(lengths) - lengths
    present, first = np.unique(of_runs[order], return_index=True)
    pixels = np.arange(lengths.sum()) + np.repeat(begins - before, lengths)
    return pixels, present, before[first]


def pixels_of(labels: NDArray[np.integer[Any]], values: Collection[int]) -> dict[int, NDArray[np.intp]]:
    """Return the flat indices of the pixels of each of ``values`` that is there, both in ascending order."""
    if len(values) <= 1:
        found = {value: np.flatnonzero(labels.reshape(-1) == value) for value in values}
        return {value: pixels for value, pixels in found.items() if pixels.size}
    pixels, present, starts = by_value(labels, values)
    return dict(zip(present.tolist(), np.split(pixels, starts[1:]), strict=False))

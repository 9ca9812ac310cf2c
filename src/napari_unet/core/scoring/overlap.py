"""Which true and predicted objects overlap, by how many pixels: every score follows from that."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array

from napari_unet.core.arrays.boxes import cut_up
from napari_unet.core.arrays.lazy import Pixels
from napari_unet.core.errors import InputError
from napari_unet.core.painted.label_images import check_labels

PixelsT = TypeVar("PixelsT", NDArray[Any], Pixels)

_GAPS = (1, 2)
"""Steps along an axis over which objects touch: annotators often leave one pixel between them."""

_BLOCK = 2**22
"""Pixels that are compared at a time where labels are not in memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Overlap:
    """The contingency table of two label images, without its zeros.

    Objects are numbered from 1 in the order of their ids; 0 is background.
    """

    # (pairs,) the numbers of every pair of a true and a predicted value that have pixels in common
    true: NDArray[np.intp]
    predicted: NDArray[np.intp]
    pixels: NDArray[np.int64]  # (pairs,) how many those are, at least 1
    # (objects + 1,) pixels of every object, and of the background first
    true_sizes: NDArray[np.int64]
    predicted_sizes: NDArray[np.int64]
    # (objects,) the labels of the objects
    true_ids: NDArray[Any]
    predicted_ids: NDArray[Any]

    @property
    def n_true(self) -> int:
        """Number of true objects."""
        return len(self.true_sizes) - 1

    @property
    def n_predicted(self) -> int:
        """Number of predicted objects."""
        return len(self.predicted_sizes) - 1

    @property
    def of_objects(self) -> NDArray[np.bool_]:
        """Which pairs (pairs,) are of two objects, not of background."""
        return (self.true > 0) & (self.predicted > 0)

    @property
    def partners(self) -> NDArray[np.bool_]:
        """Which pairs (pairs,) are objects with an intersection over union above 0.5.

        Above, not at, 0.5 an object has one partner at most.
        """
        sizes = self.true_sizes[self.true] + self.predicted_sizes[self.predicted]
        return self.of_objects & (3 * self.pixels > sizes)

    @property
    def in_true(self) -> NDArray[np.bool_]:
        """Which pairs (pairs,) are a predicted object with more than half of its pixels in a true one."""
        return self.of_objects & (2 * self.pixels > self.predicted_sizes[self.predicted])

    @property
    def in_predicted(self) -> NDArray[np.bool_]:
        """Which pairs (pairs,) are a true object with more than half of its pixels in a predicted one."""
        return self.of_objects & (2 * self.pixels > self.true_sizes[self.true])

    @property
    def split(self) -> NDArray[np.bool_]:
        """Which true objects (objects + 1,) hold two or more predicted ones."""
        return np.bincount(self.true[self.in_true], minlength=self.n_true + 1) >= 2

    @property
    def merging(self) -> NDArray[np.bool_]:
        """Which predicted objects (objects + 1,) hold two or more true ones."""
        return np.bincount(self.predicted[self.in_predicted], minlength=self.n_predicted + 1) >= 2


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """Two label images: runs of pixels, in C order, over which neither of them changes."""

    # (runs,) numbers of objects, as in an `Overlap`
    true: NDArray[np.intp]
    predicted: NDArray[np.intp]
    lengths: NDArray[np.int64]  # (runs,) pixels


def find_overlap(
    prediction: NDArray[np.integer[Any]], truth: NDArray[np.integer[Any]]
) -> tuple[Overlap, Runs]:
    """Count the pixels of every pair of labels that occurs.

    Parameters
    ----------
    prediction, truth : array of int
        Labels >= 0 of one shape, as large as they like: nothing here is as long as the largest one (as in
        ``skimage.metrics.contingency_table``).
    """
    true, predicted = truth.ravel(), prediction.ravel()
    # Everything is done for runs of equal pixels: real labels have some fifty times fewer.
    begins = np.ones(true.size, np.bool_)
    np.not_equal(true[1:], true[:-1], out=begins[1:])
    begins[1:] |= predicted[1:] != predicted[:-1]
    starts = np.flatnonzero(begins)
    return _tabulate(true[starts], predicted[starts], np.diff(starts, append=true.size))


def find_overlap_in_blocks(prediction: Pixels, truth: Pixels) -> tuple[Overlap, NDArray[Any]]:
    """Count the same, reading block by block.

    It needs memory for a few million pixels, and for the pairs of labels in every block.

    Returns
    -------
    overlap : Overlap
        What :func:`find_overlap` returns.
    touching : array of int
        What :func:`touching_ids` returns of the truth.

    Raises
    ------
    InputError
        If labels are negative.
    """
    found = [(np.zeros(0, truth.dtype), np.zeros(0, prediction.dtype), np.zeros(0, np.int64))]
    touching = [np.zeros(0, truth.dtype)]
    for core in cut_up(truth.shape, _block_sides(truth.ndim)):
        ahead = tuple(slice(part.start, part.stop + max(_GAPS)) for part in core)
        predicted, window = np.asarray(prediction[core]), np.asarray(truth[ahead])
        check_labels("The predicted labels are", predicted)
        check_labels("The true labels are", window)
        table, _ = find_overlap(predicted, window[tuple(slice(size) for size in predicted.shape)])
        labels = _of_numbers(table.true_ids, table.true), _of_numbers(table.predicted_ids, table.predicted)
        found.append((*labels, table.pixels))
        touching.append(touching_ids(window))
    overlap, _ = _tabulate(*map(np.concatenate, zip(*found, strict=True)))
    return overlap, np.unique(np.concatenate(touching))


def _block_sides(ndim: int) -> list[int]:
    """Return the pixels of a block along each axis: few planes of a volume, which is how they are stored."""
    if ndim <= 2:
        return [round(_BLOCK ** (1 / max(1, ndim)))] * ndim
    side = math.ceil(math.sqrt(_BLOCK) / 4)
    deep = math.ceil((_BLOCK / side**2) ** (1 / (ndim - 2)))
    return [deep] * (ndim - 2) + [side] * 2


def _tabulate(true: NDArray[Any], predicted: NDArray[Any], pixels: NDArray[np.int64]) -> tuple[Overlap, Runs]:
    """Add up the pixels of equal pairs of labels."""
    true_ids, rows = _numbered(true)
    predicted_ids, columns = _numbered(predicted)
    shape = (len(true_ids) + 1, len(predicted_ids) + 1)
    table = coo_array((pixels, (rows, columns)), shape=shape).tocsr().tocoo()  # adds up equal pairs
    overlap = Overlap(
        true=table.row.astype(np.intp),
        predicted=table.col.astype(np.intp),
        pixels=table.data.astype(np.int64),
        true_sizes=table.sum(axis=1),
        predicted_sizes=table.sum(axis=0),
        true_ids=true_ids,
        predicted_ids=predicted_ids,
    )
    return overlap, Runs(rows, columns, pixels)


def _numbered(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    ids, numbers = np.unique(labels, return_inverse=True)
    if ids.size and ids[0] == 0:
        return ids[1:], numbers
    return ids, numbers + 1


def _of_numbers(ids: NDArray[Any], numbers: NDArray[np.intp]) -> NDArray[Any]:
    return np.concatenate((np.zeros(1, ids.dtype), ids))[numbers]


def touching_ids(labels: NDArray[np.integer[Any]]) -> NDArray[Any]:
    """Return the labels of objects that touch another one: along an axis, at most one pixel lies between."""
    inside = labels > 0
    found = [labels.ravel()[:0]]
    for axis in range(labels.ndim):
        for step in _GAPS:
            ahead = (slice(None),) * axis + (slice(step, None),)
            behind = (slice(None),) * axis + (slice(None, -step),)
            touch = labels[ahead] != labels[behind]
            touch &= inside[ahead]
            touch &= inside[behind]
            found += [labels[ahead][touch], labels[behind][touch]]
    return np.unique(np.concatenate(found))


def found_by_plane(prediction: Pixels, truth: Pixels) -> bool:
    """Return whether predicted objects end in each plane (ZYX) where true ones go on: a 2-D network's do.

    The two planes in the middle are looked at.
    """
    if prediction.ndim != 3 or prediction.shape[0] < 2:
        return False
    return _in_both(prediction) == set() and bool(_in_both(truth))


def _in_both(labels: Pixels) -> set[int] | None:
    """Return the objects in both planes in the middle of labels; None if one of them has none."""
    middle = labels.shape[0] // 2
    above, below = ({*np.unique(np.asarray(labels[n])).tolist()} - {0} for n in (middle - 1, middle))
    return above & below if above and below else None


def comparable_parts(
    prediction: PixelsT, truth: PixelsT, ndim: int | None = None
) -> Iterator[tuple[PixelsT, PixelsT]]:
    """Check that prediction and truth can be compared, and yield the parts in which they are.

    Parameters
    ----------
    prediction, truth : array or LazyPixels of int
        Labels: 0 is background.
    ndim : int, optional
        Number of axes, counted from the last, along which objects extend: 2 compares a stack plane by plane.
        None compares everything at once.

    Raises
    ------
    InputError
        If the shapes differ, or labels are not whole numbers, or, where they are in memory, negative.
    """
    check_labels("The predicted labels are", prediction)
    check_labels("The true labels are", truth)
    if prediction.shape != truth.shape:
        raise InputError(
            f"The predicted labels have shape {prediction.shape} and the true ones {truth.shape}; "
            "compare labels of the same image."
        )
    given: Any = ndim
    if given is not None and not (isinstance(given, int | np.integer) and given >= 1):
        raise InputError(
            f"Objects extend along at least 1 axis, and ndim is {ndim!r}; give 2 or 3, or leave it out."
        )
    leading = 0 if ndim is None else max(prediction.ndim - ndim, 0)
    return ((prediction[at], truth[at]) for at in np.ndindex(prediction.shape[:leading]))

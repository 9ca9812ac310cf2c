"""How well predicted objects agree with true ones."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from napari_unet.core.errors import InputError
from napari_unet.core.prediction import Prediction


@dataclass(frozen=True, slots=True)
class Scores:
    """Agreement between predicted and true objects.

    All ratios are in [0, 1] and always finite. Where neither image holds an object, they agree perfectly.

    Parameters
    ----------
    foreground_iou, dice : float
        Intersection over union, and Dice coefficient, of the pixels that belong to any object.
    ap_50, ap_75, ap_90 : float
        Average precision TP / (TP + FP + FN) of the objects, where a predicted and a true object match if
        their intersection over union is at least 0.5, 0.75 or 0.9. Every object matches once at most, and as
        many match as can (the Data Science Bowl 2018 at one IoU; Caicedo et al., Nature Methods 2019).
    adapted_rand_error : float
        1 - F score of the pixel pairs inside true objects that are in the same object (Arganda-Carreras et
        al., Frontiers in Neuroanatomy 2015); 0 is perfect. Predicted background counts as one object, as in
        ``skimage.metrics.adapted_rand_error``, which it equals.
    splits : int
        True objects in which two or more predicted objects lie, each with more than half of its pixels.
    merges : int
        Predicted objects in which two or more true objects lie, each with more than half of its pixels (the
        vertices to split of Matula et al., PLOS ONE 2015).
    n_true, n_predicted : int
        Number of objects.
    """

    foreground_iou: float
    dice: float
    ap_50: float
    ap_75: float
    ap_90: float
    adapted_rand_error: float
    splits: int
    merges: int
    n_true: int
    n_predicted: int

    def __str__(self) -> str:
        return (
            f"{self.n_predicted} objects predicted, {self.n_true} true: "
            f"foreground IoU {self.foreground_iou:.3f}, Dice {self.dice:.3f}, "
            f"average precision {self.ap_50:.3f} at IoU 0.5, {self.ap_75:.3f} at 0.75, "
            f"{self.ap_90:.3f} at 0.9, adapted Rand error {self.adapted_rand_error:.3f}, "
            f"{self.splits} split, {self.merges} merged."
        )


def evaluate(prediction: Prediction | NDArray[np.integer[Any]], truth: NDArray[np.integer[Any]]) -> Scores:
    """Compare predicted with true objects.

    Parameters
    ----------
    prediction : Prediction or array of int
        A prediction, whose objects are taken, or labels: 0 is background, every other value one object.
    truth : array of int
        Labels of the same shape. A value is one object wherever it lies: in a stack, planes share no value
        unless they show the same object.

    Returns
    -------
    Scores

    Raises
    ------
    InputError
        If the shapes differ, or labels are negative or not whole numbers.
    """
    predicted = prediction.objects if isinstance(prediction, Prediction) else np.asarray(prediction)
    truth = np.asarray(truth)
    _check_labels("predicted", predicted)
    _check_labels("true", truth)
    if predicted.shape != truth.shape:
        raise InputError(
            f"The predicted labels have shape {predicted.shape} and the true ones {truth.shape}; "
            "compare labels of the same image."
        )
    overlap = _overlap_table(truth, predicted)
    true_sizes, predicted_sizes = overlap.sum(axis=1), overlap.sum(axis=0)
    n_true, n_predicted = len(true_sizes) - 1, len(predicted_sizes) - 1
    shared = int(overlap.data[(overlap.row > 0) & (overlap.col > 0)].sum())
    in_true, in_predicted = int(true_sizes[1:].sum()), int(predicted_sizes[1:].sum())

    pairs = (overlap.row > 0) & (overlap.col > 0)
    true_id, predicted_id, pixels = overlap.row[pairs] - 1, overlap.col[pairs] - 1, overlap.data[pairs]
    true_size, predicted_size = true_sizes[1:][true_id], predicted_sizes[1:][predicted_id]
    iou = pixels / (true_size + predicted_size - pixels)
    ap_50, ap_75, ap_90 = (
        _average_precision(true_id[iou >= least], predicted_id[iou >= least], n_true, n_predicted)
        for least in (0.5, 0.75, 0.9)
    )
    inside_true = np.bincount(true_id[2 * pixels > predicted_size], minlength=n_true)
    inside_predicted = np.bincount(predicted_id[2 * pixels > true_size], minlength=n_predicted)
    return Scores(
        foreground_iou=_ratio(shared, in_true + in_predicted - shared),
        dice=_ratio(2 * shared, in_true + in_predicted),
        ap_50=ap_50,
        ap_75=ap_75,
        ap_90=ap_90,
        adapted_rand_error=_adapted_rand_error(overlap),
        splits=int(np.count_nonzero(inside_true >= 2)),
        merges=int(np.count_nonzero(inside_predicted >= 2)),
        n_true=n_true,
        n_predicted=n_predicted,
    )


def _check_labels(which: str, labels: NDArray[Any]) -> None:
    if labels.dtype.kind not in "ui":
        raise InputError(
            f"The {which} labels are of type {labels.dtype}; give whole numbers, 0 for background and "
            "another value for each object."
        )
    if labels.dtype.kind == "i" and labels.size and labels.min() < 0:
        raise InputError(
            f"The {which} labels hold negative values (down to {labels.min()}); give 0 for background and "
            "a positive value for each object."
        )


def _overlap_table(truth: NDArray[Any], predicted: NDArray[Any]) -> coo_array:
    """Count the pixels of every pair of values that occurs: rows truth, columns prediction, 0 background."""
    rows, n_true = _consecutive(truth)
    columns, n_predicted = _consecutive(predicted)
    table = coo_array((np.ones(rows.size, np.int64), (rows, columns)), shape=(n_true + 1, n_predicted + 1))
    return table.tocsr().tocoo()  # adds up equal pairs without sorting all pixels


def _consecutive(labels: NDArray[Any]) -> tuple[NDArray[np.intp], int]:
    # Ids can be as large as 2**31 - 1, so nothing may be as long as the largest one.
    flat = labels.ravel()
    inside = flat > 0
    ids = np.unique(flat[inside])
    # Searching among the ids is faster than sorting all pixels, as the inverse of `unique` would.
    return np.where(inside, np.searchsorted(ids, flat) + 1, 0), len(ids)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 1.0


def _average_precision(
    true_id: NDArray[np.intp], predicted_id: NDArray[np.intp], n_true: int, n_predicted: int
) -> float:
    graph = coo_array((np.ones(true_id.size, np.int8), (true_id, predicted_id)), shape=(n_true, n_predicted))
    matched = int(np.count_nonzero(maximum_bipartite_matching(graph.tocsr()) >= 0))
    return _ratio(matched, n_true + n_predicted - matched)


def _adapted_rand_error(overlap: coo_array) -> float:
    table = overlap.tocsr()[1:].astype(np.float64)
    if table.nnz == 0:
        return 1.0 if overlap.shape[1] > 1 else 0.0
    together, in_true, in_predicted = (
        float(sizes @ sizes - sizes.sum()) for sizes in (table.data, table.sum(axis=1), table.sum(axis=0))
    )
    return 1.0 - _ratio(2 * together, in_true + in_predicted)

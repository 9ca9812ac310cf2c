"""How well predicted objects agree with true ones."""

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.arrays.lazy import Pixels, as_pixels
from napari_unet.core.errors import InputError
from napari_unet.core.objects.prediction import Prediction
from napari_unet.core.scoring.agreement import Agreement, measure_agreement
from napari_unet.core.scoring.overlap import comparable_parts

_log = logging.getLogger(__name__)

_SEVERAL = 3
"""Objects on one side that make a single one on the other suspicious."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Agreement between predicted and true objects.

    Every score is finite. Ratios are in [0, 1]; where neither image holds an object they agree perfectly (1),
    where one alone does they do not at all (0).

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
        al., Frontiers in Neuroanatomy 2015); 0 is perfect. True background does not count, and predicted
        background counts as one object: ``skimage.metrics.adapted_rand_error``, which it equals.
    splits : int
        True objects in which two or more predicted objects lie, each with more than half of its pixels.
    merges : int
        Predicted objects in which two or more true objects lie, each with more than half of its pixels (the
        vertices to split of Matula et al., PLOS ONE 2015).
    n_true, n_predicted : int
        Number of objects.
    n_matched : int
        Pairs of objects that match at 0.5: TP.
    precision, recall, f1 : float
        TP / predicted objects, TP / true objects, and 2 TP / both together, at 0.5.
    touching_recall : float
        Part of the touching true objects that have a partner with an intersection over union above 0.5; 1
        where nothing touches. Objects touch if, along an axis, at most one pixel lies between them.
    n_touching : int
        True objects that touch another one.
    pixel_error : float
        Share of all pixels that are object in one image and background in the other (Arganda-Carreras et al.,
        2015); 0 is perfect.
    variation_of_information : float
        Bits a pixel that the two labels do not tell of each other (Meilă, Journal of Multivariate Analysis
        2007), the sum of the next two; 0 is perfect. All pixels count, and background is one object like the
        others, as in ``skimage.metrics.variation_of_information``, which it equals.
    vi_oversegmentation, vi_undersegmentation : float
        Its two parts, H(predicted | true), which splits raise, and H(true | predicted), which merges raise.
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
    n_matched: int
    precision: float
    recall: float
    f1: float
    touching_recall: float
    n_touching: int
    pixel_error: float
    variation_of_information: float
    vi_oversegmentation: float
    vi_undersegmentation: float

    def __str__(self) -> str:
        return (
            f"{self.n_predicted} objects predicted, {self.n_true} true, {self.n_matched} matched: "
            f"foreground IoU {self.foreground_iou:.3f}, Dice {self.dice:.3f}, "
            f"average precision {self.ap_50:.3f} at IoU 0.5, {self.ap_75:.3f} at 0.75, "
            f"{self.ap_90:.3f} at 0.9, adapted Rand error {self.adapted_rand_error:.3f}, "
            f"variation of information {self.variation_of_information:.3f} bits, "
            f"{self.splits} split, {self.merges} merged."
        )


Objects = Prediction | NDArray[np.integer[Any]] | Pixels
"""A prediction, or the labels of an image."""


def evaluate(
    prediction: Objects | Sequence[Objects],
    truth: NDArray[np.integer[Any]] | Pixels | Sequence[NDArray[np.integer[Any]] | Pixels],
    *,
    ndim: int | None = None,
) -> Scores:
    """Compare predicted with true objects.

    If labels look like a mask, with one value for all objects, that is logged as a warning.

    Parameters
    ----------
    prediction : Prediction or array of int, or a list of these
        A prediction, whose objects are taken, or labels: 0 is background, every other value one object.
        Labels that are not in memory (zarr, dask, memory-mapped) are read block by block. Of a list, every
        item is an image of its own, and the scores are those of the objects of all.
    truth : array of int, or a list of these
        Labels of the same shape. A value is one object wherever it lies: in a stack, planes share no value
        unless they show the same object.
    ndim : int, optional
        Number of axes, counted from the last, along which objects extend: 2 compares every plane of a stack
        by itself and adds up the counts. Default: all axes; those of the network for a prediction.

    Returns
    -------
    Scores

    Raises
    ------
    InputError
        If the shapes differ, or labels are negative or not whole numbers.
    """
    if not (_are_several(prediction) or _are_several(truth)):
        scores = pooled_scores(_agreements(prediction, truth, ndim))
    else:
        scores = pooled_scores(_agreements_of_all(prediction, truth, ndim))
    if doubt := mask_doubt(scores):
        _log.warning(doubt)
    return scores


def _are_several(given: Any) -> bool:
    """Return whether these are labels of several images; an image in nested lists is one."""
    return isinstance(given, list | tuple) and any(
        isinstance(item, Prediction) or getattr(item, "shape", ()) for item in given
    )


def _agreements_of_all(predictions: Any, truths: Any, ndim: int | None) -> Iterator[Agreement]:
    try:
        pairs = list(zip(predictions, truths, strict=True))
    except (TypeError, ValueError) as error:
        raise InputError(
            "The predictions and truths are not as many of each; give one truth for each prediction, in the "
            "same order."
        ) from error
    for number, (prediction, truth) in enumerate(pairs, start=1):
        try:
            yield from _agreements(prediction, truth, ndim)
        except InputError as error:
            raise InputError(f"Image {number}: {error}") from None


def _agreements(prediction: Any, truth: Any, ndim: int | None) -> Iterator[Agreement]:
    """Yield the agreement of every plane, or of the whole image."""
    if isinstance(prediction, Prediction):
        prediction, ndim = prediction.objects, prediction.ndim if ndim is None else ndim
    for part in comparable_parts(as_pixels(prediction), as_pixels(truth), ndim):
        yield measure_agreement(*part)


def pooled_scores(agreements: Iterable[Agreement]) -> Scores:
    """Return the scores of many images as if all their objects were in one: large images count more.

    Parameters
    ----------
    agreements : iterable of Agreement
        One for each image or plane. Of none, the scores are those of an empty image.
    """
    total = sum(agreements, Agreement())
    objects = total.n_true + total.n_predicted
    none = 0.0 if objects else 1.0

    def average_precision(matched: int) -> float:
        return _ratio(matched, objects - matched, none)

    agreed_pairs = _ratio(2 * total.pairs_together, total.pairs_true + total.pairs_predicted, 1.0)
    over, under = (_ratio(bits, total.pixels, 0.0) for bits in (total.bits_over, total.bits_under))
    in_either = total.in_true + total.in_predicted - total.shared
    return Scores(
        foreground_iou=_ratio(total.shared, in_either, none),
        dice=_ratio(2 * total.shared, total.in_true + total.in_predicted, none),
        ap_50=average_precision(total.matched_50),
        ap_75=average_precision(total.matched_75),
        ap_90=average_precision(total.matched_90),
        adapted_rand_error=1.0 - (agreed_pairs if total.n_true else none),
        splits=total.splits,
        merges=total.merges,
        n_true=total.n_true,
        n_predicted=total.n_predicted,
        n_matched=total.matched_50,
        precision=_ratio(total.matched_50, total.n_predicted, none),
        recall=_ratio(total.matched_50, total.n_true, none),
        f1=_ratio(2 * total.matched_50, objects, none),
        touching_recall=_ratio(total.touching_found, total.n_touching, 1.0),
        n_touching=total.n_touching,
        pixel_error=_ratio(in_either - total.shared, total.pixels, 0.0),
        variation_of_information=over + under,
        vi_oversegmentation=over,
        vi_undersegmentation=under,
    )


def mean_scores(scores: Sequence[Scores]) -> dict[str, float]:
    """Return the mean of every field over images: every image counts alike, however many objects it has.

    Raises
    ------
    InputError
        If there are none.
    """
    if not scores:
        raise InputError("There are no scores to take the mean of; compare at least one pair of images.")
    rows = [asdict(score) for score in scores]
    names = [field.name for field in fields(Scores)]
    return {name: math.fsum(row[name] for row in rows) / len(rows) for name in names}


def mask_doubt(scores: Scores) -> str:
    """Return a warning if the scores suggest a mask, with one value for all objects; "" if not."""
    for name, here, there in (
        ("truth", scores.n_true, scores.n_predicted),
        ("prediction", scores.n_predicted, scores.n_true),
    ):
        if here == 1 and there >= _SEVERAL:
            return (
                f"The {name} holds one object, and what it is compared with holds {there}; if it is a mask "
                "with one value for all objects, number its connected components first, for example in Fiji "
                "or with scikit-image."
            )
    return ""


def _ratio(part: float, whole: float, of_nothing: float) -> float:
    return part / whole if whole else of_nothing

"""What two label images have in common, as sums that add up over images and planes."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from napari_unet.core.arrays.lazy import LazyPixels, Pixels
from napari_unet.core.scoring.overlap import Overlap, find_overlap, find_overlap_in_blocks, touching_ids


@dataclass(frozen=True, slots=True)
class Agreement:
    """Counts from which all scores follow; those of several images are added with ``+``.

    Each image counts by itself: no pair of pixels, and no object, extends over two.
    """

    pixels: int = 0  # all of them
    shared: int = 0  # pixels in objects of both images
    in_true: int = 0  # pixels in true objects
    in_predicted: int = 0  # pixels in predicted objects
    n_true: int = 0  # true objects
    n_predicted: int = 0  # predicted objects
    # pairs of objects with an intersection over union of at least 0.5, 0.75, 0.9. Every object is in one pair
    # at most, and there are as many pairs as can be
    matched_50: int = 0
    matched_75: int = 0
    matched_90: int = 0
    n_touching: int = 0  # true objects that touch another one
    touching_found: int = 0  # those of them with a partner above 0.5
    # true objects that hold two or more predicted ones, and the other way round; one object is in another if
    # more than half of its pixels are
    splits: int = 0
    merges: int = 0
    # ordered pairs of pixels, both in true objects: in the same one in both images, in the truth, in the
    # prediction, whose background counts as one object here
    pairs_together: float = 0.0
    pairs_true: float = 0.0
    pairs_predicted: float = 0.0
    # over all pixels, the information in the predicted label where the true one is known, and the other way
    # round; background is one label among the others
    bits_over: float = 0.0
    bits_under: float = 0.0

    def __add__(self, other: "Agreement") -> "Agreement":
        """Return the counts of both together."""
        names = [field.name for field in fields(self)]
        return Agreement(**{name: getattr(self, name) + getattr(other, name) for name in names})


def measure_agreement(prediction: Pixels, truth: Pixels) -> Agreement:
    """Count what one predicted and one true label image have in common.

    Parameters
    ----------
    prediction, truth : array or LazyPixels of int
        Labels >= 0 of one shape. If one of them is not in memory, both are read block by block.
    """
    if isinstance(prediction, LazyPixels) or isinstance(truth, LazyPixels):
        return agreement_of(*find_overlap_in_blocks(prediction, truth))
    return agreement_of(find_overlap(prediction, truth)[0], touching_ids(truth))


def agreement_of(table: Overlap, touching: NDArray[Any]) -> Agreement:
    """Return the counts of an overlap, and of those true objects whose labels are ``touching``."""
    objects = table.of_objects
    true, predicted, pixels = table.true[objects], table.predicted[objects], table.pixels[objects]
    iou = pixels / (table.true_sizes[true] + table.predicted_sizes[predicted] - pixels)
    matched_50, matched_75, matched_90 = (
        _count_matches(true[iou >= least], predicted[iou >= least]) for least in (0.5, 0.75, 0.9)
    )
    touches = np.isin(table.true_ids, touching, assume_unique=True)
    in_truth = table.true > 0
    true_sizes, predicted_sizes = table.true_sizes[table.true], table.predicted_sizes[table.predicted]
    return Agreement(
        pixels=int(table.true_sizes.sum()),
        shared=int(pixels.sum()),
        in_true=int(table.true_sizes[1:].sum()),
        in_predicted=int(table.predicted_sizes[1:].sum()),
        n_true=table.n_true,
        n_predicted=table.n_predicted,
        matched_50=matched_50,
        matched_75=matched_75,
        matched_90=matched_90,
        n_touching=int(np.count_nonzero(touches)),
        touching_found=int(np.count_nonzero(touches[table.true[table.partners] - 1])),
        splits=int(np.count_nonzero(table.split)),
        merges=int(np.count_nonzero(table.merging)),
        pairs_together=_pairs(table.pixels[in_truth]),
        pairs_true=_pairs(table.true_sizes[1:]),
        pairs_predicted=_pairs(np.bincount(table.predicted[in_truth], table.pixels[in_truth])),
        bits_over=float(table.pixels @ np.log2(true_sizes / table.pixels)),
        bits_under=float(table.pixels @ np.log2(predicted_sizes / table.pixels)),
    )


def _count_matches(true: NDArray[np.intp], predicted: NDArray[np.intp]) -> int:
    if not true.size:
        return 0
    shape = (int(true.max()) + 1, int(predicted.max()) + 1)
    graph = coo_array((np.ones(true.size, np.int8), (true, predicted)), shape=shape)
    return int(np.count_nonzero(maximum_bipartite_matching(graph.tocsr()) >= 0))


def _pairs(sizes: NDArray[Any]) -> float:
    # In floating point: the square of the number of voxels of a large volume overflows 64 bits.
    exact = sizes.astype(np.float64)
    return float(exact @ exact - exact.sum())

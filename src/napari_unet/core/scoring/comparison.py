"""Scores and the map of errors together, part by part, from one table."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.scoring.agreement import Agreement, measure_agreement
from napari_unet.core.scoring.label_errors import error_map
from napari_unet.core.scoring.overlap import find_overlap, planes


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A plane, or the whole, of two label images compared; ``errors`` as ``error_map`` returns it."""

    agreement: Agreement
    errors: NDArray[np.uint8]


def compare_parts(
    prediction: NDArray[np.integer[Any]], truth: NDArray[np.integer[Any]], *, ndim: int | None = None
) -> Iterator[Part]:
    """Compare labels part by part, so that one can be told of progress, and stop.

    Parameters
    ----------
    prediction, truth : array of int
        Labels of one shape: 0 is background.
    ndim : int, optional
        As for :func:`napari_unet.core.scoring.scores.evaluate`: 2 makes every plane a part, in C order.

    Raises
    ------
    InputError
        As for :func:`napari_unet.core.scoring.scores.evaluate`.
    """
    for part in planes(prediction, truth, ndim):
        overlap, runs = find_overlap(*part)
        yield Part(measure_agreement(*part, overlap), error_map(overlap, runs, part[0].shape))

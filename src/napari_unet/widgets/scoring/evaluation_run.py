"""What the Evaluate dock computes in its worker thread: two label images in, scores and errors out."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.control import Control
from napari_unet.core.scoring.label_errors import ErrorKind, ErrorSite, compare_parts, error_sites
from napari_unet.core.scoring.scores import Scores, mask_doubt, pooled_scores


@dataclass(frozen=True, slots=True)
class PlanesDone:
    """``done`` of ``total`` planes have been compared."""

    done: int
    total: int


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """Everything has been compared."""

    scores: Scores  # of all planes together
    errors: NDArray[np.uint8]  # (…YX), as ``error_map`` returns it
    sites: tuple[ErrorSite, ...]  # where to look, the largest first

    def places(self, kind: ErrorKind) -> int:
        """Return the number of places with this kind of error."""
        return Counter(site.kind for site in self.sites)[kind]

    def sentence(self) -> str:
        """Return the result in words."""
        scores = self.scores
        if not scores.n_true and not scores.n_predicted:
            return "Neither layer holds an object, so they agree."
        found = f"{scores.n_matched} of {scores.n_true} true objects found"
        invented = scores.n_predicted - scores.n_matched
        of_predicted = f"{invented} of {scores.n_predicted} predicted ones fit none"
        all_told = f"{found}; {of_predicted}; {scores.splits} split, {scores.merges} merged."
        return " ".join(filter(None, (all_told, mask_doubt(scores))))


def compare_labels(
    prediction: NDArray[Any], truth: NDArray[Any], ndim: int | None, control: Control
) -> Iterator[PlanesDone | Evaluated]:
    """Compare labels (…YX; 0 is background) plane by plane, or at once; ``InputError`` if they cannot be.

    ``ndim`` is as for :func:`napari_unet.core.scoring.scores.evaluate`. A comparison that is stopped has no
    result.
    """
    total = prod(prediction.shape[: 0 if ndim is None else max(prediction.ndim - ndim, 0)])
    parts = []
    for part in compare_parts(prediction, truth, ndim=ndim):
        parts.append(part)
        yield PlanesDone(len(parts), total)
        if control.stopped:
            return
    errors = np.array([part.errors for part in parts], np.uint8).reshape(prediction.shape)
    yield Evaluated(
        pooled_scores(part.agreement for part in parts), errors, tuple(error_sites(errors, ndim=ndim))
    )

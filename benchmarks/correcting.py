"""The annotator corrects: strokes on the worst errors of a prediction, as long as the seconds last."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from annotator import BACKGROUND, Canvas, Labels, Mask, Painted, axis_stroke

_SEAM = 3
"""Pixels at most this far from two objects lie between them; strokes along a seam are as wide."""


@dataclass(frozen=True)
class Error:
    """What is wrong at one place.

    Parameters
    ----------
    kind : {"missed", "invented", "merged", "split"}
    pixels : int
        How much of the image is wrong because of it.
    mend : callable
        Paints; says whether anything changed.
    """

    kind: str
    pixels: int
    mend: Callable[[Canvas], bool]


def correct(
    labels: NDArray[np.integer],
    predicted: NDArray[np.integer],
    painted: Painted,
    seconds: float,
    *,
    rng: np.random.Generator,
    brush: float = 3.0,
) -> Painted:
    """Return the paint with strokes on the worst errors, until ``seconds`` more are spent or none is left.

    A missed object gets a stroke inside; an invented one a background stroke; of objects that were merged,
    the seam between two is painted as background where there is room, or else both sides of it as two
    objects; one that was split gets one stroke across.
    """
    canvas = Canvas(labels, rng, start=painted, brush=brush)
    until = painted.seconds + seconds
    for error in sorted(errors(canvas.labels, predicted.astype(np.int32)), key=lambda e: -e.pixels):
        if canvas.seconds >= until:
            break
        error.mend(canvas)
    return canvas.painted()


def errors(labels: Labels, predicted: Labels) -> Iterator[Error]:
    """Yield what is wrong with a prediction (Y, X), given the true objects."""
    table = np.zeros((int(labels.max()) + 1, int(predicted.max()) + 1), np.int64)
    np.add.at(table, (labels.ravel(), predicted.ravel()), 1)
    sizes, predicted_sizes = table.sum(axis=1), table.sum(axis=0)
    for label in np.flatnonzero(sizes[1:]) + 1:
        missing = int(table[label, 0])
        if 2 * missing > sizes[label]:
            yield Error("missed", missing, _stroke(label))
        elif np.count_nonzero(2 * table[label, 1:] > predicted_sizes[1:]) >= 2:
            # Of several parts, all but the largest are wrong.
            parts = np.where(2 * table[label, 1:] > predicted_sizes[1:], table[label, 1:], 0)
            yield Error("split", int(parts.sum() - parts.max()), _stroke(label))
    for part in np.flatnonzero(predicted_sizes[1:]) + 1:
        inside = np.flatnonzero(2 * table[1:, part] > sizes[1:]) + 1
        if inside.size >= 2:
            yield Error("merged", int(np.sort(table[inside, part])[:-1].sum()), _part(labels, inside))
    invented, count = ndimage.label((predicted > 0) & (labels == 0))
    for number, box in enumerate(ndimage.find_objects(invented, max_label=count), start=1):
        blob = np.zeros(labels.shape, bool)
        blob[box] = invented[box] == number
        yield Error("invented", int(blob.sum()), _background(blob))


def _stroke(label: int) -> Callable[[Canvas], bool]:
    return lambda canvas: canvas.stroke(int(label))


def _background(blob: Mask) -> Callable[[Canvas], bool]:
    def mend(canvas: Canvas) -> bool:
        # A pixel of clearance, so that the stroke does not touch an object.
        room = blob & (canvas.clearance > 1.5)
        if not room.any():
            return False
        pieces, count = ndimage.label(room)
        largest = pieces == np.bincount(pieces.ravel(), minlength=count + 1)[1:].argmax() + 1
        stroke, length = axis_stroke(largest, canvas.brush)
        return canvas.put(stroke, length, BACKGROUND)

    return mend


def _part(labels: Labels, inside: NDArray[np.intp]) -> Callable[[Canvas], bool]:
    """Paint what keeps the two objects apart that are nearest to each other."""

    def mend(canvas: Canvas) -> bool:
        distances = {int(label): ndimage.distance_transform_edt(labels != label) for label in inside}
        _, one, other = min(
            (float(distances[a][labels == b].min()), a, b) for a in distances for b in distances if a < b
        )
        between = (labels == 0) & (distances[one] <= _SEAM) & (distances[other] <= _SEAM)
        # One pixel off both, where that leaves anything: background paint must not touch an object.
        between &= canvas.clearance > 1
        if between.any():
            return canvas.put(between, _length(between), BACKGROUND)
        changed = False
        for label, far in ((one, distances[other]), (other, distances[one])):
            along = (labels == label) & (far <= _SEAM)
            changed |= canvas.put_object(label, along, _length(along))
        return changed

    return mend


def _length(pixels: Mask) -> float:
    """Return the length of a stroke that covers ``pixels``: the diagonal of their box."""
    rows, columns = np.nonzero(pixels)
    return float(np.hypot(np.ptp(rows), np.ptp(columns))) + 1 if rows.size else 0.0

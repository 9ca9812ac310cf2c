"""The annotator corrects: strokes on the worst errors of a prediction, until the seconds are spent."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import expand_labels

from annotator import BACKGROUND, Canvas, Labels, Mask, Painted, axis_stroke, largest_part

_SEAM = 3
"""Pixels at most this far from two objects lie between them; strokes along a seam are this wide."""

_LINE = 2
"""A shorter gap, in brushes, is not painted as a line; both of its sides are painted instead."""


@dataclass(frozen=True)
class Error:
    """An error at one place.

    Parameters
    ----------
    kind : {"missed", "invented", "merged", "split"}
    pixels : int
        How much of the image is wrong because of it.
    mend : callable
        Paints; returns whether anything changed.
    """

    kind: str
    pixels: int
    mend: Callable[[Canvas], bool]


def correct(
    labels: NDArray[np.integer],
    predicted: NDArray[np.integer],
    painted: Painted,
    until: float,
    *,
    rng: np.random.Generator,
    brush: float = 3.0,
) -> Painted:
    """Return the paint with strokes on the worst errors, until ``until`` seconds are spent or none is left.

    A missed object gets a stroke inside, an invented one a background stroke, and a split one a stroke
    across. Between merged objects, the seam is painted as background if there is room, or else both sides of
    it as two objects.
    """
    canvas = Canvas(labels, rng, start=painted, brush=brush)
    for error in sorted(errors(canvas.labels, predicted.astype(np.int32)), key=lambda e: -e.pixels):
        if canvas.seconds >= until:
            break
        error.mend(canvas)
    return canvas.painted()


def errors(labels: Labels, predicted: Labels) -> Iterator[Error]:
    """Yield the errors of a prediction (Y, X), given the true objects."""
    table = np.zeros((int(labels.max()) + 1, int(predicted.max()) + 1), np.int64)
    np.add.at(table, (labels.ravel(), predicted.ravel()), 1)
    sizes, predicted_sizes = table.sum(axis=1), table.sum(axis=0)
    for label in np.flatnonzero(sizes[1:]) + 1:
        missing = int(table[label, 0])
        if 2 * missing > sizes[label]:
            yield Error("missed", missing, _stroke(int(label)))
        elif np.count_nonzero(2 * table[label, 1:] > predicted_sizes[1:]) >= 2:
            # Of several parts, all but the largest are wrong.
            parts = np.where(2 * table[label, 1:] > predicted_sizes[1:], table[label, 1:], 0)
            yield Error("split", int(parts.sum() - parts.max()), _stroke(int(label)))
    for part in np.flatnonzero(predicted_sizes[1:]) + 1:
        inside = np.flatnonzero((2 * table[1:, part] > sizes[1:]) & (sizes[1:] > 0)) + 1
        if inside.size >= 2:
            wrong = int(np.sort(table[inside, part])[:-1].sum())
            yield Error("merged", wrong, _seam(inside, predicted == part))
    invented, count = ndimage.label((predicted > 0) & (labels == 0))
    areas = np.bincount(invented.ravel(), minlength=count + 1)
    for number in range(1, count + 1):
        yield Error("invented", int(areas[number]), _background(invented, number))


def _stroke(label: int) -> Callable[[Canvas], bool]:
    return lambda canvas: canvas.stroke(label)


def _background(invented: Labels, number: int) -> Callable[[Canvas], bool]:
    def mend(canvas: Canvas) -> bool:
        # A pixel of clearance, so that the stroke does not touch an object.
        room = (invented == number) & (canvas.clearance > 1.5)
        if not room.any():
            return False
        stroke, length = axis_stroke(largest_part(room), canvas.brush)
        return canvas.put(stroke, length, BACKGROUND)

    return mend


def _seam(inside: NDArray[np.intp], merged: Mask) -> Callable[[Canvas], bool]:
    return lambda canvas: mend_seam(canvas, inside, merged)


def mend_seam(canvas: Canvas, inside: NDArray[np.integer], where: Mask) -> bool:
    """Paint between the two objects ``inside`` with the longest common border.

    Only ``where`` they meet; return whether anything changed.
    """
    labels = canvas.labels
    pair = _closest_pair(np.where(np.isin(labels, inside), labels, 0))
    if pair is None:  # the part that joins them is far from both: an invented object
        return False
    near = [ndimage.distance_transform_edt(labels != label) <= _SEAM for label in pair]
    between = where & (labels == 0) & near[0] & near[1]
    # Clear of both objects if the gap is wide enough; else a thin line that fills it.
    for gap in (between & (canvas.clearance > 1), between):
        line = largest_part(gap)
        if _length(line) >= _LINE * canvas.brush:
            return canvas.put(line, _length(line), BACKGROUND)
    sides = [largest_part((labels == label) & other) for label, other in zip(pair, near[::-1], strict=True)]
    changed = [canvas.put_object(label, side, _length(side)) for label, side in zip(pair, sides, strict=True)]
    return any(changed)


def _closest_pair(labels: Labels) -> tuple[int, int] | None:
    """Return the two objects whose surroundings share the longest line; None if none meet."""
    grown = expand_labels(labels, _SEAM)
    pairs = []
    for one, other in ((grown[1:], grown[:-1]), (grown[:, 1:], grown[:, :-1])):
        meet = (one != other) & (one > 0) & (other > 0)
        pairs.append(np.sort(np.stack((one[meet], other[meet]), axis=1), axis=1))
    found, counts = np.unique(np.concatenate(pairs), axis=0, return_counts=True)
    if not counts.size:
        return None
    one, other = found[counts.argmax()]
    return int(one), int(other)


def _length(pixels: Mask) -> float:
    """Return the length of a stroke that covers ``pixels``: the diagonal of their box."""
    rows, columns = np.nonzero(pixels)
    return float(np.hypot(np.ptp(rows), np.ptp(columns))) + 1 if rows.size else 0.0

"""A simulated annotator: turns instance masks into the paint that a person would make, and its cost.

Strokes of an object run along its medial axis and never leave it. Strokes of the background keep clear of
every object; half of them run close along one, as people do to show where it ends. Everything is drawn from
one seeded generator.

The cost, in seconds of a person, is 1 s to aim each stroke, plus its length at 400 pixels/s. A filled object
is one stroke around its outline with napari's polygon tool, which fills it. A complete region costs its
filled objects and one stroke around the box.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.draw import disk
from skimage.measure import perimeter
from skimage.morphology import medial_axis

Labels = NDArray[np.int32]
Mask = NDArray[np.bool_]
PaintKind = Literal["strokes", "filled", "regions"]

AIM = 1.0
"""Seconds to aim a stroke."""

SPEED = 400.0
"""Pixels per second along a stroke."""

BACKGROUND = 1
FIRST_OBJECT = 2


@dataclass(frozen=True, slots=True, eq=False)
class Painted:
    """Paint, and what is known about it.

    Parameters
    ----------
    paint : array (Y, X) int32
        0 unlabelled, 1 background, 2 and up objects.
    full : frozenset of int
        The values whose objects are painted in full, to the last pixel.
    seconds : float
        Its cost to the annotator.
    """

    paint: Labels
    full: frozenset[int]
    seconds: float


def paint_image(
    labels: NDArray[np.integer[Any]],
    kind: PaintKind,
    *,
    objects: int,
    background: int,
    rng: np.random.Generator,
    brush: float = 3.0,
) -> Painted:
    """Return the paint that a person would make on an image.

    Parameters
    ----------
    labels : array (Y, X) of int
        0 background, one positive value per object.
    kind : {"strokes", "filled", "regions"}
        Strokes along some objects and strokes of background; the same with filled objects, preferably
        touching neighbours; or a box in which every object is filled and the rest is background. Objects that
        extend beyond the box are filled completely.
    objects : int
        How many objects to paint; a region holds this many neighbours, and anything between them.
    background : int
        Number of background strokes; none in a region.
    rng : numpy.random.Generator
    brush : float
        Radius of the brush in pixels.
    """
    canvas = Canvas(labels, rng, brush=brush)
    if kind == "regions":
        canvas.complete_region(objects)
        return canvas.painted()
    for label in _choose(canvas.labels, objects, neighbours=kind == "filled", rng=rng):
        if kind == "filled":
            canvas.fill(label)
        else:
            canvas.stroke(label)
    for index in range(background):
        canvas.background_stroke(close=index % 2 == 0)
    return canvas.painted()


def paint_for(
    labels: NDArray[np.integer[Any]], seconds: float, *, rng: np.random.Generator, brush: float = 3.0
) -> Painted:
    """Return random strokes, alternating objects and background, until ``seconds`` are spent.

    The last stroke begins before they are over, like the last correction.
    """
    canvas = Canvas(labels, rng, brush=brush)
    order = _choose(canvas.labels, int(canvas.labels.max()), neighbours=False, rng=rng)
    number = 0
    while canvas.seconds < seconds and number < 2 * seconds / AIM:
        if number % 2 == 0 and number // 2 < len(order):
            canvas.stroke(order[number // 2])
        else:
            canvas.background_stroke(close=number % 4 == 1)
        number += 1
    return canvas.painted()


class Canvas:
    """An image being painted: its paint, and the cost so far.

    Parameters
    ----------
    labels : array (Y, X) of int
        The true objects.
    rng : numpy.random.Generator
    start : Painted, optional
        Paint to continue from.
    brush : float
        Radius in pixels.
    """

    def __init__(
        self,
        labels: NDArray[np.integer[Any]],
        rng: np.random.Generator,
        *,
        start: Painted | None = None,
        brush: float = 3.0,
    ) -> None:
        self.labels: Labels = labels.astype(np.int32)
        self.seconds = start.seconds if start else 0.0
        self.brush = brush
        self.clearance: NDArray[np.float64] = ndimage.distance_transform_edt(self.labels == 0)
        if not self.labels.any():
            # Without objects, scipy measures the distance to nothing.
            self.clearance = np.full(labels.shape, float(sum(labels.shape)))
        self._rng = rng
        self._paint = start.paint.copy() if start else np.zeros(labels.shape, np.int32)
        self._full = set(start.full if start else ())
        self._next = max(FIRST_OBJECT, int(self._paint.max()) + 1)

    def painted(self) -> Painted:
        """Return the paint so far."""
        return Painted(self._paint.copy(), frozenset(self._full), self.seconds)

    def stroke(self, label: int) -> bool:
        """Paint a stroke along the medial axis of an object; False, at no cost, if it is already painted."""
        return self.put_object(label, *axis_stroke(self.labels == label, self.brush))

    def put_object(self, label: int, pixels: Mask, length: float) -> bool:
        """Paint ``pixels`` of an object with one stroke; False, at no cost, if nothing would change."""
        mask = self.labels == label
        return self.put(pixels & mask, length, self._value_of(mask))

    def fill(self, label: int) -> None:
        """Fill an object to its last pixel."""
        mask = self.labels == label
        value = self._value_of(mask)
        self.put(mask, outline(mask), value)
        self._full.add(value)

    def put(self, pixels: Mask, length: float, value: int) -> bool:
        """Paint ``pixels`` by a stroke of ``length`` pixels; False, at no cost, if nothing would change."""
        if not (pixels & (self._paint != value)).any():
            return False
        self._paint[pixels] = value
        self._next = max(self._next, value + 1)
        self.seconds += AIM + length / SPEED
        return True

    def background_stroke(self, *, close: bool, length: int = 60, within: Mask | None = None) -> bool:
        """Paint background, close along an object or anywhere; False, at no cost, if there is no room.

        It begins ``within`` a mask, if one is given.
        """
        stroke, drawn = background_stroke(
            self.clearance, self.brush, length, close=close, rng=self._rng, within=within
        )
        return self.put(stroke, drawn, BACKGROUND)

    def complete_region(self, objects: int) -> None:
        """Paint everything in a box around this many objects, and the whole of those that extend beyond."""
        box = _box_with(self.labels, objects, self._rng, margin=round(2 * self.brush))
        for label in np.unique(self.labels[box]):
            if label:
                self.fill(int(label))
        rest = np.zeros(self.labels.shape, bool)
        rest[box] = self.labels[box] == 0
        height, width = rest[box].shape
        self.put(rest, 2 * (height + width), BACKGROUND)

    def _value_of(self, mask: Mask) -> int:
        values = self._paint[mask]
        values = values[values >= FIRST_OBJECT]
        return int(values[0]) if values.size else self._next


def outline(mask: Mask) -> float:
    """Return the length in pixels of the outline of ``mask``, including the edge of the image."""
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    return float(perimeter(np.pad(mask[box], 1), neighborhood=8))


def axis_stroke(mask: Mask, brush: float) -> tuple[Mask, int]:
    """Cover the medial axis of ``mask`` with discs that stay one pixel inside; also return its length.

    If the mask is too thin for the brush in places, the stroke is the longest connected part.
    """
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    small = np.pad(mask[box], 1)
    axis, depth = medial_axis(small, return_distance=True, rng=0)
    # The outermost branches of the axis lead into corners where nobody paints.
    points = np.argwhere(axis & (depth >= 0.5 * depth.max()))
    stroke = np.zeros_like(small)
    for y, x in points:
        stroke[disk((y, x), max(min(brush, depth[y, x] - 1), 0.6), shape=small.shape)] = True
    stroke = largest_part(stroke & small)
    result = np.zeros_like(mask)
    result[box] = stroke[1:-1, 1:-1]
    return result, int(stroke[tuple(points.T)].sum())


def largest_part(mask: Mask) -> Mask:
    """Return the largest connected part of ``mask``, diagonals included: what one stroke can cover."""
    parts, count = ndimage.label(mask, structure=np.ones((3, 3)))
    return (
        mask & (parts == np.bincount(parts.ravel(), minlength=count + 1)[1:].argmax() + 1) if count else mask
    )


def background_stroke(
    clearance: NDArray[np.float64],
    brush: float,
    length: int,
    *,
    close: bool,
    rng: np.random.Generator,
    within: Mask | None = None,
) -> tuple[Mask, int]:
    """Walk with a slowly turning heading, staying at least a brush away from every object.

    Returns
    -------
    stroke : array (Y, X) bool
        Empty where there is no room.
    length : int
        Pixels walked.
    """
    room = clearance > brush + 1
    begin = room if within is None else room & within
    near = begin & (clearance < 3 * brush + 2)
    starts = np.argwhere(near if close and near.any() else begin)
    best, longest = np.zeros(clearance.shape, bool), 0
    # A stroke that immediately runs into a corner is a dab; a person would have begun elsewhere.
    for _ in range(5 if len(starts) else 0):
        stroke, walked = np.zeros(clearance.shape, bool), 0
        position = starts[rng.integers(len(starts))].astype(float)
        heading = rng.uniform(0, 2 * np.pi)
        for _ in range(length):
            cell = tuple(np.round(position).astype(int))
            if not ((np.array(cell) >= 0) & (np.array(cell) < clearance.shape)).all() or not room[cell]:
                break
            stroke[disk(cell, brush, shape=clearance.shape)] = True
            walked += 1
            away = _direction_away(clearance, cell)
            if close and away is not None:
                # At right angles to the way out, pulled back until the brush just misses the object.
                pull = np.clip((brush + 3 - clearance[cell]) / 3, -0.7, 0.7)
                step = np.array((-away[1], away[0])) + pull * away
                position += step / np.linalg.norm(step)
            else:
                heading += rng.normal(0, 0.15)
                position += (np.sin(heading), np.cos(heading))
        if stroke.sum() > best.sum():
            best, longest = stroke, walked
    return best, longest


def _choose(labels: Labels, count: int, *, neighbours: bool, rng: np.random.Generator) -> list[int]:
    """Random objects, except the tiniest; with ``neighbours``, touching pairs come first."""
    sizes = np.bincount(labels.ravel())
    present = np.flatnonzero(sizes[1:]) + 1
    if not present.size:
        return []
    usable = present[sizes[present] >= 0.25 * np.median(sizes[present])]
    order = [int(label) for label in rng.permutation(usable)]
    if not neighbours:
        return order[:count]
    chosen: list[int] = []
    alone: list[int] = []
    for label in order:
        if len(chosen) >= count:
            break
        if label in chosen:
            continue
        around = labels[ndimage.binary_dilation(labels == label, iterations=2)]
        partners = [int(p) for p in np.unique(around) if p != label and p in usable and p not in chosen]
        if partners:
            chosen.extend([label, partners[0]])
        else:
            alone.append(label)
    return [*chosen, *alone][:count]


def _box_with(labels: Labels, objects: int, rng: np.random.Generator, *, margin: int) -> tuple[slice, slice]:
    """Return the box around a random object and its nearest neighbours, plus ``margin`` pixels."""
    boxes = [box for box in ndimage.find_objects(labels) if box is not None]
    if not boxes:
        return slice(0, labels.shape[0]), slice(0, labels.shape[1])
    middles = np.array([[(side.start + side.stop) / 2 for side in box] for box in boxes])
    distances = np.abs(middles - middles[rng.integers(len(boxes))]).max(axis=1)
    chosen = [boxes[index] for index in np.argsort(distances, kind="stable")[:objects]]
    rows, columns = (
        slice(
            max(min(box[axis].start for box in chosen) - margin, 0),
            min(max(box[axis].stop for box in chosen) + margin, labels.shape[axis]),
        )
        for axis in (0, 1)
    )
    return rows, columns


def _direction_away(clearance: NDArray[np.float64], cell: tuple[int, ...]) -> NDArray[np.float64] | None:
    """Return the unit vector in which the clearance grows fastest, or None on a ridge."""
    low = np.maximum(np.array(cell) - 1, 0)
    high = np.minimum(np.array(cell) + 1, np.array(clearance.shape) - 1)
    slope = np.array(
        [
            clearance[high[0], cell[1]] - clearance[low[0], cell[1]],
            clearance[cell[0], high[1]] - clearance[cell[0], low[1]],
        ]
    )
    norm = float(np.linalg.norm(slope))
    return slope / norm if norm > 1e-6 else None

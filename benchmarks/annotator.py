"""A simulated annotator: instance masks in, the paint a person would make of them out.

Strokes of an object run along its medial axis and never leave it; strokes of the background keep clear of
every object, half of them running close along one, as people do to show where it ends.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.draw import disk
from skimage.morphology import medial_axis
from skimage.segmentation import find_boundaries

Labels = NDArray[np.int32]


def paint_image(
    labels: Labels,
    *,
    objects: int,
    background: int,
    rng: np.random.Generator,
    brush: float = 3.0,
    filled: bool = False,
    length: int = 60,
) -> Labels:
    """Return the paint (YX int32) a person would make of an image whose instances are ``labels``.

    Parameters
    ----------
    labels : array (Y, X)
        0 background, one positive value per object.
    objects, background : int
        Number of objects and of background strokes to paint.
    brush : float
        Radius of the brush in pixels.
    filled : bool
        Fill the objects up to a one-pixel rim instead of one stroke each; they are then chosen as neighbours.
    length : int
        Length of a background stroke in pixels.
    """
    paint = np.zeros(labels.shape, np.int32)
    for value, label in enumerate(_choose(labels, objects, neighbours=filled, rng=rng), start=2):
        mask = labels == label
        paint[mask if filled else _axis_stroke(mask, brush)] = value
    clearance = ndimage.distance_transform_edt(labels == 0)
    for index in range(background):
        paint[_background_stroke(clearance, brush, length, close=index % 2 == 0, rng=rng)] = 1
    return paint


def _choose(labels: Labels, count: int, *, neighbours: bool, rng: np.random.Generator) -> list[int]:
    """Random objects, not the tiniest; with ``neighbours`` touching partners come right after each other."""
    sizes = np.bincount(labels.ravel())
    present = np.flatnonzero(sizes)[1:]
    usable = present[sizes[present] >= 0.25 * np.median(sizes[present])]
    order = [int(label) for label in rng.permutation(usable)]
    if not neighbours:
        return order[:count]
    chosen: list[int] = []
    for label in order:
        if len(chosen) >= count:
            break
        around = labels[ndimage.binary_dilation(labels == label, iterations=2)]
        partners = [
            int(p) for p in np.unique(around) if p not in (0, label) and p not in chosen and p in usable
        ]
        if label not in chosen:
            chosen.extend([label, *partners[:1]])
    return chosen[:count]


def _axis_stroke(mask: NDArray[np.bool_], brush: float) -> NDArray[np.bool_]:
    """Cover the medial axis with discs that stay one pixel inside the object."""
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    small = np.pad(mask[box], 1)
    axis, depth = medial_axis(small, return_distance=True, rng=0)
    stroke = np.zeros_like(small)
    # The outermost twigs of the axis lead into corners where nobody paints.
    for y, x in np.argwhere(axis & (depth >= 0.5 * depth.max())):
        stroke[disk((y, x), max(min(brush, depth[y, x] - 1), 0.6), shape=small.shape)] = True
    result = np.zeros_like(mask)
    result[box] = (stroke & small)[1:-1, 1:-1]
    return result


def _background_stroke(
    clearance: NDArray[np.float64], brush: float, length: int, *, close: bool, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Walk with a slowly turning heading, staying at least a brush away from every object."""
    room = clearance > brush + 1
    near = room & (clearance < 3 * brush + 2)
    starts = np.argwhere(near if close and near.any() else room)
    best = np.zeros(clearance.shape, bool)
    # A stroke that runs into a corner at once is a dab; a person would have begun elsewhere.
    for _ in range(5 if len(starts) else 0):
        stroke = np.zeros(clearance.shape, bool)
        position = starts[rng.integers(len(starts))].astype(float)
        heading = rng.uniform(0, 2 * np.pi)
        for _ in range(length):
            cell = tuple(np.round(position).astype(int))
            if not ((np.array(cell) >= 0) & (np.array(cell) < clearance.shape)).all() or not room[cell]:
                break
            stroke[disk(cell, brush, shape=clearance.shape)] = True
            away = _direction_away(clearance, cell)
            if close and away is not None:
                # At right angles to the way out, pulled back to where the brush just misses the object.
                pull = np.clip((brush + 3 - clearance[cell]) / 3, -0.7, 0.7)
                step = np.array((-away[1], away[0])) + pull * away
                position += step / np.linalg.norm(step)
            else:
                heading += rng.normal(0, 0.15)
                position += (np.sin(heading), np.cos(heading))
        if stroke.sum() > best.sum():
            best = stroke
    return best


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


def touching_recall(predicted: Labels, truth: Labels, threshold: float = 0.5) -> tuple[int, int]:
    """Return (found, all): true objects that touch another one, and those matched at IoU > ``threshold``."""
    seams = find_boundaries(truth, mode="inner") & ~find_boundaries(
        (truth > 0).astype(np.uint8), mode="inner"
    )
    touching = np.unique(truth[seams & (truth > 0)])
    found = 0
    for label in touching:
        mask = truth == label
        rivals, overlaps = np.unique(predicted[mask], return_counts=True)
        inside = [(n, r) for n, r in zip(overlaps, rivals, strict=True) if r > 0]
        if inside:
            overlap, rival = max(inside)
            found += overlap / (mask.sum() + (predicted == rival).sum() - overlap) > threshold
    return found, len(touching)

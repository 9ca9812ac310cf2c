"""The annotator corrects as in the dock: objects are accepted, rejected, split and merged.

The largest mistake is corrected, then the nearest right object is accepted, and so on. A gesture costs the
same as a stroke: a second to aim, and its length. A missed object has no outline to accept; it gets a stroke.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import expand_labels

from annotator import AIM, SPEED, Canvas, Labels, Painted
from napari_unet.core.correcting.gestures import Correction, accept, merge, reject, split
from napari_unet.core.errors import InputError

_GOOD = 0.7
"""Intersection over union with a true object at which a person takes a predicted one for right."""

Do = Callable[[], None]


def correct_by_gesture(
    labels: NDArray[np.integer],
    predicted: NDArray[np.integer],
    painted: Painted,
    until: float,
    *,
    rng: np.random.Generator,
) -> Painted:
    """Return the paint after gestures on a prediction (Y, X), until ``until`` seconds are spent."""
    desk = _Desk(labels.astype(np.int32), predicted.astype(np.int32), painted, rng)
    for _, place, mend in sorted(desk.mistakes(), key=lambda mistake: -mistake[0]):
        for do in (mend, lambda place=place: desk.accept_near(place)):
            if desk.seconds < until:
                do()
    while desk.seconds < until and desk.accept_near(None):
        pass
    return desk.painted()


class _Desk:
    """An image with its truth, its prediction, and its paint so far."""

    def __init__(self, labels: Labels, predicted: Labels, painted: Painted, rng: np.random.Generator) -> None:
        self.seconds = painted.seconds
        self._labels = labels
        self._objects = predicted.copy()
        self._paint = painted.paint.copy()
        self._full = set(painted.full)
        self._rng = rng
        self._overlaps = np.zeros((int(labels.max()) + 1, int(predicted.max()) + 1), np.int64)
        np.add.at(self._overlaps, (labels.ravel(), predicted.ravel()), 1)
        whole = self._overlaps.sum(axis=1)[:, None] + self._overlaps.sum(axis=0) - self._overlaps
        is_right = (self._overlaps / np.maximum(whole, 1))[1:, 1:] > _GOOD
        self._right = [int(number) + 1 for number in np.flatnonzero(is_right.any(axis=0))]

    def painted(self) -> Painted:
        """Return the paint so far."""
        return Painted(self._paint.copy(), frozenset(self._full), self.seconds)

    def mistakes(self) -> Iterator[tuple[int, tuple[float, ...], Do]]:
        """Yield for every mistake how many pixels are wrong, where it is, and a call that corrects it."""
        sizes, predicted_sizes = self._overlaps.sum(axis=1), self._overlaps.sum(axis=0)
        inside = 2 * self._overlaps[1:, 1:] > sizes[1:, None]
        parts = (2 * self._overlaps[1:, 1:] > predicted_sizes[1:]) & (predicted_sizes[1:] > 0)
        for label in np.flatnonzero(sizes[1:]) + 1:
            of_it = np.flatnonzero(parts[label - 1]) + 1
            if 2 * self._overlaps[label, 0] > sizes[label]:
                yield int(self._overlaps[label, 0]), self._middle(self._labels == label), self._stroke(label)
            elif of_it.size >= 2:
                wrong = np.sort(self._overlaps[label, of_it])[:-1].sum()
                yield int(wrong), self._middle(self._labels == label), self._merge(of_it)
        for number in np.flatnonzero(predicted_sizes[1:]) + 1:
            of_it = np.flatnonzero(inside[:, number - 1]) + 1
            here = self._objects == number
            if 2 * self._overlaps[0, number] > predicted_sizes[number]:
                yield int(self._overlaps[0, number]), self._middle(here), self._reject(int(number))
            elif of_it.size >= 2:
                wrong = np.sort(self._overlaps[of_it, number])[:-1].sum()
                yield int(wrong), self._middle(here), self._split(here, of_it)

    def accept_near(self, place: tuple[float, ...] | None) -> bool:
        """Accept the right object nearest to ``place``, or any; return whether there was one."""
        if not self._right:
            return False
        middles = [self._middle(self._objects == number) for number in self._right]
        away = [0.0 if place is None else float(np.hypot(*np.subtract(middle, place))) for middle in middles]
        number = self._right.pop(int(np.argmin(away)))
        self._do(accept(self._objects, self._paint, [number]), 0.0)
        return True

    def _stroke(self, label: int) -> Do:
        def do() -> None:
            canvas = Canvas(self._labels, self._rng, start=self.painted())
            canvas.stroke(label)
            painted = canvas.painted()
            self._paint, self.seconds = painted.paint.copy(), painted.seconds

        return do

    def _reject(self, number: int) -> Do:
        return lambda: self._do(reject(self._objects, self._paint, [number]), 0.0)

    def _merge(self, parts: NDArray[np.intp]) -> Do:
        def do() -> None:
            path = np.array([self._middle(self._objects == part) for part in parts])
            self._draw(lambda: merge(self._objects, self._paint, path), path)

        return do

    def _split(self, here: NDArray[np.bool_], of_it: NDArray[np.intp]) -> Do:
        """Draw across ``here`` along the longest border between two true objects in it."""

        def do() -> None:
            grown = expand_labels(np.where(np.isin(self._labels, of_it) & here, self._labels, 0), 20) * here
            seams: dict[tuple[int, int], list[tuple[int, int]]] = {}
            for step in ((1, 0), (0, 1)):
                moved = np.roll(grown, step, axis=(0, 1))
                for y, x in np.argwhere((grown != moved) & (grown > 0) & (moved > 0)):
                    pair = sorted((int(grown[y, x]), int(moved[y, x])))
                    seams.setdefault((pair[0], pair[1]), []).append((int(y), int(x)))
            if not seams:
                return
            seam = np.array(max(seams.values(), key=len), float)
            middle = seam.mean(axis=0)
            along = np.linalg.svd(seam - middle, full_matrices=False)[2][0]
            reach = (seam - middle) @ along
            path = np.array(
                [middle + (end + sign * 3) * along for end, sign in ((reach.min(), -1), (reach.max(), 1))]
            )
            self._draw(lambda: split(self._objects, self._paint, path), path)

        return do

    def _draw(self, gesture: Callable[[], Correction], path: NDArray[np.float64]) -> None:
        length = float(np.hypot(*np.diff(path, axis=0).T).sum())
        try:
            self._do(gesture(), length)
        except InputError:
            # The stroke missed: a person notices, but it has cost time.
            self.seconds += AIM + length / SPEED

    def _do(self, correction: Correction, length: float) -> None:
        self._objects.flat[correction.objects.pixels] = correction.objects.values
        self._paint.flat[correction.paint.pixels] = correction.paint.values
        self._full |= set(correction.painted)
        self.seconds += AIM + length / SPEED

    @staticmethod
    def _middle(mask: NDArray[np.bool_]) -> tuple[float, ...]:
        """Return the pixel of ``mask`` that is farthest from its border."""
        depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        return tuple(float(at) for at in np.unravel_index(int(depth.argmax()), mask.shape))

"""Where the next stroke would teach most: uncertain, unpainted, unlike what was painted or shown before."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.annotation import FIRST_OBJECT
from napari_unet.core.arrays.boxes import Plane
from napari_unet.core.arrays.lazy import Pixels
from napari_unet.core.guiding.looks import Looks, block_mean
from napari_unet.core.objects.uncertainty import uncertainty, without_lines

Why = Literal["seam", "wavers", "unlike"]

_UNLIKE = 0.6
"""Novelty from which a place is called unlike the paint."""

_BLOCKS = 5
"""Blocks along an object, in which places are compared: finer ones tell no more and take longer."""

_APART = 1.5
"""Distance between places in objects, at least: nobody should be led to one twice."""

_PLANES_APART = 2
"""Planes nearer than this show the same objects."""

_NEAR = 0.4
"""Distance from paint, in objects, at which a place counts two thirds: the paint there will teach it."""

_LEAST = 0.01
"""Score below which a place teaches nothing: the network is certain, or paint is close."""

_SEEN = 0.5
"""What of its score a place keeps that looks exactly like what is painted."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place at which to paint."""

    centre: tuple[int, ...]  # index (…YX) of an unpainted pixel
    radius: float  # pixels around it, along the last axis, that should be seen
    # objects touch and the seam is unclear; the network wavers between classes; or nothing says more than
    # that it looks unlike the paint
    why: Why
    between: tuple[int, int]  # the two classes, as paint values, that are most probable there
    distance: float  # pixels to the nearest paint of this plane; infinite without
    novelty: float  # how unlike the paint it looks, from 0 to 1
    score: float  # by which places are ranked


def in_words(place: Place, names: Sequence[str] = ("background", "object")) -> str:
    """Return why a stroke at ``place`` would teach, and what to paint.

    Parameters
    ----------
    names : sequence of str
        Of the classes, background first.
    """
    one, other = (names[value - 1] if value <= len(names) else f"class {value}" for value in place.between)
    reasons = {
        "seam": "Touching objects, or one? The seam is unclear: paint a thin line of background along it or, "
        "without a gap, a stroke of each object beside it; if it is one object, a stroke across.",
        "wavers": f"The network cannot decide between {one} and {other} here: paint what it is, "
        "and a stroke of the other beside it.",
        "unlike": "This looks unlike what is painted: paint what it is.",
    }
    words = reasons[place.why]
    if place.why != "unlike" and place.novelty >= _UNLIKE and np.isfinite(place.distance):
        words += f" The nearest paint is {place.distance:.0f} px away, and what it covers looks different."
    return words


def next_place(
    paint: NDArray[np.integer[Any]],
    extent: Sequence[float],
    *,
    foregrounds: Mapping[Plane, NDArray[np.float32] | None],
    image: Pixels,
    seams: Callable[[Plane], NDArray[np.bool_]] | None = None,
    shown: Sequence[tuple[int, ...]] = (),
) -> Place | None:
    """Return the place where a stroke would teach most, or None if none would teach much.

    A place scores by how uncertain the network is there, summed over a window as large as an object; less
    near paint, whose lesson it has yet to show; and less where it looks like what is painted already.

    Parameters
    ----------
    paint : array (…YX) of int
        0 is unlabelled.
    extent : sequence of float
        Size in pixels of a typical object along each axis that the network sees.
    foregrounds : mapping of plane to array (K - 1, spatial...) or None
        The planes to look at, and on each the probability of every class but the background; None where
        nothing was predicted, so that places are ranked by their looks alone.
    image : array or LazyPixels (C, …YX)
        For the looks.
    seams : callable, optional
        Takes a plane and returns where (spatial...) it is unclear whether touching objects part, see
        :func:`napari_unet.core.objects.uncertainty.unclear_seams`; None where they are not told apart.
    shown : sequence of tuple of int
        Centres (…YX) that were shown before: no place is near one of them.
    """
    blocks = tuple(max(1, int(size / _BLOCKS)) for size in extent)
    looks = Looks.of(image, paint, blocks, extent)
    best: Place | None = None
    for plane, foreground in foregrounds.items():
        unclear = None if foreground is None or seams is None else seams(plane)
        ground = _Ground.of(paint[plane], foreground, blocks, extent, unclear)
        least = _LEAST if best is None else best.score
        place = ground.best_place(plane, partial(looks.novelty, plane), _near(shown, plane), least)
        best = min(filter(None, (best, place)), key=lambda each: (-each.score, each.centre), default=None)
    return best


def _near(centres: Sequence[tuple[int, ...]], plane: Plane) -> list[tuple[int, ...]]:
    """Return those centres, without their plane, that are seen on ``plane`` too."""
    leading = len(plane)
    return [
        centre[leading:]
        for centre in centres
        if all(abs(a - b) < _PLANES_APART for a, b in zip(centre[:leading], plane, strict=True))
    ]


@dataclass(frozen=True, slots=True, eq=False)
class _Ground:
    """One plane, in blocks: how uncertain the network is in the unpainted part of each, and how far paint is.

    ``wavering`` and ``distance`` (in objects) are arrays over blocks; the distance is 0 of every block with
    any paint. ``uncertain`` (spatial...) is 0 where there is paint, and ``seams`` (spatial...) where touching
    objects may part; None where they are not told apart.
    """

    uncertain: NDArray[np.float32]
    seams: NDArray[np.bool_] | None
    foreground: NDArray[np.float32] | None
    wavering: NDArray[np.float32]
    distance: NDArray[np.float64]
    blocks: tuple[int, ...]
    extent: Sequence[float]

    @classmethod
    def of(
        cls,
        paint: NDArray[np.integer[Any]],
        foreground: NDArray[np.float32] | None,
        blocks: tuple[int, ...],
        extent: Sequence[float],
        seams: NDArray[np.bool_] | None,
    ) -> "_Ground":
        painted = paint != 0
        if foreground is None:
            uncertain = np.ones(paint.shape, np.float32)
        else:
            uncertain = without_lines(uncertainty(foreground))
            if seams is not None:
                uncertain[seams] = 1
        uncertain[painted] = 0
        sigma = [size / (4 * block) for size, block in zip(extent, blocks, strict=True)]
        # Nothing is to be seen beyond the edge, where networks waver because they see less.
        wavering = ndimage.gaussian_filter(block_mean(uncertain, blocks), sigma, mode="constant")
        distance = np.full(wavering.shape, np.inf)
        if painted.any():
            cover = block_mean(painted.astype(np.float32), blocks)
            sampling = np.divide(blocks, extent)
            distance = ndimage.distance_transform_edt(cover == 0, sampling=sampling)
        return cls(uncertain, seams, foreground, wavering, distance, blocks, extent)

    def best_place(
        self,
        plane: Plane,
        novelty: Callable[[NDArray[np.bool_]], NDArray[np.float32]],
        shown: Sequence[tuple[int, ...]],
        least: float,
    ) -> Place | None:
        """Return the best place of this plane, apart from those ``shown``; None if it scores below ``least``.

        ``novelty`` takes the blocks (True) of which it is asked for, and takes long.
        """
        score = self.wavering * (1 - np.exp(-((self.distance / _NEAR) ** 2)))
        for centre in shown:
            axes = [
                ((np.arange(length) + 0.5) * block - at) / size
                for length, block, at, size in zip(score.shape, self.blocks, centre, self.extent, strict=True)
            ]
            squares = sum(axis**2 for axis in np.ix_(*axes))
            score[squares < _APART**2] = 0
        may_win = score >= least  # novelty only lowers a score
        if not may_win.any():
            return None
        new = novelty(may_win)
        scores = score[may_win] * (_SEEN + (1 - _SEEN) * new)
        best = int(scores.argmax())
        if scores[best] < least:
            return None
        block = [int(axis[best]) for axis in np.nonzero(may_win)]
        return self._place(plane, block, float(scores[best]), float(new[best]))

    def _place(self, plane: Plane, block: Sequence[int], score: float, novelty: float) -> Place:
        corner = [at * size for at, size in zip(block, self.blocks, strict=True)]
        inside = tuple(slice(at, at + size) for at, size in zip(corner, self.blocks, strict=True))
        part = self.uncertain[inside]
        at = np.unravel_index(int(part.argmax()), part.shape)
        centre = tuple(start + int(step) for start, step in zip(corner, at, strict=True))
        place = Place(
            centre=(*plane, *centre),
            radius=3 * float(max(self.extent[-2:])),
            why="unlike",
            between=(1, FIRST_OBJECT),
            distance=float(self.distance[tuple(block)]) * float(max(self.extent[-2:])),
            novelty=novelty,
            score=score,
        )
        if self.foreground is None:
            return place
        near = tuple(
            slice(max(at - int(size / 4), 0), at + int(size / 4) + 1)
            for at, size in zip(centre, self.extent, strict=True)
        )
        here: tuple[Any, ...] = (slice(None), *centre)
        why: Why = "seam" if self.seams is not None and self.seams[near].any() else "wavers"
        return replace(place, why=why, between=_rivals(self.foreground[here]))


def _rivals(others: NDArray[np.float32]) -> tuple[int, int]:
    """Return the paint values of the two most probable classes, the lower first."""
    probabilities = np.array([1 - others.sum(), *others])
    one, other = sorted(int(index) + 1 for index in np.argsort(probabilities, kind="stable")[-2:])
    return one, other

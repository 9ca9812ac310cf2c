"""Where objects are and what outline they have: blobs, rods and spindly cells.

Shapes are level functions on small grids, ``level(x) < 1`` inside, in any dimension.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.micrographs.config import MicrographConfig
from napari_unet.core.micrographs.fields import Field

Labels = NDArray[np.int32]

_MOST_OVERLAP = 0.25
"""An object is left out if more of it than this part would lie on others."""

FEWEST_PIXELS = 8
"""An object that is smaller is left out."""

_MOST_ROUND = 0.3
"""Part of the spindly cells that may have rounded up."""

_STAR = 4.0
"""Elongation below which spindly cells are stars."""

_TRIES = 3
"""Attempts for every object that should fit, as many of them find no room."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Objects before they are lit."""

    labels: Labels  # (…YX) 0 between objects, which are 1, 2, 3 …
    dome: Field  # (…YX) 1 in the middle of an object, falling to 0 at its outline and between objects
    round: NDArray[np.bool_]  # (n) which of the spindly cells have rounded up; none of other kinds

    @property
    def count(self) -> int:
        """The number of objects."""
        return int(self.labels.max(initial=0))

    def per_object(self, values: NDArray[np.floating]) -> Field:
        """Return a field with one of ``values`` (n) in every object, 0 between them."""
        table = np.concatenate(([0.0], values)).astype(np.float32)
        return table[self.labels]


Axes = Sequence[NDArray[np.float32]]
"""For each axis of a grid the positions of its points in pixels from the middle of an object, ascending."""

Level = Callable[[Axes], Field]


@dataclass(frozen=True, slots=True, eq=False)
class _Shape:
    """A level function and how far from the middle it may be below 1, in pixels."""

    level: Level
    reach: float


def place_objects(shape: Sequence[int], config: MicrographConfig, rng: np.random.Generator) -> Scene:
    """Return objects of the configured sizes until they cover what they should.

    Some lie next to earlier ones and touch them. No object covers another: where outlines would cross, the
    earlier one keeps its pixels.
    """
    make = {"rods": _rod, "phase": _spindly}.get(config.kind, _blob)
    rounded = rng.uniform(0, _MOST_ROUND) if config.kind == "phase" and rng.random() < 0.6 else 0.0
    labels, dome = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    volume = ball_volume(len(shape)) * (config.diameter / 2) ** len(shape)
    wanted = config.coverage * labels.size
    tries = int(_TRIES * wanted / volume) + 3
    covered, middles, is_round = 0, list[tuple[NDArray[np.float64], float]](), list[bool]()
    for _ in range(tries):
        if covered >= wanted:
            break
        radius = config.diameter / 2 * float(np.exp(rng.normal(0, config.spread)))
        middle = rng.uniform(-0.3 * radius, np.asarray(shape, float) + 0.3 * radius)
        if middles and rng.random() < config.clustering:
            beside, other = middles[int(rng.integers(len(middles)))]
            direction = rng.standard_normal(len(shape))
            middle = beside + direction / np.linalg.norm(direction) * (radius + other) * rng.uniform(
                0.8, 1.05
            )
        if _is_taken(labels, middle):
            continue
        ball = bool(rounded) and rng.random() < rounded
        drawn = _ball(0.5 * radius) if ball else make(radius, len(shape), config, rng)
        pixels = _draw(labels, dome, drawn, middle, len(middles) + 1)
        if pixels:
            middles.append((middle, radius))
            is_round.append(ball)
            covered += pixels
    return Scene(labels, dome, np.array(is_round, np.bool_))


def _is_taken(labels: Labels, place: NDArray[np.float64]) -> bool:
    """Return whether there is an object at a place, which may be outside of the image."""
    at = tuple(np.floor(place).astype(int).tolist())
    inside = all(0 <= position < edge for position, edge in zip(at, labels.shape, strict=True))
    return inside and bool(labels[at])


def _draw(labels: Labels, dome: Field, drawn: _Shape, middle: NDArray[np.float64], number: int) -> int:
    """Draw one object, in place, where there is room for it; return how many pixels it has, 0 for none."""
    box, axes = [], []
    for position, edge in zip(middle, labels.shape, strict=True):
        start = max(int(np.floor(position - drawn.reach)), 0)
        stop = min(int(np.ceil(position + drawn.reach)) + 1, edge)
        if stop <= start:
            return 0
        box.append(slice(start, stop))
        axes.append((np.arange(start, stop) - position).astype(np.float32))
    where = tuple(box)
    level = drawn.level(axes)
    inside = level < 1
    # An earlier object, or a bend, may cut it up: one part is the object.
    free = largest_part(inside & (labels[where] == 0))
    room = int(np.count_nonzero(free))
    if room < max(FEWEST_PIXELS, (1 - _MOST_OVERLAP) * np.count_nonzero(inside)):
        return 0
    labels[where][free] = number
    dome[where][free] = (1 - level[free] ** 2).clip(0, 1)
    return room


def largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest of the connected parts of a mask."""
    parts, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    result: NDArray[np.bool_] = parts == sizes.argmax()
    return result


def _blob(radius: float, ndim: int, config: MicrographConfig, rng: np.random.Generator) -> _Shape:
    """Return an ellipsoid, turned at random, whose outline wavers."""
    stretch = config.elongation ** rng.uniform(0.3, 1.0)
    radii = np.full(ndim, radius / stretch ** (1 / ndim))
    radii[-1] *= stretch
    turn, _ = np.linalg.qr(rng.standard_normal((ndim, ndim)))
    to_unit = (turn.T / radii[:, None]).astype(np.float32)
    waves = (rng.standard_normal((5, ndim)) * 1.6).astype(np.float32)
    phases = rng.uniform(0, 2 * np.pi, 5).astype(np.float32)

    def level(axes: Axes) -> Field:
        unit = np.tensordot(to_unit, np.stack(np.meshgrid(*axes, indexing="ij")), axes=1)
        rho = np.sqrt((unit**2).sum(axis=0))
        if config.irregularity:
            wave = sum(
                np.cos(np.tensordot(k, unit, axes=1) + phase) for k, phase in zip(waves, phases, strict=True)
            )
            rho *= np.maximum(1 - config.irregularity * 0.6 * wave, 0.4)
        result: Field = rho.astype(np.float32, copy=False)
        return result

    return _Shape(level, float(radii.max()) * (1 + 2 * config.irregularity) + 1)


def _ball(radius: float) -> _Shape:
    """Return a ball: a cell that divides or dies lets go of the ground and rounds up."""

    def level(axes: Axes) -> Field:
        return np.asarray(np.sqrt(sum(x**2 for x in np.meshgrid(*axes, indexing="ij"))) / radius, np.float32)

    return _Shape(level, radius + 1)


def _rod(radius: float, ndim: int, config: MicrographConfig, rng: np.random.Generator) -> _Shape:
    """Return a bent capsule with the area of a disc of ``radius``."""
    length = config.elongation * rng.uniform(0.7, 1.3)
    width = radius / np.sqrt(max(1.27 * length - 0.27, 1))
    spine = _spine(2 * width * max(length - 1, 0.1), ndim, config.irregularity, rng)
    return _Shape(_chains([(spine, np.full(len(spine), width))]), width * (length + 1) + 2)


def _spindly(radius: float, ndim: int, config: MicrographConfig, rng: np.random.Generator) -> _Shape:
    """Return a long body that tapers into processes, with a few more of them and a wavering outline."""
    length = radius * 2 * np.sqrt(config.elongation) * rng.uniform(0.8, 1.2)
    widest = (0.9 if config.elongation < _STAR else 1.3) * radius / np.sqrt(config.elongation)
    spine = _spine(length, ndim, 2 * config.irregularity, rng)
    along = np.linspace(-1, 1, len(spine))
    taper = (1 - np.abs(along - rng.uniform(-0.3, 0.3)).clip(0, 1) ** rng.uniform(1, 2.5)) * widest
    thinnest = max(0.06 * radius, 1.0)
    chains = [(spine, np.maximum(taper * rng.uniform(0.75, 1.25, len(spine)), thinnest))]
    # Broad cells are stars, long ones have a process here and there.
    is_star = config.elongation < _STAR
    for _ in range(int(rng.integers(1, 5) if is_star else rng.integers(0, 3))):
        branch = _spine(length * rng.uniform(0.4, 0.9), ndim, 2 * config.irregularity, rng)
        start = spine[int(rng.integers(1, len(spine) - 1))]
        base = rng.uniform(0.5, 1.0) if is_star else rng.uniform(0.2, 0.6)
        wide = np.linspace(base * widest, thinnest, len(branch))
        chains.append((branch - branch[0] + start, np.maximum(wide, thinnest)))
    return _Shape(_chains(chains), length * 1.3 + widest + 2)


def _spine(length: float, ndim: int, bend: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the points (6, ndim) of a bent line of ``length`` about the origin, with a random direction."""
    along = np.linspace(-0.5, 0.5, 6)
    direction, _ = np.linalg.qr(rng.standard_normal((ndim, ndim)))
    bow = bend * (rng.normal(0, 1) * (along**2 - 0.08) + rng.normal(0, 0.5) * np.sin(2 * np.pi * along) * 0.3)
    points: NDArray[np.float64] = length * (along[:, None] * direction[0] + bow[:, None] * direction[1])
    return points


def _chains(chains: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> Level:
    """Return the level of capsules in chains: the distance from the line over the width there."""

    def level(axes: Axes) -> Field:
        nearest = np.full([axis.size for axis in axes], np.inf, np.float32)
        for points, widths in chains:
            for ends, width in zip(pairwise(points), pairwise(widths), strict=True):
                # No further from the segment than it is wide: elsewhere it would not be below 1.
                low, high = np.min(ends, axis=0) - max(width), np.max(ends, axis=0) + max(width)
                box = tuple(
                    slice(*np.searchsorted(axis, (start, stop)))
                    for axis, start, stop in zip(axes, low, high, strict=True)
                )
                near = [axis[cut] for axis, cut in zip(axes, box, strict=True)]
                np.minimum(nearest[box], _capsule(near, ends, width), out=nearest[box])
        return nearest

    return level


def _capsule(
    axes: Axes, ends: tuple[NDArray[np.float64], NDArray[np.float64]], width: tuple[float, float]
) -> Field:
    """Return the distance from the line between two ends over the width at the nearest point of it."""
    column = (-1, *[1] * len(axes))
    first, step = ends[0].astype(np.float32), (ends[1] - ends[0]).astype(np.float32)
    offset = np.stack(np.meshgrid(*axes, indexing="ij")) - first.reshape(column)
    part = np.tensordot(step, offset, axes=1) / max(float(step @ step), 1e-6)
    np.clip(part, 0, 1, out=part)
    offset -= step.reshape(column) * part
    level: Field = np.sqrt((offset**2).sum(axis=0)) / (width[0] + (width[1] - width[0]) * part)
    return level


def ball_volume(ndim: int) -> float:
    """Return the volume of the ball of radius 1."""
    return float(np.pi if ndim == 2 else 4 / 3 * np.pi)

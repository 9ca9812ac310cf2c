"""The weight map of a painted stack, the visible plane first, and what it says in words.

Between previews the parts of the map are kept, with the paint they were measured from. What changed is found
by comparing the paint with that copy, so strokes, undo, fills and scripts that write into the layer all cost
only the box they touched, with or without an event. Heights and class weights only multiply: moving their
sliders needs no measuring.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import Mode
from napari_unet.core.arrays.boxes import Box, Plane, box_of, whole
from napari_unet.core.borders.weight_config import WeightConfig, class_weights, settled
from napari_unet.core.borders.weight_reading import WeightReading, count_touching
from napari_unet.core.control import Control
from napari_unet.core.painted.known_full import FollowedFull, KnownFull
from napari_unet.core.painted.object_distance import Full
from napari_unet.core.painted.regions import Region, complete
from napari_unet.core.painted.rim import TaughtPlane
from napari_unet.core.painted.weight_update import is_large, update_parts
from napari_unet.core.weights import WeightParts, measure_parts

_STRIP = 64  # rows at once: what lies between stays in the processor's cache, which saves a third of the time


@dataclass(frozen=True, slots=True, eq=False)
class PlaneMap:
    """The weight map of one plane (YX) float32; maps of the same plane with equal ``key`` are equal."""

    plane: Plane
    weights: NDArray[np.float32]
    key: object


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """A plane's paint, and the parts of its map with heights of 1."""

    paint: TaughtPlane
    parts: WeightParts


@dataclass(frozen=True, slots=True, eq=False)
class _Said:
    """What the parts of one plane say; sums over its pixels, with heights of 1."""

    parts: WeightParts
    touching: int
    objects: int
    border: float
    halo: float


@dataclass(slots=True, eq=False)
class WeightPreviews:
    """Weight maps of one annotation layer while its paint and the configuration change.

    One preview at a time, from any thread. When a preview is given up, every plane is measured either as it
    was before or as it is now.
    """

    _spacing: tuple[float, ...] | None = None
    _asked: tuple[WeightConfig, Mode] | None = None
    _shape: tuple[int, ...] = ()
    _followed: FollowedFull | None = None
    _measured: dict[Plane, _Measured] = field(default_factory=dict)
    _said: dict[Plane, _Said] = field(default_factory=dict)

    def maps(
        self,
        paint: Any,
        known: KnownFull,
        config: WeightConfig,
        mode: Mode,
        control: Control,
        *,
        visible: Plane,
        shown: Mapping[Plane, object] | None,
        spacing: tuple[float, ...] | None = None,
    ) -> Iterator[PlaneMap]:
        """Compute the maps as training on planes does: borders within each plane, class balance over all.

        It yields the maps to display again: first that of the visible plane, balanced by the planes measured
        so far; when all are measured, every other map that changed. When ``control`` is stopped, the iterator
        ends.

        Parameters
        ----------
        paint : array (…YX) of integers
            The user may paint on it meanwhile: every plane is copied when its turn comes, and later changes
            are found next time. ``InputError`` if it is not paint.
        known : KnownFull
            Which of its objects are full, and its complete regions: pixels that are background without paint.
        visible : tuple of int
            The plane that the user sees.
        shown : mapping of plane to key, or None
            The :attr:`PlaneMap.key` of the maps on display, which are not computed again; planes that are
            missing display zeros. None: no maps, planes are only measured for :meth:`sentence`.
        spacing : tuple of float, optional
            Size of a pixel of a plane along Y and X, as in training; None where it is square.
        """
        unit = _unit(config)
        if (self._asked, self._shape, self._spacing) != ((unit, mode), paint.shape, spacing):
            self._asked, self._shape, self._spacing = (unit, mode), paint.shape, spacing
            self._measured.clear()
            self._said.clear()
            self._followed = None
        self._follow(known, mode)
        planes = sorted(np.ndindex(paint.shape[:-2]), key=lambda plane: plane != visible)
        on_display = None if shown is None else dict(shown)
        for plane in planes:
            if control.stopped:
                return
            self._look(plane, np.asarray(paint[plane]), known.regions, unit, mode)
            if plane == visible and on_display is not None and len(planes) > 1:
                yield from self._map(plane, config, on_display)
        for plane, measured in list(self._measured.items()):
            if control.stopped:
                return
            if measured.paint.full != self._full:  # another plane decided that
                self._measure(plane, measured.paint.painted, None, unit, mode)
        if on_display is not None:
            for plane in planes:
                if control.stopped:
                    return
                yield from self._map(plane, config, on_display)

    def sentence(self, config: WeightConfig, control: Control) -> Iterator[str]:
        """Return in words what the maps of all planes, as measured last, say together.

        An object counts once on every plane it is on, since planes are taught one by one.
        """
        for plane in self._measured:
            if control.stopped:
                return
            self._read(plane)
        yield self._sum_up(config)

    def _follow(self, known: KnownFull, mode: Mode) -> None:
        """Follow which objects are full, if any may be."""
        if mode != "objects" or known == KnownFull():
            self._followed = None
        elif self._followed is None or self._followed.known != known:
            self._followed = FollowedFull(known, self._shape)
            for plane, measured in self._measured.items():
                self._followed.edit(plane, whole(self._shape[-2:]), measured.paint.painted)

    @property
    def _full(self) -> Full:
        """Which objects are full, on the planes looked at so far."""
        return False if self._followed is None else self._followed.full

    def _look(
        self, plane: Plane, paint: NDArray[Any], regions: Sequence[Region], unit: WeightConfig, mode: Mode
    ) -> None:
        """Bring a plane up to date; planes without paint have no parts."""
        here = [Region((), each.box, each.mask) for each in regions if each.plane == plane]
        if here:
            paint = complete(paint.copy(), here)
        before = self._measured.get(plane)
        if not paint.any() if before is None else np.array_equal(paint, before.paint.painted):
            return
        paint = np.array(paint)  # the user may be painting on the other
        changed = whole(paint.shape) if before is None else box_of(paint != before.paint.painted)
        if changed is not None and self._followed is not None:
            self._followed.edit(plane, changed, paint[changed])
        if paint.any():
            self._measure(plane, paint, changed, unit, mode)
        else:
            self._measured.pop(plane, None)
            self._said.pop(plane, None)

    def _measure(
        self, plane: Plane, painted: NDArray[Any], changed: Box | None, unit: WeightConfig, mode: Mode
    ) -> None:
        """Measure a plane again where its paint changed, or other objects are full."""
        before = self._measured.get(plane)
        box: Box | None = whole(painted.shape)
        if before is None:
            paint = TaughtPlane.of(painted, self._full)
        else:
            paint, box = before.paint.edited(painted, changed, self._full)
        if before is None or (box is not None and is_large(box, painted.shape)):
            parts = measure_parts(paint.taught, unit, spacing=self._spacing, mode=mode)
        elif box is None:
            parts = before.parts
        else:
            parts, _ = update_parts(before.parts, paint.taught, box, unit, spacing=self._spacing, mode=mode)
        self._measured[plane] = _Measured(paint, parts)

    def _class_weights(self, config: WeightConfig) -> NDArray[np.float32]:
        """Return the weight of each class (K,), balanced over all planes."""
        pixels = self._pixels()
        area = sum(measured.parts.kinds.size for measured in self._measured.values())
        return class_weights(pixels, settled(config, int(pixels.sum()), area))

    def _pixels(self) -> NDArray[np.int64]:
        """Return the known pixels of each class, of all planes."""
        counts = [measured.parts.pixels for measured in self._measured.values()]
        pixels = np.zeros(max((count.size for count in counts), default=2), np.int64)
        for count in counts:
            pixels[: count.size] += count
        return pixels

    def _map(self, plane: Plane, config: WeightConfig, on_display: dict[Plane, object]) -> Iterator[PlaneMap]:
        """Yield the map of a plane, unless it is on display already."""
        measured = self._measured.get(plane)
        if measured is None:
            if on_display.pop(plane, None) is not None:
                yield PlaneMap(plane, np.zeros(self._shape[-2:], np.float32), None)
            return
        parts, of_class = measured.parts, self._class_weights(config)
        key = (parts, config.w0, config.halo, of_class.tobytes())
        if on_display.get(plane) == key:
            return
        on_display[plane] = key
        yield PlaneMap(plane, _sum(parts, config, of_class), key)

    def _read(self, plane: Plane) -> None:
        said, measured = self._said.get(plane), self._measured[plane]
        parts = measured.parts
        if said is not None and said.parts is parts:
            return
        objects = measured.paint.taught if parts.components is None else parts.components + 1
        touching, count = count_touching(objects, parts.border)
        border = float(parts.border.sum(dtype=np.float64))
        halo = 0.0 if parts.halo is None else float(parts.halo.sum(dtype=np.float64))
        self._said[plane] = _Said(parts, touching, count, border, halo)

    def _sum_up(self, config: WeightConfig) -> str:
        if not self._measured:
            return "Nothing is painted yet, so nothing counts; paint background and a few objects."
        if config.w0 == 0:
            return "There is no border term (w0 is 0), so borders count no more than anything else."
        pixels, said = self._pixels(), self._said.values()
        border = config.w0 * sum(plane.border for plane in said)
        halo = config.halo * sum(plane.halo for plane in said)
        total = float(pixels @ self._class_weights(config).astype(np.float64)) + halo + border
        return WeightReading(
            touching=sum(plane.touching for plane in said),
            objects=sum(plane.objects for plane in said),
            border_share=border / total if total else 0.0,
        ).sentence


def _unit(config: WeightConfig) -> WeightConfig:
    """Return the configuration for measuring the parts: everything that only multiplies is 1."""
    return replace(
        config,
        w0=1.0,
        halo=1.0 if config.halo else 0.0,
        class_balance="none",
        foreground=1.0,
        background=1.0,
    )


def _sum(parts: WeightParts, config: WeightConfig, of_class: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the weight map (YX) of parts with heights of 1; ``of_class`` (K,) weighs all planes' classes."""
    table = np.concatenate(([np.float32(0)], of_class))
    weights = np.empty(parts.kinds.shape, np.float32)
    for top in range(0, len(weights), _STRIP):
        strip = slice(top, top + _STRIP)
        here = np.multiply(parts.border[strip], np.float32(config.w0), out=weights[strip])
        if parts.halo is not None:
            here += parts.halo[strip] * np.float32(config.halo)
        here += table[parts.kinds[strip]]
    return weights

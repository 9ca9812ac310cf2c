"""The weight map of a painted stack, the visible plane first, and what it says in words.

Between previews the parts of the map are kept, with the paint they were measured from. What changed is found
by comparing the paint with that copy, so strokes, undo, fills and scripts that write into the layer all cost
what the box they touched costs, whoever tells of them. Heights and class weights only multiply: their sliders
measure nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import Mode
from napari_unet.core.blocks import Box
from napari_unet.core.control import Control
from napari_unet.core.weight_reading import WeightReading, read_weights
from napari_unet.core.weight_update import update_parts
from napari_unet.core.weights import WeightConfig, WeightParts, class_weights, measure_parts

Plane = tuple[int, ...]
"""Index of a plane along all axes but the last two; () in an image of two axes."""

_LARGE = 0.25  # of a plane: where more than this changed, measuring all of it is no slower

_STRIP = 64  # rows at once: what is in between stays in the processor's cache, in two thirds of the time


@dataclass(frozen=True, slots=True, eq=False)
class PlaneMap:
    """The weight map of one plane (YX) float32; maps of the same plane with equal ``key`` are equal."""

    plane: Plane
    weights: NDArray[np.float32]
    key: object


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """A plane's paint (YX), and the parts of its map with heights of 1."""

    paint: NDArray[Any]
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

    One preview at a time, from any thread. A preview that is given up leaves every plane measured as it was,
    or as it is now.
    """

    _spacing: tuple[float, ...] | None = None
    _asked: tuple[WeightConfig, Mode] | None = None
    _shape: tuple[int, ...] = ()
    _measured: dict[Plane, _Measured] = field(default_factory=dict)
    _said: dict[Plane, _Said] = field(default_factory=dict)

    def maps(
        self,
        paint: Any,
        config: WeightConfig,
        mode: Mode,
        control: Control,
        *,
        visible: Plane,
        shown: Mapping[Plane, object] | None,
        spacing: tuple[float, ...] | None = None,
    ) -> Iterator[PlaneMap]:
        """Compute the maps as training on planes does: borders within each plane, class balance over all.

        Parameters
        ----------
        paint : array (…YX) of integers
            The paint of an image or stack. It may be painted on meanwhile: every plane is copied when its
            turn comes, and what was missed is found next time.
        config : WeightConfig
            The formula's parameters.
        mode : {"objects", "classes"}
            What the values mean.
        control : Control
            Polled once per plane; when stopped, the iterator ends.
        visible : tuple of int
            The plane that the user sees.
        shown : mapping of plane to key, or None
            The :attr:`PlaneMap.key` of the maps on display, which are not computed again; planes that are
            left out display zeros. None: no maps are asked for, and planes only
            measured for :meth:`sentence`.
        spacing : tuple of float, optional
            Size of a pixel of a plane along Y and X, as in training; None where it is square.

        Yields
        ------
        PlaneMap
            Of planes that are to be displayed anew: the visible plane, balanced by the planes measured so
            far; when all are measured, whatever else changed.

        Raises
        ------
        InputError
            If ``paint`` is not paint.
        """
        unit = _unit(config)
        if (self._asked, self._shape, self._spacing) != ((unit, mode), paint.shape, spacing):
            self._asked, self._shape, self._spacing = (unit, mode), paint.shape, spacing
            self._measured.clear()
            self._said.clear()
        planes = sorted(np.ndindex(paint.shape[:-2]), key=lambda plane: plane != visible)
        on_display = None if shown is None else dict(shown)
        for plane in planes:
            if control.stopped:
                return
            self._measure(plane, np.asarray(paint[plane]), unit, mode)
            if plane == visible and on_display is not None and len(planes) > 1:
                yield from self._map(plane, config, on_display)
        if on_display is not None:
            for plane in planes:
                if control.stopped:
                    return
                yield from self._map(plane, config, on_display)

    def sentence(self, config: WeightConfig, control: Control) -> Iterator[str]:
        """Say what the maps of all planes, measured last, say together.

        An object counts once on every plane it is on, since planes are taught one by one.
        """
        for plane in self._measured:
            if control.stopped:
                return
            self._read(plane)
        yield self._sum_up(config)

    def _measure(self, plane: Plane, paint: NDArray[Any], unit: WeightConfig, mode: Mode) -> None:
        """Bring the parts of a plane up to date; planes without paint have none."""
        before = self._measured.get(plane)
        if before is not None and np.array_equal(paint, before.paint):
            return
        if not paint.any():
            self._measured.pop(plane, None)
            self._said.pop(plane, None)
            return
        paint = np.array(paint)  # the user may be painting on the other
        changed = None if before is None else _changed(before.paint, paint)
        if before is None or changed is None:
            parts = measure_parts(paint, unit, spacing=self._spacing, mode=mode)
        else:
            parts, _ = update_parts(before.parts, paint, changed, unit, spacing=self._spacing, mode=mode)
        self._measured[plane] = _Measured(paint, parts)

    def _pixels(self) -> NDArray[np.int64]:
        """Return the known pixels of each class, of all planes."""
        counts = [measured.parts.pixels for measured in self._measured.values()]
        pixels = np.zeros(max((count.size for count in counts), default=2), np.int64)
        for count in counts:
            pixels[: count.size] += count
        return pixels

    def _map(self, plane: Plane, config: WeightConfig, on_display: dict[Plane, object]) -> Iterator[PlaneMap]:
        """Yield the map of a plane, unless it is on display."""
        measured = self._measured.get(plane)
        if measured is None:
            if on_display.pop(plane, None) is not None:
                yield PlaneMap(plane, np.zeros(self._shape[-2:], np.float32), None)
            return
        parts, of_class = measured.parts, class_weights(self._pixels(), config)
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
        objects = measured.paint if parts.components is None else parts.components + 1
        counted = read_weights(objects, np.zeros(0, np.float32), parts.border, 1.0)
        border = float(parts.border.sum(dtype=np.float64))
        halo = 0.0 if parts.halo is None else float(parts.halo.sum(dtype=np.float64))
        self._said[plane] = _Said(parts, counted.touching, counted.objects, border, halo)

    def _sum_up(self, config: WeightConfig) -> str:
        if not self._measured:
            return "Nothing is painted yet, so nothing counts; paint background and a few objects."
        if config.w0 == 0:
            return "There is no border term (w0 is 0), so borders count no more than anything else."
        pixels, said = self._pixels(), self._said.values()
        border = config.w0 * sum(plane.border for plane in said)
        halo = config.halo * sum(plane.halo for plane in said)
        total = float(pixels @ class_weights(pixels, config).astype(np.float64)) + halo + border
        return WeightReading(
            touching=sum(plane.touching for plane in said),
            objects=sum(plane.objects for plane in said),
            border_share=border / total if total else 0.0,
        ).sentence


def _unit(config: WeightConfig) -> WeightConfig:
    """Return the configuration with all that only multiplies made 1: parts are measured with that."""
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


def _changed(before: NDArray[Any], after: NDArray[Any]) -> Box | None:
    """Return the box in which two planes (YX) differ, which they do; None where it is most of the plane."""
    differs = before != after
    rows = np.flatnonzero(differs.any(axis=1))
    if not rows.size:  # the last pixel that differed was painted back before it could be copied
        return slice(0, 1), slice(0, 1)
    down = slice(int(rows[0]), int(rows[-1]) + 1)
    columns = np.flatnonzero(differs[down].any(axis=0))
    across = slice(int(columns[0]), int(columns[-1]) + 1)
    size = (down.stop - down.start) * (across.stop - across.start)
    return None if size > _LARGE * differs.size else (down, across)

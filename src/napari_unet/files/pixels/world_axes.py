"""The axes of an image in the world, as in OME-Zarr (https://ngff.openmicroscopy.org/0.4)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_unet.files.pixels.pixel_size import PixelSize

_KINDS = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}

_ORDER = {"time": 0, "space": 2}
"""Order of axes by kind; channels, and custom kinds, are between."""


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis whose pixel n is at ``offset + n * step``, in ``unit``; "" is an unknown kind or unit.

    Kinds are "space", "time", "channel", or another word.
    """

    name: str
    kind: str = ""
    unit: str = ""
    step: float = 1.0
    offset: float = 0.0


def named_axes(letters: str, size: PixelSize | None = None) -> tuple[Axis, ...]:
    """Return axes from one letter each, such as "TYX", and the pixel size."""
    axes = []
    for letter in letters:
        step = None if size is None else size.along(letter)
        unit = ("second" if letter == "T" else "micrometer") if step else ""
        axes.append(Axis(letter.lower(), _KINDS.get(letter.lower(), ""), unit, step or 1.0))
    return tuple(axes)


def size_along(axes: Sequence[Axis]) -> PixelSize | None:
    """Return the pixel size that axes without channels tell, the last of which are Y and X; None if none."""
    last = axes[-3:]
    return PixelSize.of(
        {letter: (axis.step, axis.unit) for letter, axis in zip("ZYX"[3 - len(last) :], last, strict=True)}
    )


def read_axes(multiscale: Mapping[str, Any], ndim: int) -> tuple[Axis, ...]:
    """Return the axes of the full resolution of an OME-Zarr image of version 0.1 to 0.5.

    Damaged metadata may raise anything.
    """
    dataset = multiscale["datasets"][0]
    # Version 0.3 named axes by text only; before, they were always these.
    given = multiscale.get("axes") or list("tczyx")[-ndim:]
    step, offset = np.ones(ndim), np.zeros(ndim)
    for part in (dataset, multiscale):
        for transformation in part.get("coordinateTransformations", ()):
            match transformation.get("type"):
                case "scale":
                    by = np.array(transformation["scale"], float)
                    step, offset = step * by, offset * by
                case "translation":
                    offset = offset + np.array(transformation["translation"], float)
    axes = []
    for axis, size, start in zip(given, step.tolist(), offset.tolist(), strict=True):
        said = axis if isinstance(axis, Mapping) else {"name": axis}
        name = str(said["name"])
        kind = str(said.get("type") or _KINDS.get(name, ""))
        is_placed = math.isfinite(size) and size > 0 and math.isfinite(start)
        place = (size, start) if is_placed else (1.0, 0.0)
        axes.append(Axis(name, kind, str(said.get("unit") or ""), *place))
    return tuple(axes)


def describe_axes(axes: Sequence[Axis]) -> tuple[list[dict[str, str]], list[dict[str, Any]]] | None:
    """Return the OME-Zarr metadata for such axes and their position, or None if it does not allow them.

    Time comes first, and two or three axes of space last; one other axis may lie between them.
    """
    order = [_ORDER.get(axis.kind, 1) for axis in axes]
    if order != sorted(order) or order.count(0) > 1 or order.count(1) > 1 or order.count(2) not in (2, 3):
        return None
    named = [
        {
            key: value
            for key, value in (("name", axis.name), ("type", axis.kind), ("unit", axis.unit))
            if value
        }
        for axis in axes
    ]
    placed: list[dict[str, Any]] = [{"type": "scale", "scale": [axis.step for axis in axes]}]
    if any(axis.offset for axis in axes):
        placed.append({"type": "translation", "translation": [axis.offset for axis in axes]})
    return named, placed

"""What is computed for the next place to paint, in a worker thread."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import Mode
from napari_unet.core.axes import Channels, channels_first
from napari_unet.core.extent import object_extent
from napari_unet.core.instances import InstanceConfig
from napari_unet.core.next_place import next_places
from napari_unet.core.place import Place
from napari_unet.core.rereading import Plane, Rereading
from napari_unet.core.uncertainty import uncertainty

_MOST_PLANES = 9
"""Planes of a stack that are looked at where nothing was predicted."""


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What a model says of an image: ``names`` are those of its classes, background first.

    ``model`` is None while it learns, and what it says is of the visible part alone. ``reading`` is how its
    objects are read, None of classes, which are not kept apart.
    """

    model: Path | None
    rereading: Rereading
    names: tuple[str, ...]
    reading: InstanceConfig | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """Places, the best first; whether those shown before count ``again``; the map, if it was asked for.

    ``known`` is what they were ranked by, None where it was their looks.
    """

    places: Sequence[Place]
    known: Known | None
    again: bool
    uncertainty: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """An image and its paint, copied on the main thread.

    Parameters
    ----------
    image : array
        As its layer holds it.
    channels : {"auto", "none", "first", "last"}
    paint : array (…YX) of int
    mode : {"objects", "classes"}
        Of the paint.
    known : Known or None
        What a network says; None goes by the looks alone.
    planes : sequence of tuple of int
        Those to look at where nothing is known.
    shown : sequence of tuple of int
        Places that were shown before.
    wants_map : bool
        Whether the uncertainty itself is to be shown.
    """

    image: Any
    channels: Channels
    paint: NDArray[np.integer[Any]]
    mode: Mode
    known: Known | None
    planes: Sequence[Plane]
    shown: Sequence[tuple[int, ...]]
    wants_map: bool


def rank(question: Question) -> Iterator[Ranked]:
    """Yield where to paint next."""
    paint, known = question.paint, question.known
    foregrounds: Mapping[Plane, NDArray[np.float32] | None] = (
        dict.fromkeys(question.planes) if known is None else known.rereading.foregrounds
    )
    leading = len(next(iter(foregrounds)))
    ndim = paint.ndim - leading
    pixels = channels_first(question.image, ndim=ndim, channels=question.channels, paint_shape=paint.shape)
    extent = object_extent(paint, question.mode, foregrounds, ndim)
    find = partial(
        next_places,
        paint,
        extent,
        foregrounds=foregrounds,
        image=pixels,
        reading=None if known is None else known.reading,
        count=1,
    )
    places = find(shown=question.shown)
    again = not places and bool(question.shown)
    if again:
        places = find()
    yield Ranked(places, known, again, _map(paint.shape, foregrounds) if question.wants_map else None)


def planes_to_look_at(leading: Sequence[int], visible: Plane) -> list[Plane]:
    """Return the ``visible`` plane and others at equal distances, in order; at most nine."""
    count = int(np.prod(leading, dtype=int))
    chosen = np.linspace(0, count - 1, min(count, _MOST_PLANES)).round().astype(int)
    planes = {tuple(int(at) for at in np.unravel_index(plane, leading)) for plane in chosen}
    if visible not in planes:
        others = sorted(planes)
        others.pop(len(others) // 2)
        planes = {visible, *others}
    return sorted(planes)


def _map(
    shape: tuple[int, ...], foregrounds: Mapping[Plane, NDArray[np.float32] | None]
) -> NDArray[np.float32]:
    result = np.zeros(shape, np.float32)
    for plane, foreground in foregrounds.items():
        if foreground is not None:
            result[plane] = uncertainty(foreground)
    return result

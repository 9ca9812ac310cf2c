"""The search for the next place to paint, in a worker thread."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import Mode
from napari_unet.core.arrays.axes import Channels, channels_first
from napari_unet.core.arrays.boxes import Plane
from napari_unet.core.arrays.sparse import copy_planes
from napari_unet.core.guiding.next_place import Place, next_place
from napari_unet.core.instances import InstanceConfig
from napari_unet.core.objects.extent import object_extent
from napari_unet.core.objects.rereading import Rereading
from napari_unet.core.objects.uncertainty import uncertainty
from napari_unet.core.painted.regions import Region, complete

MOST_PLANES = 9
"""Planes of a stack, or images, to look at in one go if nothing was predicted."""


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What a model predicts for an image; ``names`` are the names of its classes, background first.

    ``model`` is None while it learns; then only the visible part is known. ``reading`` is how its objects are
    read, None for classes, which are not kept apart.
    """

    model: Path | None
    rereading: Rereading
    names: tuple[str, ...]
    reading: InstanceConfig | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """The best place; the ``number`` of the question whose image it is in; the map there, if asked for.

    ``known`` is what it was ranked by, None if by looks; ``again`` is whether places that were shown before
    count. If there is no place at all, ``place`` is None and the question is the first.
    """

    number: int
    place: Place | None
    known: Known | None
    again: bool
    uncertainty: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """An image and its paint, on which the user may go on painting; :func:`rank` copies it first."""

    image: Any  # the data of its layer
    channels: Channels
    paint: NDArray[np.integer[Any]]  # (…YX)
    regions: Sequence[Region]  # complete ones
    mode: Mode
    known: Known | None  # what a network predicts; None: only looks count
    planes: Sequence[Plane]  # to look at where nothing is known
    shown: Sequence[tuple[int, ...]]  # places that were shown before


def rank(questions: Sequence[Question], *, wants_map: bool = False, stay: float = 1.0) -> Ranked:
    """Return where to paint next: in the first image, unless another is more than ``stay`` times better."""
    questions = [replace(each, paint=complete(copy_planes(each.paint), each.regions)) for each in questions]
    places = [_best(question, question.shown) for question in questions]
    again = not any(places) and any(question.shown for question in questions)
    if again:
        places = [_best(question, ()) for question in questions]
    scores = [0.0 if place is None else place.score for place in places]
    scores[0] *= stay
    number = scores.index(max(scores))
    asked = questions[number]
    uncertain = _map(asked.paint.shape, _foregrounds(asked)) if wants_map else None
    return Ranked(number, places[number], asked.known, again, uncertain)


def _best(question: Question, shown: Sequence[tuple[int, ...]]) -> Place | None:
    """Return the best place of one image, except those ``shown``."""
    paint, known, foregrounds = question.paint, question.known, _foregrounds(question)
    seams = None
    if known is not None and known.reading is not None:
        seams = partial(known.rereading.unclear_seams, config=known.reading)
    ndim = paint.ndim - len(next(iter(foregrounds)))
    return next_place(
        paint,
        object_extent(paint, question.mode, foregrounds, ndim),
        foregrounds=foregrounds,
        image=channels_first(question.image, ndim=ndim, channels=question.channels, paint_shape=paint.shape),
        seams=seams,
        shown=shown,
    )


def _foregrounds(question: Question) -> Mapping[Plane, NDArray[np.float32] | None]:
    if question.known is None:
        return dict.fromkeys(question.planes)
    return question.known.rereading.foregrounds


def planes_to_look_at(leading: Sequence[int], visible: Plane, most: int = MOST_PLANES) -> list[Plane]:
    """Return the ``visible`` plane and others at equal distances, in order, up to the limit."""
    count = int(np.prod(leading, dtype=int))
    chosen = np.linspace(0, count - 1, min(count, most)).round().astype(int)
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

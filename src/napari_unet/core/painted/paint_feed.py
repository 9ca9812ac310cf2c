"""What is painted while a training runs: put in by one thread, taken by another, and nobody waits.

Whoever paints says where something may have changed; the training finds out what did by comparing planes with
what it has learnt from. A stroke during that comparison is announced afterwards, and found next time.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import BACKGROUND, check_paint
from napari_unet.core.arrays.boxes import Box, Plane, common, part_of, whole
from napari_unet.core.painted.known_full import KnownFull


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """An image that is learnt from, and its paint, which keeps changing."""

    key: Hashable  # says which image it is, whatever becomes of its paint
    # as `read_planes` takes them; the very paint that the user edits
    image: Any
    paint: Any
    # what is known of its objects, and its complete regions
    known: KnownFull = field(default_factory=KnownFull)
    scored: bool = False  # whether it is for scoring alone

    def planes(self, ndim: int) -> Iterator[Plane]:
        """Yield the index of every plane, or with ``ndim`` 3 of every volume."""
        yield from np.ndindex(tuple(self.paint.shape[:-ndim]))

    def read(self, plane: Plane, box: Box | None = None) -> NDArray[np.int32]:
        """Return a copy of a plane (or volume) or of a box of it, with the background of its regions."""
        depth = len(plane)
        box = whole(self.paint.shape[depth:]) if box is None else box
        values = np.array(self.paint[(*plane, *box)])
        for region in self.known.regions:
            if region.lies_in(self.paint.shape) and region.plane[:depth] == plane:
                around = (*(slice(at, at + 1) for at in region.plane[depth:]), *region.box)
                shared = common(around, box)
                if shared is not None:
                    mask = region.mask.reshape([side.stop - side.start for side in around])
                    inside = values[part_of(shared, box)]
                    inside[mask[part_of(shared, around)] & (inside == 0)] = BACKGROUND
        return check_paint(values)


@dataclass(frozen=True, slots=True, eq=False)
class News:
    """What may have changed since the last time."""

    sources: tuple[Source, ...]  # all of them, in the order in which they came: a source keeps its place
    # for each source, by its index in `sources`: the planes (YX) that may have changed; None is any
    touched: Mapping[int, set[Plane] | None]


class PaintFeed:
    """Takes what is painted, from any thread, until a training asks for it.

    Parameters
    ----------
    sources : sequence of Source
        What the training begins with: first the images to learn from, then those for scoring.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._lock = Lock()
        self._sources = list(sources)
        self._touched: dict[int, set[Plane] | None] = {}

    def put(self, source: Source, plane: Plane | None = None) -> None:
        """Say that a source, known or new, may have changed, on a plane (YX) or, by default, anywhere."""
        with self._lock:
            place = next((n for n, other in enumerate(self._sources) if other.key == source.key), None)
            if place is None:
                place = len(self._sources)
                self._sources.append(source)
            self._sources[place] = source
            planes = self._touched.setdefault(place, set())
            if plane is None:
                self._touched[place] = None
            elif planes is not None:
                planes.add(plane)

    @property
    def has_news(self) -> bool:
        """Whether anything was put since it was last taken; does not wait for a thread that is putting."""
        return bool(self._touched)

    def take(self) -> News | None:
        """Return what was put since the last time; None where nothing was."""
        if not self.has_news:  # most of the time
            return None
        with self._lock:
            news = News(tuple(self._sources), self._touched)
            self._touched = {}
        return news

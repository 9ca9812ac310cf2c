"""The objects of one prediction, read again with other settings."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.arrays.boxes import Plane
from napari_unet.core.instances import InstanceConfig, Landscape
from napari_unet.core.objects.prediction import join_classes
from napari_unet.core.objects.uncertainty import unclear_seams

_ROOM = 2**29
"""Bytes that landscapes may take: they are kept for the plane that the user looks at and a few more."""


@dataclass(slots=True, eq=False)
class Rereading:
    """Probabilities, kept so that their objects can be read with other settings.

    One reading at a time, from any thread.
    """

    # probability of every class but the background, of the planes that were predicted
    foregrounds: Mapping[Plane, NDArray[np.float32]]
    _landscapes: dict[Plane, tuple[Landscape, ...]] = field(default_factory=dict)
    # a bit for every pixel, and the reading whose seams these are
    _seams: dict[Plane, tuple[InstanceConfig, NDArray[np.uint8]]] = field(default_factory=dict)

    @classmethod
    def of(cls, foreground: NDArray[np.float32], ndim: int, plane: Plane = ()) -> "Rereading":
        """Keep the planes of ``foreground`` (K - 1, leading..., spatial...), all of them inside ``plane``."""
        leading = foreground.shape[1 : foreground.ndim - ndim]
        return cls({(*plane, *at): foreground[(slice(None), *at)] for at in np.ndindex(leading)})

    def with_planes(self, other: "Rereading") -> "Rereading":
        """Return these planes and those of ``other``, which count where both have one."""
        return Rereading({**self.foregrounds, **other.foregrounds})

    @property
    def nbytes(self) -> int:
        """Memory that the probabilities take."""
        return sum(foreground.nbytes for foreground in self.foregrounds.values())

    def read(self, plane: Plane, config: InstanceConfig, *, is_visible: bool = False) -> NDArray[np.int32]:
        """Return the objects (spatial...) of one plane, numbered 1, 2, ... as in a prediction of it alone.

        Its landscape stays in memory if there is room, and of a plane that ``is_visible`` in any case.
        """
        foreground = self.foregrounds[plane]
        landscapes = self._landscapes.get(plane, ())
        if not landscapes or not landscapes[0].suits(config):
            landscapes = tuple(Landscape.of(probability, config) for probability in foreground)
            self._landscapes.pop(plane, None)  # which makes this the latest
            self._landscapes[plane] = landscapes
            for other in list(self._landscapes)[:-1] if is_visible else [plane]:
                if self._room() < 0:
                    del self._landscapes[other]
        return join_classes([landscape.objects(config) for landscape in landscapes], foreground)

    def read_all(
        self, config: InstanceConfig, taken: int = 0
    ) -> Iterator[tuple[Plane, NDArray[np.int32], int]]:
        """Yield each plane, its objects, and the number on from which they are numbered, as in a stack.

        The first plane is numbered on from ``taken``.
        """
        for plane in sorted(self.foregrounds):
            objects = self.read(plane, config)
            count = int(objects.max(initial=0))
            np.add(objects, taken, out=objects, where=objects > 0)
            yield plane, objects, taken
            taken += count

    def unclear_seams(self, plane: Plane, config: InstanceConfig) -> NDArray[np.bool_]:
        """Return where touching objects (spatial...) of any class may part or not, as read with ``config``.

        Found once for each plane, as it takes most of a search for the next place to paint.
        """
        foreground = self.foregrounds[plane]
        known, bits = self._seams.get(plane, (None, None))
        if bits is None or known != config:
            bits = np.packbits(np.logical_or.reduce([unclear_seams(each, config) for each in foreground]))
            self._seams[plane] = config, bits
        shape = foreground.shape[1:]
        return np.unpackbits(bits, count=prod(shape)).reshape(shape).view(np.bool_)

    def _room(self) -> int:
        return _ROOM - sum(
            landscape.relief.nbytes for landscapes in self._landscapes.values() for landscape in landscapes
        )

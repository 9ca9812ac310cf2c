"""Compute the tiles of an image, some at once, and go on with smaller ones when the memory is not enough."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.core.arrays.ordered import map_in_order
from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.core.tiling import WHOLE, Geometry, Tile, plan_tiles
from napari_unet.network.events import TilesHalved
from napari_unet.network.failures import is_out_of_memory
from napari_unet.network.tiles.device_threads import DeviceThreads, free_cache

Place = tuple[tuple[int, ...], Tile]
"""A plane, as index of the leading axes, and a tile of it."""

Compute = Callable[[tuple[int, ...], Tile], NDArray[np.float32]]


class TileRun:
    """The tiles of an image: which are finished, and how large those are that are not.

    Parameters
    ----------
    shape : sequence of int
        Spatial shape of the image.
    leading : sequence of int
        Shape of the axes that the network does not see.
    geometry : Geometry
        Of the network.
    tile_size : int
        Edge of the tiles in pixels, see :func:`napari_unet.core.tiling.plan_tiles`. Halved down to the
        alignment when the memory is not enough.
    workers : int
        Tiles computed at the same time; one alone once the memory was not enough.
    is_finished : callable, optional
        Called with every plane and tile; those that an earlier run finished are not done again.
    start_at : sequence of float, optional
        A pixel (leading..., spatial...); the tiles around it are computed first. None is row by row.
    """

    def __init__(
        self,
        shape: Sequence[int],
        leading: Sequence[int],
        geometry: Geometry,
        tile_size: int,
        workers: int,
        *,
        is_finished: Callable[[tuple[int, ...], Tile], bool] | None = None,
        start_at: Sequence[float] | None = None,
    ) -> None:
        self._shape, self._leading, self._geometry = tuple(shape), tuple(leading), geometry
        tiles = plan_tiles(shape, tile_size, geometry)
        places: list[Place] = [(plane, tile) for plane in np.ndindex(*leading) for tile in tiles]
        if start_at is not None:
            places.sort(key=partial(distance_to, start_at))
        self._done: list[Place] = []
        self._todo: list[Place] = []
        for place in places:
            (self._done if is_finished is not None and is_finished(*place) else self._todo).append(place)
        self._pixels_done = sum(_pixels(tile) for _, tile in self._done)
        self._workers = workers

    @property
    def done(self) -> int:
        """Tiles that are finished."""
        return len(self._done)

    @property
    def total(self) -> int:
        """Tiles that are finished or to be done, at the size they have now."""
        return len(self._done) + len(self._todo)

    @property
    def share(self) -> float:
        """The part of the pixels that is finished, 0 to 1."""
        return self._pixels_done / prod((*self._leading, *self._shape))

    @property
    def todo(self) -> tuple[Place, ...]:
        """What is still to be done, in order."""
        return tuple(self._todo)

    def finish(self, place: Place) -> None:
        """Note that a place is finished that :meth:`events` did not compute."""
        self._todo.remove(place)
        self._note(place)

    def _note(self, place: Place) -> None:
        self._done.append(place)
        self._pixels_done += _pixels(place[1])

    @property
    def finished(self) -> NDArray[np.bool_] | None:
        """A mask (leading..., spatial...) of the pixels that are finished; None if all are."""
        if not self._todo:
            return None
        finished = np.zeros((*self._leading, *self._shape), np.bool_)
        for plane, tile in self._done:
            where: tuple[Any, ...] = (*plane, *tile.write)
            finished[where] = True
        return finished

    def events(
        self, compute: Compute, device: torch.device, control: Control
    ) -> Generator[tuple[Place, NDArray[np.float32]] | TilesHalved, None, None]:
        """Compute what is to be done, in order, until the end or a stop; yield each place with its result.

        Parameters
        ----------
        compute : callable
            Gives the result of a tile of a plane; called in several threads.
        device : torch.device
            Where it computes.
        control : Control
            Polled before every tile. After a stop only what was begun is yielded.

        Raises
        ------
        InputError
            If the memory is not enough for the smallest tile.
        """
        while self._todo and not control.stopped:
            yield from self._until_memory_ends(compute, device, control)
            if self._todo and not control.stopped:
                free_cache(device)
                yield self._halve()

    def _until_memory_ends(
        self, compute: Compute, device: torch.device, control: Control
    ) -> Generator[tuple[Place, NDArray[np.float32]], None, None]:
        """Compute the tiles as they are; some are left after a stop, or if the memory was not enough."""
        failed = 0
        at_once = min(self._workers, len(self._todo))

        def places() -> Iterator[Place]:
            for place in tuple(self._todo):
                control.wait_while_paused()
                if control.stopped or failed:
                    return
                yield place

        threads = DeviceThreads(at_once, device)

        def attempt(place: Place) -> NDArray[np.float32] | None:
            with threads.stream():
                return attempt_tile(compute, place)

        results = map_in_order(attempt, places(), at_once, prepare=threads.prepare)
        with closing(results):
            for place, values in results:
                if values is None:
                    failed += 1
                    continue
                del self._todo[failed]  # those before it did not fit
                self._note(place)
                yield place, values

    def _halve(self) -> TilesHalved:
        largest = max(part.stop - part.start for _, tile in self._todo for part in tile.write)
        alignment = self._geometry.alignment
        whole = self._geometry.halo == WHOLE
        if (whole or largest <= alignment) and self._workers == 1:
            raise no_memory(self._geometry)
        size = largest if whole else max(alignment, largest // 2)
        self._workers = 1
        self._todo = [
            (plane, part)
            for plane, tile in self._todo
            for part in plan_tiles(self._shape, size, self._geometry, tile.write)
        ]
        return TilesHalved(size)


def attempt_tile(compute: Compute, place: Place) -> NDArray[np.float32] | None:
    """Return the result of a tile, or None if the memory was not enough for it."""
    try:
        return compute(*place)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    # Here the error is gone, and with its traceback all that the attempt had allocated.
    return None


def no_memory(geometry: Geometry) -> InputError:
    """Return the error for when not even the smallest tile fits."""
    if geometry.halo == WHOLE:
        return InputError(
            "There is not enough memory for this network, which must see the whole image at once; close "
            "other programs, or segment a part of the image."
        )
    return InputError(
        f"There is not enough memory for tiles of {geometry.alignment} pixels, the smallest this network can "
        "have; close other programs, or use a model with fewer features or levels."
    )


def distance_to(point: Sequence[float], place: Place) -> tuple[float, float]:
    """Return how far a place is from a pixel (leading..., spatial...): in planes, and in pixels squared.

    Of a tile that holds the pixel, 0 pixels.
    """
    plane, tile = place
    at, within = point[: len(plane)], point[len(plane) :]
    planes = sum(abs(there - here) for there, here in zip(plane, at, strict=True))
    beyond = (
        max(part.start - here, here - (part.stop - 1), 0.0)
        for part, here in zip(tile.write, within, strict=True)
    )
    return planes, sum(far**2 for far in beyond)


def _pixels(tile: Tile) -> int:
    return prod(part.stop - part.start for part in tile.write)

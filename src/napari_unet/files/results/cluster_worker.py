"""What a worker of a dask.distributed cluster does: read a tile, segment it, and write it where it belongs.

The workers share a disk with the process that asks for the work. Only the network (once per worker) and the
places of the tiles are sent. Imported by `files/results/cluster.py`, and by the workers.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, local
from typing import Any

import numpy as np
import torch
from distributed import Worker, WorkerPlugin, get_worker
from numpy.typing import NDArray

from napari_unet._version import __version__
from napari_unet.core.arrays.axes import Channels, channels_first
from napari_unet.core.arrays.lazy import Pixels
from napari_unet.core.errors import InputError
from napari_unet.core.objects.prediction import Prediction
from napari_unet.core.tiling import WHOLE, Geometry, Tile, plan_tiles
from napari_unet.files.pixels.sources import open_image
from napari_unet.files.results.prediction_store import open_results, write_tile
from napari_unet.network.adaptation import for_channels
from napari_unet.network.config import Precision
from napari_unet.network.device import choose_device, choose_precision, free_memory
from napari_unet.network.model import Model
from napari_unet.network.prediction import tile_computer
from napari_unet.network.tiles.device_threads import DeviceThreads, free_cache
from napari_unet.network.tiles.inference import ready_network
from napari_unet.network.tiles.scaling import Scale, tiles_of_image
from napari_unet.network.tiles.tile_run import Compute, Place, attempt_tile, no_memory
from napari_unet.network.unet import UNet


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """What a worker reports: version of this package, device, precision, and memory for a tile."""

    version: str
    device: str
    precision: torch.dtype
    memory: int


@dataclass(frozen=True, slots=True, eq=False)
class TileTask:
    """What the workers need, besides the network, to segment an image of ``shape`` (leading..., spatial...).

    ``run`` identifies this run: files that are open from an earlier run are not reused, even if their paths
    are the same. ``results`` is the folder of the growing store, and ``names`` are the results in it to which
    tiles are written, see :func:`napari_unet.files.results.prediction_store.open_results`. ``limits`` (C, 2)
    become 0 and 1. All workers compute in the same ``precision``.
    """

    run: str
    image: str
    channels: Channels
    shape: tuple[int, ...]
    limits: NDArray[np.float64]
    results: str
    names: tuple[str, ...]
    geometry: Geometry
    scale: Scale | None
    precision: torch.dtype
    orientations: int


def describe_worker(device: str, precision: Precision, dask_worker: Worker) -> WorkerFacts:
    """Return the facts of the worker that runs this; dask passes the worker itself."""
    torch_device = choose_device(device)
    memory = free_memory(torch_device)
    if torch_device.type != "cuda" and dask_worker.memory_manager.memory_limit:
        # Dask ends a worker beyond its limit.
        memory = min(memory, dask_worker.memory_manager.memory_limit)
    return WorkerFacts(
        version=__version__,
        device=torch_device.type,
        precision=choose_precision(torch_device, precision),
        memory=memory // dask_worker.state.nthreads,
    )


class NetworkPlugin(WorkerPlugin):  # type: ignore[misc]  # distributed is untyped
    """Keeps the network of one model in every worker, including those that join later; prepared once.

    It is named after the ``digest`` of the model. Each worker chooses its own device by ``device``.
    """

    def __init__(self, model: Model, digest: str, device: str) -> None:
        self.name = f"napari-unet {digest} {device}"
        self.model = model
        self._device = device

    def setup(self, worker: Worker) -> None:
        """Set up in a worker; the network itself is prepared for the first tile."""
        self._number_of_threads = worker.state.nthreads
        self._lock = Lock()
        self._network: UNet | None = None
        self._suits: tuple[torch.dtype, int] | None = None
        self._opened: tuple[str, Pixels, Mapping[str, Any]] | None = None
        self._prepared = local()

    def teardown(self, worker: Worker) -> None:  # noqa: ARG002 - dask gives it
        """Free the memory, also on a GPU."""
        self._network = self._opened = None
        with suppress(AttributeError):  # no tile was computed here
            free_cache(self._torch_device)

    def segment(self, task: TileTask, place: Place) -> None:
        """Segment and write one tile, in smaller ones if memory is too small."""
        network, pixels, results = self._ready(task)
        if not hasattr(self._prepared, "done"):
            self._threads.prepare()
            self._prepared.done = True
        compute = tile_computer(
            self.model, network, pixels, task.limits, task.geometry, task.scale, task.orientations
        )
        plane, tile = place
        with self._threads.stream():
            for part, probabilities in self._parts(compute, task, plane, tile):
                prediction = Prediction(probabilities, ndim=self.model.network.ndim, mode=self.model.mode)
                write_tile(results, (*plane, *part.write), prediction)

    def _ready(self, task: TileTask) -> tuple[UNet, Pixels, Mapping[str, Any]]:
        """Return the network and the open files of an image; all are kept for later tiles."""
        with self._lock:
            if self._opened is None or self._opened[0] != task.run:
                self._opened = (task.run, *_open(task, self.model))
            _, pixels, results = self._opened
            needed = (task.precision, pixels.shape[0])
            if self._network is None or self._suits != needed:
                self._torch_device = choose_device(self._device)
                self._threads = DeviceThreads(self._number_of_threads, self._torch_device)
                model = for_channels(self.model, pixels.shape[0])
                self._network = ready_network(model, self._torch_device, task.precision)
                self._suits = needed
            return self._network, pixels, results

    def _parts(
        self, compute: Compute, task: TileTask, plane: tuple[int, ...], tile: Tile
    ) -> Iterator[tuple[Tile, NDArray[np.float32]]]:
        probabilities = attempt_tile(compute, (plane, tile))
        if probabilities is not None:
            yield tile, probabilities
            return
        free_cache(self._torch_device)
        geometry = tiles_of_image(task.geometry, task.scale)
        size = max(part.stop - part.start for part in tile.write)
        if size <= geometry.alignment or geometry.halo == WHOLE:
            raise no_memory(geometry)
        shape = task.shape[len(plane) :]
        for part in plan_tiles(shape, max(geometry.alignment, size // 2), geometry, tile.write):
            yield from self._parts(compute, task, plane, part)


def segment_tile(plugin: str, task: TileTask, place: Place) -> None:
    """Segment one tile with the network that a plugin keeps in this worker."""
    get_worker().plugins[plugin].segment(task, place)


def _open(task: TileTask, model: Model) -> tuple[Pixels, Mapping[str, Any]]:
    """Open the image (C, leading..., spatial...) and the results by name.

    ``InputError`` if the worker does not see the image or the results folder, or finds others at their paths.
    """
    for path in (Path(task.image), Path(task.results)):
        if not path.exists():
            raise InputError(
                f"The worker {get_worker().address} does not see {path}; put the image and the results on a "
                "disk that all workers share, under the same path."
            )
    pixels = channels_first(
        open_image(task.image).pixels,
        ndim=model.network.ndim,
        channels=task.channels,
        in_channels=None if model.is_starter or len(task.limits) == 1 else model.network.in_channels,
    )[: len(task.limits)]  # one of several equal channels
    if pixels.shape[1:] != task.shape:
        raise InputError(
            f"The worker {get_worker().address} finds an image of shape {pixels.shape[1:]} in {task.image}, "
            f"not {task.shape}; put it on a disk that all workers share, under the same path."
        )
    return pixels, open_results(Path(task.results), task.names)

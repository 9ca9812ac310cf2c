"""Segment an image of any size straight to disk, and continue where an earlier run ended."""

import hashlib
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.core.arrays.lazy import LazyPixels
from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.core.instances import InstanceConfig
from napari_unet.core.objects.block_classes import find_class_objects_in_blocks
from napari_unet.core.objects.block_objects import BYTES_PER_PIXEL
from napari_unet.core.objects.prediction import Prediction, PredictionKind
from napari_unet.core.tiling import plan_tiles
from napari_unet.files.atomic import alone_in, is_too_long
from napari_unet.files.networks.models import model_digest
from napari_unet.files.opening import user_path
from napari_unet.files.pixels.images import check_replaceable
from napari_unet.files.pixels.pixel_size import PixelSize, common_pixel_size
from napari_unet.files.pixels.pyramid import build_levels
from napari_unet.files.pixels.world_axes import Axis, named_axes
from napari_unet.files.plain import to_plain
from napari_unet.files.results.prediction_store import Grid, PredictionStore, write_tile
from napari_unet.files.results.recipe import are_made, recipe_of
from napari_unet.network.config import PredictionConfig
from napari_unet.network.events import ImageScaled, TileDone, TilesHalved, TileStored
from napari_unet.network.failures import is_disk_full
from napari_unet.network.memory import free_host_memory, hand_back
from napari_unet.network.model import Model

if TYPE_CHECKING:
    from napari_unet.files.results.cluster import OnCluster
    from napari_unet.network.prediction import PredictionPlan
    from napari_unet.network.tiles.tile_run import TileRun

_LABELS = {"classes": "uint8", "objects": "int32", "scratch": "int32"}

_OBJECT_BLOCK = 2**20
"""Approximate pixels of the blocks in which objects are found: whole chunks, and few borders."""

_TURNS = 32
"""Blocks after which freed memory is handed back; threads would keep it, and took a fifth more memory."""

_TILES_SHARE = 0.8
"""Part of the work that the tiles are, if objects are found block by block after them."""

_MEMORY_SHARE = 0.5
"""Part of the free memory that the largest connected region may take."""

_FITTING_SHARE = 0.7
"""Part of the free memory that segmenting an image in memory may take."""

_WITNESSES, _WITNESS = 64, 64
"""Number and edge in pixels of the blocks, spread over an image, by which it is recognised."""


@dataclass(frozen=True, slots=True)
class ObjectsFound:
    """Part ``done``, in [0, 1], of finding the objects is finished."""

    done: float


@dataclass(frozen=True, slots=True)
class Stored:
    """Prediction ended; always the last event.

    ``outputs`` are the zarr folders by kind. ``finished`` is False after a stop: they do not exist yet, and
    the same call continues. ``was_there`` if an earlier call has finished them.
    """

    outputs: Mapping[PredictionKind, Path]
    finished: bool
    was_there: bool = False


StoredStep = ImageScaled | TileDone | TileStored | TilesHalved | ObjectsFound

StoredEvent = StoredStep | Stored


def share_done(event: StoredEvent) -> float | None:
    """Return the part of the work on an image that is done, 0 to 1, or None if the event does not say."""
    if isinstance(event, (TileDone, TileStored)):
        return _TILES_SHARE * event.share
    if isinstance(event, ObjectsFound):
        return _TILES_SHARE + (1 - _TILES_SHARE) * event.done
    return None


def fits_into_memory(image: Any, *, classes: int, in_channels: int) -> bool:
    """Return whether an image can be segmented in the memory that is free now.

    Counts its pixels (by ``shape`` and ``dtype``), the probabilities, and the memory for finding objects, for
    a network with this many classes and input channels.
    """
    per_pixel = image.dtype.itemsize
    per_pixel += (4 * classes + BYTES_PER_PIXEL) / in_channels
    return bool(math.prod(image.shape) * per_pixel <= _FITTING_SHARE * free_host_memory())


def predict_to_zarr(
    model: Model,
    source: Any,
    folder: str | Path,
    name: str,
    config: PredictionConfig = PredictionConfig(),
    *,
    kinds: Sequence[PredictionKind] = ("objects",),
    axes: Sequence[Axis] = (),
    pixel_size: PixelSize | None = None,
    device: str = "auto",
    control: Control | None = None,
    start_at: Sequence[float] | None = None,
    cluster: "OnCluster | None" = None,
    redo: bool = False,
) -> Iterator[StoredEvent]:
    """Segment an image to zarr, in memory that does not depend on its size.

    Every finished tile is recorded in a journal. If the work is interrupted by ``control``, Ctrl-C, a full
    disk or a kill, the same call continues with the missing tiles; with another model, image or setting it
    starts again. If it is finished, the same call does nothing more. A power cut may lose what the system had
    not written yet.

    Parameters
    ----------
    model : Model
        A trained network.
    source : array-like
        The image, as for :func:`napari_unet.network.prediction.predict`; dask, zarr and memory-mapped arrays
        are read block by block.
    folder : str or Path
        Where the results go: ``folder/NAME_KIND.zarr``, each an OME-Zarr 0.4 image or label image, with
        smaller copies if it is large. They appear once they are complete, and replace earlier ones.
    name : str
        Name of the image.
    config : PredictionConfig
        Settings. The objects and their ids are those that ``predict`` finds.
    kinds : sequence of {"objects", "classes", "probabilities"}
        Objects (…YX) int32, classes (…YX) uint8 as paint values, probabilities (K, …YX) float32.
    axes : sequence of Axis
        Axes of the image except channels, saved with the results; by default Y and X, preceded by Z, and
        that by time.
    pixel_size : PixelSize, optional
        Pixel size of the image, for a model that learnt from another one, see ``predict``, and for the
        results if its axes are not given.
    device : str
        As in ``predict``.
    control : Control, optional
        Pauses or stops the work before the next tile or block.
    start_at : sequence of float, optional
        A pixel (leading..., spatial...) around which tiles are computed first. The result is the same.
    cluster : OnCluster, optional
        Segments the tiles instead of this process, which still finds the objects.
    redo : bool
        Segment the image even if these results of it are there already.

    Yields
    ------
    ImageScaled
        First, if the image is scaled for the model.
    TileDone, or TileStored from a cluster
        After every tile; those of an earlier run count as done.
    TilesHalved
        When memory was too small for a tile, before work continues with smaller ones.
    ObjectsFound
        While objects are found.
    Stored
        Once, at the end.

    Raises
    ------
    InputError
        As ``predict``; if something other than a result is in the way; if the results cannot be written (on
        a full disk, what is finished is kept); if another run of the same prediction has begun, which then
        continues it; or if one connected region of foreground does not fit into memory.
    """
    from napari_unet.network.prediction import plan_prediction  # torch takes seconds

    control = control or Control()
    folder = user_path(folder)
    outputs = {kind: folder / f"{name}_{kind}.zarr" for kind in kinds}
    with _told(folder):
        for target in outputs.values():
            check_replaceable(target)
        planned = plan_prediction if cluster is None else cluster.cluster.plan
        size = common_pixel_size([pixel_size], model.network.ndim)
        plan = planned(model, source, config, device=device, pixel_size=size)
        if plan.scale is not None:
            yield plan.scaled_event()
        # Finding objects does not need the probability of background.
        first = 0 if "probabilities" in kinds else 1
        kept = _arrays_for(kinds, model.network.classes)
        made_of = {
            "model": model_digest(model),
            "image": _digest_of_image(plan),
            # Other objects can be found in the same probabilities.
            "settings": to_plain(replace(config, instances=PredictionConfig().instances)),
            "precision": str(plan.precision),
            "factor": None if plan.scale is None else plan.scale.factor,
        }
        recipe = recipe_of({**made_of, "instances": to_plain(plan.instances)})
        if not redo and are_made(outputs.values(), recipe):
            yield Stored(outputs, finished=True, was_there=True)
            return
        identity = {**made_of, "channels": model.network.classes - first}
        shape = (*plan.leading, *plan.shape)
        folder.mkdir(parents=True, exist_ok=True)
        with alone_in(folder):
            store = PredictionStore(folder / f".{name}.napari-unet", identity, kept, plan.tile_size)
            plan = replace(plan, tile_size=store.tile_size)
            grid = Grid(shape, _block(plan), axes or named_axes("TZYX"[-len(shape) :], pixel_size))
            arrays = {"probabilities": store.array(kept[0], grid, "float32", channels=identity["channels"])}
            arrays |= {label: store.array(label, grid, _LABELS[label], is_label=True) for label in kept[1:]}
        run = plan.tile_run(store.is_finished, start_at)
        events: Iterator[TileDone | TileStored | TilesHalved]
        if cluster is None:
            events = _segment_here(model, plan, run, arrays, store=store, control=control)
        else:
            names = tuple(arrays.keys() & {"probabilities", "classes"})
            events = cluster.segment(
                model,
                plan,
                run,
                store.folder,
                names,
                channels=config.channels,
                device=device,
                control=control,
            )
        for event in events:
            if not isinstance(event, TilesHalved):
                store.finish(event.plane, event.tile)
            yield event
        if "objects" in arrays:
            yield from _find_objects(
                arrays, grid, plan.instances, background=1 - first, store=store, control=control
            )
        for kind in kinds:
            for _ in build_levels(store.group(kind), is_label=kind in _LABELS):
                control.wait_while_paused()
                if control.stopped:
                    break
        if not control.stopped:
            store.publish({str(kind): target for kind, target in outputs.items()}, recipe)
    yield Stored(outputs, finished=not control.stopped)


def _arrays_for(kinds: Sequence[PredictionKind], classes: int) -> list[str]:
    """Return the names of the arrays that results of these kinds are made in, probabilities first."""
    needs_scratch = "objects" in kinds and classes > 2
    return ["probabilities", *(kind for kind in ("classes", "objects") if kind in kinds)] + (
        ["scratch"] * needs_scratch
    )


def _segment_here(
    model: Model,
    plan: "PredictionPlan",
    run: "TileRun",
    arrays: Mapping[str, Any],
    *,
    store: PredictionStore,
    control: Control,
) -> Iterator[TileDone | TilesHalved]:
    """Segment the tiles in this process, and write each before its event is yielded."""
    from napari_unet.network.prediction import predict_tiles

    for event in predict_tiles(model, plan, run, control):
        if isinstance(event, TileDone):
            prediction = Prediction(event.probabilities, ndim=model.network.ndim, mode=model.mode)
            store.check()  # else it might be mixed with tiles of another model
            write_tile(arrays, (*event.plane, *event.tile.write), prediction)
        yield event


def _find_objects(
    arrays: Mapping[str, Any],
    grid: Grid,
    config: InstanceConfig,
    *,
    background: int,
    store: PredictionStore,
    control: Control,
) -> Iterator[ObjectsFound]:
    """Find the objects of all planes that do not have them yet, until ``control`` stops.

    ``background`` channels of the probabilities, 0 or 1, are skipped.
    """
    planes = list(np.ndindex(grid.shape[: -len(grid.block)]))
    settings = to_plain(config)
    done, used = store.objects_until(settings)
    turns = itertools.count()
    for number, plane in enumerate(planes[done:], start=done):
        work = find_class_objects_in_blocks(
            LazyPixels(arrays["probabilities"])[background:],
            config,
            block=_object_block(grid.block),
            out=arrays["objects"],
            scratch=arrays.get("scratch"),
            plane=plane,
            used=used,
            memory=int(_MEMORY_SHARE * free_host_memory()),
        )
        while True:
            control.wait_while_paused()
            if control.stopped:
                return
            store.check()
            if next(turns) % _TURNS == 0:
                hand_back()
            try:
                part = next(work)
            except StopIteration as end:
                used = end.value
                break
            yield ObjectsFound((number + part) / len(planes))
        store.finish_objects(settings, number + 1, used)


def _block(plan: "PredictionPlan") -> tuple[int, ...]:
    """Return the size of what the first tile, the largest, writes."""
    tile = plan_tiles(plan.shape, plan.tile_size, plan.geometry)[0]
    return tuple(part.stop - part.start for part in tile.write)


def _object_block(chunk: tuple[int, ...]) -> tuple[int, ...]:
    """Return a whole number of chunks, of about ``_OBJECT_BLOCK`` pixels."""
    times = max(1, round((_OBJECT_BLOCK / math.prod(chunk)) ** (1 / len(chunk))))
    return tuple(side * times for side in chunk)


def _digest_of_image(plan: "PredictionPlan") -> str:
    """Return a digest that identifies an image: of its shape, its intensities, and blocks of pixels."""
    from scipy.stats.qmc import Halton  # takes half a second

    pixels = plan.pixels
    digest = hashlib.sha256(repr((pixels.shape, str(pixels.dtype), plan.limits.tolist())).encode())
    rooms = np.maximum(np.array(pixels.shape[1:]) - _WITNESS, 0) + 1
    places = Halton(len(rooms), scramble=False).random(_WITNESSES)
    for corner in (places * rooms).astype(int).tolist():
        box: tuple[Any, ...] = (slice(None), *(slice(start, start + _WITNESS) for start in corner))
        digest.update(np.ascontiguousarray(pixels[box]).tobytes())
    return digest.hexdigest()


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Turn errors of a full disk, or of a folder removed or in use, into ``InputError``."""
    try:
        yield
    except FileNotFoundError as error:
        if is_too_long(error):
            raise InputError(
                f"The paths of the results in {folder} are too long for Windows; choose a folder with a "
                "shorter one."
            ) from error
        raise InputError(
            f"What was written in {folder} is gone, perhaps because another run segmented the same image "
            "into it; start again."
        ) from error
    except PermissionError as error:
        raise InputError(
            f"{error.filename or folder} could not be written or replaced ({error.strerror}); close it in "
            "other programs, or allow writing to it, and start again: what is finished is kept."
        ) from error
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise InputError(
            f"The disk is full, so the results in {folder} are not complete; free some space and start "
            "again: what is finished is kept."
        ) from error

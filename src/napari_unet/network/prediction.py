"""Segment whole images, stacks and volumes tile by tile, as if the network saw each of them whole."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache, partial
from math import inf, prod
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.core.arrays.axes import channels_first
from napari_unet.core.arrays.lazy import Pixels
from napari_unet.core.arrays.normalisation import CLIPS
from napari_unet.core.configs import check_kind
from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.core.instances import InstanceConfig, check_pixels
from napari_unet.core.objects.prediction import Prediction, PredictionKind
from napari_unet.core.tiling import Geometry, Tile, read_mirrored
from napari_unet.network.adaptation import for_channels
from napari_unet.network.config import PredictionConfig
from napari_unet.network.device import choose_device, choose_precision, free_memory
from napari_unet.network.events import ImageScaled, Predicted, PredictionEvent, TileDone, TilesHalved
from napari_unet.network.geometry import tile_geometry
from napari_unet.network.memory import free_host_memory
from napari_unet.network.model import Model, check_model
from napari_unet.network.news import PredictionNews, Tell, check_tell
from napari_unet.network.orientation import ORIENTATIONS
from napari_unet.network.tiles.device_threads import KEPT_ON_GPU, free_cache, tiles_at_once
from napari_unet.network.tiles.gpu_tiles import GpuTiles
from napari_unet.network.tiles.inference import probabilities_of, ready_network
from napari_unet.network.tiles.scaling import (
    Scale,
    ScaledTiles,
    choose_scale,
    tiles_of_image,
)
from napari_unet.network.tiles.tile_run import TileRun
from napari_unet.network.tiles.tile_size import tile_size_for
from napari_unet.network.unet import UNet

_log = logging.getLogger(__name__)


class ComputeInto(Protocol):
    """Computes the probabilities (K, spatial...) of a tile of a plane."""

    def __call__(
        self, plane: tuple[int, ...], tile: Tile, out: NDArray[np.float32] | None = None, /
    ) -> NDArray[np.float32]:
        """Return them in ``out``, or in an array of their own."""


def predict(
    model: Model,
    image: Pixels,
    config: PredictionConfig = PredictionConfig(),
    *,
    device: str = "auto",
    pixel_size: Sequence[float] | None = None,
    progress: Tell | None = None,
) -> Prediction:
    """Segment an image.

    Where a starter is not sure how large the objects are, or the memory is low, that is logged as a warning.

    Parameters
    ----------
    model : Model
        A trained network.
    image : array
        (leading..., spatial...), with a channel axis first, last or just before Y and X if the model has more
        than one channel; for a starter, which takes any number of channels, three or four at the end are
        colours. Where it has one, an image may have several that are equal, as a grey picture that was saved
        in colours. The axes before the last 2 (of a 3-D model: 3) are planes that are segmented one by one.
        Any real dtype, bool and byte order; NaN and infinite pixels do not spoil their neighbours.
    config : PredictionConfig, optional
        How; the default plans the tiles from the free memory.
    device : str
        "auto", "cpu", "cuda", "cuda:1" or "mps".
    pixel_size : sequence of float, optional
        Size of a pixel of the image along each spatial axis, in micrometres. If the model knows that of the
        images it learnt from (``Model.pixel_size``), and it is another one, by the same factor along all
        axes, the network sees the image scaled to that; all results are on the grid of the image.
    progress : function of str, optional
        Such as ``print``: called with a sentence on how the image is scaled, if it is, and every five seconds
        on what is done. By default it is silent.

    Returns
    -------
    Prediction
        Probabilities (K, leading..., spatial...) float32, and the classes and objects that follow from them.

    Raises
    ------
    InputError
        If the image does not suit the model, there is no such device, or the result or even the smallest
        tile does not fit into the memory; or if the model is one of objects, and a plane or volume has more
        than 2**31 pixels.
    """
    check_tell(progress)
    news = PredictionNews()
    for event in predict_events(model, image, config, device=device, pixel_size=pixel_size):
        if isinstance(event, TilesHalved) or (isinstance(event, ImageScaled) and not event.is_sure):
            _log.warning(event.message)
        elif progress is not None and (words := news.words(event)):
            progress(words)
    return cast("Predicted", event).prediction


def predict_events(
    model: Model,
    image: Pixels,
    config: PredictionConfig = PredictionConfig(),
    *,
    device: str = "auto",
    pixel_size: Sequence[float] | None = None,
    control: Control | None = None,
    start_at: Sequence[float] | None = None,
    kinds: Sequence[PredictionKind] = (),
) -> Iterator[PredictionEvent]:
    """Segment an image and tell of every tile.

    Parameters
    ----------
    model, image, config, device, pixel_size
        As in :func:`predict`.
    control : Control, optional
        Pauses or stops the work before the next tile.
    start_at : sequence of float, optional
        A pixel (leading..., spatial...); the tiles around it are computed first. The result is the same.
    kinds : sequence of {"objects", "classes", "probabilities"}, optional
        What will be asked of the result; by default what the model is for.

    Yields
    ------
    ImageScaled
        First, if the image is scaled for the model.
    TilesHalved
        When the memory was not enough for a tile, before work goes on with smaller ones.
    TileDone
        After every tile. Its array is a view of the result: final, not to be written to.
    Predicted
        Once, at the end, also if the work was stopped.

    Raises
    ------
    InputError
        With the first event, as in :func:`predict`.
    """
    plan = plan_prediction(model, image, config, device=device, pixel_size=pixel_size)
    if "objects" in (kinds or (model.mode,)):
        check_pixels(plan.shape)  # rather than once the network has run
    if plan.scale is not None:
        yield plan.scaled_event()
    probabilities = _room_for((model.network.classes, *plan.leading, *plan.shape))
    run = plan.tile_run(start_at=start_at)
    yield from predict_tiles(model, plan, run, control, probabilities)
    finished = run.finished
    if finished is not None:
        probabilities[0][~finished] = 1
    yield Predicted(
        Prediction(probabilities, ndim=model.network.ndim, mode=model.mode, instances=plan.instances),
        finished,
    )


def _room_for(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return zeros; ``InputError`` beyond the free memory, since systems promise more than there is."""
    needed, free = 4 * prod(shape), free_host_memory()
    if needed > free:
        raise InputError(
            f"The probabilities of an image of shape {shape[1:]} need {needed / 1e9:,.0f} GB of memory, and "
            f"{free / 1e9:.1f} are free; crop the image, or segment its file with napari-unet predict "
            "--format zarr."
        )
    return np.zeros(shape, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class PredictionPlan:
    """An image as the network will read it, and where and how it will be computed."""

    pixels: Pixels  # (C, leading..., spatial...) the image
    # (C, 2) intensities that become 0 and 1: of the whole image, so that a tile looks to the network as it
    # does in the image
    limits: NDArray[np.float64]
    leading: tuple[int, ...]  # shape of the axes that the network does not see
    shape: tuple[int, ...]  # of one plane or volume
    device: torch.device
    precision: torch.dtype
    geometry: Geometry
    tile_size: int  # of the blocks that are written
    workers: int  # tiles computed at the same time
    orientations: int  # in which each tile is computed and averaged
    instances: InstanceConfig  # how probabilities become objects
    scale: Scale | None = None  # how the image is scaled for the model

    def scaled_event(self) -> ImageScaled:
        """Return the event about the scale, which there must be."""
        scale = cast("Scale", self.scale)
        return ImageScaled(
            scale.factor,
            self.instances,
            object_size=scale.object_size,
            estimated=scale.estimated,
            is_sure=scale.is_sure,
            pixel_sizes=scale.pixel_sizes,
        )

    def tile_run(
        self,
        is_finished: Callable[[tuple[int, ...], Tile], bool] | None = None,
        start_at: Sequence[float] | None = None,
    ) -> TileRun:
        """Return the tiles, those around a pixel first; those of an earlier run may be finished."""
        return TileRun(
            self.shape,
            self.leading,
            tiles_of_image(self.geometry, self.scale),
            self.tile_size,
            self.workers,
            is_finished=is_finished,
            start_at=start_at,
        )


def plan_prediction(
    model: Model,
    image: Pixels,
    config: PredictionConfig,
    *,
    device: str = "auto",
    pixel_size: Sequence[float] | None = None,
) -> PredictionPlan:
    """Return how :func:`predict_tiles` will go about an image; arguments and errors as in :func:`predict`."""
    check_model(model)
    check_kind(config, PredictionConfig, "configuration", "a PredictionConfig")
    network = model.network
    pixels = channels_first(
        image,
        ndim=network.ndim,
        channels=config.channels,
        in_channels=None if model.is_starter else network.in_channels,
        equal_as_one=True,
    )
    leading, shape = pixels.shape[1 : -network.ndim], pixels.shape[-network.ndim :]
    torch_device = choose_device(device)
    precision = choose_precision(torch_device, config.precision)
    geometry = tile_geometry(network)
    workers = tiles_at_once(torch_device)
    limits = model.normalisation.limits(pixels)
    size = _check_pixel_size(pixel_size, network.ndim)
    scale = choose_scale(model, pixels, limits, config, size, device=torch_device, precision=precision)
    span = limits[:, 1:] - limits[:, :1]
    limits = np.hstack([limits[:, :1], limits[:, :1] + span / config.contrast])
    tile_size = config.tile_size or tile_size_for(
        shape,
        geometry,
        network,
        scale,
        memory=free_memory(torch_device) // workers,
        itemsize=precision.itemsize,
        device=torch_device.type,
    )
    instances = config.instances or model.instances
    if scale is not None and config.instances is None:
        instances = scale.reading(instances, network.ndim)
    return PredictionPlan(
        pixels=pixels,
        limits=limits,
        leading=leading,
        shape=shape,
        device=torch_device,
        precision=precision,
        geometry=geometry,
        tile_size=tile_size,
        workers=workers,
        orientations=len(ORIENTATIONS) if config.test_time_augmentation else 1,
        instances=instances,
        scale=scale,
    )


def _check_pixel_size(given: Sequence[float] | None, ndim: int) -> tuple[float, ...] | None:
    """Return the pixel size along each of ``ndim`` axes, if it is given; ``InputError`` if it cannot be."""
    if given is None:
        return None
    try:
        size = tuple(map(float, given))
    except (TypeError, ValueError):
        size = ()
    if len(size) != ndim or not all(0 < length < inf for length in size):
        raise InputError(
            f"The pixel size is {given!r}; give one length above 0, in micrometres, for each of {ndim} axes, "
            "or leave it out."
        )
    return size


def predict_tiles(
    model: Model,
    plan: PredictionPlan,
    run: TileRun,
    control: Control | None = None,
    into: NDArray[np.float32] | None = None,
) -> Iterator[TileDone | TilesHalved]:
    """Segment an image tile by tile.

    Parameters
    ----------
    model : Model
        A trained network.
    plan : PredictionPlan
        Made for the same model.
    run : TileRun
        From ``plan.tile_run()``; afterwards it says what is finished.
    control : Control, optional
        Pauses or stops the work before the next tile.
    into : array (K, leading..., spatial...) float32, optional
        Where the probabilities go; without it, nothing of them is kept.

    Yields
    ------
    TileDone
        After every tile, with an array of its own, or a view of ``into``.
    TilesHalved
        As in :func:`predict_events`.
    """
    # On a GPU the network of the last model stays: making it ready again would take as long as an image.
    ready = _resident_network if plan.device.type == "cuda" else ready_network
    network = ready(for_channels(model, plan.pixels.shape[0]), plan.device, plan.precision)
    of_tile = tile_computer(
        model, network, plan.pixels, plan.limits, plan.geometry, plan.scale, plan.orientations
    )
    compute = of_tile if into is None else partial(_compute_into, of_tile, into)
    try:
        with closing(run.events(compute, plan.device, control or Control())) as events:
            for event in events:
                if isinstance(event, TilesHalved):
                    yield event
                    continue
                (plane, tile), values = event
                yield TileDone(plane, tile, values, run.done, run.total, run.share)
    finally:
        del network, of_tile, compute
        free_cache(plan.device, all_but=KEPT_ON_GPU)


_resident_network = lru_cache(maxsize=1)(ready_network)


def _compute_into(
    of_tile: ComputeInto, result: NDArray[np.float32], plane: tuple[int, ...], tile: Tile
) -> NDArray[np.float32]:
    where: tuple[Any, ...] = (slice(None), *plane, *tile.write)
    return of_tile(plane, tile, result[where])


def tile_computer(  # noqa: PLR0917 - parts of a plan
    model: Model,
    network: UNet,
    pixels: Pixels,
    limits: NDArray[np.float64],
    geometry: Geometry,
    scale: Scale | None,
    orientations: int,
) -> ComputeInto:
    """Return what computes the probabilities (K, spatial...) of a tile; arguments as in `PredictionPlan`.

    ``network`` is that of the model, ready to predict.
    """
    if scale is not None and scale.factor != 1:
        return partial(ScaledTiles(pixels, limits, scale.factor, geometry).compute, network, orientations)
    if network.head.weight.device.type == "cuda":
        tiles = GpuTiles(pixels, limits, CLIPS[model.normalisation.method])
        return partial(tiles.compute, network, orientations)

    def compute(
        plane: tuple[int, ...], tile: Tile, out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        of_plane: tuple[Any, ...] = (slice(None), *plane)
        block = model.normalisation.scale(read_mirrored(pixels[of_plane], tile.read), limits)
        result = probabilities_of(network, np.ascontiguousarray(block), tile.crop, orientations)
        if out is None:
            return result
        out[...] = result
        return out

    return compute

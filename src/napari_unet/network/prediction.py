"""Segment whole images, stacks and volumes tile by tile, as if the network saw each of them whole."""

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.axes import channels_first
from napari_unet.core.control import Control
from napari_unet.core.lazy import Pixels
from napari_unet.core.normalisation import apply_limits
from napari_unet.core.prediction import Prediction
from napari_unet.core.tiling import Tile, read_mirrored
from napari_unet.network.config import PredictionConfig
from napari_unet.network.device import choose_device, choose_precision, free_memory
from napari_unet.network.events import Predicted, PredictionEvent, TileDone, TilesHalved
from napari_unet.network.geometry import tile_geometry
from napari_unet.network.inference import plan_tile_size, probabilities_of, ready_network
from napari_unet.network.model import Model
from napari_unet.network.orientation import ORIENTATIONS
from napari_unet.network.tile_run import TileRun, free_cache, tiles_at_once
from napari_unet.network.unet import UNet


def predict(
    model: Model, image: Pixels, config: PredictionConfig = PredictionConfig(), *, device: str = "auto"
) -> Prediction:
    """Segment an image.

    Parameters
    ----------
    model : Model
        A trained network.
    image : array
        (leading..., spatial...), with a channel axis first or last if the model has more than one channel.
        The axes before the last 2 (of a 3-D model: 3) are planes that are segmented one by one. Any real
        dtype, bool and byte order; NaN and infinite pixels do not spoil their neighbours.
    config : PredictionConfig, optional
        How; the default plans the tiles from the free memory.
    device : str
        "auto", "cpu", "cuda", "cuda:1" or "mps".

    Returns
    -------
    Prediction
        Probabilities (K, leading..., spatial...) float32, and the classes and objects that follow from them.

    Raises
    ------
    InputError
        If the image does not suit the model, there is no such device, or not even the smallest tile fits
        the memory.
    """
    *_, last = predict_events(model, image, config, device=device)
    return cast("Predicted", last).prediction


def predict_events(
    model: Model,
    image: Pixels,
    config: PredictionConfig = PredictionConfig(),
    *,
    device: str = "auto",
    control: Control | None = None,
) -> Iterator[PredictionEvent]:
    """Segment an image and tell of every tile.

    Parameters
    ----------
    model, image, config, device
        As in :func:`predict`.
    control : Control, optional
        Pauses or stops the work before the next tile.

    Yields
    ------
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
    control = Control() if control is None else control
    network_config = model.network
    pixels = channels_first(
        image,
        ndim=network_config.ndim,
        channels=config.channels,
        in_channels=network_config.in_channels,
    )  # (C, leading..., spatial...)
    leading, shape = pixels.shape[1 : -network_config.ndim], pixels.shape[-network_config.ndim :]
    torch_device = choose_device(device)
    precision = choose_precision(torch_device, config.precision)
    geometry = tile_geometry(network_config)
    workers = tiles_at_once(torch_device)
    tile_size = config.tile_size or plan_tile_size(
        shape,
        geometry,
        network_config,
        memory=free_memory(torch_device) // workers,
        itemsize=precision.itemsize,
        cached=torch_device.type == "cpu",
    )
    # Of the whole image, so that a tile looks to the network as it does in the image.
    limits = model.normalisation.limits(pixels)
    network = ready_network(model, torch_device, precision)
    orientations = len(ORIENTATIONS) if config.test_time_augmentation else 1
    probabilities = np.zeros((network_config.classes, *leading, *shape), np.float32)

    run = TileRun(shape, leading, geometry, tile_size, workers)
    compute = partial(_compute, network, pixels, limits, orientations)
    try:
        with closing(run.events(compute, torch_device, control)) as events:
            for event in events:
                if isinstance(event, TilesHalved):
                    yield event
                    continue
                (plane, tile), values = event
                where: tuple[Any, ...] = (slice(None), *plane, *tile.write)
                result = probabilities[where]
                result[...] = values
                yield TileDone(plane, tile, result, run.done, run.total, run.share)
    finally:
        del network, compute
        free_cache(torch_device)
    if run.finished is not None:
        probabilities[0][~run.finished] = 1
    yield Predicted(
        Prediction(
            probabilities,
            ndim=network_config.ndim,
            mode=model.mode,
            instances=config.instances or model.instances,
        ),
        run.finished,
    )


def _compute(  # noqa: PLR0917 - bound in this order before the tile is known
    network: UNet,
    pixels: Pixels,
    limits: NDArray[np.float64],
    orientations: int,
    plane: tuple[int, ...],
    tile: Tile,
) -> NDArray[np.float32]:
    of_plane: tuple[Any, ...] = (slice(None), *plane)
    block = apply_limits(read_mirrored(pixels[of_plane], tile.read), limits)
    return probabilities_of(network, np.ascontiguousarray(block), tile.crop, orientations)

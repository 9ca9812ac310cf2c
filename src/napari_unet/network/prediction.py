"""Segment whole images, stacks and volumes tile by tile, as if the network saw each of them whole."""

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.core.axes import channels_first
from napari_unet.core.control import Control
from napari_unet.core.normalisation import apply_limits
from napari_unet.core.prediction import Prediction
from napari_unet.core.tiling import Tile, plan_tiles, read_mirrored
from napari_unet.network.config import PredictionConfig
from napari_unet.network.device import choose_device, choose_precision, free_memory
from napari_unet.network.events import Predicted, PredictionEvent, TileDone
from napari_unet.network.geometry import tile_geometry
from napari_unet.network.inference import plan_tile_size, probabilities_of, ready_network
from napari_unet.network.model import Model


def predict(
    model: Model, image: NDArray[Any], config: PredictionConfig = PredictionConfig(), *, device: str = "auto"
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
        If the image does not suit the model, or there is no such device.
    torch.OutOfMemoryError
        If a tile is too large for the GPU.
    """
    *_, last = predict_events(model, image, config, device=device)
    return cast("Predicted", last).prediction


def predict_events(
    model: Model,
    image: NDArray[Any],
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
    tile_size = config.tile_size or plan_tile_size(
        shape,
        geometry,
        network_config,
        memory=free_memory(torch_device),
        itemsize=precision.itemsize,
        cached=torch_device.type == "cpu",
    )
    # Of the whole image, so that a tile looks to the network as it does in the image.
    limits = model.normalisation.limits(pixels)
    network = ready_network(model, torch_device, precision)
    probabilities = np.zeros((network_config.classes, *leading, *shape), np.float32)
    work = [(plane, tile) for plane in np.ndindex(leading) for tile in plan_tiles(shape, tile_size, geometry)]
    done = 0
    try:
        for plane, tile in work:
            control.wait_while_paused()
            if control.stopped:
                break
            block = apply_limits(read_mirrored(pixels[(slice(None), *plane)], tile.read), limits)
            result = probabilities[(slice(None), *plane, *tile.write)]
            result[...] = probabilities_of(network, np.ascontiguousarray(block), tile.crop)
            done += 1
            yield TileDone(plane, tile, result, done, len(work))
    finally:
        del network
        if torch_device.type == "cuda":
            # Else torch keeps the memory of the largest tile, and other programs cannot have it.
            torch.cuda.empty_cache()
        elif torch_device.type == "mps":
            torch.mps.empty_cache()
    finished = None if done == len(work) else _finished_pixels(work[:done], (*leading, *shape))
    if finished is not None:
        probabilities[0][~finished] = 1
    yield Predicted(
        Prediction(probabilities, ndim=network_config.ndim, mode=model.mode, instances=config.instances),
        finished,
    )


def _finished_pixels(work: list[tuple[tuple[int, ...], Tile]], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    finished = np.zeros(shape, np.bool_)
    for plane, tile in work:
        where: tuple[Any, ...] = (*plane, *tile.write)
        finished[where] = True
    return finished

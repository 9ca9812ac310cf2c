"""An image and a model's output for it, which packages contain to show and test the model."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.arrays.axes import Channels, channels_first
from napari_unet.core.arrays.lazy import Pixels
from napari_unet.core.errors import InputError
from napari_unet.network.config import UNetConfig
from napari_unet.network.geometry import margin, nearest_sizes, tile_geometry
from napari_unet.network.model import Model

_EDGE = {2: 512, 3: 48}
"""Most pixels of the example along an axis."""

_COVER = 256
"""Edge in pixels of either half of the picture."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """An example: recorded intensities (1, C, spatial...), and probabilities (1, K, spatial...)."""

    input: NDArray[np.float32]
    output: NDArray[np.float32]

    def picture(self) -> bytes:
        """Return a PNG of two halves: the image, and the probability that a pixel is not background."""
        import imageio.v3

        shown = (self.input[0].mean(axis=0), 1 - self.output[0, 0])
        halves = [_square(plane if plane.ndim == 2 else plane[len(plane) // 2]) for plane in shown]
        return bytes(imageio.v3.imwrite("<bytes>", np.hstack(halves), extension=".png"))


def make_sample(model: Model, image: NDArray[Any] | None) -> Sample:
    """Return the middle of an image (C, spatial...), or of a made-up one, and its probabilities.

    ``InputError`` if the image does not suit the model.
    """
    import torch

    from napari_unet.network.tiles.inference import probabilities_of, ready_network

    config = model.network
    least = least_size(config)
    if image is None:
        image = _made_up(config, least)
    if image.ndim != 1 + config.ndim or image.shape[0] != config.in_channels:
        raise InputError(
            f"The sample image has shape {image.shape}; give one with channels first ({config.in_channels} "
            f"for this model) and {config.ndim} further axes."
        )
    block = image
    for axis in range(1, image.ndim):
        block = _middle(block, axis, config, least)
    block = np.ascontiguousarray(block, np.float32)
    scaled = model.normalisation.scale(block, model.normalisation.limits(block))
    # The network alone: with a valid one, tiles of an image would have another pooling grid.
    network = ready_network(model, torch.device("cpu"), torch.float32)
    whole = tuple(slice(0, size - 2 * margin(config)) for size in block.shape[1:])
    return Sample(block[None], probabilities_of(network, scaled, whole)[None])


def example_from(image: Pixels, channels: Channels, model: Model) -> NDArray[Any]:
    """Return an image as :func:`make_sample` takes it; for a stack of planes, the middle one.

    ``InputError`` if the image does not suit the model.
    """
    shape = model.network
    pixels = channels_first(
        image, ndim=shape.ndim, channels=channels, in_channels=shape.in_channels, equal_as_one=True
    )
    while pixels.ndim > 1 + shape.ndim:
        pixels = pixels[:, pixels.shape[1] // 2]
    return np.asarray(pixels)


def halo_of(config: UNetConfig) -> int:
    """Return the border that other tools should cut off blocks, so that they equal the whole image.

    0 if the network cuts it off itself, if no border is enough, and for volumes, which would need more planes
    than most stacks have.
    """
    needs_one = config.padding == "same" and config.upsampling != "aligned" and config.ndim == 2
    return tile_geometry(config).halo if needs_one else 0


def least_size(config: UNetConfig) -> int:
    """Return the smallest image size that a package of the network takes."""
    wanted = 1 + 2 * halo_of(config)
    return next(size for size in nearest_sizes(config, wanted) if size >= wanted)


def _middle(block: NDArray[Any], axis: int, config: UNetConfig, least: int) -> NDArray[Any]:
    """Return as much of the middle along an axis as fits the network, mirrored if it is too small."""
    most = max(least, min(block.shape[axis], _EDGE[config.ndim]))
    size = nearest_sizes(config, most)[0]
    missing = max(0, size - block.shape[axis])
    block = np.pad(block, [(0, missing * (axis == other)) for other in range(block.ndim)], mode="reflect")
    start = (block.shape[axis] - size) // 2
    return np.take(block, np.arange(start, start + size), axis)


def _made_up(config: UNetConfig, least: int) -> NDArray[np.float32]:
    """Return bright discs or balls of different sizes on noise."""
    rng = np.random.default_rng(0)
    edge = max(least, {2: 256, 3: 32}[config.ndim])
    shape = (edge,) * config.ndim
    image = np.zeros(shape)
    for _ in range(40):
        centre = rng.integers(0, edge, config.ndim).reshape(-1, *(1,) * config.ndim)
        distance = np.sqrt(((np.indices(shape) - centre) ** 2).sum(axis=0))
        image = np.maximum(image, (distance < rng.uniform(edge / 40, edge / 14)) * rng.uniform(0.5, 1))
    image = ndimage.gaussian_filter(image, 1.5) * 150 + rng.normal(40, 6, shape)
    return np.repeat(image[None], config.in_channels, axis=0).astype(np.float32)


def _square(plane: NDArray[Any]) -> NDArray[np.uint8]:
    low, high = np.percentile(plane, (1, 99.8))
    grey = np.clip((plane - low) / max(high - low, 1e-6), 0, 1) * 255
    rows, columns = (np.arange(_COVER) * size // _COVER for size in grey.shape)
    result: NDArray[np.uint8] = grey[np.ix_(rows, columns)].astype(np.uint8)
    return result

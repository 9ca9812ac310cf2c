"""How large the tiles of an image are: within the memory, with little work, and soon to be seen."""

from functools import lru_cache

import torch

from napari_unet.core.arrays.resampling import scaled_shape
from napari_unet.core.tiling import WHOLE, Geometry, plan_tiles
from napari_unet.network.config import UNetConfig
from napari_unet.network.tiles.scaling import Scale

_MEMORY_SHARE = 0.5
"""Part of the free memory that a tile may take: the estimate is rough, and other programs live here, too."""

_MOST_VALUES = 2**31 - 1
"""Values in one tensor; GPU kernels that count in 32 bits refuse more."""

_ENOUGH_PIXELS = {"cpu": 1280**2, "cuda": 2304**2}
"""Pixels, by kind of device, beyond which larger 2-D tiles gain little and keep users waiting; an NVIDIA GPU
computes one while others are copied."""

_LARGEST_SCALED = 2048
"""Largest edge in pixels of the tiles of a scaled image."""


def tile_size_for(
    shape: tuple[int, ...],
    geometry: Geometry,
    network: UNetConfig,
    scale: Scale | None,
    *,
    memory: int,
    itemsize: int,
    device: str,
) -> int:
    """Return the edge of the best tiles, in pixels of the image; arguments as for :func:`plan_tile_size`."""
    seen = shape if scale is None else scaled_shape(shape, scale.factor)
    size = plan_tile_size(seen, geometry, network, memory=memory, itemsize=itemsize, device=device)
    if scale is None or scale.factor == 1:
        return size
    step = geometry.alignment
    return max(step, min(int(size / scale.factor), _LARGEST_SCALED) // step * step)


def plan_tile_size(
    shape: tuple[int, ...],
    geometry: Geometry,
    config: UNetConfig,
    *,
    memory: int,
    itemsize: int,
    device: str,
) -> int:
    """Return the edge of the blocks that predict an image with the least work and within the memory.

    Large blocks spend less on their halos, small ones need less memory and are seen sooner.

    Parameters
    ----------
    shape : tuple of int
        Spatial shape of the image in pixels.
    geometry : Geometry
        Of the network.
    config : UNetConfig
        Of the network.
    memory : int
        Free memory in bytes.
    itemsize : int
        Bytes of one value of a feature map.
    device : str
        Its kind, "cpu", "cuda" or "mps".

    Returns
    -------
    int
        A multiple of the alignment; the alignment itself if nothing fits.
    """
    if geometry.halo == WHOLE:  # smaller tiles would each do all the work
        return -(-max(shape) // geometry.alignment) * geometry.alignment
    if device == "cuda" and itemsize == torch.float32.itemsize:
        itemsize *= 2  # see ready_network
    pixels = min(
        memory * _MEMORY_SHARE / bytes_per_pixel(config, itemsize), _MOST_VALUES / (2 * config.features)
    )
    if config.ndim == 2:
        pixels = min(pixels, _ENOUGH_PIXELS.get(device, pixels))
    return _best_edge(shape, geometry, pixels)


@lru_cache
def _best_edge(shape: tuple[int, ...], geometry: Geometry, pixels: float) -> int:
    """Return the edge of the blocks that read the least, none of them more than ``pixels``."""
    step = geometry.alignment
    best, least = step, float("inf")
    sizes = {size: shape.count(size) for size in shape}
    # For every number of blocks along an axis, their smallest edge: others give the same tiles.
    edges = {
        -(-size // (step * number)) * step for size in sizes for number in range(1, -(-size // step) + 1)
    }
    for edge in sorted(edges):
        work = largest = 1.0
        for size, times in sizes.items():
            tiles = plan_tiles((size,), edge, geometry)
            reads = [tile.read[0].stop - tile.read[0].start for tile in tiles]
            work *= float(sum(reads)) ** times
            largest *= float(max(reads)) ** times
        if largest <= pixels and work < least:
            best, least = edge, work
    return best


def bytes_per_pixel(config: UNetConfig, itemsize: int) -> int:
    """Return the memory one pixel of a tile takes at the peak, in bytes.

    The peak is at the top of the expanding path, where it is not computed in bands: the copied and the
    upsampled features, both once more where they are joined, two convolutions of these, and what was
    upsampled; then image, logits and probabilities in float32.
    """
    return 7 * config.features * itemsize + 4 * (config.in_channels + 3 * config.classes)

"""What a U-Net does to sizes: which images fit, how much smaller the output is, how far it sees.

All of it follows from the configuration alone, so nothing here imports torch. Every axis behaves alike; the
functions are about one axis, in pixels.

A valid network never computes with made-up pixels, so every 3x3 convolution takes one pixel from each side,
and so does linear upsampling, whose outermost pixels would be interpolated from a neighbour that is not
there. Tiles then equal the whole image exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from napari_unet.core.errors import InputError
from napari_unet.core.tiling import WHOLE, Geometry
from napari_unet.network.config import UNetConfig


def margin(config: UNetConfig) -> int:
    """Return the pixels by which the output is smaller than the input on each side (the paper: 92).

    Two convolutions take 2 pixels per level of either path, and 2 at the bottom, each counted in pixels of
    the input: ``2 (1 + 2 + ... + 2**(L-1)) * 2 + 2 * 2**L = 6 * 2**L - 4``; linear upsampling takes ``1 + 2 +
    ... + 2**(L-1)`` more.
    """
    if config.padding == "same":
        return 0
    return 6 * config.alignment - 4 + (config.alignment - 1 if config.upsampling == "linear" else 0)


def output_remainder(config: UNetConfig) -> int:
    """Return what every output size leaves when it is divided by ``config.alignment``.

    Every expanding level doubles the size and takes 4 pixels (6 with linear upsampling), so the output is
    ``bottom * 2**L - 4 * (2**L - 1)``.
    """
    if config.padding == "same":
        return 0
    return (6 if config.upsampling == "linear" else 4) % config.alignment


def fits(config: UNetConfig, size: int) -> bool:
    """Return whether every pooling of an input of ``size`` pixels meets an even size and leaves something."""
    output = size - 2 * margin(config)
    return output > 0 and output % config.alignment == output_remainder(config)


def nearest_sizes(config: UNetConfig, size: int) -> tuple[int, int]:
    """Return the two input sizes that fit and are closest to ``size``, on either side if both exist."""
    step = config.alignment
    smallest = 2 * margin(config) + (output_remainder(config) or step)
    below = max(smallest, smallest + (size - smallest) // step * step)
    return below, below + step


def check_shape(config: UNetConfig, shape: Sequence[int]) -> None:
    """Check that the spatial ``shape`` of an input fits the network.

    Raises
    ------
    InputError
        Naming the nearest two sizes that fit, if one does not.
    """
    for size in shape:
        if not fits(config, size):
            below, above = nearest_sizes(config, size)
            raise InputError(
                f"An input of {size} pixels does not fit this network of {config.levels} "
                f"level{'s' * (config.levels != 1)} with {config.padding} convolutions; "
                f"use {below} or {above} pixels instead."
            )


def box_to_read(config: UNetConfig, box: Sequence[slice]) -> tuple[list[slice], tuple[slice, ...]]:
    """Return what is read of an image, mirrored where it ends, to predict a box of it in one piece.

    Returns
    -------
    read : list of slice
        Of a size that fits the network.
    crop : tuple of slice
        Where the box is in the output.
    """
    extra = margin(config)
    read = []
    for cut in box:
        size = cut.stop - cut.start + 2 * extra
        if not fits(config, size):
            size = nearest_sizes(config, size)[1]  # more on the far side
        read.append(slice(cut.start - extra, cut.start - extra + size))
    return read, tuple(slice(0, cut.stop - cut.start) for cut in box)


def seen_by(config: UNetConfig, size: int) -> tuple[int, int]:
    """Return the range ``[first, last)`` of input pixels that ``size`` pixels of the output depend on.

    For a same-padded network, away from the border of the image. All count from the first of these pixels,
    which is on the pooling grid.
    """
    first, last = 0, size - 1
    for _ in range(config.levels):  # down from the output: the expanding path
        first, last = first - 2, last + 2  # two 3x3 convolutions
        if config.upsampling in {"linear", "aligned"}:
            first, last = first - 1, last + 1  # pixel 2i reads i-1 and i, pixel 2i+1 reads i and i+1
        first, last = first // 2, last // 2
    first, last = first - 2, last + 2
    for _ in range(config.levels):  # up to the input: the contracting path
        first, last = 2 * first, 2 * last + 1  # 2x2 pooling
        first, last = first - 2, last + 2
    return first, last + 1


@dataclass(frozen=True, slots=True)
class Stage:
    """What one level of the expanding path computes along one axis, in pixels of that level."""

    joined: slice  # of the copied and the upsampled features: what the two convolutions read
    upsampled: slice  # where these are in the upsampled output of the level below
    kept: slice  # where, in the output of the two convolutions, is what the level above (or the head) reads


def expanding_stage(config: UNetConfig, size: int, wanted: slice) -> tuple[slice, Stage]:
    """Return the least that one level of the expanding path must read and compute along one axis.

    Parameters
    ----------
    config : UNetConfig
        Of a same-padded network.
    size : int
        Of the image at this level, even.
    wanted : slice
        The part of the level's output that is wanted.

    Returns
    -------
    below : slice
        The part of the output of the level below that is upsampled.
    stage : Stage
    """
    more = int(config.upsampling == "linear")  # pixel 2i reads i-1 and i, pixel 2i+1 reads i and i+1
    # Two 3x3 convolutions; at the border of the image they pad with zeros, as they do for all of it.
    joined = slice(max(0, wanted.start - 2), min(size, wanted.stop + 2))
    below = slice(max(0, (joined.start - more) // 2), min(size // 2, (joined.stop - 1 + more) // 2 + 1))
    return below, Stage(joined, within(joined, 2 * below.start), within(wanted, joined.start))


def expanding_stages(config: UNetConfig, size: int, crop: slice) -> tuple[slice, tuple[Stage, ...]]:
    """Return the least that the expanding path must compute for a part of the output along one axis.

    A tile's halo is there for the contracting path and the bottom. The expanding path, which does two thirds
    of the work, needs a few pixels of it at its upper levels.

    Parameters
    ----------
    config : UNetConfig
        Of a same-padded network.
    size : int
        Of the input, a multiple of the alignment.
    crop : slice
        The part of the output that is wanted, start and stop in pixels.

    Returns
    -------
    bottom : slice
        The part of the bottom's features that is read.
    stages : tuple of Stage
        From the lowest level up, as the path runs.
    """
    stages: list[Stage] = []
    wanted = crop
    for level in range(config.levels):
        wanted, stage = expanding_stage(config, size >> level, wanted)
        stages.append(stage)
    return wanted, tuple(reversed(stages))


def contracting_parts(config: UNetConfig, size: int, bottom: slice) -> tuple[slice, ...]:
    """Return the least that the contracting path must compute for a part of the bottom along one axis.

    What the expanding path copies from it lies within. Arguments as what :func:`expanding_stages` takes and
    returns; the parts are of the features of each level, from the highest down, all with even ends.
    """
    parts: list[slice] = []
    wanted = bottom
    for level in range(config.levels, 0, -1):
        read = slice(max(0, wanted.start - 2), min(size >> level, wanted.stop + 2))
        wanted = slice(2 * read.start, 2 * read.stop)
        parts.append(wanted)
    return tuple(reversed(parts))


def within(part: slice, origin: int) -> slice:
    """Return where a part of an axis is in what begins at ``origin``."""
    return slice(part.start - origin, part.stop - origin)


def tile_geometry(config: UNetConfig) -> Geometry:
    """Return what tiling must know of the network, so that tiles equal the whole image."""
    if config.upsampling == "aligned":
        return Geometry(config.alignment, WHOLE, "same")
    if config.padding == "valid":
        return Geometry(config.alignment, margin(config), "valid", output_remainder(config))
    first, last = seen_by(config, config.alignment)
    reach = max(-first, last - config.alignment)
    return Geometry(config.alignment, -(-reach // config.alignment) * config.alignment, "same")

"""Run a network for a part of its output, level by level in bands of rows, as its layers would compute it.

Intermediate features are large and read once. In bands they fit the cache, and an allocator gives the same
memory again: fresh memory from the system for every layer of every tile costs a quarter of the time. Only
features that are copied across or pooled are ever whole, so tiles may be large and their halos a small part
of the work. And no level computes more than the next one reads.
"""

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_unet.core.arrays.boxes import part_of
from napari_unet.network.geometry import contracting_parts, expanding_stage, expanding_stages, within
from napari_unet.network.tiles import gpu_layers
from napari_unet.network.unet import UNet, Upsampling

_BAND_BYTES = 4 * 2**20
"""Size of the features of one level in a band: more would not fit the cache, or the heap of a thread."""

_LEAST_ROWS = 32
"""Rows of a band, at least: at each seam between two, about 3 rows are computed twice."""

_LINE = 64
"""Bytes of a cache line: aligned memory is read faster."""

_MANY = 2**24
"""Values beyond which a GPU is faster with another way to interpolate, which takes more launches."""

_BFLOAT16 = "_is_mkldnn_bf16_supported"
"""Name of torch's function that tells whether oneDNN computes in bfloat16 on this processor."""

_CONVOLVE = {2: functional.conv2d, 3: functional.conv3d}


def run_cropped(network: UNet, x: Tensor, crop: Sequence[slice]) -> Tensor:
    """Return the logits of a part of the output.

    Parameters
    ----------
    network : UNet
        In evaluation mode.
    x : Tensor (1, C, ...)
        Normalised intensities, of sizes that fit.
    crop : sequence of slice
        For each spatial axis the part of the output that is wanted, start and stop in pixels.

    Returns
    -------
    Tensor (1, K, ...)
        As large as ``crop``; up to rounding, that part of what the network returns. Bands are for levels that
        are two convolutions, one after the other; of other networks all that is seen is computed.
    """
    config, sizes = network.config, x.shape[2:]
    in_sequence = all(type(block) is nn.Sequential for block in network.blocks())
    if config.padding == "valid" or config.upsampling == "aligned" or not in_sequence:
        return _cut(network(_in_layout(x)), crop)
    axes = [expanding_stages(config, size, part) for size, part in zip(sizes, crop, strict=True)]
    bottom = [part for part, _ in axes]
    parts = [contracting_parts(config, size, part) for size, part in zip(sizes, bottom, strict=True)]
    stages = list(zip(*(stages for _, stages in axes), strict=True))  # of each level, from the lowest up
    at = [_around(axis[0], size) for axis, size in zip(parts, sizes, strict=True)]  # where x is in its level
    x = _in_layout(_cut(x, at))
    in_bands = _in_bands(x)
    skips: list[Tensor] = []
    for level, block in enumerate(network.contracting):
        part = [axis[level] for axis in parts]
        copied = [stage.joined for stage in stages[-1 - level]]
        size, features = sizes[0] >> level, config.features << level
        skip = _room(x, features, copied) if in_bands else None
        pooled = _room(x, features, _halves(part))
        for rows in _bands(part[0], pooled):
            y = _features(block, x, at[0], rows, size)
            here = [rows, *at[1:]]  # where y is
            both = slice(max(rows.start, copied[0].start), min(rows.stop, copied[0].stop))
            if both.start < both.stop:
                values = _cut(y, part_of([both, *copied[1:]], here))
                skip = _put(values, skip, within(both, copied[0].start))
            half = _halves([rows])[0]
            _pool(
                network.pool,
                _cut(y, part_of([rows, *part[1:]], here)),
                pooled[:, :, within(half, part[0].start // 2)],
            )
        skips.append(cast("Tensor", skip))
        x, at = pooled, _halves(part)
    x = _cut(
        _features(network.bottom, x, at[0], bottom[0], sizes[0] >> config.levels),
        [slice(None), *part_of(bottom[1:], at[1:])],
    )
    at = bottom
    for up, block, across in zip(network.upsampling, network.expanding, stages, strict=True):
        skip = skips.pop()
        level = len(skips)
        part = [
            slice(stage.joined.start + stage.kept.start, stage.joined.start + stage.kept.stop)
            for stage in across
        ]
        outputs = config.classes + config.distance if level == 0 else config.features << level
        result = _room(x, outputs, part) if in_bands else None
        for rows in _bands(part[0], skip):
            below, stage = expanding_stage(config, sizes[0] >> level, rows)
            beside = skip[:, :, within(stage.joined, across[0].joined.start)]
            seen = [stage.upsampled, *(axis.upsampled for axis in across[1:])]
            joined = _join(beside, cast("Upsampling", up), x[:, :, within(below, at[0].start)], seen)
            y = _features(block, joined, stage.joined, rows, sizes[0] >> level)
            y = _classified(network, y) if level == 0 else y
            y = _cut(y, [slice(None), *(axis.kept for axis in across[1:])])
            result = _put(y, result, within(rows, part[0].start))
        x, at = cast("Tensor", result), part
    return x


def _put(values: Tensor, room: Tensor | None, rows: slice) -> Tensor:
    """Return the room with values in some of its rows, or the values if they are all and need no room."""
    if room is None:
        return values
    room[:, :, rows] = values
    return room


def _features(block: nn.Module, x: Tensor, at: slice, rows: slice, size: int) -> Tensor:
    """Return the output of the two convolutions of a level for some of its rows.

    Parameters
    ----------
    block : nn.Sequential
        Two 3x3 convolutions and what follows each.
    x : Tensor (1, C, rows, ...)
    at : slice
        Rows of the level that ``x`` holds: at least 2 around those wanted, up to the border of the image.
    rows : slice
        Those wanted.
    size : int
        Rows of the level in all.
    """
    read = _around(rows, size)
    first, last = read.start == 0, read.stop == size  # whether the image ends here, and is padded with zeros
    padding = int(first or last)
    x = x[:, :, within(read, at.start)]
    layers = list(cast("nn.Sequential", block))
    fused = _fuses_relu(layers, x)
    for layer in layers:
        if isinstance(layer, (nn.Conv2d, nn.Conv3d)):
            x = _convolve(layer, x, [padding, *(1,) * (x.ndim - 3)], with_relu=fused)
            x = x[:, :, padding - first : x.shape[2] - padding + last]
        elif not fused:
            x = layer(x)
    return x[:, :, within(rows, read.start + 2 * (not first))]


def _fuses_relu(layers: Sequence[nn.Module], x: Tensor) -> bool:
    """Return whether the ReLU can be applied, at no cost, as oneDNN or cuDNN write what they convolve."""
    if x.ndim != 4 or any(isinstance(layer, nn.BatchNorm2d) for layer in layers):
        return False
    if x.is_cuda:
        return gpu_layers.fuses_relu([layer for layer in layers if isinstance(layer, nn.Conv2d)], x.dtype)
    if x.device.type != "cpu":
        return False
    if not all(hasattr(torch.ops.mkldnn, name) for name in ("_convolution_pointwise", _BFLOAT16)):
        return False
    return x.dtype == torch.float32 or (
        x.dtype == torch.bfloat16 and bool(getattr(torch.ops.mkldnn, _BFLOAT16)())
    )


def _convolve(layer: nn.Conv2d | nn.Conv3d, x: Tensor, padding: list[int], *, with_relu: bool) -> Tensor:
    if with_relu and x.is_cuda:
        return gpu_layers.convolve_with_relu(cast("nn.Conv2d", layer), x, padding)
    if with_relu:
        ones = [1] * len(padding)  # stride, dilation
        result = torch.ops.mkldnn._convolution_pointwise(
            x, layer.weight, layer.bias, padding, ones, ones, 1, "relu", [], ""
        )
        return cast("Tensor", result)
    return _CONVOLVE[x.ndim - 2](x, layer.weight, layer.bias, padding=padding)


def _join(skip: Tensor, up: Upsampling, x: Tensor, part: Sequence[slice]) -> Tensor:
    """Return copied features and, behind them, a part of those that are upsampled from the level below."""
    linear = up.mode == "bilinear" and not up.by_convolution
    if x.is_cuda and linear and x.numel() >= _MANY:
        rows, columns = part
        return gpu_layers.join(skip, up.convolution(x), (rows, columns))
    return torch.cat([skip, _cut(up(x), part)], dim=1)


def _classified(network: UNet, x: Tensor) -> Tensor:
    """Return the logits for features (1, F, ...) of the highest level, as `UNet.heads` does."""
    if x.is_cuda and x.ndim == 4 and not network.config.distance:
        return gpu_layers.classify(cast("nn.Conv2d", network.head), x)
    return network.heads(x)


def _pool(pool: nn.Module, x: Tensor, out: Tensor) -> None:
    """Pool ``x`` into ``out``; three times as fast as torch's maximum, which also notes where it is."""
    if not isinstance(pool, (nn.MaxPool2d, nn.MaxPool3d)):
        out.copy_(pool(x))
        return
    for axis in range(2, x.ndim):
        before: tuple[Any, ...] = (slice(None),) * axis
        pair = x[(*before, slice(0, None, 2))], x[(*before, slice(1, None, 2))]
        x = torch.maximum(*pair, out=out if axis == x.ndim - 1 else None)


def _bands(rows: slice, like: Tensor) -> Iterator[slice]:
    """Divide rows evenly into bands; their starts are even if the first row is.

    ``like`` has the features and the width of what will be computed. Volumes and GPUs have one band.
    """
    length = rows.stop - rows.start
    number = 1
    if _in_bands(like) and like.ndim == 4:
        row = like.shape[1] * like.shape[3] * like.element_size()
        number = max(1, round(length / max(_LEAST_ROWS, _BAND_BYTES // row)))
    step = -(-length // number)
    step += step % 2
    for start in range(rows.start, rows.stop, step):
        yield slice(start, min(start + step, rows.stop))


def _in_bands(x: Tensor) -> bool:
    """Return whether features are computed band by band, and copied to where all are kept; on a CPU."""
    return x.device.type == "cpu"


def _around(part: slice, size: int) -> slice:
    """Return what two 3x3 convolutions read of a level of ``size`` pixels."""
    return slice(max(0, part.start - 2), min(size, part.stop + 2))


def _halves(part: Sequence[slice]) -> list[slice]:
    return [slice(axis.start // 2, axis.stop // 2) for axis in part]


def _cut(x: Tensor, part: Sequence[slice]) -> Tensor:
    """Return a view of ``x`` (1, C, ...), of its spatial axes the given parts."""
    where: tuple[Any, ...] = (..., *part)
    return x[where]


def _room(like: Tensor, channels: int, part: Sequence[slice]) -> Tensor:
    """Return memory for the features of a part."""
    shape = (1, channels, *(axis.stop - axis.start for axis in part))
    if like.device.type == "cpu" and like.ndim == 4:
        # From numpy, which asks the system for large pages: each first touch of a page takes time.
        size = prod(shape) * like.element_size()
        room = np.empty(size + _LINE, np.uint8)
        start = -room.ctypes.data % _LINE
        values = torch.from_numpy(room[start : start + size]).view(like.dtype)
        return values.view(1, *shape[2:], channels).movedim(-1, 1)
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=_layout(like))


def _in_layout(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=_layout(x))


def _layout(x: Tensor) -> torch.memory_format:
    """Return the layout that convolutions compute in."""
    return torch.channels_last if x.ndim == 4 else torch.contiguous_format

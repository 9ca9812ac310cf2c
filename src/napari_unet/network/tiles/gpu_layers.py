"""Layers of a network in 2-D as NVIDIA GPUs compute them fastest: the same values, up to rounding.

As torch has them, the first convolution, of one channel, the last, to two classes, and what interpolates take
half of the time of a network.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

_ALIGNED = 8
"""Features of 16 bits that tensor cores load together."""

_FAST = 16
"""Channels from which on they are busy: with fewer, a convolution takes longer, up to ten times as long."""


def fuses_relu(convolutions: list[nn.Conv2d], dtype: torch.dtype) -> bool:
    """Return whether cuDNN can apply the ReLU, at no cost, as it writes what it convolves."""
    aligned = all(layer.out_channels % _ALIGNED == 0 for layer in convolutions)
    half = dtype in {torch.bfloat16, torch.float16}
    return aligned and half and torch.version.cuda is not None and torch.backends.cudnn.enabled


def convolve_with_relu(layer: nn.Conv2d, x: Tensor, padding: list[int]) -> Tensor:
    """Return the ReLU of a convolution of ``x`` (1, C, Y, X), channels last."""
    weight = layer.weight
    missing = -x.shape[1] % _FAST if x.shape[1] % _ALIGNED else 0  # channels of an image
    if missing:
        x, weight = (_with_empty(values, missing) for values in (x, weight))
    ones = [1, 1]  # stride, dilation
    return torch.cudnn_convolution_relu(x, weight, layer.bias, ones, padding, ones, 1)


def _with_empty(values: Tensor, more: int) -> Tensor:
    """Return values (N, C, Y, X) with more channels, all 0, channels last."""
    batch, channels, height, width = values.shape
    result = values.new_zeros(batch, height, width, channels + more).movedim(-1, 1)
    result[:, :channels] = values
    return result


def classify(head: nn.Conv2d, x: Tensor) -> Tensor:
    """Return the 1x1 convolution of ``x`` (1, C, Y, X), channels last, to a few classes."""
    missing = -head.out_channels % _ALIGNED
    weight = functional.pad(head.weight[:, :, 0, 0], (0, 0, 0, missing))
    bias = functional.pad(head.bias, (0, missing)) if head.bias is not None else None
    logits = functional.linear(x.movedim(1, -1), weight, bias)
    return logits[..., : head.out_channels].movedim(-1, 1)


def join(skip: Tensor, x: Tensor, part: tuple[slice, slice]) -> Tensor:
    """Return features that were copied across and, behind them, a part of others at twice the size.

    Parameters
    ----------
    skip : Tensor (1, C, Y, X)
    x : Tensor (1, D, y, x)
        Interpolated linearly to (1, D, 2 y, 2 x), as `functional.interpolate` does.
    part : tuple of slice
        What is taken of these, Y rows and X columns; start and stop.

    Returns
    -------
    Tensor (1, C + D, Y, X)
        Channels last.
    """
    batch, features = x.shape[:2]
    height, width = skip.shape[2:]
    rows, columns = part
    joined = x.new_empty(batch, height, width, skip.shape[1] + features).movedim(-1, 1)
    joined[:, : skip.shape[1]] = skip
    tall = x.new_empty(batch, height, x.shape[3], features).movedim(-1, 1)
    _interpolate(x, 2, rows, tall)
    _interpolate(tall, 3, columns, joined[:, skip.shape[1] :])
    return joined


def _interpolate(x: Tensor, axis: int, part: slice, out: Tensor) -> None:
    """Write a part of ``x``, interpolated along an axis to twice its size, to ``out``.

    Pixels 2 i + 1 and 2 i + 2 lie a quarter and three quarters of the way from i to i + 1; the first and the
    last are those of ``x``.
    """
    size = x.shape[axis]
    last = 2 * size - 1
    for first, way in ((1, 0.25), (2, 0.75)):
        start = max(first, part.start + (part.start - first) % 2)
        wanted = range(start, min(part.stop, last), 2)
        if wanted:
            before, after = (
                x.narrow(axis, (wanted[0] - 1) // 2 + further, len(wanted)) for further in (0, 1)
            )
            place = slice(wanted[0] - part.start, wanted[-1] - part.start + 1, 2)
            torch.lerp(before, after, way, out=out[(slice(None),) * axis + (place,)])
    for end, source in ((0, 0), (last, size - 1)):
        if part.start <= end < part.stop:
            out.select(axis, end - part.start).copy_(x.select(axis, source))

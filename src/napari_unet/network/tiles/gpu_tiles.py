"""Tiles on an NVIDIA GPU: only pixels travel to it, as the image has them, and only probabilities back.

The processor is slow beside such a GPU, so the GPU also does the scaling, mirroring and averaging. Every
thread copies in a stream of its own, through pinned memory, while the network computes another tile, and puts
the result where it belongs, since touching memory for the first time is slow. One thread alone tells the GPU
what to compute.
"""

from collections import deque
from dataclasses import dataclass
from math import ceil, prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_unet.core.arrays.lazy import Pixels
from napari_unet.core.tiling import Tile, mirrored_box
from napari_unet.network.tiles.inference import class_probabilities
from napari_unet.network.tiles.launching import launch
from napari_unet.network.unet import UNet

_TORCH_READS = {np.dtype(code) for code in ("u1", "i1", "u2", "i2", "i4", "i8", "f2", "f4", "f8")}
"""Types that torch converts on a GPU as numpy does; numpy makes float64 of all others."""

_PART_BYTES = 8 * 2**20
"""Bytes fetched at once: while one part is on its way, the last is put where it belongs."""


@dataclass(frozen=True, slots=True, eq=False)
class GpuTiles:
    """Computes tiles of an image on an NVIDIA GPU."""

    pixels: Pixels  # (C, leading..., spatial...) the image
    limits: NDArray[np.float64]  # (C, 2) intensities that become 0 and 1
    clip: tuple[float, float]  # range kept after scaling

    def compute(
        self,
        network: UNet,
        orientations: int,
        plane: tuple[int, ...],
        tile: Tile,
        out: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Return the probabilities (K, spatial...) of what a tile writes, in ``out`` if it is given."""
        device = network.head.weight.device
        box, indices = mirrored_box(self.pixels.shape[-len(tile.read) :], tile.read)
        where: tuple[Any, ...] = (slice(None), *plane, *box)
        raw = np.asarray(self.pixels[where])

        def probabilities(sent: Tensor) -> Tensor:
            x = mirrored(scaled(sent, self.limits, self.clip), indices)
            return class_probabilities(network, x[None], tile.crop, orientations)

        with torch.inference_mode():
            launched = launch(probabilities, send(raw, device))
            if out is None:
                sizes = (part.stop - part.start for part in tile.write)
                out = np.empty((network.config.classes, *sizes), np.float32)
            torch.from_numpy(out).zero_()  # the system gives it its memory while the GPU computes
            fetch(launched.result(), out)
        return out


def send(pixels: NDArray[Any], device: torch.device) -> Tensor:
    """Return pixels of any real type on a device; copied in the current stream, without waiting."""
    dtype = pixels.dtype if pixels.dtype in _TORCH_READS else np.dtype(np.float64)
    like = torch.from_numpy(np.empty(0, dtype)).dtype
    staged = torch.empty(pixels.shape, dtype=like, pin_memory=device.type == "cuda")
    np.copyto(staged.numpy(), pixels, casting="unsafe")
    return staged.to(device, non_blocking=True)


def scaled(pixels: Tensor, limits: NDArray[np.float64], clip: tuple[float, float]) -> Tensor:
    """Return what `core.arrays.normalisation.apply_limits` makes of pixels (C, ...), bit for bit."""
    shape = (-1,) + (1,) * (pixels.ndim - 1)
    low = _beside(pixels, limits[:, 0].copy()).reshape(shape)
    span = _beside(pixels, limits[:, 1] - limits[:, 0]).reshape(shape)
    result = pixels.double().sub(low).div_(span).clamp_(*clip).float()
    return result.nan_to_num_(nan=0.0)


def mirrored(x: Tensor, indices: list[NDArray[np.intp] | None]) -> Tensor:
    """Return ``x`` (C, spatial...) with the given indices along every spatial axis; None takes all."""
    for axis, index in enumerate(indices, start=1):
        if index is not None:
            x = x.index_select(axis, _beside(x, index))
    return x


def _beside(x: Tensor, values: NDArray[Any]) -> Tensor:
    """Return a few values on the device of ``x``, without waiting for a GPU."""
    return torch.from_numpy(values).to(x.device, non_blocking=True)


def fetch(values: Tensor, out: NDArray[np.float32]) -> None:
    """Copy values (K, ...) float32 from a GPU, when the current stream has them, into an array."""
    rows = ceil(_PART_BYTES / (4 * prod(values.shape[2:])))
    target = torch.from_numpy(out)
    coming: deque[tuple[Tensor, Tensor, torch.cuda.Event]] = deque()
    for channel, place in zip(values, target, strict=True):
        for part, where in zip(channel.split(rows), place.split(rows), strict=True):
            staged = torch.empty(part.shape, pin_memory=values.is_cuda)
            staged.copy_(part, non_blocking=True)
            arrived = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            arrived.record(torch.cuda.current_stream(values.device))
            coming.append((where, staged, arrived))
            if len(coming) > 1:
                _put(*coming.popleft())
    while coming:
        _put(*coming.popleft())


def _put(where: Tensor, staged: Tensor, arrived: torch.cuda.Event) -> None:
    arrived.synchronize()
    where.copy_(staged)

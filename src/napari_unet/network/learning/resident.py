"""The images and paint that patches are cut from, kept on the GPU: a step sends a few numbers, no pixels."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from napari_unet.core.learning.dataset import Dataset, Sample
from napari_unet.core.learning.live_dataset import Fresh
from napari_unet.core.painted.object_distance import UNKNOWN
from napari_unet.core.painted.painted_pixels import PaintedPixels
from napari_unet.core.patches import choose_place
from napari_unet.network.augment import Batch, apply_changes, draw_changes, source_margin
from napari_unet.network.config import TrainingConfig
from napari_unet.network.device import free_memory
from napari_unet.network.learning.batches import BatchShape, augmentation_of, crop_margin
from napari_unet.network.learning.replay import Replay
from napari_unet.network.learning.tensors import upload

_DEVICES = ("cuda",)
"""Where it helps: a CPU has its images already."""

_SHARE = 0.25
"""Part of the free memory of a device that images and paint may take."""


class Resident:
    """Draws batches as :func:`napari_unet.network.learning.batches.draw_batch`, from images on the device.

    The pixels of all samples are in one tensor, one sample after the other, so that all patches of a batch
    are cut at once. Beside them are the maps to learn from, set at painted pixels alone: when paint joins,
    only those are written.

    A GPU does all of it in a stream of its own: while a network learns from one batch, the next is drawn.
    """

    def __init__(
        self, dataset: Dataset, shape: BatchShape, config: TrainingConfig, device: torch.device
    ) -> None:
        self._shape = shape
        self._config = config
        self._device = device
        around = source_margin(shape.seen, config.augmentation)
        self._margin = [extra + more for extra, more in zip(shape.margin, around, strict=True)]
        self._wide = [edge + 2 * extra for edge, extra in zip(shape.taught, self._margin, strict=True)]
        self._layout: dict[str, torch.Size] = {}
        self._views = Replay(device)
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self._image = self._maps = torch.empty((0, 0), device=device)
        self._known: dict[int, tuple[int, Sample | None]] = {}
        self.follow(dataset)

    @staticmethod
    def suits(dataset: Dataset, device: torch.device, taken: int = 0) -> bool:
        """Return whether ``device`` is a GPU with room for images and paint, which hold ``taken`` bytes."""
        pixels = sum(sample.target.size for sample in dataset.samples)
        size = 4 * pixels * (dataset.in_channels + 2 + dataset.has_distance)
        return device.type in _DEVICES and size <= _SHARE * (free_memory(device) + taken)

    def follow(self, dataset: Dataset) -> bool:
        """Go on with ``dataset`` and return whether the device has room for it.

        Only what it does not share with the one before goes to the device.
        """
        taken = 4 * (self._image.numel() + self._maps.numel())
        if not self.suits(dataset, self._device, taken):
            return False
        self._dataset = dataset
        with self._aside():
            self._write()
        return True

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """Run this on a GPU beside earlier work; later work waits for it."""
        if self._stream is None:
            yield
            return
        others = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._stream):
            yield
        others.wait_stream(self._stream)

    def _write(self) -> None:
        """Bring images and maps up to date."""
        dataset = self._dataset
        nothing = torch.tensor([0.0, 0.0, UNKNOWN][: 2 + dataset.has_distance], device=self._device)
        if len(nothing) != self._maps.shape[1] or any(
            id(sample.image) not in self._known for sample in dataset.samples
        ):
            self._place(nothing)
        for sample in dataset.samples:
            start, before = self._known[id(sample.image)]
            if before is not None:
                self._maps[start + self._rows(before.painted)] = nothing
            flat = sample.painted.flat
            maps: list[Any] = [sample.target, sample.weight]
            maps += [] if sample.distance is None else [sample.distance]
            values = np.stack([values.reshape(-1)[flat].astype(np.float32) for values in maps], axis=1)
            self._maps[start + self._rows(sample.painted)] = torch.from_numpy(values).to(self._device)
            self._known[id(sample.image)] = start, sample

    def _rows(self, painted: PaintedPixels) -> Tensor:
        return torch.from_numpy(painted.flat).to(self._device)

    def _place(self, nothing: Tensor) -> None:
        """Make room for every sample, with its image, and nothing taught yet."""
        samples, known, before = self._dataset.samples, self._known, self._image
        pixels = sum(sample.target.size for sample in samples)
        self._image = torch.empty((pixels, self._dataset.in_channels), device=self._device)
        self._maps = nothing.repeat(pixels, 1)
        self._known, start = {}, 0
        for sample in samples:
            size = sample.target.size
            if id(sample.image) in known:
                earlier = known[id(sample.image)][0]
                pixels_of = before[earlier : earlier + size]
            else:
                channels_last = np.moveaxis(sample.image, 0, -1).reshape(size, -1)
                pixels_of = torch.from_numpy(np.array(channels_last, np.float32))
            self._image[start : start + size] = pixels_of.to(self._device)
            self._known[id(sample.image)] = start, None
            start += size
        self._views.forget()

    def draw(self, rng: np.random.Generator, generator: Generator, *, fresh: Fresh | None = None) -> Batch:
        """Return random, augmented patches."""
        shape, samples = self._shape, self._dataset.samples
        places = []
        for number in range(shape.patches):
            chosen, box = choose_place(self._dataset, shape.taught, rng, fresh=None if number else fresh)
            sample = samples[chosen]
            corner = [cut.start - extra for cut, extra in zip(box, self._margin, strict=True)]
            places.append([self._known[id(sample.image)][0], *sample.target.shape, *corner])
        changes = draw_changes(
            (shape.patches, self._dataset.in_channels),
            self._wide,
            shape.seen,
            config=augmentation_of(self._dataset, self._config),
            generator=generator,
        )
        self._layout = {name: value.shape for name, value in changes.numbers.items()}
        numbers = [value.reshape(-1) for value in changes.numbers.values()]
        with self._aside():
            packed = upload(torch.cat(numbers or [torch.zeros(0)]), self._device)  # in one copy
            noise = changes.noise((shape.patches, self._dataset.in_channels, *shape.seen), self._device)
            where = upload(torch.tensor(places), self._device)
            batch = self._views.run(self._view, where, packed, noise)
            batch = Batch._make(None if values is None else values.clone() for values in batch)
        for values in batch:
            if values is not None and values.is_cuda:
                values.record_stream(torch.cuda.current_stream(self._device))
        return batch

    def _view(self, places: Tensor, packed: Tensor, noise: Tensor | None) -> Batch:
        """Return the view of patches at ``places``, see :meth:`_cut`, changed by the ``packed`` numbers."""
        parts = torch.split(packed, [shape.numel() for shape in self._layout.values()])
        numbers = {
            name: part.view(shape) for part, (name, shape) in zip(parts, self._layout.items(), strict=True)
        }
        return crop_margin(apply_changes(*self._cut(places), self._shape.seen, numbers, noise), self._shape)

    def _cut(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Return image (B, C, …YX) and maps (B, 2 or 3, …YX) of the patches of a batch, margin included.

        Parameters
        ----------
        places : Tensor (B, 1 + 2 ndim) int64
            Where the pixels of its sample begin, the shape of the sample, and the first corner of the patch,
            which may be outside: there the image is mirrored, and nothing is taught.
        """
        batch, ndim = len(places), len(self._wide)
        start, lengths, corners = torch.split(places, [1, ndim, ndim], dim=1)
        index = start.view(batch, *(1,) * ndim)
        inside = torch.ones((1,) * (1 + ndim), dtype=torch.bool, device=self._device)
        stride = torch.ones_like(start)
        for axis in reversed(range(ndim)):
            length = lengths[:, axis, None]
            position = corners[:, axis, None] + torch.arange(self._wide[axis], device=self._device)
            period = (2 * (length - 1)).clamp_min(1)
            mirrored = position.remainder(period)
            mirrored = torch.minimum(mirrored, period - mirrored)
            along = (batch, *(-1 if other == axis else 1 for other in range(ndim)))
            index = index + (mirrored * stride).view(along)
            inside = inside & ((position >= 0) & (position < length)).view(along)
            stride = stride * length
        image = self._image[index].movedim(-1, 1)
        maps = (self._maps[index] * inside[..., None]).movedim(-1, 1)
        return image, maps

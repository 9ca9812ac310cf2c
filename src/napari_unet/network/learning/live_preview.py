"""What a network in training makes of the part of the image that the user looks at, block by block.

Predictions take a fixed part of the training time, whatever a block costs on this machine: first the blocks
in the middle of the screen, then those that were predicted longest ago.
"""

from collections.abc import Callable, Generator, Hashable
from contextlib import suppress
from itertools import product
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_unet.core.arrays.axes import Channels, channels_first
from napari_unet.core.arrays.lazy import Pixels
from napari_unet.core.arrays.normalisation import Normalisation
from napari_unet.core.errors import InputError
from napari_unet.core.learning.view import Gaze, View
from napari_unet.core.tiling import read_mirrored
from napari_unet.network.config import UNetConfig
from napari_unet.network.events import Preview
from napari_unet.network.geometry import fits, margin, nearest_sizes

SHARE = 0.15
"""Part of the training time that previews may take."""

INTERVAL_S = 1.0
"""Seconds between previews at least: every repaint takes the processor from the training as well."""

BLOCK = {2: 256, 3: 64}
"""Edge in pixels of what is predicted at once along Y and X, by dimension of the network."""

_HALO = 32
"""Context in pixels around a block. A preview need not be exact to the last pixel of a block's edge."""

_MOST = 2048
"""Pixels along either axis that are predicted, at most; of a wider view, the middle."""

_Place = tuple[Hashable, tuple[int, ...], int, int, int]


class LivePreview:
    """Predicts what the user looks at, when it is time to.

    Parameters
    ----------
    gaze : Gaze
        Where the user looks.
    network : UNetConfig
    channels, normalisation
        How images are read.
    device : torch.device
    """

    def __init__(
        self,
        gaze: Gaze,
        network: UNetConfig,
        *,
        channels: Channels,
        normalisation: Normalisation,
        device: torch.device,
    ) -> None:
        self._gaze = gaze
        self._network = network
        self._channels = channels
        self._normalisation = normalisation
        self._device = device
        self._limits: dict[Hashable, NDArray[np.float64]] = {}
        self._seen: tuple[View, Pixels | None] | None = None  # the last view, and its image as it is read
        self._rounds: dict[_Place, int] = {}
        self._round = 0
        self._next = 0.0
        self._last = perf_counter()

    def look(self, predict: Callable[[Tensor], Tensor]) -> Generator[Preview, None, None]:
        """Yield what the network makes of the view, as far as time allows; often nothing.

        Glances come first, whatever they take: the user waits for them. The caller may stop after any block,
        if something is more urgent, and close the generator.

        Parameters
        ----------
        predict : callable
            From images (B, C, …YX) to logits (B, K, …YX).
        """
        while (glance := self._gaze.next_glance()) is not None:
            image = self._image_of(glance)
            if image is not None:
                self._round += 1
                yield self._preview(glance, image, self._in_turn(glance)[0], predict)
        view, now = self._gaze.view, perf_counter()
        if view is None or now < self._next:
            return
        image = self._image_of(view)
        if image is None:
            return
        self._round += 1
        allowed = SHARE * (now - self._last)
        spent, goes_on = 0.0, False
        try:
            for box in self._in_turn(view):
                began = perf_counter()
                event = self._preview(view, image, box, predict)
                cost = perf_counter() - began
                spent += cost
                goes_on = spent + cost <= allowed
                yield event
                if not goes_on:
                    break
            goes_on = False
        finally:
            self._last = self._next = perf_counter()
            if goes_on:  # closed: the rest comes as soon as somebody looks again
                self._last -= (allowed - spent) / SHARE
            else:
                self._next = max(now + INTERVAL_S, self._last + spent * (1 / SHARE - 1))

    def _image_of(self, view: View) -> Pixels | None:
        """Return the image (C, leading..., spatial...) of a view; None where it does not suit the network.

        Nor can it be read once its paint has another shape: that is no reason to end a training. Whether
        all channels are equal takes a look at all pixels, once for as long as it is the same image.
        """
        seen = self._seen
        if seen and seen[0].image is view.image and seen[0].paint_shape == view.paint_shape:
            return seen[1]
        image: Pixels | None = None
        with suppress(InputError):
            image = channels_first(
                view.image,
                ndim=self._network.ndim,
                channels=self._channels,
                paint_shape=view.paint_shape,
                in_channels=self._network.in_channels,
                equal_as_one=True,
            )
        self._seen = view, image
        return image

    def _preview(
        self, view: View, image: Pixels, box: tuple[slice, slice], predict: Callable[[Tensor], Tensor]
    ) -> Preview:
        self._rounds[_place(view, box)] = self._round
        return Preview(view.key, view.plane, box, view.step, self._predict(view, image, box, predict))

    def _in_turn(self, view: View) -> list[tuple[slice, slice]]:
        """Return the blocks of a view: never seen ones first, then the oldest; from the middle outwards."""
        middle = [(part.start + part.stop) / 2 for part in view.box]

        def rank(box: tuple[slice, slice]) -> tuple[int, float]:
            far = sum(
                ((part.start + part.stop) / 2 - centre) ** 2 for part, centre in zip(box, middle, strict=True)
            )
            return self._rounds.get(_place(view, box), 0), far

        return sorted(blocks_of(view, BLOCK[self._network.ndim]), key=rank)

    def _predict(
        self, view: View, image: Pixels, box: tuple[slice, slice], predict: Callable[[Tensor], Tensor]
    ) -> NDArray[np.float32]:
        """Return the probabilities (K, Y, X) of a block, one for every ``view.step`` pixels."""
        ndim = self._network.ndim
        leading, within = view.plane[: len(view.plane) + 2 - ndim], view.plane[len(view.plane) + 2 - ndim :]
        wanted = (*(slice(at, at + 1) for at in within), *box)
        plane: tuple[Any, ...] = (slice(None), *leading)
        if view.key not in self._limits:
            self._limits[view.key] = self._normalisation.limits(image)
        read = [_around(part, self._network) for part in wanted]
        pixels = self._normalisation.scale(read_mirrored(image[plane], read), self._limits[view.key])
        logits = predict(torch.from_numpy(np.ascontiguousarray(pixels))[None].to(self._device))[0]
        inside: list[Any] = [slice(None)]
        for part, seen in zip(wanted, read, strict=True):
            start = part.start - seen.start - margin(self._network)
            inside.append(slice(start, start + part.stop - part.start))
        probabilities = logits[tuple(inside)].softmax(dim=0)
        if ndim == 3:
            probabilities = probabilities[:, 0]
        if view.step > 1:
            probabilities = torch.nn.functional.avg_pool2d(
                probabilities[None], view.step, ceil_mode=True, count_include_pad=False
            )[0]
        result: NDArray[np.float32] = probabilities.float().cpu().numpy()
        return result


def blocks_of(view: View, edge: int) -> list[tuple[slice, slice]]:
    """Return the blocks of a fixed grid that a view shows, inside the image; the middle of a wide one."""
    sides = []
    for part, length in zip(view.box, view.paint_shape[-2:], strict=True):
        first, last = part.start // edge, -(-part.stop // edge)
        most = max(_MOST // edge, 1)
        if last - first > most:
            first = (part.start + part.stop) // 2 // edge - most // 2
            last = first + most
        sides.append([slice(n * edge, min((n + 1) * edge, length)) for n in range(max(first, 0), last)])
    return [(y, x) for y, x in product(*sides) if y.start < y.stop and x.start < x.stop]


def _around(part: slice, network: UNetConfig) -> slice:
    """Return what is read to predict ``part`` of an axis: on the pooling grid, and of a size that fits."""
    grid, extra = network.alignment, margin(network)
    start = (part.start - _HALO) // grid * grid if not extra else part.start - extra
    stop = part.stop + (extra or _HALO)
    size = max(stop - start, 2 * grid)
    if not fits(network, size):
        size = nearest_sizes(network, size)[1]
    return slice(start, start + size)


def _place(view: View, box: tuple[slice, slice]) -> _Place:
    return view.key, view.plane, view.step, box[0].start, box[1].start

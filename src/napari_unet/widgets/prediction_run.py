"""What the Predict dock computes in its worker thread: images in, label arrays or files out."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from math import prod
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.axes import Channels, channels_first
from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.core.lazy import Pixels
from napari_unet.core.normalisation import Normalisation
from napari_unet.core.rereading import Rereading
from napari_unet.files.images import expand_paths, is_zarr, read_image, stem
from napari_unet.files.large_prediction import Kind as FileKind
from napari_unet.files.predicted_files import (
    FileAdvanced,
    FilesPlan,
    FileSuspended,
    FileWritten,
    predict_files,
)
from napari_unet.files.sources import open_image
from napari_unet.network.config import PredictionConfig
from napari_unet.network.events import ImageScaled, Predicted, TileDone, TilesHalved
from napari_unet.network.in_turn import ImageFailed, in_turn
from napari_unet.network.memory import free_host_memory
from napari_unet.network.model import Model
from napari_unet.widgets.layers import Kind

MOST_KEPT = 2**31
"""Bytes of probabilities that are kept, of all images together: 128 images of 2048² with one class."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """An image to segment, or one plane of it.

    Parameters
    ----------
    image : array
        As its layer holds it.
    channels : {"auto", "none", "first", "last"}
        Where its channel axis is.
    plane : tuple of int, optional
        Index into all its axes but the channels, of which as many as the network does not see are used; None
        segments every plane.
    """

    image: Any
    channels: Channels
    plane: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SourceWanted:
    """It is the turn of source ``number``: the dock answers with it, or with a sentence on why there is none.

    Asked for one by one, so that no more than one image is copied at a time, and on the main thread.
    """

    number: int
    answer: "SimpleQueue[Source | str]"


@dataclass(frozen=True, slots=True)
class FilesFound:
    """The files to segment."""

    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class TilesDone:
    """A ``share`` (0 to 1) of source ``number`` is finished; ``note`` is what the user should know, or ""."""

    number: int
    share: float
    note: str


@dataclass(frozen=True, slots=True, eq=False)
class Segmented:
    """Source ``number`` is segmented.

    Parameters
    ----------
    number : int
        Index of the source.
    results : mapping of kind to array
        Objects and classes (…YX), probabilities (K, …YX), of the plane alone where one was asked for.
    plane : tuple of int
        Where that plane is in the stack; () for everything.
    shape : tuple of int
        …YX of the whole image.
    complete : bool
        Whether all tiles were finished before the stop.
    rereading : Rereading or None
        What other objects can be read from, unless none were asked for or it would be too large to keep.
    scaled : ImageScaled or None
        How the image was scaled for a starter.
    """

    number: int
    results: Mapping[Kind, NDArray[Any]]
    plane: tuple[int, ...]
    shape: tuple[int, ...]
    complete: bool
    rereading: Rereading | None
    scaled: ImageScaled | None = None


@dataclass(frozen=True)  # no slots: they would clash with those of the base class
class _KnownLimits(Normalisation):
    """The intensity limits of the stack that a plane is from: alone it would be scaled differently."""

    known: NDArray[np.float64] | None = None

    def limits(self, image: Pixels) -> NDArray[np.float64]:
        return super().limits(image) if self.known is None else self.known


def segment(
    path: Path,
    count: int,
    kinds: Sequence[Kind],
    config: PredictionConfig,
    *,
    device: str,
    keep_unfinished: bool,
    control: Control,
) -> Iterator[SourceWanted | TilesDone | Segmented | ImageFailed]:
    """Segment images one after the other; objects are found here as well, not on the main thread.

    Parameters
    ----------
    path : pathlib.Path
        Model file.
    count : int
        Number of sources; each is asked for with :class:`SourceWanted` when its turn comes.
    kinds : sequence of {"objects", "classes", "probabilities"}
        What to make of each.
    config : PredictionConfig
        Its ``channels`` are those of each source.
    device : str
        As for :func:`napari_unet.network.prediction.predict_events`.
    keep_unfinished : bool
        Whether the tiles finished before a stop are given.
    control : Control
        Polled once per tile.

    Raises
    ------
    InputError
        If the model cannot be read, or the only image does not suit it or the memory. Of several images, one
        that fails is an :class:`ImageFailed`, and the others are segmented.
    """
    # torch takes seconds to import.
    from napari_unet.files.large_prediction import fits_into_memory
    from napari_unet.files.models import load_model
    from napari_unet.network.prediction import predict_events

    model = load_model(path)
    config = replace(config, channels="first")

    def one(number: int) -> Iterator[SourceWanted | TilesDone | Segmented | ImageFailed]:
        wanted = SourceWanted(number, SimpleQueue())
        yield wanted
        source = _receive(wanted, control)
        if isinstance(source, str):
            yield ImageFailed(number, source)
        if not isinstance(source, Source):
            return
        pixels, plane, shape, suited = _read(source, model)
        if not fits_into_memory(pixels, model):
            sides = " × ".join(map(str, shape))
            raise InputError(
                f"The image of {sides} pixels is too large to be segmented in memory; do it on disk, with "
                f"the command: napari-unet predict '{path}' --images FILE --output FOLDER --format zarr"
            )
        note, scaled = "", None
        for event in predict_events(suited, pixels, config, device=device, control=control):
            if isinstance(event, ImageScaled):
                scaled, note = event, event.message
            elif isinstance(event, TileDone):
                yield TilesDone(number, event.share, note)
            elif isinstance(event, TilesHalved):
                note = event.message
            elif event.finished is None or (keep_unfinished and event.finished.any()):
                results = _results(event, kinds)
                complete = event.finished is None
                kept = _rereading(event, kinds, plane)
                yield Segmented(number, results, plane, shape, complete, kept, scaled)

    yield from one(0) if count == 1 else in_turn(one, count, control)


def _receive(wanted: SourceWanted, control: Control) -> Source | str | None:
    """Return what the dock answers, or None after a stop: a dock that was deleted never answers."""
    while not control.stopped:
        with suppress(Empty):
            return wanted.answer.get(timeout=0.05)
    return None


def segment_files(
    path: Path,
    pattern: str,
    output: Path,
    kinds: Sequence[Kind],
    config: PredictionConfig,
    *,
    device: str,
    control: Control,
) -> Iterator[FilesFound | TilesDone | FileWritten | FileSuspended | ImageFailed]:
    """Segment the files of a folder into another one.

    Parameters
    ----------
    path : pathlib.Path
        Model file.
    pattern : str
        Folder, pattern or file, as for :func:`napari_unet.files.images.expand_paths`.
    output : pathlib.Path
        Folder for the results.
    kinds, config, device, control
        As for :func:`segment`. Of a file that is not finished at a stop nothing is written.

    Raises
    ------
    InputError
        If the model cannot be read, there are no files, or the results cannot be written. One file that
        fails is an :class:`ImageFailed`.
    """
    from napari_unet.files.models import load_model

    plan = FilesPlan(
        tuple(expand_paths([pattern], results=False)), output, cast("tuple[FileKind, ...]", tuple(kinds))
    )
    yield FilesFound(plan.paths)
    note = ""
    for event in predict_files(load_model(path), plan, config, device=device, control=control):
        if not isinstance(event, FileAdvanced):
            note = ""
            yield event
        elif isinstance(event.event, ImageScaled | TilesHalved):
            note = event.event.message
        else:
            yield TilesDone(event.number, event.share, note)


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """An image file as a layer shows it (channels last if ``rgb``), and its results by kind."""

    name: str
    image: NDArray[Any]
    rgb: bool
    results: Mapping[Kind, NDArray[Any]]


def open_results(path: Path, outputs: Mapping[FileKind, Path]) -> Iterator[Opened]:
    """Read an image file and the results that were written of it.

    Raises
    ------
    InputError
        If one of them cannot be read.
    """
    image = open_image(path) if is_zarr(path) else read_image(path)
    pixels = _in_memory(path, image.pixels)
    # Channels come first; three of 8 bits are colours, which a layer has last.
    rgb = image.channels == "first" and pixels.shape[0] == 3 and pixels.dtype == np.uint8
    if rgb:
        pixels = np.moveaxis(pixels, 0, -1)
    results: dict[Kind, NDArray[Any]] = {}
    for kind, target in outputs.items():
        result = open_image(target) if is_zarr(target) else read_image(target)
        results[kind] = _in_memory(target, result.pixels)
    yield Opened(stem(path), pixels, rgb, results)


def _in_memory(path: Path, pixels: Any) -> NDArray[Any]:
    if prod(pixels.shape) * pixels.dtype.itemsize > free_host_memory() / 2:
        raise InputError(f"{path} is too large to be opened here; open it with File > Open, piece by piece.")
    return np.asarray(pixels)


def _read(source: Source, model: Model) -> tuple[Pixels, tuple[int, ...], tuple[int, ...], Model]:
    """Return the pixels (C, …YX) to segment, their plane, the shape …YX of the image, the model."""
    ndim = model.network.ndim
    pixels = channels_first(
        source.image,
        ndim=ndim,
        channels=source.channels,
        in_channels=None if model.is_starter else model.network.in_channels,
    )
    shape: tuple[int, ...] = pixels.shape[1:]
    plane: tuple[int, ...] = ()
    if source.plane is not None and len(shape) > ndim:
        plane = source.plane[: len(shape) - ndim]
        model = replace(
            model,
            normalisation=_KnownLimits(
                **asdict(model.normalisation), known=model.normalisation.limits(pixels)
            ),
        )
        where: tuple[Any, ...] = (slice(None), *plane)
        pixels = pixels[where]
    return pixels, plane, shape, model


def _results(event: Predicted, kinds: Sequence[Kind]) -> dict[Kind, NDArray[Any]]:
    results: dict[Kind, NDArray[Any]] = {kind: getattr(event.prediction, kind) for kind in kinds}
    if event.finished is not None and "classes" in results:
        # Nobody looked at these pixels: neither background nor anything else.
        results["classes"][~event.finished] = 0
    return results


def _rereading(event: Predicted, kinds: Sequence[Kind], plane: tuple[int, ...]) -> Rereading | None:
    foreground = event.prediction.probabilities[1:]
    if "objects" not in kinds or foreground.nbytes > MOST_KEPT:
        return None
    if "probabilities" not in kinds:
        foreground = foreground.copy()  # those of the background, which nobody needs, shall go
    return Rereading.of(foreground, event.prediction.ndim, plane)


def resolve_channels(
    shape: tuple[int, ...], *, channels: Channels, ndim: int, in_channels: int | None
) -> Channels:
    """Return where an image of this shape has its channels for a model, "auto" resolved, without its pixels.

    Raises
    ------
    InputError
        If the image does not suit the model.
    """
    pixels = np.broadcast_to(np.uint8(0), shape)

    def read(where: Channels) -> tuple[int, ...] | None:
        try:
            return channels_first(pixels, ndim=ndim, channels=where, in_channels=in_channels).shape
        except InputError:
            return None

    result = channels_first(pixels, ndim=ndim, channels=channels, in_channels=in_channels).shape
    every: tuple[Channels, ...] = ("none", "first", "last")
    return channels if channels != "auto" else next(where for where in every if read(where) == result)

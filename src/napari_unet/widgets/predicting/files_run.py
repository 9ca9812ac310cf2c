"""What the Predict dock computes for files in its worker thread: files in, files out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.core.objects.prediction import PredictionKind
from napari_unet.files.pixels.finding import expand_paths
from napari_unet.files.pixels.images import stem
from napari_unet.files.pixels.sources import load_image
from napari_unet.files.results.predicted_files import (
    FileAdvanced,
    FileNoted,
    FilesPlan,
    FileSuspended,
    FileWritten,
    predict_files,
)
from napari_unet.network.config import PredictionConfig
from napari_unet.network.events import ImageScaled, TilesHalved
from napari_unet.network.in_turn import ImageFailed
from napari_unet.network.memory import free_host_memory
from napari_unet.widgets.bridge.marks import RESULTS
from napari_unet.widgets.bridge.seen_axes import axes_of_file
from napari_unet.widgets.predicting.prediction_run import TilesDone


@dataclass(frozen=True, slots=True)
class FilesWanted:
    """Which files to segment: a folder, pattern or file, as for ``expand_paths``, and what to write of them.

    ``kinds`` and ``outlines`` in the folder ``output`` are as for ``FilesPlan``.
    """

    pattern: str
    output: Path
    kinds: Sequence[PredictionKind]
    outlines: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class FilesFound:
    """The files to segment."""

    paths: tuple[Path, ...]


def segment_files(
    path: Path,
    wanted: FilesWanted,
    config: PredictionConfig,
    *,
    device: str,
    control: Control,
) -> Iterator[FilesFound | TilesDone | FileWritten | FileSuspended | ImageFailed]:
    """Segment the files of a folder into another one.

    After a stop, nothing is written for an unfinished file. ``InputError`` if the model ``path`` cannot be
    read, there are no files, or the results cannot be written; a single file that fails yields an
    :class:`ImageFailed`. The rest is as for :func:`segment`.
    """
    from napari_unet.files.networks.models import load_model

    paths = tuple(expand_paths([wanted.pattern], results=False))
    plan = FilesPlan(paths, wanted.output, tuple(wanted.kinds), outlines=tuple(wanted.outlines))
    yield FilesFound(plan.paths)
    note = ""
    for event in predict_files(load_model(path), plan, config, device=device, control=control):
        if isinstance(event, FileNoted):
            note = event.message
        elif not isinstance(event, FileAdvanced):
            yield event
            if isinstance(event, FileWritten) and len(event.outlines) < len(plan.outlines):
                yield ImageFailed(event.number, note)  # for the list at the end
            note = ""
        elif isinstance(event.event, ImageScaled | TilesHalved):
            note = event.event.message
        else:
            yield TilesDone(event.number, event.share, note)


@dataclass(frozen=True, slots=True, eq=False)
class OpenedFile:
    """An image file as a layer shows it (channels last if ``rgb``), and its results by kind.

    ``metadata`` for the layer says what the file says of its axes, and where its results are.
    """

    name: str
    image: NDArray[Any]
    rgb: bool
    metadata: Mapping[str, Any]
    results: Mapping[PredictionKind, NDArray[Any]]


def read_results(path: Path, outputs: Mapping[PredictionKind, Path]) -> OpenedFile:
    """Read an image file and the results written for it; ``InputError`` if one of them cannot be read."""
    image = load_image(path)
    pixels = in_memory(path, image.pixels)
    # Channels come first; three of 8 bits are colours, and a layer has these last.
    rgb = image.channels == "first" and pixels.shape[0] == 3 and pixels.dtype == np.uint8
    if rgb:
        pixels = np.moveaxis(pixels, 0, -1)
    results: dict[PredictionKind, NDArray[Any]] = {}
    for kind, target in outputs.items():
        found = in_memory(target, load_image(target).pixels)
        results[kind] = (
            found.astype(np.int32) if kind == "objects" else found
        )  # room for more than the file has
    metadata = {RESULTS: dict(outputs), **axes_of_file(image, pixels.shape, rgb=rgb)}
    return OpenedFile(stem(path), pixels, rgb, metadata, results)


def in_memory(path: Path, pixels: Any) -> NDArray[Any]:
    """Return the pixels of the file ``path``; ``InputError`` if they are too large for that."""
    if prod(pixels.shape) * pixels.dtype.itemsize > free_host_memory() / 2:
        raise InputError(f"{path} is too large to be opened here; open it with File > Open, piece by piece.")
    return np.asarray(pixels)

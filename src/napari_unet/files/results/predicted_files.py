"""Segment image files into a folder, one after the other; used by docks and command line."""

import itertools
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from napari_unet.core.arrays.axes import channel_doubt, narrow_doubt
from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.core.objects.prediction import PredictionKind
from napari_unet.files.atomic import check_writable
from napari_unet.files.networks.models import model_digest
from napari_unet.files.pixels.finding import result_name
from napari_unet.files.pixels.images import (
    SOFTWARE,
    check_replaceable,
    is_zarr,
    maker_of,
    read_image,
    write_image,
    write_labels,
)
from napari_unet.files.pixels.pixel_size import common_pixel_size
from napari_unet.files.pixels.sources import open_image
from napari_unet.files.pixels.stored_image import StoredImage
from napari_unet.files.pixels.tiff_pages import is_tiff
from napari_unet.files.results.cluster import Cluster, OnCluster
from napari_unet.files.results.large_prediction import (
    Stored,
    StoredEvent,
    StoredStep,
    fits_into_memory,
    predict_to_zarr,
    share_done,
)
from napari_unet.files.results.outline_files import OUTLINES, write_outlines
from napari_unet.files.results.recipe import are_made, made_apart, recipe_in_memory
from napari_unet.network.config import PredictionConfig
from napari_unet.network.events import Predicted, PredictionEvent
from napari_unet.network.in_turn import ImageFailed, in_turn
from napari_unet.network.memory import free_host_memory
from napari_unet.network.model import Model

Format = Literal["auto", "tiff", "zarr"]
"""Format of results: "auto" is TIFF, but zarr for zarr images and those that do not fit into memory."""


@dataclass(frozen=True, slots=True, eq=False)
class FileAdvanced:
    """An event while file ``number`` is segmented; ``share``, 0 to 1, is the part that is done."""

    number: int
    share: float
    event: StoredStep


@dataclass(frozen=True, slots=True)
class FileWritten:
    """The results of file ``number`` are written; ``outputs`` are their paths by kind.

    ``was_there`` if an earlier run has written them, except the outlines. ``apart`` are other results of the
    image beside them: by another model or release, with other settings, or in another format.
    """

    number: int
    outputs: Mapping[PredictionKind, Path]
    outlines: Sequence[Path] = ()
    was_there: bool = False
    apart: Sequence[Path] = ()


@dataclass(frozen=True, slots=True)
class FileSuspended:
    """File ``number`` was stopped half-way: finished parts are on disk, where the same run continues."""

    number: int


@dataclass(frozen=True, slots=True)
class FileNoted:
    """A sentence about file ``number``, such as on further images in it, before the first is segmented."""

    number: int
    message: str


_PER_PIXEL = 50
"""Bytes for each pixel of a plane, at most, while its objects are outlined."""

FileEvent = FileAdvanced | FileWritten | FileSuspended | FileNoted | ImageFailed


@dataclass(frozen=True, slots=True)
class FilesPlan:
    """Image files, and the kinds, folder and format of their results.

    Results are named after ``names``, one for each file; by default after the files. ``outlines`` are the
    endings of further files with the outlines of the objects, which are then a kind. Results that are there
    already, of the same image, model and settings, are kept, except to ``redo`` them. ``InputError`` if two
    images would have the same result, a result would replace or lie in an image, or the folder cannot be
    written to; or if the results of every image would replace something other than earlier results.
    """

    paths: tuple[Path, ...]
    output: Path
    kinds: tuple[PredictionKind, ...]
    file_format: Format = "auto"
    names: tuple[str, ...] = ()
    outlines: tuple[str, ...] = ()
    redo: bool = False

    def __post_init__(self) -> None:
        seen: dict[str, Path] = {}
        for number, path in enumerate(self.paths):
            name = _on_disk(self.name(number))
            if name in seen:
                raise InputError(
                    f"{seen[name]} and {path} would have results of the same name; rename one, or give files "
                    'from one folder only, or of one type, such as "*.tif".'
                )
            seen[name] = path
        folder = Path(os.path.realpath(self.output))
        if any(map(is_zarr, (folder, *folder.parents))):
            raise InputError(
                f"The folder for the results, {self.output}, is part of an image in zarr; choose another one."
            )
        images = set(map(os.path.realpath, self.paths))
        numbers = range(len(self.paths))
        for target in itertools.chain.from_iterable(map(self._targets, numbers)):
            if os.path.realpath(target) in images:
                raise InputError(
                    f"A result would replace the image {target}; choose another folder for the results."
                )
        refused: InputError | None = None
        for number in numbers:
            try:
                self.check_free(number)
            except InputError as error:
                refused = refused or error
            else:
                check_writable(self.target(number, self.kinds[0]))
                return
        if refused is not None:
            raise refused

    def check_free(self, number: int) -> None:
        """Raise InputError if a result of a file would replace something other than an earlier result."""
        for target in self._targets(number):
            check_replaceable(target)

    def name(self, number: int) -> str:
        """Return what the results of a file are named after."""
        return self.names[number] if self.names else result_name(self.paths[number])

    def target(self, number: int, kind: PredictionKind, ending: str = ".tif") -> Path:
        """Return where a result of a file goes."""
        return self.output / f"{self.name(number)}_{kind}{ending}"

    def outline_targets(self, number: int) -> list[Path]:
        """Return where the outlines of a file go."""
        return [self.target(number, "objects", ending) for ending in self.outlines]

    def results(self, number: int, kinds: Sequence[PredictionKind]) -> list[Path]:
        """Return where results of these kinds go, in either format."""
        return [self.target(number, kind, ending) for kind in kinds for ending in (".tif", ".zarr")]

    def _targets(self, number: int) -> list[Path]:
        return self.results(number, self.kinds) + self.outline_targets(number)


def predict_files(
    model: Model,
    plan: FilesPlan,
    config: PredictionConfig,
    *,
    device: str = "auto",
    control: Control | None = None,
    cluster: Cluster | None = None,
) -> Iterator[FileEvent]:
    """Segment image files and write each as soon as it is finished; memory holds one image at a time.

    If a file fails, the others are still segmented. A stop is checked for at every tile, and an unfinished
    image gets no result. ``channels`` "auto" takes the channel axis that a file names, if it does. A cluster
    segments the tiles of all images to zarr. ``InputError`` at once if there is no such device, or it does
    not compute in that precision; if an object size is given for a model without one; or if the format is
    TIFF and a cluster is given. Also raised when the disk is full, which ends the run.
    """
    from napari_unet.network.prediction import predict_events

    _check_for_all(model, plan, config, device=device, has_cluster=cluster is not None)
    control = Control() if control is None else control
    told = list[int]()  # the file for which it was noted that it is grey
    digest = model_digest(model)

    def one(number: int) -> Iterator[FileEvent]:
        path = plan.paths[number]
        plan.check_free(number)
        image, is_stored = _open(path, model, plan.file_format, is_on_cluster=cluster is not None)
        how = config
        if config.channels == "auto":
            how = replace(config, channels=image.channels_for(model.network.in_channels))
        targets, recipe = {kind: plan.target(number, kind) for kind in plan.kinds}, ""
        if not is_stored:
            recipe = recipe_in_memory(model, digest, image, how)
            if not plan.redo and are_made(targets.values(), recipe):
                yield from _finish(plan, number, targets, was_there=True)
                return
        check_writable(targets[plan.kinds[0]])  # before the work: the disk may have been taken off
        for sentence in _to_be_told(path, image, how, model):
            yield FileNoted(number, sentence)
        events: Iterator[StoredEvent | PredictionEvent] = (
            predict_to_zarr(
                model,
                image.pixels,
                plan.output,
                plan.name(number),
                how,
                kinds=plan.kinds,
                axes=image.result_axes,
                pixel_size=image.pixel_size,
                device=device,
                control=control,
                cluster=None if cluster is None else OnCluster(cluster, path),
                redo=plan.redo,
            )
            if is_stored
            else predict_events(
                model,
                image.pixels,
                how,
                device=device,
                pixel_size=common_pixel_size([image.pixel_size], model.network.ndim),
                control=control,
                kinds=plan.kinds,
            )
        )
        takes_one = not model.is_starter and model.network.in_channels == 1
        is_grey = takes_one and how.channels == "first" and len(image.pixels) > 1  # or no event comes
        share = 0.0
        for event in events:
            if is_grey and not told:
                told.append(number)
                yield FileNoted(
                    number,
                    f"{path} is grey but was saved in colour; one of its equal channels is used, "
                    "here and in similar images.",
                )
            if isinstance(event, Stored):
                if event.finished:
                    yield from _finish(plan, number, event.outputs, was_there=event.was_there)
                else:
                    yield FileSuspended(number)
            elif isinstance(event, Predicted):
                if event.finished is None:
                    _write(event, image, targets, recipe)
                    yield from _finish(plan, number, targets)
            else:
                known = share_done(event) if is_stored else getattr(event, "share", None)
                share = share if known is None else known
                yield FileAdvanced(number, share, event)

    return in_turn(one, len(plan.paths), control)


def _check_for_all(
    model: Model, plan: FilesPlan, config: PredictionConfig, *, device: str, has_cluster: bool
) -> None:
    """Raise ``InputError`` once, not for every image, if nothing can be segmented so."""
    from napari_unet.network.device import choose_device, choose_precision
    from napari_unet.network.tiles.scaling import check_object_size

    check_object_size(model, config)
    if not has_cluster:
        choose_precision(choose_device(device), config.precision)
    elif plan.file_format == "tiff":
        raise InputError(
            "A cluster writes zarr, but the format asked for is TIFF; leave out the format or the cluster."
        )


def _on_disk(name: str) -> str:
    """Return ``name`` as file systems compare it: on Windows and macOS, most take A.tif for a.tif."""
    return name.casefold() if sys.platform in ("win32", "darwin") else name


def _to_be_told(path: Path, image: StoredImage, config: PredictionConfig, model: Model) -> Iterator[str]:
    """Yield sentences about parts of a file that are not read, and planes that may be channels."""
    yield from filter(None, (image.left_out, image.time_as_planes(path, model.network.ndim)))
    if config.channels == "auto" and (model.is_starter or model.network.in_channels == 1):
        axis, shape = image.axes[-3:-2].replace("Q", ""), tuple(image.pixels.shape)
        middle, last = (
            f"set prediction.channels={where}" + ("" if model.is_starter else ", and train a model so")
            for where in ("middle", "last")
        )
        doubts = channel_doubt(str(path), shape, axis, middle), narrow_doubt(str(path), shape, last)
        yield from filter(None, doubts)


def _open(path: Path, model: Model, file_format: Format, *, is_on_cluster: bool) -> tuple[StoredImage, bool]:
    """Open an image, or read it completely if necessary or faster.

    Returns also whether it is segmented block by block to zarr, if asked for or necessary.
    """
    if is_zarr(path) or is_on_cluster:
        return open_image(path), is_on_cluster or file_format != "tiff"
    is_paged = is_tiff(path)
    if file_format != "auto":
        is_stored = file_format == "zarr"
        return open_image(path) if is_stored and is_paged else read_image(path), is_stored
    image, network = open_image(path) if is_paged else read_image(path), model.network
    if not fits_into_memory(image.pixels, classes=network.classes, in_channels=network.in_channels):
        return image, True
    return read_image(path) if is_paged else image, False


def _finish(
    plan: FilesPlan, number: int, outputs: Mapping[PredictionKind, Path], *, was_there: bool = False
) -> Iterator[FileNoted | FileWritten]:
    """Write the outlines of objects that are on disk, plane by plane, if they are asked for.

    Those of an earlier run are replaced in any case: they may be of other objects. Other results are left.
    """
    targets = plan.outline_targets(number)
    if "objects" in outputs:
        earlier = (plan.target(number, "objects", ending) for ending in OUTLINES.values())
        targets += [path for path in earlier if path not in targets and maker_of(path) == SOFTWARE]
    if targets:
        path = outputs["objects"]
        objects = open_image(path)
        if math.prod(objects.pixels.shape[-2:]) * _PER_PIXEL > free_host_memory():
            yield FileNoted(
                number,
                f"The outlines of {path} are not written, because its planes are too large for the memory; "
                "crop the image, or use a computer with more memory.",
            )
            targets = []
    for target in targets:
        write_outlines(target, objects.pixels, objects.axes)
    apart = made_apart(plan.results(number, get_args(PredictionKind)), outputs.values())
    yield FileWritten(number, outputs, targets, was_there, apart)


def _write(event: Predicted, image: StoredImage, outputs: Mapping[PredictionKind, Path], recipe: str) -> None:
    prediction, axes = event.prediction, image.axes.replace("C", "")
    if len(axes) != prediction.probabilities.ndim - 1:
        axes = ""
    for kind, target in outputs.items():
        with_channels = "C" + axes if axes and kind == "probabilities" else axes
        write = write_labels if kind == "objects" else write_image
        pixels, letters = image.as_in_file(getattr(prediction, kind), with_channels)
        write(target, pixels, letters, image.pixel_size, recipe=recipe)

"""The work of ``napari-unet train``: what it starts from, and where the model goes: a file or a project."""

import contextlib
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.console import (
    TrainingReport,
    listed,
    note,
    progress_bar,
    report_saved,
    signals_stop,
)
from napari_unet.core.annotation import FIRST_OBJECT
from napari_unet.core.arrays.axes import channel_doubt
from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.core.painted.advice import painted_twice
from napari_unet.core.painted.label_images import may_be_labels, may_be_mask, paint_of_labels
from napari_unet.core.painted.object_distance import Full
from napari_unet.core.painted.regions import complete_everywhere
from napari_unet.files.atomic import check_writable, file_to_write
from napari_unet.files.networks.container import NotOursError
from napari_unet.files.networks.models import load_model, model_path, read_info
from napari_unet.files.networks.starters import find_model, is_starter, starter_names
from napari_unet.files.networks.states import load_to_continue
from napari_unet.files.pixels.finding import LABEL_ENDINGS, expand_paths, pair_by_stem
from napari_unet.files.pixels.pixel_size import PixelSize, relative_spacing
from napari_unet.files.pixels.sources import load_image, load_labels
from napari_unet.files.pixels.stored_image import StoredImage
from napari_unet.files.projects.project import MODELS, project_folder, read_project
from napari_unet.files.projects.project_lock import FILE as LOCK
from napari_unet.files.projects.project_lock import open_where
from napari_unet.files.projects.project_reading import load_project
from napari_unet.files.projects.project_store import ProjectStore

if TYPE_CHECKING:
    from napari_unet.files.networks.training_file import TrainingFile
    from napari_unet.network.config import TrainingConfig
    from napari_unet.network.learning.state import TrainingState
    from napari_unet.network.model import Model

_BEAT_S = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class Painted:
    """Images with their paint; those beyond the length of ``full`` are only for scoring.

    For the others, ``full`` says which objects are filled to their border; ``names`` and ``colours_first``
    are as for ``train_events``. ``settings`` belong to the paint; another spacing may be given.
    """

    images: Sequence[Any]
    paints: Sequence[Any]
    full: Sequence[Full]
    names: Sequence[str]
    pixel_sizes: Sequence[PixelSize | None]
    settings: Mapping[str, Any] = field(default_factory=dict)
    colours_first: Sequence[bool] = ()


def painted_files(
    images: Sequence[str],
    paint: Sequence[str],
    validation: Sequence[str],
    ndim: int,
    *,
    full: bool,
    complete: bool,
    labels: bool,
) -> Callable[[], Painted]:
    """Find images and their paint by name, and return a function that reads them.

    ``ndim`` is the number of axes that the network sees. With ``labels``, the paint is label images, which
    may lie beside the images and be named like earlier results.
    """
    scored, taught = expand_paths(validation, results=not labels), expand_paths(paint)
    others = set(map(os.path.realpath, [*scored, *taught] if labels else scored))
    learnt = expand_paths(images, results=not labels)
    learnt = [path for path in learnt if os.path.realpath(path) not in others]
    pairs, unpainted = pair_by_stem([*learnt, *scored], taught, endings=LABEL_ENDINGS if labels else ())
    pairs.sort(key=lambda pair: pair[0] in scored)
    first_scored = sum(pair[0] not in scored for pair in pairs)
    if scored and first_scored == len(pairs):
        raise InputError(f"There is no paint of {listed(scored)} to score on; give paint of that name.")
    if first_scored == 0:
        raise InputError("Every painted image is for scoring alone; give at least one more to learn from.")
    if unpainted:
        note(f"Left out, as no paint was found: {listed(unpainted)}.")

    def read() -> Painted:
        given = [load_labels(path) for _, path in pairs]
        stored = [load_image(path) for path, _ in pairs]
        paints = [_laid_on(image, own) for own, image in zip(given, stored, strict=True)]
        names = [path for _, path in pairs]
        _tell_of_masks(names, paints, least=1 if labels else FIRST_OBJECT)
        if labels:
            paints = [_paint_of(path, pixels) for path, pixels in zip(names, paints, strict=True)]
        else:
            _tell_of_labels(names, paints)
        if complete:
            paints = [complete_everywhere(pixels) for pixels in paints]
        for (path, _), image, painted in zip(pairs, stored, paints, strict=True):
            _tell_of_channels(path, image, painted.shape)
            for sentence in filter(None, (image.left_out, image.time_as_planes(path, ndim))):
                note(sentence)
        spacing = _common_spacing([image.spacing(ndim) for image in stored])
        if spacing is not None:
            lengths = " x ".join(f"{length:g}" for length in spacing)
            note(f"Border widths follow the shape of the pixels, which the files say is {lengths}.")
        return Painted(
            [image.pixels for image in stored],
            paints,
            [full] * first_scored,
            [str(path) for path, _ in pairs],
            [image.pixel_size for image in stored],
            {} if spacing is None else {"spacing": spacing},
            ["C" in image.axes for image in stored],
        )

    return read


def _laid_on(image: StoredImage, paint: StoredImage) -> NDArray[Any]:
    """Return the pixels of paint with the axes of its image; programs leave out axes of length 1."""
    laid = paint.laid_as(image)
    pixels, shape = np.asarray(laid.pixels), tuple(image.pixels.shape)["C" in image.axes :]
    is_same = image.axes and np.squeeze(pixels).shape == tuple(length for length in shape if length > 1)
    return pixels.reshape(shape) if is_same else pixels


def _paint_of(path: Path, labels: NDArray[Any]) -> NDArray[Any]:
    try:
        return paint_of_labels(labels)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _tell_of_labels(paths: Sequence[Path], paints: Sequence[NDArray[Any]]) -> None:
    """Warn if 1 may not mean background in some paint, which would be learnt silently."""
    suspects = [path for path, pixels in zip(paths, paints, strict=True) if may_be_labels(pixels)]
    if suspects:
        note(
            f"The value 1 is background in paint, and in {listed(suspects)} it looks like one of the "
            "objects; if these are label images, in which 0 is background, add --labels."
        )


def _tell_of_masks(paths: Sequence[Path], labels: Sequence[NDArray[Any]], *, least: int) -> None:
    """Warn if separate objects have the same value, which makes them one object."""
    suspects = [path for path, pixels in zip(paths, labels, strict=True) if may_be_mask(pixels, least)]
    if suspects:
        note(
            f"Everything labelled in {listed(suspects)} has one value, as in a mask; unless it is a class, "
            "number its connected components first, in Fiji by Analyze Particles with Show: Count Masks."
        )


def _tell_of_channels(path: Path, image: StoredImage, painted: tuple[int, ...]) -> None:
    """Warn if possible channels are taken for planes, because paint of this shape has that axis, too."""
    shape = tuple(image.pixels.shape)
    if painted != shape:
        return
    if "C" in image.axes:
        doubt = (
            f"{path} has {shape[0]} channels, which are taken for grey planes, as its paint has that axis, "
            "too; to learn from them together, give paint without it."
        )
    else:
        axis = image.axes[-3:-2].replace("Q", "")
        doubt = channel_doubt(str(path), shape, axis, "give paint without that axis")
    if doubt:
        note(doubt)


def _common_spacing(spacings: Sequence[tuple[float, ...] | None]) -> tuple[float, ...] | None:
    """Return the shape of the pixels of the first image, and warn if those of others differ."""
    if len(set(spacings)) > 1:
        note(
            "The pixels of these images differ in shape, and distances are counted as in the first; "
            "train on them one after the other, or set training.spacing."
        )
    return spacings[0]


def painted_project(folder: Path, validation: Sequence[str], ndim: int) -> Painted:
    """Read all painted images of a project; those named in ``validation`` are only for scoring.

    ``ndim`` is the number of axes that the network sees.
    """
    project = load_project(folder)
    for sentence in project.sentences:
        note(sentence)
    unknown = set(validation).difference(project.names)
    if unknown:
        raise InputError(
            f"The project {folder} has no painted image {min(unknown)!r} to score on; it has "
            f"{', '.join(project.names)}."
        )
    order = sorted(range(len(project.names)), key=lambda number: project.names[number] in validation)
    scored = sum(name in validation for name in project.names)
    if scored == len(order):
        raise InputError("Every painted image is for scoring alone; leave one to learn from.")
    placed = [(project.names[number], project.places[number], project.paints[number]) for number in order]
    for sentence in painted_twice(placed, len(order) - scored):
        note(sentence)
    return Painted(
        [project.images[number] for number in order],
        [project.paints[number] for number in order],
        [project.full[number] for number in order[: len(order) - scored]],
        [project.names[number] for number in order],
        [project.pixel_sizes[number] for number in order],
        {
            "mode": project.mode,
            "channels": project.channels,
            "spacing": _common_spacing([relative_spacing(project.sizes[number][-ndim:]) for number in order]),
        },
    )


class Destination:
    """Where a model is saved; a project is locked by this process until then."""

    def __init__(self, path: Path, store: ProjectStore | None = None) -> None:
        self.path = path
        self._store = store
        self._next_beat = 0.0

    def beat(self) -> None:
        """Show other computers that the project is still being written; call it often."""
        if self._store is not None and time.monotonic() > self._next_beat:
            self._next_beat = time.monotonic() + _BEAT_S
            with contextlib.suppress(InputError):  # reported when the model is saved
                self._store.beat()

    def note_saved(self, path: Path) -> None:
        """Make this the model that the project offers first."""
        if self._store is not None:
            self._store.note_model(path.name)


@contextmanager
def destination(output: str | None, project: Path | None) -> Iterator[Destination]:
    """Yield where the model goes: to ``output``, or else into the project.

    ``InputError`` if nothing can be written there, something other than a model would be replaced, or a
    window has the project.
    """
    if output is not None:
        file = file_to_write(output)
        _check_free(file)
        check_writable(file)
        yield Destination(file)
        return
    if project is None:
        raise InputError("There is nowhere to save the model; give --output MODEL.safetensors.")
    folder = project_folder(project)
    read_project(folder)  # a missing one is not made
    path = model_path(folder / MODELS, folder.resolve().name, datetime.now().astimezone())
    try:
        if not open_where(folder):  # else the error says so
            for written in (folder / LOCK, path):
                check_writable(written)
    except InputError as error:
        raise InputError(
            f"The project {project} cannot be written; save the model elsewhere, with --output "
            "MODEL.safetensors."
        ) from error
    store = ProjectStore.open(folder, of_command=True)
    try:
        yield Destination(path, store)
    finally:
        store.close()


def _check_free(output: Path) -> None:
    """Raise ``InputError`` if another kind of file would be replaced, or the name is that of a starter."""
    if str(output) in starter_names():
        raise InputError(
            f"{output} is the name of a starter; choose another, such as {output}-2.safetensors."
        )
    if not output.is_file() or output.stat().st_size == 0:
        return
    try:
        read_info(output)
    except NotOursError as error:
        raise InputError(f"{output} already exists and is not a model; choose another name.") from error
    except InputError:  # a damaged model, or one from a later release
        pass


Start = tuple["Model | None", "TrainingState | None"]
"""The model to start from, and the state that continues its training; each may be None."""


def starting_point(name: str, *, fresh_optimiser: bool) -> Start:
    """Return what a training starts from, as given on the command line."""
    if name == "scratch":
        return None, None
    path = find_model(name)
    if fresh_optimiser and not is_starter(path):
        return load_model(path), None
    model, state, sentence = load_to_continue(path)
    if sentence:
        note(sentence)
    return model, state


def run_training(
    painted: Painted,
    config: "TrainingConfig",
    start: Start,
    place: Destination,
    *,
    device: str,
    state: bool,
    as_json: bool,
) -> int:
    """Train, print progress, save the model (and its state if ``state``), and return the exit code."""
    from napari_unet.files.networks.training_file import CHECKPOINT_S, TrainingFile
    from napari_unet.network.events import Checkpoint, Stopped
    from napari_unet.network.learning.training_loop import DEFAULT_SECONDS
    from napari_unet.network.training import train_events

    model, resume = start
    settings = {"spacing": model and model.training.spacing, **painted.settings}
    if config.spacing is not None:
        settings["spacing"] = config.spacing
    config = replace(config, **settings)
    is_endless = config.steps is None and config.patience is None
    seconds = config.seconds or (DEFAULT_SECONDS if is_endless else math.inf)
    learnt = len(painted.full)
    control = Control()
    events = train_events(
        painted.images[:learnt],
        painted.paints[:learnt],
        config,
        start=model,
        resume=resume,
        validation=(painted.images[learnt:], painted.paints[learnt:]),
        full=painted.full if config.mode == "objects" else None,
        names=painted.names,
        colours_first=painted.colours_first,
        device=device,
        control=control,
        checkpoint_s=CHECKPOINT_S,
    )
    report = TrainingReport(seconds, config.steps or math.inf, as_json=as_json)
    stopped: Stopped | None = None
    file = TrainingFile(place.path, painted.pixel_sizes)
    with signals_stop(control) as signals:
        try:
            with progress_bar("Training") as progress:
                for event in events:
                    place.beat()
                    if isinstance(event, Checkpoint):
                        for sentence in file.save_checkpoint(event, state=state):
                            note(sentence)
                    elif isinstance(event, Stopped):
                        _save(file, event.model)  # at once: an error may follow
                        stopped = event
                        if state:
                            file.save_state(event)
                        place.note_saved(file.path)
                    else:
                        try:
                            report.show(event, progress)
                        except OSError:  # the reader is gone, as after "| head"
                            control.stop()
        finally:
            if stopped is not None:
                report_saved(stopped, file.path, as_json)
    return 128 + signals[0] if signals else 0


def _save(file: "TrainingFile", model: "Model") -> None:
    """Save a model, as a temporary file if its own folder has no space: it may have taken hours."""
    try:
        file.save_model(model)
    except InputError as error:
        file.path = model_path(Path(tempfile.gettempdir()), file.path.stem, datetime.now().astimezone())
        try:
            file.save_model(model)
        except InputError:
            raise error from error.__cause__
        raise InputError(f"{error} The model is in {file.path} meanwhile.") from error

"""The work of ``napari-unet predict``: segment images one after the other, to TIFF or zarr."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast, get_args

from napari_unet.console import (
    Progress,
    listed,
    note,
    print_json,
    progress_bar,
    report_table,
    report_written,
    signals_stop,
)
from napari_unet.core.arrays.axes import EXPLICIT_CHANNELS
from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.core.objects.prediction import PredictionKind
from napari_unet.files.pixels.finding import expand_paths, not_read
from napari_unet.files.pixels.images import SUFFIXES
from napari_unet.files.projects.project import MODELS, project_folder, read_project
from napari_unet.files.projects.project_reading import find_image
from napari_unet.files.results.cluster import Cluster
from napari_unet.files.results.large_prediction import ObjectsFound, StoredStep
from napari_unet.files.results.measured_files import (
    MEASURED,
    Finished,
    TableOfFiles,
    check_object_table,
    measure_file,
)
from napari_unet.files.results.outline_files import outline_endings
from napari_unet.files.results.predicted_files import (
    FileAdvanced,
    FileEvent,
    FileNoted,
    FilesPlan,
    FileSuspended,
    FileWritten,
    Format,
    predict_files,
)
from napari_unet.network.config import PredictionConfig
from napari_unet.network.events import ImageScaled, TileDone, TilesHalved, TileStored
from napari_unet.network.failures import sentence
from napari_unet.network.in_turn import ImageFailed
from napari_unet.network.model import Model

_CHANNELS = f"prediction.channels={'|'.join(EXPLICIT_CHANNELS)}"

_KINDS, _FORMATS = get_args(PredictionKind), get_args(Format)


def check_kinds(
    kinds: Sequence[str], table: Path | None, outlines: Sequence[str]
) -> tuple[PredictionKind, ...]:
    """Return the kinds of results.

    ``InputError`` if one is unknown, or the table, or outlines for these programs, cannot be made of them.
    """
    unknown = [kind for kind in kinds if kind not in _KINDS]
    if unknown:
        raise InputError(f"--what is {unknown[0]!r}; choose from {', '.join(_KINDS)}.")
    if table is not None:
        if not set(kinds) & set(MEASURED):
            raise InputError("A table is of objects or classes; add one of these to --what.")
        check_object_table(table)
    if outline_endings(outlines) and "objects" not in kinds:
        raise InputError("--outlines are those of objects; add objects to --what.")
    return cast("tuple[PredictionKind, ...]", tuple(kinds))


def plan_work(
    images: Sequence[str],
    project: Path | None,
    output: Path,
    kinds: tuple[PredictionKind, ...],
    file_format: str,
    *,
    outlines: Sequence[str],
    redo: bool,
) -> tuple[FilesPlan, list[str]]:
    """Find the images, by paths or in a project, and check that the results can be written.

    Results of a project are named after the keys of its images. ``outlines`` are the programs for which those
    of objects are written; ``redo`` is as for ``FilesPlan``. Returns the plan, and sentences on images that
    cannot be segmented.
    """
    if file_format not in _FORMATS:
        raise InputError(f"--format is {file_format!r}; choose from {', '.join(_FORMATS)}.")
    if output.suffix.lower() in (*SUFFIXES, ".zarr") and not output.is_dir():
        raise InputError(f"{output} would be a folder of that name; give the folder for the results.")
    if project is None:
        paths, names, missing = tuple(expand_paths(images, results=False)), tuple[str, ...](), list[str]()
        if others := not_read(images, paths):
            note(f"Left out, as it cannot be read here: {listed(others)}; save it as TIFF, as Fiji does.")
    else:
        paths, names, missing = _files_of(project_folder(project))
    endings = outline_endings(outlines)
    return FilesPlan(paths, output, kinds, cast("Format", file_format), names, endings, redo), missing


def last_model(project: Path | None) -> Path:
    """Return the last trained model of a project; ``InputError`` if there is none."""
    if project is None:
        raise InputError("There is no model to segment with; give one, or --project FOLDER.")
    folder = project_folder(project)
    name = read_project(folder).model
    path = folder / MODELS / name
    if not name or not path.is_file():
        raise InputError(f"The project {folder} has no model yet; train one, or give one, too.")
    return path


def _files_of(folder: Path) -> tuple[tuple[Path, ...], tuple[str, ...], list[str]]:
    """Return the image files of a project, their keys, and sentences on images without a file."""
    found, missing = dict[str, Path](), list[str]()
    for entry in read_project(folder).images:
        image = find_image(entry, folder)
        if image.path is None:
            missing.append(image.sentence)
        elif not image.is_whole:
            missing.append(
                f"The image {entry.look.name} is one channel of {image.path}; save it as a file of its own, "
                "and give that with --images."
            )
        else:
            found[entry.key] = image.path
            if image.sentence:
                note(image.sentence)
    if not found:
        reason = missing[0] if missing else "open it in napari, and an image."
        raise InputError(f"The project {folder} has no image to segment: {reason}")
    return tuple(found.values()), tuple(found), missing


@contextmanager
def connected(scheduler: str | None) -> Iterator[Cluster | None]:
    """Connect to a dask.distributed scheduler for a while, if one is given.

    ``InputError`` if it does not answer.
    """
    if scheduler is None:
        yield None
        return
    with Cluster(scheduler) as cluster:
        # Only the messages of this command: dask's about a lost worker look like a failure.
        for name in list(logging.root.manager.loggerDict):
            if name.startswith("distributed"):
                logging.getLogger(name).setLevel(logging.CRITICAL)
        yield cluster


def segment_files(
    model: Model,
    plan: FilesPlan,
    config: PredictionConfig,
    *,
    device: str,
    as_json: bool,
    cluster: Cluster | None,
    table: Path | None = None,
) -> int:
    """Segment images with one progress bar; if one fails, the others are still segmented.

    What is in them is written to ``table``, also after an interruption. Returns the exit code: 2 if an image
    failed, 128 plus the signal if one ended the command.
    """
    total, control, full = len(plan.paths), Control(), None
    report = _Report(plan, table is not None, as_json)
    events = predict_files(model, plan, config, device=device, control=control, cluster=cluster)
    label = plan.paths[0].name if total == 1 else f"{total} images"
    with signals_stop(control) as signals, progress_bar(label) as progress:
        try:
            for event in events:
                report.show(event, progress)
        except InputError as error:  # a full disk ends them all
            full = error
    if table is not None and report.written:
        report.measured.write(table)
        report_table(table, as_json)
    report.tell_of_all()
    if signals:
        note(f"Interrupted after {report.written} of {total} images; {report.how_to_go_on()}.")
        return 128 + signals[0]
    if full is not None:
        if total > 1:
            note(f"Ended after {report.written} of {total} images; {report.how_to_go_on()}.")
        raise full
    return 2 if report.failed else 0


class _Report:
    """What became of the images of a plan: prints it, and measures them if they are for a table."""

    def __init__(self, plan: FilesPlan, is_measured: bool, as_json: bool) -> None:
        self._plan, self._is_measured, self._as_json = plan, is_measured, as_json
        self._total = len(plan.paths)
        self._there, self._has_part = 0, False
        self.written = 0
        self.failed, self._apart = list[Path](), list[Path]()
        self.measured = TableOfFiles()

    def show(self, event: FileEvent, progress: Progress) -> None:
        """Print an event, or move the progress bar."""
        path = self._plan.paths[event.number]
        match event:
            case FileAdvanced():
                words = "objects" if isinstance(event.event, ObjectsFound) else ""
                words = words if self._total == 1 else path.name
                progress((event.number + event.share) / self._total, words)
                _report_step(event.event, path, self._as_json)
            case FileWritten():
                self.written += 1
                self._there += event.was_there
                self._apart += event.apart
                _report_files(path, event, self._as_json)
                file = path, event.outputs
                if self._is_measured and not _is_measured(file, self.measured, self._as_json):
                    self.failed.append(path)
            case FileNoted():
                note(event.message)
            case FileSuspended():
                self._has_part = True
            case ImageFailed():
                self.failed.append(path)
                _report_failed(path, event.message, self._as_json)

    def tell_of_all(self) -> None:
        """Say how many images had their results already, which have none, and what does not go with them."""
        total, there = self._total, self._there
        if there:
            which = f"{there} of {total} images" if total > 1 else "This image"
            verb, again = ("were", "them") if there > 1 else ("was", "it")
            note(
                f"{which} {verb} segmented before, by this model with these settings; --redo does {again} "
                "again."
            )
        if self._apart:
            note(
                "Left from an earlier run with another model, settings, format or release than the results "
                f"beside: {listed(self._apart)}; predict all kinds together, or delete what is old."
            )
        if total > 1 and self.failed:
            names = ", ".join(path.name for path in self.failed)
            note(f"{self.written} of {total} images segmented, {len(self.failed)} failed: {names}")

    def how_to_go_on(self) -> str:
        """Return how to go on with what was not finished."""
        if self._plan.redo:
            return "without --redo, the same command keeps what is there"
        if self._total > 1 or self._has_part:
            return "the same command goes on from there"
        return "whatever was not finished is not written"


def _report_step(event: StoredStep, image: Path, as_json: bool) -> None:
    match event:
        case ImageScaled():
            remedy = "set the object size", "set it by --set prediction.object_size=PIXELS"
            sentence = event.message.replace(*remedy)
            if event.pixel_sizes is not None:
                sentence += " --set prediction.object_size=unscaled leaves it as it is."
            note(f"{image.name}: {sentence}")
            if as_json:
                _print("scaled", image, **_described(event))
        case TilesHalved():
            note(event.message)
        case TileDone() | TileStored() if as_json:
            _print("tile_done", image, done=event.done, total=event.total)


def _described(event: ImageScaled) -> dict[str, object]:
    if event.object_size is None:
        own, learnt = event.pixel_sizes or (None, None)
        return {"factor": round(event.factor, 4), "pixel_size": own, "learnt": learnt}
    size = round(event.object_size, 2)
    return {"object_size": size, "estimated": event.estimated, "sure": event.is_sure}


def _report_files(image: Path, event: FileWritten, as_json: bool) -> None:
    for kind, target in event.outputs.items():
        report_written(image, kind, target, as_json, was_there=event.was_there)
    for target in event.outlines:
        report_written(image, "outlines", target, as_json)


def _is_measured(file: Finished, table: TableOfFiles, as_json: bool) -> bool:
    """Add a file to the table; report why it cannot be, and return whether it was."""
    try:
        table.add(file, measure_file(file))
    except (InputError, MemoryError) as error:
        _report_failed(file[0], f"{file[0]} is not in the table: {sentence(error)}", as_json)
        return False
    return True


def _report_failed(image: Path, reason: str, as_json: bool) -> None:
    for remedy in ("say where its channels are", "say which"):
        reason = reason.replace(remedy, f"{remedy} by --set {_CHANNELS}")
    note(reason if str(image) in reason else f"{image}: {reason}")
    if as_json:
        _print("failed", image, message=reason)


def _print(event: str, image: Path, **values: Any) -> None:
    print_json({"event": event, "image": str(image), **values})

"""Keeps a project on disk up to date with the window: changes are written, the most valuable first.

Nothing here depends on a window: one of its threads calls :meth:`ProjectStore.save` repeatedly.
"""

import contextlib
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.core.errors import InputError
from napari_unet.files.atomic import remove_unowned, writing
from napari_unet.files.networks.states import ENDING as STATE
from napari_unet.files.networks.states import state_path
from napari_unet.files.projects.project import (
    FILE,
    IMAGES,
    MODELS,
    PAINT,
    SETTINGS,
    Project,
    ProjectImage,
    ProjectLabels,
    ProjectRegions,
    inside,
    plain_name,
    project_text,
    read_project,
    read_toml,
    toml_of,
    write_project,
)
from napari_unet.files.projects.project_images import keep, link, sample
from napari_unet.files.projects.project_labels import Chunk, LabelsFile, chunks_in
from napari_unet.files.projects.project_lock import FILE as LOCK
from napari_unet.files.projects.project_lock import ProjectLock

_ENDING = ".zarr"
_UNFINISHED = ".napari-unet-*.part"
"""Files that :func:`napari_unet.files.atomic.writing` leaves if its process is killed."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageState:
    """An image as it is in the window.

    ``entry`` has everything except the path of its file. ``pixels`` are None while the image is missing, or
    if its layer was removed; its entry is then kept. ``source`` is the file it was opened from, or None, and
    ``reads`` returns what that file holds now, one array for each layer.
    """

    entry: ProjectImage
    pixels: Any
    source: Path | None = None
    reads: Callable[[Path], Iterable[Any]] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LabelsState:
    """Labels as they are in the window; only ``chunks`` may have changed since they were saved.

    ``pixels`` are None if their layer was removed: the file stays. ``predicted`` is the prediction before it
    was corrected; corrections that were taken into the paint count as predicted.
    """

    entry: ProjectLabels
    pixels: Any
    chunks: Sequence[Chunk]
    predicted: Any = None


@dataclass(frozen=True, slots=True, eq=False)
class ProjectState:
    """Everything that is to be saved."""

    images: tuple[ImageState, ...] = ()
    labels: tuple[LabelsState, ...] = ()
    regions: tuple[ProjectRegions, ...] = ()
    model: str = ""
    predicts_with: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


class ProjectStore:
    """The folder of a project that this process may write to.

    Made by :meth:`create` or :meth:`open`; :meth:`close` lets others write to it.
    """

    def __init__(self, folder: Path, project: Project, lock: ProjectLock) -> None:
        self.folder = folder
        self.project = project
        """What is on disk."""
        self._lock = lock
        self._one_at_a_time = threading.Lock()
        self._files: dict[str, LabelsFile] = {}
        self._predicted: dict[str, Any] = {}
        self._own = {name for labels in project.labels for name in (labels.file, labels.predicted)}
        self._images = {image.key: image for image in project.images}
        self._shown: dict[str, Any] = {}
        self._text = self._settings = ""
        self._notes: list[str] = []

    @classmethod
    def create(cls, folder: Path) -> "ProjectStore":
        """Make an empty project in ``folder``, which is new or empty.

        ``InputError`` if the folder is not empty, or cannot be written to.
        """
        if (folder / FILE).exists():
            raise InputError(f"{folder} is a project already; open it, or choose another folder.")
        if folder.is_dir() and any(not item.name.startswith(".") for item in folder.iterdir()):
            raise InputError(f"The folder {folder} is not empty; choose a new one for the project.")
        project = Project()
        write_project(folder, project)
        store = cls(folder, project, ProjectLock(folder))
        with contextlib.suppress(OSError):  # else the folder is made with the first model
            (folder / MODELS).mkdir(exist_ok=True)
        return store

    @classmethod
    def open(cls, folder: Path, *, of_command: bool = False) -> "ProjectStore":
        """Open a project to write it, from a window or ``of_command``.

        ``InputError`` as :func:`napari_unet.files.projects.project.read_project` and
        :class:`napari_unet.files.projects.project_lock.ProjectLock`.
        """
        project = read_project(folder)
        for name in (FILE, SETTINGS, LOCK, PAINT, IMAGES, MODELS):
            inside(folder, folder / name)
        store = cls(folder, project, ProjectLock(folder, of_command=of_command))
        store._sweep()
        return store

    def close(self) -> None:
        """Let other windows write the project."""
        with self._one_at_a_time:
            self._lock.release()

    def save(self, state: ProjectState) -> list[str]:
        """Bring the folder up to date, and return sentences, each once, on what could not be saved.

        Only changes are written: strokes first, then their descriptions, then images without a file, which
        take long. ``InputError`` if something cannot be written, or another window writes the project. Each
        file is then either as before or up to date.
        """
        with self._one_at_a_time:
            self._lock.check()
            labels = tuple([self._save_labels(item) for item in state.labels])
            self._describe(state, labels)
            self._save_settings(state.settings)
            for image in state.images:
                self._place(image)
            self._describe(state, labels)
            notes, self._notes = self._notes, []
            return notes

    def beat(self) -> None:
        """Show windows on other computers that the project is still being written; call about every 10 s.

        ``InputError`` as :meth:`save`.
        """
        with self._one_at_a_time:
            self._lock.check()

    def note_model(self, name: str) -> None:
        """Record that the model with this name was trained last, and save nothing else.

        ``InputError`` as :meth:`save`.
        """
        with self._one_at_a_time:
            self._lock.check()
            self.project = replace(self.project, model=name, predicts_with="")
            self._text = write_project(self.folder, self.project)

    def copy_model(self, path: Path) -> None:
        """Copy a model that was trained before there was a project, with its training state.

        What cannot be read is left out; the next save reports it.
        """
        for each in (path, state_path(path)):
            self._copy(each, self.folder / MODELS / each.name)

    def copy_rest(self, folder: Path, labels: Iterable[str]) -> None:
        """Copy what the window does not hold from another project: its models, and some files of labels.

        What cannot be read is left out, as in :meth:`copy_model`.
        """
        sources = [folder / MODELS, *(folder / PAINT / name for name in labels)]
        paths = [path for source in sources if source.is_dir() for path in sorted(source.iterdir())]
        for path in paths:
            if not path.name.endswith(".part"):
                self._copy(path, self.folder / path.relative_to(folder))

    def _copy(self, path: Path, target: Path) -> None:
        if path.is_file():
            try:
                with writing(target) as temporary:
                    duplicate = _share if path.suffix == STATE else shutil.copyfile
                    duplicate(path, temporary)
            except InputError:
                self._notes.append(f"{path} could not be copied; copy it by hand, if it is still there.")

    def _save_labels(self, state: LabelsState) -> ProjectLabels:
        entry = state.entry
        if state.pixels is None:
            return entry
        file, chunks = self._file(entry.file, state.pixels, state.chunks)
        file.update(state.pixels, chunks)
        entry = replace(entry, file=file.folder.name)
        if state.predicted is None:
            return replace(entry, predicted="")
        of_it = f"{entry.file.removesuffix(_ENDING)} predicted{_ENDING}"
        file, chunks = self._file(of_it, state.predicted, state.chunks)
        if self._predicted.get(of_it) is not state.predicted:
            chunks = chunks_in(file.shape)
        file.update(state.predicted, chunks)
        self._predicted[of_it] = state.predicted
        return replace(entry, predicted=file.folder.name)

    def _file(self, name: str, pixels: Any, chunks: Sequence[Chunk]) -> tuple[LabelsFile, Iterable[Chunk]]:
        """Return the file for some labels, a new one if they do not fit theirs, and the chunks to write."""
        file = self._files.get(name)
        paint = self.folder / PAINT
        # A file with this name that the project does not list was removed from it, and is not touched.
        if file is None and name in self._own and (paint / name / ".zarray").exists():
            file = LabelsFile(inside(self.folder, paint / name))
        if file is None or not file.fits(pixels):
            taken = [item.name for item in paint.iterdir()] if paint.is_dir() else []
            # Paint of another shape is kept beside it: it may still be needed.
            free = (
                name
                if file is None and name not in taken
                else plain_name(name.removesuffix(_ENDING), taken, _ENDING)
            )
            file = LabelsFile.create(inside(self.folder, paint / free), tuple(pixels.shape), pixels.dtype)
            chunks = list(chunks_in(file.shape))
        self._files[name] = file
        return file, chunks

    def _describe(self, state: ProjectState, labels: tuple[ProjectLabels, ...]) -> None:
        entries = [image.entry for image in state.images]
        images = tuple(
            replace(
                self._images.get(entry.key, entry),
                look=entry.look,
                axes=entry.axes,
                pixel_size=entry.pixel_size,
            )
            for entry in entries
        )
        self.project = replace(
            self.project,
            images=images,
            labels=labels,
            regions=state.regions,
            model=state.model,
            predicts_with=state.predicts_with,
        )
        if project_text(self.project) != self._text:
            self._text = write_project(self.folder, self.project)

    def _save_settings(self, settings: Mapping[str, Any]) -> None:
        text = toml_of(settings)
        if settings and text != self._settings:
            with writing(self.folder / SETTINGS) as temporary:
                temporary.write_text(text, encoding="utf-8")
            self._settings = text

    def _place(self, image: ImageState) -> None:
        """Link an image that is not linked yet, or keep a copy if no file has its pixels in this form."""
        entry = image.entry
        known = self._images.get(entry.key)
        if image.pixels is None:
            self._images.setdefault(entry.key, entry)
            self._shown.pop(entry.key, None)
            return
        is_same = self._shown.setdefault(entry.key, image.pixels) is image.pixels
        self._shown[entry.key] = image.pixels
        if is_same and known is not None and (known.shape, known.dtype) == (entry.shape, entry.dtype):
            return
        entry = replace(entry, sample=sample(image.pixels))
        try:
            source, reads = image.source, image.reads
            if source and source.exists() and (not reads or any(matches(entry, p) for p in reads(source))):
                entry = link(entry, self.folder, source)
            else:
                entry = keep(entry, self.folder, image.pixels)
        except InputError as error:
            if not (self.folder / FILE).exists() or isinstance(error.__cause__, OSError):
                raise
            self._notes.append(str(error))
        self._images[entry.key] = entry

    def relink(self, key: str, path: Path) -> None:
        """Record that the file of an image was found in another place."""
        self._images[key] = link(self._images[key], self.folder, path)

    def _sweep(self) -> None:
        """Remove files that interrupted writes have left."""
        for pattern in (_UNFINISHED, f"*/{_UNFINISHED}", f"{PAINT}/*/{_UNFINISHED}"):
            for path in list(self.folder.glob(pattern)):
                remove_unowned(path)


def _share(path: Path, target: Path) -> None:
    """Give a file a second name if the disk can, since training states are large; otherwise copy it.

    Neither is ever changed: replacing one leaves the other as it is.
    """
    try:
        target.unlink()
        target.hardlink_to(path)
    except OSError:
        shutil.copyfile(path, target)


def matches(entry: ProjectImage, pixels: Any) -> bool:
    """Return whether ``pixels`` are those of an image of the project, judging by a sample."""
    return is_alike(entry, pixels) and sample(pixels) == entry.sample


def is_alike(entry: ProjectImage, pixels: Any) -> bool:
    """Return whether ``pixels`` have the shape and type of an image of the project."""
    return tuple(pixels.shape) == entry.shape and str(np.dtype(pixels.dtype)) == entry.dtype


def read_labels(folder: Path, name: str) -> tuple[Any, str]:
    """Return labels of the project in ``folder``, and a sentence on parts that could not be read, or "".

    ``InputError`` if nothing of them can be read.
    """
    return LabelsFile(inside(folder, folder / PAINT / name)).read()


def read_settings(folder: Path) -> dict[str, Any]:
    """Return the settings of the docks; those that cannot be read are the defaults: {}."""
    try:
        return read_toml(folder / SETTINGS)
    except (OSError, ValueError, RecursionError):
        return {}

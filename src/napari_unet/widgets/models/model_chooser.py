"""A list of the models in some folders that stays up to date while models come and go."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from qtpy.QtCore import QFileSystemWatcher, Signal  # type: ignore[attr-defined]  # no qtpy stubs

from napari_unet.core.annotation import Mode
from napari_unet.core.errors import InputError
from napari_unet.core.instances import InstanceConfig
from napari_unet.files.networks.models import read_info
from napari_unet.files.networks.starters import is_starter, starter_names, starter_path
from napari_unet.files.plain import from_plain
from napari_unet.widgets.parts.form import Chooser
from napari_unet.widgets.projects.window_project import WindowProject

_SUFFIX = ".safetensors"


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a model file says about itself, as far as the screen needs it.

    ``in_channels`` is None for a starter, which takes any number; ``object_size`` for any other model.
    ``pixel_size`` is that of the images it learnt from, in micrometres, None where it is not known.
    """

    path: Path
    ndim: int
    in_channels: int | None
    mode: Mode
    class_names: tuple[str, ...]
    score: float | None
    started: str
    seconds: float
    instances: InstanceConfig
    object_size: float | None = None
    pixel_size: tuple[float, ...] | None = None
    origin: str = ""

    @classmethod
    def read(cls, path: Path) -> "ModelFacts":
        """Return the facts of a file, without its weights; ``InputError`` if it is not a model."""
        info = read_info(path, verify=False)  # not to stop the window for a second
        history = info["history"]
        size = info.get("object_size")
        best = [score[2] for score in history["scores"] if score[0] == history["best_step"]]
        return cls(
            path=path,
            ndim=info["network"]["ndim"],
            in_channels=info["network"]["in_channels"] if size is None else None,
            mode=info["mode"],
            class_names=tuple(info["class_names"]),
            score=best[-1] if best else None,
            started=history["started"],
            seconds=history["seconds"],
            instances=from_plain(InstanceConfig, info.get("instances", {}), "instances"),
            object_size=size,
            pixel_size=tuple(info.get("pixel_size") or ()) or None,
            origin=info.get("origin", ""),
        )

    @property
    def is_starter(self) -> bool:
        """Whether it is made for images of any scale and any number of channels."""
        return self.object_size is not None

    @property
    def reading(self) -> InstanceConfig | None:
        """How objects are read, None where there are classes, which are not kept apart."""
        return self.instances if self.mode == "objects" else None

    def sentence(self) -> str:
        """Return the facts in words."""
        if self.is_starter:
            return (
                f"A starter: finds separate objects in {self.ndim}-D images of any channels, before anything "
                "is painted. Train from it where it is wrong."
            )
        if self.mode == "objects":
            finds = "Finds separate objects"
        else:
            finds = f"Finds {len(self.class_names)} classes ({', '.join(self.class_names)})"
        images = f"{self.ndim}-D images of {self.in_channels} channel{'s' * (self.in_channels != 1)}"
        if self.pixel_size is not None:
            images += f", with pixels {self.pixel_size[-1]:.3g} µm wide"
        if self.origin and not self.started:
            return f"{finds} in {images}. {self.origin[0].upper()}{self.origin[1:]}."
        score = "" if self.score is None else f", score {self.score:.2f}"
        trained = f"{_date(self.started)} for {_duration(self.seconds)}{score}"
        return f"{finds} in {images}. Trained {trained}."


class ModelChooser(Chooser):
    """The model files of a folder, newest first, any other file, the starters, and models of more folders.

    The folders are watched for models that come and go; they need not exist yet.
    """

    model_changed = Signal(object)
    """The ``Path`` of the chosen model, or None."""

    def __init__(self, *folders: Path) -> None:
        super().__init__("Train a network first, or browse")
        self._folders = folders
        self._others: list[Path] = []
        self._project: WindowProject | None = None
        self._path: Path | None = None
        self._is_chosen = False
        self._watcher = QFileSystemWatcher(self)
        self._watcher.directoryChanged.connect(self._on_files)
        self.activated.connect(self._on_chosen)
        self.currentIndexChanged.connect(self._on_index)
        self._refill()

    @property
    def path(self) -> Path | None:
        """The chosen model file."""
        return self._path

    def follow(self, project: WindowProject, *, keeps_choice: bool) -> None:
        """Offer the models of a project once it is open, and newly trained ones, the last one first.

        What was just trained is chosen; with ``keeps_choice``, only if the user chose nothing.
        """
        self._project = project
        project.opened.connect(self._on_opened)
        project.moved.connect(self._on_moved)
        project.trained.connect(self._offer if keeps_choice else self._take)
        if project.session is not None:
            self._on_opened()

    def _on_opened(self) -> None:
        if self._project is not None:
            self._folders = self._project.model_folders
            wanted = self._project.first_choice
            if wanted is not None:
                self._list_also(wanted)
            self._refill(wanted)

    def _on_moved(self) -> None:
        """List the new folder; what is chosen stays chosen, or its copy there."""
        if self._project is None:
            return
        self._folders = self._project.model_folders
        path, folder = self._path, self._folders[0]
        self._others = [other for other in self._others if not (folder / other.name).is_file()]
        if path is not None and (folder / path.name).is_file():
            path = folder / path.name
        elif path is not None:
            self._list_also(path)
        self._refill(path)

    @property
    def folder(self) -> Path:
        """The folder for new models."""
        return self._folders[0] if self._project is None else self._project.models_folder

    def _offer(self, path: Path) -> None:
        if not self._is_chosen:
            self._take(path)

    def _take(self, path: Path) -> None:
        self._is_chosen = False
        self._read_again(path)

    def _read_again(self, path: Path) -> None:
        self._path = None  # a training saves its file every minute: what was read is of an earlier network
        self._refill(path)

    def choose(self, path: Path) -> None:
        """Choose a model file, wherever it lies."""
        self._is_chosen = True
        self._list_also(path)
        self._read_again(path)

    def _list_also(self, path: Path) -> None:
        if path.parent not in self._folders and not is_starter(path) and path not in self._others:
            self._others.append(path)

    def suggest(self, suits: Callable[[ModelFacts], bool]) -> bool:
        """Choose the first model that ``suits``, unless the user chose one; return whether any does."""
        if self._is_chosen:
            return False
        for index in range(self.count()):
            with suppress(InputError):
                if suits(ModelFacts.read(self.itemData(index))):
                    self.setCurrentIndex(index)
                    return True
        return False

    def _refill(self, wanted: Path | None = None) -> None:
        starters = {starter_path(name): name for name in starter_names()}
        # A starter that the user did not choose gives way to the first trained model.
        wanted = wanted or (self._path if self._is_chosen or self._path not in starters else None)
        self._watch()
        first, *more = (_models_in(folder) for folder in self._folders)
        copies = {path.name: path for path in first}  # a project has some of the others
        beside = _by_age(path for found in more for path in found if path.name not in copies)
        if wanted is not None and wanted.parent in self._folders:
            wanted = copies.get(wanted.name, wanted)
        self.offer_all(
            [
                *((path.stem, path) for path in _by_age([*first, *self._others])),
                *((f"{name} (starter)", path) for path, name in starters.items()),
                *((f"{path.stem} ({path.parent.name})", path) for path in beside),
            ],
            wanted,
        )
        self._on_index()

    def _watch(self) -> None:
        """Watch the folders, or where there is none the nearest one in which it may appear."""
        nearest = {
            str(next(above for above in (folder, *folder.parents) if above.is_dir()))
            for folder in self._folders
        }
        watched = set(self._watcher.directories())
        if gone := watched - nearest:
            self._watcher.removePaths(sorted(gone))
        if new := nearest - watched:
            self._watcher.addPaths(sorted(new))

    def _on_files(self, folder: str) -> None:
        if folder in map(str, self._folders) or any(each.is_dir() for each in self._folders):
            self._refill()
        else:  # folders between the two came or went, or other files beside them
            self._watch()

    def _on_chosen(self, _index: int) -> None:
        self._is_chosen = True

    def _on_index(self, _index: int = 0) -> None:
        path = self.currentData()
        if path != self._path:
            self._path = path
            self.model_changed.emit(path)


def read_facts(path: Path | None) -> ModelFacts:
    """Return the facts of the chosen model; ``InputError`` if there is none, or it is not a model."""
    if path is None:
        raise InputError("There is no model yet; train one under Train, or browse for a file.")
    return ModelFacts.read(path)


def newest_model(folders: Iterable[Path]) -> Path | None:
    """Return the model saved last in the first of these ``folders`` that has one; None if none has."""
    return next((path for folder in folders for path in _by_age(_models_in(folder))), None)


def _models_in(folder: Path) -> list[Path]:
    """Return the models in ``folder``; none if there is no such folder, or it goes in this moment."""
    try:
        return list(folder.glob(f"*{_SUFFIX}"))
    except OSError:
        return []


def _by_age(paths: Iterable[Path]) -> list[Path]:
    """Return those that exist, the one written last first."""
    found = []
    for path in paths:
        try:
            found.append((path, path.stat().st_mtime))
        except OSError:
            # Deleted between listing and asking; the watcher will notice.
            continue
    return [path for path, _ in sorted(found, key=lambda entry: entry[1], reverse=True)]


def _date(iso: str) -> str:
    try:
        return datetime.fromisoformat(iso).strftime("%d %b %Y %H:%M")
    except ValueError:
        return "at an unknown time"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"

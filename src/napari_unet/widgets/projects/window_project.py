"""The project of a window: every dock that asks for it gets the same one."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, ref

from napari.components import ViewerModel
from napari.layers import Layer
from napari.utils.notifications import show_warning
from qtpy.QtCore import QEvent, QObject, Qt, Signal  # type: ignore[attr-defined]  # no qtpy stubs
from qtpy.QtWidgets import QMainWindow, QMessageBox, QWidget

from napari_unet.core.errors import InputError
from napari_unet.files.networks.starters import is_starter, starter_names, starter_path
from napari_unet.files.projects.project import MODELS, Project, project_folder
from napari_unet.files.projects.project_store import ProjectStore, read_settings
from napari_unet.widgets.bridge.marks import KEY
from napari_unet.widgets.parts.control_values import Values, read_controls, show_controls
from napari_unet.widgets.projects.project_opening import OpenedProject, Tag, open_layers
from napari_unet.widgets.projects.project_session import ProjectSession
from napari_unet.widgets.window.lifetime import is_alive
from napari_unet.widgets.window.preferences import read_preferences

OPEN_ALREADY = "This project is open in this window already."

_windows: "WeakKeyDictionary[ViewerModel, WindowProject]" = WeakKeyDictionary()


def project_of(viewer: ViewerModel) -> "WindowProject":
    """Return the keeper of the project of the window of ``viewer``, whether one is open or not."""
    found = _windows.get(viewer)
    if found is None or not is_alive(found):
        found = _windows[viewer] = WindowProject(viewer)
    return found


@dataclass(slots=True, eq=False)
class _Dock:
    """A dock whose settings are kept; ``values`` are those that were read or shown last."""

    name: str
    widget: Callable[[], QWidget | None]
    leave_out: Collection[str]
    values: Values = field(default_factory=dict)


class WindowProject(QObject):
    """Opens, makes and closes the project of one window, and tells the docks."""

    opened = Signal()
    """Another project is open now, or none."""
    moved = Signal()
    """The window is a project now, or its project has another folder, with copies of its models."""
    trained = Signal(object)
    """The ``Path`` of every model that a dock of the window has trained."""
    changed = Signal()
    """Another project is open, or something was saved, could not be saved, or was found."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = ref(viewer)
        window = _main_window(viewer)
        super().__init__(window)
        self._session: ProjectSession | None = None
        self._closes = False
        self._trained: Path | None = None
        self._predicts_with: Path | None = None  # None also if a model was trained since
        self._docks: list[_Dock] = []
        self._settings: dict[str, Values] = {}
        if window is not None:
            window.installEventFilter(self)

    @property
    def session(self) -> ProjectSession | None:
        """The project that is open, or None."""
        session = self._session
        return session if session is not None and is_alive(session) else None

    @property
    def models_folder(self) -> Path:
        """The folder for new models: in the project, if one is open that can be written and still exists."""
        session = self.session
        if session is None or not session.is_writable or not session.folder.is_dir():
            return read_preferences().models_folder
        return session.folder / MODELS

    @property
    def model_folders(self) -> tuple[Path, ...]:
        """The folders of models to offer: in the project, even if it can only be read, and the usual one."""
        session, usual = self.session, read_preferences().models_folder
        return (usual,) if session is None else (session.folder / MODELS, usual)

    @property
    def last_model(self) -> Path | None:
        """The last model trained in the project, or else in the window, if its file exists."""
        session = self.session
        paths = [self._trained]
        if session is not None and session.model:
            paths.insert(0, session.folder / MODELS / session.model)
        return next((path for path in paths if path is not None and path.is_file()), None)

    @property
    def first_choice(self) -> Path | None:
        """The model to predict with when the project opens: as when it closed, or the last one trained."""
        session = self.session
        if session is None or not session.predicts_with:
            return self.last_model
        if session.predicts_with in starter_names():
            return starter_path(session.predicts_with)
        path = Path(session.predicts_with)
        found = [session.folder / MODELS / path.name, *[path] * path.is_absolute()]
        return next((each for each in found if each.is_file()), self.last_model)

    @property
    def is_shown(self) -> bool:
        """Whether a dock of the window shows the project, or there is no window."""
        window = self.parent()  # not kept, as it holds the viewer
        return window is None or window.findChild(QWidget, "project_row") is not None

    def has_open(self, folder: Path) -> bool:
        """Return whether the project in ``folder`` is open in this window."""
        session = self.session
        return session is not None and session.folder.resolve() == folder.resolve()

    def create(self, folder: Path) -> None:
        """Make a project of the window in a new folder, or move the open one there.

        The last model is copied, so that the project goes on from it. ``InputError`` if the folder is not
        empty, or cannot be written.
        """
        store, before = ProjectStore.create(folder), self.session
        kept = None if before is None else before.folder / MODELS
        if before is None:
            self._begin(folder, store.project, store)
        else:
            before.move(store)
        path, session = self._trained, self.session
        if session is not None and path is not None and path.is_file() and path.parent != kept:
            session.take_model(path)
        if before is None and self._predicts_with is not None:
            self.note_prediction(self._predicts_with)
        self.moved.emit()
        self._save()

    def open(self, folder: Path, project: Project) -> None:
        """Go on with a project whose layers have just been opened in the window.

        If another window has it, or it cannot be written, nothing is saved, and a sentence says so.
        """
        problem, store = "", None
        if self.has_open(folder):  # since its layers were read
            self._remove_second(project)
            return
        self.close()
        try:
            store = ProjectStore.open(folder)
        except InputError as error:
            problem = str(error)
            show_warning(problem)
        self._settings = {
            key: values for key, values in read_settings(folder).items() if isinstance(values, dict)
        }
        self._begin(folder, project, store, problem)
        self.opened.emit()
        for dock in self._docks:
            self._show_settings(dock)
        self._save()  # with the settings that the docks have now

    def close(self) -> None:
        """Save the project and close it; its layers stay."""
        session, self._session = self.session, None
        if session is not None:
            session.close()
            session.deleteLater()
            self.opened.emit()
            self.changed.emit()

    def keep_settings(self, name: str, dock: QWidget, leave_out: Collection[str] = ()) -> None:
        """Keep the settings of ``dock`` with the project, by the ``name`` of the dock.

        Among several docks with one name, the one that was changed last counts.
        """
        kept = _Dock(name, ref(dock), leave_out)
        self._docks = [*(other for other in self._docks if other.widget() is not None), kept]
        self._show_settings(kept)

    def note_model(self, path: Path) -> None:
        """Note that a model was trained; one in the project is offered first when that opens again."""
        session = self.session
        if session is not None:
            session.predicts_with = ""
            if path.parent == session.folder / MODELS:
                session.model = path.name
        self._trained, self._predicts_with = path, None
        self.trained.emit(path)

    def note_prediction(self, path: Path) -> None:
        """Note with which model something is predicted: it is chosen when the project opens again."""
        self._predicts_with, session = path, self.session
        if session is not None:
            is_named = is_starter(path) or path.parent == session.folder / MODELS
            name = path.stem if is_starter(path) else path.name
            session.predicts_with = name if is_named else path.absolute().as_posix()

    def keep_model(self, path: Path) -> None:
        """Copy a model into the project if that was made or opened during the training."""
        session = self.session
        if session is not None and path.parent != self.models_folder and path.is_file():
            session.take_model(path)
            self._save()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802 - Qt's name
        """Save before the window closes, which can still be refused; close the project once it has closed."""
        session = self.session
        if event is not None and watched is self.parent() and session is not None:
            if event.type() == QEvent.Type.Close:
                session.flush()
                asks = event.spontaneous() or self._is_looked_at
                if asks and session.is_writable and session.problem and not self._may_close(session.problem):
                    event.ignore()
                    return True
                if not event.spontaneous():  # then napari has asked already
                    self.close()
                self._closes = True
            elif event.type() == QEvent.Type.Show:
                self._closes = False
            elif event.type() == QEvent.Type.Hide and self._closes:
                self.close()
        return False

    @property
    def _is_looked_at(self) -> bool:
        """Whether the canvas is on the screen; a script that closes the viewer removes it first."""
        window = self.parent()
        centre = window.centralWidget() if isinstance(window, QMainWindow) else None
        direct = Qt.FindChildOption.FindDirectChildrenOnly
        inside = [] if centre is None else centre.findChildren(QWidget, options=direct)
        return any(widget.isVisible() for widget in inside)

    def _may_close(self, problem: str) -> bool:
        """Ask whether to close a window with changes that could not be saved."""
        window = self.parent()
        answer = QMessageBox.question(
            window if isinstance(window, QWidget) else None,
            "The project is not saved",
            f"{problem}\n\nClose the window anyway? What was painted since will be lost.",
            defaultButton=QMessageBox.StandardButton.No,
        )
        return bool(answer == QMessageBox.StandardButton.Yes)

    def _remove_second(self, project: Project) -> None:
        """Remove the new layers of a project that was open already."""
        viewer = self._viewer()
        for layer in [] if viewer is None else list(viewer.layers):
            tag = layer.metadata.get(KEY)
            if isinstance(tag, Tag) and tag.identity == project.identity and viewer is not None:
                viewer.layers.remove(layer)
        show_warning(OPEN_ALREADY)

    def _begin(
        self,
        folder: Path,
        project: Project,
        store: ProjectStore | None,
        problem: str = "",
    ) -> None:
        viewer = self._viewer()
        if viewer is None:
            return
        self._session = ProjectSession(
            viewer,
            folder,
            project,
            store,
            settings=self._read_settings,
            problem=problem,
            parent=self,
        )
        self._session.changed.connect(self.changed)
        self._session.moved.connect(self.moved)

    def _save(self) -> None:
        session = self.session
        if session is not None:
            session.tick()
        self.changed.emit()

    def _read_settings(self) -> dict[str, Any]:
        for dock in self._docks:
            widget = dock.widget()
            if widget is None or not is_alive(widget):
                continue
            values = read_controls(widget, dock.leave_out)
            if values != dock.values or dock.name not in self._settings:
                dock.values = self._settings[dock.name] = values
        return {name: dict(values) for name, values in self._settings.items()}

    def _show_settings(self, dock: _Dock) -> None:
        widget = dock.widget()
        if widget is not None and is_alive(widget):
            show_controls(widget, self._settings.get(dock.name, {}), dock.leave_out)
            dock.values = read_controls(widget, dock.leave_out)


def _main_window(viewer: ViewerModel) -> QWidget | None:
    """Return the window of ``viewer``, or None if it has none, as in a script."""
    window = getattr(viewer, "window", None)
    found = None if window is None else window.main_menu.window()
    return found if isinstance(found, QWidget) else None


def open_project(viewer: ViewerModel, path: Path) -> None:
    """Open a project in the window of ``viewer``; ``InputError`` if it cannot be read, or is open there."""
    folder = project_folder(path)
    if project_of(viewer).has_open(folder):
        raise InputError(OPEN_ALREADY)
    opened = open_layers(folder)
    for layer in opened.layers:
        viewer.add_layer(Layer.create(*layer))
    begin(viewer, folder, opened)


def begin(viewer: ViewerModel, folder: Path, opened: OpenedProject) -> None:
    """Open the project whose layers are in the window now, and say what is missing."""
    project_of(viewer).open(folder, opened.project)
    for sentence in opened.sentences:
        show_warning(sentence)

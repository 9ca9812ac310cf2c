"""The Project dock: make, open, or save a project elsewhere; when it was saved, and what is missing."""

from collections.abc import Callable
from pathlib import Path

import napari
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_unet.core.errors import InputError
from napari_unet.files.projects.project import ProjectImage
from napari_unet.files.projects.project_images import in_words
from napari_unet.widgets.parts.dock import Dock, without_proxy
from napari_unet.widgets.parts.form import Column, Sentence, button
from napari_unet.widgets.parts.section import Section
from napari_unet.widgets.projects.project_session import ProjectSession
from napari_unet.widgets.projects.window_project import open_project, project_of

_NONE = "No project: your paint is only in this window. A project folder keeps it, saved as you paint."


class ProjectRow(QWidget):
    """The state of the project of a window, and the buttons for it.

    It ``is_titled`` if a title above says which project it is and when it was saved.
    """

    def __init__(self, viewer: "napari.viewer.Viewer", *, is_titled: bool = False) -> None:
        super().__init__()
        self.setObjectName("project_row")
        self._viewer = viewer
        self._is_titled = is_titled
        self._project = project_of(viewer)
        column = Column(self)
        self._status = column.add(Sentence("project_status"))
        self._problem = column.add(Sentence("project_problem"))
        self._missing = Sentence("project_missing")
        self._new = button(
            "New…",
            self.ask_new,
            name="project_new",
            tooltip="Keep the images of this window (as links), paint, models and settings in a\n"
            "folder of its own, saved within two seconds of every stroke.",
        )
        opens = button(
            "Open…",
            self.ask_open,
            name="project_open",
            tooltip="Continue a project; dropping its folder on napari does the same.",
        )
        self._find = button(
            "Find images…",
            self.ask_find,
            name="project_find",
            tooltip="Choose a folder to search, with all its subfolders, for the missing images.",
        )
        self._forget = button(
            "Leave them out",
            self.forget,
            name="project_forget",
            tooltip="Remove images that are not in this window from the project. Their files are kept.",
        )
        column.add_row(self._new, opens)
        column.addWidget(self._missing)
        column.add_row(self._find, self._forget)
        self._project.changed.connect(self._refresh)
        self._refresh()

    def ask_new(self) -> None:
        """Ask for a new folder, and keep the project of this window in it from now on."""
        session = self._project.session
        place = Path.home() if session is None else session.folder.parent
        title = "New project: name its folder" if session is None else "Save the project as: name its folder"
        chosen, _ = QFileDialog.getSaveFileName(self, title, str(place / "project"))
        if chosen:
            self._attempt(lambda: self._project.create(Path(chosen)))

    def ask_open(self) -> None:
        """Ask for the folder of a project, and open it."""
        chosen = QFileDialog.getExistingDirectory(self, "Open project", str(Path.home()))
        if chosen:
            self._attempt(lambda: open_project(self._viewer, Path(chosen)))

    def ask_find(self) -> None:
        """Ask for the folder of the missing images."""
        session = self._project.session
        if session is None:
            return
        chosen = QFileDialog.getExistingDirectory(self, "Where are the images?", str(session.folder.parent))
        if chosen:
            sentences = session.find(Path(chosen))
            if sentences:
                self._missing.say(" ".join(sentences), "warning")

    def forget(self) -> None:
        """Remove from the project what is not in this window."""
        session = self._project.session
        if session is None:
            return
        session.forget_missing()
        if session.missing:
            names = ", ".join(entry.look.name for entry in session.missing)
            self._missing.say(
                f"Paint or predicted labels of {names} are in this window, so it stays; delete these first.",
                "warning",
            )

    def _attempt(self, work: Callable[[], None]) -> None:
        try:
            work()
        except InputError as error:
            self._problem.say(str(error), "error")

    def _refresh(self) -> None:
        session = self._project.session
        missing = [] if session is None else session.missing
        self._missing.say(_missing_in_words(missing), "warning")
        for control in (self._find, self._forget):
            control.setVisible(bool(missing))
        self._new.setText("New…" if session is None else "Save as…")
        if session is None:
            self._status.say(_NONE)
            self._status.setToolTip("")
            self._problem.say("")
            return
        title = "" if self._is_titled else f"{_title(session)}. "
        self._status.say(f"{title}Its folder: {session.folder}")
        self._status.setToolTip(str(session.folder))
        self._problem.say(session.problem, "error" if session.is_writable else "warning")


class ProjectSection(Section):
    """The same, folded to a title with the name of the project and when it was saved."""

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__(
            "Project: none",
            name="unet_project",
            tooltip="Keep images, paint, models and settings in a folder, saved as you paint.",
        )
        column = Column(self.content)
        column.addWidget(ProjectRow(viewer, is_titled=True))
        self._project = project_of(viewer)
        self._project.changed.connect(self._retitle)
        self._retitle()

    def _retitle(self) -> None:
        session = self._project.session
        needs_a_look = session is not None and bool(session.problem or session.missing)
        self.set_title(_title(session), emphasised=needs_a_look)
        if needs_a_look:
            self.set_open(True)


class ProjectDock(Dock):
    """The project of the window, in its own dock."""

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self.setObjectName("project_dock")
        column = self.column
        column.addWidget(ProjectRow(without_proxy(viewer)))
        column.addStretch()


def _title(session: ProjectSession | None) -> str:
    if session is None:
        return "Project: none"
    if not session.is_writable:
        return f"Project {session.folder.name}: read-only, not saved"
    if session.problem:
        return f"Project {session.folder.name}: not saved"
    saved = session.saved_at
    return f"Project {session.folder.name}: {'opened' if saved is None else f'saved {saved:%H:%M:%S}'}"


def _missing_in_words(missing: list[ProjectImage]) -> str:
    if not missing:
        return ""
    names = ", ".join(in_words(entry) for entry in missing[:5]) + (", …" if len(missing) > 5 else "")
    if len(missing) == 1:
        return f"1 image is not in this window ({names}). It stays in the project, with its paint."
    return (
        f"{len(missing)} images are not in this window ({names}). They stay in the project, with their paint."
    )

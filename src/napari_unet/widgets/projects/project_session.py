"""An open project: follows the layers and docks of a window, and saves changes within two seconds.

Its own thread writes, since paint must not wait for previews and predictions, which share the threads of
:mod:`napari_unet.widgets.jobs`. The user may paint on the layer that it reads: a stroke made during the copy
sends its own event, and is saved next.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from napari.components import ViewerModel
from napari.utils.notifications import show_error, show_warning
from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]  # no qtpy stubs

from napari_unet.core.errors import InputError
from napari_unet.files.projects.project import Project, ProjectImage
from napari_unet.files.projects.project_images import file_name, in_words, search
from napari_unet.files.projects.project_lock import InUseError
from napari_unet.files.projects.project_store import ProjectState, ProjectStore
from napari_unet.widgets.projects.project_members import ProjectMembers
from napari_unet.widgets.projects.project_opening import find_layer

_TICK_MS = 500
_BEAT_S = 10.0
"""Seconds between signs of life, for windows of other computers."""
_RETRY_S = 5.0
"""Seconds after a save that failed until the next one."""

_log = logging.getLogger(__name__)


class ProjectSession(QObject):
    """Keeps one project as it is in its window.

    ``project`` is its content when it is opened; ``store`` writes it, or is None if it can only be read:
    ``problem`` is then a sentence with the reason; ``settings`` returns the settings of the docks.
    """

    changed = Signal()
    """Something was saved, could not be saved, or was found."""
    moved = Signal()
    """It has copies of other models now, or moved to another folder with all its content."""

    def __init__(
        self,
        viewer: ViewerModel,
        folder: Path,
        project: Project,
        store: ProjectStore | None,
        *,
        settings: Callable[[], Mapping[str, Any]],
        problem: str = "",
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.folder = folder
        self.model = project.model
        """The file of the model that was trained last, in the folder of models; "" if there is none."""
        self.predicts_with = project.predicts_with
        """The model that was last predicted with, if none was trained since, as `Project` names it."""
        self.problem = problem
        self.saved_at: datetime | None = None
        self._store = store
        self._settings = settings
        self._saving: _Saving | None = None
        self._copies: list[Callable[[], object]] = []  # called by the thread that saves, first
        self._described: object = None
        self._next_beat = self._next_try = 0.0
        self._members = ProjectMembers(viewer, project, self)
        for key, path in self._members.adopt(project.identity).items():
            if store is not None:
                store.relink(key, path)
        self._timer = QTimer(self)
        self._timer.setInterval(_TICK_MS)
        self._timer.timeout.connect(self.tick)
        self._timer.start()

    @property
    def is_writable(self) -> bool:
        """Whether paint is saved."""
        return self._store is not None

    @property
    def missing(self) -> list[ProjectImage]:
        """Images not in the window, because their files were not found or their layers were removed."""
        return self._members.missing

    def tick(self) -> None:
        """Begin to save if there is something to save and no save is running; the timer calls it."""
        if self._saving is not None:
            if self._saving.is_alive():
                return
            self._end_save()
        self._members.look()
        if self._store is None or time.monotonic() < self._next_try:
            return
        state, described = self._members.describe(self.model, self.predicts_with, self._settings())
        news = described != self._described or self._members.has_news
        if news or self._copies or time.monotonic() > self._next_beat:
            self._begin_save(self._store, state, described)

    def flush(self) -> None:
        """Save what is not saved yet, and wait for it."""
        self._wait()
        self._next_try = 0.0
        self.tick()
        self._wait()

    def close(self) -> None:
        """Save what is not saved yet, and let other windows write the project."""
        self._timer.stop()
        self._members.again()
        self.flush()
        if self._store is not None:
            self._store.close()
            self._store = None

    def move(self, store: ProjectStore) -> None:
        """Go on in the folder of a new project, which gets all content of this one."""
        self._wait()
        if self._store is not None:
            self._store.close()
        old, self.folder = self.folder, store.folder
        self._store, self.problem = store, ""
        self._described, self._next_try = None, 0.0
        self._members.forget_paths()
        self._members.again()
        self._copies = [partial(store.copy_rest, old, self._members.removed(saved=True))]

    def take_model(self, path: Path) -> None:
        """Copy a model that was trained elsewhere with the next save; the project goes on from it."""
        if self._store is not None:
            self.model = path.name
            self._copies.append(partial(self._store.copy_model, path))

    def find(self, folder: Path) -> list[str]:
        """Look in ``folder`` for missing images, and show those that are found.

        Returns sentences on images that were not found or have changed.
        """
        others = search(folder, {file_name(entry) for entry in self.missing})
        sentences = []
        for entry in self.missing:
            found = find_layer(Project(), entry, self.folder, others)
            if found is None:
                sentences.append(f"{in_words(entry)} is not in {folder}, or has a different shape there.")
                continue
            layer, path, sentence = found
            self._members.show(entry, layer, path)
            if self._store is not None:
                self._store.relink(entry.key, path)
            sentences += [sentence] if sentence else []
        self.changed.emit()
        return sentences

    def forget_missing(self) -> None:
        """Remove from the project what is not in the window; files stay."""
        self._members.forget_missing()
        self.changed.emit()

    def _begin_save(self, store: ProjectStore, state: ProjectState, described: object) -> None:
        state = self._members.with_chunks(state)
        self._described = described
        self._saving = _Saving(store, state, self._members.removed(saved=False), list(self._copies))
        self._saving.start()

    def _wait(self) -> None:
        if self._saving is not None:
            self._saving.join()
            self._end_save()

    def _end_save(self) -> None:
        saving, self._saving = self._saving, None
        if saving is None:
            return
        self._next_beat = time.monotonic() + _BEAT_S
        if saving.failure:
            self._fail(saving)
        else:
            self.problem = ""
            self.saved_at = datetime.now().astimezone()
            self._members.release(saving.removed)
            for note in saving.notes:
                show_warning(note)
            if saving.copies:
                del self._copies[: len(saving.copies)]
                self.moved.emit()
        self.changed.emit()

    def _fail(self, saving: "_Saving") -> None:
        """Say once what is wrong, and try again soon: meanwhile painting goes on."""
        self._described = None
        self._next_try = time.monotonic() + _RETRY_S
        self._members.again()
        if saving.is_in_use:
            self._store = None
        if saving.failure != self.problem:
            self.problem = saving.failure
            show_error(saving.failure)


class _Saving(threading.Thread):
    """One save; not a daemon thread, so that a program that quits waits for it."""

    def __init__(
        self,
        store: ProjectStore,
        state: ProjectState,
        removed: list[str],
        copies: list[Callable[[], object]],
    ) -> None:
        super().__init__(name="Saving the project")
        self.removed, self.copies = removed, copies
        self.notes: list[str] = []
        self.failure = ""
        self.is_in_use = False
        self._store, self._state = store, state

    def run(self) -> None:
        try:
            for copy in self.copies:
                copy()
            self.notes = self._store.save(self._state)
        except InputError as error:
            self.failure, self.is_in_use = str(error), isinstance(error, InUseError)
        except Exception as error:  # noqa: BLE001 - any failure must reach the user
            _log.warning("Saving the project failed", exc_info=True)
            self.failure = f"The project could not be saved ({error}); save it elsewhere."

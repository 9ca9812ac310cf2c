"""Watches a real window while somebody uses it: what must not happen, whatever they do."""

import logging
import re
import sys
import threading
import time
import traceback
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Layer, Points, Shapes
from napari.utils.notifications import notification_manager
from napari.utils.progress import progress
from pytestqt.exceptions import capture_exceptions
from qtpy.QtCore import QObject, QThreadPool, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton, QWidget

from napari_unet.files.projects.project import read_project
from napari_unet.files.projects.project_store import read_labels
from napari_unet.widgets.bridge.layers import annotation_of
from napari_unet.widgets.bridge.marks import full_data, images_of, is_image, is_paint, kind_of
from napari_unet.widgets.jobs import Job
from napari_unet.widgets.parts.form import Sentence
from napari_unet.widgets.predict import PredictDock
from napari_unet.widgets.projects.window_project import project_of
from napari_unet.widgets.train import TrainDock
from napari_unet.widgets.window.lifetime import is_alive

BUSY_S, HELD_S = 5.0, 15.0
"""Seconds of the processor that may pass between two turns of the event loop: of its thread, and of all
threads, which may hold it up. Those of the clock say little on a busy machine."""

_OF_PYTHON = re.compile(r"\w+Error\b|Traceback|NoneType|object at 0x|<class|\bnan\b|\[Errno")
_UNDER_WAY = re.compile(r"^(Preparing|Stopping|Learning|Waiting|Reading|Looking|Comparing|Paused)\b")


class Fault(AssertionError):  # noqa: N818 - it is what is looked for
    """Something that must not happen."""


class NapariError(Exception):
    """An error of napari in which no code of ours takes part."""


class Watch:
    """What must not happen in the window of ``viewer``, whose open docks are ``docks()``.

    ``files`` are the user's own, which nobody may change.
    """

    def __init__(
        self, viewer, docks: Callable[[], list[QWidget]], files: Collection[Path], monkeypatch
    ) -> None:
        self._viewer, self._docks = viewer, docks
        self._files = {path: zlib.crc32(path.read_bytes()) for path in files}
        self._told: list[Any] = []
        self._layers: dict[Any, tuple[Layer, int]] = {}
        self._jobs: list[Job] = []
        self._complaints = _Complaints()
        self._pulse = _Pulse()
        start = Job.start

        def note(job: Job) -> None:
            self._jobs.append(job)
            start(job)

        monkeypatch.setattr(Job, "start", note)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen to what goes wrong in this context."""
        with ExitStack() as stack:
            self._exceptions = stack.enter_context(capture_exceptions())
            log = logging.getLogger("napari_unet")
            log.addHandler(self._complaints)
            stack.callback(log.removeHandler, self._complaints)
            ready = notification_manager.notification_ready
            ready.connect(self._told.append)
            stack.callback(ready.disconnect, self._told.append)
            stack.callback(self._pulse.stop)
            yield

    @contextmanager
    def action(self) -> Iterator[None]:
        """Turn an exception in an action, or in a slot meanwhile, into a fault; time the window."""
        self._pulse.reset()
        try:
            yield
        except (Fault, NapariError):
            raise
        except Exception as error:
            raise _whose(error)(repr(error)) from error
        for _, error, trace in self._exceptions:
            raise _whose(error)(f"in a slot: {error!r}") from error.with_traceback(trace)
        if self._pulse.busy > BUSY_S or self._pulse.held > HELD_S:
            seconds = f"{self._pulse.busy:.1f} s ({self._pulse.held:.1f} s)"
            raise Fault(f"the window stood still for {seconds}:\n{self._pulse.stack}")

    def check(self, allowed: Collection[Layer], *, allows_paint: bool) -> None:
        """Raise :class:`Fault` if anything is wrong; the ``allowed`` layers may have changed, or paint."""
        for notification in self._told:
            text = notification.message
            if getattr(notification, "exception", None) is not None or _OF_PYTHON.search(text):
                raise Fault(f"told: {text}")
        self._told.clear()
        if self._complaints.texts:
            raise Fault(f"logged: {self._complaints.texts[0]}")
        for sentence in self._sentences():
            if _OF_PYTHON.search(sentence.text()):
                raise Fault(f"{sentence.objectName()} says: {sentence.text()}")
        self._check_layers(allowed, allows_paint)
        for path, digest in self._files.items():
            if not path.exists() or zlib.crc32(path.read_bytes()) != digest:
                raise Fault(f"the file {path} was changed")
        if not self.running:
            self._check_idle()

    def note(self, layer: Layer) -> None:
        """Note that ``layer`` is as the user wants it."""
        self._layers[layer.unique_id] = layer, _digest(layer)

    @property
    def running(self) -> list[Job]:
        """The jobs that run."""
        self._jobs = [job for job in self._jobs if is_alive(job) and job.is_running]
        return self._jobs

    def is_idle(self) -> bool:
        """Wait a moment for what follows from an end; return whether still nothing runs."""
        QTest.qWait(20)
        return not self.running and QThreadPool.globalInstance().activeThreadCount() == 0

    def check_project(self) -> None:
        """Raise :class:`Fault` if paint in the window is not in the project, or not as it is there."""
        session = project_of(self._viewer).session
        if session is None or not session.is_writable:
            return
        session.flush()
        if session.problem:
            return
        entries = read_project(session.folder).labels
        saved = [np.asarray(read_labels(session.folder, entry.file)[0]) for entry in entries]
        for image in images_of(self._viewer):
            paint = annotation_of(self._viewer, image)
            if paint is None or not np.any(paint.data):
                continue
            if not any(np.array_equal(then, paint.data) for then in saved):
                raise Fault(f"'{paint.name}' is not in the project as it is in the window")

    def widgets(self, kind: type) -> list[Any]:
        """Return the docks of this kind, also those inside the U-Net dock."""
        found: list[Any] = []
        for dock in self._docks():
            found += [dock] if isinstance(dock, kind) else dock.findChildren(kind)
        return found

    def _check_layers(self, allowed: Collection[Layer], allows_paint: bool) -> None:
        before, self._layers = self._layers, {}
        for layer in self._viewer.layers:
            if not (is_image(layer) or is_paint(layer) or kind_of(layer) == ""):
                continue
            self.note(layer)
            _, then = before.get(layer.unique_id, (layer, None))
            is_allowed = layer in allowed or (allows_paint and is_paint(layer))
            if then not in (None, self._layers[layer.unique_id][1]) and not is_allowed:
                raise Fault(f"'{layer.name}' ({kind_of(layer) or 'foreign'}) was changed")
        for key, (layer, _) in before.items():
            if key not in self._layers and layer not in allowed:
                raise Fault(f"'{layer.name}' ({kind_of(layer) or 'foreign'}) was removed")

    def _check_idle(self) -> None:
        """Nothing is computed: so nothing may say that it is, and the buttons to begin must be there."""
        for kind in (TrainDock, PredictDock):
            for dock in self.widgets(kind):
                if dock.is_running:
                    raise Fault(f"{dock.objectName()} believes that it is running")
                start = dock.findChild(QAbstractButton, dock.objectName().replace("dock", "start"))
                if start.isHidden() or not start.isEnabled():
                    raise Fault(f"{start.objectName()} cannot be pressed")
        if not self.is_idle():
            return
        for sentence in self._sentences():
            if _UNDER_WAY.search(sentence.text()):
                raise Fault(f"nothing runs, but {sentence.objectName()} says: {sentence.text()}")
        bars = [bar for bar in progress._all_instances if not bar.disable]
        if bars:
            raise Fault(f"nothing runs, but a bar shows: {bars}")

    def _sentences(self) -> list[Sentence]:
        found = [sentence for dock in self._docks() for sentence in dock.findChildren(Sentence)]
        return [sentence for sentence in found if not sentence.isHidden()]


class _Pulse(QObject):
    """How long the event loop stood still at most, since it was asked last, and what it did then."""

    def __init__(self) -> None:
        super().__init__()
        self.reset()
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._beat)
        self._timer.start(20)
        self._main, self._ends = threading.get_ident(), threading.Event()
        self._thread = threading.Thread(target=self._look, name="pulse", daemon=True)
        self._thread.start()

    def reset(self) -> None:
        self._last = time.thread_time(), time.process_time()
        self.busy = self.held = 0.0
        self.stack = ""

    def stop(self) -> None:
        self._timer.stop()
        self._ends.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ends.wait(0.2):
            if time.process_time() - self._last[1] > BUSY_S / 2 and not self.stack:
                self.stack = "".join(traceback.format_stack(sys._current_frames()[self._main]))

    def _beat(self) -> None:
        now = time.thread_time(), time.process_time()
        self.busy = max(self.busy, now[0] - self._last[0])
        self.held = max(self.held, now[1] - self._last[1])
        self._last = now


class _Complaints(logging.Handler):
    """What the plugin logs as a warning: failures that are no mistake of the user."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def _whose(error: BaseException) -> type[Exception]:
    """Return what an exception is: our fault if any code of ours takes part."""
    files: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        files += [frame.filename for frame in traceback.extract_tb(cause.__traceback__)]
        cause = cause.__cause__ or cause.__context__
    return Fault if any("napari_unet" in Path(file).parts for file in files) else NapariError


def _digest(layer: Layer) -> int:
    """Return a number for what is in a layer; for images without the order of axes, which may be changed."""
    if isinstance(layer, Shapes | Points):
        return zlib.crc32(repr([np.asarray(part).tolist() for part in layer.data]).encode())
    data = np.ascontiguousarray(full_data(layer))
    if isinstance(layer, Image) and not layer.rgb:
        data = np.sort(data, axis=None)
    return zlib.crc32(data.tobytes())

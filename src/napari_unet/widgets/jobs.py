"""Long work in a background thread, reported to the window event by event.

This is the only module that knows napari's threads. A generator of events (:mod:`napari_unet.network.events`)
is drained in a worker thread; its events, its failure and its end arrive on the main thread as Qt signals.
One heavy job computes at a time: two that share a processor are far slower than one after the other.
"""

import logging
import os
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from napari.qt.threading import FunctionWorker, create_worker
from napari.utils.notifications import show_error
from qtpy.QtCore import QObject, QThreadPool, QTimer, Signal  # type: ignore[attr-defined]  # no qtpy stubs
from qtpy.QtWidgets import QDockWidget

from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.network.memory import hand_back
from napari_unet.widgets.window.activity import ActivityBar
from napari_unet.widgets.window.current import as_current, window_of
from napari_unet.widgets.window.lifetime import is_alive

MakeEvents = Callable[[Control], Iterator[Any]]
Measure = Callable[[Any], tuple[float, float] | None]


def once(work: Callable[[], Any]) -> MakeEvents:
    """Return the events of a job that computes one thing: what ``work()`` returns."""

    def events(_control: Control) -> Iterator[Any]:
        yield work()

    return events


_computing = threading.Lock()
"""Held by the worker thread whose heavy job computes."""

_DELIVERY_MS = 50
"""Time between batches of events for the window: a GPU makes more than a window can take one by one."""

_REPAINT_S = 1.0
"""Seconds between repaints of what a job shows. Each one makes napari draw its canvas again; without a
graphics card, this takes the processor from the training."""

_BACKLOG = 256
"""Events that may wait for a busy window before the job waits for it: tiles are large."""

_NICE = 10
"""A tenth of the window's share of a processor that both need, and all of one that nobody else needs."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Waiting:
    """The job has not begun, because another one is computing, or does now; ``message`` says so."""

    message: str = "Waiting for the other computation to end; this one starts by itself."


class Job(QObject):
    """One run of a generator of events in a worker thread; every new run is a new job.

    It is made and controlled on the main thread, and deletes itself after its end. Deleting it earlier, alone
    or with its parent or window, stops the run, and no more signals arrive; napari waits for the thread
    before it quits.

    Parameters
    ----------
    make_events : callable
        Called once, in the worker thread, with the :class:`Control` of this job; returns the iterator of
        events. It polls ``control`` at every step and comes to its own end after a stop, so that its last
        event still arrives.
    title : str
        What is going on, for the activity dock: "Training on cells".
    total : int, optional
        Number of events to come, for the progress bar; None shows a bar without an end.
    measure : callable, optional
        ``measure(event) -> (done, total) | None`` instead of counting events; None leaves the bar as it is.
    heavy : bool
        False for a quick computation such as a preview: it does not wait for the job that computes, has no
        progress bar, and its failure does not pop up, since the caller shows it in place.
    parent : QObject, optional
        Usually the dock.
    """

    happened = Signal(object)
    """Each event of the generator, in order; before them two :class:`Waiting` if another job is computing.
    (Not named ``event``: that is a method of every QObject, which Qt calls.)"""
    delivered = Signal()
    """After events, at most once a second, and before the end: the moment to repaint, for all at once."""
    failed = Signal(str)
    """The failure as a sentence for the user, after the last event."""
    ended = Signal()
    """The end, for whatever reason; always the last signal, exactly once."""

    def __init__(
        self,
        make_events: MakeEvents,
        title: str,
        total: int | None = None,
        *,
        measure: Measure | None = None,
        heavy: bool = True,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.control = Control()
        self._title = title
        self._measure = measure
        self._heavy = heavy
        self._task = _Task(make_events, self.control, title, heavy)
        self._progress = (0.0, float(total or 0))
        self._worker: Any = None  # of a heavy job
        self._bar: ActivityBar | None = None
        self._started = self._running = self._delivering = self._done = False
        self._has_news = False
        self._next_repaint = 0.0
        self._timer = QTimer(self)
        self._timer.setInterval(_DELIVERY_MS)
        self._timer.timeout.connect(self._deliver)
        # Neither a method of the job nor a lambda, which Python may have taken apart by then: the task,
        # which Qt holds weakly, lives as long as the thread that must be stopped.
        self.destroyed.connect(self._task.abandon)

    @property
    def is_running(self) -> bool:
        """Whether the job was started and has not ended; one that waits or is paused is running."""
        return self._running

    @property
    def failure(self) -> str | None:
        """Why it failed, as a sentence for the user; None if it did not."""
        return self._task.failure

    def start(self) -> None:
        """Begin; a job starts once."""
        if self._started:
            raise RuntimeError("This job was started before; make a new one.")
        self._started = self._running = True
        self._task.held = _outermost(self.parent())
        if self._heavy:
            # Made this way, the worker is known to the window, which asks before it closes and then stops it.
            with as_current(window_of(self.parent())):
                worker = create_worker(self._task, _worker_class=_Worker, _start_thread=False)
            self._worker = worker
            self._open_bar()
        else:
            worker = _Worker(self._task)
        worker.finished.connect(self._finish)
        self._timer.start()
        worker.start()

    def stop(self) -> None:
        """Ask the job to end after the step or tile it is at."""
        self.control.stop()
        self._describe(" (stopping)")

    def pause(self) -> None:
        """Ask the job to wait before its next step."""
        self.control.pause()
        self._describe(" (paused)")

    def resume(self) -> None:
        """Let a paused job go on."""
        self.control.resume()
        self._describe("")

    def _open_bar(self) -> None:
        total, window = round(self._progress[1]), window_of(self.parent())
        self._worker.bar = self._bar = ActivityBar(self._title, total, self.stop, window)
        # Not by this object, which may be deleted before the thread ends: the bar must close in any case.
        self._worker.finished.connect(self._bar.close)

    def _describe(self, state: str) -> None:
        if self._running and self._bar is not None:
            self._bar.describe(self._title + state)

    def _finish(self) -> None:
        self._done = True
        self._deliver()

    def _deliver(self) -> None:
        # A slot, or napari's progress bar, may run the event loop: calls from there must not overtake this.
        if self._delivering:
            return
        self._delivering = True
        done = self._done
        while self._task.queue and is_alive(self):
            event = self._task.queue.popleft()
            self._has_news = True
            self._measure_progress(event)
            self.happened.emit(event)
        if is_alive(self) and (done or time.monotonic() >= self._next_repaint):
            self._repaint(done)
        self._delivering = False
        # Any of the slots may have deleted the dock, and this job with it.
        if not is_alive(self):
            return
        if done:
            self._end()
        elif self._done:
            self._deliver()

    def _repaint(self, done: bool) -> None:
        if not self._has_news:
            return
        self._has_news = False
        self._next_repaint = time.monotonic() + _REPAINT_S
        self.delivered.emit()
        if self._bar is not None and not done:
            if self._bar.disable and not self.control.stopped:
                self._open_bar()  # napari closes the bars of all windows with any of them
            self._bar.show_progress(*self._progress)

    def _measure_progress(self, event: Any) -> None:
        if self._measure is not None:
            self._progress = self._measure(event) or self._progress
        elif not isinstance(event, Waiting):
            self._progress = (self._progress[0] + 1, self._progress[1])

    def _end(self) -> None:
        if not self._running:
            return
        self._running = False
        self._timer.stop()
        if self._bar is not None:
            self._bar.close()  # one that was opened again when the thread had ended
        failure = self._task.failure
        if failure is not None:
            if self._heavy:
                show_error(failure)
            self.failed.emit(failure)
        if is_alive(self):
            self.ended.emit()
        self._task.held = None
        if is_alive(self):
            self.deleteLater()


class _Task:
    """What a worker thread does for a job: drain the generator into a queue, and put a failure into words."""

    def __init__(self, make_events: MakeEvents, control: Control, title: str, heavy: bool) -> None:
        self.control = control
        self.heavy = heavy
        self.queue: deque[Any] = deque()
        self.failure: str | None = None
        self.held: QObject | None = None
        """The dock of the job. Once napari has closed it, nothing else holds it, and Python would collect it
        while the job comes to its end, or in the middle of a slot."""
        self._make_events: MakeEvents | None = make_events
        self._title = title

    def abandon(self) -> None:
        """End, without a signal."""
        self.held = None
        self.control.stop()

    def __str__(self) -> str:
        # napari shows this when it asks whether to close a window with running tasks.
        return self._title

    def __call__(self) -> None:
        if self.heavy:
            give_way()
        error: Exception | None = None
        try:
            self._drain()
        except Exception as caught:  # noqa: BLE001 - any failure must reach the user
            # A user's mistake is a sentence; a traceback in the terminal would look like a bug.
            level = logging.INFO if isinstance(caught, InputError) else logging.WARNING
            _log.log(level, "%s failed:\n%s", self._title, traceback.format_exc())
            # Without its traceback, whose frames keep the tensors of an out-of-memory error alive; and the
            # sentence is made after this block, where the interpreter itself has let go of them.
            error = caught.with_traceback(None)
        # napari remembers its workers as long as the window is open; the images must not live as long.
        self._make_events = None
        if error is not None:
            self.failure = _sentence(error)
        if self.heavy:
            hand_back()

    def _drain(self) -> None:
        make_events = self._make_events
        if make_events is None or not self._may_compute():
            return
        try:
            for event in make_events(self.control):
                self.queue.append(event)
                while len(self.queue) > _BACKLOG and not self.control.stopped:
                    time.sleep(0.01)
        finally:
            if self.heavy:
                _computing.release()

    def _may_compute(self) -> bool:
        if not self.heavy:
            return not self.control.stopped
        if not _computing.acquire(blocking=False):
            self.queue.append(Waiting())
            while not _computing.acquire(timeout=0.05):
                if self.control.stopped:
                    return False
            self.queue.append(Waiting("The other computation has ended; this one begins."))
        return True


class _Worker(FunctionWorker):  # type: ignore[misc]  # superqt's base class is untyped
    """napari's worker, with a ``run`` that loses no failure and a ``quit`` that reaches the computation."""

    bar: "ActivityBar | None" = None

    def __init__(self, task: _Task) -> None:
        super().__init__(task)
        self._task = task

    def run(self) -> None:
        # Overridden because the original patches Python's warning filters, and two threads that overlap leave
        # them patched for good.
        pool = QThreadPool.globalInstance()
        if self._task.heavy and pool is not None:
            # Hours of training must not occupy one of the few threads that previews and other plugins need.
            pool.releaseThread()
        self.started.emit()
        self._running = True
        if self._task.heavy:
            # It lowers its priority for good: so it needs its own thread, as the pool uses its threads again.
            # A daemon, since a program that quits waits for the pool's thread.
            thread = threading.Thread(target=self._task, name=str(self._task), daemon=True)
            thread.start()
            thread.join()
        else:
            self._task()
        self._running = False
        if self._task.heavy and pool is not None:
            pool.reserveThread()
        # A program that quits may delete the signals before its threads have ended: nobody listens then.
        if is_alive(self.signals):
            self.finished.emit()
            self._finished.emit(self)

    def quit(self) -> None:
        super().quit()
        self._task.control.stop()
        if self.bar is not None:
            # The window that shows it may be gone before the thread ends.
            self.bar.close()


def _outermost(owner: QObject | None) -> QObject | None:
    """Return the widget that napari takes out of its window to close the dock that ``owner`` is, or is in."""
    while owner is not None:
        above = owner.parent()
        if above is None or isinstance(above, QDockWidget):
            break
        owner = above
    return owner


def _sentence(error: Exception) -> str:
    if isinstance(error, InputError):
        return str(error)
    try:
        from napari_unet.network.failures import sentence
    except ImportError:
        # Without a working torch there are no better words than its own.
        return f"{type(error).__name__}: {error}"
    return sentence(error)


def give_way() -> None:
    """Let this thread, and the threads it starts, compute only when the window leaves the processor free.

    Nothing is lost on an idle processor. A thread cannot get its priority back, so call this only in one that
    ends with its work. Only Linux has a "nice" value for each thread; elsewhere nothing changes.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _NICE)

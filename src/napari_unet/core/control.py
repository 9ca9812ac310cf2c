"""How a running job is paused and stopped: from another thread, or with Ctrl-C."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from napari_unet.core.errors import InputError


class Control:
    """Pause and stop requests for one job, polled by the job once per training step or prediction tile.

    A ``threading.Event`` each for stop and pause: setting them from any thread never blocks, and a job that
    nobody controls simply polls one that is never set.
    """

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._running = threading.Event()
        self._running.set()

    def stop(self) -> None:
        """Ask the job to end after the step or tile it is at; a paused job wakes up to end."""
        self._stop.set()
        self._running.set()

    def pause(self) -> None:
        """Ask the job to wait before its next step; a stop, before or after, wins."""
        self._running.clear()

    def resume(self) -> None:
        """Let a paused job go on."""
        self._running.set()

    @property
    def stopped(self) -> bool:
        """Whether the job was asked to end."""
        return self._stop.is_set()

    @property
    def paused(self) -> bool:
        """Whether the job was asked to wait."""
        return not self._running.is_set()

    def wait_while_paused(self) -> None:
        """Block the job's own thread until it is resumed or stopped."""
        # The short time-out covers a pause that arrives just after a stop and would otherwise never end. No
        # lock is taken without a pause: the handler of a signal, in this thread, would wait for it for ever.
        while not self._stop.is_set() and not self._running.is_set():
            self._running.wait(timeout=0.1)


@contextmanager
def interrupts_stop(control: Control) -> Iterator[None]:
    """Let Ctrl-C stop a job that can return its result; a second one ends it at once.

    A handler of the host's own, such as an event loop's, stays. ``KeyboardInterrupt`` if the job, once
    stopped, has no result.
    """

    def stop(_number: int, _frame: FrameType | None) -> None:
        if control.stopped:
            raise KeyboardInterrupt
        control.stop()

    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, stop)
    try:
        yield
    except InputError as error:
        if control.stopped:
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)

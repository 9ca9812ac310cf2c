"""How a running job is paused and stopped from another thread."""

import threading


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

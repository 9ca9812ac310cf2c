"""Pause, resume and stop between real threads, in every order."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, sleep

import pytest

from napari_unet.core.control import Control

SOON = 5.0
"""Seconds within which a thread must have answered; it takes milliseconds unless it hangs."""


class Worker(threading.Thread):
    """A job of endless short steps, as training and prediction run them."""

    def __init__(self, control: Control) -> None:
        super().__init__(daemon=True)
        self.control = control
        self.steps = 0

    def run(self) -> None:
        while not self.control.stopped:
            self.control.wait_while_paused()
            self.steps += 1
            sleep(0.0005)


@contextmanager
def running() -> Iterator[Worker]:
    worker = Worker(Control())
    worker.start()
    yield worker
    worker.control.stop()
    worker.join(SOON)
    assert not worker.is_alive()


def until(condition) -> bool:
    end = monotonic() + SOON
    while not condition() and monotonic() < end:
        sleep(0.001)
    return condition()


def test_nobody_controls_a_fresh_one():
    control = Control()
    assert (control.stopped, control.paused) == (False, False)
    control.wait_while_paused()  # returns


def test_pause_holds_and_resume_lets_go():
    with running() as worker:
        assert until(lambda: worker.steps > 3)
        worker.control.pause()
        assert worker.control.paused
        sleep(0.05)  # the step it was at
        held = worker.steps
        sleep(0.3)  # longer than the polling interval: waiting must not leak a step
        assert worker.steps == held
        worker.control.resume()
        assert not worker.control.paused
        assert until(lambda: worker.steps > held)


@pytest.mark.parametrize(
    "orders", [("pause", "stop"), ("stop", "pause"), ("pause", "stop", "pause"), ("stop",)]
)
def test_a_stop_wins_over_a_pause_before_and_after(orders):
    with running() as worker:
        assert until(lambda: worker.steps > 3)
        for order in orders:
            getattr(worker.control, order)()
        worker.join(SOON)
        assert not worker.is_alive()
        assert worker.control.stopped


def test_a_waiting_job_wakes_up_to_stop():
    with running() as worker:
        worker.control.pause()
        sleep(0.05)
        start = monotonic()
        worker.control.stop()
        worker.join(SOON)
        assert monotonic() - start < 1


def test_a_pause_between_the_last_look_at_stop_and_the_wait_does_not_hang():
    """The race itself: the job saw no stop, then came stop and pause, and only then does it wait."""
    control = Control()
    control.stop()
    control.pause()
    waiting = threading.Thread(target=control.wait_while_paused, daemon=True)
    waiting.start()
    waiting.join(SOON)
    assert not waiting.is_alive()


def test_nothing_undoes_a_stop():
    control = Control()
    control.stop()
    control.pause()
    control.resume()
    assert control.stopped


def test_pause_and_stop_from_two_threads_at_once_always_end_the_job():
    """The two race for the same flags; whatever comes first, no job may be left waiting for ever."""

    def together(start, act):
        start.wait(SOON)
        act()

    for _ in range(50):
        control, start = Control(), threading.Barrier(3)
        acts = (Worker(control).run, control.pause, control.stop)
        threads = [threading.Thread(target=together, args=(start, act), daemon=True) for act in acts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SOON)
        assert not any(thread.is_alive() for thread in threads)


def test_many_threads_wait_on_one_control():
    control = Control()
    control.pause()
    threads = [threading.Thread(target=control.wait_while_paused, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert all(thread.is_alive() for thread in threads)
    control.resume()
    for thread in threads:
        thread.join(SOON)
    assert not any(thread.is_alive() for thread in threads)

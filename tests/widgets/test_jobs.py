"""Jobs with real threads: every way to begin, end, fail and vanish."""

import gc
import os
import sys
import threading
import time
import weakref

import numpy as np
import psutil
import pytest
from dock_helpers import delete_as_qt_does
from napari import current_viewer
from napari.utils import progress
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QCoreApplication, QThreadPool
from qtpy.QtGui import QMovie
from qtpy.QtWidgets import QApplication, QLabel, QPushButton, QWidget

from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.widgets import jobs
from napari_unet.widgets.jobs import Job, Waiting
from napari_unet.widgets.parts.latest import Latest
from napari_unet.widgets.window.activity import ActivityBar


@pytest.fixture(autouse=True)
def no_giving_way():
    """Here threads give way as they do."""


class Log:
    """What a job told, in order."""

    def __init__(self, job):
        self.told = []
        job.happened.connect(lambda event: self.told.append(("event", event)))
        job.failed.connect(lambda sentence: self.told.append(("failed", sentence)))
        job.ended.connect(lambda: self.told.append(("ended",)))

    @property
    def events(self):
        return [entry[1] for entry in self.told if entry[0] == "event"]

    @property
    def failures(self):
        return [entry[1] for entry in self.told if entry[0] == "failed"]


def run(qtbot, job):
    log = Log(job)
    with qtbot.waitSignal(job.ended, timeout=10_000):
        job.start()
    qtbot.wait(80)  # anything told after the end would arrive now
    assert [entry[0] for entry in log.told].count("ended") == 1
    assert log.told[-1] == ("ended",)
    assert not job.is_running
    return log


def steps_until_stopped(control):
    """Two hundred steps a second, as a small network on a GPU; says at the end how far it came."""
    step = 0
    while not control.stopped:
        control.wait_while_paused()
        time.sleep(0.005)
        step += 1
        yield step
    yield f"stopped after {step}"


def bars():
    return list(progress._all_instances)


def test_events_arrive_in_order_and_then_the_end(qtbot):
    log = run(qtbot, Job(lambda control: iter(range(1000)), "Counting"))
    assert log.events == list(range(1000))
    assert log.failures == []


def test_the_work_is_done_in_another_thread_and_told_on_the_main_one(qtbot):
    job = Job(lambda control: iter([threading.get_ident()]), "Where")
    told_in = []
    job.happened.connect(lambda event: told_in.append(threading.get_ident()))
    log = run(qtbot, job)
    assert log.events[0] != threading.get_ident()
    assert told_in == [threading.get_ident()]


def failing(error):
    yield 1
    raise error


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities of threads")
def test_what_computes_gives_way_to_the_window_and_previews_do_not(qtbot):
    def priority():
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def priorities(control):
        inner = []  # as torch starts threads
        thread = threading.Thread(target=lambda: inner.append(priority()))
        thread.start()
        thread.join()
        yield priority(), *inner

    mine = priority()
    for heavy in (True, False, True, False):  # the thread that a pool uses again must not stay slow
        log = run(qtbot, Job(priorities, "Priority", heavy=heavy))
        expected = min(mine + 10, 19) if heavy else mine
        assert log.events == [(expected, expected)]
    assert priority() == mine


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc keeps what was freed")
def test_memory_that_a_job_has_freed_goes_back_to_the_system(qtbot, monkeypatch):
    monkeypatch.setattr(jobs, "give_way", lambda: None)
    kept = []

    def events(control):
        blocks = [np.ones(8_000) for _ in range(1_500)]  # 96 MB, in pieces that come from the heap
        kept.extend(blocks[::100])  # which is not all free then
        yield len(blocks)

    before = psutil.Process().memory_info().rss
    run(qtbot, Job(events, "Memory"))
    assert psutil.Process().memory_info().rss - before < 40e6


@pytest.mark.parametrize("heavy", [True, False])
def test_input_error_arrives_word_for_word(qtbot, heavy):
    notification_manager.records.clear()
    log = run(
        qtbot,
        Job(lambda control: failing(InputError("Paint some background first.")), "Training", heavy=heavy),
    )
    assert log.events == [1]
    assert log.failures == ["Paint some background first."]
    shown = [record.message for record in notification_manager.records]
    assert shown == (["Paint some background first."] if heavy else [])


@pytest.mark.parametrize("kind", [RuntimeError, ValueError, MemoryError, KeyError, OSError, StopIteration])
def test_every_failure_arrives_and_frees_the_form(qtbot, kind):
    log = run(qtbot, Job(lambda control: failing(kind("something broke")), "Training"))
    assert log.events == [1]
    assert len(log.failures) == 1
    assert log.failures[0].strip()
    assert bars() == []
    again = run(qtbot, Job(lambda control: iter([2]), "Training again"))
    assert again.events == [2]


def test_a_failure_before_the_first_event_arrives(qtbot):
    def make(control):
        raise RuntimeError("no device")

    assert len(run(qtbot, Job(make, "Training")).failures) == 1


def test_out_of_memory_arrives_and_gives_the_memory_back(qtbot):
    torch = pytest.importorskip("torch")
    kept = []

    def events(control):
        tensor = torch.zeros(1000)
        kept.append(weakref.ref(tensor))
        yield "allocated"
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    gc.collect()
    gc.disable()  # the memory must come back by itself, not at the next collection
    try:
        log = run(qtbot, Job(events, "Training"))
        assert "memory" in log.failures[0].lower()
        assert kept[0]() is None
    finally:
        gc.enable()


def test_images_are_let_go_of_although_napari_remembers_the_worker(qtbot, make_napari_viewer):
    make_napari_viewer()

    class Image:
        pass

    image = Image()
    alive = weakref.ref(image)
    job = Job(lambda control, image=image: iter([id(image)]), "Training")
    del image
    run(qtbot, job)
    gc.collect()
    assert alive() is None


def test_stop_ends_it_and_its_last_event_arrives(qtbot):
    job = Job(steps_until_stopped, "Training")
    log = Log(job)
    job.start()
    qtbot.waitUntil(lambda: len(log.events) > 20, timeout=5000)
    assert job.is_running
    with qtbot.waitSignal(job.ended, timeout=1000):
        job.stop()
    assert log.events[-1] == f"stopped after {len(log.events) - 1}"


def test_stop_before_the_thread_begins(qtbot):
    job = Job(steps_until_stopped, "Training")
    job.stop()
    log = run(qtbot, job)
    assert log.events in ([], ["stopped after 0"])


def test_pause_holds_and_resume_goes_on_and_stop_wins(qtbot):
    job = Job(steps_until_stopped, "Training")
    log = Log(job)
    job.start()
    qtbot.waitUntil(lambda: len(log.events) > 5, timeout=5000)
    job.pause()
    qtbot.wait(150)
    reached = len(log.events)
    qtbot.wait(200)
    assert len(log.events) <= reached + 1
    assert job.is_running
    job.resume()
    qtbot.waitUntil(lambda: len(log.events) > reached + 10, timeout=5000)
    job.pause()
    with qtbot.waitSignal(job.ended, timeout=1000):
        job.stop()


def test_a_job_starts_once(qtbot):
    job = Job(lambda control: iter([1]), "Once")
    run(qtbot, job)
    with pytest.raises(RuntimeError, match="make a new one"):
        job.start()


def test_repaints_are_seldom_and_the_last_comes_before_the_end(qtbot):
    batches = []
    job = Job(steps_until_stopped, "Training")
    job.delivered.connect(lambda: batches.append(time.monotonic()))
    log = Log(job)
    job.start()
    qtbot.wait(1300)
    with qtbot.waitSignal(job.ended, timeout=1000):
        job.stop()
    assert len(log.events) > 60
    assert len(batches) == 3  # at once, after a second, at the end


def test_a_blocked_window_holds_the_job_back(qtbot):
    made = []

    def events(control):
        for number in range(100_000):
            made.append(number)
            yield number
            if control.stopped:
                return

    job = Job(events, "Predicting")
    job.start()
    qtbot.waitUntil(lambda: bool(made), timeout=5000)
    before = len(made)
    time.sleep(0.3)  # the window is busy with something else
    assert len(made) <= before + 2 * jobs._BACKLOG
    with qtbot.waitSignal(job.ended, timeout=5000):
        job.stop()


def test_two_heavy_jobs_compute_one_after_the_other(qtbot):
    computing = []

    def events(name):
        def make(control):
            computing.append(name)
            yield from steps_until_stopped(control)
            computing.append(f"{name} ended")

        return make

    first, second = Job(events("first"), "First"), Job(events("second"), "Second")
    log_first, log_second = Log(first), Log(second)
    first.start()
    qtbot.waitUntil(lambda: len(log_first.events) > 3, timeout=5000)
    second.start()
    qtbot.waitUntil(lambda: len(log_second.events) == 1, timeout=5000)
    assert log_second.events == [Waiting()]
    with qtbot.waitSignal(first.ended, timeout=2000):
        first.stop()
    qtbot.waitUntil(lambda: len(log_second.events) > 3, timeout=5000)
    assert "this one begins" in log_second.events[1].message
    with qtbot.waitSignal(second.ended, timeout=2000):
        second.stop()
    assert computing == ["first", "first ended", "second", "second ended"]


def test_a_waiting_job_can_be_stopped_and_never_computes(qtbot):
    first = Job(steps_until_stopped, "First")
    second = Job(lambda control: pytest.fail("computed"), "Second")
    log = Log(second)
    first.start()
    qtbot.waitUntil(jobs._computing.locked, timeout=5000)
    second.start()
    qtbot.waitUntil(lambda: bool(log.events), timeout=5000)
    with qtbot.waitSignal(second.ended, timeout=1000):
        second.stop()
    assert log.failures == []
    with qtbot.waitSignal(first.ended, timeout=1000):
        first.stop()


def test_a_light_job_does_not_wait_even_with_one_thread(qtbot):
    pool = QThreadPool.globalInstance()
    threads = pool.maxThreadCount()
    pool.setMaxThreadCount(1)
    heavy = Job(steps_until_stopped, "Training")
    try:
        heavy.start()
        qtbot.waitUntil(jobs._computing.locked, timeout=5000)
        assert run(qtbot, Job(lambda control: iter(["preview"]), "Preview", heavy=False)).events == [
            "preview"
        ]
        assert heavy.is_running
        with qtbot.waitSignal(heavy.ended, timeout=1000):
            heavy.stop()
    finally:
        heavy.stop()
        pool.setMaxThreadCount(threads)


def test_an_exception_in_a_slot_does_not_stop_the_job(qtbot):
    job = Job(lambda control: iter([1, 2]), "Training")

    def slot(event):
        raise ZeroDivisionError("a bug in a dock")

    job.happened.connect(slot)
    with qtbot.captureExceptions() as caught:
        log = run(qtbot, job)
    assert [kind for kind, *_ in caught] == [ZeroDivisionError, ZeroDivisionError]
    assert log.events == [1, 2]


def test_a_slot_that_runs_the_event_loop_keeps_the_order(qtbot):
    job = Job(lambda control: iter(range(50)), "Training")
    job.happened.connect(lambda event: QCoreApplication.processEvents())
    assert run(qtbot, job).events == list(range(50))


def test_the_activity_dock_shows_it_and_its_cancel_button_stops_it(qtbot, make_napari_viewer):
    viewer = make_napari_viewer()
    job = Job(steps_until_stopped, "Training on cells", 10_000)
    log = Log(job)
    job.start()
    qtbot.waitUntil(lambda: len(log.events) > 120, timeout=5000)
    (bar,) = bars()
    dialog = viewer.window._qt_window._activity_dialog
    widget = dialog.get_pbar_from_prog(bar)
    assert widget.description_label.text() == "Training on cells: "
    assert 0 < bar.n < 10_000
    (cancel,) = widget.findChildren(QPushButton)
    with qtbot.waitSignal(job.ended, timeout=1000):
        cancel.click()
    assert str(log.events[-1]).startswith("stopped after")
    assert bars() == []


def test_measured_progress(qtbot, make_napari_viewer):
    make_napari_viewer()
    job = Job(steps_until_stopped, "Training", measure=lambda step: (step, 400) if step != 3 else None)
    job.start()
    qtbot.waitUntil(lambda: bars()[0].n > 50, timeout=5000)
    assert bars()[0].total == 400
    with qtbot.waitSignal(job.ended, timeout=1000):
        job.stop()


def test_deleting_the_dock_stops_the_job_and_delivers_nothing_more(qtbot):
    dock = QWidget()
    job = Job(steps_until_stopped, "Training", parent=dock)
    log = Log(job)
    control = job.control
    job.start()
    qtbot.waitUntil(lambda: len(log.events) > 3, timeout=5000)
    dock.deleteLater()
    qtbot.waitUntil(lambda: control.stopped, timeout=1000)
    told = len(log.told)
    assert QThreadPool.globalInstance().waitForDone(1000)
    qtbot.wait(100)
    assert len(log.told) == told
    assert bars() == []


def test_a_slot_may_delete_the_job(qtbot):
    dock = QWidget()
    job = Job(steps_until_stopped, "Training", parent=dock)
    seen = []

    def delete(event):
        seen.append(event)
        dock.deleteLater()
        QCoreApplication.sendPostedEvents(dock, 52)  # QEvent.DeferredDelete, now

    job.happened.connect(delete)
    job.start()
    qtbot.waitUntil(lambda: bool(seen), timeout=5000)
    qtbot.wait(150)
    assert len(seen) == 1


@pytest.mark.parametrize("paused", [False, True])
def test_closing_the_window_stops_the_job_within_a_step(qtbot, make_napari_viewer, paused):
    viewer = make_napari_viewer()
    dock = QWidget()
    viewer.window.add_dock_widget(dock)
    job = Job(steps_until_stopped, "Training", parent=dock)
    log = Log(job)
    job.start()
    qtbot.waitUntil(lambda: len(log.events) > 3, timeout=5000)
    if paused:
        job.pause()
    viewer.close()
    assert job.control.stopped
    assert bars() == []  # before the window that shows them is gone
    assert QThreadPool.globalInstance().waitForDone(1000)
    qtbot.wait(100)
    assert bars() == []


@pytest.mark.parametrize("floats", [False, True])
def test_a_job_belongs_to_its_own_window_and_not_to_the_one_in_use(qtbot, make_napari_viewer, floats):
    own, other = make_napari_viewer(), make_napari_viewer()  # napari takes the newest for the current one
    dock = QWidget()
    own.window.add_dock_widget(dock).setFloating(floats)
    job = Job(steps_until_stopped, "Training", 10_000, parent=dock)
    log = Log(job)
    job.start()
    qtbot.waitUntil(lambda: len(log.events) > 3, timeout=5000)
    assert own.window._task_status_manager.is_busy()  # so napari asks before it closes this window
    assert not other.window._task_status_manager.is_busy()
    other.close()
    QCoreApplication.sendPostedEvents(None, 52)  # QEvent.DeferredDelete, now
    assert not job.control.stopped
    told = len(log.events)
    qtbot.waitUntil(lambda: len(log.events) > told + 400, timeout=20_000)
    (bar,) = bars()  # napari had closed it
    assert own.window._qt_window._activity_dialog.get_pbar_from_prog(bar) is not None
    own.close()
    assert job.control.stopped
    assert bars() == []


def test_the_window_in_use_stays_the_current_one(make_napari_viewer, qtbot, monkeypatch):
    own, other = make_napari_viewer(), make_napari_viewer()
    monkeypatch.setattr(QApplication, "activeWindow", lambda: other.window._qt_window)
    job = Job(steps_until_stopped, "Training", parent=own.window._qt_window)
    job.start()
    assert current_viewer() is other
    with qtbot.waitSignal(job.ended, timeout=5000):
        job.stop()


def test_napari_awaits_the_job_when_it_quits(qtbot):
    from napari._qt.qthreading import wait_for_workers_to_quit

    job = Job(steps_until_stopped, "Training")
    job.start()
    qtbot.waitUntil(jobs._computing.locked, timeout=5000)
    begun = time.monotonic()
    wait_for_workers_to_quit(2000)
    assert time.monotonic() - begun < 0.5
    assert not jobs._computing.locked()
    qtbot.waitUntil(lambda: not job.is_running, timeout=1000)


def test_latest_computes_the_newest_request_only(qtbot):
    latest = Latest("Preview")
    computed, results = [], []
    latest.result.connect(results.append)

    def request(number):
        def compute(control):
            computed.append(number)
            time.sleep(0.05)
            yield number

        return compute

    for number in range(20):
        latest.submit(request(number))
    qtbot.waitUntil(lambda: not latest.is_running, timeout=20_000)
    assert results == [19]
    assert len(computed) <= 3


def test_latest_tells_failures_and_goes_on(qtbot):
    latest = Latest("Preview")
    failures, results = [], []
    latest.failed.connect(failures.append)
    latest.result.connect(results.append)

    def broken(control):
        raise InputError("Paint two objects.")

    latest.submit(broken)
    qtbot.waitUntil(lambda: failures == ["Paint two objects."], timeout=5000)
    latest.submit(lambda control: iter(["fine"]))
    qtbot.waitUntil(lambda: results == ["fine"], timeout=5000)


def test_latest_can_be_cancelled(qtbot):
    latest = Latest("Preview")
    results = []
    latest.result.connect(results.append)
    latest.submit(lambda control: iter([time.sleep(0.1)]))
    latest.submit(lambda control: iter([2]))
    latest.cancel()
    qtbot.waitUntil(lambda: not latest.is_running, timeout=5000)
    assert results == []


def test_a_thread_that_outlives_the_program_ends_in_silence(qtbot):
    def quit_meanwhile():
        delete_as_qt_does(worker.signals)

    task = jobs._Task(lambda control: iter([]), Control(), "Work", heavy=False)
    worker = jobs._Worker(task)
    worker._task = quit_meanwhile
    quit_meanwhile.heavy = False
    worker.run()


def test_napari_s_spinner_turns_slowly_while_a_job_runs(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    dock = QWidget()
    viewer.window.add_dock_widget(dock)

    def speeds():
        return {label.movie().speed() for label in dock.window().findChildren(QLabel) if label.movie()}

    assert speeds() == {100}
    job = Job(steps_until_stopped, "Training", parent=dock)
    job.start()
    (calm,) = speeds()
    assert calm <= 10
    with qtbot.waitSignal(job.ended, timeout=5000):
        job.stop()
    assert speeds() == {100}


def test_a_bar_does_not_search_its_window_while_that_closes(qtbot):
    """Half of its children are gone by then; Qt crashed."""

    class Window(QWidget):
        def findChildren(self, *_):  # noqa: N802 - Qt's name
            assert not self.closing
            return super().findChildren(QLabel)

    window = Window()
    qtbot.addWidget(window)
    window.closing = False
    kept, gone = QLabel(window), QLabel(window)
    for label in (kept, gone):
        label.setMovie(QMovie(label))
    bar = ActivityBar("Training", 0, lambda: None, window)
    assert kept.movie().speed() < 10
    window.closing = True
    delete_as_qt_does(gone)
    bar.close()
    assert kept.movie().speed() == 100

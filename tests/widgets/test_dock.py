"""How much room docks take, and what becomes of one that napari closes."""

import time

import pytest

from napari_unet.widgets.jobs import Job
from napari_unet.widgets.paint import PaintDock
from napari_unet.widgets.parts.dock import Dock, least_height
from napari_unet.widgets.predict import PredictDock
from napari_unet.widgets.train import TrainDock
from napari_unet.widgets.weights import WeightsDock
from napari_unet.widgets.window.lifetime import is_alive

FOUR = [PaintDock, WeightsDock, TrainDock, PredictDock]


@pytest.fixture
def window(make_napari_viewer):
    return make_napari_viewer().window


@pytest.mark.parametrize(("screen", "height"), [(720, 105), (900, 150), (1080, 195), (1440, 200), (480, 100)])
def test_docks_are_lower_on_small_screens(screen, height):
    assert least_height(screen) == height


def test_the_four_docks_fit_on_the_screen_one_below_another(make_napari_viewer):
    viewer = make_napari_viewer()
    frames = [viewer.window.add_dock_widget(kind(viewer)) for kind in FOUR]
    heights = [frame.minimumSizeHint().height() for frame in frames]
    assert min(heights) > 100
    assert sum(heights) < viewer.window._qt_window.screen().availableGeometry().height() - 50


@pytest.fixture
def dock(window):
    dock = Dock()
    window.add_dock_widget(dock)
    return dock


def test_a_dock_that_is_closed_is_deleted(window, dock, qtbot):
    window.remove_dock_widget(dock)
    assert is_alive(dock)
    qtbot.waitUntil(lambda: not is_alive(dock), timeout=5000)


def test_a_dock_that_is_put_back_stays(window, dock, qtbot):
    window.remove_dock_widget(dock)
    window.add_dock_widget(dock)
    qtbot.wait(300)
    assert is_alive(dock)
    window.remove_dock_widget(dock)
    dock.show()  # as a window of its own
    qtbot.wait(300)
    assert is_alive(dock)
    dock.close()
    dock.deleteLater()


def test_what_a_closed_dock_computes_comes_to_its_end_first(window, dock, qtbot):
    told = []

    def steps(control):
        while not control.stopped:
            control.wait_while_paused()
            time.sleep(0.005)
            yield "step"
        yield "last"

    job = Job(steps, "Work", parent=dock)
    job.happened.connect(told.append)
    job.start()
    qtbot.waitUntil(lambda: "step" in told, timeout=5000)
    window.remove_dock_widget(dock)
    qtbot.wait(300)
    assert is_alive(dock)
    job.stop()
    qtbot.waitUntil(lambda: not is_alive(dock), timeout=5000)
    assert told[-1] == "last"

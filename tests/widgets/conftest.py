"""Real windows and real threads: every test of this floor leaves no job behind."""

from pathlib import Path

import pytest
from napari.components import ViewerModel
from napari.qt.threading import FunctionWorker
from npe2 import PluginManifest
from qtpy.QtCore import QThreadPool

from napari_unet.widgets import jobs


@pytest.fixture(scope="session", autouse=True)
def plugins_found_once():
    """Spare every window its look through all installed packages for plugins: they stay the same."""
    found = list(PluginManifest.discover())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PluginManifest, "discover", lambda paths=(): iter(found))
        yield


@pytest.fixture(autouse=True)
def no_thread_left_behind(qtbot):
    """Fail the test that leaves a worker thread running."""
    yield
    qtbot.wait(1)  # a worker that was just started waits for the event loop
    ends = QThreadPool.globalInstance().waitForDone(10_000)
    if not ends:  # or the run of the tests would not end
        FunctionWorker.await_workers(10_000)
    assert ends


@pytest.fixture(autouse=True)
def no_giving_way(monkeypatch):
    """Let what computes have its share of a busy machine: tests wait for it."""
    monkeypatch.setattr(jobs, "give_way", lambda: None)


@pytest.fixture(autouse=True)
def starters(monkeypatch, tmp_path):
    """Offer no starters but those a test puts into this folder: the real ones take their time."""
    folder = tmp_path / "package" / "data" / "starters"
    monkeypatch.setattr("napari_unet.files.networks.starters._FOLDER", folder)
    return folder


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty home folder, where docks keep models and look for them."""
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def models(home):
    """The folder in which docks look for models first."""
    folder = home / "U-Net models"
    folder.mkdir()
    return folder


@pytest.fixture
def viewer():
    """Layers without a window, which takes its time to open; ``make_napari_viewer`` has one."""
    return ViewerModel()

"""Real windows and real threads: every test of this floor leaves no job behind."""

import pytest
from qtpy.QtCore import QThreadPool


@pytest.fixture(autouse=True)
def no_thread_left_behind(qtbot):
    """Fail the test that leaves a worker thread running."""
    yield
    qtbot.wait(1)  # a worker that was just started waits for the event loop
    assert QThreadPool.globalInstance().waitForDone(10_000)

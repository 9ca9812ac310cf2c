"""The window that napari takes for the current one, where several are open."""

from collections.abc import Iterator
from contextlib import contextmanager

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QApplication, QMainWindow


def window_of(owner: QObject | None) -> QMainWindow | None:
    """Return the window that ``owner``, such as a dock, belongs to, even if the dock floats; None without."""
    while owner is not None and not isinstance(owner, QMainWindow):
        owner = owner.parent()
    return owner


@contextmanager
def as_current(window: QMainWindow | None) -> Iterator[None]:
    """Let napari take ``window`` for the current one in this context, whichever the user is working in.

    napari notes tasks, which end with a window, with the one that was activated or raised last.
    """
    _tell_raised(window)
    yield
    active = window_of(QApplication.activeWindow())
    if active is not window:
        _tell_raised(active)


def _tell_raised(window: QMainWindow | None) -> None:
    if window is not None:
        QApplication.sendEvent(window, QEvent(QEvent.Type.ZOrderChange))

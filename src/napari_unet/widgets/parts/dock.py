"""What all docks share: a column of parts that scrolls, and an end when the dock is closed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from napari.components import ViewerModel
from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QFrame,
    QScrollArea,
    QScrollBar,
    QWidget,
)

from napari_unet.widgets.jobs import Job
from napari_unet.widgets.parts.form import Column
from napari_unet.widgets.window.lifetime import later

_REST_MS = 100

_MOST_HEIGHT = 200
_REST_HEIGHT = 300
"""Pixels of the screen for menus, the status bar, titles and one lower dock."""

_WIDTH = 340
"""Pixels a dock asks for at first: its folded sections are wider than the open ones, and it must not open so
narrow that its choices are cut."""


AnyViewer = TypeVar("AnyViewer", bound=ViewerModel)


def without_proxy(viewer: AnyViewer) -> AnyViewer:
    """Return the viewer itself: docks from napari's menus get a proxy of it.

    The proxy returns the selected layer as a new object every time, which is not in the list of layers.
    """
    itself: AnyViewer = getattr(viewer, "__wrapped__", viewer)
    return itself


class Dock(QWidget):
    """A widget whose ``column`` of parts scrolls where the window is too low.

    ``scrollable=False`` is for a dock inside another one, which scrolls as a whole.
    """

    def __init__(self, *, scrollable: bool = True) -> None:
        super().__init__()
        page = QWidget()
        self.column = Column(page)
        self.column.setSpacing(8)
        if scrollable:
            self.column.setContentsMargins(8, 8, 8, 8)
        else:
            self.column.setContentsMargins(8, 4, 0, 8)  # indented below its title, as wide as the parts above
        Column(self).addWidget(_Scroller(page) if scrollable else page)
        self._closed = later(self, _REST_MS, self._leave)

    def stop(self) -> None:
        """Stop what is being computed, if anything is."""

    @contextmanager
    def hand_focus(self, to: QWidget) -> Iterator[None]:
        """Give the focus ``to`` a control if the one in this dock that has it cannot keep it.

        Otherwise Qt gives it to the next control, where the space bar would do something unwanted.
        """
        had = QApplication.focusWidget()
        yield
        if had is not None and self.isAncestorOf(had) and not (had.isVisible() and had.isEnabled()):
            to.setFocus()

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Stop when napari closes the dock: that takes this widget out of the window without deleting it."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.stop()
            self._closed.start()

    def _leave(self) -> None:
        """Let Qt delete a closed dock once it computes nothing.

        Otherwise it would follow all strokes until Python collects it, which with PySide is never.
        """
        if self.parent() is not None or self.isVisible():
            return  # it was put into a window again
        if any(job.is_running for job in self.findChildren(Job)):
            self._closed.start()
        else:
            self.deleteLater()


def least_height(screen: int) -> int:
    """Return the height in pixels that a dock keeps if several share a column, on a screen of this height.

    It is enough to read the dock; but the four docks and another one must not make the window higher than the
    screen.
    """
    return min(max((screen - _REST_HEIGHT) // 4, 100), _MOST_HEIGHT)


def _is_set_by_wheel(widget: QObject | None) -> bool:
    is_bar = isinstance(widget, QScrollBar)
    return isinstance(widget, QComboBox | QAbstractSpinBox | QAbstractSlider) and not is_bar


class _Scroller(QScrollArea):
    """Asks for the size of its page; it may be made lower, but never narrower."""

    def __init__(self, page: QWidget) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # clicks beside the controls would give it the focus
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(page)
        self._page = page

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """Let the wheel scroll over any control: it must not change settings on its way."""
        super().showEvent(event)
        for control in self._page.findChildren(QWidget):
            if _is_set_by_wheel(control):
                control.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802 - Qt's name
        """Take the wheel from a control."""
        if event is not None and event.type() == QEvent.Type.Wheel and _is_set_by_wheel(watched):
            QApplication.sendEvent(self.viewport(), event)
            return True
        return bool(super().eventFilter(watched, event))

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        return self._page.sizeHint().expandedTo(QSize(_WIDTH, 0))

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        bar = self.verticalScrollBar()
        width = self._page.minimumSizeHint().width() + (0 if bar is None else bar.sizeHint().width())
        width += 2 * self.frameWidth()  # napari's style sheet gives it this after all
        screen = self.screen()
        least = least_height(_MOST_HEIGHT if screen is None else screen.availableGeometry().height())
        return QSize(width, min(self._page.sizeHint().height(), least))

    def event(self, event: QEvent | None) -> bool:
        """Make the dock as wide as its page needs when a part unfolds; Qt would keep the first hint."""
        if event is not None and event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return bool(super().event(event))

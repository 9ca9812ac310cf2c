"""A mouse and a keyboard on the canvas of a real window: Qt's own events, as the user's hand makes them."""

from functools import partial
from itertools import pairwise

import numpy as np
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication


class Hand:
    """Clicks, drags and types at places of the world, given in the displayed axes (Y, X).

    Parameters
    ----------
    viewer : napari.Viewer
        Its window need not be shown.
    """

    def __init__(self, viewer):
        self._viewer = viewer
        self._canvas = viewer.window._qt_window._qt_viewer.canvas
        self._native = self._canvas.native
        self._native.resize(600, 600)
        QApplication.processEvents()

    def click(self, at):
        """Press and release the left button."""
        self.drag([at])

    def drag(self, places, *, release=True):
        """Press at the first of ``places``, move over the others, release at the last."""
        self.hover(places[0])
        self._send(QEvent.Type.MouseButtonPress, places[0], Qt.MouseButton.LeftButton)
        for before, place in pairwise(places):
            # A hand moves in small steps.
            for part in np.linspace(0, 1, 4)[1:]:
                at = (1 - part) * np.array(before) + part * np.array(place)
                self._send(QEvent.Type.MouseMove, at, Qt.MouseButton.LeftButton)
        if release:
            self.release(places[-1])

    def release(self, at):
        """Let the left button go."""
        QTest.qWait(20)
        self._send(QEvent.Type.MouseButtonRelease, at, Qt.MouseButton.NoButton)

    def hover(self, at):
        """Move the pointer there with no button pressed."""
        self._send(QEvent.Type.MouseMove, at, Qt.MouseButton.NoButton)
        QTest.qWait(20)

    def press(self, key):
        """Press and release a key, such as "A" or "Control-Z", on the canvas."""
        handler = self._viewer.window._qt_window._qt_viewer._key_map_handler
        handler.press_key(key)
        handler.release_key(key)

    def _send(self, kind, at, held):
        place = QPoint(*np.rint(self._on_canvas(at)).astype(int).tolist())
        button = Qt.MouseButton.NoButton if kind == QEvent.Type.MouseMove else Qt.MouseButton.LeftButton
        spot, everywhere = QPointF(place), QPointF(self._native.mapToGlobal(place))
        event = QMouseEvent(kind, spot, everywhere, button, held, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(self._native, event)
        if kind == QEvent.Type.MouseMove:
            QTest.qWait(20)  # napari looks at a moving mouse every 5 ms

    def _on_canvas(self, at):
        """Return x and y on the canvas of a place in the world."""
        to_world = partial(self._canvas._map_canvas2world, view=self._canvas.view)
        first, last = (np.array(to_world((edge, edge)))[[-1, -2]] for edge in (0, 100))
        return (np.array(at, float)[::-1] - first) / (last - first) * 100

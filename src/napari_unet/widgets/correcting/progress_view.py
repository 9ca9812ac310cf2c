"""A rolling curve of how many predicted objects are right as they are: the user sees when to stop."""

import time
from collections.abc import Sequence

from qtpy.QtCore import QPointF, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_unet.core.correcting.gestures import Gesture
from napari_unet.core.correcting.progress import ENOUGH, FEWEST, Progress, read_progress
from napari_unet.widgets.parts.form import Sentence, column_in

_HEIGHT = 44
_COLOUR = QColor("#f5a742")


class ProgressView(QWidget):
    """Says and draws how correcting goes, once enough objects were judged."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("correct_progress")
        column = column_in(self)
        self._sentence = Sentence("correct_progress_said")
        self._curve = _Curve()
        column.addWidget(self._sentence)
        column.addWidget(self._curve)
        self.show_gestures(())

    def show_gestures(self, gestures: Sequence[Gesture]) -> None:
        """Show how correcting goes that consists of these gestures, the oldest first."""
        progress = read_progress(gestures, time.time())
        self._sentence.say(progress.sentence)
        self._curve.show_progress(progress)


class _Curve(QWidget):
    """The share of objects that were right as predicted, object by object; a line is where it is enough."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("correct_progress_curve")
        self.setToolTip(
            "Share of the last 20 objects you judged that were right as predicted, from the first object to\n"
            "the last. Above the dotted line, correcting on changes little."
        )
        self.setFixedHeight(_HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._shares: list[float] = []

    def show_progress(self, progress: Progress) -> None:
        self._shares = progress.untouched.tolist()
        self.setVisible(len(self._shares) >= FEWEST)
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw the curve over the whole width."""
        super().paintEvent(event)
        if len(self._shares) < 2:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        width, height = self.width() - 4, self.height() - 4
        enough = 2 + (1 - ENOUGH) * height
        painter.setPen(QPen(self.palette().windowText().color(), 1, Qt.PenStyle.DotLine))
        painter.drawLine(QPointF(2, enough), QPointF(2 + width, enough))
        points = [
            QPointF(2 + width * index / (len(self._shares) - 1), 2 + (1 - share) * height)
            for index, share in enumerate(self._shares)
        ]
        painter.setPen(QPen(_COLOUR, 2))
        painter.drawPolyline(QPolygonF(points))
        painter.end()

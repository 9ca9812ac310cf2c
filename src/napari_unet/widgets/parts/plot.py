"""The live curve of a training: loss on the left axis, validation score on the right."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QLabel, QSizePolicy, QStackedLayout, QWidget

from napari_unet.network.events import StepDone, Validated
from napari_unet.network.model import History

_HEIGHT = 210
"""In pixels: enough to read the axes, and the buttons stay in sight on a laptop's screen."""

_DRAWN_POINTS = 600
"""Points to draw of a curve, about two per pixel: the cost of a repaint must not grow with the steps."""

# (on a light ground, on a dark ground): blue and orange, told apart by every common kind of colour vision.
_LOSS = (QColor("#1f6fb2"), QColor("#6fb7f2"))
_SCORE = (QColor("#b85c00"), QColor("#f5a742"))

_EMPTY = "The curve appears here while a network trains: the loss falls, the score rises."


class CurvePlot(QWidget):
    """Loss, on a logarithmic axis, and score of one training against its seconds.

    Colours follow the style sheet of the window, so napari's themes apply as soon as they are switched.
    pyqtgraph is imported with the first point: opening the dock does not wait for it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("curve_plot")
        self.setToolTip(
            "Loss (left) and score on the validation paint (right). The band is what the score may be on\n"
            "other strokes; a circle marks the kept network."
        )
        self.setFixedHeight(_HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._stack = QStackedLayout(self)
        self._empty = QLabel(_EMPTY)
        self._empty.setObjectName("curve_empty")
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._empty.setWordWrap(True)
        self._stack.addWidget(self._empty)
        self._view: _CurveView | None = None
        self.clear()

    def clear(self) -> None:
        """Delete all points: a new training begins."""
        self._steps: list[tuple[int, float, float, float]] = []  # step, seconds, loss, its running mean
        self._mean = RunningMean()
        self._scores: list[tuple[int, float, float, float, float]] = []  # step, seconds, score, low, high
        self._best: int | None = None  # index into _scores
        self._stack.setCurrentWidget(self._empty)

    def add(self, event: StepDone | Validated) -> None:
        """Take a point from an event; :meth:`repaint_curves` shows it."""
        if isinstance(event, StepDone):
            self._steps.append((event.step, event.seconds, event.loss, self._mean.add(event.loss)))
        else:
            if event.best:
                self._best = len(self._scores)
            self._scores.append((event.step, event.seconds, event.score, *event.interval))

    def show_history(self, history: History) -> None:
        """Show the curve of a training to continue."""
        self.clear()
        for step, seconds, loss in history.losses:
            self._steps.append((step, seconds, loss, self._mean.add(loss)))
        for index, (step, seconds, score, _, *interval) in enumerate(history.scores):
            # For models of the first release, the interval is not known: no band.
            low, high = interval or (score, score)
            self._scores.append((step, seconds, score, low, high))
            if step == history.best_step:
                self._best = index
        self.repaint_curves()

    def repaint_curves(self) -> None:
        """Draw the new points now."""
        if not self._steps and not self._scores:
            return
        if self._view is None:
            self._view = _CurveView()
            self._stack.addWidget(self._view.widget)
            self._recolour()
        self._stack.setCurrentWidget(self._view.widget)
        losses = np.asarray(self._steps, dtype=np.float64).reshape(-1, 4)
        scores = np.asarray(self._scores, dtype=np.float64).reshape(-1, 5)
        self._view.draw(
            losses=losses[:, (1, 2)],
            means=losses[:, (1, 3)],
            scores=scores[:, (1, 2)],
            interval=(scores[:, (1, 3)], scores[:, (1, 4)]),
            best=None if self._best is None else scores[self._best, (1, 2)],
        )

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Follow a switch of napari's theme."""
        super().changeEvent(event)
        if event is not None and event.type() in (QEvent.Type.StyleChange, QEvent.Type.PaletteChange):
            self._recolour()

    def _recolour(self) -> None:
        if self._view is not None:
            palette = self._empty.palette()
            roles = palette.ColorRole
            self._view.set_colours(palette.color(roles.WindowText), palette.color(roles.Window))


class _CurveView:
    """The pyqtgraph side: two view boxes that share the x axis."""

    def __init__(self) -> None:
        import pyqtgraph

        self.widget: Any = pyqtgraph.PlotWidget(background=None)
        self.widget.setObjectName("curve_view")
        # The wheel scrolls the dock; a curve that zooms away under it would look like lost data.
        self.widget.setMouseEnabled(x=False, y=False)
        self.widget.hideButtons()
        self.widget.setMenuEnabled(False)
        self.widget.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._plot = self.widget.getPlotItem()
        self._plot.showAxis("right")
        for axis in ("left", "right", "bottom"):
            self._plot.getAxis(axis).enableAutoSIPrefix(False)
        self._plot.setLabel("bottom", "training time (s)")
        # pyqtgraph lets labels stand out of their axis by 5 px and cuts them off there.
        self._plot.layout.setContentsMargins(0, 10, 6, 6)
        self._raw = self._plot.plot(name="loss of each step")
        self._smooth = self._plot.plot(name="loss")
        self._score_box = pyqtgraph.ViewBox(enableMenu=False, enableMouse=False)
        self._plot.scene().addItem(self._score_box)
        self._plot.getAxis("right").linkToView(self._score_box)
        self._score_box.setXLink(self._plot.getViewBox())
        self._score_box.setYRange(0, 1, padding=0.02)
        self._score = pyqtgraph.PlotDataItem(symbol="o", symbolSize=4)
        self._best = pyqtgraph.ScatterPlotItem(symbol="o", size=12)
        self._low, self._high = pyqtgraph.PlotDataItem(), pyqtgraph.PlotDataItem()
        self._plot.setLogMode(x=False, y=True)
        self._plot.getAxis("right").setLogMode(x=False, y=False)  # the line above sets every vertical axis
        self._band = pyqtgraph.FillBetweenItem(self._low, self._high)
        self._score_box.addItem(self._band)
        self._score_box.addItem(self._score)
        self._score_box.addItem(self._best)
        self._plot.getViewBox().sigResized.connect(self._align)
        self._align()

    def _align(self) -> None:
        """Lay the score's box over the loss's box: pyqtgraph does not do it for a second y axis."""
        self._score_box.setGeometry(self._plot.getViewBox().sceneBoundingRect())

    def draw(
        self,
        *,
        losses: NDArray[np.float64],
        means: NDArray[np.float64],
        scores: NDArray[np.float64],
        interval: tuple[NDArray[np.float64], NDArray[np.float64]],
        best: NDArray[np.float64] | None,
    ) -> None:
        """Show (n, 2) arrays of x and y, the lower and the upper edge of a band, and the kept network."""
        self._plot.getAxis("left").setTicks([decade_ticks(losses[:, 1])])
        curves = (self._raw, self._smooth, self._score, self._low, self._high)
        for curve, points in zip(curves, (losses, means, scores, *interval), strict=True):
            curve.setData(*thin(points).T)
        self._best.setData(*([[value] for value in best] if best is not None else ([], [])))
        self._align()

    def set_colours(self, text: QColor, ground: QColor) -> None:
        """Take the text and background colour of the theme, and the line colours that stand out on it."""
        import pyqtgraph

        self.widget.setBackground(ground)
        dark = ground.lightness() < 128
        loss, score = _LOSS[dark], _SCORE[dark]
        faint = QColor(loss)
        faint.setAlpha(60)
        self._raw.setPen(pyqtgraph.mkPen(faint, width=1))
        self._smooth.setPen(pyqtgraph.mkPen(loss, width=2))
        self._score.setPen(pyqtgraph.mkPen(score, width=2))
        band = QColor(score)
        band.setAlpha(45)
        self._band.setBrush(pyqtgraph.mkBrush(band))
        self._band.setPen(pyqtgraph.mkPen(None))
        self._score.setSymbolBrush(score)
        self._score.setSymbolPen(score)
        self._best.setPen(pyqtgraph.mkPen(score, width=2))
        self._best.setBrush(None)
        for name, colour, label in (
            ("left", loss, "loss"),
            ("right", score, "score"),
            ("bottom", text, None),
        ):
            axis = self._plot.getAxis(name)
            axis.setPen(pyqtgraph.mkPen(text, width=1))
            axis.setTextPen(colour)
            if label is not None:
                axis.setLabel(label, color=colour.name())


def decade_ticks(values: NDArray[np.float64]) -> list[tuple[float, str]]:
    """Return (log10, text) of the ticks of a logarithmic axis around the positive ``values``.

    They are 1, 2, ... 9 x 10**k where the values are close together, 1, 2, 3, 5 x 10**k further apart,
    1, 2, 5 x 10**k over some decades and 10**k over many: their texts do not touch.
    """
    positive = values[np.isfinite(values) & (values > 0)]
    if not positive.size:
        return []
    low, high = positive.min(), positive.max()
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    spread = high / low if low < high else 10.0  # for a single value, a decade is shown
    digits = (
        range(1, 10) if spread < 2 else (1, 2, 3, 5) if spread < 6 else (1, 2, 5) if spread < 1000 else (1,)
    )
    ticks = [digit * 10.0**k for k in range(first, last + 1) for digit in digits]
    return [(math.log10(tick), f"{tick:g}") for tick in ticks]


class RunningMean:
    """Exponential running mean, free of a pull towards its start (the bias correction of Kingma & Ba, 2015).

    After ``n`` values it is ``sum(keep**(n-i) x_i) / sum(keep**(n-i))``: the loss of single batches is too
    noisy to read. Values that are not finite are left out.
    """

    def __init__(self, keep: float = 0.97) -> None:
        self._keep = keep
        self._sum = self._weight = 0.0

    def add(self, value: float) -> float:
        """Return the mean that includes ``value``; NaN before the first finite one."""
        if math.isfinite(value):
            self._sum = self._keep * self._sum + value
            self._weight = self._keep * self._weight + 1.0
        return self._sum / self._weight if self._weight else math.nan


def thin(points: NDArray[np.float64], limit: int = _DRAWN_POINTS) -> NDArray[np.float64]:
    """Return at most ``limit`` of the (n, 2) ``points``, keeping every peak and dip that a screen could show.

    The points are cut into equal runs; of each, the lowest and the highest remain, in their order. First and
    last always remain.
    """
    n = len(points)
    if n <= limit:
        return points
    runs = np.array_split(np.arange(1, n - 1), (limit - 2) // 2)
    keep = {0, n - 1}
    for run in runs:
        keep.add(int(run[np.argmin(points[run, 1])]))
        keep.add(int(run[np.argmax(points[run, 1])]))
    return points[sorted(keep)]

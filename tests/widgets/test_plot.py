"""The live curve: what it draws, how often, and in which colours."""

import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qtpy.QtGui import QColor

from napari_unet.network.events import StepDone, Validated
from napari_unet.network.model import History
from napari_unet.widgets.parts.plot import CurvePlot, RunningMean, decade_ticks, thin

POINTS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400)


@pytest.fixture
def plot(qtbot):
    widget = CurvePlot()
    qtbot.addWidget(widget)
    widget.show()
    return widget


def curves(plot):
    """(loss, mean, score, best) as drawn, each (x, y)."""
    view = plot._view
    return [item.getOriginalDataset() for item in (view._raw, view._smooth, view._score)] + [
        view._best.getData(),
    ]


@given(POINTS, st.integers(4, 60))
def test_thin_keeps_ends_and_extremes_in_order(values, limit):
    points = np.column_stack([np.arange(len(values)), values])
    thinned = thin(points, limit)
    assert len(thinned) <= max(limit, 2)
    assert (np.diff(thinned[:, 0]) > 0).all()
    assert thinned[0, 0] == 0
    assert thinned[-1, 0] == len(values) - 1
    assert thinned[:, 1].min() == min(values)
    assert thinned[:, 1].max() == max(values)


@given(POINTS, st.floats(0.0, 0.99))
def test_running_mean_is_the_weighted_mean_of_its_formula(values, keep):
    mean = RunningMean(keep)
    result = [mean.add(value) for value in values][-1]
    weights = keep ** np.arange(len(values))[::-1]
    assert result == pytest.approx(np.average(values, weights=weights), abs=1e-6 * (1 + np.abs(values).max()))


def test_running_mean_passes_over_what_is_not_finite():
    mean = RunningMean(0.5)
    assert math.isnan(mean.add(math.nan))
    assert mean.add(3.0) == 3.0
    assert mean.add(math.inf) == 3.0
    assert mean.add(3.0) == 3.0


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0.5, 0.9], [f"{0.1 * k:g}" for k in range(1, 10)] + [str(k) for k in range(1, 10)]),
        ([0.09, 0.45], ["0.01", "0.02", "0.03", "0.05", "0.1", "0.2", "0.3", "0.5", "1", "2", "3", "5"]),
        ([0.1, 0.9], ["0.1", "0.2", "0.5", "1", "2", "5"]),
        ([0.4, 0.4], ["0.1", "0.2", "0.5", "1", "2", "5"]),
        ([1e-4, 1.0], ["0.0001", "0.001", "0.01", "0.1", "1"]),
        ([0.0, math.nan], []),
        ([], []),
    ],
)
def test_ticks_of_the_logarithmic_axis(values, texts):
    ticks = decade_ticks(np.array(values, dtype=float))
    assert [text for _, text in ticks] == texts
    assert all(10**position == pytest.approx(float(text)) for position, text in ticks)


def test_empty_plot_says_what_will_appear(plot):
    assert "appears here while a network trains" in plot._stack.currentWidget().text()


def test_draws_losses_and_scores_and_marks_the_last_best(plot):
    for step in range(1, 4):
        plot.add(StepDone(step, 1.0 / step, step * 10.0))
    intervals = ((0.1, 0.4), (0.6, 0.9), (0.3, 1.0))
    for step, score, best in ((1, 0.25, True), (2, 0.75, True), (3, 0.5, False)):
        interval = intervals[step - 1]
        plot.add(Validated(step, score, 0.1, step * 10.0, "held-out", best, interval, 6))
    plot.repaint_curves()
    loss, _, score, best = curves(plot)
    np.testing.assert_allclose(loss, ([10, 20, 30], [1, 1 / 2, 1 / 3]))
    np.testing.assert_allclose(score, ([10, 20, 30], [0.25, 0.75, 0.5]))
    np.testing.assert_allclose(best, ([20], [0.75]))

    for item, bound in ((plot._view._low, [0.1, 0.6, 0.3]), (plot._view._high, [0.4, 0.9, 1.0])):
        np.testing.assert_allclose(item.getOriginalDataset(), ([10, 20, 30], bound))
    band = plot._view._band.path().boundingRect()
    assert (band.left(), band.right(), band.top(), band.bottom()) == pytest.approx((10, 30, 0.1, 1.0))
    assert 0 < plot._view._band.brush().color().alpha() < 128


def test_axes_loss_logarithmic_score_always_from_0_to_1(plot):
    plot.add(StepDone(1, 0.5, 1.0))
    plot.repaint_curves()
    item = plot._view._plot
    assert item.getAxis("left").logMode
    assert not item.getAxis("right").logMode
    low, high = plot._view._score_box.viewRange()[1]
    assert -0.1 < low <= 0
    assert 1 <= high < 1.1


def test_losses_that_a_logarithm_cannot_take_are_survived(plot):
    for step, loss in enumerate([0.0, math.nan, math.inf, -1.0, 0.5], start=1):
        plot.add(StepDone(step, loss, float(step)))
    plot.repaint_curves()  # warnings are errors here
    plot.grab()


def test_clear_empties_it_for_the_next_training(plot):
    plot.add(StepDone(1, 0.5, 1.0))
    plot.add(Validated(1, 0.5, 0.5, 1.0, "training", True))
    plot.repaint_curves()
    plot.clear()
    assert plot._stack.currentWidget() is plot._empty
    plot.add(StepDone(1, 0.25, 2.0))
    plot.repaint_curves()
    loss, _, score, best = curves(plot)
    np.testing.assert_allclose(loss, ([2.0], [0.25]))
    assert score[0] is None or len(score[0]) == 0
    assert len(best[0]) == 0


def test_very_many_points_are_thinned_out(plot):
    for step in range(50_000):
        plot.add(StepDone(step, 1.0 + (step % 7), step * 0.1))
    plot.repaint_curves()
    assert max(len(x) for x, _ in curves(plot)[:2]) <= 600


def test_colours_follow_the_style_sheet(plot, qtbot):
    """As napari's themes do: a style sheet on the window, replaced while the plot is shown."""
    plot.add(StepDone(1, 1.0, 0.0))
    plot.repaint_curves()
    for text, ground in (("#ffffff", "#202020"), ("#101010", "#f0f0f0")):
        plot.setStyleSheet(f"QWidget {{color: {text}; background-color: {ground};}}")
        view = plot._view
        assert view.widget.backgroundBrush().color() == QColor(ground)
        line = view._smooth.opts["pen"].color()
        assert abs(line.lightness() - QColor(ground).lightness()) > 60
        assert view._plot.getAxis("bottom").textPen().color() == QColor(text)


def test_pyqtgraph_waits_for_the_first_point(qtbot, monkeypatch):
    monkeypatch.delitem(sys.modules, "pyqtgraph", raising=False)
    widget = CurvePlot()
    qtbot.addWidget(widget)
    assert "pyqtgraph" not in sys.modules


def test_the_curve_of_a_training_that_goes_on_is_shown_first(plot):
    history = History(
        losses=((1, 0.5, 0.9), (2, 1.0, 0.8)),
        scores=((1, 0.5, 0.3, 0.9), (2, 1.0, 0.2, 0.9), (2, 1.0, 0.6, 0.9)),
        best_step=2,
    )
    plot.add(StepDone(99, 0.1, 99.0))
    plot.show_history(history)
    plot.add(StepDone(3, 0.7, 1.5))
    plot.repaint_curves()
    loss, _, score, best = curves(plot)
    np.testing.assert_array_equal(loss[0], [0.5, 1.0, 1.5])
    np.testing.assert_array_equal(score[1], [0.3, 0.2, 0.6])
    assert best[1][0] == 0.6

"""The Evaluate dock with real threads: scores in words and numbers, errors as a layer, one by one."""

import csv
import threading

import numpy as np
import pytest
from dock_helpers import discs, say
from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QAbstractButton, QComboBox, QWidget

from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.core.scoring.label_errors import ErrorKind
from napari_unet.core.scoring.score_table import MEANINGS
from napari_unet.widgets import evaluate as module
from napari_unet.widgets.bridge.layers import add_error_map, add_result, make_annotation
from napari_unet.widgets.bridge.marks import set_mode
from napari_unet.widgets.evaluate import EvaluateDock
from napari_unet.widgets.scoring.evaluation_run import PlanesDone, compare_labels


def labels_of(*boxes, shape=(40, 60)):
    labels = np.zeros(shape, np.int32)
    for number, box in enumerate(boxes, start=1):
        labels[box] = number
    return labels


RIGHT = np.s_[2:10, 2:10]
TRUE = labels_of(RIGHT, np.s_[2:10, 20:28], np.s_[20:30, 20:24], np.s_[20:30, 26:30], np.s_[30:38, 40:56])
PREDICTED = labels_of(
    RIGHT, np.s_[20:30, 20:30], np.s_[30:38, 40:47], np.s_[30:38, 49:56], np.s_[12:15, 50:54]
)
# One right, one missed, two merged, one split, one invented.


@pytest.fixture
def dock(viewer, qtbot):
    dock = EvaluateDock(viewer)
    qtbot.addWidget(dock)
    return dock


@pytest.fixture
def compared(viewer, dock, qtbot):
    viewer.add_labels(TRUE.copy(), name="truth")
    viewer.add_labels(PREDICTED.copy(), name="found", scale=(2, 3), translate=(10, 20))
    run(dock, qtbot)
    return dock


def run(dock, qtbot):
    dock.start()
    qtbot.waitUntil(lambda: dock._job is None, timeout=30_000)


def press(dock, qtbot, name):
    qtbot.mouseClick(dock.findChild(QAbstractButton, name), Qt.MouseButton.LeftButton)


def shown(dock):
    table = dock.table
    return {table.item(row, 0).text(): table.item(row, 1).text() for row in range(table.rowCount())}


# The computation.


def test_planes_are_told_and_errors_are_of_the_whole_stack():
    stack = [np.stack([labels] * 3) for labels in (PREDICTED, TRUE)]
    *planes, result = compare_labels(*stack, 2, Control())
    assert planes == [PlanesDone(done, 3) for done in (1, 2, 3)]
    assert (result.errors.shape, result.scores.n_true, len(result.sites)) == ((3, 40, 60), 15, 12)
    *planes, result = compare_labels(*stack, None, Control())
    assert (planes, result.scores.n_true, len(result.sites)) == ([PlanesDone(1, 1)], 5, 4)


def test_a_stop_is_heard_at_the_next_plane():
    control = Control()
    events = []
    for event in compare_labels(np.ones((3, 4, 4), int), np.ones((3, 4, 4), int), 2, control):
        events.append(event)
        control.stop()
    assert events == [PlanesDone(1, 3)]


def test_results_in_words():
    *_, result = compare_labels(PREDICTED, TRUE, None, Control())
    assert (
        result.sentence() == "1 of 5 true objects found; 4 of 5 predicted ones fit none; 1 split, 1 merged."
    )
    *_, result = compare_labels(TRUE * 0, TRUE * 0, None, Control())
    assert "agree" in result.sentence()
    for pair, name in ((PREDICTED, TRUE > 0), "truth"), ((PREDICTED > 0, TRUE), "prediction"):
        *_, result = compare_labels(*(labels.astype(np.int32) for labels in pair), None, Control())
        assert f"The {name} holds one object, and what it is compared with holds 5; if" in result.sentence()


# The map.


def test_the_map_is_placed_as_the_labels_and_updated_until_the_user_edits_it(viewer):
    found = viewer.add_labels(PREDICTED.copy(), name="found", scale=(2, 3), translate=(10, 20), rotate=30)
    errors = np.zeros((40, 60), np.uint8)
    errors[:4] = ErrorKind.SPLIT
    first = add_error_map(viewer, found, errors)
    assert (first.name, viewer.layers[-1]) == ("errors of found", first)
    np.testing.assert_allclose(first.extent.world, found.extent.world)
    assert "error: split" in first.get_status((10, 20), world=True)["value"]
    assert first.get_color(ErrorKind.SPLIT)[3] == 1
    assert 0 < first.colormap.map(0)[3] < 1  # what is right is dimmed
    second = add_error_map(viewer, found, errors * 0)
    assert second is first
    assert not first.data.any()
    first.data[0, 0] = 1
    assert add_error_map(viewer, found, errors) is not first
    viewer.layers.remove(found)
    with pytest.raises(InputError, match="'found' is no longer in the viewer"):
        add_error_map(viewer, found, errors)


# The dock.


def test_scores_and_what_they_mean(compared, qtbot):
    assert say(compared, "evaluate_status").startswith("1 of 5 true objects found")
    values = shown(compared)
    assert (values["True objects"], values["Splits"], values["Merges"]) == ("5", "1", "1")
    assert values["Recall"] == "0.200"
    for row, meaning in enumerate(MEANINGS.values()):
        assert compared.table.item(row, 0).toolTip() == compared.table.item(row, 1).toolTip()
        assert compared.table.item(row, 0).toolTip() == meaning.sentence
    legend = compared.findChild(QWidget, "evaluate_legend").text()
    assert "missed&nbsp;1" in legend
    assert "merged&nbsp;1" in legend


def test_the_table_is_copied_for_spreadsheets_and_text(compared, qtbot):
    press(compared, qtbot, "evaluate_copy")
    data = QGuiApplication.clipboard().mimeData()
    lines = data.text().split("\r\n")
    assert lines[0] == "Score\tValue"
    assert "Splits\t1" in lines
    table = dict(csv.reader(bytes(data.data("text/csv")).decode().splitlines()))
    assert table == {"Score": "Value"} | shown(compared)


def test_errors_become_a_layer_that_is_no_choice(viewer, compared, qtbot):
    press(compared, qtbot, "evaluate_show")
    errors = viewer.layers["errors of found"]
    kinds = {tuple(at): errors.data[tuple(at)] for at in [(3, 3), (3, 22), (25, 22), (33, 45), (13, 52)]}
    assert list(kinds.values()) == [
        0,
        ErrorKind.MISSED,
        ErrorKind.MERGED,
        ErrorKind.SPLIT,
        ErrorKind.INVENTED,
    ]
    np.testing.assert_array_equal(errors.scale, (2, 3))
    for chooser in (compared.prediction, compared.truth):
        assert {chooser.itemText(index) for index in range(chooser.count())} == {"truth", "found"}
    press(compared, qtbot, "evaluate_show")
    assert len(viewer.layers) == 3


def test_the_view_moves_from_error_to_error(viewer, compared, qtbot):
    viewer.scene.camera.zoom = 0.01
    press(compared, qtbot, "evaluate_next")
    assert say(compared, "evaluate_place") == "Error 1 of 4: split, 128 pixels."
    # The middle of rows 30 to 37 and columns 40 to 55, in world coordinates.
    assert viewer.scene.camera.center[1:] == pytest.approx((10 + 2 * 33.5, 20 + 3 * 47.5))
    assert viewer.scene.camera.zoom > 1
    viewer.scene.camera.zoom = 500  # who looks closer goes on doing so
    press(compared, qtbot, "evaluate_next")
    assert viewer.scene.camera.zoom == 500
    for _ in range(3):
        press(compared, qtbot, "evaluate_next")
    assert say(compared, "evaluate_place").startswith("Error 1 of 4")


def test_the_view_moves_to_the_plane_of_an_error(viewer, dock, qtbot):
    truth = np.stack([PREDICTED, PREDICTED, TRUE])
    viewer.add_labels(truth, name="truth", scale=(5, 1, 1))
    viewer.add_labels(np.stack([PREDICTED] * 3), name="found", scale=(5, 1, 1))
    dock.prediction.choose(viewer.layers["found"])
    run(dock, qtbot)
    press(dock, qtbot, "evaluate_next")
    assert viewer.dims.current_step[0] == 2
    assert viewer.dims.point[0] == 10


def test_a_stack_is_compared_by_plane_or_as_a_volume(viewer, dock, qtbot):
    extent = dock.findChild(QComboBox, "evaluate_extent")
    assert extent.isHidden()
    for name in ("truth", "found"):
        viewer.add_labels(np.stack([TRUE, TRUE]), name=name)
    assert not extent.isHidden()
    run(dock, qtbot)
    assert shown(dock)["True objects"] == "10"
    extent.setCurrentIndex(1)
    run(dock, qtbot)
    assert shown(dock)["True objects"] == "5"
    assert not dock.findChild(QWidget, "evaluate_show").isEnabled()  # nothing is wrong


def test_the_prediction_is_chosen_by_itself_and_the_truth_is_another_layer(viewer, dock):
    image = viewer.add_image(discs((40, 60)), name="cells")
    add_result(viewer, image, "objects", PREDICTED)
    viewer.add_labels(TRUE.copy(), name="truth")
    assert (dock.prediction.labels.name, dock.truth.labels.name) == ("cells objects", "truth")


def test_paint_is_taken_for_what_it_is(viewer, dock, qtbot):
    image = viewer.add_image(discs((40, 60)), name="cells")
    paint = make_annotation(viewer, image)
    paint.data[:] = np.where(TRUE > 0, TRUE + 1, 1)
    viewer.add_labels(TRUE.copy(), name="found")
    dock.truth.choose(paint)
    dock.prediction.choose(viewer.layers["found"])
    run(dock, qtbot)
    assert say(dock, "evaluate_status") == (
        "5 of 5 true objects found; 0 of 5 predicted ones fit none; 0 split, 0 merged. "
        "Unpainted pixels counted as background."
    )
    set_mode(paint, "classes")
    dock.start()
    assert "shows classes" in say(dock, "evaluate_status")
    assert dock._job is None


def test_labels_that_are_edited_while_they_are_compared_are_told_at_the_end(viewer, dock, qtbot, monkeypatch):
    goes_on, compare = threading.Event(), module.compare_labels

    def compare_later(*given):
        goes_on.wait(10)
        yield from compare(*given)

    monkeypatch.setattr(module, "compare_labels", compare_later)
    viewer.add_labels(TRUE.copy(), name="truth")
    found = viewer.add_labels(PREDICTED.copy(), name="found")
    dock.start()
    found.data_setitem((np.arange(3), np.arange(3)), 9)
    goes_on.set()
    qtbot.waitUntil(lambda: dock._job is None, timeout=30_000)
    assert "changed since; evaluate again" in say(dock, "evaluate_status")
    run(dock, qtbot)
    assert "true objects found" in say(dock, "evaluate_status")


# What goes wrong.


def test_what_cannot_be_compared_is_told(viewer, dock):
    dock.start()
    assert "no labels" in say(dock, "evaluate_status")
    viewer.add_labels(TRUE.copy(), name="truth")
    assert say(dock, "evaluate_status") == ""
    dock.start()
    assert "same layer 'truth'" in say(dock, "evaluate_status")
    assert "Convert to Labels" in say(dock, "evaluate_status")
    viewer.add_labels(TRUE[:20], name="part")
    assert say(dock, "evaluate_status") == ""
    dock.start()
    assert "(40, 60)" in say(dock, "evaluate_status")
    assert "(20, 60)" in say(dock, "evaluate_status")


def test_a_failure_in_the_thread_is_told_and_the_next_start_works(viewer, dock, qtbot):
    viewer.add_labels(-TRUE, name="negative")
    viewer.add_labels(PREDICTED.copy(), name="found")
    run(dock, qtbot)
    assert "negative in places (down to -5)" in say(dock, "evaluate_status")
    viewer.layers["negative"].data = TRUE
    run(dock, qtbot)
    assert "1 of 5" in say(dock, "evaluate_status")


@pytest.fixture
def held(monkeypatch):
    """Let comparisons wait for this event."""
    go = threading.Event()

    def wait(*arguments):
        go.wait(20)
        yield from compare_labels(*arguments)

    monkeypatch.setattr(module, "compare_labels", wait)
    return go


def test_a_layer_deleted_meanwhile_leaves_scores_and_a_sentence(viewer, dock, held, qtbot):
    viewer.add_labels(TRUE.copy(), name="truth")
    viewer.add_labels(PREDICTED.copy(), name="found")
    dock.start()
    viewer.layers.clear()
    held.set()
    qtbot.waitUntil(lambda: dock._job is None, timeout=30_000)
    assert shown(dock)["Splits"] == "1"
    press(dock, qtbot, "evaluate_show")
    assert "no longer in the viewer" in say(dock, "evaluate_status")
    assert not viewer.layers


def test_cancel(viewer, dock, held, qtbot):
    for name in ("truth", "found"):
        viewer.add_labels(np.stack([TRUE, TRUE]), name=name)
    dock.start()
    dock.start()  # a second one does nothing
    dock.stop()
    held.set()
    qtbot.waitUntil(lambda: dock._job is None, timeout=30_000)
    assert "Cancelled" in say(dock, "evaluate_status")
    assert dock.findChild(QWidget, "evaluate_scores").parent().isHidden()


def test_a_dock_that_is_closed_stops(viewer, held, qtbot):
    for name in ("truth", "found"):
        viewer.add_labels(np.stack([TRUE, TRUE]), name=name)
    window = QWidget()
    qtbot.addWidget(window)
    dock = EvaluateDock(viewer)
    dock.setParent(window)
    qtbot.addWidget(dock)
    dock.start()
    dock.setParent(None)
    held.set()
    qtbot.waitUntil(lambda: dock._job is None, timeout=30_000)
    assert "Cancelled" in say(dock, "evaluate_status")


def test_edits_make_scores_old_and_another_choice_takes_them_away(viewer, compared, qtbot):
    found = viewer.layers["found"]
    found.paint((5, 5), 7)
    assert "evaluate again" in say(compared, "evaluate_status")
    run(compared, qtbot)
    assert "true objects found" in say(compared, "evaluate_status")
    viewer.add_labels(TRUE.copy(), name="other")
    assert not compared.table.parent().isHidden()
    compared.truth.choose(viewer.layers["other"])
    assert compared.table.parent().isHidden()
    assert say(compared, "evaluate_status") == ""


def test_every_control_has_a_name_and_a_tooltip(compared):
    controls = [
        *compared.findChildren(QAbstractButton),
        *compared.findChildren(QComboBox),
        compared.table,
    ]
    named = [control for control in controls if control.objectName().startswith("evaluate_")]
    assert len(named) == 9
    for control in named:
        assert control.toolTip()
        assert control.focusPolicy() & Qt.FocusPolicy.TabFocus


def test_in_a_window(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    viewer.add_image(discs((40, 60)), name="cells")
    viewer.add_labels(TRUE.copy(), name="truth")
    viewer.add_labels(PREDICTED.copy(), name="found")
    dock = EvaluateDock(viewer)
    viewer.window.add_dock_widget(dock, name="Evaluate")
    run(dock, qtbot)
    press(dock, qtbot, "evaluate_show")
    dock.table.setFocus()
    qtbot.keyClick(dock.table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert "Splits\t1" in QGuiApplication.clipboard().text()
    dock.findChild(QAbstractButton, "evaluate_next").setFocus()
    qtbot.keyClick(dock.findChild(QAbstractButton, "evaluate_next"), Qt.Key.Key_Space)
    assert "Error 1 of 4" in say(dock, "evaluate_place")
    assert isinstance(viewer.layers["errors of found"], Labels)
    # The split object, in the middle of the canvas, has its colour, mixed with what is below.
    red, green, blue, _ = viewer.screenshot(canvas_only=True).reshape(-1, 4).T
    assert ((red > 150) & (green > 140) & (blue < 120)).sum() > 1000


def test_classes_are_not_offered_as_they_cannot_be_compared(dock, viewer):
    image = viewer.add_image(np.ones((9, 9)), name="cells")
    add_result(viewer, image, "classes", np.ones((9, 9), np.uint8))
    objects = add_result(viewer, image, "objects", np.eye(9, dtype=np.int32))
    truth = viewer.add_labels(np.eye(9, dtype=int), name="truth")
    assert dock.truth.labels is truth
    assert dock.prediction.labels is objects
    assert dock.truth.count() == 2

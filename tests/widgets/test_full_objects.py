"""Which paint is full, from the tick and the corrections to what the network is taught."""

import numpy as np
import pytest
from dock_helpers import discs, paint_on, say, tiny_training, train

from napari_unet.core.painted.known_full import KnownFull
from napari_unet.files.networks.models import load_model
from napari_unet.widgets import train as train_module
from napari_unet.widgets.bridge import layers as bridge
from napari_unet.widgets.bridge import marks
from napari_unet.widgets.paint import PaintDock
from napari_unet.widgets.train import TrainDock
from napari_unet.widgets.training.paint_tally import ImagePaint, describe_paint
from napari_unet.widgets.weights import WeightsDock


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def dock(viewer, qtbot):
    dock = PaintDock(viewer)
    qtbot.addWidget(dock)
    return dock


def add_image(viewer, name="cells"):
    return viewer.add_image(discs(), name=name)


def fill_box(layer, value, rows, columns):
    layer.data_setitem(tuple(np.mgrid[rows, columns].reshape(2, -1)), value)


def full_values(paint):
    return marks.known_full_of(paint).within(bridge.copy_paint(paint))


def predict_two(viewer, image):
    """Show two predicted objects and erase three rows of the first."""
    objects = np.zeros((64, 64), np.int32)
    objects[5:15, 5:15], objects[20:30, 20:30] = 1, 2
    result = bridge.add_result(viewer, image, "objects", objects)
    fill_box(result, 0, slice(5, 8), slice(5, 15))
    return result


def choose_mode(dock, mode):
    dock.mode_choice.setCurrentIndex(dock.mode_choice.findData(mode))


# The tick.


def test_the_tick_belongs_to_the_paint_of_each_image(viewer, dock):
    first = add_image(viewer)
    assert not dock.filled.isEnabled()
    dock.make()
    assert dock.filled.isEnabled()
    assert not dock.filled.isChecked()
    dock.filled.click()
    assert full_values(dock.annotation) is True
    second = add_image(viewer, "others")
    dock.image.choose(second)
    assert not dock.filled.isChecked()
    dock.make()
    assert not dock.filled.isChecked()
    assert full_values(dock.annotation) is False
    dock.image.choose(first)
    assert dock.filled.isChecked()
    viewer.layers.selection.active = second
    viewer.layers.selection.active = dock.annotation
    dock.brushes.next.click()
    assert dock.filled.isChecked()
    dock.filled.click()
    assert full_values(dock.annotation) is False


def test_classes_have_no_border_to_be_filled_to(viewer, dock):
    add_image(viewer)
    dock.make()
    dock.filled.click()
    tooltip = dock.filled.toolTip()
    assert "Do not tick" in tooltip
    choose_mode(dock, "classes")
    assert not dock.filled.isEnabled()
    assert "Only for objects" in dock.filled.toolTip()
    choose_mode(dock, "objects")
    assert dock.filled.isEnabled()
    assert dock.filled.isChecked()
    assert dock.filled.toolTip() == tooltip


def test_two_docks_show_the_same_tick_and_mode(viewer, dock, qtbot):
    other = PaintDock(viewer)
    qtbot.addWidget(other)
    add_image(viewer)
    dock.make()
    dock.filled.click()
    assert other.filled.isChecked()
    choose_mode(other, "classes")
    assert dock.mode == "classes"
    assert not dock.filled.isEnabled()


def test_a_tick_is_told_as_a_change_of_the_paint(viewer, dock, qtbot):
    add_image(viewer)
    dock.make()
    with qtbot.waitSignal(dock.annotation_changed, timeout=5000):
        pass
    with qtbot.waitSignal(dock.annotation_changed, timeout=5000):
        dock.filled.click()


def test_the_mode_chosen_before_the_layer_is_made_is_its_mode(viewer, dock):
    add_image(viewer)
    choose_mode(dock, "classes")
    dock.make()
    assert marks.mode_of(dock.annotation) == "classes"


def test_a_stroke_that_is_said_to_be_full_is_not_doubted(viewer, dock, qtbot):
    add_image(viewer)
    dock.make()
    fill_box(dock.annotation, 1, slice(0, 10), slice(0, 20))
    fill_box(dock.annotation, 2, slice(20, 22), slice(0, 60))
    fill_box(dock.annotation, 3, slice(24, 26), slice(0, 60))
    dock.filled.click()
    qtbot.waitUntil(lambda: "2 objects" in dock.summary.text(), timeout=5000)
    assert dock.advice.text() == ""


# Corrections.


def test_corrected_objects_are_full_until_they_are_painted_on(viewer, dock):
    image = add_image(viewer)
    dock.make()
    paint = dock.annotation
    fill_box(paint, 2, slice(50, 52), slice(0, 30))  # a stroke
    predict_two(viewer, image)
    dock.corrections.take()
    assert full_values(paint) == {3}
    assert not dock.filled.isChecked()
    fill_box(paint, 1, slice(40, 42), slice(0, 30))
    assert full_values(paint) == {3}  # nothing to do with it
    fill_box(paint, 1, slice(10, 11), slice(0, 30))  # across it
    assert full_values(paint) is False
    paint.undo()
    assert full_values(paint) == {3}
    paint.redo()
    assert full_values(paint) is False
    paint.undo()
    fill_box(paint, 0, slice(0, 20), slice(0, 20))
    assert full_values(paint) is False
    paint.undo()
    paint.undo()
    paint.undo()  # of the corrections
    assert 3 not in paint.data
    assert full_values(paint) is False
    paint.redo()
    assert full_values(paint) == {3}


def test_corrections_taken_again_are_full_as_they_are_then_and_as_they_were_before(viewer, dock):
    image = add_image(viewer)
    dock.make()
    paint = dock.annotation
    result = predict_two(viewer, image)
    dock.corrections.take()
    fill_box(result, 0, slice(8, 10), slice(5, 15))
    dock.corrections.take()
    assert paint.data[12, 12] == 2
    assert paint.data[8, 8] == 1
    assert full_values(paint) == {2}
    paint.undo()
    assert paint.data[8, 8] == 2
    assert full_values(paint) == {2}


def test_what_was_drawn_where_nothing_was_predicted_may_be_a_stroke(viewer, dock):
    image = add_image(viewer)
    dock.make()
    result = predict_two(viewer, image)
    fill_box(result, 9, slice(50, 52), slice(0, 30))
    dock.corrections.take()
    assert "2 objects" in dock.corrections.said.text()
    assert full_values(dock.annotation) == {2}


def test_corrected_classes_and_what_the_paint_holds_already(viewer, dock):
    image = add_image(viewer)
    dock.make()
    fill_box(dock.annotation, 2, slice(8, 15), slice(5, 15))
    fill_box(dock.annotation, 1, slice(5, 8), slice(5, 15))
    predict_two(viewer, image)
    dock.corrections.take()
    assert "holds these corrections already" in dock.corrections.said.text()
    assert full_values(dock.annotation) == {2}
    choose_mode(dock, "classes")
    result = bridge.add_result(viewer, image, "classes", np.ones((64, 64), np.uint8))
    fill_box(result, 3, slice(40, 45), slice(40, 45))
    dock.corrections.take()
    assert 3 in dock.annotation.data
    assert full_values(dock.annotation) == {2}


# What the network is taught.


@pytest.fixture
def train_dock(viewer, qtbot, monkeypatch):
    tiny_training(monkeypatch)
    dock = TrainDock(viewer)
    qtbot.addWidget(dock)
    return dock


def test_every_paint_goes_to_the_training_with_what_is_full_of_it(
    viewer, dock, train_dock, qtbot, monkeypatch
):
    seen = []

    def spy(taught, _config, **_rest):
        values = [np.unique(paint).tolist() for paint in taught.paints]
        seen.append((values, taught.full, len(taught.validation[0])))
        return iter(())

    monkeypatch.setattr(train_module, "train_and_save", spy)
    images = {name: add_image(viewer, name) for name in ("plain", "ticked", "corrected", "scored")}
    paints = {name: paint_on(viewer, image) for name, image in images.items()}
    marks.set_filled(paints["ticked"], True)
    marks.set_filled(paints["scored"], True)
    dock.image.choose(images["corrected"])
    predict_two(viewer, images["corrected"])
    dock.corrections.take()
    train_dock.form.image.choose(images["plain"])
    train_dock.form.all_painted.setChecked(True)
    train_dock.form._validation.choose(images["scored"])
    train(train_dock, qtbot)
    ((values, full, scored),) = seen
    assert values == [[0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3, 4]]
    assert full == [False, True, {4}]
    assert scored == 1


def test_a_real_training_learns_depth_where_objects_are_filled(viewer, train_dock, qtbot):
    marks.set_filled(paint_on(viewer, add_image(viewer)), True)
    train(train_dock, qtbot)
    assert load_model(train_dock._last_path).network.distance


# The sentence before Start.


def told(*values, mode="objects", full=False, accepted=()):
    paint = np.array([values], np.int32)
    return ImagePaint(paint, mode, KnownFull(filled=full).accept(paint, accepted))


@pytest.mark.parametrize(
    ("paints", "sentence"),
    [
        ([], ""),
        ([told(0, 0)], ""),
        ([told(0, 1)], "Painted: 1 image, 0 objects."),
        ([told(1, 2)], "Painted: 1 image, 1 object."),
        ([told(1, 2, full=True)], "Painted: 1 image, 1 object, filled to its border."),
        ([told(1, 2, 3, full=True)], "Painted: 1 image, 2 objects, all filled to their border."),
        (
            [told(1, 2, 3, 4, accepted=[3]), told(2, 3, full=True), told(0, 0)],
            "Painted: 2 images, 5 objects, 3 of them filled to their border.",
        ),
        ([told(1, 2, 3, mode="classes"), told(1, 4, mode="classes")], "Painted: 2 images, 4 classes."),
    ],
)
def test_what_is_painted_in_words(paints, sentence):
    assert describe_paint(paints) == sentence


def test_the_train_dock_says_what_there_is_to_learn_from(viewer, dock, train_dock, qtbot):
    first = paint_on(viewer, add_image(viewer, "a"))
    train_dock.form.image.choose(viewer.layers["a"])

    def says(sentence):
        qtbot.waitUntil(lambda: say(train_dock, "train_paint") == sentence, timeout=5000)

    qtbot.wait(400)
    assert say(train_dock, "train_paint") == ""  # nobody sees it
    train_dock.show()
    says("Painted: 1 image, 2 objects.")
    marks.set_filled(first, True)
    says("Painted: 1 image, 2 objects, all filled to their border.")
    fill_box(first, 4, slice(40, 42), slice(0, 9))
    says("Painted: 1 image, 3 objects, all filled to their border.")
    paint_on(viewer, add_image(viewer, "b"))
    train_dock.form.all_painted.setChecked(True)
    says("Painted: 2 images, 5 objects, 3 of them filled to their border.")
    train_dock.form._validation.choose(viewer.layers["b"])
    says("Painted: 1 image, 3 objects, all filled to their border.")
    viewer.layers.clear()
    says("")


def test_in_a_real_window(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    image = add_image(viewer)
    paint_dock, train_dock, weights = PaintDock(viewer), TrainDock(viewer), WeightsDock(viewer)
    for dock in (paint_dock, weights, train_dock):
        viewer.window.add_dock_widget(dock, area="right", tabify=False)
    viewer.window._qt_window.show()
    paint_dock.make()
    paint = paint_dock.annotation
    paint.brush_size = 9
    paint.paint((20, 20), 2)
    paint.paint((40, 40), 3)
    paint_dock.filled.click()
    qtbot.waitUntil(lambda: "2 objects, all filled" in say(train_dock, "train_paint"), timeout=10_000)
    paint_dock.filled.click()
    predict_two(viewer, image)
    paint_dock.corrections.take()
    qtbot.waitUntil(lambda: "1 of them filled" in say(train_dock, "train_paint"), timeout=10_000)
    paint.undo()
    qtbot.waitUntil(lambda: say(train_dock, "train_paint").endswith("2 objects."), timeout=10_000)

"""The Paint dock in a real viewer, by button and by key, whatever happens to the layers."""

import threading

import numpy as np
import pytest
from app_model.types import KeyBinding
from dock_helpers import has_looked, say
from mouse import Hand
from qtpy.QtWidgets import QComboBox, QPushButton, QWidget

from napari_unet.core.errors import InputError
from napari_unet.core.painted.regions import complete
from napari_unet.widgets import paint as paint_module
from napari_unet.widgets.bridge import layers as bridge
from napari_unet.widgets.bridge import marks
from napari_unet.widgets.bridge.timeline import timeline_of
from napari_unet.widgets.correcting.corrector import corrector_of
from napari_unet.widgets.guiding.place_view import is_ring, show_place
from napari_unet.widgets.paint import PaintDock
from napari_unet.widgets.painting.regions import take_region_tool
from napari_unet.widgets.training.training_images import copy_pairs


@pytest.fixture
def open_dock(qtbot):
    def make(viewer):
        dock = PaintDock(viewer)
        if hasattr(viewer, "window"):
            viewer.window.add_dock_widget(dock, name="Paint (U-Net)")
        else:
            qtbot.addWidget(dock)
        return dock

    return make


def add_image(viewer, shape=(40, 50), **arguments):
    return viewer.add_image(np.zeros(shape, np.uint8), name=arguments.pop("name", "cells"), **arguments)


def fill_box(paint, value, rows, columns):
    paint.data_setitem(tuple(np.mgrid[rows, columns].reshape(2, -1)), value)


def press(viewer, key):
    """Press a key as the canvas does, with the layer that is selected."""
    viewer.window._qt_window._qt_viewer._key_map_handler.press_key(key)


def test_an_empty_viewer_says_what_to_do(viewer, open_dock):
    dock = open_dock(viewer)
    assert "Open an image" in dock.summary.text()
    assert not dock.make_button.isEnabled()
    assert not dock.brushes.background.isEnabled()
    assert dock.annotation is None


def test_make_adds_the_annotation_layer_and_takes_up_the_brush(viewer, open_dock):
    dock = open_dock(viewer)
    add_image(viewer)
    dock.make_button.click()
    assert dock.annotation.name == "cells paint"
    assert viewer.layers.selection.active is dock.annotation
    assert dock.annotation.mode == "paint"
    assert dock.annotation.selected_label == 1
    assert dock.annotation.brush_size == 10
    assert dock.brushes.background.isChecked()
    dock.make_button.click()
    assert len(viewer.layers) == 2


def test_buttons_and_napari_agree(viewer, open_dock):
    dock = open_dock(viewer)
    add_image(viewer)
    dock.make()
    paint = dock.annotation
    dock.brushes.object.click()
    assert (paint.mode, paint.selected_label) == ("paint", 2)
    assert dock.brushes.object.text() == "Object 2"
    dock.brushes.erase.click()
    assert paint.mode == "erase"
    assert dock.brushes.erase.isChecked()
    assert not dock.brushes.object.isChecked()
    paint.mode = "pan_zoom"
    assert not dock.brushes.erase.isChecked()
    paint.mode = "fill"
    paint.selected_label = 7
    assert dock.brushes.object.isChecked()
    assert dock.brushes.object.text() == "Object 7"
    dock.brushes.object.click()
    assert (paint.mode, paint.selected_label) == ("fill", 7)
    dock.brushes.diameter.setValue(33)
    assert paint.brush_size == 33
    paint.brush_size = 5
    assert dock.brushes.diameter.value() == 5


def test_a_bucket_that_has_filled_an_object_floods_no_plane_with_the_next_value(viewer, open_dock):
    dock = open_dock(viewer)
    add_image(viewer)
    dock.make()
    paint = dock.annotation
    fill_box(paint, 2, slice(0, 4), slice(0, 4))
    for brush, value in ((dock.brushes.background, 1), (dock.brushes.next, 3)):
        paint.mode = "fill"
        brush.click()
        assert (paint.mode, paint.selected_label) == ("paint", value)
        paint.mode = "polygon"
        brush.click()
        assert (paint.mode, paint.selected_label) == ("polygon", value)


def test_next_takes_a_value_that_nothing_has(viewer, open_dock):
    dock = open_dock(viewer)
    add_image(viewer)
    dock.make()
    paint = dock.annotation
    fill_box(paint, 5, slice(0, 4), slice(0, 4))
    dock.brushes.next.click()
    assert (paint.mode, paint.selected_label) == ("paint", 6)
    dock.brushes.background.click()
    dock.brushes.object.click()
    assert paint.selected_label == 5  # 6 was never painted


def test_keys_work_on_the_layers_of_the_image_and_nowhere_else(make_napari_viewer, open_dock):
    viewer = make_napari_viewer()
    dock = open_dock(viewer)
    image = add_image(viewer)
    dock.make()
    paint = dock.annotation
    other = viewer.add_labels(np.zeros((40, 50), int))
    viewer.layers.selection.active = paint
    fill_box(paint, 3, slice(0, 4), slice(0, 4))
    for key, expected in (("O", 3), ("N", 4), ("G", 1)):
        press(viewer, key)
        assert (paint.mode, paint.selected_label) == ("paint", expected)
    press(viewer, "E")
    assert paint.mode == "erase"
    before = other.selected_label
    viewer.layers.selection.active = other
    for key in "GON":
        press(viewer, key)
    assert other.selected_label == before
    assert (paint.mode, paint.selected_label) == ("erase", 1)
    predicted = bridge.add_result(viewer, image, "objects", np.ones((40, 50), int))
    # On images, O is napari's own.
    for layer, key, expected in ((image, "N", 4), (image, "G", 1), (predicted, "O", 3), (predicted, "N", 4)):
        viewer.layers.selection.active = layer
        press(viewer, key)
        assert viewer.layers.selection.active is paint
        assert (paint.mode, paint.selected_label) == ("paint", expected)
    viewer.layers.selection.active = image
    press(viewer, "O")
    assert viewer.layers.selection.active is image


def test_no_brush_is_shown_as_in_the_hand_while_another_layer_is_selected(viewer, open_dock):
    dock = open_dock(viewer)
    image = add_image(viewer)
    dock.make()
    brushes = dock.brushes
    for brush in (brushes.background, brushes.object, brushes.erase):
        brush.click()
        assert brush.isChecked()
        viewer.layers.selection.active = image
        assert not brush.isChecked()
        viewer.layers.selection.active = dock.annotation
        assert brush.isChecked()
    dock.annotation.mode, dock.annotation.selected_label = "paint", 0
    assert [brushes.background.isChecked(), brushes.object.isChecked(), brushes.erase.isChecked()] == [
        0,
        0,
        1,
    ]


def test_what_cannot_be_done_in_the_3d_view_is_said(viewer, open_dock):
    dock = open_dock(viewer)
    add_image(viewer, (5, 40, 50))
    viewer.dims.ndisplay, viewer.dims.order = 3, (2, 0, 1)
    assert say(dock, "paint_in_3d") == ""  # there is nothing to paint on
    dock.make()
    assert (viewer.dims.ndisplay, viewer.dims.order) == (2, (0, 1, 2))  # where a new layer can be painted on
    boxes = [dock.findChild(QPushButton, f"paint_region_{shape}") for shape in ("box", "polygon")]
    assert all(box.isEnabled() for box in boxes)
    viewer.dims.ndisplay = 3
    dock.make()  # to select it again
    assert viewer.dims.ndisplay == 3
    assert "brushes only change existing paint" in say(dock, "paint_in_3d")
    assert not any(box.isEnabled() for box in boxes)
    viewer.dims.ndisplay = 2
    assert say(dock, "paint_in_3d") == ""
    assert all(box.isEnabled() for box in boxes)


def test_a_stack_that_is_seen_from_its_side_is_said(viewer, open_dock):
    dock = open_dock(viewer)
    add_image(viewer, (5, 40, 50))
    dock.make()
    viewer.dims.order = (2, 0, 1)
    assert "from its side" in say(dock, "paint_in_3d")
    viewer.dims.ndisplay = 3
    assert "In the 3-D view" in say(dock, "paint_in_3d")
    viewer.dims.ndisplay = 2
    viewer.dims.order = (0, 2, 1)  # transposed, and still its planes
    assert say(dock, "paint_in_3d") == ""
    dock.image.choose(add_image(viewer, name="flat"))
    dock.make()
    viewer.dims.order = (2, 0, 1)
    assert say(dock, "paint_in_3d") == ""  # it has no other planes


def test_background_that_floods_a_plane_is_said_while_objects_may_lie_in_it(viewer, qtbot, open_dock):
    dock = open_dock(viewer)
    add_image(viewer, (3, 40, 50))
    dock.make()
    paint = dock.annotation
    plane = np.zeros((40, 50), int)
    plane[5:9, 5:9], plane[5:9, 15:19] = 2, 3
    paint.data[1] = plane

    def is_said(what):
        qtbot.waitUntil(lambda: ("nothing left unlabelled" in dock.advice.text()) is what, timeout=5000)

    paint.fill((1, 0, 0), 1)
    is_said(True)
    paint.undo()
    is_said(False)
    paint.redo()
    is_said(True)
    dock.filled.setChecked(True)
    is_said(False)
    dock.filled.setChecked(False)
    is_said(True)
    marks.accept_objects(paint, [2])
    qtbot.wait(500)
    is_said(True)
    marks.accept_objects(paint, [2, 3])
    is_said(False)
    paint.data_setitem((np.array([1]), np.array([30]), np.array([15])), 4)
    is_said(True)
    dock.mode_choice.setCurrentIndex(dock.mode_choice.findData("classes"))
    is_said(False)


def test_no_key_of_napari_is_taken(viewer, open_dock):
    from napari.utils.shortcuts import default_shortcuts

    taken = {
        str(binding)
        for action, bindings in default_shortcuts.items()
        for binding in bindings
        if not any(
            kind in action for kind in ("points", "shape", "vertex", "vectors", "tracks", "surface", "orient")
        )
    }
    dock = open_dock(viewer)
    add_image(viewer)
    dock.make()
    ours = {str(key) for keymap in (dock.annotation.keymap, viewer.keymap) for key in keymap}
    assert ours == {"G", "O", "N", "J"}
    assert not ours & taken


def test_a_new_annotation_layer_has_the_brush_that_is_set(viewer, open_dock):
    dock = open_dock(viewer)
    add_image(viewer)
    dock.brushes.diameter.setValue(23)
    dock.make()
    assert dock.annotation.brush_size == dock.brushes.diameter.value() == 23


def test_a_hidden_annotation_layer_is_shown_to_be_painted_on(viewer, open_dock):
    dock = open_dock(viewer)
    add_image(viewer)
    dock.make()
    dock.annotation.visible = False
    dock.brushes.object.click()
    assert dock.annotation.visible
    assert dock.annotation.mode == "paint"


def test_the_summary_follows_the_strokes_and_says_what_is_missing(viewer, qtbot, open_dock):
    dock = open_dock(viewer)
    add_image(viewer)
    dock.make()
    changes = []
    dock.annotation_changed.connect(changes.append)
    qtbot.waitUntil(lambda: "Nothing is painted yet" in dock.advice.text(), timeout=5000)
    fill_box(dock.annotation, 1, slice(0, 10), slice(0, 10))
    qtbot.waitUntil(lambda: "background 100 px; 0 objects" in dock.summary.text(), timeout=5000)
    assert "Only background is painted" in dock.advice.text()
    fill_box(dock.annotation, 2, slice(20, 25), slice(0, 10))
    fill_box(dock.annotation, 3, slice(26, 30), slice(0, 10))
    qtbot.waitUntil(lambda: "2 objects, 90 px" in dock.summary.text(), timeout=5000)
    assert dock.advice.text() == ""
    dock.annotation.undo()
    qtbot.waitUntil(lambda: "1 object, 50 px" in dock.summary.text(), timeout=5000)
    assert "Only one object" in dock.advice.text()
    assert set(changes) == {dock.annotation}


def test_paint_that_cannot_be_counted_is_said_without_the_count_before(viewer, qtbot, open_dock):
    dock = open_dock(viewer)
    add_image(viewer)
    dock.make()
    fill_box(dock.annotation, 1, slice(0, 5), slice(0, 40))
    qtbot.waitUntil(lambda: "background 200 px" in dock.summary.text())
    dock.annotation.data = -dock.annotation.data
    qtbot.waitUntil(lambda: "negative values" in dock.advice.text())
    assert dock.summary.text() == ""
    dock.annotation.data = -dock.annotation.data
    qtbot.waitUntil(lambda: "background 200 px" in dock.summary.text())
    assert "negative" not in dock.advice.text()


def test_paint_of_another_shape_than_its_image_is_said_at_once(viewer, qtbot, open_dock):
    dock = open_dock(viewer)
    add_image(viewer)
    dock.make()
    dock.annotation.data = np.ones((20, 25), np.int32)
    told = "'cells' has shape (40, 50) now, and 'cells paint' was made for (20, 25): delete this layer"
    qtbot.waitUntil(lambda: told in dock.advice.text())
    assert dock.summary.text() == ""


@pytest.mark.parametrize(("shape", "channels"), [((3, 40, 50), 1), ((40, 50, 3), 0), ((2, 40, 50), 0)])
def test_an_image_that_is_cropped_is_said_at_once_and_so_is_its_return(
    viewer, qtbot, open_dock, shape, channels
):
    dock = open_dock(viewer)
    image = add_image(viewer, shape, rgb=shape[-1] == 3)
    dock.channels.setCurrentIndex(channels)
    dock.make()
    dock.annotation.data[..., :2] = 1
    dock.annotation.refresh()
    qtbot.waitUntil(lambda: "background" in dock.summary.text())
    whole = image.data
    image.data = whole[:, 10:30] if shape[-1] != 3 else whole[10:30]
    qtbot.waitUntil(lambda: "bring the image back" in dock.advice.text())
    with pytest.raises(InputError, match="bring the image back"):
        copy_pairs([(image, dock.annotation)], [])
    image.data = whole
    qtbot.waitUntil(lambda: "background" in dock.summary.text())
    assert copy_pairs([(image, dock.annotation)], []).taught.images[0].shape == shape


def test_a_real_stroke_of_the_brush_is_counted(viewer, qtbot, open_dock):
    dock = open_dock(viewer)
    add_image(viewer)
    dock.make()
    dock.annotation.brush_size = 5
    dock.annotation.paint((20, 20), 1)
    qtbot.waitUntil(lambda: "background 21 px" in dock.summary.text(), timeout=5000)


def test_walking_through_a_stack_is_no_change_of_paint(viewer, qtbot, open_dock):
    dock = open_dock(viewer)
    add_image(viewer, (5, 40, 50))
    dock.make()
    qtbot.waitUntil(lambda: "Nothing is painted yet" in dock.advice.text(), timeout=5000)
    with qtbot.assertNotEmitted(dock.annotation_changed, wait=600):
        viewer.dims.set_current_step(0, 3)


def test_a_stack_is_copied_for_the_count_by_its_thread(viewer, qtbot, open_dock, monkeypatch):
    dock = open_dock(viewer)
    add_image(viewer)
    dock.make()
    copied_by = []

    def complete_and_note(paint, regions):
        copied_by.append(threading.current_thread())
        assert not np.may_share_memory(paint, dock.annotation.data)
        return complete(paint, regions)

    monkeypatch.setattr("napari_unet.widgets.paint.complete", complete_and_note)
    fill_box(dock.annotation, 1, slice(0, 10), slice(0, 10))
    qtbot.waitUntil(lambda: "background 100 px" in dock.summary.text(), timeout=5000)
    assert threading.main_thread() not in copied_by


def test_strokes_that_come_faster_than_they_are_counted_are_counted_one_after_the_other(
    viewer, qtbot, open_dock, monkeypatch
):
    may_count, counting, count = threading.Event(), threading.Event(), paint_module.count

    def count_late(*given):
        counting.set()
        may_count.wait(10)
        return count(*given)

    dock = open_dock(viewer)
    first, second = add_image(viewer, name="first"), add_image(viewer, name="second")
    for image in (second, first):
        dock.image.choose(image)
        dock.make()
    qtbot.waitUntil(lambda: dock.counted is not None)
    told = []
    dock._counter.result.connect(lambda counted: told.append((counted.layer, counted.summary.background)))
    monkeypatch.setattr(paint_module, "count", count_late)
    paint = dock.annotation
    fill_box(paint, 1, slice(0, 10), slice(0, 10))
    qtbot.waitUntil(counting.is_set)
    fill_box(paint, 1, slice(0, 10), slice(10, 20))
    qtbot.wait(500)  # so that it is asked for
    may_count.set()
    qtbot.waitUntil(lambda: len(told) == 2)
    assert told == [(paint.unique_id, 100), (paint.unique_id, 200)]
    # But no other layer, even if it is chosen before the count ends.
    may_count.clear()
    counting.clear()
    fill_box(paint, 1, slice(0, 10), slice(20, 30))
    qtbot.waitUntil(counting.is_set)
    dock.image.choose(second)
    may_count.set()
    qtbot.waitUntil(lambda: len(told) > 2)
    assert {layer for layer, _ in told[2:]} == {dock.annotation.unique_id}


def test_rgb_needs_no_word_on_channels_and_a_stack_does(viewer, open_dock):
    dock = open_dock(viewer)
    add_image(viewer, (40, 50, 3), rgb=True)
    assert dock.channels.isHidden()
    stack = add_image(viewer, (2, 40, 50), name="two stains")
    dock.image.choose(stack)
    assert not dock.channels.isHidden()
    dock.channels.setCurrentIndex(dock.channels.findData("first"))
    dock.make()
    assert dock.annotation.data.shape == (40, 50)
    assert not dock.channels.isEnabled()


@pytest.mark.parametrize(
    ("shape", "names", "where"),
    [
        ((3, 20, 30), None, "first"),
        ((20, 30, 2), None, "last"),
        ((9, 20, 30), ("channel", "y", "x"), "first"),
        ((3, 20, 30), ("z", "y", "x"), ""),
        ((9, 20, 30), None, ""),
        ((1, 20, 30), None, ""),
    ],
)
def test_channels_that_may_be_planes_are_asked_for_before_paint_is_made(
    viewer, open_dock, shape, names, where
):
    dock = open_dock(viewer)
    viewer.add_image(np.zeros(shape), rgb=False, axis_labels=names)
    asked = dock.advice.text()
    assert (f"choose 'On the {where} axis' under Channels" in asked) if where else asked == ""
    dock.make()
    assert "under Channels" not in dock.advice.text()


def test_channels_between_planes_and_y_are_told_before_paint_is_made(viewer, open_dock):
    dock = open_dock(viewer)
    add_image(viewer, (5, 3, 40, 50))
    assert "(5, 3, 40, 50)" in dock.advice.text()
    dock.channels.setCurrentIndex(dock.channels.findData("middle"))
    dock.make()
    assert dock.annotation.data.shape == (5, 40, 50)
    assert "(5, 3, 40, 50)" not in dock.advice.text()


def test_classes(viewer, qtbot, open_dock):
    dock = open_dock(viewer)
    add_image(viewer)
    dock.make()
    assert dock.brushes.class_value.isHidden()
    dock.mode_choice.setCurrentIndex(dock.mode_choice.findData("classes"))
    assert marks.mode_of(dock.annotation) == "classes"
    assert not dock.brushes.class_value.isHidden()
    dock.brushes.class_value.setValue(4)
    assert (dock.annotation.mode, dock.annotation.selected_label) == ("paint", 4)
    assert dock.brushes.object.text() == "Class 4"
    fill_box(dock.annotation, 4, slice(0, 4), slice(0, 4))
    qtbot.waitUntil(lambda: "Only class 4 is painted" in dock.advice.text(), timeout=5000)


def test_the_mode_belongs_to_the_paint_of_each_image(viewer, open_dock):
    dock = open_dock(viewer)
    first = add_image(viewer)
    dock.make()
    dock.mode_choice.setCurrentIndex(1)
    second = add_image(viewer, name="others")
    dock.image.choose(second)
    dock.mode_choice.setCurrentIndex(0)
    dock.make()
    assert dock.mode == "objects"
    dock.image.choose(first)
    assert dock.mode == "classes"


def test_two_images_keep_their_own_paint(viewer, open_dock):
    dock = open_dock(viewer)
    first, second = add_image(viewer), add_image(viewer, name="others")
    dock.image.choose(first)
    dock.make()
    paint = dock.annotation
    dock.image.choose(second)
    assert dock.annotation is None
    dock.make()
    assert dock.annotation is not paint
    dock.image.choose(first)
    assert dock.annotation is paint


def test_the_ring_around_a_place_of_a_stack_goes_with_it(viewer, open_dock):
    dock = open_dock(viewer)
    image = add_image(viewer, (5, 40, 50))
    dock.make()
    show_place(viewer, image, dock.annotation, (3, 20, 30), 8)
    (ring,) = (layer for layer in viewer.layers if is_ring(layer))
    image.scale, image.translate = (2, 0.5, 0.5), (1, 10, 20)
    np.testing.assert_allclose(ring.data_to_world(ring.data[0]), image.data_to_world((3, 20, 30)))


@pytest.mark.parametrize("channels", [False, True])
def test_what_lies_on_an_image_goes_with_it(viewer, open_dock, channels):
    """The user says how large its pixels are, or moves it with napari's handles, once it is painted."""
    dock = open_dock(viewer)
    image = add_image(viewer, (3, 40, 50) if channels else (40, 50))
    if channels:
        dock.channels.setCurrentIndex(dock.channels.findData("first"))
    dock.make()
    paint = dock.annotation
    fill_box(paint, 1, slice(0, 5), slice(0, 40))
    result = bridge.add_result(viewer, image, "objects", np.zeros((40, 50), np.int32))
    shapes = take_region_tool(viewer, paint, "rectangle")
    shapes.add_rectangles(np.array([[5, 5], [5, 20], [25, 20], [25, 5]]))
    pixels = bridge.copy_paint(paint)
    mine = viewer.add_labels(np.zeros((40, 50), int))
    own = bridge.add_result(viewer, image, "uncertainty", np.zeros((40, 50), np.float32))
    own.translate = (3, 4)
    dock._watcher.look()
    before = [mine.extent.world, own.extent.world]
    image.scale = (1, 0.5, 0.25) if channels else (0.5, 0.25)
    image.units = (*["pixel"] * channels, "um", "um")
    moved = np.eye(image.ndim + 1)
    moved[-3:-1, -1] = 5, 7
    image.affine = moved
    for layer in (paint, result, shapes):
        np.testing.assert_array_equal(layer.scale, (0.5, 0.25))
        assert layer.units == image.units[-2:]
        corner = image.data_to_world((*[0] * channels, 2, 8))[-2:]
        np.testing.assert_allclose(layer.data_to_world((2, 8)), corner)
    np.testing.assert_array_equal(bridge.copy_paint(paint), pixels)
    np.testing.assert_array_equal([mine.extent.world, own.extent.world], before)


def test_the_list_of_images_follows_the_viewer(viewer, open_dock):
    dock = open_dock(viewer)
    first = add_image(viewer)
    viewer.add_labels(np.zeros((4, 4), int))
    second = add_image(viewer, name="others")
    assert [dock.image.itemText(i) for i in range(dock.image.count())] == ["others", "cells"]
    assert dock.image.layer is first  # a new image does not steal the choice
    first.name = "renamed"
    assert dock.image.currentText() == "renamed"
    viewer.layers.move(0, 3)
    assert dock.image.layer is first
    bridge.add_result(viewer, first, "probabilities", np.zeros((2, 40, 50), np.float32))
    assert dock.image.count() == 2
    viewer.layers.remove(first)
    assert dock.image.layer is second
    viewer.layers.clear()
    assert dock.image.layer is None


@pytest.mark.parametrize("said", ["first", "middle", "last"])
def test_what_was_said_about_the_channels_of_a_stack_is_not_meant_for_a_plane(viewer, open_dock, said):
    dock = open_dock(viewer)
    stack, plane = add_image(viewer, (4, 40, 50)), add_image(viewer)
    dock.image.choose(stack)
    dock.channels.setCurrentIndex(dock.channels.findData(said))
    viewer.add_labels(np.eye(40, 50, dtype=int), name="mine")
    dock.image.choose(plane)
    assert dock.channels.isHidden()
    teaches_nothing = "'mine' teaches nothing, as it is not an annotation layer."
    assert say(dock, "paint_own") == f"{teaches_nothing} Copy it into the paint of '{plane.name}':"
    dock.make()
    assert dock.annotation.data.shape == (40, 50)
    assert marks.image_channels(plane, dock.annotation) == "auto"
    assert say(dock, "paint_advice") == ""


def test_corrections_become_paint_as_one_step_of_undo(viewer, qtbot, open_dock):
    dock = open_dock(viewer)
    image = add_image(viewer)
    dock.make()
    objects = np.zeros((40, 50), np.int32)
    objects[5:15, 5:15], objects[20:30, 20:30] = 1, 2
    result = bridge.add_result(viewer, image, "objects", objects)
    fill_box(result, 0, slice(5, 8), slice(5, 15))
    dock.corrections.button.click()
    assert "1 object and 30 px of background" in dock.corrections.said.text()
    assert (dock.annotation.data[5:8, 5:15] == 1).all()
    assert len(np.unique(dock.annotation.data[8:15, 5:15])) == 1
    assert dock.annotation.data[10, 10] >= 2
    assert not dock.annotation.data[20:30, 20:30].any()
    dock.corrections.take()
    assert "No corrected objects" in dock.corrections.said.text()  # not twice
    dock.annotation.undo()
    assert not dock.annotation.data.any()


def test_corrections_are_taken_into_paint_that_was_opened_hidden(viewer, open_dock):
    dock = open_dock(viewer)
    image = add_image(viewer)
    viewer.add_labels(np.zeros((40, 50), int), name=f"{image.name} paint", visible=False)
    paint = bridge.make_annotation(viewer, image)
    result = bridge.add_result(viewer, image, "objects", np.ones((40, 50), np.int32))
    fill_box(result, 2, slice(5, 8), slice(5, 15))
    dock.corrections.take()
    assert "Took 2 objects" in dock.corrections.said.text()
    assert paint.data.any()
    timeline_of(paint).undo()
    assert not paint.data.any()


def test_corrections_can_be_taken_while_there_are_some(viewer, qtbot, open_dock):
    dock = open_dock(viewer)
    button = dock.corrections.button

    def cannot(why):
        return not button.isEnabled() and why in button.toolTip()

    assert cannot("Make the annotation layer first")
    image = add_image(viewer)
    dock.make()
    assert cannot("Predict this image first")
    objects = np.zeros((40, 50), np.int32)
    objects[5:15, 5:15], objects[20:30, 20:30] = 1, 2
    result = bridge.add_result(viewer, image, "objects", objects)
    qtbot.waitUntil(lambda: cannot("Nothing to take"), timeout=20_000)
    corrector_of(viewer, result).stroke("accepted", np.array([(25.0, 25.0)]), (0, 1))
    qtbot.waitUntil(lambda: has_looked(dock.corrections), timeout=20_000)
    assert cannot("Nothing to take")  # a gesture is in the paint
    fill_box(result, 0, slice(5, 8), slice(5, 15))
    assert button.isEnabled()
    assert "Turn what you corrected" in button.toolTip()
    button.click()
    qtbot.waitUntil(lambda: cannot("Nothing to take"), timeout=20_000)
    assert say(dock, "paint_corrected").startswith("Took 1 object")
    timeline_of(dock.annotation).undo()
    qtbot.waitUntil(button.isEnabled, timeout=20_000)
    assert say(dock, "paint_corrected") == ""  # it was not taken after all
    button.click()
    qtbot.waitUntil(lambda: has_looked(dock.corrections), timeout=20_000)
    assert say(dock, "paint_corrected").startswith("Took 1 object")
    fill_box(dock.annotation, 1, slice(30, 32), slice(0, 5))
    assert say(dock, "paint_corrected") == ""  # the next undo is of this stroke
    timeline_of(dock.annotation).undo()
    timeline_of(dock.annotation).undo()
    qtbot.waitUntil(button.isEnabled, timeout=20_000)
    dock.mode_choice.setCurrentIndex(1)
    assert cannot("Predict this image first")  # no classes are predicted
    dock.mode_choice.setCurrentIndex(0)
    qtbot.waitUntil(button.isEnabled, timeout=20_000)
    viewer.layers.remove(result)
    assert cannot("Predict this image first")


def test_corrected_classes_become_paint(viewer, open_dock):
    dock = open_dock(viewer)
    image = add_image(viewer)
    dock.make()
    dock.mode_choice.setCurrentIndex(1)
    classes = np.full((40, 50), 1, np.uint8)
    result = bridge.add_result(viewer, image, "classes", classes)
    fill_box(result, 3, slice(0, 2), slice(0, 5))
    fill_box(result, 0, slice(10, 12), slice(0, 5))
    dock.corrections.take()
    assert (dock.annotation.data[0:2, 0:5] == 3).all()
    assert np.count_nonzero(dock.annotation.data) == 10
    fill_box(result, 0, slice(20, 22), slice(0, 5))
    dock.corrections.take()
    assert "only erased" in dock.corrections.said.text()
    assert np.count_nonzero(dock.annotation.data) == 10
    for _ in range(2):  # what was erased, then what was taken, by the key on the corrected layer
        result.keymap[KeyBinding.from_str("Ctrl+Z")](result)
    assert not dock.annotation.data.any()
    assert np.count_nonzero(result.data != 1) == 20  # which is a correction again


@pytest.mark.parametrize(
    ("value", "rows", "told"),
    [
        (0, slice(0, 2), "Took 10 px of background into"),
        (5, slice(20, 22), "Took 1 object into"),
        (5, slice(2, 4), "Took 1 object into"),
    ],
)
def test_what_was_not_corrected_is_not_told(viewer, open_dock, value, rows, told):
    dock = open_dock(viewer)
    image = add_image(viewer)
    dock.make()
    objects = np.zeros((40, 50), np.int32)
    objects[0:2, 0:5] = 2
    result = bridge.add_result(viewer, image, "objects", objects)
    fill_box(result, value, rows, slice(0, 5))
    dock.corrections.take()
    assert told in dock.corrections.said.text()


def test_corrections_that_the_paint_holds_already(viewer, open_dock):
    dock = open_dock(viewer)
    image = add_image(viewer)
    dock.make()
    result = bridge.add_result(viewer, image, "objects", np.zeros((40, 50), np.int32))
    fill_box(dock.annotation, 2, slice(0, 2), slice(0, 5))
    fill_box(result, 2, slice(0, 2), slice(0, 5))
    dock.corrections.take()
    assert "holds these corrections already" in dock.corrections.said.text()


def test_corrections_without_paint_say_so(viewer, open_dock):
    dock = open_dock(viewer)
    add_image(viewer)
    dock.corrections.take()
    assert "make one first" in dock.corrections.said.text()


@pytest.mark.parametrize("gone", ["paint", "image", "all"])
def test_deleted_layers_leave_a_usable_dock(viewer, qtbot, gone, open_dock):
    dock = open_dock(viewer)
    image = add_image(viewer)
    dock.make()
    fill_box(dock.annotation, 1, slice(0, 10), slice(0, 10))
    if gone == "all":
        viewer.layers.clear()
    else:
        viewer.layers.remove(dock.annotation if gone == "paint" else image)
    qtbot.wait(500)  # the count that was under way arrives
    assert dock.annotation is None
    assert not dock.brushes.background.isEnabled()
    assert dock.corrections.said.text() == ""
    image = add_image(viewer, name="again")
    dock.image.choose(image)
    dock.make()
    assert dock.annotation is not None


def test_a_closed_dock_hears_nothing_more(make_napari_viewer, qtbot, open_dock):
    viewer = make_napari_viewer()
    dock = open_dock(viewer)
    image = add_image(viewer)
    dock.make()
    paint = dock.annotation
    viewer.window.remove_dock_widget(dock)
    dock.deleteLater()
    qtbot.wait(50)
    paint.selected_label = 5
    fill_box(paint, 1, slice(0, 10), slice(0, 10))
    image.name = "renamed"
    add_image(viewer)
    viewer.layers.remove(paint)
    qtbot.wait(400)


def test_an_image_that_is_opened_again_has_its_paint_and_regions(viewer, qtbot, open_dock):
    dock = open_dock(viewer)
    image = add_image(viewer)
    dock.make()
    paint = dock.annotation
    dock.mode_choice.setCurrentIndex(dock.mode_choice.findData("classes"))
    regions = take_region_tool(viewer, paint, "rectangle")
    regions.add_rectangles([[1, 1], [1, 20], [20, 20], [20, 1]])
    paint.brush_size = 7
    viewer.layers.remove(image)
    dock.mode_choice.setCurrentIndex(dock.mode_choice.findData("objects"))
    again = add_image(viewer)
    dock.make()
    assert dock.annotation is paint
    assert list(viewer.layers) == [again, regions, paint]
    assert len(marks.known_full_of(paint).regions) == 1
    assert (dock.mode, paint.brush_size) == ("classes", 7)


def test_two_docks_show_the_same(viewer, open_dock):
    first, second = open_dock(viewer), open_dock(viewer)
    add_image(viewer)
    first.make()
    assert second.annotation is first.annotation
    second.brushes.object.click()
    assert first.brushes.object.isChecked()


def test_paint_that_was_opened_from_a_file_is_taken_up_by_every_dock(viewer, open_dock):
    first, second = open_dock(viewer), open_dock(viewer)
    add_image(viewer)
    opened = viewer.add_labels(np.ones((40, 50), int), name="cells paint")
    first.make()
    assert first.annotation is second.annotation is opened


def test_every_control_has_a_name_a_tooltip_and_is_reached_by_tab(viewer, open_dock):
    check_controls(open_dock(viewer), "paint_")


def check_controls(dock, prefix):
    from qtpy.QtCore import Qt

    controls = [child for child in dock.findChildren(QWidget) if child.objectName().startswith(prefix)]
    assert len({child.objectName() for child in controls}) == len(controls) > 4
    for control in controls:
        if isinstance(control, QPushButton | QComboBox):
            assert control.toolTip(), control.objectName()
            assert control.focusPolicy() & Qt.FocusPolicy.TabFocus, control.objectName()


def test_objects_that_share_a_number_are_told_and_given_their_own(qtbot, make_napari_viewer, open_dock):
    viewer = make_napari_viewer()
    dock = open_dock(viewer)
    add_image(viewer, (60, 60))
    dock.make()
    paint = dock.annotation
    paint.brush_size = 4
    hand = Hand(viewer)
    hand.drag([(5, 5), (5, 50)])
    hand.press("O")
    for row in (20, 30, 40):
        hand.drag([(row, 10), (row, 20)])
    qtbot.waitUntil(lambda: "3 separate pieces but share number 2" in dock.advice.text())
    assert not dock.number.isHidden()
    before = paint.data.copy()
    dock.number.click()
    assert [int(paint.data[row, 15]) for row in (20, 30, 40)] == [2, 3, 4]
    assert paint.selected_label == 5  # the next stroke is of another object
    qtbot.waitUntil(lambda: "3 objects" in dock.summary.text())
    assert dock.number.isHidden()
    assert "separate pieces" not in dock.advice.text()
    hand.press("Control-Z")
    np.testing.assert_array_equal(paint.data, before)
    qtbot.waitUntil(lambda: not dock.number.isHidden())


def test_objects_accepted_from_a_prediction_keep_their_number(qtbot, viewer, open_dock):
    dock = open_dock(viewer)
    add_image(viewer)
    dock.make()
    paint = dock.annotation
    fill_box(paint, 1, slice(0, 2), slice(0, 20))
    for value, column in ((2, 0), (2, 8), (3, 16), (3, 24)):
        fill_box(paint, value, slice(10, 14), slice(column, column + 4))
    marks.accept_objects(paint, [3])
    qtbot.waitUntil(lambda: "in 2 separate pieces but share number 2;" in dock.advice.text())
    dock.number_separately()
    assert np.unique(paint.data).tolist() == [0, 1, 2, 3, 4]
    qtbot.waitUntil(lambda: dock.number.isHidden())


def test_where_no_number_is_left_objects_stay_as_they_are(qtbot, viewer, open_dock):
    dock = open_dock(viewer)
    image = add_image(viewer)
    dock.make()
    paint = bridge.annotation_of(viewer, image)
    data = np.zeros((40, 50), np.uint8)
    data[0, :] = np.arange(206, 256)
    data[2::2, :] = np.resize(np.arange(2, 256), (19, 50))
    paint.data = data
    dock.number_separately()
    np.testing.assert_array_equal(paint.data, data)
    assert "All numbers up to 255 are in use" in dock.advice.text()

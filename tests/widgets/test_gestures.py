"""Predicted objects corrected by mouse and by key in a real window, and all of it undone."""

import gc
import time
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
from dock_helpers import TINY, discs, has_looked, say
from hypothesis import given, settings
from hypothesis import strategies as st
from mouse import Hand
from napari.components import ViewerModel
from napari.utils._proxies import ReadOnlyWrapper
from napari.utils.interactions import (
    mouse_move_callbacks,
    mouse_press_callbacks,
    mouse_release_callbacks,
)
from qtpy.QtWidgets import QCheckBox, QLabel, QPushButton, QSpinBox

from napari_unet.core.objects.rereading import Rereading
from napari_unet.files.networks.models import save_model
from napari_unet.network.config import TrainingConfig
from napari_unet.network.training import train
from napari_unet.widgets.bridge import marks
from napari_unet.widgets.bridge.layers import (
    add_result,
    annotation_of,
    edited_result,
    make_annotation,
    write_pixels,
)
from napari_unet.widgets.bridge.timeline import gestures_of, timeline_of
from napari_unet.widgets.correcting.correct_section import CorrectSection, describe_gestures
from napari_unet.widgets.correcting.corrector import corrector_of
from napari_unet.widgets.painting.take_section import take_corrections
from napari_unet.widgets.parts.form import LayerChooser
from napari_unet.widgets.predict import PredictDock
from napari_unet.widgets.unet import UNetDock


def predicted(shape=(64, 64)):
    """Four discs, the second of which is in two halves, and a bar that is no object."""
    objects = np.zeros(shape, np.int32)
    y, x = np.indices(shape[-2:])
    for number, (cy, cx) in enumerate(((16, 16), (16, 46), (46, 16), (46, 46)), start=1):
        objects[..., (y - cy) ** 2 + (x - cx) ** 2 < 81] = number
    objects[..., (objects == 2)[(0,) * (len(shape) - 2)] & (y > 16)] = 5
    objects[..., 28:34, 26:40] = 6
    return objects


def section_of(viewer, qtbot):
    chooser = LayerChooser(viewer)
    section = CorrectSection(viewer, chooser)
    section.chooser = chooser
    qtbot.addWidget(section)
    qtbot.addWidget(chooser)
    return section


def show(viewer, objects, **arguments):
    image = viewer.add_image(discs(objects.shape), name="cells", **arguments)
    return image, add_result(viewer, image, "objects", objects.copy())


def said(section):
    return section.findChild(QLabel, "correct_said").text()


def counted(section):
    return section.findChild(QLabel, "correct_count").text()


def press(section, name):
    section.findChild(QPushButton, f"correct_{name}").click()


def mouse(kind, y, x):
    """What napari tells its layers of the left button, without a window."""
    event = SimpleNamespace(
        type=kind,
        button=1,
        is_dragging=kind == "mouse_move",
        position=(y, x),
        dims_displayed=[0, 1],
        view_direction=None,
        camera_zoom=8.0,
        modifiers=(),
    )
    return ReadOnlyWrapper(event)


# Mouse and keys.


def test_every_gesture_by_mouse_and_each_undone_in_both_layers(make_napari_viewer):
    viewer = make_napari_viewer()
    dock = PredictDock(viewer)
    viewer.window.add_dock_widget(dock)
    before = predicted()
    image, result = show(viewer, before, scale=(0.5, 0.5), translate=(3, -7))
    hand = Hand(viewer)

    def at(y, x):
        return 0.5 * y + 3, 0.5 * x - 7

    press(dock, "accept")
    assert viewer.layers.selection.active is result
    hand.click(at(16, 16))
    paint = annotation_of(viewer, image)
    assert viewer.layers.selection.active is result  # the next click is for it, too
    states = [(before, np.zeros_like(before))]

    def note():
        states.append((result.data.copy(), paint.data.copy()))

    note()
    assert np.array_equal(paint.data, np.where(before == 1, 2, 0))
    press(dock, "reject")
    hand.click(at(30, 30))
    note()
    assert (result.data[before == 6] == 0).all()
    assert (paint.data[before == 6] == 1).all()
    press(dock, "split")
    hand.drag([at(34, 46), at(58, 46)], release=False)
    hand.press("A")  # what is under the pointer now is the stroke
    hand.press("Control-Z")  # would put back what it hides
    assert result.data[36, 46] == 6  # the stroke, as it is drawn, in a colour that nothing has
    hand.release(at(58, 46))
    note()
    assert set(np.unique(result.data[before == 4])) == {4, 6}
    assert set(np.unique(paint.data[before == 4])) == {3, 4}
    press(dock, "merge")
    hand.drag([at(12, 46), at(20, 48)])
    note()
    whole = np.isin(before, (2, 5))
    assert np.unique(result.data[whole]).size == 1
    assert (paint.data[whole] == 5).all()
    assert counted(dock) == "Objects: 1 accepted, 1 rejected, 2 made by splits, 1 merged."
    assert edited_result(viewer, image, "objects") is None  # it is all in the paint
    assert marks.known_full_of(paint).within(paint.data) == {2, 3, 4, 5}
    for objects, painted in reversed(states[:-1]):
        hand.press("Control-Z")
        assert np.array_equal(result.data, objects)
        assert np.array_equal(paint.data, painted)
        assert said(dock) == ""  # of what is no more
    assert gestures_of(paint) == ()
    assert edited_result(viewer, image, "objects") is None
    for objects, painted in states[1:]:
        hand.press("Control-Shift-Z")
        assert np.array_equal(result.data, objects)
        assert np.array_equal(paint.data, painted)
    assert [gesture.kind for gesture in gestures_of(paint)] == [
        "accepted", "rejected", "split", "split", "merged"
    ]  # fmt: skip


def test_keys_accept_and_reject_under_the_pointer_from_every_layer_of_the_image(make_napari_viewer):
    viewer = make_napari_viewer()
    dock = PredictDock(viewer)
    viewer.window.add_dock_widget(dock)
    before = predicted()
    image, result = show(viewer, before)
    paint = make_annotation(viewer, image)
    hand = Hand(viewer)
    hand.hover((16, 16))
    hand.press("A")
    viewer.layers.selection.active = result
    hand.hover((30, 30))
    hand.press("R")
    assert np.array_equal(paint.data, np.where(before == 1, 2, np.where(before == 6, 1, 0)))
    viewer.layers.selection.active = image  # as it is after a prediction
    hand.press("Control-Z")
    assert np.array_equal(paint.data, np.where(before == 1, 2, 0))
    viewer.layers.selection = {image, paint}  # none is the selected one
    hand.press("Control-Shift-Z")
    assert np.array_equal(paint.data, np.where(before == 1, 2, np.where(before == 6, 1, 0)))
    hand.press("A")
    assert "no object under the pointer" in said(dock)
    hand.press("S")
    assert dock.findChild(QPushButton, "correct_split").isChecked()
    hand.drag([(2, 2), (2, 30)])
    assert "touches no object" in said(dock)
    hand.drag([(34, 46), (58, 46)])
    hand.drag([(2, 2), (2, 30)])
    hand.press("U")
    hand.drag([(46, 40), (46, 52)])
    assert np.array_equal(result.data, np.where(before == 6, 0, before))
    hand.press("U")  # again: laid down
    assert result.mode == "pan_zoom"
    viewer.layers.selection.active = paint
    for _ in range(4):
        hand.press("Control-Z")
    assert np.array_equal(result.data, before)
    assert not paint.data.any()


def test_a_stroke_accepts_all_that_it_touches_in_one_step(viewer, qtbot):
    section = section_of(viewer, qtbot)
    before = predicted()
    image, result = show(viewer, before)
    path = np.array([(16.0, 16.0), (46.0, 16.0), (46.0, 46.0)])
    corrector_of(viewer, result).stroke("accepted", path, (0, 1))
    paint = annotation_of(viewer, image)
    assert np.array_equal(result.data, before)
    assert np.array_equal(paint.data > 0, np.isin(before, (1, 3, 4)))
    assert said(section) == "3 objects accepted; undo with Ctrl+Z."
    annotation_of(viewer, image).data_setitem((np.arange(2), np.arange(2)), 1)
    assert said(section) == ""  # the next undo is of this stroke
    press(section, "undo")
    press(section, "undo")
    assert not paint.data.any()
    assert np.array_equal(result.data, before)


def test_objects_of_a_volume_are_accepted_in_the_3d_view(make_napari_viewer):
    viewer = make_napari_viewer()
    dock = PredictDock(viewer)
    viewer.window.add_dock_widget(dock)
    objects = np.zeros((20, 64, 64), np.int32)
    objects[5:15, 22:42, 22:42] = 9
    image, _ = show(viewer, objects)
    viewer.dims.ndisplay = 3
    press(dock, "split")
    hand = Hand(viewer)
    hand.click((31.5, 31.5))
    assert "leave the 3-D view" in said(dock)
    press(dock, "accept")
    hand.click((31.5, 31.5))
    assert np.array_equal(annotation_of(viewer, image).data == 2, objects == 9)


def test_the_displayed_plane_of_a_stack_is_corrected_and_no_other(make_napari_viewer):
    viewer = make_napari_viewer()
    dock = PredictDock(viewer)
    viewer.window.add_dock_widget(dock)
    objects = predicted((3, 64, 64))
    objects[1] += 10 * (objects[1] > 0)
    image, result = show(viewer, objects, scale=(4, 1, 1))
    viewer.dims.set_current_step(0, 1)
    hand = Hand(viewer)
    press(dock, "split")
    hand.drag([(34, 46), (58, 46)])
    hand.hover((16, 16))
    hand.press("A")
    paint = annotation_of(viewer, image)
    assert not paint.data[[0, 2]].any()
    assert np.array_equal(result.data[[0, 2]], objects[[0, 2]])
    assert np.array_equal(paint.data[1] > 0, np.isin(objects[1], (11, 14)))
    viewer.dims.set_current_step(0, 2)
    hand.press("Control-Z")
    hand.press("Control-Z")
    assert np.array_equal(result.data, objects)
    assert not paint.data.any()


def test_the_camera_and_naparis_tools_can_be_used_in_between(viewer, qtbot):
    section = section_of(viewer, qtbot)
    _, result = show(viewer, predicted())
    press(section, "split")
    corrector = corrector_of(viewer, result)
    split = section.findChild(QPushButton, "correct_split")
    assert not result.mouse_pan
    assert split.isChecked()
    result.mode = "pan_zoom"  # what the space bar does while it is held
    assert corrector.tool is None
    assert not split.isChecked()
    result.mode = "pick"
    assert corrector.tool == "split"
    result.mode = "erase"
    result.mode = "pick"
    assert corrector.tool is None


# Undo.


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1), min_size=3, max_size=10))
def test_undo_and_redo_restore_both_layers_bit_for_bit(seeds):
    viewer = ViewerModel()
    image, result = show(viewer, predicted())
    paint = make_annotation(viewer, image)
    corrector, timeline = corrector_of(viewer, result), timeline_of(paint)
    timeline.follow(result)
    shown = marks.mark_of(result).shown

    def state():
        return result.data.copy(), paint.data.copy(), shown.copy(), gestures_of(paint)

    def same(one, other):
        return (
            all(np.array_equal(a, b) for a, b in zip(one[:3], other[:3], strict=True)) and one[3] == other[3]
        )

    states = [state()]
    for seed in seeds:
        rng = np.random.default_rng(seed)
        path = rng.uniform(0, 64, (rng.integers(1, 4), 2))
        what = rng.integers(6)
        if what < 4:
            corrector.stroke(("accepted", "rejected", "split", "merged")[what], path, (0, 1))
        else:
            layer = (result, paint)[what - 4]
            layer.selected_label = int(rng.integers(0, 12))
            layer.brush_size = 9
            layer.paint(path[0], layer.selected_label)
        if not same(state(), states[-1]):
            states.append(state())
    for expected in reversed(states[:-1]):
        timeline.undo(result)
        assert same(state(), expected)
    for expected in states[1:]:
        timeline.redo(paint)
        assert same(state(), expected)


def test_strokes_from_before_the_gestures_are_undone_last(viewer):
    image, result = show(viewer, predicted())
    paint = make_annotation(viewer, image)
    paint.data_setitem((np.array([1]), np.array([1])), 9)
    corrector_of(viewer, result).stroke("accepted", np.array([(16.0, 16.0)]), (0, 1))
    timeline = timeline_of(paint)
    timeline.undo(paint)
    assert np.count_nonzero(paint.data) == 1
    timeline.undo(result)
    timeline.undo(paint)
    assert not paint.data.any()


# What the paint holds.


def test_undo_can_be_pressed_while_there_is_something_to_undo(viewer, qtbot):
    section = section_of(viewer, qtbot)
    undo = section.findChild(QPushButton, "correct_undo")
    image, result = show(viewer, predicted())
    paint = make_annotation(viewer, image)
    assert not undo.isEnabled()
    paint.paint((5, 5), 1)
    qtbot.waitUntil(undo.isEnabled)
    undo.click()
    assert not paint.data.any()
    assert not undo.isEnabled()
    corrector_of(viewer, result).stroke("accepted", np.array([(16.0, 16.0)]), (0, 1))
    qtbot.waitUntil(undo.isEnabled)
    paint.data = paint.data.copy()  # what was painted before it is forgotten
    qtbot.waitUntil(lambda: not undo.isEnabled())


def test_what_was_painted_before_the_dock_was_open_can_be_undone(viewer, qtbot):
    image, _ = show(viewer, predicted())
    paint = make_annotation(viewer, image)
    paint.paint((5, 5), 1)
    undo = section_of(viewer, qtbot).findChild(QPushButton, "correct_undo")
    undo.click()
    assert not paint.data.any()
    undo.click()
    assert not undo.isEnabled()
    timeline_of(paint).redo(paint)
    assert paint.data.any()
    assert undo.isEnabled()


def test_accepting_twice_changes_nothing_and_an_accepted_object_can_be_rejected(viewer, qtbot):
    section = section_of(viewer, qtbot)
    before = predicted()
    image, result = show(viewer, before)
    corrector = corrector_of(viewer, result)
    here = np.array([(16.0, 16.0)])
    corrector.stroke("accepted", here, (0, 1))
    paint = annotation_of(viewer, image)
    once = paint.data.copy()
    corrector.stroke("accepted", here, (0, 1))
    assert np.array_equal(paint.data, once)
    assert said(section) == "The paint holds that already."
    assert counted(section) == "Objects: 1 accepted."
    corrector.stroke("rejected", here, (0, 1))
    assert counted(section) == "Objects: 1 accepted, 1 rejected."
    assert (paint.data[before == 1] == 1).all()
    assert marks.known_full_of(paint).within(paint.data) is False
    timeline_of(paint).undo()
    assert marks.known_full_of(paint).within(paint.data) == {2}
    assert counted(section) == "Objects: 1 accepted."


def test_edits_with_the_brush_join_what_is_accepted_and_are_taken_as_ever(viewer):
    image, result = show(viewer, predicted())
    result.data_setitem((np.array([16]), np.array([30])), 1)
    result.data_setitem((np.array([50]), np.array([30])), 3)
    corrector_of(viewer, result).stroke("accepted", np.array([(16.0, 16.0)]), (0, 1))
    paint = annotation_of(viewer, image)
    assert paint.data[16, 30] == 2
    assert edited_result(viewer, image, "objects") is result  # the other edit
    assert take_corrections(viewer, image).startswith("Took 1 object into the paint")
    assert edited_result(viewer, image, "objects") is None
    timeline_of(paint).undo()
    assert np.count_nonzero(paint.data) == np.count_nonzero(result.data == 1)
    assert edited_result(viewer, image, "objects") is result  # can be taken again
    timeline_of(paint).redo()
    assert edited_result(viewer, image, "objects") is None


def test_what_is_read_with_other_settings_keeps_what_was_corrected(viewer, qtbot):
    dock = PredictDock(viewer)
    qtbot.addWidget(dock)
    before = predicted()
    image, result = show(viewer, before)
    foreground = np.where(before > 0, 0.9, 0.1).astype(np.float32)
    dock._live.remember(image, result, Rereading.of(foreground[None], 2, ()))
    dock.image.choose(image)
    corrector = corrector_of(viewer, result)
    corrector.stroke("split", np.array([(34.0, 46.0), (58.0, 46.0)]), (0, 1))
    corrector.stroke("rejected", np.array([(30.0, 30.0)]), (0, 1))
    paint = annotation_of(viewer, image)
    parts = result.data.copy()
    dock.findChild(QSpinBox, "predict_min_size").setValue(9)
    qtbot.waitUntil(lambda: np.unique(result.data[np.isin(before, (2, 5))]).size == 1, timeout=20_000)
    for number in np.unique(parts[before == 4]):
        now = np.unique(result.data[parts == number])
        assert now.size == 1
        assert np.array_equal(result.data == now[0], parts == number)
    assert not result.data[before == 6].any()
    assert edited_result(viewer, image, "objects") is None
    # The objects are others now: only the paint can be undone.
    read = result.data.copy()
    timeline = timeline_of(paint)
    timeline.undo(result)
    timeline.undo(result)
    assert not paint.data.any()
    assert np.array_equal(result.data, read)
    dock.findChild(QSpinBox, "predict_min_size").setValue(10)
    qtbot.waitUntil(lambda: bool(result.data[before == 6].all()), timeout=20_000)


def test_a_rejection_counts_although_the_stroke_of_a_neighbour_reaches_into_it(viewer):
    before = predicted()
    image, result = show(viewer, before)
    paint = make_annotation(viewer, image)
    write_pixels(paint, (np.full(20, 28), np.arange(14, 34)), 2)
    corrector_of(viewer, result).stroke("rejected", np.array([(30.0, 30.0)]), (0, 1))
    one = np.ones((64, 64), np.int32)
    timeline = timeline_of(paint)
    assert np.array_equal(timeline.corrected.keep(one) == 0, (before == 6) & (paint.data == 1))
    timeline.undo()
    assert timeline.corrected.keep(one).all()
    timeline.redo()
    assert not timeline.corrected.keep(one).all()
    paint.data = np.zeros_like(paint.data)
    assert timeline.corrected.keep(one).all()


def test_in_a_stack_what_was_corrected_shares_no_number_with_the_next_plane(viewer, qtbot):
    dock = PredictDock(viewer)
    qtbot.addWidget(dock)
    before = predicted((3, 64, 64))
    before[1] = np.where(before[1] > 0, before[1] + 6, 0)
    before[2] = np.where(before[2] > 0, before[2] + 12, 0)
    image, result = show(viewer, before)
    foreground = np.where(before > 0, 0.9, 0.1).astype(np.float32)
    dock._live.remember(image, result, Rereading.of(foreground[None], 2, ()))
    dock.image.choose(image)
    corrector = corrector_of(viewer, result)
    corrector.stroke("rejected", np.array([(0.0, 30.0, 30.0)]), (1, 2))
    corrector.stroke("accepted", np.array([(1.0, 16.0, 16.0)]), (1, 2))
    corrector.stroke("split", np.array([(1.0, 34.0, 46.0), (1.0, 58.0, 46.0)]), (1, 2))
    dock.findChild(QSpinBox, "predict_min_size").setValue(9)
    qtbot.waitUntil(lambda: not dock._live._latest.is_running, timeout=20_000)
    numbers = [set(np.unique(plane)) - {0} for plane in result.data]
    assert [len(found) for found in numbers] == [4, 6, 5]
    assert set.union(*numbers) == set(range(1, 16))
    assert say(dock, "predict_status") == "15 objects with these settings."


def train_on(paint, path, steps):
    config = TrainingConfig(steps=steps, seed=3, network=TINY, patch_size=64, batch_size=4)
    save_model(train([discs()], [paint], config, device="cpu"), path)


def test_a_new_prediction_keeps_what_was_corrected(make_napari_viewer, qtbot, models):
    viewer = make_napari_viewer()
    image = viewer.add_image(discs(), name="cells")
    strokes = np.zeros((64, 64), np.int32)
    strokes[2:4, 5:60] = strokes[30:32, 5:60] = 1
    strokes[12:20, 12:20], strokes[42:50, 42:50] = 2, 3
    path = models / "model.safetensors"
    train_on(strokes, path, 60)
    dock = PredictDock(viewer)
    viewer.window.add_dock_widget(dock)

    def predict():
        with qtbot.waitSignal(dock.ended, timeout=60_000):
            dock.start()
        return viewer.layers["cells objects"]

    result = predict()
    assert len(np.unique(result.data)) == 5
    assert "corrected" not in say(dock, "predict_status")
    corrector = corrector_of(viewer, result)
    corrector.stroke("accepted", np.array([(16.0, 16.0)]), (0, 1))
    corrector.stroke("rejected", np.array([(16.0, 46.0)]), (0, 1))
    corrector.stroke("split", np.array([(34.0, 46.0), (58.0, 46.0)]), (0, 1))
    corrector.stroke("merged", np.array([(46.0, 16.0), (46.0, 42.0)]), (0, 1))
    paint = annotation_of(viewer, image)
    corrected = result.data.copy()
    assert len(np.unique(corrected)) == 4
    for steps in (60, 20):  # the same network once more, and one that has learnt, differently
        if steps == 20:
            train_on(paint.data, path, steps)
        assert predict() is result
        for number in set(np.unique(corrected)) - {0}:
            now = np.unique(result.data[corrected == number])
            assert now.size == 1
            assert np.array_equal(result.data == now[0], corrected == number)
        assert not result.data[(discs() > 3000) & (corrected == 0)].any()
        assert ", 3 of which are as you corrected before, in 'cells'" in say(dock, "predict_status")
        assert edited_result(viewer, image, "objects") is None
    # What is undone is as predicted again.
    timeline_of(paint).undo()
    predict()
    assert len(np.unique(result.data[corrected == corrected[46, 16]])) > 1
    # So is what was painted on; the parts of the split are left.
    write_pixels(paint, (np.array([16]), np.array([16])), 0)
    predict()
    assert ", 2 of which are as you corrected before" in say(dock, "predict_status")


def test_a_new_prediction_takes_the_place_of_the_corrected_one(viewer):
    image, result = show(viewer, predicted())
    corrector_of(viewer, result).stroke("split", np.array([(34.0, 46.0), (58.0, 46.0)]), (0, 1))
    assert add_result(viewer, image, "objects", predicted()) is result
    timeline = timeline_of(annotation_of(viewer, image))
    timeline.undo()
    assert np.array_equal(result.data, predicted())
    assert not annotation_of(viewer, image).data.any()


def test_paint_of_classes_and_of_other_shapes_is_refused(viewer, qtbot):
    section = section_of(viewer, qtbot)
    image, result = show(viewer, predicted())
    paint = make_annotation(viewer, image)
    marks.set_mode(paint, "classes")
    corrector = corrector_of(viewer, result)
    section.chooser.choose(image)
    corrector.stroke("accepted", np.array([(16.0, 16.0)]), (0, 1))
    assert "choose Objects to keep apart" in said(section)
    marks.set_mode(paint, "objects")
    paint.data = np.zeros((10, 10), np.int32)
    corrector.stroke("accepted", np.array([(16.0, 16.0)]), (0, 1))
    assert "have shape (64, 64) and the paint (10, 10)" in said(section)
    viewer.layers.remove(image)
    corrector.stroke("accepted", np.array([(16.0, 16.0)]), (0, 1))
    assert not paint.data.any()


def test_where_all_images_are_chosen_that_of_the_selected_layer_is_corrected(viewer, qtbot):
    images, results = zip(*(show(viewer, predicted()) for _ in range(2)), strict=True)
    chooser = LayerChooser(viewer, several={"all": "All images"})
    section = CorrectSection(viewer, chooser)
    for each in (chooser, section):
        qtbot.addWidget(each)
    chooser.setCurrentIndex(chooser.findData("all"))
    accept = section.findChild(QPushButton, "correct_accept")
    for layer, result in ((images[0], results[0]), (results[1], results[1])):
        viewer.layers.selection.active = layer
        assert "Accept what is right" in counted(section)
        accept.click()
        assert viewer.layers.selection.active is result
        accept.click()
    viewer.layers.selection.active = viewer.add_image(discs(), name="not predicted")
    assert not accept.isEnabled()
    viewer.layers.selection.active = None
    assert not accept.isEnabled()


def test_objects_and_classes_of_the_image_are_drawn_as_outlines(viewer, qtbot):
    section = section_of(viewer, qtbot)
    image = viewer.add_image(discs(), name="cells")
    box = section.findChild(QCheckBox, "correct_outlines")
    assert not box.isEnabled()
    classes = add_result(viewer, image, "classes", np.ones((64, 64), np.uint8))
    assert "brush" in counted(section)  # no gesture corrects them
    box.click()
    assert classes.contour == 1
    objects = add_result(viewer, image, "objects", predicted())
    assert "Accept what is right" in counted(section)
    box.click()
    box.click()
    assert classes.contour == objects.contour == 1
    objects.contour = classes.contour = 0  # in napari's own controls
    assert not box.isChecked()


def test_an_annotation_layer_is_made_in_the_place_of_the_objects(viewer):
    image = viewer.add_image(np.zeros((2, 64, 64), np.uint8), name="stained")
    result = add_result(viewer, image, "objects", predicted())
    corrector_of(viewer, result).stroke("accepted", np.array([(16.0, 16.0)]), (0, 1))
    assert annotation_of(viewer, image).data.shape == (64, 64)


def test_the_next_step_is_not_to_take_what_is_in_the_paint(viewer, qtbot):
    dock = UNetDock(viewer)
    qtbot.addWidget(dock)
    image, result = show(viewer, predicted())
    paint = make_annotation(viewer, image)
    paint.data[:] = 1
    corrector_of(viewer, result).stroke("rejected", np.array([(16.0, 16.0)]), (0, 1))
    corrections = dock.paint.corrections
    qtbot.waitUntil(lambda: has_looked(corrections), timeout=20_000)
    assert not corrections.has_some
    result.data_setitem((np.array([1]), np.array([1])), 3)
    qtbot.waitUntil(lambda: has_looked(corrections), timeout=20_000)
    assert corrections.has_some
    weights = dock.weights  # which weighs the paint soon
    qtbot.waitUntil(lambda: not weights._due.isActive() and not weights._latest.is_running, timeout=20_000)


# Layers that go, and what is left behind.


@pytest.mark.parametrize("which", ["objects", "paint", "image"])
def test_a_layer_that_is_deleted_while_a_stroke_is_drawn(viewer, qtbot, which):
    section = section_of(viewer, qtbot)
    image, result = show(viewer, predicted())
    paint = make_annotation(viewer, image)
    press(section, "accept")
    mouse_press_callbacks(result, mouse("mouse_press", 16, 16))
    mouse_move_callbacks(result, mouse("mouse_move", 16, 20))
    assert result.data[16, 18] == 7
    viewer.layers.remove({"objects": result, "paint": paint, "image": image}[which])
    if which != "objects":  # napari tells of the mouse to the layer that is selected
        mouse_move_callbacks(result, mouse("mouse_move", 16, 24))
        mouse_release_callbacks(result, mouse("mouse_release", 16, 24))
        assert np.array_equal(result.data, predicted())
    if which == "paint":
        assert np.array_equal(annotation_of(viewer, image).data == 2, predicted() == 1)
    else:
        assert not paint.data.any()
        paint.data_setitem((np.array([1]), np.array([1])), 5)  # goes on as ever
        timeline_of(paint).undo()
        assert not paint.data.any()


def test_a_duplicate_is_the_users_own(viewer):
    image, result = show(viewer, predicted())
    corrector_of(viewer, result).take("accepted")
    copied = type(result)(result.data.copy(), metadata=dict(result.metadata), name="copy")
    viewer.add_layer(copied)
    assert all(
        not isinstance(call, type(corrector_of(viewer, result))) for call in copied.mouse_drag_callbacks
    )
    with pytest.raises(ValueError, match="does not show predicted objects"):
        corrector_of(viewer, copied)
    assert image in viewer.layers


def test_nothing_is_left_of_layers_that_were_removed(viewer, qtbot):
    section = section_of(viewer, qtbot)
    image, result = show(viewer, predicted())
    corrector_of(viewer, result).stroke("rejected", np.array([(16.0, 16.0)]), (0, 1))
    paint = annotation_of(viewer, image)
    gone = [weakref.ref(layer) for layer in (result, paint)]
    for layer in (image, result, paint):
        viewer.layers.remove(layer)
    del image, result, paint, layer
    gc.collect()
    assert [reference() for reference in gone] == [None, None]
    assert not section.findChild(QPushButton, "correct_accept").isEnabled()


def test_predicted_layers_that_were_removed_are_let_go(viewer, qtbot):
    section = section_of(viewer, qtbot)
    image, result = show(viewer, predicted())
    corrector_of(viewer, result).stroke("split", np.array([(34.0, 46.0), (58.0, 46.0)]), (0, 1))
    paint = annotation_of(viewer, image)
    gone = weakref.ref(result)
    viewer.layers.remove(result)
    del result
    gc.collect()
    assert gone() is None
    assert not section.findChild(QPushButton, "correct_split").isEnabled()
    timeline_of(paint).undo()  # what is left of it
    assert not paint.data.any()


def test_other_paint_in_the_layer_cannot_be_undone_into_what_was_there(viewer):
    image, result = show(viewer, predicted())
    corrector_of(viewer, result).stroke("split", np.array([(34.0, 46.0), (58.0, 46.0)]), (0, 1))
    paint, parts = annotation_of(viewer, image), result.data.copy()
    paint.data = np.ones((64, 64), np.int32)
    timeline_of(paint).undo(result)
    assert (paint.data == 1).all()
    assert np.array_equal(result.data, parts)
    assert [gesture.kind for gesture in gestures_of(paint)] == ["split", "split"]


def test_no_key_of_napari_or_of_the_brushes_is_taken(viewer, qtbot):
    from napari.utils.shortcuts import default_shortcuts

    from napari_unet.widgets.correcting.corrector import KEYS
    from napari_unet.widgets.paint import PaintDock

    actions = list(default_shortcuts)  # in order: of the viewer, of labels, of points...
    ours = actions[: next(place for place, action in enumerate(actions) if "points" in action)]
    taken = {str(binding) for action in ours for binding in default_shortcuts[action]}
    dock = PaintDock(viewer)
    qtbot.addWidget(dock)
    image, _ = show(viewer, predicted())
    dock.image.choose(image)
    dock.make()
    brushes = {str(key) for key in dock.annotation.keymap}
    assert not set(KEYS.values()) & (taken | brushes)


def test_a_gesture_on_a_large_image_is_quick(viewer):
    y, x = np.indices((2048, 2048))
    objects = np.where((y % 40 > 2) & (x % 40 > 2), y // 40 * 52 + x // 40 + 1, 0).astype(np.int32)
    image = viewer.add_image(np.zeros(objects.shape, np.uint8), name="large")
    result = add_result(viewer, image, "objects", objects)
    corrector = corrector_of(viewer, result)
    paths = {"accepted": [(20, 20)], "rejected": [(20, 60)], "split": [(100, 100), (100, 120)]}
    paths["merged"] = [(500, 500), (500, 540)]
    took = {}
    for kind, path in paths.items():
        start = time.perf_counter()
        corrector.stroke(kind, np.array(path, float), (0, 1))
        took[kind] = time.perf_counter() - start
    start = time.perf_counter()
    timeline_of(annotation_of(viewer, image)).undo()
    took["undo"] = time.perf_counter() - start
    assert len(gestures_of(annotation_of(viewer, image))) == 4
    assert max(took.values()) < 1, took  # 0.1 s on an idle machine


def test_what_was_done_in_words():
    assert "Accept what is right" in describe_gestures(())

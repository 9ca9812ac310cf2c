"""The all-in-one dock: the steps, what they share; and what every control of every dock must have."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from dock_helpers import discs, paint_on, say, tiny_training
from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QFocusEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLineEdit,
    QScrollArea,
    QScrollBar,
    QWidget,
)

from napari_unet.widgets.form import LayerChooser
from napari_unet.widgets.model_chooser import ModelChooser
from napari_unet.widgets.paint import PaintDock
from napari_unet.widgets.predict import PredictDock
from napari_unet.widgets.section import Section
from napari_unet.widgets.train import TrainDock
from napari_unet.widgets.unet import Stage, UNetDock, next_step
from napari_unet.widgets.weights import WeightsDock

DOCKS = (PaintDock, WeightsDock, TrainDock, PredictDock, UNetDock)
CONTROLS = (QAbstractButton, QComboBox, QAbstractSpinBox, QAbstractSlider, QLineEdit)
WIDTH = 350


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)


@pytest.fixture
def viewer():
    """Layers without a window, which takes a second to open; test_faults.py has windows."""
    return ViewerModel()


@pytest.mark.parametrize(
    ("stage", "step", "words"),
    [
        (Stage(), 1, "File > Open Sample > U-Net"),
        (Stage(True), 1, "annotation layer"),
        (Stage(True, True), 1, "Paint some background"),
        (Stage(True, True, True), 3, "Start training"),
        (Stage(True, True, True, is_training=True), 3, "learns"),
        (Stage(True, True, True, trained=True), 4, "Press Predict"),
        (Stage(True, True, True, trained=True, predicted=True), 4, "Correct what is wrong"),
        (Stage(True, True, True, trained=True, predicted=True, corrected=True), 1, "Take corrections"),
        (Stage(True, True, True, trained=True, predicted=True, painted_on=True), 3, "Train again"),
    ],
)
def test_the_next_step_in_words(stage, step, words):
    number, sentence = next_step(stage)
    assert number == step
    assert words in sentence
    assert sentence.endswith(".")


def test_the_whole_loop(make_napari_viewer, qtbot, monkeypatch):
    """Paint, train, predict, correct, and train again; scale, units and ids are those of the image."""
    tiny_training(monkeypatch, steps=30)
    viewer = make_napari_viewer()
    dock = UNetDock(viewer)
    viewer.window.add_dock_widget(dock)
    assert "Open Sample" in say(dock, "unet_next")
    image = viewer.add_image(discs(), name="cells", scale=(0.5, 0.5), units=("um", "um"))
    assert "annotation layer" in say(dock, "unet_next")
    paint = paint_on(viewer, image)
    paint.events.paint(value=[])
    qtbot.waitUntil(lambda: "Start training" in say(dock, "unet_next"), timeout=20_000)

    dock.weights.w0.setValue(3)
    with qtbot.waitSignal(dock.train.ended, timeout=60_000):
        dock.train.start()
        assert "learns" in say(dock, "unet_next")
    assert dock.train._last.model.training.weights.w0 == 3
    assert dock.predict.model.path.parent.name == "U-Net models"
    assert "Press Predict" in say(dock, "unet_next")

    with qtbot.waitSignal(dock.predict.predicted, timeout=60_000):
        dock.predict.start()
    (objects,) = (layer for layer in viewer.layers if layer.name == "cells objects")
    assert isinstance(objects, Labels)
    assert objects.data.dtype == np.int32
    np.testing.assert_array_equal(objects.scale, image.scale)
    assert objects.units == image.units
    assert "Correct what is wrong" in say(dock, "unet_next")

    objects.data_setitem((np.arange(30, 34), np.arange(30, 34)), 77)
    assert "Take corrections" in say(dock, "unet_next")
    dock.paint.take_corrections()
    qtbot.waitUntil(lambda: "Train again" in say(dock, "unet_next"), timeout=20_000)


def test_an_image_chosen_in_one_step_is_chosen_in_all(viewer, qtbot):
    dock = UNetDock(viewer)
    qtbot.addWidget(dock)
    a, b = viewer.add_image(discs(), name="a"), viewer.add_image(discs(), name="b")
    for chooser in dock._choosers:
        for layer in (a, b):
            chooser.choose(layer)
            assert [other.layer for other in dock._choosers] == [layer] * 4
    viewer.layers.remove(b)
    assert [other.layer for other in dock._choosers] == [a] * 4


def controls(dock):
    """The controls a person can use; not the parts that Qt and superqt build them of."""
    for child in dock.findChildren(QWidget):
        inside = child.parentWidget()
        is_part = False
        while inside is not None and inside is not dock:
            is_part |= isinstance(inside, CONTROLS)
            inside = inside.parentWidget()
        if isinstance(child, CONTROLS) and not isinstance(child, QScrollBar) and not is_part:
            yield child


@pytest.mark.parametrize("kind", DOCKS)
def test_every_control_has_a_name_a_tooltip_and_takes_the_focus(kind, viewer, qtbot):
    dock = kind(viewer)
    qtbot.addWidget(dock)
    found = list(controls(dock))
    assert len(found) > 3
    names = [control.objectName() for control in found]
    assert len(set(names)) == len(names)
    for control in found:
        assert control.objectName(), control
        assert control.toolTip(), control.objectName()
        assert control.focusPolicy() & Qt.FocusPolicy.TabFocus, control.objectName()


@pytest.mark.parametrize("kind", DOCKS)
def test_every_control_that_shows_is_reached_with_the_tab_key(kind, viewer, qtbot):
    viewer.add_image(discs())
    dock = kind(viewer)
    qtbot.addWidget(dock)
    dock.resize(WIDTH, 2000)
    for section in dock.findChildren(Section):
        section.set_open(True)
    with qtbot.waitExposed(dock):
        dock.show()
    usable = {control for control in controls(dock) if control.isVisible() and control.isEnabled()}
    widget, reached = dock.nextInFocusChain(), []
    while widget is not dock:
        reached.append(widget)
        widget = widget.nextInFocusChain()
    assert usable <= set(reached)
    # In the order of the eye: from top to bottom.
    heights = [control.mapTo(dock, control.rect().center()).y() for control in reached if control in usable]
    assert all(later >= earlier - 20 for earlier, later in pairwise(heights))


@pytest.mark.parametrize("kind", DOCKS)
def test_a_dock_opens_wide_enough_for_its_choices(kind, viewer, qtbot):
    dock = kind(viewer)
    qtbot.addWidget(dock)
    dock.resize(dock.sizeHint())  # as it opens, with its sections folded
    dock.show()
    assert dock.width() <= WIDTH
    for section in dock.findChildren(Section):
        section.set_open(True)
    qtbot.wait(10)
    for box in dock.findChildren(QComboBox):
        if box.isVisible() and not isinstance(box, LayerChooser | ModelChooser):
            texts = [box.itemText(index) for index in range(box.count())]
            assert box.width() > max(map(box.fontMetrics().horizontalAdvance, texts))


@pytest.mark.parametrize("kind", DOCKS)
def test_nothing_is_cut_off_at_350_pixels(kind, viewer, qtbot):
    viewer.add_image(discs(), name="a name that is much longer than there is room for in a dock")
    dock = kind(viewer)
    qtbot.addWidget(dock)
    for section in dock.findChildren(Section):
        section.set_open(True)
    area = dock.findChild(QScrollArea)
    dock.resize(WIDTH, 500)
    dock.show()
    page = area.widget()
    assert page.minimumSizeHint().width() <= WIDTH - area.verticalScrollBar().sizeHint().width()


def test_a_section_opens_with_the_keyboard_and_hides_its_content_from_it(qtbot):
    section = Section("More", name="more", tooltip="More of it.")
    qtbot.addWidget(section)
    section.show()
    assert not section.content.isVisible()
    QTest.keyClick(section._button, Qt.Key.Key_Space)
    assert section.is_open
    assert section.content.isVisible()
    QApplication.sendEvent(section._button, QFocusEvent(QEvent.Type.FocusOut))
    QTest.keyClick(section._button, Qt.Key.Key_Space)
    assert not section.content.isVisible()

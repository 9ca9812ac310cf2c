"""The all-in-one dock: the steps, what they share; and what every control of every dock must have."""

import csv
import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import roifile
from dock_helpers import discs, paint_on, save, say, tiny_training
from napari.layers import Image, Labels
from napari.layers._source import Source
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QFocusEvent, QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QDockWidget,
    QFileDialog,
    QInputDialog,
    QLineEdit,
    QMainWindow,
    QMessageBox,
    QPushButton,
    QScrollArea,
    QScrollBar,
    QStyleOptionComboBox,
    QVBoxLayout,
    QWidget,
)

from napari_unet.core.errors import InputError
from napari_unet.files.networks.states import step_to_continue
from napari_unet.files.pixels.images import check_replaceable, read_image
from napari_unet.files.projects.project import read_project
from napari_unet.widgets.bridge.layers import add_result, make_annotation
from napari_unet.widgets.bridge.timeline import timeline_of
from napari_unet.widgets.models.model_chooser import ModelChooser
from napari_unet.widgets.next_step import Stage, next_step
from napari_unet.widgets.paint import PaintDock
from napari_unet.widgets.painting.channel_layers import combine
from napari_unet.widgets.parts.control_values import read_controls
from napari_unet.widgets.parts.form import LayerChooser, Sentence
from napari_unet.widgets.parts.section import Section
from napari_unet.widgets.predict import PredictDock
from napari_unet.widgets.predicting.object_table import axis_letters, measurable, object_table, stain_names
from napari_unet.widgets.predicting.saving import FORMATS, meant_path, paths_in, suggested_path
from napari_unet.widgets.projects.window_project import project_of
from napari_unet.widgets.samples import coins
from napari_unet.widgets.train import TrainDock
from napari_unet.widgets.training.training_form import TrainingForm
from napari_unet.widgets.unet import UNetDock
from napari_unet.widgets.weights import WeightsDock

pytestmark = pytest.mark.usefixtures("home")

DOCKS = (PaintDock, WeightsDock, TrainDock, PredictDock, UNetDock)
CONTROLS = (QAbstractButton, QComboBox, QAbstractSpinBox, QAbstractSlider, QLineEdit)
WIDTH = 350


def stage(**so_far):
    """An image with an annotation layer that teaches, and what else is so far."""
    begun = Stage(has_image=True, has_annotation=True, has_background=True, objects=3, paint_teaches=True)
    return replace(begun, **so_far)


BARE = Stage(has_image=True)
PREDICTED = stage(trained=True, has_labels=True, predicted=True)


@pytest.mark.parametrize(
    ("stage", "step", "words", "actions"),
    [
        (Stage(), 1, "Open an image", ("sample",)),
        (Stage(is_training=True), 3, "keeps learning", ("stop",)),
        (BARE, 1, "Make the annotation layer", ("make",)),
        (replace(BARE, has_model=True), 1, "predict at once", ("make", "predict")),
        (
            replace(BARE, has_labels=True, predicted=True),
            1,
            "If they are right, save them",
            ("make", "save", "table"),
        ),
        (
            replace(BARE, has_labels=True, predicted=True, size_can_be_set=True),
            1,
            "set the object size in step 4 and predict again",
            ("make", "save", "table"),
        ),
        (
            replace(BARE, has_labels=True, predicted=True, corrected=True),
            1,
            "make the annotation layer",
            ("make", "save", "table"),
        ),
        (Stage(True, True), 1, "Paint a little of the background", ("background",)),
        (Stage(True, True, is_unknown=True), 1, "Step 1 says what is painted", ()),
        (
            Stage(True, True, has_labels=True, predicted=True),
            4,
            "If they are right, save them",
            ("next", "save", "table"),
        ),
        (
            Stage(True, True, has_background=True, has_labels=True, predicted=True),  # one was rejected
            4,
            "accept right ones",
            ("next", "save", "table"),
        ),
        (Stage(True, True, has_background=True), 1, "begin an object", ("object",)),
        (stage(paint_teaches=False), 1, "what is still missing", ("object",)),
        (stage(), 3, "Start training", ("start", "object")),
        (stage(is_training=True, is_waiting=True), 3, "in a moment", ("next",)),
        (replace(BARE, is_training=True), 3, "make the annotation layer", ("make", "stop")),
        (stage(is_training=True), 3, "for the next training", ("next", "stop")),
        (stage(is_training=True, has_preview=True), 3, "the preview shows", ("next", "stop")),
        (
            stage(is_training=True, paint_joins=True),
            3,
            "learns, and your strokes join at once",
            ("next", "stop"),
        ),
        (
            stage(is_training=True, paint_joins=True, has_preview=True),
            3,
            "the preview shows",
            ("next", "stop"),
        ),
        (
            stage(is_training=True, paint_joins=True, is_paused=True),
            3,
            "Go on, or stop",
            ("resume", "next", "stop"),
        ),
        (stage(trained=True, has_model=True), 4, "Predict, to see", ("predict",)),
        (stage(trained=True), 3, "Start training", ("start", "object")),  # on images of other channels
        (PREDICTED, 4, "If they are right, save them", ("next", "save", "table")),
        (replace(PREDICTED, corrected=True), 1, "Take your corrections", ("take", "save", "table")),
        (replace(PREDICTED, painted_on=True), 3, "Train again", ("start", "next", "save", "table")),
        (replace(PREDICTED, saved=True), 4, "Your labels are saved", ("next", "save", "table")),
        (replace(PREDICTED, is_training=True), 3, "The network learns", ("next", "stop", "save", "table")),
        (replace(PREDICTED, is_predicting=True), 4, "as they are finished", ()),
        (replace(BARE, has_model=True, is_predicting=True), 4, "segments the image", ()),
        (stage(has_labels=True), 3, "Start training", ("start", "object", "save", "table")),
        (Stage(True, True, is_of_classes=True), 1, "in no other class", ("background",)),
        (Stage(True, True, is_of_classes=True, has_background=True), 1, "take the next class", ("class",)),
        (stage(paint_teaches=False, is_of_classes=True), 1, "what is still missing", ("class",)),
        (stage(is_of_classes=True), 3, "a little more first", ("start", "class")),
        (replace(PREDICTED, is_of_classes=True), 4, "Look at the classes", ("next", "save", "table")),
        (
            replace(PREDICTED, is_of_classes=True, finds_objects=True, has_model=True, predicted=False),
            3,
            "finds objects. Start training",
            ("start", "class", "save", "table"),
        ),
        (
            replace(PREDICTED, is_of_classes=True, painted_on=True),
            3,
            "Train again",
            ("start", "next", "save", "table"),
        ),
    ],
)
def test_the_next_step_in_words(stage, step, words, actions):
    advice = next_step(stage)
    assert advice.step == step
    assert words in advice.sentence
    assert advice.sentence.endswith(".")
    assert advice.actions == actions


def shown(dock):
    """The actions whose buttons show above the steps, the first of them being the one in bold."""
    visible = [action for action, made in dock._buttons.items() if not made.isHidden()]
    bold = [action for action in visible if dock._buttons[action].font().bold()]
    return [*bold, *(action for action in visible if action not in bold)]


def press(dock, action):
    made = dock.findChild(QPushButton, f"unet_{action}")
    assert not made.isHidden()
    made.click()


def test_from_an_empty_viewer_to_a_saved_file(make_napari_viewer, qtbot, tmp_path, monkeypatch):
    """By the buttons above the steps alone, but for the brush; on a corner of the sample, to be quick."""
    ((sample, how, kind),) = coins()
    monkeypatch.setattr("napari_unet.widgets.unet.coins", lambda: [(sample[:112, :128], how, kind)])
    tiny_training(monkeypatch, steps=6)
    viewer = make_napari_viewer()
    dock = UNetDock(viewer)
    viewer.window.add_dock_widget(dock)
    assert shown(dock) == ["sample"]
    press(dock, "sample")
    image = viewer.layers["coins"]
    image.scale, image.units = (0.25, 0.25), ("um", "um")
    assert shown(dock) == ["make"]
    press(dock, "make")
    paint = viewer.layers["coins paint"]
    qtbot.waitUntil(lambda: shown(dock) == ["background"], timeout=20_000)
    press(dock, "background")
    for row in (5, 87):
        paint.data_setitem((np.full(110, row), np.arange(10, 120)), paint.selected_label)
    qtbot.waitUntil(lambda: shown(dock) == ["object"], timeout=20_000)
    for y, x in ((45, 50), (45, 105)):
        press(dock, "object")
        around = np.mgrid[y - 5 : y + 5, x - 5 : x + 5].reshape(2, -1)
        paint.data_setitem(tuple(around), paint.selected_label)
        qtbot.waitUntil(lambda: shown(dock) == ["start", "object"], timeout=20_000)
    assert np.unique(paint.data).tolist() == [0, 1, 2, 3]
    with qtbot.waitSignal(dock.train.ended, timeout=200_000):
        press(dock, "start")
        assert shown(dock) == ["next"]
        assert dock._sections[2].is_open
    assert shown(dock) == ["predict"]
    with qtbot.waitSignal(dock.predict.predicted, timeout=200_000):
        press(dock, "predict")
    assert dock._sections[3].is_open
    assert shown(dock) == ["next", "save", "table"]

    press(dock, "next")
    qtbot.waitUntil(lambda: not dock.paint.next_place.is_busy, timeout=200_000)
    assert say(dock, "unet_told")

    target = tmp_path / "labels"
    asked = []

    def choose(_parent, _title, suggested, _kinds):
        asked.append(suggested)
        return str(target), ""

    monkeypatch.setattr(QFileDialog, "getSaveFileName", choose)
    press(dock, "save")
    path = tmp_path / "labels.tif"
    qtbot.waitUntil(lambda: str(path) in say(dock, "unet_told"), timeout=20_000)
    assert asked == [str(tmp_path / "coins_objects.tif")]
    written = read_image(path)
    np.testing.assert_array_equal(written.pixels, viewer.layers["coins objects"].data)
    assert (written.pixel_size.y, written.pixel_size.x) == (0.25, 0.25)
    assert "Your labels are saved" in say(dock, "unet_advice")
    press(dock, "table")
    table = tmp_path / "labels.csv"
    qtbot.waitUntil(lambda: str(table) in say(dock, "unet_told"), timeout=20_000)
    assert asked[1:] == [str(tmp_path / "coins_objects.csv")]
    names, *rows = table.read_text().splitlines()
    assert names == "image,object,pixels,area_um2,diameter_um,y_px,x_px,mean"
    assert len(rows) == written.pixels.max()

    # An edit makes them unsaved.
    viewer.layers["coins objects"].data_setitem((np.arange(4), np.arange(4)), 99)
    assert shown(dock) == ["take", "save", "table"]
    press(dock, "take")
    qtbot.waitUntil(lambda: shown(dock) == ["start", "next", "save", "table"], timeout=20_000)


def test_the_sample_is_the_one_of_the_menu(viewer, qtbot):
    dock = UNetDock(viewer)
    qtbot.addWidget(dock)
    press(dock, "sample")
    np.testing.assert_array_equal(viewer.layers["coins"].data, coins()[0][0])


def test_labels_that_cannot_be_written_are_told_and_a_dialog_may_be_cancelled(
    viewer, qtbot, tmp_path, monkeypatch
):
    dock = UNetDock(viewer)
    qtbot.addWidget(dock)
    image = viewer.add_image(discs(), name="cells")
    dock._save(dock._saver.ask)
    assert "press Predict first" in say(dock, "unet_told")
    labels = add_result(viewer, image, "objects", np.zeros((64, 64), np.int32))
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: ("", ""))
    dock._save(dock._saver.ask)
    dock._save(dock._saver.ask_table)
    assert not list(tmp_path.iterdir())
    saved = tmp_path / "labels.tif"
    with qtbot.waitSignal(dock._saver.saved, timeout=20_000):
        dock._saver.write(labels, saved)
    with pytest.raises(InputError, match="saved by hand"):  # for it may have been corrected
        check_replaceable(saved)
    dock._saver.write(labels, saved / "labels.tif")
    qtbot.waitUntil(lambda: "folder is a file" in say(dock, "unet_told"), timeout=20_000)


@pytest.mark.parametrize(
    ("chosen", "kind", "written"),
    [
        ("a", "", "a.tif"),
        ("a", "TIFF", "a.tif"),
        ("a.zip", "TIFF", "a.zip"),  # the ending decides
        ("a.TIFF", "TIFF", "a.TIFF"),
        ("a.zip", "QuPath", "a.zip"),
        ("a.geojson", "QuPath", "a.geojson"),
        ("a_objects.tif", "ImageJ", "a_objects.zip"),  # as it was suggested
        ("a v1.5", "QuPath", "a v1.5.geojson"),
    ],
)
def test_the_ending_of_a_name_or_else_the_kind_of_file_decides_what_is_written(chosen, kind, written):
    (kind,) = [name for name in FORMATS if kind and kind in name] or [""]
    assert meant_path(Path(chosen), kind) == Path(written)


def test_labels_are_saved_as_outlines(viewer, qtbot, tmp_path, monkeypatch):
    dock = UNetDock(viewer)
    qtbot.addWidget(dock)
    image = viewer.add_image(discs((2, 64, 64)), name="cells", axis_labels=("t", "y", "x"))
    found = np.zeros((2, 64, 64), np.int32)
    found[1, 3:6, 4:9] = 70_000
    add_result(viewer, image, "objects", found)
    asked = []
    kind = next(name for name in FORMATS if "ImageJ" in name)

    def choose(_parent, _title, _suggested, kinds):
        asked.append(kinds)
        return str(tmp_path / "cells_objects.tif"), kind

    monkeypatch.setattr(QFileDialog, "getSaveFileName", choose)
    path = tmp_path / "cells_objects.zip"
    press(dock, "save")
    qtbot.waitUntil(lambda: f"Saved 'cells objects' as {path}" in say(dock, "unet_told"), timeout=20_000)
    assert asked == [";;".join(FORMATS)]
    (roi,) = roifile.roiread(path)
    assert (roi.name, roi.position, roi.top, roi.left, roi.bottom, roi.right) == ("70000_t2", 2, 3, 4, 6, 9)
    with pytest.raises(InputError, match="saved by hand"):
        check_replaceable(path)

    # The dialog has not asked whether this one may be replaced.
    before = path.stat().st_mtime_ns
    press(dock, "save")
    assert f"{path} already exists" in say(dock, "unet_told")
    assert path.stat().st_mtime_ns == before

    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "a.geojson"), kind))
    press(dock, "save")
    qtbot.waitUntil(lambda: "a.geojson" in say(dock, "unet_told"), timeout=20_000)
    (feature,) = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert feature["geometry"]["plane"] == {"c": -1, "z": 0, "t": 1}
    assert feature["properties"]["objectType"] == "detection"

    add_result(viewer, image, "classes", found // 35_000 + 1)
    viewer.layers.selection = {viewer.layers["cells classes"]}
    press(dock, "save")
    qtbot.waitUntil(lambda: "'cells classes'" in say(dock, "unet_told"), timeout=20_000)
    (feature,) = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert feature["properties"]["classification"] == {"name": "class 3"}


def test_the_table_tells_how_bright_objects_are_in_blended_layers_as_well(viewer, qtbot, tmp_path):
    dock = UNetDock(viewer)
    qtbot.addWidget(dock)
    image, _ = viewer.add_image(discs((2, 64, 64)), channel_axis=0, name=["DAPI", "GFP, long"])
    viewer.add_image(discs(), name="another")
    add_result(viewer, image, "objects", np.ones((64, 64), np.int32))
    with qtbot.waitSignal(dock._saver.told, timeout=20_000):
        dock._saver.write_table([image], tmp_path / "table.csv")
    names, values = csv.reader((tmp_path / "table.csv").read_text("utf-8").splitlines())
    assert names == ["image", "object", "pixels", "diameter_px", "y_px", "x_px", "mean", "mean_GFP, long"]
    means = [float(f"{channel.mean():.6g}") for channel in discs((2, 64, 64))]
    assert [float(value) for value in values[-2:]] == pytest.approx(means, rel=1e-5)


def test_all_images_that_are_segmented_have_one_table_with_the_stains_of_each(
    viewer, qtbot, tmp_path, monkeypatch
):
    dock = UNetDock(viewer)
    qtbot.addWidget(dock)
    for number in range(3):
        image, _ = viewer.add_image(
            np.full((2, 64, 64), number), channel_axis=0, name=[f"field {number} DAPI", "GFP"]
        )
        found = np.zeros((64, 64), np.int32)
        found[0, :number] = np.arange(number) + 1  # none in the first
        add_result(viewer, image, "objects", found)
    dock.predict.image.setCurrentText("All images")
    qtbot.wait(1)  # steps turn to the last image, and what was said of another is taken back
    path = tmp_path / "objects.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    press(dock, "table")
    qtbot.waitUntil(lambda: f"table of 3 images as {path}" in say(dock, "unet_told"), timeout=20_000)
    assert list(csv.DictReader(path.read_text("utf-8").splitlines())) == [
        {"image": image, "object": o, "pixels": p, "diameter_px": d, "y_px": y, "x_px": x, "mean": m}
        | {"mean_GFP": m}
        for image, o, p, d, y, x, m in [
            ("field 0 DAPI", *[""] * 6),
            ("field 1 DAPI", "1", "1", "1.12838", "0.0", "0.0", "1.0"),
            ("field 2 DAPI", "1", "1", "1.12838", "0.0", "0.0", "2.0"),
            ("field 2 DAPI", "2", "1", "1.12838", "0.0", "1.0", "2.0"),
        ]
    ]


def test_objects_have_their_class_in_the_table_if_classes_were_predicted_beside_them(viewer):
    image = viewer.add_image(discs(), name="cells")
    found, kinds = np.zeros((2, 64, 64), np.int32)
    found[:2, :3], found[5, :3] = 7, 8
    kinds[:], kinds[0], kinds[5, 1:] = 1, 3, 2
    add_result(viewer, image, "objects", found)

    def columns():
        return [row[:4] for row in object_table(measurable(viewer, [image]))]

    assert [row[:3] for row in columns()] == [["image", "object", "pixels"], ["cells", 7, 6], ["cells", 8, 3]]
    add_result(viewer, image, "classes", kinds)
    viewer.layers.selection = {image}
    assert columns() == [["image", "object", "class", "pixels"], ["cells", 7, 3, 6], ["cells", 8, 2, 3]]
    kinds[0, 0], kinds[1, :2] = 2, 2  # as the user corrects them, for it is what the layer shows
    kinds[5] = 0
    assert [row[2] for row in columns()[1:]] == [2, None]
    viewer.layers.selection = {viewer.layers["cells classes"]}  # as for saving labels: these are at hand
    assert measurable(viewer, [image])[0].classes is None
    selected = columns()
    viewer.layers.remove("cells objects")
    assert (
        [row[:3] for row in columns()]
        == [row[:3] for row in selected]
        == [
            ["image", "class", "pixels"],
            *(["cells", kind, pixels] for kind, pixels in [(1, 3966), (2, 3), (3, 63)]),
        ]
    )


def test_what_is_saved_with_classes_selected_says_that_it_is_classes(viewer, qtbot, tmp_path, monkeypatch):
    dock = UNetDock(viewer)
    qtbot.addWidget(dock)
    images = [viewer.add_image(discs(), name=name) for name in "ab"]
    for image in images:
        for kind in ("classes", "objects"):
            add_result(viewer, image, kind, np.eye(64, dtype=np.int32))
    suggested = []

    def choose(_parent, _title, path, _kinds):
        suggested.append(Path(path).name)
        return str(tmp_path / suggested[-1]), ""

    monkeypatch.setattr(QFileDialog, "getSaveFileName", choose)
    viewer.layers.selection.active = viewer.layers["a classes"]
    dock._saver.ask_table(images[:1])
    qtbot.waitUntil(lambda: "the table of the classes of 'a' as" in say(dock, "unet_told"), timeout=20_000)
    assert say(dock, "unet_told").endswith(
        "For a table of its objects, select their layer and press Save table… again."
    )
    # Of several images it is classes of all, not objects of those whose layers are not selected.
    dock._saver.ask_table(images)
    qtbot.waitUntil(lambda: "classes of 2 images" in say(dock, "unet_told"), timeout=20_000)
    kinds = [
        row["class"] for row in csv.DictReader((tmp_path / "classes.csv").read_text("utf-8").splitlines())
    ]
    assert kinds == ["1", "1"]
    viewer.layers.selection.active = viewer.layers["b objects"]
    dock._saver.ask_table(images)
    qtbot.waitUntil(lambda: "Saved the table of 2 images as" in say(dock, "unet_told"), timeout=20_000)
    assert "select" not in say(dock, "unet_told")
    viewer.layers.selection.active = images[0]
    viewer.layers["a objects"].visible = False  # of an earlier model, say: what is seen is saved
    dock._saver.ask_table(images[:1])
    viewer.layers["a objects"].visible = True
    dock._saver.ask_table(images[:1])
    assert suggested == ["a_classes.csv", "classes.csv", "objects.csv", "a_classes.csv", "a_objects.csv"]


def test_the_table_has_the_layers_that_an_image_was_made_of_by_name(viewer):
    layers = viewer.add_image(discs((2, 64, 64)), channel_axis=0, name=["DAPI", "GFP"])
    image = viewer.add_layer(combine(layers))
    add_result(viewer, image, "objects", np.ones((64, 64), np.int32))

    def means():
        names, values = object_table(measurable(viewer, [image]))
        columns = dict(zip(names, values, strict=True))
        return {name: value for name, value in columns.items() if "mean" in str(name)}

    channels = [pytest.approx(channel.mean(), rel=1e-5) for channel in discs((2, 64, 64))]
    assert means() == {"mean_DAPI": channels[0], "mean_GFP": channels[1]}
    viewer.layers.remove(layers[1])
    assert means() == {"mean_1": channels[0], "mean_2": channels[1]}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([["GFP"], ["GFP [1]"]], [["GFP"], ["GFP"]]),
        ([["C2-a.tif", "C3-a.tif"], ["C2-b.tif", "C3-b.tif"]], [["C2-.tif", "C3-.tif"]] * 2),
        ([["GFP [1]"]], [["GFP [1]"]]),
        ([["GFP"], []], [["GFP"], []]),
        ([["GFP"], ["DAPI [1]", "GFP [1]"]], [["GFP"], ["DAPI", "GFP"]]),
        ([["a"], ["a", "a [1]"]], [["a"], ["a", "a [1]"]]),
        ([["red"], ["green"]], [["red"], ["green"]]),
        ([["a1", "a2"], ["a3", "a4"]], [["a1", "a2"], ["a3", "a4"]]),
    ],
)
def test_stains_of_several_images_are_called_what_their_names_have_in_common(names, expected):
    assert stain_names(names) == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (None, "YX"),
        (None, "ZYX"),
        (("t", "y", "x"), "TYX"),
        (("time", "y", "x"), "TYX"),
        (("depth", "y", "x"), "ZYX"),
        (None, "TZYX"),
        (("z", "t", "y", "x"), "ZTYX"),
        (("x", "z", "y", "x"), "TZYX"),
        (("well", "t", "z", "y", "x"), "012YX"),
    ],
)
def test_axes_of_tables_and_files_are_called_as_those_of_the_layer(names, expected):
    assert axis_letters(Labels(np.zeros((2,) * len(expected), int), axis_labels=names)) == expected


def test_labels_are_suggested_to_lie_beside_their_image(viewer, tmp_path):
    path = tmp_path / "plate.ome.tif"
    image = Image(np.zeros((8, 8)), name="a/b")
    viewer.add_layer(image)
    labels = add_result(viewer, image, "classes", np.ones((8, 8), np.int32))
    assert suggested_path(image, labels) == tmp_path / "a_b_classes.tif"
    image._source = Source(path=str(path))
    assert suggested_path(image, labels) == tmp_path / "plate_classes.tif"


@pytest.fixture
def plate(viewer, qtbot, monkeypatch, tmp_path):
    """A dock in which all images are chosen, of which three have labels, and the answers to its questions."""
    dock = UNetDock(viewer)
    qtbot.addWidget(dock)
    for number, source in enumerate(("one/field.tif", "two/Field.tif", "")):
        image = Image(discs(), name=f"well {number}")
        if source:
            image._source = Source(path=str(tmp_path / source))
        viewer.add_layer(image)
        found = np.zeros((64, 64), np.int32)
        found[number, :5] = number + 1
        add_result(viewer, image, "objects", found)
    viewer.add_image(discs(), name="not segmented")
    dock.predict.image.setCurrentText("All images")
    answers = {"kind": (next(iter(FORMATS)), True), "folder": str(tmp_path), "replace": [], "asked": []}

    def ask(_parent, _title, question, **_buttons):
        answers["asked"].append(question)
        return answers["replace"].pop()

    monkeypatch.setattr(QInputDialog, "getItem", lambda *_: answers["kind"])
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: answers["folder"])
    monkeypatch.setattr(QMessageBox, "question", ask)
    return dock, answers


NAMES = ["well 0_objects", "well 1_objects", "well 2_objects"]  # as the files have the same name


def test_labels_of_several_images_are_saved_in_a_folder(plate, qtbot, tmp_path):
    dock, answers = plate
    press(dock, "save")
    told = f"Saved the labels of 3 images in {tmp_path}; 1 has none yet"
    qtbot.waitUntil(lambda: say(dock, "unet_told") == told, timeout=20_000)
    assert sorted(path.stem for path in tmp_path.glob("*.tif")) == NAMES
    for number, name in enumerate(NAMES):
        pixels = read_image(tmp_path / f"{name}.tif").pixels
        assert (np.unique(pixels).tolist(), pixels[number, 0]) == ([0, number + 1], number + 1)
    assert not answers["asked"]

    answers["kind"] = (next(name for name in FORMATS if "QuPath" in name), True)
    press(dock, "save")
    qtbot.waitUntil(lambda: len(list(tmp_path.glob("*.geojson"))) == 3, timeout=20_000)
    qtbot.waitUntil(lambda: say(dock, "unet_told") == told, timeout=20_000)


def test_files_are_replaced_only_when_the_user_says_so(plate, qtbot, tmp_path):
    dock, answers = plate
    (tmp_path / "well 1_objects.tif").write_text("precious")
    answers["replace"] = [QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.No]
    press(dock, "save")
    assert answers["asked"] == [f"{tmp_path} already has 'well 1_objects.tif'.\n\nReplace it?"]
    qtbot.wait(200)
    assert (tmp_path / "well 1_objects.tif").read_text() == "precious"
    assert len(list(tmp_path.glob("*.tif"))) == 1
    press(dock, "save")
    qtbot.waitUntil(lambda: "labels of 3 images" in say(dock, "unet_told"), timeout=20_000)
    assert read_image(tmp_path / "well 1_objects.tif").pixels.max() == 2


def test_whoever_cancels_saves_nothing_and_a_failure_says_what_is_saved(plate, qtbot, tmp_path, monkeypatch):
    dock, answers = plate
    before = sorted(tmp_path.iterdir())
    for change in ({"folder": ""}, {"kind": ("", False)}):
        answers.update(change)
        press(dock, "save")
    assert say(dock, "unet_told") == ""
    assert sorted(tmp_path.iterdir()) == before
    answers |= {"kind": (next(iter(FORMATS)), True), "folder": str(tmp_path)}
    (tmp_path / "well 1_objects.tif").mkdir()
    answers["replace"] = [QMessageBox.StandardButton.Yes]
    press(dock, "save")
    qtbot.waitUntil(lambda: "is a folder" in say(dock, "unet_told"), timeout=20_000)
    assert say(dock, "unet_told").endswith(" 1 of 3 images are saved.")
    assert not (tmp_path / "well 2_objects.tif").exists()


def test_one_image_with_labels_among_several_is_saved_under_any_name(plate, qtbot, tmp_path, monkeypatch):
    dock, _ = plate
    for name in ("well 0 objects", "well 2 objects"):
        dock._viewer.layers.remove(name)
    dock.paint.image.choose(dock._viewer.layers["well 1"])
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "any.tif"), ""))
    press(dock, "save")
    qtbot.waitUntil(lambda: str(tmp_path / "any.tif") in say(dock, "unet_told"), timeout=20_000)
    dock._viewer.layers.remove("well 1 objects")
    dock._save(dock._saver.ask)
    assert "no labels of these images to save" in say(dock, "unet_told")


def test_names_of_saved_labels_are_told_apart(tmp_path):
    names = ("a", "A", "a_2", "b")
    found = [(Image(np.zeros((4, 4)), name=name), Labels(np.zeros((4, 4), int))) for name in names]
    assert [path.name for path in paths_in(tmp_path, found, ".zip")] == [
        "a_objects.zip",
        "A_objects_2.zip",
        "a_2_objects.zip",
        "b_objects.zip",
    ]


def test_another_image_begins_at_its_own_step(viewer, qtbot):
    dock = UNetDock(viewer)
    qtbot.addWidget(dock)
    first = viewer.add_image(discs(), name="first")
    paint_on(viewer, first)
    dock.paint.image.choose(first)
    qtbot.waitUntil(lambda: shown(dock) == ["start", "object"], timeout=20_000)
    second = viewer.add_image(discs(), name="second")
    dock.paint.image.choose(second)
    qtbot.wait(50)  # the docks turn to the new image by themselves as well
    assert shown(dock) == ["make"]
    dock.paint.image.choose(first)
    qtbot.waitUntil(lambda: shown(dock) == ["start", "object"], timeout=20_000)


def advised(monkeypatch):
    """Everything that the sentence above the steps says from now on."""
    said = []

    def say_and_note(label, text, tone="hint", say=Sentence.say):
        if label.objectName() == "unet_advice":
            said.append(text)
        say(label, text, tone)

    monkeypatch.setattr(Sentence, "say", say_and_note)
    return said


def test_nothing_is_advised_on_paint_that_is_not_counted_yet_or_was_that_of_another_image(
    viewer, qtbot, monkeypatch
):
    first, second = (viewer.add_image(discs(), name=name) for name in ("first", "second"))
    make_annotation(viewer, second)
    paint_on(viewer, first)
    said = advised(monkeypatch)
    dock = UNetDock(viewer)
    qtbot.addWidget(dock)
    qtbot.waitUntil(lambda: shown(dock) == ["start", "object"], timeout=20_000)
    assert not any("background" in sentence for sentence in said)
    said.clear()
    viewer.layers.selection.active = second
    qtbot.waitUntil(lambda: shown(dock) == ["background"], timeout=20_000)
    assert not any("Start training" in sentence for sentence in said)


def test_paint_that_does_not_fit_its_image_is_no_reason_to_paint_more(viewer, qtbot):
    image = viewer.add_image(discs(), name="cells")
    paint_on(viewer, image)
    dock = UNetDock(viewer)
    qtbot.addWidget(dock)
    qtbot.waitUntil(lambda: shown(dock) == ["start", "object"], timeout=20_000)
    image.data = image.data[:32]
    qtbot.waitUntil(lambda: "what is wrong with it" in say(dock, "unet_advice"), timeout=20_000)
    assert "bring the image back" in say(dock, "paint_advice")


def test_a_training_goes_on_and_is_stopped_above_the_steps(make_napari_viewer, qtbot, monkeypatch):
    tiny_training(monkeypatch, steps=None)
    viewer = make_napari_viewer()
    dock = UNetDock(viewer)
    viewer.window.add_dock_widget(dock)
    paint_on(viewer, viewer.add_image(discs(), name="cells"))
    dock.train.start()
    qtbot.waitUntil(lambda: "Step" in say(dock, "train_status"), timeout=60_000)  # there is something to save
    assert shown(dock) == ["next", "stop"]
    assert say(dock, "unet_advice").endswith("press Stop and save.")
    dock.train.pause()
    assert shown(dock) == ["resume", "next", "stop"]
    press(dock, "resume")
    assert not dock.train.is_paused
    with qtbot.waitSignal(dock.train.ended, timeout=60_000):
        press(dock, "stop")
    qtbot.waitUntil(lambda: shown(dock) == ["predict"], timeout=20_000)  # once the paint is counted
    said = say(dock, "train_outcome")
    assert said.startswith("Saved as cells")
    assert said.endswith(" in the folder U-Net models.")


def test_the_whole_loop(make_napari_viewer, qtbot, monkeypatch):
    """Paint, train, predict, correct, and train again; scale, units and ids are those of the image."""
    tiny_training(monkeypatch, steps=30)
    viewer = make_napari_viewer()
    dock = UNetDock(viewer)
    viewer.window.add_dock_widget(dock)
    assert "Open an image" in say(dock, "unet_advice")
    image = viewer.add_image(discs(), name="cells", scale=(0.5, 0.5), units=("um", "um"))
    assert "annotation layer" in say(dock, "unet_advice")
    paint = paint_on(viewer, image)
    paint.events.paint(value=[])
    qtbot.waitUntil(lambda: "Start training" in say(dock, "unet_advice"), timeout=20_000)

    dock.weights.w0.setValue(3)
    with qtbot.waitSignal(dock.train.ended, timeout=60_000):
        dock.train.start()
        assert "will learn in a moment" in say(dock, "unet_advice")
        dock.train.pause()
        assert "Go on, or stop it" in say(dock, "unet_advice")
        step = dock.findChild(QPushButton, "unet_step_3")
        assert step.accessibleName() == "3. Train – paused"
        dock.train.pause()
        assert "will learn in a moment" in say(dock, "unet_advice")
        assert step.accessibleName() == "3. Train – learning"
    assert dock.train._last.model.training.weights.w0 == 3
    assert dock.predict.model.path.parent.name == "U-Net models"
    assert "Predict, to see" in say(dock, "unet_advice")

    with qtbot.waitSignal(dock.predict.predicted, timeout=60_000):
        dock.predict.start()
    (objects,) = (layer for layer in viewer.layers if layer.name == "cells objects")
    assert isinstance(objects, Labels)
    assert objects.data.dtype == np.int32
    np.testing.assert_array_equal(objects.scale, image.scale)
    assert objects.units == image.units
    assert "Look at the objects" in say(dock, "unet_advice")

    objects.data_setitem((np.arange(30, 34), np.arange(30, 34)), 77)
    assert "Take your corrections" in say(dock, "unet_advice")
    timeline_of(dock.paint.annotation).undo()
    qtbot.waitUntil(lambda: "Look at the objects" in say(dock, "unet_advice"), timeout=20_000)
    timeline_of(dock.paint.annotation).redo()
    qtbot.waitUntil(lambda: "Take your corrections" in say(dock, "unet_advice"), timeout=20_000)
    dock.paint.corrections.take()
    qtbot.waitUntil(lambda: "Train again" in say(dock, "unet_advice"), timeout=20_000)

    # A training that fails has learnt nothing of it.
    def fail(*_, **__):
        raise InputError("There is no model file.")

    monkeypatch.setattr("napari_unet.widgets.train.train_and_save", fail)
    with qtbot.waitSignal(dock.train.ended, timeout=60_000):
        dock.train.start()
    assert "no model file" in say(dock, "train_status")
    assert "Train again" in say(dock, "unet_advice")


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


def test_selecting_a_layer_turns_to_its_image(viewer, qtbot):
    """Strokes land on the selected layer: the dock must not tell of another one."""
    dock = UNetDock(viewer)
    qtbot.addWidget(dock)
    choosers = (dock.paint.image, dock.weights.image, dock.train.form.image, dock.predict.image)
    first, second = (viewer.add_image(discs(seed=seed), name=f"cells {seed}") for seed in range(2))
    # It covers the other.
    qtbot.waitUntil(lambda: all(each.layer is second for each in choosers), timeout=10_000)
    paints = [paint_on(viewer, image) for image in (first, second)]
    viewer.layers.selection.active = paints[0]
    qtbot.waitUntil(lambda: all(each.layer is first for each in choosers), timeout=10_000)
    assert dock.paint.annotation is paints[0]
    # Neither a result of another image nor a layer of the user's turns it away.
    add_result(viewer, second, "objects", np.zeros((64, 64), np.int32))
    viewer.add_labels(np.zeros((64, 64), int), name="theirs")
    qtbot.wait(100)
    assert all(each.layer is first for each in choosers)


def test_what_is_chosen_in_the_dock_stays_when_its_result_comes(viewer, qtbot):
    dock = UNetDock(viewer)
    qtbot.addWidget(dock)
    first, second = (viewer.add_image(discs(), name=name) for name in ("first", "second"))
    qtbot.waitUntil(lambda: dock.paint.image.layer is second)
    dock.predict.image.choose(first)  # the other one is still selected in napari's list
    add_result(viewer, first, "objects", np.ones((64, 64), np.int32))
    qtbot.wait(50)
    assert dock.paint.image.layer is first
    for layer in (None, second):  # which is selected anew
        viewer.layers.selection.active = layer
        qtbot.wait(50)
    assert dock.paint.image.layer is second


def test_an_image_that_comes_with_labels_is_turned_to(viewer, qtbot):
    dock = PaintDock(viewer)
    qtbot.addWidget(dock)
    viewer.add_image(discs(), name="first")
    second = viewer.add_image(discs(), name="second")
    viewer.add_labels(np.zeros((64, 64), int), name="second (truth)")
    qtbot.waitUntil(lambda: dock.image.layer is second)


def test_labels_predicted_before_the_dock_was_opened_are_corrected_in_it(viewer, qtbot):
    image = viewer.add_image(discs(), name="cells")
    paint_on(viewer, image)
    objects = add_result(viewer, image, "objects", np.ones((64, 64), np.int32))
    dock = UNetDock(viewer)
    qtbot.addWidget(dock)
    assert shown(dock)[-2:] == ["save", "table"]
    objects.paint((5, 5), 2)
    assert "take" in shown(dock)


def test_a_dock_that_is_opened_again_goes_on_from_what_was_trained(viewer, qtbot, home, monkeypatch):
    tiny_training(monkeypatch, steps=3)
    dock = UNetDock(viewer)
    qtbot.addWidget(dock)
    paint_on(viewer, viewer.add_image(discs(), name="cells"))
    path = trained(dock.train, qtbot)
    later = UNetDock(viewer)
    qtbot.addWidget(later)
    qtbot.waitUntil(lambda: "Predict, to see" in say(later, "unet_advice"), timeout=20_000)
    assert later.predict.model.path == path
    assert later.train.form.chosen_start(None) == path
    assert dock.train.form.chosen_start(dock.train._last) is dock.train._last


def test_a_dock_that_is_opened_before_the_training_ends_goes_on_from_that(viewer, qtbot, home, monkeypatch):
    tiny_training(monkeypatch, steps=3)
    dock = UNetDock(viewer)
    qtbot.addWidget(dock)
    paint_on(viewer, viewer.add_image(discs(), name="cells"))
    before = trained(dock.train, qtbot)
    later, other = UNetDock(viewer), UNetDock(viewer)
    for each in (later, other):
        qtbot.addWidget(each)
    assert later.train.form.chosen_start(None) == before
    later.train.form._seed.setValue(7)
    start = other.findChild(QComboBox, "train_start_from")
    start.setCurrentIndex(start.findText("Scratch"))
    path = trained(dock.train, qtbot)
    assert path != before
    assert later.train.form.chosen_start(None) == path
    assert later.train.form._seed.value() == 7
    assert other.train.form.chosen_start(None) is None


def test_a_dock_that_is_opened_again_advises_to_look_at_the_labels_that_are_there(
    viewer, qtbot, home, monkeypatch
):
    tiny_training(monkeypatch, steps=3)
    dock = UNetDock(viewer)
    qtbot.addWidget(dock)
    image = viewer.add_image(discs(), name="cells")
    paint = paint_on(viewer, image)
    trained(dock.train, qtbot)
    add_result(viewer, image, "objects", np.ones((64, 64), np.int32))
    later = UNetDock(viewer)
    qtbot.addWidget(later)
    qtbot.waitUntil(lambda: later.paint.counted is not None, timeout=20_000)
    assert "If they are right, save them" in say(later, "unet_advice")
    paint.paint((5, 5), 2)
    qtbot.waitUntil(lambda: "Train again" in say(later, "unet_advice"), timeout=20_000)


def test_labels_of_another_image_are_neither_predicted_anew_nor_unsaved_by_a_prediction(
    viewer, qtbot, home, tmp_path, monkeypatch
):
    tiny_training(monkeypatch, steps=3)
    dock = UNetDock(viewer)
    qtbot.addWidget(dock)
    first, second = (viewer.add_image(discs(), name=name) for name in ("first", "second"))
    paint_on(viewer, first)
    qtbot.wait(50)
    dock.predict.image.choose(first)
    trained(dock.train, qtbot)
    add_result(viewer, first, "objects", np.ones((64, 64), np.int32))  # by an older model, as it were
    dock.predict.image.choose(second)
    dock.predict.start()
    qtbot.waitUntil(lambda: not dock.predict.is_running, timeout=60_000)
    assert dock._stage().predicted
    with qtbot.waitSignal(dock._saver.saved, timeout=20_000):
        dock._saver.write(viewer.layers["second objects"], tmp_path / "a.tif")
    dock.predict.image.choose(first)
    assert not dock._stage().predicted
    dock.predict.start()
    qtbot.waitUntil(lambda: not dock.predict.is_running, timeout=60_000)
    assert dock._stage().predicted
    dock.predict.image.choose(second)
    assert dock._stage().saved


def trained(dock, qtbot):
    """Train in ``dock``, and return the model."""
    with qtbot.waitSignal(dock.saved, timeout=60_000) as saved:
        dock.start()
    qtbot.waitUntil(lambda: not dock.is_running, timeout=60_000)
    return saved.args[0]


def test_training_goes_on_from_the_model_that_was_used(viewer, qtbot, models, monkeypatch):
    tiny_training(monkeypatch)
    of_last_week, a_starter = (save(models, name) for name in ("of last week", "a starter"))
    monkeypatch.setattr("napari_unet.widgets.unet.is_starter", lambda path: path == a_starter)
    image = viewer.add_image(discs(), name="cells")
    paint_on(viewer, image)
    dock = UNetDock(viewer)
    qtbot.addWidget(dock)
    start = dock.train.form._start

    def predict(path):
        dock.predict.select_model(path)
        with qtbot.waitSignal(dock.predict.ended, timeout=60_000):
            dock.predict.start()
        return start.currentText()

    assert start.currentText() != "of last week"
    assert predict(of_last_week) == "of last week"
    newer = trained(dock.train, qtbot)
    assert start.currentText() == f"Last model: {newer.stem}"
    assert predict(of_last_week) == "of last week"  # back from a training that was none
    assert predict(a_starter) == "of last week"
    assert predict(newer) == f"Last model: {newer.stem}"
    start.setCurrentText("Scratch")
    start.activated.emit(start.currentIndex())
    assert predict(of_last_week) == "Scratch"


def test_a_training_changes_no_settings_in_another_dock(viewer, qtbot, home, monkeypatch, tmp_path):
    tiny_training(monkeypatch, steps=3)
    mine = save(tmp_path, "mine")
    docks = dock, other, alone = UNetDock(viewer), UNetDock(viewer), TrainDock(viewer)
    for each in docks:
        qtbot.addWidget(each)
    paint_on(viewer, viewer.add_image(discs(), name="cells"))
    other.train.form._seed.setValue(5)
    other.train.form._patch.setCurrentIndex(2)
    other.predict.select_model(mine)
    forms = other.train.form, alone.form
    before = [read_controls(form) for form in forms]
    dock.train.form._seed.setValue(7)
    path = trained(dock.train, qtbot)
    assert [read_controls(form) for form in forms] == before
    assert [form.chosen_start(None) for form in forms] == [None, None]
    assert not other.train.plot._scores
    assert other.predict.model.path == mine
    qtbot.waitUntil(lambda: "Predict, to see" in say(other, "unet_advice"), timeout=20_000)
    # It is offered, and brings its settings when it is chosen.
    start = other.findChild(QComboBox, "train_start_from")
    start.setCurrentIndex(start.findData(path))
    start.activated.emit(start.currentIndex())
    assert other.train.form.chosen_start(None) == path
    assert other.train.form._seed.value() == 7
    # Neither does a project that is made, and predictions go on with the copy in it.
    dock.train.form._seed.setValue(8)
    before = [read_controls(each.findChild(TrainingForm)) for each in docks]
    project_of(viewer).create(tmp_path / "project")
    copy = tmp_path / "project" / "models" / path.name
    qtbot.waitUntil(lambda: dock.predict.model.path == copy, timeout=20_000)
    assert [read_controls(each.findChild(TrainingForm)) for each in docks] == before
    assert dock.train.form.chosen_start(dock.train._last) is dock.train._last
    assert other.predict.model.path == mine
    # ... which another day goes on from.
    qtbot.waitUntil(lambda: read_project(tmp_path / "project").model == path.name, timeout=20_000)
    assert step_to_continue(copy) == 3
    project_of(viewer).close()


@pytest.mark.parametrize("kind", DOCKS)
def test_every_control_has_a_name_a_tooltip_and_takes_the_focus(kind, viewer, qtbot):
    dock = kind(viewer)
    qtbot.addWidget(dock)
    found = list(controls(dock))
    assert len(found) > 3
    names = [named.objectName() for named in (*found, *dock.findChildren(Sentence))]
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


def test_what_is_said_of_another_image_and_shown_of_its_own_while_a_network_learns(
    viewer, qtbot, monkeypatch
):
    tiny_training(monkeypatch, steps=100_000)
    dock = UNetDock(viewer)
    qtbot.addWidget(dock)
    cells, other = (viewer.add_image(discs(), name=name) for name in ("cells", "other"))
    paint = paint_on(viewer, cells)
    viewer.layers.selection.active = paint
    qtbot.waitUntil(lambda: dock.paint.image.layer is cells)
    with qtbot.waitSignal(dock.train.begun, timeout=60_000):
        dock.train.start()
        assert "in a moment" in say(dock, "unet_advice")
    assert "join at once" in say(dock, "unet_advice")
    dock.train.live.learns.setChecked(False)
    assert "for the next training" in say(dock, "unet_advice")
    dock.train.live.learns.setChecked(True)
    assert "join at once" in say(dock, "unet_advice")
    qtbot.waitUntil(lambda: "the preview shows" in say(dock, "unet_advice"), timeout=60_000)
    dock.findChild(QComboBox, "train_preview").setCurrentIndex(2)  # off
    assert "preview" not in say(dock, "unet_advice")
    viewer.layers.selection.active = other
    qtbot.waitUntil(lambda: dock.paint.image.layer is other)
    assert "paint that is not on this image" in say(dock, "unet_advice")
    assert dock.train.form.image.layer is cells
    dock.paint.make()
    qtbot.waitUntil(lambda: "for the next training" in say(dock, "unet_advice"))
    paint.data_setitem((np.array([60]), np.array([5])), 1)
    qtbot.waitUntil(lambda: "has joined" in say(dock, "train_joined"), timeout=60_000)
    with qtbot.waitSignal(dock.train.ended, timeout=60_000):
        dock.train.stop()
    assert say(dock, "train_joined") == ""
    assert dock.train.form.image.layer is other


def test_with_all_painted_images_what_is_painted_on_another_joins(viewer, qtbot, monkeypatch):
    tiny_training(monkeypatch, steps=100_000)
    dock = UNetDock(viewer)
    qtbot.addWidget(dock)
    cells, other = (viewer.add_image(discs(), name=name) for name in ("cells", "other"))
    dock.train.form.all_painted.setChecked(True)
    viewer.layers.selection.active = paint_on(viewer, cells)
    qtbot.waitUntil(lambda: dock.paint.image.layer is cells)
    assert not dock.train.joins(cells)
    dock.train.start()
    assert dock.train.joins(cells)
    assert dock.train.joins(other)
    make_annotation(viewer, other)
    assert dock.train.joins(other)
    dock.paint.mode_choice.setCurrentIndex(1)  # what values mean is not learnt anew
    assert not dock.train.joins(dock.paint.image.layer)
    dock.paint.mode_choice.setCurrentIndex(0)
    assert dock.train.joins(dock.paint.image.layer)
    with qtbot.waitSignal(dock.train.ended, timeout=60_000):
        dock.train.stop()


def test_where_classes_are_painted_no_object_is_spoken_of(viewer, qtbot):
    dock = UNetDock(viewer)
    qtbot.addWidget(dock)
    paint_on(viewer, viewer.add_image(discs(), name="cells"))
    dock.paint.mode_choice.setCurrentIndex(1)
    qtbot.waitUntil(lambda: shown(dock) == ["start", "class"], timeout=20_000)
    press(dock, "class")
    assert dock.paint.annotation.selected_label == 4
    assert "object" not in say(dock, "unet_advice")
    dock.paint.mode_choice.setCurrentIndex(0)
    qtbot.waitUntil(lambda: shown(dock) == ["start", "object"], timeout=20_000)


def test_classes_are_to_be_looked_at_once_there_are_some(viewer, qtbot):
    dock = UNetDock(viewer)
    qtbot.addWidget(dock)
    image = viewer.add_image(discs(), name="cells")
    make_annotation(viewer, image)
    add_result(viewer, image, "objects", np.ones((64, 64), np.int32))  # of a starter, as it were
    dock._on_predicted([image])
    qtbot.waitUntil(lambda: "Look at the objects" in say(dock, "unet_advice"), timeout=20_000)
    dock.paint.mode_choice.setCurrentIndex(1)
    qtbot.waitUntil(lambda: "Paint a little of the background" in say(dock, "unet_advice"), timeout=20_000)
    add_result(viewer, image, "classes", np.ones((64, 64), np.uint8))
    dock._on_predicted([image])
    assert "Look at the classes" in say(dock, "unet_advice")


def test_no_background_is_asked_for_where_cells_touch(viewer, qtbot):
    dock = UNetDock(viewer)
    qtbot.addWidget(dock)
    paint = make_annotation(viewer, viewer.add_image(discs(), name="cells"))
    y, x = np.indices((20, 10)).reshape(2, -1)
    paint.data_setitem((y, x), 2)
    qtbot.waitUntil(lambda: shown(dock) == ["background"], timeout=20_000)
    paint.data_setitem((y, x + 10), 3)
    qtbot.waitUntil(lambda: shown(dock) == ["start", "object"], timeout=20_000)


def test_where_classes_are_painted_and_the_model_finds_objects_it_is_to_be_trained(viewer, qtbot, tmp_path):
    """To predict again would give the same objects again."""
    dock = UNetDock(viewer)
    qtbot.addWidget(dock)
    image = viewer.add_image(discs(), name="cells")
    paint_on(viewer, image)
    add_result(viewer, image, "objects", np.ones((64, 64), np.int32))
    dock._on_model(save(tmp_path))
    dock.predict.select_model(save(tmp_path))
    dock._on_predicted([image])
    dock.paint.mode_choice.setCurrentIndex(1)
    qtbot.waitUntil(lambda: shown(dock) == ["start", "class", "save", "table"], timeout=20_000)
    assert "the chosen model finds objects" in say(dock, "unet_advice")
    dock.predict.select_model(save(tmp_path, "classes", classes=3))
    assert "Predict, to see" in say(dock, "unet_advice")


def test_the_wheel_scrolls_a_dock_and_changes_no_setting(viewer, qtbot):
    for number in range(3):
        viewer.add_image(discs(), name=f"cells {number}")
    paint_on(viewer, viewer.layers["cells 1"])
    dock = UNetDock(viewer)
    qtbot.addWidget(dock)
    for section in dock.findChildren(Section):
        section.set_open(True)
    dock.resize(WIDTH, 400)
    with qtbot.waitExposed(dock):
        dock.show()
    dock.paint.image.choose(viewer.layers["cells 1"])
    bar = dock.findChild(QScrollArea).verticalScrollBar()
    before = read_controls(dock)
    turned = 0
    for control in dock.findChildren(QWidget):
        if not isinstance(control, QComboBox | QAbstractSpinBox | QAbstractSlider):
            continue
        if isinstance(control, QScrollBar):
            continue
        if not (control.isVisible() and control.isEnabled()):
            continue
        bar.setValue(100)
        at = control.rect().center()
        none = (QPoint(), QPoint(0, -120), Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier)
        event = QWheelEvent(
            QPointF(at), QPointF(control.mapToGlobal(at)), *none, Qt.ScrollPhase.NoScrollPhase, False
        )
        QApplication.sendEvent(control, event)
        assert bar.value() > 100
        turned += 1
    assert turned > 15
    assert read_controls(dock) == before
    assert dock.paint.image.layer.name == "cells 1"


def test_a_list_that_was_used_last_takes_no_key_of_the_brushes(viewer, qtbot):
    dock = UNetDock(viewer)
    window = QMainWindow()
    qtbot.addWidget(window)
    window.setCentralWidget(dock)
    pressed = []
    window.keyPressEvent = lambda event: pressed.append(event.text())
    dock.findChild(QAbstractButton, "unet_step_3").setChecked(True)
    preview = dock.findChild(QComboBox, "train_preview")
    with qtbot.waitExposed(window):
        window.show()
    preview.setFocus()
    QTest.keyClicks(preview, "o[")
    assert preview.currentIndex() == 0
    assert pressed == ["o", "["]
    QTest.keyClick(preview, Qt.Key.Key_Down)
    assert preview.currentIndex() == 1


def test_a_click_leaves_the_focus_to_the_canvas_and_nothing_takes_it_by_chance(viewer, qtbot, monkeypatch):
    tiny_training(monkeypatch, steps=100_000)
    paint_on(viewer, viewer.add_image(discs(), name="cells"))
    dock, window, canvas = UNetDock(viewer), QMainWindow(), QLineEdit()
    qtbot.addWidget(window)
    column = QVBoxLayout()
    column.addWidget(canvas)
    column.addWidget(dock)
    both = QWidget()
    both.setLayout(column)
    window.setCentralWidget(both)
    window.resize(500, 1500)
    with qtbot.waitActive(window):
        window.show()
        window.activateWindow()
    canvas.setFocus()
    step, start, pause, stop, live = (
        dock.findChild(QAbstractButton, name)
        for name in ("unet_step_3", "train_start", "train_pause", "train_stop", "train_live")
    )
    QTest.mouseClick(step, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(live.isVisible)
    QTest.mouseClick(live, Qt.MouseButton.LeftButton, pos=QPoint(8, live.height() // 2))
    assert not live.isChecked()
    QTest.mouseClick(start, Qt.MouseButton.LeftButton)
    assert dock.train.is_running
    assert QApplication.focusWidget() is canvas
    stop.setFocus()  # by the Tab key
    with qtbot.waitSignal(dock.train.ended, timeout=60_000):
        QTest.keyClick(stop, Qt.Key.Key_Space)
    assert QApplication.focusWidget() is start
    dock.findChild(QWidget, "train_minutes").setFocus()
    dock.train.start()
    assert QApplication.focusWidget() is pause
    with qtbot.waitSignal(dock.train.ended, timeout=60_000):
        dock.train.stop()


def test_who_presses_the_buttons_by_key_goes_from_one_to_the_next(viewer, qtbot):
    dock = UNetDock(viewer)
    qtbot.addWidget(dock)
    with qtbot.waitExposed(dock):
        dock.show()
    dock.activateWindow()
    viewer.add_image(discs(), name="cells")
    make, background = (dock.findChild(QPushButton, f"unet_{action}") for action in ("make", "background"))
    make.setFocus()
    qtbot.waitUntil(make.hasFocus)
    QTest.keyClick(make, Qt.Key.Key_Space)
    assert make.isHidden()
    assert QApplication.focusWidget() is background
    dock.paint.mode_choice.setFocus()
    viewer.layers.clear()  # what is hidden now had no focus to give
    assert QApplication.focusWidget() is dock.paint.mode_choice


def test_the_focus_waits_for_a_button_while_the_paint_of_another_image_is_counted(viewer, qtbot):
    first, second = (viewer.add_image(discs(), name=name) for name in ("first", "second"))
    paints = [paint_on(viewer, image) for image in (first, second)]
    viewer.layers.selection.active = first
    dock = UNetDock(viewer)
    qtbot.addWidget(dock)
    with qtbot.waitExposed(dock):
        dock.show()
    dock.activateWindow()
    start = dock.findChild(QPushButton, "unet_start")
    qtbot.waitUntil(start.isVisible, timeout=20_000)
    start.setFocus()
    qtbot.waitUntil(start.hasFocus)
    dock.paint.image.choose(second)  # as the button that leads to the next place may
    qtbot.waitUntil(lambda: start.isVisible() and dock.paint.counted.layer == paints[1].unique_id)
    assert QApplication.focusWidget() is start


def test_a_long_name_is_cut_in_its_middle_as_names_differ_at_their_ends(viewer, qtbot):
    name = "embryo 12, fixed and stained on day 3, position 4 channel 2"
    viewer.add_image(discs(), name=name)
    chooser = LayerChooser(viewer)
    qtbot.addWidget(chooser)
    drawn = []
    for width in (200, 900):
        chooser.resize(width, 28)
        option = QStyleOptionComboBox()
        chooser.initStyleOption(option)
        drawn.append(option.currentText)
    assert re.fullmatch("embryo.*….*channel 2", drawn[0])
    assert drawn[1] == name
    assert chooser.currentText() == name


def test_no_sentence_is_cut_off_when_a_scroll_bar_comes(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1280, 720)
    dock = UNetDock(viewer)
    frame = viewer.window.add_dock_widget(dock, area="right")
    dock.window().resizeDocks([frame], [300], Qt.Orientation.Horizontal)
    facts = dock.findChild(Sentence, "predict_facts")
    facts.say(
        "A starter: finds separate objects in 2-D images of any channels, before anything is painted. Train "
        "from it where it is wrong."
    )
    steps = [dock.findChild(QAbstractButton, f"unet_step_{number}") for number in range(1, 5)]
    advanced = dock.findChild(QAbstractButton, "predict_advanced")
    for number in (1, 2, 3, 4, 0, 1, 2, 3, 4):
        for step, button in enumerate(steps, start=1):
            button.setChecked(step == (number or 4))
        advanced.setChecked(advanced.isChecked() or number == 0)
        qtbot.wait(100)
    assert facts.height() >= facts.heightForWidth(facts.width())
    facts.say("A starter.")
    qtbot.waitUntil(lambda: facts.height() < 2 * facts.fontMetrics().height())


def test_the_dock_grows_when_a_wider_step_unfolds(viewer, qtbot):
    """Not cut at the right, which is what Qt does with a scroll area whose page grows."""
    window, frame, dock = QMainWindow(), QDockWidget(), UNetDock(viewer)
    qtbot.addWidget(window)
    sections = dock.findChildren(Section)
    for section in sections:
        section.set_open(False)
    window.setCentralWidget(QWidget())
    frame.setWidget(dock)
    window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, frame)
    window.resize(900, 500)
    with qtbot.waitExposed(window):
        window.show()
    window.resizeDocks([frame], [1], Qt.Orientation.Horizontal)  # as narrow as it goes
    qtbot.wait(10)
    area, narrowest = dock.findChild(QScrollArea), dock.width()
    for section in sections:
        section.set_open(True)
    qtbot.waitUntil(lambda: area.viewport().width() >= area.widget().minimumSizeHint().width())
    assert dock.width() > narrowest


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

"""The Predict dock over many images, in real windows, with real threads and files; and what goes wrong."""

import csv
import errno
import gc
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
import tifffile
from dock_helpers import discs, make_model, save, say
from napari.layers import Image, Labels
from qtpy.QtCore import QThreadPool
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QLineEdit,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
)
from skimage.io import imsave

from napari_unet.cli import main
from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.files.pixels.images import read_image
from napari_unet.files.pixels.pixel_size import PixelSize
from napari_unet.files.results import predicted_files
from napari_unet.network import prediction
from napari_unet.network.config import PredictionConfig
from napari_unet.network.prediction import predict
from napari_unet.widgets.bridge.layers import make_annotation
from napari_unet.widgets.bridge.marks import is_result, source_of
from napari_unet.widgets.bridge.placement import micrometres
from napari_unet.widgets.bridge.sight import bring_up
from napari_unet.widgets.predict import PredictDock
from napari_unet.widgets.predicting import prediction_run
from napari_unet.widgets.predicting.files_run import FilesWanted, segment_files
from napari_unet.widgets.predicting.object_table import axis_letters
from napari_unet.widgets.predicting.prediction_run import TilesDone
from napari_unet.widgets.predicting.saving import LabelSaver, suggested_path
from napari_unet.widgets.unet import UNetDock


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    (tmp_path / "U-Net models").mkdir()
    save(tmp_path / "U-Net models")
    return tmp_path


@pytest.fixture
def images(tmp_path):
    """Five files, the third of which is damaged."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(5):
        tifffile.imwrite(folder / f"c{number}.tif", discs((64, 48), seed=number))
    damaged = folder / "c2.tif"
    damaged.write_bytes(damaged.read_bytes()[:200])
    return folder


@pytest.fixture
def dock(make_napari_viewer, home):
    viewer = make_napari_viewer()
    dock = PredictDock(viewer)
    viewer.window.add_dock_widget(dock)
    return dock


@pytest.fixture
def files_dock(dock, images):
    """The dock, about to segment the five files."""
    dock.image.setCurrentIndex(dock.image.findData("files"))
    choose_files(dock, images)
    return dock


def choose_files(dock, files, output=None):
    """Type the names of the files, and of the folder for their results unless it is the default one."""
    for name, typed in (("predict_files", files), ("predict_output", output)):
        if typed is not None:
            dock.findChild(QLineEdit, name).setText(str(typed))


class Gate:
    """Holds the network before its tile number ``number`` until it is opened."""

    def __init__(self, monkeypatch, number):
        self.reached, self._open = threading.Event(), threading.Event()
        original, calls = prediction.probabilities_of, []

        def held(*args):
            calls.append(0)
            if len(calls) == number:
                self.reached.set()
                assert self._open.wait(60)
            return original(*args)

        monkeypatch.setattr(prediction, "probabilities_of", held)

    def wait(self, qtbot):
        qtbot.waitUntil(self.reached.is_set, timeout=60_000)

    def open(self):
        self._open.set()


def wait_for_end(dock, qtbot):
    qtbot.waitUntil(lambda: not dock.is_running, timeout=60_000)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def failures(dock):
    text = dock.findChild(QPlainTextEdit, "predict_failures")
    return [] if text.isHidden() or dock._report.isHidden() else text.toPlainText().splitlines()


def test_a_folder_with_a_damaged_file(files_dock, images, qtbot, monkeypatch):
    said = []
    original = files_dock._status.say
    monkeypatch.setattr(
        files_dock._status, "say", lambda text, *tone: (said.append(text), original(text, *tone))
    )
    files_dock.start()
    wait_for_end(files_dock, qtbot)
    results = images / "results"
    assert say(files_dock, "predict_status") == (
        "4 of 5 images segmented, 1 failed: the list below says why. The results are in " + str(results) + "."
    )
    (line,) = failures(files_dock)
    assert line.startswith("c2.tif: ")
    assert "could not be read" in line
    files_dock.findChild(QPushButton, "predict_failures_copy").click()
    assert QGuiApplication.clipboard().text() == line
    assert names(results) == [f"c{n}_objects.tif" for n in (0, 1, 3, 4)]
    expected = predict(make_model(), read_image(images / "c3.tif").pixels, device="cpu").objects
    np.testing.assert_array_equal(read_image(results / "c3_objects.tif").pixels, expected)
    assert len(files_dock._viewer.layers) == 0  # nothing is loaded unless asked for
    assert any(text.startswith("Image ") and " of 5, c" in text for text in said)
    # The results lie in a folder of their own: they are no images of the next run.
    files_dock.start()
    wait_for_end(files_dock, qtbot)
    assert say(files_dock, "predict_status").startswith("4 of 5 images")


def test_outlines_are_written_where_they_are_asked_for(files_dock, images, qtbot, monkeypatch):
    (images / "c2.tif").unlink()
    boxes = {name: files_dock.findChild(QCheckBox, f"predict_{name}") for name in ("objects", "classes")}
    boxes |= {
        name: files_dock.findChild(QCheckBox, f"predict_outlines_{name}") for name in ("imagej", "qupath")
    }
    boxes["imagej"].click()
    boxes["objects"].click()
    boxes["classes"].click()
    files_dock.start()
    assert say(files_dock, "predict_status") == (
        "Outlines are those of objects; tick Objects, or untick the outlines."
    )
    boxes["objects"].click()
    boxes["classes"].click()
    files_dock.start()
    wait_for_end(files_dock, qtbot)
    results = images / "results"
    assert {path.suffix for path in results.iterdir()} == {".tif", ".zip"}
    boxes["qupath"].click()
    files_dock.start()
    wait_for_end(files_dock, qtbot)
    assert sorted(path.name for path in results.glob("c0_*")) == [
        f"c0_objects{ending}" for ending in (".geojson", ".tif", ".zip")
    ]
    objects = read_image(results / "c0_objects.tif").pixels
    assert not objects.any()
    monkeypatch.setattr(predicted_files, "free_host_memory", lambda: 0)
    files_dock.start()
    wait_for_end(files_dock, qtbot)
    lines = failures(files_dock)
    assert len(lines) == 4
    assert all("because its planes are too large for the memory" in line for line in lines)
    assert files_dock.findChild(QComboBox, "predict_finished").count() == 4
    files_dock.image.setCurrentIndex(0)
    assert not boxes["imagej"].isVisibleTo(files_dock)


def test_further_images_in_a_file_are_said_while_the_first_is_segmented(home, images):
    with tifffile.TiffWriter(images / "c1.tif") as file:
        file.write(discs((64, 48), seed=1))
        file.write(discs((32, 48), seed=1))
    (model,) = (home / "U-Net models").glob("*.safetensors")
    events = segment_files(
        model,
        FilesWanted(str(images / "c[01].tif"), home / "out", ["objects"]),
        PredictionConfig(),
        device="cpu",
        control=Control(),
    )
    said = {(event.number, event.note) for event in events if isinstance(event, TilesDone)}
    more = f"{images / 'c1.tif'} holds 2 images, and the first is used; save the others as files."
    assert said == {(0, ""), (1, more)}


def test_earlier_results_among_the_images_are_not_segmented(files_dock, images, qtbot):
    (images / "c2.tif").unlink()
    choose_files(files_dock, images, images)
    for before in ("", " All of them were segmented before, by this model with these settings."):
        files_dock.start()
        wait_for_end(files_dock, qtbot)
        done = f"Done: see the results of 4 images in {images}."
        assert say(files_dock, "predict_status") == done + before
    assert len(names(images)) == 8


def test_results_are_opened_when_asked_for(files_dock, images, qtbot):
    imsave(images / "colour.png", np.arange(8 * 9 * 3, dtype=np.uint8).reshape(8, 9, 3), check_contrast=False)
    files_dock.start()
    wait_for_end(files_dock, qtbot)
    assert [line.split(":")[0] for line in failures(files_dock)] == ["c2.tif", "colour.png"]
    box = files_dock.findChild(QComboBox, "predict_finished")
    assert [box.itemText(i) for i in range(box.count())] == ["c0.tif", "c1.tif", "c3.tif", "c4.tif"]
    box.setCurrentIndex(2)
    button = files_dock.findChild(QPushButton, "predict_open")
    button.click()
    viewer = files_dock._viewer
    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=20_000)
    image, objects = viewer.layers
    assert (image.name, objects.name) == ("c3", "c3 objects")
    np.testing.assert_array_equal(image.data, read_image(images / "c3.tif").pixels)
    assert isinstance(objects, Labels)
    assert objects.data.dtype == np.int32  # as predicted here
    assert source_of(viewer, objects) is image
    assert files_dock.image.several == "files"  # the new image does not end the choice of the folder
    qtbot.waitUntil(lambda: not files_dock._report.reading.is_running, timeout=20_000)
    (images / "c3.tif").unlink()
    button.click()
    qtbot.waitUntil(lambda: "no image file" in say(files_dock, "predict_open_problem"), timeout=20_000)
    assert len(viewer.layers) == 2


@pytest.mark.parametrize("name", ["volume.tif", "colour.tif"])
def test_opened_results_keep_the_pixel_size_and_their_place(files_dock, images, qtbot, name):
    for path in images.iterdir():
        path.unlink()
    is_volume = name == "volume.tif"
    axes = "ZYX" if is_volume else "YX"
    metadata = {"axes": axes if is_volume else "YXS", "unit": "um", "spacing": 2.0}
    pixels = discs((2, 64, 48)).astype(np.uint8) if is_volume else np.zeros((64, 48, 3), np.uint8)
    tifffile.imwrite(images / name, pixels, imagej=True, resolution=(2, 2), metadata=metadata)
    files_dock.start()
    wait_for_end(files_dock, qtbot)
    files_dock.findChild(QPushButton, "predict_open").click()
    qtbot.waitUntil(lambda: len(files_dock._viewer.layers) == 2, timeout=20_000)
    image, objects = files_dock._viewer.layers
    assert image.rgb == (not is_volume)
    assert micrometres(objects, image) == PixelSize(0.5, 0.5, 2.0 if is_volume else None)
    assert axis_letters(objects, image) == axes
    result = images / "results" / name.replace(".", "_objects.")
    assert suggested_path(image, objects) == result
    saver = LabelSaver(files_dock._viewer, files_dock)
    with qtbot.waitSignal(saver.saved, timeout=20_000):
        saver.write(objects, result)
    files_dock.start()  # what may be corrected is kept
    wait_for_end(files_dock, qtbot)
    assert "was saved by hand" in say(files_dock, "predict_status")


def test_all_files_that_are_finished_have_one_table(files_dock, images, qtbot, tmp_path, monkeypatch):
    (images / "c4.tif").rename(images / "c4 µ.tif")
    tifffile.imwrite(images / "movie.tif", discs((2, 64, 48)), imagej=True, metadata={"axes": "TYX"})
    files_dock.start()
    wait_for_end(files_dock, qtbot)
    results = images / "results"
    for result in results.iterdir():  # as the network of this test finds anything
        labels = np.zeros_like(read_image(result).pixels)
        if result.name == "c3_objects.tif":
            labels[:3], labels[3, 3] = 2, 5
        tifffile.imwrite(result, labels)
    path, asked = tmp_path / "table.csv", []
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *said: (asked.append(said[2]), (path, ""))[1])
    button = files_dock.findChild(QPushButton, "predict_table")
    button.click()
    qtbot.waitUntil(lambda: f"as {path}" in say(files_dock, "predict_open_problem"), timeout=20_000)
    assert asked == [str(results / "objects.csv")]
    assert path.read_bytes()[:3] == b"\xef\xbb\xbf"  # or Excel would take µ for two letters
    rows = list(csv.DictReader(path.read_text("utf-8-sig").splitlines()))
    assert {row["t_px"] for row in rows if row["image"] == "movie.tif"} == {"0.0", "1.0"}
    for name in ("c0", "c1", "c3", "c4 µ"):
        found = [row for row in rows if row["image"] == f"{name}.tif"]
        assert [row["object"] for row in found] == ["2", "5"] if name == "c3" else [""]
        pixels = read_image(images / f"{name}.tif").pixels
        means = [pixels[:3].mean(), pixels[3, 3]] if name == "c3" else []
        assert [float(row["mean"]) for row in found if row["mean"]] == pytest.approx(means, rel=1e-5)
    (images / "c3.tif").unlink()
    button.click()
    qtbot.waitUntil(lambda: "no image file" in say(files_dock, "predict_open_problem"), timeout=20_000)


def test_the_command_line_writes_the_table_of_the_dock(files_dock, images, home, qtbot, monkeypatch):
    path = home / "dock.csv"
    files_dock.start()
    wait_for_end(files_dock, qtbot)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_said: (path, ""))
    files_dock.findChild(QPushButton, "predict_table").click()
    qtbot.waitUntil(lambda: f"as {path}" in say(files_dock, "predict_open_problem"), timeout=20_000)
    flags = ["--images", images, "--output", home / "results", "--table", home / "command.csv"]
    arguments = [str(item) for item in ("predict", next((home / "U-Net models").iterdir()), *flags)]
    assert main(arguments) == 2  # one is damaged
    assert (home / "command.csv").read_bytes() == path.read_bytes()


def test_colours_are_opened_as_colours(dock, images, home, qtbot):
    save(home / "U-Net models", "colours", channels=3)
    for path in images.iterdir():
        path.unlink()
    colours = np.random.default_rng(0).integers(0, 255, (40, 48, 3)).astype(np.uint8)
    imsave(images / "colour.png", colours)
    dock.select_model(home / "U-Net models" / "colours.safetensors")
    dock.image.setCurrentIndex(dock.image.findData("files"))
    choose_files(dock, images)
    dock.start()
    wait_for_end(dock, qtbot)
    dock.findChild(QPushButton, "predict_open").click()
    qtbot.waitUntil(lambda: len(dock._viewer.layers) == 2, timeout=20_000)
    image, objects = dock._viewer.layers
    assert image.rgb
    np.testing.assert_array_equal(image.data, colours)
    assert objects.data.shape == (40, 48)


def test_cancel_in_the_middle_keeps_what_is_finished(files_dock, images, qtbot, monkeypatch):
    gate = Gate(monkeypatch, 2)
    files_dock.start()
    gate.wait(qtbot)
    qtbot.waitUntil(lambda: "Image 1 of 5, c0.tif" in say(files_dock, "predict_status"), timeout=20_000)
    files_dock.stop()
    gate.open()
    wait_for_end(files_dock, qtbot)
    results = images / "results"
    assert say(files_dock, "predict_status") == (
        f"Cancelled: 2 of 5 images segmented. What is finished is in {results}."
    )
    assert names(results) == ["c0_objects.tif", "c1_objects.tif"]  # whose only tile was finished
    assert files_dock.findChild(QComboBox, "predict_finished").count() == 2
    assert failures(files_dock) == []
    files_dock.start()
    wait_for_end(files_dock, qtbot)
    assert say(files_dock, "predict_status") == (
        "4 of 5 images segmented, 1 failed: the list below says why. "
        f"The results are in {results}. 2 of them were segmented before, by this model with these settings."
    )
    assert files_dock.findChild(QComboBox, "predict_finished").count() == 4


def test_a_full_disk_ends_the_run_and_what_is_finished_can_be_seen(files_dock, images, qtbot, monkeypatch):
    original = predicted_files.write_labels

    def full(path, *rest, **more):
        if path.name.startswith("c1"):
            raise InputError(f"{path} could not be written (the disk is full).") from OSError(
                errno.ENOSPC, ""
            )
        original(path, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(predicted_files, "write_labels", full)
        files_dock.start()
        wait_for_end(files_dock, qtbot)
    target = images / "results" / "c1_objects.tif"
    assert say(files_dock, "predict_status") == f"{target} could not be written (the disk is full)."
    assert files_dock.findChild(QComboBox, "predict_finished").count() == 1
    files_dock.start()
    wait_for_end(files_dock, qtbot)
    assert "1 of them was segmented before" in say(files_dock, "predict_status")


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_computed(files_dock, images, qtbot):
    # Not by permissions, which mean nothing to an administrator: a file is in the way.
    (images / "results").write_text("a file")
    computed = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prediction, "probabilities_of", lambda *_: computed.append(0))
        files_dock.start()
        wait_for_end(files_dock, qtbot)
    assert "choose another folder" in say(files_dock, "predict_status")
    assert not computed
    choose_files(files_dock, images, images.parent / "elsewhere")
    files_dock.start()
    wait_for_end(files_dock, qtbot)
    assert say(files_dock, "predict_status").startswith("4 of 5")


def test_folders_that_are_missing_or_empty(dock, tmp_path, qtbot):
    dock.image.setCurrentIndex(dock.image.findData("files"))
    dock.start()
    assert say(dock, "predict_status") == (
        "No folder of images is chosen; choose one with Browse, next to Files."
    )
    (tmp_path / "empty").mkdir()
    choose_files(dock, tmp_path / "empty")
    dock.start()
    wait_for_end(dock, qtbot)
    assert "holds no images" in say(dock, "predict_status")
    choose_files(dock, tmp_path / "absent" / "*.tif", "")
    dock.start()
    assert "No folder for the results" in say(dock, "predict_status")


def test_the_folder_of_results_follows_that_of_the_images_until_it_is_chosen(dock, images, tmp_path):
    output = dock.files.findChild(QLineEdit, "predict_output")
    choose_files(dock, images)
    assert output.text() == str(images / "results")
    choose_files(dock, f"{images.parent}/*.tif")
    assert output.text() == str(images.parent / "results")
    output.setText("/mine")
    choose_files(dock, images)
    assert output.text() == "/mine"


def test_one_progress_bar_over_all(files_dock, qtbot, monkeypatch):
    values = []
    bar = files_dock.findChild(QProgressBar, "predict_progress")
    bar.valueChanged.connect(values.append)
    monkeypatch.setattr("napari_unet.widgets.jobs._REPAINT_S", 0)
    files_dock.start()
    wait_for_end(files_dock, qtbot)
    assert values == sorted(values)
    assert values[-1] == 1000


@pytest.mark.parametrize("close", ["window", "dock"])
def test_closing_in_the_middle_keeps_the_finished_files(files_dock, images, qtbot, monkeypatch, close):
    viewer = files_dock._viewer
    gate = Gate(monkeypatch, 2)
    files_dock.start()
    gate.wait(qtbot)
    viewer.close() if close == "window" else viewer.window.remove_dock_widget(files_dock)
    gate.open()
    assert QThreadPool.globalInstance().waitForDone(30_000)
    qtbot.wait(100)
    assert names(images / "results") == ["c0_objects.tif", "c1_objects.tif"]


def add_images(viewer, count=3):
    return [viewer.add_image(discs((48, 40 + 8 * n), seed=n), name=f"i{n}") for n in range(count)]


def test_every_layer_gets_its_own_result(dock, qtbot):
    viewer = dock._viewer
    layers = add_images(viewer)
    dock.image.setCurrentIndex(dock.image.findData("all"))
    dock.start()
    layers[1].name = "renamed"
    viewer.layers.move(2, 0)
    wait_for_end(dock, qtbot)
    results = [layer for layer in viewer.layers if isinstance(layer, Labels)]
    assert {source_of(viewer, layer): layer.data.shape for layer in results} == {
        layer: layer.data.shape for layer in layers
    }
    assert say(dock, "predict_status").startswith("Done")


def test_every_result_lies_on_its_own_image(dock, qtbot):
    viewer = dock._viewer
    add_images(viewer, 3)
    dock.image.setCurrentIndex(dock.image.findData("all"))
    dock.start()
    wait_for_end(dock, qtbot)
    expected = [name for n in range(3) for name in (f"i{n}", f"i{n} objects")]
    assert [layer.name for layer in viewer.layers] == expected


def test_what_came_of_all_images_goes_with_them(dock, qtbot):
    viewer = dock._viewer
    colour = viewer.add_image(np.full((40, 48, 3), (9, 8, 7), np.uint8), rgb=True, name="colour")
    add_images(viewer, 2)
    dock.image.setCurrentIndex(dock.image.findData("all"))
    dock.start()
    wait_for_end(dock, qtbot)
    viewer.layers.remove(colour)
    assert say(dock, "predict_status").startswith("Done")
    dock.image.setCurrentIndex(dock.image.findData("files"))
    assert say(dock, "predict_status") == ""
    dock.image.setCurrentIndex(dock.image.findData("all"))
    dock.start()
    wait_for_end(dock, qtbot)
    viewer.layers.clear()
    assert say(dock, "predict_status") == ""


def test_of_many_images_the_results_of_hidden_ones_are_not_seen(dock, qtbot):
    viewer = dock._viewer
    shown, hidden = add_images(viewer, 2)
    hidden.visible = False
    dock.image.setCurrentIndex(dock.image.findData("all"))

    def predicted():
        dock.start()
        wait_for_end(dock, qtbot)
        results = [layer for layer in viewer.layers if isinstance(layer, Labels)]
        return {source_of(viewer, layer): layer.visible for layer in results}

    assert predicted() == {shown: True, hidden: False}
    for layer in viewer.layers:
        layer.visible = isinstance(layer, Labels)
    assert predicted() == {shown: True, hidden: True}  # who looks at labels alone goes on to do so
    for layer in viewer.layers:
        layer.visible = False
    dock.image.choose(hidden)
    assert predicted() == {shown: False, hidden: True}


def test_the_objects_of_a_hidden_image_come_with_it(dock, qtbot):
    viewer = dock._viewer
    low, high = add_images(viewer, 2)
    bring_up(viewer, low)
    dock.image.setCurrentIndex(dock.image.findData("all"))
    dock.start()
    wait_for_end(dock, qtbot)
    assert {layer.name for layer in viewer.layers if layer.visible} == {"i0", "i0 objects"}
    bring_up(viewer, high)
    assert all(layer.visible for layer in viewer.layers)


@pytest.mark.parametrize("doomed", [0, 2])
def test_a_layer_that_is_deleted_meanwhile_is_left_out_and_named(dock, qtbot, monkeypatch, doomed):
    viewer = dock._viewer
    layers = add_images(viewer)
    dock.image.setCurrentIndex(dock.image.findData("all"))
    gate = Gate(monkeypatch, 1)
    dock.start()
    gate.wait(qtbot)
    viewer.layers.remove(layers[doomed])
    gate.open()
    wait_for_end(dock, qtbot)
    results = [source_of(viewer, layer) for layer in viewer.layers if isinstance(layer, Labels)]
    assert set(results) == {layer for number, layer in enumerate(layers) if number != doomed}
    (line,) = failures(dock)
    assert f"'i{doomed}' was deleted meanwhile" in line
    # An image that was deleted before its turn was not computed for nothing.
    assert ("not segmented" in line) == (doomed == 2)


def test_a_layer_that_fails_does_not_keep_the_others(dock, home, qtbot):
    save(home / "U-Net models", "colours", channels=3)
    dock.select_model(home / "U-Net models" / "colours.safetensors")
    viewer = dock._viewer
    layers = [viewer.add_image(discs((3, 32, 40)), name=f"i{number}") for number in range(3)]
    dock.image.setCurrentIndex(dock.image.findData("all"))
    dock.start()
    layers[1].data = np.zeros((4, 32, 40))
    wait_for_end(dock, qtbot)
    assert say(dock, "predict_status").startswith("2 of 3 images segmented, 1 failed")
    assert [line.split(":")[0] for line in failures(dock)] == ["i1"]


def test_one_image_at_a_time_is_copied(dock, qtbot, monkeypatch):
    images = add_images(dock._viewer, 4)
    dock.image.setCurrentIndex(dock.image.findData("all"))
    copies, most = [], []
    original = prediction_run._read

    def spy(source, model):
        assert threading.current_thread() is not threading.main_thread()
        read = original(source, model)
        assert not any(np.shares_memory(read.pixels, image.data) for image in images)
        copies.append(weakref.ref(read.pixels))
        gc.collect()
        most.append(sum(ref() is not None for ref in copies))
        return read

    monkeypatch.setattr(prediction_run, "_read", spy)
    dock.start()
    wait_for_end(dock, qtbot)
    assert most == [1, 1, 1, 1]


def test_the_model_is_read_once(files_dock, qtbot, monkeypatch):
    from napari_unet.files.networks import models

    read = []
    original = models.load_model
    monkeypatch.setattr(models, "load_model", lambda path: (read.append(path), original(path))[1])
    files_dock.start()
    wait_for_end(files_dock, qtbot)
    assert len(read) == 1


def test_no_image_suits(dock):
    dock._viewer.add_image(np.full((40, 48, 3), (9, 8, 7), np.uint8), rgb=True, name="colour")
    dock.image.setCurrentIndex(dock.image.findData("all"))
    assert say(dock, "predict_suits") == "0 of 1 images suit the model."
    dock.start()
    assert "None of the images suits" in say(dock, "predict_status")


def test_one_of_the_channels_that_a_model_needs_is_told_how_they_become_one_image(dock, home):
    save(home / "U-Net models", "both", channels=2)
    dock.select_model(home / "U-Net models" / "both.safetensors")
    nuclei, marker = dock._viewer.add_image(discs((2, 64, 64)), channel_axis=0, name=["nuclei", "marker"])
    dock.image.choose(nuclei)
    dock.select_model(home / "U-Net models" / "both.safetensors")
    assert "'nuclei' is one of 2 layers that the model needs as one image" in say(dock, "predict_suits")
    dock._viewer.layers.remove(marker)
    assert say(dock, "predict_suits") == ""


def test_the_selected_images_are_segmented_such_as_one_channel_of_each(dock, qtbot):
    viewer = dock._viewer
    pictures = [
        viewer.add_image(discs((2, 64, 64), seed=number), channel_axis=0, name=["nuclei", "marker"])
        for number in range(3)
    ]
    dock.image.setCurrentText("All images")
    assert "6 of 6 images suit the model. Channels in separate layers" in say(dock, "predict_suits")
    dock.image.setCurrentText("Selected images")
    viewer.layers.selection.clear()
    assert "No image is selected" in say(dock, "predict_suits")
    dock.start()
    assert "No image is selected" in say(dock, "predict_status")
    nuclei = [channels[0] for channels in pictures]
    paint = make_annotation(viewer, nuclei[1])
    viewer.layers.selection = {nuclei[2], paint}  # which stands for its image
    assert say(dock, "predict_suits") == "2 of 2 selected images suit the model."
    dock.start()
    viewer.layers.selection = {nuclei[0]}
    qtbot.waitUntil(lambda: not dock.is_running, timeout=60_000)
    results = [layer for layer in viewer.layers if is_result(layer)]
    assert {source_of(viewer, layer) for layer in results} == set(nuclei[1:])


def test_in_the_dock_of_all_steps_a_folder_stays_chosen(make_napari_viewer, home, images, qtbot):
    viewer = make_napari_viewer()
    whole = UNetDock(viewer)
    viewer.window.add_dock_widget(whole)
    dock = whole.predict
    dock.image.setCurrentIndex(dock.image.findData("files"))
    layer = viewer.add_image(discs(), name="cells")
    assert whole.paint.image.layer is layer
    other = viewer.add_image(discs(), name="other")
    whole.paint.image.choose(other)
    assert (dock.image.several, dock.image.layer) == ("files", None)
    dock.image.choose(layer)
    assert (dock.image.several, dock.image.layer) == ("", layer)
    assert isinstance(dock.image.layer, Image)

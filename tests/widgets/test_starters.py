"""Starters in the docks: segment before the first stroke, and begin a training."""

from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from dock_helpers import TINY, discs, make_model, paint_on, save, say, tiny_training
from napari.components import ViewerModel
from qtpy.QtWidgets import QCheckBox, QComboBox, QPushButton
from superqt import QLabeledSlider

from napari_unet import load_model, predict, save_model, train
from napari_unet.core.instances import InstanceConfig
from napari_unet.files.networks.starters import starter_path
from napari_unet.network.config import TrainingConfig
from napari_unet.widgets import train as train_dock
from napari_unet.widgets.predict import PredictDock
from napari_unet.widgets.train import TrainDock
from napari_unet.widgets.unet import UNetDock

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture(scope="module")
def trained():
    """A network that knows bright discs 18 pixels wide."""
    image = discs((96, 96))
    labels = np.where(image > 3000, 2, 1)
    config = TrainingConfig(
        steps=60, held_out=0, patch_size=64, batch_size=4, network=TINY, precision="float32"
    )
    model = train([image], [labels], config, full=[True], device="cpu")
    return replace(model, object_size=18.0, instances=InstanceConfig(min_size=25))


@pytest.fixture
def starter(trained, starters):
    starters.mkdir(parents=True)
    save_model(trained, starters / "dots.safetensors", half=True)
    return starter_path("dots")


def control(dock, kind, name):
    return dock.findChild(kind, name)


def predicted(dock, viewer, qtbot):
    """Press the button, and return the objects."""
    with qtbot.waitSignal(dock.predicted, timeout=60_000):
        control(dock, QPushButton, "predict_start").click()
    return next(layer.data for layer in viewer.layers if "objects" in layer.name).copy()


def test_predict_works_before_the_first_stroke_and_sliders_change_it(starter, make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    image = np.kron(discs(), np.ones((2, 2), np.uint16))  # of 36 pixels
    viewer.add_image(image, name="twice as large", scale=(0.5, 0.5))
    dock = UNetDock(viewer)
    viewer.window.add_dock_widget(dock)
    predict = dock.predict
    assert predict.model.currentText() == "dots (starter)"
    assert "before anything is painted" in say(predict, "predict_facts")
    assert not predict.form.scale.isHidden()
    objects = predicted(predict, viewer, qtbot)
    assert (objects.shape, len(np.unique(objects))) == ((128, 128), 5)
    assert "set the object size in step 4" in say(dock, "unet_advice")
    size = control(predict, QLabeledSlider, "predict_object_size")
    estimate = control(predict, QCheckBox, "predict_estimate")
    assert size.value() == pytest.approx(36, rel=0.25)
    assert estimate.isChecked()
    told = say(predict, "predict_scaled")
    assert f"{size.value()} pixels wide, as estimated from the image; if they are not" in told
    # Its smallest object is one of this image, of four times the area.
    assert 100 * 0.75**2 <= predict.form.objects.config.min_size <= 100 * 1.25**2
    size.setValue(9)
    assert not estimate.isChecked()
    smaller = predicted(predict, viewer, qtbot)
    assert not np.array_equal(smaller, objects)
    assert say(predict, "predict_scaled").endswith("9 pixels wide, as given.")
    estimate.setChecked(True)
    control(predict, QLabeledSlider, "predict_contrast").setValue(25)
    dim = predicted(predict, viewer, qtbot)
    assert not np.array_equal(dim > 0, objects > 0)


def test_own_models_come_first_and_have_no_sliders(starter, home, qtbot):
    folder = home / "U-Net models"
    viewer = ViewerModel()
    viewer.add_image(np.zeros((8, 8, 3)), rgb=True)
    dock = PredictDock(viewer)
    qtbot.addWidget(dock)
    assert dock.model.path == starter
    folder.mkdir()
    path = save(folder, "mine")
    dock.model._refill()
    # Nobody had chosen the starter.
    assert dock.model.path == path
    assert [dock.model.itemText(index) for index in range(2)] == ["mine", "dots (starter)"]
    assert dock.form.scale.isHidden()
    assert dock.form.config().object_size == "estimate"
    dock.select_model(starter)
    save(folder, "newer")
    dock.model._refill()
    assert dock.model.path == starter
    assert not dock.form.scale.isHidden()


def test_an_image_under_another_objective_is_scaled_to_the_pixels_that_the_model_learnt_from(
    trained, home, make_napari_viewer, qtbot
):
    folder = home / "U-Net models"
    folder.mkdir()
    save_model(replace(trained, object_size=None, pixel_size=(0.5, 0.5)), folder / "mine.safetensors")
    viewer = make_napari_viewer()
    image = np.kron(discs(), np.ones((2, 2), np.uint16))  # of 36 pixels
    viewer.add_image(image, scale=(250, 250), units="nm")
    dock = PredictDock(viewer)
    viewer.window.add_dock_widget(dock)
    assert "in 2-D images of 1 channel, with pixels 0.5 µm wide. Trained" in say(dock, "predict_facts")
    assert len(np.unique(predicted(dock, viewer, qtbot))) == 5
    assert say(dock, "predict_scaled").startswith("The model sees this image at 0.5 times its size")
    assert dock.form.objects.config.min_size == 100  # four times the area
    learnt_pixels = control(dock, QCheckBox, "predict_learnt_pixels")
    assert learnt_pixels.isChecked()
    learnt_pixels.setChecked(False)
    as_it_is = predicted(dock, viewer, qtbot)
    expected = predict(load_model(folder / "mine.safetensors"), image).objects
    np.testing.assert_array_equal(as_it_is, expected)
    assert say(dock, "predict_scaled") == ""
    assert dock.form.objects.config.min_size == 25
    learnt_pixels.setChecked(True)
    dock.image.choose(viewer.add_image(discs(), scale=(0.5, 0.5), units="um", name="as learnt"))
    predicted(dock, viewer, qtbot)
    assert say(dock, "predict_scaled") == ""
    dock.select_model(save_model(trained, folder / "dots.safetensors") or folder / "dots.safetensors")
    assert learnt_pixels.isHidden()


def test_a_model_that_does_not_suit_the_image_gives_way_unless_it_was_chosen(starter, home, qtbot):
    folder = home / "U-Net models"
    folder.mkdir()
    colours = save(folder, "colours", channels=3)
    viewer = ViewerModel()
    dock = PredictDock(viewer)
    qtbot.addWidget(dock)
    assert dock.model.path == colours
    viewer.add_image(discs())
    assert dock.model.path == starter
    assert dock.can_predict
    dock.model.choose(colours)
    viewer.add_image(discs(), name="another")
    dock.image.choose(viewer.layers["another"])
    assert dock.model.path == colours


def test_colours_suit_a_starter(starter, qtbot):
    viewer = ViewerModel()
    grey = (discs() // 25).clip(0, 255).astype(np.uint8)
    viewer.add_image(np.stack([grey] * 3, axis=-1), rgb=True, name="colours")
    dock = PredictDock(viewer)
    qtbot.addWidget(dock)
    assert len(np.unique(predicted(dock, viewer, qtbot))) == 5


def test_a_stack_is_segmented_plane_by_plane_at_one_size(starter, qtbot):
    viewer = ViewerModel()
    viewer.add_image(discs((3, 64, 64)), name="stack")
    dock = PredictDock(viewer)
    qtbot.addWidget(dock)
    objects = predicted(dock, viewer, qtbot)
    assert objects.shape == (3, 64, 64)
    assert [len(np.unique(plane)) for plane in objects] == [5, 5, 5]
    assert "as estimated from the image" in say(dock, "predict_scaled")
    dock.image.choose(viewer.add_image(discs(), name="other"))
    assert say(dock, "predict_scaled") == ""  # it was of the stack


def test_training_begins_with_the_starter(starter, qtbot, monkeypatch):
    tiny_training(monkeypatch)
    is_over = Event()

    def look_for_long(_device):
        is_over.wait(60)
        return "found late", ""

    monkeypatch.setattr(train_dock, "device_in_words", look_for_long)
    viewer = ViewerModel()
    colours = np.stack([discs(), discs(), discs()[::-1]], axis=-1).astype(float) / 5000
    paint_on(viewer, viewer.add_image(colours, rgb=True, name="rgb"))
    dock = TrainDock(viewer)
    qtbot.addWidget(dock)
    start = control(dock, QComboBox, "train_start_from")
    assert start.currentText() == "dots (starter)"
    assert not control(dock, QComboBox, "train_size").isEnabled()
    assert "learns slowly" in say(dock, "train_start_adapts")
    saved = []
    dock.saved.connect(saved.append)
    with qtbot.waitSignal(dock.ended, timeout=60_000):
        dock.start()
    is_over.set()
    qtbot.waitUntil(lambda: not dock._looking.is_running, timeout=10_000)
    model = load_model(saved[0])
    assert not model.is_starter
    assert model.network == replace(make_model().network, in_channels=3, distance=True)
    assert "learns to tell the channels apart" in say(dock, "train_place")
    assert "no training state" not in say(dock, "train_warning")
    assert start.currentText().startswith("Last model")
    # Colours are new to it, and learnt at the usual rate; all else at a fifth.
    assert (model.training.learning_rate, model.training.body_rate, model.training.ends_rate) == (
        5e-3,
        0.2,
        5.0,
    )


def test_what_a_starter_knows_is_kept_by_a_lower_rate_also_when_the_training_goes_on(
    starter, qtbot, monkeypatch
):
    tiny_training(monkeypatch)
    viewer = ViewerModel()
    paint_on(viewer, viewer.add_image(discs(), name="grey"))
    dock = TrainDock(viewer)
    qtbot.addWidget(dock)
    saved = []
    dock.saved.connect(saved.append)
    for _ in range(2):
        with qtbot.waitSignal(dock.ended, timeout=60_000):
            dock.start()
        model = load_model(saved[-1])
        assert model.origin.startswith("taken from the starter dots")
        rates = model.training
        assert (rates.learning_rate, rates.body_rate, rates.ends_rate) == (5e-3, 0.2, 1.0)


def test_three_dimensions_begin_from_scratch_unless_asked_otherwise(starter, qtbot):
    dock = TrainDock(ViewerModel())
    qtbot.addWidget(dock)
    start = control(dock, QComboBox, "train_start_from")
    ndim = control(dock, QComboBox, "train_ndim")
    ndim.setCurrentIndex(ndim.findData(3))
    assert start.currentText() == "Scratch"
    assert say(dock, "train_start_adapts") == ""
    start.setCurrentIndex(0)
    start.activated.emit(0)
    assert start.currentText() == "dots (starter)"
    assert ndim.isEnabled()
    assert ndim.currentData() == 3
    dock.form.start_from_file(Path(str(starter)))  # as a file dialog gives it
    assert start.currentText() == "dots (starter)"
    assert [start.itemText(index) for index in range(start.count())].count("dots (starter)") == 1

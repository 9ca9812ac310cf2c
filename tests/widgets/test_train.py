"""The Train dock with real threads and a tiny network."""

import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from dock_helpers import TINY, discs, make_model, paint_on, say, tiny_training, train
from qtpy.QtWidgets import QPushButton

from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.files.networks import models, training_file
from napari_unet.files.networks.models import model_path
from napari_unet.files.networks.states import step_to_continue
from napari_unet.network.config import AugmentationConfig, TrainingConfig
from napari_unet.network.events import (
    Adapted,
    Checkpoint,
    Continued,
    Resolved,
    Started,
    StepDone,
    Stopped,
    Validated,
    Warned,
)
from napari_unet.network.model import History
from napari_unet.widgets import jobs
from napari_unet.widgets.bridge.layers import make_annotation
from napari_unet.widgets.bridge.marks import set_mode
from napari_unet.widgets.bridge.sight import select_image
from napari_unet.widgets.train import TrainDock
from napari_unet.widgets.training.training_run import (
    Saved,
    TrainingData,
    TrainingProgress,
    clock,
    train_and_save,
)

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def dock(viewer, qtbot, monkeypatch):
    tiny_training(monkeypatch)
    dock = TrainDock(viewer)
    qtbot.addWidget(dock)
    return dock


def choose(dock, viewer, image):
    """Choose an image as a user does, whose choice the selected layer follows."""
    select_image(viewer, image)
    dock.form.image.choose(image)


def test_channels_between_planes_and_y_are_told_where_they_are_taught_as_planes(dock, viewer, qtbot):
    stains = viewer.add_image(np.stack([discs((2, 64, 64))] * 3, axis=1), name="stains")
    paint = paint_on(viewer, stains)
    train(dock, qtbot)
    assert "'stains' has shape (2, 3, 64, 64)" in say(dock, "train_warning")
    viewer.layers.remove(paint)
    plane = make_annotation(viewer, stains, "middle").data[0]
    plane[2:4, 5:60], plane[12:20, 12:20], plane[42:50, 42:50] = 1, 2, 3
    train(dock, qtbot)
    assert "(2, 3, 64, 64)" not in say(dock, "train_warning")
    assert dock._last.model.network.in_channels == 3


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cells", "cells 2026-03-04 05.06.07.safetensors"),
        ("a/b:c?", "a_b_c_ 2026-03-04 05.06.07.safetensors"),
        ("...", "model 2026-03-04 05.06.07.safetensors"),
        ("x" * 300, "x" * 36 + "_0d4e2c_" + "x" * 36 + " 2026-03-04 05.06.07.safetensors"),
    ],
)
def test_file_names(name, file, tmp_path):
    assert model_path(tmp_path, name, datetime(2026, 3, 4, 5, 6, 7)) == tmp_path / file


def test_a_model_of_the_same_second_is_not_replaced(tmp_path):
    now = datetime(2026, 3, 4, 5, 6, 7)
    names = []
    for _ in range(3):
        path = model_path(tmp_path, "cells", now)
        path.touch()
        names.append(path.stem.removeprefix("cells 2026-03-04 05.06.07"))
    assert names == ["", " (2)", " (3)"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(-3, "0:00"), (59.6, "1:00"), (61, "1:01"), (3600 + 62, "1:01:02")]
)
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_progress_in_words():
    progress = TrainingProgress(60)
    assert progress.now(paused=False) == ""
    assert progress.outcome() == "No step was made, so there is nothing to keep."
    progress.add(StepDone(3, 0.5, 10.0))
    assert progress.now(paused=False) == "Step 3, loss 0.500, 0:50 left"
    progress.add(Validated(3, 0.75, 0.4, 10.0, "held-out", True, (0.5, 0.9), 6))
    progress.add(Validated(4, 0.5, 0.6, 12.0, "held-out", False, (0.3, 0.7), 6))
    score = "score 0.50 (0.30 to 0.70) on 6 strokes held out"
    assert progress.now(paused=True) == f"Step 3, loss 0.500, {score}, paused"
    score = "score 0.75 (0.50 to 0.90) on 6 strokes held out"
    assert progress.outcome() == f"Kept the network of step 3: {score}."
    progress.add(Validated(0, 0.75, 0.4, 10.0, "held-out", True, (0.5, 0.9), 6))
    assert progress.outcome().startswith("Kept the model it started from")
    assert progress.measure(StepDone(9, 0.1, 80.0)) == (60, 60)
    assert progress.measure(Saved(Path("x"))) is None
    progress.go_on(Continued(History(steps=2, seconds=8.0), same_data=True))
    assert progress.measure(StepDone(9, 0.1, 18.0)) == (10, 60)
    assert progress.now(paused=False).endswith("0:58 left")


def run_events(path, control=None, start=None, paint=None):

    image = discs()
    if paint is None:
        paint = np.zeros(image.shape, np.int32)
        paint[2:4, 5:60], paint[12:20, 12:20] = 1, 2
    config = TrainingConfig(steps=2, network=TINY, patch_size=32, batch_size=1)
    return train_and_save(
        TrainingData([image], [paint]),
        config,
        start=start,
        device="cpu",
        path=path,
        control=control or Control(),
    )


def test_the_model_is_saved_after_it_was_told(tmp_path):
    path = tmp_path / "new folder" / "model.safetensors"
    *_, stopped, saved = run_events(path)
    assert isinstance(stopped, Stopped)
    assert saved == Saved(path)
    assert models.load_model(path).history.steps == 2


def test_a_model_is_on_disk_while_it_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(training_file, "CHECKPOINT_S", 0.0)
    path = tmp_path / "model.safetensors"
    paint = np.zeros(discs().shape, np.int32)
    paint[2:4, 5:60], paint[12:20, 12:20] = 1, 2
    config = TrainingConfig(steps=8, network=TINY, patch_size=32, batch_size=1)
    events = train_and_save(
        TrainingData([discs()], [paint]), config, start=None, device="cpu", path=path, control=Control()
    )
    steps = []
    for event in events:
        assert not isinstance(event, Checkpoint)
        if isinstance(event, StepDone) and path.exists():
            steps.append(models.load_model(path).history.steps)
    assert steps == [6, 7]


def test_training_goes_on_from_a_file(tmp_path):
    start = tmp_path / "start.safetensors"
    models.save_model(make_model(), start)
    first, *_, saved = run_events(tmp_path / "next.safetensors", start=start)
    assert isinstance(saved, Saved)
    assert "no training state beside" in first.message


def test_a_stop_before_the_first_step_is_no_failure(tmp_path):
    control = Control()
    control.stop()
    path = tmp_path / "model.safetensors"
    assert list(run_events(path, control)) == []
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told_before_the_training(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match="folder"):
        next(run_events(tmp_path / "file" / "model.safetensors"))


def test_a_disk_that_fills_up_meanwhile_does_not_lose_the_model(tmp_path, monkeypatch):
    def full(_model, _path):
        raise InputError("The disk is full.")

    monkeypatch.setattr(training_file, "save_model", full)
    told = []
    with pytest.raises(InputError, match="full"):
        told.extend(event for event in run_events(tmp_path / "m.safetensors") if told.append(event))
    assert isinstance(told[-1], Stopped)


def test_train_saves_and_offers_to_go_on(dock, viewer, qtbot, home):
    paint_on(viewer, viewer.add_image(discs(), name="cells"))
    with qtbot.waitSignal(dock.saved, timeout=60_000) as saved:
        train(dock, qtbot)
    (path,) = saved.args
    assert path.parent == home / "U-Net models"
    assert path.name.startswith("cells 20")
    assert models.load_model(path).history.steps == 4
    assert path.name in say(dock, "train_outcome")
    assert "Kept the network of step" in say(dock, "train_status")
    assert not dock.is_running
    assert dock.form.chosen_start(dock._last) is dock._last is not None
    # ... and the next training does go on, its curve first.
    assert step_to_continue(path) == 4
    with qtbot.waitSignal(dock.saved, timeout=60_000) as saved:
        train(dock, qtbot)
    assert "Kept the network" in say(dock, "train_status")
    (again,) = saved.args
    history = models.load_model(again).history
    assert (history.steps, [last for _, last, _ in history.sessions]) == (8, [4, 8])
    assert [step for step, *_ in dock.plot._steps] == list(range(1, 9))
    # Of one training after the other, the last can go on with its optimiser.
    if again != path:  # file names tell seconds
        assert (step_to_continue(path), step_to_continue(again)) == (None, 8)


def test_a_model_of_another_day_goes_on_with_its_settings_and_its_curve(
    dock, viewer, qtbot, monkeypatch, home
):
    image = viewer.add_image(discs(), name="cells")
    paint = paint_on(viewer, image)
    dock.form._seed.setValue(7)
    dock.form._rate.setCurrentIndex(0)
    with qtbot.waitSignal(dock.saved, timeout=60_000) as saved:
        train(dock, qtbot)
    (path,) = saved.args
    told = []
    another = TrainDock(viewer)
    qtbot.addWidget(another)
    say_outcome = another._outcome.say
    monkeypatch.setattr(another._outcome, "say", lambda *words: told.append(words[0]) or say_outcome(*words))
    another.form.start_from_file(path)
    config = another.form.config(mode="objects", weights=None, channels="auto")
    assert (config.seed, config.learning_rate) == (7, 2e-4)
    paint.data[50:52, 5:60] = 1
    train(another, qtbot)
    assert "Going on from step 4 with its optimiser; paint, images or settings have changed since." in told
    assert another._last.model.history.steps == 8
    assert [step for step, *_ in another.plot._scores] == [4, 4, 5, 8]
    # The file the user chose keeps its state.
    assert step_to_continue(path) == 4


def test_settings_that_the_form_does_not_offer_are_those_of_the_model(dock, tmp_path):
    path = tmp_path / "start.safetensors"
    config = TrainingConfig(
        learning_rate=0.003, patch_size=80, held_out=0.1, augmentation=AugmentationConfig(elastic=9)
    )
    models.save_model(replace(make_model(), training=config), path)
    dock.form.start_from_file(path)
    found = dock.form.config(mode="objects", weights=None, channels="auto")
    for name in ("learning_rate", "held_out", "augmentation"):
        assert getattr(found, name) == getattr(config, name)
    dock.form.start_from_file(path)  # chosen twice, offered once
    assert [dock.form._rate.itemData(i) for i in range(dock.form._rate.count())].count(0.003) == 1
    path.write_text("no model any more")
    dock.form.start_from_file(path)


def test_a_state_that_cannot_be_saved_does_not_cost_the_model(tmp_path, monkeypatch):
    def full(*_):
        raise InputError("The disk is full.")

    monkeypatch.setattr(training_file, "save_state", full)
    told = []
    with pytest.raises(InputError, match="full"):
        told.extend(event for event in run_events(tmp_path / "m.safetensors") if told.append(event))
    assert isinstance(told[-1], Saved)
    assert models.load_model(tmp_path / "m.safetensors").history.steps == 2


def test_start_becomes_pause_and_stop(dock, viewer, qtbot, monkeypatch):
    tiny_training(monkeypatch, steps=100_000)
    paint_on(viewer, viewer.add_image(discs()))
    start, pause, stop = (dock.findChild(QPushButton, f"train_{name}") for name in ("start", "pause", "stop"))
    assert (start.isHidden(), pause.isHidden(), stop.isHidden()) == (False, True, True)
    start.click()
    assert (start.isHidden(), pause.isHidden(), stop.isHidden()) == (True, False, False)
    steps = []
    dock._run.job.happened.connect(lambda event: steps.append(event) if isinstance(event, StepDone) else None)
    qtbot.waitUntil(lambda: len(steps) > 2, timeout=60_000)

    pause.click()
    assert pause.text() == "Go on"
    qtbot.wait(300)
    paused_at = len(steps)
    qtbot.wait(300)
    assert len(steps) == paused_at
    assert "paused" in say(dock, "train_status")
    pause.click()
    qtbot.waitUntil(lambda: len(steps) > paused_at, timeout=20_000)

    with qtbot.waitSignal(dock.saved, timeout=20_000) as saved:
        stop.click()
    assert saved.args[0].exists()
    qtbot.waitUntil(lambda: not dock.is_running, timeout=5_000)
    assert (start.isHidden(), pause.isHidden(), stop.isHidden()) == (False, True, True)


def test_a_pause_and_going_on_are_told_once_each_when_all_shows_them(dock, viewer, qtbot, monkeypatch):
    tiny_training(monkeypatch, steps=100_000)
    paint_on(viewer, viewer.add_image(discs()))
    pause, told = dock.findChild(QPushButton, "train_pause"), []
    dock.paused.connect(
        lambda: told.append((dock.is_paused, pause.text(), "paused" in say(dock, "train_status")))
    )
    dock.pause()  # nothing runs
    assert told == []
    assert not dock.is_paused
    dock.start()
    qtbot.waitUntil(lambda: say(dock, "train_status").startswith("Step"), timeout=60_000)
    pause.click()
    assert told == [(True, "Go on", True)]
    qtbot.wait(300)  # the last steps come in
    assert "paused" in say(dock, "train_status")
    pause.click()
    assert told[1:] == [(False, "Pause", False)]
    pause.click()
    with qtbot.waitSignal(dock.ended, timeout=20_000):
        dock.stop()  # wakes it up
    assert len(told) == 3
    assert not dock.is_paused
    assert "Kept the network of step" in say(dock, "train_status")


def test_a_stop_during_the_preparation(dock, viewer, qtbot, home):
    paint_on(viewer, viewer.add_image(discs()))
    with qtbot.waitSignal(dock.ended, timeout=60_000):
        dock.start()
        dock.stop()
    status = say(dock, "train_status")
    assert "No step was made" in status or "Kept the network" in status
    assert not list(home.rglob("*.part"))


def test_without_an_image_or_paint_a_sentence_and_nothing_else(dock, viewer):
    dock.start()
    assert "no image" in say(dock, "train_status")
    viewer.add_image(discs(), name="cells")
    dock.start()
    assert "'cells' has no paint" in say(dock, "train_status")
    assert not dock.is_running


@pytest.mark.parametrize(("values", "word"), [((), "paint"), ((1,), "background"), ((2,), "background")])
def test_paint_that_cannot_teach_is_one_sentence(dock, qtbot, values, word, home):
    viewer = dock._viewer
    layer = viewer.add_image(discs())
    paint = make_annotation(viewer, layer)
    for value in values:
        paint.data[5 * value : 5 * value + 3] = value
    train(dock, qtbot)
    sentence = say(dock, "train_status")
    assert word in sentence
    assert "\n" not in sentence
    assert not list((home / "U-Net models").glob("*"))
    paint_on(viewer, layer)
    train(dock, qtbot)
    assert "Kept the network" in say(dock, "train_status")


def test_why_a_training_could_not_begin_is_withdrawn_when_layers_or_paint_change(dock, viewer, qtbot):
    dock.show()
    dock.start()
    assert "no image" in say(dock, "train_status")
    layer = viewer.add_image(discs(), name="cells")
    assert say(dock, "train_status") == ""
    dock.start()
    assert "'cells' has no paint" in say(dock, "train_status")
    paint = make_annotation(viewer, layer)
    assert say(dock, "train_status") == ""
    qtbot.waitUntil(lambda: not dock._tally._settled.isActive(), timeout=20_000)
    train(dock, qtbot)
    assert "Nothing is painted" in say(dock, "train_status")
    paint.data_setitem((np.arange(4), np.arange(4)), 1)
    assert say(dock, "train_status") == ""
    paint_on(viewer, layer)
    train(dock, qtbot)
    paint.data_setitem((np.arange(4), np.arange(4)), 1)
    assert "Kept the network" in say(dock, "train_status")


def test_all_painted_images(dock, viewer, qtbot, monkeypatch):
    seen = []
    from napari_unet.widgets import train as module

    def spy(taught, _config, **_rest):
        seen.append(taught)
        return iter(())

    monkeypatch.setattr(module, "train_and_save", spy)
    paint_on(viewer, viewer.add_image(discs(seed=1), name="a"))
    paint_on(viewer, viewer.add_image(discs(seed=2), name="b"))
    make_annotation(viewer, viewer.add_image(discs(seed=3), name="unpainted"))
    chosen = viewer.layers["a"]
    choose(dock, viewer, chosen)
    train(dock, qtbot)
    dock.form.all_painted.setChecked(True)
    train(dock, qtbot)
    assert [len(taught.images) for taught in seen] == [1, 2]
    images, paints = seen[1].images, seen[1].paints
    np.testing.assert_array_equal(images[0], viewer.layers["a"].data)
    np.testing.assert_array_equal(images[1], viewer.layers["b"].data)
    # Copies: the user goes on painting while the network trains.
    assert not np.shares_memory(paints[0], viewer.layers["a paint"].data)
    assert not np.shares_memory(images[0], viewer.layers["a"].data)


def test_images_that_do_not_go_together_are_named(dock, viewer, qtbot):
    paint_on(viewer, viewer.add_image(discs(), name="a"))
    colours = np.stack([discs(), discs()[::-1], discs()], axis=-1)
    paint_on(viewer, viewer.add_image(colours, rgb=True, name="b"))
    choose(dock, viewer, viewer.layers["a"])
    dock.form.all_painted.setChecked(True)
    train(dock, qtbot)
    told = say(dock, "train_status")
    assert told.startswith("'b' has 3 channels and 'a' has 1; train on images with the same channels. To ")
    assert told.endswith("To learn from 'a' alone, untick 'and all other painted images'.")
    dock.form.all_painted.setChecked(False)
    assert say(dock, "train_status") == ""
    b = viewer.layers["b"]
    dock.form._validation.choose(b)
    train(dock, qtbot)
    assert say(dock, "train_status").endswith("train on images with the same channels.")
    set_mode(viewer.layers["b paint"], "classes")
    dock.start()
    assert say(dock, "train_status").startswith(
        "'a' has paint of objects and 'b' of classes; choose the same"
    )


def test_an_image_to_score_on_alone(dock, viewer, qtbot):
    for name in ("a", "b"):
        paint_on(viewer, viewer.add_image(discs(), name=name))
    unpainted = viewer.add_image(discs(), name="c")
    scored = dock.form._validation
    assert scored.currentText() == "Held-out strokes"
    choose(dock, viewer, viewer.layers["a"])
    scored.choose(viewer.layers["b"])
    # Learnt from are all the others.
    dock.form.all_painted.setChecked(True)
    train(dock, qtbot)
    assert "of the validation images" in say(dock, "train_status")
    assert dock._run is None
    choose(dock, viewer, viewer.layers["b"])
    dock.form.all_painted.setChecked(False)
    dock.start()
    assert "'b' is for scoring alone" in say(dock, "train_status")
    scored.choose(unpainted)
    dock.start()
    assert "'c' is for scoring and has no paint" in say(dock, "train_status")
    viewer.layers.remove(unpainted)
    assert scored.currentText() == "Held-out strokes"
    train(dock, qtbot)
    assert "learnt from" in say(dock, "train_status")


def test_training_that_no_longer_improves_stops_if_asked_to(viewer, qtbot):
    dock = TrainDock(viewer)
    qtbot.addWidget(dock)
    given = {"mode": "objects", "weights": None, "channels": "auto"}
    assert dock.form.config(**given).patience is None
    dock.form._patience.setChecked(True)
    assert dock.form.config(**given).patience == 20
    assert "20 scores" in dock.form._patience.toolTip()
    qtbot.waitUntil(lambda: "Looking" not in say(dock, "train_place"), timeout=60_000)


def test_the_mode_is_that_of_the_paint(dock, viewer, qtbot):
    first = paint_on(viewer, viewer.add_image(discs(), name="a"))
    paint_on(viewer, viewer.add_image(discs(), name="b"))
    set_mode(first, "classes")
    choose(dock, viewer, viewer.layers["a"])
    train(dock, qtbot)
    assert dock._last.model.mode == "classes"
    dock.form.all_painted.setChecked(True)
    dock.start()
    assert "'b' has paint of objects and 'a' of classes; choose" in say(dock, "train_status")


def test_the_form_reads_as_a_configuration(viewer, qtbot):
    from napari_unet.core.borders.weight_config import WeightConfig

    dock = TrainDock(viewer)
    qtbot.addWidget(dock)
    config = dock.form.config(mode="objects", weights=None, channels="auto")
    default = TrainingConfig()
    assert config.seconds == 120
    for name in (
        "seed",
        "patch_size",
        "learning_rate",
        "held_out",
        "weights",
        "augmentation",
        "normalisation",
    ):
        assert getattr(config, name) == getattr(default, name), name
    given = WeightConfig(w0=3)
    assert dock.form.config(mode="objects", weights=given, channels="last").weights == given
    qtbot.waitUntil(lambda: "Looking" not in say(dock, "train_place"), timeout=60_000)


def test_the_device_is_told_in_words(viewer, qtbot):
    dock = TrainDock(viewer)
    qtbot.addWidget(dock)
    assert say(dock, "train_place") == "Looking for a GPU."
    assert not dock._looking.is_running  # it would slow down what opens after this dock
    qtbot.waitUntil(lambda: "Looking" not in say(dock, "train_place"), timeout=60_000)
    assert say(dock, "train_place")
    device = dock.form._device
    device.setCurrentIndex(device.findData("cpu"))
    qtbot.waitUntil(lambda: say(dock, "train_place").startswith("CPU"), timeout=20_000)


def test_the_device_is_told_also_if_it_is_found_while_a_training_waits(dock, viewer, qtbot):
    paint_on(viewer, viewer.add_image(discs(), name="cells"))
    with jobs._computing:
        dock.start()
        qtbot.waitUntil(lambda: "Looking" not in say(dock, "train_place"), timeout=60_000)
        assert dock.is_waiting
        with qtbot.waitSignal(dock.ended, timeout=60_000):
            dock.stop()
    assert "Looking" not in say(dock, "train_place")


def test_a_cpu_user_is_told_how_to_get_faster(viewer, qtbot, monkeypatch):
    from napari_unet.network import device

    monkeypatch.setattr(device, "acceleration_hint", lambda: "Install it by: pip install torch")
    dock = TrainDock(viewer)
    qtbot.addWidget(dock)
    dock.form._device.setCurrentIndex(dock.form._device.findData("cpu"))
    qtbot.waitUntil(lambda: "pip install" in say(dock, "train_faster"), timeout=60_000)


def test_a_file_to_go_on_from(dock, viewer, qtbot, tmp_path, monkeypatch):
    from qtpy.QtWidgets import QFileDialog

    path = tmp_path / "start.safetensors"
    models.save_model(make_model(), path)
    combo, size = dock.form._start, dock.form._size
    assert dock.form.chosen_start(None) is None
    for answer, chosen in (("", None), (str(path), path)):
        monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_, answer=answer: (answer, ""))
        combo.setCurrentIndex(combo.count() - 1)
        combo.activated.emit(combo.count() - 1)
        assert dock.form.chosen_start(None) == chosen
        assert size.isEnabled() is (chosen is None)
    paint_on(viewer, viewer.add_image(discs()))
    train(dock, qtbot)
    assert "Kept the network" in say(dock, "train_status")


IMPORTS = """
import builtins, sys, threading
original = builtins.__import__
def spying(name, globals=None, *rest, **more):
    top, by = name.split(".")[0], (globals or {}).get("__name__", "")
    # napari itself imports numba where it is installed
    if top == "torch" or (top == "numba" and by.startswith("napari_unet")):
        if threading.current_thread() is threading.main_thread():
            raise SystemExit(f"{name} is imported on the main thread, by {by}")
        seen.add(top)
    return original(name, globals, *rest, **more)
seen = set()
builtins.__import__ = spying
from napari.components import ViewerModel
from qtpy.QtWidgets import QApplication
app = QApplication([])
from napari_unet.widgets.evaluate import EvaluateDock
from napari_unet.widgets.paint import PaintDock
from napari_unet.widgets.predict import PredictDock
from napari_unet.widgets.project import ProjectDock
from napari_unet.widgets.train import TrainDock
from napari_unet.widgets.unet import UNetDock
from napari_unet.widgets.weights import WeightsDock
import numpy
from napari_unet.widgets.bridge.layers import make_annotation
viewer = ViewerModel()
paint = make_annotation(viewer, viewer.add_image(numpy.zeros((8, 8))))
paint.data[2:4, 2:4], paint.data[5:7, 2:4] = 2, 3
kinds = (PaintDock, WeightsDock, TrainDock, PredictDock, EvaluateDock, ProjectDock, UNetDock)
docks = [kind(viewer) for kind in kinds]
for dock in docks:
    dock.show()
docks[1].show_map.setChecked(True)
from qtpy.QtCore import QThreadPool
for _ in range(100):
    app.processEvents()
    if QThreadPool.globalInstance().waitForDone(200) and "objects touch" in docks[1].sentence.text():
        break
assert seen == {"torch", "numba"}, f"no device was looked for or no map computed: {seen}"
"""


def test_no_dock_imports_torch_or_numba_on_the_main_thread():
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def volume(viewer, name, scale=(2.0, 1.0, 1.0), **more):
    """A small stack with paint on one plane."""
    return paint_on(viewer, viewer.add_image(discs((6, 64, 64)), name=name, scale=scale, **more))


def configs_of_trainings(monkeypatch):
    """Return a list that every training adds its configuration to; none of them trains."""
    from napari_unet.network import training

    seen = []

    def events(images, paints, config, **rest):
        seen.append(config)
        yield Started("CPU", "float32", 1, 1, 1)

    monkeypatch.setattr(training, "train_events", events)
    return seen


@pytest.mark.parametrize(
    ("how", "ndim", "expected"),
    [
        ({"scale": (2.0, 1.0, 1.0), "units": None}, 3, (2.0, 1.0, 1.0)),
        ({"scale": (0.5, 0.25, 0.25), "units": ("um",) * 3}, 3, (2.0, 1.0, 1.0)),
        ({"scale": (500, 0.25, 0.25), "units": ("nm", "um", "um")}, 3, (2.0, 1.0, 1.0)),
        ({"scale": (2.0, 1.0, -1.0), "units": None}, 3, (2.0, 1.0, 1.0)),
        ({"scale": (0.3, 0.3, 0.30001), "units": None}, 3, None),
        ({"scale": (2.0, 1.0, 1.0), "units": None}, 2, None),
        ({"scale": (2.0, 1.0, 3.0), "units": None}, 2, (1.0, 3.0)),
        ({"scale": (2.0, 1.0, 1.0), "units": ("second", "um", "um")}, 2, None),
    ],
)
def test_distances_stay_in_pixels(dock, qtbot, monkeypatch, how, ndim, expected):  # noqa: PLR0917 (fixtures and a table)
    seen = configs_of_trainings(monkeypatch)
    original = dock.form.config
    network = replace(TINY, ndim=ndim)
    monkeypatch.setattr(dock.form, "config", lambda **given: replace(original(**given), network=network))
    volume(dock._viewer, "cells", **how)
    train(dock, qtbot)
    assert seen[0].spacing == expected
    assert seen[0].weights.sigma == 5


def test_the_model_that_training_goes_on_from_says_how_many_axes_count(dock, viewer, qtbot, monkeypatch):
    seen = configs_of_trainings(monkeypatch)
    dock._last = Stopped("finished", make_model(ndim=3))
    dock.form.offer_last("volumes")
    volume(viewer, "cells")
    train(dock, qtbot)
    assert seen[0].spacing == (2.0, 1.0, 1.0)


def test_images_with_pixels_of_two_shapes_are_told_of(dock, viewer, qtbot, monkeypatch):
    seen = configs_of_trainings(monkeypatch)
    dock._last = Stopped("finished", make_model(ndim=3))
    dock.form.offer_last("volumes")
    volume(viewer, "a", (3.0, 1.0, 1.0))
    volume(viewer, "b", (1.0, 1.0, 1.0))
    choose(dock, viewer, viewer.layers["a"])
    dock.form.all_painted.setChecked(True)
    train(dock, qtbot)
    assert seen[0].spacing == (3.0, 1.0, 1.0)
    assert "differ in shape" in say(dock, "train_warning")


def test_a_real_training_in_3d_on_an_anisotropic_volume(dock, viewer, qtbot, monkeypatch):
    original = dock.form.config
    monkeypatch.setattr(
        dock.form, "config", lambda **given: replace(original(**given), network=replace(TINY, ndim=3))
    )
    volume(viewer, "cells")
    train(dock, qtbot)
    assert "Kept the network" in say(dock, "train_status")
    assert dock._last.model.training.spacing == (2.0, 1.0, 1.0)


def test_warnings_stay_until_they_are_withdrawn(dock, viewer, qtbot, monkeypatch):
    from napari_unet.network import training

    def events(images, paints, config, **rest):
        yield Started("CPU", "float32", 1, 1, 1)
        yield Adapted("Channels.")
        yield Adapted("Classes.")
        yield Warned("First.")
        yield StepDone(1, 0.5, 1.0)
        yield Warned("Second.")
        yield StepDone(2, 0.5, 2.0)
        yield Warned("Third.")
        yield Resolved("Second.")
        yield StepDone(3, 0.5, 3.0)

    monkeypatch.setattr(training, "train_events", events)
    paint_on(viewer, viewer.add_image(discs(), name="cells"))
    train(dock, qtbot)
    assert say(dock, "train_warning") == "First.\nThird."
    assert say(dock, "train_place").endswith("weights.\nChannels.\nClasses.")
    monkeypatch.setattr(training, "train_events", lambda *_, **__: iter(()))
    train(dock, qtbot)
    assert say(dock, "train_warning") == ""


def test_a_training_that_diverges_says_why_and_what_was_kept(dock, viewer, qtbot, monkeypatch):
    from napari_unet.network.learning.learner import Learner

    tiny_training(monkeypatch, steps=50)
    step, calls = Learner.step, []

    def spoilt(self, *batch, rate, **_):
        calls.append(rate)
        return step(self, *batch, rate=rate) if len(calls) <= 6 else None

    monkeypatch.setattr(Learner, "step", spoilt)
    paint_on(viewer, viewer.add_image(discs(), name="cells"))
    train(dock, qtbot)
    assert len(calls) == 6 + 6 * 5
    assert "with a lower learning rate" in say(dock, "train_warning")
    assert "Kept the network of step" in say(dock, "train_status")
    assert say(dock, "train_outcome").startswith("Saved as")


def test_every_warning_can_be_read(dock, viewer, qtbot):
    paint = paint_on(viewer, viewer.add_image(discs(), name="cells"))
    paint.data[paint.data == 3] = 0
    paint.data[12:20, 12:62] = 2
    paint.data[paint.data == 1] = 0
    paint.data[2, 5:12] = 1
    train(dock, qtbot)
    warning = say(dock, "train_warning")
    assert "Only one object" in warning
    assert "times as many pixels as background" in warning

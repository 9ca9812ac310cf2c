"""What goes wrong while a job runs, with real threads: it is told in a sentence, and the next start works."""

import gc
import threading
import weakref

import numpy as np
import pytest
import torch
from dock_helpers import discs, paint_on, save, say, tiny_training
from napari.layers import Labels
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QThreadPool
from qtpy.QtWidgets import QPlainTextEdit

from napari_unet.core.errors import InputError
from napari_unet.files.networks.models import load_model
from napari_unet.network import prediction, training
from napari_unet.network.learning import batch_source
from napari_unet.widgets.predict import PredictDock
from napari_unet.widgets.projects.window_project import project_of
from napari_unet.widgets.train import TrainDock
from napari_unet.widgets.training.live_preview import LivePreviewLayer, is_preview
from napari_unet.widgets.unet import UNetDock

pytestmark = pytest.mark.usefixtures("home")

ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    RuntimeError("Given groups=1, weight of size [4, 1, 3, 3], expected input to have 1 channels"),
    ValueError("operands could not be broadcast together"),
    InputError("The image is too small; choose a larger one."),
]


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer()


@pytest.fixture
def train(viewer, monkeypatch):
    """A Train dock with a painted image, about to train for long."""
    tiny_training(monkeypatch, steps=100_000)
    paint_on(viewer, viewer.add_image(discs(), name="cells"))
    dock = TrainDock(viewer)
    viewer.window.add_dock_widget(dock)
    return dock


@pytest.fixture
def predict(viewer, home):
    """A Predict dock with a model and an image of more planes than threads can have begun at a time."""
    (home / "U-Net models").mkdir()
    save(home / "U-Net models")
    viewer.add_image(discs((12, 64, 64)), name="cells")
    dock = PredictDock(viewer)
    viewer.window.add_dock_widget(dock)
    return dock


@pytest.fixture
def told(monkeypatch):
    """The notifications that pop up, as texts."""
    texts = []

    def take(notification):
        texts.append(notification.message)

    notification_manager.notification_ready.connect(take)
    yield texts
    notification_manager.notification_ready.disconnect(take)


def wait_for_end(dock, qtbot):
    qtbot.waitUntil(lambda: not dock.is_running, timeout=60_000)


def is_sentence(text):
    return bool(text) and "\n" not in text and "Traceback" not in text


class Hold:
    """Stops a job in its thread until it is let go, after ``calls`` calls of a function."""

    def __init__(self, monkeypatch, owner, name, *, calls=1, error=None):
        self.reached, self._go = threading.Event(), threading.Event()
        original = getattr(owner, name)
        count = [0]

        def held(*args, **kwargs):
            count[0] += 1
            if count[0] == calls:
                self.reached.set()
                assert self._go.wait(30)
                if error is not None:
                    raise error
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, held)

    def wait(self, qtbot):
        qtbot.waitUntil(self.reached.is_set, timeout=60_000)

    def let_go(self):
        self._go.set()


def test_a_training_that_fails_late_leaves_its_best_network(train, qtbot, told, home, monkeypatch):
    hold = Hold(monkeypatch, batch_source, "draw_batch", calls=8, error=ERRORS[0])
    train.start()
    hold.wait(qtbot)
    hold.let_go()
    wait_for_end(train, qtbot)
    (model,) = (home / "U-Net models").glob("*.safetensors")
    assert load_model(model).history.best_step == 5
    assert is_sentence(say(train, "train_status"))
    assert "memory" in say(train, "train_status")
    assert model.name in say(train, "train_outcome")
    assert len(told) == 1


@pytest.mark.parametrize("error", ERRORS[2:], ids=lambda error: type(error).__name__)
def test_a_failure_in_training_is_told_and_start_works_again(  # noqa: PLR0917 - fixtures
    train, qtbot, told, monkeypatch, error, caplog
):
    hold = Hold(monkeypatch, batch_source, "draw_batch", calls=3, error=error)
    train.start()
    hold.wait(qtbot)
    hold.let_go()
    wait_for_end(train, qtbot)
    status = say(train, "train_status")
    assert is_sentence(status)
    assert any(status in text for text in told)
    assert train.form.isEnabled()
    assert not train._start.isHidden()
    # What the user can mend is no fault of the program, in the terminal neither.
    assert ("Traceback" in caplog.text) == (not isinstance(error, InputError))

    tiny_training(monkeypatch, steps=2)
    with qtbot.waitSignal(train.saved, timeout=60_000):
        train.start()
    wait_for_end(train, qtbot)
    assert "Kept the network" in say(train, "train_status")


@pytest.mark.parametrize("error", ERRORS[1:2], ids=lambda error: type(error).__name__)
def test_a_failure_in_prediction_is_told_and_predict_works_again(predict, qtbot, told, monkeypatch, error):
    viewer = predict._viewer
    with monkeypatch.context() as patch:
        hold = Hold(patch, prediction, "probabilities_of", calls=2, error=error)
        predict.start()
        hold.wait(qtbot)
        hold.let_go()
        wait_for_end(predict, qtbot)
    status = say(predict, "predict_status")
    assert is_sentence(status)
    assert any(status in text for text in told)
    assert len(viewer.layers) == 1
    predict.start()
    wait_for_end(predict, qtbot)
    assert say(predict, "predict_status").startswith("Done")


def test_out_of_memory_in_a_prediction_is_told_and_it_goes_on_in_smaller_tiles(predict, qtbot, monkeypatch):
    said = []
    hold = Hold(monkeypatch, prediction, "probabilities_of", error=ERRORS[0])
    monkeypatch.setattr(predict._status, "say", lambda text, *_: said.append(text))
    predict.start()
    hold.wait(qtbot)
    hold.let_go()
    wait_for_end(predict, qtbot)
    assert any("not enough memory" in text and "% done" in text for text in said)
    assert said[-1].startswith("Done")


def test_deleting_the_layers_leaves_the_training_alone(train, viewer, qtbot, monkeypatch):
    hold = Hold(monkeypatch, batch_source, "draw_batch", calls=2)
    train.start()
    hold.wait(qtbot)
    viewer.layers.clear()
    hold.let_go()
    with qtbot.waitSignal(train.saved, timeout=60_000) as saved:
        train.stop()
    assert saved.args[0].name.startswith("cells ")
    wait_for_end(train, qtbot)
    train.start()
    assert "no image" in say(train, "train_status")


def test_painting_on_and_choosing_another_image_leaves_the_training_alone(train, viewer, qtbot, monkeypatch):
    seen = []
    original = training.read_planes

    def spy(images, paints, *rest, **more):
        seen.append((images, paints))
        return original(images, paints, *rest, **more)

    monkeypatch.setattr(training, "read_planes", spy)
    before = viewer.layers["cells paint"].data.copy()
    train.start()
    viewer.layers["cells paint"].data[:] = 7
    viewer.layers["cells"].data[:] = 0
    other = viewer.add_image(discs((20, 20)), name="other")
    train.form.image.choose(other)
    viewer.layers.selection.active = other
    qtbot.waitUntil(lambda: bool(seen), timeout=60_000)
    train.stop()
    wait_for_end(train, qtbot)
    ((images, paints),) = seen
    np.testing.assert_array_equal(paints[0], before)
    assert images[0].any()


@pytest.mark.parametrize("close", ["window", "dock"])
def test_closing_while_it_trains_saves_the_network(train, qtbot, monkeypatch, home, close):
    viewer = train._viewer
    hold = Hold(monkeypatch, batch_source, "draw_batch", calls=2)
    train.start()
    hold.wait(qtbot)
    viewer.close() if close == "window" else viewer.window.remove_dock_widget(train)
    hold.let_go()
    assert QThreadPool.globalInstance().waitForDone(30_000)
    qtbot.wait(100)
    assert not list(home.rglob("*.part"))
    assert len(list((home / "U-Net models").glob("cells *.safetensors"))) == 1


@pytest.mark.parametrize("close", ["window", "dock"])
def test_closing_while_it_predicts_adds_nothing(predict, viewer, qtbot, monkeypatch, close):
    hold = Hold(monkeypatch, prediction, "probabilities_of", calls=2)
    predict.start()
    hold.wait(qtbot)
    viewer.close() if close == "window" else viewer.window.remove_dock_widget(predict)
    hold.let_go()
    assert QThreadPool.globalInstance().waitForDone(30_000)
    qtbot.wait(100)
    assert [layer.name for layer in viewer.layers] in ([], ["cells"])


@pytest.mark.parametrize("job", ["train", "predict"])
def test_closing_the_dock_of_all_steps(viewer, qtbot, monkeypatch, home, job):
    tiny_training(monkeypatch, steps=100_000)
    (home / "U-Net models").mkdir()
    save(home / "U-Net models")
    dock = UNetDock(viewer)
    viewer.window.add_dock_widget(dock)
    paint_on(viewer, viewer.add_image(discs(), name="cells"))
    owner, name = (batch_source, "draw_batch") if job == "train" else (prediction, "probabilities_of")
    hold = Hold(monkeypatch, owner, name)
    getattr(dock, job).start()
    hold.wait(qtbot)
    viewer.window.remove_dock_widget(dock)
    hold.let_go()
    wait_for_end(getattr(dock, job), qtbot)


@pytest.mark.parametrize("moment", ["meanwhile", "at its end"])
def test_a_training_in_a_closed_dock_that_nobody_holds_comes_to_its_end(
    viewer, qtbot, monkeypatch, told, moment
):
    """Python collects what nobody holds at any moment, also in the midst of a slot."""
    tiny_training(monkeypatch, steps=100_000)
    paint_on(viewer, viewer.add_image(discs(), name="cells"))
    dock = UNetDock(viewer)
    viewer.window.add_dock_widget(dock)
    hold = Hold(monkeypatch, batch_source, "draw_batch", calls=2)
    dock.train.start()
    hold.wait(qtbot)
    if moment == "at its end":
        remove = LivePreviewLayer._remove
        monkeypatch.setattr(LivePreviewLayer, "_remove", lambda preview: (remove(preview), gc.collect()))
    viewer.window.remove_dock_widget(dock)
    qtbot.wait(10)  # Qt deletes the frame
    held = weakref.ref(dock)
    del dock
    if moment == "meanwhile":
        gc.collect()
    hold.let_go()
    assert QThreadPool.globalInstance().waitForDone(30_000)
    qtbot.waitUntil(lambda: project_of(viewer).last_model is not None)
    qtbot.wait(100)
    assert not any(is_preview(layer) for layer in viewer.layers)
    assert told == []

    def is_let_go():
        gc.collect()
        return held() is None

    qtbot.waitUntil(is_let_go, timeout=20_000)  # what else it computed has ended, too


def test_deleting_one_of_several_images_keeps_the_others_results(predict, viewer, qtbot, monkeypatch):
    doomed = viewer.add_image(discs(), name="doomed")
    predict.image.setCurrentIndex(predict.image.findData("all"))
    hold = Hold(monkeypatch, prediction, "probabilities_of")
    predict.start()
    hold.wait(qtbot)
    viewer.layers.remove(doomed)
    hold.let_go()
    wait_for_end(predict, qtbot)
    assert [layer.name for layer in viewer.layers if isinstance(layer, Labels)] == ["cells objects"]
    assert say(predict, "predict_status").startswith("1 of 2 images segmented, 1 failed")
    assert "'doomed' was deleted" in predict.findChild(QPlainTextEdit, "predict_failures").toPlainText()


def test_a_models_folder_that_cannot_be_written(train, qtbot, home, told, monkeypatch):
    # Not by permissions, which mean nothing to an administrator: a file is in the way.
    (home / "U-Net models").write_text("a file")
    train.start()
    wait_for_end(train, qtbot)
    assert is_sentence(say(train, "train_status"))
    assert "folder" in say(train, "train_status")
    assert told
    (home / "U-Net models").unlink()
    tiny_training(monkeypatch, steps=2)
    with qtbot.waitSignal(train.saved, timeout=60_000):
        train.start()
    wait_for_end(train, qtbot)


def test_a_disk_that_is_full_at_the_end_keeps_the_model_in_memory(train, qtbot, monkeypatch):
    from napari_unet.files.networks import training_file

    def full(_model, path):
        raise InputError(f"{path} could not be written; free some space there.")

    tiny_training(monkeypatch, steps=2)
    with monkeypatch.context() as patch:
        patch.setattr(training_file, "save_model", full)
        train.start()
        wait_for_end(train, qtbot)
    assert "free some space" in say(train, "train_status")
    # Going on from it saves it.
    with qtbot.waitSignal(train.saved, timeout=60_000):
        train.start()
    wait_for_end(train, qtbot)


def test_two_jobs_wait_for_each_other(predict, viewer, qtbot, monkeypatch):
    tiny_training(monkeypatch, steps=2)
    train = TrainDock(viewer)
    viewer.window.add_dock_widget(train)
    paint_on(viewer, viewer.add_image(discs(), name="painted"))
    train.form.image.choose(viewer.layers["painted"])
    predict.image.choose(viewer.layers["cells"])
    hold = Hold(monkeypatch, prediction, "probabilities_of")
    predict.start()
    hold.wait(qtbot)
    train.start()
    qtbot.waitUntil(lambda: "Waiting" in say(train, "train_status"), timeout=20_000)
    hold.let_go()
    wait_for_end(train, qtbot)
    assert "Kept the network" in say(train, "train_status")
    assert say(predict, "predict_status").startswith("Done")


def test_the_whole_dock_survives_an_emptied_viewer_in_the_middle_of_a_prediction(
    viewer, qtbot, monkeypatch, home
):
    (home / "U-Net models").mkdir()
    save(home / "U-Net models")
    dock = UNetDock(viewer)
    viewer.window.add_dock_widget(dock)
    paint_on(viewer, viewer.add_image(discs(), name="cells"))
    hold = Hold(monkeypatch, prediction, "probabilities_of")
    dock.predict.start()
    hold.wait(qtbot)
    viewer.layers.clear()
    hold.let_go()
    wait_for_end(dock.predict, qtbot)
    assert "Open an image" in say(dock, "unet_advice")
    assert len(viewer.layers) == 0

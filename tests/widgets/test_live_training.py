"""Painting while a network learns, in real viewers with real threads; and what is shown of it meanwhile."""

import time

import numpy as np
import pytest
from dock_helpers import discs, paint_on, say, tiny_training
from napari.layers import Image, Labels
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QComboBox
from scipy.ndimage import binary_dilation

from napari_unet.core.learning.view import View
from napari_unet.core.objects.preview import PreviewPart
from napari_unet.network.events import PaintJoined, Preview, StepDone
from napari_unet.network.learning import live_preview as network_preview
from napari_unet.widgets import jobs
from napari_unet.widgets.bridge.layers import make_annotation
from napari_unet.widgets.bridge.marks import accept_objects, known_full_of
from napari_unet.widgets.bridge.paint_watch import TrainingLayers
from napari_unet.widgets.predicting.prediction_run import PreviewBegun
from napari_unet.widgets.predicting.preview_layer import PreviewLayer
from napari_unet.widgets.train import TrainDock
from napari_unet.widgets.training import glances
from napari_unet.widgets.training.live_form import LiveForm
from napari_unet.widgets.training.live_preview import LivePreviewLayer, is_preview, screen_step
from napari_unet.widgets.training.mosaic import Mosaic
from napari_unet.widgets.unet import UNetDock


@pytest.fixture(autouse=True)
def quick(home, monkeypatch):
    monkeypatch.setattr(jobs, "_REPAINT_S", 0.05)


@pytest.fixture
def dock(viewer, qtbot, monkeypatch):
    dock = open_dock(viewer, monkeypatch)
    qtbot.addWidget(dock)
    return dock


def open_dock(viewer, monkeypatch):
    tiny_training(monkeypatch, steps=100_000)
    dock = TrainDock(viewer)
    dock.form._held_out.setValue(0)
    return dock


def start(dock, qtbot):
    """Start training and wait for its first steps; the events are collected."""
    dock.seen = []
    dock.start()
    dock._run.job.happened.connect(dock.seen.append)
    qtbot.waitUntil(lambda: len(of(dock, StepDone)) > 1, timeout=60_000)


def of(dock, kind):
    return [event for event in dock.seen if isinstance(event, kind)]


def joins(dock, qtbot, count=1):
    """Wait until paint has joined so often."""
    qtbot.waitUntil(lambda: len(of(dock, PaintJoined)) >= count, timeout=30_000)
    return of(dock, PaintJoined)[-1]


def stop(dock, qtbot):
    with qtbot.waitSignal(dock.ended, timeout=60_000):
        dock.stop()


def dataset_of(dock, monkeypatch):
    """Return what tells the dataset that a training learns from: taken from its thread when it ends."""
    from napari_unet.network.learning import training_loop

    kept = []
    original = training_loop.fit_reading

    def spy(model, dataset, *rest):
        kept.append(dataset)
        return original(model, dataset, *rest)

    monkeypatch.setattr(training_loop, "fit_reading", spy)
    return kept


def test_strokes_erasing_and_undo_join_and_what_is_known_of_objects(dock, viewer, qtbot, monkeypatch):
    kept = dataset_of(dock, monkeypatch)
    paint = paint_on(viewer, viewer.add_image(discs(), name="cells"))
    before = np.count_nonzero(paint.data)
    start(dock, qtbot)
    paint.brush_size = 5
    paint.paint((55, 30), 9)
    painted = np.count_nonzero(paint.data) - before
    assert joins(dock, qtbot).known_pixels == before + painted > before
    assert f"{before + painted:,} pixels" in say(dock, "train_joined")
    paint.undo()
    assert joins(dock, qtbot, 2).known_pixels == before
    paint.redo()
    assert joins(dock, qtbot, 3).known_pixels == before + painted
    paint.brush_size = 20
    paint.paint((16, 16), 0)  # erases object 2
    assert joins(dock, qtbot, 4).known_pixels < before + painted
    paint.data = np.where(paint.data == 3, 4, paint.data)  # as a script may
    qtbot.waitUntil(lambda: len(of(dock, PaintJoined)) >= 5, timeout=30_000)
    accept_objects(paint, {4})
    qtbot.waitUntil(lambda: len(of(dock, PaintJoined)) >= 6, timeout=30_000)
    stop(dock, qtbot)
    (sample,) = kept[-1].samples
    rim = binary_dilation(paint.data == 4, np.ones((3, 3))) & (paint.data == 0)
    np.testing.assert_array_equal(sample.paint, np.where(rim, 1, paint.data))
    np.testing.assert_array_equal((sample.weight > 0) & (paint.data == 0), rim)
    assert sample.full == {4} == known_full_of(paint).within(paint.data)
    assert dock._last.state is not None


def test_a_grey_picture_in_colours_is_learnt_as_grey_and_true_colours_wait(dock, viewer, qtbot):
    grey = discs().astype(np.uint8)
    paint_on(viewer, viewer.add_image(np.dstack([grey] * 3), rgb=True, name="grey"))
    dock.form.all_painted.setChecked(True)
    start(dock, qtbot)
    assert "saved in colours are learnt as one channel" in say(dock, "train_place")
    true = viewer.add_image(np.dstack([grey, grey[::-1], grey]), rgb=True, name="true")
    paint = paint_on(viewer, true)
    qtbot.waitUntil(lambda: "A colour image was painted on" in say(dock, "train_warning"))
    seen = len(of(dock, StepDone))
    qtbot.waitUntil(lambda: len(of(dock, StepDone)) > seen + 3, timeout=30_000)
    viewer.layers.remove(paint)
    stop(dock, qtbot)
    assert dock._last.model.network.in_channels == 1
    paint_on(viewer, true)
    dock.start()  # anew, with all of them, as the sentence says
    qtbot.waitUntil(lambda: "it first sees the mixture" in say(dock, "train_place"))
    stop(dock, qtbot)
    assert dock._last.model.network.in_channels == 3


def test_other_images_join_when_they_are_painted_on(dock, viewer, qtbot, monkeypatch):
    kept = dataset_of(dock, monkeypatch)
    paint_on(viewer, viewer.add_image(discs(), name="cells"))
    dock.form.all_painted.setChecked(True)
    start(dock, qtbot)
    other = viewer.add_image(discs((3, 64, 64), 1), name="stack")
    paint = make_annotation(viewer, other)
    qtbot.wait(200)
    assert of(dock, PaintJoined) == []
    viewer.dims.set_current_step(0, 1)
    paint.paint((1, 40, 40), 1)
    assert joins(dock, qtbot).images == 2
    viewer.layers.remove(other)  # what it taught is not forgotten
    viewer.layers.remove(paint)
    steps = len(of(dock, StepDone))
    qtbot.waitUntil(lambda: len(of(dock, StepDone)) > steps + 2, timeout=30_000)
    stop(dock, qtbot)
    assert [sample.paint.any() for sample in kept[-1].samples] == [True, True]
    np.testing.assert_array_equal(kept[-1].samples[1].paint, paint.data[1])


def test_paint_waits_where_it_is_not_to_join(dock, viewer, qtbot):
    paint = paint_on(viewer, viewer.add_image(discs()))
    other = viewer.add_image(discs(seed=1), name="other")
    dock.form.image.choose(viewer.layers[0])
    dock.live.learns.setChecked(False)
    start(dock, qtbot)
    paint.paint((55, 30), 9)
    paint_on(viewer, other)  # not asked for
    qtbot.wait(300)
    assert of(dock, PaintJoined) == []
    dock.live.learns.setChecked(True)
    assert joins(dock, qtbot).images == 1
    stop(dock, qtbot)
    paint.paint((5, 5), 9)  # nobody listens any more
    assert dock._run is None


def test_all_erased_is_told_and_training_goes_on(dock, viewer, qtbot):
    paint = paint_on(viewer, viewer.add_image(discs()))
    start(dock, qtbot)
    paint.data = np.zeros_like(paint.data)
    qtbot.waitUntil(lambda: "Nothing is painted yet" in say(dock, "train_warning"), timeout=30_000)
    paint.data = np.where(np.arange(64) < 20, 1, 2) * np.ones((64, 1), np.int32)
    joins(dock, qtbot)
    qtbot.waitUntil(lambda: "Nothing is painted yet" not in say(dock, "train_warning"), timeout=30_000)
    stop(dock, qtbot)


def test_the_whole_loop_in_a_window(make_napari_viewer, qtbot, monkeypatch):
    """The preview follows slice, pan and zoom, is what is chosen, and comes and goes with its image."""
    monkeypatch.setattr(network_preview, "INTERVAL_S", 0.05)
    monkeypatch.setattr(network_preview, "SHARE", 0.5)
    viewer = make_napari_viewer(show=True)  # a window that is not shown does not draw
    viewer.window.resize(900, 700)
    stack = np.stack([discs((300, 280), seed) for seed in range(3)])
    image = viewer.add_image(stack, name="cells", scale=(2, 0.5, 0.5), translate=(4, 3, 2))
    paint = paint_on(viewer, image)
    viewer.dims.set_current_step(0, 0)
    dock = open_dock(viewer, monkeypatch)
    viewer.window.add_dock_widget(dock, name="Train")
    viewer.layers.selection.active = paint
    viewer.reset_view()
    qtbot.waitUntil(lambda: paint.corner_pixels[1, -1] > 0, timeout=10_000)
    names = [layer.name for layer in viewer.layers]
    start(dock, qtbot)

    def preview():
        return next((layer for layer in viewer.layers if is_preview(layer)), None)

    qtbot.waitUntil(lambda: preview() is not None, timeout=30_000)
    assert viewer.layers.selection.active is paint
    assert [layer.name for layer in viewer.layers] == ["cells", "cells preview", "cells paint"]

    def corner():
        """Which pixel of the image is under the first of the preview."""
        return np.round(image.world_to_data(preview().data_to_world((0, 0, 0))), 6).tolist()

    assert corner()[0] == 0
    assert np.mod(corner()[1:], 256).tolist() == [0, 0]
    # The slice.
    viewer.dims.set_current_step(0, 2)
    qtbot.waitUntil(lambda: of(dock, Preview)[-1].plane == (2,), timeout=30_000)
    qtbot.waitUntil(lambda: corner()[0] == 2, timeout=30_000)
    # Pan and zoom.
    viewer.scene.camera.zoom *= 25
    viewer.scene.camera.center = (0, *image.data_to_world((2, 290, 270))[1:])
    qtbot.waitUntil(lambda: corner() == [2, 256, 256], timeout=30_000)
    assert preview().data.shape == (1, 44, 24)
    # Objects, and nothing, instead.
    dock.live._preview.setCurrentIndex(1)
    qtbot.waitUntil(lambda: isinstance(preview(), Labels), timeout=30_000)
    assert not preview().editable
    viewer.dims.ndisplay = 3
    qtbot.waitUntil(lambda: preview() is None, timeout=30_000)
    viewer.dims.ndisplay = 2
    qtbot.waitUntil(lambda: preview() is not None, timeout=30_000)
    dock.live._preview.setCurrentIndex(2)
    assert preview() is None
    dock.live._preview.setCurrentIndex(0)
    qtbot.waitUntil(lambda: isinstance(preview(), Image), timeout=30_000)
    # The user removes the layer: it comes again. The paint goes: it goes, and the training goes on.
    viewer.layers.remove(preview())
    qtbot.waitUntil(lambda: preview() is not None, timeout=30_000)
    # Not the image first: napari 0.9.2 crashes on a processor that draws labels and nothing else.
    viewer.layers.remove(paint)
    qtbot.waitUntil(lambda: preview() is None, timeout=30_000)
    viewer.layers.remove(image)
    assert names == ["cells", "cells paint"]
    steps = len(of(dock, StepDone))
    qtbot.waitUntil(lambda: len(of(dock, StepDone)) > steps + 2, timeout=30_000)
    stop(dock, qtbot)
    assert "Kept the network" in say(dock, "train_status")
    assert not list(viewer.layers)


@pytest.mark.parametrize("how", ["dock", "window"])
def test_closing_in_the_midst_of_it(make_napari_viewer, qtbot, monkeypatch, how):
    viewer = make_napari_viewer()
    paint = paint_on(viewer, viewer.add_image(discs()))
    dock = open_dock(viewer, monkeypatch)
    widget = viewer.window.add_dock_widget(dock, name="Train")
    start(dock, qtbot)
    qtbot.waitUntil(lambda: any(map(is_preview, viewer.layers)), timeout=30_000)
    control = dock._run.job.control
    if how == "dock":
        viewer.window.remove_dock_widget(widget)
        qtbot.waitUntil(lambda: not dock.is_running, timeout=30_000)
        assert not any(map(is_preview, viewer.layers))
        paint.paint((5, 5), 9)
        dock.deleteLater()
    else:
        viewer.close()
        assert control.stopped


@pytest.mark.parametrize("how", ["dock", "window"])
def test_closing_while_next_looks_around(make_napari_viewer, qtbot, monkeypatch, how):
    """Nobody waits for a glance that will not come, and nothing goes on after it."""
    monkeypatch.setattr(glances, "_PATIENCE_MS", 60_000)
    tiny_training(monkeypatch, steps=100_000)
    viewer = make_napari_viewer()
    dock = UNetDock(viewer)
    images = [viewer.add_image(discs(seed=seed), name=f"cells {seed}") for seed in range(2)]
    for image in images:
        paint_on(viewer, image)
    widget = viewer.window.add_dock_widget(dock, name="U-Net")
    dock.train.form.all_painted.setChecked(True)
    dock.train.start()
    qtbot.waitUntil(lambda: any(map(is_preview, viewer.layers)), timeout=60_000)
    dock.train.pause()
    control = dock.train._run.job.control
    qtbot.wait(300)  # it waits before its next step, and looks nowhere
    names = [layer.name for layer in viewer.layers if not is_preview(layer)]
    next_place = dock.paint.next_place
    next_place.go()
    dock.train._run.preview.gaze.glances.clear()  # it will never come to them
    assert next_place.is_busy
    if how == "dock":
        viewer.window.remove_dock_widget(widget)
        qtbot.waitUntil(lambda: not dock.train.is_running, timeout=30_000)
        assert not next_place.is_busy
        assert [layer.name for layer in viewer.layers] == names
        dock.deleteLater()
    else:
        viewer.close()
        assert control.stopped


def test_the_brush_is_not_held_up(make_napari_viewer, qtbot, monkeypatch):
    """While paint joins, the window answers: what a stroke costs the main thread is next to nothing."""
    viewer = make_napari_viewer()
    image = viewer.add_image(np.tile(discs((256, 256)), (8, 8)), name="cells")
    paint = paint_on(viewer, image)
    dock = open_dock(viewer, monkeypatch)
    viewer.window.add_dock_widget(dock, name="Train")
    start(dock, qtbot)
    watch = dock._run.watch
    spent = []
    original = watch._tell

    def timed(*given):
        began = time.perf_counter()
        original(*given)
        spent.append(time.perf_counter() - began)

    monkeypatch.setattr(watch, "_tell", timed)
    beats = []
    timer = QTimer()
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.timeout.connect(lambda: beats.append(time.perf_counter()))
    timer.start(5)
    for number in range(5):
        paint.paint((1000 + 20 * number, 1000), 9)
        qtbot.wait(200)
    timer.stop()
    joins(dock, qtbot)
    stop(dock, qtbot)
    assert max(spent) < 0.02
    assert len(spent) == 5


@pytest.mark.parametrize(
    ("zoom", "scale", "step"), [(1, 1, 1), (5, 1, 1), (0.4, 1, 2), (0.1, 1, 8), (0.1, 10, 1)]
)
def test_the_screen_decides_how_fine_a_preview_is(viewer, zoom, scale, step):
    paint = viewer.add_labels(np.zeros((9, 9), int), scale=(scale, scale))
    viewer.scene.camera.zoom = zoom
    assert screen_step(viewer, paint) == step


def test_a_coarse_preview_lies_where_its_pixels_are(viewer, qtbot, monkeypatch):
    image = viewer.add_image(np.zeros((600, 600)), name="a", scale=(3, 3), rotate=30, translate=(5, 6))
    paint = make_annotation(viewer, image)
    paint.corner_pixels = np.array([[0, 0], [600, 600]])
    viewer.scene.camera.zoom = 0.12  # 2.8 pixels of the image are one of the screen
    owner = QTimer()
    layer = LivePreviewLayer(
        viewer, [TrainingLayers(image, paint, image.data)], "objects", "probability", owner
    )
    view = layer.gaze.view
    assert isinstance(view, View)
    assert (view.step, view.box) == (2, (slice(0, 600), slice(0, 600)))
    values = np.full((2, 128, 128), 0.25, np.float32)
    box = (slice(256, 512), slice(256, 512))
    layer.add(Preview(view.key, (), box, 2, values))
    layer.add(Preview(view.key, (1,), box, 2, values))  # of another plane: too late
    layer.repaint()
    shown = next(filter(is_preview, viewer.layers))
    assert shown.data.shape == (128, 128)
    np.testing.assert_allclose(shown.data, 0.75)
    for at in ((0, 0), (127, 3)):
        expected = image.data_to_world([256 + 2 * index + 0.5 for index in at])
        np.testing.assert_allclose(shown.data_to_world(at), expected)
    # The next part beside it makes it wider; pixels that nobody knows of yet are see-through.
    beside, sure = (slice(0, 256), slice(512, 600)), np.zeros((2, 128, 44), np.float32)
    composed = []
    monkeypatch.setattr(
        Mosaic, "_compose", lambda mosaic, real=Mosaic._compose: composed.append(real(mosaic))
    )
    for _ in range(3):  # a GPU sends dozens a second
        layer.add(Preview(view.key, (), beside, 2, sure))
    layer.repaint()
    assert len(composed) == 1
    assert shown.data.shape == (256, 172)
    assert shown.data[100, 150] == 1
    assert shown.data[200, 150] == 0
    np.testing.assert_allclose(shown.data_to_world((128, 0)), image.data_to_world([256.5, 256.5]), atol=1e-9)
    layer.close()
    assert not any(map(is_preview, viewer.layers))


def test_a_preview_goes_with_its_image_while_another_is_learnt_from(viewer, qtbot):
    images = [viewer.add_image(discs((300, 300), seed), name=f"cells {seed}") for seed in range(2)]
    paints = [make_annotation(viewer, image) for image in images]
    for paint in paints:
        paint.corner_pixels = np.array([[0, 0], [300, 300]])
    learnt = [TrainingLayers(image, paint, image.data) for image, paint in zip(images, paints, strict=True)]
    predicted = PreviewLayer(viewer)  # of a prediction that the training waits for
    predicted.begin(images[1], "none", PreviewBegun(0, (300, 300), "objects", (1, 1)))
    predicted.add(PreviewPart((slice(0, 300), slice(0, 300)), np.ones((300, 300), np.int32)))
    predicted._not_before = 0.0
    predicted.repaint()
    viewer.layers.selection.active = images[0]
    layer = LivePreviewLayer(viewer, learnt, "objects", "probability", owner := QTimer())
    view, box = layer.gaze.view, (slice(0, 256), slice(0, 256))
    layer.add(Preview(view.key, (), box, view.step, np.full((2, 256, 256), 0.5, np.float32)))
    layer.repaint()
    assert [shown.name for shown in filter(is_preview, viewer.layers)] == ["cells 0 preview"]
    viewer.layers.remove(paints[0])
    qtbot.waitUntil(lambda: not any(map(is_preview, viewer.layers)), timeout=10_000)
    assert layer.gaze.view.key == images[1].unique_id
    assert predicted._layer in viewer.layers
    layer.close()
    assert predicted._layer in viewer.layers
    owner.deleteLater()


def test_the_network_glances_at_other_planes_of_a_stack(dock, viewer, qtbot, monkeypatch):
    monkeypatch.setattr(glances, "_PATIENCE_MS", 60_000)
    stack = viewer.add_image(np.stack([discs(seed=seed) for seed in range(12)]), name="stack")
    flat = viewer.add_image(discs(seed=20), name="flat")
    for image in (stack, flat):
        paint_on(viewer, image)
    viewer.dims.set_current_step(0, 5)
    dock.form.all_painted.setChecked(True)
    viewer.layers.selection.active = stack
    start(dock, qtbot)
    preview, done = dock._run.preview, []
    everything = slice(0, 64), slice(0, 64)
    preview.gaze.view = View(stack.unique_id, stack.data, stack.data.shape, (5,), everything)
    assert preview.glance([stack, flat], lambda: done.append("seen"))
    qtbot.waitUntil(lambda: done == ["seen"], timeout=30_000)
    planes = set(preview.seen_of(stack).rereading.foregrounds)
    assert planes - {(5,)} == {(0,), (4,), (11,)}  # half of the blocks; where the user is, the preview looks
    assert set(preview.seen_of(flat).rereading.foregrounds) == {()}
    assert all((seen > 0).all() for seen in preview.seen_of(stack).rereading.foregrounds.values())
    stop(dock, qtbot)


def test_the_network_glances_at_the_other_images_when_it_is_asked(dock, viewer, qtbot, monkeypatch):
    monkeypatch.setattr(glances, "_PATIENCE_MS", 60_000)
    images = [viewer.add_image(discs(seed=seed), name=f"cells {seed}") for seed in range(3)]
    for image in images[:2]:
        paint_on(viewer, image)
    dock.form.all_painted.setChecked(True)
    dock.form.image.choose(images[0])
    viewer.layers.selection.active = images[0]
    start(dock, qtbot)
    preview = dock._run.preview
    assert preview.seen_of(images[1]) is None
    done = []
    assert not preview.glance(images[2:], lambda: done.append("never"))  # nobody painted on that
    assert preview.glance(images[1:], lambda: done.append("seen"))
    assert not preview.glance(images[1:], lambda: done.append("twice"))
    qtbot.waitUntil(lambda: done != [], timeout=30_000)
    (foreground,) = preview.seen_of(images[1]).rereading.foregrounds.values()
    assert foreground.shape == (1, 64, 64)
    assert (foreground > 0).all()
    # A paused training does not look, and nobody waits for it for long.
    preview._glances._patience.setInterval(200)
    dock.pause()
    qtbot.wait(300)
    assert preview.glance([images[1]], lambda: done.append("given up"))
    qtbot.waitUntil(lambda: done == ["seen", "given up"], timeout=10_000)
    dock.pause()
    preview._glances._patience.setInterval(60_000)
    assert preview.glance([images[1]], lambda: done.append("ended"))
    stop(dock, qtbot)
    assert len(done) == 3


def test_the_preview_shows_classes_as_such_unless_it_is_to_show_something_else(qtbot):
    form = LiveForm()
    qtbot.addWidget(form)
    choice = form.findChild(QComboBox, "train_preview")
    assert [form.suit(mode) for mode in ("objects", "classes", "classes", "objects")] == [
        "probability",
        "labels",
        "labels",
        "probability",
    ]
    choice.setCurrentIndex(2)  # as a project has it
    assert form.suit("classes") == "off"
    choice.setCurrentIndex(0)
    choice.activated.emit(0)  # by the user
    assert form.suit("classes") == "probability"

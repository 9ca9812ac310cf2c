"""Where to paint next, with real layers, threads, model files and, where the camera counts, a real window."""

import os
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from app_model.types import KeyBinding
from dock_helpers import delete_as_qt_does, discs, make_model, paint_on, save, say
from napari.layers import Points
from napari.utils.key_bindings import KeymapHandler
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QCheckBox, QPushButton, QWidget

from napari_unet.core.learning.view import View
from napari_unet.core.objects.rereading import Rereading
from napari_unet.core.painted.regions import complete
from napari_unet.network.events import Preview
from napari_unet.widgets import next_place
from napari_unet.widgets.bridge.layers import add_result, annotation_of, make_annotation
from napari_unet.widgets.bridge.marks import source_of
from napari_unet.widgets.bridge.paint_watch import TrainingLayers
from napari_unet.widgets.bridge.sight import select_image
from napari_unet.widgets.correcting.corrector import corrector_of
from napari_unet.widgets.guiding import next_place_run
from napari_unet.widgets.guiding.next_place_run import Known, planes_to_look_at
from napari_unet.widgets.guiding.place_view import is_ring, show_place
from napari_unet.widgets.next_place import KEY
from napari_unet.widgets.paint import PaintDock
from napari_unet.widgets.predicting import onlooker
from napari_unet.widgets.projects.window_project import project_of
from napari_unet.widgets.training.live_preview import LivePreviewLayer
from napari_unet.widgets.unet import UNetDock
from napari_unet.widgets.window.lifetime import is_alive


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    folder = tmp_path / "U-Net models"
    folder.mkdir()
    return folder


@pytest.fixture
def dock(viewer, qtbot):
    dock = PaintDock(viewer)
    qtbot.addWidget(dock)
    return dock


def known(foreground, plane=()):
    """What a network said, as a prediction keeps it."""
    return Known(Path("model"), Rereading.of(foreground, 2, plane), ("background", "object"))


def learning(foreground):
    """What a network that learns makes of an image."""
    return Known(None, Rereading.of(foreground, 2), ("background", "object"))


def preview(seen_of, glance=lambda _images, _then: False):
    """What a network that learns shows; without ``glance``, nothing else is learnt from."""
    return lambda: SimpleNamespace(seen_of=seen_of, glance=glance)


def knows(dock, foreground):
    """Let the dock know this of every image."""
    of_all = known(foreground)
    dock.next_place.use(lambda: None, lambda _image: of_all, lambda: None)


def spots(shape, *centres):
    """A network that is certain of background, but for squares of 12 pixels around these centres."""
    foreground = np.zeros((1, *shape), np.float32)
    for number, centre in enumerate(centres):
        *plane, y, x = centre
        foreground[(0, *plane, slice(y - 6, y + 6), slice(x - 6, x + 6))] = 0.5 - 0.02 * number
    return foreground


def press(dock, qtbot):
    dock.findChild(QPushButton, "next_go").click()
    qtbot.waitUntil(lambda: not dock.next_place.is_busy, timeout=60_000)


def turn(dock, viewer, image):
    """Choose an image as a user does, whose choice the selected layer follows."""
    select_image(viewer, image)
    dock.image.choose(image)


def centre(viewer):
    """Where the ring is, which is on the canvas."""
    (ring,) = filter(is_ring, viewer.layers)
    shown = [axis - viewer.dims.ndim for axis in viewer.dims.displayed]
    place = np.array(ring.data_to_world(ring.data[0]))[shown]
    half = np.array(viewer.canvas.size) / viewer.scene.camera.zoom / 2
    assert (np.abs(place - viewer.scene.camera.center[-2:]) < half).all()
    return place


@pytest.mark.parametrize("transposed", [False, True])
def test_the_view_stays_on_the_image_where_it_can(viewer, transposed):
    image = viewer.add_image(np.zeros((1000, 2000)), scale=(0.5, 0.5), translate=(10, 0))
    paint = make_annotation(viewer, image)
    if transposed:
        viewer.dims.transpose()
    order = list(viewer.dims.displayed)
    for place in ((0, 0), (999, 1999), (500, 1000), (3, 1500)):
        show_place(viewer, image, paint, place, 50)
        middle = np.array(viewer.scene.camera.center[-2:])[order]
        half = np.array(viewer.canvas.size)[order] / viewer.scene.camera.zoom / 2
        low, high = np.array((10, 0)), np.array((509.5, 999.5))
        assert (middle - half >= low - 1e-6).all()
        assert (middle + half <= high + 1e-6).all()
        wanted = np.clip(np.array(place) * 0.5 + (10, 0), low + half, high - half)
        np.testing.assert_allclose(middle, wanted)
    viewer.scene.camera.zoom = 1.0
    show_place(viewer, image, paint, (0, 0), 600)  # all of the image is to be seen
    np.testing.assert_allclose(np.array(viewer.scene.camera.center[-2:])[order][0], 259.75)


# In a window.


def test_the_camera_goes_to_what_is_uncertain_and_not_to_the_same_place_again(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    dock = PaintDock(viewer)
    viewer.window.add_dock_widget(dock)
    image = viewer.add_image(np.zeros((200, 300)), scale=(0.5, 0.5), translate=(10, 0), name="cells")
    dock.make()
    paint = annotation_of(viewer, image)
    paint.data[190:195, 5:15] = 2
    knows(dock, spots((200, 300), (50, 60), (150, 240), (60, 200)))
    viewer.scene.camera.zoom = zoom = 0.5  # too far away to see anything
    press(dock, qtbot)
    np.testing.assert_allclose(centre(viewer), (50 * 0.5 + 10, 60 * 0.5), atol=4)
    assert viewer.scene.camera.zoom > zoom
    assert "cannot decide between background and object" in say(dock, "next_sentence")
    (ring,) = (layer for layer in viewer.layers if isinstance(layer, Points))
    np.testing.assert_allclose(ring.data_to_world(ring.data[0]), centre(viewer))
    assert viewer.layers.selection.active is paint

    # By key, on the canvas; the brush is in the hand.
    zoom = viewer.scene.camera.zoom
    canvas = viewer.window._qt_viewer.canvas.native
    QTest.keyClick(canvas, Qt.Key(ord(KEY)))
    qtbot.waitUntil(lambda: not dock.next_place.is_busy, timeout=60_000)
    np.testing.assert_allclose(centre(viewer), (150 * 0.5 + 10, 240 * 0.5), atol=4)
    assert viewer.scene.camera.zoom == zoom
    press(dock, qtbot)
    np.testing.assert_allclose(centre(viewer), (60 * 0.5 + 10, 200 * 0.5), atol=4)
    assert len([layer for layer in viewer.layers if isinstance(layer, Points)]) == 1


def test_it_turns_to_the_image_with_the_best_place_which_is_seen_and_painted(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    dock = UNetDock(viewer)
    viewer.window.add_dock_widget(dock)
    best = viewer.add_image(np.zeros((200, 300)), name="best", visible=False)
    worse = viewer.add_image(np.zeros((200, 300)), name="worse")
    bare = viewer.add_image(np.zeros((200, 300)), name="nobody painted on it")
    beside = viewer.add_image(np.zeros((200, 300)), name="beside", translate=(0, 400))
    theirs = viewer.add_points([[5, 5]], name="theirs")
    paints = {image: make_annotation(viewer, image) for image in (best, worse, beside)}
    paints[best].visible = False
    paints[best].data[0, 0] = 7
    paints[worse].data[0, 0] = 3
    paints[worse].selected_label, paints[worse].mode, paints[worse].brush_size = 3, "paint", 17
    dock.paint.image.choose(worse)
    viewer.layers.selection.active = paints[worse]
    sure = np.zeros((1, 200, 300), np.float32)
    there = spots((200, 300), (50, 60))
    said = {worse: 0.8 * spots((200, 300), (150, 240)), best: there, beside: sure}
    dock.paint.next_place.use(lambda: None, lambda image: known(said[image]), lambda: None)
    canvas = viewer.window._qt_viewer.canvas.native
    QTest.keyClick(canvas, Qt.Key(ord(KEY)))
    qtbot.waitUntil(lambda: not dock.paint.next_place.is_busy, timeout=60_000)
    np.testing.assert_allclose(centre(viewer), (50, 60), atol=8)
    told = say(dock, "next_sentence")
    hidden = "'worse' and 'nobody painted on it', which lay over it, are hidden."
    assert told.startswith(f"This is on 'best'. {hidden} The network cannot decide")
    assert say(dock, "unet_told") == ""  # it is said in step 1
    assert [dock.paint.image.layer, dock.train.form.image.layer, dock.predict.image.layer] == [best] * 3
    shown = [best, paints[best], beside, paints[beside], theirs]
    assert all(layer.visible for layer in shown)
    assert not any(layer.visible for layer in (worse, paints[worse], bare))
    # The brush is in the hand, on the next object of this image.
    paint = paints[best]
    assert viewer.layers.selection.active is paint
    assert (str(paint.mode), paint.selected_label, paint.brush_size) == ("paint", 8, 17)
    # There is one ring, where it leads to.
    (ring,) = filter(is_ring, viewer.layers)
    assert source_of(viewer, ring) is best
    # From there the key leads back.
    QTest.keyClick(canvas, Qt.Key(ord(KEY)))
    qtbot.waitUntil(lambda: not dock.paint.next_place.is_busy, timeout=60_000)
    np.testing.assert_allclose(centre(viewer), (150, 240), atol=8)
    assert dock.paint.image.layer is worse
    (ring,) = filter(is_ring, viewer.layers)
    assert source_of(viewer, ring) is worse
    assert worse.visible
    assert paints[worse].visible
    # Everywhere once: the best place of all again.
    QTest.keyClick(canvas, Qt.Key(ord(KEY)))
    qtbot.waitUntil(lambda: not dock.paint.next_place.is_busy, timeout=60_000)
    assert "starts again" in say(dock, "next_sentence")
    assert dock.paint.image.layer is best
    step = dock.findChild(QPushButton, "unet_step_1")
    step.setChecked(False)
    press(dock.paint, qtbot)
    assert say(dock, "unet_told") == say(dock, "next_sentence") != ""
    step.setChecked(True)
    assert say(dock, "unet_told") == ""
    # Ring and map go with their image, and nothing else.
    press(dock.paint, qtbot)
    (ring,) = filter(is_ring, viewer.layers)
    gone = source_of(viewer, ring)
    add_result(viewer, gone, "uncertainty", np.zeros((200, 300), np.float32))
    kept = [each for each in viewer.layers if each not in (gone, ring) and "uncertainty" not in each.name]
    viewer.layers.remove(gone)
    qtbot.waitUntil(lambda: ring not in viewer.layers, timeout=10_000)
    assert list(viewer.layers) == kept


# With layers alone.


def test_the_annotation_layer_is_at_hand_unless_gestures_are_made(dock, viewer, qtbot):
    image = viewer.add_image(np.zeros((200, 300)))
    dock.make()
    paint = annotation_of(viewer, image)
    objects = add_result(viewer, image, "objects", np.ones((200, 300), np.int32))
    knows(dock, spots((200, 300), (50, 60), (150, 240)))
    for layer in (objects, image):
        viewer.layers.selection.active = layer
        press(dock, qtbot)
        assert viewer.layers.selection.active is paint
    corrector_of(viewer, objects).take("accepted")
    press(dock, qtbot)
    assert viewer.layers.selection.active is objects


def test_it_leads_nowhere_once_another_image_is_chosen_and_there_if_it_is_asked_again(dock, viewer, qtbot):
    first, second = (viewer.add_image(np.zeros((200, 300)), name=name) for name in ("first", "second"))
    paints = [make_annotation(viewer, image) for image in (first, second)]
    knows(dock, spots((200, 300), (50, 60)))
    paints[0].data[100:, :] = paints[1].data[100:, :] = 1
    go = dock.findChild(QPushButton, "next_go")
    turn(dock, viewer, first)
    go.click()
    turn(dock, viewer, second)
    camera = viewer.scene.camera.center
    qtbot.waitUntil(lambda: not dock.next_place.is_busy, timeout=60_000)
    assert dock.image.layer is second
    assert viewer.layers.selection.active is paints[1]
    assert (viewer.scene.camera.center, say(dock, "next_sentence")) == (camera, "")
    turn(dock, viewer, first)
    go.click()
    turn(dock, viewer, second)
    go.click()  # while it still looks for the other
    qtbot.waitUntil(lambda: any(map(is_ring, viewer.layers)), timeout=60_000)
    assert dock.image.layer is second
    assert say(dock, "next_sentence")


def test_stacks_are_copied_by_the_thread_that_compares_places(dock, viewer, qtbot, monkeypatch):
    image = viewer.add_image(discs(), name="cells")
    paint = paint_on(viewer, image)
    copied_by = []

    def complete_and_note(pixels, regions):
        copied_by.append(threading.current_thread())
        assert not np.may_share_memory(pixels, paint.data)
        return complete(pixels, regions)

    monkeypatch.setattr(next_place_run, "complete", complete_and_note)
    knows(dock, spots((64, 64), (16, 46)))
    press(dock, qtbot)
    assert copied_by
    assert threading.main_thread() not in copied_by


def test_a_painted_place_is_left_out(dock, viewer, qtbot):
    image = viewer.add_image(np.zeros((200, 300)), name="cells")
    paint = make_annotation(viewer, image)
    knows(dock, spots((200, 300), (50, 60), (150, 240)))
    paint.data[45:55, 50:70] = 2
    press(dock, qtbot)
    np.testing.assert_allclose(centre(viewer), (150, 240), atol=8)


def test_after_the_last_place_it_begins_anew_and_says_so(dock, viewer, qtbot):
    viewer.add_image(np.zeros((200, 300)), name="cells")
    dock.make()
    knows(dock, spots((200, 300), (50, 60), (150, 240)))
    told = []
    for _ in range(3):
        press(dock, qtbot)
        told.append("starts again" in say(dock, "next_sentence"))
    assert told == [False, False, True]
    np.testing.assert_allclose(centre(viewer), (50, 60), atol=8)


def test_a_stack_moves_to_the_slice_and_a_channel_axis_stays(dock, viewer, qtbot):
    image = viewer.add_image(np.zeros((2, 5, 120, 120), np.uint16), name="cells", scale=(1, 3, 1, 1))
    make_annotation(viewer, image, "first")
    viewer.dims.set_point(0, 1)
    knows(dock, spots((5, 120, 120), (3, 50, 60)))
    press(dock, qtbot)
    assert viewer.dims.point[:2] == (1, 9)
    np.testing.assert_allclose(centre(viewer), (50, 60), atol=8)


@pytest.mark.parametrize(("order", "shown"), [((1, 2, 0), (0, 1, 2)), ((0, 2, 1), (0, 2, 1))])
def test_from_its_side_a_stack_is_turned_and_a_transposed_plane_stays(dock, viewer, qtbot, order, shown):
    image = viewer.add_image(np.zeros((5, 120, 120), np.uint16), name="cells")
    make_annotation(viewer, image)
    viewer.dims.order = order
    knows(dock, spots((5, 120, 120), (3, 50, 60)))
    press(dock, qtbot)
    assert viewer.dims.order == shown
    assert viewer.dims.point[0] == 3
    np.testing.assert_allclose(sorted(centre(viewer)), (50, 60), atol=8)


def test_from_a_3d_view_it_leads_to_a_plane_that_can_be_painted_on(dock, viewer, qtbot):
    image = viewer.add_image(np.zeros((5, 1000, 1000), np.uint16), name="cells")
    make_annotation(viewer, image)
    viewer.dims.ndisplay = 3
    viewer.scene.camera.angles = (20, 30, 40)
    knows(dock, spots((5, 1000, 1000), (3, 10, 10)))
    press(dock, qtbot)
    assert viewer.dims.ndisplay == 2
    assert viewer.dims.point[0] == 3
    np.testing.assert_allclose(centre(viewer), (10, 10), atol=8)
    half = np.array(viewer.canvas.size) / viewer.scene.camera.zoom / 2
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], half)  # nothing is seen beside the image


def test_a_plane_that_is_seen_from_its_edge_beside_a_stack_is_turned(dock, viewer, qtbot):
    viewer.add_image(np.zeros((5, 120, 120), np.uint16), name="stack")
    image = viewer.add_image(np.zeros((200, 300)), name="cells")
    paint = make_annotation(viewer, image)
    viewer.dims.order = (1, 0, 2)
    show_place(viewer, image, paint, (50, 60), 20)
    assert viewer.dims.order == (0, 1, 2)
    assert viewer.scene.camera.center[-2:] == (50, 60)


def test_the_newest_model_looks_if_nobody_has(dock, viewer, qtbot, models):
    save(models, name="old", channels=3)
    save(models)
    paint_on(viewer, viewer.add_image(discs(), name="cells"))
    press(dock, qtbot)
    assert "network cannot decide" in say(dock, "next_sentence")
    image = dock.image.layer
    own = dock.next_place._onlooker.known(image)
    assert own.model == models / "model.safetensors"
    press(dock, qtbot)
    assert dock.next_place._onlooker.known(image) is own  # it looks once


def test_in_a_project_its_newest_model_looks(dock, viewer, qtbot, models):
    project_of(viewer).create(models.parent / "p")
    own = [save(models.parent / "p" / "models", name) for name in ("newest", "old")]
    os.utime(own[1], (1e9, 1e9))
    save(models, "newer, but of other images")
    paint_on(viewer, viewer.add_image(discs(), name="cells"))
    press(dock, qtbot)
    assert dock.next_place._onlooker.known(dock.image.layer).model == own[0]
    project_of(viewer).close()


def test_a_paint_dock_that_is_closed_looks_no_further(make_napari_viewer, qtbot, models):
    save(models)
    viewer = make_napari_viewer()
    dock = PaintDock(viewer)
    viewer.window.add_dock_widget(dock)
    paint_on(viewer, viewer.add_image(discs(), name="cells"))
    dock.next_place.go()
    job = dock.next_place._onlooker._job
    assert job.is_running
    viewer.window.remove_dock_widget(dock)
    assert job.control.stopped
    qtbot.waitUntil(lambda: not is_alive(dock), timeout=60_000)


def test_it_looks_at_every_image_that_suits_and_has_an_annotation_layer(
    dock, viewer, qtbot, models, monkeypatch
):
    monkeypatch.setattr(next_place, "MOST_PLANES", 1)
    save(models)
    images = [viewer.add_image(discs(seed=seed), name=f"cells {seed}") for seed in range(3)]
    colours = viewer.add_image(np.full((64, 64, 3), (9, 8, 7), np.uint8), name="colours")
    for image in (images[0], images[1], colours):
        paint_on(viewer, image)
    turn(dock, viewer, images[0])
    every = [True, True, False, False]
    for expected in ([True, False, False, False], every, every):  # one at a time
        press(dock, qtbot)
        looked = [dock.next_place._onlooker.known(image) is not None for image in (*images, colours)]
        assert looked == expected
    assert "network cannot decide" in say(dock, "next_sentence")
    viewer.layers.remove(images[0])
    assert dock.next_place._onlooker.known(images[0]) is None


def test_what_it_saw_takes_little_memory(dock, viewer, qtbot, models, monkeypatch):
    monkeypatch.setattr(next_place, "MOST_PLANES", 1)
    monkeypatch.setattr(onlooker, "_MOST_KEPT", 2 * 64 * 64 * 4)
    save(models)
    images = [viewer.add_image(discs(seed=seed), name=f"cells {seed}") for seed in range(3)]
    for image in images:
        paint_on(viewer, image)
    dock.image.choose(images[0])
    for _ in images:
        press(dock, qtbot)
    saw = [dock.next_place._onlooker.known(image) for image in images]
    assert [known is not None for known in saw] == [False, True, True]
    assert all(known.rereading.foregrounds[()].base.nbytes == 64 * 64 * 4 for known in saw[1:])


@pytest.mark.parametrize(
    ("uncertain", "turns"), [((1.0, 0.9), False), ((0.8, 1.0), False), ((0.3, 1.0), True), ((0.0, 0.4), True)]
)
def test_while_a_network_learns_it_turns_to_an_image_that_is_much_worse(
    dock, viewer, qtbot, uncertain, turns
):
    here, there = uncertain
    first, second = (viewer.add_image(np.zeros((200, 300)), name=name) for name in ("first", "second"))
    for image in (first, second):
        make_annotation(viewer, image)
    viewer.layers.selection.active = first
    dock.image.choose(first)
    sure = known(np.zeros((1, 200, 300), np.float32))  # as an older model may have been
    seen = {first: learning(here * spots((200, 300), (50, 60)))}
    asked = []

    def glance(images, then):
        asked.append(images)
        seen[second] = learning(there * spots((200, 300), (150, 240)))
        QTimer.singleShot(100, then)
        return True

    dock.next_place.use(lambda: None, lambda _image: sure, preview(seen.get, glance))
    dock.findChild(QPushButton, "next_go").click()
    assert dock.next_place.is_busy
    assert "looks around" in say(dock, "next_sentence")
    qtbot.waitUntil(lambda: not dock.next_place.is_busy, timeout=60_000)
    assert asked == [[first, second]]
    assert dock.image.layer is (second if turns else first)
    np.testing.assert_allclose(centre(viewer), (150, 240) if turns else (50, 60), atol=8)
    assert ("This is on 'second'" in say(dock, "next_sentence")) == turns


@pytest.mark.parametrize("what", ["training ended", "image removed", "stopped"])
def test_a_glance_that_comes_to_nothing_does_no_harm(dock, viewer, qtbot, what):
    images = [viewer.add_image(np.zeros((200, 300)), name=name) for name in ("first", "second")]
    for image in images:
        make_annotation(viewer, image)
    turn(dock, viewer, images[0])
    older = known(spots((200, 300), (150, 240)))
    seen, waiting = {images[0]: learning(spots((200, 300), (50, 60)))}, []
    dock.next_place.use(
        lambda: None, lambda _image: older, preview(seen.get, lambda _images, then: not waiting.append(then))
    )
    dock.findChild(QPushButton, "next_go").click()
    before = viewer.scene.camera.center
    if what == "training ended":
        seen.clear()
    elif what == "image removed":
        viewer.layers.remove(images[0])
    else:
        dock.next_place.stop()
    waiting[0]()
    qtbot.waitUntil(lambda: not dock.next_place.is_busy, timeout=60_000)
    if what == "training ended":
        np.testing.assert_allclose(centre(viewer), (150, 240), atol=8)
    else:
        assert viewer.scene.camera.center == before
        assert say(dock, "next_sentence") == ""


def test_of_a_stack_it_looks_at_some_planes(dock, viewer, qtbot, models):
    save(models)
    paint_on(viewer, viewer.add_image(discs((30, 64, 64)), name="cells"))
    viewer.dims.set_point(0, 13)
    press(dock, qtbot)
    planes = dock.next_place._onlooker.known(dock.image.layer).rereading.foregrounds
    assert (13,) in planes
    assert len(planes) == 9


def test_a_stack_is_not_copied_for_each_of_its_planes(dock, viewer, qtbot, models, monkeypatch):
    save(models)
    stack = viewer.add_image(discs((4, 64, 64)), name="stack")
    paint_on(viewer, stack)
    given, source_image = [], onlooker.source_image
    monkeypatch.setattr(
        onlooker, "source_image", lambda *wanted: given.append(source_image(*wanted)) or given[-1]
    )
    press(dock, qtbot)
    assert [source.plane for source in given] == [(0,), (1,), (2,), (3,)]
    assert all(np.shares_memory(source.image, stack.data) for source in given)


def test_without_a_model_it_goes_by_the_looks(dock, viewer, qtbot):
    image = viewer.add_image(discs(), name="cells")
    paint_on(viewer, image)
    press(dock, qtbot)
    assert "appearance alone" in say(dock, "next_sentence")
    paint = annotation_of(viewer, image)
    (ring,) = (layer for layer in viewer.layers if isinstance(layer, Points))
    assert paint.data[tuple(ring.data[0].astype(int))] == 0


def test_an_image_that_was_cropped_is_left_out_and_said_to_be_where_it_is_chosen(dock, viewer, qtbot, models):
    save(models)
    first, second = (viewer.add_image(discs(seed=seed), name=f"cells {seed}") for seed in range(2))
    for image in (first, second):
        paint_on(viewer, image)
    turn(dock, viewer, first)
    second.data = second.data[:40]
    press(dock, qtbot)
    assert "network cannot decide" in say(dock, "next_sentence")
    first.data = first.data[:40]
    press(dock, qtbot)
    assert "'cells 0 paint' was made for (64, 64)" in say(dock, "next_sentence")


def test_a_model_that_does_not_suit_is_not_asked(dock, viewer, qtbot, models):
    save(models, channels=2)
    paint_on(viewer, viewer.add_image(discs(), name="cells"))
    press(dock, qtbot)
    assert "appearance alone" in say(dock, "next_sentence")


def test_it_says_what_is_missing(dock, viewer, qtbot):
    go, box = dock.findChild(QPushButton, "next_go"), dock.findChild(QCheckBox, "next_map")
    for each in (go, box):
        assert not each.isEnabled()
        assert "Make the annotation layer first" in each.toolTip()
    image = viewer.add_image(discs(), name="cells")
    assert not go.isEnabled()
    dock.next_place.go()  # by key
    assert "Make the annotation layer first" in say(dock, "next_sentence")
    make_annotation(viewer, image)
    for each in (go, box):
        assert each.isEnabled()
        assert "Make the annotation layer" not in each.toolTip()
    press(dock, qtbot)
    assert "Paint some background and one object" in say(dock, "next_sentence")
    assert len(viewer.layers) == 2


def test_a_map_that_cannot_be_shown_is_not_ticked(dock, viewer):
    viewer.add_image(discs(), name="cells")
    dock.make()
    box = dock.findChild(QCheckBox, "next_map")
    box.setChecked(True)
    assert not box.isChecked()
    assert "train one first" in say(dock, "next_sentence")


def test_the_key_leads_whichever_layer_is_selected_and_from_the_dock_that_is_open(dock, viewer, qtbot):
    image = viewer.add_image(np.zeros((200, 300)), name="cells")
    dock.make()
    knows(dock, spots((200, 300), (50, 60), (150, 240), (60, 200)))
    result = add_result(viewer, image, "objects", np.ones((200, 300), np.int32))
    handler = KeymapHandler()
    for layer, place in ((image, (50, 60)), (result, (150, 240))):
        viewer.layers.selection.active = layer
        handler.keymap_providers = [layer, viewer]  # as napari's window has them
        handler.press_key(KEY)
        qtbot.waitUntil(lambda: not dock.next_place.is_busy, timeout=60_000)
        np.testing.assert_allclose(centre(viewer), place, atol=8)
    other = PaintDock(viewer)
    knows(other, spots((200, 300), (60, 200)))
    delete_as_qt_does(other)  # as Qt does when the dock is closed
    handler.press_key(KEY)
    qtbot.waitUntil(lambda: not dock.next_place.is_busy, timeout=60_000)
    np.testing.assert_allclose(centre(viewer), (60, 200), atol=8)


def test_where_all_is_certain_it_says_so(dock, viewer, qtbot):
    viewer.add_image(discs(), name="cells")
    dock.make()
    knows(dock, np.ones((1, 64, 64), np.float32))
    press(dock, qtbot)
    assert "certain" in say(dock, "next_sentence")


def test_the_map_shows_what_is_uncertain_and_hides(dock, viewer, qtbot):
    image = viewer.add_image(np.zeros((200, 300)), name="cells", scale=(0.5, 0.5))
    dock.make()
    knows(dock, spots((200, 300), (50, 60)))
    box = dock.findChild(QCheckBox, "next_map")
    box.setChecked(True)
    qtbot.waitUntil(lambda: "cells uncertainty" in viewer.layers, timeout=30_000)
    shown = viewer.layers["cells uncertainty"]
    np.testing.assert_array_equal(np.unique(shown.data), [0, 1])
    np.testing.assert_array_equal(shown.scale, image.scale)
    assert not any(isinstance(layer, Points) for layer in viewer.layers)
    press(dock, qtbot)
    assert viewer.layers["cells uncertainty"] is shown
    box.setChecked(False)
    assert not shown.visible
    box.setChecked(True)
    qtbot.waitUntil(lambda: shown.visible, timeout=30_000)
    viewer.layers.remove(shown)
    assert not box.isChecked()


def test_layers_that_go_meanwhile_do_no_harm(dock, viewer, qtbot, models):
    save(models)
    for gone in ("cells", "cells paint"):
        image = viewer.add_image(discs(), name="cells")
        paint_on(viewer, image)
        dock.image.choose(image)
        dock.findChild(QPushButton, "next_go").click()
        assert dock.next_place.is_busy
        viewer.layers.remove(viewer.layers[gone])
        qtbot.waitUntil(lambda: not dock.next_place.is_busy, timeout=60_000)
        assert not any(isinstance(layer, Points) for layer in viewer.layers)
        viewer.layers.clear()


def test_a_dock_that_is_gone_is_not_called_by_the_key(viewer, qtbot):
    dock = PaintDock(viewer)
    viewer.add_image(discs(), name="cells")
    dock.make()
    dock.deleteLater()
    qtbot.wait(10)
    viewer.keymap[KeyBinding.from_str(KEY)](viewer)


def test_in_the_whole_dock_a_prediction_is_asked_twice_only_of_another_model(viewer, qtbot, models):
    save(models)
    dock = UNetDock(viewer)
    qtbot.addWidget(dock)
    paint_on(viewer, viewer.add_image(discs(), name="cells"))
    dock.predict.start()
    qtbot.waitUntil(lambda: not dock.predict.is_running, timeout=60_000)
    press(dock.paint, qtbot)
    assert dock.paint.next_place._onlooker.known(dock.paint.image.layer) is None
    dock.predict.select_model(save(models, name="other"))
    press(dock.paint, qtbot)
    assert dock.paint.next_place._onlooker.known(dock.paint.image.layer).model == models / "other.safetensors"


@pytest.mark.parametrize(
    ("leading", "visible", "planes"),
    [
        ((), (), [()]),
        ((3,), (1,), [(0,), (1,), (2,)]),
        ((17,), (2,), [(z,) for z in range(0, 17, 2)]),
        ((17,), (3,), [(0,), (2,), (3,), (4,), (6,), (10,), (12,), (14,), (16,)]),
        ((2, 2), (1, 0), [(0, 0), (0, 1), (1, 0), (1, 1)]),
    ],
)
def test_the_planes_to_look_at(leading, visible, planes):
    assert planes_to_look_at(leading, visible) == planes


def test_the_names_of_classes_are_those_of_the_model(dock, viewer, qtbot):
    viewer.add_image(np.zeros((100, 100)), name="tissue")
    dock.make()
    foreground = np.zeros((2, 100, 100), np.float32)
    foreground[:, 44:56, 44:56] = 0.5
    of_all = Known(Path("m"), Rereading.of(foreground, 2), make_model(classes=3).class_names)
    dock.next_place.use(lambda: None, lambda _image: of_all, lambda: None)
    press(dock, qtbot)
    assert "between class 2 and class 3" in say(dock, "next_sentence")


def test_while_a_network_learns_it_goes_by_what_that_makes_of_the_visible_part(dock, viewer, qtbot):
    viewer.add_image(np.zeros((200, 300)), name="cells")
    dock.make()
    first = Known(None, Rereading.of(spots((200, 300), (50, 60), (150, 240)), 2), ("background", "object"))
    kept = known(np.ones((1, 200, 300), np.float32))
    seen = [first]
    dock.next_place.use(lambda: Path("model"), lambda _image: kept, preview(lambda _image: seen[0]))
    press(dock, qtbot)
    np.testing.assert_allclose(centre(viewer), (50, 60), atol=8)
    # Other probabilities every second, but the place is no new one.
    seen[0] = Known(None, Rereading.of(spots((200, 300), (50, 60), (150, 240)), 2), first.names)
    press(dock, qtbot)
    np.testing.assert_allclose(centre(viewer), (150, 240), atol=8)
    seen[0] = Known(None, Rereading.of(np.zeros((1, 200, 300), np.float32), 2), first.names)
    dock.next_place._shown.clear()
    press(dock, qtbot)
    assert "zoom out" in say(dock, "next_sentence")


def test_what_a_preview_shows_is_put_where_it_is_in_its_plane(viewer, qtbot):
    parent = QWidget()
    qtbot.addWidget(parent)
    image = viewer.add_image(np.zeros((3, 40, 60)), name="cells")
    paint = make_annotation(viewer, image)
    preview = LivePreviewLayer(
        viewer, [TrainingLayers(image, paint, image.data)], "objects", "probability", parent
    )
    assert preview.seen_of(image) is None
    view = View(image.unique_id, image.data, paint.data.shape, (1,), (slice(8, 40), slice(20, 60)), 2)
    preview.gaze.view = view
    part = np.stack([np.full((16, 20), 0.3, np.float32), np.arange(320, dtype=np.float32).reshape(16, 20)])
    preview.add(Preview(image.unique_id, (1,), (slice(8, 40), slice(20, 60)), 2, part))
    (plane, foreground), *_ = preview.seen_of(image).rereading.foregrounds.items()
    assert plane == (1,)
    assert foreground.shape == (1, 40, 60)
    assert not foreground[:, :8].any()
    assert not foreground[:, :, :20].any()
    np.testing.assert_array_equal(foreground[0, 8::2, 20::2], part[1])
    np.testing.assert_array_equal(foreground[0, 9::2, 21::2], part[1])
    preview.close()

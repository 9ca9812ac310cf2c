"""Labels that the user made or opened by himself: they teach nothing, and become paint."""

import numpy as np
import pytest
from dock_helpers import discs, paint_on, say
from napari.layers._layer_actions import _convert_to_labels
from napari.utils.notifications import notification_manager
from qtpy.QtWidgets import QLabel, QPushButton

from napari_unet.widgets.bridge.layers import add_error_map
from napari_unet.widgets.bridge.marks import known_full_of, set_mode
from napari_unet.widgets.paint import PaintDock


@pytest.fixture
def image(viewer):
    return viewer.add_image(discs(), name="cells")


@pytest.fixture
def dock(viewer, qtbot, image):
    dock = PaintDock(viewer)
    qtbot.addWidget(dock)
    return dock


@pytest.fixture
def own(viewer, dock):
    """Labels as napari's own button makes them, of few bits; on them a 1, a 2 and a 7."""
    pixels = np.zeros((64, 64), np.uint8)
    pixels[:2], pixels[10:20, 10:20], pixels[40:50, 40:50] = 1, 2, 7
    return viewer.add_labels(pixels, name="mine")


def take(dock, which):
    dock.findChild(QPushButton, f"paint_own_{which}").click()


def test_that_they_teach_nothing_is_said_while_they_are_selected(dock, own, viewer, image, qtbot):
    assert "'mine' teaches nothing" in say(dock, "paint_own")
    for elsewhere in (image, None):
        viewer.layers.selection.active = elsewhere
        assert not dock.findChild(QPushButton, "paint_own_strokes").isVisibleTo(dock)
    paint_on(viewer, image)
    assert viewer.layers.selection.active is dock.annotation
    strokes = dock.findChild(QPushButton, "paint_own_strokes")
    qtbot.waitUntil(lambda: not strokes.isVisibleTo(dock), timeout=5000)
    viewer.layers.selection.active = own
    for seen in (True, False, True):
        own.visible = seen
        assert dock.findChild(QPushButton, "paint_own_strokes").isVisibleTo(dock) is seen
    viewer.layers.remove(own)
    assert not dock.findChild(QPushButton, "paint_own_strokes").isVisibleTo(dock)


def test_they_are_spoken_of_until_something_is_painted(dock, own, viewer, qtbot):
    strokes = dock.findChild(QPushButton, "paint_own_strokes")
    smaller = viewer.add_labels(np.ones((9, 9), int), name="smaller")
    empty = viewer.add_labels(np.zeros((64, 64), int), name="empty")
    dock.make()
    assert "'mine' teaches nothing" in say(dock, "paint_own")
    assert strokes.isVisibleTo(dock)
    dock.annotation.paint((30, 30), 2)
    qtbot.waitUntil(lambda: not strokes.isVisibleTo(dock), timeout=5000)
    dock.annotation.undo()
    qtbot.waitUntil(lambda: strokes.isVisibleTo(dock), timeout=5000)
    take(dock, "strokes")
    np.testing.assert_array_equal(dock.annotation.data, own.data)
    assert not own.visible
    qtbot.waitUntil(lambda: not strokes.isVisibleTo(dock), timeout=5000)
    assert smaller.visible
    assert empty.visible


def test_strokes_keep_their_meaning(dock, own, viewer):
    before = own.data.copy()
    take(dock, "strokes")
    paint = dock.annotation
    assert viewer.layers.selection.active is paint
    np.testing.assert_array_equal(paint.data, own.data)
    assert known_full_of(paint).accepted == frozenset()
    np.testing.assert_array_equal(own.data, before)
    assert not own.visible
    assert notification_manager.records[-1].message.startswith("Took background and 2 objects of 'mine'")
    paint.undo()
    assert not paint.data.any()


def test_strokes_on_objects_begin_with_1_as_napari_does(dock, own):
    take(dock, "objects")
    paint = dock.annotation
    np.testing.assert_array_equal(paint.data, np.where(own.data > 0, own.data.astype(int) + 1, 0))
    assert known_full_of(paint).accepted == frozenset()
    assert notification_manager.records[-1].message.startswith("Took 3 objects of 'mine'")


def test_of_finished_labels_all_is_known(dock, own):
    take(dock, "labels")
    paint = dock.annotation
    np.testing.assert_array_equal(paint.data, own.data.astype(int) + 1)
    assert {value for value, _ in known_full_of(paint).accepted} == {2, 3, 8}


def test_what_is_painted_already_stays_and_no_two_objects_share_a_number(dock, own, viewer, image):
    paint = paint_on(viewer, image)  # 2 and 3
    painted = paint.data.copy()
    viewer.layers.selection.active = own
    take(dock, "strokes")
    elsewhere = own.data == 0
    np.testing.assert_array_equal(paint.data[elsewhere], painted[elsewhere])
    assert (paint.data[:2] == 1).all()
    (second,) = np.unique(paint.data[own.data == 2])
    (seventh,) = np.unique(paint.data[own.data == 7])
    assert second not in (0, 1, 2, 3, 7)
    assert seventh == 7
    paint.undo()
    np.testing.assert_array_equal(paint.data, painted)


def test_classes_keep_their_numbers(dock, own, viewer, image):
    paint = paint_on(viewer, image)
    set_mode(paint, "classes")
    viewer.layers.selection.active = own
    take(dock, "labels")
    np.testing.assert_array_equal(paint.data, own.data.astype(int) + 1)
    assert known_full_of(paint).accepted == frozenset()


def test_what_cannot_become_paint_is_a_sentence(dock, viewer):
    viewer.add_labels(np.zeros((30, 64), int), name="other")
    assert "it has shape (30, 64) and the pixels of 'cells' have (64, 64)" in say(dock, "paint_own")
    assert not dock.findChild(QPushButton, "paint_own_strokes").isVisibleTo(dock)
    viewer.add_labels(np.zeros((64, 64), int), name="new")
    take(dock, "strokes")
    assert say(dock, "paint_own").startswith("Nothing is on 'new' yet")
    assert dock.annotation is None


def test_numbers_beyond_those_of_the_paint_are_told(dock, viewer, image):
    saved = viewer.add_labels(np.ones((64, 64), np.uint8), name="cells paint")
    dock.make()
    assert dock.annotation is saved
    viewer.add_labels(np.full((64, 64), 300), name="many")
    take(dock, "strokes")
    assert "up to 300, and paint of type uint8 none above 255" in say(dock, "paint_own")
    assert (saved.data == 1).all()


def test_maps_of_errors_are_no_labels_and_paint_of_an_image_that_is_gone_is(dock, viewer, image, own):
    add_error_map(viewer, own, np.ones((64, 64), np.uint8))
    viewer.layers.selection.active = viewer.layers[-1]
    strokes = dock.findChild(QPushButton, "paint_own_strokes")
    assert not strokes.isVisibleTo(dock)
    other = viewer.add_image(discs(), name="other")
    paint = paint_on(viewer, other)
    assert not strokes.isVisibleTo(dock)
    viewer.layers.remove(other)
    viewer.layers.selection.active = paint
    assert strokes.isVisibleTo(dock)
    gone = "'other paint' teaches nothing while its image is not in the window: open that again"
    assert say(dock, "paint_own") == f"{gone}, or copy it into the paint of 'cells':"
    take(dock, "strokes")
    np.testing.assert_array_equal(dock.annotation.data, paint.data)
    viewer.layers.remove(image)
    viewer.add_image(discs((32, 64)), name="smaller")
    paint.visible = True
    viewer.layers.selection.active = paint
    assert say(dock, "paint_own") == f"{gone}."
    assert not strokes.isVisibleTo(dock)


@pytest.mark.parametrize("which", ["strokes", "labels"])
def test_labels_of_one_plane_go_into_the_plane_that_is_seen(viewer, qtbot, which):
    stack = viewer.add_image(np.zeros((5, 64, 64)), name="stack")
    dock = PaintDock(viewer)
    qtbot.addWidget(dock)
    paint = paint_on(viewer, stack)  # 2 and 3, on the first plane
    viewer.dims.set_point(0, 3)
    pixels = np.zeros((64, 64), int)
    pixels[10:20, 10:20] = 2
    viewer.add_labels(pixels, name="mine")
    assert "of the plane you see" in say(dock, "paint_own")
    before = paint.data.copy()
    take(dock, which)
    np.testing.assert_array_equal(np.delete(paint.data, 3, axis=0), np.delete(before, 3, axis=0))
    background, number = paint.data[3, 0, 0], paint.data[3, 15, 15]
    assert (background, number) == ((0, 4) if which == "strokes" else (1, 4))
    np.testing.assert_array_equal(paint.data[3] == 4, pixels == 2)
    paint.undo()
    np.testing.assert_array_equal(paint.data, before)


def test_channels_are_left_out(viewer, qtbot):
    viewer.add_image(np.zeros((3, 64, 64)), name="stains")
    dock = PaintDock(viewer)
    qtbot.addWidget(dock)
    viewer.add_labels(np.ones((64, 64), int), name="mine")
    assert "Make one first" in say(dock, "paint_own")
    assert not dock.findChild(QPushButton, "paint_own_strokes").isVisibleTo(dock)
    dock.channels.setCurrentIndex(dock.channels.findData("first"))
    take(dock, "strokes")
    assert (dock.annotation.data == 1).all()


def test_labels_that_were_opened_as_an_image_are_told(dock, viewer, image):
    """As napari opens the masks of other programs, which have 16 bits."""
    masks = np.zeros((64, 64), np.uint16)
    masks[10:20, 10:20], masks[40:50, 40:50] = 1, 2
    layer = viewer.add_image(masks, name="masks", projection_mode="none")
    assert "'masks' looks like labels" in say(dock, "paint_own")
    assert "Convert to Labels" in say(dock, "paint_own")
    assert not dock.findChild(QPushButton, "paint_own_labels").isVisibleTo(dock)
    viewer.layers.selection.active = image
    assert not dock.findChild(QLabel, "paint_own").isVisibleTo(dock)
    viewer.add_image(np.stack([masks, masks * 9, masks], axis=-1).astype(np.uint8), name="colours", rgb=True)
    assert "labels in colours" in say(dock, "paint_own")
    viewer.layers.selection.active = layer
    _convert_to_labels(viewer.layers)
    assert dock.findChild(QPushButton, "paint_own_labels").isVisibleTo(dock)
    take(dock, "labels")
    assert np.unique(dock.annotation.data).tolist() == [1, 2, 3]


def test_of_a_mask_every_piece_becomes_an_object(dock, viewer):
    mask = np.zeros((64, 64), np.uint8)
    mask[5:9, 5:9], mask[20:30, 20:30], mask[20:30, 40:50], mask[40:44, 40:44] = 255, 255, 255, 255
    viewer.add_labels(mask, name="mask")
    take(dock, "labels")
    paint = dock.annotation
    told = notification_manager.records
    assert "background and 4 objects (the separate pieces of a mask" in told[-1].message
    assert len({paint.data[7, 7], paint.data[25, 25], paint.data[25, 45], paint.data[42, 42]}) == 4
    assert {value for value, _ in known_full_of(paint).accepted} == set(np.unique(paint.data)) - {1}
    set_mode(paint, "classes")
    other = viewer.add_labels(mask, name="kind")
    viewer.layers.selection.active = other
    take(dock, "labels")
    assert "background and 1 class of" in told[-1].message


def test_labels_are_copied_to_the_image_that_they_are_named_after(dock, viewer, image):
    other = viewer.add_image(discs(), name="other")
    for name, of in (("cells_cp_masks", image), ("other [1]", other), ("cells", image)):
        labels = viewer.add_labels(np.eye(64, dtype=int), name=name)
        assert dock.image.layer is of
        assert f"paint of '{of.name}'" in say(dock, "paint_own")
        labels.visible = False
    viewer.layers.selection.active = viewer.layers[
        "other [1]"
    ]  # as when an image that covered others is hidden
    assert dock.image.layer is other
    assert "'other [1]' is hidden; show it" in say(dock, "paint_own")
    assert not dock.findChild(QPushButton, "paint_own_labels").isVisibleTo(dock)
    viewer.layers["other [1]"].visible = True
    assert dock.findChild(QPushButton, "paint_own_labels").isVisibleTo(dock)
    viewer.layers["other [1]"].visible = False
    dock.image.choose(other)
    viewer.add_labels(np.eye(64, dtype=int), name="cells (truth)", visible=False)  # of a sample
    assert not dock.findChild(QLabel, "paint_own").isVisibleTo(dock)
    viewer.add_labels(np.eye(64, dtype=int), name="mine")
    assert dock.image.layer is other
    dock.image.choose(image)  # as the user says
    assert "paint of 'cells'" in say(dock, "paint_own")

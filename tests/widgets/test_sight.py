"""Several images that lie on one another: which of them is seen and painted on."""

import numpy as np
import pytest
import zarr
from dock_helpers import discs, paint_on, save, tiny_training
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QPushButton

from napari_unet.widgets.bridge.layers import add_result, make_annotation
from napari_unet.widgets.bridge.sight import bring_up, lay_on, select_image
from napari_unet.widgets.guiding.place_view import is_ring, show_place
from napari_unet.widgets.paint import PaintDock
from napari_unet.widgets.painting.channel_layers import combine
from napari_unet.widgets.parts.form import LayerChooser
from napari_unet.widgets.predict import PredictDock
from napari_unet.widgets.predicting.stored_results import show_stored
from napari_unet.widgets.train import TrainDock
from napari_unet.widgets.unet import UNetDock


@pytest.fixture
def low(viewer):
    return viewer.add_image(np.zeros((20, 30)), name="low")


def add_high(viewer, **how):
    return viewer.add_image(np.zeros((30, 20)), name="high", **how)


def test_an_image_is_brought_up_with_all_that_was_seen_on_it(viewer, low):
    high = add_high(viewer)
    paint = make_annotation(viewer, high)
    objects, hidden = (add_result(viewer, high, kind, paint.data.copy()) for kind in ("objects", "classes"))
    hidden.visible = False
    weights = add_result(viewer, high, "weights", np.zeros((30, 20), np.float32))
    layers = (low, high, paint, objects, hidden)
    assert bring_up(viewer, low) == "'high', which lay over it, is hidden."
    assert [layer.visible for layer in layers] == [True, False, False, False, False]
    assert bring_up(viewer, low) == ""
    assert bring_up(viewer, high) == ""  # the other lies below
    assert [layer.visible for layer in layers] == [True, True, True, True, False]
    assert not weights.visible  # the dock that made it shows it, if it is to be seen
    paint.visible = False  # as it is found in a project that was closed while another image was up
    bring_up(viewer, high)
    assert paint.visible


def test_what_belongs_to_an_image_is_laid_on_it(viewer, low):
    paint = make_annotation(viewer, low)
    objects = add_result(viewer, low, "objects", paint.data.copy())
    other = viewer.add_labels(paint.data)
    viewer.layers.move(0, 4)
    assert list(viewer.layers) == [objects, paint, other, low]
    low.opacity = 0.5
    bring_up(viewer, low)
    assert list(viewer.layers) == [objects, paint, other, low]  # they are seen through it
    low.opacity = 1
    bring_up(viewer, low)
    assert list(viewer.layers) == [other, low, objects, paint]


@pytest.mark.parametrize(
    ("where", "zoom", "moves"),
    [
        ((10, 15), 20, False),  # a part of it is seen
        ((500, 15), 5, True),
        ((10, -500), 5, True),
        ((10, 15), 0.1, True),  # too small to be seen
    ],
)
def test_an_image_that_is_chosen_comes_into_view(viewer, low, where, zoom, moves):
    add_high(viewer, translate=(300, 0))
    viewer.scene.camera.center, viewer.scene.camera.zoom = where, zoom
    select_image(viewer, low)
    assert tuple(viewer.scene.camera.center[-2:]) == ((9.5, 14.5) if moves else where)
    if not moves:
        assert viewer.scene.camera.zoom == zoom
        return
    fills = np.array(low.data.shape) * viewer.scene.camera.zoom / viewer.canvas.size
    assert fills.max() == pytest.approx(0.95, rel=0.1)


def test_an_image_of_a_stack_comes_into_view_and_what_is_seen_otherwise_stays(viewer, low):
    stack = viewer.add_image(np.zeros((5, 20, 30)), scale=(1, 2, 2), translate=(0, 900, 0))
    viewer.scene.camera.center = (10, 15)
    viewer.dims.ndisplay = 3
    before = viewer.scene.camera.center
    select_image(viewer, stack)
    assert viewer.scene.camera.center == before
    viewer.dims.ndisplay = 2
    viewer.dims.order = (1, 0, 2)  # where the single plane is seen from its edge
    before = viewer.scene.camera.center
    select_image(viewer, low)
    assert viewer.scene.camera.center == before
    viewer.dims.order = (0, 1, 2)
    viewer.scene.camera.center, viewer.scene.camera.zoom = (10, 15), 10
    select_image(viewer, stack)
    assert tuple(viewer.scene.camera.center[-2:]) == (919, 29)


def test_a_ring_beside_the_image_that_is_brought_up_goes_with_its_own(viewer, low):
    high = viewer.add_image(np.zeros((300, 200)))
    paint = make_annotation(viewer, high)
    show_place(viewer, high, paint, (200, 100), 20)
    (ring,) = filter(is_ring, viewer.layers)
    bring_up(viewer, low)
    assert not ring.visible
    bring_up(viewer, high)
    assert ring.visible


def test_many_that_lay_over_it_are_counted(viewer, low):
    for _ in range(4):
        add_high(viewer)
    assert bring_up(viewer, low) == "4 images, which lay over it, are hidden."


@pytest.mark.parametrize(
    "how",
    [{"blending": "additive"}, {"opacity": 0.5}, {"translate": (0, 40)}, {"visible": False}],
    ids=lambda how: next(iter(how)),
)
def test_what_does_not_hide_the_image_stays_as_it_is(viewer, low, how):
    high = add_high(viewer, **how)
    paint = make_annotation(viewer, high)
    paint.visible = how != {"visible": False}
    before = [layer.visible for layer in viewer.layers]
    assert bring_up(viewer, low) == ""
    assert [layer.visible for layer in viewer.layers] == before


def test_the_channels_of_other_pictures_are_hidden_with_these(viewer):
    pictures = [
        viewer.add_image(np.zeros((2, 20, 30)), channel_axis=0, name=["nuclei", "marker"]) for _ in range(3)
    ]
    (first, first_marker), (second, second_marker), _ = pictures
    objects = add_result(viewer, second_marker, "objects", np.zeros((20, 30), np.int32))

    def seen():
        return [layer.visible for picture in pictures for layer in picture]

    assert bring_up(viewer, first) == "'nuclei [1]' and 'nuclei [2]', which lay over it, are hidden."
    assert (seen(), objects.visible) == ([True] * 2 + [False] * 4, False)
    bring_up(viewer, second)
    assert (seen(), objects.visible) == ([True] * 4 + [False] * 2, False)
    bring_up(viewer, second_marker)
    assert objects.visible
    first_marker.visible = False  # by hand, so it stays
    bring_up(viewer, first)
    assert seen() == [True] + [False] * 5
    bring_up(viewer, second_marker)  # which is seen on its nuclei
    assert seen() == [True, False, True, True, False, False]


def test_images_made_of_channels_are_seen_by_these(viewer):
    pictures = [viewer.add_image(np.zeros((2, 20, 30)), channel_axis=0) for _ in range(2)]
    made = [combine(picture) for picture in pictures]
    viewer.layers.insert(2, made[0])
    viewer.layers.append(made[1])
    paints = [make_annotation(viewer, image) for image in made]

    def seen():
        layers = [
            (image, *picture, paint) for image, picture, paint in zip(made, pictures, paints, strict=True)
        ]
        return [[layer.visible for layer in group] for group in layers]

    bring_up(viewer, made[0])
    assert seen() == [[True] * 4, [False] * 4]
    bring_up(viewer, made[1])
    assert seen()[1] == [True] * 4
    assert not paints[0].visible  # which lies on top, and would be taken for paint of this one


def test_in_a_grid_all_images_are_seen(viewer, low):
    high = add_high(viewer)
    viewer.canvas.grid.enabled = True
    assert bring_up(viewer, low) == ""
    assert high.visible


@pytest.mark.parametrize(("blending", "place"), [("translucent", 1), ("additive", 2)])
def test_a_result_lies_on_its_image_below_those_that_hide_it(viewer, low, blending, place):
    add_high(viewer, blending=blending)
    objects = add_result(viewer, low, "objects", np.zeros((20, 30), np.int32))
    lay_on(viewer, low, objects)
    assert viewer.layers.index(objects) == place
    lay_on(viewer, low, objects)
    assert viewer.layers.index(objects) == place


def test_results_on_disk_lie_on_their_image_and_come_up_with_it(viewer, low, tmp_path):
    zarr.create_group(tmp_path).create_array("0", data=np.ones((20, 30), np.int32))
    high = add_high(viewer)
    (seen,) = show_stored(viewer, low, "none", {"objects": tmp_path}).values()
    assert list(viewer.layers) == [low, seen, high]
    assert seen.visible
    (hidden,) = show_stored(viewer, low, "none", {"objects": tmp_path}, shows=False).values()
    assert list(viewer.layers) == [low, hidden, high]  # in the place of the earlier one
    assert not hidden.visible
    bring_up(viewer, low)
    assert hidden.visible


def test_who_chooses_an_image_sees_and_paints_on_it(viewer, low, qtbot):
    high = add_high(viewer)
    dock = PaintDock(viewer)
    qtbot.addWidget(dock)
    viewer.layers.selection.active = low
    qtbot.waitUntil(lambda: dock.image.layer is low)
    assert high.visible
    dock.make()
    assert not high.visible  # or its pixels would be painted for those of the other
    paint = dock.annotation
    QTest.keyClick(dock.image, Qt.Key.Key_Up)
    assert dock.image.layer is high
    assert high.visible
    assert viewer.layers.selection.active is high
    QTest.keyClick(dock.image, Qt.Key.Key_Down)
    assert not high.visible
    assert viewer.layers.selection.active is paint


def test_what_is_made_of_an_image_is_not_hidden_by_another_one(viewer, qtbot, models, monkeypatch):
    tiny_training(monkeypatch)
    save(models)
    low = viewer.add_image(discs(), name="low")
    paint = paint_on(viewer, low)
    predict, train = PredictDock(viewer), TrainDock(viewer)
    for dock, chooser in ((predict, predict.image), (train, train.form.image)):
        qtbot.addWidget(dock)
        high = viewer.add_image(discs(), name="high")
        viewer.layers.selection.active = paint
        paint.mode = "paint"
        chooser.choose(low)
        dock.start()
        assert not high.visible
        assert low.visible
        assert paint.mode == "paint"  # with which one goes on meanwhile
        qtbot.waitUntil(lambda dock=dock: not dock.is_running, timeout=60_000)
        low.visible, high.visible = False, True  # who hides the image looks at others
        dock.start()
        assert high.visible
        assert not low.visible
        qtbot.waitUntil(lambda dock=dock: not dock.is_running, timeout=60_000)
        low.visible = True


@pytest.mark.parametrize(("kind", "name"), [(TrainDock, "train_image"), (PredictDock, "predict_image")])
def test_a_dock_on_its_own_turns_to_the_image_of_the_layer_that_is_selected(viewer, low, kind, name, qtbot):
    high = add_high(viewer)
    paint = make_annotation(viewer, low)
    viewer.layers.selection.active = paint
    dock = kind(viewer)
    qtbot.addWidget(dock)
    chooser = dock.findChild(LayerChooser, name)
    assert chooser.layer is low
    for layer, image in ((high, high), (paint, low)):
        viewer.layers.selection.active = layer
        qtbot.waitUntil(lambda image=image: chooser.layer is image, timeout=5000)
    newest = viewer.add_image(np.zeros((9, 9)))
    qtbot.waitUntil(lambda: chooser.layer is newest, timeout=5000)
    chooser.parentWidget().setEnabled(False)  # as while it computes
    viewer.layers.selection.active = low
    qtbot.wait(50)
    assert chooser.layer is newest


def test_another_channel_of_a_painted_picture_does_not_turn_the_dock_away(viewer, qtbot):
    pixels = np.zeros((2, 64, 64))
    nuclei, membranes = viewer.add_image(pixels, channel_axis=0, name=["nuclei", "membranes"])
    dock = UNetDock(viewer)
    qtbot.addWidget(dock)
    chooser = dock.paint.image

    def select(layer):
        viewer.layers.selection.active = layer
        qtbot.wait(50)
        return chooser.layer

    assert [select(layer) for layer in (membranes, nuclei)] == [membranes, nuclei]  # nothing is painted yet
    paint = make_annotation(viewer, nuclei)
    assert select(paint) is nuclei
    assert select(membranes) is nuclei
    chooser.setCurrentIndex(chooser.findText("membranes"))
    chooser.activated.emit(chooser.currentIndex())
    assert select(membranes) is membranes  # where the user says so in the dock
    other = make_annotation(viewer, membranes)
    assert [select(layer) for layer in (paint, membranes)] == [nuclei, membranes]
    viewer.layers.remove(other)
    dock.findChild(QPushButton, "paint_combine").click()
    both = chooser.layer
    assert both.name == "nuclei + membranes"
    viewer.layers.remove(paint)
    assert select(membranes) is both


def test_several_images_stay_chosen_and_steps_of_a_larger_dock_turn_with_it(viewer, low, qtbot):
    dock, step = PredictDock(viewer), PredictDock(viewer, scrollable=False)
    for each in (dock, step):
        qtbot.addWidget(each)
    dock.image.setCurrentText("All images")
    add_high(viewer)
    qtbot.wait(50)
    assert dock.image.several == "all"
    assert step.image.layer is low

"""Complete regions, drawn with the mouse in a real window."""

import threading

import numpy as np
from mouse import Hand
from qtpy.QtWidgets import QLabel, QPushButton

from napari_unet.core.weights import border_weights
from napari_unet.widgets.bridge.layers import (
    add_result,
    annotation_of,
    copy_paint,
    has_paint,
    make_annotation,
    update_plane,
)
from napari_unet.widgets.bridge.marks import known_full_of
from napari_unet.widgets.correcting.corrector import corrector_of
from napari_unet.widgets.paint import PaintDock
from napari_unet.widgets.painting import regions
from napari_unet.widgets.painting.regions import regions_layer, take_region_tool
from napari_unet.widgets.training.paint_tally import ImagePaint, describe_paint
from napari_unet.widgets.weights import WeightsDock


def add_image(viewer, shape=(60, 80), **arguments):
    return viewer.add_image(np.zeros(shape, np.uint8), name="cells", **arguments)


def boxed(paint, first, last, plane=()):
    """What is to become background: the unlabelled pixels of a box, its last row and column included."""
    expected = paint.data.copy()
    box = expected[plane][first[0] : last[0] + 1, first[1] : last[1] + 1]
    box[box == 0] = 1
    return expected


def test_predicted_objects_that_a_region_makes_background_are_told_until_accepted(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    image = add_image(viewer)
    objects = np.zeros((60, 80), np.int32)
    objects[12:18, 12:18], objects[22:28, 30:40], objects[50:58, 60:70] = 1, 2, 3
    result = add_result(viewer, image, "objects", objects)
    dock = PaintDock(viewer)
    viewer.window.add_dock_widget(dock)
    dock.make()
    dock.findChild(QPushButton, "paint_region_box").click()
    Hand(viewer).drag([(9.6, 9.6), (40.4, 50.4)])
    sentence = dock.findChild(QLabel, "paint_regions")
    qtbot.waitUntil(lambda: "2 predicted objects there are not accepted and so learnt" in sentence.text())
    accept = corrector_of(viewer, result).stroke
    accept("accepted", np.array([(15.0, 15.0)]), (0, 1))
    qtbot.waitUntil(lambda: "1 predicted object there is not accepted" in sentence.text())
    accept("accepted", np.array([(25.0, 35.0)]), (0, 1))
    qtbot.waitUntil(lambda: "predicted" not in sentence.text())
    assert sentence.text().startswith("1 complete region:")


def test_what_a_region_says_follows_predictions_and_strokes(viewer, qtbot):
    image = add_image(viewer)
    dock = PaintDock(viewer)
    qtbot.addWidget(dock)
    dock.make()
    layer = take_region_tool(viewer, dock.annotation, "rectangle")
    layer.add(np.array([(10, 10), (10, 50), (40, 50), (40, 10)]), shape_type="rectangle")
    sentence = dock.findChild(QLabel, "paint_regions")
    assert "predicted" not in sentence.text()
    objects = np.zeros((60, 80), np.int32)
    objects[12:18, 12:18], objects[22:28, 30:40] = 1, 2
    add_result(viewer, image, "objects", objects)
    qtbot.waitUntil(lambda: "2 predicted objects there are not accepted" in sentence.text())
    dock.annotation.data_setitem(tuple(np.mgrid[12:18, 12:18].reshape(2, -1)), 2)
    qtbot.waitUntil(lambda: "1 predicted object there is not accepted" in sentence.text())
    result = add_result(viewer, image, "objects", np.where(objects == 1, 1, 0).astype(np.int32))
    qtbot.waitUntil(lambda: "predicted" not in sentence.text())
    update_plane(result, (), objects)  # as with other settings
    qtbot.waitUntil(lambda: "1 predicted object there is not accepted" in sentence.text())
    result.data_setitem(np.nonzero(objects == 2), 0)
    qtbot.waitUntil(lambda: "predicted" not in sentence.text())


def test_regions_say_nothing_of_paint_that_was_deleted_while_their_objects_were_counted(
    viewer, qtbot, monkeypatch
):
    image = add_image(viewer)
    dock = PaintDock(viewer)
    qtbot.addWidget(dock)
    dock.make()
    add_result(viewer, image, "objects", np.ones((60, 80), np.int32))
    began, went_on, may_go_on = threading.Event(), threading.Event(), threading.Event()

    def count_late(*_given):
        began.set()
        may_go_on.wait(10)
        went_on.set()
        return 1

    monkeypatch.setattr(regions, "overlooked", count_late)
    layer = take_region_tool(viewer, dock.annotation, "rectangle")
    layer.add(np.array([(10, 10), (10, 50), (40, 50), (40, 10)]), shape_type="rectangle")
    qtbot.waitUntil(began.is_set, timeout=10_000)
    viewer.layers.remove(dock.annotation)
    may_go_on.set()
    assert went_on.wait(10)
    qtbot.wait(300)
    assert dock.findChild(QLabel, "paint_regions").text() == ""


def test_a_box_drawn_with_the_mouse_makes_the_rest_background(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    image = add_image(viewer, scale=(2, 2), translate=(7, -3))
    dock = PaintDock(viewer)
    viewer.window.add_dock_widget(dock)
    button = dock.findChild(QPushButton, "paint_region_box")
    assert not button.isEnabled()
    dock.make()
    paint = dock.annotation
    paint.data[20:24, 20:24] = 5
    paint.data[30, 70:79] = 6
    paint.refresh()
    button.click()
    layer = regions_layer(viewer, paint)
    assert (layer.name, layer.mode) == ("cells complete regions", "add_rectangle")
    assert viewer.layers.selection.active is layer
    assert viewer.layers.index(layer) < viewer.layers.index(paint)
    hand = Hand(viewer)
    world = 2 * np.array([(9.6, 9.6), (40.4, 50.4)]) + (7, -3)
    hand.drag(world)
    assert len(layer.data) == 1
    assert np.array_equal(copy_paint(paint), boxed(paint, (10, 10), (40, 50)))
    assert known_full_of(paint).within(paint.data) == {5}
    assert "1 complete region:" in dock.findChild(QLabel, "paint_regions").text()
    background = 31 * 41 - 16
    qtbot.waitUntil(lambda: f"background {background:,} px" in dock.summary.text(), timeout=10_000)
    layer.selected_data = {0}
    layer.remove_selected()
    assert np.array_equal(copy_paint(paint), paint.data)
    assert known_full_of(paint).within(paint.data) is False
    assert dock.findChild(QLabel, "paint_regions").text() == ""
    assert image in viewer.layers


def test_a_shape_that_does_not_count_is_told_as_soon_as_it_is_drawn(viewer, qtbot):
    dock = PaintDock(viewer)
    qtbot.addWidget(dock)
    add_image(viewer, (5, 60, 80))
    dock.make()
    dock.findChild(QPushButton, "paint_region_box").click()
    layer = regions_layer(viewer, dock.annotation)
    told = dock.findChild(QLabel, "paint_regions")
    across = np.array([(0, 10, 10), (4, 10, 10), (4, 10, 40), (0, 10, 40)])
    layer.add_rectangles(across)  # in a view from the side
    assert "1 shape encloses no pixels of one plane" in told.text()
    layer.add_rectangles(np.array([(2, 10, 10), (2, 30, 10), (2, 30, 40), (2, 10, 40)]))
    assert told.text().startswith("1 complete region:")
    layer.selected_data = {0}
    layer.remove_selected()
    assert "encloses no pixels" not in told.text()
    viewer.layers.remove(layer)
    assert told.text() == ""


def test_a_polygon_drawn_with_the_mouse_counts_when_it_is_finished(make_napari_viewer):
    viewer = make_napari_viewer()
    add_image(viewer)
    paint = make_annotation(viewer, viewer.layers["cells"])
    layer = take_region_tool(viewer, paint, "polygon")
    hand = Hand(viewer)
    for place in ((10.3, 10.3), (10.3, 40.3), (40.3, 40.3)):
        hand.click(place)
        hand.hover(place)
    assert known_full_of(paint).regions == ()
    hand.press("Escape")
    assert len(layer.data) == 1
    completed = copy_paint(paint)
    y, x = np.indices(paint.data.shape)
    expected = (y > 10.3) & (x < 40.3) & (x > y)
    near = np.abs(x - y) < 2  # the mouse moves in pixels of the screen
    assert np.array_equal((completed == 1) | near, expected | near)


def test_the_region_holds_for_the_slice_it_was_drawn_on(make_napari_viewer):
    viewer = make_napari_viewer()
    add_image(viewer, (4, 60, 80), scale=(3, 1, 1))
    paint = make_annotation(viewer, viewer.layers["cells"])
    take_region_tool(viewer, paint, "rectangle")
    viewer.dims.set_current_step(0, 2)
    Hand(viewer).drag([(9.6, 9.6), (40.4, 50.4)])
    assert np.array_equal(copy_paint(paint), boxed(paint, (10, 10), (40, 50), (2,)))


SQUARE = np.array([(9.6, 9.6), (9.6, 20.4), (20.4, 20.4), (20.4, 9.6)])


def test_the_regions_go_with_their_layer_and_come_to_a_new_annotation_layer(viewer):
    image = add_image(viewer)
    paint = make_annotation(viewer, image)
    assert not has_paint(paint)
    layer = take_region_tool(viewer, paint, "rectangle")
    layer.add_rectangles(SQUARE)
    assert has_paint(paint)
    viewer.layers.remove(paint)
    paint = make_annotation(viewer, image)
    assert np.array_equal(copy_paint(paint), boxed(paint, (10, 10), (20, 20)))
    viewer.layers.remove(layer)
    assert not has_paint(paint)
    layer.add_rectangles(SQUARE + 5)  # nobody listens any more
    assert not has_paint(annotation_of(viewer, image))
    again = take_region_tool(viewer, paint, "rectangle")
    assert again is not layer


def test_regions_that_are_moved_enclose_what_is_there(viewer, qtbot):
    image = add_image(viewer)
    dock = PaintDock(viewer)
    qtbot.addWidget(dock)
    dock.make()
    paint = dock.annotation
    layer = take_region_tool(viewer, paint, "rectangle")
    layer.add_rectangles(SQUARE)
    layer.affine = np.array([(1.0, 0, 5), (0, 1, 7), (0, 0, 1)])  # as the tool of napari does it
    assert np.array_equal(copy_paint(paint), boxed(paint, (15, 17), (25, 27)))
    layer.affine = np.eye(3)
    layer.translate = (30, 0)
    assert np.array_equal(copy_paint(paint), boxed(paint, (40, 10), (50, 20)))
    layer.translate = (0, 0)
    image.translate = (100, 50)  # and paint and regions with it
    assert tuple(layer.translate) == (100, 50)
    assert np.array_equal(copy_paint(paint), boxed(paint, (10, 10), (20, 20)))
    layer.translate = (130, 50)  # by itself, where it stays
    image.translate = (100, 60)
    assert tuple(layer.translate) == (130, 50)
    assert tuple(paint.translate) == (100, 60)


def test_saved_regions_that_are_opened_again_count_once_they_are_selected(viewer, qtbot):
    add_image(viewer)
    dock = PaintDock(viewer)
    qtbot.addWidget(dock)
    dock.make()
    paint = dock.annotation
    other = viewer.add_shapes([SQUARE], name="mine")
    sentence = dock.findChild(QLabel, "paint_regions")
    assert sentence.text() == ""
    opened = viewer.add_shapes([SQUARE], name="cells complete regions")
    told = "The shapes in 'cells complete regions' do not count yet; press Box or Polygon to take them."
    assert sentence.text() == told
    viewer.layers.remove(opened)
    assert sentence.text() == ""
    viewer.layers.append(opened)
    assert not copy_paint(paint).any()
    dock.findChild(QPushButton, "paint_region_polygon").click()
    assert viewer.layers.selection.active is opened
    assert sentence.text().startswith("1 complete region: ")
    assert np.array_equal(copy_paint(paint), boxed(paint, (10, 10), (20, 20)))
    assert other in viewer.layers


def test_shapes_that_do_not_count_are_told(viewer, qtbot):
    add_image(viewer, (3, 60, 80))
    dock = PaintDock(viewer)
    qtbot.addWidget(dock)
    dock.make()
    layer = take_region_tool(viewer, dock.annotation, "rectangle")
    flat = np.insert(SQUARE, 0, 1, axis=1)
    layer.add_polygons(flat)
    layer.add_lines(flat[:2])
    layer.add_polygons(np.insert(SQUARE, 1, 30, axis=1))
    told = dock.findChild(QLabel, "paint_regions").text()
    assert told.startswith("1 complete region:")
    assert "2 shapes enclose no pixels of one plane" in told
    layer.data = []
    assert dock.findChild(QLabel, "paint_regions").text() == ""


def test_an_ellipse_is_round(viewer):
    paint = make_annotation(viewer, add_image(viewer))
    layer = take_region_tool(viewer, paint, "rectangle")
    layer.add_ellipses(np.array([(10, 10), (10, 50), (40, 50), (40, 10)]))
    y, x = np.indices(paint.data.shape)
    inside = ((y - 25) / 15) ** 2 + ((x - 30) / 20) ** 2
    completed = copy_paint(paint)
    assert (completed[inside < 0.98] == 1).all()
    assert (completed[inside > 1.02] == 0).all()


def test_the_weight_map_and_the_tally_of_the_train_dock_know_of_regions(viewer, qtbot):
    image = add_image(viewer, (30, 40))
    paint = make_annotation(viewer, image)
    paint.data[8:16, 8:16] = 2
    paint.data[8:16, 17:26] = 3
    weights = WeightsDock(viewer)
    qtbot.addWidget(weights)
    weights.show_map.setChecked(True)
    layer = take_region_tool(viewer, paint, "rectangle")
    layer.add_rectangles(np.array([(4.6, 4.6), (4.6, 29.4), (19.4, 29.4), (19.4, 4.6)]))

    def shown():
        return next((layer.data for layer in viewer.layers if layer.name.endswith("weights")), None)

    qtbot.waitUntil(lambda: shown() is not None and shown()[5, 5] > 0, timeout=20_000)
    completed = copy_paint(paint)
    assert np.count_nonzero(completed == 1) == 15 * 25 - 8 * 8 - 8 * 9
    np.testing.assert_allclose(shown(), border_weights(completed, weights.config()), rtol=1e-5)
    told = ImagePaint(completed, "objects", known_full_of(paint))
    assert describe_paint([told]) == "Painted: 1 image, 2 objects, all filled to their border."
    layer.data = []
    qtbot.waitUntil(lambda: shown()[5, 5] == 0, timeout=20_000)
    np.testing.assert_allclose(shown(), border_weights(paint.data, weights.config()), rtol=1e-5)


def test_regions_are_undone_and_redone_by_key(make_napari_viewer):
    viewer = make_napari_viewer()
    image = add_image(viewer)
    dock = PaintDock(viewer)
    viewer.window.add_dock_widget(dock)
    dock.make()
    paint = annotation_of(viewer, image)
    tool = dock.findChild(QPushButton, "paint_region_box")
    tool.click()
    hand = Hand(viewer)
    hand.drag([(9.6, 9.6), (20.4, 30.4)])
    one = copy_paint(paint)
    tool.click()
    hand.drag([(29.6, 9.6), (40.4, 40.4)])
    two = copy_paint(paint)
    layer = regions_layer(viewer, paint)
    widths, colours = list(layer.edge_width), layer.edge_color.copy()
    layer.selected_data = {0}
    layer.remove_selected()
    removed = copy_paint(paint)
    assert len({taught.sum() for taught in (one, two, removed)}) == 3
    for expected in (two, one, np.zeros_like(one), np.zeros_like(one)):
        hand.press("Control-Z")
        np.testing.assert_array_equal(copy_paint(paint), expected)
    for expected in (one, two):
        hand.press("Control-Shift-Z")
        np.testing.assert_array_equal(copy_paint(paint), expected)
    assert list(layer.edge_width) == widths
    np.testing.assert_array_equal(layer.edge_color, colours)
    hand.press("Control-Z")
    hand.drag([(29.6, 40.6), (40.4, 50.4)])  # with the tool that is still in the hand
    other = copy_paint(paint)
    hand.press("Control-Shift-Z")  # there is nothing to do again any more
    np.testing.assert_array_equal(copy_paint(paint), other)
    hand.drag([(45.0, 40.0), (50.0, 50.0)], release=False)
    hand.press("Control-Z")  # a shape that is being drawn stays in the hand
    hand.release((50.0, 50.0))
    assert len(layer.data) == 3

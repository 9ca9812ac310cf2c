"""The Weights dock and its preview: exact, live, and quiet when layers go."""

import threading
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from taught import build_dataset

from napari_unet.core.annotation import read_paint
from napari_unet.core.borders.weight_config import WeightConfig, class_weights
from napari_unet.core.control import Control
from napari_unet.core.painted import rim
from napari_unet.core.painted.known_full import KnownFull
from napari_unet.core.painted.regions import Region, complete
from napari_unet.core.painted.rim import find_rims
from napari_unet.core.weights import border_weights
from napari_unet.network.config import TrainingConfig
from napari_unet.widgets.bridge import layers as bridge
from napari_unet.widgets.bridge import marks
from napari_unet.widgets.bridge.layers import make_annotation, next_object
from napari_unet.widgets.painting import weight_preview
from napari_unet.widgets.painting.weight_preview import WeightPreviews
from napari_unet.widgets.parts.latest import Latest
from napari_unet.widgets.weights import WeightsDock

NOTHING_KNOWN = KnownFull()


def two_objects(shape=(30, 40)):
    """Two touching-but-one-pixel objects with background around them; the rest unknown."""
    paint = np.zeros(shape, np.int32)
    paint[..., 5:20, 5:30] = 1
    paint[..., 8:16, 8:16] = 2
    paint[..., 8:16, 17:26] = 3
    return paint


@pytest.fixture
def dock(viewer, qtbot):
    made = WeightsDock(viewer)
    qtbot.addWidget(made)
    choose(made, "paper")
    return made


@pytest.fixture
def image(viewer):
    return viewer.add_image(np.zeros((30, 40), np.uint8), name="cells")


def weights_layer(viewer):
    return next((layer for layer in viewer.layers if layer.name.endswith("weights")), None)


def test_the_default_is_what_trainings_use(viewer, qtbot):
    dock = WeightsDock(viewer)
    qtbot.addWidget(dock)
    assert dock.config() == TrainingConfig().weights == WeightConfig.preset("gentle")
    assert dock.preset.currentData() == "gentle"


def choose(dock, name):
    index = dock.preset.findData(name)
    dock.preset.setCurrentIndex(index)
    dock.preset.activated.emit(index)


def test_the_map_shows_what_filled_objects_teach_around_them(viewer, dock, image, qtbot):
    paint = make_annotation(viewer, image)
    paint.data[8:16, 8:16] = 2
    paint.data[8:16, 17:26] = 3
    dock.show_map.setChecked(True)
    wait_for_map(qtbot, viewer, paint)
    assert weights_layer(viewer).data[10, 16] == 0
    marks.set_filled(paint, True)
    qtbot.waitUntil(lambda: weights_layer(viewer).data[10, 16] > 9, timeout=5000)
    around = np.where(find_rims(paint.data, True) > 0, 1, paint.data)
    np.testing.assert_allclose(weights_layer(viewer).data, border_weights(around), rtol=1e-5)


def test_presets_set_every_field_and_sliders_make_it_custom(dock):
    choose(dock, "freiburg")
    assert dock.config() == WeightConfig.preset("freiburg")
    dock.w0.setValue(20)
    assert dock.preset.currentData() == "custom"
    assert dock.config() == replace(WeightConfig.preset("freiburg"), w0=20.0)
    dock.w0.setValue(50)
    assert dock.preset.currentData() == "freiburg"
    choose(dock, "paper")
    assert dock.config() == WeightConfig()
    dock.sigma.setValue(2.5)
    dock.class_balance.setCurrentIndex(dock.class_balance.findData("none"))
    assert dock.config() == WeightConfig(sigma=2.5, class_balance="none")


def test_the_dock_says_what_is_needed(viewer, dock, image, qtbot):
    qtbot.waitUntil(lambda: "Make an annotation layer" in dock.sentence.text(), timeout=5000)
    paint = make_annotation(viewer, image)
    qtbot.waitUntil(lambda: "Nothing is painted" in dock.sentence.text(), timeout=5000)
    paint.data_setitem((np.array([1]), np.array([1])), 1)
    qtbot.waitUntil(lambda: "No object is painted" in dock.sentence.text(), timeout=5000)


def test_an_image_that_is_opened_needs_no_image_any_more(viewer, dock, qtbot):
    qtbot.waitUntil(lambda: "Open an image" in dock.sentence.text())
    viewer.add_image(np.zeros((30, 40), np.uint8))
    qtbot.waitUntil(lambda: "Make an annotation layer" in dock.sentence.text())


def test_nothing_is_added_before_the_box_is_ticked(viewer, dock, image, qtbot):
    make_annotation(viewer, image).data[:] = two_objects()
    dock.sigma.setValue(4)
    qtbot.waitUntil(lambda: "2 of 2 objects touch" in dock.sentence.text(), timeout=5000)
    assert weights_layer(viewer) is None


@pytest.mark.parametrize("balance", ["inverse", "none"])
def test_the_preview_balances_classes_unless_all_is_painted(viewer, dock, image, qtbot, balance):
    paint = make_annotation(viewer, image)
    choose(dock, "gentle")
    dock.show_map.setChecked(True)
    painted = np.maximum(two_objects(), int(balance == "none"))
    paint.data_setitem(np.nonzero(painted), painted[np.nonzero(painted)])
    expected = border_weights(painted, replace(dock.config(), class_balance=balance))
    qtbot.waitUntil(
        lambda: (layer := weights_layer(viewer)) is not None and np.allclose(layer.data, expected, rtol=1e-4),
        timeout=5000,
    )


def test_the_preview_is_the_map_of_the_paint_and_follows_it(viewer, dock, image, qtbot):
    paint = make_annotation(viewer, image)
    dock.show_map.setChecked(True)
    paint.data_setitem(np.nonzero(two_objects()), two_objects()[np.nonzero(two_objects())])
    qtbot.waitUntil(
        lambda: weights_layer(viewer) is not None and weights_layer(viewer).data.max() > 3, timeout=5000
    )
    layer = weights_layer(viewer)
    np.testing.assert_allclose(layer.data, border_weights(paint.data), rtol=1e-5)
    assert marks.source_of(viewer, layer) is image
    paint.undo()
    qtbot.waitUntil(lambda: not weights_layer(viewer).data.any(), timeout=5000)
    assert weights_layer(viewer) is layer


def test_limits_stay_while_sliding_and_fit_a_preset(viewer, dock, image, qtbot):
    make_annotation(viewer, image).data[:] = two_objects()
    dock.show_map.setChecked(True)
    qtbot.waitUntil(lambda: weights_layer(viewer) is not None, timeout=5000)
    layer = weights_layer(viewer)
    limits, peak = list(layer.contrast_limits), layer.data.max()
    assert limits == pytest.approx([0, peak])
    dock.w0.setValue(40)
    qtbot.waitUntil(lambda: layer.data.max() > 2 * peak, timeout=5000)
    assert layer.contrast_limits == limits
    choose(dock, "freiburg")
    qtbot.waitUntil(lambda: layer.contrast_limits[1] > 2 * peak, timeout=5000)


def test_unticking_hides_the_map_and_leaves_it_to_the_user(viewer, dock, image, qtbot):
    make_annotation(viewer, image).data[:] = two_objects()
    dock.show_map.setChecked(True)
    qtbot.waitUntil(lambda: weights_layer(viewer) is not None, timeout=5000)
    dock.show_map.setChecked(False)
    assert not weights_layer(viewer).visible
    dock.show_map.setChecked(True)
    qtbot.waitUntil(lambda: weights_layer(viewer).visible, timeout=5000)


@pytest.mark.parametrize("gone", ["paint", "image", "map", "all"])
def test_deleted_layers(viewer, dock, image, qtbot, gone):
    paint = make_annotation(viewer, image)
    paint.data[:] = two_objects()
    dock.show_map.setChecked(True)
    qtbot.waitUntil(lambda: weights_layer(viewer) is not None, timeout=5000)
    dock.w0.setValue(30)
    qtbot.wait(160)  # a computation is under way
    if gone == "all":
        viewer.layers.clear()
    else:
        viewer.layers.remove({"paint": paint, "image": image, "map": weights_layer(viewer)}[gone])
    before = [layer for layer in viewer.layers if gone != "image" or not layer.name.endswith("weights")]
    dock.show_map.setChecked(False)
    qtbot.wait(400)
    assert list(viewer.layers) == before  # the map of an image goes with it


def test_switching_the_image_during_a_computation_does_not_misplace_the_map(viewer, dock, image, qtbot):
    other = viewer.add_image(np.zeros((30, 40), np.uint8), name="others")
    make_annotation(viewer, image).data[:] = two_objects()
    make_annotation(viewer, other).data[2:5, 2:5] = 1
    dock.image.choose(image)
    dock.show_map.setChecked(True)
    qtbot.wait(150)
    dock.image.choose(other)
    qtbot.waitUntil(lambda: any(layer.name == "others weights" for layer in viewer.layers), timeout=5000)
    for layer in viewer.layers:
        if layer.name.endswith("weights"):
            paint = bridge.annotation_of(viewer, marks.source_of(viewer, layer))
            np.testing.assert_allclose(layer.data, border_weights(paint.data), rtol=1e-5)


def test_the_map_of_the_chosen_image_alone_is_shown(viewer, dock, image, qtbot):
    other = viewer.add_image(np.zeros((30, 40), np.uint8), name="other")
    for each in (image, other):
        make_annotation(viewer, each).data[:] = two_objects()
    qtbot.wait(20)  # the dock turns to the layer that was made last

    def shown():
        return [layer.name for layer in viewer.layers if layer.name.endswith("weights") and layer.visible]

    dock.image.choose(image)
    dock.show_map.setChecked(True)
    qtbot.waitUntil(lambda: shown() == ["cells weights"], timeout=5000)
    dock.image.choose(other)
    qtbot.waitUntil(lambda: shown() == ["other weights"], timeout=5000)
    dock.show_map.setChecked(False)
    dock.image.choose(image)
    dock.show_map.setChecked(True)
    assert "other weights" not in shown()
    qtbot.waitUntil(lambda: shown() == ["cells weights"], timeout=5000)


def test_a_fault_in_the_paint_is_a_sentence(viewer, dock, image, qtbot):
    paint = make_annotation(viewer, image)
    paint.data[0, 0] = -1
    dock.w0.setValue(30)
    qtbot.waitUntil(lambda: "negative" in dock.sentence.text(), timeout=5000)


def expected(paint, config=WeightConfig(), mode="objects"):
    """Every plane from scratch, its classes balanced over all planes."""
    n_classes = 2 if mode == "objects" else max(2, int(paint.max()))
    planes = list(np.ndindex(paint.shape[:-2]))
    read = {plane: read_paint(paint[plane], mode, n_classes=n_classes) for plane in planes}
    pixels = sum(np.bincount(one.target[one.known], minlength=n_classes) for one in read.values())
    plain = replace(config, class_balance="none", foreground=0.0, background=0.0)
    weights = np.stack([border_weights(paint[plane], plain, mode=mode) for plane in planes])
    balanced = class_weights(pixels, config)
    weights += np.stack([balanced[read[plane].target] * read[plane].known for plane in planes])
    return weights.reshape(paint.shape)


def taught(paint, known, mode):
    """The paint with background in complete regions, and in every plane around full objects."""
    full = known.within(paint) if mode == "objects" else False
    completed = complete(paint.copy(), known.regions)
    rims = np.stack([find_rims(completed[plane], full) for plane in np.ndindex(paint.shape[:-2])])
    return np.where(rims.reshape(paint.shape) > 0, 1, completed)


class Display:
    """What a dock shows: the maps that it was told of, in the order of their coming."""

    def __init__(self, shape):
        self.weights, self.keys, self.order = np.zeros(shape, np.float32), {}, []
        self.previews = WeightPreviews()

    def show(
        self, paint, config=WeightConfig(), mode="objects", visible=(), *, spacing=None, known=NOTHING_KNOWN
    ):
        control = Control()
        self.order = []
        for preview in self.previews.maps(
            paint, known, config, mode, control, visible=visible, shown=dict(self.keys), spacing=spacing
        ):
            self.weights[preview.plane], self.keys[preview.plane] = preview.weights, preview.key
            self.order.append(preview.plane)
        (sentence,) = self.previews.sentence(config, control)
        return sentence


@pytest.mark.parametrize("mode", ["objects", "classes"])
@pytest.mark.parametrize("name", ["paper", "freiburg"])
def test_a_stack_is_weighed_as_in_training_visible_plane_first(mode, name):
    paint = np.stack([two_objects(), np.zeros((30, 40), np.int32), two_objects()[::-1, ::-1], two_objects()])
    paint[3, 10:] = 0
    config = WeightConfig.preset(name)
    display = Display(paint.shape)
    display.show(paint, config, mode, (2,))
    samples = build_dataset(
        [paint], [paint], weights=config, mode=mode, ndim=2, held_out=0, channels="none"
    ).samples
    for plane, sample in zip((0, 2, 3), samples, strict=True):
        np.testing.assert_allclose(display.weights[plane], sample.weight, rtol=1e-5, atol=1e-5)
    assert not display.weights[1].any()
    assert display.order[0] == (2,)
    assert set(display.order) == {(0,), (2,), (3,)}
    display.show(paint, config, mode, (0,))
    assert display.order == []  # all of it is on display


def test_pixels_that_are_not_square_are_weighed_as_in_training():
    paint = two_objects()
    display = Display(paint.shape)
    for spacing in (None, (3.0, 1.0), (1.0, 3.0)):
        display.show(paint, spacing=spacing)
        expected = border_weights(paint, spacing=spacing)
        np.testing.assert_allclose(display.weights, expected, rtol=1e-5, atol=1e-5)
    assert not np.allclose(expected, border_weights(paint))


@settings(max_examples=60, deadline=None)
@given(data=st.data(), mode=st.sampled_from(["objects", "classes"]))
def test_edited_paint_has_the_map_of_the_paint_from_scratch(data, mode):
    paint = data.draw(st.sampled_from([two_objects(), np.stack([two_objects()] * 3)])).copy()
    display = Display(paint.shape)
    names, values = st.sampled_from(["paper", "freiburg"]), st.integers(0, 4)
    known = NOTHING_KNOWN
    for _ in range(data.draw(st.integers(1, 6))):
        plane = tuple(data.draw(st.integers(0, length - 1)) for length in paint.shape[:-2])
        top, left = data.draw(st.integers(0, 29)), data.draw(st.integers(0, 39))
        height, width = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 40))
        paint[plane][top : top + height, left : left + width] = data.draw(values)
        config = WeightConfig.preset(data.draw(names))
        config = replace(config, w0=data.draw(st.sampled_from([0.0, 3.0, config.w0])))
        happens = data.draw(st.sampled_from(["nothing", "nothing", "accepted", "filled", "region"]))
        if happens == "accepted":
            known = known.accept(paint, {2, 4})
        elif happens == "filled":
            known = replace(known, filled=not known.filled)
        elif happens == "region":
            region = Region(plane, (slice(3, 28), slice(5, 35)), np.tri(25, 30, 12, bool))
            known = replace(known, regions=(*known.regions, region))
        display.show(paint, config, mode, plane, known=known)
        map_of_all = expected(taught(paint, known, mode), config, mode)
        np.testing.assert_allclose(display.weights, map_of_all, rtol=1e-5, atol=1e-4)


def test_a_preview_that_was_given_up_spoils_nothing():
    paint = np.stack([two_objects()] * 3)
    display = Display(paint.shape)
    display.show(paint, visible=(0,))
    paint[:, 9:12, 17:30] = 2
    control = Control()
    maps = display.previews.maps(
        paint, KnownFull(), WeightConfig(), "objects", control, visible=(1,), shown=display.keys
    )
    assert next(maps).plane == (1,)
    control.stop()
    assert list(maps) == []
    paint[2, 9:12, 17:30] = 0
    display.show(paint, visible=(0,))
    np.testing.assert_allclose(display.weights, expected(paint), rtol=1e-5, atol=1e-5)


def test_only_what_changed_is_measured(monkeypatch):
    """A slider of a height, or class balance, measures nothing; a stroke its box; sigma everything."""
    calls = []
    for name in ("measure_parts", "update_parts"):
        real = getattr(weight_preview, name)

        def counted(*args, _real=real, _name=name, **kwargs):
            calls.append(_name)
            return _real(*args, **kwargs)

        monkeypatch.setattr(weight_preview, name, counted)
    paint = np.stack([two_objects((300, 400))] * 2)
    display = Display(paint.shape)
    steps = [
        (WeightConfig(), ["measure_parts"] * 2),
        (WeightConfig(w0=0), []),
        (WeightConfig(w0=20, class_balance="none"), []),
        (WeightConfig(w0=20, class_balance="none", background=0.3), []),
        (WeightConfig(sigma=6), ["measure_parts"] * 2),
    ]
    for config, expected_calls in steps:
        calls.clear()
        display.show(paint, config, visible=(0,))
        assert calls == expected_calls
    calls.clear()
    paint[1, 5, 5] = 4
    display.show(paint, WeightConfig(sigma=6), visible=(0,))
    assert calls == ["update_parts"]


def test_a_stroke_beside_full_objects_looks_for_rims_near_it_alone(monkeypatch):
    searched = []

    def counted(paint, full):
        searched.append(paint.size)
        return find_rims(paint, full)

    monkeypatch.setattr(rim, "find_rims", counted)
    paint = two_objects((300, 400))
    display, known = Display(paint.shape), KnownFull().accept(paint, {2, 3})
    display.show(paint, known=known)
    paint[5:7, 5:9] = 4
    display.show(paint, known=known)
    assert searched == [300 * 400, 6 * 8]
    paint[tuple(np.argwhere(paint == 3)[0])] = 0
    display.show(paint, known=known)
    assert searched[2] < 300 * 400 / 2
    np.testing.assert_allclose(display.weights, expected(taught(paint, known, "objects")), rtol=1e-5)


def test_sentences():
    def say(paint, config=WeightConfig(), mode="objects"):
        return Display(paint.shape).show(paint, config, mode)

    assert "Nothing is painted" in say(np.zeros((9, 9), np.int32))
    assert "no border term" in say(two_objects(), WeightConfig(w0=0))
    one = np.where(two_objects() == 3, 1, two_objects())
    assert "Only one object" in say(one)
    assert "None of 2 objects touch" in say(two_objects(), WeightConfig(sigma=0.5))
    stack = np.stack([two_objects(), two_objects()])
    display = Display(stack.shape)
    assert "4 of 4 objects" in display.show(stack, visible=(0,))
    stack[1] = 0
    assert "2 of 2 objects" in display.show(stack, visible=(0,))


@pytest.mark.parametrize("name", ["paper", "freiburg"])
@pytest.mark.parametrize("mode", ["objects", "classes"])
def test_the_sentence_is_of_all_planes_together(name, mode):
    paint = np.stack([two_objects(), two_objects()])
    paint[1][paint[1] == 3] = 1
    config = WeightConfig.preset(name)
    said = Display(paint.shape).show(paint, config, mode, (0,))
    every = expected(paint, config, mode)
    share = 1 - expected(paint, replace(config, w0=0.0), mode).sum(dtype=float) / every.sum(dtype=float)
    counted = "2 of 3 objects touch" if mode == "objects" else "None of 3 objects touch"
    assert f"{counted}; borders carry {100 * share:.0f} % of the loss" in said


def wait_for_map(qtbot, viewer, paint, config=WeightConfig()):
    def is_right():
        layer = weights_layer(viewer)
        return layer is not None and np.allclose(layer.data, expected(paint.data, config), atol=1e-4)

    qtbot.waitUntil(is_right, timeout=5000)


def test_the_map_follows_all_that_napari_can_do_to_paint(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    dock = WeightsDock(viewer)
    choose(dock, "paper")
    viewer.window.add_dock_widget(dock)
    image = viewer.add_image(np.zeros((2, 60, 80), np.uint8), name="cells")
    paint = make_annotation(viewer, image)
    dock.show_map.setChecked(True)
    paint.brush_size = 9
    rng = np.random.default_rng(0)

    def stroke(value):
        with paint.block_history():  # as one drag of the mouse
            for place in np.linspace(rng.integers(5, 55, 2), rng.integers(5, 55, 2), 4):
                paint.paint((viewer.dims.current_step[0], *place), value)

    def replace_data():
        paint.data = np.roll(paint.data, 3, axis=-1)

    def write_into_it():
        paint.data[0, :4, :4] = 7
        paint.refresh()

    steps = [
        *(lambda value=value: stroke(value) for value in (1, 2, 1, 3, 4, 1, 0)),
        lambda: viewer.dims.set_current_step(0, 1),
        *(lambda value=value: stroke(value) for value in (1, next_object(paint), 5, 0)),
        paint.undo,
        paint.undo,
        paint.redo,
        lambda: viewer.dims.set_current_step(0, 0),
        paint.undo,  # on the plane that nobody sees
        lambda: paint.fill((0, 30, 30), 6),
        lambda: paint.data_setitem((np.array([0, 1]), np.array([5, 6]), np.array([7, 8])), 2),
        replace_data,
        write_into_it,
        lambda: paint.fill((0, 59, 79), 1),
    ]
    for step in steps:
        step()
        wait_for_map(qtbot, viewer, paint)
    layer = weights_layer(viewer)
    for value in (1, 9, 0, 1, 2, 3) * 3:  # no time to compute in between
        stroke(value)
    wait_for_map(qtbot, viewer, paint)
    viewer.layers.remove(layer)
    assert not dock.show_map.isChecked()  # the user wants it no more
    stroke(2)
    dock.show_map.setChecked(True)
    wait_for_map(qtbot, viewer, paint)
    assert weights_layer(viewer) is not layer


def test_the_newest_request_wins_and_a_slider_in_motion_shows_something(viewer, dock, image, qtbot):
    paint = make_annotation(viewer, image)
    paint.data[:] = two_objects()
    dock.show_map.setChecked(True)
    wait_for_map(qtbot, viewer, paint)
    layer, seen = weights_layer(viewer), set()
    layer.events.set_data.connect(lambda _event: seen.add(float(layer.data.max())))
    for number in range(5000):
        dock.w0.setValue(11 + number % 50 + number / 100)
        qtbot.wait(1)
        if len(seen) > 3:
            break
    assert len(seen) > 3
    dock.w0.setValue(17)
    wait_for_map(qtbot, viewer, paint, WeightConfig(w0=17))


@pytest.mark.parametrize("patient", [True, False])
def test_a_patient_preview_gives_a_first_result_of_what_was_overtaken(qtbot, patient):
    latest, told = Latest("Counting", patient=patient), []
    latest.result.connect(told.append)

    def slowly(number, control):
        never.wait(pause)
        yield number
        never.wait(pause)
        yield number + 0.5

    never, pause = threading.Event(), 0.05 if patient else 0.5  # so slow that none ends before the next comes
    for number in range(2000 if patient else 60):
        latest.submit(partial(slowly, number), lambda _control, number=number: iter([f"end of {number}"]))
        qtbot.wait(10)
        if len(told) > 2:
            break
    before = list(told)
    qtbot.waitUntil(lambda: told[-1:] == [f"end of {number}"], timeout=20_000)
    assert told[-3:] == [number, number + 0.5, f"end of {number}"]
    if patient:
        assert len(before) > 2
        assert all(value == int(value) for value in before)  # no more than the first of each
    else:
        assert before == []
    qtbot.waitUntil(lambda: not latest.is_running, timeout=5000)

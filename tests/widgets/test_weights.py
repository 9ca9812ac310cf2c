"""The Weights dock and its preview: exact, live, and quiet when layers go."""

from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_unet.core.control import Control
from napari_unet.core.dataset import build_dataset
from napari_unet.core.weights import WeightConfig, border_weights
from napari_unet.widgets import layers as bridge
from napari_unet.widgets.layers import make_annotation
from napari_unet.widgets.weight_preview import preview_weights
from napari_unet.widgets.weights import WeightsDock


def two_objects(shape=(30, 40)):
    """Two touching-but-one-pixel objects with background around them; the rest unknown."""
    paint = np.zeros(shape, np.int32)
    paint[..., 5:20, 5:30] = 1
    paint[..., 8:16, 8:16] = 2
    paint[..., 8:16, 17:26] = 3
    return paint


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def dock(viewer, qtbot):
    made = WeightsDock(viewer)
    qtbot.addWidget(made)
    return made


@pytest.fixture
def image(viewer):
    return viewer.add_image(np.zeros((30, 40), np.uint8), name="cells")


def weights_layer(viewer):
    return next((layer for layer in viewer.layers if layer.name.endswith("weights")), None)


def test_the_default_is_the_paper(dock):
    assert dock.config() == WeightConfig() == WeightConfig.preset("paper")
    assert dock.preset.currentData() == "paper"


def choose(dock, name):
    index = dock.preset.findData(name)
    dock.preset.setCurrentIndex(index)
    dock.preset.activated.emit(index)


def test_presets_set_every_field_and_sliders_make_it_custom(dock):
    told = []
    dock.config_changed.connect(told.append)
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
    assert told[-1] == dock.config()


def test_the_dock_says_what_is_needed(viewer, dock, image, qtbot):
    qtbot.waitUntil(lambda: "Make an annotation layer" in dock.sentence.text(), timeout=5000)
    paint = make_annotation(viewer, image)
    qtbot.waitUntil(lambda: "Nothing is painted" in dock.sentence.text(), timeout=5000)
    paint.data_setitem((np.array([1]), np.array([1])), 1)
    qtbot.waitUntil(lambda: "No two painted objects" in dock.sentence.text(), timeout=5000)


def test_nothing_is_added_before_the_box_is_ticked(viewer, dock, image, qtbot):
    make_annotation(viewer, image).data[:] = two_objects()
    dock.sigma.setValue(4)
    qtbot.waitUntil(lambda: "Where objects are closest" in dock.sentence.text(), timeout=5000)
    assert weights_layer(viewer) is None


def test_the_preview_is_the_map_of_the_paint_and_follows_it(viewer, dock, image, qtbot):
    paint = make_annotation(viewer, image)
    dock.show_map.setChecked(True)
    paint.data_setitem(np.nonzero(two_objects()), two_objects()[np.nonzero(two_objects())])
    qtbot.waitUntil(
        lambda: weights_layer(viewer) is not None and weights_layer(viewer).data.max() > 3, timeout=5000
    )
    layer = weights_layer(viewer)
    np.testing.assert_allclose(layer.data, border_weights(paint.data), rtol=1e-5)
    assert bridge.source_of(viewer, layer) is image
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
    before = len(viewer.layers)
    dock.show_map.setChecked(False)
    qtbot.wait(400)
    assert len(viewer.layers) == before


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
            paint = bridge.annotation_of(viewer, bridge.source_of(viewer, layer))
            np.testing.assert_allclose(layer.data, border_weights(paint.data), rtol=1e-5)


def test_a_fault_in_the_paint_is_a_sentence(viewer, dock, image, qtbot):
    paint = make_annotation(viewer, image)
    paint.data[0, 0] = -1
    dock.w0.setValue(30)
    qtbot.waitUntil(lambda: "negative" in dock.sentence.text(), timeout=5000)


@pytest.mark.parametrize("mode", ["objects", "classes"])
@pytest.mark.parametrize("name", ["paper", "freiburg"])
def test_a_stack_is_weighed_as_in_training_visible_plane_first(mode, name):
    paint = np.stack([two_objects(), np.zeros((30, 40), np.int32), two_objects()[::-1, ::-1], two_objects()])
    paint[3, 10:] = 0
    config = WeightConfig.preset(name)
    first, last = preview_weights(paint, config, mode, (2,), Control())
    samples = build_dataset(
        [paint], [paint], weights=config, mode=mode, ndim=2, held_out=0, channels="none"
    ).samples
    for plane, sample in zip((0, 2, 3), samples, strict=True):
        np.testing.assert_allclose(last.weights[plane], sample.weight, rtol=1e-5)
    np.testing.assert_array_equal(first.weights[2], last.weights[2])
    assert not first.weights[[0, 1, 3]].any()
    assert not last.weights[1].any()


def test_a_stopped_preview_ends_within_a_plane():
    control = Control()
    events = preview_weights(np.stack([two_objects()] * 50), WeightConfig(), "objects", (0,), control)
    next(events)
    control.stop()
    assert list(events) == []


def test_sentences():
    def say(paint, config=WeightConfig()):
        *_, last = preview_weights(paint, config, "objects", (), Control())
        return last.sentence

    assert "Nothing is painted" in say(np.zeros((9, 9), np.int32))
    assert "no border term" in say(two_objects(), WeightConfig(w0=0))
    one = np.where(two_objects() == 3, 1, two_objects())
    assert "No two painted objects" in say(one)
    assert "up to 10" in say(two_objects(), WeightConfig(class_balance="none"))

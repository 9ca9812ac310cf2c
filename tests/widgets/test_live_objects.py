"""Objects that follow their settings after a prediction, with real threads and layers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dock_helpers import discs, make_model, save, say
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QPushButton, QSpinBox
from scipy import ndimage
from superqt import QLabeledSlider

from napari_unet.core.instances import InstanceConfig, find_objects
from napari_unet.core.objects.rereading import Rereading
from napari_unet.files.networks.models import save_model
from napari_unet.widgets.bridge.layers import add_result, annotation_of, make_annotation
from napari_unet.widgets.painting.take_section import take_corrections
from napari_unet.widgets.predict import PredictDock
from napari_unet.widgets.predicting import live_objects
from napari_unet.widgets.predicting.object_form import ObjectForm, contrast_of, eagerness_of

pytestmark = pytest.mark.usefixtures("models")


@pytest.fixture
def dock(viewer, models, qtbot):
    save(models)
    dock = PredictDock(viewer)
    qtbot.addWidget(dock)
    return dock


def hills(shape=(80, 90), seed=0):
    """Smooth probabilities with touching objects, specks and holes."""
    noise = ndimage.gaussian_filter(
        np.random.default_rng(seed).normal(size=shape), (*(0,) * (len(shape) - 2), 3, 3)
    )
    return (1 / (1 + np.exp(-3 * noise / noise.std() - 1))).astype(np.float32)


def show(dock, viewer, foreground, config=None, plane=()):
    """Add a result as a prediction does; return its image and its layer."""
    image = viewer.add_image(np.zeros(foreground.shape[1:], np.uint8), name="cells")
    config = config or dock.form.objects.config
    objects = find_objects(foreground[0], config, ndim=2)
    layer = add_result(viewer, image, "objects", objects)
    dock._live.remember(image, layer, Rereading.of(foreground, 2, plane))
    dock.image.choose(image)
    return image, layer


def child(dock, kind, name):
    return dock.findChild(kind, f"predict_{name}")


def settle(dock, qtbot):
    qtbot.waitUntil(lambda: not dock._live._latest.is_running, timeout=30_000)


def are_same(objects, others):
    """Whether these are the same objects, whatever their numbers."""
    pairs = np.unique(np.stack((objects, others)), axis=1)
    return pairs.shape[1] == np.unique(objects).size == np.unique(others).size


# Scales.


def test_the_slider_halves_the_contrast_every_twenty():
    assert [contrast_of(place) for place in (0, 40, 100)] == [8, 2, 0.25]
    contrasts = [contrast_of(place) for place in range(101)]
    assert contrasts == sorted(contrasts, reverse=True)
    assert [eagerness_of(contrast) for contrast in contrasts] == list(range(101))
    assert (eagerness_of(900), eagerness_of(1e-6)) == (0, 100)


# The form.


def test_a_model_brings_its_reading_and_the_users_changes_stay_with_it(qtbot):
    form = ObjectForm()
    qtbot.addWidget(form)
    told = []
    form.changed.connect(lambda: told.append(form.config))
    a, b = Path("a"), Path("b")
    # Neither contrast nor threshold is one that the controls can show.
    of_a = InstanceConfig(threshold=0.6123, contrast=1.37, min_size=70, separate_by="shape", fill_holes=False)
    form.choose(a, of_a)
    assert form.config == of_a
    assert not child(form, QPushButton, "reset").isEnabled()
    child(form, QSpinBox, "min_size").setValue(9)
    changed = replace(of_a, min_size=9)
    assert form.config == changed
    form.choose(b, InstanceConfig())
    assert form.config == InstanceConfig()
    assert told == [changed]  # choosing is no change of the user's
    form.choose(a, of_a)
    assert form.config == changed
    child(form, QPushButton, "reset").click()
    assert told == [changed, of_a]
    form.choose(b, InstanceConfig())
    form.choose(a, of_a)
    assert form.config == of_a


def test_every_control_sets_its_field(qtbot):
    form = ObjectForm()
    qtbot.addWidget(form)
    child(form, QLabeledSlider, "split").setValue(80)
    child(form, QSpinBox, "min_size").setValue(5)
    child(form, QDoubleSpinBox, "threshold").setValue(0.3)
    child(form, QCheckBox, "fill_holes").setChecked(False)
    form._separate_by.setCurrentIndex(form._separate_by.findData("shape"))
    assert form.config == InstanceConfig(0.3, "shape", 0.5, 5, False)


def test_the_dock_shows_what_was_fitted_to_the_model(dock, models):
    fitted = InstanceConfig(contrast=1.5, min_size=77, threshold=0.6, separate_by="probability")
    save_model(replace(make_model(), instances=fitted), models / "fitted.safetensors")
    dock.select_model(models / "fitted.safetensors")
    assert dock.form.objects.config == fitted
    assert dock.form.config().instances is None  # the model's own, which follow the scale of an image
    assert child(dock, QSpinBox, "min_size").value() == 77
    child(dock, QSpinBox, "min_size").setValue(78)
    assert dock.form.config().instances == replace(fitted, min_size=78)
    dock.select_model(models / "model.safetensors")
    assert dock.form.objects.config == InstanceConfig()


# Live.


def test_after_a_prediction_objects_follow_as_if_predicted_anew(dock, viewer, qtbot):
    viewer.add_image(discs(), name="cells")
    child(dock, QCheckBox, "probabilities").setChecked(True)
    dock.start()
    qtbot.waitUntil(lambda: not dock.is_running, timeout=60_000)
    layer, probability = viewer.layers["cells objects"], viewer.layers["cells probability"].data
    child(dock, QDoubleSpinBox, "threshold").setValue(round(float(np.median(probability)), 2))
    child(dock, QSpinBox, "min_size").setValue(1)
    for eagerness in (0, 100):
        child(dock, QLabeledSlider, "split").setValue(eagerness)
        settle(dock, qtbot)
        expected = find_objects(probability, dock.form.objects.config, ndim=2)
        assert expected.any()
        np.testing.assert_array_equal(layer.data, expected)
        assert say(dock, "predict_status") == (
            f"{expected.max()} object{'s' * int(expected.max() != 1)} with these settings."
        )
    assert viewer.layers["cells objects"] is layer
    assert len(viewer.layers) == 3


@pytest.mark.parametrize("classes", [2, 3])
def test_a_stack_follows_the_visible_plane_first(dock, viewer, qtbot, classes):
    foreground = np.stack([hills((4, 60, 70), seed) for seed in range(classes - 1)]) / (classes - 1)
    foreground[:, 3] = 0  # nothing is in the last plane
    _, layer = show(dock, viewer, foreground)
    viewer.dims.set_point(0, 2)
    planes = []
    shown = dock._live._show
    dock._live._latest.result.disconnect()
    dock._live._latest.result.connect(lambda objects: (planes.append(objects.plane), shown(objects)))
    child(dock, QDoubleSpinBox, "threshold").setValue(0.4)
    settle(dock, qtbot)
    assert planes[0] == (2,)
    assert planes[-4:] == [(0,), (1,), (2,), (3,)]
    background = 1 - foreground.sum(0, keepdims=True)
    from napari_unet.core.objects.prediction import Prediction

    prediction = Prediction(
        np.concatenate([background, foreground]),
        ndim=2,
        mode="classes" if classes > 2 else "objects",
        instances=dock.form.objects.config,
    )
    np.testing.assert_array_equal(layer.data, prediction.objects)
    assert say(dock, "predict_status") == f"{prediction.objects.max():,} objects with these settings."


def test_planes_whose_probabilities_are_gone_stay_and_share_no_number(dock, viewer, qtbot):
    foreground = hills((1, 3, 60, 70))
    image, layer = show(dock, viewer, foreground)
    before = layer.data.copy()
    dock._live._results[image] = live_objects._Result(layer, Rereading.of(foreground[:, 1], 2, (1,)))
    child(dock, QDoubleSpinBox, "threshold").setValue(0.7)
    settle(dock, qtbot)
    np.testing.assert_array_equal(layer.data[[0, 2]], before[[0, 2]])
    alone = find_objects(foreground[0, 1], dock.form.objects.config, ndim=2)
    assert ((alone > 0) != (before[1] > 0)).any()  # it was read anew
    np.testing.assert_array_equal(layer.data[1], np.where(alone > 0, alone + before[[0, 2]].max(), 0))


def test_planes_predicted_one_by_one_are_kept_together(dock, viewer, qtbot):
    foreground = hills((1, 3, 60, 70))
    image, layer = show(dock, viewer, foreground[:, :1], plane=())
    viewer.layers.remove(image)
    image, layer = show(dock, viewer, foreground)
    dock._live.remember(image, layer, Rereading.of(foreground[:, 0], 2, (0,)))
    assert set(dock._live._results[image].rereading.foregrounds) == {(0,), (1,), (2,)}


def test_edits_are_never_overwritten_until_taken_or_given_up(dock, viewer, qtbot):
    image, layer = show(dock, viewer, hills()[np.newaxis])
    discard = child(dock, QPushButton, "discard")
    layer.data_setitem((np.array([3]), np.array([4])), 12345)
    edited = layer.data.copy()
    child(dock, QLabeledSlider, "split").setValue(90)
    settle(dock, qtbot)
    np.testing.assert_array_equal(layer.data, edited)
    assert "Take corrections" in say(dock, "predict_status")
    assert not discard.isHidden()
    make_annotation(viewer, image)
    assert not discard.isHidden()
    take_corrections(viewer, image)
    assert discard.isHidden()
    assert say(dock, "predict_status") == ""
    child(dock, QLabeledSlider, "split").setValue(95)
    settle(dock, qtbot)
    # What was taken stays: the object with the pixel of another number, and that pixel.
    expected = find_objects(hills(), dock.form.objects.config, ndim=2)
    taken = annotation_of(viewer, image).data
    assert are_same(layer.data[taken == 0], expected[taken == 0])
    assert are_same(layer.data[taken > 0], taken[taken > 0])
    assert discard.isHidden()

    layer.data_setitem((np.array([3]), np.array([4])), 12345)
    child(dock, QLabeledSlider, "split").setValue(20)
    settle(dock, qtbot)
    assert layer.data[3, 4] == 12345
    discard.click()
    settle(dock, qtbot)
    expected = find_objects(hills(), dock.form.objects.config, ndim=2)
    assert are_same(layer.data[taken == 0], expected[taken == 0])
    assert 12345 not in layer.data
    assert discard.isHidden()


def test_edits_are_spoken_of_as_long_as_they_can_be_given_up(dock, viewer, qtbot):
    _, layer = show(dock, viewer, hills()[np.newaxis])
    discard = child(dock, QPushButton, "discard")
    layer.data_setitem((np.array([3]), np.array([4])), 12345)
    child(dock, QLabeledSlider, "split").setValue(90)
    settle(dock, qtbot)
    viewer.add_points([(3, 4)])  # as other docks do, to mark a place
    assert not discard.isHidden()
    assert "discard your edits" in say(dock, "predict_status")
    viewer.layers.remove(layer)
    assert discard.isHidden()
    assert say(dock, "predict_status") == ""


def test_an_edit_while_objects_are_read_is_kept(dock, viewer, qtbot, monkeypatch):
    _, layer = show(dock, viewer, hills()[np.newaxis])
    original = Rereading.read

    def read(self, *args, **how):
        result = original(self, *args, **how)
        layer.data[3, 4] = 12345
        return result

    monkeypatch.setattr(Rereading, "read", read)
    child(dock, QLabeledSlider, "split").setValue(90)
    settle(dock, qtbot)
    assert layer.data[3, 4] == 12345
    assert "You edited" in say(dock, "predict_status")


def test_memory_is_given_back(dock, viewer, qtbot, monkeypatch):
    _, layer = show(dock, viewer, hills()[np.newaxis])
    viewer.layers.remove(layer)
    assert not dock._live._results
    child(dock, QLabeledSlider, "split").setValue(90)
    assert not dock._live._latest.is_running
    show(dock, viewer, hills()[np.newaxis])
    monkeypatch.setattr(live_objects, "MOST_KEPT", hills().nbytes)
    newest, layer = show(dock, viewer, hills()[np.newaxis])
    assert [result.rereading is None for result in dock._live._results.values()] == [True, False]
    dock.image.choose(next(iter(dock._live._results)))
    child(dock, QLabeledSlider, "split").setValue(80)
    assert "press Predict" in say(dock, "predict_status")
    viewer.layers.remove(newest)
    assert len(dock._live._results) == 1


def test_without_a_result_settings_are_only_settings(dock, viewer, qtbot):
    viewer.add_image(discs())
    child(dock, QLabeledSlider, "split").setValue(90)
    settle(dock, qtbot)
    assert say(dock, "predict_status") == ""

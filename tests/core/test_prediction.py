"""Classes and objects of a prediction."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.errors import InputError
from napari_unet.core.instances import InstanceConfig, find_objects
from napari_unet.core.objects.prediction import Prediction

KEEP_ALL = InstanceConfig(min_size=1)


def random_prediction(seed: int, n_classes: int, instances: InstanceConfig = KEEP_ALL) -> Prediction:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet([0.3] * n_classes, size=(2, 9, 8)).astype(np.float32)
    mode = "objects" if n_classes == 2 else "classes"
    return Prediction(np.ascontiguousarray(np.moveaxis(probabilities, -1, 0)), 2, mode, instances)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5))
def test_classes_are_the_most_probable_paint_values(seed, n_classes):
    prediction = random_prediction(seed, n_classes)
    assert prediction.classes.dtype == np.uint8
    np.testing.assert_array_equal(prediction.classes, prediction.probabilities.argmax(axis=0) + 1)


def test_background_wins_a_draw():
    assert Prediction(np.full((2, 1, 1), 0.5, np.float32), 2).classes.tolist() == [[1]]


def test_objects_are_found_on_the_foreground_plane_by_plane():
    prediction = random_prediction(0, 2)
    expected = find_objects(prediction.probabilities[1], KEEP_ALL, ndim=2)
    assert prediction.objects.dtype == np.int32
    np.testing.assert_array_equal(prediction.objects, expected)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(3, 5))
def test_objects_of_classes_do_not_mix(seed, n_classes):
    prediction = random_prediction(seed, n_classes)
    objects = prediction.objects
    ids = np.unique(objects[objects > 0])
    np.testing.assert_array_equal(ids, np.arange(1, len(ids) + 1))
    n_found = 0
    for probability in prediction.probabilities[1:]:
        of_class = find_objects(probability, InstanceConfig(min_size=1, fill_holes=False), ndim=2)
        n_found += of_class.max()
        for i in range(1, of_class.max() + 1):
            assert len(np.unique(objects[of_class == i])) == 1
    assert n_found == len(ids)


def test_a_pixel_two_classes_claim_goes_to_the_more_probable():
    second = np.array([[0.5, 0.5, 0.4, 0.0]], np.float32)
    third = np.array([[0.0, 0.4, 0.5, 0.5]], np.float32)
    probabilities = np.stack((1 - second - third, second, third))
    config = InstanceConfig(threshold=0.3, min_size=1)
    prediction = Prediction(probabilities, 2, "classes", config)
    assert prediction.objects.tolist() == [[1, 1, 2, 2]]


def test_an_object_another_class_covers_leaves_no_gap_in_the_ids():
    # The middle of the second class's object goes to the third; the weak object of the second class vanishes.
    second = np.array([[0.4, 0.0, 0.6, 0.0]], np.float32)
    third = np.array([[0.5, 0.0, 0.0, 0.9]], np.float32)
    config = InstanceConfig(threshold=0.3, min_size=1)
    prediction = Prediction(np.stack((1 - second - third, second, third)), 2, "classes", config)
    assert prediction.objects.tolist() == [[1, 0, 2, 3]]


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_an_object_of_another_class_in_a_hole_keeps_its_pixels(order):
    ring = np.pad(np.zeros((3, 3), np.float32), 1, constant_values=0.95)
    middle = np.zeros((5, 5), np.float32)
    middle[2, 2] = 0.95
    probabilities = np.empty((3, 5, 5), np.float32)
    probabilities[list(order)] = ring, middle
    probabilities[0] = 1 - ring - middle
    objects = Prediction(probabilities, 2, "classes", KEEP_ALL).objects
    expected = np.ones((5, 5))
    expected[2, 2] = 2
    np.testing.assert_array_equal(objects, expected)  # the ring fills the rest of its hole


def test_labels_are_computed_once_and_the_probabilities_are_shared():
    prediction = random_prediction(1, 2)
    assert prediction.objects is prediction.objects
    assert prediction.classes is prediction.classes
    stricter = replace(prediction, instances=InstanceConfig(min_size=5))
    assert stricter.probabilities is prediction.probabilities
    assert (stricter.ndim, stricter.mode) == (prediction.ndim, prediction.mode)
    assert stricter.objects.max() < prediction.objects.max()


@pytest.mark.parametrize(
    ("shape", "ndim", "mode", "sentence"),
    [
        ((2, 8), 2, "objects", "at least 2 spatial axes"),
        ((3, 8, 8), 2, "objects", "expected 2, background and foreground"),
        ((1, 8, 8), 2, "classes", "expected 2 to 255"),
        ((256, 8, 8), 2, "classes", "expected 2 to 255"),
    ],
)
def test_probabilities_that_do_not_fit(shape, ndim, mode, sentence):
    with pytest.raises(InputError, match=sentence):
        Prediction(np.zeros(shape, np.float32), ndim, mode)

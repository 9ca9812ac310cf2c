"""Readings fitted to paint: what full objects decide, what strokes decide, and what stays as it is."""

import numpy as np
import pytest
from scipy import ndimage

from napari_unet.core.instance_fit import Example, fit_instances, mean_agreement
from napari_unet.core.instances import InstanceConfig, find_objects


def cells(seam: float, blur: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities and objects of six squares in pairs, each pair with a seam of that probability."""
    objects = np.zeros((60, 100), np.int32)
    probability = np.full(objects.shape, 0.05)
    for pair in range(3):
        left = 5 + 32 * pair
        objects[10:40, left : left + 12], objects[10:40, left + 12 : left + 25] = 2 * pair + 2, 2 * pair + 3
        probability[10:40, left : left + 25] = 0.99
        probability[10:40, left + 12] = seam
    return ndimage.gaussian_filter(probability, blur).astype(np.float32), objects


def test_full_objects_decide_how_eagerly_touching_ones_are_split():
    probability, objects = cells(seam=0.6)
    fitted = fit_instances([Example(probability, objects, True)])
    assert find_objects(probability, fitted, ndim=2).max() == 6
    # The same probabilities, but each pair is one object.
    pairs = np.where(objects > 0, objects // 2 + 1, 0).astype(np.int32)
    fitted = fit_instances([Example(probability, pairs, True)])
    assert find_objects(probability, fitted, ndim=2).max() == 3


def test_the_smallest_object_follows_from_what_is_painted():
    probability, objects = cells(seam=0.6)
    assert fit_instances([Example(probability, objects, True)]).min_size == int(0.1 * 30 * 12.5)
    strokes = np.zeros_like(objects)
    strokes[20:24, 8:12], strokes[20:22, 20:24] = 2, 2**31 - 1
    assert fit_instances([Example(probability, strokes, False)]) == InstanceConfig(min_size=3)


@pytest.mark.parametrize("paint", [np.zeros((60, 100), np.int32), np.ones((60, 100), np.int32)])
def test_without_objects_nothing_changes(paint):
    probability, _ = cells(seam=0.6)
    start = InstanceConfig(threshold=0.4, min_size=7)
    assert fit_instances([Example(probability, paint, True)], start) == start
    assert fit_instances([], start) == start


def test_an_agreement_that_is_the_same_for_all_keeps_the_usual_reading():
    objects = np.zeros((40, 40), np.int32)
    objects[10:30, 10:30] = 2
    fitted = fit_instances([Example(np.where(objects, 0.95, 0.02).astype(np.float32), objects, True)])
    assert fitted == InstanceConfig(min_size=40)


def test_agreement_is_the_mean_iou_of_the_full_objects():
    objects = np.zeros((10, 20), np.int32)
    objects[2:8, 2:8], objects[2:8, 12:18] = 2, 3
    probability = np.where(objects == 2, 0.9, 0).astype(np.float32)
    probability[2:8, 8] = 0.9  # one column too many
    config = InstanceConfig(min_size=1)
    assert mean_agreement([Example(probability, objects, True)], config) == pytest.approx((36 / 42 + 0) / 2)
    assert mean_agreement([Example(probability, objects, (2,))], config) == pytest.approx(36 / 42)

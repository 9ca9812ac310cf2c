"""Objects read again from kept probabilities, whatever fits into memory."""

from dataclasses import replace

import numpy as np
import pytest

from napari_unet.core.instances import InstanceConfig, Landscape
from napari_unet.core.objects import rereading
from napari_unet.core.objects.prediction import Prediction
from napari_unet.core.objects.rereading import Rereading
from napari_unet.core.objects.uncertainty import unclear_seams

CONFIG = InstanceConfig(min_size=2)


@pytest.fixture(scope="module")
def probabilities():
    """Three classes on 2 x 2 planes."""
    values = np.random.default_rng(0).random((3, 2, 2, 20, 25)).astype(np.float32)
    return values / values.sum(0)


@pytest.mark.parametrize("room", [0, 30_000, 2**30])
def test_it_reads_what_a_prediction_reads(probabilities, room, monkeypatch):
    monkeypatch.setattr(rereading, "_ROOM", room)
    kept = Rereading.of(probabilities[1:], 2)
    assert kept.nbytes == probabilities[1:].nbytes
    for config in (
        replace(CONFIG, threshold=0.4),
        replace(CONFIG, threshold=0.4, contrast=0.1),
        replace(CONFIG, threshold=0.3, fill_holes=False),
        replace(CONFIG, threshold=0.3, separate_by="shape"),
    ):
        expected = Prediction(probabilities, 2, "classes", config).objects
        assert expected.max() > 4
        planes = {plane: objects for plane, objects, _ in kept.read_all(config)}
        for plane in np.ndindex(2, 2):
            np.testing.assert_array_equal(planes[plane], expected[plane])
        assert [taken for *_, taken in kept.read_all(config, 7)] == [
            7 + max((expected[other].max() for other in np.ndindex(2, 2) if other < plane), default=0)
            for plane in np.ndindex(2, 2)
        ]
        alone = kept.read((1, 0), config, is_visible=True)
        np.testing.assert_array_equal(alone, Prediction(probabilities[:, 1, 0], 2, "classes", config).objects)


def test_a_landscape_is_surveyed_once_and_the_visible_one_stays(probabilities, monkeypatch):
    surveyed = []
    original = Landscape.of.__func__

    def of(cls, foreground, config):
        surveyed.append(foreground)
        return original(cls, foreground, config)

    monkeypatch.setattr(Landscape, "of", classmethod(of))
    monkeypatch.setattr(rereading, "_ROOM", 1)
    kept = Rereading.of(probabilities[1:], 2)
    for contrast in (3.0, 2.0, 1.0):
        kept.read((0, 1), replace(CONFIG, contrast=contrast), is_visible=True)
    assert len(surveyed) == 2  # classes
    list(kept.read_all(CONFIG))
    assert len(surveyed) == 2 + 3 * 2
    kept.read((0, 1), replace(CONFIG, min_size=9), is_visible=True)
    assert len(surveyed) == 2 + 3 * 2
    assert list(kept._landscapes) == [(0, 1)]


def test_planes_of_two_predictions(probabilities):
    one, other = Rereading.of(probabilities[1:, 0], 2, (0,)), Rereading.of(probabilities[1:, 1], 2, (1,))
    both = one.with_planes(other)
    assert set(both.foregrounds) == set(np.ndindex(2, 2))
    assert both.nbytes == probabilities[1:].nbytes


def test_unclear_seams_are_those_of_any_class_and_found_once(probabilities, monkeypatch):
    asked = []

    def found(probability, config):
        asked.append(config)
        return unclear_seams(probability, config)

    monkeypatch.setattr(rereading, "unclear_seams", found)
    kept = Rereading.of(probabilities[1:], 2)
    configs = [replace(CONFIG, threshold=0.2, contrast=contrast) for contrast in (1.0, 0.2)]
    expected = [
        np.logical_or.reduce([unclear_seams(each, config) for each in probabilities[1:, 1, 0]])
        for config in configs
    ]
    assert expected[0].any()
    assert (expected[0] != expected[1]).any()
    for which in (0, 0, 1, 1, 0):
        np.testing.assert_array_equal(kept.unclear_seams((1, 0), configs[which]), expected[which])
    assert asked == [configs[0]] * 2 + [configs[1]] * 2 + [configs[0]] * 2

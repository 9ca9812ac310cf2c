"""Every sample opens as the layer it says it is, without the network."""

import socket

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer

from napari_unet.widgets import samples


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    def refuse(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.parametrize(
    ("sample", "shape", "rgb"),
    [
        (samples.immunohistochemistry, (512, 512, 3), True),
        (samples.coins, (303, 384), False),
        (samples.cell, (660, 550), False),
        (samples.blobs, (24, 128, 128), False),
    ],
)
def test_samples_open(sample, shape, rgb):
    (data,) = sample()
    layer = ViewerModel().add_layer(Layer.create(*data))
    assert layer.data.shape == shape
    assert layer.rgb == rgb


@pytest.mark.parametrize(
    ("sample", "shape", "rgb"),
    [
        (samples.synthetic_nuclei, (512, 512), False),
        (samples.synthetic_phase_contrast, (512, 512), False),
        (samples.synthetic_tissue, (512, 512), True),
        (samples.synthetic_membranes, (512, 512), False),
        (samples.synthetic_rods, (512, 512), False),
        (samples.synthetic_volume, (32, 128, 128), False),
    ],
)
def test_drawn_samples_open_with_their_truth_hidden(sample, shape, rgb):
    viewer = ViewerModel()
    image, truth = (viewer.add_layer(Layer.create(*data)) for data in sample())
    assert (image.data.shape, image.rgb) == (shape + (3,) * rgb, rgb)
    assert truth.data.shape == shape
    assert not truth.visible
    assert truth.data.max() > 20


def test_blobs_are_the_same_for_the_same_seed_and_fill_part_of_the_volume():
    first, again, other = (samples.blobs(seed)[0][0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert 0.1 < (first > 500).mean() < 0.9


@pytest.mark.parametrize("sample", [samples.blobs, samples.synthetic_volume])
def test_the_axes_of_volumes_have_names(sample):
    viewer = ViewerModel()
    layers = [viewer.add_layer(Layer.create(*data)) for data in sample()]
    assert {layer.axis_labels for layer in layers} == {("Z", "Y", "X")}
    assert viewer.dims.axis_labels == ("Z", "Y", "X")

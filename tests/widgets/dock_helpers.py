"""What the tests of the docks share: a small painted image, a tiny network, a model file."""

from dataclasses import replace

import numpy as np
import pytest
import qtpy
from napari.layers import Labels
from qtpy.QtCore import QObject

from napari_unet.core.arrays.normalisation import Normalisation
from napari_unet.files.networks.models import save_model
from napari_unet.network.config import TrainingConfig, UNetConfig
from napari_unet.network.model import History, Model
from napari_unet.widgets.bridge.layers import make_annotation
from napari_unet.widgets.training.training_form import TrainingForm

TINY = UNetConfig(features=4, levels=2)


def discs(shape=(64, 64), seed=0):
    """Bright discs in noise, uint16; the same on every plane."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape[-2:])
    image = np.zeros(shape[-2:])
    for cy, cx in ((16, 16), (16, 46), (46, 16), (46, 46)):
        image[(y - cy) ** 2 + (x - cx) ** 2 < 81] = 1
    return (1000 + 4000 * image + rng.normal(0, 100, shape)).astype(np.uint16)


def paint_on(viewer, layer) -> Labels:
    """Add the annotation layer with two background strokes and two objects (on the first plane)."""
    paint = make_annotation(viewer, layer)
    plane = paint.data[(0,) * (paint.ndim - 2)]
    plane[2:4, 5:60] = plane[30:32, 5:60] = 1
    plane[12:20, 12:20] = 2
    plane[42:50, 42:50] = 3
    paint.refresh()
    return paint


def make_model(channels=1, ndim=2, classes=2):
    """An untrained model; only its shapes matter."""
    from napari_unet.network.learning.transfer import fresh_network

    network = fresh_network(replace(TINY, in_channels=channels, ndim=ndim, classes=classes), 0)
    names = ("background", *(f"class {k}" for k in range(2, classes + 1)))
    weights = {name: value.detach().clone() for name, value in network.state_dict().items()}
    return Model(
        network=network.config,
        weights=weights,
        normalisation=Normalisation(),
        mode="objects" if classes == 2 else "classes",
        class_names=names,
        training=TrainingConfig(),
        history=History(
            scores=((1, 1.0, 0.5, 0.7), (2, 2.0, 0.75, 0.5)),
            best_step=2,
            seconds=30.0,
            started="2026-01-02T03:04:05+00:00",
        ),
    )


def save(folder, name="model", **how):
    """Save an untrained model and return its path."""
    path = folder / f"{name}.safetensors"
    save_model(make_model(**how), path)
    return path


def tiny_training(monkeypatch: pytest.MonkeyPatch, steps: int | None = 4) -> None:
    """Let every Train dock train a tiny network for a few steps."""
    original = TrainingForm.config

    def config(self, **given):
        return replace(original(self, **given), steps=steps, network=TINY, patch_size=32, batch_size=2)

    monkeypatch.setattr(TrainingForm, "config", config)


def train(dock, qtbot):
    """Train by a Train dock, and wait for the end."""
    with qtbot.waitSignal(dock.ended, timeout=60_000):
        dock.start()


def say(dock, name):
    """What the sentence of this name tells; "" if it is hidden."""
    from qtpy.QtWidgets import QLabel

    label = dock.findChild(QLabel, name)
    return label.text() if not label.isHidden() else ""


def has_looked(section):
    """Whether the button *Take corrections* knows whether there are any."""
    return not section._settled.isActive() and not section._comparison.is_running


def delete_as_qt_does(instance: QObject) -> None:
    """Delete the Qt half of an object, whoever in Python still holds the other."""
    if qtpy.PYSIDE2 or qtpy.PYSIDE6:
        from qtpy import shiboken

        shiboken.delete(instance)
    else:
        from qtpy import sip

        sip.delete(instance)

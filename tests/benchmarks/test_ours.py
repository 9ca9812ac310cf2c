import os
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from truths import touching_cells

from annotator import paint_image
from methods import Clock, Task
from napari_unet import TrainingConfig, UNetConfig, load_model, predict, train
from napari_unet.files.settings import Settings
from ours import ours


class StepClock(Clock):
    """One second a step: read once after each."""

    def restart(self) -> None:
        self._steps = 0

    @property
    def seconds(self) -> float:
        self._steps += 1
        return self._steps

    @contextmanager
    def paused(self):
        yield


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a training is copied to be stopped before its end")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_snapshot_is_the_model_of_a_shorter_training(tmp_path: Path) -> None:
    truth = touching_cells(0, (64, 64), 7)
    rng = np.random.default_rng(0)
    image = truth.astype(bool) + rng.normal(0, 0.1, truth.shape)
    painted = paint_image(truth, "filled", objects=4, background=2, rng=rng)
    config = TrainingConfig(patch_size=32, batch_size=1, network=UNetConfig(levels=1, features=4))
    task = Task([image], [painted], (7.0, 27.0, 31.0), StepClock(), 3, tmp_path, Settings(training=config))

    snapshots = list(ours(task))
    assert [(snapshot.marks, snapshot.steps) for snapshot in snapshots] == [
        ((7.0,), 7),
        ((27.0,), 27),
        ((31.0,), 31),
    ]
    for snapshot, name in zip(snapshots, ("7", "27", "model"), strict=True):
        settings = TrainingConfig(
            patch_size=32, batch_size=1, network=config.network, seed=3, steps=snapshot.steps
        )
        alone = train([image], [painted.paint], settings, full=[painted.full]).weights
        kept = load_model(tmp_path / f"{name}.safetensors").weights
        for key, values in alone.items():
            assert torch.equal(kept[key], values)
        assert snapshot.segment(image)["predict"].shape == truth.shape


def test_a_starter_is_scored_before_the_first_stroke_and_then_learns(tmp_path: Path) -> None:
    truth = touching_cells(0, (64, 64), 7)
    rng = np.random.default_rng(0)
    image = truth.astype(bool) + rng.normal(0, 0.1, truth.shape)
    painted = paint_image(truth, "strokes", objects=2, background=2, rng=rng)
    config = TrainingConfig(patch_size=32, batch_size=1, network=UNetConfig(levels=1, features=4))
    start = replace(
        train([image], [painted.paint], replace(config, steps=2)), object_size=12.0, network=config.network
    )
    task = Task([image], [painted], (3.0,), StepClock(), 3, tmp_path, Settings(training=config), start=start)
    before, after = ours(task)
    assert (before.marks, before.steps, after.marks, after.steps) == ((0.0,), 0, (3.0,), 3)
    np.testing.assert_array_equal(before.segment(image)["predict"], predict(start, image).objects)
    assert load_model(tmp_path / "model.safetensors").training.body_rate == 0.2


def test_the_clock_leaves_out_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 10.0
    monkeypatch.setattr("time.process_time", lambda: now)
    clock = Clock("processor", factor=2.0)
    clock.restart()
    now = 14.0
    assert clock.seconds == 2.0
    with clock.paused():
        now = 100.0
    assert clock.seconds == 2.0

from pathlib import Path

import numpy as np
import pytest
import torch

from napari_unet.core.errors import InputError
from napari_unet.files.networks.models import load_model
from napari_unet.files.networks.states import load_to_continue, state_path
from napari_unet.files.networks.training_file import TrainingFile
from napari_unet.network.config import TrainingConfig, UNetConfig
from napari_unet.network.events import Checkpoint
from napari_unet.network.training import train_events


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    """Give one of a tiny training."""
    image = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    paint = np.zeros((64, 64), np.int32)
    paint[2:10], paint[20:30, 20:30] = 1, 2
    config = TrainingConfig(steps=8, network=UNetConfig(features=2, levels=2), patch_size=32, batch_size=1)
    events = train_events([image], [paint], config, device="cpu", checkpoint_s=0.0)
    return next(event for event in events if isinstance(event, Checkpoint))


def test_a_checkpoint_is_a_model_that_can_be_trained_on(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    assert TrainingFile(path).save_checkpoint(checkpoint) == []
    model, state, sentence = load_to_continue(path)
    assert sentence == ""
    assert state is not None
    assert state.step == checkpoint.state.step
    assert all(torch.equal(model.weights[name], value) for name, value in checkpoint.model.weights.items())
    other = tmp_path / "without.safetensors"
    assert TrainingFile(other).save_checkpoint(checkpoint, state=False) == []
    assert not state_path(other).exists()


def test_what_cannot_be_written_is_told_once_and_the_end_of_the_training_may_still_be(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    (tmp_path / "folder").write_text("a file")
    file = TrainingFile(tmp_path / "folder" / "m.safetensors")
    (sentence,) = file.save_checkpoint(checkpoint)
    assert "The training continues, but is lost if this program ends before it does." in sentence
    assert file.save_checkpoint(checkpoint) == []
    with pytest.raises(InputError):
        file.save_model(checkpoint.model)
    (tmp_path / "folder").unlink()
    (tmp_path / "folder").mkdir()
    assert file.save_checkpoint(checkpoint) == []
    file.save_model(checkpoint.model)
    assert (tmp_path / "folder" / "m.safetensors").exists()


def test_trainings_that_begin_in_the_same_second_do_not_overwrite_each_other(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    path = tmp_path / "cells 2026-03-04 05.06.07.safetensors"
    one, other = TrainingFile(path), TrainingFile(path)
    for file in (one, other, one, other):
        assert file.save_checkpoint(checkpoint) == []
    assert one.path == path
    assert other.path == tmp_path / "cells 2026-03-04 05.06.07 (2).safetensors"
    files = [one.path, other.path, state_path(one.path), state_path(other.path)]
    assert sorted(tmp_path.iterdir()) == sorted(files)


def test_a_model_that_was_there_before_is_replaced(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.touch()
    TrainingFile(path).save_model(checkpoint.model)
    assert list(tmp_path.iterdir()) == [path]
    assert load_model(path).weights.keys() == checkpoint.model.weights.keys()

"""Training states beside their models: through files, in other processes, and when something is wrong."""

import os
import random
import shutil
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forging import forge
from safetensors.torch import load

from napari_unet.core.errors import InputError
from napari_unet.files.networks.models import load_model, save_model
from napari_unet.files.networks.states import (
    load_state,
    load_to_continue,
    save_state,
    state_path,
    step_to_continue,
)
from napari_unet.network.config import TrainingConfig, UNetConfig
from napari_unet.network.events import Stopped
from napari_unet.network.learning.state import TrainingState
from napari_unet.network.training import train_events

TRAIN = """
import sys
from dataclasses import replace
from pathlib import Path
import numpy as np
from napari_unet.files.networks.models import save_model
from napari_unet.files.networks.states import load_to_continue, save_state
from napari_unet.network.config import TrainingConfig, UNetConfig
from napari_unet.network.training import train, train_events

rng = np.random.default_rng(0)
paint = np.zeros((48, 48), np.int32)
paint[4:20, 4:20], paint[24:40, 24:44], paint[4:20, 26:30] = 2, 3, 1
image = (rng.normal(50, 9, paint.shape) + 100 * (paint > 1)).astype(np.uint8)
config = TrainingConfig(patch_size=32, batch_size=1, network=UNetConfig(features=4, levels=2))
before, steps, output = sys.argv[1:]
for precision in ("float32", "bfloat16"):
    config = replace(config, precision=precision, steps=int(steps))
    model, state, sentence = (None, None, "")
    if before:
        model, state, sentence = load_to_continue(Path(before) / precision)
    assert not sentence, sentence
    *_, stopped = train_events([image], [paint], config, start=model, resume=state, device="cpu")
    save_model(stopped.model, Path(output) / precision)
    save_state(stopped.state, stopped.model, Path(output) / precision)
    whole = train([image], [paint], replace(config, steps=7), device="cpu")
    save_model(whole, Path(output) / ("whole " + precision))
"""


def process(before: Path | str, steps: int, output: Path) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", TRAIN, str(before), str(steps), str(output)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def assert_same(first: Path, second: Path) -> None:
    found, expected = load_model(first), load_model(second)
    for name, value in expected.weights.items():
        assert torch.equal(found.weights[name], value), name
    assert [(step, loss) for step, _, loss in found.history.losses] == [
        (step, loss) for step, _, loss in expected.history.losses
    ]


def test_processes_and_interruptions_do_not_change_a_model(tmp_path: Path) -> None:
    """The same seed, steps and threads, with all of the augmentation: the same model, bit for bit."""
    process("", 3, tmp_path / "one")
    process(tmp_path / "one", 4, tmp_path / "two")
    for precision in ("float32", "bfloat16"):
        assert_same(tmp_path / "two" / precision, tmp_path / "one" / f"whole {precision}")
        assert_same(tmp_path / "two" / f"whole {precision}", tmp_path / "one" / f"whole {precision}")


def train(steps: int, pull: float = 0.0, **given: Any) -> Stopped:
    paint = np.zeros((48, 48), np.int32)
    paint[4:20, 4:20], paint[24:40, 24:44], paint[4:20, 26:30] = 2, 3, 1
    image = (100 * (paint > 1)).astype(np.uint8)
    network = UNetConfig(features=2, levels=1)
    config = TrainingConfig(
        patch_size=16, batch_size=1, network=network, precision="float32", steps=steps, pull=pull
    )
    *_, stopped = train_events([image], [paint], config, device="cpu", **given)
    assert isinstance(stopped, Stopped)
    return stopped


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Stopped]:
    """Give a folder with a model of 7 steps and its state, and what they were saved from."""
    folder = tmp_path_factory.mktemp("states")
    stopped = train(7)
    save_model(stopped.model, folder / "a.safetensors")
    save_state(stopped.state, stopped.model, folder / "a.safetensors")
    return folder, stopped


@pytest.fixture
def path(folder: tuple[Path, Stopped], tmp_path: Path) -> Path:
    for name in ("a.safetensors", "a.safetensors.training"):
        shutil.copy(folder[0] / name, tmp_path / name)
    return tmp_path / "a.safetensors"


def assert_equal(found: TrainingState | None, expected: TrainingState) -> None:
    assert found is not None
    for part, twin in ((found, expected), (found.learner, expected.learner), (found.best, expected.best)):
        assert (part is None) is (twin is None)
        for field in fields(twin) if twin is not None else ():
            value, other = getattr(part, field.name), getattr(twin, field.name)
            if isinstance(other, dict) and all(isinstance(each, torch.Tensor) for each in other.values()):
                assert value.keys() == other.keys()
                assert all(torch.equal(value[name], other[name]) for name in other)
            elif isinstance(other, torch.Tensor):
                assert torch.equal(value, other)
            elif field.name == "highest":
                np.testing.assert_array_equal(value.confusions, other.confusions)
                assert value.loss == other.loss
            elif field.name not in ("learner", "best"):
                assert value == other


@pytest.mark.parametrize(("steps", "pull"), [(1, 0.0), (5, 0.01), (7, 0.0)])
def test_round_trip(tmp_path: Path, steps: int, pull: float) -> None:
    """Before any validation that is due, at one, and after one."""
    stopped = train(steps, pull)
    assert bool(stopped.state.learner.anchor) is (pull > 0)
    assert (stopped.state.best is None) is (steps == 1)
    path = tmp_path / "any name"
    save_model(stopped.model, path)
    save_state(stopped.state, stopped.model, path)
    model, state, sentence = load_to_continue(path)
    assert_equal(state, stopped.state)
    assert sentence == ""
    assert step_to_continue(path) == steps
    assert model.history == stopped.model.history
    # A model and a state of the next session take their places.
    further = train(2, start=model, resume=state)
    save_model(further.model, path)
    save_state(further.state, further.model, path)
    assert step_to_continue(path) == steps + 2
    assert sorted(found.name for found in tmp_path.iterdir()) == ["any name", "any name.training"]


def test_its_size_is_at_most_four_times_the_model(tmp_path: Path) -> None:
    for steps in (5, 7):
        stopped = train(steps)
        path = tmp_path / "m"
        save_model(stopped.model, path)
        save_state(stopped.state, stopped.model, path)
        values = sum(tensor.numel() for tensor in stopped.model.weights.values())
        tensors = load(state_path(path).read_bytes())
        rest = sum(tensor.numel() for tensor in tensors.values()) - tensors["augment_rng"].numel()
        assert rest <= 4 * values


def test_without_a_state_training_starts_from_the_weights(path: Path) -> None:
    state_path(path).unlink()
    model, state, sentence = load_to_continue(path)
    assert (state, load_state(model, path), step_to_continue(path)) == (None, None, None)
    assert sentence.endswith(
        "There is no training state beside "
        + str(path)
        + "; training starts from the weights of the model alone."
    )


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda record, tensors: record.update(version=2), "update napari-unet"),
        (
            lambda record, tensors: record.update(format="napari-unet model"),
            "is not a napari-unet training state",
        ),
        (lambda record, tensors: record.update(model="0" * 64), "belongs to another model"),
        (lambda record, tensors: record.pop("step"), "incomplete"),
        (lambda record, tensors: record.update(step="7"), "incomplete"),
        (lambda record, tensors: record.update(patch_rng=["x", "1", 0, 0]), "damaged"),
        (lambda record, tensors: record.update(patch_rng=["f" * 40, "1", 0, 0]), "damaged"),
        (lambda record, tensors: tensors.pop("augment_rng"), "damaged"),
        (lambda record, tensors: tensors.update(augment_rng=torch.zeros(3, dtype=torch.uint8)), "damaged"),
    ],
)
def test_a_state_that_cannot_be_used_is_one_sentence(path: Path, change: Any, word: str) -> None:
    forge(state_path(path), change)
    model, state, sentence = load_to_continue(path)
    assert state is None
    assert model.history.steps == 7
    assert word in sentence
    assert sentence.endswith("training starts from the weights of the model alone.")
    assert "\n" not in sentence


def test_what_is_missing_or_misshapen_is_found_by_the_training(path: Path) -> None:
    forge(state_path(path), lambda record, tensors: tensors.pop("first_moment.head.bias"))
    model, state, _ = load_to_continue(path)
    assert train(1, start=model, resume=state).model.history.steps == 1


def test_a_model_that_was_replaced_does_not_get_the_old_state(path: Path) -> None:
    model = load_model(path)
    save_model(replace(model, class_names=("background", "nucleus")), path)
    _, state, sentence = load_to_continue(path)
    assert state is None
    assert "belongs to another model than a.safetensors" in sentence
    with pytest.raises(InputError, match="another model"):
        step_to_continue(path)


def test_moved_together_they_stay_together(path: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "b.safetensors"
    moved.parent.mkdir()
    state_path(path).rename(state_path(moved))
    path.rename(moved)
    assert load_to_continue(moved)[2] == ""


def test_every_damage_is_noticed(path: Path) -> None:
    good = state_path(path).read_bytes()
    chance = random.Random(0)  # noqa: S311 (a reproducible one is wanted)
    for _ in range(60):
        position = chance.randrange(len(good))
        cut = good[:position]
        flipped = cut + bytes([good[position] ^ (1 << chance.randrange(8))]) + good[position + 1 :]
        for data in (cut, flipped):
            state_path(path).write_bytes(data)
            with pytest.raises(InputError) as caught:
                step_to_continue(path)
            assert "\n" not in str(caught.value)


def test_a_pickle_is_never_run(path: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    torch.save(Trap(), state_path(path))
    assert "is not a napari-unet training state" in load_to_continue(path)[2]
    assert not (tmp_path / "sprung").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no resource limits")
def test_a_full_disk_keeps_model_and_old_state(path: Path) -> None:
    import resource

    model, state, _ = load_to_continue(path)
    assert state is not None
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    good = state_path(path).read_bytes()
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, before[1]))
    try:
        with pytest.raises(InputError, match="File too large"):
            save_state(state, model, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert state_path(path).read_bytes() == good
    assert step_to_continue(path) == 7
    assert len(list(path.parent.iterdir())) == 2


def test_the_step_is_told_without_torch(path: Path) -> None:
    program = f"""
import sys
from napari_unet.files.networks.states import step_to_continue
assert step_to_continue({str(path)!r}) == 7
assert "torch" not in sys.modules
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr

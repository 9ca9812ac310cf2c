import math
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch

from napari_unet.network.config import UNetConfig
from napari_unet.network.learning import learner as module
from napari_unet.network.learning.learner import Learner
from napari_unet.network.unet import UNet

CONFIG = UNetConfig(levels=1, features=2)


def _learner(ends_rate: float = 1.0) -> Learner:
    torch.manual_seed(0)
    return Learner(
        UNet(CONFIG),
        device=torch.device("cpu"),
        precision=torch.float32,
        learning_rate=0.01,
        seed=0,
        ends_rate=ends_rate,
    )


def _batch(seed: int) -> Any:
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(2, 1, 8, 8, generator=generator)
    return image, (image[:, 0] > 0.5).to(torch.uint8), torch.ones(2, 8, 8)


def _state(learner: Learner) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in learner.network.state_dict().items()}


def test_the_average_is_the_ramped_one_of_all_weights() -> None:
    learner = _learner()
    expected: dict[str, torch.Tensor] = {}
    for step in range(5):
        assert learner.step(*_batch(step)) is not None
        # Written out: after the first step the weights themselves, then decay (1 + n) / (10 + n).
        share = 1.0 if step == 0 else 1 - min(0.99, (1 + step) / (10 + step))
        for name, parameter in learner.network.named_parameters():
            value = parameter.detach().clone()
            expected[name] = value if step == 0 else (1 - share) * expected[name] + share * value
    average = learner.weights()
    assert average.keys() == learner.network.state_dict().keys()
    for name, value in expected.items():
        torch.testing.assert_close(average[name], value, rtol=1e-5, atol=1e-7)
    assert any(not torch.equal(average[name], value) for name, value in _state(learner).items())


def test_drop_out_is_drawn_anew_in_every_step_and_follows_the_seed() -> None:
    def dropped(seed: int) -> list[list[bool]]:
        """Return which feature maps each of two steps leaves out."""
        torch.manual_seed(0)
        network = UNet(replace(CONFIG, features=32, dropout=0.5))
        learner = Learner(
            network, device=torch.device("cpu"), precision=torch.float32, learning_rate=1e-9, seed=seed
        )
        found: list[list[bool]] = []

        def look(_layer: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
            found.append((inputs[0] == 0).all(dim=(2, 3)).flatten().tolist())

        network.upsampling[0].register_forward_pre_hook(look)
        torch.manual_seed(seed + 7)  # of torch's own numbers it is independent
        for _ in range(2):
            learner.step(*_batch(0))
        return found

    first, second = dropped(0)
    assert first != second
    assert dropped(0) == [first, second]
    assert dropped(3)[0] not in (first, second)


def test_what_normalises_is_measured_on_the_crops_for_the_averaged_weights() -> None:
    learner, crops = _learner(), [_batch(8)[0], 3 * _batch(9)[0]]
    for step in range(3):
        learner.step(*_batch(step))
    learner.calibrate(crops)
    measured = learner.weights()
    # As torch does it in training, layer by layer; every batch counts the same.
    oracle = deepcopy(learner.average.module).train()
    seen: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
    for name, layer in oracle.named_modules():
        if isinstance(layer, torch.nn.BatchNorm2d):

            def look(_layer: torch.nn.Module, inputs: tuple[torch.Tensor], name: str = name) -> None:
                values = inputs[0].detach().transpose(0, 1).flatten(1)
                seen.setdefault(name, []).append((values.mean(dim=1), values.var(dim=1)))

            layer.register_forward_pre_hook(look)
    for crop in crops:
        oracle(crop)
    assert len(seen) > 2
    for name, values in seen.items():
        for statistic, kept in zip(zip(*values, strict=True), ("running_mean", "running_var"), strict=True):
            torch.testing.assert_close(measured[f"{name}.{kept}"], torch.stack(statistic).mean(dim=0))
    assert not any(module.training for module in learner.average.modules())


def test_it_is_measured_again_only_after_more_steps_than_patience_allows() -> None:
    learner = _learner()
    for step in range(8):
        learner.step(*_batch(step))
    learner.calibrate([_batch(0)[0]])
    first = learner.weights()
    learner.calibrate([_batch(1)[0]])  # nothing has changed
    for step in range(2):
        learner.step(*_batch(step))
    learner.calibrate([_batch(1)[0]], patience=0.25)  # two more than eight
    layer = "contracting.0.1.running_mean"
    assert torch.equal(learner.weights()[layer], first[layer])
    learner.calibrate([_batch(1)[0]])
    second = learner.weights()
    assert not torch.equal(second[layer], first[layer])
    # A network that went back to earlier weights is another one, though it made as many steps.
    learner.restore(learner.snapshot())
    learner.calibrate([_batch(0)[0]])
    assert not torch.equal(learner.weights()[layer], second[layer])


def test_the_ends_learn_at_a_rate_of_their_own_which_outlasts_a_return() -> None:
    moved = []
    for ends_rate in (1.0, 5.0):
        learner = _learner(ends_rate)
        learner.restore(learner.snapshot())
        before = _state(learner)
        learner.step(*_batch(0))
        moved.append({name: value - before[name] for name, value in _state(learner).items()})
    ends = {"contracting.0.0.weight", "head.weight", "head.bias"}
    for name, _ in learner.network.named_parameters():
        times = 5 if name in ends else 1
        # Of nearly equal weights the difference is known to their own precision only.
        torch.testing.assert_close(moved[1][name], times * moved[0][name], rtol=1e-4, atol=1e-7)
    assert ends <= {name for name, _ in learner.network.named_parameters()}


@pytest.mark.parametrize("ends_rate", [1.0, 5.0])
def test_every_step_is_pulled_back_by_a_part_of_the_way_but_what_is_new(ends_rate: float) -> None:
    free, held = _learner(ends_rate), _learner(ends_rate)
    begun = _state(free)
    held.anchor(0.25)
    held.slow_down()
    free.slow_down()
    for learner in (free, held):
        learner.step(*_batch(0), rate=0.5)
    ends = {"contracting.0.0.weight", "head.weight", "head.bias"} if ends_rate != 1 else set()
    at = _state(free)
    for name, parameter in held.network.named_parameters():
        way = 1.0 if name in ends else 1 - 0.25 * 0.5 / 2
        torch.testing.assert_close(parameter, begun[name] + way * (at[name] - begun[name]))
    held.anchor(0.0)
    assert held.state().anchor == {}


def test_a_step_returns_the_loss_of_its_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    original = module.weighted_cross_entropy

    def spy(*arguments: torch.Tensor) -> torch.Tensor:
        seen.append(original(*arguments))
        return seen[-1]

    monkeypatch.setattr(module, "weighted_cross_entropy", spy)
    learner = _learner()
    losses = [learner.step(*_batch(0)) for _ in range(20)]
    assert losses == [float(loss.detach()) for loss in seen]
    assert all(math.isfinite(loss) for loss in losses if loss is not None)
    assert (losses[-1] or 9) < 0.7 * (losses[0] or 0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_batch_without_a_finite_loss_changes_nothing(bad: float) -> None:
    learner = _learner()
    learner.step(*_batch(0))
    before, average = _state(learner), learner.weights()
    image, target, weight = _batch(1)
    image[0, 0, 3, 3] = bad
    assert learner.step(image, target, weight) is None
    after = _state(learner)
    for name, _ in learner.network.named_parameters():
        assert torch.equal(after[name], before[name])
    assert all(torch.equal(average[name], value) for name, value in learner.weights().items())
    assert learner.step(*_batch(2)) is not None

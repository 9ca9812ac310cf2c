"""Real trainings that run into NaN, and the way back."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch

from napari_unet.network.config import TrainingConfig, UNetConfig
from napari_unet.network.events import StepDone, Stopped, Validated, Warned
from napari_unet.network.learning.learner import Learner
from napari_unet.network.learning.recovery import Recovery
from napari_unet.network.training import train_events
from napari_unet.network.unet import UNet

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = UNetConfig(features=4, levels=2)
QUICK = TrainingConfig(
    steps=60, patch_size=32, batch_size=2, network=TINY, precision="float32", held_out=0, learning_rate=2e-3
)


def _images() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.indices((64, 64))
    discs = sum(((y - cy) ** 2 + (x - cx) ** 2 < 60).astype(int) for cy in (16, 46) for cx in (16, 46))
    image = discs * 500 + np.random.default_rng(0).normal(100, 50, discs.shape)
    return image, np.where(discs, 2 + (x > 32) + 2 * (y > 32), 1) * (x % 12 < 8)


IMAGE, PAINT = _images()


def _run(config: TrainingConfig) -> list[Any]:
    return list(train_events([IMAGE], [PAINT], config, device="cpu"))


def _poison(monkeypatch: pytest.MonkeyPatch, steps: dict[int, float]) -> list[float]:
    """Multiply the weights by a factor after these calls of Learner.step; return the rates of all calls."""
    step, rates = Learner.step, list[float]()

    def poisoned(self: Learner, *batch: Any, rate: float, **_: Any) -> float | None:
        loss = step(self, *batch, rate=rate)
        rates.append(self._optimiser.param_groups[0]["lr"])
        if len(rates) in steps:
            with torch.no_grad():
                for values in self.network.parameters():
                    values.mul_(steps[len(rates)])
        return loss

    monkeypatch.setattr(Learner, "step", poisoned)
    return rates


def _sentences(events: list[Any]) -> list[str]:
    return [
        event.message for event in events if isinstance(event, Warned) and "not a number" in event.message
    ]


def test_training_goes_on_from_the_last_good_weights_at_half_rate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rates = _poison(monkeypatch, {30: float("nan")})
    events = _run(QUICK)
    assert events[-1].reason == "finished"
    done = [event.step for event in events if isinstance(event, StepDone)]
    assert done == [*range(1, 31), *range(36, 61)]
    assert rates[24] == pytest.approx(2e-3)
    assert rates[-1] == pytest.approx(1e-3)
    (sentence,) = _sentences(events)
    assert "from step 25, at half" in sentence
    scores = [event for event in events if isinstance(event, Validated)]
    assert all(math.isfinite(event.loss) for event in scores)
    # It did not start anew: the loss goes on where it was, and comes to where it would have come.
    losses = {event.step: event.loss for event in events if isinstance(event, StepDone)}
    assert np.mean([losses[n] for n in range(36, 41)]) < 0.75 * np.mean([losses[n] for n in range(1, 6)])
    assert scores[-1].loss < 0.8 * scores[0].loss
    assert all(value.isfinite().all() for value in events[-1].model.weights.values())


def test_weights_that_overflow_are_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    # No NaN is injected: weights so large are finite, what the network computes with them is not.
    rates = _poison(monkeypatch, {8: 1e20, 20: 1e20})
    network = UNetConfig(features=4, levels=2, norm="none")
    events = _run(dataclasses.replace(QUICK, network=network, steps=32))
    assert events[-1].reason == "finished"
    assert [event.step for event in events if isinstance(event, StepDone)] == [
        *range(1, 9), *range(14, 21), *range(26, 33)
    ]  # fmt: skip
    assert rates[-1] == pytest.approx(2e-3 / 4)
    assert len(_sentences(events)) == 1
    assert all(value.isfinite().all() for value in events[-1].model.weights.values())


def test_a_validation_that_is_not_finite_is_made_again_after_going_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The average is spoilt, which no step sees; the best network so far must not be replaced by it.
    step = Learner.step
    calls = []

    def spoil_the_average(self: Learner, *batch: Any, rate: float, **_: Any) -> float | None:
        loss = step(self, *batch, rate=rate)
        calls.append(loss)
        if len(calls) == 20:
            for values in self.average.parameters():
                values.data.fill_(float("inf"))
        return loss

    monkeypatch.setattr(Learner, "step", spoil_the_average)
    events = _run(dataclasses.replace(QUICK, steps=30))
    assert "from step 5, at half" in _sentences(events)[0]
    assert all(math.isfinite(event.loss) for event in events if isinstance(event, Validated))
    assert all(value.isfinite().all() for value in events[-1].model.weights.values())


def test_weights_that_never_recover_end_the_training_with_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    _poison(monkeypatch, {n: float("nan") for n in range(30, 1000)})
    events = _run(dataclasses.replace(QUICK, steps=300))
    assert isinstance(events[-1], Stopped)
    assert events[-1].reason == "diverged"
    assert len(_sentences(events)) == 2
    assert "lower learning rate" in _sentences(events)[-1]
    history = events[-1].model.history
    assert history.best_step == history.steps  # validated once more, with what it had gone back to
    assert all(value.isfinite().all() for value in events[-1].model.weights.values())


@pytest.mark.parametrize("steps", [3, 6])
def test_a_training_without_a_single_good_step_still_ends_with_a_model(
    monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    monkeypatch.setattr(Learner, "step", lambda *_, **__: None)
    stopped = _run(dataclasses.replace(QUICK, steps=steps))[-1]
    assert stopped.reason == "finished"
    assert stopped.state is None  # there is nothing that another training could go on from
    assert stopped.model.weights


def test_a_training_that_is_continued_goes_back_no_further_than_that(monkeypatch: pytest.MonkeyPatch) -> None:
    first = _run(dataclasses.replace(QUICK, steps=20))[-1]
    rates = _poison(monkeypatch, {2: float("nan")})
    config = dataclasses.replace(QUICK, steps=12)
    events = list(train_events([IMAGE], [PAINT], config, start=first.model, resume=first.state, device="cpu"))
    assert "from step 20, at half" in _sentences(events)[0]
    losses = [event.loss for event in events if isinstance(event, StepDone)]
    assert max(losses[2:]) < 1.5 * max(loss for *_, loss in first.model.history.losses[-10:])
    assert rates[-1] == pytest.approx(1e-3)


def _learner() -> Learner:
    torch.manual_seed(0)
    return Learner(
        UNet(TINY), device=torch.device("cpu"), precision=torch.float32, learning_rate=1e-2, seed=0
    )


def _batches(count: int) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        (
            torch.randn(2, 1, 16, 16, generator=generator),
            torch.randint(2, (2, 16, 16), generator=generator, dtype=torch.uint8),
            torch.rand(2, 16, 16, generator=generator),
        )
        for _ in range(count)
    ]


def test_a_snapshot_is_all_that_steps_depend_on() -> None:
    learner, batches = _learner(), _batches(6)
    for batch in batches[:3]:
        learner.step(*batch)
    snapshot = learner.snapshot()
    first = [learner.step(*batch) for batch in batches[3:]]
    weights = learner.weights()
    for _ in range(2):  # a second time: going back must not wear the copy out
        learner.restore(snapshot)
        assert [learner.step(*batch) for batch in batches[3:]] == first
        again = learner.weights()
        assert all(torch.equal(weights[name], again[name]) for name in weights)


def test_a_few_bad_steps_are_nothing() -> None:
    recovery = Recovery(_learner())
    for loss in [None, None, None, None, 1.0, None, None, None, None, 1.0]:
        recovery.after_step(loss)
    assert recovery.news() is None
    assert not recovery.has_given_up


def test_it_gives_up_after_the_fifth_return_and_says_each_thing_once() -> None:
    learner = _learner()
    recovery = Recovery(learner)
    told = []
    for _ in range(6 * 5):
        assert not recovery.has_given_up
        recovery.after_step(None)
        told.append(recovery.news())
    assert recovery.has_given_up
    assert [sentence is not None for sentence in told] == [n in (4, 29) for n in range(30)]
    assert learner._learning_rate == pytest.approx(1e-2 / 2**6)

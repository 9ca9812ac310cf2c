"""A training that was stopped and goes on is the training that was never stopped."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.core.scoring.confidence import Tally
from napari_unet.network.config import TrainingConfig, UNetConfig
from napari_unet.network.events import Checkpoint, Continued, StepDone, Stopped, Validated, Warned
from napari_unet.network.learning.learner import Learner
from napari_unet.network.learning.transfer import fresh_network
from napari_unet.network.learning.validation import Validation
from napari_unet.network.model import Model
from napari_unet.network.training import train_events

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = UNetConfig(features=4, levels=2)
# Elastic deformation and everything else that is random by default stay on.
QUICK = TrainingConfig(patch_size=32, batch_size=1, network=TINY, precision="float32")


def discs(size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy discs, uint16, and strips of paint on them and on the background."""
    rng = np.random.default_rng(0)
    y, x = np.indices((size, size))
    labels = np.zeros((size, size), np.int32)
    for value, (cy, cx) in enumerate([(y, x) for y in range(10, size, 16) for x in range(10, size, 16)], 2):
        labels[(y - cy) ** 2 + (x - cx) ** 2 < 36] = value
    image = ((labels > 0) * 800 + rng.normal(300, 150, labels.shape)).clip(0, 4095).astype(np.uint16)
    return image, np.where(x % 12 < 6, 0, np.where(labels > 0, labels, 1)).astype(np.int32)


IMAGE, PAINT = discs()


def run(
    steps: int, config: TrainingConfig = QUICK, after: Checkpoint | Stopped | None = None, **given: Any
) -> list[Any]:
    """Train ``steps`` further steps and return the events."""
    if after is not None:
        given = {"start": after.model, "resume": after.state} | given
    image, paint = given.pop("image", IMAGE), given.pop("paint", PAINT)
    return list(train_events([image], [paint], replace(config, steps=steps), device="cpu", **given))


def tally(score: float) -> Tally:
    """Twenty strokes of either class; of the pixels of the second, the part ``score`` is right."""
    right = round(1000 * score)
    strokes = [[[1000, 0], [0, 0]]] * 20 + [[[0, 0], [1000 - right, right]]] * 20
    return Tally(np.array(strokes), 1.0)


def assert_same(found: Model, expected: Model) -> None:
    for name, value in expected.weights.items():
        assert torch.equal(found.weights[name], value), name
    strip = [(step, loss) for step, _, loss in found.history.losses]
    assert strip == [(step, loss) for step, _, loss in expected.history.losses]
    assert found.history.best_step == expected.history.best_step


@pytest.mark.parametrize(
    ("stops", "changes"),
    [
        ((3, 4), {}),
        ((5, 3), {}),  # the first stop is at a validation that is due
        ((3, 4), {"ends_rate": 5.0, "pull": 0.05}),
        ((12, 14, 9), {"learning_rate": 1e-2}),  # the best network is of a step before the stop
        ((3, 4), {"precision": "bfloat16", "network": replace(TINY, dropout=0.3)}),
        ((2, 2), {"network": replace(TINY, norm="none", padding="valid", upsampling="convolution")}),
    ],
)
def test_interrupted_is_uninterrupted_bit_for_bit(stops: tuple[int, ...], changes: dict[str, Any]) -> None:
    config = replace(QUICK, **changes)
    stopped: Stopped | None = None
    for steps in stops:
        events = run(steps, config, stopped)
        assert not [event for event in events if isinstance(event, Warned) and "alone" in event.message]
        stopped = events[-1]
    assert stopped is not None
    whole = run(sum(stops), config)[-1]
    assert_same(stopped.model, whole.model)
    for name in ("network", "average", "first_moment", "second_moment", "anchor"):
        found, expected = getattr(stopped.state.learner, name), getattr(whole.state.learner, name)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_the_better_a_starter_does_the_more_of_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    starter = replace(run(2)[-1].model, object_size=12.0)
    moved = {}
    for score in (0.0, 0.5, 1.0):
        monkeypatch.setattr(Validation, "tally", lambda self, predict, score=score: tally(score))
        first = run(4, start=starter)[-1]
        assert first.model.training.pull == pytest.approx(0.1 * score**4)
        further = run(4, after=first)[-1]
        alone = run(1, start=further.model)[-1]
        assert {run.model.training.pull for run in (first, further, alone)} == {first.model.training.pull}
        anchor = further.state.learner.anchor
        assert anchor.keys() <= starter.weights.keys()
        assert bool(anchor) is (score > 0)
        assert all(torch.equal(anchor[name], starter.weights[name]) for name in anchor)
        name = "contracting.0.3.weight"
        moved[score] = float((further.model.weights[name] - starter.weights[name]).norm())
    assert moved[1.0] < moved[0.5] < moved[0.0]
    assert run(1, replace(QUICK, pull=0.0), start=starter)[-1].model.training.pull == 0


@pytest.mark.parametrize(
    ("first", "scores", "best"),
    [
        (12, [0.5, 0.9, 0.4, 0.4], 30),  # steps 5, 12, 25, 30: without the stop, nobody would know of the 0.9
        (25, [0.5, 0.9, 0.4], 25),  # steps 5, 25, 30: a validation that is due counts wherever one stops
        (3, [0.9, 0.4, 0.4, 0.4], 30),  # steps 3, 5, 25, 30: none was due before the stop
    ],
)
def test_the_best_network_does_not_depend_on_the_stop(
    monkeypatch: pytest.MonkeyPatch, first: int, scores: list[float], best: int
) -> None:
    told = iter(scores)
    monkeypatch.setattr(Validation, "tally", lambda self, predict: tally(next(told)))
    stopped = run(first)[-1]
    assert stopped.model.history.best_step == first
    assert run(30 - first, after=stopped)[-1].model.history.best_step == best


def test_on_changed_paint_the_model_that_goes_on_is_the_one_to_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(6)[-1]
    told = iter([0.9, 0.1])
    monkeypatch.setattr(Validation, "tally", lambda self, predict: tally(next(told)))
    paint = PAINT.copy()
    paint[:, :20] = 0
    last = run(3, after=first, paint=paint)[-1].model
    assert last.history.best_step == first.model.history.best_step
    assert all(torch.equal(last.weights[name], value) for name, value in first.model.weights.items())


def test_a_checkpoint_goes_on_as_the_training_that_it_was_made_in() -> None:
    *_, whole = run(12)
    *events, watched = run(12, checkpoint_s=0.0)
    assert_same(watched.model, whole.model)
    assert not any(isinstance(event, Checkpoint) for event in run(12))
    made = [event for event in events if isinstance(event, Checkpoint)]
    # From the first validation on, after every step but the last, which ends with the model itself.
    assert [event.state.step for event in made] == list(range(6, 13))
    for checkpoint in (made[0], made[-3]):
        *_, again = run(12 - checkpoint.state.step, after=checkpoint)
        assert_same(again.model, whole.model)
    assert made[0].model.history.best_step == 5
    # What the training has to beat, also when it goes on.
    assert {event.state.best.step for event in made} == {5}


def test_a_stop_by_hand_can_be_continued_as_well() -> None:
    control = Control()
    events = []
    for event in train_events([IMAGE], [PAINT], replace(QUICK, steps=100), device="cpu", control=control):
        events.append(event)
        if isinstance(event, StepDone) and event.step == 7:
            control.stop()
    assert events[-1].reason == "stopped"
    assert_same(run(3, after=events[-1])[-1].model, run(10)[-1].model)


def test_the_curve_goes_on() -> None:
    first = run(6)[-1]
    events = run(4, after=first)
    (continued,) = [event for event in events if isinstance(event, Continued)]
    assert continued.history == first.model.history
    assert continued.message == "Going on from step 6 with its optimiser."
    assert [event.step for event in events if isinstance(event, StepDone)] == [7, 8, 9, 10]
    history = events[-1].model.history
    assert history.losses[:6] == first.model.history.losses
    assert history.scores[:2] == first.model.history.scores
    assert all(before[1] <= after[1] for before, after in pairwise(history.losses))
    assert (history.steps, [last for _, last, _ in history.sessions]) == (10, [6, 10])
    assert history.seconds > first.model.history.seconds


def test_the_budget_in_seconds_is_a_further_one() -> None:
    first = run(4)[-1]
    first = replace(first, model=replace(first.model, history=replace(first.model.history, seconds=1000.0)))
    config = replace(QUICK, seconds=0.3)
    events = list(train_events([IMAGE], [PAINT], config, start=first.model, resume=first.state, device="cpu"))
    history = events[-1].model.history
    assert 1000.3 <= history.seconds < 1100
    assert history.steps > 4
    assert history.losses[4][1] > 1000


def test_changed_paint_goes_on_with_the_optimiser_and_is_scored_anew() -> None:
    first = run(6)[-1]
    paint = PAINT.copy()
    paint[:, :20] = 0
    events = run(3, after=first, paint=paint)
    (continued,) = [event for event in events if isinstance(event, Continued)]
    assert not continued.same_data
    assert "changed since" in continued.message
    # Before the first step: only scores on the same paint compare.
    assert [type(event) for event in events[events.index(continued) :]] == [
        Continued, Validated, StepDone, StepDone, StepDone, Validated, Stopped,
    ]  # fmt: skip
    assert events[-1].state.learner.updates == 9
    # Not what a fresh optimiser would have done.
    fresh = run(3, paint=paint, start=first.model)[-1]
    assert not torch.equal(events[-1].model.weights["head.weight"], fresh.model.weights["head.weight"])
    assert fresh.model.history.steps == 3


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"image": np.stack([IMAGE, IMAGE[::-1], IMAGE], axis=-1)},
            "does not fit these channels or classes",
        ),
        (
            {"paint": np.minimum(PAINT, 3), "mode": "classes"},
            "has learnt objects and this paint is of classes",
        ),
        ({"features": 6}, "does not fit"),
        ({"step": 5}, "state is of step 5 and the model of step 2"),
    ],
)
def test_what_does_not_fit_starts_from_the_weights_alone(change: dict[str, Any], sentence: str) -> None:
    first = run(2)[-1]
    state = replace(first.state, step=change.pop("step", 2))
    config = replace(QUICK, mode=change.pop("mode", "objects"))
    if "features" in change:
        state = run(2, replace(QUICK, network=replace(TINY, features=change.pop("features"))))[-1].state
    events = run(2, config, start=first.model, resume=state, **change)
    (said,) = [event.message for event in events if isinstance(event, Warned) and "alone" in event.message]
    assert sentence in said
    assert not [event for event in events if isinstance(event, Continued)]
    assert events[-1].model.history.steps == 2


def test_a_state_without_its_model_is_one_sentence() -> None:
    state = run(1)[-1].state
    with pytest.raises(InputError, match="without its model"):
        list(train_events([IMAGE], [PAINT], replace(QUICK, steps=1), resume=state, device="cpu"))


def test_the_state_is_a_copy() -> None:
    first = run(3)[-1]
    before = {name: value.clone() for name, value in first.state.learner.network.items()}
    moments = {name: value.clone() for name, value in first.state.learner.first_moment.items()}
    once = run(2, after=first)[-1].model
    assert all(torch.equal(first.state.learner.network[name], value) for name, value in before.items())
    assert all(torch.equal(first.state.learner.first_moment[name], value) for name, value in moments.items())
    assert_same(run(2, after=first)[-1].model, once)


def test_a_training_that_diverged_has_no_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Learner, "step", lambda self, *batch, **_: None)
    stopped = run(100)[-1]
    assert (stopped.reason, stopped.state) == ("diverged", None)


def test_the_learner_keeps_its_layout_and_its_loss_scale() -> None:
    def learner() -> Learner:
        network = fresh_network(TINY, 0)
        return Learner(
            network, device=torch.device("cpu"), precision=torch.float16, learning_rate=1e-3, seed=0
        )

    generator = torch.Generator().manual_seed(0)
    batch = (
        torch.randn(2, 1, 16, 16, generator=generator),
        torch.randint(2, (2, 16, 16), generator=generator, dtype=torch.uint8),
        torch.ones(2, 16, 16),
    )
    first = learner()
    first.step(*batch)
    first._scaler.update(256.0)
    other = learner()
    other.load(first.state(), 1)
    assert other.state().loss_scale == 256.0
    for parameter, copied in zip(first.network.parameters(), other.network.parameters(), strict=True):
        for name in ("exp_avg", "exp_avg_sq"):
            expected, found = first._optimiser.state[parameter][name], other._optimiser.state[copied][name]
            assert torch.equal(expected, found)
            assert expected.stride() == found.stride()
    assert first.step(*batch) == other.step(*batch)
    assert first.step(*batch) == other.step(*batch)

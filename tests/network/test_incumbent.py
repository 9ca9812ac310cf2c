"""Which network is kept, whatever happens to scores and paint."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from taught import build_dataset

from napari_unet.core.learning.dataset import Dataset
from napari_unet.core.scoring.confidence import Tally
from napari_unet.network.config import TrainingConfig, UNetConfig
from napari_unet.network.events import Validated
from napari_unet.network.learning.batches import BatchShape
from napari_unet.network.learning.calibration import calibration_images
from napari_unet.network.learning.incumbent import Incumbent
from napari_unet.network.learning.learner import Learner
from napari_unet.network.learning.transfer import fresh_network
from napari_unet.network.learning.validation import Validation

CPU = torch.device("cpu")
SHAPE = BatchShape(patches=2, taught=(64, 64), margin=(0, 0))


def dataset(objects: int = 10) -> Dataset:
    paint = np.zeros((64, 64), np.int32)
    for number in range(objects):
        paint[6 * number : 6 * number + 3, 4:24] = 1
        paint[6 * number : 6 * number + 3, 34:60] = 2 + number
    return build_dataset([(paint >= 2).astype(np.float32)], [paint])


def learner(seed: int = 0) -> Learner:
    network = fresh_network(UNetConfig(features=2, levels=2), seed)
    return Learner(network, device=CPU, precision=torch.float32, learning_rate=1e-3, seed=0)


def config(*, patience: int | None, seed: int = 0) -> TrainingConfig:
    return TrainingConfig(patience=patience, seed=seed)


def teach(learner: Learner) -> None:
    """Let it learn what these images show."""
    (sample,) = dataset().samples
    image, target, weight = (torch.from_numpy(a)[None] for a in (sample.image, sample.target, sample.weight))
    for _ in range(15):
        learner.step(image, target, weight, rate=20.0)


def blind(learner: Learner) -> None:
    """Make it a network that sees background everywhere."""
    with torch.no_grad():
        learner.average.module.head.bias[1] -= 1000.0


def tally(*right: float, loss: float = 1.0) -> Tally:
    """Sure background, and one stroke of an object for each part that is right."""
    background = [[[1000, 0], [0, 0]]] * len(right)
    strokes = [[[0, 0], [round(1000 - 1000 * part), round(1000 * part)]] for part in right]
    return Tally(np.array(background + strokes), loss)


def follow(
    monkeypatch: pytest.MonkeyPatch, *tallies: Tally, patience: int | None = None, on: str = "held-out"
) -> list[Any]:
    """Return for every validation whether its network is kept, and whether that is the end."""
    coming: Iterator[Tally] = iter(tallies)
    monkeypatch.setattr(Validation, "tally", lambda self, predict: next(coming))
    scored = dataclasses.replace(dataset(), on=on)
    incumbent = Incumbent(scored, SHAPE, learner(), config(patience=patience, seed=0))
    return [
        (incumbent.validate(step, 0.0).best, incumbent.has_converged)
        for step, _ in enumerate(tallies, start=1)
    ]


@pytest.mark.parametrize(
    ("on", "strokes", "second", "kept"),
    [
        ("held-out", 40, 0.45, True),
        ("held-out", 40, 0.35, False),
        ("held-out", 1, 0.35, False),
        ("training", 40, 0.45, True),
        ("validation", 4, 0.75, True),
        ("validation", 40, 0.799, True),
        ("validation", 40, 0.75, False),
        ("validation", 1, 0.45, True),
        ("validation", 1, 0.35, False),
    ],
)
def test_the_later_is_kept_unless_it_is_lost_or_whole_images_show_it_to_be_worse(
    monkeypatch: pytest.MonkeyPatch, on: str, strokes: int, second: float, kept: bool
) -> None:
    found = follow(monkeypatch, tally(*[0.8] * strokes), tally(*[second] * strokes), on=on)
    assert [best for best, _ in found] == [True, kept]


def test_a_network_without_numbers_is_kept_only_for_want_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    nan = tally(0.9, 0.9, loss=math.nan)
    assert [best for best, _ in follow(monkeypatch, nan, nan, tally(0.1, 0.1), nan, tally(0.2, 0.2))] == [
        True,
        True,
        True,
        False,
        True,
    ]


def test_what_is_kept_and_looked_at_is_normalised_by_the_images_as_the_weights_are_now() -> None:
    taught, again = learner(), learner()
    incumbent = Incumbent(dataset(), SHAPE, taught, config(patience=None, seed=3))
    images = calibration_images(dataset(), SHAPE, config(patience=None, seed=3), CPU)
    image = images[0]
    for _ in range(2):
        teach(taught)
        teach(again)
        again.calibrate(images)
        assert torch.equal(incumbent.glance(image), again.predict(image))
    teach(taught)
    incumbent.validate(45, 0.0)
    teach(again)
    again.calibrate(images)
    kept = incumbent.best.weights
    assert all(torch.equal(kept[name], value) for name, value in again.weights().items())


@pytest.mark.parametrize("patience", [None, 1, 3])
def test_patience(monkeypatch: pytest.MonkeyPatch, patience: int | None) -> None:
    tallies = [tally(*[score] * 2) for score in (0.5, 0.6, 0.6, 0.55, 0.59, 0.7)]
    ends = [end for _, end in follow(monkeypatch, *tallies, patience=patience)]
    expected = {None: [], 1: [2, 3, 4], 3: [4]}[patience]
    assert [index for index, end in enumerate(ends) if end] == expected


def test_on_other_paint_the_kept_network_is_scored_anew_and_stays() -> None:
    teacher = learner()
    teach(teacher)
    incumbent = Incumbent(dataset(), SHAPE, teacher, config(patience=2, seed=0))
    first = incumbent.validate(1, 0.0)
    kept = {name: value.clone() for name, value in incumbent.best.weights.items()}
    blind(teacher)
    now = {name: value.clone() for name, value in teacher.weights().items()}
    assert not incumbent.validate(2, 0.0).best
    assert not incumbent.validate(3, 0.0).best
    assert incumbent.has_converged
    told = incumbent.rescore(dataset(9), seconds=5.0)
    # Scored with its own weights, not with those of the network that goes on learning, which are as before.
    again = learner()
    teach(again)
    fresh = Incumbent(dataset(9), SHAPE, again, config(patience=2, seed=0)).keep(kept, 1, 5.0)
    assert told == fresh
    assert isinstance(told, Validated)
    assert told.strokes != first.strokes or told.score != first.score
    assert all(torch.equal(now[name], value) for name, value in teacher.weights().items())
    assert all(torch.equal(kept[name], value) for name, value in incumbent.best.weights.items())
    assert not incumbent.has_converged
    assert incumbent.best.step == 1
    assert (
        Incumbent(dataset(), SHAPE, teacher, config(patience=2, seed=0)).rescore(dataset(9), seconds=5.0)
        is None
    )


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (
            Validated(5, 0.834, 1.0, 2.0, "held-out", True, (0.71, 0.9), 6),
            "score 0.83 (0.71 to 0.90) on 6 strokes held out",
        ),
        (
            Validated(5, 1.0, 1.0, 2.0, "training", True, (0.0, 1.0), 1),
            "score 1.00 (unsure: too few strokes) on the 1 stroke learnt from",
        ),
        (
            Validated(5, 0.5, 1.0, 2.0, "validation", True, (0.25, 1.0), 2),
            "score 0.50 (0.25 to 1.00) on 2 strokes of the validation images",
        ),
    ],
)
def test_scores_in_words(event: Validated, words: str) -> None:
    assert event.words == words

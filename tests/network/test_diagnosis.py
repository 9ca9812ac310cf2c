"""Every diagnosis: when it is made, when it is not, and that its sentence says what to do."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from taught import build_dataset

from napari_unet.core.learning.dataset import Dataset
from napari_unet.network.config import TrainingConfig, UNetConfig
from napari_unet.network.events import Resolved, Warned
from napari_unet.network.geometry import seen_by
from napari_unet.network.learning.batches import BatchShape
from napari_unet.network.learning.diagnosis import (
    Watch,
    about_borders,
    about_classes,
    about_score,
    about_size,
    doubts,
    field_of_view,
)
from napari_unet.network.training import train_events

CPU = torch.device("cpu")
SHAPE = BatchShape(patches=4, taught=(48, 48), margin=(0, 0))
QUICK = TrainingConfig(
    steps=1,
    patch_size=32,
    batch_size=1,
    network=UNetConfig(features=2, levels=2),
    precision="float32",
)


def _paint(gap: int = 30) -> np.ndarray:
    """Six squares of 8 pixels, ``gap`` pixels apart, in rows of three, and a stroke of background."""
    paint = np.zeros((100, 140), np.int32)
    paint[4:6, 4:120] = 1
    for number in range(6):
        row, column = divmod(number, 3)
        y, x = 12 + row * (8 + gap), 8 + column * (8 + gap)
        paint[y : y + 8, x : x + 8] = 2 + number
    return paint


def _dataset(paint: np.ndarray, **options: Any) -> Dataset:
    image = np.random.default_rng(0).normal(100, 10, paint.shape)
    return build_dataset([image], [paint], **({"held_out": 0} | options))


def _says(classes: Any) -> Any:
    """A network that answers the same for every pixel, or what an array of its crop's shape says."""

    def predict(image: torch.Tensor) -> torch.Tensor:
        wanted = torch.as_tensor(classes).expand(image.shape[0], *image.shape[2:])
        return torch.nn.functional.one_hot(wanted.long(), 3).movedim(-1, 1).float()

    return predict


def _looks(watch: Watch, answers: dict[int, Any]) -> list[Any]:
    return [event for step, answer in answers.items() for event in watch.look(step, _says(answer))]


CHECKS = np.indices((48, 48)).sum(axis=0) % 2


@pytest.mark.parametrize(
    ("values", "mode", "taken", "rarer"),
    [
        ([0], "objects", "everything for background", "more of objects"),
        ([1], "objects", "everything for objects", "more of background"),
        ([0], "classes", "everything for background", "more of the other classes"),
        ([2], "classes", "everything for class 3", "more of the other classes"),
        ([0, 1], "objects", None, None),
        ([1, 2], "classes", None, None),
    ],
)
def test_one_class(values: Any, mode: Any, taken: Any, rarer: Any) -> None:
    sentence = about_classes([np.full((4, 4), value) for value in values], 100, mode)
    if taken is None:
        assert sentence is None
    else:
        assert taken in sentence
        assert rarer in sentence
        assert sentence.startswith("After 100 steps")


def test_the_watch_looks_seldom_and_says_nothing_twice() -> None:
    seen: list[int] = []
    watch = Watch(_dataset(_paint()), SHAPE, CPU, 0)

    def predict(image: torch.Tensor) -> torch.Tensor:
        seen.append(step)
        return _says(0)(image)

    told = []
    for step in range(1, 501):
        told += watch.look(step, predict)
    (warned,) = told
    assert "everything for background" in warned.message
    # Eight crops in batches of four; between the looks, while it holds, every 50 steps.
    assert seen == [n for n in range(100, 501, 50) for _ in range(2)]


def test_a_sentence_is_withdrawn_once_it_does_not_hold() -> None:
    watch = Watch(_dataset(_paint(gap=2)), SHAPE, CPU, 0)
    first, second = _looks(watch, {100: 0, 110: CHECKS, 150: CHECKS, 200: CHECKS, 400: 0, 450: CHECKS})
    assert isinstance(first, Warned)
    assert second == Resolved(first.message)


def test_nothing_is_said_before_the_network_can_have_learnt() -> None:
    watch = Watch(_dataset(_paint()), SHAPE, CPU, 0)
    assert _looks(watch, dict.fromkeys(range(1, 100), 0)) == []


def test_objects_that_run_together_where_no_border_was_shown() -> None:
    halves = (np.indices((48, 48))[0] < 47).astype(int)  # one region, and a line of background
    far = _looks(Watch(_dataset(_paint(gap=15)), SHAPE, CPU, 0), {100: halves})
    assert [type(event) for event in far] == [Warned]
    assert "of 6 painted objects run together" in far[0].message
    assert "draw a thin line of background between neighbours" in far[0].message
    # Where two objects are close, the paint shows a border; in checks, nothing runs together.
    assert _looks(Watch(_dataset(_paint(gap=3)), SHAPE, CPU, 0), {100: halves}) == []
    assert _looks(Watch(_dataset(_paint(gap=15)), SHAPE, CPU, 0), {100: CHECKS}) == []


def test_where_all_is_one_object_nothing_more_is_said() -> None:
    (only,) = _looks(Watch(_dataset(_paint(gap=15)), SHAPE, CPU, 0), {100: 1, 150: 1})
    assert "everything for objects" in only.message


def test_a_border_drawn_between_two_objects_far_from_the_others_is_enough() -> None:
    paint = _paint(gap=30)
    paint[90:98, 4:12], paint[90:98, 13:21] = 20, 21
    halves = (np.indices((48, 48))[0] < 47).astype(int)
    assert _looks(Watch(_dataset(paint), SHAPE, CPU, 0), {100: halves}) == []


def test_classes_have_no_borders() -> None:
    paint = np.minimum(_paint(), 3)
    watch = Watch(_dataset(paint, mode="classes"), SHAPE, CPU, 0)
    assert _looks(watch, {100: (np.indices((48, 48))[0] < 47).astype(int)}) == []


@pytest.mark.parametrize(("joined", "found"), [(0, 0), (0, 9), (1, 1), (2, 9)])
def test_a_few_objects_that_run_together_are_no_fault(joined: int, found: int) -> None:
    assert about_borders(joined, found) is None
    assert about_borders(joined + 2, 4) is not None


@given(levels=st.integers(1, 7), padding=st.sampled_from(["same", "valid"]))
def test_the_field_of_view_is_what_the_geometry_says(levels: int, padding: Any) -> None:
    config = UNetConfig(levels=levels, padding=padding)
    first, last = seen_by(config, 1)
    assert field_of_view(config) == last - first > 2**levels


@pytest.mark.parametrize(
    ("across", "levels", "said"),
    [
        (220, 4, None),
        (221, 4, "take 5 levels, which see 444, or shrink the images 2 times"),
        (500, 4, "take 6 levels, which see 892, or shrink the images 3 times"),
        (3000, 4, "outside; shrink the images 14 times"),
        (60, 1, "a network of 1 level sees"),
        (1800, 7, "outside; shrink the images 2 times"),
    ],
)
def test_large_objects(across: int, levels: int, said: Any) -> None:
    network = UNetConfig(levels=levels)
    spans = np.array([[across, 4000], [4000, across], [4000, across], [3, 3]])
    sentence = about_size(spans, network)
    assert (sentence is None) == (said is None)
    if said:
        assert f"span {across} pixels or more" in sentence
        assert f"sees {field_of_view(network)} at once" in sentence
        assert said in sentence
    # Long and thin is not large; and nothing painted is no fault.
    assert about_size(np.array([[4000, 10]] * 3), network) is None
    assert about_size(np.zeros((0, 2), int), network) is None


def test_doubts_before_the_first_step() -> None:
    paint = np.zeros((300, 300), np.int32)
    paint[:20], paint[30:280, 30:280] = 1, 2
    found = doubts(_dataset(paint), TrainingConfig(held_out=0))
    assert len(found) == 1
    assert "span 250 pixels" in found[0]
    (score,) = doubts(_dataset(_paint()), TrainingConfig())
    assert "at least 5 strokes each of background and objects" in score
    # Who turns it off knows; who has painted enough need not.
    assert doubts(_dataset(_paint()), TrainingConfig(held_out=0)) == ()
    many = _paint()
    many[60:100:8, 130:] = 1
    assert doubts(_dataset(many, held_out=0.2), TrainingConfig()) == ()
    assert about_score(_dataset(_paint()), "classes").endswith("each of every class.")


def test_a_small_image_that_is_painted_all_over_has_no_room_for_more_strokes() -> None:
    paint = np.ones((40, 60), np.int32)
    paint[5:12, 5:15] = 2
    (score,) = doubts(_dataset(paint, held_out=0.2), TrainingConfig())
    assert "paint at least 5 strokes" in score  # of objects there is one
    for number in range(3, 9):
        paint[20:30, 6 * number : 6 * number + 4] = number
    (score,) = doubts(_dataset(paint, held_out=0.2), TrainingConfig())
    assert "too large to hold some out" in score
    assert score.endswith("paint another image, and score on that one.")


def test_numbers_that_no_camera_counts_are_told() -> None:
    paint = np.zeros((40, 40), np.int32)
    paint[:20], paint[30:] = 1, 2
    image = np.where(paint == 1, 1e300, 2e300)
    config = dataclasses.replace(QUICK, steps=1, patch_size=16)
    warned = [item.message for item in train_events([image], [paint], config) if isinstance(item, Warned)]
    assert any("or without numbers that can be used (NaN, or beyond 3e38)" in message for message in warned)


@pytest.mark.usefixtures("one_thread")
def test_a_training_tells_what_it_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.full((100, 140), 7.0)  # nothing to be learnt, so the classes cannot be told apart
    paint = np.zeros((100, 140), np.int32)
    paint[4:90, 4:100], paint[95, 100:120], paint[97, 100:120] = 1, 2, 3
    other = np.zeros((60, 60), np.int32)
    other[:58] = 1
    config = dataclasses.replace(QUICK, steps=101, patch_size=16, learning_rate=1e-2)
    events = list(train_events([image, image[:60, :60]], [paint, other], config, device="cpu"))
    warned = [event.message for event in events if isinstance(event, Warned)]
    assert len(warned) == len(set(warned))
    text = "\n".join(warned)
    # 8256 + 3480 pixels of background and 40 of objects, over both images.
    assert f"Background covers {(86 * 96 + 58 * 60) // 40} times as many pixels as objects" in text
    assert "2 of 2 painted images or planes are of one brightness throughout" in text
    assert "too little paint to hold some out" in text
    assert "After 100 steps the network still takes everything for" in text


@pytest.mark.usefixtures("one_thread")
def test_watching_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    paint = _paint()
    image = (paint > 1) + np.random.default_rng(0).normal(0, 0.1, paint.shape)
    config = dataclasses.replace(QUICK, steps=105, patch_size=16)
    models = []
    for _ in range(2):
        models.append(list(train_events([image], [paint], config, device="cpu"))[-1].model)
        monkeypatch.setattr(Watch, "look", lambda *_: iter(()))
    assert all(torch.equal(values, models[1].weights[name]) for name, values in models[0].weights.items())

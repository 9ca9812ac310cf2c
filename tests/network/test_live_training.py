"""Paint that changes while a network learns, and previews of what it makes of it."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from napari_unet.core.arrays import axes
from napari_unet.core.arrays.normalisation import Normalisation
from napari_unet.core.control import Control
from napari_unet.core.learning.view import Gaze, View
from napari_unet.core.painted.known_full import KnownFull
from napari_unet.core.painted.paint_feed import PaintFeed, Source
from napari_unet.core.painted.regions import Region, complete, overlooked
from napari_unet.network import prediction
from napari_unet.network.config import TrainingConfig, UNetConfig
from napari_unet.network.events import (
    Checkpoint,
    Continued,
    PaintJoined,
    Preview,
    Resolved,
    StepDone,
    Stopped,
    Validated,
    Warned,
)
from napari_unet.network.learning import batches, incumbent, joining, live_preview, training_loop
from napari_unet.network.learning.learner import Learner
from napari_unet.network.learning.live_preview import BLOCK, INTERVAL_S, SHARE, LivePreview, blocks_of
from napari_unet.network.learning.state import fingerprint
from napari_unet.network.learning.transfer import fresh_network
from napari_unet.network.learning.validation import INTERVAL, Validation
from napari_unet.network.training import train_events

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = UNetConfig(features=4, levels=2)
QUICK = TrainingConfig(
    steps=30, patch_size=32, batch_size=2, network=TINY, precision="float32", learning_rate=5e-3
)


def scene() -> tuple[np.ndarray, np.ndarray]:
    """Return bright and dark discs on grey, and paint of the background and the bright ones."""
    rng = np.random.default_rng(0)
    y, x = np.indices((96, 96))
    image = np.full((96, 96), 0.5)
    paint = np.zeros((96, 96), np.int32)
    for number, (row, column) in enumerate((row, column) for row in (16, 48, 80) for column in (16, 48, 80)):
        disc = (y - row) ** 2 + (x - column) ** 2 < 100
        image[disc] = number % 2
        if number % 2:
            paint[disc] = number + 2
    paint[30:34] = 1
    paint[62:66] = 1
    return (image * 1000 + rng.normal(2000, 30, image.shape)).astype(np.uint16), paint


def dark_discs() -> list[tuple[slice, slice]]:
    return [
        (slice(row - 6, row + 6), slice(column - 6, column + 6))
        for number, (row, column) in enumerate((r, c) for r in (16, 48, 80) for c in (16, 48, 80))
        if not number % 2
    ]


def follow(paint: np.ndarray, image: np.ndarray) -> tuple[Source, PaintFeed]:
    source = Source("cells", image, paint)
    return source, PaintFeed([source])


def training(
    source: Source, feed: PaintFeed, config: TrainingConfig = QUICK, **options: Any
) -> Iterator[Any]:
    return train_events([source.image], [source.paint.copy()], config, device="cpu", feed=feed, **options)


def test_without_news_a_training_is_what_it_was() -> None:
    image, paint = scene()
    plain = list(train_events([image], [paint.copy()], QUICK, device="cpu"))[-1].model
    source, feed = follow(paint, image)
    same = list(training(source, feed, gaze=Gaze()))[-1].model
    assert all(torch.equal(value, same.weights[name]) for name, value in plain.weights.items())


def test_what_is_painted_meanwhile_is_learnt() -> None:
    image, paint = scene()
    source, feed = follow(paint, image)
    joined: list[PaintJoined] = []
    config = replace(QUICK, steps=160, held_out=0, batch_size=4, network=UNetConfig(features=6, levels=2))
    for event in training(source, feed, config):
        if isinstance(event, StepDone) and event.step == 60:
            for number, disc in enumerate(dark_discs()):
                paint[disc] = 100 + number
            feed.put(source, ())
        elif isinstance(event, PaintJoined):
            joined.append(event)
        elif isinstance(event, Stopped):
            model = event.model
    (join,) = joined
    assert join.known_pixels == np.count_nonzero(paint)
    found = predict(model, image)
    assert np.mean([found[disc].mean() for disc in dark_discs()]) > 0.6


def test_what_scores_depend_on_is_summed_up_once_for_each_paint(monkeypatch: pytest.MonkeyPatch) -> None:
    image, paint = scene()
    source, feed = follow(paint, image)
    found: list[str] = []

    def counted(*given: Any) -> str:
        found.append(fingerprint(*given))
        return found[-1]

    monkeypatch.setattr(training_loop, "fingerprint", counted)
    saved: list[str] = []
    for event in training(source, feed, replace(QUICK, steps=28), checkpoint_s=0.0):
        if isinstance(event, StepDone) and event.step == 7:
            paint[dark_discs()[0]] = 100
            feed.put(source, ())
        elif isinstance(event, Checkpoint):
            saved.append(event.state.data)
        elif isinstance(event, Stopped):
            assert event.state is not None
            saved.append(event.state.data)
    assert len(saved) > 4
    assert list(dict.fromkeys(saved)) == found
    assert len(found) == 2


def predict(model: Any, image: np.ndarray) -> np.ndarray:
    return np.asarray(prediction.predict(model, image, device="cpu").probabilities[1] > 0.5)


def test_the_next_batches_are_around_the_new_paint(monkeypatch: pytest.MonkeyPatch) -> None:
    image, paint = scene()
    source, feed = follow(paint, image)
    drawn: list[Any] = []
    original = batches.draw_patch

    def spy(*given: Any, **named: Any) -> Any:
        drawn.append(named["fresh"])
        return original(*given, **named)

    monkeypatch.setattr(batches, "draw_patch", spy)
    monkeypatch.setattr(incumbent, "calibration_images", lambda *_: [])  # which are patches, too
    for event in training(source, feed, replace(QUICK, held_out=0)):
        if isinstance(event, StepDone) and event.step == 2:
            paint[88:92, 40:50] = 1
            feed.put(source)
    assert [fresh is not None for fresh in drawn] == [False] * 4 + [True, False] * 25 + [False] * 6
    rows = np.unravel_index(drawn[4].pixels, paint.shape)[0]
    assert rows.min() == 88
    assert rows.max() == 91


def test_paint_does_not_wait_for_the_end_of_a_score_which_is_of_the_network_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image, paint = scene()
    source, feed = follow(paint, image)
    original, scored = Validation.tally, []

    def tally_and_paint(self: Any, predict: Any) -> Any:
        scored.append(original(self, predict))
        if len(scored) == 2:  # at step 25

            def paint_first(batch: Any) -> Any:
                if not paint[94].any():
                    paint[94, 5:50] = 1
                    feed.put(source)
                return predict(batch)

            scored.append(original(self, paint_first))
            return scored[-1]
        return scored[-1]

    monkeypatch.setattr(Validation, "tally", tally_and_paint)
    events = [event for event in training(source, feed) if not isinstance(event, Resolved | Warned)]
    kinds = [(type(event).__name__, getattr(event, "step", None)) for event in events]
    at = kinds.index(("StepDone", 25))
    assert kinds[at + 1 : at + 5] == [
        ("PaintJoined", None),
        ("StepDone", 26),
        ("Validated", 25),
        ("StepDone", 27),
    ]
    np.testing.assert_array_equal(scored[1].confusions, scored[2].confusions)
    assert scored[1].loss == scored[2].loss
    assert [event.step for event in events if isinstance(event, StepDone)] == [*range(1, QUICK.steps + 1)]
    # The last score is of today's paint, the kept network first.
    assert [event.step for event in events if isinstance(event, Validated)] == [5, 25, 25, 30]


@pytest.mark.parametrize(("took", "wait"), [(0.01, 0.1), (1.0, 0.5)])
def test_after_paint_has_joined_the_next_waits_a_little(
    monkeypatch: pytest.MonkeyPatch, took: float, wait: float
) -> None:
    """Ten times as long as it took to take it in, so that strokes do not stop the training, up to 0.5 s."""
    clock = Clock()
    monkeypatch.setattr(joining, "perf_counter", clock)

    class Slow:
        dataset = SimpleNamespace(known_pixels=0, samples=(), warnings=(), on="held-out")
        held_back: tuple[str, ...] = ()

        def update(self, _news: Any) -> bool:
            clock.now += took
            return False

    source, feed = follow(*reversed(scene()))
    slow: Any = Slow()
    joins = joining.Joining(slow, feed, QUICK, [])
    feed.put(source)
    assert joins.waits
    assert list(joins.look()) == []
    feed.put(source)
    clock.now += 0.99 * wait
    assert not joins.waits
    clock.now += 0.02 * wait
    assert joins.waits


def test_no_score_is_left_out_for_paint_that_comes_during_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_loop, "interval_on", lambda _device: 7)
    monkeypatch.setattr(joining, "_LONGEST_WAIT_S", 0.0)
    image, paint = scene()
    source, feed = follow(paint, image)
    tally = Validation.tally

    def tally_and_paint(self: Any, predict: Any) -> Any:
        def paint_first(batch: Any) -> Any:
            feed.put(source)
            return predict(batch)

        return tally(self, paint_first)

    monkeypatch.setattr(Validation, "tally", tally_and_paint)
    events = list(training(source, feed, replace(QUICK, steps=14)))
    at = [(type(event), event.step) for event in events if isinstance(event, StepDone | Validated)]
    assert at.index((StepDone, 6)) < at.index((Validated, 5)) < at.index((StepDone, 7))
    assert {5, 7, 14} <= {step for kind, step in at if kind is Validated}


def test_a_pause_holds_while_a_network_is_scored_though_paint_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    image, paint = scene()
    source, feed = follow(paint, image)
    happened: list[str] = []
    tally, step = Validation.tally, Learner.step

    class Held(Control):
        def wait_while_paused(self) -> None:
            if self.paused:
                happened.append("held")
                self.resume()

    control = Held()

    def pause_and_paint(self: Any, predict: Any) -> Any:
        if "paint" not in happened:
            happened.append("paint")
            control.pause()
            paint[94, 5:50] = 1
            feed.put(source)
        return tally(self, predict)

    def spy(self: Any, *batch: Any, **named: Any) -> Any:
        happened.append("step")
        return step(self, *batch, **named)

    monkeypatch.setattr(Validation, "tally", pause_and_paint)
    monkeypatch.setattr(Learner, "step", spy)
    list(training(source, feed, replace(QUICK, steps=8), control=control))
    assert happened == ["step"] * 5 + ["paint", "held"] + ["step"] * 3


def test_scores_are_of_todays_paint_and_patience_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    rescored: list[int] = []
    original = Validation.__init__

    def spy(self: Any, dataset: Any, *rest: Any) -> None:
        rescored.append(dataset.known_pixels)
        original(self, dataset, *rest)

    monkeypatch.setattr(Validation, "__init__", spy)
    image, paint = scene()
    source, feed = follow(paint, image)
    steps = []
    for event in training(source, feed, replace(QUICK, steps=2 * INTERVAL)):
        if isinstance(event, StepDone) and event.step in (7, 9):
            paint[94, event.step * 5 : event.step * 5 + 5] = 1
            feed.put(source)
        elif isinstance(event, Validated):
            steps.append(event.step)
    # The network kept so far, that of step 5, was scored anew before that of step 25; once for two strokes.
    assert steps == [5, 5, INTERVAL, 2 * INTERVAL]
    assert rescored == [np.count_nonzero(paint) - 10, np.count_nonzero(paint)]


def test_the_state_is_of_the_paint_at_the_end() -> None:
    image, paint = scene()
    source, feed = follow(paint, image)
    for event in training(source, feed):
        if isinstance(event, StepDone) and event.step == 20:
            paint[88, 40:50] = 1
            paint[30:34, :50] = 0
            feed.put(source)
        elif isinstance(event, Stopped):
            stopped = event
    events = train_events(
        [image], [paint.copy()], QUICK, start=stopped.model, resume=stopped.state, device="cpu"
    )
    assert next(event for event in events if isinstance(event, Continued)).same_data
    events.close()  # type: ignore[attr-defined]


def test_what_is_missing_is_told_and_taken_back() -> None:
    image, paint = scene()
    objects = paint >= 2
    paint[objects] = np.where(paint == 3, 3, 0)[objects]
    source, feed = follow(paint, image)
    said: list[Any] = []
    for event in training(source, feed):
        if isinstance(event, StepDone) and event.step == 3:
            paint[45:50, 10:20] = 9
            feed.put(source)
        elif isinstance(event, StepDone) and event.step == 20:
            paint[paint >= 2] = 0
            feed.put(source)
        if isinstance(event, Warned | Resolved):
            said.append(event)
    alone = "Only one object is painted; paint another near it, or nothing shows how to keep them apart."
    assert Warned(alone) in said
    assert Resolved(alone) in said
    assert any(isinstance(event, Warned) and "Only background is painted" in event.message for event in said)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("ndim", "plane", "padding"), [(2, (), "same"), (2, (1,), "same"), (2, (), "valid"), (3, (2,), "same")]
)
def test_previews_are_what_the_network_predicts_there(ndim: int, plane: Any, padding: Any) -> None:
    config = replace(TINY, ndim=ndim, padding=padding)
    network = fresh_network(config, 0).eval()
    shape = (90, 70) if not plane else (5, 90, 70)
    image = np.random.default_rng(0).integers(0, 4000, shape)
    gaze = Gaze()
    preview = LivePreview(
        gaze, config, channels="none", normalisation=Normalisation(), device=torch.device("cpu")
    )

    def predict(batch: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return network(batch)

    assert list(preview.look(predict)) == []
    gaze.view = View("a", image, shape, plane, (slice(5, 80), slice(10, 60)))
    first, *_ = preview.look(predict)
    assert (first.key, first.plane) == ("a", plane)
    edge = BLOCK[ndim]
    assert first.box == (slice(0, min(edge, 90)), slice(0, min(edge, 70)))
    assert first.probabilities.shape == (2, min(edge, 90), min(edge, 70))
    np.testing.assert_allclose(first.probabilities.sum(axis=0), 1, rtol=1e-5)
    if ndim == 2 and padding == "same":
        scale = Normalisation()
        pixels = scale.scale(image[None], scale.limits(image[None]))[(slice(None), *plane)]
        padded = np.pad(pixels, ((0, 0), (0, 6), (0, 2)), mode="reflect")
        whole = predict(torch.from_numpy(padded)[None])[0].softmax(0).numpy()
        inner = (slice(None), slice(30, 60), slice(30, 40))
        np.testing.assert_allclose(first.probabilities[inner], whole[inner], atol=1e-5)


def timed_preview(
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[Clock, LivePreview, Gaze, Callable[[torch.Tensor], torch.Tensor]]:
    """Return a clock, a preview that goes by it, where that looks, and a network that takes 50 ms a block."""
    clock = Clock()
    monkeypatch.setattr(live_preview, "perf_counter", clock)
    image = np.random.default_rng(0).integers(0, 4000, (1024, 1024))
    gaze = Gaze()
    gaze.view = View("a", image, image.shape, (), (slice(0, 1024), slice(0, 1024)), 2)
    preview = LivePreview(
        gaze, TINY, channels="none", normalisation=Normalisation(), device=torch.device("cpu")
    )

    def predict(batch: torch.Tensor) -> torch.Tensor:
        clock.now += 0.05
        return torch.zeros((1, 2, *batch.shape[2:]))

    return clock, preview, gaze, predict


def test_previews_take_their_share_of_the_time_and_the_middle_comes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, preview, gaze, predict = timed_preview(monkeypatch)
    shown: list[tuple[int, int]] = []
    spent = 0.0
    began = clock.now
    for step in range(600):
        clock.now += 0.1
        events = list(preview.look(predict))
        spent += 0.05 * len(events)
        shown += [(event.box[0].start, event.box[1].start) for event in events]
        assert all(event.probabilities.shape == (2, 128, 128) for event in events)
        if events and step > 50:
            assert len(events) <= 4
    assert spent <= SHARE * (clock.now - began) + 0.1
    assert spent >= 0.5 * SHARE * (clock.now - began)
    assert set(shown[:4]) == {(256, 256), (256, 512), (512, 256), (512, 512)}
    assert len(set(shown[:16])) == 16  # each once before any comes again
    assert shown[16] == shown[0]
    assert INTERVAL_S >= 1

    # Another plane or place comes at once, and nothing where nobody looks.
    gaze.view = replace(gaze.view, box=(slice(0, 100), slice(900, 1000)))
    clock.now += 2
    assert next(event.box for event in preview.look(predict)) == (slice(0, 256), slice(768, 1024))
    gaze.view = None
    clock.now += 2
    assert list(preview.look(predict)) == []


def test_what_paint_interrupts_of_a_preview_comes_after_the_next_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, preview, _gaze, predict = timed_preview(monkeypatch)
    shown: list[tuple[int, int]] = []
    began = clock.now
    for _ in range(600):
        clock.now += 0.1
        events = preview.look(predict)
        event = next(events, None)
        shown += [] if event is None else [(event.box[0].start, event.box[1].start)]
        events.close()
    share = 0.05 * len(shown) / (clock.now - began)
    assert 0.6 * SHARE <= share <= SHARE
    assert len(set(shown[:16])) == 16


def test_glances_are_of_other_blocks_each_and_wait_for_paint(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, preview, gaze, predict = timed_preview(monkeypatch)
    view = View("b", np.zeros((300, 900)), (300, 900), (), (slice(0, 300), slice(0, 900)))
    list(preview.look(predict))
    gaze.glances.extend([view] * 6)
    began = clock.now
    events = preview.look(predict)
    shown = [next(events)]
    events.close()  # paint came
    shown += list(preview.look(predict))
    assert [event.key for event in shown] == ["b"] * 6
    assert len({(event.box[0].start, event.box[1].start) for event in shown}) == 6
    assert shown[0].box == (slice(0, 256), slice(256, 512))
    assert clock.now - began == pytest.approx(6 * 0.05)


def test_a_very_wide_view_is_predicted_in_its_middle() -> None:
    view = View("a", None, (100_000, 300), (), (slice(0, 100_000), slice(0, 300)))
    boxes = blocks_of(view, 256)
    assert len(boxes) == 16
    assert min(box[0].start for box in boxes) > 48_000
    assert max(box[1].stop for box in boxes) == 300


@pytest.mark.parametrize(
    "region",
    [
        Region((), (slice(90, 100), slice(0, 50)), np.ones((10, 50), bool)),
        Region((2,), (slice(0, 50), slice(0, 50)), np.ones((50, 50), bool)),
    ],
)
def test_regions_of_paint_of_another_shape_do_not_count(region: Region) -> None:
    image, paint = scene()
    source, feed = follow(paint, image)
    known = KnownFull(regions=(region,))
    for event in training(source, feed, replace(QUICK, steps=4)):
        if isinstance(event, StepDone) and event.step == 1:
            feed.put(replace(source, known=known))
        assert not isinstance(event, PaintJoined)
    assert event.reason == "finished"
    assert (complete(paint.copy(), known.regions) == paint).all()
    assert known.within(paint) is False
    assert overlooked(paint, paint, known.regions) == 0


def test_what_cannot_be_previewed_ends_no_training() -> None:
    image, paint = scene()
    source, feed = follow(paint, image)
    everywhere = (slice(0, 50), slice(0, 50))
    gaze = Gaze()
    gaze.view = View(
        "cells", image, (50, 50), (), everywhere
    )  # paint of another shape than when it was learnt
    gaze.glances.append(View("colours", np.stack([image, image, image + 1]), image.shape, (), everywhere))
    events = list(training(source, feed, gaze=gaze))
    assert isinstance(events[-1], Stopped)
    assert not any(isinstance(event, Preview) for event in events)


def test_grey_pictures_saved_in_colours_are_previewed_and_looked_through_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image, paint = scene()
    source, feed = follow(paint, image)
    colours = np.stack([image] * 3, axis=-1)
    gaze = Gaze()
    everywhere = (slice(0, 96), slice(0, 96))
    gaze.view = View("colours", colours, image.shape, (), everywhere)
    for _ in range(2):
        gaze.glances.append(View("colours", colours, image.shape, (), everywhere))
    read = []

    def channels_first(pixels: Any, **arguments: Any) -> Any:
        read.append(pixels)
        return axes.channels_first(pixels, **arguments)

    monkeypatch.setattr(live_preview, "channels_first", channels_first)
    events = list(training(source, feed, gaze=gaze))
    assert sum(isinstance(event, Preview) for event in events) >= 3
    assert len(read) == 1


def test_glances_may_be_cleared_at_any_moment() -> None:
    class Cleared(deque):
        def __bool__(self) -> bool:  # there was one a moment ago
            return True

    image, paint = scene()
    source, feed = follow(paint, image)
    gaze = Gaze()
    gaze.glances = Cleared()
    assert isinstance(list(training(source, feed, replace(QUICK, steps=2), gaze=gaze))[-1], Stopped)


def test_previews_come_with_the_training() -> None:
    image, paint = scene()
    gaze = Gaze()
    gaze.view = View("cells", image, paint.shape, (), (slice(0, 96), slice(0, 96)))
    source, feed = follow(paint, image)
    events = list(training(source, feed, gaze=gaze))
    first = next(number for number, event in enumerate(events) if isinstance(event, Preview))
    assert sum(isinstance(event, StepDone) for event in events[:first]) == 1

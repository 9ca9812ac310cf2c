"""Small real trainings: they learn, they repeat, they stop, they survive."""

import dataclasses
import gc
import math
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from skimage.measure import label

from napari_unet.core.arrays.normalisation import Normalisation, apply_limits
from napari_unet.core.borders.weight_config import WeightConfig
from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.core.instances import InstanceConfig
from napari_unet.core.scoring.confidence import Tally
from napari_unet.core.weights import border_weights
from napari_unet.files.networks.models import save_model
from napari_unet.network.config import AugmentationConfig, TrainingConfig, UNetConfig
from napari_unet.network.events import Adapted, Continued, Started, StepDone, Stopped, Validated, Warned
from napari_unet.network.learning import batches, training_loop
from napari_unet.network.learning import learner as learner_module
from napari_unet.network.learning.validation import Validation
from napari_unet.network.model import Model
from napari_unet.network.prediction import predict
from napari_unet.network.training import train, train_events
from napari_unet.network.unet import UNet

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = UNetConfig(features=4, levels=2)
QUICK = TrainingConfig(steps=3, patch_size=32, batch_size=2, network=TINY, precision="float32")
CPU = "cpu"


def blobs(size: int = 96, seed: int = 0, ndim: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy bright discs (balls), and paint: parts of them from 2 up, and of the background, 1."""
    rng = np.random.default_rng(seed)
    shape = (size,) * ndim if ndim == 2 else (size // 4, size, size)
    grid = np.indices(shape)
    labels = np.zeros(shape, np.int32)
    for value in range(2, 14):
        centre = [rng.integers(0, edge) for edge in shape]
        near = (
            sum((axis - middle) ** 2 for axis, middle in zip(grid, centre, strict=True))
            < rng.integers(6, 10) ** 2
        )
        labels[near] = value
    image = ((labels > 0) * 800 + rng.normal(300, 150, shape)).clip(0, 4095).astype(np.uint16)
    paint = np.where(labels > 0, labels, 1)
    paint[..., np.arange(size) % 12 < 6] = 0
    return image, paint.astype(np.int32)


IMAGE, PAINT = blobs()


def _run(config: TrainingConfig = QUICK, images: Any = None, paints: Any = None, **options: Any) -> list[Any]:
    return list(
        train_events(
            [IMAGE] if images is None else images,
            [PAINT] if paints is None else paints,
            config,
            device=CPU,
            **options,
        )
    )


@pytest.mark.parametrize(
    "config",
    [
        dataclasses.replace(QUICK, batch_size=10**8),
        dataclasses.replace(QUICK, network=dataclasses.replace(TINY, features=512, levels=7)),
    ],
)
def test_what_cannot_fit_into_the_memory_is_said_at_once(
    config: TrainingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "free_memory", lambda _device: 2**37)
    with pytest.raises(InputError, match=r"weights need more than [\d,]+ GB, and 128\.0 GB are free; choose"):
        next(iter(train_events([IMAGE], [PAINT], config, device=CPU)))


def _same(first: Model, second: Model) -> bool:
    return all(torch.equal(first.weights[name], second.weights[name]) for name in first.weights)


def test_it_learns() -> None:
    config = dataclasses.replace(
        QUICK,
        steps=80,
        batch_size=4,
        learning_rate=5e-3,
        held_out=0,
        network=UNetConfig(features=6, levels=2),
    )
    events = _run(config)
    losses = [event.loss for event in events if isinstance(event, StepDone)]
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:3])
    scores = [event.score for event in events if isinstance(event, Validated)]
    assert max(scores) > 0.7
    # And on an image it has never seen: the foreground is told from the background.
    other, paint = blobs(seed=5)
    model = events[-1].model
    network = UNet(model.network).eval()
    network.load_state_dict(model.weights)
    scaled = apply_limits(other[None], model.normalisation.limits(other[None]))
    with torch.no_grad():
        found = network(torch.from_numpy(scaled)[None]).argmax(dim=1)[0].numpy()
    known = paint > 0
    truth = paint >= 2
    iou = np.sum(known & truth & (found == 1)) / np.sum(known & (truth | (found == 1)))
    assert iou > 0.7


def test_the_order_of_events() -> None:
    events = _run(dataclasses.replace(QUICK, steps=30))
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Stopped)
    assert events[-1].reason == "finished"
    assert [event.step for event in events if isinstance(event, StepDone)] == list(range(1, 31))
    validated = [event for event in events if isinstance(event, Validated)]
    assert [event.step for event in validated] == [5, 25, 30]
    assert validated[0].best
    assert all(0 <= event.score <= 1 and math.isfinite(event.loss) for event in validated)
    assert events[0].images == 1
    assert events[0].known_pixels == np.count_nonzero(PAINT)
    assert events[0].parameters == sum(value.numel() for value in UNet(TINY).parameters())


def test_the_model_says_how_it_came_to_be() -> None:
    model = train([IMAGE], [PAINT], dataclasses.replace(QUICK, steps=2), device=CPU)
    assert model.class_names == ("background", "object")
    assert model.network == dataclasses.replace(TINY, in_channels=1, classes=2) == model.training.network
    assert (model.history.steps, len(model.history.losses), model.history.best_step) == (2, 2, 2)
    assert {"python", "torch", "numpy", "napari-unet"} <= set(model.history.versions)
    assert model.history.started[10] == "T"
    UNet(model.network).load_state_dict(model.weights)
    for value in model.weights.values():
        assert value.device.type == "cpu"
        assert value.is_contiguous()
        assert value.dtype == (torch.float32 if value.is_floating_point() else torch.int64)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_same_seed_gives_the_same_model_bit_for_bit(precision: Any) -> None:
    config = dataclasses.replace(
        QUICK, steps=4, precision=precision, network=dataclasses.replace(TINY, dropout=0.3)
    )
    first = train([IMAGE], [PAINT], config, device=CPU)
    torch.manual_seed(99)  # what the rest of the program draws must not matter
    np.random.default_rng(99).random()
    state = torch.random.get_rng_state()
    again = train([IMAGE], [PAINT], config, device=CPU)
    assert torch.equal(state, torch.random.get_rng_state())
    assert _same(first, again)
    assert [loss for *_, loss in first.history.losses] == [loss for *_, loss in again.history.losses]
    assert not _same(first, train([IMAGE], [PAINT], dataclasses.replace(config, seed=1), device=CPU))


def test_the_same_seed_gives_the_same_model_of_a_thin_volume() -> None:
    volume, paint = (np.repeat(array[None], 2, axis=0) for array in (IMAGE, PAINT))
    network = dataclasses.replace(TINY, ndim=3, features=16)
    config = dataclasses.replace(QUICK, steps=2, precision="bfloat16", network=network)
    first, again = (train([volume], [paint], config, device=CPU) for _ in range(2))
    assert _same(first, again)


def test_classes_rgb_and_several_images() -> None:
    rgb = np.repeat(IMAGE[..., None], 3, axis=-1).astype(np.float64)
    rgb[..., 2] /= 2  # else it would be a grey image saved in colours
    rgb[3, 3] = np.nan
    paint = np.where(PAINT >= 8, 3, np.minimum(PAINT, 2))
    events = _run(dataclasses.replace(QUICK, mode="classes"), [rgb, rgb], [paint, np.minimum(paint, 2)])
    model = events[-1].model
    assert (model.network.in_channels, model.network.classes) == (3, 3)
    assert model.class_names == ("background", "class 2", "class 3")
    assert all(math.isfinite(event.loss) for event in events if isinstance(event, StepDone))


def test_a_grey_picture_saved_in_colours_makes_the_model_of_a_grey_one() -> None:
    colours = np.repeat(IMAGE[..., None], 3, axis=-1)
    events = _run(images=[colours])
    told = [event.message for event in events if isinstance(event, Adapted)]
    assert told == ["Grey images that were saved in colours are learnt as one channel."]
    model, expected = events[-1].model, _run()[-1].model
    assert _same(model, expected)
    for image in (colours, IMAGE):
        np.testing.assert_array_equal(
            predict(model, image, device=CPU).objects, predict(expected, IMAGE, device=CPU).objects
        )
    # It goes on from its state, and as a starter as from a grey one.
    steps = dataclasses.replace(QUICK, steps=1)
    goes_on = _run(steps, images=[colours], start=model, resume=events[-1].state)
    assert any(isinstance(event, Continued) and event.same_data for event in goes_on)
    starter = dataclasses.replace(model, object_size=9.0)
    after = [_run(steps, images=[image], start=starter)[-1].model for image in (colours, IMAGE)]
    assert _same(*after)


def test_a_model_of_three_channels_keeps_them() -> None:
    """Such as one that was trained on a grey picture in colours before these were learnt as one channel."""
    true = np.stack([IMAGE, IMAGE[::-1], IMAGE], axis=-1)
    start = train([true], [PAINT], QUICK, device=CPU)
    events = _run(images=[np.repeat(IMAGE[..., None], 3, axis=-1)], start=start)
    assert not [event for event in events if isinstance(event, Adapted)]
    assert events[-1].model.network.in_channels == 3


def test_a_stack_with_two_annotated_planes() -> None:
    stack = np.stack([IMAGE] * 4)
    paint = np.zeros(stack.shape, np.int32)
    paint[1] = np.where(PAINT == 1, 1, 0)
    paint[3] = np.where(PAINT >= 2, PAINT, 0)
    events = _run(images=[stack], paints=[paint])
    assert events[0].images == 2
    assert isinstance(events[-1], Stopped)


def test_a_volume_thinner_than_its_patch() -> None:
    image, paint = blobs(size=48, ndim=3)
    config = dataclasses.replace(
        QUICK,
        steps=2,
        network=UNetConfig(ndim=3, features=4, levels=2),
        augmentation=AugmentationConfig(elastic=2.0),
    )
    events = _run(config, [image], [paint])
    assert [type(event) for event in events if not isinstance(event, Warned)] == [
        Started,
        StepDone,
        StepDone,
        Validated,
        Stopped,
    ]


@pytest.mark.parametrize(
    "network",
    [
        UNetConfig(features=2, levels=2, padding="valid", norm="none", upsampling="convolution"),
        UNetConfig(features=2, levels=2, padding="valid"),
        UNetConfig(features=2, levels=5),
    ],
)
def test_patches_fit_every_network(network: UNetConfig) -> None:
    model = _run(dataclasses.replace(QUICK, steps=1, batch_size=1, network=network))[-1].model
    assert model.history.steps == 1


def test_an_image_smaller_than_a_patch() -> None:
    image, paint = IMAGE[:19, :23].copy(), np.zeros((19, 23), np.int32)
    paint[:5], paint[9:12] = 1, 2
    events = _run(dataclasses.replace(QUICK, patch_size=128), [image], [paint])
    assert all(math.isfinite(event.loss) for event in events if isinstance(event, StepDone))


def test_the_largest_object_ids() -> None:
    paint = PAINT.astype(np.int64)
    paint[paint >= 2] += 2**31 - 1 - paint.max()
    assert _same(train([IMAGE], [PAINT], QUICK, device=CPU), train([IMAGE], [paint], QUICK, device=CPU))


def test_a_started_model_goes_on_from_its_weights() -> None:
    start = train(
        [IMAGE], [PAINT], dataclasses.replace(QUICK, normalisation=Normalisation(5, 95)), device=CPU
    )
    # A learning rate this small hardly moves the weights.
    config = dataclasses.replace(QUICK, steps=1, learning_rate=1e-9, network=UNetConfig(features=8))
    events = _run(config, start=start)
    model = events[-1].model
    assert not [event for event in events if isinstance(event, Warned) and "anew" in event.message]
    assert (model.network, model.normalisation) == (start.network, start.normalisation)
    for name, value in start.weights.items():
        if value.is_floating_point() and "running" not in name:
            torch.testing.assert_close(model.weights[name], value, atol=1e-6, rtol=0)


def test_a_started_model_is_adapted_to_channels_and_classes() -> None:
    start = train([IMAGE], [PAINT], QUICK, device=CPU)
    rgb = np.stack([IMAGE, IMAGE[::-1], IMAGE], axis=-1)
    paint = np.where(PAINT >= 8, 3, np.minimum(PAINT, 2))
    config = dataclasses.replace(QUICK, steps=1, mode="classes", learning_rate=1e-9)
    events = _run(config, [rgb], [paint], start=start)
    sentences = [event.message for event in events if isinstance(event, Adapted)]
    assert len(sentences) == 2
    assert "images with 1 channel, and these have 3: it first sees the mixture" in sentences[0]
    assert "2 classes apart, background included, and this paint has 3: each begins as" in sentences[1]
    model = events[-1].model
    changed = {name for name, value in model.weights.items() if value.shape != start.weights[name].shape}
    assert changed == {"contracting.0.0.weight", "head.weight", "head.bias"}
    kept = "bottom.0.weight"
    torch.testing.assert_close(model.weights[kept], start.weights[kept], atol=1e-6, rtol=0)


@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 4), (5, 3)])
def test_a_starter_suits_any_channels_and_classes_and_is_the_one_to_beat(channels: int, classes: int) -> None:
    starter = dataclasses.replace(train([IMAGE], [PAINT], QUICK, device=CPU), object_size=9.0)
    image = np.stack([IMAGE] * channels)
    paint = np.where(PAINT > 1, 2 + PAINT % (classes - 1), PAINT)
    config = dataclasses.replace(QUICK, mode="objects" if classes == 2 else "classes", channels="first")
    events = _run(config, [image], [paint], start=starter)
    assert next(event.step for event in events if isinstance(event, Validated)) == 0
    model = events[-1].model
    assert (model.network.in_channels, model.network.classes) == (channels, classes)
    assert not model.is_starter  # it has become a model of these images


def test_a_stop_from_another_thread_ends_within_a_step() -> None:
    control = Control()
    events: list[Any] = []
    stepped = threading.Event()

    def work() -> None:
        for event in train_events(
            [IMAGE], [PAINT], dataclasses.replace(QUICK, steps=100_000), device=CPU, control=control
        ):
            events.append(event)
            if isinstance(event, StepDone):
                stepped.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert stepped.wait(60)
    control.stop()
    steps = sum(isinstance(event, StepDone) for event in events)
    thread.join(60)
    assert not thread.is_alive()
    assert events[-1].reason == "stopped"
    # The step that ran when the stop was asked for, and one that may have ended while we counted.
    assert events[-1].model.history.steps <= steps + 2
    assert isinstance(events[-2], Validated)


def test_a_stop_after_started_still_gives_a_model() -> None:
    control = Control()
    events = []
    for event in train_events([IMAGE], [PAINT], QUICK, device=CPU, control=control):
        events.append(event)
        control.stop()
    assert events[-1].reason == "stopped"
    assert events[-1].model.history.steps == 1


def test_a_stop_before_started_says_that_there_is_no_model() -> None:
    control = Control()
    control.stop()
    with pytest.raises(InputError, match="no model"):
        next(train_events([IMAGE], [PAINT], QUICK, device=CPU, control=control))


def test_a_pause_pauses_and_does_not_count() -> None:
    control = Control()
    iterator = train_events(
        [IMAGE], [PAINT], dataclasses.replace(QUICK, steps=4), device=CPU, control=control
    )
    first = next(event for event in iterator if isinstance(event, StepDone))
    control.pause()
    threading.Timer(0.5, control.resume).start()
    began = time.perf_counter()
    second = next(event for event in iterator if isinstance(event, StepDone))
    took = time.perf_counter() - began
    assert took >= 0.5
    # 0.1 s: the pause may begin a moment before the timer does.
    assert second.seconds - first.seconds <= took - 0.4
    assert isinstance(list(iterator)[-1], Stopped)


def test_the_budget_in_seconds() -> None:
    config = dataclasses.replace(QUICK, steps=None, seconds=0.5)
    history = _run(config)[-1].model.history
    assert history.seconds >= 0.5
    assert all(seconds < 0.5 for _, seconds, _ in history.losses[:-1])
    both = dataclasses.replace(QUICK, steps=2, seconds=1000.0)
    assert _run(both)[-1].model.history.steps == 2


def test_without_a_budget_there_is_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_loop, "DEFAULT_SECONDS", 0.3)
    assert _run(dataclasses.replace(QUICK, steps=None))[-1].reason == "finished"


def test_out_of_memory_reaches_the_caller_and_the_next_training_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forward = UNet.forward

    def fail(*_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(UNet, "forward", fail)
    with pytest.raises(torch.OutOfMemoryError):
        _run()
    monkeypatch.setattr(UNet, "forward", forward)
    assert _run()[-1].reason == "finished"


def test_an_error_after_a_validation_comes_after_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    step = learner_module.Learner.step
    taken: list[float] = []

    def fail_at_the_eighth(self: Any, *batch: torch.Tensor, rate: float = 1.0, **_: Any) -> float | None:
        taken.append(rate)
        if len(taken) == 8:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return step(self, *batch, rate=rate)

    monkeypatch.setattr(learner_module.Learner, "step", fail_at_the_eighth)
    events: list[Any] = []
    training_events = train_events([IMAGE], [PAINT], dataclasses.replace(QUICK, steps=20), device=CPU)
    with pytest.raises(torch.OutOfMemoryError):
        deque(map(events.append, training_events), maxlen=0)
    assert events[-1].reason == "failed"
    assert events[-1].model.history.best_step == 5
    assert events[-1].model.weights


def test_paint_that_takes_more_memory_than_there_is_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    known = int(np.count_nonzero(PAINT))
    monkeypatch.setattr(batches, "free_host_memory", lambda: 30 * known)
    assert _run()[-1].reason == "finished"
    monkeypatch.setattr(batches, "free_host_memory", lambda: 30 * known - 1)
    with pytest.raises(InputError, match=r"million pixels are painted; to learn from them needs more than"):
        _run()


@pytest.mark.parametrize("error", [MemoryError("ended"), RuntimeError("ended")])
def test_where_even_the_fit_of_the_reading_fails_the_network_is_kept(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(training_loop, "fit_reading", fail)
    events: list[Any] = []
    with pytest.raises(type(error), match="ended"):
        deque(map(events.append, train_events([IMAGE], [PAINT], QUICK, device=CPU)), maxlen=0)
    assert (events[-1].reason, events[-1].model.instances) == ("failed", InstanceConfig())
    assert events[-1].model.weights


def test_nothing_of_the_network_outlives_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    # GPU memory is given back only if no reference cycle waits for the garbage collector.
    alive: list[weakref.ref[torch.Tensor]] = []
    forward = UNet.forward

    def watched(self: UNet, *given: Any) -> torch.Tensor:
        alive.extend(weakref.ref(value) for value in self.parameters())
        return forward(self, *given)

    monkeypatch.setattr(UNet, "forward", watched)
    gc.disable()
    try:
        model = _run()[-1].model
        assert alive
        assert not any(reference() is not None for reference in alive)
    finally:
        gc.enable()
    assert model.weights


def _failing_forward(monkeypatch: pytest.MonkeyPatch, bad: set[int] | None) -> None:
    """Let the loss be NaN at the given training steps, or at all of them; batch norm sees a NaN as well."""
    calls = iter(range(1, 10**6))
    forward = UNet.forward

    def spoilt(self: UNet, x: torch.Tensor, *others: Any) -> torch.Tensor:
        if self.training and (bad is None or next(calls) in bad):
            x = x * float("nan")
        return forward(self, x, *others)

    monkeypatch.setattr(UNet, "forward", spoilt)


def test_a_step_without_a_finite_loss_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    _failing_forward(monkeypatch, {2, 3, 5})
    events = _run(dataclasses.replace(QUICK, steps=8))
    assert [event.step for event in events if isinstance(event, StepDone)] == [1, 4, 6, 7, 8]
    assert not [event for event in events if isinstance(event, Warned) and "not a number" in event.message]
    assert all(value.isfinite().all() for value in events[-1].model.weights.values())
    assert math.isfinite(events[-2].loss)


@pytest.mark.parametrize("good", [0, 3])
def test_divergence_ends_with_the_last_good_weights(monkeypatch: pytest.MonkeyPatch, good: int) -> None:
    _failing_forward(monkeypatch, set(range(good + 1, 1000)))
    events = _run(dataclasses.replace(QUICK, steps=100))
    assert events[-1].reason == "diverged"
    assert events[-1].model.history.steps == good + 6 * 5
    warned = [event.message for event in events if isinstance(event, Warned)]
    assert "with a lower learning rate" in warned[-1]
    assert all(value.isfinite().all() for value in events[-1].model.weights.values())


def tally(score: float, loss: float = 1.0) -> Tally:
    """Ten strokes of either class; of the pixels of the second, the part ``score`` is right."""
    right = round(1000 * score)
    strokes = [[[1000, 0], [0, 0]]] * 10 + [[[0, 0], [1000 - right, right]]] * 10
    return Tally(np.array(strokes), loss)


def test_the_best_weights_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    # The later, unless it has lost half of the best score.
    scores: Iterator[float] = iter([0.5, 0.9, 0.2, 0.5, 0.4])
    monkeypatch.setattr(Validation, "tally", lambda self, predict: tally(next(scores)))
    monkeypatch.setattr(training_loop, "interval_on", lambda _device: 1)
    copies = []
    weights = learner_module.Learner.weights
    monkeypatch.setattr(
        learner_module.Learner, "weights", lambda self: copies.append(weights(self)) or copies[-1]
    )
    events = _run(dataclasses.replace(QUICK, steps=5))
    assert [event.best for event in events if isinstance(event, Validated)] == [
        True,
        True,
        False,
        True,
        False,
    ]
    model = events[-1].model
    assert model.history.best_step == 4
    assert all(torch.equal(model.weights[name], copies[3][name]) for name in model.weights)


def test_validation_uses_held_out_paint_or_says_that_it_does_not() -> None:
    assert _run()[-2].on == "held-out"
    assert _run(dataclasses.replace(QUICK, held_out=0))[-2].on == "training"


def test_a_model_to_go_on_from_is_the_one_to_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    start = train([IMAGE], [PAINT], QUICK, device=CPU)
    scores = iter([0.9, 0.4, 0.3])
    monkeypatch.setattr(Validation, "tally", lambda self, predict: tally(next(scores)))
    events = _run(dataclasses.replace(QUICK, steps=6), start=start)
    assert [(event.step, event.best) for event in events if isinstance(event, Validated)] == [
        (0, True),
        (5, False),
        (6, False),
    ]
    model = events[-1].model
    assert (model.history.best_step, model.history.steps) == (0, 6)
    assert _same(model, start)


def test_a_model_that_does_not_fit_is_nothing_to_beat() -> None:
    start = train([IMAGE], [PAINT], QUICK, device=CPU)
    events = _run(images=[np.stack([IMAGE, IMAGE[::-1], IMAGE], axis=-1)], start=start)
    assert [event.step for event in events if isinstance(event, Validated)] == [3]


def test_training_ends_when_it_has_converged(monkeypatch: pytest.MonkeyPatch) -> None:
    # 0.5004 is no progress, 0.7 is one.
    scores = iter([0.5, 0.5004, 0.7, 0.6, 0.6, 0.9])
    monkeypatch.setattr(Validation, "tally", lambda self, predict: tally(next(scores)))
    monkeypatch.setattr(training_loop, "interval_on", lambda _device: 5)
    events = _run(dataclasses.replace(QUICK, steps=None, patience=2))
    assert events[-1].reason == "converged"
    model = events[-1].model
    assert (model.history.steps, model.history.best_step) == (25, 25)  # later, and not clearly worse
    assert [score for _, _, score, *_ in model.history.scores] == [0.5, 0.5, 0.7, 0.6, 0.6]


def test_validation_images_are_never_learnt_from() -> None:
    other, paint = blobs(seed=3)
    config = dataclasses.replace(QUICK, patch_size=64)
    one = train([IMAGE], [PAINT], dataclasses.replace(config, held_out=0), device=CPU)
    scored = _run(config, validation=([other], [paint]))
    # Not a bit of it: same weights as without, and every stroke of the image is learnt from.
    assert _same(scored[-1].model, one)
    assert scored[0].known_pixels == np.count_nonzero(PAINT)
    assert scored[0].images == 1
    (validated,) = [event for event in scored if isinstance(event, Validated)]
    assert validated.on == "validation"
    assert validated.strokes == np.unique(paint[paint > 1]).size + label(paint == 1, connectivity=2).max()
    assert "of the validation images" in validated.words


@pytest.mark.parametrize(
    ("paint", "said"),
    [
        (np.zeros_like(PAINT), "No validation image has paint"),
        (PAINT[:50], "Image 2: "),
        (-PAINT, "Image 2: "),
    ],
)
def test_validation_images_that_cannot_be_used_are_one_sentence(paint: np.ndarray, said: str) -> None:
    with pytest.raises(InputError, match=said):
        _run(validation=([IMAGE], [paint]))


def test_every_validation_image_has_paint_of_its_own() -> None:
    """Though there are as many paints in all, another image must not be taught with one of them."""
    other, paint = blobs(seed=3)
    with pytest.raises(InputError, match="1 validation images and 2 validation paints"):
        next(train_events([IMAGE, IMAGE], [PAINT], QUICK, validation=([other], [paint, paint]), device=CPU))


def test_full_is_said_of_each_image() -> None:
    with pytest.raises(InputError, match=r"full is True; give it for each image, in a list such as \[True\]"):
        train([IMAGE], [PAINT], QUICK, full=True, device=CPU)  # type: ignore[arg-type]


def test_weights_that_are_all_0_are_one_sentence() -> None:
    config = dataclasses.replace(QUICK, weights=WeightConfig(w0=0, foreground=0, background=0))
    with pytest.raises(InputError, match=r"weights\.foreground or weights\.background above 0"):
        _run(config)


def test_the_learning_rate_rises_and_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = []
    step = learner_module.Learner.step

    def watched(self: learner_module.Learner, *batch: torch.Tensor, rate: float, **_: Any) -> float | None:
        rates.append(rate)
        return step(self, *batch, rate=rate)

    monkeypatch.setattr(learner_module.Learner, "step", watched)
    _run(dataclasses.replace(QUICK, steps=24))
    assert rates == pytest.approx([min(1.0, number / 20) for number in range(1, 25)])


@pytest.mark.parametrize(("device", "said"), [("toaster", "toaster"), ("cuda:77", "GPU")])
def test_an_unknown_device_is_one_sentence(device: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        next(train_events([IMAGE], [PAINT], QUICK, device=device))


def test_the_name_of_a_model_is_no_model() -> None:
    with pytest.raises(
        InputError, match="The model is 'cells'; give what load_model or load_starter returns"
    ):
        train([IMAGE], [PAINT], QUICK, start="cells")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"The model is 'm\.safetensors'"):
        predict("m.safetensors", IMAGE)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"The model is array\(\[\[.*; give what") as told:
        predict(IMAGE, IMAGE)  # type: ignore[arg-type]
    assert "\n" not in str(told.value)
    with pytest.raises(InputError, match=r"The model is 'm\.safetensors'"):
        save_model("m.safetensors", "cells")  # type: ignore[arg-type]


def test_other_things_than_configurations_are_told() -> None:
    with pytest.raises(InputError, match=r"The configuration is \{'steps': 2\}; give a TrainingConfig"):
        train([IMAGE], [PAINT], {"steps": 2})  # type: ignore[arg-type]
    model = train([IMAGE], [PAINT], dataclasses.replace(QUICK, steps=1))
    with pytest.raises(InputError, match="The configuration is 'cuda'; give a PredictionConfig"):
        predict(model, IMAGE, "cuda")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="The configuration is 'paper'; give a WeightConfig"):
        border_weights(PAINT, "paper")  # type: ignore[arg-type]

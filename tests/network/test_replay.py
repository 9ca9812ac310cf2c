"""What a GPU replays is what it would compute; here without one, with a recording that computes anew."""

import math
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import torch

from napari_unet.network.config import UNetConfig
from napari_unet.network.learning import replay as module
from napari_unet.network.learning.learner import Learner
from napari_unet.network.learning.replay import Numbers, Replay
from napari_unet.network.unet import UNet

pytestmark = pytest.mark.usefixtures("one_thread")

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
NETWORK = UNetConfig(levels=1, features=2, distance=True, dropout=0.2)
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")


class Recorded:
    """Stands for a CUDA graph: computes nothing until it is replayed, and that into what it gave first."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self.output = torch.empty(0)

    def replay(self) -> None:
        found = self._function()
        if found is not None:
            self.output.resize_(found.shape).copy_(found)


@pytest.fixture
def recordings(monkeypatch: pytest.MonkeyPatch) -> list[Recorded]:
    made: list[Recorded] = []

    def recorded(self: Replay, function: Callable[[], Any]) -> tuple[Any, Any]:
        made.append(Recorded(function))
        return made[-1], made[-1].output

    monkeypatch.setattr(Replay, "_recorded", recorded)
    monkeypatch.setattr(module, "_DEVICES", ("cpu",))
    return made


def test_a_call_is_recorded_after_a_few_and_again_for_other_shapes_or_when_it_must(
    recordings: list[Recorded],
) -> None:
    work = Replay(CPU)

    def run(a: torch.Tensor, b: torch.Tensor | None) -> Any:
        return work.run(lambda a, b: a * 2 if b is None else a + b, a, b)

    for number in range(6):
        assert float(run(torch.tensor(float(number)), None)) == 2 * number
    assert len(recordings) == 1
    first = run(torch.tensor(1.0), None)
    assert run(torch.tensor(4.0), None) is first  # which holds the newest
    assert float(first) == 8
    for number in range(6):
        assert float(run(torch.tensor(float(number)), torch.tensor(1.0))) == number + 1
    assert len(recordings) == 2
    work.forget()
    for _ in range(6):
        run(torch.tensor(0.0), torch.tensor(1.0))
    assert len(recordings) == 3


def test_where_nothing_can_be_recorded_every_call_is_an_ordinary_one(
    recordings: list[Recorded], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried = []

    def fails(self: Replay, function: Callable[[], Any]) -> tuple[Any, Any]:
        tried.append(function)
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Replay, "_recorded", fails)
    done = []
    work = Replay(CPU)

    def then() -> None:
        done.append(1)

    for number in range(9):
        assert float(work.run(lambda a: a + 1, torch.tensor(float(number)), then=then)) == number + 1
        work.finish(then)
    assert len(tried) == 1
    assert len(done) == 9
    assert caplog.messages == [
        "The GPU cannot repeat its work by itself, so training is slower: out of memory"
    ]


def test_numbers_stay_where_they_are() -> None:
    numbers = Numbers(CPU)
    first, second = numbers.hold([1.0, 2.0])
    numbers.hold([3.0, 4.0])
    assert (float(first), float(second)) == (3, 4)


def _learner(
    device: torch.device = CPU, network: UNetConfig = NETWORK, precision: torch.dtype = torch.float32
) -> Learner:
    torch.manual_seed(0)
    return Learner(UNet(network), device=device, precision=precision, learning_rate=0.01, seed=0, ends_rate=5)


def _batch(learner: Learner, seed: int) -> Any:
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(2, 1, 8, 8, generator=generator)
    target = (image[:, 0] > 0.5).to(torch.uint8)
    batch = image, target, torch.ones(2, 8, 8), torch.rand(2, 8, 8, generator=generator)
    return tuple(part.to(learner.device) for part in batch)


def _bad(learner: Learner) -> Any:
    batch = _batch(learner, 0)
    batch[0][0, 0, 3, 3] = math.nan
    return batch


def _steps(learner: Learner, seeds: range) -> Iterator[float | None]:
    for seed in seeds:
        yield learner.step(*_batch(learner, seed), rate=min(1.0, (seed + 1) / 20))


def _whole_life(learner: Learner) -> list[float | None]:
    """Everything that a learner goes through."""
    losses = list(_steps(learner, range(6)))
    learner.anchor(0.1)
    losses += _steps(learner, range(6, 12))
    losses.append(learner.step(*_bad(learner)))
    snapshot = learner.snapshot()
    losses += _steps(learner, range(12, 18))
    learner.restore(snapshot)
    learner.slow_down()
    losses += _steps(learner, range(18, 24))
    losses += [learner.step(*_batch(learner, 30)[:3]) for _ in range(6)]  # no depth is known any more
    state = learner.state()
    losses += _steps(learner, range(24, 30))
    learner.load(state, 40)
    losses += _steps(learner, range(30, 36))
    return losses


def _assert_as_good(mine: Learner, losses: list[float | None], other: Learner) -> None:
    for loss, its in zip(losses, _whole_life(other), strict=True):
        assert loss == (None if its is None else pytest.approx(its, rel=1e-3))
    assert losses.count(None) == 1
    expected = other.weights()
    for name, value in mine.weights().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-4)


def _replays(learner: Learner) -> Learner:
    learner._numbers = Numbers(learner.device)
    learner._work = Replay(learner.device)
    return learner


def test_a_learner_that_is_replayed_goes_the_way_of_one_that_is_not(recordings: list[Recorded]) -> None:
    learner = _replays(_learner())
    losses = _whole_life(learner)
    assert len(recordings) == 2 * 5  # anew after each hold, other batch and state
    _assert_as_good(learner, losses, _learner())
    assert len(recordings) == 2 * 5


def test_without_a_finite_step_nothing_is_recorded(recordings: list[Recorded]) -> None:
    learner = _replays(_learner())
    assert [learner.step(*_bad(learner)) for _ in range(6)] == [None] * 6
    assert not recordings  # the optimiser has no moments yet
    assert all(loss is not None for loss in _steps(learner, range(6)))
    assert len(recordings) == 2


@pytest.mark.gpu
@gpu
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_gpu_goes_the_same_way(monkeypatch: pytest.MonkeyPatch, precision: torch.dtype) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    made: list[Any] = []
    original = Replay._recorded
    monkeypatch.setattr(Replay, "_recorded", lambda *given: made.append(1) or original(*given))
    # What a GPU computes the same way every time.
    network = replace(NETWORK, upsampling="convolution", pooling="average")
    learner = _learner(CUDA, network, precision)
    losses = _whole_life(learner)
    assert len(made) == 2 * 5
    assert learner._work._enabled
    ordinary = _learner(CUDA, network, precision)
    ordinary._work._enabled = False
    _assert_as_good(learner, losses, ordinary)
    if precision == torch.float32:  # and as a CPU does, about
        found, expected = losses[:6], _whole_life(_learner(CPU, network))[:6]
        assert found == [pytest.approx(loss, rel=0.02) for loss in expected]


@pytest.mark.gpu
@gpu
def test_what_normalises_is_measured_the_same_by_a_replay() -> None:
    learner = _learner(CUDA)
    for seed in range(6):
        images = [_batch(learner, seed)[0], _batch(learner, seed + 1)[0]]
        assert learner.step(*_batch(learner, seed)) is not None
        learner.calibrate(images)
    assert learner._measuring._graph is not None
    assert not learner.average.training
    found, logits = learner.weights(), learner.predict(images[0])
    learner._measuring._enabled = False
    learner._calibrated_at = 0
    learner.calibrate(images)
    for name, value in learner.weights().items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6, msg=name)
    torch.testing.assert_close(learner.predict(images[0]), logits, rtol=1e-4, atol=1e-4)


@pytest.mark.gpu
@gpu
def test_on_a_gpu_a_batch_without_a_finite_loss_changes_nothing() -> None:
    learner = _learner(CUDA)
    assert None not in list(_steps(learner, range(6)))
    before, average = learner.state(), learner.weights()
    assert learner.step(*_bad(learner)) is None
    after = learner.state()
    for name, _ in learner.network.named_parameters():
        assert torch.equal(after.network[name], before.network[name])
        assert torch.equal(after.first_moment[name], before.first_moment[name])
    assert all(torch.equal(average[name], value) for name, value in learner.weights().items())
    assert after.updates == before.updates == 6
    assert None not in list(_steps(learner, range(6)))


@pytest.mark.gpu
@gpu
def test_other_threads_compute_while_a_gpu_records() -> None:
    stop, rounds = threading.Event(), []

    def compute() -> None:
        while not stop.is_set():
            matrix = torch.rand(500 + len(rounds) % 200, 500).to(CUDA)  # new memory time and again
            rounds.append(float((matrix @ matrix.T).sum()))

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        learner = _learner(CUDA)
        for _ in range(20):
            learner._work.forget()
            assert None not in list(_steps(learner, range(6)))
            assert learner._work._graph is not None
    finally:
        stop.set()
        thread.join()
    assert all(math.isfinite(found) for found in rounds)
    assert len(rounds) > 20


@pytest.mark.gpu
@gpu
def test_other_threads_draw_random_numbers_while_a_gpu_records() -> None:
    def draw() -> list[float]:
        found: list[float] = torch.rand(3, device=CUDA).tolist()
        return found

    drawn = []

    def function(values: torch.Tensor) -> torch.Tensor:
        if torch.cuda.is_current_stream_capturing():
            with ThreadPoolExecutor(1) as thread:
                drawn.append(thread.submit(draw).result())
        return values + 1

    work = Replay(CUDA)
    torch.cuda.manual_seed(5)
    for number in range(6):
        assert float(work.run(function, torch.tensor(float(number), device=CUDA))) == number + 1
    assert work._graph is not None
    after = draw()
    torch.cuda.manual_seed(5)
    assert [*drawn, after] == [draw(), draw()]


@pytest.mark.gpu
@gpu
def test_a_recording_that_breaks_off_leaves_all_else_as_it_is() -> None:
    def waits(values: torch.Tensor) -> torch.Tensor:
        return torch.ones(2**20, device=CUDA).sum() + float(values) + values

    others = [Replay(CUDA), Replay(CUDA)]
    broken = Replay(CUDA)
    one = torch.ones((), device=CUDA)
    torch.cuda.manual_seed(5)
    expected = torch.rand(3, device=CUDA)
    torch.cuda.manual_seed(5)

    def run(work: Replay) -> None:
        for _ in range(6):
            assert float(work.run(lambda values: values * 2, one)) == 2

    run(others[0])
    for _ in range(6):
        assert float(broken.run(waits, one)) == 2**20 + 2
    assert not broken._enabled
    assert torch.equal(torch.rand(3, device=CUDA), expected)
    for other in others:  # one recorded before, and one after
        run(other)
        assert other._graph is not None
    # No memory is lost, and torch still frees some where there is none left.
    del broken, others
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    large = torch.empty(int(0.6 * free), dtype=torch.uint8, device=CUDA)
    del large
    assert torch.empty(int(0.8 * free), dtype=torch.uint8, device=CUDA).numel() > 0
    torch.cuda.empty_cache()


@pytest.mark.gpu
@gpu
def test_a_gpu_that_records_nothing_teaches_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("no recording here")

    monkeypatch.setattr(torch.cuda, "CUDAGraph", fails)
    learner = _learner(CUDA)
    losses = list(_steps(learner, range(40)))
    assert (losses[-1] or 9) < (losses[0] or 0)
    half = _learner(CUDA, precision=torch.float16)
    losses = list(_steps(half, range(40)))
    assert (losses[-1] or 9) < (losses[0] or 0)
    assert half._work._graph is None

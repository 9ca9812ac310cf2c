"""Where the time of a training step goes, and how fast it is compared with a bare loop.

    python benchmarks/training_speed.py                          # CPU, about five minutes
    python benchmarks/training_speed.py --device cuda
    python benchmarks/training_speed.py --cases 2d --steps 100   # one kind of image

``train_events`` runs with its defaults on synthetic nuclei with simulated strokes. Functions are timed from
outside, each without those it calls; what is left of the loop is its events. Forward, backward and optimiser
are the work itself; sampling, augmentation, weight average, validation and events are outside. A GPU replays
a recording of the work, so that "forward and loss" there includes the backward pass, and "optimiser" the
average; clocks wait for the GPU whenever the part changes. A separate line has the part outside without such
waits, when the processor prepares the next batch at the same time: the part of the time in which the GPU did
something else, or nothing. Recordings, made once in a training for a step and for the first scores, fall into
the steps that do not count, and are printed separately.

The bare loop trains the same network on one resident random batch, in the same precision, with the same
optimiser and nothing else. Both run in turn, a few steps each, so that a busy machine slows both down. The
ratio counts everything, including validation.
"""

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from statistics import median
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from napari_unet.network import training
from napari_unet.network.config import TrainingConfig, UNetConfig
from napari_unet.network.device import choose_device, describe_device
from napari_unet.network.events import Started, StepDone
from napari_unet.network.learning import batch_source, batches, learner, resident
from napari_unet.network.learning.optimiser import AdamW
from napari_unet.network.learning.replay import Replay
from napari_unet.network.learning.validation import Validation
from napari_unet.network.unet import UNet

WARM_UP, TURN = 10, 50  # steps that do not count, and in a row; the first validation is among the former
RECORDED = 175  # a GPU records what the score of step 150 takes
INSIDE = ("forward and loss", "backward", "optimiser")
PARTS = (
    *INSIDE,
    "draw and cut",
    "stack",
    "augment",
    "average",
    "validation",
    "keep the best",
    "events and the rest",
)
Painted = tuple[NDArray[np.float32], NDArray[np.int32]]


@dataclass(frozen=True)
class Case:
    """Images of a kind: how many, how large, how many channels, and the network's dimension."""

    count: int
    shape: tuple[int, ...]
    channels: int = 1

    def images(self) -> list[Painted]:
        """Return the images with paint."""
        rng = np.random.default_rng(0)
        return [make_nuclei(self.shape, rng, channels=self.channels) for _ in range(self.count)]

    @property
    def config(self) -> TrainingConfig:
        """The defaults, for this many axes, without a limit of steps."""
        channels: Any = "last" if self.channels > 1 else "none"
        network = UNetConfig(ndim=len(self.shape))  # type: ignore[arg-type]  # 2 or 3
        return TrainingConfig(steps=10**9, channels=channels, network=network)


CASES = {
    "2d": Case(3, (512, 512)),
    "rgb": Case(3, (512, 512), channels=3),
    "large": Case(20, (2048, 2048)),
    "3d": Case(2, (48, 192, 192)),
}


def make_nuclei(
    shape: tuple[int, ...], rng: np.random.Generator, *, channels: int = 1, radius: float = 8.0
) -> Painted:
    """Return noisy balls of about ``radius`` pixels, (…YX) or (…YXC), with strokes on and around some."""
    image = rng.normal(0.1, 0.05, shape).astype(np.float32)
    paint = np.zeros(shape, np.int32)
    count = int(np.prod(shape) / (4 * radius) ** len(shape)) + 2
    for number in range(count):
        middle, size = rng.uniform(0, shape), radius * rng.uniform(0.8, 1.3)
        window = tuple(
            slice(max(0, int(m - 2 * size)), min(edge, int(m + 2 * size) + 1))
            for m, edge in zip(middle, shape, strict=True)
        )
        place = np.stack(np.meshgrid(*(np.arange(w.start, w.stop) for w in window), indexing="ij"), axis=-1)
        distance = np.linalg.norm(place - middle, axis=-1)
        image[window][distance < size] += 0.6
        if number < 20:
            paint[window][distance < size / 2] = 2 + number
            ring = (distance > 1.3 * size) & (distance < 1.6 * size) & (image[window] < 0.4)
            paint[window][ring & (paint[window] == 0)] = 1
    if channels > 1:
        image = np.stack([image * factor for factor in np.linspace(0.5, 1, channels)], axis=-1)
    return image, paint


class Clocks:
    """Processor and wall time of named parts, each without the parts that run inside it."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.spent: dict[str, NDArray[np.float64]] = defaultdict(lambda: np.zeros(2))
        self._now: list[str] = []
        self._last = self._read()

    def _read(self) -> NDArray[np.float64]:
        # A GPU works while the processor goes on; waiting for it whenever the part changes makes the shares
        # right, and the whole a little slower. It would break off a recording.
        if self.device.type == "cuda" and not torch.cuda.is_current_stream_capturing():
            torch.cuda.synchronize(self.device)
        return np.array((time.process_time(), time.perf_counter()))

    def _charge(self) -> None:
        now = self._read()
        if self._now:
            self.spent[self._now[-1]] += now - self._last
        self._last = now

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Charge the time of the block to ``name``."""
        self._charge()
        self._now.append(name)
        try:
            yield
        finally:
            self._charge()
            self._now.pop()

    def watch(self, owner: object, attribute: str, name: str) -> Callable[[], None]:
        """Charge every call of ``owner.attribute`` to ``name``; return a call that undoes this."""
        function = getattr(owner, attribute)

        def timed(*arguments: Any, **keywords: Any) -> Any:
            with self.part(name):
                return function(*arguments, **keywords)

        setattr(owner, attribute, timed)
        return lambda: setattr(owner, attribute, function)


@contextmanager
def watched(clocks: Clocks) -> Iterator[None]:
    """Time the parts of a training step."""
    parts: list[tuple[object, str, str]] = [
        (batches, "draw_patch", "draw and cut"),
        (batches, "stack", "stack"),
        (batches, "augment", "augment"),
        (batch_source, "draw_batch", "stack"),  # what is left of it: margins and crops
        (resident, "choose_place", "draw and cut"),
        (resident, "draw_changes", "augment"),
        (resident.Resident, "draw", "stack"),  # what is left of it: all that the GPU does of these
        (learner.Learner, "step", "forward and loss"),  # what is left of it
        (torch.autograd, "backward", "backward"),
        (torch.nn.utils, "clip_grad_norm_", "optimiser"),
        (AdamW, "step", "optimiser"),
        (UNet, "zero_grad", "optimiser"),
        (Replay, "finish", "optimiser"),
        (learner.Learner, "_update_average", "average"),
        (Validation, "tally", "validation"),
        (learner.Learner, "predict", "validation"),
        (learner.Learner, "calibrate", "validation"),
        (learner.Learner, "weights", "keep the best"),
    ]
    undo = [clocks.watch(*part) for part in parts]
    try:
        yield
    finally:
        for restore in reversed(undo):
            restore()


def bare_loop(
    network: UNetConfig, shape: tuple[int, ...], rate: float, device: torch.device, precision: str
) -> Iterator[None]:
    """Train a network on one random batch (B, C, …YX), a step at a time, as a tutorial would."""
    layout = torch.channels_last if network.ndim == 2 else torch.contiguous_format
    net = UNet(network).to(device).to(memory_format=layout).train()  # type: ignore[call-overload]
    image = torch.randn(shape, device=device).contiguous(memory_format=layout)
    target = torch.randint(network.classes, (shape[0], *shape[2:]), device=device)
    optimiser = torch.optim.AdamW(net.parameters(), lr=rate)
    dtype = getattr(torch, precision)
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
    while True:
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
            logits = net(image)
        loss = functional.cross_entropy(logits[:, : network.classes].float(), target)
        scaler.scale(loss).backward()
        scaler.step(optimiser)
        scaler.update()
        yield


class Trainings:
    """Starts the same training of a case as often as needed."""

    started: Started
    network: UNetConfig
    shape: tuple[int, ...]
    """Shape of a batch, (B, C, …YX)."""

    def __init__(self, case: Case, device: str) -> None:
        self._images, self._paints = zip(*case.images(), strict=True)
        self._config = case.config
        self._device = device
        hook = torch.nn.modules.module.register_module_forward_pre_hook(self._look)
        self.steps()
        hook.remove()

    def steps(self) -> Iterator[object]:
        """Return an iterator of steps, the first made; a validation belongs to the step after it."""
        events = training.train_events(self._images, self._paints, self._config, device=self._device)
        self.started = next(event for event in events if isinstance(event, Started))
        steps = (event for event in events if isinstance(event, StepDone))
        next(steps)
        return steps

    def _look(self, module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if isinstance(module, UNet):
            self.network, self.shape = module.config, tuple(inputs[0].shape)


def measure_parts(trainings: Trainings, steps: int, device: torch.device) -> None:
    """Print the share of every part in processor time and wall time."""
    clocks = Clocks(device)
    run = trainings.steps()
    with watched(clocks):
        for _ in islice(run, RECORDED if device.type == "cuda" else WARM_UP):
            pass
        clocks.spent.clear()
        with clocks.part("events and the rest"):
            for _ in islice(run, steps):
                pass
    spent = {part: clocks.spent[part] for part in PARTS}
    total = np.sum(list(spent.values()), axis=0)
    print("| part | ms a step, processor | share | ms a step, wall | share |\n|---|---|---|---|---|")
    for part, seconds in spent.items():
        report(part, seconds, steps, total)
    outside = total - sum(spent[part] for part in INSIDE)
    report("**outside the first three**", outside, steps, total)
    report("**of it, without validation**", outside - spent["validation"], steps, total)


class TimedReplay(Replay):
    """Records when the GPU begins and ends its work."""

    spans: ClassVar[list[tuple[Any, Any]]] = []

    @contextmanager
    def _span(self) -> Iterator[None]:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        yield
        end.record()
        self.spans.append((begin, end))

    def run(self, *given: Any, **named: Any) -> Any:
        """Return the function's result; one with a second part is that of a step, not of a score."""
        with self._span() if named.get("then") else nullcontext():
            return super().run(*given, **named)

    def finish(self, then: Callable[[], None]) -> None:
        """Do the second part."""
        with self._span():
            super().finish(then)


def measure_overlapped(trainings: Trainings, steps: int, device: torch.device) -> None:
    """Print the part of the time in which the GPU does not compute forward, backward or optimiser."""
    learner.Replay = TimedReplay
    recordings = Clocks(device)
    undo = recordings.watch(Replay, "_record", "recordings")
    run = trainings.steps()
    learner.Replay = Replay
    for _ in islice(run, RECORDED):
        pass
    torch.cuda.synchronize(device)
    undo()
    TimedReplay.spans.clear()
    begun = time.perf_counter()
    for _ in islice(run, steps):
        pass
    torch.cuda.synchronize(device)
    taken = 1000 * (time.perf_counter() - begun) / steps
    inside = sum(begin.elapsed_time(end) for begin, end in TimedReplay.spans) / steps
    print(
        f"\nwithout waits: {inside:.2f} of {taken:.2f} ms a step inside, **{1 - inside / taken:.1%} outside**"
        f"; recorded before, once: {1000 * recordings.spent['recordings'][1]:.0f} ms"
    )


def report(name: str, seconds: NDArray[np.float64], steps: int, total: NDArray[np.float64]) -> None:
    """Print a row: processor and wall time."""
    cells = [f"{1000 * s / steps:.2f} | {s / t:.1%}" for s, t in zip(seconds, total, strict=True)]
    print(f"| {name} | {' | '.join(cells)} |")


def compare_loops(trainings: Trainings, steps: int, device: torch.device) -> None:
    """Print how many patches per second are trained on, and how many by the bare loop."""
    ours = trainings.steps()
    rate, precision = TrainingConfig().learning_rate, trainings.started.precision
    bare = bare_loop(trainings.network, trainings.shape, rate, device, precision)
    taken: list[tuple[float, float]] = []
    for turn in range(-1, max(2, steps // TURN)):
        pair = []
        for loop in (ours, bare):
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            begun = time.perf_counter()
            for _ in islice(loop, TURN if turn >= 0 else WARM_UP):
                pass
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            pair.append(time.perf_counter() - begun)
        if turn >= 0:
            taken.append((pair[0], pair[1]))
    patches = trainings.shape[0] * TURN
    speeds = [patches / median(column) for column in zip(*taken, strict=True)]
    ratios = sorted(bare_s / ours_s for ours_s, bare_s in taken)
    print(
        f"\npatches a second: {speeds[0]:.2f}, bare loop {speeds[1]:.2f}; "
        f"ratio {median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f} in {len(ratios)} turns)"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--steps", type=int, default=100, help="that count, in each of both measurements")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--no-bare", action="store_true", help="leave out the bare loop")
    args = parser.parse_args()
    device = choose_device(args.device)
    print(f"{describe_device(device)}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    for name in args.cases:
        case = CASES[name]
        trainings = Trainings(case, args.device)
        precision = trainings.started.precision
        print(f"\n### {name}: {case.count} x {case.shape}, batch {trainings.shape}, {precision}\n")
        measure_parts(trainings, args.steps, device)
        if device.type == "cuda":
            measure_overlapped(trainings, args.steps, device)
        if not args.no_bare:
            compare_loops(trainings, args.steps, device)
        sys.stdout.flush()


if __name__ == "__main__":
    main()

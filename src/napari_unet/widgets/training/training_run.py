"""What the Train dock computes in its worker thread, and the sentences on its progress."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.core.learning.view import Gaze
from napari_unet.core.painted.object_distance import Full
from napari_unet.core.painted.paint_feed import PaintFeed
from napari_unet.files.atomic import check_writable
from napari_unet.files.networks.models import read_info
from napari_unet.files.pixels.pixel_size import PixelSize, relative_spacing
from napari_unet.files.plain import from_plain
from napari_unet.network.config import TrainingConfig
from napari_unet.network.events import (
    Checkpoint,
    Continued,
    Started,
    StepDone,
    Stopped,
    TrainingEvent,
    Validated,
    Warned,
)
from napari_unet.network.learning.state import TrainingState
from napari_unet.network.model import History, Model

Painted = tuple[Sequence[NDArray[Any]], Sequence[NDArray[Any]]]
"""Images and their paints."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """Images and paints to learn from and to score on, and what is known about them.

    ``full`` and ``names`` are as for ``train_events``. ``sizes`` has, for every image, the length of a pixel
    along each axis of its paint. For the axes that the network sees, these lengths become the spacing of the
    training, as multiples of the smallest: distances in the weight map stay in pixels of the finest axis.
    Without them ``config.spacing`` stays. The part of ``in_world`` that all images share is saved with the
    model.
    """

    images: Sequence[NDArray[Any]]
    paints: Sequence[NDArray[Any]]
    full: Sequence[Full] | None = None
    validation: Painted | None = None
    sizes: Sequence[tuple[float, ...]] = ()
    in_world: Sequence[PixelSize | None] = ()
    names: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Saved:
    """The model is on disk, in ``path``."""

    path: Path


def train_and_save(
    taught: TrainingData,
    config: TrainingConfig,
    *,
    start: Stopped | Path | None,
    device: str,
    path: Path,
    control: Control,
    before: Path | None = None,
    feed: PaintFeed | None = None,
    gaze: Gaze | None = None,
) -> Iterator[TrainingEvent | Saved]:
    """Train as :func:`napari_unet.network.training.train_events` does; save the model and its state.

    Parameters
    ----------
    config, device, control, feed, gaze
        As for ``train_events``.
    start : Stopped, path of a model file, or None
        What to go on from: the end of another training, or a file and the state beside it; a starter has no
        state.
    path : pathlib.Path
        Where the model goes; missing folders are made.
    before : pathlib.Path, optional
        The model file of ``start``. Its state is deleted once that of the new model is saved: a state is four
        times as large as its model, and there may be many trainings in a day.

    Yields
    ------
    TrainingEvent or Saved
        ``Stopped`` comes before the model is saved, so that the model is not lost if the disk is full. A stop
        before the first step ends without an event.

    Raises
    ------
    InputError
        If ``path`` cannot be written, which is checked before the training, or as ``train_events`` does.
    """
    check_writable(path)
    # torch takes seconds to import.
    from napari_unet.files.networks.states import state_path
    from napari_unet.files.networks.training_file import CHECKPOINT_S, TrainingFile
    from napari_unet.network.training import train_events

    begun = False
    try:
        model, state, told = _beginning(start)
        yield from told
        fixed = None if model is None or model.is_starter else model
        ndim = (fixed or config).network.ndim
        spacings = [relative_spacing(size[-ndim:]) for size in taught.sizes]
        config = replace(config, spacing=spacings[0]) if spacings else config
        events = train_events(
            taught.images,
            taught.paints,
            config,
            start=model,
            resume=state,
            validation=taught.validation,
            full=taught.full,
            names=taught.names,
            device=device,
            control=control,
            feed=feed,
            gaze=gaze,
            checkpoint_s=CHECKPOINT_S,
        )
        file = TrainingFile(path, taught.in_world)
        for event in events:
            begun = True
            if isinstance(event, Checkpoint):
                yield from map(Warned, file.save_checkpoint(event))
                continue
            yield event
            if isinstance(event, Started) and len(set(spacings)) > 1:
                yield Warned(
                    "The pixels of these images differ in shape, and distances are counted as in the "
                    "first; give their layers the same scale, or train on them one after the other."
                )
            if isinstance(event, Stopped):
                file.save_model(event.model)
                yield Saved(file.path)
                file.save_state(event)
                if event.state is not None and before not in (None, file.path):
                    state_path(before).unlink(missing_ok=True)
    except InputError:
        # A training stopped while it prepares reports it in this way; the user knows already.
        if begun or not control.stopped:
            raise


def _beginning(start: Stopped | Path | None) -> tuple[Model | None, TrainingState | None, list[Warned]]:
    """Return the model to start with, the state of its training, and why there is no state."""
    from napari_unet.files.networks.states import load_to_continue

    if start is None:
        return None, None, []
    if isinstance(start, Stopped):
        return start.model, start.state, []
    model, state, sentence = load_to_continue(start)
    return model, state, [Warned(sentence)] if sentence else []


def read_history(path: Path) -> History:
    """Return how the training of a model file went; ``InputError`` if it is not a model."""
    read = read_info(path, verify=False)["history"]
    history: History = from_plain(History, read, "history", ignore_unknown=True)
    return history


def device_in_words(device: str) -> tuple[str, str]:
    """Return the device in words, and how to get a faster one; imports torch.

    ``InputError`` if there is no such device.
    """
    from napari_unet.network.device import acceleration_hint, choose_device, describe_device

    chosen = choose_device(device)
    if chosen.type != "cpu":
        return f"{describe_device(chosen)}.", ""
    return f"{describe_device(chosen)}: expect to wait for minutes.", acceleration_hint() or ""


class TrainingProgress:
    """Sentences on how far a training with a time limit in seconds is, and how good."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._before = 0.0  # seconds of earlier trainings
        self._last: StepDone | None = None
        self._score: Validated | None = None
        self._best: Validated | None = None

    def add(self, event: StepDone | Validated) -> None:
        """Take the news of an event."""
        if isinstance(event, StepDone):
            self._last = event
        else:
            self._score = event
            if event.best:
                self._best = event

    def go_on(self, event: Continued) -> None:
        """Count time from where an earlier training stopped."""
        self._before = event.history.seconds

    def measure(self, event: object) -> tuple[float, float] | None:
        """Return (seconds done, seconds in all) for a progress bar; None for events that do not say."""
        if not isinstance(event, StepDone | Validated):
            return None
        return min(event.seconds - self._before, self._limit), self._limit

    def now(self, *, paused: bool) -> str:
        """Return where the training is; "" before its first step."""
        if self._last is None:
            return ""
        parts = [f"Step {self._last.step}", f"loss {self._last.loss:.3f}"]
        if self._score is not None:
            parts.append(self._score.words)
        parts.append("paused" if paused else f"{clock(self._before + self._limit - self._last.seconds)} left")
        return ", ".join(parts)

    def outcome(self) -> str:
        """Return which network was kept."""
        if self._best is None:
            return "No step was made, so there is nothing to keep."
        if self._best.step == 0:
            return f"Kept the model it started from, as nothing learnt since was better: {self._best.words}."
        return f"Kept the network of step {self._best.step}: {self._best.words}."


def clock(seconds: float) -> str:
    """Return a duration as "m:ss" or "h:mm:ss"."""
    minutes, rest = divmod(max(round(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

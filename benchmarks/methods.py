"""What all methods of the score sheet share: the task, the clock, and the moments at which they stop."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from annotator import Labels, Painted
from kinds import Image
from napari_unet.files.settings import Settings
from napari_unet.network.model import Model


class Clock:
    """Seconds of training, in wall time or processor time.

    Parameters
    ----------
    kind : {"processor", "wall"}
        Processor time does not change when the machine is busy.
    factor : float
        Processor seconds that count as one; see ``--factor``.
    """

    def __init__(self, kind: Literal["processor", "wall"] = "processor", factor: float = 1.0) -> None:
        self._now = time.process_time if kind == "processor" else time.perf_counter
        self._factor = factor if kind == "processor" else 1.0
        self._begun = self._now()

    def restart(self) -> None:
        """Begin at 0."""
        self._begun = self._now()

    @property
    def seconds(self) -> float:
        """Seconds since the start, without pauses."""
        return (self._now() - self._begun) / self._factor

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count the time of the block."""
        before = self._now()
        try:
            yield
        finally:
            self._begun += self._now() - before


@dataclass(frozen=True)
class Task:
    """What a method learns from.

    Parameters
    ----------
    images, painted : lists
        One paint for each image.
    marks : tuple of float
        Moments in seconds of training, in order, at which a model is taken; the last ends the training.
    clock : Clock
    seed : int
    settings : Settings
        Settings of ours; the recipes use the same network, precision and patches.
    folder : Path
        For files of this task.
    start : Model, optional
        Model that ours begins with.
    """

    images: list[Image]
    painted: list[Painted]
    marks: tuple[float, ...]
    clock: Clock
    seed: int
    folder: Path
    settings: Settings = field(default_factory=Settings)
    start: Model | None = None


@dataclass(frozen=True)
class Snapshot:
    """A method, stopped at some moment.

    Parameters
    ----------
    marks : tuple of float
        The moments at which a user would have this result.
    segment : callable
        From an image to its objects, for each way in which the method can find them.
    steps : int
        Optimiser steps by then.
    """

    marks: tuple[float, ...]
    segment: Callable[[Image], dict[str, Labels]]
    steps: int


Method = Callable[[Task], Iterator[Snapshot]]

"""How new paint joins a running training, what the user is told of it, and what is learnt first."""

from collections.abc import Iterator, Sequence
from time import perf_counter

import numpy as np

from napari_unet.core.learning.dataset import Dataset
from napari_unet.core.learning.live_dataset import Fresh, LiveDataset
from napari_unet.core.painted.paint_feed import PaintFeed
from napari_unet.network.config import TrainingConfig
from napari_unet.network.events import PaintJoined, Resolved, Warned
from napari_unet.network.learning.diagnosis import doubts

_EASE = 10
"""After paint has joined, the next waits so many times as long as that took …"""

_LONGEST_WAIT_S = 0.5
"""… but no longer than this."""

_FRESH_STEPS = 25
"""Steps whose batches each hold a patch around the newest paint: what the user has just shown comes first."""


class Joining:
    """Lets paint join a training between two of its steps.

    Parameters
    ----------
    live : LiveDataset
        What the training learns from.
    feed : PaintFeed or None
        Tells of new paint; None where none comes.
    config : TrainingConfig
        Of the training.
    told : sequence of str
        What the user was told of the paint before the first step.
    """

    def __init__(
        self, live: LiveDataset, feed: PaintFeed | None, config: TrainingConfig, told: Sequence[str]
    ) -> None:
        self._live = live
        self._feed = feed
        if feed is None:
            live.stay()
        self._config = config
        self._told = list(told)
        self._next = 0.0
        self._fresh: tuple[Fresh, ...] = ()
        self._fresh_steps = 0

    @property
    def dataset(self) -> Dataset:
        """What is learnt from now."""
        return self._live.dataset

    @property
    def waits(self) -> bool:
        """Whether there is paint that may join now."""
        return self._feed is not None and perf_counter() >= self._next and self._feed.has_news

    def look(self) -> Iterator[PaintJoined | Warned | Resolved]:
        """Take in what was painted, and tell; does nothing most of the time."""
        news = self._feed.take() if self._feed is not None and self.waits else None
        if news is None:
            return
        began = perf_counter()
        changed = self._live.update(news)
        took = perf_counter() - began
        self._next = began + took + min(_EASE * took, _LONGEST_WAIT_S)
        if changed:
            self._fresh, self._fresh_steps = self._live.fresh, _FRESH_STEPS
            yield PaintJoined(len(self.dataset.samples), self.dataset.known_pixels)
        yield from self._say()

    def fresh(self, rng: np.random.Generator) -> Fresh | None:
        """Return the newest paint that the next batch should show, if there is any."""
        if not self._fresh or not self._fresh_steps:
            return None
        self._fresh_steps -= 1
        return self._fresh[rng.integers(len(self._fresh))]

    def _say(self) -> Iterator[Warned | Resolved]:
        """Tell which warnings about the paint are new, and which no longer hold."""
        dataset = self.dataset
        now = [*dataset.warnings, *doubts(dataset, self._config), *self._live.held_back]
        before, self._told = self._told, now
        for sentence in before:
            if sentence not in now:
                yield Resolved(sentence)
        for sentence in now:
            if sentence not in before:
                yield Warned(sentence)

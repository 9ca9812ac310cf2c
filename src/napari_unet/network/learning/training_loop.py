"""The loop of a training: batch, step, paint that joins, validation, preview, and when it ends."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from math import inf, isfinite
from time import perf_counter
from typing import Literal, cast

import torch

from napari_unet.core.control import Control
from napari_unet.core.learning.view import Gaze
from napari_unet.network.config import TrainingConfig
from napari_unet.network.device import describe_device
from napari_unet.network.events import (
    Checkpoint,
    Continued,
    PaintJoined,
    StepDone,
    Stopped,
    TrainingEvent,
    Validated,
    Warned,
)
from napari_unet.network.learning.batch_source import BatchSource
from napari_unet.network.learning.batches import BatchShape, plan_batches
from napari_unet.network.learning.diagnosis import Watch
from napari_unet.network.learning.fitting import fit_reading
from napari_unet.network.learning.incumbent import Between, Incumbent
from napari_unet.network.learning.joining import Joining
from napari_unet.network.learning.learner import Learner
from napari_unet.network.learning.live_preview import LivePreview
from napari_unet.network.learning.recovery import Recovery
from napari_unet.network.learning.state import Best, TrainingState, fingerprint
from napari_unet.network.learning.tensors import on_cpu
from napari_unet.network.learning.transfer import pull_of_starter
from napari_unet.network.learning.validation import interval_on
from napari_unet.network.model import History, Model
from napari_unet.network.record import Record
from napari_unet.network.unet import UNet

DEFAULT_SECONDS = 120.0
"""Budget where neither seconds, steps nor patience are given."""

_FIRST_VALIDATION = 5
"""Step of the first validation, which shows that something moves; further ones come at intervals."""

_WARM_UP = 20
"""Steps over which the learning rate rises: AdamW's first steps are large and know little.

It then stays. The average of the weights does what a falling rate would, and a training may be stopped at any
moment.
"""


class Run:
    """The loop over steps, and all it has to remember.

    Parameters
    ----------
    network : UNet
    joining : Joining
        What is learnt from.
    config, control, gaze, checkpoint_s
        See :func:`napari_unet.network.training.train_events`.
    device, precision
        What computes, and in which numbers.
    origin : str
        Where the weights of ``network`` come from, in words.
    """

    def __init__(
        self,
        network: UNet,
        joining: Joining,
        config: TrainingConfig,
        control: Control,
        *,
        device: torch.device,
        precision: torch.dtype,
        gaze: Gaze | None,
        checkpoint_s: float | None,
        origin: str,
    ) -> None:
        dataset = joining.dataset
        self._learner = Learner(
            network,
            device=device,
            precision=precision,
            learning_rate=config.learning_rate * (config.body_rate or 1.0),
            seed=config.seed,
            ends_rate=config.ends_rate or 1.0,
        )
        self._learner.anchor(config.pull or 0.0)
        self._joining = joining
        self._fingerprint = ""  # of what is learnt from, once it is asked for
        self._has_joined = False
        self._config = config
        self._control = control
        limits = (config.seconds, config.steps, config.patience)
        self._budget = DEFAULT_SECONDS if limits == (None, None, None) else config.seconds
        self._shape: BatchShape = plan_batches(dataset, config, device)
        self._interval = interval_on(device)
        self._incumbent = Incumbent(dataset, self._shape, self._learner, config)
        self._recovery = Recovery(self._learner)
        self._watch = Watch(dataset, self._shape, device, config.seed)
        self._batches = BatchSource(joining, self._shape, config, device)
        self._clock = perf_counter()
        self._checkpoint_s = inf if checkpoint_s is None else checkpoint_s
        self._last_checkpoint = self._clock
        self._step = 0
        self._meanwhile: list[TrainingEvent] = []  # while a network was scored
        self._earlier = History()
        self._record = Record(self._earlier)
        self._origin = origin
        self._preview = LivePreview(
            gaze or Gaze(),
            config.network,
            channels=config.channels,
            normalisation=config.normalisation,
            device=device,
        )

    def go_on(self, start: Model, state: TrainingState) -> Iterator[TrainingEvent]:
        """Continue the training that stopped in ``state`` and gave ``start``."""
        earlier = start.history
        self._learner.load(state.learner, state.step)
        self._batches.rng_states = state.patch_rng, state.augment_rng
        self._step = state.step
        self._recovery.keep(self._step)
        self._earlier, self._record = earlier, Record(earlier)
        self._clock = perf_counter() - earlier.seconds
        same = state.data == self._data
        yield Continued(earlier, same)
        if same:
            self._incumbent.best = state.best
        else:
            # Scores on other data do not compare: what comes must be as good as this model is on these.
            yield self._recorded(self._incumbent.keep(start.weights, earlier.best_step, self._seconds))

    def anchor_starter(self) -> None:
        """Pull the starter, which was scored, back to what it knows: the more, the better it does."""
        if self._config.pull is None:
            pull = pull_of_starter(cast("Best", self._incumbent.best).highest.score)
            self._config = replace(self._config, pull=pull)
            self._learner.anchor(pull)

    def events(self) -> Iterator[TrainingEvent]:
        """Train until the budget is spent, a stop is requested, or the training diverges or converges."""
        reason: Literal["finished", "stopped", "diverged"] = "finished"
        while True:
            self._wait_while_paused()
            yield from self._join_and_step()
            yield from self._look_around()
            yield from self._checkpoint()
            if self._recovery.has_given_up:
                reason = "diverged"
                break
            # Asked after the step, not before: whoever saw Started gets a model.
            if self._control.stopped:
                reason = "stopped"
                break
            if self._budget_is_spent():
                break
            if self._is_due(self._step):
                yield from self.scores(between=self._step_for_paint)
                if self._incumbent.has_converged:
                    yield Stopped("converged", self.model(), self._state(self._incumbent.best))
                    return
        # A longer training would have validated here only if that was due, and its best network must not
        # depend on where it was interrupted.
        best = self._incumbent.best
        had_joined = self._has_joined
        yield from self.scores()
        yield from self._news()
        if self._is_due(self._step) or had_joined:
            best = self._incumbent.best
        # Where no step was finite, there is nothing to go on from.
        goes_on = reason != "diverged" and bool(self._learner.average.n_averaged)
        yield Stopped(reason, self.model(), self._state(best) if goes_on else None)

    def _join_and_step(self) -> Iterator[TrainingEvent]:
        """Make a step, of the paint as it is now."""
        yield from self._join()
        loss = self._take_step()
        self._recovery.after_step(loss)
        if loss is not None:
            self._record.add_loss(self._step, self._seconds, loss)
            yield StepDone(self._step, loss, self._seconds)
        yield from self._news()

    def _step_for_paint(self) -> bool:
        """Make a step while a network is scored, if paint waits: a score takes as long as several steps.

        Its events follow the score. Without new paint nothing happens, so a training is repeatable. A pause
        holds here as well.
        """
        self._wait_while_paused()
        limit = self._config.steps
        is_last = limit is not None and self._step + 1 - self._earlier.steps >= limit
        if not self._joining.waits or is_last or self._is_due(self._step + 1) or self._control.stopped:
            return False
        self._meanwhile += self._join_and_step()
        return True

    def _look_around(self) -> Iterator[TrainingEvent]:
        """Preview, until paint waits."""
        with closing(self._preview.look(self._incumbent.glance)) as previews:
            for event in previews:
                yield event
                if self._joining.waits:
                    return

    def _checkpoint(self) -> Iterator[Checkpoint]:
        """Yield what a stop would leave, if it is time and no score is due for new paint."""
        best = self._incumbent.best
        is_due = perf_counter() - self._last_checkpoint >= self._checkpoint_s
        if is_due and best is not None and self._learner.average.n_averaged and not self._has_joined:
            self._last_checkpoint = perf_counter()
            yield Checkpoint(self._unread_model(), self._state(best))

    def _join(self) -> Iterator[TrainingEvent]:
        """Go on with the paint as it is now."""
        for event in self._joining.look():
            if isinstance(event, PaintJoined):
                self._has_joined = True
                self._fingerprint = ""
                self._watch.follow(self._joining.dataset)
                self._batches.follow()
            yield event

    def _news(self) -> Iterator[TrainingEvent]:
        """Tell what has become apparent since the last time."""
        if sentence := self._recovery.news():
            yield Warned(sentence)
        yield from self._watch.look(self._step, self._incumbent.glance)

    @property
    def has_model(self) -> bool:
        """Whether there are weights to keep: those of the best validation."""
        return self._incumbent.best is not None

    @property
    def _data(self) -> str:
        # Kept, for it reads all images, and a state is saved every minute.
        if not self._fingerprint:
            self._fingerprint = fingerprint(self._joining.dataset, self._shape, self._config.seed)
        return self._fingerprint

    @property
    def _seconds(self) -> float:
        return perf_counter() - self._clock

    def _wait_while_paused(self) -> None:
        before = perf_counter()
        self._control.wait_while_paused()
        self._clock += perf_counter() - before

    def _budget_is_spent(self) -> bool:
        steps, seconds = self._step - self._earlier.steps, self._seconds - self._earlier.seconds
        return (self._config.steps is not None and steps >= self._config.steps) or (
            self._budget is not None and seconds >= self._budget
        )

    def _is_due(self, step: int) -> bool:
        """Return whether a validation follows this step."""
        return step == _FIRST_VALIDATION or step % self._interval == 0

    def _take_step(self) -> float | None:
        self._step += 1
        batch, rate = self._batches.take(), min(1.0, self._step / _WARM_UP)
        return self._learner.step(*batch, rate=rate, meanwhile=self._batches.draw_ahead)

    def scores(self, between: Between | None = None) -> Iterator[TrainingEvent]:
        """Score the network as it is now, and before it the kept one anew if the paint has changed."""
        if self._has_joined:
            # Now, not when the paint joined: to score takes as long as a few steps, and strokes come often.
            self._has_joined = False
            event = self._incumbent.rescore(self._joining.dataset, self._seconds, between)
            yield from self._told_meanwhile()
            if event is not None:
                yield self._recorded(event)
        event = self._validate(between)
        yield from self._told_meanwhile()
        yield event

    def _told_meanwhile(self) -> Iterator[TrainingEvent]:
        told, self._meanwhile = self._meanwhile, []
        yield from told

    def _validate(self, between: Between | None) -> Validated:
        """Score the network as it is now, or, if that gives no numbers, the one to go back to."""
        event = self._incumbent.validate(self._step, self._seconds, between)
        if not isfinite(event.loss):
            self._recovery.go_back()
            event = self._incumbent.validate(self._step, self._seconds)
        if event.best:
            self._recovery.keep(self._step)
        return self._recorded(event)

    def _recorded(self, event: Validated) -> Validated:
        score = event.step, event.seconds, event.score, event.loss, *event.interval
        self._record.add_score(score, event.on)
        return event

    def model(self) -> Model:
        """Return the best network so far and how it came to be; there must have been a validation."""
        model, dataset = self._unread_model(), self._joining.dataset
        reading = fit_reading(model, dataset, self._learner.device, self._learner.precision)
        return replace(model, instances=reading)

    def model_after_failure(self) -> Model:
        """Return the same, with the usual way to read its objects if what failed is in the way of fitting."""
        try:
            return self.model()
        except (MemoryError, RuntimeError):  # all that torch raises, and what failed is often memory
            return self._unread_model()

    def _unread_model(self) -> Model:
        """Return the same, but with the usual way to read its objects."""
        best = cast("Best", self._incumbent.best)
        config = self._config
        others = (
            ["object"]
            if config.mode == "objects"
            else [f"class {k}" for k in range(2, config.network.classes + 1)]
        )
        return Model(
            network=config.network,
            weights=on_cpu(best.weights),
            normalisation=config.normalisation,
            mode=config.mode,
            class_names=("background", *others),
            training=config,
            history=self._record.history(
                best_step=best.step,
                steps=self._step,
                seconds=self._seconds,
                device=describe_device(self._learner.device),
            ),
            origin=self._origin,
        )

    def _state(self, best: Best | None) -> TrainingState:
        patch_rng, augment_rng = self._batches.rng_states
        return TrainingState(
            step=self._step,
            learner=self._learner.state(),
            patch_rng=patch_rng,
            augment_rng=augment_rng,
            best=None if best is None else replace(best, weights=on_cpu(best.weights)),
            data=self._data,
        )

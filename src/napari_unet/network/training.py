"""Training on paint, as a generator of events that docks, command line and scripts share."""

import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import isfinite
from time import perf_counter
from typing import Any, Literal, cast

import numpy as np
import torch

from napari_unet.core.control import Control
from napari_unet.core.dataset import Dataset, build_dataset
from napari_unet.core.object_distance import Full
from napari_unet.network.batches import BatchShape, draw_batch, plan_batches
from napari_unet.network.config import TrainingConfig
from napari_unet.network.device import choose_device, choose_precision, describe_device
from napari_unet.network.diagnosis import Watch, doubts
from napari_unet.network.events import (
    Continued,
    Started,
    StepDone,
    Stopped,
    TrainingEvent,
    Validated,
    Warned,
)
from napari_unet.network.fitting import fit_reading
from napari_unet.network.incumbent import Incumbent
from napari_unet.network.learner import Learner
from napari_unet.network.model import History, Model
from napari_unet.network.record import Record
from napari_unet.network.recovery import Recovery
from napari_unet.network.state import Best, TrainingState, fingerprint
from napari_unet.network.transfer import starting_network
from napari_unet.network.unet import UNet
from napari_unet.network.validation import INTERVAL

DEFAULT_SECONDS = 120.0
"""Budget where neither seconds, steps nor patience are given."""

_FIRST_VALIDATION = 5
"""Step of the first validation, which shows that something moves; further ones come every ``INTERVAL``."""

_WARM_UP = 20
"""Steps over which the learning rate rises: AdamW's first steps are large and know little.

It then stays. The average of the weights does what a falling rate would, and a training may be stopped at any
moment.
"""


Painted = tuple[Sequence[Any], Sequence[Any]]
"""Images and their paints, arrays both."""


def train(
    images: Sequence[Any],
    paints: Sequence[Any],
    config: TrainingConfig = TrainingConfig(),
    *,
    start: Model | None = None,
    resume: TrainingState | None = None,
    validation: Painted | None = None,
    full: Sequence[Full] | None = None,
    device: str = "auto",
) -> Model:
    """Train a U-Net on painted images.

    Parameters
    ----------
    images, paints : sequences of arrays
        See :func:`napari_unet.core.dataset.build_dataset`.
    config : TrainingConfig
    start : Model, optional
        Go on from these weights, with this network and normalisation, adapted to the channels and classes of
        these images (of a starter also to ``config.network.ndim``), see
        :mod:`napari_unet.network.adaptation`. A starter, or a model that fits, is the one to beat; see
        :class:`napari_unet.network.incumbent.Incumbent`.
    resume : TrainingState, optional
        Of the training that ``start`` came out of: go on with its optimiser and its curve as well. Steps and
        seconds of ``config`` are further ones. With the same images, paints and other settings the model is
        that of one long training, bit for bit on the CPU with the same number of threads. Where images or
        paint have changed, it goes on with those; where the network had to be fitted to them, the state is
        not used.
    validation : (images, paints), optional
        Two lists like ``images`` and ``paints``, for scoring alone: nothing is learnt from them, and nothing
        is held out of the others. By default, some strokes are held out; see ``TrainingConfig.held_out``.
    full : sequence, optional
        For each image which of its objects are painted up to their border: True for all, False for none (the
        default), or their paint values. Such objects also teach where touching ones part, and how the
        probabilities are best read.
    device : str
        See :func:`napari_unet.network.device.choose_device`.

    Returns
    -------
    Model
        With the weights that scored best.

    Raises
    ------
    InputError
        If images and paints do not fit each other, the paint cannot teach, or there is no such device.
    """
    last = deque(
        train_events(
            images,
            paints,
            config,
            start=start,
            resume=resume,
            validation=validation,
            full=full,
            device=device,
        ),
        maxlen=1,
    ).pop()
    return cast("Stopped", last).model


def train_events(
    images: Sequence[Any],
    paints: Sequence[Any],
    config: TrainingConfig = TrainingConfig(),
    *,
    start: Model | None = None,
    resume: TrainingState | None = None,
    validation: Painted | None = None,
    full: Sequence[Full] | None = None,
    device: str = "auto",
    control: Control | None = None,
) -> Iterator[TrainingEvent]:
    """Train as :func:`train` does and tell how it goes.

    Parameters
    ----------
    control : Control, optional
        Polled while the data are prepared, where a stop raises ``InputError`` (there is no model yet), and
        after every step: whoever has seen ``Started`` gets a model.

    Yields
    ------
    TrainingEvent
        ``Started``, ``Continued`` if the training goes on from ``resume``, then ``StepDone``, ``Validated``,
        ``Warned`` and ``Resolved`` in any order, and ``Stopped`` with the model. An error after the first
        validation comes after a ``Stopped`` of its own, so that a failure in the second hour does not cost
        the first.
    """
    control = control or Control()
    place = choose_device(device)
    precision = choose_precision(place, config.precision)
    if start is not None:
        # A starter may become 3-D; a training that is continued stays what it was.
        ndim = config.network.ndim if start.is_starter else start.network.ndim
        network_config = replace(start.network, ndim=ndim)
        config = replace(config, network=network_config, normalisation=start.normalisation)
    more_images, more_paints = validation or ((), ())
    dataset = build_dataset(
        [*images, *more_images],
        [*paints, *more_paints],
        ndim=config.network.ndim,
        mode=config.mode,
        channels=config.channels,
        weights=config.weights,
        normalisation=config.normalisation,
        held_out=config.held_out,
        spacing=config.spacing,
        seed=config.seed,
        validation=len(more_images),
        full=None if full is None else [*full, *(False for _ in more_images)],
        control=control,
    )
    network, warnings, resume = starting_network(
        start,
        resume,
        config,
        in_channels=dataset.in_channels,
        classes=dataset.n_classes,
        distance=dataset.has_distance,
    )
    config = replace(config, network=network.config)
    yield Started(
        device=describe_device(place),
        precision=str(precision).removeprefix("torch."),
        parameters=sum(values.numel() for values in network.parameters()),
        images=sum(any(pixels.size for pixels in sample.pixels) for sample in dataset.samples),
        known_pixels=dataset.known_pixels,
    )
    for message in (*dataset.warnings, *warnings, *doubts(dataset, config)):
        yield Warned(message)
    try:
        run = _Run(network, dataset, config, control, device=place, precision=precision)
        try:
            if start is not None and resume is not None:
                yield from run.go_on(start, resume)
            elif start is not None and (
                start.is_starter or (start.network == network.config and start.mode == config.mode)
            ):
                yield run.validate()  # the one to beat
            yield from run.events()
        except Exception as error:
            # The frames of an out-of-memory error hold the tensors that filled the memory.
            traceback.clear_frames(error.__traceback__)
            if run.has_model:
                yield Stopped("failed", run.model())
            raise
        finally:
            del run
    finally:
        del network
        # Other programs, and napari's canvas, share the GPU.
        if place.type == "cuda":
            torch.cuda.empty_cache()
        elif place.type == "mps":
            torch.mps.empty_cache()


class _Run:
    """The loop over steps, and all it has to remember."""

    def __init__(
        self,
        network: UNet,
        dataset: Dataset,
        config: TrainingConfig,
        control: Control,
        *,
        device: torch.device,
        precision: torch.dtype,
    ) -> None:
        self._learner = Learner(
            network, device=device, precision=precision, learning_rate=config.learning_rate, seed=config.seed
        )
        self._dataset = dataset
        self._config = config
        self._control = control
        limits = (config.seconds, config.steps, config.patience)
        self._budget = DEFAULT_SECONDS if limits == (None, None, None) else config.seconds
        self._shape: BatchShape = plan_batches(dataset, config.network, config, device)
        self._incumbent = Incumbent(
            dataset, self._shape, self._learner, patience=config.patience, seed=config.seed
        )
        self._recovery = Recovery(self._learner)
        self._watch = Watch(dataset, self._shape, device, config.seed)
        self._patch_rng = np.random.default_rng(config.seed)
        self._augment_rng = torch.Generator().manual_seed(config.seed)
        self._clock = perf_counter()
        self._step = 0
        self._earlier = History()
        self._record = Record(self._earlier)

    def go_on(self, start: Model, state: TrainingState) -> Iterator[TrainingEvent]:
        """Continue the training that stopped in ``state`` and gave ``start``."""
        earlier = start.history
        self._learner.load(state.learner, state.step)
        self._patch_rng.bit_generator.state = state.patch_rng
        self._augment_rng.set_state(state.augment_rng)
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

    def events(self) -> Iterator[TrainingEvent]:
        """Train until the budget is spent, a stop is asked for, or nothing finite or better comes up."""
        reason: Literal["finished", "stopped", "diverged"] = "finished"
        while True:
            self._wait_while_paused()
            loss = self._take_step()
            self._recovery.after_step(loss)
            if loss is not None:
                self._record.add_loss(self._step, self._seconds, loss)
                yield StepDone(self._step, loss, self._seconds)
            yield from self._news()
            if self._recovery.has_given_up:
                reason = "diverged"
                break
            # Asked after the step, not before: whoever saw Started gets a model.
            if self._control.stopped:
                reason = "stopped"
                break
            if self._budget_is_spent():
                break
            if self._validation_is_due:
                yield self.validate()
                if self._incumbent.has_converged:
                    yield Stopped("converged", self.model(), self._state(self._incumbent.best))
                    return
        # A longer training would have validated here if that was due, and not otherwise: nor may its best
        # network depend on where it was interrupted.
        best = self._incumbent.best
        yield self.validate()
        yield from self._news()
        if self._validation_is_due:
            best = self._incumbent.best
        # Where no step was finite, there is nothing to go on from.
        goes_on = reason != "diverged" and bool(self._learner.average.n_averaged)
        yield Stopped(reason, self.model(), self._state(best) if goes_on else None)

    def _news(self) -> Iterator[TrainingEvent]:
        """Tell what has become apparent since the last time."""
        if sentence := self._recovery.news():
            yield Warned(sentence)
        yield from self._watch.look(self._step, self._learner.predict)

    @property
    def has_model(self) -> bool:
        """Whether there are weights to keep: those of the best validation."""
        return self._incumbent.best is not None

    @property
    def _data(self) -> str:
        return fingerprint(self._dataset, self._shape, self._config.seed)

    @property
    def _validation_is_due(self) -> bool:
        return self._step == _FIRST_VALIDATION or self._step % INTERVAL == 0

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

    def _take_step(self) -> float | None:
        self._step += 1
        batch = draw_batch(
            self._dataset,
            self._shape,
            self._config,
            self._learner.device,
            rng=self._patch_rng,
            generator=self._augment_rng,
        )
        return self._learner.step(*batch, rate=min(1.0, self._step / _WARM_UP))

    def validate(self) -> Validated:
        """Score the network as it is now, or, if that gives no numbers, the one to go back to."""
        event = self._incumbent.validate(self._step, self._seconds)
        if not isfinite(event.loss):
            self._recovery.go_back()
            event = self._incumbent.validate(self._step, self._seconds)
        if event.best:
            self._recovery.keep(self._step)
        return self._recorded(event)

    def _recorded(self, event: Validated) -> Validated:
        self._record.add_score((event.step, event.seconds, event.score, event.loss, *event.interval))
        return event

    def model(self) -> Model:
        """Return the best network so far and how it came to be; there must have been a validation."""
        best = cast("Best", self._incumbent.best)
        config = self._config
        others = (
            ["object"]
            if config.mode == "objects"
            else [f"class {k}" for k in range(2, config.network.classes + 1)]
        )
        model = Model(
            network=config.network,
            weights=best.weights,
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
        )
        reading = fit_reading(model, self._dataset, self._learner.device, self._learner.precision)
        return replace(model, instances=reading)

    def _state(self, best: Best | None) -> TrainingState:
        return TrainingState(
            step=self._step,
            learner=self._learner.state(),
            patch_rng=self._patch_rng.bit_generator.state,
            augment_rng=self._augment_rng.get_state(),
            best=best,
            data=self._data,
        )

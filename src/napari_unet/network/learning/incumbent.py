"""The network that is kept: the best so far on the current validation paint."""

from collections.abc import Callable
from contextlib import nullcontext

from torch import Tensor

from napari_unet.core.learning.dataset import Dataset
from napari_unet.core.scoring.confidence import Tally
from napari_unet.network.config import TrainingConfig
from napari_unet.network.events import Validated
from napari_unet.network.learning.batches import BatchShape
from napari_unet.network.learning.calibration import calibration_images
from napari_unet.network.learning.learner import Learner
from napari_unet.network.learning.replay import Replay
from napari_unet.network.learning.state import Best, Tensors
from napari_unet.network.learning.validation import Validation

_PROGRESS = 1e-3
"""A score that is higher by less than this is no progress: it would creep for ever."""

Between = Callable[[], bool]
"""Called before every batch that is scored; it may train, and says whether it did."""

_PATIENCE = 0.25
"""Part of all steps after which batch normalisation is measured again for glances between two scores."""

_COLLAPSED = 0.5
"""Below this part of the best score a network has lost its way, however little is held out."""


class Incumbent:
    """Judges networks, keeps the best, and runs out of patience.

    The later of two networks is kept: it has seen more. Strokes cannot tell which of two useful networks
    is the better: they lie inside objects and away from them, where a network of 25 steps that finds
    everything bright scores .97, and one of 400 that knows where objects end .74. So they only keep out one
    that has lost its way, with less than half the best score. On validation images, which show borders, a
    network is also left out if even the upper end of its interval is below the best score. It is compared
    with the best ever, not with the one before, or small steps down would add up.

    Parameters
    ----------
    dataset : Dataset
        With the paint to score on.
    shape : BatchShape
    learner : Learner
        Its averaged network is scored.
    config : TrainingConfig
        After as many validations without progress as its ``patience``, :attr:`has_converged` is True.
    """

    def __init__(self, dataset: Dataset, shape: BatchShape, learner: Learner, config: TrainingConfig) -> None:
        self._shape = shape
        self._learner = learner
        self._config = config
        self._scoring = Replay(learner.device)
        self._follow(dataset)
        self._idle = 0
        self.best: Best | None = None

    def validate(self, step: int, seconds: float, between: Between | None = None) -> Validated:
        """Score the network as it is now, whatever ``between`` does to it, and keep it if none was better."""
        self._learner.calibrate(self._images)
        weights = self._learner.weights()
        tally = self._score(weights, between, is_current=True)
        best = self.best
        if best is None or not best.highest.is_finite:
            self.best, self._idle = Best(weights, step, tally), 0
            return self._told(tally, step, seconds, is_best=True)
        before = best.highest
        is_progress = tally.is_finite and tally.score >= before.score + _PROGRESS
        self._idle = 0 if is_progress else self._idle + 1
        is_higher = tally.is_finite and tally.score > before.score
        keeps = (
            tally.is_finite
            and tally.score >= _COLLAPSED * before.score
            and (self._validation.on != "validation" or tally.interval(self._config.seed)[1] >= before.score)
        )
        if keeps:
            self.best = Best(weights, step, tally if is_higher else before)
        return self._told(tally, step, seconds, is_best=keeps)

    def keep(self, weights: Tensors, step: int, seconds: float, between: Between | None = None) -> Validated:
        """Let the network of ``weights``, of an earlier ``step``, be the one to beat; be patient again."""
        tally = self._score(weights, between)
        self.best, self._idle = Best(weights, step, tally), 0
        return self._told(tally, step, seconds, is_best=True)

    def rescore(self, dataset: Dataset, seconds: float, between: Between | None = None) -> Validated | None:
        """Go on with the paint of another dataset: score the kept network, if there is one, on that.

        Scores on other paint do not compare. The next network is measured against the kept one, on the same
        strokes.
        """
        self._follow(dataset)
        self._idle = 0
        return None if self.best is None else self.keep(self.best.weights, self.best.step, seconds, between)

    @property
    def has_converged(self) -> bool:
        """Whether patience has run out."""
        patience = self._config.patience
        return patience is not None and self._idle >= patience

    def glance(self, image: Tensor) -> Tensor:
        """Return the logits of the network as it is now; what normalises it may be a little out of date."""
        self._learner.calibrate(self._images, patience=_PATIENCE)
        return self._learner.predict(image)

    def _follow(self, dataset: Dataset) -> None:
        device = self._learner.device
        self._validation = Validation(dataset, self._shape, device)
        self._images = calibration_images(dataset, self._shape, self._config, device)

    def _score(self, weights: Tensors, between: Between | None, *, is_current: bool = False) -> Tally:
        """Return how the network of ``weights`` does; ``is_current``: they are those the learner has."""
        learner = self._learner

        def predict(image: Tensor) -> Tensor:
            nonlocal is_current
            if between is not None and between():
                is_current = False
            with nullcontext() if is_current else learner.using(weights):
                logits: Tensor = self._scoring.run(learner.predict, image)
            return logits

        return self._validation.tally(predict)

    def _told(self, tally: Tally, step: int, seconds: float, *, is_best: bool) -> Validated:
        return Validated(
            step=step,
            score=tally.score,
            loss=tally.loss,
            seconds=seconds,
            on=self._validation.on,
            best=is_best,
            interval=tally.interval(self._config.seed),
            strokes=self._validation.strokes,
        )

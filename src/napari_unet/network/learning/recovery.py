"""A way back for a training that has run into numbers that are none."""

from napari_unet.network.learning.learner import Learner

_BAD_STEPS = 5
"""Steps in a row without a finite loss after which the weights are to blame, and not an odd batch; float16
training may need a few of them to find its scale."""

_MOST_RETURNS = 5
"""How often training goes back, each time at half the rate, before it has diverged."""


class Recovery:
    """Keeps a copy of the learner at its best, in memory, and brings it back at half the learning rate.

    The copy is renewed with every network that is the best so far, rather than every few steps: weights that
    are about to overflow give finite losses for a while, but no good scores. It holds weights, their average,
    batch-norm statistics and the moments of the optimiser, which would otherwise lead the old weights the new
    way. It stays on the device, where copying it takes no time worth mentioning.

    Parameters
    ----------
    learner : Learner
        Before its first step: the first copy is of the start.
    """

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        self._copy = learner.snapshot()
        self._step = self._back_at = 0
        self._bad_in_a_row = 0
        self._returns = 0
        self._told = 0

    @property
    def has_given_up(self) -> bool:
        """Whether going back did not help."""
        return self._returns > _MOST_RETURNS

    def keep(self, step: int) -> None:
        """Note that the network of this step is the best so far."""
        # The average, which is what was scored, may be sound while the network itself is already lost.
        if self._bad_in_a_row == 0:
            self._copy, self._step = self._learner.snapshot(self._copy), step

    def after_step(self, loss: float | None) -> None:
        """Take note of the loss of a step, None if it was not finite, and go back if there were too many."""
        self._bad_in_a_row = 0 if loss is not None else self._bad_in_a_row + 1
        if self._bad_in_a_row == _BAD_STEPS:
            self.go_back()

    def go_back(self) -> None:
        """Bring back the copy, and halve the learning rate."""
        self._learner.restore(self._copy)
        self._learner.slow_down()
        self._back_at = self._step
        self._returns += 1
        self._bad_in_a_row = 0

    def news(self) -> str | None:
        """Return, once each, the sentence on the first return and the one on giving up."""
        told, self._told = self._told, (self._returns > 0) + self.has_given_up
        if told == self._told:
            return None
        if self.has_given_up:
            return (
                f"The loss was not a number again after training had gone back {_MOST_RETURNS} times, so it "
                "ends with the best network so far; start again with a lower learning rate."
            )
        return (
            f"The loss was not a number any more, so training goes on from step {self._back_at}, at half the "
            "learning rate; if this comes often, choose a lower learning rate."
        )

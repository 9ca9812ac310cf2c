"""Whether correcting still pays: how many predicted objects are right as they are, and how fast it goes.

Everything follows from the gestures with which objects were accepted, rejected, split and merged, and from
when that was.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.correcting.gestures import Gesture

WINDOW = 20
"""Objects, judged last, of which a share is taken: enough to be steady, few enough to follow training."""

FEWEST = 5
"""With fewer objects than this, a share says nothing."""

RATE_S = 120.0
"""Seconds over which corrections are counted for their rate."""

ENOUGH = 0.9
"""From this share on, more corrections change little."""

_TOGETHER_S = 1e-3
"""Judgements within this time come from one gesture: the parts of a split, all objects under a stroke."""


@dataclass(frozen=True, slots=True, eq=False)
class Progress:
    """How correcting goes."""

    # (N,) the share in [0, 1] of objects accepted as they were predicted, among the `WINDOW` judged last by
    # then (fewer at the beginning)
    untouched: NDArray[np.float64]
    per_minute: float  # corrections (rejections, splits and merges) a minute, of late

    @property
    def sentence(self) -> str:
        """How it goes in words; "" where too little was judged to say."""
        judged = self.untouched.size
        if judged < FEWEST:
            return ""
        share = float(self.untouched[-1])
        last = min(judged, WINDOW)
        words = f"Of the last {last} objects you judged, {round(share * last)} were right as predicted"
        earlier = self.untouched[-1 - WINDOW] if judged > WINDOW + FEWEST else None
        if earlier is not None:
            words += f" ({share:.0%}, before that {earlier:.0%})"
        words += f"; {self.per_minute:.0f} correction{'s' * (round(self.per_minute) != 1)} a minute."
        if judged >= WINDOW and share >= ENOUGH:
            words += " More corrections will change little: segment the rest."
        return words


def read_progress(gestures: Sequence[Gesture], now: float) -> Progress:
    """Return how correcting goes.

    Parameters
    ----------
    gestures : sequence of Gesture
        What was said of each object, the oldest first; a split counts as one object that was wrong, however
        many came of it.
    now : float
        Seconds since 1970.
    """
    judged: list[bool] = []  # whether each object was right
    corrections: list[float] = []
    before: Gesture | None = None
    for gesture in gestures:
        same = before is not None and before.kind == gesture.kind and gesture.time - before.time < _TOGETHER_S
        before = gesture
        if gesture.kind == "accepted":
            judged.append(True)
        elif not (same and gesture.kind == "split"):
            judged.append(False)
            corrections.append(gesture.time)
    right = np.cumsum([0, *judged])
    ends = np.arange(1, len(judged) + 1)
    starts = np.maximum(ends - WINDOW, 0)
    began = gestures[0].time if gestures else now
    # A minute at least: two corrections in the first second are not 120 a minute.
    minutes = max(min(now - began, RATE_S), 60.0) / 60
    return Progress(
        untouched=(right[ends] - right[starts]) / (ends - starts),
        per_minute=sum(now - time <= RATE_S for time in corrections) / minutes,
    )

"""The curve of a training over all its sessions, and how it is kept short."""

import platform
from collections.abc import Collection
from datetime import datetime
from typing import TypeVar

import numpy as np
import torch

from napari_unet._version import __version__
from napari_unet.network.model import History, Score

MOST_POINTS = 4096
"""Losses, and scores, that a history holds at most."""

_Point = TypeVar("_Point", tuple[int, float, float], Score)


class Record:
    """Collects losses and scores while a training runs.

    Parameters
    ----------
    earlier : History
        Of the sessions that this one continues: its points stay, its steps and seconds run on.
    """

    def __init__(self, earlier: History) -> None:
        self._earlier = earlier
        self._began = datetime.now().astimezone().isoformat(timespec="seconds")
        self._losses = list(earlier.losses)
        self._scores = list(earlier.scores)
        self._scored_on = earlier.scored_on

    def add_loss(self, step: int, seconds: float, loss: float) -> None:
        """Note the loss of a step."""
        self._losses.append((step, seconds, loss))
        # Now and then, so that a training of days does not fill the memory; thinning twice is thinning once.
        if len(self._losses) > 2 * MOST_POINTS:
            self._losses = thin_curve(self._losses, step)

    def add_score(self, score: Score, on: str) -> None:
        """Note the result of a validation on this kind of paint."""
        self._scores.append(score)
        self._scored_on = on

    def history(self, *, best_step: int, steps: int, seconds: float, device: str) -> History:
        """Return all that was noted; steps and seconds are those of all sessions together."""
        before = self._earlier
        # Early models do not know their session.
        sessions = before.sessions or (((before.started, before.steps, before.seconds),) * (before.steps > 0))
        return History(
            losses=tuple(thin_curve(self._losses, steps)),
            scores=tuple(thin_curve(self._scores, steps, keep={best_step})),
            best_step=best_step,
            steps=steps,
            seconds=seconds,
            device=device,
            started=before.started or self._began,
            versions={
                "napari-unet": __version__,
                "python": platform.python_version(),
                "torch": torch.__version__,
                "numpy": np.__version__,
            },
            scored_on=self._scored_on,
            sessions=(*sessions, (self._began, steps, seconds)),
        )


def thin_curve(points: list[_Point], steps: int, keep: Collection[int] = ()) -> list[_Point]:
    """Return the points of a curve of ``steps`` steps, made sparse evenly if there are very many.

    The steps are divided into runs of 1, 2, 4, 8 … steps, as short as ``MOST_POINTS`` runs allow; the last
    point of each run remains. This depends on the number of steps alone, not on how often a curve was thinned
    before, or in how many sessions it was made.

    Parameters
    ----------
    points : list of tuple
        Each begins with its step; in order, but for networks that were scored again.
    steps : int
        Steps so far.
    keep : collection of int
        Steps whose points remain in any case.
    """
    length = 1
    while steps > length * MOST_POINTS:
        length *= 2
    if length == 1:
        return points
    last: dict[int, int] = {(point[0] - 1) // length: index for index, point in enumerate(points)}
    kept = {*last.values(), *(index for index, point in enumerate(points) if point[0] in keep)}
    return [points[index] for index in sorted(kept)]

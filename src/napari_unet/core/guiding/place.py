"""A place at which to paint, and why, in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Why = Literal["seam", "wavers", "unlike"]

_UNLIKE = 0.6
"""Novelty from which a place is called unlike the paint."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place at which to paint.

    Parameters
    ----------
    centre : tuple of int
        Index (…YX) of an unpainted pixel.
    radius : float
        Pixels around it, along the last axis, that should be seen.
    why : {"seam", "wavers", "unlike"}
        Objects touch and the seam is unclear; the network wavers between classes; or nothing says more than
        that it looks unlike the paint.
    between : tuple of int
        The two classes, as paint values, that are most probable there.
    distance : float
        Pixels to the nearest paint of this plane; infinite without.
    novelty : float
        How unlike the paint it looks, from 0 to 1.
    score : float
        By which places are ranked.
    """

    centre: tuple[int, ...]
    radius: float
    why: Why
    between: tuple[int, int]
    distance: float
    novelty: float
    score: float


def in_words(place: Place, names: Sequence[str] = ("background", "object")) -> str:
    """Return why a stroke at ``place`` would teach, and what to paint.

    Parameters
    ----------
    names : sequence of str
        Of the classes, background first.
    """
    one, other = (names[value - 1] if value <= len(names) else f"class {value}" for value in place.between)
    reasons = {
        "seam": "Touching objects, or one? The seam is unclear: paint a thin line of background along it or, "
        "without a gap, a stroke of each object beside it; if it is one object, a stroke across.",
        "wavers": f"The network wavers between {one} and {other} here: paint what it is, and beside it a "
        "stroke of the other.",
        "unlike": "This looks unlike what is painted: paint what it is.",
    }
    words = reasons[place.why]
    if place.why != "unlike" and place.novelty >= _UNLIKE and np.isfinite(place.distance):
        words += f" The nearest paint is {place.distance:.0f} px away, and what it covers looks different."
    return words

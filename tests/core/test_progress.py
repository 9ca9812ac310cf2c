"""Shares and rates from gestures: tables of what was said and when."""

import numpy as np
import pytest

from napari_unet.core.correcting.gestures import Gesture
from napari_unet.core.correcting.progress import WINDOW, read_progress


def said(kinds, every=3.0):
    names = {"a": "accepted", "r": "rejected", "s": "split", "m": "merged"}
    return [Gesture(names[kind], 1000 + every * n) for n, kind in enumerate(kinds)]


@pytest.mark.parametrize(
    ("kinds", "untouched"),
    [("", []), ("a", [1]), ("r", [0]), ("ar", [1, 1 / 2]), ("rmas", [0, 0, 1 / 3, 1 / 4])],
)
def test_the_share_is_of_all_judged_by_then(kinds, untouched):
    progress = read_progress(said(kinds), 1100)
    np.testing.assert_allclose(progress.untouched, untouched)
    assert progress.sentence == ""


def test_it_rolls():
    progress = read_progress(said("r" * WINDOW + "a" * WINDOW), 1000 + 3 * 40)
    assert progress.untouched[WINDOW - 1] == 0
    assert progress.untouched[WINDOW + WINDOW // 2 - 1] == 0.5
    assert progress.untouched[-1] == 1
    assert progress.sentence == (
        "Of the last 20 objects you judged, 20 were right as predicted (100%, before that 0%); 10 "
        "corrections a minute. More corrections will change little: segment the rest."
    )


def test_the_parts_of_a_split_are_one_object_and_a_stroke_over_many_is_many():
    split = [Gesture("split", 1000.0)] * 3
    accepted = [Gesture("accepted", 1001.0)] * 2
    rejected = [Gesture("rejected", 1002.0)] * 3
    progress = read_progress([*split, *accepted, *rejected], 1003)
    assert progress.untouched.size == 1 + 2 + 3
    assert progress.untouched[-1] == pytest.approx(2 / 6)
    assert progress.per_minute == 4
    assert "Of the last 6 objects you judged, 2 were right as predicted; 4 corrections" in progress.sentence


@pytest.mark.parametrize(("every", "count", "rate"), [(3, 10, 10), (3, 100, 20), (60, 10, 1.5), (0.1, 2, 2)])
def test_the_rate_is_of_late(every, count, rate):
    gestures = said("m" * count, every)
    assert read_progress(gestures, gestures[-1].time).per_minute == pytest.approx(rate, rel=0.1)
    assert read_progress(gestures, gestures[-1].time + 3600).per_minute == 0

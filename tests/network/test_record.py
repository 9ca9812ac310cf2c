"""The curve of a long training stays short, and the same however often it was interrupted."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.network import record
from napari_unet.network.model import History
from napari_unet.network.record import Record, thin_curve

LIMIT = record.MOST_POINTS


def curve(steps: int) -> list[tuple[int, float, float]]:
    return [(step, step / 10, 1 / step) for step in range(1, steps + 1)]


@pytest.mark.parametrize(
    ("steps", "count", "first"),
    [
        (1, 1, 1),
        (LIMIT, LIMIT, 1),
        (LIMIT + 1, LIMIT // 2 + 1, 2),
        (2 * LIMIT, LIMIT, 2),
        (2 * LIMIT + 1, LIMIT // 2 + 1, 4),
        (20 * LIMIT, 20 * LIMIT // 32, 32),
    ],
)
def test_runs_of_steps_are_shown_by_their_last(steps: int, count: int, first: int) -> None:
    points = thin_curve(curve(steps), steps)
    assert len(points) == count
    assert points[0][0] == first
    assert points[-1][0] == steps
    assert len({later[0] - point[0] for point, later in pairwise(points[:-1])}) <= 1


def test_what_is_to_be_kept_is_kept_in_order() -> None:
    points = thin_curve(curve(3 * LIMIT), 3 * LIMIT, keep={5, 1001})
    steps = [step for step, *_ in points]
    assert {5, 1001} <= set(steps)
    assert steps == sorted(set(steps))
    assert len(steps) == 3 * LIMIT // 4 + 2


@given(st.lists(st.integers(1, 200), min_size=1, max_size=8))
def test_interruptions_do_not_change_the_curve(sessions: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record, "MOST_POINTS", 16)
        history, steps = History(), 0
        for length in sessions:
            kept = Record(history)
            for step in range(steps + 1, steps + length + 1):
                kept.add_loss(step, step / 10, 1 / step)
            steps += length
            history = kept.history(best_step=0, steps=steps, seconds=steps / 10, device="CPU")
        assert len(history.losses) <= 16
        assert history.losses == tuple(thin_curve(curve(steps), steps))
        ends = [sum(sessions[: number + 1]) for number in range(len(sessions))]
        assert [last for _, last, _ in history.sessions] == ends
        assert history.started == history.sessions[0][0]


def test_it_is_known_what_was_scored() -> None:
    kept = Record(History(scored_on="training"))
    assert kept.history(best_step=1, steps=1, seconds=1.0, device="CPU").scored_on == "training"
    kept.add_score((2, 1.0, 0.5, 0.5, 0.0, 1.0), "held-out")
    assert kept.history(best_step=2, steps=2, seconds=1.0, device="CPU").scored_on == "held-out"


def test_the_memory_is_bounded_while_it_runs() -> None:
    kept = Record(History())
    for step in range(1, 5 * LIMIT):
        kept.add_loss(step, 0.0, 0.0)
        assert len(kept._losses) <= 2 * LIMIT


def test_a_model_of_the_first_release_has_had_one_session() -> None:
    old = History(steps=3, seconds=1.5, started="2026-01-02T03:04:05+00:00")
    history = Record(old).history(best_step=4, steps=5, seconds=2.5, device="CPU")
    assert history.sessions[0] == (old.started, 3, 1.5)
    assert history.sessions[1][1:] == (5, 2.5)
    assert history.started == old.started

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from truths import touching_cells

from annotator import AIM, Painted
from correcting import correct, errors

FOREVER = 1e9


def _blank(truth: NDArray[np.int32]) -> Painted:
    return Painted(np.zeros(truth.shape, np.int32), frozenset(), 0.0)


def _correct(truth: NDArray[np.int32], predicted: NDArray[np.int32], until: float = FOREVER) -> Painted:
    return correct(truth, predicted, _blank(truth), until, rng=np.random.default_rng(0))


def _two(gap: int) -> NDArray[np.int32]:
    truth = np.zeros((40, 60), np.int32)
    truth[10:30, 10:28], truth[10:30, 28 + gap : 48] = 1, 2
    return truth


def test_nothing_is_painted_where_nothing_is_wrong() -> None:
    truth = touching_cells(0)
    painted = _correct(truth, truth)
    assert not painted.paint.any()
    assert painted.seconds == 0


def test_a_missed_object_gets_a_stroke_inside() -> None:
    truth = _two(8)
    painted = _correct(truth, np.where(truth == 1, 1, 0))
    assert set(np.unique(truth[painted.paint > 0])) == {2}
    assert painted.paint.max() == 2


def test_an_invented_object_gets_a_background_stroke() -> None:
    truth = _two(8)
    predicted = truth.copy()
    predicted[2:8, 2:40] = 3
    painted = _correct(truth, predicted)
    assert set(np.unique(painted.paint)) == {0, 1}
    assert not truth[painted.paint == 1].any()
    assert (predicted[painted.paint == 1] == 3).all()


@pytest.mark.parametrize("gap", [1, 2, 4, 6])
def test_a_line_of_background_parts_merged_objects(gap: int) -> None:
    truth = _two(gap)
    predicted = np.zeros_like(truth)
    predicted[10:30, 10:48] = 1
    painted = _correct(truth, predicted)
    line = painted.paint == 1
    assert line.any()
    assert not truth[line].any()
    assert (np.nonzero(line)[1] >= 28).all()
    assert (np.nonzero(line)[1] < 28 + gap).all()


def test_merged_objects_without_a_gap_are_painted_on_both_sides_of_the_seam() -> None:
    truth = _two(0)
    painted = _correct(truth, np.minimum(truth, 1))
    assert set(np.unique(painted.paint)) == {0, 2, 3}
    assert (painted.paint[12:28, 27] > 1).all()
    assert (painted.paint[12:28, 28] > 1).all()
    assert (painted.paint[12:28, 27] != painted.paint[12:28, 28]).all()


def test_a_gap_too_short_to_aim_at_is_no_line_but_both_sides_are_painted() -> None:
    truth = _two(0)
    truth[10:14, 27:29] = 0
    painted = _correct(truth, np.where(ndimage.binary_closing(truth > 0), 1, 0))
    assert set(np.unique(painted.paint)) == {0, 2, 3}


def test_one_stroke_crosses_a_split_object() -> None:
    truth = np.zeros((40, 60), np.int32)
    truth[10:22, 5:55] = 1
    predicted = truth.copy()
    predicted[:, 30:] *= 2
    painted = _correct(truth, predicted)
    assert set(np.unique(painted.paint)) == {0, 2}
    columns = np.nonzero(painted.paint)[1]
    assert columns.min() < 25
    assert columns.max() > 35


def test_the_worst_error_comes_first_and_the_seconds_are_kept() -> None:
    truth = np.zeros((60, 60), np.int32)
    truth[5:15, 5:15], truth[25:55, 5:50] = 1, 2
    painted = _correct(truth, np.zeros_like(truth), until=0.5)
    assert set(np.unique(truth[painted.paint > 0])) == {2}
    assert AIM <= painted.seconds <= 0.5 + AIM + 1
    kinds = [(error.kind, error.pixels) for error in errors(truth, np.zeros_like(truth))]
    assert kinds == [("missed", 100), ("missed", 1350)]


def test_an_object_keeps_its_value_and_paint_its_place() -> None:
    truth = _two(0)
    start = np.zeros_like(truth)
    start[20, 15:20], start[2, 2:30] = 9, 1
    before = Painted(start, frozenset({9}), 3.0)
    painted = correct(truth, np.minimum(truth, 1), before, FOREVER, rng=np.random.default_rng(0))
    assert set(np.unique(painted.paint[truth == 1])) == {0, 9}
    assert set(np.unique(painted.paint[truth == 2])) == {0, 10}
    assert (painted.paint[start > 0] == start[start > 0]).all()
    assert painted.full == {9}
    assert painted.seconds > before.seconds
    assert not before.paint[truth == 2].any()


def test_a_halo_of_invented_pixels_gets_one_stroke() -> None:
    truth = np.zeros((60, 60), np.int32)
    truth[np.hypot(*(np.indices(truth.shape) - 30)) < 15] = 1
    predicted = (np.hypot(*(np.indices(truth.shape) - 30)) < 18.5).astype(np.int32)
    painted = _correct(truth, predicted)
    assert not truth[painted.paint == 1].any()
    assert ndimage.label(painted.paint == 1, np.ones((3, 3)))[1] == 1


@pytest.mark.parametrize("seed", range(4))
def test_corrections_never_spill(seed: int) -> None:
    truth, predicted = touching_cells(seed), np.roll(touching_cells(seed), (9, -7), (0, 1))
    painted = _correct(truth, predicted)
    assert painted.paint.any()
    assert not truth[painted.paint == 1].any()
    for value in np.unique(painted.paint[painted.paint > 1]):
        assert np.unique(truth[painted.paint == value]).size == 1

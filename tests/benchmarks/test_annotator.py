import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from truths import touching_cells

from annotator import AIM, SPEED, Canvas, axis_stroke, outline, paint_for, paint_image

KINDS = ("strokes", "filled", "regions")


def _paint(kind: str, seed: int, **changes: int):
    truth = touching_cells(seed)
    numbers = {"objects": 6, "background": 5} | changes
    return truth, paint_image(truth, kind, rng=np.random.default_rng(seed), **numbers)


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_no_paint_spills(kind: str, seed: int) -> None:
    truth, painted = _paint(kind, seed)
    assert not truth[painted.paint == 1].any()
    for value in np.unique(painted.paint[painted.paint > 1]):
        below = np.unique(truth[painted.paint == value])
        assert below.size == 1
        assert below[0] > 0


@pytest.mark.parametrize("kind", ["strokes", "filled"])
@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_background_strokes_touch_no_object(kind: str, seed: int) -> None:
    truth, painted = _paint(kind, seed)
    assert not (ndimage.binary_dilation(painted.paint == 1) & (truth > 0)).any()


@pytest.mark.parametrize("seed", range(5))
def test_a_stroke_stays_off_the_rim(seed: int) -> None:
    truth, painted = _paint("strokes", seed)
    assert painted.full == frozenset()
    for value in np.unique(painted.paint[painted.paint > 1]):
        stroke = painted.paint == value
        mask = truth == truth[stroke][0]
        assert stroke.sum() < mask.sum()
        assert ndimage.label(stroke, np.ones((3, 3)))[1] == 1
        assert not (ndimage.binary_dilation(stroke) & ~mask).any()


@pytest.mark.parametrize("kind", ["filled", "regions"])
@pytest.mark.parametrize("seed", range(5))
def test_filled_objects_are_full_to_the_last_pixel(kind: str, seed: int) -> None:
    truth, painted = _paint(kind, seed)
    values = set(np.unique(painted.paint[painted.paint > 1]).tolist())
    assert painted.full == values
    assert values
    for value in values:
        np.testing.assert_array_equal(painted.paint == value, truth == truth[painted.paint == value][0])


@pytest.mark.parametrize("seed", range(5))
def test_as_many_objects_are_painted_as_asked(seed: int) -> None:
    for kind in ("strokes", "filled"):
        _, painted = _paint(kind, seed, objects=5)
        assert len(np.unique(painted.paint[painted.paint > 1])) == 5
    _, painted = _paint("regions", seed, objects=5)
    assert len(np.unique(painted.paint[painted.paint > 1])) >= 5


@pytest.mark.parametrize("seed", range(5))
def test_a_region_is_complete(seed: int) -> None:
    truth, painted = _paint("regions", seed)
    rows, columns = np.nonzero(painted.paint == 1)
    box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
    assert (painted.paint[box] > 0).all()
    np.testing.assert_array_equal(painted.paint[box] == 1, truth[box] == 0)


def test_filled_objects_are_pairs_of_neighbours() -> None:
    truth = np.zeros((40, 120), np.int32)
    for number in range(10):
        truth[10:20, 2 + 11 * number : 12 + 11 * number] = number + 1  # a pixel apart: alone
    truth[25:35, 10:20], truth[25:35, 20:30] = 11, 12  # the only pair
    painted = paint_image(truth, "filled", objects=2, background=0, rng=np.random.default_rng(0))
    assert set(np.unique(truth[painted.paint > 1])) <= set(range(1, 13))
    apart = np.zeros((40, 120), np.int32)
    for number in range(8):
        apart[5:12, 2 + 14 * number : 9 + 14 * number] = number + 1
    apart[25:35, 10:20], apart[25:35, 20:30] = 11, 12
    for seed in range(5):
        painted = paint_image(apart, "filled", objects=2, background=0, rng=np.random.default_rng(seed))
        assert set(np.unique(apart[painted.paint > 1])) == {11, 12}


def test_costs() -> None:
    truth = np.zeros((60, 60), np.int32)
    truth[10:20, 5:45] = 7
    canvas = Canvas(truth, np.random.default_rng(0))
    assert canvas.stroke(7)
    _, length = axis_stroke(truth == 7, 3.0)
    assert 25 <= length <= 60
    assert canvas.seconds == pytest.approx(AIM + length / SPEED)
    assert not canvas.stroke(7)  # nothing changes, nothing is paid
    assert canvas.seconds == pytest.approx(AIM + length / SPEED)
    canvas.fill(7)
    assert outline(truth == 7) == pytest.approx(2 * (39 + 9), abs=8)
    assert canvas.seconds == pytest.approx(2 * AIM + (length + outline(truth == 7)) / SPEED)
    assert canvas.painted().full == {2}

    region = paint_image(truth, "regions", objects=1, background=8, rng=np.random.default_rng(0))
    rows, columns = np.nonzero(region.paint)
    edges = 2 * (np.ptp(rows) + np.ptp(columns) + 2)
    assert region.seconds == pytest.approx(2 * AIM + (outline(truth == 7) + edges) / SPEED)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_paints_the_same(kind: str) -> None:
    _, one = _paint(kind, 3)
    _, other = _paint(kind, 3)
    np.testing.assert_array_equal(one.paint, other.paint)
    assert (one.seconds, one.full) == (other.seconds, other.full)


@pytest.mark.parametrize("seconds", [0.5, 5.0, 12.0])
def test_random_strokes_for_some_seconds(seconds: float) -> None:
    truth = touching_cells(0)
    painted = paint_for(truth, seconds, rng=np.random.default_rng(0))
    longest = AIM + 100 / SPEED
    assert seconds <= painted.seconds <= seconds + longest
    assert not truth[painted.paint == 1].any()


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_without_objects_is_background(kind: str) -> None:
    truth = np.zeros((50, 60), np.int32)
    painted = paint_image(truth, kind, objects=3, background=2, rng=np.random.default_rng(0))
    assert set(np.unique(painted.paint)) <= {0, 1}
    assert (painted.paint == 1).any()

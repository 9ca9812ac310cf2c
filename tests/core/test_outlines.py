"""Outlines, filled again pixel by pixel by a slow, obvious rule."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from napari_unet.core.objects.outlines import trace_outlines


def filled(rings, shape):
    """Pixels whose centre has an odd number of vertical lines to its left."""
    result = np.zeros(shape, bool)
    for y, x in np.ndindex(shape):
        crossed = 0
        for ring in rings:
            for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
                crossed += x0 == x1 and x0 <= x and min(y0, y1) <= y < max(y0, y1)
        result[y, x] = crossed % 2
    return result


def area(ring):
    return (
        sum(
            int(x0 * y1 - x1 * y0) for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True)
        )
        / 2
    )


def corners_on(ring):
    """All pixel corners that a line passes."""
    passed = []
    for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        length = abs(x1 - x0) + abs(y1 - y0)
        step = ((x1 - x0) // length, (y1 - y0) // length)
        passed += [(int(x0 + n * step[0]), int(y0 + n * step[1])) for n in range(length)]
    return passed


PLANES = arrays(
    np.int32, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=st.sampled_from([0, 0, 3, 9])
)


@settings(max_examples=300, deadline=None)
@given(PLANES)
def test_filling_outlines_gives_back_exactly_the_pixels(labels):
    outlines = list(trace_outlines(labels))
    assert [outline.value for outline in outlines] == sorted(set(labels.ravel().tolist()) - {0})
    for outline in outlines:
        mask = labels == outline.value
        assert outline.plane == ()
        parts, count = ndimage.label(mask)
        assert len(outline.parts) == count
        for rings in outline.parts:
            found = filled(rings, labels.shape)
            assert len(np.unique(parts[found])) == 1
            assert found.sum() == (parts == parts[found][0]).sum()
            # The first line is around the part, and the others are around holes in it.
            assert [area(ring) > 0 for ring in rings] == [True] + [False] * (len(rings) - 1)
            assert (filled(rings[:1], labels.shape) >= found).all()
        np.testing.assert_array_equal(sum(filled(rings, labels.shape) for rings in outline.parts), mask)


@settings(max_examples=300, deadline=None)
@given(PLANES)
def test_no_line_meets_itself_and_no_corner_is_on_a_straight_line(labels):
    for outline in trace_outlines(labels):
        for ring in (ring for rings in outline.parts for ring in rings):
            passed = corners_on(ring)
            assert len(set(passed)) == len(passed)
            assert ring.dtype == np.int64
            steps = np.diff(np.concatenate([ring, ring[:1]]), axis=0) != 0
            assert (steps.sum(axis=1) == 1).all()
            assert (steps[:, 0] != np.roll(steps[:, 0], 1)).all()


def test_a_pixel_by_hand():
    (outline,) = trace_outlines(np.array([[0, 0, 0], [0, 5, 0]]))
    assert (outline.value, outline.parts[0][0].tolist()) == (5, [[1, 1], [2, 1], [2, 2], [1, 2]])


def test_planes_are_traced_one_by_one():
    labels = np.zeros((2, 3, 4, 4), np.uint16)
    labels[0, 2, 1, 1:3] = labels[1, 0, :, 0] = 300
    labels[1, 0, 3, 3] = 7
    found = [(outline.plane, outline.value) for outline in trace_outlines(labels)]
    assert found == [((0, 2), 300), ((1, 0), 7), ((1, 0), 300)]


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (3, 0, 0), (4, 4)])
def test_nothing_has_no_outline(shape):
    assert list(trace_outlines(np.zeros(shape, np.uint8))) == []

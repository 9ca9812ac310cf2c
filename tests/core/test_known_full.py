"""What counts as full after any history of strokes, against masks kept one by one."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from painting import boxes

from napari_unet.core.arrays.boxes import whole, widen
from napari_unet.core.painted.known_full import FollowedFull, KnownFull
from napari_unet.core.painted.regions import Region

values = st.integers(0, 4)
histories = array_shapes(min_dims=2, max_dims=3, max_side=4).flatmap(
    lambda shape: st.tuples(
        arrays(np.int32, shape, elements=values),
        st.lists(
            st.one_of(
                st.sets(st.integers(2, 5)),  # accepted
                st.tuples(st.integers(0, int(np.prod(shape)) - 1), values),  # painted: where, and what
                st.just("undo"),
            ),
            max_size=15,
        ),
    )
)


@settings(deadline=None, max_examples=200)
@given(histories)
def test_objects_are_full_while_they_are_as_they_were_accepted(history):
    paint, happenings = history
    known, strokes = KnownFull(), []
    accepted: list[tuple[int, np.ndarray]] = []
    for happening in happenings:
        if isinstance(happening, set):
            known = known.accept(paint, happening)
            accepted += [(value, paint == value) for value in happening]
        elif happening == "undo":
            paint = strokes.pop() if strokes else paint
        else:
            strokes.append(paint)
            paint = paint.copy()
            paint.flat[happening[0]] = happening[1]
        expected = {value for value, mask in accepted if mask.any() and np.array_equal(mask, paint == value)}
        assert (known.within(paint) or set()) == expected


def test_nothing_told_is_nothing_full_and_all_filled_is_all():
    paint = np.full((3, 3), 2, np.int32)
    assert KnownFull().within(paint) is False
    assert KnownFull(filled=True).within(paint) is True
    assert KnownFull(filled=True).accept(paint, {2}).within(paint) is True


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint32])
def test_what_is_accepted_in_one_type_is_full_in_another(dtype):
    paint = np.array([[0, 2, 2], [3, 0, 200]], dtype)
    known = KnownFull().accept(paint, [2, 200])
    assert known.within(paint.astype(np.int32)) == {2, 200}
    assert known.within(np.asfortranarray(paint)) == {2, 200}


def test_a_stroke_elsewhere_under_the_value_counts():
    paint = np.zeros((4, 4), np.int32)
    paint[:2, :2] = 2
    known = KnownFull().accept(paint, [2])
    paint[3, 3] = 2
    assert known.within(paint) is False


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_what_is_followed_is_what_a_reading_of_all_says(data):
    shape = data.draw(st.sampled_from([(12, 14), (3, 9, 10)]))
    paint = data.draw(arrays(np.uint8, shape, elements=values))
    known = KnownFull(filled=data.draw(st.integers(0, 9)) == 0).accept(paint, {2, 3})
    if data.draw(st.booleans()):
        plane = tuple(data.draw(st.integers(0, length - 1)) for length in shape[:-2])
        known = replace(known, regions=(Region(plane, (slice(1, 9), slice(2, 10)), np.tri(8, 8, 3, bool)),))
    followed = FollowedFull(known, shape)
    for index in np.ndindex(shape[:-2]):
        followed.edit(index, whole(shape[-2:]), paint[index])
    for _ in range(data.draw(st.integers(1, 6))):
        assert followed.full == known.within(paint)
        box, before = data.draw(boxes(shape)), paint.copy()
        paint[box] = data.draw(st.integers(0, 5))
        followed.edit((), box, paint[box])
        if data.draw(st.booleans()):  # and undone, as part of more than it touched
            paint[...] = before
            wide = widen(box, [data.draw(st.integers(0, 9))] * paint.ndim, shape)
            followed.edit((), wide, paint[wide])


def test_following_an_edit_reads_no_more_than_its_objects():
    paint = np.zeros((2000, 2000), np.int32)
    for value, (row, column) in enumerate(np.ndindex(20, 20), start=2):
        paint[100 * row : 100 * row + 30, 100 * column : 100 * column + 30] = value
    known = KnownFull().accept(paint, range(2, 402))
    followed = FollowedFull(known, paint.shape)
    followed.edit((), whole(paint.shape), paint)
    box = (slice(1010, 1020), slice(1020, 1060))
    tracemalloc.start()
    followed.edit((), box, np.zeros((10, 40), np.int32))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert followed.full == set(range(2, 402)) - {212}
    assert most < 2**18  # bytes; the paint has sixty times as many

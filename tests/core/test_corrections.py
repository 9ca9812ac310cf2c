"""Corrections of the objects layer as paint: hand tables, and properties of every edit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.core.correcting.corrections import corrections_to_paint
from napari_unet.core.errors import InputError

LARGEST = 2**31 - 1


def row(text: str) -> np.ndarray:
    return np.array([[0 if c == "." else int(c) for c in text]], np.int32)


def applied(predicted, corrected, paint) -> np.ndarray:
    edit = corrections_to_paint(predicted, corrected, paint)
    result = paint.copy()
    result[edit.indices] = edit.values
    return result


# predicted, corrected, paint before, paint after, objects, pixels of background
TABLE = {
    "nothing changed": ("11.22", "11.22", ".1.5.", ".1.5.", 0, 0),
    "an object drawn": ("11...", "11.33", ".....", "...22", 1, 0),
    "an object erased": ("11.22", "11...", ".....", "...11", 0, 2),
    "an object extended": ("11.22", "11222", ".....", "..222", 1, 0),
    "an object trimmed": ("11.222", "11.22.", "......", "...221", 1, 1),
    "an object cut in two": ("1111", "1133", "....", "2233", 2, 0),
    "two objects merged": ("1122", "1111", "....", "2222", 1, 0),
    "an object given another id": ("1122", "1133", "....", "..22", 1, 0),
    "fresh values follow the largest": ("11.2", "11.3", "7...", "7..8", 1, 0),
    "paint of background only": ("1.", "2.", ".1", "21", 1, 0),
    "background painted over": ("...", "11.", "111", "221", 1, 0),
    "a stroke grows into its object": ("....", "1111", ".5..", "5555", 1, 0),
    "a stroke that lies outside too stays there": ("....", "111.", "..55", "6665", 1, 0),
    "two strokes in an object are one": ("....", "1111", "5.6.", "7777", 1, 0),
    "a stroke over two objects is both": ("....", "1122", ".55.", "6677", 2, 0),
    "an erased stroke is background": ("1111", "111.", "5555", "5551", 0, 1),
    "already painted": ("....", "112.", "553.", "553.", 0, 0),
    "already background": ("1.", "..", "1.", "1.", 0, 0),
}


@pytest.mark.parametrize("case", TABLE.values(), ids=TABLE)
def test_tables(case):
    predicted, corrected, before, after = map(row, case[:4])
    edit = corrections_to_paint(predicted, corrected, before)
    np.testing.assert_array_equal(applied(predicted, corrected, before), after)
    assert edit.values.dtype == np.int32
    assert (edit.n_objects, edit.n_background) == case[4:]


few_ids = st.sampled_from([0, 0, 1, 2, 3, 5, LARGEST])
three_layers = st.tuples(st.integers(1, 4), st.integers(1, 6)).flatmap(
    lambda shape: st.tuples(
        arrays(np.int32, shape, elements=few_ids),
        arrays(np.int32, shape, elements=few_ids),
        arrays(np.int32, shape, elements=st.integers(0, 5)),
    )
)


@settings(deadline=None, max_examples=300)
@given(three_layers)
def test_every_edit_says_what_was_corrected(layers):
    predicted, corrected, paint = layers
    before = [layer.copy() for layer in layers]
    edit = corrections_to_paint(predicted, corrected, paint)
    after = applied(predicted, corrected, paint)
    for layer, copy in zip(layers, before, strict=True):
        np.testing.assert_array_equal(layer, copy)

    # Pixel by pixel, from the definition.
    changed = predicted != corrected
    touched = {i for i in np.unique(np.concatenate((predicted[changed], corrected[changed]))) if i > 0}
    taken = np.isin(corrected, list(touched))
    erased = changed & (corrected == 0)
    np.testing.assert_array_equal(after[erased], 1)
    np.testing.assert_array_equal(after[~taken & ~erased], paint[~taken & ~erased])
    values = [np.unique(after[corrected == i]) for i in np.unique(corrected[taken])]
    assert all(len(v) == 1 and v[0] >= 2 for v in values)
    assert len(np.unique(values)) == len(values)  # no two objects share a value,
    outside = after[~taken]
    assert not np.isin(values, outside).any() if values else True  # nor with paint elsewhere

    assert len(set(zip(*edit.indices, strict=True))) == len(edit.values)
    assert (edit.values >= 1).all()
    assert edit.n_background == (edit.values == 1).sum()
    # At least half of an accepted object was predicted, and the paint holds it from border to border.
    mostly = [i for i in np.unique(corrected[taken]) if np.mean(predicted[corrected == i] > 0) >= 0.5]
    assert len(edit.accepted) == len(set(edit.accepted)) == len(mostly)
    masks = {(after == value).tobytes() for value in edit.accepted}
    assert masks == {(corrected == i).tobytes() for i in mostly}
    np.testing.assert_array_equal(applied(predicted, corrected, after), after)  # twice is once


@given(arrays(np.int32, (3, 4), elements=few_ids), arrays(np.int32, (3, 4), elements=st.integers(0, 5)))
def test_no_correction_no_edit(objects, paint):
    edit = corrections_to_paint(objects, objects.copy(), paint)
    assert len(edit.values) == edit.n_objects == edit.n_background == len(edit.accepted) == 0
    assert len(edit.indices) == 2


def test_largest_ids_and_values_survive():
    predicted = np.zeros((1, 3), np.int32)
    corrected = np.array([[LARGEST, LARGEST - 1, 0]], np.int32)
    paint = np.array([[LARGEST, 0, 0]], np.int32)
    assert applied(predicted, corrected, paint).tolist() == [[LARGEST, 2, 0]]
    paint[0, 0] = LARGEST - 1
    assert applied(predicted, corrected, paint).tolist() == [[LARGEST - 1, LARGEST, 0]]


def test_paint_of_few_bits_does_not_wrap():
    paint = np.array([[255, 0]], np.uint8)
    assert applied(row(".."), row(".1"), paint).tolist() == [[255, 2]]
    everything = np.arange(257).astype(np.uint8)[None]  # 256 is 0
    corrected = np.zeros((1, 257), np.uint8)
    corrected[0, -1] = 1
    with pytest.raises(InputError, match="up to 255"):
        corrections_to_paint(np.zeros_like(corrected), corrected, everything)


def test_stacks_and_other_whole_number_types():
    predicted = np.zeros((2, 3, 4), np.int64)
    corrected = predicted.astype(np.uint16)
    corrected[1, 1, 1:3] = 9
    edit = corrections_to_paint(predicted, corrected, np.zeros((2, 3, 4), np.uint32))
    assert [index.tolist() for index in edit.indices] == [[1, 1], [1, 1], [1, 2]]
    assert edit.values.tolist() == [2, 2]


def test_layers_of_different_shape():
    with pytest.raises(InputError, match="objects and the paint of one image"):
        corrections_to_paint(row("11"), row("11"), row("111"))

"""Readings fitted to paint: what full objects decide, what strokes decide, and what stays as it is."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from napari_unet.core.instances import InstanceConfig, find_objects
from napari_unet.core.objects.instance_fit import (
    Example,
    agreements,
    fit_instances,
    size_from_found,
    size_from_strokes,
)


def cells(seam: float, blur: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities and objects of six squares in pairs, each pair with a seam of that probability."""
    objects = np.zeros((60, 100), np.int32)
    probability = np.full(objects.shape, 0.05)
    for pair in range(3):
        left = 5 + 32 * pair
        objects[10:40, left : left + 12], objects[10:40, left + 12 : left + 25] = 2 * pair + 2, 2 * pair + 3
        probability[10:40, left : left + 25] = 0.99
        probability[10:40, left + 12] = seam
    return ndimage.gaussian_filter(probability, blur).astype(np.float32), objects


def test_full_objects_decide_how_eagerly_touching_ones_are_split():
    probability, objects = cells(seam=0.6)
    fitted = fit_instances([Example(probability, objects, True)], InstanceConfig())
    assert find_objects(probability, fitted, ndim=2).max() == 6
    # The same probabilities, but each pair is one object.
    pairs = np.where(objects > 0, objects // 2 + 1, 0).astype(np.int32)
    fitted = fit_instances([Example(probability, pairs, True)], InstanceConfig())
    assert find_objects(probability, fitted, ndim=2).max() == 3


def test_the_smallest_object_follows_from_what_is_painted():
    probability, objects = cells(seam=0.6)
    fitted = fit_instances([Example(probability, objects, True)], InstanceConfig())
    assert fitted.min_size == int(0.05 * 30 * 12.5)
    strokes = np.zeros_like(objects)
    strokes[20:24, 8:14], strokes[20:22, 20:26] = 2, 2**31 - 1
    assert size_from_strokes([strokes]) == InstanceConfig(min_size=3)
    assert size_from_strokes([np.ones_like(strokes)]) == size_from_strokes([]) == InstanceConfig()


def test_objects_that_share_a_number_are_as_large_as_those_that_do_not():
    strokes = np.zeros((60, 100), np.int32)
    for number in range(5):
        strokes[10 * number : 10 * number + 4, 10:20] = 2 + number
    shared = np.minimum(strokes, 2)
    assert size_from_strokes([shared]) == size_from_strokes([strokes]) == InstanceConfig(min_size=7)
    shared[50, ::7] = 2  # specks
    assert size_from_strokes([shared]) == InstanceConfig(min_size=7)
    # In a volume, an object is in several planes.
    volume = np.zeros((9, 60, 100), np.int32)
    volume[::4, :4, 10:20] = 2
    assert size_from_strokes([volume]) == InstanceConfig(min_size=21)


def test_full_objects_that_share_a_number_are_read_as_those_that_do_not():
    probability, objects = cells(seam=0.05)
    apart = objects.copy()
    apart[:, [16, 17, 48, 49, 80, 81]] = 0
    shared = np.minimum(apart, 2)
    fitted = [
        fit_instances([Example(probability, paint, True)], InstanceConfig()) for paint in (apart, shared)
    ]
    assert fitted[0] == fitted[1]
    assert fitted[0].min_size < 30


@pytest.mark.parametrize("paint", [np.zeros((60, 100), np.int32), np.ones((60, 100), np.int32)])
def test_without_objects_nothing_changes(paint):
    probability, _ = cells(seam=0.6)
    start = InstanceConfig(threshold=0.4, min_size=7)
    assert fit_instances([Example(probability, paint, True)], start) == start
    assert fit_instances([], start) == start


def test_an_agreement_that_is_the_same_for_all_keeps_the_usual_reading():
    objects = np.zeros((40, 40), np.int32)
    objects[10:30, 10:30] = 2
    probability = np.where(objects, 0.95, 0.02).astype(np.float32)
    fitted = fit_instances([Example(probability, objects, True)], InstanceConfig())
    assert fitted == InstanceConfig(min_size=20, min_part=1, certain=0.99)


def test_one_full_object_in_six_is_no_reason_to_read_otherwise():
    probability, objects = cells(seam=0.1, blur=0)
    usual = InstanceConfig(min_size=18, min_part=1, certain=0.99)
    assert fit_instances([Example(probability, objects, True)], InstanceConfig()) == usual
    wavering = probability.copy()
    for left in (5, 18, 37, 50, 69, 82):
        wavering[10:40, left + 6] = 0.6
    one = np.where(objects == 2, wavering, probability)
    assert find_objects(one, usual, ndim=2).max() == 7
    assert fit_instances([Example(one, objects, True)], InstanceConfig()) == usual
    fitted = fit_instances([Example(wavering, objects, True)], InstanceConfig())
    assert find_objects(wavering, fitted, ndim=2).max() == 6


def test_what_certain_pixels_vary_by_separates_nothing_where_objects_are_full():
    probability, objects = cells(seam=0.1)
    probability[12:38, 8:15] = 0.9999
    probability[24:26, 8:15] = 0.992
    fitted = fit_instances([Example(probability, objects, True)], InstanceConfig())
    assert find_objects(probability, fitted, ndim=2).max() == 6
    by_all = InstanceConfig(min_size=3, separate_by="probability")
    assert find_objects(probability, by_all, ndim=2).max() == 7


def test_agreements_are_the_iou_of_the_full_objects():
    objects = np.zeros((10, 20), np.int32)
    objects[2:8, 2:8], objects[2:8, 12:18] = 2, 3
    probability = np.where(objects == 2, 0.9, 0).astype(np.float32)
    probability[2:8, 8] = 0.9  # one column too many
    found = [find_objects(probability, InstanceConfig(min_size=1), ndim=2)]
    assert agreements([Example(probability, objects, True)], found) == pytest.approx([36 / 42, 0])
    assert agreements([Example(probability, objects, (2,))], found) == pytest.approx([36 / 42])


def strokes_of(objects: np.ndarray) -> np.ndarray:
    """Return a stroke across each object, of its value."""
    strokes = np.zeros_like(objects)
    strokes[24:27] = objects[24:27]
    return strokes


def test_strokes_part_what_was_joined_and_join_what_was_cut_up():
    probability, objects = cells(seam=0.85)
    usual = InstanceConfig(min_size=3, separate_by="probability")
    joined = find_objects(probability, usual, ndim=2)
    assert joined.max() == 3
    strokes = strokes_of(objects)
    assert agreements([Example(probability, strokes, False)], [joined]).mean() == 3 / 6
    fitted = fit_instances([Example(probability, strokes, False)], usual)
    assert find_objects(probability, fitted, ndim=2).max() == 6
    assert fitted.min_size == 3

    probability, objects = cells(seam=0.6)
    pairs = np.where(objects > 0, objects // 2 + 1, 0).astype(np.int32)
    strokes = strokes_of(pairs)
    cut_up = find_objects(probability, usual, ndim=2)
    assert cut_up.max() == 6
    assert agreements([Example(probability, strokes, False)], [cut_up]).max() == 0
    fitted = fit_instances([Example(probability, strokes, False)], usual)
    assert find_objects(probability, fitted, ndim=2).max() == 3


def test_one_stroke_does_not_change_the_reading():
    probability, objects = cells(seam=0.6)
    pairs = np.where(objects > 0, objects // 2 + 1, 0).astype(np.int32)
    usual = InstanceConfig(min_size=3, separate_by="probability")
    one, two = (np.where(pairs <= last, strokes_of(pairs), 0) for last in (2, 3))
    assert fit_instances([Example(probability, one, False)], usual) == usual
    assert fit_instances([Example(probability, two, False)], usual) != usual


def test_strokes_choose_the_contrast_alone_and_full_objects_what_separates_too():
    """The outlines of two pairs of discs part them, their probabilities do not."""
    y, x = np.mgrid[:60, :110]
    middles = [(15, 20), (15, 38), (45, 70), (45, 88)]
    discs = [(y - row) ** 2 + (x - column) ** 2 < 10**2 for row, column in middles]
    objects = np.zeros((60, 110), np.int32)
    for value, disc in enumerate(discs, start=2):
        objects[disc] = value
    strokes = np.where((y == 15) | (y == 45), objects, 0).astype(np.int32)
    probability = np.where(objects > 0, 0.97, 0.03).astype(np.float32)
    usual = InstanceConfig(min_size=3, separate_by="probability")
    assert find_objects(probability, replace(usual, separate_by="shape"), ndim=2).max() == 4
    assert fit_instances([Example(probability, strokes, False)], usual) == usual
    assert fit_instances([Example(probability, objects, True)], usual).separate_by != "probability"


def test_strokes_ask_for_no_contrast_that_joins_what_is_clearly_apart():
    """Each stroke lies across a seam that falls by 5: 6 would be one object to each, and is no choice."""
    strokes = np.zeros((60, 60), np.int32)
    probability = np.full((60, 60), 0.01, np.float32)
    for number in range(3):
        row = 4 + 19 * number
        probability[row : row + 12, 5:55] = 0.9999
        probability[row : row + 12, 29:31] = 0.985
        strokes[row + 6, 10:50] = number + 2
    usual = InstanceConfig(min_size=3, separate_by="probability")
    assert find_objects(probability, replace(usual, contrast=4.0), ndim=2).max() == 6
    assert find_objects(probability, replace(usual, contrast=6.0), ndim=2).max() == 3
    assert fit_instances([Example(probability, strokes, False)], usual) == usual


def test_a_higher_usual_contrast_is_for_strokes_alone():
    objects = np.zeros((40, 60), np.int32)
    objects[10:30, 5:25], objects[10:30, 35:55] = 2, 3
    probability = np.where(objects > 0, 0.97, 0.03).astype(np.float32)
    usual = InstanceConfig(min_size=3, contrast=3.0)
    assert fit_instances([Example(probability, objects, False)], usual) == usual
    assert fit_instances([Example(probability, objects, True)], usual).contrast == InstanceConfig().contrast
    few = fit_instances([Example(probability, objects, True)], usual, mostly_full=False)
    assert few == replace(usual, min_size=20, certain=0.99)


def test_strokes_on_what_is_not_found_say_nothing():
    probability, objects = cells(seam=0.6)
    usual = InstanceConfig(min_size=3)
    strokes = strokes_of(objects)
    assert fit_instances([Example(0 * probability, strokes, False)], usual) == usual
    assert agreements([Example(probability, strokes, False)], [np.zeros_like(objects)]).max() == 0


def clicked(sides: list[int], value: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities of squares with these sides in a row, and paint of one click on each."""
    probability, paint = (
        np.full((60, 60 * len(sides)), 0.05, np.float32),
        np.zeros((60, 60 * len(sides)), int),
    )
    for number, side in enumerate(sides):
        probability[5 : 5 + side, 60 * number + 5 : 60 * number + 5 + side] = 0.95
        paint[8:12, 60 * number + 8 : 60 * number + 12] = value or 2 + number
    return probability, paint.astype(np.int32)


@pytest.mark.parametrize("value", [None, 2])
def test_clicks_leave_the_smallest_size_to_what_is_found(value):
    probability, paint = clicked([20, 20, 50, 50, 50], value)  # most of them joined, as it were
    example = Example(probability, paint, False)
    clicks = size_from_strokes([paint])
    assert clicks.min_size == 2
    assert size_from_found([example], clicks).min_size == 8 * 2
    assert size_from_found([example], replace(clicks, min_size=6)).min_size == 0.05 * 20**2
    # Strokes that cover a tenth of what is found tell it themselves.
    strokes = replace(clicks, min_size=7)
    assert size_from_found([example], strokes) == strokes


def test_what_is_missed_or_joined_tells_no_size():
    probability, paint = clicked([20, 20])
    start = InstanceConfig(min_size=3)
    assert size_from_found([Example(np.zeros_like(probability), paint, False)], start) == start
    assert size_from_found([], start) == start
    everything = np.ones_like(probability)
    everything[0] = 0
    assert size_from_found([Example(everything, paint, False)], start).min_size == 8 * 3
    probability[:, :60] = np.where(paint[:, :60] == 2, 0, probability[:, :60])  # the click itself is missed
    assert size_from_found([Example(probability, paint, False)], start).min_size == 20

"""Complete regions: which pixels a polygon encloses, and what they make of paint."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.draw import polygon

from napari_unet.core.painted.known_full import KnownFull
from napari_unet.core.painted.regions import complete, objects_inside, outline_region, overlooked

SQUARE = [(2, 3), (2, 8), (6, 8), (6, 3)]


def mask_of(region, shape):
    mask = np.zeros(shape, bool)
    if region is not None:
        mask[region.plane][region.box] |= region.mask
    return mask


def test_a_box_between_pixel_centres_takes_those_it_encloses():
    region = outline_region([(1.5, 2.5), (1.5, 6.5), (4.5, 6.5), (4.5, 2.5)], (10, 10))
    assert (region.plane, region.box) == ((), (slice(2, 5), slice(3, 7)))
    assert region.mask.all()


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 12))
def test_the_pixels_are_those_of_the_slow_test_for_every_pixel(seed, count):
    # Drawn by numpy: no centre of a pixel is on an edge, where either answer is right.
    corners = np.random.default_rng(seed).uniform(-8, 30, (count, 2))
    expected = np.zeros((20, 24), bool)
    expected[polygon(*corners.T, expected.shape)] = True
    assert np.array_equal(mask_of(outline_region(corners, expected.shape), expected.shape), expected)


@pytest.mark.parametrize(
    ("vertices", "shape"),
    [
        ([(2, 3), (6, 8)], (10, 10)),
        ([(2.2, 3.2), (2.2, 3.6), (2.7, 3.4)], (10, 10)),
        ([(20, 30), (20, 80), (60, 80)], (10, 10)),
        ([(0, 2, 3), (1, 2, 8), (1, 6, 8)], (3, 10, 10)),
        ([(5, 2, 3), (5, 2, 8), (5, 6, 8)], (3, 10, 10)),
        ([(2, 3), (2, np.nan), (6, 8)], (10, 10)),
    ],
    ids=["a line", "between pixels", "outside the image", "across planes", "no such plane", "not a number"],
)
def test_what_encloses_nothing_is_no_region(vertices, shape):
    assert outline_region(vertices, shape) is None


def test_a_region_of_a_stack_holds_for_its_plane_alone():
    vertices = [(1.0004, y, x) for y, x in SQUARE]
    paint = np.zeros((3, 10, 10), np.int32)
    paint[1, 3, 4] = 7
    before = paint.copy()
    region = outline_region(vertices, paint.shape)
    completed = complete(paint.copy(), [region])
    inside = mask_of(region, paint.shape)
    assert np.array_equal(completed == 1, inside & (before == 0))
    assert completed[1, 3, 4] == 7


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_objects_are_full_where_all_their_neighbours_are_in_a_region(seed):
    rng = np.random.default_rng(seed)
    shape = (2, 14, 15)
    paint = np.where(rng.random(shape) < 0.25, rng.integers(1, 6, shape), 0).astype(np.int32)
    regions = []
    for _ in range(rng.integers(1, 4)):
        corners = rng.uniform(-3, 18, (4, 2))
        at = np.full((4, 1), rng.integers(2))
        region = outline_region(np.hstack((at, corners)), shape)
        regions += [] if region is None else [region]
    covered = np.zeros(shape, bool)
    for region in regions:
        covered |= mask_of(region, shape)
    expected = set()
    for value in range(2, 6):
        if (paint == value).any():
            near = ndimage.binary_dilation(paint == value, np.ones((1, 3, 3)))
            if covered[near].all():
                expected.add(value)
    assert objects_inside(paint, regions) == expected
    full = KnownFull(regions=tuple(regions)).within(paint)
    assert full == (expected or False)
    assert KnownFull(regions=tuple(regions)).within(complete(paint, regions)) == full


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_objects_are_overlooked_where_most_of_them_in_a_region_has_no_paint(seed):
    rng = np.random.default_rng(seed)
    objects = np.repeat(np.repeat(rng.integers(0, 9, (4, 5)), 3, axis=0), 4, axis=1)
    paint = np.where(rng.random(objects.shape) < rng.uniform(0.3, 0.7), rng.integers(1, 4), 0)
    regions = [outline_region(rng.uniform(-2, 22, (4, 2)), objects.shape) for _ in range(2)]
    regions = [region for region in regions if region is not None]
    expected = set()
    for region in regions:
        inside = mask_of(region, objects.shape)
        for value in range(1, 9):
            here = inside & (objects == value)
            if np.count_nonzero(here & (paint == 0)) > np.count_nonzero(here & (paint > 0)):
                expected.add(value)
    assert overlooked(objects, paint, regions) == len(expected)


def test_objects_are_full_by_a_region_or_as_accepted():
    paint = np.zeros((20, 20), np.int32)
    paint[3:5, 4:7] = 2
    paint[12:15, 12:15] = 3
    paint[18, 1:5] = 4
    region = outline_region([(1, 2), (1, 9), (7, 9), (7, 2)], paint.shape)
    full = KnownFull(regions=(region,)).accept(paint, [3])
    assert full.within(paint) == {2, 3}
    paint[12, 12] = 0
    assert full.within(paint) == {2}


def test_a_lasso_around_a_large_image_takes_milliseconds():
    angle = np.linspace(0, 2 * np.pi, 600, endpoint=False)
    corners = 1024 + 1000 * np.stack((np.sin(angle), np.cos(angle)), axis=1)
    start = time.process_time()
    region = outline_region(corners, (2048, 2048))
    assert time.process_time() - start < 1  # about 0.06 s on an idle core
    assert region.mask.sum() == pytest.approx(np.pi * 1000**2, rel=1e-3)

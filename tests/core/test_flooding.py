"""Basins against scikit-image's extended maxima, and against the same rules written down with sets."""

import itertools
from dataclasses import fields
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage
from skimage.morphology import local_maxima, reconstruction

from napari_unet.core.arrays import blocks
from napari_unet.core.relief.flooding import Relief, survey
from napari_unet.core.relief.levels import GROUND, framed, to_levels

landscapes = array_shapes(min_dims=1, max_dims=3, max_side=9).flatmap(
    lambda shape: st.tuples(
        arrays(np.int16, shape, elements=st.integers(0, 12)), arrays(np.bool_, shape, elements=st.booleans())
    )
)


def relief_of(height, mask):
    level, inside = framed(mask.shape)
    inside[...] = to_levels(height, mask)
    return survey(level)


def find_basins(height, mask, *, contrast, min_area):
    """Return the basins (spatial...) as 1..N in the raster order of their summits, 0 outside, and N."""
    relief = relief_of(height, mask)
    basins = relief.basins(contrast, min_area)
    of_pixel = np.where(mask, relief.regions, 0)
    summits = np.unique([0, *basins[np.unique(of_pixel)]])
    labels = np.searchsorted(summits, basins).astype(np.int32)[of_pixel]
    return labels, summits.size - 1


def first_meetings(relief):
    """Return for every pair of regions that touch when they first meet, None of ground."""
    meetings = [*relief.meetings.tolist(), *[None] * (len(relief.rims) - relief.meetings.size)]
    assert meetings[: relief.meetings.size] == sorted(relief.meetings)
    first = {}
    for pair, meeting in zip(map(tuple, relief.rims.tolist()), meetings, strict=True):
        first.setdefault(pair, meeting)
    return first


def basins_with_sets(height, mask, contrast, min_area):
    """Return the basins as a set of sets of pixels: one pixel after the other, all of it recomputed."""
    basins: list[list[tuple[int, ...]]] = []  # each begins with its summit
    for pixel in sorted(map(tuple, np.argwhere(mask)), key=lambda p: (-height[p], p)):
        near = [
            tuple(np.add(pixel, step))
            for step in itertools.product((-1, 0, 1), repeat=mask.ndim)
            if np.abs(step).sum() == 1
        ]
        touched = [basin for basin in basins if any(p in basin for p in near)]
        if not touched:
            basins.append([pixel])
            continue
        flooded = [p for p in near if any(p in basin for basin in basins)]
        # The kernel looks forward along the axes before it looks back; of equal neighbours the first counts.
        ahead = [p for p in flooded if p > pixel] + [p for p in flooded if p < pixel]
        ahead.sort(key=lambda p: (p < pixel, [a == b for a, b in zip(p, pixel, strict=True)].index(False)))
        highest = max(height[p] for p in flooded)
        mine = next(b for p in ahead if height[p] == highest for b in basins if p in b)
        mine.append(pixel)
        for p in ahead:
            other = next(b for b in basins if p in b)
            if other is mine:
                continue
            high, low = sorted((mine, other), key=lambda b: (-height[b[0]], b[0]))
            equal = height[low[0]] == height[high[0]]
            if (
                height[low[0]] - height[pixel] < contrast
                or min(len(low), len(high) if equal else len(low)) < min_area
            ):
                high.extend(low)
                basins = [b for b in basins if b is not low]
                mine = high
    return {frozenset(basin) for basin in basins}


@settings(max_examples=150, deadline=None)
@given(landscapes, st.integers(1, 6), st.integers(0, 8))
def test_the_rules_written_down_with_sets(landscape, contrast, min_area):
    height, mask = landscape
    labels, count = find_basins(height, mask, contrast=contrast, min_area=min_area)
    assert labels.dtype == np.int32
    assert labels.shape == mask.shape
    np.testing.assert_array_equal(np.unique(labels[mask]), np.arange(1, count + 1))
    assert not labels[~mask].any()
    found = {frozenset(map(tuple, np.argwhere(labels == i))) for i in range(1, count + 1)}
    assert found == basins_with_sets(height, mask, contrast, min_area)


@settings(max_examples=60, deadline=None)
@given(landscapes, st.integers(1, 40))
def test_parts_that_are_worked_on_at_once_make_one_landscape(landscape, part):
    alone = relief_of(*landscape)
    with patch.object(blocks, "_PART", part), patch.object(blocks.os, "cpu_count", lambda: 5):
        together = relief_of(*landscape)
    for field in fields(Relief):
        if field.name not in {"uphill", "rims", "meetings"}:
            np.testing.assert_array_equal(getattr(together, field.name), getattr(alone, field.name))
        heights = landscape[0] / np.float32(4)
        sums = together.add_up_excess(heights, 0.5, 4)
    assert first_meetings(together) == first_meetings(alone)
    counts = np.where(heights > 0.5, heights * 4 - 2, 0)
    np.testing.assert_array_equal(sums, np.bincount(alone.regions.ravel(), counts.ravel(), sums.size))


@settings(max_examples=100, deadline=None)
@given(landscapes.filter(lambda both: both[1].any()), st.integers(1, 6))
def test_as_many_basins_as_extended_maxima(landscape, contrast):
    height, mask = landscape
    _, count = find_basins(height, mask, contrast=contrast, min_area=0)
    # Extended maxima: the regional maxima of the landscape rebuilt from itself less a hair under the
    # contrast. The moat around is so deep that the highest summit of every part of the mask stands out.
    padded = np.pad(np.where(mask, height + 100.0, 0), 1)
    cross = ndimage.generate_binary_structure(mask.ndim, 1)
    rebuilt = reconstruction(np.maximum(padded - contrast + 0.5, 0), padded, footprint=cross)
    _, expected = ndimage.label(local_maxima(rebuilt, footprint=cross))
    assert count == expected


@settings(max_examples=60, deadline=None)
@given(landscapes, st.integers(1, 6), st.integers(0, 8))
def test_every_basin_is_connected_and_every_part_its_own_business(landscape, contrast, min_area):
    height, mask = landscape
    labels, count = find_basins(height, mask, contrast=contrast, min_area=min_area)
    for value in range(1, count + 1):
        assert ndimage.label(labels == value)[1] == 1
    parts, n_parts = ndimage.label(mask)
    for part in range(1, n_parts + 1):
        inside = parts == part
        alone, _ = find_basins(height, inside, contrast=contrast, min_area=min_area)
        np.testing.assert_array_equal(alone[inside], np.unique(labels[inside], return_inverse=True)[1] + 1)


@pytest.mark.parametrize(
    ("contrast", "min_area", "expected"),
    [
        (2, 0, [1, 1, 1, 2, 2, 2, 0, 3]),
        (2.5, 0, [1, 1, 1, 1, 1, 1, 0, 2]),
        (1, 4, [1, 1, 1, 1, 1, 1, 0, 2]),
    ],
)
def test_hand_cases(contrast, min_area, expected):
    height = np.array([4, 5, 2, 2.5, 4, 3, 9, 0.5])
    labels, count = find_basins(height, height != 9, contrast=contrast, min_area=min_area)
    np.testing.assert_array_equal(labels, expected)
    assert count == max(expected)


def test_a_slope_longer_than_the_loops_remember():
    height = np.arange(10_000) / 64
    relief = relief_of(height, np.ones(height.shape, np.bool_))
    np.testing.assert_array_equal(relief.regions, 1)
    assert [relief.summits[1], relief.first[1], (relief.regions == 1).sum()] == [10_000, 1, 10_000]


def test_every_pair_that_touches_and_when():
    rng = np.random.default_rng(0)
    height, mask = rng.integers(0, 30, (3, 90, 80)), rng.random((3, 90, 80)) < 0.8
    relief = relief_of(height, mask)
    regions = np.pad(relief.regions, 1)
    strides = [regions[0].size, regions[0, 0].size, 1]
    moments: dict[tuple[int, int], object] = {}
    for axis, stride in enumerate(strides):
        for place in np.flatnonzero(regions):
            near = place + stride
            pair = tuple(sorted((int(regions.flat[place]), int(regions.flat[near]))))
            if pair[0] in {0, pair[1]}:
                continue
            heights = relief.level.flat[place], relief.level.flat[near]
            # The later of the two, and the side of it where the other is.
            lower, later, side = (
                (heights[0], place, axis) if heights[0] < heights[1] else (heights[1], near, axis + 3)
            )
            moment = ((2**15 - int(lower)) << 40) + (int(later) << 4) + side
            if lower == GROUND:
                moments[pair] = None
            else:
                moments[pair] = min(moment, moments.get(pair, moment))
    assert first_meetings(relief) == moments


def test_heights_beyond_the_scale_are_cut_off():
    labels, count = find_basins(
        np.array([1e9, -1e9, 1e9, np.inf]), np.ones(4, bool), contrast=900, min_area=0
    )
    assert count == 2
    np.testing.assert_array_equal(labels, [1, 2, 2, 2])

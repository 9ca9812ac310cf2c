"""Objects from probabilities: hand cases, and properties of every result."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from napari_unet.core.errors import InputError
from napari_unet.core.instances import InstanceConfig, Landscape, Separation, find_objects

KEEP_ALL = InstanceConfig(min_size=1)


def picture(*rows: str) -> np.ndarray:
    """Digits are tenths of a probability; a dot is 0."""
    return np.array([[0 if c == "." else int(c) / 10 for c in row] for row in rows], np.float32)


def labels(*rows: str) -> np.ndarray:
    return np.array([[0 if c == "." else int(c) for c in row] for row in rows])


def two_discs(distance: int, shape: tuple[int, int] = (40, 60)) -> np.ndarray:
    """Two blurred discs of radius 10, the bridge between them dimmer than the middle of each."""
    y, x = np.indices(shape)
    result = np.zeros(shape)
    for centre in (30 - distance / 2, 30 + distance / 2):
        result = np.maximum(result, 1 / (1 + np.exp(np.hypot(y - 20, x - centre) - 10)))
    return result.astype(np.float32)


CASES = {
    "two objects joined by a dim bridge are split": (
        picture("99966999", "99966999"),
        labels("11112222", "11112222"),
    ),
    "objects meet where the probability is least, not half-way": (
        picture("99677799", "99677799"),
        labels("11122222", "11122222"),
    ),
    "two objects joined by a bright bridge are one": (picture("99999999"), labels("11111111")),
    "a dim object survives": (picture("99..66", "99..66"), labels("11..22", "11..22")),
    "corners do not connect": (picture("9.", ".9"), labels("1.", ".2")),
    "a hole is filled": (picture("999", "9.9", "999"), labels("111", "111", "111")),
    "a bay at the edge of the image is no hole": (picture("9.9", "999"), labels("1.1", "111")),
    "a hole between two objects is nobody's": (
        picture("9999669999", "9....4...9", "9999669999"),
        labels("1111122222", "1........2", "1111122222"),
    ),
    "an object in a hole is not swallowed": (
        picture("99999", "9...9", "9.9.9", "9...9", "99999"),
        labels("11111", "1...1", "1.2.1", "1...1", "11111"),
    ),
    "nothing": (np.zeros((3, 4), np.float32), np.zeros((3, 4), int)),
    "everything": (np.ones((3, 4), np.float32), np.ones((3, 4), int)),
    "one pixel of background": (np.zeros((1, 1), np.float32), [[0]]),
    "one pixel of foreground": (np.ones((1, 1), np.float32), [[1]]),
    "a pixel at the threshold is background": (picture("5"), [[0]]),
    "not a number is background": (np.array([[np.nan, 0.95]], np.float32), [[0, 1]]),
    "ids follow the first pixels": (picture("...9", "9..9", "9..."), labels("...1", "2..1", "2...")),
}


@pytest.mark.parametrize(("foreground", "expected"), CASES.values(), ids=CASES)
def test_hand_cases(foreground, expected):
    # From 0.9 to 0.7 the log-odds fall by 1.35.
    config = InstanceConfig(separate_by="probability", contrast=1.3, min_size=1)
    result = find_objects(foreground, config, ndim=2)
    assert result.dtype == np.int32
    np.testing.assert_array_equal(result, expected)


def test_touching_discs_are_split_where_they_touch():
    objects = find_objects(two_discs(20), ndim=2)
    assert objects.max() == 2
    assert set(np.unique(objects[:, :29])) == {0, 1}
    assert set(np.unique(objects[:, 31:])) == {0, 2}


def test_discs_that_overlap_widely_stay_one():
    # A network is as certain everywhere well inside.
    assert find_objects(np.minimum(two_discs(10), 0.97), ndim=2).max() == 1


def test_a_speck_of_certainty_does_not_cut_an_object_up():
    foreground = np.full((10, 30), 0.8, np.float32)
    foreground[2:8, 2:8] = foreground[2:8, 22:28] = 0.95
    foreground[5, 13:16] = 0.95
    by_probability = {"separate_by": "probability", "contrast": 1.5}
    assert find_objects(foreground, InstanceConfig(**by_probability, min_size=8), ndim=2).max() == 2
    assert find_objects(foreground, InstanceConfig(**by_probability, min_size=1), ndim=2).max() == 3


def test_what_separates_is_the_seam_or_the_outline_as_asked_for():
    seam = np.full((12, 40), 0.98, np.float32)
    seam[:, 20] = 0.7
    waist = np.pad(np.full((12, 40), 0.9, np.float32), 1)
    waist[:5, 18:24] = waist[-5:, 18:24] = 0

    def count(foreground, separate_by):
        return find_objects(foreground, InstanceConfig(separate_by=separate_by), ndim=2).max()

    # A straight band has no waist.
    assert [count(seam, by) for by in ("probability", "shape", "both")] == [2, 1, 2]
    assert [count(waist, by) for by in ("probability", "shape", "both")] == [1, 2, 2]


def test_lower_contrast_splits_more():
    rng = np.random.default_rng(3)
    noise = ndimage.gaussian_filter(rng.normal(size=(120, 120)), 3)
    foreground = (1 / (1 + np.exp(-12 * noise / noise.std() / 4 - 1))).astype(np.float32)
    counts = [find_objects(foreground, InstanceConfig(contrast=c), ndim=2).max() for c in (0.5, 1, 2, 4, 900)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[2] > counts[-1]
    assert counts[-1] == find_objects(foreground, InstanceConfig(contrast=400), ndim=2).max()


def test_small_objects_are_removed_and_the_ids_close_up():
    foreground = picture("99.9.999")
    np.testing.assert_array_equal(
        find_objects(foreground, InstanceConfig(min_size=2), ndim=2), labels("11...222")
    )


@pytest.mark.parametrize(
    ("probability", "threshold", "smallest"),
    [
        (1.0, 0.5, 10),
        (0.99, 0.5, 10),
        (0.74, 0.5, 5),
        (0.6, 0.5, 2),
        (0.501, 0.5, 1),
        (0.75, 0.0, 8),
        (0.75, 0.7, 2),
    ],
)
def test_a_pixel_counts_by_how_far_it_is_above_the_threshold(probability, threshold, smallest):
    foreground = np.zeros((3, 12), np.float32)
    foreground[1, 1:11] = probability

    def count(min_size):
        return find_objects(foreground, InstanceConfig(threshold, min_size=min_size), ndim=2).max()

    assert [count(smallest), count(smallest + 1)] == [1, 0]


@pytest.mark.parametrize("dtype", ["f2", "f4", ">f4", "f8", ">f8", "?", "u1"])
@pytest.mark.parametrize("threshold", [0.0, 0.7])
def test_probabilities_of_any_dtype(dtype, threshold):
    foreground = (picture("99.9.999") > 0.5).astype(dtype)
    if foreground.dtype.kind == "f":
        foreground[0, 2] = threshold  # which is not above it, however it is rounded
    config = InstanceConfig(threshold, min_size=1)
    np.testing.assert_array_equal(find_objects(foreground, config, ndim=2), labels("11.2.333"))


def test_holes_can_be_left_open():
    foreground = picture("999", "9.9", "999")
    config = InstanceConfig(min_size=1, fill_holes=False)
    np.testing.assert_array_equal(find_objects(foreground, config, ndim=2), labels("111", "1.1", "111"))


def test_three_dimensions():
    z, y, x = np.indices((20, 20, 36))
    foreground = np.zeros((20, 20, 36), np.float32)
    for centre in (10, 26):
        radius = np.sqrt((z - 10) ** 2 + (y - 10) ** 2 + (x - centre) ** 2)
        ball = np.where(radius < 3, 0, 1 / (1 + np.exp(radius - 8)))  # hollow
        foreground = np.maximum(foreground, ball.astype(np.float32))
    objects = find_objects(foreground, ndim=3)
    assert objects.max() == 2
    assert objects[10, 10, 10] == 1  # the cavity is a hole in 3-D
    assert objects[10, 10, 26] == 2
    as_planes = find_objects(foreground, ndim=2)
    assert all(len(np.unique(as_planes[as_planes == i])) == 1 for i in range(1, as_planes.max() + 1))
    assert as_planes.max() > 2


@pytest.mark.parametrize(
    ("min_size", "min_part", "count"),
    [
        (1, 2, 2),
        (3, 2, 2),
        (4, 2, 1),
        (5, 1, 2),
        (6, 1, 1),
        (4, 1.33, 2),
        (4, 1.7, 1),
        (1, 900, 2),
        (2**63 - 1, 900, 0),
    ],
)
def test_a_part_splits_off_if_it_is_large_enough_above_the_saddle(min_size, min_part, count):
    row = np.repeat(np.float32([0, 0.9, 0.6, 0.8, 0.55, 0]), [2, 20, 1, 5, 90, 2])
    config = InstanceConfig(separate_by="probability", contrast=0.5, min_size=min_size, min_part=min_part)
    assert find_objects(row[np.newaxis], config, ndim=2).max() == count


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("threshold", -0.1),
        ("threshold", 1.0),
        ("threshold", float("nan")),
        ("contrast", 0),
        ("contrast", float("nan")),
        ("min_size", 0),
        ("min_size", float("nan")),
        ("min_size", 2**64),
        ("min_part", 0.9),
        ("min_part", float("inf")),
        ("min_part", float("nan")),
        ("certain", 0.49),
        ("certain", 1.0),
        ("certain", float("nan")),
        ("separate_by", "colour"),
        ("threshold", "0.5"),
        ("contrast", None),
        ("min_part", True),
        ("min_size", 12.0),  # which a model file would be refused for when it is read
        ("min_size", "8"),
    ],
)
def test_settings_that_cannot_be_used(field, value):
    with pytest.raises(InputError, match=f"instances.{field} is {value!r}"):
        InstanceConfig(**{field: value})


@pytest.mark.parametrize("contrast", [1000.0, 1e30, float("inf")])
def test_with_the_highest_contrast_nothing_is_split(contrast):
    row = np.repeat(np.float32([0, 1, 0.501, 1, 0]), [2, 20, 1, 20, 2])
    assert find_objects(row[np.newaxis], InstanceConfig(contrast=5.0), ndim=2).max() == 2
    assert find_objects(row[np.newaxis], InstanceConfig(contrast=contrast), ndim=2).max() == 1


# Few levels, so that plateaus, ties and values on the thresholds are common.
levels = st.sampled_from([0, 0.3, 0.5, 0.6, 0.8, 0.9, 0.95, 1.0])
planes = arrays(np.float32, st.tuples(*[st.integers(1, 9)] * 2), elements=levels.map(np.float32))
volumes = arrays(np.float32, st.tuples(*[st.integers(1, 5)] * 3), elements=levels.map(np.float32))
configs = st.builds(
    InstanceConfig,
    threshold=st.sampled_from([0.0, 0.5, 0.7]),
    separate_by=st.sampled_from(get_args(Separation)),
    contrast=st.sampled_from([0.1, 1.0, 3.0]),
    min_size=st.integers(1, 6),
    min_part=st.sampled_from([1.0, 1.5, 2.0]),
    fill_holes=st.booleans(),
    certain=st.sampled_from([0.9999, 0.9, 0.5]),
)


@settings(deadline=None, max_examples=150)
@given(planes | volumes, configs)
def test_every_result_is_well_formed(foreground, config):
    before = foreground.copy()
    objects = find_objects(foreground, config, ndim=foreground.ndim)
    np.testing.assert_array_equal(foreground, before)
    np.testing.assert_array_equal(objects, find_objects(foreground, config, ndim=foreground.ndim))

    n_objects = objects.max()
    assert set(np.unique(objects)) <= set(range(n_objects + 1))
    first_pixels = [np.flatnonzero(objects.ravel() == i)[0] for i in range(1, n_objects + 1)]
    assert first_pixels == sorted(first_pixels)
    mask = foreground > config.threshold
    for i in range(1, n_objects + 1):
        one = objects == i
        assert ndimage.label(one)[1] == 1
        assert np.count_nonzero(one & mask) >= config.min_size
        # Whatever is not foreground was a hole of this object and of no other.
        filled = ndimage.binary_fill_holes(one & (mask | (not config.fill_holes)))
        assert not (one & ~mask & ~filled).any()
    if not config.fill_holes:
        assert not (objects > 0)[~mask].any()
    if config.min_size == 1:
        assert (objects > 0)[mask].all()


@settings(deadline=None, max_examples=60)
@given(planes | volumes, st.lists(configs, min_size=2, max_size=5))
def test_a_landscape_is_read_again_and_again(foreground, readings):
    landscape = Landscape.of(foreground, readings[0])
    for config in readings:
        if not landscape.suits(config):
            with pytest.raises(ValueError, match="other settings"):
                landscape.objects(config)
            continue
        expected = find_objects(foreground, config, ndim=foreground.ndim)
        np.testing.assert_array_equal(landscape.objects(config), expected)
        count = landscape.write_objects(config, objects := np.empty_like(expected), 5)
        assert count == expected.max()
        np.testing.assert_array_equal(objects, np.where(expected > 0, expected + 5, 0))


@settings(deadline=None, max_examples=60)
@given(planes, configs)
def test_holes_agree_with_filling_object_by_object(foreground, config):
    open_config = replace(config, fill_holes=False)
    expected = find_objects(foreground, open_config, ndim=2)
    n_objects = expected.max()
    for i in range(1, n_objects + 1):
        hole = ndimage.binary_fill_holes(expected == i) & (expected != i)
        parts, n_parts = ndimage.label(hole & (expected == 0))
        for part in range(1, n_parts + 1):
            rim = ndimage.binary_dilation(parts == part) & (parts != part)
            if (expected[rim] == i).all():
                expected[parts == part] = i
    closed = replace(config, fill_holes=True)
    np.testing.assert_array_equal(find_objects(foreground, closed, ndim=2), expected)


@settings(deadline=None, max_examples=60)
@given(arrays(np.float32, (2, 2, 6, 5), elements=levels.map(np.float32)))
def test_planes_are_independent_and_share_no_id(stack):
    objects = find_objects(stack, KEEP_ALL, ndim=2)
    used = 0
    for plane in np.ndindex(2, 2):
        alone = find_objects(stack[plane], KEEP_ALL, ndim=2)
        np.testing.assert_array_equal(objects[plane], np.where(alone > 0, alone + used, 0))
        used += alone.max()


def test_more_pixels_than_can_be_numbered_are_refused_at_once():
    plane = np.broadcast_to(np.float32(0), (2**16, 2**15))  # takes no memory
    with pytest.raises(InputError, match="at most 2,147,483,647 pixels at once, and here are 65536 × 32768"):
        Landscape.of(plane, InstanceConfig())

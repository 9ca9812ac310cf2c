"""The weight map against the naive formula: one distance transform of the whole image for each object."""

from math import exp, inf, log, nan, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from painting import MAX, naive_distances, paints, spacings
from scipy import ndimage
from skimage.measure import label

from napari_unet.core.annotation import read_paint
from napari_unet.core.arrays import blocks
from napari_unet.core.borders.weight_config import TOLERANCE, WeightConfig, class_weights
from napari_unet.core.errors import InputError
from napari_unet.core.weights import border_weights, measure_parts, reaches

BARE = WeightConfig(class_balance="none")
GENTLE = WeightConfig.preset("gentle")
FREIBURG = WeightConfig.preset("freiburg")


def naive_weights(paint, config, spacing, mode):
    annotation = read_paint(paint, mode)
    known, target = annotation.known, annotation.target
    kinds = (
        [np.where(paint >= 2, paint, 0)]
        if mode == "objects"
        else [label(paint == value, connectivity=paint.ndim) for value in range(2, paint.max() + 1)]
    )
    sums = [naive_distances(objects, spacing).sum(axis=0) for objects in kinds]
    border = sum((config.w0 * np.exp(-(d**2) / (2 * config.sigma**2)) for d in sums), np.zeros(paint.shape))
    if config.halo and (paint >= 2).any():
        d1 = ndimage.distance_transform_edt(paint < 2, sampling=spacing)
        border += config.halo * np.exp(-(d1**2) / (2 * config.halo_sigma**2))
    if not config.border_in_foreground:
        border[target > 0] = 0
    weights = np.where(target > 0, config.foreground, config.background)
    if config.class_balance == "inverse" or (config.class_balance == "auto" and known.mean() < 0.9):
        present = np.unique(target[known])
        for value in present:
            pixels = known & (target == value)
            share = known.sum() / (len(present) * pixels.sum())
            weights[pixels] *= min(max(share, 0.1), 10)
    return known * (weights + border)


@settings(deadline=None)
@given(paints(), st.data())
def test_weights_match_the_naive_formula(paint, data):
    config = data.draw(
        st.sampled_from(
            [WeightConfig(), GENTLE, BARE, FREIBURG, WeightConfig(w0=3, sigma=0.8), WeightConfig(w0=0)]
        )
    )
    spacing = data.draw(spacings(paint.ndim))
    weights = border_weights(paint, config, spacing=spacing)
    assert (weights.dtype, weights.shape) == (np.float32, paint.shape)
    expected = naive_weights(paint, config, spacing, "objects")
    np.testing.assert_allclose(weights, expected, rtol=1e-5, atol=TOLERANCE * config.w0)
    assert not weights[paint == 0].any()


@pytest.mark.parametrize(
    ("unknown", "balance"), [(0, "none"), (10, "none"), (11, "inverse"), (99, "inverse"), (100, "inverse")]
)
def test_classes_are_balanced_only_where_paint_is_a_sample(unknown, balance):
    paint = np.ones((10, 10), int)
    paint[0, :3] = 2
    paint.flat[100 - unknown :] = 0
    expected = border_weights(paint, WeightConfig(class_balance=balance))
    config = WeightConfig(class_balance="auto")
    np.testing.assert_array_equal(border_weights(paint, config), expected)
    np.testing.assert_array_equal(measure_parts(paint, config).sum(config), expected)


@settings(deadline=None)
@given(paints(), st.data())
def test_without_the_cut_off_weights_are_exact(paint, data):
    """In blocks so small that every image has many, and in one."""
    mode = data.draw(st.sampled_from(["objects", "classes"]))
    if mode == "classes":
        paint = np.minimum(paint, 4)
    config = data.draw(st.sampled_from([WeightConfig(sigma=1), FREIBURG, WeightConfig(w0=1, sigma=20)]))
    spacing = data.draw(spacings(paint.ndim))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_unet.core.weights.TOLERANCE", 1e-9)
        parts = measure_parts(paint, config, spacing=spacing, mode=mode)
    expected = naive_weights(paint, config, spacing, mode)
    np.testing.assert_allclose(parts.sum(config), expected, rtol=1e-6, atol=1e-6 * config.w0)


@settings(deadline=None)
@given(paints(), st.data())
def test_blocks_leave_no_trace(paint, data):
    mode = data.draw(st.sampled_from(["objects", "classes"]))
    if mode == "classes":
        paint = np.minimum(paint, 4)
    config = data.draw(st.sampled_from([WeightConfig(sigma=0.5, halo=0.5, halo_sigma=0.3), FREIBURG]))
    spacing = data.draw(spacings(paint.ndim))
    at_once = border_weights(paint, config, spacing=spacing, mode=mode)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "_PIXELS", data.draw(st.sampled_from([1, 8, 64])))
        np.testing.assert_array_equal(border_weights(paint, config, spacing=spacing, mode=mode), at_once)


@settings(deadline=None)
@given(paints(ids=(0, 1, 2, 2, 3, 5)), st.data())
def test_borders_of_classes_add_up(paint, data):
    config = data.draw(st.sampled_from([WeightConfig(), FREIBURG]))
    spacing = data.draw(spacings(paint.ndim))
    weights = border_weights(paint, config, spacing=spacing, mode="classes")
    expected = naive_weights(paint, config, spacing, "classes")
    np.testing.assert_allclose(weights, expected, rtol=1e-5, atol=TOLERANCE * config.w0)


@settings(deadline=None)
@given(paints(), st.sampled_from(["objects", "classes"]), st.integers(0, 1))
def test_weights_commute_with_flips(paint, mode, axis):
    paint = np.minimum(paint, 9)
    flipped = border_weights(np.flip(paint, axis), mode=mode)
    np.testing.assert_allclose(flipped, np.flip(border_weights(paint, mode=mode), axis), rtol=1e-6)


def gap(width, *, side=9):
    """Return one row: an object, background of that width, another object."""
    return np.repeat([[2, 1, 3]], [side, width, side], axis=1)


@pytest.mark.parametrize(
    ("paint", "config", "spacing", "where", "value"),
    [
        # d1 = 1, d2 = 2 in a gap of two pixels
        (gap(2), BARE, None, 9, 1 + 10 * exp(-9 / 50)),  # 9.35: 8.35 of border
        (gap(2), FREIBURG, None, 9, 0.1 + 50 * exp(-9 / 72) + 0.9 * exp(-1 / 200)),  # 45.1
        (gap(2), BARE, (7, 0.5), 9, 1 + 10 * exp(-2.25 / 50)),
        (gap(1), BARE, None, 9, 1 + 10 * exp(-4 / 50)),
        # the pixels of an object next to the gap: d1 = 0, d2 = 3
        (gap(2), BARE, None, 8, 1 + 10 * exp(-9 / 50)),
        (gap(2), FREIBURG, None, 8, 1),
        # a seam is background: d1 = 0, d2 = 1
        (gap(0), BARE, None, 8, 1 + 10 * exp(-1 / 50)),
        (gap(0), FREIBURG, None, 9, 0.1 + 50 * exp(-1 / 72) + 0.9),
        # nothing to keep apart
        (np.array([[2, 1, 1]]), BARE, None, 1, 1),
        (np.array([[2, 1, 2]]), BARE, None, 1, 1),
        (np.array([[2, 1, 1]]), FREIBURG, None, 2, 0.1 + 0.9 * exp(-4 / 200)),
        (np.array([[1, 1, 1]]), FREIBURG, None, 2, 0.1),
        (np.array([[2, 1, 3]]), WeightConfig(w0=0, class_balance="none"), None, 1, 1),
        # ids that differ by less than float32 can tell
        (np.array([[MAX, 1, MAX - 1]]), BARE, None, 1, 1 + 10 * exp(-4 / 50)),
    ],
)
def test_exact_values(paint, config, spacing, where, value):
    assert border_weights(paint, config, spacing=spacing)[0, where] == pytest.approx(value, rel=1e-6)


def test_classes_are_kept_apart_within_each_class_only():
    paint = np.array([[2, 1, 3, 1, 2]])
    middle = border_weights(paint, BARE, mode="classes")[0, 2]
    assert middle == pytest.approx(1 + 10 * exp(-16 / 50))  # to the two parts of class 2; one part of class 3


def test_the_cut_off_is_where_the_docstring_says():
    """Just inside the distance at which the term is 1e-3 of w0 it counts; just outside it does not."""
    inside, outside = (border_weights(gap(width), BARE)[0, 9] - 1 for width in (17, 18))
    assert inside == pytest.approx(10 * exp(-(18**2) / 50), rel=1e-3)
    assert 0 <= outside <= 10 * TOLERANCE


def test_the_cut_off_is_further_where_many_classes_add_up():
    """Four terms, each of less than 1e-3 of w0 and the more together."""
    paint = np.ones((41, 41), np.int64)
    paint[[19, 1], 20], paint[[21, 39], 20], paint[20, [19, 1]], paint[20, [21, 39]] = 2, 3, 4, 5
    border = border_weights(paint, BARE, mode="classes")[20, 20] - 1
    assert border == pytest.approx(4 * 10 * exp(-(20**2) / 50), rel=1e-4)


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        ([50, 50], [1, 1]),
        ([75, 25], [2 / 3, 2]),
        ([60, 30, 10], [5 / 9, 10 / 9, 10 / 3]),
        ([60, 0, 40], [5 / 6, None, 5 / 4]),  # an absent class takes no part
        ([996, 4], [1000 / 1992, 10]),  # clipped: 125 would be its due
        ([7, 0], [1, None]),
    ],
)
def test_inverse_frequency_has_mean_one_unless_clipped(pixels, expected):
    weights = class_weights(np.array(pixels), WeightConfig())
    assert np.isfinite(weights).all()
    for weight, value in zip(weights, expected, strict=True):
        assert value is None or weight == pytest.approx(value)
    if weights.max() < 10:
        assert (weights * pixels).sum() / sum(pixels) == pytest.approx(1)


def test_frequencies_are_those_of_the_target_with_its_seams():
    paint = np.array([[2, 2, 3, 3, 1, 0, 0, 0]])
    weights = border_weights(paint, WeightConfig(w0=0))
    assert read_paint(paint).target.sum() == 2
    np.testing.assert_allclose(weights[0], [5 / 4, 5 / 6, 5 / 6, 5 / 4, 5 / 6, 0, 0, 0], rtol=1e-6)


@pytest.mark.parametrize("config", [WeightConfig(), BARE, FREIBURG])
@pytest.mark.parametrize("mode", ["objects", "classes"])
@pytest.mark.parametrize("value", [0, 1, 2])
def test_incomplete_paint_gives_a_map(config, mode, value):
    weights = border_weights(np.full((5, 6), value), config, mode=mode)
    assert np.isfinite(weights).all()
    assert (weights > 0).all() == (value > 0)


def test_scattered_and_many_objects():
    """Many objects, of which one is all over the image."""
    paint = np.ones((200, 200), np.int64)
    paint[::20, ::20] = np.arange(100).reshape(10, 10) * 20_000_003 + 3
    paint[10::40, 10::40] = 2
    expected = naive_weights(paint, BARE, None, "objects")
    np.testing.assert_allclose(border_weights(paint, BARE), expected, atol=TOLERANCE * 10)


@pytest.mark.parametrize("unit", [1e-9, 1e-6, 1e6])
def test_weights_do_not_depend_on_the_unit_of_length(unit):
    paint = np.vstack([gap(2)] * 3)
    config = WeightConfig(sigma=5 * unit, halo=0.5, halo_sigma=3 * unit)
    expected = border_weights(paint, WeightConfig(halo=0.5, halo_sigma=3))
    np.testing.assert_allclose(border_weights(paint, config, spacing=(unit, unit)), expected, rtol=1e-5)


def test_a_sigma_far_below_the_pixel_size_gives_no_border():
    np.testing.assert_array_equal(border_weights(gap(2), WeightConfig(sigma=1e-30, class_balance="none")), 1)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"w0": -1}, "w0 is -1; choose 0 or more"),
        ({"w0": 1e39}, "choose 0 or more, up to a million"),
        ({"w0": nan}, "w0 is nan"),
        ({"w0": 10**400}, "up to a million"),
        ({"sigma": 10**400}, "choose a distance"),
        ({"w0": "10"}, "w0 is '10'"),
        ({"sigma": 0}, "sigma is 0; choose a distance"),
        ({"sigma": inf}, "sigma is inf"),
        ({"halo": -0.1}, "halo is -0.1"),
        ({"halo_sigma": 0}, "halo_sigma"),
        ({"foreground": -1}, "foreground"),
        ({"background": None}, "background is None"),
        ({"class_balance": "median"}, "'median'; choose one of 'auto', 'inverse', 'none'"),
        ({"border_in_foreground": "no"}, "border_in_foreground is 'no'"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_refused(fields, words):
    with pytest.raises(InputError, match=words):
        WeightConfig(**fields)


def test_presets():
    assert WeightConfig.preset("paper") == WeightConfig(w0=10.0, sigma=5.0) == WeightConfig()
    assert WeightConfig.preset("gentle") == WeightConfig(w0=3.0, class_balance="auto")
    with pytest.raises(InputError, match="'falk'; choose one of 'gentle', 'paper', 'freiburg'"):
        WeightConfig.preset("falk")


@pytest.mark.parametrize("spacing", [(1,), (1, 1, 1), (1, 0), (1, -1), (1, nan), (1, inf)])
def test_a_spacing_that_does_not_fit_is_refused(spacing):
    with pytest.raises(InputError, match="has 2 axes"):
        border_weights(gap(2), spacing=spacing)


@settings(deadline=None)
@given(hnp.arrays(np.int32, (9, 9), elements=st.sampled_from([0, 1, 2, 300])))
def test_more_than_255_classes_are_refused_and_never_crash(paint):
    if paint.max() < 256:
        border_weights(paint, mode="classes")
    else:
        with pytest.raises(InputError, match="300"):
            border_weights(paint, mode="classes")


def test_classes_of_more_axes_than_a_volume_are_refused():
    with pytest.raises(InputError, match="4 axes"):
        border_weights(gap(2)[None, None], mode="classes")


@pytest.mark.parametrize("config", [WeightConfig(), WeightConfig(halo=0.9)])
def test_weights_at_some_pixels_are_those_of_the_map(config):
    paint = np.vstack([gap(2), gap(1)[:, :1].repeat(20, axis=1)])
    parts = measure_parts(paint, config)
    flat, pixels = np.array([9, 8, 0, 39, 25]), np.array([30, 10])
    expected = parts.sum(config, pixels).reshape(-1)[flat]
    np.testing.assert_allclose(parts.at(flat, config, pixels), expected, rtol=1e-6)
    assert not np.allclose(parts.at(flat, config, parts.pixels), expected)  # balanced by others


def test_how_far_objects_matter():
    """As far as a thousandth of w0 in the border term, and all that float32 can tell in the halo."""
    assert reaches(WeightConfig(w0=0), 2) == (0.0, 0.0)
    assert reaches(WeightConfig(sigma=2), 2) == pytest.approx((2 * sqrt(2 * log(1000)), 0))
    assert reaches(FREIBURG, 3) == pytest.approx((6 * sqrt(2 * log(2000)), 10 * sqrt(64 * log(2))))
    config = WeightConfig(sigma=1, halo=1, halo_sigma=1)  # reaches of 3.72 and 6.66
    for pixels, counts in ((37, True), (38, False)):  # to the second object; to the first it is one
        row = np.array([[2, *[1] * pixels, 3]])
        assert (measure_parts(row, config, spacing=(0.1, 0.1)).border[0, 1] > 0) == counts
    row = np.array([[2, *[1] * 80]])
    halo = measure_parts(row, config, spacing=(0.1, 0.1)).halo[0]
    np.testing.assert_allclose(halo[:67], np.exp(-((np.arange(67) / 10) ** 2) / 2), rtol=1e-5)
    assert not halo[67:].any()

"""After any edits, an updated map is the map measured anew."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from painting import MAX, boxes, paints, spacings

from napari_unet.core.borders.weight_config import WeightConfig
from napari_unet.core.painted.weight_update import update_parts
from napari_unet.core.weights import border_weights, measure_parts

CONFIGS = [
    WeightConfig(),
    WeightConfig.preset("freiburg"),
    WeightConfig(sigma=0.6),
    WeightConfig(sigma=0.4, halo=2, halo_sigma=0.3),
    WeightConfig(w0=0),
]


def check(parts, paint, config, spacing, mode):
    anew = measure_parts(paint, config, spacing=spacing, mode=mode)
    np.testing.assert_array_equal(parts.kinds, anew.kinds)
    np.testing.assert_array_equal(parts.pixels, anew.pixels)
    np.testing.assert_allclose(parts.border, anew.border, rtol=1e-6)
    expected = border_weights(paint, config, spacing=spacing, mode=mode)
    np.testing.assert_allclose(parts.sum(config), expected, rtol=1e-6)


@settings(deadline=None)
@given(st.sampled_from(["objects", "classes"]), st.sampled_from(CONFIGS), st.data())
def test_updates_equal_measuring_anew(mode, config, data):
    """Strokes and erasing, objects split, merged and renamed, classes that come and go."""
    ids = (0, 0, 1, 1, 2, 3, 9, MAX) if mode == "objects" else (0, 0, 1, 2, 2, 3, 5)
    paint = data.draw(paints(ids))
    spacing = data.draw(spacings(paint.ndim))
    parts = measure_parts(paint, config, spacing=spacing, mode=mode)
    for _ in range(data.draw(st.integers(1, 4))):
        box = data.draw(boxes(paint.shape))
        before, edited = parts, paint.copy()
        edited[box] = data.draw(st.sampled_from(ids))
        parts, region = update_parts(before, edited, box, config, spacing=spacing, mode=mode)
        outside = np.ones(paint.shape, bool)
        outside[region] = False
        for old, new in ((before.kinds, parts.kinds), (before.border, parts.border)):
            np.testing.assert_array_equal(old[outside], new[outside])
        check(before, paint, config, spacing, mode)  # left as it was
        check(parts, edited, config, spacing, mode)
        paint = edited


def grid(cells=16, side=24):
    """Square cells with a gap of two pixels."""
    ids = np.arange(cells * cells).reshape(cells, cells) + 2
    paint = np.kron(ids, np.ones((side, side), int))
    paint[::side], paint[1::side], paint[:, ::side], paint[:, 1::side] = 1, 1, 1, 1
    return paint


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("value", [0, 1, 2, 3, 500])
def test_a_stroke_among_many_cells(config, value):
    paint = grid()
    parts = measure_parts(paint, config)
    paint[200:207, 190:215] = value
    updated, region = update_parts(parts, paint, (slice(200, 207), slice(190, 215)), config)
    check(updated, paint, config, None, "objects")
    if config == WeightConfig():
        assert region == (slice(179, 228), slice(169, 236))  # the cut-off of 18.6 pixels, and 2


def test_two_parts_joined_far_away():
    """Of one class: joined by a pixel at one end, they have no border at the other end either."""
    paint = np.ones((11, 400), int)
    paint[2:4], paint[7:9] = 2, 2
    parts = measure_parts(paint, mode="classes")
    assert parts.border[5, 0] > 5
    joined = paint.copy()
    joined[4:7, 399] = 2
    updated, _ = update_parts(parts, joined, (slice(4, 7), slice(399, 400)), mode="classes")
    assert not updated.border.any()
    check(updated, joined, WeightConfig(), None, "classes")
    split, _ = update_parts(updated, paint, (slice(4, 7), slice(399, 400)), mode="classes")
    check(split, paint, WeightConfig(), None, "classes")


def test_a_new_class_changes_the_cut_off_everywhere():
    paint = np.ones((9, 90), int)
    paint[:, 10:20], paint[:, 38:50] = 2, 2
    parts = measure_parts(paint, mode="classes")
    edited = paint.copy()
    edited[0, 89] = 4
    updated, region = update_parts(parts, edited, (slice(0, 1), slice(89, 90)), mode="classes")
    assert region == (slice(0, 9), slice(0, 90))
    check(updated, edited, WeightConfig(), None, "classes")

"""The two nearest objects, against one distance transform of the whole image for each object."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from math import inf, nextafter, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from painting import MAX, naive_distances, paints, spacings, two_nearest_distances

from napari_unet.core.arrays import blocks
from napari_unet.core.borders.two_nearest import MAX_DIRECT_ID, make_metric, with_small_ids


@settings(deadline=None)
@given(paints(), st.data())
def test_distances_are_exact(paint, data):
    spacing = data.draw(spacings(paint.ndim))
    objects = np.where(paint >= 2, paint, 0)
    expected = naive_distances(objects, spacing)
    found = two_nearest_distances(objects, spacing=spacing)
    np.testing.assert_allclose(found, expected, rtol=1e-6)

    cutoff = data.draw(st.sampled_from([0.2, 1.0, sqrt(2), 4.0, 1e9, inf]))
    expected = np.where(expected <= cutoff, expected, inf)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "_PIXELS", data.draw(st.sampled_from([1, 30, 2**16])))
        near = two_nearest_distances(objects, spacing=spacing, cutoff=cutoff)
    np.testing.assert_allclose(near, expected, rtol=1e-6)


@settings(deadline=None)
@given(hnp.arrays(np.int32, (40, 300), elements=st.sampled_from([0, 2, 3, 4]), fill=st.just(0)))
def test_lines_longer_than_what_is_worked_on_together(objects):
    """Sparse single pixels, in lines of several chunks, with distances of hundreds of pixels."""
    expected = naive_distances(objects, None)
    np.testing.assert_allclose(two_nearest_distances(objects), expected, rtol=1e-6)
    near = two_nearest_distances(objects, cutoff=15)
    np.testing.assert_allclose(near, np.where(expected <= 15, expected, inf), rtol=1e-6)


@pytest.mark.parametrize("shape", [(50,), (4, 5, 6, 7)])
def test_any_dimension(shape):
    objects = np.random.default_rng(0).choice([0, 0, 0, 0, 0, 0, 1, 2, 3], size=shape).astype(np.int32)
    spacing = (1.5, 1, 2, 0.7)[: objects.ndim]
    np.testing.assert_allclose(
        two_nearest_distances(objects, spacing=spacing), naive_distances(objects, spacing), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("spacing", "cutoff"),
    [
        ((0.3, 1.0), 1.0),
        ((1.0, 0.3), 0.3 * 7),
        ((0.3, 0.7), sqrt(0.3**2 + 0.7**2)),
        ((3.0, 3.0), 3 * sqrt(5)),
        ((1e-9, 1e-9), 4e-9),
    ],
)
def test_what_is_exactly_at_the_cut_off_counts(spacing, cutoff):
    objects = np.zeros((30, 30), np.int32)
    objects[15, 15], objects[0, 0] = 1, 2
    d1, _ = two_nearest_distances(objects, spacing=spacing, cutoff=cutoff)
    expected, _ = naive_distances(objects, spacing)
    assert d1[np.isfinite(d1)].max() == pytest.approx(cutoff, rel=1e-6)
    np.testing.assert_array_equal(np.isfinite(d1), expected <= cutoff * (1 + 1e-9))


@pytest.mark.parametrize(
    ("shape", "spacing", "cutoff", "highest", "dtype", "margin"),
    [
        ((2048, 2048), (1, 1), 18.6, 2000, np.int32, (18, 18)),
        ((2048, 2048), (1, 1), 18.6, MAX_DIRECT_ID, np.int32, (18, 18)),
        ((2048, 2048), (1, 1), 300.0, MAX_DIRECT_ID, np.int64, (300, 300)),
        ((64, 512, 512), (2, 1, 1), 18.6, 500, np.int32, (9, 18, 18)),
        ((64, 512, 512), (2.5, 1, 1), 18.6, 500, np.int64, (7, 18, 18)),
        ((64, 512, 512), (2.5, 1, 1), inf, 500, np.int64, (63, 511, 511)),
        ((20, 20), (1, 1), 0.5, 3, np.int32, (0, 0)),
        ((20, 20), (1, 1e200), 2, 3, np.int32, (2, 0)),
        ((20, 20), (1e-200, 1e200), inf, 3, np.int64, (19, 19)),
        ((20, 20), (1, 1), 1e300, 3, np.int32, (19, 19)),
        ((1, 1), (1, 1), inf, 1, np.int32, (0, 0)),
    ],
)
def test_keys_are_as_narrow_as_they_can_be(  # noqa: PLR0917 (a column of the table each)
    shape, spacing, cutoff, highest, dtype, margin
):
    metric = make_metric(shape, spacing, cutoff, highest)
    assert (metric.dtype, metric.margin) == (dtype, margin)
    farthest = max(steps[-1] for steps in metric.steps)
    assert int(metric.none) + (int(farthest) << metric.bits) <= np.iinfo(dtype).max
    assert metric.limit << metric.bits < metric.none


def test_ids_are_renumbered_only_where_they_must_be():
    small = np.array([[0, MAX_DIRECT_ID]], np.int32)
    assert with_small_ids(small) is small
    large = np.array([[0, MAX, 5, MAX, MAX - 1, 0]], np.int32)
    np.testing.assert_array_equal(with_small_ids(large), [[0, 3, 1, 3, 2, 0]])


def random_objects(seed):
    rng = np.random.default_rng(seed)
    return np.where(rng.random((300, 300)) < 0.02, rng.integers(1, 50, (300, 300)), 0).astype(np.int32)


def test_several_threads_may_measure_at_once():
    images = [random_objects(seed) for seed in range(8)]
    alone = [two_nearest_distances(image, cutoff=10) for image in images]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda image: two_nearest_distances(image, cutoff=10), images))
    np.testing.assert_array_equal(together, alone)


def test_the_first_calls_may_come_from_several_threads_and_nothing_is_compiled_before_them():
    program = """
import sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
import napari_unet.core.weights
from napari_unet import border_weights
assert "numba" not in sys.modules
paint = np.ones((40, 40), int)
paint[5:9], paint[12:20] = 2, 3
with ThreadPoolExecutor(4) as pool:
    maps = list(pool.map(border_weights, [paint] * 4))
assert all((weights == maps[0]).all() for weights in maps) and maps[0][10, 10] > 5
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=120)


def test_without_a_folder_to_write_to_it_still_compiles(monkeypatch):
    from numba.core import caching

    from napari_unet.core.arrays.compiling import compiled

    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    assert compiled()(lambda number: number + 1)(2) == 3


def test_just_below_the_cut_off_is_out():
    objects = np.array([[1, 0, 0, 0, 2]], np.int32)
    d1, _ = two_nearest_distances(objects, cutoff=nextafter(2.0, 0.0) - 1e-9)
    assert d1[0, 2] == inf

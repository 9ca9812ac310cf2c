import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.arrays.resampling import plan_axis, resample, scaled_shape, scaled_view


def whole(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    axes = [plan_axis(n, m, slice(0, m)) for n, m in zip(image.shape, shape, strict=True)]
    return resample(image, axes)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 90), st.integers(1, 200), st.data())
def test_parts_equal_the_whole_and_weights_are_means(length: int, new: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, new - 1))
    stop = data.draw(st.integers(start + 1, new))
    values = np.random.default_rng(0).random(length).astype(np.float32)
    part = plan_axis(length, new, slice(start, stop))
    np.testing.assert_array_equal(resample(values[part.source], [part]), whole(values, (new,))[start:stop])
    np.testing.assert_allclose(part.weights.sum(axis=1), 1, rtol=1e-6)
    assert part.weights.data.min() >= 0


def test_the_same_grid_is_the_same_image() -> None:
    image = np.random.default_rng(0).random((9, 14)).astype(np.float32)
    np.testing.assert_array_equal(whole(image, image.shape), image)


def test_nothing_moves() -> None:
    # A straight line stays where it is: pixel centres of both grids lie on it, but at the far ends.
    line = np.arange(40, dtype=np.float32)
    for new in (10, 25, 40, 77, 160):
        expected = (np.arange(new) + 0.5) * 40 / new - 0.5
        inner = slice(2 * max(1, new // 40), -2 * max(1, new // 40))
        np.testing.assert_allclose(whole(line, (new,))[inner], expected[inner], atol=0.1)


def test_a_fine_pattern_becomes_grey_and_no_alias() -> None:
    stripes = np.indices((64, 64)).sum(axis=0).astype(np.float32) % 2
    np.testing.assert_allclose(whole(stripes, (16, 16))[2:-2, 2:-2], 0.5, atol=0.02)


def test_a_view_is_normalised_before_it_is_averaged_and_read_in_parts() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(100, 1100, (2, 3, 30, 41)).astype(np.float32)
    pixels[0, 1, 4, 5] = np.nan
    limits = np.array([[100.0, 1100.0], [100.0, 600.0]])
    view = scaled_view(pixels, limits, (12, 90))
    assert view.shape == (2, 3, 12, 90)
    full = np.asarray(view)
    assert np.isfinite(full).all()
    assert full[0].max() <= 1
    np.testing.assert_array_equal(np.asarray(view[:, 1][:, 3:9, 17:60]), full[:, 1, 3:9, 17:60])
    normalised = (pixels[1, 2] - 100) / 500
    np.testing.assert_allclose(full[1, 2], whole(normalised, (12, 90)), rtol=1e-5)


@pytest.mark.parametrize(("factor", "expected"), [(1.0, (7, 100)), (0.01, (1, 1)), (2.5, (18, 250))])
def test_lengths(factor: float, expected: tuple[int, ...]) -> None:
    assert scaled_shape((7, 100), factor) == expected

"""Block by block or whole: the same objects with the same ids."""

from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import expit

from napari_unet.core.errors import InputError
from napari_unet.core.instances import InstanceConfig, Separation, find_objects
from napari_unet.core.objects.block_objects import find_objects_in_blocks


def in_blocks(
    foreground: NDArray[Any], config: InstanceConfig, block: tuple[int, ...], memory: int | None = None
) -> NDArray[np.int32]:
    """Find the objects of all planes block by block, into an array that holds rubbish."""
    out = np.full(foreground.shape, 77, np.int32)
    used = 0
    for plane in np.ndindex(foreground.shape[: foreground.ndim - len(block)]):
        work = find_objects_in_blocks(
            foreground, config, block=block, out=out, plane=plane, used=used, memory=memory
        )
        parts = []
        try:
            while True:
                parts.append(next(work))
        except StopIteration as end:
            used = end.value
        assert parts == sorted(parts)
        assert parts[-1] == pytest.approx(1)
    assert used == out.max(initial=0)
    return out


def blobs(seed: int, shape: tuple[int, ...], smoothness: float, levels: int) -> NDArray[np.float32]:
    """Smooth random probabilities; few levels make many equal values, as rounded networks do."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), smoothness)
    probability = expit(3 * noise / max(noise.std(), 1e-6))
    return (np.round(probability * levels) / levels).astype(np.float32)


configs = st.builds(
    InstanceConfig,
    threshold=st.sampled_from([0.2, 0.5, 0.7]),
    separate_by=st.sampled_from(get_args(Separation)),
    contrast=st.sampled_from([0.1, 0.5, 2.0]),
    min_size=st.sampled_from([1, 4, 16]),
    min_part=st.sampled_from([1.0, 1.5, 2.0]),
    fill_holes=st.booleans(),
    certain=st.sampled_from([0.9999, 0.9]),
)


@settings(deadline=None, max_examples=80)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    block=st.tuples(st.integers(3, 24), st.integers(3, 24)),
    smoothness=st.sampled_from([0.6, 1.0, 2.0]),
    levels=st.sampled_from([4, 10, 10**6]),
    config=configs,
)
def test_blocks_give_the_objects_of_the_whole_image(*, seed, shape, block, smoothness, levels, config):
    foreground = blobs(seed, shape, smoothness, levels)
    expected = find_objects(foreground, config, ndim=2)
    np.testing.assert_array_equal(in_blocks(foreground, config, block), expected)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 18), st.integers(1, 18)),
    block=st.tuples(st.integers(2, 6), st.integers(3, 12), st.integers(3, 12)),
    levels=st.sampled_from([4, 10**6]),
    config=configs,
    ndim=st.sampled_from([2, 3]),
)
def test_blocks_give_the_objects_of_volumes_and_stacks(*, seed, shape, block, levels, config, ndim):
    foreground = blobs(seed, shape, 1.0, levels)
    expected = find_objects(foreground, config, ndim=ndim)
    np.testing.assert_array_equal(in_blocks(foreground, config, block[3 - ndim :]), expected)


def ring(shape: tuple[int, int] = (30, 30)) -> NDArray[np.float32]:
    y, x = np.indices(shape)
    radius = np.hypot(y - 15, x - 15)
    return (np.abs(radius - 10) < 2).astype(np.float32)


@pytest.mark.parametrize("block", [(30, 30), (15, 15), (7, 11), (3, 2)])
@pytest.mark.parametrize(
    ("inside", "filled"),
    [(0, True), (8, True), (20, False)],
    ids=["an empty hole", "a speck in the hole that is removed", "an object in the hole"],
)
def test_holes_over_many_blocks(block: tuple[int, int], inside: int, filled: bool):
    foreground = ring()
    foreground[14:16, 12 : 12 + inside // 2] = 1
    objects = in_blocks(foreground, InstanceConfig(min_size=10), block)
    np.testing.assert_array_equal(objects, find_objects(foreground, InstanceConfig(min_size=10), ndim=2))
    assert bool(objects[10, 15]) == filled


def test_one_object_over_all_blocks_has_one_id_and_follows_the_first_pixels():
    foreground = np.zeros((40, 40), np.float32)
    foreground[::4] = foreground[:, 0] = 1  # a comb through every block
    foreground[2, 20:] = 1
    objects = in_blocks(foreground, InstanceConfig(min_size=1, fill_holes=False), (8, 8))
    assert set(np.unique(objects[::4])) == {1}
    assert set(np.unique(objects[2, 20:])) == {2}


def test_nothing_and_everything():
    for value in (0, 1):
        foreground = np.full((9, 9), value, np.float32)
        assert (in_blocks(foreground, InstanceConfig(), (4, 5)) == value).all()


def test_a_region_beyond_the_memory_is_refused_in_a_sentence():
    foreground = np.zeros((64, 64), np.float32)
    foreground[:, ::8] = 1
    assert in_blocks(foreground, InstanceConfig(), (16, 16), memory=64 * 64 * 64).max() == 8
    foreground[10] = 1
    with pytest.raises(InputError, match=r"connected over 64 × 64 pixels.*raise instances.threshold"):
        in_blocks(foreground, InstanceConfig(), (16, 16), memory=64 * 64 * 64 - 1)

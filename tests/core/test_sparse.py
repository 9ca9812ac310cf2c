import sys

import numpy as np
import psutil
import pytest

from napari_unet.core.arrays.sparse import copy_planes, equal_planes


@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (6, 3, 4), (2, 3, 4, 5), (0, 3, 4), (3, 0, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32, bool])
def test_a_copy_is_equal_and_its_own(shape, dtype):
    rng = np.random.default_rng(len(shape))
    filled = rng.random(shape[:-2] + (1,) * len(shape[-2:])) < 0.5
    stack = np.asarray(rng.integers(0, 9, shape) * filled).reshape(shape).astype(dtype)
    before = np.array(stack)
    copy = copy_planes(stack)
    assert (copy.shape, copy.dtype) == (stack.shape, stack.dtype)
    np.testing.assert_array_equal(copy, stack)
    copy[...] = 1
    np.testing.assert_array_equal(stack, before)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, memory that is read counts, too")
def test_only_planes_with_something_take_memory():
    stack = np.zeros((400, 1024, 1024), np.uint8)
    stack[7, 3, 3] = 1
    process = psutil.Process()
    before = process.memory_info().rss
    copy = copy_planes(stack)
    assert process.memory_info().rss - before < 50e6
    assert copy[7, 3, 3] == 1


@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (6, 3, 4), (2, 3, 4, 5)])
def test_stacks_are_equal_if_all_their_pixels_are(shape):
    stack = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    assert equal_planes(stack, stack.astype(np.uint8))
    assert not equal_planes(stack, stack.reshape(1, *shape))
    assert not equal_planes(stack, None)
    for place in np.ndindex(shape):
        other = stack.copy()
        other[place] += 1
        assert not equal_planes(stack, other)

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.arrays import blocks
from napari_unet.core.arrays.blocks import Block, for_each_block, plan_blocks


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 5)), min_size=1, max_size=3), st.data())
def test_cores_tile_the_array_and_windows_hold_their_margins(sides, data):
    shape = [length for length, _ in sides]
    margin = [more for _, more in sides]
    seen = np.zeros(shape, int)
    image = np.arange(seen.size).reshape(shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "_PIXELS", data.draw(st.sampled_from([1, 50, 2**16])))
        for block in plan_blocks(shape, margin):
            seen[block.core] += 1
            np.testing.assert_array_equal(image[block.window][block.inner], image[block.core])
            for core, window, more, length in zip(block.core, block.window, margin, shape, strict=True):
                assert window == slice(max(0, core.start - more), min(length, core.stop + more))
    assert (seen == 1).all()


@pytest.mark.parametrize("count", [0, 1, 7, 40])
def test_every_block_is_worked_on_once(count):
    planned = [Block((slice(n, n + 1),), (slice(n, n + 1),), (0,)) for n in range(count)]
    done = []
    for_each_block(done.append, planned)
    assert sorted(done, key=lambda block: block.core[0].start) == planned


def test_an_error_in_a_block_is_raised_and_no_thread_is_left():
    planned = [Block((slice(n, n + 1),), (slice(n, n + 1),), (0,)) for n in range(20)]

    def fail(block):
        raise MemoryError(block.core[0].start)

    with pytest.raises(MemoryError):
        for_each_block(fail, planned)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("blocks")]

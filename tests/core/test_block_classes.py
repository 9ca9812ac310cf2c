"""Objects of several classes: block by block or whole, the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.special import softmax

from napari_unet.core.instances import InstanceConfig
from napari_unet.core.objects.block_classes import find_class_objects_in_blocks
from napari_unet.core.objects.prediction import Prediction


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_classes=st.integers(2, 4),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 30), st.integers(1, 30)),
    block=st.tuples(st.integers(4, 20), st.integers(4, 20)),
    threshold=st.sampled_from([0.2, 0.35, 0.5]),
)
def test_blocks_give_the_objects_of_the_prediction(*, seed, n_classes, shape, block, threshold):
    noise = np.random.default_rng(seed).standard_normal((n_classes, *shape))
    smooth = ndimage.gaussian_filter(noise, (0, 0, 1.5, 1.5))
    probabilities = softmax(12 * smooth, axis=0).astype(np.float32)
    probabilities = np.round(probabilities, 1)  # draws between classes
    config = InstanceConfig(threshold, contrast=0.5, min_size=3)
    mode = "objects" if n_classes == 2 else "classes"
    expected = Prediction(probabilities, ndim=2, mode=mode, instances=config).objects
    out, scratch = np.full(shape, 9, np.int32), np.full(shape, 9, np.int32)
    used = 0
    for plane in range(shape[0]):
        work = find_class_objects_in_blocks(
            probabilities[1:], config, block=block, out=out, scratch=scratch, plane=(plane,), used=used
        )
        parts = []
        while True:
            try:
                parts.append(next(work))
            except StopIteration as end:
                used = end.value
                break
        assert parts == sorted(parts)
        assert parts[-1] == pytest.approx(1)
    np.testing.assert_array_equal(out, expected)
    assert used == expected.max()


def test_several_classes_are_never_taken_for_one():
    out = np.zeros((8, 8), np.int32)
    with pytest.raises(ValueError, match="2 classes"):
        next(
            find_class_objects_in_blocks(
                np.ones((2, 8, 8), np.float32), InstanceConfig(), block=(8, 8), out=out
            )
        )

"""What was corrected stays when objects are read again."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.objects.rereading import keep_corrected


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6))
def test_what_was_corrected_stays_and_other_objects_keep_their_rest(seed):
    rng = np.random.default_rng(seed)
    labels = np.kron(rng.integers(0, 5, (4, 4)), np.ones((3, 3))).astype(np.int32)
    paint = np.kron(rng.integers(0, 5, (6, 6)), np.ones((2, 2))).astype(np.uint16)
    rejected = (paint == 1) & (rng.random(paint.shape) < 0.7)
    accepted = {value for value in (2, 3, 4) if rng.random() < 0.5}
    result = keep_corrected(labels, paint, accepted, rejected)
    kept = np.isin(paint, list(accepted))
    taken = kept | rejected
    assert not result[rejected].any()
    for value in accepted & set(paint.ravel().tolist()):
        number = np.unique(result[paint == value])
        assert number.size == 1
        assert np.array_equal(result == number[0], paint == value)
        assert number[0] > labels.max()
    for number in np.unique(labels[labels > 0]):
        mine = labels == number
        rest = mine & ~taken
        is_left_out = 2 * np.count_nonzero(mine & taken) > np.count_nonzero(mine)
        assert np.array_equal(result == number, np.zeros_like(rest) if is_left_out else rest)
    if not taken.any():
        assert result is labels

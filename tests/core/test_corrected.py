"""What was corrected stays when objects are predicted, or read, again."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.correcting.corrected import Corrected


def drawn(seed, planes=1):
    """New objects, numbered on from plane to plane, and what was said about those before."""
    rng = np.random.default_rng(seed)
    kinds = np.kron(rng.integers(0, 5, (planes, 4, 4)), np.ones((1, 3, 3), int))
    labels = np.zeros(kinds.shape, np.int32)
    for part, kind in zip(labels, kinds, strict=True):
        part[kind > 0] = labels.max() + 1 + np.unique(kind[kind > 0], return_inverse=True)[1]
    paint = np.kron(rng.integers(0, 5, (planes, 6, 6)), np.ones((1, 2, 2))).astype(np.uint16)
    paint[rng.random(planes) < 0.3] = 0
    rejected = (paint == 1) & (rng.random(paint.shape) < 0.5)
    accepted = {value for value in (2, 3, 4) if rng.random() < 0.5}
    places = [part for part in np.array_split(np.flatnonzero(rejected), 2) if part.size]
    return labels, Corrected(paint, accepted, places), rejected


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0, 7]))
def test_what_was_corrected_stays_and_other_objects_keep_their_rest(seed, taken):
    (labels,), corrected, (rejected,) = drawn(seed)
    (paint,) = corrected.paint
    result = corrected.keep(labels, (0,), taken=taken)
    kept = np.isin(paint, list(corrected.accepted))
    assert not result[rejected].any()
    expected = []
    for number in np.unique(labels[labels > 0]):
        mine = labels == number
        if 2 * np.count_nonzero(mine & (kept | (paint == 1))) <= np.count_nonzero(mine):
            expected.append(mine & ~kept & ~rejected)
    expected += [paint == value for value in sorted(corrected.accepted & set(paint.ravel().tolist()))]
    for number, mine in enumerate(expected, start=taken + 1):
        np.testing.assert_array_equal(result == number, mine)
    assert set(np.unique(result)) - {0} == set(range(taken + 1, taken + 1 + len(expected)))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6))
def test_a_stack_is_numbered_on_from_plane_to_plane(seed):
    labels, corrected, _ = drawn(seed, planes=4)
    result = labels.copy()
    changed = set(corrected.keep_in_all(result, 2))
    taken = 0
    for plane in np.ndindex(4):
        np.testing.assert_array_equal(result[plane], corrected.keep(labels[plane], plane, taken=taken))
        assert plane in changed or (result[plane] == labels[plane]).all()
        taken = max(taken, int(result[plane].max()))
    accepted = np.isin(corrected.paint, list(corrected.accepted))
    assert [corrected.count_accepted((at,)) for at in range(4)] == [
        np.unique(paint[mine]).size for paint, mine in zip(corrected.paint, accepted, strict=True)
    ]


def test_objects_of_which_nothing_was_said_stay_as_they_are():
    labels, _, _ = drawn(3, planes=2)
    assert list(Corrected(np.zeros_like(labels), set(), ()).keep_in_all(labels, 2)) == []

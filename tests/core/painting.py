"""Paint made up by hypothesis, how far its objects are, and what is said of it."""

from math import inf

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from napari_unet.core.arrays.blocks import for_each_block, plan_blocks
from napari_unet.core.borders.two_nearest import (
    check_spacing,
    make_metric,
    nearest_keys,
    two_nearest_keys,
    with_small_ids,
)

MAX = 2**31 - 1

small_paint = hnp.arrays(
    np.int32,
    hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=6),
    elements=st.sampled_from([0, 1, 2, 3, 7, MAX - 1, MAX]),
)


def assert_one_sentence(text):
    assert text[0].isupper()
    assert text.endswith(".")
    assert "\n" not in text
    assert ". " not in text


@st.composite
def paints(draw, ids=(0, 0, 0, 1, 2, 3, 9, MAX)):
    """2-D and 3-D paint of boxes over each other: nested, touching, at the edge, cut in two, of one pixel."""
    ndim = draw(st.integers(2, 3))
    shape = draw(st.tuples(*[st.integers(1, 30 if ndim == 2 else 12)] * ndim))
    paint = np.full(shape, draw(st.sampled_from([0, 1])), np.int64)
    for _ in range(draw(st.integers(0, 7))):
        paint[draw(boxes(shape))] = draw(st.sampled_from(ids))
    return paint


@st.composite
def boxes(draw, shape):
    """A box in an array of that shape, with up to 6 pixels a side."""
    start = [draw(st.integers(0, length - 1)) for length in shape]
    sides = [draw(st.integers(1, 6)) for _ in shape]
    return tuple(slice(a, min(a + n, length)) for a, n, length in zip(start, sides, shape, strict=True))


def spacings(ndim):
    return st.none() | st.tuples(*[st.sampled_from([0.3, 1.0, 2.5])] * ndim)


def naive_distances(objects, spacing):
    """Sort the distances to all objects; two infinities stand for those that are not there."""
    ids = np.unique(objects[objects > 0])
    maps = [ndimage.distance_transform_edt(objects != number, sampling=spacing) for number in ids]
    return np.sort([*maps, *[np.full(objects.shape, inf)] * 2], axis=0)[:2]


def two_nearest_distances(objects, *, spacing=None, cutoff=inf):
    """The distances to the nearest and the second nearest object, block by block as the weight map does."""
    objects = with_small_ids(objects)
    highest = int(objects.max(initial=0))
    metric = make_metric(objects.shape, check_spacing(spacing, objects.ndim), cutoff, highest)
    result = np.full((2, *objects.shape), inf, np.float32)

    def fill(block):
        window = objects[block.window]
        keys = two_nearest_keys(window, window > 0, block, metric)
        if keys is None:
            keys = (nearest_keys(window > 0, block, metric),)
        for distances, key in zip(result, keys, strict=False):
            if key is not None:
                squared = key >> metric.bits
                near = np.where(squared <= metric.limit, metric.unit * np.sqrt(squared), inf)
                distances[block.core] = near

    for_each_block(fill, plan_blocks(objects.shape, metric.margin))
    return result

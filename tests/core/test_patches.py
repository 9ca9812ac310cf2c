"""Patches hold painted pixels, are drawn evenly, and never teach what was not painted."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from taught import build_dataset

from napari_unet.core.learning.dataset import Dataset
from napari_unet.core.patches import cut_patch, draw_patch, place_box


def _dataset(shape: tuple[int, ...], paint: np.ndarray | None = None, ndim: int = 2) -> Dataset:
    """Every pixel of the image has a value of its own, so that patches can be located."""
    image = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    if paint is None:
        paint = np.zeros(shape, np.int32)
        paint[(0,) * len(shape)] = 1
        paint[(-1,) * len(shape)] = 2
    return build_dataset([image], [paint], ndim=ndim, held_out=0)


@given(
    height=st.integers(1, 60),
    width=st.integers(2, 60),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    margin=st.tuples(st.integers(0, 70), st.integers(0, 70)),
    seed=st.integers(0, 1000),
)
def test_shape_known_pixel_and_no_mirrored_paint(
    height: int, width: int, size: tuple[int, int], margin: tuple[int, int], seed: int
) -> None:
    dataset = _dataset((height, width))
    patch = draw_patch(dataset, size, np.random.default_rng(seed), margin=margin)
    expected = tuple(edge + 2 * extra for edge, extra in zip(size, margin, strict=True))
    assert patch.image.shape == (1, *expected)
    assert patch.target.shape == patch.weight.shape == expected
    core = patch.weight[margin[0] : margin[0] + size[0], margin[1] : margin[1] + size[1]]
    assert core.any()
    # The two painted pixels appear once each, however often the image is mirrored.
    assert np.count_nonzero(patch.weight) <= 2
    assert np.count_nonzero(patch.target) <= 1


@given(
    middle=st.tuples(st.integers(0, 29), st.integers(0, 9)),
    size=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    margin=st.integers(0, 25),
)
def test_cutting_equals_padding_the_whole_image_first(
    middle: tuple[int, int], size: tuple[int, int], margin: int
) -> None:
    rng = np.random.default_rng(0)
    (sample,) = _dataset((30, 10), paint=rng.integers(0, 4, (30, 10)).astype(np.int32)).samples
    box = place_box(middle, size, (30, 10))
    patch = cut_patch(sample, sample.weight, box, (margin, margin))
    pad = 120
    wide = tuple(slice(cut.start - margin + pad, cut.stop + margin + pad) for cut in box)
    np.testing.assert_array_equal(patch.image[0], np.pad(sample.image[0], pad, mode="reflect")[wide])
    np.testing.assert_array_equal(patch.target, np.pad(sample.target, pad)[wide])
    np.testing.assert_array_equal(patch.weight, np.pad(sample.weight, pad)[wide])


@given(position=st.integers(0, 99), size=st.integers(1, 150), length=st.integers(1, 100))
def test_boxes_stay_inside_the_image_or_hold_it(position: int, size: int, length: int) -> None:
    (box,) = place_box([position], [size], [length])
    assert box.stop - box.start == size
    if size <= length:
        assert box.start >= 0
        assert box.stop <= length
    else:
        assert box.start <= 0
        assert box.stop >= length


def test_images_and_classes_are_drawn_evenly() -> None:
    # One pixel of class 2 among thousands of background, and one image with background only.
    paint = np.ones((60, 60), np.int32)
    paint[30, 30] = 2
    image = np.random.default_rng(0).random((60, 60))
    dataset = build_dataset([image, image], [paint, np.ones_like(paint)], held_out=0)
    rng = np.random.default_rng(0)
    hits = sum(draw_patch(dataset, (1, 1), rng).target.any() for _ in range(1000))
    assert 190 < hits < 310  # 1/2 the image, 1/2 the class


def test_the_chosen_pixel_is_rarely_in_the_middle_and_never_far_from_it() -> None:
    paint = np.zeros((200, 200), np.int32)
    paint[100, 100] = 2
    paint[0, 0] = 1
    dataset = _dataset((200, 200), paint)
    rng = np.random.default_rng(0)
    seen = []
    while len(seen) < 200:
        found = np.argwhere(draw_patch(dataset, (40, 40), rng).target)
        seen.extend(tuple(position) for position in found)
    offsets = np.array(seen) - 20
    assert np.abs(offsets).max() <= 10
    assert len({tuple(offset) for offset in offsets.tolist()}) > 100


def test_held_out_paint_has_no_weight_in_training() -> None:
    paint = np.zeros((80, 80), np.int32)
    for number in range(8):
        paint[10 * number : 10 * number + 4, 5:20] = 1
        paint[10 * number : 10 * number + 4, 40:60] = 2 + number
    dataset = build_dataset([np.random.default_rng(0).random((80, 80))], [paint], held_out=0.25)
    (sample,) = dataset.samples
    assert sample.held_out.any()
    patch = draw_patch(dataset, (80, 80), np.random.default_rng(0))
    np.testing.assert_array_equal(patch.weight, sample.weight)
    assert not patch.weight[sample.held_out > 0].any()


def test_volumes_and_repeatability() -> None:
    dataset = _dataset((5, 20, 30), ndim=3)
    first, second = (
        draw_patch(dataset, (8, 16, 16), np.random.default_rng(7), margin=(1, 2, 3)) for _ in range(2)
    )
    assert first.image.shape == (1, 10, 20, 22)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.weight, second.weight)

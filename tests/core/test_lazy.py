"""Views of arrays that are not in memory: numpy is the oracle, and a counting array sees what is read."""

import tracemalloc
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from taught import build_dataset

from napari_unet.core.arrays.axes import channels_first
from napari_unet.core.arrays.lazy import LazyPixels, as_pixels
from napari_unet.core.arrays.normalisation import Normalisation, apply_limits
from napari_unet.core.errors import InputError
from napari_unet.core.tiling import read_mirrored


class Counting:
    """An array that notes what is read of it."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels, self.shape, self.dtype = pixels, pixels.shape, pixels.dtype
        self.read: list[Any] = []

    def __getitem__(self, key: Any) -> np.ndarray:
        self.read.append(key)
        return self.pixels[key]

    def planes(self) -> set[int]:
        """The indices along the first axis that were read."""
        every = np.arange(self.shape[0])
        return {int(n) for key in self.read for n in np.atleast_1d(every[key[0]])}


@st.composite
def keys(draw: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Whole numbers and slices for the first axes, perhaps an ellipsis."""
    key: list[Any] = []
    for length in shape[: draw(st.integers(0, len(shape)))]:
        number = st.integers(-length, length - 1)
        part = st.builds(
            slice, st.none() | st.integers(0, 9), st.none() | st.integers(0, 9), st.none() | st.integers(1, 3)
        )
        key.append(draw(number | part) if length else draw(part))
    if draw(st.booleans()):
        key.append(Ellipsis)
    return tuple(key)


@settings(deadline=None)
@given(st.data())
def test_views_of_views_are_those_of_numpy(data: Any) -> None:
    array = np.arange(2 * 5 * 6 * 7, dtype=">u2").reshape(2, 5, 6, 7)
    view, expected = LazyPixels(array), array
    order = data.draw(st.permutations(range(4)))
    view, expected = view.transpose(order), expected.transpose(order)
    for _ in range(data.draw(st.integers(0, 3))):
        key = data.draw(keys(expected.shape))
        view, expected = view[key], expected[key]
    if data.draw(st.booleans()):
        view, expected = view.with_channel_axis(), expected[np.newaxis]
        key = (slice(None), *data.draw(keys(expected.shape[1:])))
        view, expected = view[key], expected[key]
    assert (view.shape, view.ndim, view.size) == (expected.shape, expected.ndim, expected.size)
    np.testing.assert_array_equal(np.asarray(view), expected)
    assert np.asarray(view).dtype == view.dtype == np.uint16
    assert np.asarray(view, dtype=np.float64).dtype == np.float64


@pytest.mark.parametrize("key", [(0, 0, 0), (5,), (slice(None, None, -1),)])
def test_what_cannot_be_read_is_refused(key: Any) -> None:
    with pytest.raises((IndexError, ValueError)):
        LazyPixels(np.zeros((4, 5)))[key]


def test_a_view_can_be_written_to_without_harm() -> None:
    array = np.zeros((4, 5), np.int32)
    np.array(LazyPixels(array))[:] = 1
    assert not array.any()


@pytest.mark.parametrize("kind", ["dask", "zarr", "memmap", "counting"])
def test_what_is_lazy(kind: str, tmp_path: Any) -> None:
    pixels = np.arange(4 * 30 * 20, dtype=">u2").reshape(4, 30, 20)
    if kind == "dask":
        image: Any = da.from_array(pixels, chunks=(1, 30, 20))
    elif kind == "zarr":
        zarr = pytest.importorskip("zarr")
        image = zarr.create_array(
            str(tmp_path / "a.zarr"), shape=pixels.shape, chunks=(1, 16, 16), dtype="u2"
        )
        image[:] = pixels
    elif kind == "memmap":
        tifffile.imwrite(tmp_path / "a.tif", pixels, byteorder=">", photometric="minisblack")
        image = tifffile.memmap(tmp_path / "a.tif", mode="r")
    else:
        image = Counting(pixels)
    view = channels_first(image, ndim=2, paint_shape=(4, 30, 20))
    assert isinstance(view, LazyPixels)
    assert view.shape == (1, 4, 30, 20)
    plain = channels_first(pixels, ndim=2)
    assert isinstance(plain, np.ndarray)
    where = [slice(-3, 40), slice(5, 9)]
    np.testing.assert_array_equal(read_mirrored(view[:, 2], where), read_mirrored(plain[:, 2], where))
    limits = Normalisation().limits(view)
    np.testing.assert_array_equal(limits, Normalisation().limits(plain))
    np.testing.assert_array_equal(apply_limits(view[:, 1], limits), apply_limits(plain[:, 1], limits))
    if kind == "memmap":
        image._mmap.close()  # Windows cannot delete an open file


class OnGpu:
    """An array as CuPy has them."""

    shape, dtype, __cuda_array_interface__ = (4, 4), np.dtype(np.uint8), {"version": 3}


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (OnGpu(), r"in the memory of a GPU; give a numpy copy of it, as \.get\(\)"),
        (
            da.from_array(np.arange(4))[da.from_array(np.arange(4)) > 2],
            r"\(nan,\), .* compute_chunk_sizes\(\)",
        ),
    ],
    ids=["on a GPU", "of unknown shape"],
)
def test_what_cannot_be_read_is_told(array: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        as_pixels(array)


def test_lists_are_read_at_once() -> None:
    assert isinstance(as_pixels([[1, 2], [3, 4]]), np.ndarray)


@pytest.mark.parametrize(
    "shape",
    [(7, 9), (1000, 1000), (1500, 1700), (40, 200, 300), (5, 20, 100, 100), (3000, 20, 20), (2, 40, 9000)],
)
def test_limits_are_the_same_whatever_holds_the_image(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).gamma(2.0, 500.0, (1, *shape)).astype(np.uint16)
    lazy = Counting(pixels)
    limits = Normalisation().limits(LazyPixels(lazy))
    np.testing.assert_array_equal(limits, Normalisation().limits(pixels))
    exact = np.percentile(pixels, (1, 99.8))
    if pixels.size <= 1_000_000:
        np.testing.assert_array_equal(limits[0], exact)
    np.testing.assert_allclose(limits[0], exact, rtol=0.05)
    read = sum(pixels[key].size for key in lazy.read)
    assert read <= 1_100_000


class Slide:
    """A plane of 65536 x 20480 pixels of noise that grows brighter downwards; it notes the chunks read."""

    shape, dtype, chunk = (65536, 20480), np.dtype(np.float32), 512

    def __init__(self) -> None:
        self.chunks: set[tuple[int, int]] = set()

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        rows, columns = (np.arange(length)[part] for length, part in zip(self.shape, key, strict=True))
        self.chunks |= {
            (y, x) for y in set(rows // self.chunk) for x in set((columns // self.chunk).tolist())
        }
        noise = np.random.default_rng(len(self.chunks)).normal(0, 10, (rows.size, columns.size))
        return noise + rows[:, np.newaxis] / 65535 * 1000


def test_of_a_very_large_plane_few_chunks_are_read() -> None:
    slide = Slide()
    limits = Normalisation().limits(channels_first(slide, ndim=2))
    assert len(slide.chunks) <= 4 * 16 * 16 < 128 * 40
    assert {0, 127} <= {row for row, _ in slide.chunks}
    np.testing.assert_allclose(limits, [[10, 998]], atol=20)


def _paint(shape: tuple[int, int], value: int = 2) -> np.ndarray:
    paint = np.zeros(shape, np.int32)
    paint[2:6, 5:30], paint[10:16, 5:12], paint[10:16, 20:27] = 1, value, value + 1
    return paint


def test_only_annotated_planes_are_read_beyond_the_sample() -> None:
    pixels = np.random.default_rng(0).integers(0, 4000, (200, 256, 256)).astype(np.uint16)
    image, paint = Counting(pixels), Counting(np.zeros(pixels.shape, np.int32))
    painted = [43, 163]
    for plane in painted:
        paint.pixels[plane] = _paint((256, 256))
    dataset = build_dataset([image], [paint], held_out=0)
    sample = {round(n * 199 / 31) for n in range(32)}
    assert not sample & set(painted)
    assert image.planes() == sample | set(painted)
    # ... of the sample, a sparse grid; the paint plane by plane, each once.
    whole = [key for key in image.read if pixels[key].size == 256 * 256]
    assert [key[0] for key in whole] == painted
    assert [key[0] for key in paint.read] == list(range(200))
    plain = build_dataset([pixels], [paint.pixels], held_out=0)
    for lazy, other in zip(dataset.samples, plain.samples, strict=True):
        np.testing.assert_array_equal(lazy.image, other.image)
        np.testing.assert_array_equal(lazy.weight, other.weight)


def test_of_a_dask_stack_only_those_planes_are_computed() -> None:
    computed: list[int] = []

    def plane(block_info: Any = None) -> np.ndarray:
        computed.append(block_info[None]["chunk-location"][0])
        return np.random.default_rng(computed[-1]).integers(0, 255, (1, 96, 96)).astype(np.uint8)

    chunks = ((1,) * 200, (96,), (96,))
    stack = da.map_blocks(plane, chunks=chunks, dtype=np.uint8, meta=np.zeros((0, 0, 0), np.uint8))
    paint = np.zeros(stack.shape, np.uint8)
    paint[40] = paint[118] = _paint((96, 96))
    with dask.config.set(scheduler="synchronous"):
        dataset = build_dataset([stack], [paint], held_out=0)
    assert len(dataset.samples) == 2
    # 108 planes have a million pixels.
    sample = {round(n * 199 / 107) for n in range(108)}
    assert not sample & {40, 118}
    assert set(computed) == sample | {40, 118}


class Stack:
    """200 planes of 1024 x 1024 pixels that are made when they are read."""

    shape = (200, 1024, 1024)

    def __init__(self, dtype: Any, painted: Any = ()) -> None:
        self.dtype, self.painted = np.dtype(dtype), painted

    def __getitem__(self, key: tuple[Any, ...]) -> np.ndarray:
        plane = np.arange(1024 * 1024).reshape(1024, 1024).astype(self.dtype)
        if self.dtype.kind == "i":
            plane = _paint((1024, 1024)) * (key[0] in self.painted)
        return plane[key[1:]]


def test_no_more_than_a_few_planes_are_in_memory() -> None:
    tracemalloc.start()
    try:
        dataset = build_dataset([Stack(np.uint8)], [Stack(np.int32, (50, 120))], held_out=0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(dataset.samples) == 2
    # The stack has 200 MiB and its paint 800. A sample takes 13, a plane while it is prepared about as much
    # again for each of the few arrays that it is computed with.
    assert peak < 90 * 2**20


def test_a_lazy_mask_is_refused_as_one_in_memory_is() -> None:
    from napari_unet.core.errors import InputError

    mask = np.zeros((40, 50), bool)
    mask[3:9] = True
    for paint in (mask, da.from_array(mask)):
        with pytest.raises(InputError, match="yes/no mask"):
            build_dataset([np.zeros((40, 50))], [paint])


def test_images_of_all_kinds_in_one_training() -> None:
    rng = np.random.default_rng(0)
    images: list[Any] = [
        rng.integers(0, 255, (60, 80)).astype(np.uint8),
        da.from_array(rng.normal(1e6, 1e4, (3, 40, 50))),
        Counting(rng.integers(0, 65535, (2, 4, 64, 48)).astype(">u2")),
        rng.random((33, 47)) > 0.5,
    ]
    paints = [np.zeros(image.shape, np.int32) for image in images]
    paints[0][:] = _paint((60, 80))
    paints[1][1] = _paint((40, 50))
    paints[2][1, 3] = _paint((64, 48))
    paints[3][:] = _paint((33, 47))
    samples = build_dataset(images, paints, held_out=0).samples
    assert [sample.image.shape for sample in samples] == [(1, 60, 80), (1, 40, 50), (1, 64, 48), (1, 33, 47)]
    for sample in samples:  # however different the contrast was
        assert -1 <= sample.image.min() < 0.1
        assert 0.9 < sample.image.max() < 1.5


def test_rgb_of_different_layouts() -> None:
    rng = np.random.default_rng(0)
    last = rng.integers(0, 255, (40, 50, 3)).astype(np.uint8)
    stack = da.from_array(rng.integers(0, 255, (5, 40, 50, 3)).astype(np.uint8))
    paint = np.zeros((5, 40, 50), np.int32)
    paint[3] = _paint((40, 50))
    dataset = build_dataset([last, stack], [_paint((40, 50)), paint], held_out=0)
    assert dataset.in_channels == 3
    lazy, plain = dataset.samples[1].image, stack.compute()
    limits = Normalisation().limits(np.moveaxis(plain, -1, 0))
    np.testing.assert_array_equal(lazy, apply_limits(np.moveaxis(plain[3], -1, 0), limits))

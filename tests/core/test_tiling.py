"""Every pixel is written once, and every tile sees what it must."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_unet.core.tiling import WHOLE, Geometry, Tile, plan_tiles, read_mirrored

SIZES = st.integers(1, 70)
SHAPES = st.one_of(st.tuples(SIZES, SIZES), st.tuples(st.integers(1, 30), SIZES, SIZES))
GEOMETRIES = st.one_of(
    st.builds(
        lambda level, halo: Geometry(2**level, halo * 2**level, "same"), st.integers(1, 5), st.integers(0, 7)
    ),
    st.builds(
        lambda level, halo, left: Geometry(2**level, halo, "valid", left % 2**level),
        st.integers(1, 5),
        st.integers(0, 100),
        st.integers(0, 31),
    ),
)


@settings(deadline=None)
@given(shape=SHAPES, tile_size=st.integers(1, 90), geometry=GEOMETRIES)
def test_tiles_fit_together(shape: tuple[int, ...], tile_size: int, geometry: Geometry):
    tiles = plan_tiles(shape, tile_size, geometry)
    written = np.zeros(shape, np.int64)
    for tile in tiles:
        written[tile.write] += 1
        for size, *parts in zip(shape, tile.read, tile.write, tile.crop, strict=True):
            check_axis(size, tile_size, geometry, tuple(parts))
    assert (written == 1).all()


def check_axis(size: int, tile_size: int, geometry: Geometry, parts: tuple[slice, ...]) -> None:
    read, write, crop = parts
    step, halo = geometry.alignment, geometry.halo
    edge = -(-tile_size // step) * step
    assert write.start % step == 0
    assert 0 <= write.start < write.stop <= size
    assert write.stop - write.start <= edge
    assert crop.stop - crop.start == write.stop - write.start
    if geometry.padding == "same":
        far_end = -(-size // step) * step
        assert (read.start % step, read.stop % step) == (0, 0)
        assert read.start == max(0, write.start - halo)  # context, or the border of the extended image
        assert read.stop >= min(write.stop + halo, far_end)
        assert read.stop <= far_end
        assert read.start + crop.start == write.start
    else:
        output = read.stop - read.start - 2 * halo
        assert output % step == geometry.remainder
        assert read.start + halo + crop.start == write.start
        assert 0 <= crop.start < crop.stop <= output < crop.stop + step


def test_a_plan_in_figures():
    same = Geometry(16, 32, "same")
    assert plan_tiles((100,), 64, same) == (
        Tile((slice(0, 96),), (slice(0, 64),), (slice(0, 64),)),
        Tile((slice(32, 112),), (slice(64, 100),), (slice(32, 68),)),
    )
    # The network of the paper: 572 in, 388 out, and a grid of 16.
    paper = Geometry(16, 92, "valid", 4)
    assert plan_tiles((388,), 400, paper) == (Tile((slice(-92, 480),), (slice(0, 388),), (slice(0, 388),)),)


def test_blocks_are_equal_rather_than_one_large_and_one_small():
    writes = [tile.write[0] for tile in plan_tiles((528,), 512, Geometry(16, 32, "same"))]
    assert writes == [slice(0, 272), slice(272, 528)]
    part = (slice(512, 1040),)
    writes = [tile.write[0] for tile in plan_tiles((2000,), 512, Geometry(16, 32, "same"), part)]
    assert writes == [slice(512, 784), slice(784, 1040)]


@settings(deadline=None)
@given(data=st.data(), shape=st.lists(st.integers(1, 7), min_size=1, max_size=3), channels=st.integers(0, 2))
def test_reading_mirrors_as_numpy_pads(data: st.DataObject, shape: list[int], channels: int):
    image = np.arange(int(np.prod(shape)) * 3**channels).reshape(*(3,) * channels, *shape)
    slices = []
    for _ in shape:
        start = data.draw(st.integers(-40, 40))
        slices.append(slice(start, start + data.draw(st.integers(1, 40))))
    where = [
        np.pad(np.arange(size), 100, mode="reflect")[part.start + 100 : part.stop + 100]
        for size, part in zip(shape, slices, strict=True)
    ]
    expected = image[(..., *np.ix_(*where))]
    np.testing.assert_array_equal(read_mirrored(image, slices), expected)


def test_reading_inside_copies_nothing():
    image = np.zeros((2, 20, 30))
    block = read_mirrored(image, (slice(3, 9), slice(0, 30)))
    assert block.shape == (2, 6, 30)
    assert np.shares_memory(block, image)


def test_the_edge_pixel_is_not_repeated():
    row = np.array([0, 1, 2, 3])
    assert read_mirrored(row, (slice(-3, 7),)).tolist() == [3, 2, 1, 0, 1, 2, 3, 2, 1, 0]
    assert read_mirrored(row, (slice(-1, 1),)).tolist() == [1, 0]
    assert read_mirrored(np.array([5]), (slice(-2, 2),)).tolist() == [5, 5, 5, 5]


class LazyArray:
    """Remembers which box was read, as a file on a slow disk would."""

    def __init__(self, pixels: NDArray[np.int64]) -> None:
        self.pixels, self.shape, self.ndim = pixels, pixels.shape, pixels.ndim
        self.loaded: list[tuple[int, ...]] = []

    def __getitem__(self, key: tuple[slice, ...]) -> NDArray[np.int64]:
        block = self.pixels[key]
        self.loaded.append(block.shape)
        return block


@pytest.mark.parametrize(
    ("slices", "loaded"),
    [
        ((slice(40, 50), slice(10, 20)), (10, 10)),
        ((slice(-8, 16), slice(95, 120)), (16, 21)),  # the last column read, 119, is the mirrored 79
    ],
)
def test_only_what_is_needed_is_loaded(slices: tuple[slice, slice], loaded: tuple[int, int]):
    image = LazyArray(np.arange(100 * 100).reshape(100, 100))
    block = read_mirrored(image, slices)
    assert image.loaded == [loaded]
    assert block.shape == tuple(part.stop - part.start for part in slices)


def test_all_axes_are_planned_alike():
    geometry = Geometry(4, 8, "same")
    tiles = plan_tiles((9, 17, 5), 8, geometry)
    axes = [[tile.write[0] for tile in plan_tiles((size,), 8, geometry)] for size in (9, 17, 5)]
    assert [tile.write for tile in tiles] == list(itertools.product(*axes))


@settings(deadline=None)
@given(shape=SHAPES, tile_size=st.integers(1, 40), geometry=GEOMETRIES, data=st.data())
def test_a_region_is_covered_and_seen_as_in_the_whole(
    shape: tuple[int, ...], tile_size: int, geometry: Geometry, data: st.DataObject
):
    region = data.draw(st.sampled_from(plan_tiles(shape, 2 * tile_size, geometry))).write
    written = np.zeros(shape, np.int64)
    for tile in plan_tiles(shape, tile_size, geometry, region):
        written[tile.write] += 1
        for size, *parts in zip(shape, tile.read, tile.write, tile.crop, strict=True):
            check_axis(size, tile_size, geometry, tuple(parts))
    expected = np.zeros(shape, np.int64)
    expected[region] = 1
    np.testing.assert_array_equal(written, expected)


def test_a_halo_of_everything_reads_all_of_any_image_on_any_grid():
    tiles = plan_tiles((5000,), 64, Geometry(16, WHOLE, "same"))
    assert all(tile.read == (slice(0, 5008),) for tile in tiles)
    assert WHOLE % 2**16 == 0


def test_output_sizes_of_a_valid_network_are_multiples_of_its_grid_unless_it_says_otherwise():
    (tile,) = plan_tiles((30,), 32, Geometry(16, 20, "valid"))
    assert tile.read == (slice(-20, 52),)

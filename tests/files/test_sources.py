"""Images of every kind, opened without being read."""

import gc
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_unet.core.arrays.lazy import LazyPixels
from napari_unet.core.errors import InputError
from napari_unet.files.pixels import sources
from napari_unet.files.pixels.images import read_image, write_image
from napari_unet.files.pixels.pixel_size import PixelSize
from napari_unet.files.pixels.sources import load_labels, open_image

STACK = np.random.default_rng(0).integers(0, 60000, (3, 45, 70)).astype(np.uint16)


def write_ome(path: Path, version: str, pixels: np.ndarray, axes: str, scale: list[float]) -> None:
    """Write an OME-Zarr image with two resolutions."""
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    kinds = {"t": "time", "c": "channel"}
    multiscale = {
        "axes": [
            {"name": name, "type": kinds.get(name, "space")}
            | ({} if name in kinds else {"unit": "nanometer"})
            for name in axes
        ],
        "datasets": [
            {"path": path, "coordinateTransformations": [{"type": "scale", "scale": [n * s for s in scale]}]}
            for path, n in (("full", 1), ("half", 2))
        ],
    }
    attributes = {"multiscales": [multiscale]}
    group.attrs.update(attributes if version == "0.4" else {"ome": {"version": version, **attributes}})
    group.create_array("full", data=pixels, chunks=(1,) * (pixels.ndim - 2) + (20, 30))
    group.create_array("half", data=pixels[..., ::2, ::2], chunks=(1,) * (pixels.ndim - 2) + (20, 30))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_is_read_at_full_resolution_with_its_channels_first(tmp_path: Path, version: str):
    pixels = np.stack([STACK, STACK // 2])[np.newaxis].swapaxes(1, 2)  # (1, Z, C, Y, X): T, Z, C ...
    pixels = pixels.swapaxes(1, 2)  # ... as T, C, Z
    write_ome(tmp_path / "a.zarr", version, pixels, "tczyx", [1, 1, 2000, 250, 500])
    image = open_image(tmp_path / "a.zarr")
    assert isinstance(image.pixels, LazyPixels)
    assert (image.axes, image.channels) == ("CTZYX", "first")
    assert image.pixel_size == PixelSize(z=2.0, y=0.25, x=0.5)
    np.testing.assert_array_equal(np.asarray(image.pixels), pixels.swapaxes(0, 1))


@pytest.mark.parametrize(
    ("units", "scale", "expected"),
    [
        (["", "", ""], [2, 0.5, 0.5], (4, 1, 1)),  # in one unit, whichever that is
        (["parsec", "parsec", "parsec"], [2, 0.5, 0.5], (4, 1, 1)),
        (["micrometer", "nanometer", "nanometer"], [2, 500, 250], (8, 2, 1)),
        (["", "micrometer", "micrometer"], [2, 0.5, 0.5], None),
        (["micrometer"] * 3, [0.5, 0.5, 0.5], None),
    ],
)
def test_the_shape_of_voxels_is_known_without_their_size(
    tmp_path: Path, units: list[str], scale: list[float], expected: tuple[float, ...] | None
):
    write_ome(tmp_path / "a.zarr", "0.4", STACK, "zyx", scale)
    group = zarr.open_group(tmp_path / "a.zarr")
    multiscale = group.attrs["multiscales"][0]
    for axis, unit in zip(multiscale["axes"], units, strict=True):
        axis["unit"] = unit
    group.attrs["multiscales"] = [multiscale]
    image = open_image(tmp_path / "a.zarr")
    assert image.spacing(3) == expected
    assert image.spacing(4) is None
    multiscale["axes"][0] = {"name": "t", "type": "time"}
    group.attrs["multiscales"] = [multiscale]
    assert open_image(tmp_path / "a.zarr").spacing(3) is None
    write_image(tmp_path / "a.tif", STACK, pixel_size=PixelSize(2.0, 1.0))
    assert read_image(tmp_path / "a.tif").spacing(2) == (2, 1)
    assert read_image(tmp_path / "a.tif").spacing(3) is None


def test_plain_zarr_arrays_and_groups_of_one(tmp_path: Path):
    zarr.create_array(tmp_path / "array.zarr", data=STACK)
    zarr.open_group(tmp_path / "group.zarr").create_array("only", data=STACK)
    named = zarr.create_array(
        tmp_path / "named.zarr", shape=STACK.shape, dtype="u2", dimension_names=["z", "y", "x"]
    )
    named[...] = STACK
    for name, axes in (("array", ""), ("group", ""), ("named", "ZYX")):
        image = open_image(tmp_path / f"{name}.zarr")
        assert image.axes == axes
        np.testing.assert_array_equal(np.asarray(image.pixels), STACK)


def test_the_first_image_of_a_converted_file_is_taken(tmp_path: Path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.attrs["bioformats2raw.layout"] = 3
    write_ome(tmp_path / "a.zarr" / "0", "0.4", STACK, "zyx", [1, 1, 1])
    assert open_image(tmp_path / "a.zarr").axes == "ZYX"


TIFFS: dict[str, dict[str, Any]] = {
    "plain": {},
    "deflated, one strip a page": {"compression": "zlib"},
    "deflated, narrow strips": {"compression": "zlib", "rowsperstrip": 7},
    "tiled": {"compression": "zlib", "tile": (16, 32)},
    "big-endian": {"byteorder": ">"},
    "BigTIFF": {"bigtiff": True},
    "ImageJ": {"imagej": True, "metadata": {"axes": "ZYX", "spacing": 2.0, "unit": "um"}},
    "OME": {"ome": True, "metadata": {"axes": "ZYX"}},
}


@pytest.mark.parametrize("options", TIFFS.values(), ids=TIFFS)
def test_tiff_files_of_many_pages_are_what_they_are_when_read(tmp_path: Path, options: dict[str, Any]):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, photometric="minisblack", **{"metadata": {"axes": "ZYX"}, **options})
    image, expected = open_image(path), read_image(path)
    assert isinstance(image.pixels, LazyPixels)
    assert (image.axes, image.channels, image.pixel_size) == (
        expected.axes,
        expected.channels,
        expected.pixel_size,
    )
    np.testing.assert_array_equal(np.asarray(image.pixels), STACK)
    part = np.asarray(image.pixels[1, 5:40, 11:33])
    np.testing.assert_array_equal(part, STACK[1, 5:40, 11:33])
    assert part.dtype == np.uint16  # in native byte order


def test_images_beside_the_first_are_counted(tmp_path: Path):
    with tifffile.TiffWriter(tmp_path / "sizes.tif") as file:
        file.write(STACK[0])
        file.write(STACK[0, :20])
    with tifffile.TiffWriter(tmp_path / "positions.ome.tif") as file:
        for _ in range(3):
            file.write(STACK, metadata={"axes": "ZYX"}, photometric="minisblack")
    group = zarr.open_group(tmp_path / "converted.zarr", mode="w", zarr_format=2)
    group.attrs["bioformats2raw.layout"] = 3
    for name in ("0", "1"):
        write_ome(tmp_path / "converted.zarr" / name, "0.4", STACK, "zyx", [1, 1, 1])
    group.create_group("OME")
    tifffile.imwrite(tmp_path / "stack.tif", STACK, photometric="minisblack")
    zarr.create_array(tmp_path / "one.zarr", data=STACK)
    with tifffile.TiffWriter(tmp_path / "slide.svs.tif") as file:
        slide = np.zeros((64, 64, 3), np.uint8)
        file.write(slide, tile=(32, 32), description="Aperio Image", photometric="rgb", metadata=None)
        for kind in (0, 1, 9):  # thumbnail, label and macro
            file.write(slide[:20], subfiletype=kind, photometric="rgb", metadata=None)
    with tifffile.TiffWriter(tmp_path / "reduced.tif") as file:  # as microscopes of Zeiss store it
        file.write(STACK[0], photometric="minisblack", metadata=None)
        file.write(slide[:20], subfiletype=1, photometric="rgb", metadata=None)
    several = {"sizes.tif": 2, "positions.ome.tif": 3, "converted.zarr": 2}
    with tifffile.TiffFile(tmp_path / "slide.svs.tif") as file:
        assert [series.name for series in file.series] == ["Baseline", "Thumbnail", "Label", "Macro"]
    for path in tmp_path.iterdir():
        told = (
            f"{path} holds {several.get(path.name)} images, and the first is used; save the others as files."
        )
        expected = told if path.name in several else ""
        assert open_image(path).left_out == expected
        if path.is_file():
            assert read_image(path).left_out == expected


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 32)}], ids=str)
@pytest.mark.parametrize("ome", [True, False])
def test_of_a_pyramid_the_full_resolution_is_taken(tmp_path: Path, options: dict[str, Any], ome: bool):
    with tifffile.TiffWriter(tmp_path / "a.tif", ome=ome) as file:
        file.write(STACK, subifds=2, photometric="minisblack", **options)
        for step in (2, 4):
            file.write(STACK[:, ::step, ::step], subfiletype=1, photometric="minisblack", **options)
    image = open_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(np.asarray(image.pixels), STACK)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").pixels, STACK)


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_any_part_of_a_file(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    compression = data.draw(st.sampled_from(["none", "zlib"]))
    path = tmp_path_factory.getbasetemp() / f"{compression}.tif"
    if not path.exists():
        tile = (16, 32) if compression == "zlib" else None
        tifffile.imwrite(path, STACK, photometric="minisblack", compression=compression, tile=tile)
    key = []
    for size in STACK.shape:
        start = data.draw(st.integers(0, size - 1))
        stop = data.draw(st.integers(start, size))
        step = data.draw(st.integers(1, 20))
        key.append(start if data.draw(st.booleans()) else slice(start, stop, step))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "_SPAN", data.draw(st.sampled_from([1, 30, 300, 10_000, 2**18])))
        pixels = open_image(path).pixels
    np.testing.assert_array_equal(np.asarray(pixels[tuple(key)]), STACK[tuple(key)])


def test_strips_are_decoded_once_for_a_row_of_blocks_and_then_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tifffile.imwrite(tmp_path / "a.tif", STACK[0], compression="zlib", rowsperstrip=5)
    pixels = sources._TiffPixels(tmp_path / "a.tif")
    decoded = []
    array = pixels._array

    class Counting:
        def __getitem__(self, key: Any) -> Any:
            decoded.append(key)
            return array[key]

    pixels._array = Counting()
    for _ in range(2):
        for x in range(0, 70, 10):
            np.testing.assert_array_equal(pixels[slice(0, 10), slice(x, x + 10)], STACK[0, :10, x : x + 10])
    assert len(decoded) == 2
    monkeypatch.setattr(sources, "_CACHE", 2 * 70 * 5)  # bytes: less than two strips of 16 bits
    pixels[slice(0, 45), slice(0, 1)]
    assert len(pixels._cache) == 1


@pytest.mark.parametrize("compression", ["none", "zlib"])
def test_a_file_is_closed_when_nobody_reads_it_any_more(tmp_path: Path, compression: str):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, photometric="minisblack", compression=compression)

    def is_open() -> bool:
        return any(Path(file.path) == path for file in psutil.Process().open_files())

    view = open_image(path).pixels[1:]
    assert is_open()
    del view
    gc.collect()
    assert not is_open()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.mkdir(), "a folder without an image"),
        (lambda path: None, "There is no image file"),
        (lambda path: path.write_bytes(b"\x89PNG"), "neither zarr nor TIFF"),
        (lambda path: path.write_bytes(b"II*\0" + b"\xff" * 40), "could not be read"),
        (lambda path: zarr.open_group(path, mode="w"), "a zarr group with nothing in it"),
        (lambda path: (path.mkdir(), (path / ".zarray").write_text("{")), "could not be read"),
    ],
)
def test_what_cannot_be_opened_is_a_sentence(tmp_path: Path, make: Any, words: str):
    make(tmp_path / "a")
    with pytest.raises(InputError, match=words):
        open_image(tmp_path / "a")


def test_planes_in_files_that_are_gone_are_told(tmp_path: Path):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, STACK, photometric="minisblack", metadata={"axes": "ZYX"})
    whole = '<TiffData IFD="0" PlaneCount="3"/>'
    parts = "".join(
        f'<TiffData FirstZ="{number}" IFD="0"><UUID FileName="{name}">urn:uuid:{number}</UUID></TiffData>'
        for number, name in enumerate(("a.ome.tif", "gone.ome.tif", "lost.ome.tif"))
    )
    described = tifffile.tiffcomment(path)
    assert whole in described
    tifffile.tiffcomment(path, described.replace(whole, parts).encode())
    for reads in (read_image, open_image):
        image = reads(path)
        assert image.left_out.startswith(f"{path} lacks 2 of its 3 planes, which are read as 0; if")
        assert image.pixels.shape == STACK.shape


def write_positions(folder: Path, planes: int, **options: Any) -> list[Path]:
    """Write three OME-TIFF files each of which describes all: three positions, or planes of one stack."""
    paths = [folder / f"position{number}.ome.tif" for number in range(3)]
    data = [
        f'<TiffData FirstZ="{number * (planes > 1)}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{path.name}">urn:uuid:{number}</UUID></TiffData>'
        for number, path in enumerate(paths)
    ]
    rows, columns = STACK.shape[1:]
    images = "".join(
        f'<Image ID="Image:{number}" Name="{number}"><Pixels DimensionOrder="XYZCT" Type="uint16" '
        f'SizeX="{columns}" SizeY="{rows}" SizeZ="{planes}" SizeC="1" SizeT="1" '
        f'PhysicalSizeX="{number + 2}" PhysicalSizeY="{number + 2}">{found}</Pixels></Image>'
        for number, found in enumerate(data if planes == 1 else ["".join(data)])
    )
    for number, path in enumerate(paths):
        described = (
            f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:{number}">{images}</OME>'
        )
        tifffile.imwrite(path, STACK[number], description=described, metadata=None, **options)
    return paths


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}], ids=str)
def test_of_the_files_of_several_positions_each_is_its_own(tmp_path: Path, options: dict[str, Any]):
    paths = write_positions(tmp_path, planes=1, **options)
    for gone in (False, True):
        if gone:
            paths[0].unlink()
        for number, path in list(enumerate(paths))[gone:]:
            for reads in (read_image, open_image):
                image = reads(path)
                np.testing.assert_array_equal(np.asarray(image.pixels), STACK[number])
                assert image.pixel_size == PixelSize(number + 2, number + 2)
                assert image.left_out == ""


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}], ids=str)
def test_a_stack_in_several_files_is_read_from_all_and_told(tmp_path: Path, options: dict[str, Any]):
    for path in write_positions(tmp_path, planes=3, **options):
        for reads in (read_image, open_image):
            image = reads(path)
            np.testing.assert_array_equal(np.asarray(image.pixels), STACK)
            assert image.left_out.startswith(f"{path} is one of several files of an image")


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (32, 32)}], ids=str)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("is_opaque", [True, False])
def test_alpha_is_left_out_in_pieces_as_it_is_of_the_whole(
    tmp_path: Path, options: dict[str, Any], dtype: Any, is_opaque: bool
):
    colour = np.random.default_rng(0).integers(0, 200, (600, 30, 4)).astype(dtype)
    colour[..., 3] = np.iinfo(dtype).max
    colour[-1, -1, 3] -= not is_opaque
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, colour, photometric="rgb", extrasamples=["unassalpha"], **options)
    image, expected = open_image(path), read_image(path)
    assert image.axes == expected.axes == "CYX"
    assert expected.pixels.shape == (3 if is_opaque else 4, 600, 30)
    np.testing.assert_array_equal(np.asarray(image.pixels), expected.pixels)


def test_labels_are_no_pictures_in_colour(tmp_path: Path):
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    grey = np.stack([labels] * 3, axis=-1)
    colour = grey + (grey > 10) * np.arange(3, dtype=np.uint8)
    Image.fromarray(colour).save(tmp_path / "colour.png")
    tifffile.imwrite(tmp_path / "colour.tif", colour, photometric="rgb")
    for name in ("colour.png", "colour.tif"):
        with pytest.raises(
            InputError, match=rf"{name} has several numbers for each pixel.*save it as labels"
        ):
            load_labels(tmp_path / name)
    Image.fromarray(labels).save(tmp_path / "grey.jpg")
    tifffile.imwrite(tmp_path / "jpeg.tif", labels, compression="jpeg")
    for name in ("grey.jpg", "jpeg.tif"):
        with pytest.raises(InputError, match=rf"{name} is compressed as a JPEG, which changes the numbers"):
            load_labels(tmp_path / name)
    Image.fromarray(labels).save(tmp_path / "grey.png")
    Image.fromarray(grey).save(tmp_path / "equal.png")
    tifffile.imwrite(tmp_path / "equal.tif", grey, photometric="rgb")
    for name in ("equal.png", "equal.tif"):
        found = load_labels(tmp_path / name)
        assert found.axes == "YX"
        np.testing.assert_array_equal(found.pixels, labels)
    # Paint of several channels is paint of planes.
    tifffile.imwrite(tmp_path / "planes.tif", np.stack([labels] * 3), imagej=True, metadata={"axes": "CYX"})
    assert load_labels(tmp_path / "grey.png").pixels.shape == (3, 4)
    assert load_labels(tmp_path / "planes.tif").pixels.shape == (3, 3, 4)

"""What TIFF files of other programs say about their axes."""

import numpy as np
import pytest
import tifffile

from napari_unet.files.pixels.images import write_image
from napari_unet.files.pixels.pixel_size import PixelSize
from napari_unet.files.pixels.tiff_axes import TiffAxes, read_tiff_axes

OME = {
    "PhysicalSizeX": 0.25,
    "PhysicalSizeY": 0.5,
    "PhysicalSizeZ": 2000,
    "PhysicalSizeZUnit": "nm",
    "TimeIncrement": 0.5,
    "TimeIncrementUnit": "min",
}
IMAGEJ = {"unit": "um", "spacing": 2.0, "finterval": 30.0}
RESOLUTION = (4, 2)  # pixels for each unit along x and y
SIZE = PixelSize(y=0.5, x=0.25, z=2, t=30)
SHAPE = (3, 4, 2, 8, 10)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("imagej", {"imagej": True, "resolution": RESOLUTION, "metadata": {"axes": "TZCYX", **IMAGEJ}}),
        ("ome", {"ome": True, "metadata": {"axes": "TZCYX", **OME}}),
    ],
)
def test_all_axes_and_steps(tmp_path, kind, options):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros(SHAPE, np.uint8), **options)
    assert read_tiff_axes(tmp_path / "a.tif") == TiffAxes("TZCYX", SHAPE, SIZE)


def test_channels_may_be_first_or_taken_apart():
    axes = TiffAxes("TZCYX", SHAPE, SIZE)
    assert axes.in_shape(SHAPE) == axes
    assert axes.in_shape((2, 3, 4, 8, 10)) == TiffAxes("CTZYX", (2, 3, 4, 8, 10), SIZE)
    assert axes.in_shape((3, 4, 8, 10)) == TiffAxes("TZYX", (3, 4, 8, 10), SIZE)
    assert axes.in_shape((3, 2, 4, 8, 10)) is None
    assert axes.in_shape((8, 10)) is None
    movie = TiffAxes("TYX", (3, 8, 10), None)
    assert movie.in_shape((3, 8, 10)) == movie
    assert movie.in_shape((10, 3, 8)) is None


@pytest.mark.parametrize(
    ("options", "size"),
    [
        # How large a picture is to be printed says nothing about what is on it.
        ({"resolution": (72, 72), "resolutionunit": "INCH"}, None),
        ({"resolution": (72, 72), "resolutionunit": "INCH", "metadata": None}, None),
        ({"resolution": (28, 28), "resolutionunit": "CENTIMETER", "metadata": None}, None),
        ({"imagej": True, "resolution": (72, 72), "metadata": {"unit": "inch"}}, None),
        ({"imagej": True, "resolution": RESOLUTION, "metadata": {"unit": "um"}}, PixelSize(0.5, 0.25)),
        ({"imagej": True, "resolution": RESOLUTION}, None),
    ],
)
def test_the_size_of_a_print_is_not_that_of_pixels(tmp_path, options, size):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 10), np.uint8), photometric="minisblack", **options)
    found = read_tiff_axes(tmp_path / "a.tif")
    assert (found.letters, found.pixel_size) == ("YX", size)


def test_of_our_own_files(tmp_path):
    write_image(tmp_path / "a.tif", np.zeros((3, 8, 10), np.int32), "ZYX", PixelSize(0.5, 0.25, 2))
    assert read_tiff_axes(tmp_path / "a.tif") == TiffAxes("ZYX", (3, 8, 10), PixelSize(0.5, 0.25, 2))


def test_colours_in_planes_are_not_taken_for_channels(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 8, 10), np.uint8), photometric="rgb")
    assert read_tiff_axes(tmp_path / "a.tif").letters == "QYX"
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((8, 10, 3), np.uint8), photometric="rgb")
    assert read_tiff_axes(tmp_path / "b.tif").letters == "YXC"


@pytest.mark.parametrize(("count", "letters"), [(7, "CYX"), (8, "QYX")])
def test_stacks_that_were_saved_without_their_axes_are_not_taken_for_channels(tmp_path, count, letters):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((count, 8, 10), np.uint8), imagej=True)
    assert read_tiff_axes(tmp_path / "a.tif").letters == letters
    tifffile.imwrite(tmp_path / "b.ome.tif", np.zeros((count, 8, 10), np.uint16), metadata={"axes": "CYX"})
    assert read_tiff_axes(tmp_path / "b.ome.tif").letters == "CYX"


def test_what_is_no_tiff_or_damaged_says_nothing(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 8, 10), np.uint8), imagej=True)
    whole = (tmp_path / "a.tif").read_bytes()
    for name, content in (("cut.tif", whole[:30]), ("text.tif", b"text"), ("empty.tif", b"")):
        (tmp_path / name).write_bytes(content)
        assert read_tiff_axes(tmp_path / name) is None
    assert read_tiff_axes(tmp_path / "missing.tif") is None
    assert read_tiff_axes(tmp_path) is None

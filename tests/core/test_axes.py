"""One layout for every image: channels, leading axes, spatial axes."""

from pathlib import Path

import numpy as np
import pytest

from napari_unet.core.arrays.axes import (
    channel_doubt,
    channels_first,
    check_pixels,
    narrow_doubt,
    without_equal_channels,
)
from napari_unet.core.arrays.lazy import LazyPixels
from napari_unet.core.errors import InputError


@pytest.mark.parametrize(
    ("shape", "ndim", "paint_shape", "channels", "source"),
    [
        # auto, with paint: the axis that the paint has not
        ((5, 6), 2, (5, 6), "auto", None),
        ((5, 6, 3), 2, (5, 6), "auto", -1),
        ((3, 5, 6), 2, (5, 6), "auto", 0),
        ((1, 5, 6), 2, (5, 6), "auto", 0),
        ((5, 6, 1), 2, (5, 6), "auto", -1),
        ((1, 5, 6), 2, (1, 5, 6), "auto", None),
        ((4, 5, 6), 2, (4, 5, 6), "auto", None),
        ((4, 5, 6, 3), 2, (4, 5, 6), "auto", -1),
        ((3, 4, 5, 6), 3, (4, 5, 6), "auto", 0),
        ((2, 3, 4, 5, 6), 3, (3, 4, 5, 6), "auto", 0),
        ((3, 3, 3), 3, (3, 3, 3), "auto", None),
        ((5, 5, 6), 2, (5, 6), "auto", 0),
        ((5, 6, 6), 2, (5, 6), "auto", -1),
        ((4, 3, 5, 6), 2, (4, 5, 6), "auto", 1),
        ((7, 4, 3, 5, 6), 2, (7, 4, 5, 6), "auto", 2),
        # the user says
        ((5, 5, 5), 2, (5, 5), "first", 0),
        ((5, 5, 5), 2, (5, 5), "last", -1),
        ((5, 5, 5), 2, (5, 5, 5), "none", None),
        ((5, 6, 3), 2, None, "last", -1),
        ((4, 3, 5, 6), 3, None, "middle", 1),
        ((3, 5, 6), 2, None, "middle", 0),
        ((5, 6, 3), 2, None, "first", 0),
        ((5, 6, 3), 2, None, "none", None),
    ],
)
def test_channels_are_found_from_the_paint_or_taken_as_said(shape, ndim, paint_shape, channels, source):
    image = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    found = channels_first(image, ndim=ndim, channels=channels, paint_shape=paint_shape)
    expected = image[np.newaxis] if source is None else np.moveaxis(image, source, 0)
    np.testing.assert_array_equal(found, expected)
    assert np.shares_memory(found, image)


@pytest.mark.parametrize(
    ("shape", "ndim", "in_channels", "source"),
    [
        ((5, 6), 2, 1, None),
        ((5, 6), 2, None, None),
        ((4, 5, 6), 2, 1, None),
        ((5, 6, 1), 2, 1, -1),
        ((1, 5, 6), 2, 1, None),  # a stack of one plane is as good as one channel
        ((4, 5, 6), 3, 1, None),
        ((4, 5, 6, 1), 3, 1, -1),
        ((4, 5, 1), 3, 1, None),  # every axis is spatial
        ((5, 6, 3), 2, 3, -1),
        ((3, 5, 6), 2, 3, 0),
        ((3, 5, 6, 7), 2, 3, 0),
        ((3, 3, 5, 6), 2, 3, 0),
        ((4, 3, 5, 6), 2, 3, 1),
        ((4, 3, 5, 6), 3, 3, 1),
        ((4, 5, 6, 2), 3, 2, -1),
    ],
)
def test_channels_are_found_from_the_model(shape, ndim, in_channels, source):
    image = np.arange(np.prod(shape)).reshape(shape)
    found = channels_first(image, ndim=ndim, in_channels=in_channels)
    np.testing.assert_array_equal(
        found, image[np.newaxis] if source is None else np.moveaxis(image, source, 0)
    )
    assert found.ndim >= 1 + ndim


@pytest.mark.parametrize(
    ("shape", "axis", "is_told"),
    [
        ((5, 3, 60, 50), "", True),
        ((5, 7, 60, 50), "", False),
        ((5, 7, 60, 50), "channel", True),
        ((5, 7, 60, 50), "C", True),
        ((5, 3, 60, 50), "Z", False),
        ((3, 60, 50), "", False),
    ],
)
def test_planes_that_may_be_channels_are_told(shape, axis, is_told):
    told = channel_doubt("cells.tif", shape, axis, "look")
    assert ("planes just before Y and X are taken for grey ones" in told) == is_told


@pytest.mark.parametrize(
    ("shape", "is_told"),
    [
        ((60, 50, 2), True),
        ((9, 60, 50, 2), True),
        ((60, 50, 3), False),
        ((60, 50, 1), False),
        ((9, 2), False),
    ],
)
def test_a_last_axis_that_may_hold_channels_is_told_if_it_is_taken_for_x(shape, is_told):
    told = narrow_doubt("cells.tif", shape, "look")
    assert told.endswith("are taken to be 2 pixels wide; if the last axis holds channels, look.") == is_told
    assert is_told == (channels_first(np.zeros(shape), ndim=2).shape[-1] == 2 and len(shape) > 2)


@pytest.mark.parametrize(
    ("shape", "arguments", "words"),
    [
        ((5, 5, 5), {"paint_shape": (5, 5)}, "first or last for paint of shape .5, 5.; say which"),
        ((3, 6, 3), {"in_channels": 3}, "3 channels first or last; say which"),
        ((5, 6), {"paint_shape": (6, 5)}, "same pixels"),
        ((5, 6, 3), {"paint_shape": (4, 6)}, "same pixels"),
        ((4, 3, 5, 6), {"paint_shape": (4, 6, 5)}, "same pixels"),
        ((5, 6, 3), {"channels": "first", "paint_shape": (5, 6)}, "same pixels"),
        ((5, 6, 3), {"channels": "none", "paint_shape": (5, 6)}, "same pixels"),
        ((5,), {}, "at least 2 spatial axes"),
        ((), {}, "at least 2 spatial axes"),
        ((5, 6), {"ndim": 3}, "at least 3 spatial axes"),
        ((5, 6), {"channels": "first"}, "too few axes for channels first"),
        ((5, 6, 3), {"channels": "last", "ndim": 3}, "too few axes for channels last"),
        ((5, 6), {"in_channels": 3}, "1 channel and the model was trained on 3"),
        ((5, 6, 4), {"in_channels": 3}, "1 channel and"),
        ((5, 6, 4), {"in_channels": 3, "channels": "last"}, "4 channels and"),
        ((5, 6, 3), {"in_channels": 1, "paint_shape": (5, 6)}, "3 channels and the model was trained on 1"),
        ((0, 6), {}, "empty"),
    ],
)
def test_what_fits_no_reading_or_two_is_one_sentence(shape, arguments, words):
    with pytest.raises(InputError, match=words) as error:
        channels_first(np.zeros(shape), **{"ndim": 2, **arguments})
    text = str(error.value)
    assert text.endswith(".")
    assert ". " not in text


@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", ">u2", ">i4", ">i8", "u8", "f2", ">f4", ">f8", "g"])
def test_any_number_comes_in_native_order_with_its_values(dtype):
    image = np.array([[0, 1, 100], [7, 8, 9]]).astype(dtype)
    for view in (image, image[::-1, ::-1], image.T, image[:, ::2]):
        checked = check_pixels(view)
        assert checked.dtype.isnative
        np.testing.assert_array_equal(checked, view)


def test_native_pixels_are_not_copied():
    image = np.zeros((4, 4), np.uint16)
    assert np.shares_memory(check_pixels(image[::-1]), image)


def test_bool_becomes_zero_and_one():
    checked = check_pixels(np.array([[True, False], [False, True]])[:, ::-1])
    assert checked.dtype == np.uint8
    assert checked.tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    "image", [np.zeros(3, complex), np.array(["a"]), np.array([None]), np.zeros(2, "M8[s]")]
)
def test_what_is_not_a_number_is_refused(image):
    with pytest.raises(InputError, match="values of type"):
        check_pixels(image)


@pytest.mark.parametrize("kind", [str, Path])
def test_the_name_of_an_image_is_not_its_pixels(kind):
    with pytest.raises(InputError, match=r"The image is 'a\.tif'; give the pixels"):
        check_pixels(kind("a.tif"))


@pytest.mark.parametrize("colours", [3, 4])
def test_colour_is_no_stack_of_narrow_planes(colours: int) -> None:
    image = np.zeros((64, 50, colours), np.uint8)
    with pytest.raises(InputError, match=f"has {colours} channels and the model was trained on 1"):
        channels_first(image, ndim=2, in_channels=1)
    assert channels_first(image, ndim=2, channels="none", in_channels=1).shape == (1, 64, 50, colours)
    assert channels_first(image[0], ndim=2, in_channels=1).shape == (1, 50, colours)


def test_equal_channels_are_one_where_the_model_has_one(tmp_path):
    grey = np.random.default_rng(0).integers(0, 255, (2, 700, 5, 1), np.uint8)
    colours = np.repeat(grey, 3, axis=-1)
    for image in (colours, np.load(_saved(tmp_path, colours), mmap_mode="r")):
        found = channels_first(image, ndim=2, channels="last", in_channels=1, equal_as_one=True)
        np.testing.assert_array_equal(found, grey.transpose(3, 0, 1, 2))
    other = colours.copy()
    other[1, 699, 4, 2] ^= 1
    for image in (other, np.load(_saved(tmp_path, other), mmap_mode="r")):
        with pytest.raises(
            InputError, match="The image has 3 channels and the model was trained on 1; choose"
        ):
            channels_first(image, ndim=2, channels="last", in_channels=1, equal_as_one=True)
    assert channels_first(colours, ndim=2, channels="last", in_channels=3, equal_as_one=True).shape[0] == 3
    with pytest.raises(
        InputError, match="save it in colours if it was trained on grey pictures saved that way"
    ):
        channels_first(grey[..., 0], ndim=2, in_channels=3)
    endless = LazyPixels(np.broadcast_to(np.uint8(0), (1, 10**7, 10**7)))
    assert without_equal_channels(endless) is endless  # nothing of it is read


def test_grey_pictures_in_colours_may_miss_pixels():
    grey = np.array([[[1.0, np.nan], [np.inf, 0.0]]], np.float32)
    np.testing.assert_array_equal(without_equal_channels(np.repeat(grey, 3, axis=0)), grey)
    other = np.repeat(grey, 3, axis=0)
    other[1, 0, 1] = 0  # missing in the others alone
    assert without_equal_channels(other) is other


def _saved(folder, pixels):
    np.save(folder / "a.npy", pixels)
    return folder / "a.npy"


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (None, "The image is None; give the pixels"),
        (object(), "The image is <object objec.*>; give the pixels, .* or the data of a layer"),
        (["a.tif", "b.tif"], "The image is a list of names such as 'a.tif'; give the pixels"),
        ([Path("a.tif")], "The image is a list of names such as 'a.tif'; give the pixels"),
        ([np.zeros((2, 3)), np.zeros((2, 2))], "a list of images of several shapes; give one at a time"),
    ],
)
def test_what_is_no_array_is_told(image, words):
    with pytest.raises(InputError, match=words):
        check_pixels(image)

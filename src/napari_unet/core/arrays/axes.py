"""Where the channels of an image are, and which of its axes are planes.

Everything below the screen works on one layout: ``C, leading..., spatial...`` - channels first, then the axes
the network does not see (time, or Z for a 2-D network), then the ``ndim`` axes it does see.
"""

from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.arrays.boxes import cut_up
from napari_unet.core.arrays.lazy import LazyPixels, Pixels, as_pixels, check_given
from napari_unet.core.errors import InputError

Channels = Literal["auto", "none", "first", "last", "middle"]
"""Where channels are; "middle" is just before the last two axes, Y and X, as in (Z, C, Y, X)."""

CHANNEL_AXES: dict[Channels, int] = {"first": 0, "last": -1, "middle": -3}
"""Index of the channel axis, where there is one; the earlier of two that would do is taken."""

EXPLICIT_CHANNELS: tuple[Channels, ...] = ("none", *CHANNEL_AXES)
"""All that "auto" may stand for."""

_FEW = (2, 3, 4)
"""Lengths at which an axis just before Y and X more often holds channels than planes."""

_COLOURS = (1, 3, 4)
"""Lengths at which the last axis is taken for colours (grey, RGB, RGBA) wherever it can be."""

_ROWS = 512
"""Rows of an image on disk that are read at a time."""


def check_pixels(image: Any) -> Pixels:
    """Return ``image`` with a dtype that numpy and torch compute with, or say why it cannot be an image.

    Parameters
    ----------
    image : array
        Any shape; bool, integer or real floating-point, any byte order.

    Returns
    -------
    array or LazyPixels
        The same values in native byte order, bool as uint8; not copied unless it must be. Of a dask, zarr or
        memory-mapped array a view, bool or not, which reads the parts that are needed when they are.

    Raises
    ------
    InputError
        If the array is empty or its dtype is not that of an image.
    """
    pixels = as_pixels(image)
    check_given("The image is", pixels)
    if pixels.size == 0:
        raise InputError(f"The image is empty (shape {pixels.shape}); choose an image with pixels in it.")
    if pixels.dtype.kind not in "buif":
        raise InputError(
            f"The image has values of type {pixels.dtype}; convert it to whole or real numbers "
            "(8-bit, 16-bit or float)."
        )
    if isinstance(pixels, LazyPixels):
        return pixels
    if pixels.dtype == np.bool_:
        return pixels.view(np.uint8)
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


InMemoryOrNot = TypeVar("InMemoryOrNot", NDArray[Any], LazyPixels)


def without_opaque_alpha(pixels: InMemoryOrNot) -> InMemoryOrNot:
    """Leave out the alpha channel, the last, where it is opaque, as in screenshots: it says nothing.

    Of an image on disk, alpha is read up to the first pixel that is not.
    """
    if pixels.shape[-1] not in (2, 4) or pixels.dtype.kind != "u":
        return pixels
    alpha: Pixels = pixels[..., -1]
    opaque = np.iinfo(pixels.dtype).max
    block = (*(1 for _ in alpha.shape[:-2]), _ROWS, alpha.shape[-1])
    is_opaque = all(np.all(np.asarray(alpha[box]) == opaque) for box in cut_up(alpha.shape, block))
    return pixels[..., :-1] if is_opaque else pixels


def without_equal_channels(pixels: Pixels) -> Pixels:
    """Return one of the channels (C, ...) if all are equal, as in a grey picture saved in colours; else all.

    An image on disk is read up to the first difference.
    """
    if len(pixels) == 1:
        return pixels
    shape = pixels.shape[1:]
    block = (*(1 for _ in shape[:-2]), _ROWS, shape[-1])
    parts = (np.asarray(pixels[(slice(None), *box)]) for box in cut_up(shape, block))
    return pixels[:1] if all(_are_equal(part) for part in parts) else pixels


def _are_equal(channels: NDArray[Any]) -> bool:
    # A pixel that is missing in all of them, NaN, is equal as well.
    may_be_missing = channels.dtype.kind == "f"
    return all(np.array_equal(channel, channels[0], equal_nan=may_be_missing) for channel in channels[1:])


def channels_first(
    image: Any,
    *,
    ndim: int,
    channels: Channels = "auto",
    paint_shape: tuple[int, ...] | None = None,
    in_channels: int | None = None,
    equal_as_one: bool = False,
) -> Pixels:
    """Return a view of ``image`` as (C, leading..., spatial...), finding the channel axis if it is not said.

    Parameters
    ----------
    image : array
        With or without a channel axis, which is the first, the last, or just before Y and X.
    ndim : int
        Number of spatial axes of the network, 2 or 3.
    channels : {"auto", "none", "first", "last", "middle"}
        "auto" takes the axis that must be removed to get ``paint_shape``; without paint, the one whose length
        is ``in_channels``. Where that is 1 there is none, unless the last axis is not needed and has a length
        of 1, 3 or 4: a colour image, not a stack of such narrow planes. "first" is taken where "middle" would
        fit as well.
    paint_shape : tuple of int, optional
        Shape of the paint that belongs to the image.
    in_channels : int, optional
        Channels the model expects; checked whenever it is given.
    equal_as_one : bool
        Whether several channels are read as one where the model expects one and they are equal.

    Returns
    -------
    array or LazyPixels
        At least ``1 + ndim`` axes.

    Raises
    ------
    InputError
        If no reading of the axes fits, or more than one does.
    """
    pixels = check_pixels(image)
    shape = pixels.shape
    where = channels
    if where == "auto":
        where = (
            _from_paint(shape, paint_shape)
            if paint_shape is not None
            else _from_model(shape, ndim, in_channels)
        )
    if where == "none":
        result = pixels.with_channel_axis() if isinstance(pixels, LazyPixels) else pixels[np.newaxis]
    elif pixels.ndim < 1 + ndim:
        raise InputError(
            f"The image has shape {shape}, too few axes for channels {where} and {ndim} spatial axes; "
            f"choose another image, {'a 2-D model, ' if ndim > 2 else ''}or 'none' for its channels."
        )
    else:
        axis = CHANNEL_AXES[where] % pixels.ndim
        result = pixels.transpose([axis, *(n for n in range(pixels.ndim) if n != axis)])
    if paint_shape is not None and result.shape[1:] != tuple(paint_shape):
        raise InputError(
            f"The image has shape {shape} and the paint {tuple(paint_shape)}; they must cover the same "
            "pixels, so choose the paint that was made for this image."
        )
    if result.ndim < 1 + ndim:
        raise InputError(
            f"The image has shape {shape}, and a {ndim}-D network needs at least {ndim} spatial axes; choose "
            f"another image{', or a 2-D model or starter' if ndim > 2 else ''}."
        )
    if equal_as_one and in_channels == 1:
        result = without_equal_channels(result)
    if in_channels is not None and len(result) != in_channels:
        like_it = ", save it in colours if it was trained on grey pictures saved that way" * (
            len(result) == 1 and in_channels == 3
        )
        raise InputError(
            f"The image has {len(result)} channel{'s' * (len(result) != 1)} and the model was "
            f"trained on {in_channels}; choose an image with {in_channels}, say where its channels are"
            f"{like_it}, or train a model on images like this one."
        )
    return result


def _from_paint(shape: tuple[int, ...], paint_shape: tuple[int, ...]) -> Channels:
    paint_shape = tuple(paint_shape)
    if shape == paint_shape:
        return "none"
    first, last = shape[1:] == paint_shape, shape[:-1] == paint_shape
    if first and last:
        raise InputError(
            f"An image of shape {shape} could have its channels first or last for paint of shape "
            f"{paint_shape}; say which."
        )
    if first or last:
        return "first" if first else "last"
    return "middle" if (*shape[:-3], *shape[-2:]) == paint_shape else "none"


def _from_model(shape: tuple[int, ...], ndim: int, in_channels: int | None) -> Channels:
    if in_channels is None or in_channels == 1:
        # A last axis of length 1 on top of the spatial axes can only be a channel; a first one may as well
        # stay a leading axis.
        return "last" if len(shape) > ndim and shape[-1] in _COLOURS else "none"
    if len(shape) <= ndim:
        return "none"
    first, last = shape[0] == in_channels, shape[-1] == in_channels
    if first and last:
        raise InputError(
            f"An image of shape {shape} could have its {in_channels} channels first or last; say which."
        )
    middle = len(shape) > 3 and shape[-3] == in_channels
    return "first" if first else "last" if last else "middle" if middle else "none"


def channel_doubt(name: str, shape: tuple[int, ...], axis: str, remedy: str) -> str:
    """Return a warning that channels of an image may be taken for grey planes; "" if not.

    Parameters
    ----------
    name : str
        What the image is called.
    shape : tuple of int
        Of an image whose channel axis was not given.
    axis : str
        What is known of its third axis from the end: "c" or "channel", another name such as "z", or "".
    remedy : str
        What to do if these are channels.
    """
    if len(shape) < 4 or not (axis.lower().startswith("c") or (not axis and shape[-3] in _FEW)):
        return ""
    return (
        f"{name} has shape {shape}, and its {shape[-3]} planes just before Y and X are taken for grey ones; "
        f"if they are channels, {remedy}."
    )


def narrow_doubt(name: str, shape: tuple[int, ...], remedy: str) -> str:
    """Return a warning that the last axis of an image, taken for X, may hold channels; "" if not.

    The parameters are those of :func:`channel_doubt`.
    """
    if len(shape) < 3 or shape[-1] not in _FEW or shape[-1] in _COLOURS:
        return ""
    return (
        f"{name} has shape {shape}, and its planes are taken to be {shape[-1]} pixels wide; if the last axis "
        f"holds channels, {remedy}."
    )

"""Images on disk of any size: zarr, OME-Zarr and large TIFF files are read piece by piece, others whole."""

import itertools
import math
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.arrays.axes import without_equal_channels, without_opaque_alpha
from napari_unet.core.arrays.lazy import LazyPixels
from napari_unet.core.errors import InputError
from napari_unet.files.opening import user_path
from napari_unet.files.pixels.images import (
    ALWAYS,
    check_end,
    check_size,
    decoding,
    is_zarr,
    read_image,
)
from napari_unet.files.pixels.pixel_size import PixelSize
from napari_unet.files.pixels.stored_image import StoredImage, stored_image
from napari_unet.files.pixels.tiff_pages import first_series, further_images, is_tiff, series_here
from napari_unet.files.pixels.world_axes import read_axes

_CACHE = 2**28
"""Bytes of decoded TIFF strips that are kept: one row of tiles reads the same strips repeatedly."""

_SPAN = 2**18
"""Bytes that are read at a time from an uncompressed TIFF file."""

_WHOLE = 2**30
"""Bytes of the largest TIFF file that is read into memory."""

_JPEG, _JPEG_IN_TIFF = b"\xff\xd8\xff", (6, 7)
"""First bytes of a JPEG file, and the old and new numbers of this compression in TIFF."""

_LABELS = 2**26
"""Pixels of the largest TIFF file of labels that is read: comparing takes two of them, half a gigabyte."""


def load_image(path: Path) -> StoredImage:
    """Read an image, or, if it is zarr or a large TIFF file, open it to be read as needed.

    ``InputError`` as :func:`napari_unet.files.pixels.images.read_image`.
    """
    is_large = path.is_file() and path.stat().st_size > _WHOLE and is_tiff(path)
    return open_image(path) if is_large or is_zarr(path) else read_image(path)


def load_labels(path: Path) -> StoredImage:
    """Read a label image, or open it like :func:`load_image`; whole floats become integers.

    ``InputError`` as :func:`napari_unet.files.pixels.images.read_image`, or if it is in colour, or its
    compression changes numbers.
    """
    if is_zarr(path):
        return open_image(path)
    is_paged, is_colour, is_jpeg, size = is_tiff(path), False, False, 0
    if is_paged:
        with decoding(path), first_series(path) as first:
            is_colour, size = first.is_colour, first.series.size
            is_jpeg = first.series.keyframe.compression in _JPEG_IN_TIFF
    else:
        with path.open("rb") as file:
            is_jpeg = file.read(3) == _JPEG
    if is_jpeg:
        raise InputError(
            f"{path} is compressed as a JPEG, which changes the numbers of labels; save them as TIFF or PNG, "
            "from where they were made."
        )
    image = open_image(path) if size > _LABELS else read_image(path, is_label=True)
    if is_colour or ("C" in image.axes and not is_paged):
        if "C" not in image.axes or len(grey := without_equal_channels(image.pixels)) > 1:
            raise InputError(
                f"{path} has several numbers for each pixel, as pictures in colour have; save it as labels, "
                "one whole number for each pixel."
            )
        image = replace(image, pixels=grey[0], axes=image.axes.replace("C", ""))
    return image if size > _LABELS else replace(image, pixels=_whole(image.pixels))


def _whole(labels: NDArray[Any]) -> NDArray[Any]:
    """Return whole floats, which some programs save, as integers, and other labels unchanged."""
    if labels.dtype.kind != "f":
        return labels
    # From this number on, neighbouring ids may have become one; NaN is not below it either.
    can_be = np.abs(labels) < 2 ** (np.finfo(labels.dtype).nmant + 1)
    return labels.astype(np.int64) if np.all(can_be & (labels == np.rint(labels))) else labels


def open_image(path: str | Path) -> StoredImage:
    """Open an image of any size without reading its pixels, which are lazy.

    It is a zarr array; an OME-Zarr image of version 0.4 or 0.5, at full resolution; or a TIFF file with one
    or more pages, in any compression that tifffile reads. If a file has several images, the first is opened.
    ``InputError`` if there is nothing, or nothing that can be read in pieces.
    """
    path = user_path(path)
    if is_zarr(path):
        return _open_zarr(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder without an image in it; give an image file or a zarr folder.")
    if not is_tiff(path):
        raise InputError(
            f"{path} can only be read whole, as it is neither zarr nor TIFF; convert it to one of these."
        )
    with decoding(path):
        return _open_tiff(path)


class Pieces:
    """An array in the file ``path``; reading a damaged piece raises ``InputError``."""

    def __init__(self, array: Any, path: Path) -> None:
        self._array, self._path = array, path
        self.shape: tuple[int, ...] = tuple(array.shape)
        self.dtype: np.dtype[Any] = np.dtype(array.dtype)
        self.ndim = len(self.shape)
        self.chunks: tuple[int, ...] = tuple(array.chunks)
        if max(self.shape, default=0) >= 2**62:
            raise ValueError(f"its description claims the shape {self.shape}")
        if path.is_file():  # the chunks of a folder are checked when they are unpacked
            check_size(path, math.prod(self.chunks) * self.dtype.itemsize)

    def __getitem__(self, key: Any) -> Any:
        with decoding(self._path):
            return self._array[key]


def _open_zarr(path: Path) -> StoredImage:
    import zarr

    with decoding(path):
        node: Any = zarr.open(path, mode="r")
        if isinstance(node, zarr.Array):
            names = getattr(node.metadata, "dimension_names", None) or ()
            return stored_image(_zarr_pixels(node, path), _letters(names, node.ndim))
        attributes, left_out = _ome(node.attrs.asdict()), ""
        if "bioformats2raw.layout" in attributes and "0" in node:
            left_out = further_images(path, sum(name.isdecimal() for name in node) - 1)
            node = node["0"]
            attributes = _ome(node.attrs.asdict())
        if "multiscales" in attributes:
            image = _open_multiscale(node, attributes["multiscales"][0], path)
            return replace(image, left_out=left_out)
        arrays = [item for _, item in node.arrays()]
        if len(arrays) == 1:
            return stored_image(_zarr_pixels(arrays[0], path), "")
        inside = ", ".join(sorted(node)[:5])
    if "plate" in attributes:
        images = path / "*" / "*" / "*"
        raise InputError(f'{path} is a plate of many images; give these by the pattern "{images}".')
    if not inside:
        raise InputError(f"{path} is a zarr group with nothing in it; give one with an image.")
    raise InputError(f"{path} is a zarr group, not one image; give the path of one inside ({inside}).")


def _zarr_pixels(array: Any, path: Path) -> LazyPixels:
    from napari_unet.files.pixels.zarr_codecs import bounded

    array = bounded(array)
    # zarr unpacks some ten chunks at a time, however large they are.
    is_large = math.prod(array.chunks) * array.dtype.itemsize > ALWAYS // 16
    return LazyPixels(Pieces(_ByChunk(array) if is_large else array, path))


def _ome(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the OME metadata, which version 0.5 keeps in a separate section."""
    return {**attributes, **attributes.get("ome", {})}


def _open_multiscale(group: Any, multiscale: Mapping[str, Any], path: Path) -> StoredImage:
    array = group[multiscale["datasets"][0]["path"]]
    axes = read_axes(multiscale, array.ndim)
    letters = _letters(["c" if axis.kind == "channel" else axis.name for axis in axes], array.ndim)
    if not letters:
        return stored_image(_zarr_pixels(array, path), "")
    sizes = {
        letter: (axis.step, axis.unit)
        for letter, axis in zip(letters, axes, strict=True)
        if letter in "TZYX" and axis.unit
    }
    return stored_image(_zarr_pixels(array, path), letters, PixelSize.of(sizes), in_world=axes)


def _letters(names: Sequence[Any], ndim: int) -> str:
    """Return one letter for each axis, or "" if names are missing or not all different."""
    letters = "".join(str(name)[:1].upper() for name in names if name)
    return letters if len(letters) == ndim == len(set(letters)) else ""


def _open_tiff(path: Path) -> StoredImage:
    with first_series(path) as first:
        series = first.series
        is_plain = series.dataoffset is not None and series.dtype.kind in "uif"  # neither compressed nor bits
        shape, dtype = tuple(series.shape), np.dtype(f"{series.keyframe.parent.byteorder}{series.dtype.char}")
        offset = series.dataoffset
    if is_plain:
        check_end(path, offset or 0, math.prod(shape) * dtype.itemsize)
        array: _ByChunk = _PlainPixels(path, offset or 0, shape, dtype)
    else:
        array = _TiffPixels(path)
    pixels = LazyPixels(Pieces(array, path))
    if first.is_colour:
        pixels = without_opaque_alpha(pixels)
    return stored_image(pixels, first.axes, first.pixel_size, first.left_out)


class _ByChunk:
    """An array whose chunks are unpacked one after the other."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self.shape: tuple[int, ...] = array.shape
        self.dtype: np.dtype[Any] = array.dtype
        self.chunks: tuple[int, ...] = array.chunks

    def __getitem__(self, key: tuple[int | slice, ...]) -> NDArray[Any]:
        ranges = [
            axis[item] if isinstance(item, slice) else range(item, item + 1)
            for axis, item in zip(map(range, self.shape), key, strict=True)
        ]
        result = np.empty([len(part) for part in ranges], self.dtype)
        if result.size:
            for cuts in itertools.product(*map(_cuts, ranges, self.chunks)):
                index, source, target = zip(*cuts, strict=True)
                result[target] = self._part(index, source)
        return result[tuple(slice(None) if isinstance(item, slice) else 0 for item in key)]

    def _part(self, index: tuple[int, ...], part: tuple[slice, ...]) -> NDArray[Any]:
        """Return a part of one chunk; ``part`` counts from the start of the chunk."""
        starts = [number * size for number, size in zip(index, self.chunks, strict=True)]
        box = (slice(n + item.start, n + item.stop, item.step) for n, item in zip(starts, part, strict=True))
        return np.asarray(self._array[tuple(box)])


def _cuts(part: range, size: int) -> Iterator[tuple[int, slice, slice]]:
    """Yield the chunks of this size that overlap a range, and the overlap within chunk and range."""
    for number in range(part[0] // size, part[-1] // size + 1):
        start = number * size
        first = max(0, -((part.start - start) // part.step))
        last = min(len(part), -((part.start - start - size) // part.step))
        if inside := part[first:last]:
            yield number, slice(inside[0] - start, inside[-1] - start + 1, part.step), slice(first, last)


class _PlainPixels(_ByChunk):
    """Pixels that lie in a file one after the other, and are read as needed.

    If they were mapped into memory, a truncated file, or a network share that disappears, would crash the
    program without a message.
    """

    def __init__(self, path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape, self.dtype, self._offset = shape, dtype, offset
        left, chunks = _SPAN // dtype.itemsize, list[int]()
        for length in reversed(shape):
            chunks.insert(0, min(length, max(left, 1)))
            left //= max(length, 1)
        self.chunks = tuple(chunks)
        self._file = path.open("rb")
        weakref.finalize(self, self._file.close)
        self._lock = threading.Lock()

    def _part(self, index: tuple[int, ...], part: tuple[slice, ...]) -> NDArray[Any]:
        starts = [number * size for number, size in zip(index, self.chunks, strict=True)]
        sizes = [min(size, end - at) for size, end, at in zip(self.chunks, self.shape, starts, strict=True)]
        first, count = int(np.ravel_multi_index(starts, self.shape)), math.prod(sizes)
        with self._lock:
            self._file.seek(self._offset + first * self.dtype.itemsize)
            content = self._file.read(count * self.dtype.itemsize)
        if len(content) < count * self.dtype.itemsize:
            raise ValueError("the file has become shorter")
        return np.frombuffer(content, self.dtype).reshape(sizes)[part]


class _TiffPixels(_ByChunk):
    """The first image of a TIFF file, decoded strip by strip (or tile by tile) as it is read.

    Recently decoded strips are kept, because a block of pixels seldom covers whole strips.
    """

    def __init__(self, path: Path) -> None:
        import tifffile
        import zarr

        file = tifffile.TiffFile(path)
        # The file stays open as long as it is read from.
        weakref.finalize(self, file.close)
        super().__init__(zarr.open(series_here(file).aszarr(level=0), mode="r"))
        self._cache: OrderedDict[tuple[int, ...], NDArray[Any]] = OrderedDict()
        self._cached = 0
        self._lock = threading.Lock()

    def _part(self, index: tuple[int, ...], part: tuple[slice, ...]) -> NDArray[Any]:
        with self._lock:
            if index in self._cache:
                self._cache.move_to_end(index)
                return self._cache[index][part]
            chunk = super()._part(index, tuple(slice(0, size, 1) for size in self.chunks))
            self._cache[index] = chunk
            self._cached += chunk.nbytes
            while self._cached > _CACHE and len(self._cache) > 1:
                self._cached -= self._cache.popitem(last=False)[1].nbytes
            return chunk[part]

"""Images and label images as files, and their names."""

import contextlib
import hashlib
import io
import json
import math
import os
import re
import struct
import unicodedata
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.arrays.axes import without_opaque_alpha
from napari_unet.core.errors import InputError
from napari_unet.files.atomic import writing
from napari_unet.files.opening import user_path
from napari_unet.files.pixels.pixel_size import PixelSize
from napari_unet.files.pixels.stored_image import StoredImage, stored_image
from napari_unet.files.pixels.tiff_pages import first_series, is_tiff

SUFFIXES = (".tif", ".tiff", ".lsm", ".png", ".jpg", ".jpeg", ".bmp", ".webp")
"""Endings of the files that are taken from a folder."""

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_PALETTE = 3

SOFTWARE = "napari-unet"
"""Name of the software in files written here; a folder of images may contain earlier results."""

BY_HAND = f"{SOFTWARE}, saved by hand"
"""The same in labels that a user has saved and may have corrected, so that no result replaces them."""

GEOJSON_START = '{"type": "FeatureCollection", "software": '
"""How outlines as GeoJSON begin here; the name of the software follows, as a string."""

ZARR = (".zarray", ".zgroup", "zarr.json")
"""Files that mark a zarr folder; the last is not hidden, so that a pattern may find it beside images."""

_LONG, _LONG_ON_DISK = 80, 200
"""Limits of an image's name in a file name, in characters, and in bytes, of which Chinese ones take three."""

_LONGEST = 255 - len("_probabilities.zarr")
"""Bytes of an image's name in the names of its results, on all file systems."""

_IMAGEJ_AXES = "TZCYX"
_IMAGEJ_DTYPES = ("uint8", "uint16", "float32")
_IMAGEJ_LIMIT = 2**32 - 2**25
"""Pixels in bytes that fit a file ImageJ opens by itself."""

_RECIPE = 269
"""Number of the TIFF tag for the name of a document, which other programs that save labels do not keep."""

MOST_PACKED = 1100
"""Bytes that one byte of a file may unpack to: at most 1032 with deflate."""

ALWAYS = 2**26
"""Bytes of an image that are always read."""


def read_image(path: str | Path, *, is_label: bool = False) -> StoredImage:
    """Read an image or a label image: TIFF (plain, ImageJ, OME, LSM), PNG, JPEG or another format of imageio.

    The ending does not matter. If a file has several images or resolutions, the first is read. A label image
    that is a PNG with a palette, as outlining programs save masks, is read as palette indices, not colours.
    ``InputError`` if the file is missing, damaged, not an image, or compressed in an unknown way.
    """
    path = user_path(path)
    is_paged = is_tiff(path)  # which has its own sentences for what is not a file
    with decoding(path):
        return _read_tiff(path) if is_paged else _read_other(path, is_label)


def _read_tiff(path: Path) -> StoredImage:
    with first_series(path) as first:
        series = first.series
        claimed = series.size * series.dtype.itemsize
        # Memory is reserved for whole tiles and strips, however little of them is in the image.
        check_size(path, max(claimed, math.prod(series.keyframe.chunks) * series.dtype.itemsize))
        if series.dataoffset is not None:
            check_end(path, series.dataoffset, claimed)
        pixels = np.asarray(series.asarray())
    if first.is_colour:
        pixels = without_opaque_alpha(pixels)
    return stored_image(pixels, first.axes, first.pixel_size, first.left_out)


def _read_other(path: Path, is_label: bool) -> StoredImage:
    from imageio.v3 import imread

    # Scans of slides are no attack; headers that claim too much are refused below, or by the decoder.
    warnings.filterwarnings("ignore", r"Image size \(\d+ pixels\) exceeds limit")
    # From memory: given a path, the decoders leave damaged files open, and Windows cannot delete them.
    content = path.read_bytes()
    options: dict[str, Any] = {"index": 0}
    if content.startswith(_PNG_MAGIC):  # for other kinds, the decoder itself refuses what is far too large
        width, height, _depth, colours = struct.unpack(">IIBB", content[16:26])
        check_size(path, width * height)
        if is_label and colours == _PNG_PALETTE:
            options["mode"] = "P"
    pixels = np.asarray(imread(io.BytesIO(content), **options))
    if pixels.ndim == 3:
        pixels = without_opaque_alpha(pixels)
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    return stored_image(pixels, {2: "YX", 3: "YXC"}.get(pixels.ndim, ""))


def check_size(path: Path, claimed: int) -> None:
    """Refuse a header that claims more bytes than can be in the file, before memory is reserved for them."""
    size = path.stat().st_size
    if claimed > MOST_PACKED * size + ALWAYS:
        raise ValueError(f"its header claims {claimed} bytes and the file has {size}")


def check_end(path: Path, offset: int, claimed: int) -> None:
    """Refuse a file that ends before its uncompressed pixels, such as a partial download."""
    if offset + claimed > path.stat().st_size:
        raise ValueError(f"its header claims {claimed} bytes, and the file ends before")


@contextlib.contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Raise ``InputError`` with a sentence if a decoder cannot read a file."""
    try:
        yield
    except Exception as error:  # decoders raise anything for a damaged file
        raise InputError(_why_unreadable(path, error)) from error


def _why_unreadable(path: Path, error: Exception) -> str:
    reason = " ".join(str(error).split()) or type(error).__name__
    if type(error).__name__ == "DecompressionBombError":
        return f"{path} has more pixels than are read in its format; save it as TIFF, which may have more."
    if isinstance(error, MemoryError):
        return f"{path} does not fit into memory, or is damaged; crop it or use a computer with more memory."
    # Its message is about the decoder.
    is_of_codec = type(error).__module__.startswith("imagecodecs")
    if is_of_codec or isinstance(error, LookupError | TypeError | AttributeError | struct.error):
        reason = "it is damaged"
    if path.is_file() and path.stat().st_size == 0:
        reason = "it is empty"
    if "BytesIO" in reason:  # the decoders' message when none knows the format
        reason = "it holds no kind of image known here"
    formats = "" if path.is_dir() else f", or one of these formats: {', '.join(SUFFIXES)}"  # a zarr is known
    return f"{path} could not be read as an image ({reason}); use another copy of it{formats}."


def write_image(
    path: str | Path,
    pixels: NDArray[Any],
    axes: str = "",
    pixel_size: PixelSize | None = None,
    *,
    software: str = SOFTWARE,
    recipe: str = "",
) -> None:
    """Write a TIFF file, completely or not at all, with every value exactly as it is.

    8-bit, 16-bit and float32 files are ImageJ TIFFs if the order of the axes allows it; ImageJ opens the
    others too, but shows whole numbers above 2^24 rounded. ``axes`` has one letter for each axis, or is "" if
    not known; the pixel size is saved where ImageJ and others look for it. For labels that a user has worked
    on, ``software`` is ``BY_HAND``. ``recipe`` is what :func:`recipe_in` returns of the file. ``InputError``
    if the file cannot be written.
    """
    import tifffile

    positions = [_IMAGEJ_AXES.find(axis) for axis in axes]
    imagej = (
        bool(axes)
        and -1 not in positions
        and positions == sorted(set(positions))
        and pixels.dtype.name in _IMAGEJ_DTYPES
        and 1 not in pixels.shape  # an axis that it would lose
        and pixels.nbytes < _IMAGEJ_LIMIT
    )
    metadata: dict[str, Any] = {"axes": axes} if axes else {}
    resolution: dict[str, Any] = {}
    if pixel_size is not None and pixel_size.t is not None:
        metadata |= {"finterval": pixel_size.t, "tunit": "sec"}
    if pixel_size is not None and pixel_size.y and pixel_size.x:
        metadata["unit"] = "um"
        if pixel_size.z is not None:
            metadata["spacing"] = pixel_size.z
        # ImageJ uses the unit in its description, all others count pixels per centimetre.
        unit, length = ("NONE", 1.0) if imagej else ("CENTIMETER", 1e4)
        resolution = {"resolution": (length / pixel_size.x, length / pixel_size.y), "resolutionunit": unit}
    with writing(path) as temporary:
        tifffile.imwrite(
            temporary,
            pixels,
            imagej=imagej,
            # Otherwise three planes of 8 bits would become one in colour.
            photometric="minisblack",
            metadata=metadata,
            software=software,
            extratags=[(_RECIPE, "s", None, recipe, True)] if recipe else [],
            **resolution,
        )


def write_labels(
    path: str | Path,
    labels: NDArray[Any],
    axes: str = "",
    pixel_size: PixelSize | None = None,
    *,
    software: str = SOFTWARE,
    recipe: str = "",
) -> None:
    """Write labels like :func:`write_image`, in 16 bits if their numbers fit.

    ImageJ opens these with their axes and pixel size; its 32-bit stacks are for real numbers.
    """
    fits = labels.dtype.kind in "iu" and labels.min(initial=0) >= 0 and labels.max(initial=0) < 2**16
    if fits and labels.dtype.itemsize > 2:
        labels = labels.astype(np.uint16)
    write_image(path, labels, axes, pixel_size, software=software, recipe=recipe)


def maker_of(path: Path) -> str:
    """Return the name of the software that wrote a file; for a zarr folder, only if it was napari-unet."""
    import tifffile

    if path.suffix.lower() == ".zip":
        # It raises anything for a damaged file, which is none of ours.
        with contextlib.suppress(Exception), zipfile.ZipFile(path) as archive:
            return archive.comment.decode()
    if path.suffix.lower() == ".geojson":
        with contextlib.suppress(OSError, ValueError), path.open(encoding="utf-8") as text:
            start = text.read(len(GEOJSON_START) + _LONG).removeprefix(GEOJSON_START)
            return str(json.JSONDecoder().raw_decode(start)[0])

    if path.suffix.lower() in (".tif", ".tiff") and path.is_file():
        # Decoders raise anything for a damaged file; reading the image will say what is wrong.
        with contextlib.suppress(Exception), tifffile.TiffFile(path) as file:
            return str(file.pages.first.tags.valueof("Software"))
    with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
        return SOFTWARE if SOFTWARE in json.loads((path / ".zattrs").read_text("utf-8")) else ""
    return ""


def recipe_in(path: Path) -> str:
    """Return what a result here was made from, as a digest that was saved in it; else ""."""
    import tifffile

    if path.is_file():
        with contextlib.suppress(Exception), tifffile.TiffFile(path) as file:  # as in `maker_of`
            return str(file.pages.first.tags.valueof(_RECIPE, ""))
    with contextlib.suppress(OSError, ValueError, TypeError, LookupError, RecursionError):
        return str(json.loads((path / ".zattrs").read_text("utf-8"))[SOFTWARE]["recipe"])
    return ""


def check_replaceable(path: Path) -> None:
    """Raise InputError unless ``path`` is free or an earlier result of napari-unet.

    Images, paint, and objects that were saved by hand and may have been corrected would be lost.
    """
    if path.exists() and (maker := maker_of(path)) != SOFTWARE:
        raise InputError(
            f"{path} was saved by hand and may be corrected, so it is kept; rename or delete it for a new "
            "result, or choose another folder."
            if maker == BY_HAND
            else f"{path} already exists and is not a result of napari-unet; choose another name or folder."
        )


def is_zarr(path: Path) -> bool:
    """Return whether ``path`` is a folder that holds a zarr array or group, of version 2 or 3."""
    # Not `Path.is_file`, which raises if a folder must not be read.
    return any(os.path.isfile(path / name) for name in ZARR)  # noqa: PTH113


def stem(path: Path) -> str:
    """Return the name of an image without its folder and ending; ".ome.tif" and ".ome.zarr" are endings.

    Accented letters become one character each: macOS writes two, and names that look equal must be equal.
    """
    return re.sub(r"(?i)\.ome$", "", unicodedata.normalize("NFC", path.stem))


def result_stem(name: str) -> str:
    """Return the stem of an image as results are named after it: the same, unless that would be too long."""
    return _shortened(name, _LONGEST, _LONGEST)


def safe_name(text: str) -> str:
    """Return ``text`` as part of a file name that all systems allow; "" if nothing is left of it."""
    name = re.sub(r'[\x00-\x1f<>:"/\\|?*]', "_", text).strip(" .")
    return _shortened(name, _LONG, _LONG_ON_DISK)


def _shortened(name: str, characters: int, size: int) -> str:
    """Return ``name``, cut in the middle if it has more characters or more bytes than that.

    Names differ at their ends more often; a code in the place of the middle tells it from all others.
    """
    encoded = name.encode("utf-8", "surrogatepass")
    if len(name) <= characters and len(encoded) <= size:
        return name
    code = hashlib.sha256(encoded).hexdigest()[:6]
    most = (characters - len(code)) // 2 - 1
    cuts = (f"{name[:side]}_{code}_{name[-side:]}" for side in range(most, 0, -1))
    return next(cut for cut in cuts if len(cut.encode("utf-8", "surrogatepass")) <= size)

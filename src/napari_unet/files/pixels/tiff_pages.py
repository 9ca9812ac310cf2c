"""What a TIFF file says about its images, before a decoder reads their pixels."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_unet.files.opening import opening
from napari_unet.files.pixels.pixel_size import PixelSize, tiff_pixel_size

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""First bytes of TIFF and BigTIFF, in either byte order."""

_COMPANIONS = ("Thumbnail", "Label", "Macro", "Map")
"""Names in tifffile for the pictures that slide scanners add to a slide."""


@dataclass(frozen=True, slots=True)
class FirstSeries:
    """The first image of an open TIFF file, in full resolution.

    ``axes`` has one letter for each axis, or is "" if they are not clear; channels are "C", unknown axes "Q".
    ``is_colour`` says whether the last axis is colour, perhaps with an alpha channel. ``left_out`` says which
    further images and planes the file has, or should have; "" if there are none.
    """

    series: Any
    axes: str
    is_colour: bool
    pixel_size: PixelSize | None
    left_out: str


def is_tiff(path: Path) -> bool:
    """Return whether a file is a TIFF, whatever its name.

    ``InputError`` if it is missing or cannot be read.
    """
    with opening(path, "image") as file:
        return file.read(4) in _MAGIC


@contextmanager
def first_series(path: Path) -> Iterator[FirstSeries]:
    """Open a TIFF file for a while; a damaged one raises any error of its decoder."""
    import tifffile

    check_pages(path)
    with tifffile.TiffFile(path) as file:
        first = series_here(file)
        series = first.levels[0]
        axes = series.axes.replace("S", "C").replace("I", "Q")
        # A file of channels (C) that are in colour (S) has two channel axes; the user can still say where
        # channels are.
        is_clear = len(axes) == len(series.shape) and axes.count("C") <= 1
        others = [other for other in file.series if other is not first and other.keyframe.parent is file]
        further = sum(not (other.keyframe.is_reduced or other.name in _COMPANIONS) for other in others)
        # Pixels that lie one after the other are in one file.
        missing = 0 if series.dataoffset is not None else sum(page is None for page in series)
        told = (
            further_images(path, further),
            _missing_planes(path, missing, len(series)),
            _other_files(path, series),
        )
        yield FirstSeries(
            series,
            axes if is_clear else "",
            series.axes.endswith("S"),
            tiff_pixel_size(file, series.name),
            " ".join(filter(None, told)),
        )


def series_here(file: Any) -> Any:
    """Return the first image of an open ``tifffile.TiffFile`` that has pixels in it.

    The description of an OME-TIFF file may include images in other files, such as those of all positions.
    """
    here = (
        series
        for series in file.series
        if series.keyframe.parent is file or any(page is not None and page.parent is file for page in series)
    )
    return next(here, file.series[0])


def further_images(path: Path, count: int) -> str:
    """Return a sentence on ``count`` images in a file besides the first; "" if there are none."""
    if count <= 0:
        return ""
    return f"{path} holds {count + 1} images, and the first is used; save the others as files."


def _missing_planes(path: Path, missing: int, planes: int) -> str:
    """Return a sentence on missing planes of a file; "" if there are none."""
    if not missing:
        return ""
    return (
        f"{path} lacks {missing} of its {planes} planes, which are read as 0; if they are in files of their "
        "own, put these back beside it."
    )


def _other_files(path: Path, series: Any) -> str:
    """Return a sentence on other files that an image is read from; "" if there are none."""
    if not series.is_multifile:
        return ""
    return (
        f"{path} is one of several files of an image, which is read from all of them; give only one of them."
    )


def check_pages(path: Path) -> None:
    """Refuse a TIFF file with more directories, each leading to the next, than fit into it.

    ``ValueError`` if they overlap or lead back to each other.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(16)
        order = "<" if start.startswith(b"I") else ">"
        is_big = start[2:4] in (b"+\0", b"\0+")
        count_format, entry, offset_format = (
            (f"{order}Q", 20, f"{order}Q") if is_big else (f"{order}H", 12, f"{order}I")
        )
        head, tail = struct.calcsize(count_format), struct.calcsize(offset_format)
        place, total = start[8:16] if is_big else start[4:8], 0
        while len(place) == tail:
            (offset,) = struct.unpack(offset_format, place)
            if not 0 < offset < size:
                return
            file.seek(offset)
            count = file.read(head)
            if len(count) < head:
                return
            length = head + entry * struct.unpack(count_format, count)[0] + tail
            total += length
            if total > size + length:
                raise ValueError("its pages lead back to each other")
            if offset + length > size:
                return
            file.seek(offset + length - tail)
            place = file.read(tail)

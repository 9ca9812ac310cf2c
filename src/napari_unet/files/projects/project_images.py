"""The images of a project: linked where they are, found again where they went, recognised by their pixels."""

import math
import os
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.errors import InputError
from napari_unet.files.atomic import writing
from napari_unet.files.pixels.images import stem
from napari_unet.files.projects.project import IMAGES, ProjectImage, inside

_REACH = 16
"""Pixels on both sides of the middle of each place that is looked at, along the last three axes."""

_PLACES = ((0.5, 0.5), (0.1, 0.1), (0.1, 0.9), (0.9, 0.1), (0.9, 0.9), (0.3, 0.5), (0.7, 0.5))
"""Along the even and the odd axes, as parts of their lengths."""

_ENTRIES = 20_000
"""Files and folders that are looked through for images that moved: more is a disk, not a folder of images."""

KEPT_LIMIT = 4 * 2**30
"""Bytes of an image in no file that is kept in the project."""


def sample(pixels: Any) -> str:
    """Return a checksum of some of an image (any shape, numpy or lazy), by which its pixels are known again.

    A few thousand pixels are read, so it costs the same for an image of any size. Together with the size and
    date of its file, it tells a file that was replaced by another of the same shape.
    """
    shape = tuple(pixels.shape)
    if 0 in shape:
        return "0"
    checksum = 0
    for place in _PLACES:
        key: list[Any] = []
        for axis, length in enumerate(shape):
            middle = min(int(length * place[axis % 2]), length - 1)
            near = axis >= len(shape) - 3
            key.append(slice(max(0, middle - _REACH), middle + _REACH) if near else slice(middle, middle + 1))
        block = np.asarray(pixels[tuple(key)])
        checksum = zlib.crc32(block.astype(block.dtype.newbyteorder("<")).tobytes(), checksum)
    return f"{checksum:08x}"


def link(image: ProjectImage, folder: Path, path: Path) -> ProjectImage:
    """Return ``image`` linked to the file ``path``, seen from the project in ``folder`` where possible."""
    path = path.absolute()
    try:
        seen_from_here = Path(os.path.relpath(path, folder.absolute())).as_posix()
    except ValueError:  # on another drive of Windows
        seen_from_here = ""
    return replace(image, path=seen_from_here, absolute=path.as_posix(), kept="", size=file_size(path))


def keep(image: ProjectImage, folder: Path, pixels: Any) -> ProjectImage:
    """Write the pixels of ``image`` into the project, as they are in no file, and return where.

    ``InputError`` if they are too many, of a kind that TIFF does not hold, or cannot be written.
    """
    import tifffile

    size = np.dtype(pixels.dtype).itemsize * math.prod(pixels.shape)
    if size > KEPT_LIMIT:
        raise InputError(
            f"The image '{image.look.name}' is in no file and too large to be kept in the project "
            f"({size / 2**30:.0f} GB); save it with File > Save, and open that file."
        )
    name = f"{image.key}.tif"
    array = np.asarray(pixels)
    if array.dtype.kind not in "buif":
        raise InputError(
            f"The image '{image.look.name}' has pixels of type {array.dtype}, which TIFF does not hold; "
            "convert them to numbers."
        )
    if array.dtype == np.bool_:
        array = array.astype(np.uint8)
    path = inside(folder, folder / IMAGES / name)
    with writing(path) as temporary:
        # Shaped, in the words of tifffile: what is read has the same axes.
        tifffile.imwrite(temporary, array, photometric="minisblack", bigtiff=size >= 2**32 - 2**25)
    return replace(image, kept=name, path="", absolute="", size=file_size(path))


def read_kept(image: ProjectImage, folder: Path) -> NDArray[Any]:
    """Return the pixels of an image that is kept in the project.

    ``InputError`` if the file is missing, damaged, or not of the shape that the project tells of.
    """
    import tifffile

    path = inside(folder, folder / IMAGES / image.kept)
    try:
        expected = np.dtype(np.uint8 if image.dtype == "bool" else image.dtype)
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            found, kind = tuple(series.shape), series.dtype
            fits = math.prod(found) == math.prod(image.shape) and kind == expected
            pixels = np.asarray(series.asarray()).reshape(image.shape) if fits else None
    except Exception as error:  # decoders raise whatever a damaged file makes them run into
        raise InputError(f"{path} could not be read ({error}); take it from a backup.") from error
    if pixels is None:
        raise InputError(
            f"{path} has shape {found} and type {kind} where the project says {image.shape} and "
            f"{image.dtype}; take it from a backup."
        )
    return pixels.astype(image.dtype, copy=False)


def places(image: ProjectImage, folder: Path, others: Sequence[Path] = ()) -> Iterator[Path]:
    """Yield where the file of a linked image may be, the likeliest first; those that exist.

    ``others`` are files that :func:`search` found.
    """
    name = file_name(image)
    if not name:
        return
    candidates = [folder / image.path] if image.path else []
    candidates += [Path(image.absolute)] if image.absolute else []
    candidates += [path for path in others if path.name == name]
    candidates += [folder / name, folder / IMAGES / name, folder.parent / name]
    seen = set()
    for path in candidates:
        place = Path(os.path.normpath(path))
        if place not in seen and place.exists():
            seen.add(place)
            yield place


def file_name(image: ProjectImage) -> str:
    """Return the name of the file of a linked image; "" if it is kept, or was linked nowhere."""
    path = image.path or image.absolute
    # The name is that of the other system where the project came from one.
    return PureWindowsPath(path).name if "\\" in path else PurePosixPath(path).name


def in_words(image: ProjectImage) -> str:
    """Return how an image is called, and its file where nobody would look for that by this name."""
    name, file = image.look.name, file_name(image)
    return name if stem(Path(file)) in ("", name) else f"{name} from {file}"


def search(folder: Path, names: Collection[str]) -> list[Path]:
    """Return the files and folders in ``folder``, at any depth, that have one of ``names``."""
    found: list[Path] = []
    entries = 0
    for root, folders, files in os.walk(folder):
        entries += len(folders) + len(files)
        found += [Path(root, name) for name in sorted(files) + sorted(folders) if name in names]
        # What is found is not looked into: a zarr image is a folder of thousands.
        folders[:] = sorted(name for name in folders if name not in names and not name.startswith("."))
        if entries > _ENTRIES:
            break
    return found


def file_size(path: Path) -> int:
    """Return the bytes of a file; 0 of a folder, and where there is none."""
    try:
        return 0 if path.is_dir() else path.stat().st_size
    except OSError:
        return 0

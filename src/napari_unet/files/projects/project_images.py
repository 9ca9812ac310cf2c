"""The images of a project: linked to their files, found again if moved, and recognised by their pixels."""

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
"""Pixels on both sides of the middle of each sampled place, along the last three axes."""

_PLACES = ((0.5, 0.5), (0.1, 0.1), (0.1, 0.9), (0.9, 0.1), (0.9, 0.9), (0.3, 0.5), (0.7, 0.5))
"""Sampled places along even and odd axes, as parts of their lengths."""

_ENTRIES = 20_000
"""Limit of files and folders searched for moved images: more is a disk, not a folder of images."""

KEPT_LIMIT = 4 * 2**30
"""Limit in bytes for keeping an image without a file in the project."""


def sample(pixels: Any) -> str:
    """Return a checksum of a sample of an image (any shape, numpy or lazy), to recognise its pixels.

    A few thousand pixels are read, so it costs the same for an image of any size. Together with the size and
    date of the file, it shows whether a file was replaced by another of the same shape.
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
    """Return ``image`` linked to the file ``path``, relative to the project in ``folder`` if possible."""
    path = path.absolute()
    try:
        seen_from_here = Path(os.path.relpath(path, folder.absolute())).as_posix()
    except ValueError:  # on another drive of Windows
        seen_from_here = ""
    return replace(image, path=seen_from_here, absolute=path.as_posix(), kept="", size=file_size(path))


def keep(image: ProjectImage, folder: Path, pixels: Any) -> ProjectImage:
    """Write the pixels of ``image``, which have no file, into the project, and return its entry.

    ``InputError`` if there are too many, TIFF does not hold their type, or they cannot be written.
    """
    import tifffile

    size = np.dtype(pixels.dtype).itemsize * math.prod(pixels.shape)
    if size > KEPT_LIMIT:
        raise InputError(
            f"The image '{image.look.name}' has no file and is too large to be kept in the project "
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
        # What tifffile calls shaped: the same axes when read.
        tifffile.imwrite(temporary, array, photometric="minisblack", bigtiff=size >= 2**32 - 2**25)
    return replace(image, kept=name, path="", absolute="", size=file_size(path))


def read_kept(image: ProjectImage, folder: Path) -> NDArray[Any]:
    """Return the pixels of an image that is kept in the project.

    ``InputError`` if the file is missing, damaged, or has another shape than the project says.
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
    except Exception as error:  # decoders raise anything for a damaged file
        raise InputError(f"{path} could not be read ({error}); take it from a backup.") from error
    if pixels is None:
        raise InputError(
            f"{path} has shape {found} and type {kind} where the project says {image.shape} and "
            f"{image.dtype}; take it from a backup."
        )
    return pixels.astype(image.dtype, copy=False)


def places(image: ProjectImage, folder: Path, others: Sequence[Path] = ()) -> Iterator[Path]:
    """Yield existing files that may be that of a linked image, the likeliest first.

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
    """Return the name of the file of a linked image; "" if it is kept, or has no link."""
    path = image.path or image.absolute
    # The path may be of another operating system.
    return PureWindowsPath(path).name if "\\" in path else PurePosixPath(path).name


def in_words(image: ProjectImage) -> str:
    """Return the name of an image, with that of its file if the two differ."""
    name, file = image.look.name, file_name(image)
    return name if stem(Path(file)) in ("", name) else f"{name} from {file}"


def search(folder: Path, names: Collection[str]) -> list[Path]:
    """Return the files and folders in ``folder``, at any depth, that have one of ``names``."""
    found: list[Path] = []
    entries = 0
    for root, folders, files in os.walk(folder):
        entries += len(folders) + len(files)
        found += [Path(root, name) for name in sorted(files) + sorted(folders) if name in names]
        # Matches are not searched: a zarr image is a folder of thousands of files.
        folders[:] = sorted(name for name in folders if name not in names and not name.startswith("."))
        if entries > _ENTRIES:
            break
    return found


def file_size(path: Path) -> int:
    """Return the size of a file in bytes; 0 for a folder, and if there is none."""
    try:
        return 0 if path.is_dir() else path.stat().st_size
    except OSError:
        return 0

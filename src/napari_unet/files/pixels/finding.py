"""Which images are meant by names, folders and patterns, and which files belong together."""

import glob
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from napari_unet.core.errors import InputError
from napari_unet.files.opening import user_path
from napari_unet.files.pixels.images import (
    BY_HAND,
    SOFTWARE,
    SUFFIXES,
    ZARR,
    is_zarr,
    maker_of,
    result_stem,
    stem,
)

_NOT_READ = (
    *(".czi", ".nd2", ".lif", ".ims", ".oib", ".oif", ".oir", ".vsi", ".mrxs", ".dv", ".dcm"),
    *(".h5", ".hdf5", ".jp2", ".npy"),
)
"""Endings of images that are not read here."""

_FROM_PYTHON = "save them as TIFF, by tifffile.imwrite in Python, or by Save masks in Cellpose"
_OF_OUTLINES = (
    "make label images of outlines first, in ImageJ: see 'Labels you already have' in the documentation"
)
_REMEDIES = {".npy": _FROM_PYTHON, ".npz": _FROM_PYTHON, ".zip": _OF_OUTLINES, ".roi": _OF_OUTLINES}
"""What to do with files that hold labels, and no images that Fiji opens."""

_ALSO_TIFF = (".svs", ".ndpi", ".scn", ".qptiff", ".stk", ".btf", ".tf8")
"""Endings of slide scanners and other programs for what is TIFF all the same."""


LABEL_ENDINGS = ("_objects", " objects", "_cp_masks", "_masks", "_labels")
"""What this and other programs add to the name of an image for labels of its objects; napari saves layers
under their names, which have a space."""


def expand_paths(patterns: Iterable[str | Path], *, results: bool = True) -> list[Path]:
    """Return the images that the given names stand for, each once: files, and zarr folders.

    Names are files, folders (all images directly inside except hidden ones) and patterns such as "data/*.tif"
    or "data/**/*.tif". Their order is kept; within a folder or pattern 2 comes before 10, and files of
    :func:`write_image` are left out unless ``results`` are wanted. ``InputError`` if a name stands for no
    file.
    """
    found: dict[str, Path] = {}
    for pattern in patterns:
        path = user_path(pattern)
        named = path.is_file() or is_zarr(path)
        if named:  # before trying it as a pattern: "cells [1].tif" is also a name
            files = [path]
        elif path.is_dir() and str(pattern):  # "" is not the current folder
            shown = [item for item in path.iterdir() if not item.name.startswith(".")]
            files = [p for p in shown if (_is_read(p) and _is_file(p)) or is_zarr(p)]
            others = [p.suffix for p in shown if p.suffix.lower() in (*_NOT_READ, *_REMEDIES)]
            if not files and others:
                remedy = _REMEDIES.get(others[0].lower(), "save them as TIFF or OME-Zarr, as Fiji does")
                raise InputError(
                    f"The folder {path} holds {others[0]} files, which cannot be read here; {remedy}."
                )
            if not files:
                inside = f', or those of folders in it by "{path / "**" / "*.tif"}"' * any(
                    map(Path.is_dir, shown)
                )
                raise InputError(
                    f"The folder {path} holds no images; choose one with {', '.join(SUFFIXES)} files{inside}."
                )
        else:
            # Not `Path.glob`, which finds hidden files and refuses absolute patterns.
            found_here = map(Path, glob.glob(str(path), recursive=True))  # noqa: PTH207
            files = [p for p in found_here if (_is_file(p) and p.name != ZARR[-1]) or is_zarr(p)]
            if not files and "://" in str(pattern):
                raise InputError(
                    f"'{pattern}' is an address on the net; download it first, and give the file or folder."
                )
            if not files:
                raise InputError(f"There is no file '{pattern}'; check its name and folder.")
        if not (named or results):
            files = [item for item in files if maker_of(item) not in (SOFTWARE, BY_HAND)]
            if not files:
                raise InputError(f"{pattern} holds only results of napari-unet; give the images.")
        for item in sorted(files, key=_natural):
            found.setdefault(os.path.abspath(item), item)  # noqa: PTH100 (which takes no "..")
    return list(found.values())


def not_read(patterns: Iterable[str | Path], found: Iterable[Path]) -> list[Path]:
    """Return the images in given folders that are left out because of their format.

    An image of the same name among those that were ``found``, such as its copy in TIFF, stands for it.
    """
    names = {stem(path) for path in found}
    folders = [path for path in map(user_path, patterns) if path.is_dir() and not is_zarr(path)]
    inside = [item for folder in folders for item in folder.iterdir() if not item.name.startswith(".")]
    others = [item for item in inside if item.suffix.lower() in _NOT_READ]
    return sorted((item for item in others if stem(item) not in names), key=_natural)


def _is_read(path: Path) -> bool:
    return path.suffix.lower() in (*SUFFIXES, *_ALSO_TIFF)


def _is_file(path: Path) -> bool:
    """Return whether ``path`` is a file, or a link to a missing one, which is reported when it is read."""
    return path.is_file() or (path.is_symlink() and not path.exists())


def _natural(path: Path) -> list[tuple[int, int, str]]:
    # Digits and text alternate, so numbers meet numbers and text meets text.
    parts = re.split(r"(\d+)", str(path).lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]


def pair_by_stem(
    images: Sequence[Path], paints: Sequence[Path], *, endings: Sequence[str] = ()
) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """Find the image for every paint: the one with the same name, whatever its folder and ending.

    A single image and a single paint belong together, whatever their names. The ``endings`` of names are
    ignored: with "_objects", "a_objects.tif" and "a.tif" belong together. Returns pairs of image and paint,
    at least one, in the order of the paints, and the images without paint. ``InputError`` if a paint has no
    image or is its own, a name occurs twice, or there is no paint.
    """
    by_name, paint_by_name = _by_name(images, endings), _by_name(paints, endings)
    if not paints:
        raise InputError("There is no paint; give at least one paint file.")
    if len(images) == len(paints) == 1:
        by_name = dict.fromkeys(paint_by_name, images[0])
    pairs = []
    for name, paint in paint_by_name.items():
        if name not in by_name:
            raise InputError(
                f"{paint} has no counterpart named {name!r}; name both files alike, or leave this one out."
            )
        image = by_name.pop(name)
        if os.path.realpath(image) == os.path.realpath(paint):
            raise InputError(
                f"{paint} is given in both roles; keep the two kinds of files in separate folders."
            )
        pairs.append((image, paint))
    return pairs, list(by_name.values())


def result_name(path: Path) -> str:
    """Return what the results of an image are named after: its stem, after that of the zarr it is in."""
    return result_stem((f"{result_name(path.parent)}_" if is_zarr(path.parent) else "") + stem(path))


def _by_name(paths: Sequence[Path], endings: Sequence[str]) -> dict[str, Path]:
    result: dict[str, Path] = {}
    for path in paths:
        name = stem(path)
        name = result_stem(name.removesuffix(next(filter(name.endswith, endings), "")))
        if name in result:
            raise InputError(
                f"{result[name]} and {path} have the same name {name!r}; rename one, or leave it out."
            )
        result[name] = path
    return result

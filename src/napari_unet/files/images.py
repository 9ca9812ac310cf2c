"""Images and label images as files, one by one and paired by name."""

import glob
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.axes import Channels
from napari_unet.core.errors import InputError
from napari_unet.files.atomic import writing

SUFFIXES = (".tif", ".tiff", ".lsm", ".png", ".jpg", ".jpeg", ".bmp", ".webp")
"""Endings of the files that are taken from a folder."""

_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""How TIFF and BigTIFF begin, in either byte order."""

_IMAGEJ_AXES = "TZCYX"
_IMAGEJ_DTYPES = ("uint8", "uint16", "float32")
_IMAGEJ_LIMIT = 2**32 - 2**25
"""Pixels in bytes that fit a file ImageJ opens by itself."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredImage:
    """Pixels as a file holds them, and what the file says of their axes.

    Parameters
    ----------
    pixels : array
        Any shape; the dtype of the file. An axis that the file calls channels comes first.
    axes : str
        One letter for each axis, such as "TCYX", or "" where the file does not say; "Q" is an axis of unknown
        kind.
    """

    pixels: NDArray[Any]
    axes: str

    @property
    def channels(self) -> Channels:
        """Where the channels are; "auto" if the file names none: many files call channels slices."""
        return "first" if "C" in self.axes else "auto"


def read_image(path: str | Path) -> StoredImage:
    """Read an image or a label image.

    Parameters
    ----------
    path : str or Path
        TIFF (plain, ImageJ, OME, LSM), PNG, JPEG or another format that scikit-image reads, whatever its
        ending. Of a file with several images or resolutions, the first is read.

    Raises
    ------
    InputError
        One sentence if the file is missing, damaged, compressed in a way that needs a further package, or no
        image.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; give an image file.")
    try:
        with path.open("rb") as file:
            is_tiff = file.read(4) in _TIFF_MAGIC
    except FileNotFoundError as error:
        raise InputError(f"There is no image file {path}; check its name and folder.") from error
    except OSError as error:
        raise InputError(f"{path} could not be read ({error.strerror}); check its permissions.") from error
    try:
        pixels, axes = _read_tiff(path) if is_tiff else _read_other(path)
    except Exception as error:  # decoders raise whatever a damaged file makes them run into
        raise InputError(_why_unreadable(path, error)) from error
    if "C" in axes:
        channel = axes.index("C")
        return StoredImage(np.moveaxis(pixels, channel, 0), "C" + axes.replace("C", ""))
    return StoredImage(pixels, axes)


def _read_tiff(path: Path) -> tuple[NDArray[Any], str]:
    import tifffile

    with tifffile.TiffFile(path) as file:
        series = file.series[0].levels[0]
        pixels = np.asarray(series.asarray())
        if series.axes.endswith("S"):
            pixels = _without_opaque_alpha(pixels)
        axes = series.axes.replace("S", "C").replace("I", "Q")
        # A file of colour channels (C) in colour (S) has no one channel axis; its user can still say where
        # they are.
        return pixels, axes if len(axes) == pixels.ndim and axes.count("C") <= 1 else ""


def _read_other(path: Path) -> tuple[NDArray[Any], str]:
    from skimage.io import imread

    # From memory: given a path, the decoders leave damaged files open, which Windows cannot delete then.
    pixels = np.asarray(imread(io.BytesIO(path.read_bytes())))
    if pixels.ndim == 3:
        pixels = _without_opaque_alpha(pixels)
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    return pixels, {2: "YX", 3: "YXC"}.get(pixels.ndim, "")


def _without_opaque_alpha(pixels: NDArray[Any]) -> NDArray[Any]:
    """Leave out the alpha channel where it is opaque, as in screenshots: it says nothing."""
    has_alpha = pixels.shape[-1] in (2, 4) and pixels.dtype.kind == "u"
    if has_alpha and (pixels[..., -1] == np.iinfo(pixels.dtype).max).all():
        return pixels[..., :-1]
    return pixels


def _why_unreadable(path: Path, error: Exception) -> str:
    reason = " ".join(str(error).split()) or type(error).__name__
    if "imagecodecs" in reason:
        return (
            f"{path} is compressed in a way that needs the package imagecodecs; install it (pip install "
            "imagecodecs) or save the image without compression."
        )
    if isinstance(error, MemoryError):
        return f"{path} does not fit into memory, or is damaged; crop it or use a computer with more memory."
    if "BytesIO" in reason:  # what was given to the decoders, none of which knew it
        reason = "it holds no kind of image known here"
    known = ", ".join(SUFFIXES)
    return (
        f"{path} could not be read as an image ({reason}); use another copy of it, or one of these formats: "
        f"{known}."
    )


def write_image(path: str | Path, pixels: NDArray[Any], axes: str = "") -> None:
    """Write a TIFF file, completely or not at all, with every value exactly as it is.

    Parameters
    ----------
    path : str or Path
        An existing file is replaced.
    pixels : array
        int32, uint8, float32 or any other dtype that TIFF holds. 8-bit, 16-bit and float32 files are ImageJ's
        own kind where the order of the axes is; ImageJ opens the others too, but shows whole numbers above
        2^24 rounded.
    axes : str
        One letter for each axis, or "" if not known.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    import tifffile

    positions = [_IMAGEJ_AXES.find(axis) for axis in axes]
    imagej = (
        bool(axes)
        and -1 not in positions
        and positions == sorted(set(positions))
        and pixels.dtype.name in _IMAGEJ_DTYPES
        and pixels.nbytes < _IMAGEJ_LIMIT
    )
    with writing(path) as temporary:
        tifffile.imwrite(
            temporary,
            pixels,
            imagej=imagej,
            # Otherwise three planes of 8 bits would become one in colour.
            photometric="minisblack",
            metadata={"axes": axes} if axes else {},
        )


def expand_paths(patterns: Iterable[str | Path]) -> list[Path]:
    """Return the files that are meant, each once.

    Parameters
    ----------
    patterns : iterable of str or Path
        Files, folders (all images directly inside, hidden ones left out) and patterns such as "data/*.tif" or
        "data/**/*.tif". They keep their order; within a folder or pattern 2 comes before 10.

    Raises
    ------
    InputError
        If one of them stands for no file.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        path = Path(pattern).expanduser()
        if path.is_dir():
            files = [item for item in path.iterdir() if _is_image_name(item) and item.is_file()]
            if not files:
                raise InputError(
                    f"The folder {path} holds no images; choose one with {', '.join(SUFFIXES)} files."
                )
        elif path.exists():  # before it is taken for a pattern: "cells [1].tif" is a name, too
            files = [path]
        else:
            # Not `Path.glob`, which takes hidden files and refuses absolute patterns.
            names = glob.glob(str(path), recursive=True)  # noqa: PTH207
            files = [Path(name) for name in names if Path(name).is_file()]
            if not files:
                raise InputError(f"There is no file {str(pattern)!r}; check its name and folder.")
        found.update(dict.fromkeys(sorted(files, key=_natural)))
    return list(found)


def _is_image_name(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _natural(path: Path) -> list[tuple[int, int, str]]:
    # Digits and text alternate, so numbers meet numbers and text meets text.
    parts = re.split(r"(\d+)", str(path).lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]


def stem(path: Path) -> str:
    """Return the name of an image without its folder and ending; ".ome.tif" is one ending."""
    return re.sub(r"(?i)\.ome$", "", path.stem)


def pair_by_stem(
    images: Sequence[Path], paints: Sequence[Path], *, ending: str = ""
) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """Find the image that belongs to every paint: the one of the same name, whatever its folder and ending.

    Parameters
    ----------
    images, paints : sequence of Path
        Files, as :func:`expand_paths` returns them.
    ending : str
        Part of a name that does not count: with "_objects", "a_objects.tif" and "a.tif" belong together.

    Returns
    -------
    pairs : list of (Path, Path)
        Image and paint, in the order of the paints; at least one.
    unpaired : list of Path
        Images without paint.

    Raises
    ------
    InputError
        If a paint has no image or is its own, a name occurs twice, or there is no paint.
    """
    by_name, paint_by_name = _by_name(images, ending), _by_name(paints, ending)
    if not paints:
        raise InputError("There is no paint; give at least one file of it.")
    pairs = []
    for name, paint in paint_by_name.items():
        if name not in by_name:
            raise InputError(f"{paint} has no counterpart named {name!r}; name both files alike.")
        image = by_name.pop(name)
        if image.resolve() == paint.resolve():
            raise InputError(
                f"{paint} is given in both roles; keep the two kinds of files in folders of their own."
            )
        pairs.append((image, paint))
    return pairs, list(by_name.values())


def _by_name(paths: Sequence[Path], ending: str) -> dict[str, Path]:
    result: dict[str, Path] = {}
    for path in paths:
        name = stem(path).removesuffix(ending)
        if name in result:
            raise InputError(
                f"{result[name]} and {path} have the same name {name!r}; rename one, or leave it out."
            )
        result[name] = path
    return result

"""What a project holds, as the text file `project.toml` in its folder; docs/project-files.md describes it.

A project may come from anyone. Names of files inside its folder must be plain names, so that nothing is ever
written outside, and the sizes it gives are compared with the actual ones.
"""

import math
import os
import re
import secrets
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tomli_w
from numpy.typing import NDArray

from napari_unet._version import __version__
from napari_unet.core.annotation import Mode
from napari_unet.core.arrays.axes import Channels
from napari_unet.core.errors import InputError
from napari_unet.core.painted.known_full import KnownFull
from napari_unet.files.atomic import writing
from napari_unet.files.opening import user_path
from napari_unet.files.pixels.pixel_size import PixelSize
from napari_unet.files.pixels.tiff_axes import TiffAxes
from napari_unet.files.plain import from_plain, to_plain

FILE = "project.toml"
FORMAT = "napari-unet project"
VERSION = 1
"""Increases whenever an older release would misunderstand or damage a new project."""

PAINT, IMAGES, MODELS = "paint", "images", "models"
"""The folders inside a project."""

SETTINGS = "settings.toml"
"""The file with the settings of the docks."""

_SIZE_LIMIT = 64 * 2**20
"""Limit in bytes of a project file; thousands of images take less."""

_NAME = re.compile(r"\w[\w .,()+-]{0,99}")
_MODEL = re.compile(r'[^\x00-\x1f<>:"/\\|?*.][^\x00-\x1f<>:"/\\|?*]{0,199}')
"""Pattern of the name of a model, which contains that of an image."""

_NO_TEXT = {0xDC80 + byte: 0xEF80 + byte for byte in range(128)}
"""Python's stand-ins for bytes of file names that are not UTF-8, as in archives of other systems, and the
private-use characters that replace them in text."""

_AS_NAMED = {letter: half for half, letter in _NO_TEXT.items()}

_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
"""Names that Windows reserves for devices."""

Kind = Literal["paint", "objects", "classes"]


@dataclass(frozen=True, slots=True)
class LayerLook:
    """Where a layer is in the world, and how it is shown; for empty entries, napari chooses.

    ``rotate`` and ``affine`` are matrices, row by row; ``order`` is its place in the layer list, 0 lowest.
    """

    name: str
    order: int = 0
    scale: tuple[float, ...] = ()
    translate: tuple[float, ...] = ()
    rotate: tuple[tuple[float, ...], ...] = ()
    shear: tuple[float, ...] = ()
    affine: tuple[tuple[float, ...], ...] = ()
    units: tuple[str, ...] = ()
    axis_labels: tuple[str, ...] = ()
    visible: bool = True
    opacity: float = 1.0
    blending: str = ""
    colormap: str = ""
    contrast_limits: tuple[float, ...] = ()
    gamma: float = 1.0


@dataclass(frozen=True, slots=True)
class ProjectImage:
    """An image of a project: a file elsewhere, or a copy in the project if it has no file."""

    key: str  # its name in the project; no two images have the same
    look: LayerLook
    # as it was when painted on; `sample` is of its pixels
    shape: tuple[int, ...]
    dtype: str
    # its file, relative to the project folder, with "/" between the parts; "" if it is kept there
    path: str = ""
    absolute: str = ""  # the absolute path on the computer where it was last saved
    reader: str = ""  # the napari plugin that read it; "" if not known
    kept: str = ""  # its file in the folder `images` of the project; "" if it is linked
    sample: str = ""
    size: int = 0  # of its file in bytes; 0 for a folder, such as a zarr image
    rgb: bool = False  # whether its last axis is colour
    parts: tuple[str, ...] = ()  # the keys of the images that are its channels; () if it was not made of such
    # the key of the image that it was cropped from, which may be gone, and its first pixel there
    part_of: str = ""
    first_pixel: tuple[int, ...] = ()
    # what its file, or that of the image it was made of, says of its axes; see `TiffAxes`
    axes: str = ""
    pixel_size: PixelSize | None = None

    @property
    def said_axes(self) -> TiffAxes | None:
        """What its file says of its axes; None if it says nothing, or nothing that can be."""
        size = self.pixel_size
        lengths = [] if size is None else [size.t, size.z, size.y, size.x]
        usable = all(length is None or (math.isfinite(length) and length > 0) for length in lengths)
        if not usable or len(self.axes) != len(self.shape) or len(self.axes) == 0:
            return None
        return TiffAxes(self.axes, self.shape, size)


@dataclass(frozen=True, slots=True)
class ProjectLabels:
    """Paint of an image, or objects or classes predicted for it, which the user may have corrected."""

    file: str  # a zarr array in the folder `paint` of the project
    image: str  # the key of its image
    look: LayerLook
    kind: Kind = "paint"
    # what the values mean, and where the image has its channels; of paint
    mode: Mode = "objects"
    channels: Channels = "auto"
    # which objects are painted up to their border, see `KnownFull`
    filled: bool = False
    accepted: tuple[tuple[int, int], ...] = ()
    # the file, also in `paint`, with the prediction before it was corrected; "" for paint
    predicted: str = ""
    # which planes of a stack were segmented, by their indices along the leading axes; () for all
    planes: tuple[tuple[int, ...], ...] = ()

    @property
    def full(self) -> KnownFull:
        """What is known about the objects that are painted up to their border."""
        return KnownFull(self.filled, frozenset(self.accepted))


@dataclass(frozen=True, slots=True)
class ProjectRegions:
    """The complete regions of the paint of one image, as they were drawn.

    ``kinds`` are "rectangle", "polygon" or "ellipse" (given by the corners of its box), and ``corners`` are,
    for each, its corners in pixels, one number for every axis of the paint.
    """

    image: str
    look: LayerLook
    kinds: tuple[str, ...] = ()
    corners: tuple[tuple[tuple[float, ...], ...], ...] = ()

    def shapes(self, ndim: int) -> Iterator[tuple[str, NDArray[np.float64]]]:
        """Yield kind and corners (N, ndim) of all regions that fit paint with ``ndim`` axes."""
        for kind, corners in zip(self.kinds, self.corners, strict=False):
            enough = len(corners) >= 3 if kind == "polygon" else len(corners) == 4
            usable = kind in ("rectangle", "polygon", "ellipse") and enough
            if usable and all(len(corner) == ndim and all(map(math.isfinite, corner)) for corner in corners):
                yield kind, np.array(corners, float)


@dataclass(frozen=True, slots=True)
class Project:
    """The content of `project.toml`."""

    # a random name that identifies the project on other computers and in copies of its folder
    identity: str = field(default_factory=lambda: secrets.token_hex(8))
    images: tuple[ProjectImage, ...] = ()
    labels: tuple[ProjectLabels, ...] = ()
    regions: tuple[ProjectRegions, ...] = ()
    model: str = ""  # the last trained model file in the folder `models`; "" if there is none
    # the model last predicted with, unless one was trained since: a file in `models`, the name of a starter,
    # or the absolute path of another file
    predicts_with: str = ""

    def labels_of(self, image: str) -> tuple[ProjectLabels, ...]:
        """Return the labels of the image with this key."""
        return tuple(labels for labels in self.labels if labels.image == image)


def is_project(path: Path) -> bool:
    """Return whether ``path`` is a project folder, or its `project.toml`, judging by names."""
    return path.name == FILE if path.is_file() else (path / FILE).is_file()


def project_folder(path: str | Path) -> Path:
    """Return the folder of a project; ``path`` is that folder or its `project.toml`."""
    path = user_path(path)
    return path.parent if path.name == FILE and path.is_file() else path


def read_project(folder: Path) -> Project:
    """Read the content of a project.

    ``InputError`` if there is no project, or if it is damaged, comes from a newer version, or names files
    outside its folder.
    """
    path = folder / FILE
    try:
        if path.stat().st_size > _SIZE_LIMIT:
            raise InputError(f"{path} is too large to be a project of napari-unet; choose another folder.")
        plain = read_toml(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(
            f"{folder} is not a napari-unet project: it holds no {FILE}; choose one that does."
        ) from error
    except OSError as error:
        raise InputError(f"{path} could not be read ({error.strerror}); check its permissions.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged ({error}); correct it, or take it from a backup.") from error
    if plain.get("format") != FORMAT or type(plain.get("version")) is not int:
        raise InputError(f"{path} does not belong to a napari-unet project; choose another folder.")
    if plain["version"] > VERSION:
        raise InputError(
            f"{path} has project version {plain['version']} and this napari-unet reads up to {VERSION}; "
            "update napari-unet."
        )
    try:
        return _project(plain)
    except InputError as error:
        raise InputError(f"{path} cannot be used: {error}") from error
    except TypeError as error:  # Python's message about a missing entry
        absent = str(error).rpartition(": ")[2]
        raise InputError(
            f"{path} cannot be used, because an entry in it lacks {absent}; use another copy of it."
        ) from error


def write_project(folder: Path, project: Project) -> str:
    """Write `project.toml`, completely or not at all, and return its text.

    ``InputError`` if it names files outside the project, or cannot be written.
    """
    text = project_text(project)
    with writing(folder / FILE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return text


def project_text(project: Project) -> str:
    """Return the text of `project.toml`; ``InputError`` if a file it names would be outside the project."""
    _check(project)
    entries = {
        "format": FORMAT,
        "version": VERSION,
        "written_by": f"napari-unet {__version__}",
        **_without_defaults(project),
    }
    return toml_of(entries)


def toml_of(entries: Mapping[str, Any]) -> str:
    """Return entries as the text of a TOML file, even if names of files are not valid text."""
    return tomli_w.dumps(entries).translate(_NO_TEXT)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a file of :func:`toml_of`; ``OSError`` or ``ValueError`` if it cannot be read."""
    # Windows editors put a byte order mark before it.
    return tomllib.loads(path.read_text(encoding="utf-8-sig").translate(_AS_NAMED))


def check_name(name: str, what: str, usual: re.Pattern[str] = _NAME) -> str:
    """Return ``name`` if it matches ``usual`` and is the name of a file inside a folder on any system.

    ``InputError`` if it could be something else, such as a path out of the folder.
    """
    if not usual.fullmatch(name) or _RESERVED.fullmatch(name) or name[-1] in " .":
        raise InputError(
            f"{what} is named {name!r}, which is not the plain name of a file in the project; correct it."
        )
    return name


def inside(folder: Path, path: Path) -> Path:
    """Return ``path`` unless links lead out of ``folder``; ``InputError`` if they do."""
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise InputError(f"{path} leads out of the project; replace it with the file it leads to.")
    return path


def plain_name(text: str, taken: Sequence[str] = (), ending: str = "") -> str:
    """Return ``text`` with ``ending`` as a name that every file system allows and that is not ``taken``."""
    name = re.sub(r"[^\w .,()+-]|^\W+", "_", text)[:60].rstrip(" .") or "_"
    if _RESERVED.fullmatch(name) or not re.match(r"\w", name):
        name = f"_{name}"
    # Some file systems ignore case.
    known = {other.casefold() for other in taken}
    number, free = 2, name + ending
    while free.casefold() in known:
        free, number = f"{name} {number}{ending}", number + 1
    return free


def _project(plain: Mapping[str, Any]) -> Project:
    kinds: dict[str, type] = {"images": ProjectImage, "labels": ProjectLabels, "regions": ProjectRegions}
    parts: dict[str, Any] = {
        name: from_plain(str, plain.get(name, ""), name) for name in ("identity", "model", "predicts_with")
    }
    for name, kind in kinds.items():
        items = plain.get(name, [])
        if not isinstance(items, list):
            raise InputError(f"{name} is not a list of sections; write [[{name}]].")
        parts[name] = tuple(
            from_plain(kind, item, f"{name} {number}", ignore_unknown=True)
            for number, item in enumerate(items, start=1)
        )
    project = Project(**{name: part for name, part in parts.items() if part})
    _check(project)
    return project


def _check(project: Project) -> None:
    keys = [check_name(image.key, "An image") for image in project.images]
    for image in project.images:
        if image.kept:
            check_name(image.kept, f"The file of image '{image.key}'")
        if any(length < 0 for length in image.shape):
            raise InputError(f"The image '{image.key}' has the shape {image.shape}; correct it.")
    files = []
    for labels in project.labels:
        files.append(check_name(labels.file, "A file of paint"))
        if labels.predicted:
            files.append(check_name(labels.predicted, "A file of predicted labels"))
        if labels.image not in keys:
            raise InputError(f"{labels.file} belongs to the image '{labels.image}', which is not listed.")
    for regions in project.regions:
        if regions.image not in keys:
            raise InputError(
                f"Regions belong to the image '{regions.image}', which is not listed; correct it."
            )
    if project.model:
        check_name(project.model, "The model", _MODEL)
    for what, names in (("images", keys), ("files of paint", files)):
        if len({name.casefold() for name in names}) < len(names):
            raise InputError(f"Two {what} have the same name; rename one.")


def _without_defaults(value: Any) -> Any:
    """Return what differs from the defaults, and required entries, so that the file shows what was set."""
    if isinstance(value, tuple):
        return [_without_defaults(item) for item in value]
    if not is_dataclass(value):
        return to_plain(value)
    items = {each: getattr(value, each.name) for each in fields(value)}
    return {
        each.name: _without_defaults(item)
        for each, item in items.items()
        if item != each.default or each.name in ("kind", "mode")
    }

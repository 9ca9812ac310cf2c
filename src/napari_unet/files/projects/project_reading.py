"""The content of a project as arrays: its images with their paint, for scripts and the command line.

The arrays are those that the docks train on. The project is read as it is on disk, which does not disturb a
window that has it open. Images are read from their files, not by napari plugins.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import FIRST_OBJECT, Mode
from napari_unet.core.arrays.axes import CHANNEL_AXES, Channels, without_opaque_alpha
from napari_unet.core.arrays.lazy import LazyPixels, Pixels
from napari_unet.core.errors import InputError
from napari_unet.core.painted.advice import Place
from napari_unet.core.painted.object_distance import Full
from napari_unet.core.painted.regions import Region, complete, outline_region, shape_outline
from napari_unet.files.pixels.pixel_size import PixelSize, layer_pixel_size, layer_pixel_sizes
from napari_unet.files.pixels.sources import load_image
from napari_unet.files.pixels.stored_image import StoredImage
from napari_unet.files.projects.project import (
    FORMAT,
    IMAGES,
    MODELS,
    VERSION,
    LayerLook,
    Project,
    ProjectImage,
    ProjectLabels,
    ProjectRegions,
    project_folder,
    read_project,
)
from napari_unet.files.projects.project_images import file_name, places, read_kept
from napari_unet.files.projects.project_lock import open_where
from napari_unet.files.projects.project_store import is_alike, matches, read_labels


@dataclass(frozen=True, slots=True, eq=False)
class FoundImage:
    """An image of a project, where it is now.

    ``pixels`` are as napari shows them (any shape, numpy or lazy), None if the image is missing or has
    changed shape. ``is_whole`` says whether they are everything in the file ``path``; ``sentence`` says what
    is wrong, "" if nothing is.
    """

    entry: ProjectImage
    path: Path | None = None
    pixels: Any = None
    is_whole: bool = True
    sentence: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class PaintedImages:
    """The painted images of a project, ready for :func:`napari_unet.train`.

    Parameters
    ----------
    names : list of str
        Names of their layers.
    images, paints : list of array
        Pixels as napari shows them, and paint (…YX) in which complete regions are filled in.
    full : list of Full
        Which painted objects are filled to their border: True, False, or their values.
    mode, channels
        What the paint means, and where the channels are; as for :class:`napari_unet.TrainingConfig`.
    sizes : list of tuple of float
        Length of a pixel along each axis of every paint, in one unit. Divided by the shortest among the axes
        that the network sees, they are the ``spacing`` that the docks train with.
    pixel_sizes : list of PixelSize or None
        The same in micrometres.
    places : list of Place
        Of what image each is a part, and which.
    sentences : list of str
        What is missing, or has changed since it was painted on.
    """

    names: list[str]
    images: list[Any]
    paints: list[NDArray[Any]]
    full: list[Full]
    mode: Mode
    channels: Channels
    sizes: list[tuple[float, ...]]
    pixel_sizes: list[PixelSize | None]
    places: list[Place]
    sentences: list[str]


def load_project(folder: str | Path) -> PaintedImages:
    """Read the painted images of a project as last saved, even while it is open in a window.

    Parameters
    ----------
    folder : str or Path
        Folder of the project, or its `project.toml`.

    Returns
    -------
    PaintedImages
        Lists with one entry for each painted image, and what the paint means.

    Raises
    ------
    InputError
        If there is no project, nothing in it is painted, or it has paint of both objects and classes.
    """
    folder = project_folder(folder)
    project = read_project(folder)
    found: list[tuple[FoundImage, ProjectLabels, NDArray[Any], Full]] = []
    sentences: list[str] = []
    for labels in project.labels:
        if labels.kind != "paint":
            continue
        paint, full, damage = read_paint(folder, project, labels)
        sentences += [damage] if damage else []
        if not paint.any():
            continue
        (entry,) = (image for image in project.images if image.key == labels.image)
        image = find_image(entry, folder)
        sentences += [image.sentence] if image.sentence else []
        if image.pixels is not None:
            found.append((image, labels, paint, full))
    if not found:
        why = sentences[0] if sentences else "open it in napari and paint on its images first."
        raise InputError(f"Nothing in the project {folder} can be learnt from: {why}")
    modes: set[Mode] = {labels.mode for _, labels, _, _ in found}
    if len(modes) > 1:
        raise InputError(
            f"Some images of the project {folder} have paint of objects and some of classes; choose one for "
            "all in the Paint dock."
        )
    channels: set[Channels] = {
        "last" if image.entry.rgb else labels.channels for image, labels, _, _ in found
    }
    measured = [_pixel_sizes(image.entry, labels, paint.ndim) for image, labels, paint, _ in found]
    return PaintedImages(
        names=[image.entry.look.name for image, _, _, _ in found],
        images=[
            without_opaque_alpha(image.pixels) if image.entry.rgb else image.pixels
            for image, _, _, _ in found
        ],
        paints=[paint for _, _, paint, _ in found],
        full=[full for _, _, _, full in found],
        mode=modes.pop(),
        channels=channels.pop() if len(channels) == 1 else "auto",
        sizes=[sizes for sizes, _ in measured],
        pixel_sizes=[size for _, size in measured],
        places=[_place(image.entry, labels, paint.ndim) for image, labels, paint, _ in found],
        sentences=sentences,
    )


def _place(image: ProjectImage, labels: ProjectLabels, ndim: int) -> Place:
    """Return which pixels paint with ``ndim`` axes is for, as docks do."""
    axes = list(range(len(image.shape) - image.rgb))
    is_part = image.part_of and len(image.first_pixel) == len(axes)
    whole, first = (image.part_of, image.first_pixel) if is_part else (image.key, (0,) * len(axes))
    channel = None if image.rgb else CHANNEL_AXES.get(labels.channels)
    if len(axes) > ndim and channel is not None:
        del axes[channel]
    return Place(whole, tuple(slice(first[axis], first[axis] + image.shape[axis]) for axis in axes))


def _pixel_sizes(
    image: ProjectImage, labels: ProjectLabels, ndim: int
) -> tuple[tuple[float, ...], PixelSize | None]:
    """Return the length of a pixel of paint along every axis, and the same in micrometres, as docks do.

    What the file of the image says counts if its layer has neither a scale nor units.
    """
    look, said = labels.look, image.said_axes
    names = [label.upper() for label in look.axis_labels] or list(said.letters if said else "")
    channel = -1 if image.rgb else CHANNEL_AXES.get(labels.channels)
    if len(names) > ndim and channel is not None:
        del names[channel]
    if look.scale or look.units or said is None or said.pixel_size is None or len(names) != ndim:
        return layer_pixel_sizes(look.scale, look.units, ndim), layer_pixel_size(look.scale, look.units, ndim)
    along = {name: said.pixel_size.along(name) for name in names}
    lengths = {name: (size, "s" if name == "T" else "µm") for name, size in along.items() if size is not None}
    return tuple(along[name] or 1.0 for name in names), PixelSize.of(lengths)


def describe_project(folder: Path) -> dict[str, Any]:
    """Return the content of a project as JSON values: images, their paint, models, and where it is in use.

    ``InputError`` if there is no project. The sentences of images and labels say what is missing.
    """
    project = read_project(folder)
    models = folder / MODELS
    return {
        "format": FORMAT,
        "version": VERSION,
        "open": open_where(folder),
        "model": project.model,
        "models": sorted(path.name for path in models.glob("*.safetensors")) if models.is_dir() else [],
        "images": [_describe_image(folder, project, entry) for entry in project.images],
    }


def _describe_image(folder: Path, project: Project, entry: ProjectImage) -> dict[str, Any]:
    found = find_image(entry, folder)
    return {
        "key": entry.key,
        "name": entry.look.name,
        "shape": list(entry.shape),
        "dtype": entry.dtype,
        "path": "" if found.path is None else str(found.path),
        "sentence": found.sentence,
        "labels": [_describe_labels(folder, project, labels) for labels in project.labels_of(entry.key)],
    }


def _describe_labels(folder: Path, project: Project, labels: ProjectLabels) -> dict[str, Any]:
    told: dict[str, Any] = {"kind": labels.kind, "mode": labels.mode, "file": labels.file}
    try:
        pixels, full, damage = read_paint(folder, project, labels)
    except InputError as error:
        return told | {"labelled": 0.0, "objects": 0, "full": 0, "regions": 0, "sentence": str(error)}
    first = 1 if labels.kind == "objects" else FIRST_OBJECT
    objects = int(np.count_nonzero(np.unique(pixels) >= first))
    shown = [regions for regions in project.regions if regions.image == labels.image]
    return told | {
        "labelled": float(np.count_nonzero(pixels) / max(pixels.size, 1)),
        "objects": objects,
        "full": objects if full is True else len(full or ()),
        "regions": sum(len(regions.kinds) for regions in shown) if labels.kind == "paint" else 0,
        "sentence": damage,
    }


def read_paint(folder: Path, project: Project, labels: ProjectLabels) -> tuple[NDArray[Any], Full, str]:
    """Return paint (…YX) with complete regions filled in, its full objects, and a sentence on damage."""
    paint, damage = read_labels(folder, labels.file)
    if labels.kind != "paint":
        return paint, False, damage
    drawn = next((regions for regions in project.regions if regions.image == labels.image), None)
    regions = () if drawn is None else enclosed(drawn, labels.look, paint.shape)
    paint = complete(paint, regions)
    return paint, replace(labels.full, regions=regions).within(paint), damage


def read_truth(
    folder: Path, project: Project, labels: ProjectLabels, *, of_all_planes: bool = True
) -> NDArray[Any]:
    """Return the objects (…YX) of a completely painted or corrected image; 0 is background.

    ``InputError`` if a part is not labelled, or the labels are classes; or unless ``of_all_planes`` is False,
    if they were predicted for some planes only.
    """
    name = labels.look.name
    if labels.kind == "classes" or (labels.kind == "paint" and labels.mode == "classes"):
        raise InputError(f"'{name}' shows classes, not separate objects; compare objects.")
    if labels.kind == "objects":
        objects: NDArray[Any] = read_labels(folder, labels.file)[0]
        segmented = set(labels.planes)
        planes = list(np.ndindex(objects.shape[: max(map(len, segmented), default=0)]))
        if of_all_planes and segmented and not segmented.issuperset(planes):
            raise InputError(
                f"Only {len(segmented)} of {len(planes)} planes of '{name}' were segmented, so it cannot be "
                "the truth; predict the others in napari, too, and correct them."
            )
        return objects
    paint, _, _ = read_paint(folder, project, labels)
    if not paint.all():
        share = np.count_nonzero(paint) / paint.size
        raise InputError(
            f"Only {share:.0%} of '{name}' is labelled, so it cannot be the truth; paint all of it, "
            "or draw a complete region around it."
        )
    paint[paint < FIRST_OBJECT] = 0
    return paint


def find_image(entry: ProjectImage, folder: Path) -> FoundImage:
    """Find an image of the project in ``folder`` and open it; failures are returned, not raised."""
    name = entry.look.name
    try:
        if entry.kept:
            return FoundImage(entry, folder / IMAGES / entry.kept, read_kept(entry, folder))
        other = None
        for path in places(entry, folder):
            for pixels, is_whole in _layouts(load_image(path), entry):
                if matches(entry, pixels):
                    return FoundImage(entry, path, pixels, is_whole)
                if other is None and is_alike(entry, pixels):
                    changed = (
                        f"The image {path} has changed since it was painted on; see whether its paint fits."
                    )
                    other = FoundImage(entry, path, pixels, is_whole, changed)
            other = other or FoundImage(
                entry,
                sentence=f"The image {path} had the shape {entry.shape} when it was painted on, and has "
                "another now; bring the old image back, or paint on the new one.",
            )
    except InputError as error:
        return FoundImage(entry, sentence=str(error))
    return other or FoundImage(
        entry,
        sentence=f"The image {file_name(entry) or name} was not found; open the project in napari and choose "
        "Find images there.",
    )


def enclosed(regions: ProjectRegions, look: LayerLook, shape: tuple[int, ...]) -> tuple[Region, ...]:
    """Return which pixels of paint of this look and shape (…YX) the complete regions enclose."""
    ndim = len(shape)
    to_paint = np.linalg.inv(_to_world(look, ndim)) @ _to_world(regions.look, ndim)
    outlines = (shape_outline(corners, kind) for kind, corners in regions.shapes(ndim))
    found = (
        outline_region((np.c_[corners, np.ones(len(corners))] @ to_paint.T)[:, :ndim], shape)
        for corners in outlines
    )
    return tuple(region for region in found if region is not None)


def _layouts(stored: StoredImage, entry: ProjectImage) -> Iterator[tuple[Any, bool]]:
    """Yield the pixels of a file with their axes, in each form that napari or a plugin may show.

    Also yield whether these are all pixels; a plugin may make a layer of each channel.
    """
    pixels = stored.pixels
    yield pixels, True
    if stored.file_axes:
        axes = stored.axes.replace("C", "")
        order = [axes.index(letter) for letter in stored.file_axes]
        pixels = pixels.transpose([0, *(n + 1 for n in order)] if "C" in stored.axes else order)
        yield pixels, True
    if "C" not in stored.axes:
        return
    for place in range(pixels.ndim - 1, 0, -1):
        moved = pixels.transpose([*range(1, place + 1), 0, *range(place + 1, pixels.ndim)])
        yield moved, True
        if entry.rgb and moved.dtype.kind == "u" and entry.shape[-1] == moved.shape[-1] + 1:
            whole = LazyPixels(_WithAlpha(moved))
            yield whole if isinstance(pixels, LazyPixels) else np.asarray(whole), True
    for channel in range(len(pixels)):
        yield pixels[channel], False


class _WithAlpha:
    """Colours with their opaque alpha, which reading leaves out, but comparisons need."""

    def __init__(self, colours: Pixels) -> None:
        self._colours = colours
        self.shape = (*colours.shape[:-1], colours.shape[-1] + 1)
        self.dtype = colours.dtype

    def __getitem__(self, key: tuple[int | slice, ...]) -> NDArray[Any]:
        colours = np.asarray(self._colours[(*key[:-1], slice(None))])
        alpha = np.full((*colours.shape[:-1], 1), np.iinfo(self.dtype).max, self.dtype)
        return np.concatenate([colours, alpha], axis=-1)[..., key[-1]]


def _to_world(look: LayerLook, ndim: int) -> NDArray[np.float64]:
    """Return napari's matrix from pixels to the world; invalid parts are left out.

    As in napari: scale, shear, rotation and shift, followed by the affine matrix.
    """
    shear = np.eye(ndim)
    shear[np.triu_indices(ndim, 1)] = _numbers(look.shear, (ndim * (ndim - 1) // 2,), 0)
    scale = _numbers(look.scale, (ndim,), 1)
    inner = np.eye(ndim + 1)
    inner[:ndim, :ndim] = (
        _matrix(look.rotate, ndim) @ shear @ np.diag(scale if scale.all() else np.ones(ndim))
    )
    inner[:ndim, ndim] = _numbers(look.translate, (ndim,), 0)
    return _matrix(look.affine, ndim + 1) @ inner


def _matrix(rows: Sequence[Sequence[float]], size: int) -> NDArray[np.float64]:
    fits = len(rows) == size and all(len(row) == size for row in rows)
    matrix = np.array(rows, float) if fits else np.eye(size)
    is_usable = np.isfinite(matrix).all() and abs(np.linalg.det(matrix)) > 1e-12
    return matrix if is_usable else np.eye(size)


def _numbers(values: Sequence[float], shape: tuple[int], usual: float) -> NDArray[np.float64]:
    numbers = np.array(values, float)
    return numbers if numbers.shape == shape and np.isfinite(numbers).all() else np.full(shape, usual)

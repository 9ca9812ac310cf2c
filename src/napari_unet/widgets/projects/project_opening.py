"""Makes the layers of a project again: images from where their files are now, and the paint on them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import npe2
import numpy as np

from napari_unet.core.errors import InputError
from napari_unet.files.pixels.images import SUFFIXES, is_zarr
from napari_unet.files.projects.project import (
    Project,
    ProjectImage,
    ProjectLabels,
    ProjectRegions,
    read_project,
)
from napari_unet.files.projects.project_images import file_name, file_size, places, read_kept
from napari_unet.files.projects.project_store import is_alike, matches, read_labels
from napari_unet.widgets.bridge.channel_order import other_orders
from napari_unet.widgets.bridge.colours import object_colours, paint_colours
from napari_unet.widgets.bridge.marks import FILE, KEY
from napari_unet.widgets.bridge.seen_axes import noted
from napari_unet.widgets.painting.regions import regions_style
from napari_unet.widgets.projects.project_layers import LayerData, layer_arguments, regions_arguments

_BUILTIN = "napari"
_NEVER = (".py", ".pyc", ".pkl", ".pickle", ".obj")
"""Endings of files that are or may contain code; they are opened by hand only: anybody can make projects."""


@dataclass(frozen=True, slots=True)
class Tag:
    """What a layer is in a project; it is in the metadata of the layer until the window turns it into a mark.

    ``image`` is the key of its image; ``labels`` is the file of labels, and ``predicted`` is what they were
    before corrections; ``is_regions`` is True for complete regions.
    """

    identity: str
    image: str = ""
    labels: str = ""
    is_regions: bool = False
    predicted: Any = None


@dataclass(slots=True)
class OpenedProject:
    """The layers of a project, lowest first, and sentences about them."""

    project: Project
    layers: list[LayerData] = field(default_factory=list)
    missing: list[ProjectImage] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)


def open_layers(folder: Path) -> OpenedProject:
    """Read the project in ``folder``; ``InputError`` if it cannot be read.

    The ``sentences`` say what is missing or damaged; the rest opens.
    """
    project = read_project(folder)
    opened = OpenedProject(project)
    made: list[tuple[int, LayerData]] = []
    for image in project.images:
        layer = _image(opened, image, folder)
        if layer is None:
            opened.missing.append(image)
        else:
            made.append((image.look.order, layer))
    shapes: dict[str, tuple[int, ...]] = {}
    for labels in project.labels:
        try:
            made.append((labels.look.order, _labels(opened, labels, folder)))
        except InputError as error:
            opened.sentences.append(str(error))
        else:
            # Of the shape of the paint: only the paint knows its axes.
            shapes[labels.image] = made[-1][1][0].shape
    made += [
        (regions.look.order, _regions(project, regions, shapes[regions.image]))
        for regions in project.regions
        if regions.image in shapes
    ]
    opened.layers = [layer for _, layer in sorted(made, key=lambda item: item[0])]
    return opened


def find_layer(
    project: Project, image: ProjectImage, folder: Path, others: Sequence[Path] = ()
) -> tuple[LayerData, Path, str] | None:
    """Return the layer of a linked image, its file, and a sentence if it has changed; None if missing.

    A file with the same name and shape but other pixels is taken only if there is none with the same pixels.
    """
    alike: tuple[LayerData, Path, str] | None = None
    for path in places(image, folder, others):
        for data, meta, kind in read_file(path, image.reader):
            pixels = full_pixels(data, meta)
            if kind != "image" or not is_alike(image, pixels):
                continue
            layer = _tagged(project, image, data, meta, path)
            if matches(image, pixels) and image.size in (0, file_size(path)):
                return layer, path, ""
            changed = (
                f"The image {path} has changed since it was painted on; see whether its paint still fits."
            )
            alike = alike or (layer, path, changed)
    return alike


def read_file(path: Path, reader: str) -> list[LayerData]:
    """Return the layers in an image file as napari would open it; none if it cannot be read.

    Each is followed by the same layer with its channels first. Files of unknown formats are read only if they
    contain no code, by the plugin ``reader`` that opened them first.
    """
    known = path.suffix.lower() in SUFFIXES or is_zarr(path)
    if path.suffix.lower() in _NEVER or (not known and reader in ("", _BUILTIN)):
        return []
    for plugin in dict.fromkeys((reader or _BUILTIN, _BUILTIN)):
        if plugin == _BUILTIN and not known:
            continue
        try:
            layers = [_whole(layer) for layer in npe2.read([str(path)], stack=False, plugin_name=plugin)]
        except Exception:  # noqa: BLE001, S112 - plugins raise whatever they run into; the next may read it
            continue
        return [order for layer in layers for order in _orders(*layer)]
    return []


def _orders(data: Any, meta: dict[str, Any], kind: str) -> Iterator[LayerData]:
    """Yield a layer, and the layers that `move_channels_first` may have made of it."""
    yield data, meta, kind
    if kind == "image" and not meta.get("rgb"):
        for _, moved in other_orders(data, full_pixels(data, meta).ndim):
            yield moved, meta, kind


def arrays_in(path: Path, reader: str) -> Iterator[Any]:
    """Yield the full-resolution pixels of the images in a file."""
    for data, meta, kind in read_file(path, reader):
        if kind == "image":
            yield full_pixels(data, meta)


def _image(opened: OpenedProject, image: ProjectImage, folder: Path) -> LayerData | None:
    if image.kept:
        try:
            return _tagged(opened.project, image, read_kept(image, folder), {})
        except InputError as error:
            opened.sentences.append(str(error))
            return None
    found = find_layer(opened.project, image, folder)
    if found is not None:
        layer, _, sentence = found
        opened.sentences += [sentence] if sentence else []
        return layer
    for path in places(image, folder):
        shapes = [tuple(pixels.shape) for pixels in arrays_in(path, image.reader)]
        opened.sentences.append(
            f"The image {path} has shape {shapes[0]} now and had {image.shape} when it was painted on, so "
            "its paint is shown without it; bring the old image back, or paint on the new one."
            if shapes
            else f"The image {path} could not be read; its paint is shown without it."
        )
        return None
    name = file_name(image) or image.look.name
    opened.sentences.append(
        f"The image {name} was not found; press Find images and choose its folder. Its paint is kept."
    )
    return None


def _labels(opened: OpenedProject, labels: ProjectLabels, folder: Path) -> LayerData:
    pixels, sentence = read_labels(folder, labels.file)
    opened.sentences += [sentence] if sentence else []
    predicted = read_labels(folder, labels.predicted)[0] if labels.predicted else None
    tag = Tag(opened.project.identity, labels.image, labels=labels.file, predicted=predicted)
    arguments = layer_arguments(labels.look, pixels.ndim, is_image=False)
    if labels.kind != "classes":
        arguments["colormap"] = paint_colours() if labels.kind == "paint" else object_colours()
    return pixels, {**arguments, "metadata": {KEY: tag}}, "labels"


def _regions(project: Project, regions: ProjectRegions, shape: tuple[int, ...]) -> LayerData:
    shapes, arguments = regions_arguments(regions, len(shape))
    tag = Tag(project.identity, regions.image, is_regions=True)
    return shapes, {**arguments, **regions_style(shape), "metadata": {KEY: tag}}, "shapes"


def _tagged(
    project: Project, image: ProjectImage, data: Any, meta: dict[str, Any], path: Path | None = None
) -> LayerData:
    ndim = len(image.shape) - image.rgb
    look = layer_arguments(image.look, ndim, is_image=not image.rgb)
    said = image.said_axes
    metadata = {
        **meta.get("metadata", {}),
        **({} if path is None else {FILE: str(path)}),
        **({} if said is None else noted(said)),
        KEY: Tag(project.identity, image.key),
    }
    return data, {**meta, **look, "rgb": image.rgb, "metadata": metadata}, "image"


def full_pixels(data: Any, meta: dict[str, Any]) -> Any:
    """Return the full-resolution pixels of an image, in the form that a plugin gives."""
    is_pyramid = meta.get("multiscale") or (isinstance(data, list | tuple) and len(data) > 0)
    full = data[0] if is_pyramid else data
    return full if hasattr(full, "dtype") else np.asarray(full)


def _whole(layer: Any) -> LayerData:
    """Return the layer that a plugin gives, with defaults for what it may leave out."""
    data, meta, kind = (*layer, {}, "image")[:3] if len(layer) == 1 else (*layer, "image")[:3]
    return data, dict(meta), str(kind)

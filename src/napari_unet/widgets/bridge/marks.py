"""What the plugin notes on the layers it makes, and how to read these notes.

A mark binds a layer to its image by its id, so a renamed image keeps its paint and a result never lands on
another one. Everything here runs on the main thread.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from numpy.typing import NDArray

from napari_unet.core.annotation import Mode
from napari_unet.core.arrays.axes import Channels
from napari_unet.core.arrays.boxes import Plane
from napari_unet.core.painted.known_full import KnownFull
from napari_unet.core.painted.regions import Region
from napari_unet.files.projects.project import is_project

KEY = "napari_unet"
"""Where the mark is in the metadata of a layer."""

PARTS = "napari_unet parts"
"""Metadata of a transparent image: the ids of the layers it was made of, which are its channels."""

PART = "napari_unet part"
"""Metadata of a cropped image: the id of the image it is a part of, and its first pixel there."""

RESULTS = "napari_unet results"
"""Metadata of an image that was opened with its results: the files of these by kind."""

FILE = "napari_unet file"
"""Metadata of an image that was opened with a project: its file, which napari does not know."""


@dataclass(slots=True, eq=False)
class Mark:
    """What the plugin notes in the metadata of a layer that it made.

    ``layer`` is the ``unique_id`` of the layer itself, so that a duplicate belongs to the user; ``image`` is
    that of its image. ``kind`` is "paint", "regions", or the kind of result, with the number of the class for
    probabilities; ``channels`` is where the image has its channel axis, ``mode`` what the values of paint
    mean, and ``full`` which of its objects are painted up to their border, and where everything is. ``shown``
    is what the plugin last put there: a copy for labels, which the user may edit; the array itself for
    images. ``planes`` are those of a result that were segmented, None for all. ``name`` is the name it gave
    to a result: any other name is the user's. ``is_drawn_on`` is True while a stroke is shown on the layer
    that vanishes when it ends, ``is_hidden_with_image`` while the layer is hidden because its image is. Two
    fields are only kept here: ``timeline``, the order of undo of paint
    (:mod:`napari_unet.widgets.bridge.timeline`), and ``corrector``, which makes the gestures on predicted
    objects (:mod:`napari_unet.widgets.correcting.corrector`).
    """

    layer: Any
    image: Any
    kind: str
    channels: Channels = "auto"
    mode: Mode = "objects"
    full: KnownFull = field(default_factory=KnownFull)
    shown: NDArray[Any] | None = None
    planes: frozenset[Plane] | None = None
    name: str = ""
    is_drawn_on: bool = False
    is_hidden_with_image: bool = False
    timeline: object = None
    corrector: object = None


def mark_of(layer: Layer) -> Mark | None:
    """Return the mark of a layer that this plugin made; None for other layers and for duplicates."""
    mark = layer.metadata.get(KEY)
    return mark if isinstance(mark, Mark) and mark.layer == layer.unique_id else None


def kind_of(layer: Layer) -> str:
    """Return the kind of a layer that this plugin made, such as "paint" or "objects"; "" for other layers."""
    mark = mark_of(layer)
    return "" if mark is None else mark.kind


def layers_of(viewer: ViewerModel, image: Layer | None, kind: str) -> list[Any]:
    """Return the layers of this kind that belong to ``image``, in the order of the layer list."""
    return [] if image is None else layers_bound_to(viewer, image.unique_id, kind)


def layers_bound_to(viewer: ViewerModel, image: Any, kind: str) -> list[Any]:
    """Return the same, given the ``unique_id`` of an image, which need not be in the viewer."""
    marked = ((layer, mark_of(layer)) for layer in viewer.layers)
    return [layer for layer, mark in marked if mark and (mark.kind, mark.image) == (kind, image)]


def source_of(viewer: ViewerModel, layer: Layer | None) -> Image | None:
    """Return the image in the viewer that ``layer`` (paint, result, or itself) belongs to, or None."""
    if layer is None:
        return None
    mark = mark_of(layer)
    image_id = layer.unique_id if mark is None else mark.image
    return next(
        (other for other in viewer.layers if isinstance(other, Image) and other.unique_id == image_id), None
    )


def is_result(layer: Layer) -> bool:
    """Return whether this plugin added ``layer`` as a preview or prediction."""
    return kind_of(layer) not in ("", "paint", "regions")


def is_paint(layer: Layer) -> bool:
    """Return whether ``layer`` is an annotation layer."""
    return kind_of(layer) == "paint"


def is_image(layer: Layer) -> bool:
    """Return whether ``layer`` is an image, and not a result shown as one."""
    return isinstance(layer, Image) and not is_result(layer)


def images_of(viewer: ViewerModel) -> list[Image]:
    """Return the images of the viewer, the lowest first, without results."""
    return [layer for layer in viewer.layers if is_image(layer)]


def file_of(image: Layer) -> Path | None:
    """Return the file that ``image`` was opened from, by itself or with a project; None if it has none."""
    noted = image.metadata.get(FILE)
    if isinstance(noted, str):
        return Path(noted)
    path = image.source.path
    return None if not path or is_project(Path(path)) else Path(path)


def is_made_of_channels(image: Layer) -> bool:
    """Return whether the first axis of ``image`` has the layers it was made of; a part of it has not."""
    count = len(image.metadata.get(PARTS, ()))
    return bool(image.ndim > 2 and full_data(image).shape[0] == count > 0)


def image_channels(image: Layer, paint: Labels | None = None) -> Channels:
    """Return where ``image`` has its channels: "last" for RGB, or as it was made or chosen with ``paint``."""
    if getattr(image, "rgb", False):
        return "last"
    if is_made_of_channels(image):
        return "first"
    mark = None if paint is None else mark_of(paint)
    return "auto" if mark is None else mark.channels


def mode_of(paint: Labels) -> Mode:
    """Return what the values of ``paint`` mean: what the user chose for it, else "objects"."""
    mark = mark_of(paint)
    return "objects" if mark is None else mark.mode


def set_mode(paint: Labels, mode: Mode) -> None:
    """Note what the values of ``paint`` mean, for all the docks."""
    mark = mark_of(paint)
    if mark is not None and mark.mode != mode:
        mark.mode = mode
        paint.events.metadata()


def known_full_of(paint: Labels) -> KnownFull:
    """Return which objects of ``paint`` are painted up to their border, and where everything is annotated."""
    mark = mark_of(paint)
    return KnownFull() if mark is None else mark.full


def set_filled(paint: Labels, filled: bool) -> None:
    """Note whether all objects of ``paint`` are painted up to their border."""
    _note_full(paint, replace(known_full_of(paint), filled=filled))


def set_regions(paint: Labels, regions: tuple[Region, ...]) -> None:
    """Note in which regions of ``paint`` everything is annotated."""
    if known_full_of(paint).regions != regions:
        _note_full(paint, replace(known_full_of(paint), regions=regions))


def accept_objects(paint: Labels, values: Collection[int]) -> None:
    """Note that the objects of these ``values`` are painted up to their border, as they are now."""
    _note_full(paint, known_full_of(paint).accept(full_data(paint), values))


def accept_painted(paint: Labels, painted: Mapping[int, NDArray[Any]]) -> None:
    """Note that these objects are painted up to their border, given the flat indices of their pixels."""
    _note_full(paint, known_full_of(paint).accept_pixels(painted))


def _note_full(paint: Labels, full: KnownFull) -> None:
    mark = mark_of(paint)
    if mark is not None:
        mark.full = full
        paint.events.metadata()


def full_data(layer: Layer) -> Any:
    """Return the full-resolution data of a layer, multiscale or not."""
    return layer.data[0] if getattr(layer, "multiscale", False) else layer.data

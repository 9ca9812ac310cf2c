"""What the plugin notes on the layers it makes, and what that says of a layer.

A mark binds a layer to its image by its id, so a renamed image keeps its paint and a result never lands on
another one. Everything here runs on the main thread.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from numpy.typing import NDArray

from napari_unet.core.annotation import Mode
from napari_unet.core.arrays.axes import Channels
from napari_unet.core.painted.known_full import KnownFull
from napari_unet.core.painted.regions import Region

KEY = "napari_unet"
"""Where the mark is in the metadata of a layer."""


@dataclass(slots=True, eq=False)
class Mark:
    """What the plugin notes in the metadata of a layer that it made.

    ``layer`` and ``image`` are the ``unique_id`` of the layer itself, so that a duplicate the user makes is
    theirs, and of the image it belongs to; ``kind`` is "paint", "regions", or the kind of
    result, with the number of the class for probabilities; ``channels`` is where that image has its channel
    axis, ``mode`` what the values of paint mean, and ``full`` which of its objects are painted up to their
    border, and where everything is. ``shown`` is what the plugin last put there: a copy for labels, which the
    user may edit; the array itself for images. ``is_drawn_on`` while a stroke is shown on the layer that
    goes again when it ends. Kept here and known there: ``timeline``, the order of undo of paint
    (:mod:`napari_unet.widgets.bridge.timeline`), and ``corrector``, what makes the gestures on predicted
    objects (:mod:`napari_unet.widgets.correcting.corrector`).
    """

    layer: Any
    image: Any
    kind: str
    channels: Channels = "auto"
    mode: Mode = "objects"
    full: KnownFull = field(default_factory=KnownFull)
    shown: NDArray[Any] | None = None
    is_drawn_on: bool = False
    timeline: object = None
    corrector: object = None


def mark_of(layer: Layer) -> Mark | None:
    """Return the mark of a layer that this plugin made, None for any other and for a duplicate of one."""
    mark = layer.metadata.get(KEY)
    return mark if isinstance(mark, Mark) and mark.layer == layer.unique_id else None


def source_of(viewer: ViewerModel, layer: Layer) -> Image | None:
    """Return the image in the viewer that ``layer`` (paint, result, or itself) belongs to, or None."""
    mark = mark_of(layer)
    image_id = layer.unique_id if mark is None else mark.image
    return next(
        (other for other in viewer.layers if isinstance(other, Image) and other.unique_id == image_id), None
    )


def is_result(layer: Layer) -> bool:
    """Return whether this plugin added ``layer`` as a preview or prediction."""
    mark = mark_of(layer)
    return mark is not None and mark.kind not in ("paint", "regions")


def is_error_map(layer: Layer) -> bool:
    """Return whether this plugin added ``layer`` as the map of what is wrong with other labels."""
    mark = mark_of(layer)
    return mark is not None and mark.kind == "errors"


def is_paint(layer: Layer) -> bool:
    """Return whether ``layer`` is an annotation layer."""
    mark = mark_of(layer)
    return mark is not None and mark.kind == "paint"


def image_channels(image: Layer, paint: Labels | None = None) -> Channels:
    """Return where ``image`` has its channels: "last" for RGB, else what was said when ``paint`` was made."""
    if getattr(image, "rgb", False):
        return "last"
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


def full_objects_of(paint: Labels) -> KnownFull:
    """Return what is known of the objects of ``paint`` that are painted up to their border."""
    mark = mark_of(paint)
    return KnownFull() if mark is None else mark.full


def set_filled(paint: Labels, filled: bool) -> None:
    """Note whether all objects of ``paint`` are painted up to their border."""
    mark = mark_of(paint)
    if mark is not None and mark.full.filled != filled:
        mark.full = replace(mark.full, filled=filled)
        paint.events.metadata()


def set_regions(paint: Labels, regions: tuple[Region, ...]) -> None:
    """Note in which regions of ``paint`` everything is annotated."""
    mark = mark_of(paint)
    if mark is not None and mark.full.regions != regions:
        mark.full = replace(mark.full, regions=regions)
        paint.events.metadata()


def accept_objects(paint: Labels, values: Collection[int]) -> None:
    """Note that the objects of these ``values`` are painted up to their border, as they are now."""
    mark = mark_of(paint)
    if mark is not None:
        mark.full = mark.full.accept(full_data(paint), values)
        paint.events.metadata()


def accept_painted(paint: Labels, painted: Mapping[int, NDArray[Any]]) -> None:
    """Note that these objects are painted up to their border, given their places in the flattened paint."""
    mark = mark_of(paint)
    if mark is not None:
        mark.full = mark.full.accept_pixels(painted)
        paint.events.metadata()


def full_data(layer: Layer) -> Any:
    """Return the full-resolution data of a layer, multiscale or not."""
    return layer.data[0] if getattr(layer, "multiscale", False) else layer.data

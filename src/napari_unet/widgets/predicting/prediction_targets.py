"""Which images of a viewer a model can segment, where their channels are, and how results are shown.

Everything here runs on the main thread.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.utils.notifications import show_info
from numpy.typing import NDArray

from napari_unet.core.arrays.axes import (
    CHANNEL_AXES,
    Channels,
    without_equal_channels,
    without_opaque_alpha,
)
from napari_unet.core.arrays.boxes import Plane
from napari_unet.core.arrays.sparse import copy_planes
from napari_unet.core.errors import InputError
from napari_unet.core.objects.prediction import PredictionKind
from napari_unet.files.pixels.images import safe_name
from napari_unet.widgets.bridge.layers import (
    add_result,
    annotation_of,
    is_untouched,
    pixels_of,
    predicted_labels,
)
from napari_unet.widgets.bridge.marks import (
    KEY,
    full_data,
    image_channels,
    images_of,
    kind_of,
    layers_of,
    mark_of,
    source_of,
)
from napari_unet.widgets.bridge.placement import spatial_axes, world_axes
from napari_unet.widgets.bridge.seen_axes import said_channels
from napari_unet.widgets.bridge.sight import hide_with_image, lay_on
from napari_unet.widgets.bridge.timeline import corrected_in
from napari_unet.widgets.models.model_chooser import ModelFacts
from napari_unet.widgets.predicting.prediction_run import Segmented, SourceImage, resolve_channels

_STACK = "napari_unet stack"
"""Metadata of a layer of probabilities: the array (K, …YX) it shows; planes are added to it one by one."""

_FEW = 32
"""Pixels along Y and X, about, that decide in how many channels an image in colours is read."""

Planes = frozenset[Plane] | None
"""Planes of a stack; None for all of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """An image layer to segment.

    ``channels`` is where its channels are; ``plane`` is the plane to segment, None for all planes; ``folder``
    is for results that do not fit into the memory, None if these are not allowed.
    """

    layer: Image
    channels: Channels
    plane: tuple[int, ...] | None = None
    folder: Path | None = None


def target_of(viewer: ViewerModel, layer: Image | None, channels: Channels, facts: ModelFacts) -> Target:
    """Return ``layer`` as a target, or say why it cannot be segmented.

    ``channels`` is the user's choice.
    """
    if layer is None:
        raise InputError("There is no image to segment; open one with File > Open.")
    if layer not in viewer.layers:
        raise InputError(f"The image '{layer.name}' is no longer in the viewer; choose another one.")
    if channels == "auto":
        channels = image_channels(layer, annotation_of(viewer, layer))
        if channels == "auto" and facts.in_channels != 1:  # which takes channels as planes, and says so
            channels = said_channels(layer)
    return Target(
        layer,
        resolve_channels(
            _shape_read(layer, facts.in_channels),
            channels=channels,
            ndim=facts.ndim,
            in_channels=facts.in_channels,
        ),
    )


def is_read_as_grey(target: Target, facts: ModelFacts) -> bool:
    """Return whether an image in colours suits the model only as a grey one."""
    return facts.in_channels == 1 and target.layer.rgb and full_data(target.layer).shape[-1] > 1


def _shape_read(layer: Image, in_channels: int | None) -> tuple[int, ...]:
    """Return the shape in which an image is read: no opaque alpha, and equal channels as one if need be.

    This is called often, so it looks at a few pixels only; when the image is segmented, all of them decide.
    """
    data = full_data(layer)
    shape: tuple[int, ...] = data.shape
    if not layer.rgb:
        return shape
    if type(data) is np.ndarray:
        grid = (slice(None, None, max(1, size // _FEW)) for size in shape[-3:-1])
        where: tuple[Any, ...] = (*(size // 2 for size in shape[:-3]), *grid)
        few = without_opaque_alpha(data[where])
    else:
        few = layer.thumbnail[..., : shape[-1]]  # otherwise it would be read from disk
    if in_channels == 1:
        return (*shape[:-1], len(without_equal_channels(np.moveaxis(few, -1, 0))))
    return (*shape[:-1], few.shape[-1])


def targets_that_suit(viewer: ViewerModel, channels: Channels, facts: ModelFacts) -> list[Target]:
    """Return every image that the model can segment."""
    found = []
    for layer in images_of(viewer):
        try:
            found.append(target_of(viewer, layer, channels, facts))
        except InputError:
            continue
    return found


def is_stack(target: Target, facts: ModelFacts) -> bool:
    """Return whether the image has more planes than the model sees at once."""
    return len(full_data(target.layer).shape) - (target.channels != "none") > facts.ndim


def plane_shown(viewer: ViewerModel, target: Target) -> tuple[int, ...]:
    """Return the index of the slice on the screen along the axes of the image that are not channels."""
    return tuple(round(at) for at in _pixel_at(target, viewer.dims.point))


def pixel_looked_at(viewer: ViewerModel, target: Target) -> tuple[float, ...]:
    """Return the pixel in the middle of the view, along the axes of the image that are not channels."""
    point = list(viewer.dims.point)
    shown = viewer.dims.displayed
    for axis, at in zip(shown, viewer.scene.camera.center[-len(shown) :], strict=True):
        point[axis] = at
    return _pixel_at(target, point)


def _pixel_at(target: Target, point: Sequence[float]) -> tuple[float, ...]:
    """Return the pixel of an image nearest to a point of the world, without the axis of channels."""
    layer = target.layer
    position = layer.world_to_data(point[-layer.ndim :])
    shape = full_data(layer).shape[: layer.ndim]
    pixel = [min(max(float(at), 0.0), size - 1.0) for at, size in zip(position, shape, strict=True)]
    if not layer.rgb and target.channels in CHANNEL_AXES:
        del pixel[CHANNEL_AXES[target.channels]]
    return tuple(pixel)


def source_image(viewer: ViewerModel, target: Target) -> SourceImage | str:
    """Return the image that is next, or a sentence on why there is none."""
    layer = target.layer
    if layer not in viewer.layers:
        return f"The image '{layer.name}' was deleted meanwhile, so it was not segmented."
    return SourceImage(
        pixels_of(layer),
        target.channels,
        target.plane,
        looked_at=pixel_looked_at(viewer, target),
        folder=target.folder,
        name=safe_name(layer.name) or "image",
        axes=world_axes(layer, target.channels),
    )


def still_has(target: Target, shape: tuple[int, ...]) -> bool:
    """Return whether the image still has the shape (…YX) that was segmented."""
    layer = target.layer
    now = full_data(layer).shape
    return tuple(now[axis] for axis in spatial_axes(layer, target.channels)) == shape


def with_corrections(viewer: ViewerModel, source: Image, event: Segmented, ndim: int) -> Segmented:
    """Return what was predicted for ``source``, with the objects in it that the user corrected before.

    Objects have ``ndim`` axes.
    """
    corrected = corrected_in(annotation_of(viewer, source), event.shape)
    found = event.results.get("objects")
    if corrected is None or found is None:
        return event
    objects = corrected.keep(found, event.plane) if event.plane else found
    if not event.plane:  # in place: a copy of a large stack takes long
        for plane in corrected.keep_in_all(found, ndim):
            event.as_predicted["objects"][plane] = found[plane]
    accepted = corrected.count_accepted(event.plane)
    counts = None if event.counts is None else event.counts.corrected(objects, ndim, accepted)
    return replace(event, results={**event.results, "objects": objects}, counts=counts)


def add_segmented(
    viewer: ViewerModel, source: Image, event: Segmented, *, shows: bool
) -> dict[PredictionKind, Layer | None]:
    """Show what was predicted for ``source``; see :func:`add_results`."""
    return add_results(
        viewer,
        source,
        event.results,
        plane=event.plane,
        shape=event.shape,
        shows=shows,
        as_predicted=event.as_predicted,
    )


def add_results(
    viewer: ViewerModel,
    source: Image,
    results: Mapping[PredictionKind, NDArray[Any]],
    *,
    plane: tuple[int, ...] = (),
    shape: tuple[int, ...] = (),
    shows: bool = True,
    as_predicted: Mapping[PredictionKind, NDArray[Any]] = MappingProxyType({}),
) -> dict[PredictionKind, Layer | None]:
    """Show the results for ``source``, and return the layer of each kind, None if nothing is shown.

    ``results`` cover the whole image; or its ``plane``, which joins the planes shown already of an image of
    ``shape`` (…YX). Unless it ``shows``, new layers are hidden until the image is brought up, and old ones
    stay as they are. ``as_predicted`` are copies of labels of a whole image, see :func:`add_result`.
    """
    before = set(viewer.layers)
    shown: dict[PredictionKind, Layer | None] = {}
    for kind, result in results.items():
        data, copy, planes = result, as_predicted.get(kind), None
        if plane:
            data, copy, planes = _join_plane(viewer, source, kind, plane, result, shape)
        layer = add_result(viewer, source, kind, data, as_predicted=copy)
        if layer is not None:
            layer.metadata[KEY].planes = planes
            if kind == "probabilities":
                layer.metadata[_STACK] = data
            if not shows and layer not in before:
                hide_with_image(layer)
            elif shows and not layer.visible:  # otherwise napari deselects the brush that is used on it
                layer.visible = True
            if layer not in before:
                lay_on(viewer, source, layer)
                _set_edited_aside(viewer, source, layer)
        shown[kind] = layer
    return shown


def _set_edited_aside(viewer: ViewerModel, source: Image, layer: Layer) -> None:
    """Hide labels that were kept because the user edited them, unless they are selected, and say so."""
    labels = layers_of(viewer, source, kind_of(layer)) if isinstance(layer, Labels) and layer.visible else ()
    for edited in [other for other in labels if other is not layer and other.visible]:
        edited.visible = edited is viewer.layers.selection.active
        kept = "kept" if edited.visible else "kept and hidden"
        show_info(f"You edited '{edited.name}', so it is {kept}; what was predicted now is '{layer.name}'.")


def segmented_planes(result: Layer) -> Planes:
    """Return which planes of a result were segmented; None for all, or if nobody knows."""
    mark = mark_of(result)
    return None if mark is None else mark.planes


def _join_plane(  # noqa: PLR0917 - what a plane belongs to
    viewer: ViewerModel,
    source: Image,
    kind: PredictionKind,
    plane: Plane,
    result: NDArray[Any],
    shape: tuple[int, ...],
) -> tuple[NDArray[Any], NDArray[Any] | None, Planes]:
    """Return the stack that shows ``result`` as one of its planes; a copy of labels; what was segmented.

    It is the very stack that the last layer shows, unless the user edited that or it is of another shape.
    """
    last = _last_of(viewer, source, kind)
    stack = None if last is None else last.metadata.get(_STACK, last.data)
    shape = (len(result), *shape) if kind == "probabilities" else shape
    copy: NDArray[Any] | None = None
    known: Planes = frozenset()
    if stack is None or (stack.shape, stack.dtype) != (shape, result.dtype):
        stack = np.zeros(shape, result.dtype)
    else:
        known = segmented_planes(last)
        if kind == "probabilities" or is_untouched(last):
            copy = predicted_labels(last)
        else:
            stack = copy_planes(stack)
    write_plane(stack, plane, result, kind)
    if copy is not None:
        copy[plane] = stack[plane]
    return stack, copy, None if known is None else known | {plane}


def _last_of(viewer: ViewerModel, source: Image, kind: PredictionKind) -> Any:
    """Return the layer whose planes another one joins, with the user's corrections; None if there is none."""
    if kind == "probabilities":
        layers = (layer for layer in reversed(viewer.layers) if _STACK in layer.metadata)
        return next((layer for layer in layers if source_of(viewer, layer) is source), None)
    return next(reversed(layers_of(viewer, source, kind)), None)


def write_plane(stack: NDArray[Any], plane: Plane, result: NDArray[Any], kind: PredictionKind) -> None:
    """Write ``result`` into a plane of ``stack`` (…YX, or K first).

    Ids of objects are raised so that no other plane has them.
    """
    where: tuple[Any, ...] = (slice(None), *plane) if kind == "probabilities" else plane
    stack[where] = 0
    stack[where] = _renumbered(result, taken=stack) if kind == "objects" else result


def _renumbered(objects: NDArray[Any], taken: NDArray[Any]) -> NDArray[Any]:
    count, highest = int(objects.max(initial=0)), int(taken.max(initial=0))
    if highest + count <= np.iinfo(objects.dtype).max:
        raised: NDArray[Any] = np.where(objects > 0, objects + highest, 0).astype(objects.dtype)
        return raised
    # The user gave an object a huge id: the lowest numbers that are left.
    used = np.unique(taken)
    free = np.setdiff1d(np.arange(1, used.size + count + 1), used)[:count]
    ids: NDArray[Any] = np.concatenate([[0], free]).astype(objects.dtype)
    renumbered: NDArray[Any] = ids[objects]
    return renumbered

"""The bridge between napari's layers and arrays: what is read from a layer, and what is added for it.

Everything here runs on the main thread. Layers this plugin makes carry a :class:`Mark` in their metadata,
which binds them to their image by its id, so a renamed image keeps its paint and a result never lands on
another one. No other layer is ever removed, or changed except for the order of its axes
(:mod:`napari_unet.widgets.bridge.channel_order`).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

from napari_unet.core.annotation import FIRST_OBJECT
from napari_unet.core.arrays.axes import EXPLICIT_CHANNELS, Channels, without_opaque_alpha
from napari_unet.core.arrays.sparse import copy_planes, equal_planes
from napari_unet.core.correcting.numbering import unused_values
from napari_unet.core.errors import InputError
from napari_unet.core.objects.prediction import PredictionKind
from napari_unet.core.painted.regions import complete
from napari_unet.core.scoring.label_errors import ERROR_COLOURS
from napari_unet.widgets.bridge.colours import paint_colours
from napari_unet.widgets.bridge.marks import (
    KEY,
    Mark,
    full_data,
    image_channels,
    is_paint,
    kind_of,
    known_full_of,
    layers_of,
    mark_of,
    source_of,
)
from napari_unet.widgets.bridge.placement import LABELS, axes_of, placement, result_layer, spatial_axes

ResultKind = PredictionKind | Literal["weights", "uncertainty"]

_DIMMED = (0.0, 0.0, 0.0, 0.6)
"""An error map where nothing is wrong: the colours of labels below must not pass for those of errors."""


def make_annotation(viewer: ViewerModel, image: Image, channels: Channels = "auto") -> Labels:
    """Return the annotation layer of ``image``: the one it has, or a new, empty one on top of the layer list.

    It has int32 zeros of the image's spatial shape (…YX), of full resolution and in its place. A layer of the
    right name and shape that is bound to no image is taken instead of a new one: paint that was saved and
    opened again, or paint of an image that was removed and opened again, with its other layers.

    Parameters
    ----------
    channels : {"auto", "none", "first", "last", "middle"}
        Where the image has its channel axis; paint has none. "auto" is "last" for RGB, else "none".

    Raises
    ------
    InputError
        If the image is not in the viewer, is empty, has too few axes, or planes that are lines.
    """
    if image not in viewer.layers:
        raise InputError(f"The image '{image.name}' is no longer in the viewer; choose another one.")
    found = annotation_of(viewer, image)
    if found is not None:
        return found
    axes = spatial_axes(image, channels)
    if len(axes) < 2:
        raise InputError(
            f"The image '{image.name}' has shape {full_data(image).shape}, too few axes for channels "
            f"{channels}; choose 'none' for its channels."
        )
    shape = tuple(full_data(image).shape[axis] for axis in axes)
    if 0 in shape:  # napari can neither show nor remove paint without pixels
        raise InputError(f"The image '{image.name}' is empty (shape {shape}); choose one with pixels in it.")
    if len(shape) > 2 and shape[-1] == 1:
        raise InputError(
            f"The image '{image.name}' has shape {full_data(image).shape}, so that napari shows lines of one "
            "pixel; open it without its last axis, as image[..., 0] in Python, and paint on that."
        )
    name = f"{image.name} paint"
    may_be = (layer for layer in viewer.layers if layer.name == name)
    opened = next((layer for layer in may_be if _may_adopt(viewer, layer, shape)), None)
    paint = opened or Labels(
        np.zeros(shape, np.int32), name=name, colormap=paint_colours(), **placement(image, axes)
    )
    before = mark_of(paint)
    if before is None:
        paint.metadata[KEY] = Mark(paint.unique_id, image.unique_id, "paint", channels)
    else:
        before.channels = channels
        _inherit(viewer, image, before.image)
    if opened is None:
        viewer.add_layer(paint)
    else:
        select_anew(viewer, paint)
    return paint


def select_anew(viewer: ViewerModel, layer: Layer | None) -> None:
    """Select ``layer`` so that all docks look again: napari sends no event for marks in metadata."""
    viewer.layers.selection.active = None
    if layer is not None:
        viewer.layers.selection.active = layer


def annotation_of(viewer: ViewerModel, image: Layer | None) -> Labels | None:
    """Return the annotation layer of ``image`` that is in the viewer, if there is one."""
    return next(iter(layers_of(viewer, image, "paint")), None)


def check_fits(image: Image, paint: Labels) -> None:
    """Raise ``InputError`` if ``image`` has not the pixels its paint was made for, as after a crop."""
    now, then = full_data(image).shape, full_data(paint).shape
    said = image_channels(image, paint)
    places = EXPLICIT_CHANNELS if said == "auto" else (said,)
    if all(tuple(now[axis] for axis in spatial_axes(image, channels)) != then for channels in places):
        raise InputError(
            f"'{image.name}' has shape {now} now, and '{paint.name}' was made for {then}: delete this layer "
            "and make a new annotation layer, or bring the image back as it was."
        )


def pixels_of(image: Layer) -> Any:
    """Return the full-resolution pixels of ``image``; an opaque alpha is left out, as when files are read."""
    data = full_data(image)
    is_colour = type(data) is np.ndarray and getattr(image, "rgb", False)
    return without_opaque_alpha(data) if is_colour else data


def copy_image(image: Layer) -> Any:
    """Return a copy of :func:`pixels_of` an image for another thread.

    Lazy arrays (dask, zarr, memory-mapped) are returned as they are: nobody paints on them, and a copy might
    not fit.
    """
    pixels = pixels_of(image)
    if type(pixels) is not np.ndarray:
        return pixels
    return copy_planes(pixels) if isinstance(image, Labels) else pixels.copy()


def copy_paint(paint: Labels) -> NDArray[Any]:
    """Return a copy of the paint (…YX, an integer type), for another thread to read while the user paints.

    Unlabelled pixels of its complete regions are background in the copy.
    """
    return complete(copy_planes(full_data(paint)), known_full_of(paint).regions)


def write_pixels(layer: Labels, indices: tuple[NDArray[np.intp], ...], values: Any) -> None:
    """Write ``values`` at ``indices`` of a label layer, as one edit that the user can undo."""
    if not layer.visible:
        # napari 0.9.2 does not read hidden layers, and fails at drawing on what it has not read.
        layer.set_view_slice()
    layer.data_setitem(indices, values)


def has_paint(paint: Labels) -> bool:
    """Return whether anything is painted, or lies in a complete region."""
    return bool(known_full_of(paint).regions) or bool(np.any(full_data(paint)))


def copy_objects(labels: Labels) -> NDArray[Any]:
    """Return a copy of the objects of a label layer (…YX): 0 is background, every other value one object.

    In paint, 1 is background, and here unlabelled pixels are, too. ``InputError`` for classes, which are not
    objects.
    """
    mark = mark_of(labels)
    if mark is not None and (mark.kind == "classes" or (mark.kind == "paint" and mark.mode == "classes")):
        raise InputError(f"'{labels.name}' shows classes, not separate objects; choose labels of objects.")
    objects = np.array(full_data(labels))
    if is_paint(labels):
        objects[objects < FIRST_OBJECT] = 0
    return objects


def next_object(paint: Labels) -> int:
    """Return a paint value that no object has yet: one more than the highest, or else the lowest unused.

    ``InputError`` if the type of the paint has no other value.
    """
    return unused_values(np.asarray(full_data(paint)), 1, at_least=FIRST_OBJECT)[0]


def add_result(
    viewer: ViewerModel,
    source: Layer,
    kind: ResultKind,
    data: NDArray[Any],
    *,
    as_predicted: NDArray[Any] | None = None,
) -> Layer | None:
    """Show ``data`` on top of the image it was computed from.

    The layer of an earlier call for the same image and kind is updated, unless the user has edited it since:
    then it is kept and a new one is added. The selected layers stay selected, so that painting can go on.

    Parameters
    ----------
    kind : {"objects", "classes", "probabilities", "weights", "uncertainty"}
        The first two become label layers, the others image layers.
    data : array
        (…YX) integers for labels, float32 for weights and uncertainty, (K, …YX) float32 for probabilities.
    as_predicted : array, optional
        A copy of labels, from which the user's edits are told; made here without it, which takes long for a
        large stack.

    Returns
    -------
    napari.layers.Layer or None
        The first layer for probabilities of more than two classes, which have a layer each; with two classes
        only the foreground is shown. None, with nothing added, if the image is gone from the viewer.
    """
    if source not in viewer.layers:
        return None
    if kind != "probabilities":
        return _show(viewer, source, kind, f"{source.name} {kind}", data, as_predicted)
    if len(data) == 2:
        return _show(viewer, source, kind, f"{source.name} probability", data[1])
    shown = [
        _show(viewer, source, f"{kind} {number}", f"{source.name} probability of class {number}", part)
        for number, part in enumerate(data, start=1)
    ]
    return shown[0]


def add_error_map(viewer: ViewerModel, labels: Labels, errors: NDArray[np.uint8]) -> Labels:
    """Show the ``errors`` of ``labels`` (…YX, as ``error_map`` returns them) on top, each kind in its colour.

    The map of an earlier call for the same labels is updated, unless the user has edited it since. The status
    bar shows the kind of error under the pointer. ``InputError`` if ``labels`` are gone from the viewer.
    """
    if labels not in viewer.layers:
        raise InputError(
            f"The layer '{labels.name}' is no longer in the viewer, so its errors cannot be shown; open it "
            "again and evaluate."
        )
    layer = _show(viewer, labels, "errors", f"errors of {labels.name}", errors)
    layer.colormap = DirectLabelColormap(
        color_dict={None: "transparent", 0: _DIMMED}
        | {int(kind): colour for kind, colour in ERROR_COLOURS.items()}
    )
    kinds = sorted(ERROR_COLOURS)
    layer.opacity = 1.0
    layer.features = {"index": [int(kind) for kind in kinds], "error": [kind.name.lower() for kind in kinds]}
    layer.visible = True
    return layer


def edited_result(viewer: ViewerModel, image: Layer, kind: Literal["objects", "classes"]) -> Labels | None:
    """Return the predicted labels of ``image`` that the user edited: the selected or else topmost layer."""
    predicted = layers_of(viewer, image, kind)
    edited = [layer for layer in predicted if not equal_planes(layer.data, layer.metadata[KEY].shown)]
    return at_hand(viewer, edited)


def objects_of(viewer: ViewerModel, image: Layer | None) -> Labels | None:
    """Return the predicted objects of ``image``: the selected or else topmost layer of them."""
    return at_hand(viewer, layers_of(viewer, image, "objects"))


def at_hand(viewer: ViewerModel, layers: Sequence[Labels]) -> Labels | None:
    """Return which of these ``layers`` is selected, or else the last; None without any."""
    active = viewer.layers.selection.active
    return next((layer for layer in reversed(layers) if layer is active), layers[-1] if layers else None)


def predicted_labels(layer: Layer) -> NDArray[Any] | None:
    """Return the labels (…YX) of this layer as they were predicted, before the user edited them."""
    mark = mark_of(layer)
    return mark.shown if mark is not None and isinstance(layer, Labels) and mark.kind != "paint" else None


def update_plane(
    layer: Labels, plane: tuple[int, ...], labels: NDArray[Any], *, discard_edits: bool = False
) -> bool:
    """Show other ``labels`` (spatial...) in a plane of a predicted layer; return whether they are shown.

    They are not if the user edited that plane, unless edits may be discarded. ``plane`` is the index along
    the leading axes; () is all of it.
    """
    shown = predicted_labels(layer)
    if shown is None or shown.shape != layer.data.shape:
        return False
    if not discard_edits and not np.array_equal(layer.data[plane], shown[plane]):
        return False
    if labels.max(initial=0) > np.iinfo(layer.data.dtype).max:  # the user has converted its data type
        layer.data = layer.data.astype(shown.dtype)
    layer.data[plane] = shown[plane] = labels
    layer.refresh(extent=False)
    return True


def remove_orphans(viewer: ViewerModel, *kinds: str) -> None:
    """Remove the layers of these kinds whose image is gone: they would belong to nothing."""
    for layer in list(viewer.layers):
        if kind_of(layer) in kinds and source_of(viewer, layer) is None:
            viewer.layers.remove(layer)


def _show(  # noqa: PLR0917 - what a layer is made of
    viewer: ViewerModel,
    source: Layer,
    kind: str,
    name: str,
    data: NDArray[Any],
    as_predicted: NDArray[Any] | None = None,
) -> Layer:
    shown = as_predicted
    if shown is None:
        shown = copy_planes(data) if kind in LABELS else data
    for layer in layers_of(viewer, source, kind):
        if layer.metadata[KEY].shown is shown or is_untouched(layer, data):
            layer.data = data
            mark: Mark = layer.metadata[KEY]
            mark.shown = shown
            if layer.name == mark.name:  # the image may have another such layer now
                layer.name = name
                mark.name = layer.name
            return layer
    result = result_layer(source, kind, name, data, axes_of(source, data))
    insert_result(viewer, source, result, kind, shown=shown, on_top=kind == "weights")
    return result


def insert_result(
    viewer: ViewerModel, source: Layer, result: Layer, kind: str, *, shown: Any = None, on_top: bool = False
) -> None:
    """Bind a layer to its image, and add it below the paint, which must stay visible, or else on top.

    It lies above its image in any case, even if the user moved the paint below the image.
    """
    result.metadata[KEY] = Mark(result.unique_id, source.unique_id, kind, shown=shown)
    layers, paint = viewer.layers, annotation_of(viewer, source)
    above = paint is None or on_top
    with keep_selection(viewer):
        place = len(layers) if above else max(layers.index(paint), layers.index(source) + 1)
        layers.insert(place, result)
    result.metadata[KEY].name = result.name  # napari makes the name unique


@contextmanager
def keep_selection(viewer: ViewerModel) -> Iterator[None]:
    """Keep the current selection, if any, whatever layers come and go in this context: painting goes on."""
    before = set(viewer.layers.selection)
    yield
    still_there = before.intersection(viewer.layers)
    if still_there:
        viewer.layers.selection = still_there


def protect(layer: Layer) -> None:
    """Keep strokes off labels that are replaced soon, or are on disk; napari forgets this with new data."""
    if isinstance(layer, Labels):
        layer.editable = False


def is_untouched(layer: Layer, data: NDArray[Any] | None = None) -> bool:
    """Return whether ``layer`` shows what the plugin put there, in the shape of the new ``data``."""
    shown = layer.metadata[KEY].shown
    if data is not None and (layer.data.shape, layer.data.dtype) != (data.shape, data.dtype):
        return False
    return layer.data is shown or (isinstance(layer, Labels) and equal_planes(layer.data, shown))


def _may_adopt(viewer: ViewerModel, layer: Layer, shape: tuple[int, ...]) -> bool:
    if not isinstance(layer, Labels) or layer.multiscale or layer.data.shape != shape:
        return False
    return kind_of(layer) in ("", "paint") and source_of(viewer, layer) is None


def _inherit(viewer: ViewerModel, image: Image, gone: Any) -> None:
    """Bind the layers of the image with the id ``gone`` to ``image``."""
    for layer in viewer.layers:
        mark = mark_of(layer)
        if mark is not None and mark.image == gone:
            mark.image = image.unique_id

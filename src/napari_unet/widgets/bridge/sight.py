"""Which images of a viewer lie over one another, and how to bring one of them into sight."""

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Layer

from napari_unet.widgets.bridge.layers import annotation_of
from napari_unet.widgets.bridge.marks import PARTS, full_data, images_of, is_image, mark_of, source_of
from napari_unet.widgets.bridge.placement import lies_on, placement

_SEE_THROUGH = ("additive", "minimum", "multiplicative")
"""Ways in which layers are blended with what lies below, as the channels of one image are."""

_HIDDEN = "napari_unet hidden"
"""Metadata of an image that is hidden until it, or an image it is blended with, is brought up."""

_MOST_NAMES = 3

_LEAST_SEEN = 16
"""Pixels of the screen along an image from which on it is seen."""

_MARGIN = 0.95
"""Share of the canvas that an image fills which is brought into view, as in napari."""


def bring_up(viewer: ViewerModel, image: Image) -> str:
    """Show ``image`` and its paint, hide the images that lie over it, and return a sentence on these, or "".

    Layers of a hidden image, and images blended with it, are hidden with it, and shown again when it is
    brought up. Images through which this one can be seen stay, and so do all images in a grid. Layers of this
    image that lie below it, for example after it was opened again, are moved above it.
    """
    if _hides(image) and not viewer.canvas.grid.enabled:
        _lift(viewer, image)
    own = [image, *blended(viewer, image), *parts_of(viewer, image)]
    for layer in viewer.layers:
        mark = mark_of(layer)
        was_hidden = layer in own and layer.metadata.pop(_HIDDEN, False)
        if was_hidden or (
            source_of(viewer, layer) is image
            and (mark is None or mark.is_hidden_with_image or mark.kind == "paint")
        ):
            if not layer.visible:  # otherwise napari deselects its brush
                layer.visible = True
            if mark is not None:
                mark.is_hidden_with_image = False
    names = []
    above = viewer.layers[viewer.layers.index(image) + 1 :]
    for layer in [] if viewer.canvas.grid.enabled else above:
        source = source_of(viewer, layer)
        if not layer.visible or source is None or source is image or not _overlap(source, image):
            continue
        if _hides(source):
            hide_with_image(layer)
            if layer is source:
                names.append(f"'{layer.name}'")
        elif source not in own and _is_on_hidden(viewer, source):
            hide_with_image(layer)
    return _are_hidden(names, "lay over it")


def hide_below(viewer: ViewerModel, image: Image) -> str:
    """Hide the images that ``image`` covers, as it will not, and return a sentence on these, or ""."""
    names = []
    below = viewer.layers[: viewer.layers.index(image)]
    for layer in below if _hides(image) and not viewer.canvas.grid.enabled else []:
        source = source_of(viewer, layer)
        if layer.visible and source is not None and source in below and _overlap(source, image):
            hide_with_image(layer)
            if layer is source:
                names.append(f"'{layer.name}'")
    return _are_hidden(names, "lay below it")


def _are_hidden(names: list[str], lay: str) -> str:
    if not names:
        return ""
    said = " and ".join(names) if len(names) <= _MOST_NAMES else f"{len(names)} images"
    return f"{said}, which {lay}, {'is' if len(names) == 1 else 'are'} hidden."


def parts_of(viewer: ViewerModel, image: Image) -> list[Image]:
    """Return the layers that a transparent image was made of, in the order of its channels.

    Those that were removed are left out; other images have none.
    """
    layers = {layer.unique_id: layer for layer in images_of(viewer)}
    return [layers[part] for part in image.metadata.get(PARTS, ()) if part in layers]


def _is_on_hidden(viewer: ViewerModel, image: Image) -> bool:
    """Return whether an image is blended with one below it that is hidden until it is brought up."""
    return any(not layer.visible and _HIDDEN in layer.metadata for layer in blended(viewer, image)[:1])


def _lift(viewer: ViewerModel, image: Image) -> None:
    layers = viewer.layers
    for layer in reversed(layers[: layers.index(image)]):
        if source_of(viewer, layer) is image:
            layers.move(layers.index(layer), layers.index(image) + 1)


def hide_with_image(layer: Layer) -> None:
    """Hide ``layer`` until its image is brought up."""
    layer.visible = False
    mark = mark_of(layer)
    if mark is None:
        layer.metadata[_HIDDEN] = True
    else:
        mark.is_hidden_with_image = mark.kind != "weights"  # the Weights dock decides whether it is shown


def select_image(viewer: ViewerModel, image: Image) -> None:
    """Bring ``image`` up and into view, and select its annotation layer unless a layer of it is selected."""
    bring_up(viewer, image)
    _bring_into_view(viewer, image)
    if source_of(viewer, viewer.layers.selection.active) is not image:
        viewer.layers.selection.active = annotation_of(viewer, image) or image


def _bring_into_view(viewer: ViewerModel, image: Image) -> None:
    """Move the camera to ``image`` if nothing of it is seen, or hardly more than a point.

    Images of other sizes, or in other units, may lie anywhere.
    """
    dims, camera, canvas = viewer.dims, viewer.scene.camera, viewer.canvas
    shown = [axis - dims.ndim for axis in dims.displayed]
    if len(shown) != 2 or min(shown) < -image.ndim or canvas.grid.enabled:
        return
    low, high = image.extent.world[:, shown]
    size, box = high - low, np.array(canvas.viewbox_size(viewer.layers))
    centre, half = np.array(camera.center[-2:]), box / camera.zoom / 2
    is_beside = (centre + half < low) | (centre - half > high)
    if is_beside.any() or (size * camera.zoom < _LEAST_SEEN).all():
        camera.center = (*camera.center[:-2], *map(float, (low + high) / 2))
        camera.zoom = float(_MARGIN * np.min(box / np.maximum(size, np.finfo(float).tiny)))


def lay_on(viewer: ViewerModel, image: Image, layer: Layer) -> None:
    """Move ``layer``, which belongs to ``image``, below the images that lie over ``image``.

    It stays on top while a layer of its image is selected: the user is working on that image.
    """
    if source_of(viewer, viewer.layers.selection.active) is image:
        return
    for other in viewer.layers[viewer.layers.index(image) + 1 :]:
        if other is layer:
            return
        if is_image(other) and _hides(other) and _overlap(other, image):
            viewer.layers.move(viewer.layers.index(layer), viewer.layers.index(other))
            return


def blended(viewer: ViewerModel, image: Image) -> list[Image]:
    """Return the layers, from below, that may be channels of one picture with ``image``, including itself.

    They have the same size and place, and all except the lowest are blended with what lies below, as napari
    opens channels. Returns none if there is only one.
    """
    where = placement(image)
    group: list[Image] = []
    for layer in images_of(viewer):
        if not (_is_like(layer, image) and lies_on(layer, where)):
            continue
        if not is_see_through(layer):
            if image in group:
                break
            group = []
        group.append(layer)
    return group if image in group and len(group) > 1 else []


def _is_like(layer: Image, image: Image) -> bool:
    return (
        not layer.rgb
        and layer.multiscale == image.multiscale
        and full_data(layer).shape == full_data(image).shape
        and _is_upright(layer)
    )


def _is_upright(layer: Image) -> bool:
    """Return whether the layer is only moved and scaled: other transforms cannot take a further axis."""
    return (
        np.array_equal(layer.rotate, np.eye(layer.ndim))
        and not np.any(layer.shear)
        and np.array_equal(layer.affine.affine_matrix, np.eye(layer.ndim + 1))
    )


def is_see_through(image: Layer) -> bool:
    """Return whether an image is blended with what lies below, as channels are."""
    return str(image.blending) in _SEE_THROUGH


def _hides(image: Layer | None) -> bool:
    """Return whether an image is seen alone; one that is quite transparent is seen by its channels below."""
    return image is not None and image.opacity in (0, 1) and not is_see_through(image)


def _overlap(one: Layer, other: Layer) -> bool:
    (low, high), (start, stop) = (layer.extent.world[:, -2:] for layer in (one, other))
    return bool((low < stop).all() and (start < high).all())

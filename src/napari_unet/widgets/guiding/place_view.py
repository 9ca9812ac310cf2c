"""Moves the view of napari to a place, also in another image, and draws a ring around it."""

from collections.abc import Sequence

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer, Points

from napari_unet.core.annotation import FIRST_OBJECT
from napari_unet.widgets.bridge.layers import insert_result
from napari_unet.widgets.bridge.marks import is_paint, kind_of, layers_of, mode_of
from napari_unet.widgets.bridge.placement import is_flat, placement
from napari_unet.widgets.bridge.sight import bring_up
from napari_unet.widgets.painting.brushes import is_painting, paint_next_object, take_brush

RING = "place"
"""The ring's kind of result."""

_CANVAS = 600.0
"""Height of a canvas in pixels of the screen, about."""

_YELLOW = "#ffd84d"


def show_place(
    viewer: ViewerModel, image: Image, paint: Labels, centre: Sequence[int], radius: float
) -> None:
    """Move camera and sliders to a pixel (…YX) of ``paint``, the annotation layer of ``image``, and mark it.

    The zoom stays if it shows the place and ``radius`` pixels around it well.
    """
    show_planes(viewer, paint)
    centre_on(viewer, paint, centre)
    camera = viewer.scene.camera
    wanted = _CANVAS / (2 * radius * abs(float(paint.scale[-1])))
    if not wanted / 2 <= camera.zoom <= 3 * wanted:
        camera.zoom = wanted
    _keep_on(viewer, paint)
    _draw_ring(viewer, image, paint, centre, radius / 2)


def show_planes(viewer: ViewerModel, paint: Labels) -> None:
    """Leave a 3-D view, and one of a stack from its side: strokes are painted on planes."""
    viewer.dims.ndisplay = 2
    if not is_flat(viewer, paint):
        viewer.dims.order = tuple(range(viewer.dims.ndim))


def centre_on(viewer: ViewerModel, layer: Layer, pixel: Sequence[float]) -> None:
    """Move camera and sliders to a pixel of ``layer``."""
    dims, camera = viewer.dims, viewer.scene.camera
    # A layer with fewer axes than the viewer has the last ones.
    first = dims.ndim - layer.ndim
    world = [float(at) for at in layer.data_to_world(pixel)]
    for axis in dims.not_displayed:
        if axis >= first:
            dims.set_point(axis, world[axis - first])
    shown = [world[axis - first] for axis in dims.displayed if axis >= first]
    camera.center = (*camera.center[: 3 - len(shown)], *shown)


def _keep_on(viewer: ViewerModel, layer: Layer) -> None:
    """Shift the view so that it shows as little as possible beside ``layer``."""
    dims, camera = viewer.dims, viewer.scene.camera
    shown = [axis - dims.ndim for axis in dims.displayed]
    if min(shown) < -layer.ndim:  # it is seen from its edge, beside a stack
        return
    low, high = layer.extent.world[:, shown]
    half = np.array(viewer.canvas.viewbox_size(viewer.layers)) / camera.zoom / 2
    inside = np.clip(camera.center[-2:], low + half, high - half)
    centre = np.where(high - low > 2 * half, inside, (low + high) / 2)
    camera.center = (*camera.center[:-2], *map(float, centre))


def turn_to(viewer: ViewerModel, image: Image, paint: Labels) -> str:
    """Show an image and let strokes land on it, as on the one before; return a sentence on what happened."""
    before = viewer.layers.selection.active
    # Asked now: napari deselects the brush of a layer that is hidden.
    paints = isinstance(before, Labels) and is_paint(before) and is_painting(before)
    hidden = bring_up(viewer, image)
    viewer.layers.selection.active = paint
    if isinstance(before, Labels) and paints:
        value = int(before.selected_label)
        is_object = value >= FIRST_OBJECT and mode_of(paint) == "objects"
        paint.brush_size = before.brush_size
        if is_object:
            paint_next_object(paint)
        else:
            take_brush(paint, value)
    return f"This is on '{image.name}'. {hidden}".rstrip()


def _draw_ring(
    viewer: ViewerModel, image: Image, paint: Labels, centre: Sequence[int], diameter: float
) -> None:
    drawn = next(iter(layers_of(viewer, image, RING)), None)
    for other in [layer for layer in viewer.layers if is_ring(layer) and layer is not drawn]:
        viewer.layers.remove(other)
    if drawn is not None and drawn.ndim == len(centre):
        drawn.data = np.array([centre])
        drawn.size = diameter
        drawn.visible = True
        return
    ring = Points(
        [centre],
        name=f"{image.name} next place",
        size=diameter,
        symbol="disc",
        face_color="transparent",
        border_color=_YELLOW,
        border_width=0.03,
        **placement(paint),
    )
    insert_result(viewer, image, ring, RING, on_top=True)


def is_ring(layer: Layer) -> bool:
    """Return whether ``layer`` is a ring around a place."""
    return kind_of(layer) == RING

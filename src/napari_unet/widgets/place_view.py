"""Moves the view of napari to a place, and draws a ring around it."""

from collections.abc import Sequence
from typing import TypeGuard

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer, Points

from napari_unet.widgets.marks import KEY, Mark, mark_of

_RING = "place"
"""Kind of result that the ring is."""

_CANVAS = 600.0
"""Height of a canvas in pixels of the screen, about."""

_YELLOW = "#ffd84d"


def show_place(
    viewer: ViewerModel, image: Image, paint: Labels, centre: Sequence[int], radius: float
) -> None:
    """Move camera and sliders to a pixel of ``paint``, the annotation layer of ``image``, and mark it.

    The zoom stays where the place can be seen well with it.

    Parameters
    ----------
    centre : sequence of int
        Index (…YX).
    radius : float
        Pixels around it that are to be seen.
    """
    world = np.asarray(paint.data_to_world(centre))
    first = viewer.dims.ndim - paint.ndim
    hidden = set(viewer.dims.not_displayed)
    for axis, at in enumerate(world, start=first):
        if axis in hidden:
            viewer.dims.set_point(axis, at)
    shown = [float(world[axis - first]) for axis in viewer.dims.displayed if axis >= first]
    camera = viewer.scene.camera
    camera.center = (*camera.center[: 3 - len(shown)], *shown)
    wanted = _CANVAS / (2 * radius * abs(float(paint.scale[-1])))
    if not wanted / 2 <= camera.zoom <= 3 * wanted:
        camera.zoom = wanted
    _draw_ring(viewer, image, paint, centre, radius / 2)


def _draw_ring(
    viewer: ViewerModel, image: Image, paint: Labels, centre: Sequence[int], diameter: float
) -> None:
    drawn = next((layer for layer in viewer.layers if _is_ring(layer, image)), None)
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
        scale=paint.scale,
        translate=paint.translate,
        rotate=paint.rotate,
        shear=paint.shear,
        affine=paint.affine,
        units=paint.units,
        axis_labels=paint.axis_labels,
    )
    ring.metadata[KEY] = Mark(ring.unique_id, image.unique_id, _RING)
    active = viewer.layers.selection.active
    viewer.layers.append(ring)
    if active is not None:  # so that painting can go on
        viewer.layers.selection.active = active


def _is_ring(layer: Layer, image: Image) -> TypeGuard[Points]:
    mark = mark_of(layer)
    return (
        isinstance(layer, Points)
        and mark is not None
        and mark.kind == _RING
        and mark.image == image.unique_id
    )

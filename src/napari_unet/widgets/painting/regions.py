"""Complete regions: shapes drawn on an image, and what they mean for its paint.

The shapes are a layer of napari, drawn and changed with napari's tools. What they enclose is noted with the
paint whenever they change, so that it is there wherever the paint is read.
"""

from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels, Layer, Shapes
from numpy.typing import NDArray
from qtpy.QtWidgets import QLabel, QWidget

from napari_unet.core.painted.regions import Region, outline_region, overlooked, shape_outline
from napari_unet.widgets.bridge.layers import objects_of, select_anew
from napari_unet.widgets.bridge.marks import (
    KEY,
    Mark,
    full_data,
    is_paint,
    known_full_of,
    layers_bound_to,
    mark_of,
    set_regions,
    source_of,
)
from napari_unet.widgets.bridge.placement import placement
from napari_unet.widgets.jobs import once
from napari_unet.widgets.painting.region_undo import RegionUndo
from napari_unet.widgets.painting.watcher import AnnotationWatcher
from napari_unet.widgets.parts.form import Column, Sentence, button
from napari_unet.widgets.parts.latest import Latest
from napari_unet.widgets.window.lifetime import follow, when_settled

_COLOUR = "#ffd166"
_FILL = "#ffd1661f"


class RegionTools(QWidget):
    """Buttons to draw complete regions, and a sentence on what they mean for the paint."""

    def __init__(self, viewer: ViewerModel, watcher: AnnotationWatcher) -> None:
        super().__init__()
        self._viewer = viewer
        self._watcher = watcher
        self._looked_at: tuple[Layer, ...] = ()
        self._followed = ExitStack()
        column = Column(self)
        label = QLabel("Complete region")
        label.setToolTip("An area where you painted every object: the rest of it is background.")
        self._buttons = [
            button(
                text,
                partial(self._draw, text.lower()),
                name=f"paint_region_{text.lower()}",
                tooltip=f"Draw a {text.lower()} in which every object is painted, up to its border: the\n"
                "rest of it counts as background from then on. Delete the shape to take that back.",
            )
            for text in ("Box", "Polygon")
        ]
        row = column.add_row(label, *self._buttons)
        row.setStretch(1, 1)
        row.setStretch(2, 1)
        self._sentence = column.add(Sentence("paint_regions"))
        self._latest = Latest("Counting what regions hold", self)
        self._latest.result.connect(self._sentence.say)
        self._settled = when_settled(self, self._show)
        layers = viewer.layers.events
        follow(self, self._show, viewer.dims.events.ndisplay, layers.inserted, layers.removed)
        watcher.layer_changed.connect(self._show)
        watcher.noted.connect(self._show)
        watcher.painted.connect(self._settled.start)
        self._show()

    def _draw(self, shape: str) -> None:
        paint = self._watcher.layer
        if paint is not None:
            take_region_tool(self._viewer, paint, "rectangle" if shape == "box" else "polygon")
        self._show()

    def _show(self, _layer: object = None) -> None:
        self._latest.cancel()
        paint = self._watcher.layer
        for made in self._buttons:
            made.setEnabled(paint is not None and self._viewer.dims.ndisplay == 2)
        if paint is None:
            self._follow()
            self._sentence.say("")
            return
        layer = regions_layer(self._viewer, paint)
        if layer is None and (opened := _opened_regions(self._viewer, paint)) is not None:
            self._follow()
            told = f"The shapes in '{opened.name}' do not count yet; press Box or Polygon to take them."
            self._sentence.say(told, "warning")
            return
        drawn = 0 if layer is None else len(layer.data)
        regions = known_full_of(paint).regions
        predicted = objects_of(self._viewer, source_of(self._viewer, paint)) if regions else None
        self._follow(*(each for each in (layer, predicted) if each is not None))
        if predicted is None or full_data(predicted).shape != full_data(paint).shape:
            self._sentence.say(describe_regions(len(regions), drawn))
            return
        objects, painted = full_data(predicted), full_data(paint)
        self._latest.submit(
            once(lambda: describe_regions(len(regions), drawn, overlooked(objects, painted, regions)))
        )

    def _follow(self, *layers: Layer) -> None:
        """Look also at shapes that enclose nothing, which are not noted with the paint, and at objects."""
        if layers == self._looked_at:
            return
        self._followed.close()
        self._looked_at = layers
        for layer in layers:
            events = layer.events
            self._followed.callback(follow(self, self._show, events.data))
            if isinstance(layer, Labels):  # edited, or read again with other settings
                self._followed.callback(follow(self, self._on_edited, events.paint, events.set_data))

    def _on_edited(self, _event: object = None) -> None:
        self._settled.start()


def describe_regions(regions: int, drawn: int, overlooked: int = 0) -> str:
    """Return a sentence on what the shapes mean.

    Of the ``drawn`` shapes, ``regions`` enclose pixels of one plane. ``overlooked`` is the number of
    predicted objects in these that have no paint.
    """
    parts = []
    if regions:
        what, where = ("1 complete region", "it") if regions == 1 else (f"{regions} complete regions", "them")
        parts.append(
            f"{what}: unlabelled pixels in {where} count as background, and objects that end there as filled "
            "to their border."
        )
    if overlooked:
        what, are = (
            ("1 predicted object", "is") if overlooked == 1 else (f"{overlooked} predicted objects", "are")
        )
        parts.append(f"{what} there {are} not accepted and so learnt as background; accept what is right.")
    if drawn > regions:
        one = "1 shape encloses no pixels of one plane and does"
        many = f"{drawn - regions} shapes enclose no pixels of one plane and do"
        parts.append(f"{one if drawn - regions == 1 else many} not count; draw on the planes you paint on.")
    return " ".join(parts)


def take_region_tool(viewer: ViewerModel, paint: Labels, tool: str) -> Shapes:
    """Select the complete regions of ``paint``, ready to draw a "rectangle" or "polygon".

    If there are none, it takes a layer of the right name that belongs to no image, such as one that was saved
    and opened again, or else makes a new one.
    """
    layer = regions_layer(viewer, paint) or _make(viewer, paint)
    layer.visible = True
    select_anew(viewer, layer)
    layer.mode = f"add_{tool}"
    return layer


def regions_layer(viewer: ViewerModel, paint: Labels) -> Shapes | None:
    """Return the layer of the complete regions of ``paint``, if there is one in the viewer."""
    mark = mark_of(paint)
    return next(iter(layers_bound_to(viewer, mark.image, "regions")), None) if mark else None


def copy_regions(viewer: ViewerModel, paint: Labels, other: Labels) -> None:
    """Give ``other``, the paint of a part of the same image, the complete regions of ``paint``."""
    layer = regions_layer(viewer, paint)
    if layer is not None and len(layer.data):
        corners = [_to_pixels(shape, layer, other) for shape in layer.data]
        _make(viewer, other).add(corners, shape_type=list(layer.shape_type))


def _name(viewer: ViewerModel, paint: Labels) -> str:
    image = source_of(viewer, paint)
    return f"{paint.name if image is None else image.name} complete regions"


def _opened_regions(viewer: ViewerModel, paint: Labels) -> Shapes | None:
    """Return shapes of the right name that belong to no image, such as those that were saved and opened."""
    name = _name(viewer, paint)
    return next((layer for layer in viewer.layers if layer.name == name and _may_adopt(layer, paint)), None)


def _make(viewer: ViewerModel, paint: Labels) -> Shapes:
    mark = mark_of(paint)
    image = None if mark is None else mark.image
    opened = _opened_regions(viewer, paint)
    layer = opened or Shapes(
        ndim=paint.ndim,
        name=_name(viewer, paint),
        **regions_style(full_data(paint).shape),
        **placement(paint),
    )
    if opened is None:
        # Below the paint, which must stay visible.
        viewer.layers.insert(viewer.layers.index(paint), layer)
    bind_regions(viewer, layer, image)
    return layer


def regions_style(shape: tuple[int, ...]) -> dict[str, Any]:
    """Return how complete regions look on paint of this shape."""
    # Thick enough to be seen around the whole image.
    return {"edge_color": _COLOUR, "face_color": _FILL, "edge_width": max(1.0, max(shape[-2:]) / 400)}


def bind_regions(viewer: ViewerModel, layer: Shapes, image: Any) -> None:
    """Make the shapes in ``layer`` the complete regions of the image of this id; note them with its paint."""
    layer.metadata[KEY] = Mark(layer.unique_id, image, "regions")
    _Link(viewer, layer)()
    RegionUndo(layer)


def _may_adopt(layer: object, paint: Labels) -> bool:
    return isinstance(layer, Shapes) and mark_of(layer) is None and layer.ndim == paint.ndim


class _Link:
    """Notes what the shapes enclose with the paint of their image, while their layer is in the viewer."""

    def __init__(self, viewer: ViewerModel, layer: Shapes) -> None:
        self._viewer = viewer
        self._layer = layer
        self._followed: list[Any] = []
        self._follow(layer.events.data, viewer.layers.events.inserted, viewer.layers.events.removed)
        self._follow(*_moves(layer))

    def _follow(self, *emitters: Any) -> None:
        for emitter in emitters:
            if emitter not in self._followed:
                emitter.connect(self)
                self._followed.append(emitter)

    def __call__(self, event: Any = None) -> None:
        other = getattr(event, "value", None)
        if isinstance(other, Layer) and other is not self._layer and not is_paint(other):
            return
        mark = mark_of(self._layer)
        is_there = self._layer in self._viewer.layers
        for paint in layers_bound_to(self._viewer, mark.image, "paint") if mark else ():
            self._follow(*_moves(paint))  # the paint may be moved after the shapes
            set_regions(paint, _enclosed(self._layer, paint) if is_there else ())
        if not is_there:
            for emitter in self._followed:
                emitter.disconnect(self)


def _moves(layer: Layer) -> list[Any]:
    """Return what changes when a layer is moved in the world."""
    return [layer.events[name] for name in ("scale", "translate", "rotate", "shear", "affine")]


def _enclosed(layer: Shapes, paint: Labels) -> tuple[Region, ...]:
    """Return the regions of ``paint`` that the shapes enclose; lines and open paths enclose none."""
    shape = full_data(paint).shape
    outlines = [
        _to_pixels(shape_outline(corners, kind), layer, paint)
        for corners, kind in zip(layer.data, layer.shape_type, strict=True)
        if kind in ("rectangle", "polygon", "ellipse")
    ]
    regions = (outline_region(outline, shape) for outline in outlines)
    return tuple(region for region in regions if region is not None)


def _to_pixels(outline: NDArray[Any], layer: Shapes, paint: Labels) -> NDArray[np.float64]:
    """Return corners of ``layer`` in pixels of ``paint``, wherever the two are in the world."""
    return np.array([paint.world_to_data(layer.data_to_world(corner)) for corner in outline])

"""Gestures on a layer of predicted objects, by mouse and by key; each is one step of undo."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.utils.events import EmitterGroup, Event
from napari.utils.notifications import show_info
from numpy.typing import NDArray

from napari_unet.core.arrays.axes import CHANNEL_AXES, Channels
from napari_unet.core.correcting.gestures import (
    Correction,
    Edit,
    Gesture,
    GestureKind,
    accept,
    merge,
    reject,
    split,
    touched_objects,
)
from napari_unet.core.errors import InputError
from napari_unet.widgets.bridge.layers import (
    annotation_of,
    keep_selection,
    make_annotation,
    objects_of,
    write_pixels,
)
from napari_unet.widgets.bridge.marks import (
    Mark,
    accept_painted,
    full_data,
    layers_of,
    mark_of,
    mode_of,
    source_of,
)
from napari_unet.widgets.bridge.placement import spatial_axes
from napari_unet.widgets.bridge.timeline import Timeline, count_as_predicted, timeline_of
from napari_unet.widgets.correcting.stroke_preview import StrokePreview

KEYS: dict[GestureKind, str] = {"accepted": "A", "rejected": "R", "split": "S", "merged": "U"}
"""Letters that napari leaves free for labels, and the Paint dock too. U is for unite."""

_CARRIER = "pick"
"""napari's mode while a tool is in use: it changes nothing, leaves the mouse to us, and Space or Z still
moves the camera."""


class Corrector:
    """What the mouse and the keys do on one layer of predicted objects.

    It is a mouse callback of the layer, and lives as long as the layer. ``events.tool`` says that another
    tool is in use, or that the objects look different; ``events.said`` has a ``sentence`` for the user and
    its ``tone``.
    """

    def __init__(self, viewer: ViewerModel, result: Labels, mark: Mark) -> None:
        self._viewer = viewer
        self._result = result
        self._mark = mark
        self._tool: GestureKind | None = None
        self.is_at_work = False
        """Whether the edit that the layer reports now is a gesture, and not made with napari's tools."""
        self.events = EmitterGroup(source=self, tool=Event, said=Event)
        result.mouse_drag_callbacks.append(self)
        result.events.mode.connect(self._on_mode)
        bind_gesture_keys(viewer, result)
        self._follow_paint()

    @property
    def tool(self) -> GestureKind | None:
        """What a stroke with the mouse does now."""
        return self._tool if str(self._result.mode) == _CARRIER else None

    def take(self, tool: GestureKind | None) -> None:
        """Select a tool, or None."""
        self._tool = tool
        if tool is not None:
            self._result.visible = True
            self._viewer.layers.selection.active = self._result
            self._result.mode = _CARRIER
        elif str(self._result.mode) == _CARRIER:
            self._result.mode = "pan_zoom"
        self.events.tool()

    def __call__(self, layer: Labels, event: Any) -> Iterator[None]:
        """Draw a stroke, and apply the tool to it when the button is released."""
        tool = self.tool
        if tool is None or event.button != 1:
            return
        if len(event.dims_displayed) > 2:
            self._point_at(tool, event.position, event.view_direction, event.dims_displayed)
            return
        more = len(event.position) - layer.ndim
        axes = tuple(sorted(axis - more for axis in event.dims_displayed))
        if min(axes) < 0:
            return  # shown on edge, where nothing can be seen
        path = [layer.world_to_data(event.position)]
        preview = StrokePreview(layer, axes, event.camera_zoom)
        with layer.block_history():
            self._mark.is_drawn_on = True
            yield
            while event.type == "mouse_move":
                path.append(layer.world_to_data(event.position))
                preview.draw(path[-2:])
                yield
            preview.clear()
            self._mark.is_drawn_on = False
            if layer in self._viewer.layers:
                self.stroke(tool, np.array(path), axes, leaves_trace=preview.was_drawn)

    def stroke(
        self,
        kind: GestureKind,
        path: NDArray[np.float64],
        axes: tuple[int, ...],
        *,
        leaves_trace: bool = False,
    ) -> None:
        """Apply the gesture ``kind`` to all objects that a stroke touches or crosses.

        ``path`` (N, D) is in pixels of the layer, on the plane of these ``axes``; it ``leaves_trace`` if its
        drawing and removal are in the history of the layer already.
        """
        first, second = axes

        def make(objects: NDArray[Any], paint: NDArray[Any]) -> Correction:
            if kind == "split":
                return split(objects, paint, path, (first, second))
            if kind == "merged":
                return merge(objects, paint, path, (first, second))
            ids = touched_objects(objects, path, (first, second))
            if not ids:
                raise InputError("There is no object; point at one.")
            return (accept if kind == "accepted" else reject)(objects, paint, ids)

        self._correct(make, leaves_trace=leaves_trace)

    def point(self, kind: GestureKind) -> None:
        """Accept or reject the object under the pointer, except while a stroke is drawn, which hides it."""
        if self._mark.is_drawn_on:
            return
        viewer = self._viewer
        displayed = list(viewer.dims.displayed)
        direction = viewer.scene.camera.calculate_nd_view_direction(viewer.dims.ndim, displayed)
        self._point_at(kind, viewer.cursor.position, direction, displayed)

    def _point_at(self, kind: GestureKind, position: Any, direction: Any, displayed: list[int]) -> None:
        if kind in ("split", "merged"):
            self._say("Strokes need a plane; leave the 3-D view first.", "warning")
            return
        found = self._result.get_value(
            position, view_direction=direction, dims_displayed=displayed, world=True
        )
        number = int(found) if isinstance(found, int | np.integer) else 0
        if number <= 0:
            what = "under the pointer" if self._result.visible else "to be seen: show the predicted layer"
            self._say(f"There is no object {what}.", "warning")
            return
        make = accept if kind == "accepted" else reject
        self._correct(lambda objects, paint: make(objects, paint, [number]))

    def _correct(
        self, make: Callable[[NDArray[Any], NDArray[Any]], Correction], *, leaves_trace: bool = False
    ) -> None:
        """Make a correction and apply it to both layers."""
        result = self._result
        try:
            paint = self._annotation()
            correction = make(result.data, full_data(paint))
        except InputError as error:
            timeline = self._follow_paint()
            if timeline is not None and leaves_trace:
                with timeline.step() as step, result.block_history():
                    step.is_nothing = True
            self._say(str(error), "warning")  # after the events of an edit
            return
        timeline = timeline_of(paint)
        timeline.follow(result)
        changed = correction.objects.pixels.size + correction.paint.pixels.size > 0
        self.is_at_work = True
        try:
            with timeline.step() as step:
                step.is_nothing = not changed
                with result.block_history():  # with the stroke that was drawn and removed, one edit
                    _apply(result, correction.objects)
                    step.shown = count_as_predicted(result, correction.pixels)
                _apply(paint, correction.paint)
                if changed:
                    step.gestures = (Gesture(correction.kind, time.time()),) * len(correction.values)
        finally:
            self.is_at_work = False
        if correction.kind == "rejected":
            timeline.note_rejected(correction.pixels)
        accept_painted(paint, correction.painted)  # reports the paint to the docks in any case
        self._say(_in_words(correction) if changed else "The paint holds that already.", "hint")

    def _annotation(self) -> Labels:
        """Return the annotation layer of the image, or a new one if there is none."""
        image = source_of(self._viewer, self._result)
        if image is None:
            raise InputError(
                f"The image of '{self._result.name}' is no longer in the viewer, so there is nothing to "
                "paint on; open it and predict again."
            )
        paint = annotation_of(self._viewer, image)
        if paint is None:
            with keep_selection(self._viewer):
                paint = make_annotation(self._viewer, image, _channels(image, self._result.data.shape))
            bind_gesture_keys(self._viewer, paint)
        if mode_of(paint) != "objects":
            raise InputError(
                f"'{paint.name}' shows classes, not separate objects; choose Objects to keep "
                "apart under Paint."
            )
        return paint

    def _follow_paint(self) -> Timeline | None:
        """Give the layer the same order of undo as its annotation layer, if there is one."""
        paint = annotation_of(self._viewer, source_of(self._viewer, self._result))
        if paint is None:
            return None
        bind_gesture_keys(self._viewer, paint)
        timeline = timeline_of(paint)
        timeline.follow(self._result)
        return timeline

    def _on_mode(self, _event: object = None) -> None:
        # Moving the camera is no change of tool; any other of napari's modes is.
        if str(self._result.mode) not in (_CARRIER, "pan_zoom"):
            self._tool = None
        self.events.tool()

    def _say(self, sentence: str, tone: str) -> None:
        self.events.said(sentence=sentence, tone=tone)


def corrector_of(viewer: ViewerModel, result: Labels) -> Corrector:
    """Return what makes the gestures on a layer of predicted objects."""
    mark = mark_of(result)
    if mark is None or mark.kind != "objects":
        raise ValueError(f"{result.name} does not show predicted objects")
    if not isinstance(mark.corrector, Corrector):
        mark.corrector = Corrector(viewer, result, mark)
    return mark.corrector


def is_gesture(result: Labels) -> bool:
    """Return whether the edit that a layer reports now is a gesture, which is in the paint."""
    mark = mark_of(result)
    return mark is not None and isinstance(mark.corrector, Corrector) and mark.corrector.is_at_work


def holds_tool(layer: Layer | None) -> bool:
    """Return whether the mouse makes gestures on ``layer``."""
    mark = None if layer is None else mark_of(layer)
    return mark is not None and isinstance(mark.corrector, Corrector) and mark.corrector.tool is not None


def bind_gesture_keys(viewer: ViewerModel, layer: Labels) -> None:
    """Give a layer of objects or paint the keys of the gestures, even while no dock is open."""
    for kind, key in KEYS.items():
        layer.bind_key(key, lambda of, kind=kind: act_by_key(viewer, kind, of), overwrite=True)


def act_by_key(viewer: ViewerModel, kind: GestureKind, layer: Layer | None) -> None:
    """Apply the gesture of a key to the predicted objects of the image that the ``layer`` belongs to."""
    image = source_of(viewer, layer)
    result = objects_of(viewer, image)
    if result is None:
        if image is not None:
            show_info(why_nothing_to_correct(viewer, image))
        return
    corrector = corrector_of(viewer, result)
    if kind in ("accepted", "rejected"):
        corrector.point(kind)
    else:
        corrector.take(None if corrector.tool == kind else kind)


def why_nothing_to_correct(viewer: ViewerModel, image: Image | None) -> str:
    """Return in a sentence why there are no objects of ``image`` to correct, and how to get some."""
    stored = layers_of(viewer, image, "stored objects")
    if stored:
        return (
            f"'{stored[0].name}' is shown from disk, where it cannot be corrected: select the image, zoom in "
            "to what is wrong, choose Layers > Data > Crop image to the part in view, and predict that part."
        )
    return "There are no predicted objects to correct yet; press Predict. Corrections teach the network."


def _channels(image: Image, shape: tuple[int, ...]) -> Channels:
    """Return where an image has its channels, from the shape of its objects."""
    whole = full_data(image).shape
    if image.rgb or whole == shape:
        return "auto"
    fitting = (
        where for where in CHANNEL_AXES if tuple(whole[axis] for axis in spatial_axes(image, where)) == shape
    )
    return next(fitting, "last")


def _apply(layer: Labels, edit: Edit) -> None:
    if edit.pixels.size:
        write_pixels(layer, np.unravel_index(edit.pixels, layer.data.shape), edit.values)


def _in_words(correction: Correction) -> str:
    count = len(correction.values)
    match correction.kind:
        case "accepted" | "rejected":
            what = f"{count} object{'s' * (count != 1)} {correction.kind}"
        case "split":
            what = f"Split into {count}"
        case "merged":
            what = "Merged into one"
    return f"{what}; undo with Ctrl+Z."

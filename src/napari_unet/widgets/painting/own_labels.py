"""Labels that the user made or opened: no annotation layer, so they teach nothing until taken as paint."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.utils.notifications import show_info
from numpy.typing import NDArray
from qtpy.QtWidgets import QWidget

from napari_unet.core.annotation import BACKGROUND, FIRST_OBJECT, Mode, check_paint
from napari_unet.core.arrays.axes import Channels
from napari_unet.core.arrays.runs import count_values
from napari_unet.core.correcting.numbering import number_separately, unused_values
from napari_unet.core.errors import InputError
from napari_unet.core.painted.label_images import may_be_mask, may_be_opened_as_image, paint_of_labels
from napari_unet.files.pixels.finding import LABEL_ENDINGS
from napari_unet.widgets.bridge.layers import has_paint, write_pixels
from napari_unet.widgets.bridge.marks import (
    accept_objects,
    full_data,
    images_of,
    kind_of,
    mode_of,
    source_of,
)
from napari_unet.widgets.bridge.placement import pixel_shown, spatial_axes
from napari_unet.widgets.bridge.timeline import timeline_of
from napari_unet.widgets.painting.watcher import AnnotationWatcher
from napari_unet.widgets.parts.form import Column, LayerChooser, Sentence, Tone, button
from napari_unet.widgets.window.lifetime import follow

_OWN = ("", "paint", "objects", "classes")

_NO_PAINT = "'{}' teaches nothing, as it is not an annotation layer."
_GONE = "'{}' teaches nothing while its image is not in the window: open that again"
_COPY = "{} Copy it into the paint of {}'{}':"
_OR_COPY = "{}, or copy it into the paint of {}'{}':"
_OF_PLANE = "the plane you see of "
_MAKE_FIRST = "{} Make one first; then select this layer again to copy it into the paint of a plane."
_HIDDEN = "'{}' is hidden; show it, by the eye beside its name, to copy it into the paint of '{}'."
_AS_IMAGE = (
    "'{}' looks like labels that were opened as an image. Right-click it in the layer list, and choose "
    "Convert to Labels: then they can be copied into the paint of their image."
)
_IN_COLOURS = (
    "'{}' looks like labels in colours, which cannot be learnt from. Save them as labels where they were "
    "made: a picture with one whole number for each pixel."
)
_OTHER_SHAPE = "{} It cannot become paint either, as it has shape {} and the pixels of '{}' have {}."
Meaning = Literal["strokes", "objects", "labels"]
"""What numbers in labels stand for: what they do in paint, strokes on objects alone, or finished objects."""

_AS_STROKES = (
    "1 is background, every number from 2 up is an object (or a class), and 0 is unlabelled.\n"
    "The layer itself is not changed, only hidden."
)
_AS_OBJECTS = (
    "Every number is an object (or a class), also 1, and 0 is unlabelled: you painted on objects, and\n"
    "no background yet. The layer itself is not changed, only hidden."
)
_AS_LABELS = (
    "0 is background, and every other number is an object painted up to its border (or a class), as other\n"
    "programs save labels: every pixel is then known. The layer itself is not changed, only hidden."
)


_MEANINGS: tuple[tuple[str, Meaning, str], ...] = (
    ("As strokes", "strokes", _AS_STROKES),
    ("As strokes on objects", "objects", _AS_OBJECTS),
    ("As finished labels", "labels", _AS_LABELS),
)


class OwnLabels(QWidget):
    """Takes labels that belong to no image into the paint of the chosen one.

    It is shown while such labels are selected. While nothing is painted, it is also shown for any labels of
    the shape of the paint: users who painted on their own layer before they made the annotation layer still
    see their strokes. ``make`` makes the annotation layer if there is none; ``channels`` says where that
    layer takes the channels to be.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        image: LayerChooser,
        watcher: AnnotationWatcher,
        make: Callable[[], None],
        channels: Callable[[], Channels],
    ) -> None:
        super().__init__()
        self._viewer, self._image, self._watcher = viewer, image, watcher
        self._make, self._channels = make, channels
        self._followed: Layer | None = None
        self._unfollow = follow(self, self.look)
        column = Column(self)
        self._said = column.add(Sentence("paint_own"))
        self._buttons = [
            button(text, partial(self.take, meaning), name=f"paint_own_{meaning}", tooltip=tooltip)
            for text, meaning, tooltip in _MEANINGS
        ]
        column.add_row(*self._buttons[:2])
        column.addWidget(self._buttons[2])
        follow(self, self.look, viewer.layers.selection.events.active, viewer.layers.events.removed)
        watcher.layer_changed.connect(self.look)
        image.layer_changed.connect(self.look)
        self.look()

    def look(self, _event: object = None) -> None:
        """Look again which layer is selected, and whether anything is painted."""
        active = self._viewer.layers.selection.active
        if active is not self._followed:
            self._unfollow()
            self._followed = active
            self._unfollow = follow(self, self.look, *([] if active is None else [active.events.visible]))
            if (alike := self._image_of(active)) is not None:
                self._image.choose(alike)
        labels, image = self._stray(), self._image.layer
        if way_out := _as_image(active) or self._hidden(active):
            self._said.say(way_out, "warning")
            for made in self._buttons:
                made.setVisible(False)
            self.setVisible(True)
            return
        tone: Tone = "warning" if labels is active else "hint"
        self.setVisible(labels is not None and image is not None)
        if labels is None or image is None:
            return
        now, wanted = full_data(labels).shape, self._shape_of_paint(image)
        # Without paint, an extra axis may be that of the channels, which the dock asks about first.
        is_of_plane = now == wanted[-2:] != wanted
        fits = now == wanted or (is_of_plane and self._watcher.layer is not None)
        for made in self._buttons:
            made.setVisible(fits)
        is_of_image = kind_of(labels) != ""
        why = (_GONE if is_of_image else _NO_PAINT).format(labels.name)
        if fits:
            copy = _OR_COPY if is_of_image else _COPY
            why = copy.format(why, _OF_PLANE if is_of_plane else "", image.name)
        elif is_of_image:
            why += "."
        elif is_of_plane:
            why = _MAKE_FIRST.format(why)
        else:
            why = _OTHER_SHAPE.format(why, now, image.name, wanted)
        self._said.say(why, tone)

    def take(self, meaning: Meaning) -> None:
        """Take these labels, whose numbers have this meaning, into the paint of the chosen image."""
        labels = self._stray()
        if labels is None:
            return
        try:
            given = labels_as_paint(labels, meaning)
            self._make()
            paint = self._watcher.layer
            if paint is None:
                return
            plane = pixel_shown(self._viewer, paint)[: paint.ndim - given.ndim]
            told = take_labels(given, paint, plane, finished=meaning == "labels")
        except InputError as error:
            self._said.say(str(error), "error")
            return
        labels.visible = False
        show_info(f"Took {told} of '{labels.name}' into the paint, and hid that layer.")

    def _stray(self) -> Labels | None:
        """Return the labels that the section is about: the selected ones, or else the topmost."""
        active, paint = self._viewer.layers.selection.active, self._watcher.layer
        if isinstance(active, Labels) and self._is_own(active):
            return active
        if paint is None:
            return None
        shape = full_data(paint).shape
        others = [
            layer
            for layer in reversed(self._viewer.layers)
            if self._is_own(layer) and full_data(layer).shape == shape and np.any(full_data(layer))
        ]
        return others[0] if others and not has_paint(paint) else None

    def _is_own(self, layer: Layer) -> bool:
        """Return whether ``layer`` has the user's own labels, or those of an image that is gone."""
        # Nobody paints on hidden ones, such as the truth that comes with a sample.
        return bool(layer.visible) and self._is_free(layer)

    def _is_free(self, layer: Layer) -> bool:
        is_free = isinstance(layer, Labels) and kind_of(layer) in _OWN
        return is_free and source_of(self._viewer, layer) is None

    def _hidden(self, layer: Layer | None) -> str:
        """Return that own labels named after the chosen image are hidden, or "" if they are not."""
        image = self._image_of(layer)
        if layer is None or layer.visible or image is None:
            return ""
        told = _HIDDEN.format(layer.name, image.name)
        return told if image is self._image.layer else ""

    def _image_of(self, layer: Layer | None) -> Image | None:
        """Return the image that own labels are named after, None for other layers."""
        return None if layer is None or not self._is_free(layer) else image_named_like(self._viewer, layer)

    def _shape_of_paint(self, image: Image) -> tuple[int, ...]:
        paint = self._watcher.layer
        if paint is not None:
            shape: tuple[int, ...] = full_data(paint).shape
            return shape
        return tuple(full_data(image).shape[axis] for axis in spatial_axes(image, self._channels()))


def _as_image(layer: Layer | None) -> str:
    """Return what to do about labels that were opened as an image, or "" if this layer is no such image."""
    if not isinstance(layer, Image) or kind_of(layer) or type(layer.data) is not np.ndarray:
        return ""
    if not may_be_opened_as_image(layer.data, rgb=layer.rgb):
        return ""
    return (_IN_COLOURS if layer.rgb else _AS_IMAGE).format(layer.name)


def image_named_like(viewer: ViewerModel, labels: Layer) -> Image | None:
    """Return the image that labels of this name are of: "a_masks" and "a [1]" of "a"."""
    bare = re.sub(r" \[\d+\]$", "", labels.name)  # which napari adds to names that are there already
    names = {labels.name, bare, bare.removesuffix(next(filter(bare.endswith, LABEL_ENDINGS), ""))}
    return next((image for image in images_of(viewer) if image.name in names and not _as_image(image)), None)


def labels_as_paint(labels: Labels, meaning: Meaning) -> NDArray[np.int32]:
    """Return ``labels`` as paint, whose zeros are background in finished ones, unlabelled beside strokes.

    ``InputError`` if they are empty, or cannot be paint.
    """
    pixels = np.asarray(full_data(labels))
    if not pixels.any():
        raise InputError(f"Nothing is on '{labels.name}' yet; paint on it, or on the annotation layer.")
    if meaning == "strokes":
        return check_paint(pixels)
    paint = paint_of_labels(pixels)
    return check_paint(paint if meaning == "labels" else np.where(pixels > 0, paint, 0))


def take_labels(
    given: NDArray[np.int32], paint: Labels, plane: tuple[int, ...] = (), *, finished: bool
) -> str:
    """Put ``given`` over the paint, in one step of undo, and return in words what that is.

    ``plane`` is the plane of the paint that it covers, as the index along the leading axes; () is all of the
    paint. Every object gets its own number; finished ones are noted as painted up to their border, and if
    they are a mask, every separate piece is one. ``InputError`` if the paint cannot hold the numbers.
    """
    mode = mode_of(paint)
    before = np.asarray(full_data(paint))
    is_mask = finished and mode == "objects" and may_be_mask(np.where(given >= FIRST_OBJECT, given, 0))
    if is_mask:
        pieces, numbers = number_separately(given)
        given = given.copy()
        given[pieces] = numbers
    given = _beside(given, before, mode)
    values = count_values(given)
    objects = [value for value in values if value >= FIRST_OBJECT]
    indices = np.nonzero((given > 0) & (given != before[plane]))
    at = tuple(np.full(indices[0].size, index) for index in plane)
    with timeline_of(paint).step():
        write_pixels(paint, (*at, *indices), given[indices].astype(before.dtype))
    if finished and mode == "objects":
        accept_objects(paint, objects)
    one, many = ("object", "objects") if mode == "objects" else ("class", "classes")
    beside = "background and " if BACKGROUND in values else ""
    told = f"{beside}{len(objects)} {one if len(objects) == 1 else many}"
    return f"{told} (the separate pieces of a mask, so those that touch are one)" if is_mask else told


def _beside(given: NDArray[np.int32], paint: NDArray[Any], mode: Mode) -> NDArray[np.int32]:
    """Return ``given`` with new numbers for objects whose number the paint has already."""
    numbers, painted = np.array([0, *count_values(given)]), list(count_values(paint))
    limit = np.iinfo(paint.dtype).max
    if numbers[-1] > limit:
        raise InputError(
            f"The labels have numbers up to {numbers[-1]}, and paint of type {paint.dtype} none above "
            f"{limit}; store the paint with more bits (right-click it in the layer list, Convert data type)."
        )
    if mode == "classes":
        return given
    taken = (numbers >= FIRST_OBJECT) & np.isin(numbers, painted)
    every = np.union1d(numbers, painted).astype(paint.dtype)
    to = numbers.copy()
    to[taken] = unused_values(every, int(taken.sum()), at_least=FIRST_OBJECT)
    return to[np.searchsorted(numbers, given)].astype(np.int32)

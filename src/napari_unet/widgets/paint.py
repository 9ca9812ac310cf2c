"""The Paint dock: choose an image, make its annotation layer, paint, and see what is still missing."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import napari
import numpy as np
from napari.layers import Image, Labels
from napari.utils.notifications import show_info
from numpy.typing import NDArray
from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # no qtpy stubs
from superqt.utils import signals_blocked

from napari_unet.core.annotation import BACKGROUND, FIRST_OBJECT, Mode
from napari_unet.core.arrays.axes import CHANNEL_AXES, Channels
from napari_unet.core.arrays.sparse import copy_planes
from napari_unet.core.correcting.numbering import number_separately
from napari_unet.core.errors import InputError
from napari_unet.core.painted.advice import PaintSummary, describe_paint, summarise_paint
from napari_unet.core.painted.known_full import KnownFull
from napari_unet.core.painted.regions import complete
from napari_unet.widgets.bridge import layers as bridge
from napari_unet.widgets.bridge import marks
from napari_unet.widgets.bridge.channel_order import move_channels_first
from napari_unet.widgets.bridge.placement import is_flat
from napari_unet.widgets.bridge.seen_axes import said_channels
from napari_unet.widgets.bridge.sight import bring_up
from napari_unet.widgets.bridge.timeline import timeline_of
from napari_unet.widgets.guiding.place_view import show_planes
from napari_unet.widgets.jobs import once
from napari_unet.widgets.next_place import NextPlace
from napari_unet.widgets.painting import brushes
from napari_unet.widgets.painting.brush_tools import BrushTools
from napari_unet.widgets.painting.channel_advice import CHOICES, advice_on_channels, asks_for_channels
from napari_unet.widgets.painting.channel_layers import ChannelLayers
from napari_unet.widgets.painting.own_labels import OwnLabels
from napari_unet.widgets.painting.regions import RegionTools
from napari_unet.widgets.painting.take_section import TakeCorrections
from napari_unet.widgets.painting.watcher import AnnotationWatcher
from napari_unet.widgets.parts.dock import Dock, without_proxy
from napari_unet.widgets.parts.form import Form, LayerChooser, Sentence, button, check_box, choice
from napari_unet.widgets.parts.latest import Latest
from napari_unet.widgets.window.lifetime import bind_key, follow, when_settled

_FILLED = (
    "Tick this if every object you paint here is filled up to its border. Full objects teach where\n"
    "touching ones part, and how large objects are. Do not tick it for strokes along their middles:\n"
    "the network would take their edges for the border. Objects from Take corrections count without it."
)
_NUMBER = (
    "Give every separate place its own number, in one step that Ctrl+Z undoes. Objects accepted from\n"
    "a prediction do not change."
)
_NO_OBJECTS = "Only for objects: classes of pixels are not kept apart."

_IN_3D = (
    "In the 3-D view, brushes only change existing paint, and regions cannot be drawn. Go back to the "
    "planes (Ctrl+Y) to paint more."
)
_FROM_ITS_SIDE = (
    "You see this stack from its side: strokes are one pixel wide on the planes that a network learns from, "
    "and regions do not count. Press Ctrl+E until its planes are back."
)
_FLOODED = (
    "There is a plane with nothing left unlabelled: the network learns objects in it that you did not paint "
    "as background. Undo (Ctrl+Z), or tick 'Objects filled to their border' if you painted them all."
)


@dataclass(frozen=True, slots=True)
class Counted:
    """What is painted on the layer of this id; ``checksum`` changes with any pixel."""

    layer: object
    summary: PaintSummary
    checksum: int
    mode: Mode
    full: KnownFull
    is_flooded: bool


class PaintDock(Dock):
    """Choose an image, make its annotation layer, and paint on it."""

    annotation_changed = Signal(object)
    """The annotation layer, or None, when it is another one or what is :attr:`counted` on it has changed."""

    def __init__(self, viewer: "napari.viewer.Viewer", *, scrollable: bool = True) -> None:
        super().__init__(scrollable=scrollable)
        self._viewer = viewer = without_proxy(viewer)
        self.counted: Counted | None = None
        """What is painted on the annotation layer, once it was counted."""
        self.is_unknown = False
        """Whether there is paint that is not counted yet, or cannot be."""
        # Patient, as strokes on a large stack may come faster than it is counted.
        self._counter = Latest("Counting paint", self, patient=True)
        self._counter.result.connect(self._show_summary)
        self._counter.failed.connect(self._show_fault)
        self._settled = when_settled(self, self._count)
        self._with_channels: Image | None = None  # the image whose channels this dock found, not the user
        self._build()
        self._watcher.layer_changed.connect(self._on_annotation)
        self._watcher.painted.connect(self._settled.start)
        self._watcher.noted.connect(self._on_noted)
        self.image.layer_changed.connect(self._find_channels)
        self.image.layer_changed.connect(self._show_state)
        for key, brush in brushes.KEYS.items():
            bind_key(viewer, key, self, partial(PaintDock._take_by_key, brush=brush))
        follow(self, self._show_view, viewer.dims.events.ndisplay, viewer.dims.events.order)
        self._find_channels(self.image.layer)
        self._on_annotation(self._watcher.layer)

    @property
    def annotation(self) -> Labels | None:
        """The annotation layer of the chosen image, if it has one."""
        return self._watcher.layer

    @property
    def mode(self) -> Mode:
        """What the values of the paint mean."""
        mode: Mode = self.mode_choice.currentData()
        return mode

    def stop(self) -> None:
        """Stop looking for a place to paint."""
        self.next_place.stop()

    # The parts, from top to bottom.

    def _build(self) -> None:
        column = self.column
        self.image = LayerChooser(self._viewer)
        self._watcher = AnnotationWatcher(self._viewer, self.image)
        self.channels = choice(CHOICES)
        self.channels.currentIndexChanged.connect(self._advise_on_channels)
        self.mode_choice = choice((("Objects to keep apart", "objects"), ("Classes of pixels", "classes")))
        self.mode_choice.currentIndexChanged.connect(self._on_mode)
        self._form = Form(column)
        self._form.add("Image", self.image, name="paint_image", tooltip="The image to paint on.")
        self._form.add(
            "Channels",
            self.channels,
            name="paint_channels",
            tooltip="Which axis holds the colours or stains of one picture; paint has no such axis.",
        )
        self._form.add(
            "Teach",
            self.mode_choice,
            name="paint_mode",
            tooltip="Objects: every value from 2 up is one cell or nucleus; touching ones are kept apart.\n"
            "Classes: every value from 2 up is one kind of pixel, such as nucleus, stroma, lumen.",
        )
        column.addWidget(ChannelLayers(self._viewer, self.image, self._watcher))
        self.make_button = button(
            "",
            self.make,
            name="paint_make",
            tooltip="Add a layer for your strokes, as large as the image and in its place; or select it.",
        )
        column.addWidget(self.make_button)
        own = OwnLabels(self._viewer, self.image, self._watcher, self.make, self._said_channels)
        self.channels.currentIndexChanged.connect(own.look)
        self._counter.result.connect(own.look)
        column.addWidget(own)
        self.brushes = column.add(BrushTools(self._viewer, self._watcher))
        self._in_space = column.add(Sentence("paint_in_3d"))
        self.filled = column.add(
            check_box("Objects filled to their border", self._on_filled, name="paint_full", tooltip=_FILLED)
        )
        column.addWidget(RegionTools(self._viewer, self._watcher))
        self.summary = column.add(Sentence("paint_summary"))
        self.advice = column.add(Sentence("paint_advice"))
        self.number = column.add(
            button("Number them separately", self.number_separately, name="paint_number", tooltip=_NUMBER)
        )
        self.number.hide()  # until there is something to number
        self.next_place = column.add(NextPlace(self._viewer, self.image))
        self.corrections = column.add(TakeCorrections(self._viewer, self.image, self._watcher))
        column.addStretch()

    # What the controls do.

    def make(self) -> None:
        """Make the annotation layer of the chosen image if it has none, on its planes; select the brush."""
        image = self.image.layer
        if image is None:
            return
        known = [layer for layer in self._viewer.layers if marks.is_paint(layer)]
        # A new layer is visible, and has the usual mode and napari's brush.
        mode, diameter, channels = self.mode, self.brushes.diameter.value(), self._said_channels()
        try:
            if moved := move_channels_first(self._viewer, image, channels):
                show_info(moved)
                channels = "first"  # also when the paint was deleted and is made again
                self._say_channels(channels)
            paint = bridge.make_annotation(self._viewer, image, channels)
        except InputError as error:
            self.advice.say(str(error), "error")
            return
        if paint not in known:
            marks.set_mode(paint, mode)
            paint.brush_size = diameter
            show_planes(self._viewer, paint)
        if hidden := bring_up(self._viewer, image):  # otherwise the pixels of another image would be painted
            show_info(hidden)
        self._watcher.look()
        self.brushes.take(brushes.paint_background)

    def number_separately(self) -> None:
        """Give every separate place of the painted objects its own number, and paint on with a new one."""
        paint = self.annotation
        if paint is None:
            return
        accepted = {value for value, _ in marks.known_full_of(paint).accepted}
        try:
            indices, values = number_separately(np.asarray(marks.full_data(paint)), but=accepted)
        except InputError as error:
            self.advice.say(str(error), "error")
            return
        with timeline_of(paint).step():
            bridge.write_pixels(paint, indices, values)
        if paint.selected_label >= FIRST_OBJECT:
            brushes.paint_next_object(paint)

    def _take_by_key(self, brush: Callable[[Labels], None]) -> None:
        """Select a brush if the selected layer belongs to the chosen image."""
        image = self.image.layer
        if image is not None and marks.source_of(self._viewer, self._viewer.layers.selection.active) is image:
            self.brushes.take(brush)

    def _on_mode(self, _index: int = 0) -> None:
        if self.annotation is not None:
            marks.set_mode(self.annotation, self.mode)
        self._show_filled()
        self.brushes.show_for(self.mode)
        self._settled.start()

    def _on_filled(self, filled: bool) -> None:
        if self.annotation is not None:
            marks.set_filled(self.annotation, filled)

    # What the layers do.

    def _on_annotation(self, paint: Labels | None) -> None:
        if paint is not None:
            brushes.bind_keys(paint)
            self._on_noted()
        self._show_state()
        self.counted, self.is_unknown = None, paint is not None and bridge.has_paint(paint)
        self.annotation_changed.emit(paint)
        self._counter.cancel()  # it counts another layer
        self._count()

    def _on_noted(self) -> None:
        """Show mode and notes of the paint, after another dock changed them or another layer was chosen."""
        if self.annotation is not None:
            self.mode_choice.setCurrentIndex(self.mode_choice.findData(marks.mode_of(self.annotation)))
        self._show_filled()
        self._settled.start()

    def _show_state(self, _layer: object = None) -> None:
        image, paint = self.image.layer, self.annotation
        self.make_button.setEnabled(image is not None)
        self.make_button.setText("Make annotation layer" if paint is None else "Select annotation layer")
        self._form.show_row(self.channels, asks_for_channels(image))
        self.channels.setEnabled(paint is None)
        self.next_place.allow(has_annotation=paint is not None)
        if image is None:
            self.summary.say("Open an image to begin: File > Open, or File > Open Sample > U-Net.")
        elif paint is None:
            self.summary.say("Make an annotation layer for this image to begin painting.")
        else:
            self.summary.say("Take a brush, and paint on the image.")
        self._advise_on_channels()
        self.corrections.said.say("")
        self._show_filled()
        self._show_view()
        self.brushes.show_for(self.mode)
        self._settled.start()

    def _advise_on_channels(self, _index: int = 0) -> None:
        image = self.image.layer
        is_open = image is not None and self.annotation is None
        self.advice.say(advice_on_channels(image, self.channels.currentData()) if is_open else "")

    def _said_channels(self) -> Channels:
        """Return where the user says the channels are; "auto" for an image that is not asked about."""
        channels: Channels = self.channels.currentData() if asks_for_channels(self.image.layer) else "auto"
        return channels

    def _say_channels(self, channels: str) -> None:
        self.channels.setCurrentIndex(self.channels.findData(channels))
        self._with_channels = self.image.layer

    def _find_channels(self, image: Image | None) -> None:
        """Say where an image that was made of its channels, or its file, has them.

        First take back what this dock, not the user, said about another image.
        """
        if self._with_channels not in (None, image):
            self._say_channels("auto")
            self._with_channels = None
        is_open = image is not None and bridge.annotation_of(self._viewer, image) is None
        if is_open and self.channels.currentData() == "auto":
            said = said_channels(image)
            if said in CHANNEL_AXES:
                self._say_channels(said)

    def _show_view(self, _event: object = None) -> None:
        paint = self.annotation
        if paint is None or paint.ndim == 2 or is_flat(self._viewer, paint):
            self._in_space.say("")
        else:
            self._in_space.say(_IN_3D if self._viewer.dims.ndisplay == 3 else _FROM_ITS_SIDE)

    def _show_filled(self) -> None:
        paint, is_objects = self.annotation, self.mode == "objects"
        with signals_blocked(self.filled):
            self.filled.setChecked(paint is not None and marks.known_full_of(paint).filled)
        self.filled.setEnabled(paint is not None and is_objects)
        self.filled.setToolTip(_FILLED if is_objects else _NO_OBJECTS)

    # How much is painted, counted in the background.

    def _count(self) -> None:
        image, paint = self.image.layer, self.annotation
        if image is None or paint is None:
            self._counter.cancel()
            self._tell_change(None)
            return
        try:
            bridge.check_fits(image, paint)
        except InputError as error:
            self._counter.cancel()
            self._show_fault(str(error))
            return
        pixels, full = marks.full_data(paint), marks.known_full_of(paint)
        layer, mode = paint.unique_id, self.mode
        # The thread copies them, as a stack is large; strokes meanwhile are counted next.
        self._counter.submit(
            once(lambda: count(layer, complete(copy_planes(pixels), full.regions), mode, full))
        )

    def _show_summary(self, counted: Counted) -> None:
        summary = counted.summary
        self.summary.say(describe_paint(summary, counted.mode))
        begun = summary.background or summary.objects
        lacks = [_FLOODED] * counted.is_flooded + list(summary.missing)
        is_amiss = counted.is_flooded or (begun and not summary.teachable)
        self.advice.say(" ".join(lacks), "warning" if is_amiss else "hint")
        self._tell_change(counted)

    def _show_fault(self, sentence: str) -> None:
        self.summary.say("")  # it was about the paint before
        self.advice.say(sentence, "error")
        self._tell_change(None)

    def _tell_change(self, counted: Counted | None) -> None:
        self.number.setVisible(counted is not None and counted.summary.lacks_numbers)
        is_unknown = counted is None and self.annotation is not None
        if (counted, is_unknown) != (self.counted, self.is_unknown):
            self.counted, self.is_unknown = counted, is_unknown
            self.annotation_changed.emit(self.annotation)


def checksum(paint: NDArray[np.integer[Any]]) -> int:
    """Return a number that changes when any pixel of the paint does."""
    return zlib.crc32(np.ascontiguousarray(paint).data)


def count(layer: object, paint: NDArray[np.integer[Any]], mode: Mode, full: KnownFull) -> Counted:
    """Return what is in a copy of the ``paint`` (…YX) on the layer of this id."""
    accepted = {value for value, _ in full.accepted}
    summary = summarise_paint(paint, mode, accepted=accepted)
    # Where all objects were painted, nothing should be left unlabelled.
    objects = [value for value in summary.counts if value >= FIRST_OBJECT]
    are_all = full.filled or full.regions or (objects and accepted.issuperset(objects))
    may_be_flooded = mode == "objects" and summary.background and not are_all
    return Counted(layer, summary, checksum(paint), mode, full, bool(may_be_flooded) and _is_flooded(paint))


def _is_flooded(paint: NDArray[np.integer[Any]]) -> bool:
    """Return whether a plane (YX) has background and nothing unlabelled, as by the fill bucket."""
    planes = paint.reshape(-1, *paint.shape[-2:])
    return any(plane.all() and (plane == BACKGROUND).any() for plane in planes)

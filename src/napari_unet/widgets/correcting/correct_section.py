"""The part of the Predict dock that corrects predicted objects, and a curve of how that goes."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, get_args

from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from qtpy.QtCore import QPointF, Qt, Signal  # type: ignore[attr-defined]  # no qtpy stubs
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QGridLayout, QPushButton, QSizePolicy, QWidget
from superqt.utils import signals_blocked

from napari_unet.core.correcting.gestures import Gesture, GestureKind
from napari_unet.core.correcting.progress import ENOUGH, FEWEST, Progress, read_progress
from napari_unet.widgets.bridge.layers import annotation_of, at_hand, objects_of
from napari_unet.widgets.bridge.marks import is_paint, layers_of, mark_of, source_of
from napari_unet.widgets.bridge.timeline import REDO, UNDO, Timeline, gestures_of, timeline_of
from napari_unet.widgets.correcting.corrector import (
    KEYS,
    Corrector,
    act_by_key,
    bind_gesture_keys,
    corrector_of,
    why_nothing_to_correct,
)
from napari_unet.widgets.parts.form import Column, LayerChooser, Sentence, button, check_box
from napari_unet.widgets.window.lifetime import bind_key, follow, later

_TOOLS: dict[GestureKind, tuple[str, str]] = {
    "accepted": (
        "Accept",
        (
            "Click an object that is right, or draw over several: they become paint, up to their border.\n"
            "Key A accepts the object under the pointer, whichever tool is selected."
        ),
    ),
    "rejected": (
        "Reject",
        (
            "Click what is not an object, or draw over several: they become background in the paint.\n"
            "Key R rejects the object under the pointer."
        ),
    ),
    "split": (
        "Split",
        "Draw a line across an object that is two or more; the parts become objects in the paint. Key S.",
    ),
    "merged": (
        "Merge",
        (
            "Draw from one part of an object into the others; they become one object in the paint.\n"
            "Key U, as in unite."
        ),
    ),
}

_CURVE_HEIGHT = 44
_CURVE_COLOUR = QColor("#f5a742")


class CorrectSection(QWidget):
    """Tools for the predicted objects of the chosen image, and how many were corrected.

    If several images are chosen, the tools work on the one that the selected layer belongs to.
    """

    looked = Signal()
    """It is up to date again, after something was noted with the paint or layers changed."""

    def __init__(self, viewer: ViewerModel, image: LayerChooser) -> None:
        super().__init__()
        self._viewer = viewer
        self._image = image
        self._corrector: Corrector | None = None
        self._outlined: list[Labels] = []  # the predicted objects and classes at hand
        self._paint: Labels | None = None
        self._told: tuple[Gesture, ...] = ()
        self._followed = ExitStack()
        column = Column(self)
        grid = QGridLayout()
        grid.setSpacing(4)
        self._buttons: dict[GestureKind, QPushButton] = {}
        for place, kind in enumerate(get_args(GestureKind)):
            text, tooltip = _TOOLS[kind]
            made = button(
                f"{text} ({KEYS[kind]})",
                partial(self._take, kind),
                name=f"correct_{text.lower()}",
                tooltip=tooltip,
            )
            made.setCheckable(True)
            self._buttons[kind] = made
            grid.addWidget(made, *divmod(place, 2))
        self._undo = button(
            "Undo",
            self._on_undo,
            name="correct_undo",
            tooltip="Undo the last gesture or stroke, in the objects and in the paint.\n"
            "Ctrl+Z, or Ctrl+Shift+Z to redo it, on either layer.",
        )
        grid.addWidget(self._undo, 2, 0)
        self._outlines = check_box(
            "Outlines only",
            self._on_outlines,
            name="correct_outlines",
            tooltip="Show predicted objects and classes as outlines, so that you see the image inside them,\n"
            "and accepted objects, which are paint, stand out.",
        )
        grid.addWidget(self._outlines, 2, 1)
        column.addLayout(grid)
        self._said = column.add(Sentence("correct_said"))
        self._count = column.add(Sentence("correct_count"))
        self._count.setToolTip("What you corrected in the paint of this image.")
        self._progress = column.add(ProgressView())
        # After the order of undo has counted an edit.
        self._edited = later(self, 0, self._show_undo)
        for kind, key in KEYS.items():
            bind_key(viewer, key, self, partial(CorrectSection._act_by_key, kind=kind))
        for combination, move in ((UNDO, Timeline.undo), (REDO, Timeline.redo)):
            bind_key(viewer, combination, self, partial(CorrectSection._move_by_key, move=move))
        layers = viewer.layers
        follow(
            self, self._look, layers.events.inserted, layers.events.removed, layers.selection.events.active
        )
        image.layer_changed.connect(self._look)
        image.several_changed.connect(self._look)
        self._look()

    def _look(self, _event: object = None) -> None:
        """Look again which layers there are."""
        for layer in self._viewer.layers:
            mark = mark_of(layer)
            if not isinstance(layer, Labels) or mark is None:
                continue
            if mark.kind == "objects":
                corrector_of(self._viewer, layer)
            elif is_paint(layer):
                if mark.timeline is None:
                    bind_gesture_keys(self._viewer, layer)
                timeline_of(layer).keep(self._viewer.layers)
        image = self._image_at_hand()
        result = objects_of(self._viewer, image)
        corrector = None if result is None else corrector_of(self._viewer, result)
        paint = annotation_of(self._viewer, image)
        classes = at_hand(self._viewer, layers_of(self._viewer, image, "classes"))
        outlined = [layer for layer in (result, classes) if layer is not None]
        if (corrector, outlined, paint) != (self._corrector, self._outlined, self._paint):
            self._followed.close()
            self._corrector, self._outlined, self._paint = corrector, outlined, paint
            for layer in outlined:
                self._followed.callback(follow(self, self._show, layer.events.contour))
            self._said.say("")
            if corrector is not None:
                self._followed.callback(follow(self, self._show, corrector.events.tool))
                self._followed.callback(follow(self, self._on_said, corrector.events.said))
            if paint is not None:
                self._followed.callback(follow(self, self._show, paint.events.metadata))
                edits = [paint.events.paint, paint.events.data]
                if corrector is not None and result is not None:
                    timeline_of(paint).follow(result)
                    edits += [result.events.paint, result.events.data]
                self._followed.callback(follow(self, self._on_edit, *edits))
            self._told = () if paint is None else gestures_of(paint)
        self._show()

    def _image_at_hand(self) -> Image | None:
        """Return the chosen image, or that of the selected layer if several are chosen."""
        return self._image.layer or source_of(self._viewer, self._viewer.layers.selection.active)

    def _act_by_key(self, kind: GestureKind) -> None:
        act_by_key(self._viewer, kind, self._selected())

    def _selected(self) -> Layer | None:
        """Return the selected layer, or the chosen image if none or several are selected."""
        active = self._viewer.layers.selection.active
        return self._image.layer if active is None else active

    def _move_by_key(self, move: Callable[[Timeline, Labels], None]) -> None:
        """Undo or redo while the image itself is selected: only its paint and objects have these keys."""
        paint = annotation_of(self._viewer, self._selected())
        if paint is not None:
            move(timeline_of(paint), paint)

    def _take(self, kind: GestureKind) -> None:
        if self._corrector is not None:
            self._corrector.take(None if self._corrector.tool == kind else kind)
        self._show()

    def _on_undo(self) -> None:
        if self._paint is not None:
            timeline_of(self._paint).undo(self._paint)

    def _show_undo(self) -> None:
        self._undo.setEnabled(self._paint is not None and timeline_of(self._paint).can_undo)

    def _on_edit(self, _event: object = None) -> None:
        if self._corrector is None or not self._corrector.is_at_work:
            self._said.say("")  # undo would undo this edit now
        self._edited.start()

    def _on_outlines(self, wanted: bool) -> None:
        for layer in self._outlined:
            layer.contour = int(wanted)

    def _on_said(self, event: Any) -> None:
        self._said.say(event.sentence, event.tone)

    def _show(self, _event: object = None) -> None:
        tool = None if self._corrector is None else self._corrector.tool
        for kind, made in self._buttons.items():
            made.setEnabled(self._corrector is not None)
            made.setChecked(kind == tool)
        self._show_undo()
        self._outlines.setEnabled(bool(self._outlined))
        with signals_blocked(self._outlines):
            self._outlines.setChecked(any(layer.contour for layer in self._outlined))
        gestures = () if self._paint is None else gestures_of(self._paint)
        if self._corrector is None and self._outlined:
            self._count.say(
                "Correct classes with napari's brush, on their layer, and press Take corrections."
            )
        elif self._corrector is None:
            self._count.say(why_nothing_to_correct(self._viewer, self._image_at_hand()))
        else:
            self._count.say(describe_gestures(gestures))
        self._progress.show_gestures(gestures)
        if len(gestures) < len(self._told):
            self._said.say("")  # it was undone
        self._told = gestures
        self.looked.emit()


def describe_gestures(gestures: Sequence[Gesture]) -> str:
    """Return in words how many objects were accepted, rejected, split and merged."""
    counts = Counter(gesture.kind for gesture in gestures)
    if not counts:
        return "Accept what is right, reject what is not an object: the network learns from both."
    names: dict[GestureKind, str] = {
        "accepted": "accepted",
        "rejected": "rejected",
        "split": "made by splits",
        "merged": "merged",
    }
    return f"Objects: {', '.join(f'{counts[kind]} {name}' for kind, name in names.items() if counts[kind])}."


class ProgressView(QWidget):
    """Says and draws how correcting goes, once the user has judged enough objects."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("correct_progress")
        column = Column(self)
        self._sentence = column.add(Sentence("correct_progress_said"))
        self._curve = column.add(_Curve())
        self.show_gestures(())

    def show_gestures(self, gestures: Sequence[Gesture]) -> None:
        """Show how correcting goes with these gestures, the oldest first."""
        progress = read_progress(gestures, time.time())
        self._sentence.say(progress.sentence)
        self._curve.show_progress(progress)


class _Curve(QWidget):
    """The share of objects that were right as predicted, object by object; a line marks what is enough."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("correct_progress_curve")
        self.setToolTip(
            "Share of the last 20 objects you judged that were right as predicted, from the first object to\n"
            "the last. Above the dotted line, more corrections change little."
        )
        self.setFixedHeight(_CURVE_HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._shares: list[float] = []

    def show_progress(self, progress: Progress) -> None:
        self._shares = progress.untouched.tolist()
        self.setVisible(len(self._shares) >= FEWEST)
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw the curve over the whole width."""
        super().paintEvent(event)
        if len(self._shares) < 2:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        width, height = self.width() - 4, self.height() - 4
        enough = 2 + (1 - ENOUGH) * height
        painter.setPen(QPen(self.palette().windowText().color(), 1, Qt.PenStyle.DotLine))
        painter.drawLine(QPointF(2, enough), QPointF(2 + width, enough))
        points = [
            QPointF(2 + width * index / (len(self._shares) - 1), 2 + (1 - share) * height)
            for index, share in enumerate(self._shares)
        ]
        painter.setPen(QPen(_CURVE_COLOUR, 2))
        painter.drawPolyline(QPolygonF(points))
        painter.end()

"""One order of undo for the paint of an image and the objects predicted for it.

Each of napari's layers has its own undo, which would undo half of a gesture that changed both. Here every
edit of either layer is one step, and so is a gesture, however many layers it changed. The layers themselves
undo the edits: what they keep for this is exact, whatever tool made the edit.
"""

from collections import deque
from collections.abc import Callable, Container, Iterator, MutableSequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from app_model.types import KeyCode, KeyMod
from napari.layers import Labels
from numpy.typing import NDArray

from napari_unet.core.annotation import BACKGROUND
from napari_unet.core.arrays.sparse import copy_planes
from napari_unet.core.correcting.corrected import Corrected
from napari_unet.core.correcting.gestures import Gesture
from napari_unet.core.painted.known_full import KnownFull
from napari_unet.widgets.bridge.marks import known_full_of, mark_of, mode_of

UNDO = KeyMod.CtrlCmd | KeyCode.KeyZ
REDO = KeyMod.CtrlCmd | KeyMod.Shift | KeyCode.KeyZ

_LIMIT = 100
"""Steps to keep: napari keeps as many edits of each layer, and a step has at most one of each."""


@dataclass(frozen=True, slots=True, eq=False)
class ShownEdit:
    """A gesture's change of what counts as predicted: ``array.flat[pixels]``, before and after."""

    array: NDArray[Any]
    pixels: NDArray[np.intp]
    before: NDArray[Any]
    after: NDArray[Any]


@dataclass(slots=True, eq=False)
class Step:
    """One thing that can be undone.

    ``layers`` are those that changed, ``gestures`` its judgements of objects. A step that ``is_nothing`` left
    the pixels as they were, and is undone together with the one before.
    """

    layers: list[Labels] = field(default_factory=list)
    gestures: tuple[Gesture, ...] = ()
    shown: ShownEdit | None = None
    is_nothing: bool = False


def count_as_predicted(layer: Labels, pixels: NDArray[np.intp] | None = None) -> ShownEdit | None:
    """Let the edits of a predicted layer, or of ``pixels`` of it, count as predicted: they are paint now."""
    mark = mark_of(layer)
    if mark is None or mark.shown is None or mark.shown.shape != layer.data.shape:
        return None
    if pixels is None:
        pixels = np.flatnonzero(mark.shown != layer.data)
    shown = ShownEdit(mark.shown, pixels, mark.shown.flat[pixels], layer.data.flat[pixels])
    mark.shown.flat[pixels] = shown.after
    layer.events.metadata()
    return shown


class Timeline:
    """The steps of an annotation layer, and of the layers of predicted objects that are corrected into it.

    Ctrl+Z and Ctrl+Shift+Z on any of these layers undo and redo the last step of all.
    """

    def __init__(self, paint: Labels) -> None:
        self._paint = paint
        self._followed: list[Labels] = []
        self._done: deque[Step] = deque(maxlen=_LIMIT)
        self._undone: list[Step] = []
        self._open: Step | None = None
        self._said: list[Gesture] = []  # by steps that can no longer be undone
        self._rejected: list[NDArray[np.intp]] = []
        self._corrected: tuple[KnownFull, Corrected] | None = None  # of the paint as it is now
        self._may_have_earlier = bool(np.any(paint.data))  # edits, for which napari sends no event
        self.follow(paint)

    @property
    def gestures(self) -> tuple[Gesture, ...]:
        """The judgements of objects, the oldest first, without those that were undone."""
        return (*self._said, *(gesture for step in self._done for gesture in step.gestures))

    @property
    def can_undo(self) -> bool:
        """Whether there may be something to undo."""
        return bool(self._done) or self._may_have_earlier

    def follow(self, layer: Labels) -> None:
        """Follow the edits of ``layer`` from now on, and give it the keys."""
        if any(layer is other for other in self._followed):
            return
        self._followed.append(layer)
        layer.events.paint.connect(self._on_edit)
        layer.events.data.connect(self._on_data)
        layer.bind_key(UNDO, self.undo, overwrite=True)
        layer.bind_key(REDO, self.redo, overwrite=True)

    @contextmanager
    def step(self) -> Iterator[Step]:
        """Make one step of all edits in this context; no step if there are none."""
        self._open = step = Step()
        try:
            yield step
        finally:
            self._open = None
            if step.layers:
                self._add(step)

    def undo(self, layer: Labels | None = None) -> None:
        """Undo the last step; without one, undo what ``layer`` did before it was followed."""
        self._move(self._done, self._undone, Labels.undo, layer)

    def redo(self, layer: Labels | None = None) -> None:
        """Redo the step that was undone last."""
        self._move(self._undone, self._done, Labels.redo, layer)

    def _move(
        self,
        steps: MutableSequence[Step],
        others: MutableSequence[Step],
        move: Callable[[Labels], None],
        layer: Labels | None,
    ) -> None:
        """Undo or redo the last of ``steps``, and move it to the ``others``."""
        # A stroke that is being drawn hides what would be put back, and puts back what it hid.
        if any(mark is not None and mark.is_drawn_on for mark in map(mark_of, self._followed)):
            return
        if not steps and layer is self._paint:
            before = copy_planes(layer.data)
            move(layer)
            has_moved = not np.array_equal(before, layer.data)
            self._may_have_earlier = has_moved or (self._may_have_earlier and others is not self._undone)
        while steps:
            step = steps.pop()
            for changed in step.layers:
                move(changed)
            if step.shown is not None:
                is_undone = others is self._undone
                step.shown.array.flat[step.shown.pixels] = (
                    step.shown.before if is_undone else step.shown.after
                )
            others.append(step)
            if not step.is_nothing:
                break
        self._corrected = None
        for followed in self._followed:
            followed.events.metadata()

    def has_changed(self, layer: Labels) -> bool:
        """Return whether a step has changed ``layer``, even if it was undone or forgotten since."""
        return bool(self._said) or any(layer in step.layers for step in (*self._done, *self._undone))

    def note_rejected(self, pixels: NDArray[np.intp]) -> None:
        """Note that there is no object at these places of the flattened paint, while they are background.

        Those that are not, as in the stroke of a neighbour, are left out.
        """
        self._rejected.append(pixels[self._paint.data.flat[pixels] == BACKGROUND])

    @property
    def corrected(self) -> Corrected:
        """What the paint says about predicted objects: computed again only if it has changed."""
        known, before = known_full_of(self._paint), self._corrected
        if before is None or before[0] is not known:
            paint = self._paint.data
            rejected = [pixels for pixels in self._rejected if (paint.flat[pixels] == BACKGROUND).all()]
            before = known, Corrected(paint, known.still_accepted(paint), rejected)
            self._corrected = before
        return before[1]

    def forget(self, layer: Labels) -> None:
        """Remove ``layer`` from the steps so far: it shows something else now."""
        for step in (*self._done, *self._undone):
            if layer in step.layers:
                step.layers.remove(layer)
                step.shown = None

    def keep(self, layers: Container[Labels]) -> None:
        """Forget predicted layers that are not among ``layers``: they were deleted."""
        for layer in [layer for layer in self._followed if layer is not self._paint and layer not in layers]:
            self.forget(layer)
            self._followed.remove(layer)
            layer.events.paint.disconnect(self._on_edit)
            layer.events.data.disconnect(self._on_data)

    def _on_edit(self, event: Any) -> None:
        layer = event.source
        if layer is self._paint:
            self._corrected = None
        if self._open is None:
            self._add(Step([layer]))
        elif layer not in self._open.layers:
            self._open.layers.append(layer)

    def _on_data(self, event: Any) -> None:
        if event.source is self._paint:
            self._corrected = None
            self._said += [gesture for step in self._done for gesture in step.gestures]
            self._done.clear()
            self._undone.clear()
        else:
            self.forget(event.source)

    def _add(self, step: Step) -> None:
        self._undone.clear()
        if len(self._done) == _LIMIT:
            self._said += self._done[0].gestures
        self._done.append(step)


def timeline_of(paint: Labels) -> Timeline:
    """Return the order of undo of an annotation layer."""
    mark = mark_of(paint)
    if mark is None or mark.kind != "paint":
        raise ValueError(f"{paint.name} is no annotation layer")
    if not isinstance(mark.timeline, Timeline):
        mark.timeline = Timeline(paint)
    return mark.timeline


def corrected_in(paint: Labels | None, shape: tuple[int, ...]) -> Corrected | None:
    """Return what ``paint`` says about predicted objects of this ``shape`` (…YX), if it is about objects."""
    if paint is None or mode_of(paint) != "objects" or paint.multiscale or paint.data.shape != shape:
        return None
    return timeline_of(paint).corrected


def was_corrected(paint: Labels, result: Labels) -> bool:
    """Return whether a gesture or an edit has changed predicted objects, even if it was undone."""
    mark = mark_of(paint)
    return mark is not None and isinstance(mark.timeline, Timeline) and mark.timeline.has_changed(result)


def gestures_of(paint: Labels) -> tuple[Gesture, ...]:
    """Return the gestures (accepted, rejected, split, merged) that went into ``paint``, the oldest first."""
    mark = mark_of(paint)
    return mark.timeline.gestures if mark is not None and isinstance(mark.timeline, Timeline) else ()

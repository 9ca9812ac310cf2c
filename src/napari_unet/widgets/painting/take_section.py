"""The button that takes the user's corrections of predicted labels into the paint."""

from contextlib import ExitStack
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels, Layer
from numpy.typing import NDArray
from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # no qtpy stubs
from qtpy.QtWidgets import QWidget

from napari_unet.core.arrays.sparse import equal_planes
from napari_unet.core.correcting.corrections import corrections_to_paint
from napari_unet.core.errors import InputError
from napari_unet.widgets.bridge.layers import annotation_of, edited_result, predicted_labels, write_pixels
from napari_unet.widgets.bridge.marks import accept_objects, layers_of, mode_of
from napari_unet.widgets.bridge.timeline import count_as_predicted, timeline_of
from napari_unet.widgets.correcting.corrector import is_gesture
from napari_unet.widgets.jobs import once
from napari_unet.widgets.painting.watcher import AnnotationWatcher
from napari_unet.widgets.parts.form import Column, LayerChooser, Sentence, button
from napari_unet.widgets.parts.latest import Latest
from napari_unet.widgets.window.lifetime import follow, when_settled

_TAKES = (
    "Turn what you corrected in the predicted layer of this image into paint,\n"
    "so that the network learns from it. Undo with Ctrl+Z, on either layer."
)
_NO_PAINT = "Make the annotation layer first: corrections become paint on it."
_NOT_PREDICTED = "Predict this image first; what you then correct in the predicted layer becomes paint here."
_NOT_CORRECTED = (
    "Nothing to take: correct the predicted layer with napari's brush, eraser or bucket, and that\n"
    "becomes paint here. What you accept, reject, split or merge is paint already."
)


class TakeCorrections(QWidget):
    """The button *Take corrections* of the chosen image, and what it took."""

    changed = Signal()
    """Whether there are corrections to take has changed."""

    def __init__(self, viewer: ViewerModel, image: LayerChooser, watcher: AnnotationWatcher) -> None:
        super().__init__()
        self._viewer = viewer
        self._image = image
        self._watcher = watcher
        self._followed = ExitStack()
        self.has_some = False
        """Whether there are corrections to take."""
        column = Column(self)
        self.button = column.add(
            button("Take corrections", self.take, name="paint_corrections", tooltip=_NO_PAINT)
        )
        self.said = column.add(Sentence("paint_corrected"))
        self._comparison = Latest("Looking for corrections", self)
        self._comparison.result.connect(self._show)
        self._settled = when_settled(self, self._compare)
        watcher.layer_changed.connect(self.look)
        watcher.noted.connect(self.look)
        watcher.painted.connect(self._on_painted)
        follow(self, self.look, viewer.layers.events.inserted, viewer.layers.events.removed)
        self.look()

    def take(self) -> None:
        """Turn the corrections of the predicted layer of the image into paint, and say how many."""
        if self._image.layer is None:
            return
        try:
            self.said.say(take_corrections(self._viewer, self._image.layer))
        except InputError as error:
            self.said.say(str(error), "warning")
        self._settled.start()

    def look(self, _event: object = None) -> None:
        """Look again which predicted layers there are."""
        self._followed.close()
        paint = self._watcher.layer
        for layer in self._results():
            if paint is not None:
                timeline_of(paint).follow(layer)  # taking them can be undone on either layer
            self._followed.callback(follow(self, self._on_edit, layer.events.paint))
            self._followed.callback(follow(self, self._on_shown, layer.events.set_data))
        self._compare()

    def _results(self) -> list[Labels]:
        paint = self._watcher.layer
        return [] if paint is None else layers_of(self._viewer, self._image.layer, mode_of(paint))

    def _on_edit(self, event: Any) -> None:
        if not is_gesture(event.source):  # gestures are in the paint already
            self._show(True)
        self._settled.start()

    def _on_painted(self) -> None:
        """Clear the sentence on what was taken: this may have undone it, or one of its steps."""
        self.said.say("")
        self._settled.start()

    def _on_shown(self, _event: object = None) -> None:
        """Look again after an undo: napari only says that other pixels are shown."""
        self._settled.start()

    def _compare(self) -> None:
        """Let a thread find out whether anything was edited: labels may be as large as a stack."""
        results = self._results()
        if not results:
            self._comparison.cancel()
            self._show(False)
            return
        arrays = [(layer.data, predicted_labels(layer)) for layer in results]
        self._comparison.submit(
            once(lambda: any(before is not None and not equal_planes(now, before) for now, before in arrays))
        )

    def _show(self, is_edited: bool) -> None:
        self.button.setEnabled(is_edited)
        if is_edited:
            self.said.say("")  # on what was undone, or taken before
            why = _TAKES
        elif self._watcher.layer is None:
            why = _NO_PAINT
        else:
            why = _NOT_CORRECTED if self._results() else _NOT_PREDICTED
        self.button.setToolTip(why)
        if is_edited != self.has_some:
            self.has_some = is_edited
            self.changed.emit()


def take_corrections(viewer: ViewerModel, image: Layer) -> str:
    """Turn what the user corrected in the predicted layer of ``image`` into its paint, and say what that was.

    ``InputError`` if the image has no annotation layer or no corrected predicted layer, or if the two do not
    fit.
    """
    paint = annotation_of(viewer, image)
    if paint is None:
        raise InputError(f"'{image.name}' has no annotation layer to take corrections into; make one first.")
    mode = mode_of(paint)
    edited = edited_result(viewer, image, mode)
    predicted = None if edited is None else predicted_labels(edited)
    if edited is None or predicted is None:
        raise InputError(
            f"No corrected {mode} were found on '{image.name}'; predict it, correct its layer of {mode} with "
            "napari's brush, eraser and bucket, and then take the corrections."
        )
    if mode == "objects":
        edit = corrections_to_paint(predicted, edited.data, paint.data)
        indices, values = edit.indices, edit.values
        objects = f"{edit.n_objects} object{'s' * (edit.n_objects != 1)}" if edit.n_objects else ""
        background = f"{edit.n_background:,} px of background" if edit.n_background else ""
        told = " and ".join(filter(None, (objects, background)))
        nothing = "The paint holds these corrections already."
    else:
        indices, values = _changed_classes(predicted, edited.data, paint.data)
        told = f"{values.size:,} px" if values.size else ""
        nothing = "Pixels were only erased, which teaches nothing; paint the right class over them."
    with timeline_of(paint).step() as step:
        step.shown = count_as_predicted(edited)
        if told:
            write_pixels(paint, indices, values)
    if mode == "objects":
        accept_objects(paint, edit.accepted)
    if not told:
        return nothing
    return f"Took {told} into the paint; undo with Ctrl+Z."


def _changed_classes(
    predicted: NDArray[Any], corrected: NDArray[Any], paint: NDArray[Any]
) -> tuple[tuple[NDArray[np.intp], ...], NDArray[np.int32]]:
    """Return the pixels whose class changed, and the new classes; what was erased to 0 teaches nothing."""
    if not predicted.shape == corrected.shape == paint.shape:
        raise InputError(
            f"The corrected classes have shape {corrected.shape} and the paint {paint.shape}; choose the "
            "classes and the paint of one image."
        )
    indices = np.nonzero((predicted != corrected) & (corrected > 0))
    return indices, corrected[indices].astype(np.int32)

"""From the user's corrections in a predicted layer to paint, as one step of undo."""

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer
from numpy.typing import NDArray

from napari_unet.core.correcting.corrections import corrections_to_paint
from napari_unet.core.errors import InputError
from napari_unet.widgets.bridge.layers import annotation_of, edited_result, predicted_labels
from napari_unet.widgets.bridge.marks import accept_objects, mode_of
from napari_unet.widgets.bridge.timeline import count_as_predicted, timeline_of


def take_corrections(viewer: ViewerModel, image: Layer) -> str:
    """Turn what the user corrected in the predicted layer of ``image`` into its paint.

    Returns
    -------
    str
        What was taken, as a sentence for the user.

    Raises
    ------
    InputError
        If the image has no annotation layer or no predicted layer that was corrected, or they do not fit.
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
            paint.data_setitem(indices, values)
    if mode == "objects":
        accept_objects(paint, edit.accepted)
    if not told:
        return nothing
    return f"Took {told} into the paint; undo with Ctrl+Z."


def _changed_classes(
    predicted: NDArray[Any], corrected: NDArray[Any], paint: NDArray[Any]
) -> tuple[tuple[NDArray[np.intp], ...], NDArray[np.int32]]:
    """Return the pixels that became another class, and which; what was erased to 0 teaches nothing."""
    if not predicted.shape == corrected.shape == paint.shape:
        raise InputError(
            f"The corrected classes have shape {corrected.shape} and the paint {paint.shape}; choose the "
            "classes and the paint of one image."
        )
    indices = np.nonzero((predicted != corrected) & (corrected > 0))
    return indices, corrected[indices].astype(np.int32)

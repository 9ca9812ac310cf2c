"""What was corrected stays in a layer of predicted objects that is read again with other settings."""

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels
from numpy.typing import NDArray

from napari_unet.core.objects.kept import keep_corrected
from napari_unet.widgets.bridge.layers import annotation_of
from napari_unet.widgets.bridge.marks import full_data, full_objects_of, source_of
from napari_unet.widgets.bridge.timeline import timeline_of


def with_corrections(
    viewer: ViewerModel, result: Labels, plane: tuple[int, ...], labels: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Return the newly read objects of a plane of ``result`` with what was accepted and rejected in it."""
    image = source_of(viewer, result)
    paint = None if image is None else annotation_of(viewer, image)
    if paint is None or full_data(paint).shape != result.data.shape:
        return labels
    accepted = {value for value, _ in full_objects_of(paint).accepted}
    rejected = np.zeros(labels.shape, bool)
    first = int(np.ravel_multi_index((*plane, *(0,) * labels.ndim), result.data.shape))
    for pixels in timeline_of(paint).rejected:
        rejected.flat[pixels[(pixels >= first) & (pixels < first + labels.size)] - first] = True
    return keep_corrected(labels, np.asarray(full_data(paint)[plane]), accepted, rejected)


def forget_steps(viewer: ViewerModel, result: Labels) -> None:
    """Leave ``result``, of which the objects were replaced, out of what can be undone."""
    image = source_of(viewer, result)
    paint = None if image is None else annotation_of(viewer, image)
    if paint is not None:
        timeline_of(paint).forget(result)

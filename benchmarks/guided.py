"""The annotator paints where the product says: one look at each place, until the seconds are spent."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from annotator import Canvas, Labels, Mask, Painted
from correcting import mend_seam
from kinds import Image
from napari_unet.core.arrays.axes import channels_first
from napari_unet.core.guiding.next_place import Place, next_place
from napari_unet.core.objects.extent import object_extent
from napari_unet.core.objects.prediction import Prediction
from napari_unet.core.objects.rereading import Rereading


def guide(
    labels: Labels,
    image: Image,
    prediction: Prediction,
    painted: Painted,
    until: float,
    *,
    rng: np.random.Generator,
) -> Painted:
    """Return the paint with strokes where ``next_place`` leads, until ``until`` seconds are spent.

    Parameters
    ----------
    labels : array (Y, X) of int
        The truth, which the annotator sees only at the suggested place.
    image : array
        With or without channels.
    prediction : Prediction
        By the network trained so far.
    painted : Painted
        Paint to continue from.
    """
    canvas = Canvas(labels, rng, start=painted)
    pixels = channels_first(image, ndim=2, paint_shape=labels.shape)
    shown: list[tuple[int, ...]] = []
    rereading = Rereading({(): prediction.probabilities[1:]})
    while canvas.seconds < until:
        paint = canvas.painted().paint
        extent = object_extent(paint, "objects", rereading.foregrounds, 2)
        place = next_place(
            paint,
            extent,
            foregrounds=rereading.foregrounds,
            image=pixels,
            seams=partial(rereading.unclear_seams, config=prediction.instances),
            shown=shown,
        )
        if place is None:
            break
        shown.append(place.centre)
        _look(canvas, place, extent, until)
    return canvas.painted()


def _window(shape: tuple[int, ...], place: Place, extent: tuple[float, ...]) -> Mask:
    window = np.zeros(shape, bool)
    window[
        tuple(
            slice(max(at - round(size), 0), at + round(size) + 1)
            for at, size in zip(place.centre, extent, strict=True)
        )
    ] = True
    return window


def _look(canvas: Canvas, place: Place, extent: tuple[float, ...], until: float) -> None:
    """Paint the truth there, as the sentence at the place says.

    That is a line between two objects; or a stroke of what is there and, beside it, one of what the network
    takes it for.
    """
    window = _window(canvas.labels.shape, place, extent)
    inside = canvas.labels * window
    objects = np.unique(inside[inside > 0])
    if place.why == "seam" and objects.size >= 2 and mend_seam(canvas, objects, window):
        return
    here = int(canvas.labels[place.centre])
    if here:
        canvas.stroke(here)
    if canvas.seconds < until:
        _background(canvas, place, extent)
    if not here and canvas.seconds < until:
        any(canvas.stroke(label) for label in _nearest_first(objects, canvas.labels, place.centre))


def _nearest_first(objects: NDArray[np.integer], labels: Labels, centre: tuple[int, ...]) -> list[int]:
    """Return ``objects`` sorted by the distance of their nearest pixel from ``centre``."""
    away = {
        int(label): np.linalg.norm(np.argwhere(labels == label) - centre, axis=1).min() for label in objects
    }
    return sorted(away, key=away.__getitem__)


def _background(canvas: Canvas, place: Place, extent: tuple[float, ...]) -> bool:
    """Paint background, beginning as near as there is room."""
    return any(
        canvas.background_stroke(
            close=True, within=_window(canvas.labels.shape, place, [share * size for size in extent])
        )
        for share in (0.25, 1.0)
    )

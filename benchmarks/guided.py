"""The annotator paints where the product says: one look at each place, as long as the seconds last."""

import numpy as np

from annotator import Canvas, Labels, Mask, Painted
from correcting import mend_seam
from kinds import Image
from napari_unet.core.axes import channels_first
from napari_unet.core.extent import object_extent
from napari_unet.core.next_place import next_places
from napari_unet.core.place import Place
from napari_unet.core.prediction import Prediction


def guide(
    labels: Labels,
    image: Image,
    prediction: Prediction,
    painted: Painted,
    until: float,
    *,
    rng: np.random.Generator,
) -> Painted:
    """Return the paint with strokes where ``next_places`` leads, until it cost ``until`` seconds.

    Parameters
    ----------
    labels : array (Y, X) of int
        The truth, which the annotator sees at the place they are led to and nowhere else.
    image : array
        With or without channels.
    prediction : Prediction
        What the network trained so far says of it.
    painted : Painted
        Goes on from this.
    """
    canvas = Canvas(labels, rng, start=painted)
    pixels = channels_first(image, ndim=2, paint_shape=labels.shape)
    shown: list[tuple[int, ...]] = []
    while canvas.seconds < until:
        paint = canvas.painted().paint
        extent = object_extent(paint, "objects", {(): prediction.probabilities[1:]}, 2)
        places = next_places(
            paint,
            extent,
            foregrounds={(): prediction.probabilities[1:]},
            image=pixels,
            reading=prediction.instances,
            shown=shown,
            count=1,
        )
        if not places:
            break
        shown.append(places[0].centre)
        _look(canvas, places[0], _window(labels.shape, places[0], extent))
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


def _look(canvas: Canvas, place: Place, window: Mask) -> None:
    """Paint with one stroke what is true there: a seam between two objects, the object, or background."""
    inside = canvas.labels * window
    objects = np.unique(inside[inside > 0])
    if place.why == "seam" and objects.size >= 2 and mend_seam(canvas, objects, window):
        return
    here = int(canvas.labels[place.centre])
    if (here and canvas.stroke(here)) or canvas.background_stroke(close=True, within=window):
        return
    for label in objects:
        if canvas.stroke(int(label)):
            return

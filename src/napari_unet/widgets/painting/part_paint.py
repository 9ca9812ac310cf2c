"""The paint of a part of an image, or of several channels: a copy of that of the whole, or of one."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_unet.core.painted.known_full import KnownFull
from napari_unet.widgets.bridge.layers import annotation_of, make_annotation
from napari_unet.widgets.bridge.marks import (
    accept_objects,
    full_data,
    image_channels,
    known_full_of,
    mode_of,
    set_filled,
    set_mode,
)
from napari_unet.widgets.bridge.placement import spatial_axes
from napari_unet.widgets.painting.regions import copy_regions


def copy_to_part(viewer: ViewerModel, image: Image, part: Image, box: Sequence[slice] = ()) -> Labels | None:
    """Give ``part``, the pixels of ``image`` in ``box``, the paint that is there, and what is known about it.

    Without a box, ``part`` is an image made of ``image`` and other channels. Returns its annotation layer, or
    None if nothing is painted there.
    """
    paint = annotation_of(viewer, image)
    if paint is None:
        return None
    channels, whole, known = image_channels(image, paint), full_data(paint), known_full_of(paint)
    within = tuple(box[axis] for axis in spatial_axes(image, channels)) if box else ()
    pixels = np.array(whole[within])
    if not pixels.any():
        return None
    copied = make_annotation(viewer, part, channels if box else image_channels(part))
    copied.data = pixels.astype(copied.data.dtype)
    copied.brush_size = paint.brush_size
    set_mode(copied, mode_of(paint))
    set_filled(copied, known.filled)
    accepted = KnownFull(accepted=known.accepted).within(whole)
    accept_objects(copied, [] if isinstance(accepted, bool) else _not_cut(whole, pixels, accepted))
    copy_regions(viewer, paint, copied)
    return copied


def _not_cut(
    whole: NDArray[np.integer[Any]], part: NDArray[np.integer[Any]], values: Collection[int]
) -> list[int]:
    """Return those objects of the ``whole`` of which all pixels are in the ``part``."""
    return [value for value in values if np.count_nonzero(whole == value) == np.count_nonzero(part == value)]

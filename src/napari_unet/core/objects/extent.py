"""How large the objects of an image are, as far as paint and prediction tell."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.annotation import FIRST_OBJECT, Mode
from napari_unet.core.arrays.boxes import Plane

_EXTENT = 32.0
"""Extent of an object in pixels where neither paint nor prediction tell."""

_SMALLEST = 8.0

_LONGER = 3.0
"""How many times larger than the strokes along them objects are, at most."""


def typical_extent(labels: NDArray[np.integer[Any]], ndim: int) -> tuple[float, ...] | None:
    """Return the median extent of objects (values >= 2, or of a prediction >= 1) along the spatial axes.

    None with fewer than two of them. Of a stack only the first plane with objects is looked at.
    """
    for plane in np.ndindex(labels.shape[: labels.ndim - ndim]):
        if not labels[plane].any():  # as most planes of a stack that is painted on
            continue
        values, dense = np.unique(labels[plane], return_inverse=True)
        # Where no pixel is 0, the lowest value is an object, too.
        boxes = ndimage.find_objects(dense.reshape(labels[plane].shape) + (values[0] > 0))
        spans = [[side.stop - side.start for side in box] for box in boxes if box is not None]
        if len(spans) > 1:
            return tuple(max(float(span), 4.0) for span in np.median(spans, axis=0))
    return None


def object_extent(
    paint: NDArray[np.integer[Any]],
    mode: Mode,
    foregrounds: Mapping[Plane, NDArray[np.float32] | None],
    ndim: int,
) -> tuple[float, ...]:
    """Return how large objects are: by the painted ones, what the network sees, or by default.

    Strokes are shorter than their objects, so what the network sees may be larger, within reason.
    """
    objects = np.where(paint >= FIRST_OBJECT, paint, 0)
    if mode == "classes":
        objects = _parts(objects > 0, ndim)
    painted = typical_extent(objects, ndim)
    seen = None
    for foreground in foregrounds.values():
        if seen is None and foreground is not None:
            seen = typical_extent(_parts(foreground.sum(axis=0) > 0.5, ndim), ndim)
    sizes = painted or seen or (_EXTENT,) * ndim
    if painted and seen:
        sizes = tuple(
            max(stroke, min(part, _LONGER * stroke)) for stroke, part in zip(painted, seen, strict=True)
        )
    shape = paint.shape[paint.ndim - ndim :]
    return tuple(
        min(max(size, _SMALLEST), max(length / 4, 1.0)) for size, length in zip(sizes, shape, strict=True)
    )


def _parts(mask: NDArray[np.bool_], ndim: int) -> NDArray[np.int32]:
    """Return connected parts of every plane."""
    result = np.zeros(mask.shape, np.int32)
    for plane in np.ndindex(mask.shape[: mask.ndim - ndim]):
        ndimage.label(mask[plane], output=result[plane])
    return result

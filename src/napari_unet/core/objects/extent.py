"""How large the objects of an image are, as far as paint and prediction tell."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.annotation import FIRST_OBJECT, Mode
from napari_unet.core.arrays.boxes import Plane
from napari_unet.core.borders.two_nearest import with_small_ids

_EXTENT = 32.0
"""Extent of an object in pixels where neither paint nor prediction tell."""

_SMALLEST = 8.0

_LONGER = 3.0
"""How many times larger than the strokes along them objects are, at most."""


def typical_extent(planes: Iterable[NDArray[np.integer[Any]]]) -> tuple[float, ...] | None:
    """Return the median extent of objects (values >= 2, or of a prediction >= 1) along the spatial axes.

    That of the first plane or volume (spatial...) that has two or more; None if none has.
    """
    for labels in planes:
        # scipy keeps a place for every number up to the highest
        boxes = ndimage.find_objects(with_small_ids(labels))
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
    leading, shape = paint.shape[: paint.ndim - ndim], paint.shape[paint.ndim - ndim :]
    painted = typical_extent(_painted_objects(paint[plane], mode) for plane in np.ndindex(leading))
    seen = typical_extent(_parts(each.sum(axis=0) > 0.5) for each in foregrounds.values() if each is not None)
    sizes = painted or seen or (_EXTENT,) * ndim
    if painted and seen:
        sizes = tuple(
            max(stroke, min(part, _LONGER * stroke)) for stroke, part in zip(painted, seen, strict=True)
        )
    return tuple(
        min(max(size, _SMALLEST), max(length / 4, 1.0)) for size, length in zip(sizes, shape, strict=True)
    )


def _painted_objects(paint: NDArray[np.integer[Any]], mode: Mode) -> NDArray[np.integer[Any]]:
    is_object = paint >= FIRST_OBJECT
    return _parts(is_object) if mode == "classes" else np.where(is_object, paint, 0)


def _parts(mask: NDArray[np.bool_]) -> NDArray[np.integer[Any]]:
    """Return connected parts of a plane or volume."""
    parts: NDArray[np.integer[Any]] = ndimage.label(mask)[0]
    return parts

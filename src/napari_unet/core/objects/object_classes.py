"""Which class each object is of: the one that most of its pixels have, background left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import FIRST_OBJECT


@dataclass(frozen=True, slots=True, eq=False)
class ClassPixels:
    """How many pixels of an object are of a class, for each such pair in a part of an image."""

    ids: NDArray[Any]  # (pairs,)
    classes: NDArray[Any]
    pixels: NDArray[np.int64]


def count_classes(ids: NDArray[Any], numbers: NDArray[np.intp], classes: NDArray[Any]) -> ClassPixels:
    """Count the pixels of each class in each object.

    Parameters
    ----------
    ids : array (objects,) of int
    numbers : array (pixels,) of int
        For every pixel the place of its object in ``ids``.
    classes : array (pixels,) of int
        Their paint values.
    """
    kinds = np.unique(classes)
    pairs, pixels = np.unique(numbers * len(kinds) + np.searchsorted(kinds, classes), return_counts=True)
    return ClassPixels(ids[pairs // len(kinds)], kinds[pairs % len(kinds)], pixels)


def main_classes(parts: Sequence[ClassPixels]) -> NDArray[np.object_]:
    """Return for every object, in the order of ids, the class of most of its pixels; of several, the lowest.

    An object is not background, so its pixels that are, as in a filled hole, do not count, nor those without
    a class: None if there are no others. An object may be in several of the ``parts``.
    """
    if not parts:
        return np.zeros(0, object)
    _, numbers = np.unique(np.concatenate([part.ids for part in parts]), return_inverse=True)
    kinds, which = np.unique(np.concatenate([part.classes for part in parts]), return_inverse=True)
    pairs, places = np.unique(numbers * len(kinds) + which, return_inverse=True)
    counted = np.where(kinds[which] < FIRST_OBJECT, 0, np.concatenate([part.pixels for part in parts]))
    pixels = np.bincount(places, counted)
    objects = pairs // len(kinds)
    # This sort is stable, and pairs of an object are in the order of classes: the lowest stays in front.
    order = np.lexsort((-pixels, objects))
    _, firsts = np.unique(objects[order], return_index=True)
    found: NDArray[np.object_] = kinds[pairs[order[firsts]] % len(kinds)].astype(object)
    found[found < FIRST_OBJECT] = None
    return found

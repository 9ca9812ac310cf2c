"""Label images as other programs save them, whose background is 0 and whose first object may be 1."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.annotation import BACKGROUND, FIRST_OBJECT, check_paint
from napari_unet.core.arrays.lazy import LazyPixels, Pixels, check_given
from napari_unet.core.arrays.runs import count_values
from napari_unet.core.errors import InputError

_SEVERAL = 3
"""Objects beside the first that paint must have to be taken for a label image."""

_MOST = 0.5
"""Part of the neighbours with different numbers above which labels may be an image; of touching cells of 5
pixels it is a fifth, and of a noisy image nearly all."""

_FLAT = 5
"""Mean length from which runs of equal pixels are long: those of 85 micrographs are up to 3 pixels, and those
of their labels from 7 on."""

_FEW_PLANES, _FEW_ROWS = 8, 64
"""How many are looked at, at least, of each leading axis and of the last but one."""


def check_labels(subject: str, labels: Pixels) -> None:
    """Raise ``InputError`` unless these can be labels: whole numbers and, in memory, none of them negative.

    ``subject`` begins the sentence, such as "The labels are".
    """
    check_given(subject, labels)
    if labels.dtype.kind == "b":
        raise InputError(
            f"{subject} a yes/no mask; give each object its own number first, as skimage.measure.label does."
        )
    if labels.dtype.kind not in "ui":
        raise InputError(
            f"{subject} of type {labels.dtype}; give whole numbers, 0 for background and another value for "
            "each object."
        )
    if labels.dtype.kind == "i" and labels.size and not isinstance(labels, LazyPixels) and labels.min() < 0:
        raise InputError(
            f"{subject} negative in places (down to {labels.min()}); give 0 for background and a positive "
            "value for each object."
        )


def paint_of_labels(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Return a label image (…YX) as paint: 0 becomes background (1), and k the object or class k + 1.

    ``InputError`` as from :func:`napari_unet.core.annotation.check_paint`.
    """
    return check_paint(labels).astype(np.int64) + BACKGROUND


def may_be_labels(paint: NDArray[Any]) -> bool:
    """Return whether paint may be a label image: 1 is in one piece, and no larger than the largest object."""
    if paint.dtype.kind not in "ui":
        return False
    counts = count_values(paint)
    objects = [pixels for value, pixels in counts.items() if value >= FIRST_OBJECT]
    if len(objects) < _SEVERAL or not 0 < counts.get(BACKGROUND, 0) <= max(objects):
        return False
    return _pieces(paint == BACKGROUND) == 1


def may_be_mask(labels: NDArray[Any], least: int = 1) -> bool:
    """Return whether labels of ``least`` and more may be a mask: they have one value, in several pieces."""
    if labels.dtype.kind not in "ui":
        return False
    values = count_values(labels).keys() - {0}
    return len(values) == 1 and min(values) >= least and _pieces(labels != 0) >= _SEVERAL


def may_be_image(labels: NDArray[Any]) -> bool:
    """Return whether labels may be pixels of an image: most neighbours in a row have different numbers."""
    left, right = labels[..., :-1], labels[..., 1:]
    inside = (left > 0) & (right > 0)
    return bool(inside.any()) and float(np.mean(left[inside] != right[inside])) > _MOST


def may_be_opened_as_image(pixels: NDArray[Any], *, rgb: bool = False) -> bool:
    """Return whether an image may be labels that were opened as one: it is flat, in whole numbers.

    It is (…YX), or in colours (…YXC).

    A few rows of a few planes decide, so it is quick on large stacks. Runs of equal pixels are long in
    labels, and short in images, also if these have few grey levels, or few photons were counted.
    """
    *leading, height, _ = pixels.shape[: pixels.ndim - rgb]
    sizes = [(size, _FEW_PLANES) for size in leading] + [(height, _FEW_ROWS)]
    rows = pixels[tuple(slice(None, None, max(1, size // few)) for size, few in sizes)]
    if rgb:
        rows = rows[..., :3].astype(float) @ np.array([1.0, 2.0**16, 2.0**32])
    if rows.dtype.kind == "f":
        if not np.array_equal(rows, np.round(rows)):
            return False
    elif rows.dtype.kind not in "uib":
        return False
    labelled = rows != 0
    begins = labelled.copy()
    begins[..., 1:] &= rows[..., 1:] != rows[..., :-1]
    varies = bool(rows.size) and rows.min() != rows.max()
    return bool(varies) and int(labelled.sum()) >= _FLAT * int(begins.sum())


def _pieces(mask: NDArray[np.bool_]) -> int:
    _, pieces = ndimage.label(mask, np.ones((3,) * mask.ndim))
    return int(pieces)

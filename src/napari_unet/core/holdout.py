"""Which strokes are kept for validation: whole ones, and the same ones while more are painted."""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.annotation import (
    FIRST_OBJECT,
    Mode,
    check_mode,
    check_paint,
    count_values,
    runs,
)
from napari_unet.core.errors import InputError

FEWEST_STROKES = 5
"""With fewer strokes of any class, every one of them is needed for training."""


def hold_out(paint: NDArray[Any], mode: Mode, fraction: float, seed: int) -> NDArray[np.bool_]:
    """Return the pixels of the strokes that are kept for validation.

    A stroke is a connected part (full connectivity) of one paint value; in "objects" mode all paint of one
    object, connected or not. Pixels of one stroke look too much alike to train on some and validate on the
    others.

    Each stroke draws a number in [0, 1) from its own first pixel (in C order) and the seed, and those below
    ``fraction`` are kept: painting one more stroke does not reshuffle the others, as an index or a random
    generator that walks over the strokes would. Only where that leaves a class without validation, or takes
    more of it than ``fraction``, the lowest numbers decide, so that a new stroke changes the lot of one other
    stroke of its class at most, and of none of another class.

    Parameters
    ----------
    paint : array (…YX)
        See :func:`napari_unet.core.annotation.check_paint`.
    mode : {"objects", "classes"}
        In "objects" mode the classes are background and objects; in "classes" mode, the values painted.
    fraction : float
        Part of the strokes of each class to keep, in [0, 0.5]; at most that part, but at least one.
    seed : int
        Another seed draws other strokes.

    Returns
    -------
    array (…YX) bool
        True at known pixels of validation strokes. All False if ``fraction`` is 0, there are not two classes,
        or any class has fewer than 5 strokes; otherwise every class has at least one stroke here and 4
        elsewhere.

    Raises
    ------
    InputError
        If ``paint`` is not paint, or ``fraction`` is out of range.
    """
    paint = check_paint(paint)
    check_mode(mode)
    if not 0 <= fraction <= 0.5:
        raise InputError(f"The fraction of strokes to hold out is {fraction}; choose between 0 and 0.5.")
    mask = np.zeros(paint.shape, bool)
    classes = list(_strokes_of_each_class(paint, mode)) if fraction else []
    if len(classes) < 2:
        return mask
    for strokes in classes:
        values, lengths = runs(strokes)
        numbers, first_run = np.unique(values, return_index=True)
        first_pixel = (np.cumsum(lengths) - lengths)[first_run]
        numbers, first_pixel = numbers[numbers > 0], first_pixel[numbers > 0]
        if numbers.size < FEWEST_STROKES:
            return np.zeros(paint.shape, bool)
        drawn = np.array([_draw(seed, pixel) for pixel in first_pixel.tolist()])
        # A hair more than the product: 0.29 * 100 is 28.999999999999996.
        at_most = max(1, int(fraction * numbers.size + 1e-9))
        kept = min(at_most, max(1, np.count_nonzero(drawn < fraction)))
        chosen = np.isin(values, numbers[np.argsort(drawn)[:kept]])
        mask |= np.repeat(chosen, lengths).reshape(paint.shape)
    return mask


def _strokes_of_each_class(paint: NDArray[np.int32], mode: Mode) -> Iterator[NDArray[np.int32]]:
    """Yield for each class painted an array with a number for every stroke of it, and 0 elsewhere."""
    full = np.ones((3,) * paint.ndim, bool)
    for value in count_values(paint):
        if mode == "objects" and value >= FIRST_OBJECT:
            yield np.where(paint >= FIRST_OBJECT, paint, 0)
            return
        yield ndimage.label(paint == value, structure=full)[0]


def _draw(seed: int, pixel: int) -> float:
    """Return the number in [0, 1) that belongs to ``pixel``, the same on every machine, in every version."""
    digest = blake2b(f"{seed} {pixel}".encode(), digest_size=6).digest()
    return float(int.from_bytes(digest) / 2**48)

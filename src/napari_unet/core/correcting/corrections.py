"""From objects that the user corrected to paint that the network learns from."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import BACKGROUND, FIRST_OBJECT
from napari_unet.core.correcting.numbering import unused_values
from napari_unet.core.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class PaintEdit:
    """New values for some pixels of the paint: ``paint[edit.indices] = edit.values``."""

    indices: tuple[NDArray[np.intp], ...]  # the pixels, in raster order, each once
    values: NDArray[np.int32]  # (N,) 1 for background, 2 and more for objects; never 0
    n_objects: int  # number of corrected objects among the values
    n_background: int  # number of pixels of background among the values
    # the paint values of the corrected objects of which at least half was predicted: the edit paints them up
    # to their border, unless they are already. What was drawn where nothing was predicted may be a stroke
    accepted: tuple[int, ...]


def corrections_to_paint(
    predicted: NDArray[np.integer[Any]], corrected: NDArray[np.integer[Any]], paint: NDArray[np.integer[Any]]
) -> PaintEdit:
    """Find what the user corrected, and say it as paint.

    Every object of ``corrected`` that gained or lost a pixel is taken whole: the user looked at it and made
    it right. Pixels erased to 0 are background. What the user did not touch teaches nothing: the network must
    not learn from its own mistakes.

    Parameters
    ----------
    predicted, corrected : array of int
        The objects before and after the user's corrections, 0 background.
    paint : array of int
        The annotation so far, in objects mode. An object keeps the value under which the paint already holds
        it (the only object value in it, and in no other place), so applying corrections twice changes
        nothing. Every other object gets a fresh value: 1 more than the largest in the paint, 2 more, ... in
        the order of the ids; the lowest free ones where these do not fit its type.

    Returns
    -------
    PaintEdit
        Pixels whose paint already has the value are left out; without corrections the edit is empty. Parts of
        painted objects outside the corrected ones stay as they are.

    Raises
    ------
    InputError
        If the arrays differ in shape, or no value of the paint's type is free (at most 2**31 - 1).
    """
    if not predicted.shape == corrected.shape == paint.shape:
        raise InputError(
            f"The predicted objects have shape {predicted.shape}, the corrected ones {corrected.shape} and "
            f"the paint {paint.shape}; choose the objects and the paint of one image."
        )
    changed = predicted != corrected
    background = changed & (corrected == 0)
    touched = np.union1d(predicted[changed], corrected[changed])
    taken = np.isin(corrected, touched[touched > 0])

    ids, which = np.unique(corrected[taken], return_inverse=True)
    held = _held_values(which, paint[taken], paint[~(taken | background)], len(ids))
    new_value = held.copy()
    new_value[held == 0] = unused_values(paint, int(np.count_nonzero(held == 0)), at_least=FIRST_OBJECT)

    wanted = np.zeros(paint.shape, np.int32)
    wanted[background] = BACKGROUND
    wanted[taken] = new_value[which]
    sizes = np.bincount(which, minlength=len(ids))
    predicted_sizes = np.bincount(which[predicted[taken] > 0], minlength=len(ids))
    indices = np.nonzero((wanted > 0) & (wanted != paint))
    values = wanted[indices]
    return PaintEdit(
        indices=indices,
        values=values,
        n_objects=len(np.unique(values[values >= FIRST_OBJECT])),
        n_background=int(np.count_nonzero(values == BACKGROUND)),
        accepted=tuple(new_value[2 * predicted_sizes >= sizes].tolist()),
    )


def _held_values(
    which: NDArray[np.intp], inside: NDArray[np.integer[Any]], outside: NDArray[np.integer[Any]], count: int
) -> NDArray[np.int64]:
    """Return for each of ``count`` objects the paint value that is in it alone, as its only one, else 0.

    ``which`` says to which object each painted pixel of ``inside`` belongs.
    """
    stroked = inside >= FIRST_OBJECT
    objects, values = np.unique(np.stack((which[stroked], inside[stroked].astype(np.int64))), axis=1)
    values_in_object = np.bincount(objects, minlength=count)
    distinct, position, objects_of_value = np.unique(values, return_inverse=True, return_counts=True)
    elsewhere = np.isin(distinct, outside[outside >= FIRST_OBJECT])
    alone = (values_in_object[objects] == 1) & (objects_of_value[position] == 1) & ~elsewhere[position]
    held = np.zeros(count, np.int64)
    held[objects[alone]] = values[alone]
    return held

"""Keep a weight map up to date while somebody paints: only what a stroke changed is measured again.

Distances have a cut-off, so paint in a box does not matter beyond the cut-off around it. Class balance
matters everywhere, but it only multiplies, and the parts are kept apart (see
:class:`napari_unet.core.weights.WeightParts`).
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from math import ceil, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import Mode, check_paint, read_paint
from napari_unet.core.arrays.boxes import Box, box_around, enclose, part_of, whole, widen
from napari_unet.core.borders.two_nearest import check_spacing
from napari_unet.core.borders.weight_config import WeightConfig
from napari_unet.core.weights import WeightParts, measure_parts, measure_window, number_components, reaches

_LARGE = 0.25
"""Where more than this part of a plane changed, measuring all of it is no slower."""


def is_large(changed: Box, shape: Sequence[int]) -> bool:
    """Return whether a changed box covers so much of a plane that all of it should be measured again."""
    size: int = prod(side.stop - side.start for side in changed)
    return size > _LARGE * prod(shape)


def update_parts(
    parts: WeightParts,
    paint: NDArray[Any],
    changed: Box,
    config: WeightConfig = WeightConfig(),
    *,
    spacing: Sequence[float] | None = None,
    mode: Mode = "objects",
) -> tuple[WeightParts, Box]:
    """Return the parts of the weight map of edited paint, the same as if all of it were measured again.

    Parameters
    ----------
    parts : WeightParts
        Of the paint before the edit, by :func:`napari_unet.core.weights.measure_parts` or this function, with
        the same configuration, spacing and mode. It is left as it is, so that an update can be dropped.
    paint : array (…YX)
        The paint after the edit.
    changed : tuple of slice
        A box, with starts and stops within the paint, outside of which nothing was edited.
    config, spacing, mode
        See :func:`napari_unet.core.weights.border_weights`.

    Returns
    -------
    parts : WeightParts
    region : tuple of slice
        Outside of it kinds, border and halo are what they were. Class weights may still differ everywhere:
        where the configuration balances classes and ``pixels`` changed, the sum must be taken anew.

    Raises
    ------
    InputError
        As :func:`napari_unet.core.weights.border_weights`.
    """
    return edit_parts(deepcopy(parts), check_paint(paint), changed, config, spacing=spacing, mode=mode)


def edit_parts(
    parts: WeightParts,
    paint: NDArray[np.int32],
    changed: Box,
    config: WeightConfig,
    *,
    spacing: Sequence[float] | None,
    mode: Mode,
    pixels: NDArray[np.intp] | None = None,
) -> tuple[WeightParts, Box]:
    """Do what :func:`update_parts` does, for checked paint, in the arrays of ``parts``, which is then void.

    Copying a large image costs many times what a stroke does. ``pixels`` are the flat indices of all that was
    painted before, if known.
    """
    sampling = check_spacing(spacing, paint.ndim)
    # In objects mode there are two classes, whatever the highest value is.
    n_classes = 2 if mode == "objects" else read_paint(paint.max(keepdims=True), mode).n_classes
    if n_classes != parts.pixels.size:  # the cut-off depends on it
        return measure_parts(paint, config, spacing=spacing, mode=mode), whole(paint.shape)

    beside = (1,) * paint.ndim
    region = widen(changed, beside, paint.shape)  # seams, and what may join or part there
    components = parts.components
    if components is not None:
        region = reconnect(components, paint, region, number_components, pixels=pixels)
    # A pixel more than needed costs nothing, and covers the rounding of a distance just within reach.
    margin = [
        min(ceil(max(reaches(config, n_classes)) / size) + 1, length)
        for size, length in zip(sampling, paint.shape, strict=True)
    ]
    region = widen(region, margin, paint.shape)
    window = widen(region, margin, paint.shape)
    inner = part_of(region, window)
    part_of_components = None if components is None else components[window]
    measured = measure_window(paint[window], part_of_components, config, sampling, n_classes=n_classes)

    before, after = parts.kinds[region], measured.kinds[inner]
    updated = replace(parts, pixels=parts.pixels + _count(after, n_classes) - _count(before, n_classes))
    before[...] = after
    parts.border[region] = measured.border[inner]
    if parts.halo is not None and measured.halo is not None:
        parts.halo[region] = measured.halo[inner]
    return updated, region


def reconnect(
    components: NDArray[np.int32],
    paint: NDArray[np.int32],
    region: Box,
    number: Callable[[NDArray[np.int32]], NDArray[np.int32]],
    *,
    pixels: NDArray[np.intp] | None = None,
) -> Box:
    """Give parts new numbers after an edit well inside ``region``; return a box with all that changed.

    ``number`` numbers the parts of any paint from 1, as it did for the whole paint before the edit. A part is
    one object however far it extends: once one pixel joins it to another, there is no border between them.
    Parts outside ``region`` can be neither joined nor split, and keep their numbers.

    Parameters
    ----------
    components : array (…YX) int32
        The numbers before the edit, which are edited in place.
    paint : array (…YX) int32
        After the edit.
    region : tuple of slice
    number : callable
    pixels : array (N,) of int, optional
        Flat indices of all pixels that had a number, and maybe others; if given, the rest of the plane is not
        read.
    """
    flat = components.reshape(-1)
    if pixels is None:
        pixels = np.flatnonzero(flat)
    numbers = flat[pixels]
    highest = int(numbers.max(initial=0))
    touched = np.zeros(highest + 1, bool)
    touched[components[region]] = True
    touched[0] = False
    box = region
    if touched.any():
        box = enclose(region, box_around(pixels[touched[numbers]], components.shape))
    within = components[box]
    where = touched[within]
    where[part_of(region, box)] = True
    anew = number(np.where(where, paint[box], 0))
    anew[anew > 0] += highest
    within[where] = anew[where]
    return box


def _count(kinds: NDArray[np.uint8], n_classes: int) -> NDArray[np.int64]:
    counts: NDArray[np.int64] = np.bincount(kinds.reshape(-1), minlength=n_classes + 1)[1:]
    return counts

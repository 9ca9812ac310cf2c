"""Read probabilities as the paint reads the image: the thresholds that give back the painted objects.

Where touching objects part, how certain a network is inside them and how small they may be differ from image
to image and from training to training. Objects that are painted in full show which reading is right. Strokes
show less, but enough to notice a reading that cuts objects up or joins them: a stroke is of one object, and
two are of two.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import FIRST_OBJECT, count_values
from napari_unet.core.instances import InstanceConfig, Landscape, Separation
from napari_unet.core.object_distance import Full, full_objects

_OF_FULL = (0.1, 0.05, 0.2)
"""Smallest object as a part of the median full object: the first is taken unless another is better."""

_OF_STROKE = 0.25
"""The same of the median stroke, which covers a third of its object or so."""

_CONTRASTS = (2.0, 1.5, 1.0, 3.0)
_HIGHER = (4.0, 6.0)
"""Contrasts that only strokes ask for: full objects, learnt by heart, are too sure to be cut up."""

_BETTER = 0.005
"""Gain in mean IoU for which another value than the usual one is taken."""

_STROKES_BETTER = 1.5
"""The same where strokes decide: at least two more of them must be right."""

_WHOLE = 0.8
"""Part of the pixels of a stroke, without those that are missed, by which it lies in one object."""


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A part of a painted image: ``probability`` of foreground, ``paint`` (…YX), and what of it is full."""

    probability: NDArray[np.float32]
    paint: NDArray[np.int32]
    full: Full


def fit_instances(examples: Sequence[Example], start: InstanceConfig) -> InstanceConfig:
    """Return the reading that gives the painted objects back best.

    Parameters
    ----------
    examples : sequence of Example
        Objects that are cut by the edge of an example should not count as full in it.
    start : InstanceConfig
        What is kept where the paint does not tell.

    Returns
    -------
    InstanceConfig
        First what separates and the contrast are chosen, by :func:`agreement`, then, where objects are full,
        the smallest size. The threshold stays: of objects that have been learnt by heart, too high a one
        finds most.
    """
    sizes = [int(np.count_nonzero(mask)) for e in examples for _, _, mask in full_objects(e.paint, e.full)]
    smallest = [max(1, int(part * np.median(sizes))) for part in _OF_FULL] if sizes else [start.min_size]
    strokes = sum(len(_object_sizes(e.paint)) for e in examples)
    if not strokes:
        return start
    better = _BETTER if sizes else _STROKES_BETTER / strokes
    contrasts = _CONTRASTS if sizes else (*_CONTRASTS, *_HIGHER)
    separations: list[Separation] = list(get_args(Separation))
    landscapes = {
        by: [Landscape.of(e.probability, replace(start, separate_by=by)) for e in examples]
        for by in separations
    }

    def agreement_with(reading: InstanceConfig) -> float:
        found = [landscape.objects(reading) for landscape in landscapes[reading.separate_by]]
        return agreement(examples, found)

    best = replace(start, min_size=smallest[0])
    reached = agreement_with(best)
    trials: tuple[list[dict[str, object]], ...] = (
        [{"separate_by": by, "contrast": contrast} for by in separations for contrast in contrasts],
        [{"min_size": size} for size in smallest[1:]],
    )
    for changes in trials:
        least = reached + better
        for change in changes:
            candidate = replace(best, **change)  # type: ignore[arg-type]  # names and values belong together
            another = agreement_with(candidate)
            if another > max(reached, least):
                best, reached = candidate, another
    return best


def agreement(examples: Sequence[Example], found: Sequence[NDArray[np.int32]]) -> float:
    """Return how well the objects ``found`` in each example agree with the painted ones, at least one.

    Full objects decide, where there are any: the mean of their intersection over union with what is found of
    them. Else strokes do: the part of them that lies in one object, where no other stroke is.
    """
    of_full: list[float] = []
    of_strokes: list[float] = []
    for example, objects in zip(examples, found, strict=True):
        of_strokes += _right_strokes(objects, example.paint)
        sizes = np.bincount(objects.ravel())
        for _, box, mask in full_objects(example.paint, example.full):
            overlaps = np.bincount(objects[box][mask], minlength=sizes.size)
            overlaps[0] = 0
            main = int(overlaps.argmax())
            common = int(overlaps[main])
            union = int(np.count_nonzero(mask)) + int(sizes[main]) - common
            of_full.append(common / union if common else 0.0)
    return float(np.mean(of_full or of_strokes))


def size_from_strokes(paints: Sequence[NDArray[np.int32]]) -> InstanceConfig:
    """Return the reading that follows from the size of what is painted alone: which objects are too small."""
    sizes = [size for paint in paints for size in _object_sizes(paint)]
    return InstanceConfig(min_size=max(1, int(_OF_STROKE * np.median(sizes)))) if sizes else InstanceConfig()


def _right_strokes(objects: NDArray[np.int32], paint: NDArray[np.int32]) -> list[bool]:
    """Return for each painted object whether it lies in one of ``objects``, and no other before it there."""
    painted = paint >= FIRST_OBJECT
    values, stroke = np.unique(paint[painted], return_inverse=True)
    if not values.size:
        return []
    table = np.zeros((values.size, int(objects.max()) + 1), np.int64)
    np.add.at(table, (stroke, objects[painted]), 1)
    table[:, 0] = 0  # what is missed says nothing of how objects part
    is_first = np.zeros(values.size, bool)
    is_first[np.unique(table.argmax(axis=1), return_index=True)[1]] = True
    is_whole = table.max(axis=1) > _WHOLE * table.sum(axis=1)
    return [bool(right) for right in is_first & is_whole]


def _object_sizes(paint: NDArray[np.int32]) -> list[int]:
    return [pixels for value, pixels in count_values(paint).items() if value >= FIRST_OBJECT]

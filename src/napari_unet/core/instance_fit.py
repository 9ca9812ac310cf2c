"""Read probabilities as the paint reads the image: the thresholds that give back the painted objects.

Where touching objects part, how certain a network is inside them and how small they may be differ from image
to image and from training to training. Objects that are painted in full show which reading is right.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import FIRST_OBJECT, count_values
from napari_unet.core.instances import InstanceConfig, Separation, find_objects
from napari_unet.core.object_distance import Full, full_objects

_OF_FULL = (0.1, 0.05, 0.2)
"""Smallest object as a part of the median full object: the first is taken unless another is better."""

_OF_STROKE = 0.25
"""The same of the median stroke, which covers a third of its object or so."""

_CONTRASTS = (2.0, 1.5, 1.0, 3.0)
_BETTER = 0.005
"""Gain in mean IoU for which another value than the usual one is taken."""


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A part of a painted image: ``probability`` of foreground, ``paint`` (…YX), and what of it is full."""

    probability: NDArray[np.float32]
    paint: NDArray[np.int32]
    full: Full


def fit_instances(examples: Sequence[Example], start: InstanceConfig | None = None) -> InstanceConfig:
    """Return the reading that gives the painted objects back best.

    Parameters
    ----------
    examples : sequence of Example
        Objects that are cut by the edge of an example should not count as full in it.
    start : InstanceConfig, optional
        What is kept where the paint does not tell.

    Returns
    -------
    InstanceConfig
        With full objects, first what separates and the contrast, then the smallest size are chosen, by the
        mean over these objects of the intersection over union with the object that covers most of them. The
        threshold stays: of objects that have been learnt by heart, too high a one finds most. Without full
        objects, only the smallest size follows from the paint.
    """
    start = start or InstanceConfig()
    sizes = [int(np.count_nonzero(mask)) for e in examples for _, _, mask in full_objects(e.paint, e.full)]
    if not sizes:
        strokes = [size for e in examples for size in _object_sizes(e.paint)]
        if not strokes:
            return start
        return replace(start, min_size=max(1, int(_OF_STROKE * np.median(strokes))))
    typical = float(np.median(sizes))
    smallest = [max(1, int(part * typical)) for part in _OF_FULL]
    best = replace(start, min_size=smallest[0])
    agreement = mean_agreement(examples, best)
    separations: list[Separation] = list(get_args(Separation))
    trials: tuple[list[dict[str, object]], ...] = (
        [{"separate_by": by, "contrast": contrast} for by in separations for contrast in _CONTRASTS],
        [{"min_size": size} for size in smallest],
    )
    for changes in trials:
        usual = agreement
        for change in changes:
            candidate = replace(best, **change)  # type: ignore[arg-type]  # names and values belong together
            reached = mean_agreement(examples, candidate)
            if reached > max(agreement, usual + _BETTER):
                best, agreement = candidate, reached
    return best


def mean_agreement(examples: Sequence[Example], config: InstanceConfig) -> float:
    """Return the mean IoU of the full objects with what is found of them; at least one must be full."""
    agreements = []
    for example in examples:
        objects = find_objects(example.probability, config, ndim=example.probability.ndim)
        sizes = np.bincount(objects.ravel())
        for _, box, mask in full_objects(example.paint, example.full):
            overlaps = np.bincount(objects[box][mask], minlength=sizes.size)
            overlaps[0] = 0
            found = int(overlaps.argmax())
            common = int(overlaps[found])
            union = int(np.count_nonzero(mask)) + int(sizes[found]) - common
            agreements.append(common / union if common else 0.0)
    return float(np.mean(agreements))


def _object_sizes(paint: NDArray[np.int32]) -> list[int]:
    return [pixels for value, pixels in count_values(paint).items() if value >= FIRST_OBJECT]

"""Fit the thresholds that read objects from probabilities to the painted objects.

Where touching objects part, how certain a network is inside them and how small they may be differ from image
to image and from training to training. Objects that are painted in full show which reading is right. Strokes
show less, but enough to notice a reading that cuts objects up or joins them: one stroke is one object, and
two are two.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import FIRST_OBJECT
from napari_unet.core.arrays.boxes import Box
from napari_unet.core.arrays.runs import count_values
from napari_unet.core.instances import InstanceConfig, Landscape, Separation
from napari_unet.core.painted.object_distance import Full, full_objects
from napari_unet.core.painted.pieces import piece_sizes, separate_pieces

_SEPARATIONS: tuple[Separation, ...] = get_args(Separation)

_OF_FULL = (0.05, 0.025, 0.1)
"""Smallest object as a part of the median full object: the first is taken unless another is better."""

_CERTAIN_OF_FULL = 0.99
"""Probability that counts as certain where objects are full. A network that has learnt where objects end is
sure of seams, and varies inside; one that has learnt from strokes is sure everywhere but at seams."""

_PART_OF_FULL = 1.0
"""``InstanceConfig.min_part`` where objects are full: a network that has learnt where objects end cuts up
fewer, and more of its seams are true."""

_OF_STROKE = 0.175
"""Smallest object as a part of the median stroke, which covers a third of its object or so."""

_CLICK = 0.1
"""A stroke that covers less than this part of the object found there is a click, and says nothing about its
size. The object's size is the lower quartile of all: of one that is not joined, where most are."""

_OF_FOUND, _MOST_TIMES = 0.05, 8
"""Where strokes are clicks, the smallest object as a part of that object; and its limit, in multiples of what
strokes tell, in case all are joined."""

_CONTRASTS = (2.0, 1.5, 1.0, 3.0)
_HIGHER = (4.0,)
"""Contrast tried for strokes only: full objects, learnt by heart, are too sure to be cut up. Strokes hardly
show what is joined by mistake, so no higher one is tried, nor another way to separate."""

_BETTER, _SURE = 0.005, 2.5
"""Gain in mean IoU of full objects for which another reading than the usual one is taken, and its least ratio
to the standard error of that gain: with dozens of readings to choose from, some are better by chance."""

_FEWEST = 2
"""Full objects needed to tell how sure a gain is."""

_MORE_STROKES = 1.5
"""The same where strokes decide: at least two more must be right."""

_WHOLE = 0.8
"""Part of the found pixels of a stroke that must lie in one object for it to be right."""


@dataclass(frozen=True, eq=False)  # no slots: they leave no room for what is found once
class Example:
    """A part of a painted image: ``probability`` of foreground, ``paint`` (…YX), and what of it is full."""

    probability: NDArray[np.float32]
    paint: NDArray[np.int32]
    full: Full

    @cached_property
    def full_pieces(self) -> list[tuple[Box, NDArray[np.bool_]]]:
        """A box, and the mask in it, of every full object, or of its separate pieces."""
        objects = full_objects(self.paint, self.full)
        return [(box, piece) for _, box, mask in objects for piece in separate_pieces(mask)]


def fit_instances(
    examples: Sequence[Example], start: InstanceConfig, *, mostly_full: bool = True
) -> InstanceConfig:
    """Return the reading that gives the painted objects back best.

    Parameters
    ----------
    examples : sequence of Example
        Objects that are cut by the edge of an example should not count as full in it.
    start : InstanceConfig
        What is kept where the paint does not tell; its contrast, only where strokes decide.
    mostly_full : bool
        Whether most painted objects are full. A few among strokes tell sizes and may favour another reading,
        but the usual one is that of strokes, from which the network has learnt.

    Returns
    -------
    InstanceConfig
        The contrast and, where objects are full, what separates them and the smallest size: the usual ones
        unless others recover clearly more of the painted objects, see :func:`agreements`. The threshold
        stays: objects learnt by heart would favour one that is too high.
    """
    sizes = [int(np.count_nonzero(mask)) for e in examples for _, mask in e.full_pieces]
    if not any(_object_sizes(example.paint) for example in examples):
        return start
    if sizes:
        smallest = [max(1, int(part * np.median(sizes))) for part in _OF_FULL]
        usual = replace(start, min_size=smallest[0], certain=_CERTAIN_OF_FULL)
        if mostly_full:
            usual = replace(usual, min_part=_PART_OF_FULL, contrast=InstanceConfig().contrast)
    else:
        smallest, usual = [start.min_size], start
    separations = _SEPARATIONS if sizes else (usual.separate_by,)
    landscapes = {
        by: [Landscape.of(e.probability, replace(usual, separate_by=by)) for e in examples]
        for by in separations
    }

    def agreements_with(reading: InstanceConfig) -> NDArray[np.float64]:
        return agreements(examples, [one.objects(reading) for one in landscapes[reading.separate_by]])

    best, most, before = usual, 0.0, agreements_with(usual)
    contrasts = _CONTRASTS if sizes else (*_CONTRASTS, *_HIGHER)
    for by, contrast, size in product(separations, contrasts, smallest):
        reading = replace(usual, separate_by=by, contrast=contrast, min_size=size)
        gains = agreements_with(reading) - before
        gain = _sure_gain(gains) if sizes else float(gains.sum()) - _MORE_STROKES
        if gain > most:
            best, most = reading, gain
    return best


def agreements(examples: Sequence[Example], found: Sequence[NDArray[np.int32]]) -> NDArray[np.float64]:
    """Return how well the objects ``found`` in each example agree with each painted one (N,), from 0 to 1.

    Full objects count, where there are any: the intersection over union with what is found of them. Else
    strokes do: 1 for one that lies in one object, where no other stroke is.
    """
    if not any(example.full_pieces for example in examples):
        right = [_right_strokes(*each) for each in zip(found, (e.paint for e in examples), strict=True)]
        return np.concatenate([np.zeros(0), *right])
    of_full: list[float] = []
    for example, objects in zip(examples, found, strict=True):
        sizes = np.bincount(objects.ravel())
        for box, mask in example.full_pieces:
            overlaps = np.bincount(objects[box][mask], minlength=sizes.size)
            overlaps[0] = 0
            main = int(overlaps.argmax())
            common = int(overlaps[main])
            union = int(np.count_nonzero(mask)) + int(sizes[main]) - common
            of_full.append(common / union if common else 0.0)
    return np.array(of_full, np.float64)


def _sure_gain(gains: NDArray[np.float64]) -> float:
    """Return the mean of the gains (N,) less what it may be by chance; 0 if it is too small to matter."""
    mean = float(gains.mean())
    if gains.size < _FEWEST or mean <= _BETTER:
        return 0.0
    return mean - _SURE * float(gains.std(ddof=1) / np.sqrt(gains.size))


def size_from_strokes(paints: Sequence[NDArray[np.int32]]) -> InstanceConfig:
    """Return the reading whose smallest size follows from the strokes alone.

    In a plane, separate pieces of one number count separately: beginning the next object is easily forgotten.
    In a volume, all strokes of an object count together, since they are drawn in several of its planes.
    """
    sizes = [size for paint in paints for size in _object_sizes(paint)]
    return InstanceConfig(min_size=max(1, int(_OF_STROKE * np.median(sizes)))) if sizes else InstanceConfig()


def size_from_found(examples: Sequence[Example], start: InstanceConfig) -> InstanceConfig:
    """Return ``start``, with a larger smallest size, from the objects that are found, if strokes are clicks.

    ``start`` is from :func:`size_from_strokes`.
    """
    found: list[int] = []
    for example in examples:
        objects = Landscape.of(example.probability, start).objects(replace(start, min_size=1))
        sizes = np.bincount(objects.ravel())
        for _, box, mask in full_objects(example.paint, True):
            most = [np.bincount(objects[box][piece]).argmax() for piece in separate_pieces(mask)]
            found += [int(sizes[number]) for number in most if number]  # and not where most of it is missed
    usual = float(np.percentile(found, 25)) if found else 0.0
    if start.min_size >= _OF_STROKE * _CLICK * usual:
        return start
    return replace(start, min_size=min(int(_OF_FOUND * usual), _MOST_TIMES * start.min_size))


def _right_strokes(objects: NDArray[np.int32], paint: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return for each painted object whether it lies in one of ``objects``, as the first one there."""
    painted = paint >= FIRST_OBJECT
    values, stroke = np.unique(paint[painted], return_inverse=True)
    if not values.size:
        return np.zeros(0, bool)
    table = np.zeros((values.size, int(objects.max()) + 1), np.int64)
    np.add.at(table, (stroke, objects[painted]), 1)
    table[:, 0] = 0  # missed pixels say nothing about how objects part
    is_first = np.zeros(values.size, bool)
    is_first[np.unique(table.argmax(axis=1), return_index=True)[1]] = True
    is_whole = table.max(axis=1) > _WHOLE * table.sum(axis=1)
    right: NDArray[np.bool_] = is_first & is_whole
    return right


def _object_sizes(paint: NDArray[np.int32]) -> list[int]:
    """Return the pixels of every painted object, of a plane (Y, X) those of its separate pieces."""
    if paint.ndim > 2:
        return [pixels for value, pixels in count_values(paint).items() if value >= FIRST_OBJECT]
    return [int(size) for size in piece_sizes(paint)]

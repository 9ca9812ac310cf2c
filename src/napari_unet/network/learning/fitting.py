"""How objects are best read from a trained network: the thresholds are fitted to the training paint."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.core.annotation import FIRST_OBJECT
from napari_unet.core.arrays.boxes import Box
from napari_unet.core.arrays.runs import count_values
from napari_unet.core.instances import InstanceConfig
from napari_unet.core.learning.dataset import Dataset
from napari_unet.core.objects.instance_fit import (
    Example,
    fit_instances,
    size_from_found,
    size_from_strokes,
)
from napari_unet.core.painted.object_distance import Full, full_objects
from napari_unet.core.patches import place_box
from napari_unet.core.tiling import read_mirrored
from napari_unet.network.geometry import box_to_read
from napari_unet.network.model import Model
from napari_unet.network.tiles.inference import probabilities_of, ready_network

_MOST_WINDOWS = 6
_EDGE = {2: 384, 3: 64}
"""Pixels along each side of a window: all windows together are read in about a second."""

_OF_STARTER = 3.0
"""Usual contrast where a training on strokes began with a starter. It knows from whole images where objects
end: seams are deep, and so are variations inside objects."""

_OF_VOLUME = 1.0
"""Usual contrast of strokes in a volume, also after a starter, whose kernels know planes alone. What lies
between two objects is seldom painted there, since strokes lie planes apart."""

_MOSTLY = 2 / 3
"""Part of the painted objects that must be full, such as accepted ones, to count as most."""


def fit_reading(
    model: Model, dataset: Dataset, device: torch.device, precision: torch.dtype
) -> InstanceConfig:
    """Return how the probabilities of ``model`` are best read, judged by the paint of ``dataset``.

    Objects painted in full decide, where there are any, else strokes; see
    :func:`napari_unet.core.objects.instance_fit.fit_instances`. A few windows around them are predicted,
    spread over the images. After a starter strokes in planes begin from a higher contrast, and in
    volumes from a lower one. In classes mode nothing is fitted.
    """
    if model.mode != "objects":
        return InstanceConfig()
    samples = dataset.samples
    paints = [sample.paint for sample in samples]
    usual = size_from_strokes(paints)
    if model.network.ndim == 3:
        usual = replace(usual, contrast=_OF_VOLUME)
    elif model.training.is_after_starter:
        usual = replace(usual, contrast=_OF_STARTER)
    full = [_Boxes.of(paint, sample.full) for paint, sample in zip(paints, samples, strict=True)]
    is_full = any(boxes.values.size for boxes in full)
    shown = full if is_full else [_Boxes.of(paint, True) for paint in paints]
    n_painted = sum(value >= FIRST_OBJECT for paint in paints for value in count_values(paint))
    mostly_full = sum(boxes.values.size for boxes in full) >= _MOSTLY * n_painted
    network = ready_network(model, device, precision)
    examples = []
    for number, window in _choose_windows(
        shown, [paint.shape for paint in paints], _EDGE[model.network.ndim]
    ):
        read, crop = box_to_read(model.network, window)
        block = np.ascontiguousarray(read_mirrored(samples[number].image, read))
        probability = probabilities_of(network, block, crop)[1]
        whole = set(full[number].values[full[number].lie_in(window)].tolist())
        examples.append(Example(probability, paints[number][window], whole))
    if not is_full:
        usual = size_from_found(examples, usual)
    return fit_instances(examples, usual, mostly_full=mostly_full)


@dataclass(frozen=True, slots=True, eq=False)
class _Boxes:
    """The bounding boxes of N objects of a sample."""

    values: NDArray[np.int32]  # (N,)
    starts: NDArray[np.intp]  # (N, ndim)
    stops: NDArray[np.intp]  # (N, ndim)

    @classmethod
    def of(cls, paint: NDArray[np.int32], full: Full) -> "_Boxes":
        """Return those of the full objects of ``paint``, a pixel wider; see :func:`full_objects`."""
        boxes = {value: box for value, box, _ in full_objects(paint, full)}
        ends = np.array([[(side.start, side.stop) for side in box] for box in boxes.values()], np.intp)
        ends = ends.reshape(len(boxes), paint.ndim, 2)
        return cls(np.array(list(boxes), np.int32), ends[..., 0], ends[..., 1])

    def lie_in(self, window: Box) -> NDArray[np.bool_]:
        """Return which of them (N,) lie in ``window`` as a whole."""
        starts, stops = ([getattr(side, end) for side in window] for end in ("start", "stop"))
        within = (self.starts >= starts) & (self.stops <= stops)
        return np.logical_and.reduce(within, axis=1)  # type: ignore[no-any-return]  # numpy's stubs


def _choose_windows(
    boxes: Sequence[_Boxes], shapes: Sequence[tuple[int, ...]], edge: int
) -> Iterator[tuple[int, Box]]:
    """Yield windows around objects in ``boxes``, one sample after the other, until all are shown."""
    left = [np.arange(each.values.size) for each in boxes]
    shown = 0
    while shown < _MOST_WINDOWS and any(which.size for which in left):
        for number, shape in enumerate(shapes):
            if left[number].size and shown < _MOST_WINDOWS:
                mine, first = boxes[number], left[number][0]
                middle = ((mine.starts[first] + mine.stops[first]) // 2).tolist()
                window = place_box(middle, [min(edge, length) for length in shape], shape)
                is_seen = mine.lie_in(window)
                is_seen[first] = True
                left[number] = left[number][~is_seen[left[number]]]
                shown += 1
                yield number, window

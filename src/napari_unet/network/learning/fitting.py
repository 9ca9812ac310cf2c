"""How objects are best read from a trained network: the thresholds are fitted to the training paint."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from napari_unet.core.annotation import FIRST_OBJECT
from napari_unet.core.arrays.boxes import Box, common
from napari_unet.core.arrays.runs import count_values
from napari_unet.core.instances import InstanceConfig
from napari_unet.core.learning.dataset import Dataset
from napari_unet.core.objects.instance_fit import (
    Example,
    fit_instances,
    size_from_found,
    size_from_strokes,
)
from napari_unet.core.painted.object_distance import full_objects
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
    full = [
        {value: box for value, box, _ in full_objects(paint, sample.full)}
        for paint, sample in zip(paints, samples, strict=True)
    ]
    shown = [list(boxes.values()) for boxes in full]
    if not any(shown):
        shown = [[box for _, box, _ in full_objects(paint, True)] for paint in paints]
    n_painted = sum(value >= FIRST_OBJECT for paint in paints for value in count_values(paint))
    mostly_full = sum(map(len, full)) >= _MOSTLY * n_painted
    network = ready_network(model, device, precision)
    examples = []
    for number, window in _choose_windows(
        shown, [paint.shape for paint in paints], _EDGE[model.network.ndim]
    ):
        read, crop = box_to_read(model.network, window)
        block = np.ascontiguousarray(read_mirrored(samples[number].image, read))
        probability = probabilities_of(network, block, crop)[1]
        whole = {value for value, box in full[number].items() if common(window, box) == box}
        examples.append(Example(probability, paints[number][window], whole))
    if not any(full):
        usual = size_from_found(examples, usual)
    return fit_instances(examples, usual, mostly_full=mostly_full)


def _choose_windows(
    boxes: Sequence[list[Box]], shapes: Sequence[tuple[int, ...]], edge: int
) -> Iterator[tuple[int, Box]]:
    """Yield windows around objects in ``boxes``, one sample after the other, until all are shown."""
    left = list(boxes)
    shown = 0
    while shown < _MOST_WINDOWS and any(left):
        for number, shape in enumerate(shapes):
            if left[number] and shown < _MOST_WINDOWS:
                middle = [(cut.start + cut.stop) // 2 for cut in left[number][0]]
                window = place_box(middle, [min(edge, length) for length in shape], shape)
                left[number] = [box for box in left[number][1:] if common(window, box) != box]
                shown += 1
                yield number, window

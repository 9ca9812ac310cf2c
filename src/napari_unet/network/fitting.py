"""How a trained network is best read: fit what separates objects to the paint it was trained on."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from napari_unet.core.dataset import Dataset, Sample
from napari_unet.core.instance_fit import Example, fit_instances, size_from_strokes
from napari_unet.core.instances import InstanceConfig
from napari_unet.core.object_distance import full_objects
from napari_unet.core.patches import place_box
from napari_unet.core.tiling import read_mirrored
from napari_unet.network.geometry import box_to_read
from napari_unet.network.inference import probabilities_of, ready_network
from napari_unet.network.model import Model

_MOST_WINDOWS = 6
_EDGE = {2: 384, 3: 64}
"""Pixels along each side of a window: all windows together are read in about a second."""

_OF_STARTER = 3.0
"""Usual contrast where a training on strokes began with a starter. It has learnt from whole images where
objects end: seams fall deeply, and what varies inside of objects falls, too."""


def fit_reading(
    model: Model, dataset: Dataset, device: torch.device, precision: torch.dtype
) -> InstanceConfig:
    """Return how the probabilities of ``model`` are best read, judged by the paint of ``dataset``.

    Objects painted in full decide, where there are any, else strokes; see
    :func:`napari_unet.core.instance_fit.fit_instances`. A few windows around them are predicted, spread over
    the images. After a starter strokes begin from a higher contrast. In classes mode nothing is fitted.
    """
    if model.mode != "objects":
        return InstanceConfig()
    usual = size_from_strokes([sample.paint for sample in dataset.samples])
    if (model.training.body_rate or 1.0) < 1:
        usual = replace(usual, contrast=_OF_STARTER)
    windows = list(_choose_windows(dataset, model.network.ndim))
    network = ready_network(model, device, precision)
    examples = []
    for sample, box in windows:
        read, crop = box_to_read(model.network, box)
        block = np.ascontiguousarray(read_mirrored(sample.image, read))
        probability = probabilities_of(network, block, crop)[1]
        examples.append(Example(probability, sample.paint[box], _whole_inside(sample, box)))
    return fit_instances(examples, usual)


def _choose_windows(dataset: Dataset, ndim: int) -> Iterator[tuple[Sample, tuple[slice, ...]]]:
    """Yield windows around full objects, or else strokes, one sample after the other, until all are shown."""
    left = [list(full_objects(sample.paint, sample.full)) for sample in dataset.samples]
    if not any(left):
        left = [list(full_objects(sample.paint, True)) for sample in dataset.samples]
    shown = 0
    while shown < _MOST_WINDOWS and any(left):
        for number, sample in enumerate(dataset.samples):
            if left[number] and shown < _MOST_WINDOWS:
                middle = [(cut.start + cut.stop) // 2 for cut in left[number][0][1]]
                edge = [min(_EDGE[ndim], length) for length in sample.paint.shape]
                window = place_box(middle, edge, sample.paint.shape)
                left[number] = [each for each in left[number][1:] if not _contains(window, each[1])]
                shown += 1
                yield sample, window


def _whole_inside(sample: Sample, window: tuple[slice, ...]) -> set[int]:
    """Return the full objects that lie in the window as a whole."""
    return {value for value, box, _ in full_objects(sample.paint, sample.full) if _contains(window, box)}


def _contains(window: tuple[slice, ...], box: tuple[slice, ...]) -> bool:
    return all(
        outer.start <= inner.start and inner.stop <= outer.stop
        for outer, inner in zip(window, box, strict=True)
    )

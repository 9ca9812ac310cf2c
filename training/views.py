"""What a starter sees: windows of synthetic and real images, in one channel, at all scales."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.annotation import read_paint
from napari_unet.core.arrays.normalisation import Normalisation, apply_limits
from napari_unet.core.borders.weight_config import WeightConfig
from napari_unet.core.learning.dataset import Sample
from napari_unet.core.micrographs import Kind, MicrographConfig, draw_micrograph
from napari_unet.core.painted.object_distance import choose_reach, measure_depths, object_distance
from napari_unet.core.painted.painted_pixels import PaintedPixels
from napari_unet.core.weights import measure_parts
from real_images import RealImage

WINDOW = 288
"""Edge of a view in pixels."""

DIAMETERS = (12.0, 72.0)
"""Range of the diameter of the median object of a view, in pixels, log-uniform."""

OBJECT_SIZE = 30.0
"""The middle of that range: images are scaled so that their objects have this diameter."""

SYNTHETIC: dict[Kind, float] = {
    "nuclei": 0.25,
    "tissue": 0.20,
    "phase": 0.20,
    "membranes": 0.13,
    "rods": 0.08,
    "brightfield": 0.07,
    "vesicles": 0.07,
}
"""How often each kind of synthetic micrograph is drawn."""

WEIGHTS = WeightConfig(class_balance="none")
"""Border weights of the product, without class balance, so that a probability of 0.5 means an even chance."""

_ZOOM = (0.4, 4.0)
_INVERTED = {"membranes": 0.5}
_SELDOM_INVERTED = 0.12


def synthetic_view(rng: np.random.Generator) -> Sample:
    """Return a synthetic micrograph as a view."""
    kinds = list(SYNTHETIC)
    kind = kinds[int(rng.choice(len(kinds), p=list(SYNTHETIC.values())))]
    config = MicrographConfig.random(kind, rng, diameter=DIAMETERS)
    image, labels = draw_micrograph(config, (WINDOW, WINDOW), rng)
    channels = np.moveaxis(image, -1, 0) if image.ndim == 3 else image[None]
    channels = apply_limits(channels, Normalisation().limits(channels))
    return as_sample(_one_channel(channels, rng), labels)


def real_view(images: Sequence[RealImage], rng: np.random.Generator) -> Sample:
    """Return a window of one of the images, scaled so that its objects have a random diameter."""
    real = images[int(rng.integers(len(images)))]
    zoom = float(np.exp(rng.uniform(*np.log(DIAMETERS)))) / real.diameter
    zoom = float(np.clip(zoom, *_ZOOM))
    edge = round(WINDOW / zoom)
    labelled = np.flatnonzero(real.labels) if rng.random() < 0.8 else np.zeros(0, np.intp)
    place = labelled[rng.integers(labelled.size)] if labelled.size else rng.integers(real.labels.size)
    box = []
    for position, length in zip(np.unravel_index(place, real.labels.shape), real.labels.shape, strict=True):
        start = int(position) - int(rng.uniform(0.2, 0.8) * edge)
        start = min(max(start, 0), max(length - edge, 0))
        box.append(slice(start, min(start + edge, length)))
    channel = _one_channel(real.channels[:, *box], rng)
    if zoom < 1:
        channel = ndimage.gaussian_filter(channel, 0.4 / zoom)
    channel = ndimage.zoom(channel, zoom, order=1, mode="nearest", grid_mode=True)
    labels = ndimage.zoom(real.labels[tuple(box)], zoom, order=0, mode="nearest", grid_mode=True)
    if rng.random() < _INVERTED.get(real.kind, _SELDOM_INVERTED):
        channel = 1 - channel
    return as_sample(channel, labels)


def as_sample(image: NDArray[np.float32], labels: NDArray[np.int32]) -> Sample:
    """Return a normalised image (Y, X) and its labels as if it were completely painted, with full objects.

    The weight map has a mean of 1, so that no view counts more than another because objects are crowded.
    """
    paint = (labels + 1).astype(np.int32)
    annotation = read_paint(paint)
    weight = measure_parts(paint, WEIGHTS).sum(WEIGHTS)
    weight /= weight.mean()
    depths = measure_depths(paint, True)
    reach = choose_reach(depths.values())
    target = annotation.target
    return Sample(
        image=np.ascontiguousarray(image[None], np.float32),
        target=target,
        weight=weight,
        held_out=np.zeros_like(weight),
        strokes=np.zeros(paint.shape, np.int32),
        pixels=tuple(np.flatnonzero(target == value) for value in (0, 1)),
        painted=PaintedPixels.of(paint, np.zeros_like(paint)),
        full=True,
        distance=object_distance(paint, depths.values(), reach or 1.0),
    )


def _one_channel(channels: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the mean or another mixture of the channels (C, Y, X)."""
    count = len(channels)
    if count == 1:
        return channels[0]
    mixture = np.full(count, 1 / count) if rng.random() < 0.5 else rng.dirichlet(np.ones(count))
    mixed: NDArray[np.float32] = np.tensordot(mixture.astype(np.float32), channels, axes=1)
    return mixed

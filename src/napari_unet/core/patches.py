"""Training patches, cut around painted pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.learning.dataset import Dataset, Sample
from napari_unet.core.learning.live_dataset import Fresh
from napari_unet.core.tiling import read_mirrored

_JITTER = 0.25
"""Largest offset of the chosen pixel from the middle of its patch, as a fraction of the patch edge.

Within a quarter, even the corner offset (0.35 of the edge) stays in the patch when it is turned by any angle
and enlarged by up to 1.4.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """A training crop: image (C, *spatial) float32, target (*spatial) uint8, weight (*spatial) float32.

    ``distance`` (*spatial) float32 is there where the dataset has it.
    """

    image: NDArray[np.float32]
    target: NDArray[np.uint8]
    weight: NDArray[np.float32]
    distance: NDArray[np.float32] | None = None


def draw_patch(
    dataset: Dataset,
    size: Sequence[int],
    rng: np.random.Generator,
    *,
    margin: Sequence[int] | None = None,
    fresh: Fresh | None = None,
) -> Patch:
    """Return a random patch that holds at least one pixel with training paint.

    An image is chosen first, then a class among those painted on it, then one of its pixels, each uniformly:
    a small object, a rare class and a sparsely painted image are seen as often as any other. The pixel lies
    near the middle of the patch, but seldom at it, and patches keep inside the image where they can.

    Parameters
    ----------
    dataset : Dataset
    size : sequence of int
        Shape of the patch along the spatial axes, in pixels.
    rng : numpy.random.Generator
    margin : sequence of int, optional
        Pixels read beyond ``size`` on both sides of each spatial axis: context for valid convolutions and
        rotations.
    fresh : Fresh, optional
        Pixels with the newest paint: the patch is around one of these.

    Returns
    -------
    Patch
        Spatial shape ``size + 2 * margin``. Outside the image it is mirrored, with weight 0.
    """
    number, box = choose_place(dataset, size, rng, fresh=fresh)
    sample = dataset.samples[number]
    return cut_patch(sample, sample.weight, box, margin or (0,) * len(box))


def choose_place(
    dataset: Dataset, size: Sequence[int], rng: np.random.Generator, *, fresh: Fresh | None = None
) -> tuple[int, tuple[slice, ...]]:
    """Return where :func:`draw_patch` cuts: the number of the sample, and the box without its margin."""
    if fresh is not None:
        number, pixels = fresh.sample, fresh.pixels
    else:
        trainable = [number for number, sample in enumerate(dataset.samples) if sample.teaches]
        number = trainable[rng.integers(len(trainable))]
        painted = [pixels for pixels in dataset.samples[number].pixels if pixels.size]
        pixels = painted[rng.integers(len(painted))]
    shape = dataset.samples[number].target.shape
    chosen = np.unravel_index(pixels[rng.integers(pixels.size)], shape)
    middle = []
    for position, edge in zip(chosen, size, strict=True):
        jitter = int(_JITTER * edge)
        middle.append(int(position) + int(rng.integers(-jitter, jitter + 1)))
    return number, place_box(middle, size, shape)


def place_box(middle: Sequence[int], size: Sequence[int], shape: Sequence[int]) -> tuple[slice, ...]:
    """Return the box of ``size`` around ``middle``, moved just enough to lie inside an image of ``shape``.

    Along an axis on which the image is smaller than the box, the image lies inside the box.
    """
    box = []
    for position, edge, length in zip(middle, size, shape, strict=True):
        start = min(max(position - edge // 2, min(0, length - edge)), max(0, length - edge))
        box.append(slice(start, start + edge))
    return tuple(box)


def cut_patch(
    sample: Sample, weight: NDArray[np.float32], box: Sequence[slice], margin: Sequence[int]
) -> Patch:
    """Return ``box`` widened by ``margin``, with ``weight`` (*spatial), one of the maps of the sample.

    Outside the image, it is mirrored and the weight is 0: mirrored paint would teach what nobody painted.
    """
    wide = [slice(cut.start - extra, cut.stop + extra) for cut, extra in zip(box, margin, strict=True)]
    return Patch(
        image=read_mirrored(sample.image, wide),
        target=read_padded(sample.target, wide),
        weight=read_padded(weight, wide),
        distance=None if sample.distance is None else read_padded(sample.distance, wide),
    )


def read_padded(array: NDArray[Any], box: Sequence[slice]) -> NDArray[Any]:
    """Return ``array[box]``, 0 where the box reaches outside."""
    result = np.zeros([cut.stop - cut.start for cut in box], dtype=array.dtype)
    inside = tuple(slice(max(cut.start, 0), max(cut.stop, 0)) for cut in box)
    values = array[inside]
    place = tuple(
        slice(real.start - cut.start, real.start - cut.start + length)
        for real, cut, length in zip(inside, box, values.shape, strict=True)
    )
    result[place] = values
    return result

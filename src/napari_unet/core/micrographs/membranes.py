"""Cells that fill space, seen by their walls: a fluorescent dye of membranes, or electrons."""

import numpy as np
from scipy import ndimage
from skimage.segmentation import find_boundaries

from napari_unet.core.micrographs.config import MicrographConfig
from napari_unet.core.micrographs.fields import Field, blurred, smooth_noise
from napari_unet.core.micrographs.shapes import Labels


def light_membranes(
    cells: Labels, config: MicrographConfig, rng: np.random.Generator
) -> tuple[Field, Labels]:
    """Return walls (…YX), bright unless inverted, and the cells without them.

    What is taught is the inside of cells, so that neighbours stay apart.
    """
    shape, size = cells.shape, config.diameter
    thickness = max(rng.uniform(0.02, 0.14) * size, 1.0)
    walls = find_boundaries(cells, mode="inner")  # type: ignore[no-untyped-call]
    distance = ndimage.distance_transform_edt(~walls).astype(np.float32)
    inside = np.where(distance > 0.5 * thickness - 0.5, cells, 0)
    uneven = (1 + 0.4 * config.variety * smooth_noise(shape, 0.5 * size, rng)).clip(0.35, 1.6)
    light = uneven * np.exp(-0.5 * (distance / (0.5 * thickness)) ** 2)
    # What is in the cells: their own brightness, grain, and organelles, which electrons see best.
    own = np.concatenate(([rng.uniform(0, 1)], rng.uniform(0, 1, int(cells.max(initial=0)))))
    light = np.maximum(light, 0.35 * config.variety * own.astype(np.float32)[cells])
    grain = smooth_noise(shape, 1.5, rng) + smooth_noise(shape, 0.15 * size, rng)
    light += 0.12 * config.texture * grain
    organelles = np.abs(smooth_noise(shape, max(0.12 * size, 2), rng) - 2.2) < 0.35
    light += 0.6 * config.texture * blurred(organelles.astype(np.float32), 0.7) * (inside > 0)
    light += 0.3 * config.haze * blurred(light, 0.25 * size)
    return (0.05 + 0.8 * light).clip(0).astype(np.float32), inside.astype(np.int32)

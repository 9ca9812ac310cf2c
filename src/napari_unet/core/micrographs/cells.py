"""Cells that fill space and meet in walls."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import find_boundaries

from napari_unet.core.micrographs.config import MicrographConfig
from napari_unet.core.micrographs.fields import Field, blurred, smooth_noise
from napari_unet.core.micrographs.shapes import FEWEST_PIXELS, Labels, ball_volume, largest_part


def fill_space(shape: Sequence[int], config: MicrographConfig, rng: np.random.Generator) -> Labels:
    """Return cells (…YX) int32 that fill all space but the background around the tissue.

    Nearest seeds, in space that is stretched and warped; every cell is connected.
    """
    ndim = len(shape)
    volume = ball_volume(ndim) * (config.diameter / 2) ** ndim
    count = max(int(np.prod(shape) / volume), 1)
    seeds = np.zeros(shape, np.int32)
    # Of several places, each seed takes the one furthest from the others: the less spread, the more places.
    places = _spaced(shape, count, 1 + int(6 * max(0.5 - config.spread, 0)), rng)
    seeds[tuple(places.T)] = np.arange(1, len(places) + 1)
    nearest = ndimage.distance_transform_edt(
        seeds == 0,
        sampling=rng.uniform(1, max(config.elongation, 1), ndim),
        return_distances=False,
        return_indices=True,
    )
    cells = seeds[tuple(nearest)]
    if config.irregularity:
        cells = _warped(cells, config.irregularity * config.diameter * 0.5, config.diameter, rng)
    if config.coverage < 1:
        tissue = smooth_noise(shape, 2.5 * config.diameter, rng)
        inside = cells[tissue < np.quantile(tissue, config.coverage)]
        kept = np.bincount(inside, minlength=cells.max() + 1) > 0.5 * np.bincount(cells.ravel())
        cells = np.where(kept[cells], cells, 0)
    return connected_parts(cells)


def connected_parts(cells: Labels) -> Labels:
    """Return the cells numbered 1, 2, 3 … without the parts that do not hang together with the largest."""
    result, used = np.zeros(cells.shape, np.int32), 0
    for value, box in enumerate(ndimage.find_objects(cells), start=1):
        if box is None:
            continue
        part = largest_part(cells[box] == value)
        if np.count_nonzero(part) >= FEWEST_PIXELS:
            used += 1
            result[box][part] = used
    return result


def _spaced(shape: Sequence[int], count: int, choices: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return about ``count`` different places (n, ndim), the further from each other the more ``choices``."""
    places = rng.uniform(0, shape, (count * choices, len(shape)))
    chosen = places[:1]
    if choices == 1:
        chosen = places
    else:
        for start in range(1, count):
            offered = places[start * choices : (start + 1) * choices]
            distance = ((offered[:, None] - chosen[None]) ** 2).sum(axis=2).min(axis=1)
            chosen = np.concatenate((chosen, offered[[distance.argmax()]]))
    return np.unique(chosen.astype(np.intp), axis=0)


def _warped(cells: Labels, strength: float, scale: float, rng: np.random.Generator) -> Labels:
    """Return the cells read at places that wander by about ``strength`` pixels."""
    where = []
    for axis, edge in enumerate(cells.shape):
        line = np.arange(edge).reshape([-1 if other == axis else 1 for other in range(cells.ndim)])
        moved = line + strength * smooth_noise(cells.shape, 0.6 * scale, rng)
        where.append(moved.round().astype(np.intp).clip(0, edge - 1))
    result: Labels = cells[tuple(where)]
    return result


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

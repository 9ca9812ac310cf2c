"""Cells that fill space and meet in walls."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.micrographs.config import MicrographConfig
from napari_unet.core.micrographs.fields import smooth_noise
from napari_unet.core.micrographs.shapes import FEWEST_PIXELS, Labels, ball_volume


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
        parts, count = ndimage.label(cells[box] == value)
        if count > 1:
            sizes = np.bincount(parts.ravel())
            sizes[0] = 0
            parts = parts == sizes.argmax()
        if np.count_nonzero(parts) >= FEWEST_PIXELS:
            used += 1
            result[box][parts > 0] = used
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

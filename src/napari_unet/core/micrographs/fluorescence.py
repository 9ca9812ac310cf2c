"""Light that labelled objects give off: nuclei, rods, and vesicles whose skin alone is labelled."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.micrographs.config import MicrographConfig
from napari_unet.core.micrographs.fields import Field, blurred, smooth_noise
from napari_unet.core.micrographs.shapes import Scene, place_objects


def light_nuclei(scene: Scene, config: MicrographConfig, rng: np.random.Generator) -> Field:
    """Return nuclei (…YX): chromatin, nucleoli, haze of the cytoplasm, and nuclei that are out of focus."""
    shape, size = scene.labels.shape, config.diameter
    inside = scene.labels > 0
    flat = rng.uniform(0.2, 1.0)  # of a flat cell; a round one is brightest in the middle
    body = (flat + (1 - flat) * np.sqrt(scene.dome)) * inside
    chromatin = smooth_noise(shape, 0.1 * size, rng) + 0.7 * smooth_noise(shape, 0.25 * size, rng)
    body *= (1 + 0.35 * config.texture * chromatin).clip(0.2, 2.5)
    nucleoli = smooth_noise(shape, 0.18 * size, rng) > 1.9
    body *= 1 - 0.6 * config.texture * blurred(nucleoli.astype(np.float32), 0.04 * size)
    return _lit(body, scene, config, rng)


def light_rods(scene: Scene, config: MicrographConfig, rng: np.random.Generator) -> Field:
    """Return bacteria (…YX), evenly filled or with dark gaps."""
    shape = scene.labels.shape
    gaps = smooth_noise(shape, max(0.2 * config.diameter, 2), rng)
    body = (0.4 + 0.6 * np.sqrt(scene.dome)) * (scene.labels > 0)
    body *= (1 + 0.4 * config.texture * gaps).clip(0.3, 2)
    return _lit(body, scene, config, rng)


def light_vesicles(scene: Scene, config: MicrographConfig, rng: np.random.Generator) -> Field:
    """Return vesicles (…YX): a bright skin around a lumen that is dim."""
    thickness = rng.uniform(0.15, 0.45)
    depth = 1 - np.sqrt(1 - scene.dome.clip(0, 1))  # 0 at the outline, 1 in the middle
    skin = np.exp(-0.5 * ((depth - 0.5 * thickness) / (0.5 * thickness)) ** 2) * (scene.labels > 0)
    lumen = rng.uniform(0.0, 0.4) * (scene.labels > 0)
    body = np.maximum(
        skin * (1 + 0.3 * config.texture * smooth_noise(skin.shape, 3, rng)).clip(0.3, 2), lumen
    )
    return _lit(body, scene, config, rng)


def _lit(
    body: NDArray[np.floating[Any]], scene: Scene, config: MicrographConfig, rng: np.random.Generator
) -> Field:
    """Return the objects, each with a brightness of its own, and what shines around them."""
    light = body.astype(np.float32) * scene.per_object(_brightness(scene.count, config, rng))
    return light + _surroundings(scene, light, config, rng)


def _brightness(count: int, config: MicrographConfig, rng: np.random.Generator) -> Field:
    """Return how bright each object is: a few much brighter than most, none that vanishes."""
    values = np.exp(rng.normal(0, 0.8 * config.variety, count)).clip(0.25, 4)
    if count:
        values = (0.8 * values / np.quantile(values, 0.9)).clip(0.12, 1.3)
    return values.astype(np.float32)


def _surroundings(scene: Scene, light: Field, config: MicrographConfig, rng: np.random.Generator) -> Field:
    """Return the light that comes from no object in focus."""
    shape, size = scene.labels.shape, config.diameter
    result = np.full(shape, 0.15 * config.background, np.float32)
    if config.background:
        result += 0.12 * config.background * smooth_noise(shape, 1.5 * size, rng).clip(-1, 3)
    if config.haze:
        result += 0.5 * config.haze * blurred(light, 0.5 * size)
        others = place_objects(
            shape, replace(config, coverage=0.3 * config.haze, irregularity=0.0, kind="nuclei"), rng
        )
        around = blurred(
            others.per_object(_brightness(others.count, config, rng)), rng.uniform(0.15, 0.5) * size
        )
        result += 0.6 * config.haze * around
    return result + specks(scene, config, rng)


def specks(scene: Scene, config: MicrographConfig, rng: np.random.Generator) -> Field:
    """Return small bright debris (…YX) between objects."""
    result = np.zeros(scene.labels.shape, np.float32)
    places = rng.integers(0, scene.labels.shape, (config.debris, scene.labels.ndim))
    places = places[scene.labels[tuple(places.T)] == 0]
    if not len(places):
        return result
    width = rng.uniform(0.5, max(0.06 * config.diameter, 0.6))
    result[tuple(places.T)] = rng.uniform(0.2, 1.2, len(places))
    return blurred(result, width) * float(2.5 * width) ** scene.labels.ndim

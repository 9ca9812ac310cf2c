"""Light that passes through unstained cells: phase contrast with its halos, and brightfield."""

import numpy as np

from napari_unet.core.micrographs.config import MicrographConfig
from napari_unet.core.micrographs.fields import Field, blurred, smooth_noise
from napari_unet.core.micrographs.fluorescence import specks
from napari_unet.core.micrographs.shapes import Scene


def light_phase(scene: Scene, config: MicrographConfig, rng: np.random.Generator) -> Field:
    """Return phase contrast (YX): bodies darker or brighter than the ground, bright halos, granules.

    The instrument subtracts the light around from that at a point, which is where halos come from and why
    large bodies fade to the brightness of the ground in the middle.
    """
    size = config.diameter
    phase = _thickness(scene, config, rng)
    # Seen against its own surroundings, a thin cell is no darker than the ground: only its outline and what
    # is in it show.
    thin = rng.random() < 0.6
    around = (rng.uniform(0.05, 0.15) if thin else rng.uniform(0.1, 0.4)) * size
    dark = rng.random() < 0.75
    contrast = phase - (rng.uniform(0.85, 1.0) if thin else rng.uniform(0.6, 1.0)) * blurred(phase, around)
    light = -0.3 * contrast if dark else 0.3 * contrast
    # The rim, where the wave bends most, is bright outside a dark body.
    edge = blurred((scene.labels > 0).astype(np.float32), max(0.03 * size, 0.8))
    rim = (blurred(edge, max(0.05 * size, 1.2)) - edge).clip(0)
    light += rng.uniform(0.1, 0.8) * rim
    light += _balls(scene, config, rng)
    light += 0.02 * (0.2 + config.background) * smooth_noise(phase.shape, 2, rng)
    light += 0.05 * config.background * smooth_noise(phase.shape, 2 * size, rng)
    light += rng.choice((-0.25, 0.25)) * specks(scene, config, rng)
    return np.asarray(0.4 + rng.uniform(0.6, 1.6) * light, np.float32)


def light_brightfield(scene: Scene, config: MicrographConfig, rng: np.random.Generator) -> Field:
    """Return brightfield (YX): a refractive rim, dark and bright, around a body like the ground."""
    size = config.diameter
    phase = _thickness(scene, config, rng)
    narrow = max(rng.uniform(0.02, 0.06) * size, 0.7)
    sharp = blurred(np.sqrt(scene.dome) * (scene.labels > 0), narrow)
    defocus = rng.choice((-1.0, 1.0)) * rng.uniform(0.5, 1.5)
    light = defocus * (sharp - blurred(sharp, 2 * narrow))
    light += rng.uniform(-0.15, 0.15) * phase
    light += 0.03 * config.background * smooth_noise(phase.shape, 2 * size, rng)
    light += rng.choice((-0.3, 0.3)) * specks(scene, config, rng)
    return np.asarray(0.55 + rng.uniform(0.5, 1.0) * light, np.float32)


def _thickness(scene: Scene, config: MicrographConfig, rng: np.random.Generator) -> Field:
    """Return how far cells delay the light (YX): the body, with a nucleus, vesicles and granules."""
    size, shape = config.diameter, scene.labels.shape
    inside = (scene.labels > 0).astype(np.float32)
    body = inside * (0.5 + 0.5 * scene.dome)
    body *= scene.per_object(np.exp(rng.normal(0, 0.5 * config.variety, scene.count)))
    texture = smooth_noise(shape, max(0.06 * size, 1.5), rng) + smooth_noise(shape, 0.15 * size, rng)
    body += 0.5 * config.texture * texture * inside * (0.3 + scene.dome)
    granules = (smooth_noise(shape, max(0.05 * size, 1.5), rng) > 2.0).astype(np.float32) * inside
    vesicles = (smooth_noise(shape, max(0.07 * size, 1.5), rng) > 2.2).astype(np.float32) * inside
    nucleus = (scene.dome > rng.uniform(0.6, 0.9)).astype(np.float32)
    body += config.texture * (1.5 * granules - 1.5 * vesicles) + rng.uniform(-0.4, 0.4) * nucleus
    return blurred(body, 0.7)


def _balls(scene: Scene, config: MicrographConfig, rng: np.random.Generator) -> Field:
    """Return the light (YX) of cells that have rounded up: bright, in a dark ring and a wide halo."""
    if not scene.round.any():
        return np.zeros(scene.labels.shape, np.float32)
    ball = scene.per_object(scene.round.astype(np.float64))
    size = config.diameter
    bright = blurred(ball * scene.dome, max(0.02 * size, 0.5))
    halo = (blurred(ball, 0.15 * size) - ball).clip(0)
    ring = ball * (1 - scene.dome)
    return np.asarray(rng.uniform(0.3, 1.0) * bright + rng.uniform(0.3, 0.8) * halo - 0.3 * ring, np.float32)

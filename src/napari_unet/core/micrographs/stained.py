"""Stained tissue and smears in colour: light that is absorbed, after Beer and Lambert, by two dyes."""

from dataclasses import replace

import numpy as np

from napari_unet.core.micrographs.cells import fill_space
from napari_unet.core.micrographs.config import MicrographConfig
from napari_unet.core.micrographs.fields import Field, blurred, smooth_noise
from napari_unet.core.micrographs.shapes import Scene

_DYES = {
    "haematoxylin": (0.65, 0.70, 0.29),
    "eosin": (0.07, 0.99, 0.11),
    "diaminobenzidine": (0.27, 0.57, 0.78),
    "violet": (0.60, 0.75, 0.20),
}
"""Absorption of red, green and blue light, unit vectors (Ruifrok & Johnston 2001; violet: crystal violet)."""

_PAIRS = (
    ("haematoxylin", "eosin"),
    ("haematoxylin", "diaminobenzidine"),
    ("diaminobenzidine", "haematoxylin"),
    ("violet", "violet"),
    ("haematoxylin", "haematoxylin"),
)
"""The dye of the nuclei and that of the ground."""


def light_tissue(scene: Scene, config: MicrographConfig, rng: np.random.Generator) -> Field:
    """Return nuclei on fibrous ground or in translucent cells (YXC, red, green, blue)."""
    shape, size = scene.labels.shape, config.diameter
    nuclear, ground = (_colour(name, rng) for name in _PAIRS[int(rng.integers(len(_PAIRS)))])
    absorbed = nuclear * _nuclei(scene, config, rng)[..., None]
    absorbed = absorbed + ground * (_ground(shape, config, rng) * rng.uniform(0.1, 0.9))[..., None]
    # The dye of the nuclei stains the ground a little, and nuclei that are out of focus.
    faint = (smooth_noise(shape, 0.5 * size, rng) > 1.6).astype(np.float32)
    absorbed = absorbed + nuclear * (0.5 * config.haze * blurred(faint, 0.15 * size))[..., None]
    absorbed = absorbed + rng.uniform(0.0, 0.1) * nuclear
    lamp = np.array([rng.uniform(0.85, 1.0), rng.uniform(0.85, 1.0), rng.uniform(0.85, 1.0)])
    light: Field = (lamp * np.exp(-absorbed.clip(0))).astype(np.float32)
    return light


def _nuclei(scene: Scene, config: MicrographConfig, rng: np.random.Generator) -> Field:
    """Return how much dye the nuclei hold: a rim, clumped chromatin, and some pale ones."""
    shape, size = scene.labels.shape, config.diameter
    depth = 1 - np.sqrt(1 - scene.dome.clip(0, 1))
    rim = np.exp(-0.5 * (depth / 0.2) ** 2)
    chromatin = smooth_noise(shape, max(0.08 * size, 1.2), rng) + smooth_noise(shape, 0.2 * size, rng)
    # Some nuclei are bubbles: pale, with their dye at the rim and in a few clumps.
    is_bubble = rng.random() < 0.4
    clumps = (chromatin > 2.5).astype(np.float32)
    filling, at_rim = (
        (rng.uniform(0.3, 0.8), rng.uniform(0.5, 1.5)) if is_bubble else (1, rng.uniform(0, 0.6))
    )
    body = filling * (1 + 0.5 * config.texture * chromatin) + at_rim * rim + is_bubble * blurred(clumps, 0.7)
    amount = rng.uniform(0.5, 1.6) * np.exp(rng.normal(0, 0.5 * config.variety, scene.count))
    held: Field = body.clip(0.15, 3) * scene.per_object(amount)
    return held


def _ground(shape: tuple[int, ...], config: MicrographConfig, rng: np.random.Generator) -> Field:
    """Return how much dye is between nuclei: fibres with holes, or large translucent cells on clear glass."""
    size = config.diameter
    grain = smooth_noise(shape, max(0.08 * size, 1.5), rng)
    if rng.random() < 0.35:
        cells = fill_space(
            shape,
            replace(
                config,
                diameter=min(4 * size, 400),
                coverage=float(rng.uniform(0.2, 0.8)),
                irregularity=0.15,
                kind="membranes",
            ),
            rng,
        )
        amounts = np.concatenate(([0], rng.uniform(0.2, 1.0, int(cells.max(initial=0))))).astype(np.float32)
        return np.asarray(amounts[cells] * (1 + 0.25 * config.background * grain).clip(0.2, 2))
    # Clear fibres run where smooth noise is near 0.
    fibres = np.abs(smooth_noise(shape, size, rng) + 0.3 * grain)
    tissue = (0.6 + 0.5 * smooth_noise(shape, 1.5 * size, rng)).clip(0, 1.5)
    tissue *= 1 - 0.5 * np.exp(-((fibres / 0.25) ** 2)) + 0.3 * config.background * grain
    return np.asarray(tissue.clip(0, 2))


def _colour(name: str, rng: np.random.Generator) -> Field:
    """Return the absorption of a dye, a little different in every laboratory."""
    colour = np.array(_DYES[name]) * np.exp(rng.normal(0, 0.15, 3)) + 0.02
    return (colour / np.linalg.norm(colour)).astype(np.float32)

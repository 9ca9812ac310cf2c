"""From light to numbers: point spread, uneven light, photons, and the camera."""

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.micrographs.config import MicrographConfig
from napari_unet.core.micrographs.fields import Field, blurred, uneven_light

Image = NDArray[np.uint8] | NDArray[np.uint16]

_OFFSET = 0.02
"""What the camera reads without light, as a part of its range: noise goes below it, and must not be cut."""


def expose(
    light: Field, config: MicrographConfig, rng: np.random.Generator, *, in_colours: bool = False
) -> Image:
    """Return what the camera makes of the light.

    Parameters
    ----------
    light : array (…YX) or, ``in_colours``, (YXC) float32
        0 is dark; the brightest parts that should not be cut off are 1.
    config : MicrographConfig
    rng : numpy.random.Generator
    in_colours : bool

    Returns
    -------
    array uint8, or uint16 for 12 and 16 bits
    """
    shape = light.shape[:-1] if in_colours else light.shape
    lit = uneven_light(shape, config.unevenness, rng)
    layers = np.moveaxis(light, -1, 0) if in_colours else light[None]
    seen = np.stack([blurred(layer, config.blur) * lit for layer in layers]).clip(0)
    if config.inverted:
        white = float(seen.max())
        seen = (white - seen) / max(white, 1.0)
    if config.photons < 1e6:
        # Of many photons a Gaussian tells as well, and it is four times as fast.
        noise = rng.standard_normal(seen.shape, dtype=np.float32)
        few = config.photons < 100
        seen = (
            rng.poisson(seen * config.photons).astype(np.float32) / config.photons
            if few
            else seen + noise * np.sqrt(seen / config.photons)
        )
    if config.read_noise:
        seen = seen + config.read_noise * rng.standard_normal(seen.shape, dtype=np.float32)
    # A camera of 12 bits, or one of 16, is seldom used to its full range.
    highest = 2**config.bits - 1
    used = highest if config.bits == 8 else highest * rng.uniform(0.1, 0.9)
    counts = (_OFFSET * highest * (config.bits > 8) + seen * used).round().clip(0, highest)
    counts = np.moveaxis(counts, 0, -1) if in_colours else counts[0]
    image: Image = counts.astype(np.uint8 if config.bits == 8 else np.uint16)
    return image

"""Synthetic micrographs with the truth about their objects: for training, tests and first steps.

Every example is made anew from a random generator, so there are as many as anyone wants, without a licence,
and the truth has no mistakes.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from napari_unet.core.errors import InputError
from napari_unet.core.micrographs.camera import Image, expose
from napari_unet.core.micrographs.cells import connected_parts, fill_space, light_membranes
from napari_unet.core.micrographs.config import FLAT_ONLY, Kind, MicrographConfig
from napari_unet.core.micrographs.fluorescence import light_nuclei, light_rods, light_vesicles
from napari_unet.core.micrographs.shapes import Labels, place_objects
from napari_unet.core.micrographs.stained import light_tissue
from napari_unet.core.micrographs.transmitted import light_brightfield, light_phase

_LIGHT = {
    "nuclei": light_nuclei,
    "rods": light_rods,
    "vesicles": light_vesicles,
    "phase": light_phase,
    "brightfield": light_brightfield,
    "tissue": light_tissue,
}

_SMALLEST = 16


class Micrograph(NamedTuple):
    """``image`` (…YX), or (YXC) in colour, uint8 or uint16, and its ``labels`` (…YX) int32, 0 background."""

    image: Image
    labels: Labels


def draw_micrograph(
    config: MicrographConfig | Kind, shape: Sequence[int], rng: np.random.Generator
) -> Micrograph:
    """Return a micrograph, and the objects in it.

    Parameters
    ----------
    config : MicrographConfig or str
        What to draw; of a kind alone, one of the many ways it may look, with objects that fit the shape.
    shape : (Y, X) or (Z, Y, X)
        In pixels, at least 16 along Y and X; volumes of fluorescence and membranes alone.
    rng : numpy.random.Generator
        The same state gives the same micrograph.

    Returns
    -------
    Micrograph
        Objects are numbered 1, 2, 3 …, each connected through faces. "tissue" is in colour, (Y, X, 3) uint8.

    Raises
    ------
    InputError
        If there are no volumes of this kind, or the shape is too small.
    """
    if not isinstance(config, MicrographConfig):
        largest = min(80.0, max(min(shape) / 2, 12.0))
        config = MicrographConfig.random(config, rng, diameter=(min(12.0, largest), largest))
    if len(shape) not in (2, 3) or min(shape[-2:]) < _SMALLEST or min(shape) < 1:
        raise InputError(
            f"A micrograph of shape {tuple(shape)} was asked for; give Y and X, or Z, Y and X, with at least "
            f"{_SMALLEST} pixels along Y and X."
        )
    if len(shape) == 3 and config.kind in FLAT_ONLY:
        raise InputError(f"There are no volumes of {config.kind!r}; choose 'nuclei' or 'membranes'.")
    if config.kind == "membranes":
        light, labels = light_membranes(fill_space(shape, config, rng), config, rng)
        return Micrograph(expose(light, config, rng), connected_parts(labels))
    if config.kind == "tissue":
        config = replace(config, bits=8, inverted=False)
    scene = place_objects(shape, config, rng)
    light = _LIGHT[config.kind](scene, config, rng)
    image = expose(light, config, rng, in_colours=config.kind == "tissue")
    return Micrograph(image, scene.labels)

"""What a result is made from, as a digest that is saved in its file: so that nothing has to be made twice."""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet._version import __version__
from napari_unet.files.pixels.images import SOFTWARE, maker_of, recipe_in
from napari_unet.files.pixels.stored_image import StoredImage
from napari_unet.files.plain import to_plain
from napari_unet.network.config import PredictionConfig
from napari_unet.network.model import Model


def recipe_of(parts: Mapping[str, Any]) -> str:
    """Return a digest of JSON values, and of the release, as another one may segment differently."""
    described = json.dumps({"release": __version__, **parts}, sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()


def recipe_in_memory(model: Model, digest: str, image: StoredImage, config: PredictionConfig) -> str:
    """Return the recipe of the results of an image whose pixels can all be read; ``digest`` is the model's.

    Tiles and the device are left out: they change no more than rounding does.
    """
    read_as = {
        "instances": to_plain(model.instances),
        "object_size": model.object_size,
        "pixel_size": model.pixel_size,
    }
    described = [image.axes, image.file_axes, repr(image.pixel_size)]
    settings = to_plain(replace(config, tile_size=None))
    return recipe_of(
        {"model": digest, **read_as, "image": _digest(image.pixels), "axes": described, "settings": settings}
    )


def are_made(outputs: Iterable[Path], recipe: str) -> bool:
    """Return whether all these results are there, made by that recipe."""
    return all(recipe_in(path) == recipe for path in outputs)


def made_apart(others: Iterable[Path], outputs: Collection[Path]) -> list[Path]:
    """Return which of the ``others`` are results that were not made together with these ``outputs``."""
    recipe = recipe_in(next(iter(outputs)))
    return [
        path
        for path in others
        if path not in outputs and path.exists() and maker_of(path) == SOFTWARE and recipe_in(path) != recipe
    ]


def _digest(pixels: Any) -> str:
    digest = hashlib.sha256(repr((pixels.shape, str(pixels.dtype))).encode())
    for plane in np.ndindex(pixels.shape[:-2]):
        digest.update(np.ascontiguousarray(pixels[plane]).data)
    return digest.hexdigest()

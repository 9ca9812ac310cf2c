"""Images to try the plugin on; they come with scikit-image or are computed, so nothing is downloaded."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

LayerData = tuple[NDArray[Any], dict[str, Any], str]


def immunohistochemistry() -> list[LayerData]:
    """Return colonic glands stained with DAB and haematoxylin, RGB, 512 x 512, uint8."""
    return [(_packaged("immunohistochemistry"), {"name": "immunohistochemistry", "rgb": True}, "image")]


def coins() -> list[LayerData]:
    """Return Greek coins from Pompeii, grey, 303 x 384, uint8."""
    return [(_packaged("coins"), {"name": "coins"}, "image")]


def cell() -> list[LayerData]:
    """Return a cell in saline before it bursts, grey, 660 x 550, uint8."""
    return [(_packaged("cell"), {"name": "cell"}, "image")]


def blobs(seed: int = 0) -> list[LayerData]:
    """Return a volume of bright, partly touching balls in noise.

    Returns
    -------
    list of one layer
        ZYX, 24 x 128 x 128, uint16, with a scale of 2 in Z as in many confocal stacks.
    """
    shape, spacing = (24, 128, 128), (2.0, 1.0, 1.0)
    rng = np.random.default_rng(seed)
    axes = [np.arange(length) * step for length, step in zip(shape, spacing, strict=True)]
    volume = np.zeros(shape)
    for _ in range(60):
        centre = rng.uniform(0, np.multiply(shape, spacing))
        radius = rng.uniform(7, 11)
        squares = [(axis - middle) ** 2 for axis, middle in zip(axes, centre, strict=True)]
        distance = np.sqrt(squares[0][:, None, None] + squares[1][:, None] + squares[2])
        # A soft edge about two pixels wide, as the optics make it.
        volume = np.maximum(volume, rng.uniform(0.6, 1) / (1 + np.exp(distance - radius)))
    counts = rng.poisson(100 + 900 * volume)
    return [(counts.astype(np.uint16), {"name": "blobs", "scale": spacing}, "image")]


def _packaged(name: str) -> NDArray[Any]:
    from skimage import data  # late: napari imports this module when it builds its menus

    image: NDArray[Any] = getattr(data, name)()
    return image

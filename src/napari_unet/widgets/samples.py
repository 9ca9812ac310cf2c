"""Images to try the plugin on; they come with scikit-image or are computed, so nothing is downloaded."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

LayerData = tuple[NDArray[Any], dict[str, Any], str]

_OF_VOLUMES = ("Z", "Y", "X")
"""Names for napari's sliders, which would otherwise show -3."""


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
    """Return bright, partly touching balls in noise, ZYX, 24 x 128 x 128, uint16.

    A scale of 2 in Z is as in many confocal stacks.
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
    placed = {"name": "blobs", "scale": spacing, "axis_labels": _OF_VOLUMES}
    return [(counts.astype(np.uint16), placed, "image")]


def synthetic_nuclei() -> list[LayerData]:
    """Return drawn fluorescent nuclei, some touching, some out of focus, and the truth about them."""
    return _drawn("nuclei", coverage=0.3, clustering=0.6, texture=0.5, haze=0.3, bits=12)


def synthetic_phase_contrast() -> list[LayerData]:
    """Return drawn spindly cells with the halos of phase contrast, and the truth about them."""
    return _drawn(
        "phase",
        seed=3,
        diameter=45,
        elongation=4,
        irregularity=0.2,
        photons=20_000,
        read_noise=0.003,
        bits=16,
    )


def synthetic_tissue() -> list[LayerData]:
    """Return drawn tissue with stained nuclei in colour, and the truth about them."""
    return _drawn("tissue", seed=1, diameter=26, coverage=0.35, clustering=0.7, texture=0.5, photons=20_000)


def synthetic_membranes() -> list[LayerData]:
    """Return drawn cells that fill space, seen by their bright walls, and the truth about them."""
    return _drawn("membranes", diameter=36, coverage=0.9, irregularity=0.15, bits=12)


def synthetic_rods() -> list[LayerData]:
    """Return drawn bacteria, dark on bright, and the truth about them."""
    return _drawn("rods", diameter=22, coverage=0.3, elongation=4, clustering=0.7, inverted=True)


def synthetic_volume() -> list[LayerData]:
    """Return a drawn volume of nuclei, ZYX, 32 x 128 x 128, and the truth about them."""
    return _drawn("nuclei", (32, 128, 128), diameter=20, coverage=0.2, clustering=0.6, haze=0.1, bits=12)


def _drawn(
    kind: str, shape: tuple[int, ...] = (512, 512), *, seed: int = 0, **settings: Any
) -> list[LayerData]:
    """Return the image, and its objects as a layer that is hidden at first."""
    # Late: napari imports this module when it builds its menus.
    from napari_unet.core.micrographs import MicrographConfig, draw_micrograph

    config = MicrographConfig(kind, **settings)  # type: ignore[arg-type]  # a kind is one of these strings
    image, labels = draw_micrograph(config, shape, np.random.default_rng(seed))
    name = f"synthetic {kind}"
    placed = {"axis_labels": _OF_VOLUMES} if labels.ndim == len(_OF_VOLUMES) else {}
    return [
        (image, {"name": name, "rgb": image.ndim > labels.ndim} | placed, "image"),
        (labels, {"name": f"{name} (truth)", "visible": False} | placed, "labels"),
    ]


def _packaged(name: str) -> NDArray[Any]:
    from skimage import data  # late: napari imports this module when it builds its menus

    image: NDArray[Any] = getattr(data, name)()
    return image

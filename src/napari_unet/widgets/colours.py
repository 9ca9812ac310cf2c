"""Colours of the images that the plugin adds, which leave visible what is below them."""

import numpy as np
from napari.utils.colormaps import Colormap, ensure_colormap


def see_through(name: str) -> Colormap:
    """Return a colormap that shows what is below where the value is 0: no weight, no probability."""
    colormap = ensure_colormap(name)
    colors = colormap.map(np.linspace(0, 1, 256))
    colors[0, 3] = 0
    return Colormap(colors, name=f"{name} (0 transparent)")


def fading(name: str) -> Colormap:
    """Return a colormap that shows the less of what is below, the higher the value."""
    colors = ensure_colormap(name).map(np.linspace(0, 1, 256))
    colors[:, 3] = np.linspace(0, 1, 256)
    return Colormap(colors, name=f"{name} (fading)")

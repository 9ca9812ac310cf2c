"""Colours of the layers that the plugin adds: what stays visible below, and what must not look alike."""

import numpy as np
from napari.utils.colormaps import Colormap, CyclicLabelColormap, ensure_colormap, label_colormap

from napari_unet.core.annotation import BACKGROUND

_CYCLES = 5
"""How often the colours of objects repeat before that of background does: 241 colours fit into a byte."""


def see_through(name: str) -> Colormap:
    """Return a colormap that shows what is below where the value is 0: no weight, no probability."""
    colormap = ensure_colormap(name)
    colors = colormap.map(np.linspace(0, 1, 256))
    colors[0, 3] = 0
    return Colormap(colors, name=f"{name} (0 transparent)")


def fading(name: str) -> Colormap:
    """Return a colormap that covers more of what is below, the higher the value."""
    colors = ensure_colormap(name).map(np.linspace(0, 1, 256))
    colors[:, 3] = np.linspace(0, 1, 256)
    return Colormap(colors, name=f"{name} (fading)")


def paint_colours() -> CyclicLabelColormap:
    """Return napari's colours of labels; no object below 242 has that of background, others repeat sooner."""
    none, background, *objects = label_colormap(49).colors
    return CyclicLabelColormap(colors=[none, background, *_CYCLES * objects])


def object_colours() -> CyclicLabelColormap:
    """Return napari's colours of labels, except that 1, background in paint, is an object here."""
    return CyclicLabelColormap(colors=np.delete(label_colormap(49).colors, BACKGROUND, axis=0))

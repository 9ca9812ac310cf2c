"""Colours of the layers that the plugin adds: what they leave visible, and what must not look alike."""

import numpy as np
from napari.utils.colormaps import Colormap, CyclicLabelColormap, ensure_colormap, label_colormap

from napari_unet.core.annotation import BACKGROUND

_CYCLES = 5
"""Times the colours of objects come before that of background comes again: 241 colours fit into a byte."""


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


def paint_colours() -> CyclicLabelColormap:
    """Return napari's colours of labels, that of background for no object below 242; others come sooner."""
    none, background, *objects = label_colormap(49).colors
    return CyclicLabelColormap(colors=[none, background, *_CYCLES * objects])


def object_colours() -> CyclicLabelColormap:
    """Return napari's colours of labels, but that of background in paint: here 1 is an object."""
    return CyclicLabelColormap(colors=np.delete(label_colormap(49).colors, BACKGROUND, axis=0))

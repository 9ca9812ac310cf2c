"""Synthetic micrographs of many kinds, with the truth about the objects in them."""

from napari_unet.core.micrographs.config import FLAT_ONLY, KINDS, Kind, MicrographConfig
from napari_unet.core.micrographs.draw import Micrograph, draw_micrograph

__all__ = ["FLAT_ONLY", "KINDS", "Kind", "Micrograph", "MicrographConfig", "draw_micrograph"]

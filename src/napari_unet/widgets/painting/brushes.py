"""What a brush paints: background, the current object, the next one, or nothing; by button or by key."""

from collections.abc import Callable

import numpy as np
from napari.layers import Labels
from napari.utils.notifications import show_warning
from qtpy.QtCore import QSize
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap

from napari_unet.core.annotation import BACKGROUND, FIRST_OBJECT
from napari_unet.core.errors import InputError
from napari_unet.widgets.bridge.layers import next_object
from napari_unet.widgets.bridge.marks import full_data

SWATCH = QSize(17, 12)
"""Pixels: a square, and the gap to the text beside it, which napari's styles leave out."""

_PAINTING = ("paint", "polygon", "fill")


def paint_background(paint: Labels) -> None:
    """Select the brush with background."""
    _put_down_bucket(paint)
    take_brush(paint, BACKGROUND)


def paint_object(paint: Labels) -> None:
    """Select the brush with the current object (or class), or else with the highest that is painted."""
    value = paint.selected_label
    if value < FIRST_OBJECT:
        value = int(np.max(full_data(paint), initial=FIRST_OBJECT))
    take_brush(paint, value)


def paint_next_object(paint: Labels) -> None:
    """Select the brush with a value that nothing has yet."""
    try:
        value = next_object(paint)
    except InputError as error:
        show_warning(str(error))
        return
    _put_down_bucket(paint)
    take_brush(paint, value)


def erase(paint: Labels) -> None:
    """Select the eraser, which makes pixels unlabelled."""
    paint.mode = "erase"


def take_brush(paint: Labels, value: int) -> None:
    """Paint ``value`` from now on, with the brush unless the fill bucket or the polygon is in use."""
    paint.selected_label = value
    if paint.mode not in _PAINTING:
        paint.mode = "paint"


def _put_down_bucket(paint: Labels) -> None:
    """Take the brush in place of the fill bucket: one click with a new value would flood the whole plane."""
    if paint.mode == "fill":
        paint.mode = "paint"


def is_painting(paint: Labels) -> bool:
    """Return whether the mouse paints the selected value."""
    return str(paint.mode) in _PAINTING


# Letters that napari leaves free for labels; its own E is the eraser.
KEYS: dict[str, Callable[[Labels], None]] = {
    "G": paint_background,
    "O": paint_object,
    "N": paint_next_object,
}


def bind_keys(paint: Labels) -> None:
    """Give this layer the keys G (background), O (object) and N (next object), even while no dock is open."""
    for key, action in KEYS.items():
        paint.bind_key(key, action, overwrite=True)


def swatch(paint: Labels, value: int) -> QIcon:
    """Return a square of the colour in which ``value`` is shown, as an icon of :data:`SWATCH`."""
    colour = paint.get_color(value)
    pixels = QPixmap(SWATCH)
    pixels.fill(QColor(0, 0, 0, 0))
    if colour is not None:
        painter = QPainter(pixels)
        painter.fillRect(0, 0, SWATCH.height(), SWATCH.height(), QColor.fromRgbF(*map(float, colour)))
        painter.end()
    return QIcon(pixels)

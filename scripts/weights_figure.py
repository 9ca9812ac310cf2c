"""Draw how the border weight map is made: paint, the distance to the two nearest objects, the map.

python scripts/weights_figure.py docs/images
"""

import sys
from pathlib import Path

import numpy as np
from napari.utils.colormaps import AVAILABLE_COLORMAPS
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import distance_transform_edt
from skimage.color import label2rgb
from skimage.draw import ellipse

from napari_unet import border_weights

_EDGE, _ZOOM = 120, 3
_CELLS = ((38, 36, 20, 26), (40, 85, 22, 21), (82, 46, 23, 26), (86, 97, 17, 18))
"""Middle (y, x) and half axes in pixels: neighbours that touch, nearly touch, and stand apart."""


def main(folder: Path) -> None:
    """Write weights-explained.png."""
    paint = np.ones((_EDGE, _EDGE), np.int32)
    for value, cell in enumerate(_CELLS, start=2):
        paint[ellipse(*cell)] = value
    cells = range(2, 2 + len(_CELLS))
    first, second, *_ = np.sort([distance_transform_edt(paint != cell) for cell in cells], axis=0)
    way = np.clip(1 - (first + second) / 40, 0, 1)
    weights = border_weights(paint)
    colours = ((0.35, 0.55, 0.9), (0.9, 0.6, 0.3), (0.5, 0.8, 0.5), (0.8, 0.5, 0.8))
    painted = label2rgb(np.maximum(paint - 1, 0), colors=colours, bg_color=(0.45, 0.3, 0.25))
    panels = [
        ("paint: four objects, background", painted),
        ("d1 + d2: bright where it is short", _coloured(way)),
        (f"weight map, up to {weights.max():.0f}", _coloured(weights / weights.max())),
    ]
    side = _EDGE * _ZOOM
    sheet = Image.new("RGB", (len(panels) * (side + 10) - 10, side + 24), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (words, pixels) in enumerate(panels):
        picture = Image.fromarray((np.clip(pixels, 0, 1) * 255).astype(np.uint8))
        sheet.paste(picture.resize((side, side), Image.Resampling.NEAREST), (number * (side + 10), 24))
        draw.text((number * (side + 10) + 4, 4), words, fill="black", font_size=14)
    folder.mkdir(parents=True, exist_ok=True)
    sheet.quantize(128).save(folder / "weights-explained.png", optimize=True)


def _coloured(values: NDArray[np.float32]) -> NDArray[np.float32]:
    shades: NDArray[np.float32] = AVAILABLE_COLORMAPS["inferno"].map(values.ravel())[:, :3]
    return shades.reshape(*values.shape, 3)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

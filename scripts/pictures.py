"""Make the pictures for README.md and for the first segmentation from screenshots of the demo."""

import sys
from pathlib import Path

from PIL import Image

_STAGES = ("02-paint", "03-weights", "05-trained", "06-objects")
_CENTRE, _SIZE = (0.54, 0.56), 380
"""Middle, as fractions of the window, and edge in pixels of the crop for the loop: touching nuclei."""


def write_picture(picture: Image.Image, path: Path) -> None:
    """Write a picture as wide as a page of the documentation, or unscaled if it is narrower."""
    width = min(picture.width, 1040)
    small = picture.resize((width, round(width * picture.height / picture.width)), Image.Resampling.LANCZOS)
    # Without dithering, which turns thin outlines into dots.
    small.quantize(256, kmeans=2, dither=Image.Dither.NONE).save(path, optimize=True)


def main(demo: Path, images: Path) -> None:
    """Write a smaller copy of every screenshot, and the loop: the same field in four stages."""
    images.mkdir(parents=True, exist_ok=True)
    pictures = {path.stem: Image.open(path).convert("RGB") for path in sorted(demo.glob("0*.png"))}
    for name, picture in pictures.items():
        write_picture(picture, images / f"{name}.png")
    loop = Image.new("RGB", (len(_STAGES) * (_SIZE + 8) - 8, _SIZE), "white")
    for index, name in enumerate(_STAGES):
        picture = pictures[name]
        left, top = (round(part * edge - _SIZE / 2) for part, edge in zip(_CENTRE, picture.size, strict=True))
        if name == "05-trained":  # here the curve shows what happens
            left, top = picture.width - _SIZE, picture.height - _SIZE - 20
        loop.paste(picture.crop((left, top, left + _SIZE, top + _SIZE)), (index * (_SIZE + 8), 0))
    loop.save(images / "loop.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

"""The images of the score sheet: which are painted, which are scored, and which settings were chosen on.

Settings are chosen on *development* images: the first nine of every kind in name order. The first three of
them are painted and the next are scored. *Report* images are for published figures: later images in name
order, painted and scored, and a separate kind on which nothing was ever chosen.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from annotator import Labels

Image = NDArray[np.generic]
Pair = tuple[Image, Labels]

DEVELOPMENT = ("stardist", "fluo_256", "fluo_520x696", "histology", "phase")
REPORT = ("fluo_256", "fluo_360", "fluo_520x696", "histology", "phase")

_LARGEST = 768
"""Edge in pixels to which scored images are cropped around their middle."""

_DEVELOPED_ON = 9
"""How many images of a kind, the first in name order, were used for choosing settings."""


@dataclass(frozen=True)
class Kind:
    """Images to paint on and other images of the same kind to score."""

    paint: list[Pair]
    score: list[Pair]


def load_kind(name: str, data: Path, *, report: bool = False, scored: int = 4) -> Kind:
    """Return the images of one kind.

    Parameters
    ----------
    name : str
        One of ``DEVELOPMENT`` or ``REPORT``, or "brightfield".
    data : Path
        Folder of the labelled images.
    report : bool
        Images on which nothing was chosen.
    scored : int
        How many images to score, at most.
    """
    if name == "stardist":
        if report:
            raise SystemExit("stardist is a single image, for development; there is none to report on.")
        ((image, labels),) = _pairs(sorted((data / "nuclei_stardist_2d" / "images").glob("*.tif")))
        half = image.shape[1] // 2
        return Kind([(image[:, :half], labels[:, :half])], [(image[:, half:], labels[:, half:])])
    folder = data / ("phase_contrast_t98g" if name == "phase" else "nuclei_dsb2018") / "images"
    prefix = {"phase": "set", "histology": "histology_rgb"}.get(name, name)
    paths = sorted(folder.glob(f"{prefix}*.tif"))
    if name == "fluo_360":
        if not report:
            raise SystemExit("fluo_360 is for reports alone; choose settings on another kind.")
    elif report:
        paths = paths[_DEVELOPED_ON:]
    else:
        paths = paths[:_DEVELOPED_ON]
    if len(paths) < 2:
        raise SystemExit(
            f"There are not enough images of {name} under {folder} to paint one and score another."
        )
    painted = min(3, len(paths) // 2)
    scored_pairs = [_crop(pair) for pair in _pairs(paths[painted : painted + scored])]
    return Kind(_pairs(paths[:painted]), scored_pairs)


def _pairs(paths: list[Path]) -> list[Pair]:
    return [
        (
            tifffile.imread(path),
            tifffile.imread(path.parent.with_name("labels") / path.name).astype(np.int32),
        )
        for path in paths
    ]


def _crop(pair: Pair) -> Pair:
    image, labels = pair
    box = tuple(
        slice((edge - min(edge, _LARGEST)) // 2, (edge + min(edge, _LARGEST)) // 2) for edge in labels.shape
    )
    return image[box], labels[box]

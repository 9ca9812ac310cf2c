"""What a TIFF file says about the axes of its first image, as other programs open it."""

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_unet.files.pixels.pixel_size import PixelSize
from napari_unet.files.pixels.tiff_pages import first_series, is_tiff

_MOST_IN_IMAGEJ = 7
"""Channels that ImageJ shows at once."""


@dataclass(frozen=True, slots=True)
class TiffAxes:
    """The letters of all axes, such as "TZCYX", in the order of the file, and their lengths.

    Channels are "C", axes of unknown kind "Q". The pixel size is None where it is not known, or is that of a
    print.
    """

    letters: str
    shape: tuple[int, ...]
    pixel_size: PixelSize | None

    def in_shape(self, shape: tuple[int, ...]) -> "TiffAxes | None":
        """Return the axes of pixels of this shape, or None.

        These have the axes of the file, or these with channels first, or one of the channels.
        """
        channel = self.letters.find("C")
        others = [axis for axis in range(len(self.shape)) if axis != channel]
        orders = (range(len(self.shape)), *(((channel, *others), others) if channel >= 0 else ()))
        for order in orders:
            if tuple(self.shape[axis] for axis in order) == shape:
                return replace(self, letters="".join(self.letters[axis] for axis in order), shape=shape)
        return None


def read_tiff_axes(path: Path) -> TiffAxes | None:
    """Return what a file says about its axes; None if it is not a TIFF file, or does not say it clearly."""
    # Decoders raise anything for a damaged file, and whoever reads the pixels says what is wrong.
    with contextlib.suppress(Exception):
        if is_tiff(path):
            with first_series(path) as first:
                axes = first.axes.replace("C", "Q") if _may_be_planes(first.series) else first.axes
                return TiffAxes(axes, tuple(first.series.shape), first.pixel_size) if axes else None
    return None


def _may_be_planes(series: Any) -> bool:
    """Return whether channels may be planes: tifffile writes stacks so, unless it is told their axes."""
    if "S" in series.axes[:-1]:  # colours, each in a plane of its own
        return True
    lengths = dict(zip(series.axes, series.shape, strict=True))
    return bool(series.keyframe.parent.is_imagej) and lengths.get("C", 1) > _MOST_IN_IMAGEJ

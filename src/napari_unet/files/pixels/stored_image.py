"""Pixels of a file, in the order used here, and what the file says about their axes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_unet.core.arrays.axes import Channels
from napari_unet.core.arrays.lazy import Pixels
from napari_unet.files.pixels.pixel_size import PixelSize, in_micrometres, relative_spacing
from napari_unet.files.pixels.world_axes import Axis, named_axes


@dataclass(frozen=True, slots=True, eq=False)
class StoredImage:
    """Pixels as a file holds them, and what the file says about their axes."""

    # any shape; the dtype of the file. An axis that the file calls channels comes first. `open_image` makes
    # it a view of the file, which reads only what is needed
    pixels: Any
    # one letter for each axis, such as "TCYX", or "" if the file does not say; "Q" is an axis of unknown
    # kind
    axes: str
    pixel_size: PixelSize | None = None  # how large a pixel is, if the file says so
    # sentences on what is not read: images in the file after the first, such as positions of a stage, and
    # missing planes; "" if there are none
    left_out: str = ""
    # the axes except channels in the order of the file, if Y and X are not the last; else ""
    file_axes: str = ""
    # all axes, if the file says more about them than their letters and the pixel size
    in_world: Sequence[Axis] = ()

    def as_in_file(self, result: NDArray[Any], axes: str) -> tuple[NDArray[Any], str]:
        """Return a result with these ``axes``, and its axes, as ordered in the file; channels stay first."""
        if not self.file_axes or len(axes) != result.ndim:
            return result, axes
        order = sorted(range(len(axes)), key=lambda n: self.file_axes.find(axes[n]))
        return result.transpose(order), "".join(axes[n] for n in order)

    def laid_as(self, other: "StoredImage") -> "StoredImage":
        """Return labels with the axes of ``other``, their image, if their file does not name its axes."""
        axes = other.axes.replace("C", "")
        is_unsaid = "Q" in self.axes or not self.axes
        if not (other.file_axes and is_unsaid and len(axes) == self.pixels.ndim):
            return self
        order = [other.file_axes.index(letter) for letter in axes]
        return replace(self, pixels=self.pixels.transpose(order), axes=axes, file_axes=other.file_axes)

    @property
    def without_single(self) -> Any:
        """The pixels without axes of length 1 before Y and X, which some programs keep and others do not."""
        return self.pixels[tuple(0 if length == 1 else slice(None) for length in self.pixels.shape[:-2])]

    @property
    def result_axes(self) -> tuple[Axis, ...]:
        """All axes except channels, as a result has them; () if the file does not name them."""
        if not self.axes or "Q" in self.axes:
            return ()
        axes = self.in_world or named_axes(self.axes, self.pixel_size)
        return tuple(axis for axis, letter in zip(axes, self.axes, strict=True) if letter != "C")

    def spacing(self, ndim: int) -> tuple[float, ...] | None:
        """Return the lengths of a pixel along the last axes, as multiples of the shortest side.

        None if all sides are equal, the file does not say how long they are, or an axis is not spatial.
        """
        axes = (self.in_world or named_axes(self.axes, self.pixel_size))[-ndim:]
        if len(axes) < ndim or any(axis.kind != "space" for axis in axes):
            return None
        if len({axis.unit for axis in axes}) == 1:  # which need not be known
            return relative_spacing([axis.step for axis in axes])
        lengths = [length for axis in axes if (length := in_micrometres(axis.step, axis.unit))]
        return relative_spacing(lengths) if len(lengths) == ndim else None

    def time_as_planes(self, path: Path, ndim: int) -> str:
        """Return a warning if a network of ``ndim`` axes takes time, as the file calls it, for one; or ""."""
        if "T" not in self.axes.replace("C", "")[-ndim:]:
            return ""
        return f"The points in time of {path} are taken for planes; use a 2-D network if they are none."

    @property
    def channels(self) -> Channels:
        """Where the channels are; "auto" if the file names none, as many files call channels slices."""
        return "first" if "C" in self.axes else "auto"

    def channels_for(self, count: int) -> Channels:
        """Return the same for a model of ``count`` channels; as many time points are not channels."""
        shape = self.pixels.shape
        if count == 1 or self.axes[:1] != "T" or shape[0] != count:
            return self.channels
        return "middle" if len(shape) > 3 and shape[-3] == count else "none"


def stored_image(
    pixels: Pixels,
    axes: str,
    pixel_size: PixelSize | None = None,
    left_out: str = "",
    in_world: Sequence[Axis] = (),
) -> StoredImage:
    """Return an image with its channels, if ``axes`` name them, in front, and Y and X at the end."""
    file_axes = axes.replace("C", "")
    is_known = set("YX") <= set(axes) and "Q" not in axes and len(set(axes)) == len(axes)
    places = {"C": -1}
    if file_axes.endswith("YX") or not is_known:
        file_axes = ""
    else:
        places |= {"Z": 1, "Y": 2, "X": 3}
    order = sorted(range(len(axes)), key=lambda n: places.get(axes[n], 0))
    if axes:
        pixels = pixels.transpose(order)
    in_world = tuple(in_world[n] for n in order) if in_world else ()
    return StoredImage(pixels, "".join(axes[n] for n in order), pixel_size, left_out, file_axes, in_world)

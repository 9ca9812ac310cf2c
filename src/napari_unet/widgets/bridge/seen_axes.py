"""What is known of the axes of a layer: what the layer says, or else the file of its image.

napari's own reader of TIFF files names no axes and sets no scale, though most files of microscopes do. What
the file says is then used, but the layer is left as it is: with another scale, labels and channels from
elsewhere, which are in pixels, would no longer lie on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from napari.layers import Layer

from napari_unet.core.arrays.axes import CHANNEL_AXES, Channels
from napari_unet.files.pixels.stored_image import StoredImage
from napari_unet.files.pixels.tiff_axes import TiffAxes, read_tiff_axes
from napari_unet.widgets.bridge.marks import file_of, full_data, is_made_of_channels

_LETTERS = frozenset("TZCYX")

_AXES = "napari_unet_axes"
"""Where layers whose pixels come from no file, or no TIFF file, have what is known, in their metadata."""


@dataclass(frozen=True, slots=True)
class SeenAxis:
    """An axis of a layer: its name and unit, each "" if not known, and its step from pixel to pixel.

    ``micrometres`` and ``seconds`` are the step in these, or None if it is not a length or a time.
    """

    name: str
    unit: str
    step: float
    micrometres: float | None = None
    seconds: float | None = None


def seen_axes(layer: Layer, image: Layer | None = None, axes: Sequence[int] = ()) -> tuple[SeenAxis, ...]:
    """Return what is known of every axis of ``layer``.

    Parameters
    ----------
    layer : Layer
        An image; or paint, or a result, that has these ``axes`` of its ``image``.
    image : Layer, optional
        The image of the layer, if it is not one itself.
    axes : sequence of int
        Axes of the image.
    """
    seen = [_own(layer, axis) for axis in range(layer.ndim)]
    said = said_axes(layer if image is None else image)
    if said is None:
        return tuple(seen)
    letters = [said.letters[axis] for axis in (range(layer.ndim) if image is None else axes)]
    usable = _LETTERS - {axis.name.upper() for axis in seen}
    seen = [
        replace(axis, name=letter.lower()) if not axis.name and letter in usable else axis
        for axis, letter in zip(seen, letters, strict=True)
    ]
    if all(axis.step == 1 and not axis.unit for axis in seen):
        seen = [_measured(axis, said) for axis in seen]
    return tuple(seen)


def said_channels(image: Layer) -> Channels:
    """Return where ``image`` has its channels, if it was made of them or its file names all axes.

    Otherwise "auto".
    """
    if is_made_of_channels(image):
        return "first"
    said = said_axes(image)
    names = [axis.name.lower() for axis in seen_axes(image)]
    if said is None or getattr(image, "rgb", False) or not {name.upper() for name in names} <= _LETTERS:
        return "auto"
    if "c" not in names:
        return "none"
    channel = names.index("c") - len(names)
    return next(
        (where for where, axis in CHANNEL_AXES.items() if channel in (axis, axis - len(names))), "auto"
    )


def passed_on(image: Layer, shape: Sequence[int], *, as_channel: bool = False) -> dict[str, TiffAxes]:
    """Return metadata for a layer that is made of the pixels of ``image``: what its file says.

    ``shape`` is that of the new layer. It has the axes of the image, but if the image is ``as_channel``, one
    of channels before them.
    """
    said = said_axes(image)
    if said is None:
        return {}
    letters = f"C{said.letters}" if as_channel else said.letters
    return noted(replace(said, letters=letters, shape=tuple(shape)))


def axes_of_file(image: StoredImage, shape: Sequence[int], *, rgb: bool) -> dict[str, TiffAxes]:
    """Return metadata for a layer of this shape that shows an image file: what that says of its axes."""
    letters = f"{image.axes.replace('C', '')}C" if rgb else image.axes
    return noted(TiffAxes(letters, tuple(shape), image.pixel_size)) if image.axes else {}


def noted(said: TiffAxes) -> dict[str, TiffAxes]:
    """Return metadata for a layer whose file, if it has one, does not say this."""
    return {_AXES: said}


def said_axes(image: Layer) -> TiffAxes | None:
    """Return what the file of an image says of the axes of its layer, if they have the same shape."""
    path = file_of(image)
    said = None if path is None else _read(str(path), image.unique_id)
    said = image.metadata.get(_AXES) if said is None else said
    return said.in_shape(tuple(full_data(image).shape)) if isinstance(said, TiffAxes) else None


def _own(layer: Layer, axis: int) -> SeenAxis:
    unit, label = layer.units[axis], layer.axis_labels[axis]
    step = abs(float(layer.scale[axis]))  # negative where it is shown mirrored

    def length(of: str) -> float | None:
        return step * float((1 * unit).to(of).magnitude) if unit.is_compatible_with(of) else None

    return SeenAxis(
        # napari numbers axes until they are named.
        name="" if label == str(axis - layer.ndim) else label,
        unit="" if unit == "pixel" else str(unit),
        step=step,
        micrometres=length("micrometer"),
        seconds=length("second"),
    )


def _measured(axis: SeenAxis, said: TiffAxes) -> SeenAxis:
    size = None if said.pixel_size is None else said.pixel_size.along(axis.name.upper())
    if size is None:
        return axis
    if axis.name == "t":
        return replace(axis, unit="second", step=size, seconds=size)
    return replace(axis, unit="micrometer", step=size, micrometres=size)


@lru_cache(maxsize=256)
def _read(path: str, _image: object) -> TiffAxes | None:
    """Read a file once for every layer, whose pixels are those that it had then."""
    return read_tiff_axes(Path(path))

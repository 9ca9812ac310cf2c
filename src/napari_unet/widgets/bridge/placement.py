"""Where a layer and its pixels are in the world, and how a result on it looks."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from numpy.typing import NDArray

from napari_unet.core.arrays.axes import CHANNEL_AXES, Channels, perhaps_channels
from napari_unet.files.pixels.pixel_size import PixelSize
from napari_unet.files.pixels.world_axes import Axis, named_axes
from napari_unet.widgets.bridge.colours import fading, object_colours, see_through
from napari_unet.widgets.bridge.marks import full_data

LABELS = ("objects", "classes", "errors")
"""Kinds of results that are labels."""

PLACEMENT = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
"""Attributes that say where a layer is."""


def result_layer(
    source: Layer,
    kind: str,
    name: str,
    data: Any,
    axes: tuple[int, ...],
    *,
    steps: Sequence[int] = (),
) -> Layer:
    """Return a layer that lies on its image and is not in a viewer yet.

    Parameters
    ----------
    kind : str
        "objects", "classes" and "errors" are labels; "weights" may have any values, other images have values
        from 0 to 1.
    data : array, or list of arrays
        What it shows; a list is one image in several resolutions, the full one first.
    axes : tuple of int
        Axes of the image that the data have.
    steps : sequence of int, optional
        Pixels of the image from one pixel of the data to the next, along each axis; 1 if not given.
    """
    where = placement(source, axes)
    if steps:
        where["scale"] = where["scale"] * np.asarray(steps)
    if isinstance(data, list):
        where["multiscale"] = True
    if kind in LABELS:
        colormap = object_colours() if kind == "objects" else None
        return Labels(data, name=name, opacity=0.6, colormap=colormap, **where)
    colours = fading("inferno") if kind == "uncertainty" else see_through("viridis")
    style: dict[str, Any] = {"colormap": colours, "opacity": 0.8}
    if kind != "weights":
        style["contrast_limits"] = (0.0, 1.0)
    return Image(data, name=name, **style, **where)


def spatial_axes(image: Layer, channels: Channels) -> tuple[int, ...]:
    """Axes of the pixels of ``image`` that paint has too."""
    axes = tuple(range(image.ndim))  # without the last of RGB, which napari does not count
    if getattr(image, "rgb", False) or channels not in CHANNEL_AXES or image.ndim < -CHANNEL_AXES[channels]:
        return axes
    channel = axes[CHANNEL_AXES[channels]]
    return tuple(axis for axis in axes if axis != channel)


def unsaid_channels(image: Layer, remedy: str) -> str:
    """Return a sentence on channels that ``image`` may have and the user did not choose, or ""."""
    if image.ndim < 4 or getattr(image, "rgb", False):
        return ""
    label = image.axis_labels[-3]
    known = "" if label.endswith("-3") else label  # napari numbers axes until they are named
    return perhaps_channels(f"'{image.name}'", full_data(image).shape, known, remedy)


def axes_of(source: Layer, data: NDArray[Any]) -> tuple[int, ...]:
    """Axes of ``source`` that a result of this shape covers."""
    every: tuple[Channels, ...] = ("none", *CHANNEL_AXES)
    for channels in every:
        axes = spatial_axes(source, channels)
        if tuple(full_data(source).shape[axis] for axis in axes) == data.shape:
            return axes
    # A part of the image, such as a plane: the last axes.
    return tuple(range(source.ndim))[-data.ndim :]


def placement(image: Layer, axes: Sequence[int] | None = None) -> dict[str, Any]:
    """Return where ``image`` is in the world, as arguments of a layer that has only these of its ``axes``."""
    keep = list(range(image.ndim) if axes is None else axes)
    square = np.ix_(keep, keep)
    ndim = image.ndim
    shear = np.eye(ndim)
    shear[np.triu_indices(ndim, 1)] = image.shear
    return {
        "scale": np.asarray(image.scale)[keep],
        "translate": np.asarray(image.translate)[keep],
        "rotate": np.asarray(image.rotate)[square],
        "shear": shear[square][np.triu_indices(len(keep), 1)],
        "affine": image.affine.set_slice(keep).affine_matrix,
        "units": [image.units[axis] for axis in keep],
        "axis_labels": [image.axis_labels[axis] for axis in keep],
    }


def lies_on(layer: Layer, where: dict[str, Any]) -> bool:
    """Return whether ``layer`` is at the :func:`placement` ``where`` in the world."""
    if layer.ndim != len(where["scale"]):
        return False
    words = ("units", "axis_labels")
    return all(list(getattr(layer, name)) == list(where[name]) for name in words) and all(
        np.allclose(getattr(layer, name), value) for name, value in where.items() if name not in words
    )


def pixel_shown(viewer: ViewerModel, layer: Layer) -> tuple[int, ...]:
    """Return the pixel of ``layer`` that the sliders point at, or the nearest one."""
    position = np.round(layer.world_to_data(viewer.dims.point)[-layer.ndim :])
    last = np.array(full_data(layer).shape[: layer.ndim]) - 1
    return tuple(np.clip(position, 0, last).astype(int).tolist())


def is_flat(viewer: ViewerModel, paint: Labels) -> bool:
    """Return whether the viewer shows planes (YX) of ``paint``."""
    dims = viewer.dims
    return dims.ndisplay == 2 and set(dims.displayed) == {dims.ndim - 2, dims.ndim - 1} and paint.ndim >= 2


def pixel_sizes(layer: Layer) -> tuple[float, ...]:
    """Return the length of a pixel along every axis, in the unit of the last axis.

    For an axis whose unit cannot be compared with that one, such as time, only the scale counts.
    """
    last = layer.units[-1]
    factors = [
        float((1 * unit).to(last).magnitude) if unit.is_compatible_with(last) else 1.0 for unit in layer.units
    ]
    # A layer shown mirrored has a negative scale.
    return tuple(abs(float(size)) * factor for size, factor in zip(layer.scale, factors, strict=True))


def micrometres(layer: Layer, channels: Channels = "auto") -> PixelSize | None:
    """Return the size of a pixel of a layer in micrometres, or None if its unit is not a length."""
    sizes = [
        abs(float(layer.scale[axis])) * float((1 * layer.units[axis]).to("micrometer").magnitude)
        if layer.units[axis].is_compatible_with("micrometer")
        else None
        for axis in spatial_axes(layer, channels)[-3:]
    ]
    y, x = sizes[-2:]
    return None if y is None or x is None else PixelSize(y, x, sizes[0] if len(sizes) == 3 else None)


def world_axes(layer: Layer, channels: Channels) -> tuple[Axis, ...]:
    """Return the axes of ``layer`` except its channels, as its results on disk describe them.

    Axes without a name are, from the last, X, Y, Z and time, unless the unit is one of time. Rotation and
    shear are left out: OME-Zarr has neither.
    """
    axes, found = spatial_axes(layer, channels), []
    for axis, usual in zip(axes, "tzyx".rjust(len(axes), "q")[-len(axes) :], strict=True):
        unit, label = layer.units[axis], layer.axis_labels[axis]
        is_time = unit.is_compatible_with("second") or label.lower() == "time"
        letter = "t" if is_time else label.lower() if label.lower() in tuple("tczyx") else usual
        (known,) = named_axes(letter)
        found.append(
            replace(
                known,
                # napari numbers axes until they are named.
                name=letter if label == str(axis - layer.ndim) else label,
                unit="" if unit == "pixel" else str(unit),
                step=abs(float(layer.scale[axis])),  # negative where it is shown mirrored
                offset=float(layer.translate[axis]),
            )
        )
    return tuple(found)

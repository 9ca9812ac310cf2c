"""Where a layer and its pixels are in the world, and how a result on it looks."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from numpy.typing import NDArray

from napari_unet.core.arrays.axes import CHANNEL_AXES, EXPLICIT_CHANNELS, Channels, channel_doubt
from napari_unet.files.pixels.pixel_size import PixelSize
from napari_unet.files.pixels.world_axes import Axis, named_axes
from napari_unet.widgets.bridge.colours import fading, object_colours, see_through
from napari_unet.widgets.bridge.marks import full_data
from napari_unet.widgets.bridge.seen_axes import SeenAxis, seen_axes

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


def channel_doubt_of(image: Layer, remedy: str) -> str:
    """Return a sentence on channels that ``image`` may have and the user did not choose, or ""."""
    if image.ndim < 4 or getattr(image, "rgb", False):
        return ""
    known = seen_axes(image)[-3].name
    return channel_doubt(f"'{image.name}'", full_data(image).shape, known, remedy)


def frames_are_planes(image: Image, channels: Channels) -> bool:
    """Return whether a network for volumes would take the time points of ``image`` for planes."""
    axes = spatial_axes(image, channels)
    if len(axes) < 3:
        return False
    axis = seen_axes(image)[axes[-3]]
    return axis.seconds is not None or axis.name.lower() in ("t", "time")


def axes_of(source: Layer, data: NDArray[Any]) -> tuple[int, ...]:
    """Axes of ``source`` that a result of this shape covers."""
    for channels in EXPLICIT_CHANNELS:
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
        # napari numbers axes from the last one until they are named.
        "axis_labels": [
            str(at - len(keep)) if image.axis_labels[axis] == str(axis - ndim) else image.axis_labels[axis]
            for at, axis in enumerate(keep)
        ],
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


def pixel_sizes(layer: Layer, image: Layer | None = None) -> tuple[float, ...]:
    """Return the length of a pixel along every axis, in the unit of the last axis.

    For an axis whose unit cannot be compared with that one, such as time, only the scale counts. ``image`` is
    that of a layer of paint, whose file may say more.
    """
    *_, last = axes = _seen(layer, image)
    if last.micrometres is None:
        return tuple(axis.step for axis in axes)
    unit = last.step / last.micrometres
    return tuple(axis.step if axis.micrometres is None else axis.micrometres * unit for axis in axes)


def micrometres(layer: Layer, image: Layer | None = None) -> PixelSize | None:
    """Return the size of a pixel of a layer in micrometres, or None if its unit is not a length.

    Time is in seconds, if known. ``image`` is that of a layer of paint or a result.
    """
    axes = _seen(layer, image)
    time = next((axis.seconds for axis in axes[:-2] if axis.seconds is not None), None)
    *_, z, y, x = None, *(axis.micrometres for axis in axes)
    if y is None or x is None:
        return None if time is None else PixelSize(t=time)
    return PixelSize(y, x, z, time)


def world_axes(layer: Layer, channels: Channels, image: Layer | None = None) -> tuple[Axis, ...]:
    """Return the axes of ``layer`` except its channels, as its results on disk describe them.

    Axes without a name are, from the last, X, Y, Z and time, unless the unit is one of time. Rotation and
    shear are left out: OME-Zarr has neither. ``image`` is that of a layer of paint or a result.
    """
    seen, found = _seen(layer, image), []
    axes = spatial_axes(layer, channels)
    for axis, usual in zip(axes, "tzyx".rjust(len(axes), "q")[-len(axes) :], strict=True):
        name, unit = seen[axis].name, seen[axis].unit
        is_time = seen[axis].seconds is not None or name.lower() == "time"
        letter = "t" if is_time else name.lower() if name.lower() in tuple("tczyx") else usual
        (known,) = named_axes(letter)
        # In pixels where the step is of the file.
        offset = float(layer.translate[axis]) * seen[axis].step / abs(float(layer.scale[axis]))
        found.append(replace(known, name=name or letter, unit=unit, step=seen[axis].step, offset=offset))
    return tuple(found)


def _seen(layer: Layer, image: Layer | None) -> tuple[SeenAxis, ...]:
    return seen_axes(layer) if image is None else seen_axes(layer, image, axes_of(image, layer.data))

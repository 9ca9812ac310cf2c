"""How a project describes layers, and the arguments with which napari makes the same layers again."""

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer, Shapes
from napari.utils.colormaps import AVAILABLE_COLORMAPS
from numpy.typing import NDArray

from napari_unet.files.projects.project import LayerLook, ProjectImage, ProjectLabels, ProjectRegions
from napari_unet.widgets.bridge.marks import Mark, full_data

LayerData = tuple[Any, dict[str, Any], str]

_BLENDINGS = ("translucent", "translucent_no_depth", "additive", "minimum", "opaque", "multiplicative")


def look_of(layer: Layer, order: int = 0) -> LayerLook:
    """Return where ``layer`` is and how it is shown; napari's defaults are left empty."""
    ndim = layer.ndim
    rotate, affine = np.asarray(layer.rotate), np.asarray(layer.affine.affine_matrix)
    image: dict[str, Any] = {}
    if isinstance(layer, Image) and not layer.rgb:
        name = str(layer.colormap.name)
        image = {
            "colormap": name if name in AVAILABLE_COLORMAPS and name != "gray" else "",
            "contrast_limits": _numbers(layer.contrast_limits),
            "gamma": float(layer.gamma),
        }
    units = tuple(str(unit) for unit in layer.units)
    labels = tuple(str(label) for label in layer.axis_labels)
    return LayerLook(
        name=str(layer.name),
        order=order,
        scale=_unless(layer.scale, 1),
        translate=_unless(layer.translate, 0),
        rotate=_matrix(rotate) if rotate.shape == (ndim, ndim) else (),
        shear=_unless(layer.shear, 0),
        affine=_matrix(affine),
        units=() if set(units) <= {"pixel"} else units,
        axis_labels=() if labels == tuple(str(axis) for axis in range(-ndim, 0)) else labels,
        visible=bool(layer.visible),
        opacity=float(layer.opacity),
        blending=str(layer.blending),
        **image,
    )


def layer_arguments(look: LayerLook, ndim: int, *, is_image: bool) -> dict[str, Any]:
    """Return the arguments of a layer of ``ndim`` axes that looks like ``look``, without impossible values.

    A project that was edited by hand, or with bad intent, must open all the same.
    """
    vectors: dict[str, tuple[tuple[float, ...], int]] = {
        "scale": (look.scale, ndim),
        "translate": (look.translate, ndim),
        "shear": (look.shear, ndim * (ndim - 1) // 2),
    }
    arguments: dict[str, Any] = {
        name: values
        for name, (values, length) in vectors.items()
        if len(values) == length > 0 and all(map(math.isfinite, values))
    }
    if 0 in arguments.get("scale", ()):
        del arguments["scale"]
    for name, rows, size in (("rotate", look.rotate, ndim), ("affine", look.affine, ndim + 1)):
        if len(rows) == size and all(len(row) == size and all(map(math.isfinite, row)) for row in rows):
            matrix = np.array(rows, float)
            if abs(np.linalg.det(matrix)) > 1e-12:
                arguments[name] = matrix
    if len(look.units) == ndim and _are_units(look.units):
        arguments["units"] = look.units
    if len(look.axis_labels) == ndim and len(set(look.axis_labels)) == ndim:
        arguments["axis_labels"] = look.axis_labels
    if look.blending in _BLENDINGS:
        arguments["blending"] = look.blending
    if is_image:
        arguments |= _colours(look)
    opacity = look.opacity if 0 <= look.opacity <= 1 else 1.0
    return {"name": look.name, "visible": look.visible, "opacity": opacity, **arguments}


def entry_of(image: Image, key: str, reader: str) -> ProjectImage:
    """Return the entry of ``image`` in a project, except its file."""
    pixels = full_data(image)
    return ProjectImage(
        key,
        look_of(image),
        tuple(int(length) for length in pixels.shape),
        str(np.dtype(pixels.dtype)),
        reader=reader,
        rgb=bool(image.rgb),
    )


def with_notes(entry: ProjectLabels, mark: Mark) -> ProjectLabels:
    """Return the entry of labels in a project, with the notes on their layer."""
    full = mark.full
    return replace(
        entry,
        mode=mark.mode,
        channels=mark.channels,
        filled=full.filled,
        accepted=tuple(sorted(full.accepted)),
        planes=tuple(sorted(mark.planes or ())),
    )


def regions_of(layer: Shapes, image: str, order: int) -> ProjectRegions:
    """Return the entry of complete regions in a project."""
    return ProjectRegions(
        image,
        look_of(layer, order),
        tuple(str(kind) for kind in layer.shape_type),
        tuple(_rows(corners) for corners in layer.data),
    )


def regions_arguments(regions: ProjectRegions, ndim: int) -> tuple[list[NDArray[Any]], dict[str, Any]]:
    """Return the shapes of complete regions that can be drawn, and the arguments of their layer."""
    arguments = layer_arguments(regions.look, ndim, is_image=False)
    shapes = list(regions.shapes(ndim))
    if not shapes:
        return [], arguments | {"ndim": ndim}
    return [corners for _, corners in shapes], arguments | {"shape_type": [kind for kind, _ in shapes]}


def _colours(look: LayerLook) -> dict[str, Any]:
    colours: dict[str, Any] = {}
    if look.colormap in AVAILABLE_COLORMAPS:
        colours["colormap"] = look.colormap
    limits = look.contrast_limits
    if len(limits) == 2 and all(map(math.isfinite, limits)) and limits[0] < limits[1]:
        colours["contrast_limits"] = limits
    if math.isfinite(look.gamma) and 0.01 < look.gamma < 100:
        colours["gamma"] = look.gamma
    return colours


def _are_units(names: tuple[str, ...]) -> bool:
    try:
        Labels(np.zeros((1,) * len(names), np.uint8), units=names)
    except (AttributeError, ValueError, TypeError):  # also those of pint, which napari asks
        return False
    return True


def _numbers(values: Iterable[Any]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _unless(values: Iterable[Any], usual: float) -> tuple[float, ...]:
    numbers = _numbers(values)
    return () if all(number == usual for number in numbers) else numbers


def _rows(values: Any) -> tuple[tuple[float, ...], ...]:
    return tuple(_numbers(row) for row in values)


def _matrix(values: NDArray[Any]) -> tuple[tuple[float, ...], ...]:
    is_usual = np.array_equal(values, np.eye(len(values)))
    return () if is_usual else _rows(values)

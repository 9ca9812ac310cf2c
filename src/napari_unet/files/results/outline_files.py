"""Outlines of objects as files: regions of interest for ImageJ and Fiji, and GeoJSON for QuPath."""

import json
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.core.arrays.lazy import Pixels
from napari_unet.core.errors import InputError
from napari_unet.core.objects.outlines import Outline, Ring, trace_outlines
from napari_unet.files.atomic import writing
from napari_unet.files.pixels.images import GEOJSON_START, SOFTWARE

if TYPE_CHECKING:
    from roifile import ImagejRoi

IMAGEJ, QUPATH = ".zip", ".geojson"
"""Endings of files with outlines."""

OUTLINES = {"imagej": IMAGEJ, "qupath": QUPATH}
"""The same by the program that opens them."""

_MOST = 2**15 - 1
"""Largest coordinate and number of corners of a plain ImageJ polygon, which all versions read alike."""

_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0
"""Steps of a composite ROI, as java.awt.geom.PathIterator numbers them."""


@dataclass(frozen=True, slots=True)
class _Plane:
    """A plane of a stack: its index among all planes, and along time and depth, if these are its axes."""

    index: int
    by_axis: dict[str, int]


def outline_endings(programs: Iterable[str]) -> tuple[str, ...]:
    """Return the endings of the files for these programs; ``InputError`` if one is unknown."""
    programs = tuple(dict.fromkeys(programs))
    unknown = [program for program in programs if program not in OUTLINES]
    if unknown:
        raise InputError(f"--outlines is {unknown[0]!r}; choose from {', '.join(OUTLINES)}.")
    return tuple(OUTLINES[program] for program in programs)


def write_outlines(
    path: str | Path,
    labels: Pixels,
    axes: str = "",
    *,
    is_classes: bool = False,
    software: str = SOFTWARE,
) -> None:
    """Write the outlines of all objects, completely or not at all, in the format that the ending names.

    ".zip" is a set of ROIs that ImageJ and Fiji open in their ROI Manager, ".geojson" the objects that QuPath
    imports. An outline runs along the edges of pixels: filled, it gives back exactly those of its object,
    with holes and separate parts. Everything is named after the number of its object. In stacks, volumes and
    time series every object has one outline for each plane that it is in, which belongs to that plane.

    Parameters
    ----------
    path : str or Path
        Ends in ".zip" or ".geojson".
    labels : array (…YX) integer
        0 is no object; of classes, neither is 1, the background.
    axes : str
        A letter for each axis, such as "TZYX", or "" if not known.
    is_classes : bool
        Whether the values are classes and not objects.
    software : str
        As for :func:`napari_unet.files.pixels.images.write_image`.

    Raises
    ------
    InputError
        If the ending is another, or the file cannot be written.
    """
    write = {IMAGEJ: _write_rois, QUPATH: _write_geojson}.get(Path(path).suffix.lower())
    if write is None:
        raise InputError(
            f"{path} does not end in {IMAGEJ} (for ImageJ) or {QUPATH} (for QuPath); choose one of these."
        )
    lowest = 2 if is_classes else 1
    found = (outline for outline in trace_outlines(labels) if outline.value >= lowest)
    places = {where: _plane(where, labels.shape, axes) for where in np.ndindex(labels.shape[:-2])}
    with writing(path) as temporary:
        write(temporary, ((outline, places[outline.plane]) for outline in found), is_classes, software)


def _plane(where: tuple[int, ...], shape: Sequence[int], axes: str) -> _Plane:
    index = int(np.ravel_multi_index(where, shape[:-2])) if where else 0
    leading = axes[:-2] if len(axes) == len(shape) else ""
    if not where or (set(leading) <= {"T", "Z"} and len(set(leading)) == len(where)):
        return _Plane(index, dict(zip(leading, where, strict=True)))
    return _Plane(index, {"Z": index})


def _name(value: int, is_classes: bool) -> str:
    return f"class {value}" if is_classes else str(value)


def _write_rois(
    path: Path, outlines: Iterable[tuple[Outline, _Plane]], is_classes: bool, software: str
) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.comment = software.encode()
        for outline, plane in outlines:
            roi = _roi([ring for rings in outline.parts for ring in rings])
            steps = (f"{axis.lower()}{at + 1}" for axis, at in plane.by_axis.items())
            roi.name = "_".join([_name(outline.value, is_classes), *steps])
            if len(plane.by_axis) == 1:  # which ImageJ finds in any stack, with or without channels
                roi.position = plane.index + 1
            elif plane.by_axis:
                roi.z_position, roi.t_position = plane.by_axis["Z"] + 1, plane.by_axis["T"] + 1
            file.writestr(f"{roi.name}.roi", roi.tobytes())


def _roi(rings: Sequence[Ring]) -> "ImagejRoi":
    """Return a traced ROI, as of ImageJ's wand, or of several lines a composite one, filled even-odd."""
    from roifile import ROI_TYPE, ImagejRoi

    corners = np.concatenate(rings)
    (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    roi = ImagejRoi(left=left, top=top, right=right, bottom=bottom)
    if len(rings) == 1 and max(right, bottom, len(corners)) <= _MOST:
        roi.roitype, roi.n_coordinates = ROI_TYPE.TRACED, len(corners)
        roi.integer_coordinates = (corners - (left, top)).astype(np.int32)
    else:
        path = np.concatenate([_composite(ring) for ring in rings])
        roi.roitype, roi.shape_roi_size, roi.multi_coordinates = ROI_TYPE.RECT, len(path), path
    return roi


def _composite(ring: Ring) -> "np.ndarray[Any, np.dtype[np.float32]]":
    steps = np.full((len(ring), 3), _LINE, np.float32)
    steps[0, 0] = _MOVE
    steps[:, 1:] = ring
    return np.append(steps.ravel(), np.float32(_CLOSE))


def _write_geojson(
    path: Path, outlines: Iterable[tuple[Outline, _Plane]], is_classes: bool, software: str
) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f'{GEOJSON_START}{json.dumps(software)}, "features": [')
        for number, (outline, plane) in enumerate(outlines):
            file.write(("," if number else "") + "\n" + json.dumps(_feature(outline, plane, is_classes)))
        file.write("\n]}\n")


def _feature(outline: Outline, plane: _Plane, is_classes: bool) -> dict[str, Any]:
    parts = [[[*ring.tolist(), ring[0].tolist()] for ring in rings] for rings in outline.parts]
    geometry: dict[str, Any] = (
        {"type": "Polygon", "coordinates": parts[0]}
        if len(parts) == 1
        else {"type": "MultiPolygon", "coordinates": parts}
    )
    if plane.by_axis:  # a member of QuPath's; of all channels
        geometry["plane"] = {"c": -1, "z": plane.by_axis.get("Z", 0), "t": plane.by_axis.get("T", 0)}
    name = _name(outline.value, is_classes)
    properties: dict[str, Any] = {"objectType": "detection", "name": name}
    if is_classes:
        properties = {"objectType": "annotation", "name": name, "classification": {"name": name}}
    return {"type": "Feature", "geometry": geometry, "properties": properties}

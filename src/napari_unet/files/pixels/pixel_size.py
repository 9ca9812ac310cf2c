"""How large a pixel is in the world, as TIFF files (in several ways) and OME-Zarr say."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_MICROMETRES: dict[str, float] = {
    "nm": 1e-3,
    "nanometer": 1e-3,
    "um": 1.0,
    "µm": 1.0,  # the micro sign ...
    "μm": 1.0,  # ... and the Greek letter
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "mm": 1e3,
    "millimeter": 1e3,
    "cm": 1e4,
    "centimeter": 1e4,
    "inch": 25400.0,
    "m": 1e6,
    "meter": 1e6,
}
"""Length of the units that images are measured in; \\u00B5m is how ImageJ writes its own."""


_SECONDS: dict[str, float] = {
    "ms": 1e-3,
    "msec": 1e-3,
    "millisecond": 1e-3,
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "seconds": 1.0,
    "min": 60.0,
    "minute": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
    "d": 86400.0,
}
"""Duration of the units that time is measured in."""

_APERIO = re.compile(r"\|\s*MPP\s*=\s*([\d.]+)")
"""Micrometres per pixel, as scanners of slides write them into a description."""


@dataclass(frozen=True, slots=True)
class PixelSize:
    """Size of a pixel (voxel) in micrometres, and seconds from one time point to the next.

    Unknown values are None; if ``y`` or ``x`` is unknown, so are all of ``y``, ``x`` and ``z``.
    """

    y: float | None = None
    x: float | None = None
    z: float | None = None
    t: float | None = None

    @classmethod
    def of(cls, sizes: Mapping[str, tuple[float, str]]) -> "PixelSize | None":
        """Return the size from (value, unit) by axis ("T", "Z", "Y", "X"), or None if it cannot be known."""
        known = {
            axis: _converted(value, unit, _SECONDS if axis == "T" else _MICROMETRES)
            for axis, (value, unit) in sizes.items()
        }
        y, x, t = known.get("Y"), known.get("X"), known.get("T")
        if y is None or x is None:
            return None if t is None else cls(t=t)
        return cls(y, x, known.get("Z"), t)

    def along(self, axis: str) -> float | None:
        """Return the size along "T", "Z", "Y" or "X"; None along any other axis."""
        return {"T": self.t, "Z": self.z, "Y": self.y, "X": self.x}.get(axis)


def common_pixel_size(sizes: Iterable[PixelSize | None], ndim: int) -> tuple[float, ...] | None:
    """Return the common pixel size of images along the last ``ndim`` axes, in micrometres.

    None if one is not known, or two differ by more than 1 %.
    """
    axes = "ZYX"[-ndim:]
    found = [tuple(None if size is None else size.along(axis) for axis in axes) for size in sizes]
    result: list[float] = []
    for lengths in zip(*found, strict=True):
        known = [length for length in lengths if length is not None]
        if len(known) < len(lengths) or max(known) > 1.01 * min(known):
            return None
        result.append(known[0])
    return tuple(result) or None


def layer_pixel_sizes(scale: Sequence[float], units: Sequence[str], ndim: int) -> tuple[float, ...]:
    """Return how long a pixel of a project's layer is along every axis, in micrometres if units are lengths.

    For an axis with another unit, such as time, only the scale counts.
    """
    lengths = [abs(length) for length in scale] if len(scale) == ndim else [1.0] * ndim
    lengths = [length if math.isfinite(length) and length > 0 else 1.0 for length in lengths]
    names = units if len(units) == ndim else [""] * ndim
    return tuple(in_micrometres(size, unit) or size for size, unit in zip(lengths, names, strict=True))


def layer_pixel_size(scale: Sequence[float], units: Sequence[str], ndim: int) -> "PixelSize | None":
    """Return the pixel size of a project's layer, or None if its units are not lengths."""
    lengths = scale if len(scale) == ndim else [1.0] * ndim
    named = zip("ZYX"[-ndim:], lengths[-3:], units[-3:], strict=False)
    return PixelSize.of({axis: (abs(length), unit) for axis, length, unit in named})


def relative_spacing(sizes: Sequence[float]) -> tuple[float, ...] | None:
    """Return pixel sizes as multiples of the smallest, or None if they are equal to 0.1 %.

    Distances such as the border width thus stay in pixels of the finest axis: 5 pixels must not become 5 µm
    because a layer has a scale.
    """
    smallest = min(sizes)
    spacing = tuple(round(size / smallest, 6) for size in sizes)
    return None if max(spacing) < 1.001 else spacing


def in_micrometres(value: float, unit: str) -> float | None:
    """Return a length with this unit in micrometres, or None if it is not a length in a known unit."""
    return _converted(value, unit, _MICROMETRES)


def _converted(value: float, unit: str, units: Mapping[str, float]) -> float | None:
    factor = units.get(unit.replace("\\u00B5", "µ").lower())
    return value * factor if factor is not None and math.isfinite(value) and value > 0 else None


def tiff_pixel_size(file: Any, name: str = "") -> PixelSize | None:
    """Return the pixel size of an open ``tifffile.TiffFile``: as OME, LSM, Aperio, ImageJ or resolution say.

    If an OME file has several images, it is that of the one with this ``name``. None if the metadata cannot
    be understood, since pixels can be read without it, or say how large the picture is to be printed.
    """
    try:
        return _said_size(file, name)
    except (ValueError, LookupError, TypeError, AttributeError, SyntaxError):  # the last is of XML
        return None


def _said_size(file: Any, name: str) -> PixelSize | None:
    if file.is_ome:
        return _of_ome(file.ome_metadata, name)
    if file.is_lsm:
        voxel = {axis: (file.lsm_metadata.get(f"VoxelSize{axis}", 0), "m") for axis in "ZYX"}
        return PixelSize.of(voxel)
    if file.is_svs:
        edge = float(_APERIO.findall(file.pages.first.description)[0]), "um"
        return PixelSize.of({"Y": edge, "X": edge})
    described = (file.imagej_metadata if file.is_imagej else (file.shaped_metadata or [{}])[0]) or {}
    tags = file.pages.first.tags
    unit = {2: "inch", 3: "cm"}.get(tags.valueof("ResolutionUnit", 2), "")
    if file.is_imagej:
        unit = str(described.get("unit", unit))
    # Pictures say so how large they are to be printed, most often in inches.
    is_printed = unit == "inch" or not (file.is_imagej or file.is_shaped)
    sizes = {}
    for axis in "YX":
        count, length = tags.valueof(f"{axis}Resolution", (0, 1))
        if count and not is_printed:
            sizes[axis] = (length / count, unit)
    if "spacing" in described:
        sizes["Z"] = (float(described["spacing"]), str(described.get("unit", unit)))
    if "finterval" in described:
        sizes["T"] = (float(described["finterval"]), str(described.get("tunit", "sec")))
    return PixelSize.of(sizes)


def _of_ome(description: str, name: str) -> PixelSize | None:
    import tifffile

    found = tifffile.xml2dict(description)["OME"]["Image"]
    images = found if isinstance(found, list) else [found]
    pixels = next((image for image in images if str(image.get("Name")) == name), images[0])["Pixels"]
    names = {axis: (f"PhysicalSize{axis}", "µm") for axis in "ZYX"} | {"T": ("TimeIncrement", "s")}
    return PixelSize.of(
        {
            axis: (float(pixels.get(name, 0)), str(pixels.get(f"{name}Unit", usual)))
            for axis, (name, usual) in names.items()
        }
    )

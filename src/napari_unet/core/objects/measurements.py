"""How large objects are, where they lie and how bright the image is in them: a table for a spreadsheet."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.arrays.lazy import Pixels


def measure_objects(
    labels: NDArray[np.integer[Any]],
    image: Pixels | None = None,
    *,
    axes: str,
    pixel_size: Sequence[float | None] = (),
    others: Mapping[str, Pixels] = MappingProxyType({}),
) -> list[list[object]]:
    """Return a line of names, and a line of values for every object, also for planes that have none.

    Where objects are of single planes, a plane in which there is none has a line with its place alone, all
    else being None: who counts objects by plane shall count 0 there.

    Parameters
    ----------
    labels : array (…YX) integer
        0 is no object.
    image : array (C, …YX), optional
        What the objects were found in; its means in every object are given, a plane in memory at a time.
    axes : str
        A letter for each axis of ``labels``, such as "ZYX".
    pixel_size : sequence of float or None
        Micrometres along the last axes, of which those that are known are used.
    others : mapping of str to array (…YX), optional
        By name, what else shows the same place, such as another stain.

    Returns
    -------
    list of list
        Columns: the value of the object, its pixels, its area in µm² or, if any object has pixels in several
        planes, volume in µm³, the diameter of a disc (ball) of that size, the mean position in pixels along
        every axis, and the mean of every channel and of each of the others.
    """
    ids = np.unique(labels)
    ids = ids[ids > 0]
    bright = _channels(image) | {f"mean_{name}": (pixels, ()) for name, pixels in others.items()}
    pixels, planes = np.zeros(len(ids), np.int64), np.zeros(len(ids), np.int64)
    places, sums = np.zeros((labels.ndim, len(ids))), np.zeros((len(bright), len(ids)))
    empty = list[tuple[int, ...]]()
    for where in np.ndindex(labels.shape[:-2]):
        plane = labels[where]
        inside = np.nonzero(plane > 0)
        numbers = np.searchsorted(ids, plane[inside])
        found = np.bincount(numbers, minlength=len(ids))
        pixels += found
        planes += found > 0
        if not inside[0].size:
            empty.append(where)
        for axis, at in enumerate(where):
            places[axis] += at * found
        for axis, at in enumerate(inside, start=len(where)):
            places[axis] += np.bincount(numbers, at, minlength=len(ids))
        for row, (source, channel) in enumerate(bright.values()):
            values = np.asarray(source[(*channel, *where)])[inside]
            sums[row] += np.bincount(numbers, values, minlength=len(ids))
    ndim = 3 if planes.max(initial=0) > 1 else 2
    columns: dict[str, NDArray[Any]] = {"object": ids, "pixels": pixels}
    columns |= _sizes(pixels, ndim, pixel_size)
    columns |= {f"{axis.lower()}_px": place / pixels for axis, place in zip(axes, places, strict=True)}
    columns |= {name: total / pixels for name, total in zip(bright, sums, strict=True)}
    rows = [
        [_short(value) for value in row] for row in zip(*(c.tolist() for c in columns.values()), strict=True)
    ]
    if ndim == 2:
        for where in empty:
            place = dict(zip((f"{axis.lower()}_px" for axis in axes), map(float, where), strict=False))
            rows.append([place.get(name) for name in columns])
    return [list(columns), *rows]


def join_tables(tables: Mapping[str, Sequence[Sequence[object]]]) -> list[list[object]]:
    """Return one table of those of several images, each a line of names and others, with the image in front.

    Columns that an image lacks are None there.
    """
    columns = list(dict.fromkeys(name for names, *_ in tables.values() for name in names))
    joined: list[list[object]] = [["image", *columns]]
    for image, (names, *rows) in tables.items():
        found = (dict(zip(names, row, strict=True)) for row in rows)
        joined += [[image, *map(row.get, columns)] for row in found]
    return joined


def _channels(image: Pixels | None) -> dict[str, tuple[Pixels, tuple[int, ...]]]:
    """Return for each column of a mean the array that it is of, and the index of the channel in that."""
    if image is None:
        return {}
    if len(image) == 1:
        return {"mean": (image, (0,))}
    return {f"mean_{number}": (image, (number - 1,)) for number in range(1, len(image) + 1)}


def _sizes(
    pixels: NDArray[np.int64], ndim: int, pixel_size: Sequence[float | None]
) -> dict[str, NDArray[Any]]:
    """Return sizes and diameters, in micrometres where the edges of a pixel are known."""
    known = [edge for edge in pixel_size[-ndim:] if edge is not None]
    is_known = len(known) == ndim
    size = pixels * np.prod(known) if is_known else pixels.astype(float)
    diameter = 2 * (size / np.pi) ** 0.5 if ndim == 2 else 2 * (3 * size / (4 * np.pi)) ** (1 / 3)
    if not is_known:
        return {"diameter_px": diameter}
    return {"area_um2" if ndim == 2 else "volume_um3": size, "diameter_um": diameter}


def _short(value: object) -> object:
    return float(f"{value:.6g}") if isinstance(value, float) else value

"""How large objects are, where they lie and how bright the image is in them: a table for a spreadsheet."""

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.arrays.axes import channels_first, check_pixels
from napari_unet.core.arrays.boxes import Plane, cut_up
from napari_unet.core.arrays.lazy import Pixels, as_pixels, check_given
from napari_unet.core.configs import check_kind
from napari_unet.core.errors import InputError
from napari_unet.core.objects.object_classes import ClassPixels, count_classes, main_classes
from napari_unet.core.objects.prediction import Prediction
from napari_unet.core.painted.label_images import check_labels

Table = Sequence[Sequence[object]]
"""A line of names, and lines of values."""

_PIXELS, _ROWS = 2**22, 64
"""Pixels that are measured at a time, in whole rows, as most files hold them; at least as many rows."""

_FRONT = "object", "class"
"""Columns that come first, whichever image of a table has them."""


def measure_objects(
    labels: Any,
    image: Any = None,
    *,
    axes: str = "",
    pixel_size: Sequence[float | None] | None = None,
    others: Mapping[str, Any] = MappingProxyType({}),
    classes: Any = None,
) -> list[list[object]]:
    """Return a line of names, and a line of values for every object, also for planes that have none.

    Where objects are of single planes, a plane in which there is none has a line with its place alone, all
    else being None: who counts objects by plane shall count 0 there. Labels and images that are not in memory
    are read piece by piece.

    Parameters
    ----------
    labels : Prediction or array (…YX) of int
        A prediction, whose objects are taken, or labels; 0 is no object.
    image : array, optional
        What the objects were found in, with or without channels; its means in every object are given.
    axes : str
        A letter for each axis of ``labels``, such as "ZYX"; by default Y and X, preceded by Z, and that by T.
    pixel_size : sequence of float or None, optional
        Micrometres along the last axes, such as (Z, Y, X), of which those that are known are used.
    others : mapping of str to array (…YX), optional
        By name, what else shows the same place, such as another stain.
    classes : array (…YX) of int, optional
        The class of every pixel as a paint value; by default that of a prediction in classes mode.

    Returns
    -------
    list of list
        Columns: the value of the object, the class of most of its pixels (the lowest of several; background
        does not count, None if nothing else is there) if classes are known, its pixels, its area in µm² or,
        if any object has pixels in several planes, volume in µm³,
        the diameter of a disc (ball) of that size, the mean position in pixels along every axis, and the mean
        of every channel and of each of the others. With pandas:
        ``pandas.DataFrame(table[1:], columns=table[0])``.

    Raises
    ------
    InputError
        If labels are not whole numbers, or what else is given does not fit them.
    """
    if isinstance(labels, Prediction):
        if classes is None and labels.mode == "classes":
            classes = labels.classes
        labels = labels.objects
    labels = as_pixels(labels)
    check_labels("The labels are", labels)
    if labels.ndim < 2:
        raise InputError(f"The labels have shape {labels.shape}; give labels with two axes or more.")
    check_kind(axes, str, "name of the axes", "a letter for each axis, such as 'ZYX'")
    axes = axes or usual_axes(labels.ndim)
    if not len(set(axes)) == len(axes) == labels.ndim:
        raise InputError(
            f"The axes are {axes!r} and the labels have shape {labels.shape}; give a different letter for "
            "each axis, or leave them out."
        )
    shown = {} if image is None else _channels(image, labels.shape)
    further = _others(others)
    for name, pixels in zip(others, further.values(), strict=True):
        check_given(f"The image of {name!r} is", pixels)
        if pixels.shape != labels.shape:
            raise InputError(
                f"The image of {name!r} has shape {pixels.shape} and the labels {labels.shape}; give images "
                "of the same place."
            )
    shown |= further
    if classes is not None:
        classes = as_pixels(classes)
        check_given("The classes are", classes)
        if classes.dtype.kind not in "ui" or classes.shape != labels.shape:
            raise InputError(
                f"The classes are of type {classes.dtype} and shape {classes.shape}, and the labels have "
                f"shape {labels.shape}; give a whole number for each pixel of the labels."
            )
    return _table(labels, shown, axes, _checked(pixel_size, labels.ndim), classes)


def _checked(pixel_size: Sequence[float | None] | None, ndim: int) -> tuple[float | None, ...]:
    """Return the edges of a pixel along the last axes; ``InputError`` if they cannot be that."""
    if pixel_size is None:
        return ()
    try:
        sizes = tuple(None if size is None else float(size) for size in pixel_size)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"The pixel size is {pixel_size!r}; give one number for each of the last axes, in micrometres."
        ) from error
    if len(sizes) > ndim or not all(size is None or 0 < size < math.inf for size in sizes):
        raise InputError(
            f"The pixel size is {sizes} and the labels have {ndim} axes; give each of the last axes a size "
            "above 0, in micrometres."
        )
    return sizes


def usual_axes(ndim: int) -> str:
    """Return a letter for each axis of an image that does not name them: numbers, if there are many."""
    return "TZYX"[-ndim:] if ndim <= 4 else "0123456789"[: ndim - 2] + "YX"


@dataclass(frozen=True, slots=True, eq=False)
class Measurable:
    """Labels (…YX) of an image, and what is needed to measure them.

    ``others`` are further images of the same place, by name; ``image`` is None if these are its channels.
    ``is_classes`` says that the labels are classes themselves; ``planes`` are those that were segmented, by
    their indices along the leading axes, None if all were. The rest is as for :func:`measure_objects`.
    """

    name: str
    labels: Pixels
    image: Pixels | None
    axes: str
    pixel_size: tuple[float | None, ...]
    others: Mapping[str, Pixels]
    classes: Pixels | None = None
    is_classes: bool = False
    planes: frozenset[Plane] | None = None

    def table(self) -> list[list[object]]:
        """Return the measurements; brightness, or the class, is left out if it is of another shape.

        Labels do not say what their model tells apart: if that is no more than objects and background, the
        class is there as well, and says 2, foreground. Of classes there is a line for each class of each
        plane: its pixels, its area, how much of the labelled part of the plane it is, and its brightness.
        """
        shown = dict[str, Pixels]()
        if self.image is not None:
            with suppress(InputError):
                shown = _channels(self.image, self.labels.shape)
        classes = self.classes
        if classes is not None and classes.shape != self.labels.shape:
            classes = None
        bright = shown | _others(self.others)
        if self.is_classes:
            return _class_table(self.labels, bright, self.axes, self.pixel_size)
        return _table(self.labels, bright, self.axes, self.pixel_size, classes, planes=self.planes)


def join_tables(tables: Iterable[tuple[str, Table]]) -> list[list[object]]:
    """Return one table of those of several images, each a line of names and others, with the image in front.

    Columns that an image lacks are None there.
    """
    tables = list(tables)
    found_in_any = dict.fromkeys(name for _, (names, *_rows) in tables for name in names)
    columns = sorted(found_in_any, key=lambda name: _FRONT.index(name) if name in _FRONT else len(_FRONT))
    joined: list[list[object]] = [["image", *columns]]
    for image, (names, *rows) in tables:
        found = (dict(zip(names, row, strict=True)) for row in rows)
        joined += [[image, *map(row.get, columns)] for row in found]
    return joined


def _table(
    labels: Pixels,
    bright: Mapping[str, Pixels],
    axes: str,
    pixel_size: Sequence[float | None],
    classes: Pixels | None,
    *,
    planes: frozenset[Plane] | None = None,
) -> list[list[object]]:
    """Return the table of labels, with the means of what is in ``bright`` by the names of their columns.

    A plane without objects is not in it if it is none of the ``planes`` that were segmented.
    """
    parts, empty, by_class = _add_up(labels, list(bright.values()), classes)
    found = _joined(parts)
    ndim = 3 if np.any(found.first != found.last) else 2
    columns: dict[str, NDArray[Any]] = {"object": found.ids}
    if classes is not None:
        columns["class"] = main_classes(by_class)
    columns["pixels"] = found.pixels
    columns |= _sizes(found.pixels, ndim, pixel_size)
    places = [f"{axis.lower()}_px" for axis in axes]
    columns |= dict(zip([*places, *bright], found.sums / found.pixels, strict=True))
    rows = _rows(columns)
    if ndim == 2:
        for where in empty:
            # A plane of a volume that was segmented was segmented with it.
            if planes is not None and planes.isdisjoint(where[: n + 1] for n in range(len(where))):
                continue
            place = dict(zip(places, map(float, where), strict=False))
            rows.append([place.get(name) for name in columns])
    return [list(columns), *rows]


def _class_table(
    labels: Pixels, bright: Mapping[str, Pixels], axes: str, pixel_size: Sequence[float | None]
) -> list[list[object]]:
    """Return a line for each class of each plane, as a sum over a time series would mean nothing.

    A class that is in some planes has a line, of no pixels, in the others, too.
    """
    (none, *parts), _, _ = _add_up(labels, list(bright.values()), None)
    by_plane = [(at, _joined(list(some))) for at, some in groupby(parts, lambda part: int(part.first[0]))]
    ids = _joined([none, *parts]).ids
    pixels = np.zeros((len(by_plane), len(ids)), np.int64)
    sums = np.zeros((len(none.sums), *pixels.shape))
    for number, (_, found) in enumerate(by_plane):
        here = np.searchsorted(ids, found.ids)
        pixels[number, here], sums[:, number, here] = found.pixels, found.sums
    size = _sizes(pixels, 2, pixel_size)
    percent = 100 * pixels / pixels.sum(axis=1, keepdims=True)
    columns = {"class": np.tile(ids, len(by_plane)), "pixels": pixels}
    columns |= {"area_um2": size["area_um2"]} if "area_um2" in size else {}
    columns["percent"] = percent
    all_planes = list(np.ndindex(labels.shape[:-2]))
    places = np.array([all_planes[at] for at, _ in by_plane], int).reshape(len(by_plane), labels.ndim - 2).T
    columns |= {
        f"{axis.lower()}_px": np.repeat(where, len(ids)) for axis, where in zip(axes, places, strict=False)
    }
    means = sums[labels.ndim :] / np.maximum(pixels, 1)
    columns |= dict(zip(bright, means, strict=True))
    lines = _rows({name: column.ravel() for name, column in columns.items()})
    before = len(columns) - len(bright)
    return [list(columns), *(line if line[1] else line[:before] + [None] * len(bright) for line in lines)]


def _rows(columns: Mapping[str, NDArray[Any]]) -> list[list[object]]:
    values = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [[_short(value) for value in row] for row in values]


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """What is added up over the pixels of objects, each of which may be there several times."""

    ids: NDArray[Any]  # (objects,)
    pixels: NDArray[np.int64]
    first: NDArray[np.intp]  # the planes, counted through, between which it lies
    last: NDArray[np.intp]
    sums: NDArray[np.float64]  # (values, objects) of every axis, then of brightness

    @classmethod
    def none(cls, dtype: np.dtype[Any], values: int) -> "_Sums":
        """Return the sums of no objects."""
        planes = np.zeros(0, np.intp)
        return cls(np.zeros(0, dtype), np.zeros(0, np.int64), planes, planes, np.zeros((values, 0)))


def _add_up(
    labels: Pixels, bright: Sequence[Pixels], classes: Pixels | None
) -> tuple[list[_Sums], list[tuple[int, ...]], list[ClassPixels]]:
    """Return sums over objects by part of each plane, first those of none; empty planes; pixels by class."""
    *leading, height, width = labels.shape
    parts, empty = [_Sums.none(labels.dtype, labels.ndim + len(bright))], list[tuple[int, ...]]()
    by_class = list[ClassPixels]()
    for number, where in enumerate(np.ndindex(*leading)):
        before = len(parts)
        for rows, _ in cut_up((height, width), (max(_ROWS, _PIXELS // max(width, 1)), max(width, 1))):
            box = (*where, rows)
            part = np.asarray(labels[box])
            y, x = np.nonzero(part > 0)
            if not y.size:
                continue
            ids = np.unique(part)  # and a search in these, which is faster than the inverse
            ids = ids[ids > 0]
            numbers = np.searchsorted(ids, part[y, x])
            values = [*where, y + rows.start, x, *(np.asarray(pixels[box])[y, x] for pixels in bright)]
            pixels = np.bincount(numbers)
            sums = [
                np.bincount(numbers, value) if isinstance(value, np.ndarray) else value * pixels
                for value in values
            ]
            if classes is not None:
                by_class.append(count_classes(ids, numbers, np.asarray(classes[box])[y, x]))
            plane = np.full(len(ids), number)
            parts.append(_Sums(ids, pixels, plane, plane, np.array(sums, float)))
        if len(parts) == before:
            empty.append(where)
    return parts, empty, by_class


def _joined(parts: Sequence[_Sums]) -> _Sums:
    """Return the sums over objects that are in several parts."""
    ids, numbers = np.unique(np.concatenate([part.ids for part in parts]), return_inverse=True)
    pixels = np.zeros(len(ids), np.int64)
    np.add.at(pixels, numbers, np.concatenate([part.pixels for part in parts]))
    first, last = np.full(len(ids), np.iinfo(np.intp).max), np.zeros(len(ids), np.intp)
    np.minimum.at(first, numbers, np.concatenate([part.first for part in parts]))
    np.maximum.at(last, numbers, np.concatenate([part.last for part in parts]))
    values = np.concatenate([part.sums for part in parts], axis=1)
    sums = [np.bincount(numbers, value, minlength=len(ids)) for value in values]
    return _Sums(ids, pixels, first, last, np.array(sums))


def _channels(image: Any, shape: tuple[int, ...]) -> dict[str, Pixels]:
    """Return for each column of a mean what it is of (…YX)."""
    given = check_pixels(image).shape
    if shape not in (given, given[1:], given[:-1], (*given[:-3], *given[-2:])):
        raise InputError(
            f"The image has shape {given} and the labels {shape}; give the image in which they were found."
        )
    channels = channels_first(image, ndim=2, paint_shape=shape)
    if len(channels) == 1:
        return {"mean": channels[0]}
    return {f"mean_{number + 1}": channels[number] for number in range(len(channels))}


def _others(others: Mapping[str, Any]) -> dict[str, Pixels]:
    check_kind(others, Mapping, "further images", "them by name, such as {'GFP': pixels}")
    return {f"mean_{name}": as_pixels(pixels) for name, pixels in others.items()}


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

"""A table of the objects in segmented files; used by docks and command line."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_unet.core.arrays.axes import channels_first
from napari_unet.core.errors import InputError
from napari_unet.core.objects.measurements import Measurable, Table, join_tables, usual_axes
from napari_unet.core.objects.prediction import PredictionKind
from napari_unet.files.pixels.images import is_zarr
from napari_unet.files.pixels.sources import load_image, load_labels
from napari_unet.files.results.tables import check_table, write_table

Finished = tuple[Path, Mapping[PredictionKind, Path]]
"""An image file that was segmented, and the files of its results by kind."""

MEASURED: tuple[PredictionKind, ...] = ("objects", "classes")
"""Kinds of results to measure: the first one that exists. If both do, objects have a class."""

_BEGINNINGS = [("image", *named, "pixels") for named in (("object",), ("object", "class"), ("class",))]


def check_object_table(path: Path) -> None:
    """Raise InputError unless a table of objects can be written to ``path``."""
    check_table(path, "objects", *_BEGINNINGS)


def read_measurable(finished: Finished, *, strictly: bool = False) -> Measurable:
    """Read the labels of a file, and the file, which may be the labels themselves if there is no image.

    ``InputError`` if one of them cannot be read; ``strictly``, also if the labels are not whole numbers, or
    not as large as the image, whose brightness the table would lack.
    """
    path, outputs = finished
    kind = _measured(outputs)
    is_classes = kind == "classes"
    labels = load_labels(outputs[kind])
    image = None if path == outputs[kind] else load_image(path)
    named = labels if image is None else image
    labels = labels.laid_as(named)
    pixels, shown = labels.pixels, None if image is None else image.pixels
    if strictly:
        if pixels.dtype.kind not in "ui":
            raise InputError(
                f"{outputs[kind]} has values of type {pixels.dtype}; give labels, which are whole numbers: 0 "
                "for background, and another one for each object."
            )
        if image is not None and not _are_alike(shown, pixels):
            pixels, shown = labels.without_single, image.without_single
        if image is not None and not _are_alike(shown, pixels):
            raise InputError(
                f"{outputs[kind]} has shape {labels.pixels.shape} and {path} {image.pixels.shape}; give the "
                "labels that were made of this image."
            )
    has_both = not is_classes and "classes" in outputs
    classes = load_labels(outputs["classes"]).laid_as(named).pixels if has_both else None
    axes = named.axes.replace("C", "")
    if len(axes) != pixels.ndim or "Q" in axes:
        axes = usual_axes(pixels.ndim)
    size = named.pixel_size or labels.pixel_size
    edges = () if size is None else (size.z, size.y, size.x)
    return Measurable(path.name, pixels, shown, axes, edges, {}, classes, is_classes=is_classes)


def _are_alike(image: Any, labels: Any) -> bool:
    try:
        channels_first(image, ndim=2, paint_shape=labels.shape)
    except InputError:
        return False
    return True


def measure_file(finished: Finished) -> Table:
    """Return the table of the objects of a file that has labels, read again from there.

    ``InputError`` if image or labels cannot be read.
    """
    return read_measurable(finished).table()


class TableOfFiles:
    """One table of all files that are added, with the image in front; memory holds its text alone."""

    def __init__(self) -> None:
        self._finished: list[Finished] = []
        self._tables: list[Table] = []

    def add(self, finished: Finished, table: Table) -> None:
        """Add the table of a file."""
        self._tables.append(table)
        self._finished.append(finished)

    def write(self, path: Path) -> None:
        """Write the table as CSV; ``InputError`` if it cannot be written."""
        write_table(path, join_tables(zip(_names(self._finished), self._tables, strict=True)))


def write_table_of_files(path: Path, finished: Iterable[Finished]) -> Path:
    """Measure all files and write their table to ``path``; return ``path``.

    ``InputError`` if one of them cannot be read.
    """
    table = TableOfFiles()
    for file in finished:
        table.add(file, measure_file(file))
    table.write(path)
    return path


def _measured(outputs: Mapping[PredictionKind, Path]) -> PredictionKind:
    return next(kind for kind in MEASURED if kind in outputs)


def _names(finished: Sequence[Finished]) -> list[str]:
    """Return the names of the image files, or, where these are not enough, those of the results.

    Images in a zarr, as of a plate, are all called "0", and the folders of a project may hold files of the
    same name.
    """
    alike = Counter(path.name for path, _ in finished)
    return [
        _name_of_result(outputs) if alike[path.name] > 1 or is_zarr(path.parent) else path.name
        for path, outputs in finished
    ]


def _name_of_result(outputs: Mapping[PredictionKind, Path]) -> str:
    kind, target = next(iter(outputs.items()))
    return target.name.removesuffix(f"_{kind}{target.suffix}")

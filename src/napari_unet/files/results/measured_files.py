"""A table of the objects in segmented files; used by docks and command line."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

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


def measure_file(finished: Finished) -> Table:
    """Return the table of the objects of a file that has labels, read again from there.

    ``InputError`` if image or labels cannot be read.
    """
    path, outputs = finished
    image = load_image(path)
    kind = _measured(outputs)
    is_classes = kind == "classes"
    labels = load_labels(outputs[kind]).laid_as(image)
    has_both = not is_classes and "classes" in outputs
    classes = load_labels(outputs["classes"]).laid_as(image).pixels if has_both else None
    axes = image.axes.replace("C", "")
    if len(axes) != labels.pixels.ndim or "Q" in axes:
        axes = usual_axes(labels.pixels.ndim)
    size = image.pixel_size
    edges = () if size is None else (size.z, size.y, size.x)
    return Measurable(
        path.name, labels.pixels, image.pixels, axes, edges, {}, classes, is_classes=is_classes
    ).table()


class TableOfFiles:
    """One table of all files that are added, with the image in front; memory holds its text alone."""

    def __init__(self) -> None:
        self._finished: list[Finished] = []
        self._tables: list[Table] = []

    def add(self, finished: Finished) -> None:
        """Measure a file that has labels; ``InputError`` if it cannot be read."""
        self._tables.append(measure_file(finished))
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
        table.add(file)
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

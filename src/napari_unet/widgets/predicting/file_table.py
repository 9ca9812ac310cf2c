"""A table of the objects in segmented files, which are read again one by one."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from napari_unet.core.objects.prediction import PredictionKind
from napari_unet.files.pixels.sources import load_image, load_labels
from napari_unet.widgets.predicting.files_run import in_memory
from napari_unet.widgets.predicting.object_table import Measurable, object_table, write_table

Finished = tuple[Path, Mapping[PredictionKind, Path]]
"""An image file that was segmented, and the files of its results by kind."""

LABELS: tuple[PredictionKind, ...] = ("objects", "classes")
"""Kinds of results to measure: the first one that exists."""


def write_table_of_files(path: Path, finished: Sequence[Finished]) -> Path:
    """Write the table of all files that have labels to ``path``, and return ``path``.

    ``InputError`` if one of them cannot be read.
    """
    write_table(path, object_table(_measurable(finished)))
    return path


def _measurable(finished: Sequence[Finished]) -> Iterator[Measurable]:
    for path, outputs in finished:
        results = [outputs[kind] for kind in LABELS if kind in outputs]
        for result in results[:1]:
            image = load_image(path)
            labels = load_labels(result).laid_as(image)
            pixels = in_memory(result, labels.pixels)
            axes = image.axes.replace("C", "")
            if len(axes) != pixels.ndim or "Q" in axes:
                axes = "TZYX"[-pixels.ndim :].rjust(pixels.ndim, "Q")
            size = image.pixel_size
            edges = () if size is None else (size.z, size.y, size.x)
            yield Measurable(path.name, pixels, image.pixels, axes, edges, {})

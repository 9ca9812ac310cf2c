"""The work of ``napari-unet measure``: a table, and outlines, of the objects in label files."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from napari_unet.console import listed, note, print_json, progress_bar, report_table, report_written
from napari_unet.core.errors import InputError
from napari_unet.core.objects.measurements import Measurable
from napari_unet.core.objects.prediction import PredictionKind
from napari_unet.core.painted.label_images import may_be_image, may_be_mask
from napari_unet.files.pixels.finding import expand_paths
from napari_unet.files.pixels.images import check_replaceable, recipe_in, stem
from napari_unet.files.results.label_files import find_labels
from napari_unet.files.results.measured_files import (
    TableOfFiles,
    check_object_table,
    read_measurable,
)
from napari_unet.files.results.outline_files import outline_endings, write_outlines
from napari_unet.network.failures import sentence


def measure(
    labels: Sequence[str], images: Sequence[str], table: Path, outlines: Sequence[str], *, as_json: bool
) -> int:
    """Measure label files, and return the exit code: 2 if one of them could not be.

    ``outlines`` are programs for which they are written beside the labels.
    """
    endings = outline_endings(outlines)
    check_object_table(table)
    shown = expand_paths(images, results=False) if images else []
    files, lacking, unlabelled = find_labels(expand_paths(labels), shown)
    failed = [(path, f"{path} is not in the table, as there is no image of its name.") for path in lacking]
    measured, masks, pictures = TableOfFiles(), list[Path](), list[Path]()
    with progress_bar(f"{len(files)} files") as progress:
        for number, file in enumerate(files):
            image, outputs = file
            path = outputs.get("objects") or outputs["classes"]
            progress(number / len(files), path.name)
            try:
                found = read_measurable(file, strictly=True)
                if isinstance(found.labels, np.ndarray):
                    masks += [path] * may_be_mask(found.labels)
                    pictures += [path] * may_be_image(found.labels)
                measured.add(file, found.table())
                for target in _outline(path, found, endings):
                    report_written(image, "outlines", target, as_json)
            except (InputError, MemoryError) as error:
                reason = sentence(error)
                failed.append((path, reason if str(path) in reason else f"{path}: {reason}"))
    if len(failed) < len(files) + len(lacking):
        measured.write(table)
        report_table(table, as_json)
    _tell(masks, pictures, unlabelled)
    _tell_of_classes([outputs for _, outputs in files])
    for path, message in failed:
        note(message)
        if as_json:
            print_json({"event": "failed", "path": str(path), "message": message})
    return 2 if failed else 0


def _outline(labels: Path, found: Measurable, endings: Sequence[str]) -> Iterator[Path]:
    """Write the outlines of measured labels beside their file, and yield where they are."""
    for ending in endings:
        target = labels.with_name(f"{stem(labels)}{ending}")
        check_replaceable(target)
        write_outlines(target, found.labels, found.axes, is_classes=found.is_classes)
        yield target


def _tell(masks: Sequence[Path], pictures: Sequence[Path], unlabelled: Sequence[Path]) -> None:
    if masks:
        note(
            f"Everything in {listed(masks)} has one value, as in a mask, and is measured as one object; "
            "number its connected components first, in Fiji by Analyze Particles with Show: Count Masks."
        )
    if pictures:
        note(
            f"The numbers in {listed(pictures)} change from pixel to pixel, as in an image, and each is "
            "measured as an object; give labels, such as results of predict."
        )
    if unlabelled:
        note(f"Left out, as no labels were found: {listed(unlabelled)}.")


def _tell_of_classes(files: Sequence[Mapping[PredictionKind, Path]]) -> None:
    """Say which classes were not made together with their objects, by one model with the same settings."""
    both = [(file["objects"], file["classes"]) for file in files if {"objects", "classes"} <= file.keys()]
    if apart := [
        classes for objects, classes in both if len({recipe_in(objects), recipe_in(classes), ""}) > 2
    ]:
        note(
            f"{listed(apart)} may not belong to the objects beside: another model, or other settings, made "
            "these; predict objects and classes together."
        )

"""Which label files, such as corrected ones, are of which images: by their names, as results have them."""

import os
from collections.abc import Container, Mapping, Sequence
from pathlib import Path

from napari_unet.core.errors import InputError
from napari_unet.core.objects.prediction import PredictionKind
from napari_unet.files.pixels.finding import LABEL_ENDINGS, result_name
from napari_unet.files.pixels.images import result_stem, stem
from napari_unet.files.results.measured_files import Finished

_ENDINGS: dict[str, PredictionKind] = {
    **dict.fromkeys(LABEL_ENDINGS, "objects"),
    **dict.fromkeys(("_classes", " classes"), "classes"),
    **dict.fromkeys(("_probabilities", " probability"), "probabilities"),
}


def find_labels(
    labels: Sequence[Path], images: Sequence[Path]
) -> tuple[list[Finished], list[Path], list[Path]]:
    """Find the image of every label file: "a.tif", "a_objects.tif" and "a_masks.png" are labels of "a.tif".

    "a_classes.tif" belongs to them, and "a_probabilities.tif" is left out. Of files that are given as labels
    and as images, as where both are in one folder, the ending decides. A single image and labels of a single
    one belong together, whatever their names. Without images, labels stand for themselves.

    Returns what can be measured, label files without an image, and images without labels. ``InputError`` if
    there is nothing to measure, or if two files would be labels, or images, of the same name.
    """
    is_alone, both = not images, _real(labels) & _real(images)
    images = [path for path in images if os.path.realpath(path) not in both or not _ending(path)]
    labels = [path for path in labels if os.path.realpath(path) not in both or _ending(path)]
    found = dict[str, dict[PredictionKind, Path]]()
    for path in labels:
        kind = _ENDINGS.get(_ending(path), "objects")
        outputs = found.setdefault(result_stem(stem(path).removesuffix(_ending(path))), {})
        if kind in outputs:
            raise InputError(
                f"{outputs[kind]} and {path} would both be labels of the same image; give one of them, or a "
                'pattern for one kind of files, such as "*_objects.tif".'
            )
        outputs[kind] = path
    found = {name: outputs for name, outputs in found.items() if outputs.keys() != {"probabilities"}}
    if not found:
        raise InputError("There are no labels among the files; give some, such as results of predict.")
    if is_alone:
        return [(_first(outputs), outputs) for outputs in found.values()], [], []
    named = _by_name(images, found)
    if len(images) == len(found) == 1:
        named = dict.fromkeys(found, images[0])
    measured: list[Finished] = [(named[name], outputs) for name, outputs in found.items() if name in named]
    if not measured:
        name, outputs = next(iter(found.items()))
        raise InputError(
            f"{_first(outputs)} has no image named {name!r}, and no other labels have one; name both alike."
        )
    lacking = [_first(outputs) for name, outputs in found.items() if name not in named]
    return measured, lacking, [path for path in images if path not in named.values()]


def _by_name(images: Sequence[Path], wanted: Container[str]) -> dict[str, Path]:
    named = dict[str, Path]()
    for path in images:
        name = result_name(path)
        if name not in wanted:
            continue
        if name in named:
            raise InputError(
                f"{named[name]} and {path} have the same name {name!r}; rename one, or leave it out."
            )
        named[name] = path
    return named


def _first(outputs: Mapping[PredictionKind, Path]) -> Path:
    return outputs.get("objects") or outputs["classes"]


def _ending(path: Path) -> str:
    return next(filter(stem(path).endswith, _ENDINGS), "")


def _real(paths: Sequence[Path]) -> set[str]:
    return {os.path.realpath(path) for path in paths}

"""What is measured of the objects in some images; their labels are copied, as the user may edit them."""

import re
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Any

from napari.components import ViewerModel
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_unet.core.arrays.sparse import copy_planes
from napari_unet.core.objects.measurements import Measurable, join_tables, usual_axes
from napari_unet.widgets.bridge.layers import at_hand, copy_image, pixels_of
from napari_unet.widgets.bridge.marks import full_data, kind_of, layers_of
from napari_unet.widgets.bridge.placement import micrometres, world_axes
from napari_unet.widgets.bridge.sight import blended, parts_of
from napari_unet.widgets.predicting.prediction_targets import segmented_planes

_NUMBER = re.compile(r" \[\d+\]$")
"""What napari adds to the name of a layer when another layer has that name."""


def labels_of(viewer: ViewerModel, image: Image | None) -> list[Labels]:
    """Return the labels predicted for ``image``: classes, then objects, the topmost of each last.

    Those that are shown from disk, as they do not fit into the memory, come before the others of their kind.
    """
    kinds = ("stored classes", "classes", "stored objects", "objects")
    return [labels for kind in kinds for labels in layers_of(viewer, image, kind)]


def labels_kind(labels: Labels) -> str:
    """Return the kind of predicted labels, in memory or on disk: "objects" or "classes"."""
    return kind_of(labels).removeprefix("stored ") or "objects"


def labels_at_hand(viewer: ViewerModel, images: Sequence[Image]) -> list[tuple[Image, Labels]]:
    """Return the images that have predicted labels, each with the selected ones, or else its objects.

    If the classes of one of the images are selected, or alone are shown, it is the classes of all of them.
    """
    active = viewer.layers.selection.active
    found = [labels_of(viewer, image) for image in images]
    seen = {labels_kind(layer) for labels in found for layer in labels if layer.visible}
    shown = "classes" if seen == {"classes"} else "objects"
    kind = next((labels_kind(layer) for labels in found for layer in labels if layer is active), shown)
    of_kind = ([layer for layer in labels if labels_kind(layer) == kind] or labels for labels in found)
    chosen = ((image, at_hand(viewer, labels)) for image, labels in zip(images, of_kind, strict=True))
    return [(image, labels) for image, labels in chosen if labels is not None]


def measurable(viewer: ViewerModel, images: Sequence[Image]) -> list[Measurable]:
    """Return what to measure in the images that have predicted labels, with the stains beside them.

    Of an image that was made of layers, these are measured, which have names. The same stain of several
    images has one name: what its names have in common.
    """
    found, others = list[tuple[Image, Labels, bool]](), list[list[Image]]()
    for image, labels in labels_at_hand(viewer, images):
        parts = _channels_as_layers(viewer, image, labels)
        is_alike = full_data(image).shape == full_data(labels).shape
        beside = blended(viewer, image) if is_alike else []
        found.append((image, labels, bool(parts)))
        others.append(parts or [layer for layer in beside if layer is not image])
    names = stain_names([[layer.name for layer in beside] for beside in others])
    return [
        Measurable(
            image.name,
            copy_image(labels),
            None if is_of_parts else pixels_of(image),
            axis_letters(labels, image),
            () if (size := micrometres(labels, image)) is None else (size.z, size.y, size.x),
            {name: pixels_of(layer) for name, layer in zip(named, beside, strict=True)},
            _classes_beside(viewer, image, labels),
            is_classes=labels_kind(labels) == "classes",
            planes=segmented_planes(labels),
        )
        for (image, labels, is_of_parts), beside, named in zip(found, others, names, strict=True)
    ]


def _classes_beside(viewer: ViewerModel, image: Image, labels: Labels) -> NDArray[Any] | None:
    """Return the classes predicted beside these ``labels``, if the labels are objects."""
    classes = at_hand(viewer, layers_of(viewer, image, "classes"))
    return None if classes is None or labels_kind(labels) == "classes" else copy_planes(classes.data)


def _channels_as_layers(viewer: ViewerModel, image: Image, labels: Labels) -> list[Image]:
    """Return the layers that ``image`` was made of, if all of them are still there and as large."""
    parts = parts_of(viewer, image)
    shapes = [full_data(layer).shape for layer in parts]
    shape = full_data(labels).shape
    is_whole = full_data(image).shape == (len(parts), *shape)
    return parts if is_whole and set(shapes) == {shape} else []


def object_table(images: Iterable[Measurable]) -> list[list[object]]:
    """Return a line of names, and the lines of all objects of all ``images``, with the image in front."""
    return join_tables((image.name, image.table()) for image in images)


def axis_letters(labels: Labels, image: Image | None = None) -> str:
    """Return a letter for each axis, such as "TZYX": its own name, or else what it usually is.

    ``image`` is that of the labels, whose file may name its axes.
    """
    *leading, _, _ = world_axes(labels, "none", image)
    letters = "".join(
        axis.name.upper() if len(axis.name) == 1 else "T" if axis.kind == "time" else "" for axis in leading
    )
    if len(letters) == len(set(letters) - {"X", "Y"}) == len(leading):
        return letters + "YX"
    return usual_axes(labels.ndim)


def stain_names(names: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the names in a table for the stains beside several images, given the names of their layers.

    If every image has as many, those in the same position get one name, such as "GFP" for "GFP" and
    "GFP [1]", unless they have nothing in common. Otherwise only the numbers that napari adds are left out.
    """
    as_they_are = [list(beside) for beside in names]
    if len(names) < 2:
        return as_they_are
    bare = [[_NUMBER.sub("", name) for name in beside] for beside in names]
    if len({len(beside) for beside in names}) != 1:
        return bare if all(len(set(beside)) == len(beside) for beside in bare) else as_they_are
    shared = [_in_common(stain) for stain in zip(*bare, strict=True)]
    return [shared for _ in names] if all(shared) and len(set(shared)) == len(shared) else as_they_are


def _in_common(names: Sequence[str]) -> str:
    """Return the beginning and the end that all these names share."""
    first = _beginning(names)
    last = _beginning([name[len(first) :][::-1] for name in names])[::-1]
    return (first + last).strip(" _-")


def _beginning(names: Sequence[str]) -> str:
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return "".join(letters[0] for letters in alike)

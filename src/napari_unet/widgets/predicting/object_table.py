"""A table of the objects of some images: what is measured is copied on the main thread, and told by image."""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_unet.core.arrays.axes import channels_first
from napari_unet.core.arrays.lazy import Pixels
from napari_unet.core.errors import InputError
from napari_unet.core.objects.measurements import join_tables, measure_objects
from napari_unet.core.scoring.score_table import delimited
from napari_unet.files.atomic import writing
from napari_unet.widgets.bridge.layers import at_hand, copy_image
from napari_unet.widgets.bridge.marks import full_data, layers_of
from napari_unet.widgets.bridge.placement import micrometres, world_axes
from napari_unet.widgets.bridge.sight import blended

_NUMBER = re.compile(r" \[\d+\]$")
"""What napari puts behind the name of a layer when there is one of that name."""


@dataclass(frozen=True, slots=True, eq=False)
class Measurable:
    """Labels (…YX) of an image, and what is needed to measure them, as copies for another thread.

    ``others`` are by name what else shows the same place; the rest is as for
    :func:`napari_unet.core.objects.measurements.measure_objects`.
    """

    name: str
    labels: NDArray[np.integer[Any]]
    image: Pixels
    axes: str
    pixel_size: tuple[float | None, ...]
    others: Mapping[str, Pixels]

    def table(self) -> list[list[object]]:
        """Return what is measured; brightness is left out where image and labels differ in shape."""
        channels = None
        with suppress(InputError):
            channels = channels_first(self.image, ndim=2, paint_shape=self.labels.shape)
        return measure_objects(
            self.labels, channels, axes=self.axes, pixel_size=self.pixel_size, others=self.others
        )


def labels_of(viewer: ViewerModel, image: Image | None) -> list[Labels]:
    """Return the labels that were predicted of ``image``: classes, then objects, the topmost of them last."""
    return [*layers_of(viewer, image, "classes"), *layers_of(viewer, image, "objects")]


def measurable(viewer: ViewerModel, images: Sequence[Image]) -> list[Measurable]:
    """Return what is to be measured of those images that have predicted labels, with the stains beside them.

    Stains of several images, one by one, have one name: what their names have in common.
    """
    found, others = list[tuple[Image, Labels]](), list[list[Image]]()
    for image in images:
        labels = at_hand(viewer, labels_of(viewer, image))
        if labels is not None:
            found.append((image, labels))
            is_alike = full_data(image).shape == labels.data.shape
            beside = blended(viewer, image) if is_alike else []
            others.append([layer for layer in beside if layer is not image])
    names = stain_names([[layer.name for layer in beside] for beside in others])
    return [
        Measurable(
            image.name,
            labels.data.copy(),
            copy_image(image),
            axis_letters(labels),
            () if (size := micrometres(labels)) is None else (size.z, size.y, size.x),
            {name: copy_image(layer) for name, layer in zip(named, beside, strict=True)},
        )
        for (image, labels), beside, named in zip(found, others, names, strict=True)
    ]


def object_table(images: Iterable[Measurable]) -> list[list[object]]:
    """Return a line of names, and the lines of all objects of all ``images``, with the image in front."""
    return join_tables({image.name: image.table() for image in images})


def write_table(path: Path, rows: Sequence[Sequence[object]]) -> None:
    """Write a table as CSV in UTF-8, with a mark at its start where Excel would misread letters else."""
    text = delimited(rows)
    with writing(path) as temporary:
        temporary.write_text(text, "utf-8" if text.isascii() else "utf-8-sig", newline="")


def axis_letters(labels: Labels) -> str:
    """Return a letter for each axis: what it is called, or else what it usually is, such as "TZYX"."""
    *leading, _, _ = world_axes(labels, "none")
    letters = "".join(
        axis.name.upper() if len(axis.name) == 1 else "T" if axis.kind == "time" else "" for axis in leading
    )
    if len(letters) == len(set(letters) - {"X", "Y"}) == len(leading):
        return letters + "YX"
    return "TZ"[2 - len(leading) :] + "YX" if len(leading) <= 2 else "0123456789"[: len(leading)] + "YX"


def stain_names(names: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return what the stains beside several images are called in a table, given the names of their layers.

    Where every image has as many, those in the same place have one name, such as "GFP" for "GFP" and
    "GFP [1]", unless nothing of it is left.
    """
    as_they_are = [list(beside) for beside in names]
    if len(names) < 2 or len({len(beside) for beside in names}) != 1:
        return as_they_are
    shared = [_in_common([_NUMBER.sub("", name) for name in stain]) for stain in zip(*names, strict=True)]
    return [shared for _ in names] if all(shared) and len(set(shared)) == len(shared) else as_they_are


def _in_common(names: Sequence[str]) -> str:
    """Return the beginning and the end that all these names have."""
    first = _beginning(names)
    last = _beginning([name[len(first) :][::-1] for name in names])[::-1]
    return (first + last).strip(" _-")


def _beginning(names: Sequence[str]) -> str:
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return "".join(letters[0] for letters in alike)

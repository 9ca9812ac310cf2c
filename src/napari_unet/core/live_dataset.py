"""A dataset that follows its paint while a network learns from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.axes import channels_first
from napari_unet.core.blocks import Box, changed_box, whole
from napari_unet.core.dataset import Dataset, join_planes
from napari_unet.core.errors import InputError
from napari_unet.core.object_distance import Full
from napari_unet.core.paint_feed import News, Plane, Source
from napari_unet.core.painted_plane import PaintedPlane, measure_plane
from napari_unet.core.reading import Reading

_LARGE = 0.25
"""Where more than this part of a plane changed, measuring all of it is no slower."""


@dataclass(frozen=True, slots=True, eq=False)
class Fresh:
    """Pixels of sample ``sample`` that were painted last and are trained on: flat indices (N,)."""

    sample: int
    pixels: NDArray[np.intp]


class LiveDataset:
    """The dataset of a running training, which takes in what is painted meanwhile.

    After every update it is what building it anew from the paint of that moment would give, bit for bit, for
    a fraction of the time.

    Parameters
    ----------
    planes : sequence of PaintedPlane
        What the training begins with, measured as ``reading`` says.
    reading : Reading
    """

    def __init__(self, planes: Sequence[PaintedPlane], reading: Reading) -> None:
        self._planes = {(plane.number, plane.index): plane for plane in planes}
        self._reading = reading
        self._limits: dict[int, NDArray[np.float64]] = {}
        self._refused: dict[int, str] = {}
        self.distance = True
        """Whether the network learns how deep pixels lie in full objects."""
        self.dataset: Dataset = join_planes(planes, reading)
        self.fresh: tuple[Fresh, ...] = ()
        """What the last update brought."""
        self.held_back: tuple[str, ...] = ()
        """In sentences, what of the paint is not learnt from, and why."""

    def stay(self) -> None:
        """Let go of what only updates need: no paint will come."""
        self._planes.clear()

    def update(self, news: News) -> bool:
        """Take in what was painted; return whether there is another dataset now."""
        before = dict(self._planes)
        for place, touched in news.touched.items():
            try:
                self._refused.pop(place, None)
                self._read(place, news.sources[place], touched)
            except InputError as error:
                self._refused[place] = str(error)
        sentences = list(dict.fromkeys(self._refused.values()))
        changed = False
        if self._planes != before:
            # In the order of a training that begins now: images for scoring alone come last.
            planes = sorted(
                self._planes.values(), key=lambda plane: (plane.scored, plane.number, plane.index)
            )
            try:
                dataset = join_planes(
                    planes, self._reading, n_classes=self.dataset.n_classes, distance=self.distance
                )
            except InputError as error:
                sentences.append(f"{error} Until then, training goes on with the paint as it was.")
            else:
                changed = True
                self.dataset = dataset
                self.fresh = tuple(_fresh(planes, dataset, before))
        self.held_back = tuple(sentences)
        return changed

    def _read(self, place: int, source: Source, touched: set[Plane] | None) -> None:
        """Bring the planes of a source up to date."""
        ndim = self._reading.ndim
        chosen = None if touched is None else {plane[: len(source.paint.shape) - ndim] for plane in touched}
        full = source.full() if self._reading.mode == "objects" else False
        unknown: set[int] = set()
        for index in source.planes(ndim):
            if chosen is None or index in chosen:
                values = source.read(index)
                unknown |= self._leave_out(values)
                self._replace(place, index, source, values, full)
        if unknown:
            raise InputError(_about_classes(unknown))

    def _leave_out(self, values: NDArray[np.int32]) -> set[int]:
        """Make classes that the network does not have unlabelled, in place, and return them."""
        highest = self.dataset.n_classes
        if self._reading.mode == "objects" or values.max() <= highest:
            return set()
        beyond = values > highest
        classes = set(np.unique(values[beyond]).tolist())
        values[beyond] = 0
        return classes

    def _replace(
        self, place: int, index: Plane, source: Source, values: NDArray[np.int32], full: Full
    ) -> None:
        before = self._planes.get((place, index))
        if not values.any():
            self._planes.pop((place, index), None)
            return
        measure = self._reading.measure
        if before is None or before.paint.shape != values.shape:
            self._planes[place, index] = measure_plane(
                place,
                index,
                self._pixels(place, index, source),
                values,
                measure,
                full=full,
                scored=source.scored,
            )
            return
        box = _changed(before, values, full)
        if box is None:
            return
        if np.prod([side.stop - side.start for side in box]) > _LARGE * values.size:
            plane = measure_plane(
                place, index, before.image, values, measure, full=full, scored=source.scored
            )
        else:
            plane = before.edited(box, values, full, measure)
        self._planes[place, index] = plane

    def _pixels(self, place: int, index: Plane, source: Source) -> NDArray[np.float32]:
        """Return the normalised intensities of a plane that nothing was painted on before."""
        reading = self._reading
        image = channels_first(
            source.image, ndim=reading.ndim, channels=reading.channels, paint_shape=tuple(source.paint.shape)
        )
        if len(image) != self.dataset.in_channels:
            raise InputError(
                f"An image with {len(image)} channels was painted on and the network learns from "
                f"{self.dataset.in_channels}; train on it apart."
            )
        if place not in self._limits:
            self._limits[place] = reading.normalisation.limits(image)
        plane: tuple[Any, ...] = (slice(None), *index)
        return reading.normalisation.scale(image[plane], self._limits[place])


def _changed(before: PaintedPlane, paint: NDArray[np.int32], full: Full) -> Box | None:
    """Return a box outside of which a plane is as it was: the same paint, and the same objects full."""
    if full != before.full:
        if full is True or before.full is True:
            return whole(paint.shape)
        others = set(full or ()) ^ set(before.full or ())
        paint = np.where(np.isin(paint, list(others)), np.int32(-1), paint)  # so that they differ
    return changed_box(before.painted, paint)


def _fresh(
    planes: Sequence[PaintedPlane], dataset: Dataset, before: dict[tuple[int, Plane], PaintedPlane]
) -> list[Fresh]:
    """Return the pixels with new paint that are trained on."""
    found = []
    for number, (plane, sample) in enumerate(zip(planes, dataset.samples, strict=True)):
        old = before.get((plane.number, plane.index))
        if old is plane:
            continue
        flat = plane.pixels.flat
        if old is not None and old.paint.shape == plane.paint.shape:
            flat = flat[old.paint.reshape(-1)[flat] != plane.pixels.values]
        flat = flat[sample.weight.reshape(-1)[flat] > 0]
        if flat.size:
            found.append(Fresh(number, flat))
    return found


def _about_classes(values: set[int]) -> str:
    named = ", ".join(str(value) for value in sorted(values))
    classes = "Class" if len(values) == 1 else "Classes"
    return (
        f"{classes} {named} came up while the network was learning without; what is painted of it is learnt "
        "when you start the next training."
    )

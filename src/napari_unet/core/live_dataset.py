"""A dataset that follows its paint while a network learns from it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.axes import channels_first
from napari_unet.core.blocks import Box, box_of, enclose, whole
from napari_unet.core.dataset import Dataset, Sample, join_planes
from napari_unet.core.errors import InputError
from napari_unet.core.object_distance import Full
from napari_unet.core.paint_feed import News, Plane, Source
from napari_unet.core.painted_plane import PaintedPlane, measure_plane
from napari_unet.core.reading import Reading

_Place = tuple[int, Plane]
"""Number of an image, and index of a plane of it."""

_BAND = 2**18
"""Pixels that are compared at once: they stay in the processor's cache, and take no new memory."""

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
    a fraction of the time: what an edit does not reach is neither computed nor copied. So the maps of the
    dataset before are rewritten, and nobody may go on with that; unless the update finds that the new paint
    cannot teach, which leaves the dataset as it was.

    Parameters
    ----------
    planes : sequence of PaintedPlane
        What the training begins with, measured as ``reading`` says. Their paint is left as it is, all else
        is edited.
    reading : Reading
    """

    def __init__(self, planes: Sequence[PaintedPlane], reading: Reading) -> None:
        self._planes: dict[_Place, PaintedPlane] = {(plane.number, plane.index): plane for plane in planes}
        self._borrowed = set(self._planes)
        """Planes whose paint is somebody else's."""
        self._full: dict[int, Full] = {plane.number: plane.full for plane in planes}
        self._reading = reading
        self._limits: dict[int, NDArray[np.float64]] = {}
        self._refused: dict[int, str] = {}
        self.distance = True
        """Whether the network learns how deep pixels lie in full objects."""
        self.dataset: Dataset = join_planes(planes, reading)
        self._samples: dict[_Place, Sample] = dict(zip(self._planes, self.dataset.samples, strict=True))
        self.fresh: tuple[Fresh, ...] = ()
        """What the last update brought."""
        self.held_back: tuple[str, ...] = ()
        """In sentences, what of the paint is not learnt from, and why."""

    def stay(self) -> None:
        """Let go of what only updates need: no paint will come."""
        self._planes.clear()
        self._samples.clear()

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
                    planes,
                    self._reading,
                    n_classes=self.dataset.n_classes,
                    distance=self.distance,
                    earlier=[self._earlier(plane) for plane in planes],
                )
            except InputError as error:
                sentences.append(f"{error} Until then, training goes on with the paint as it was.")
            else:
                changed = True
                self.dataset = dataset
                self.fresh = tuple(_fresh(planes, dataset, before))
                self._samples = {
                    (plane.number, plane.index): sample
                    for plane, sample in zip(planes, dataset.samples, strict=True)
                }
        self.held_back = tuple(sentences)
        return changed

    def _read(self, place: int, source: Source, touched: set[Plane] | None) -> None:
        """Bring the planes of a source up to date."""
        ndim = self._reading.ndim
        full = source.full() if self._reading.mode == "objects" else False
        chosen = None if touched is None else {plane[: len(source.paint.shape) - ndim] for plane in touched}
        if full != self._full.get(place, False):  # an object may be on planes that nobody touched
            chosen = None
        unknown: set[int] = set()
        for index in source.planes(ndim):
            if chosen is None or index in chosen:
                self._follow(place, index, source, full, unknown)
        self._full[place] = full
        if unknown:
            raise InputError(_about_classes(unknown))

    def _follow(self, place: int, index: Plane, source: Source, full: Full, unknown: set[int]) -> None:
        """Bring a plane up to date; add to ``unknown`` the classes on it that the network does not have."""

        def read(box: Box) -> NDArray[np.int32]:
            values = source.read(index, box)
            unknown.update(self._leave_out(values))
            return values

        shape = tuple(source.paint.shape[len(index) :])
        before = self._planes.get((place, index))
        if before is None or before.paint.shape != shape:
            plane = self._begin(place, index, source, read(whole(shape)), full)
        else:
            box = _changed(before, read, full)
            if box is not None:
                plane = self._edit(before, box, read, full)
            elif full != before.full:  # by objects that are on other planes
                plane = replace(before, full=full, fresh=before.fresh[:0])
            else:
                return
        if plane is None or not plane.pixels.flat.size:
            self._planes.pop((place, index), None)
        else:
            self._planes[place, index] = plane
            self._borrowed.discard((place, index))

    def _leave_out(self, values: NDArray[np.int32]) -> set[int]:
        """Make classes that the network does not have unlabelled, in place, and return them."""
        highest = self.dataset.n_classes
        if self._reading.mode == "objects" or values.max() <= highest:
            return set()
        beyond = values > highest
        classes = set(np.unique(values[beyond]).tolist())
        values[beyond] = 0
        return classes

    def _begin(
        self, place: int, index: Plane, source: Source, values: NDArray[np.int32], full: Full
    ) -> PaintedPlane | None:
        """Return a plane that nothing was painted on before, if anything is now."""
        if not values.any():
            return None
        image, measure = self._pixels(place, index, source), self._reading.measure
        return measure_plane(place, index, image, values, measure, full=full, scored=source.scored)

    def _edit(
        self, plane: PaintedPlane, box: Box, read: Callable[[Box], NDArray[np.int32]], full: Full
    ) -> PaintedPlane:
        """Return a plane after an edit in ``box`` alone."""
        shape, measure = plane.paint.shape, self._reading.measure
        if prod(side.stop - side.start for side in box) > _LARGE * prod(shape):
            values, before = read(whole(shape)), plane
            plane = measure_plane(
                before.number, before.index, before.image, values, measure, full=full, scored=before.scored
            )
            flat = plane.pixels.flat
            return replace(plane, fresh=flat[before.paint.reshape(-1)[flat] != plane.pixels.values])
        if (plane.number, plane.index) in self._borrowed:
            plane = replace(plane, paint=plane.paint.copy())
        return plane.edited(box, read(box), full, measure)

    def _earlier(self, plane: PaintedPlane) -> Sample | None:
        """Return what a plane was before the update, if it had the same shape."""
        sample = self._samples.get((plane.number, plane.index))
        return sample if sample is not None and sample.painted.shape == plane.paint.shape else None

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


def _changed(before: PaintedPlane, read: Callable[[Box], NDArray[np.int32]], full: Full) -> Box | None:
    """Return a box outside of which a plane is as it was: the same paint, and the same objects full."""
    shape = before.paint.shape
    others: list[int] = []
    if full != before.full:
        if full is True or before.full is True:
            return whole(shape)
        others = list(set(full or ()) ^ set(before.full or ()))
    box: Box | None = None
    rows = max(1, _BAND // prod(shape[1:]))
    for start in range(0, shape[0], rows):
        band = (slice(start, min(start + rows, shape[0])), *whole(shape[1:]))
        values = read(band)
        differs = before.painted(band) != values
        if others:
            differs |= np.isin(values, others)
        found = box_of(differs)
        if found is not None:
            found = (slice(found[0].start + start, found[0].stop + start), *found[1:])
            box = found if box is None else enclose(box, found)
    return box


def _fresh(
    planes: Sequence[PaintedPlane], dataset: Dataset, before: dict[_Place, PaintedPlane]
) -> list[Fresh]:
    """Return the pixels with new paint that are trained on."""
    found = []
    for number, (plane, sample) in enumerate(zip(planes, dataset.samples, strict=True)):
        if before.get((plane.number, plane.index)) is not plane:
            flat = plane.fresh[sample.weight.reshape(-1)[plane.fresh] > 0]
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

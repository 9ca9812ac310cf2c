"""A dataset that follows its paint while a network learns from it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.arrays.axes import channels_first, without_equal_channels
from napari_unet.core.arrays.boxes import Box, Plane, box_around, box_of, enclose, part_of, whole
from napari_unet.core.errors import InputError
from napari_unet.core.learning.dataset import Dataset, Sample, join_planes
from napari_unet.core.learning.reading import COLOURS, DatasetConfig
from napari_unet.core.painted.known_full import FollowedFull, KnownFull
from napari_unet.core.painted.object_distance import Full
from napari_unet.core.painted.paint_feed import News, Source
from napari_unet.core.painted.painted_plane import PaintedPlane, measure_plane
from napari_unet.core.painted.weight_update import is_large

_Place = tuple[int, Plane]
"""Number of an image, and index of a plane of it."""

_Edit = tuple[Box, NDArray[np.int32]]
"""The box of a plane in which something changed, and what is painted there now."""

_BAND = 2**18
"""Pixels that are compared at once: they stay in the processor's cache, and take no new memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Fresh:
    """Pixels of sample ``sample`` that were painted last and are trained on: flat indices (N,)."""

    sample: int
    pixels: NDArray[np.intp]


class LiveDataset:
    """The dataset of a running training, which takes in what is painted meanwhile.

    After every update it equals, bit for bit, a dataset built from the paint of that moment, in a fraction of
    the time: what an edit does not reach is neither computed nor copied. So an update rewrites the maps of
    the earlier dataset, which may not be used any more; unless the new paint cannot teach, which leaves the
    dataset as it was.

    Parameters
    ----------
    planes : sequence of PaintedPlane
        What the training begins with, measured as ``config`` says. All but their paint is edited.
    config : DatasetConfig
    """

    def __init__(self, planes: Sequence[PaintedPlane], config: DatasetConfig) -> None:
        self._planes: dict[_Place, PaintedPlane] = {(plane.number, plane.index): plane for plane in planes}
        self._borrowed = set(self._planes)
        """Planes whose paint belongs to the caller."""
        self._full: dict[int, Full] = {plane.number: plane.full for plane in planes}
        self._followed: dict[int, FollowedFull] = {}
        self._config = config
        self._limits: dict[int, NDArray[np.float64]] = {}
        self._refused: dict[int, str] = {}
        self.distance = True
        """Whether the network learns how deep pixels lie in full objects."""
        self.dataset: Dataset = join_planes(planes, config)
        self._joined = dict(self._planes)
        """The planes in the dataset; while paint cannot teach, ``_planes`` are ahead of them."""
        self._samples: dict[_Place, Sample] = dict(zip(self._planes, self.dataset.samples, strict=True))
        self.fresh: tuple[Fresh, ...] = ()
        """What the last update brought."""
        self.held_back: tuple[str, ...] = ()
        """In sentences, what of the paint is not learnt from, and why."""

    def stay(self) -> None:
        """Release what only updates need: no paint will come."""
        self._planes.clear()
        self._joined.clear()
        self._samples.clear()

    def update(self, news: News) -> bool:
        """Take in what was painted; return whether there is another dataset now."""
        for place, touched in news.touched.items():
            try:
                self._refused.pop(place, None)
                self._read(place, news.sources[place], touched)
            except InputError as error:
                self._refused[place] = str(error)
        sentences = list(dict.fromkeys(self._refused.values()))
        changed = False
        if self._planes != self._joined:
            # In the order of a training that begins now, images for scoring alone last.
            planes = sorted(
                self._planes.values(), key=lambda plane: (plane.scored, plane.number, plane.index)
            )
            try:
                dataset = join_planes(
                    planes,
                    self._config,
                    n_classes=self.dataset.n_classes,
                    distance=self.distance,
                    earlier=[self._earlier(plane) for plane in planes],
                )
            except InputError as error:
                sentences.append(f"{error} Until then, training goes on with the paint as it was.")
            else:
                changed = True
                self.dataset = dataset
                self.fresh = tuple(_fresh(planes, dataset, self._joined))
                self._joined = dict(self._planes)
                self._samples = {
                    (plane.number, plane.index): sample
                    for plane, sample in zip(planes, dataset.samples, strict=True)
                }
        self.held_back = tuple(sentences)
        return changed

    def _read(self, place: int, source: Source, touched: set[Plane] | None) -> None:
        """Bring the planes of a source up to date."""
        ndim = self._config.ndim
        chosen = None if touched is None else {plane[: len(source.paint.shape) - ndim] for plane in touched}
        known = self._followed.get(place)
        followed = self._follow_full(place, source)
        if followed is not known:  # new regions may be on planes that nobody touched
            chosen = None
        unknown: set[int] = set()
        edits: dict[Plane, _Edit] = {}
        for index in source.planes(ndim):
            if chosen is None or index in chosen:
                edit = self._find_edit(place, index, source, unknown)
                if edit is not None:
                    edits[index] = edit
        full: Full = False
        if followed is not None:
            for index, (box, values) in edits.items():
                followed.edit(index, box, values)
            full = followed.full
        # An object that became full may be on planes that nobody touched.
        for index in edits if full == self._full.get(place, False) else source.planes(ndim):
            self._follow(place, index, source, edits.get(index), full)
        self._full[place] = full
        if unknown:
            raise InputError(_about_classes(unknown))

    def _follow_full(self, place: int, source: Source) -> FollowedFull | None:
        """Return the follower of a source's full objects, if any may be full."""
        if self._config.mode != "objects" or source.known == KnownFull():
            self._followed.pop(place, None)
            return None
        followed, shape = self._followed.get(place), tuple(source.paint.shape)
        if followed is None or followed.known != source.known or followed.shape != shape:
            followed = self._followed[place] = FollowedFull(source.known, shape)
            for index in source.planes(self._config.ndim):
                plane = self._planes.get((place, index))
                if plane is not None and plane.paint.shape == shape[len(index) :]:
                    everywhere = whole(plane.paint.shape)
                    followed.edit(index, everywhere, plane.painted(everywhere))
        return followed

    def _find_edit(self, place: int, index: Plane, source: Source, unknown: set[int]) -> _Edit | None:
        """Return what changed in a plane; add to ``unknown`` classes on it that the network does not have."""

        def read(box: Box) -> NDArray[np.int32]:
            values = source.read(index, box)
            unknown.update(self._leave_out(values))
            return values

        shape = tuple(source.paint.shape[len(index) :])
        before = self._planes.get((place, index))
        if before is not None and before.paint.shape == shape:
            box = _changed(before, read)
            return None if box is None else (box, read(box))
        values = read(whole(shape))
        return (whole(shape), values) if before is not None or values.any() else None

    def _follow(self, place: int, index: Plane, source: Source, edit: _Edit | None, full: Full) -> None:
        """Bring a plane up to date."""
        shape = tuple(source.paint.shape[len(index) :])
        before = self._planes.get((place, index))
        if before is None or before.paint.shape != shape:
            if edit is None:
                return
            plane, values = None, edit[1]
            if values.any():
                image, measure = self._pixels(place, index, source), self._config.measure
                plane = measure_plane(place, index, image, values, measure, full=full, scored=source.scored)
        else:
            edit = _with_objects(before, edit, full)
            if edit is not None:
                plane = self._edit(before, *edit, full)
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
        if self._config.mode == "objects" or values.max() <= highest:
            return set()
        beyond = values > highest
        classes = set(np.unique(values[beyond]).tolist())
        values[beyond] = 0
        return classes

    def _edit(self, before: PaintedPlane, box: Box, values: NDArray[np.int32], full: Full) -> PaintedPlane:
        """Return a plane after an edit in ``box`` alone."""
        measure = self._config.measure
        if is_large(box, before.paint.shape):
            painted = before.painted(whole(before.paint.shape)).copy()
            painted[box] = values
            plane = measure_plane(
                before.number, before.index, before.image, painted, measure, full=full, scored=before.scored
            )
            flat = plane.pixels.flat
            return replace(plane, fresh=flat[before.paint.reshape(-1)[flat] != plane.pixels.values])
        if (before.number, before.index) in self._borrowed:
            before = replace(before, paint=before.paint.copy())
        return before.edited(box, values, full, measure)

    def _earlier(self, plane: PaintedPlane) -> Sample | None:
        """Return what a plane was before the update, if it had the same shape."""
        sample = self._samples.get((plane.number, plane.index))
        return sample if sample is not None and sample.painted.shape == plane.paint.shape else None

    def _pixels(self, place: int, index: Plane, source: Source) -> NDArray[np.float32]:
        """Return the normalised intensities of a plane that nothing was painted on before."""
        config = self._config
        image = channels_first(
            source.image, ndim=config.ndim, channels=config.channels, paint_shape=tuple(source.paint.shape)
        )
        if self.dataset.in_channels == 1:
            image = without_equal_channels(image)
        if len(image) != self.dataset.in_channels:
            raise InputError(_about_channels(len(image), self.dataset.in_channels))
        if place not in self._limits:
            self._limits[place] = config.normalisation.limits(image)
        plane: tuple[Any, ...] = (slice(None), *index)
        return config.normalisation.scale(image[plane], self._limits[place])


def _changed(before: PaintedPlane, read: Callable[[Box], NDArray[np.int32]]) -> Box | None:
    """Return a box around all changes of the paint of a plane; None if there are none."""
    shape = before.paint.shape
    box: Box | None = None
    rows = max(1, _BAND // prod(shape[1:]))
    for start in range(0, shape[0], rows):
        band = (slice(start, min(start + rows, shape[0])), *whole(shape[1:]))
        found = box_of(before.painted(band) != read(band))
        if found is not None:
            found = (slice(found[0].start + start, found[0].stop + start), *found[1:])
            box = found if box is None else enclose(box, found)
    return box


def _with_objects(before: PaintedPlane, edit: _Edit | None, full: Full) -> _Edit | None:
    """Return an edit, widened to the objects that have become full or no longer are."""
    if full == before.full:
        return edit
    pixels, shape = before.pixels, before.paint.shape
    box = None if edit is None else edit[0]
    if full is True or before.full is True:
        box = whole(shape)
    else:
        flat = pixels.flat[np.isin(pixels.values, list(set(full or ()) ^ set(before.full or ())))]
        if flat.size:
            around = box_around(flat, shape)
            box = around if box is None else enclose(box, around)
    if box is None:
        return None
    values = before.painted(box).copy()
    if edit is not None:
        values[part_of(edit[0], box)] = edit[1]
    return box, values


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


def _about_channels(found: int, learnt: int) -> str:
    if learnt == 1 and found == COLOURS:
        return (
            "A colour image was painted on, but the network learns from grey ones; train on it separately "
            "or, if the grey ones were saved in colours, start a new training with all of them."
        )
    return (
        f"An image with {found} channels was painted on, but the network learns from {learnt}; train on it "
        "separately."
    )


def _about_classes(values: set[int]) -> str:
    named = ", ".join(str(value) for value in sorted(values))
    classes, them = ("class", "it") if len(values) == 1 else ("classes", "them")
    return f"This training began without {classes} {named}; start another for the network to learn {them}."

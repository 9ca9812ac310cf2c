"""Tells a running training what is painted in the viewer, at next to no cost for the main thread."""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from qtpy.QtCore import QObject

from napari_unet.core.arrays.boxes import Plane
from napari_unet.core.painted.paint_feed import PaintFeed, Source
from napari_unet.widgets.bridge.layers import annotation_of, copy_image, has_paint
from napari_unet.widgets.bridge.marks import full_data, known_full_of, mode_of
from napari_unet.widgets.window.lifetime import follow, later


class TrainingLayers(NamedTuple):
    """A layer pair of a training; ``pixels`` are those of the image, as the training uses them."""

    image: Image
    paint: Labels
    pixels: Any
    scored: bool = False


class PaintWatch(QObject):
    """Follows the paint of a training, whatever changes it: strokes, erasing, undo, scripts.

    ``learnt`` is what the training begins with: the images to learn from, then those for scoring. With
    ``all_images``, every other image joins when it is painted on with paint of the same mode.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        learnt: Sequence[TrainingLayers],
        *,
        all_images: bool,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._all_images = all_images
        self._images = {one.image for one in learnt}
        self._mode = mode_of(learnt[0].paint)
        self._learnt = {one.paint: one for one in learnt}
        self._followed = ExitStack()
        self._listens = True
        self._noted: dict[Labels, set[Plane | None]] = {}
        self._soon = later(self, 0, self._tell_noted)
        self.feed = PaintFeed([_source(one) for one in learnt])
        self._at: dict[Labels, tuple[int, ...]] = {}
        for one in learnt:
            self._follow(one.paint)
        emitters = viewer.layers.events.inserted, viewer.layers.selection.events.active
        self._followed.callback(follow(self, self._look, *emitters))
        self._look()

    def listen(self, on: bool) -> None:
        """Let paint join from now on, beginning with all that waited; or let it wait."""
        was, self._listens = self._listens, on
        if on and not was:
            for paint in list(self._learnt):
                self._tell(paint)

    def joins(self, image: Image) -> bool:
        """Return whether strokes on ``image`` reach the training now, even the first ones there."""
        paint = annotation_of(self._viewer, image)
        if paint is None:
            return self._listens and self._all_images and image not in self._images
        return self._listens and paint in self._learnt and mode_of(paint) == self._mode

    def close(self) -> None:
        """End: the training is over."""
        self._followed.close()
        self._soon.stop()
        self._learnt.clear()
        self.deleteLater()

    def _look(self, _event: object = None) -> None:
        """Follow new annotation layers, also those of images that were painted on before."""
        for image in self._viewer.layers if self._all_images else ():
            if not isinstance(image, Image) or image in self._images:
                continue
            paint = annotation_of(self._viewer, image)
            if paint is not None and mode_of(paint) == self._mode:
                self._images.add(image)
                # Copied when the first stroke is made: most images are never painted on.
                self._learnt[paint] = TrainingLayers(image, paint, None)
                self._follow(paint)
                self._tell(paint)

    def _follow(self, paint: Labels) -> None:
        self._at[paint] = tuple(self._viewer.dims.current_step)
        events = paint.events
        self._followed.callback(follow(self, self._on_stroke, events.paint))
        self._followed.callback(follow(self, self._on_change, events.data, events.metadata))
        self._followed.callback(follow(self, self._on_shown, events.set_data))

    def _on_stroke(self, event: Any) -> None:
        """Report a stroke, a fill or a polygon."""
        for plane in _planes(event.value, event.source.ndim):
            self._note(event.source, plane)

    def _on_change(self, event: Any) -> None:
        self._note(event.source, None)

    def _on_shown(self, event: Any) -> None:
        """Report undo and redo: this event is all they send. Sliders send it, too, but change nothing."""
        at = tuple(self._viewer.dims.current_step)
        if self._at.get(event.source) == at:
            self._note(event.source, None)
        self._at[event.source] = at

    def _note(self, paint: Labels, plane: Plane | None) -> None:
        """Report soon: napari sends the event just before it paints."""
        self._noted.setdefault(paint, set()).add(plane)
        self._soon.start()

    def _tell_noted(self) -> None:
        noted, self._noted = self._noted, {}
        for paint, planes in noted.items():
            for plane in [None] if None in planes else planes:
                self._tell(paint, plane)

    def _tell(self, paint: Labels, plane: Plane | None = None) -> None:
        one = self._learnt.get(paint)
        if one is None or not self._listens or mode_of(paint) != self._mode:
            return
        if one.pixels is None:
            if not has_paint(paint):
                return
            one = self._learnt[paint] = one._replace(pixels=copy_image(one.image))
        self.feed.put(_source(one), plane)


def _source(one: TrainingLayers) -> Source:
    return Source(
        one.image.unique_id, one.pixels, full_data(one.paint), known_full_of(one.paint), scored=one.scored
    )


def _planes(item: Iterable[Any], ndim: int) -> set[Plane]:
    """Return the planes (YX) with the atoms of a stroke, as napari's event gives them."""
    planes: set[Plane] = set()
    for atom in item:
        where = getattr(atom, "slice_key", None)
        if where is None:
            indices = np.stack([np.ravel(axis) for axis in atom[0]], axis=-1)[:, : ndim - 2]
            planes |= {tuple(at) for at in np.unique(indices, axis=0).tolist()}
        else:
            ranges = [range(part.start, part.stop) for part in where[: ndim - 2]]
            planes |= set(product(*ranges))
    return planes

"""Predicted objects that follow the settings they are read with, without running the network again."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]  # no qtpy stubs

from napari_unet.core.arrays.boxes import Plane
from napari_unet.core.arrays.sparse import equal_planes
from napari_unet.core.control import Control
from napari_unet.core.correcting.corrected import count_from
from napari_unet.core.instances import InstanceConfig
from napari_unet.core.objects.rereading import Rereading
from napari_unet.widgets.bridge.layers import annotation_of, predicted_labels, update_plane
from napari_unet.widgets.bridge.marks import source_of
from napari_unet.widgets.bridge.placement import pixel_shown
from napari_unet.widgets.bridge.timeline import corrected_in, timeline_of
from napari_unet.widgets.guiding.next_place_run import Known
from napari_unet.widgets.models.model_chooser import ModelFacts
from napari_unet.widgets.parts.latest import Latest
from napari_unet.widgets.predicting.prediction_run import MOST_KEPT
from napari_unet.widgets.window.lifetime import follow


@dataclass(frozen=True, slots=True, eq=False)
class _Result:
    """A layer of predicted objects; ``rereading`` is None if its probabilities were dropped.

    ``facts`` belong to the model that predicted it.
    """

    layer: Labels
    rereading: Rereading | None
    facts: ModelFacts | None = None


@dataclass(slots=True, eq=False)
class _Tally:
    """What was shown since a setting was changed.

    This is the ``highest`` number, and how many ``more`` objects than were read, because the user corrected
    some; it may be less than 0.
    """

    highest: int = 0
    more: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Objects:
    """The objects (spatial...) of one plane of a layer, or None where the user's edits are in the way.

    They are numbered on from ``taken``, or from 0 if they are shown ahead of the other planes.
    """

    layer: Labels
    plane: Plane
    labels: NDArray[np.int32] | None
    discard_edits: bool
    tally: _Tally
    taken: int = 0
    is_ahead: bool = False


class LiveObjects(QObject):
    """Keeps the probabilities of results in this window, and reads their objects again.

    A result is dropped when its layer leaves the viewer.
    """

    refreshed = Signal(int)
    """Objects were replaced; sends the highest number among all objects read with these settings."""
    blocked = Signal(str)
    """Objects were not replaced; sends a sentence on why."""
    edited = Signal(str)
    """Not replaced, because the user edited them; sends a sentence. :meth:`refresh` may discard the edits."""

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._results: dict[Image, _Result] = {}
        self._latest = Latest("Objects", self, patient=True)
        self._latest.result.connect(self._show)
        self._latest.failed.connect(self.blocked)
        follow(self, self._forget, viewer.layers.events.removed)

    def remember(
        self, image: Image, layer: Labels, rereading: Rereading | None, facts: ModelFacts | None = None
    ) -> None:
        """Keep what was predicted for ``image``, or for a plane of it, and is shown by ``layer``.

        ``rereading`` is None if it is too large to be kept; changes of settings then say so. ``facts`` belong
        to the model.
        """
        self._latest.cancel()
        before = self._results.pop(image, None)
        if before is not None and before.layer is layer and before.rereading and rereading:
            first, new = (next(iter(some.foregrounds.items())) for some in (before.rereading, rereading))
            if (len(first[0]), first[1].shape) == (len(new[0]), new[1].shape):
                rereading = before.rereading.with_planes(rereading)
        self._results[image] = _Result(layer, rereading, facts)
        kept = 0
        for source, result in reversed(list(self._results.items())):
            if result.rereading is not None:
                kept += result.rereading.nbytes
                if kept > MOST_KEPT:
                    self._results[source] = _Result(result.layer, None)

    def known(self, image: Image) -> Known | None:
        """Return what is kept for ``image``, and which model predicted it."""
        result = self._results.get(image)
        if result is None or result.rereading is None or result.facts is None:
            return None
        facts = result.facts
        return Known(facts.path, result.rereading, facts.class_names, facts.reading)

    def cancel(self) -> None:
        """Drop what is being computed."""
        self._latest.cancel()

    def refresh(self, image: Image | None, config: InstanceConfig, *, discard_edits: bool = False) -> None:
        """Read the objects of ``image`` with other settings, those of the visible plane first.

        If there is no result in this window, nothing happens.
        """
        result = None if image is None else self._results.get(image)
        if result is None:
            return
        if result.rereading is None:
            self.blocked.emit(
                f"The probabilities of '{result.layer.name}' are too large to be kept; press Predict to see "
                "these settings."
            )
            return
        shown = predicted_labels(result.layer)
        if shown is None:
            return
        layer, rereading = result.layer, result.rereading
        data = layer.data
        visible = pixel_shown(self._viewer, layer)[: len(next(iter(rereading.foregrounds)))]

        tally = _Tally()

        def read_visible(_control: Control) -> Iterator[_Objects]:
            # All planes, before any is replaced: half a stack with other settings helps nobody.
            if not discard_edits and not equal_planes(data, shown):
                yield _Objects(layer, visible, None, discard_edits, tally)
            elif visible in rereading.foregrounds:
                labels = rereading.read(visible, config, is_visible=True)
                yield _Objects(layer, visible, labels, discard_edits, tally, is_ahead=bool(visible))

        def read_all(control: Control) -> Iterator[_Objects]:
            elsewhere = _highest_elsewhere(data, rereading)
            for plane, labels, taken in rereading.read_all(config, elsewhere):
                if control.stopped:
                    return
                yield _Objects(layer, plane, labels, discard_edits, tally, taken)

        self._latest.submit(*((read_visible, read_all) if visible else (read_visible,)))

    def _show(self, objects: _Objects) -> None:
        layer, tally = objects.layer, objects.tally
        if layer not in self._viewer.layers:
            return
        if objects.labels is not None:
            paint = annotation_of(self._viewer, source_of(self._viewer, layer))
            labels, taken = objects.labels, objects.taken + tally.more
            corrected = corrected_in(paint, layer.data.shape)
            if corrected is not None and (tally.more or corrected.is_about(objects.plane)):
                labels = corrected.keep(labels, objects.plane, taken=taken)
            if update_plane(layer, objects.plane, labels, discard_edits=objects.discard_edits):
                if paint is not None:
                    timeline_of(paint).forget(layer)  # its objects were replaced
                if not objects.is_ahead:
                    tally.more += count_from(taken, labels) - count_from(objects.taken, objects.labels)
                # The last plane of a stack may have none.
                tally.highest = max(tally.highest, int(labels.max(initial=0)))
                self.refreshed.emit(tally.highest)
                return
        self._latest.cancel()
        self.edited.emit(
            f"You edited '{layer.name}', so it was not changed; press Take corrections under Paint, "
            "or discard your edits here, to see it with other settings."
        )

    def _forget(self, _event: Any) -> None:
        self._results = {
            image: result
            for image, result in self._results.items()
            if image in self._viewer.layers and result.layer in self._viewer.layers
        }


def _highest_elsewhere(labels: NDArray[Any], rereading: Rereading) -> int:
    """Return the highest label on planes whose probabilities are not kept."""
    axes = len(next(iter(rereading.foregrounds)))
    others = (plane for plane in np.ndindex(labels.shape[:axes]) if plane not in rereading.foregrounds)
    return max((int(labels[plane].max(initial=0)) for plane in others), default=0)

"""Lets the newest model look at images without a prediction, and keeps what it says."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from napari.components import ViewerModel
from napari.layers import Image, Labels
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]  # no qtpy stubs

from napari_unet.core.arrays.boxes import Plane
from napari_unet.core.control import Control
from napari_unet.core.objects.rereading import Rereading
from napari_unet.network.config import PredictionConfig
from napari_unet.widgets.guiding.next_place_run import Known, planes_to_look_at
from napari_unet.widgets.jobs import Job, Waiting
from napari_unet.widgets.models.model_chooser import ModelFacts
from napari_unet.widgets.predicting.prediction_run import Segmented, SourceWanted, TilesDone, segment
from napari_unet.widgets.predicting.prediction_targets import (
    Target,
    is_stack,
    plane_shown,
    source_image,
    target_of,
)
from napari_unet.widgets.window.lifetime import follow
from napari_unet.widgets.window.preferences import read_preferences

_MOST_KEPT = 2**28
"""Bytes of probabilities kept from earlier looks: little beside those of predictions (``MOST_KEPT``), as
looking again takes only a moment. The last look is always kept."""


class Onlooker(QObject):
    """Predicts for the places to paint, without showing what it predicts."""

    told = Signal(str)
    """Progress, as a sentence."""

    ended = Signal(str)
    """It has looked, or was stopped; sends a failure as a sentence, or ""."""

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._known: dict[Image, Known] = {}
        self._job: Job | None = None
        self._planes: dict[Image, dict[Plane, NDArray[Any]]] = {}
        follow(self, self._on_removed, viewer.layers.events.removed)

    @property
    def is_looking(self) -> bool:
        """Whether a prediction is running."""
        return self._job is not None

    def known(self, image: Image) -> Known | None:
        """Return what a model predicted for ``image`` when it looked."""
        return self._known.get(image)

    def stop(self) -> None:
        """Stop looking."""
        if self._job is not None:
            self._job.stop()

    def targets(self, image: Image, paint: Labels, facts: ModelFacts) -> list[Target]:
        """Return the planes of ``image`` that are worth a look, or say why the model cannot segment it."""
        target = target_of(self._viewer, image, "auto", facts)
        if not is_stack(target, facts):
            return [target]
        leading = paint.data.shape[: paint.ndim - facts.ndim]
        visible = plane_shown(self._viewer, target)[: len(leading)]
        return [replace(target, plane=plane) for plane in planes_to_look_at(leading, visible)]

    def look(self, targets: Sequence[Target], facts: ModelFacts) -> None:
        """Let the model look at all of these; :attr:`ended` is sent afterwards."""
        self._planes = {}
        device = read_preferences().device

        def events(control: Control) -> Iterator[object]:
            return segment(
                facts.path,
                len(targets),
                ("probabilities",),
                PredictionConfig(),
                device=device,
                keep_unfinished=False,
                control=control,
            )

        names = list(dict.fromkeys(target.layer.name for target in targets))
        where = names[0] if len(names) == 1 else f"{len(names)} images"
        job = self._job = Job(events, f"Looking where to paint on {where}", len(targets), parent=self)
        self.told.emit("The network looks at the image.")
        job.happened.connect(partial(self._on_event, targets))
        job.ended.connect(partial(self._on_ended, facts))
        job.start()

    def _on_event(self, targets: Sequence[Target], event: object) -> None:
        match event:
            case Waiting():
                # A training is computing, for minutes: what is known already must do.
                self.stop()
            case SourceWanted():
                event.answer.put(source_image(self._viewer, targets[event.number]))
            case TilesDone():
                share = (event.number + event.share) / len(targets)
                self.told.emit(f"The network looks at the image: {share:.0%}.")
            case Segmented():
                planes = self._planes.setdefault(targets[event.number].layer, {})
                # A copy: otherwise the background would stay in memory, too.
                planes[event.plane] = event.results["probabilities"][1:].copy()

    def _on_ended(self, facts: ModelFacts) -> None:
        job, self._job = self._job, None
        found, self._planes = self._planes, {}
        for image, planes in found.items():
            rereading = Rereading({})
            for plane, foreground in planes.items():
                rereading = rereading.with_planes(Rereading.of(foreground, facts.ndim, plane))
            self._known.pop(image, None)  # so that this becomes the latest
            self._known[image] = Known(facts.path, rereading, facts.class_names, facts.reading)
        self._forget(image for image in self._known if image not in self._viewer.layers)
        kept = 0
        for image, known in list(self._known.items())[::-1]:
            kept += known.rereading.nbytes
            if kept > _MOST_KEPT and image not in found:
                self._forget([image])
        self.ended.emit((job and job.failure) or "")

    def _on_removed(self, event: Any) -> None:
        self._forget([event.value])

    def _forget(self, images: Iterable[Any]) -> None:
        for image in list(images):
            self._known.pop(image, None)

"""Leads the user to where a stroke would teach most: a button, a key, and a map of the uncertainty."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from weakref import ref

from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from numpy.typing import NDArray
from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # no qtpy stubs
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.core.place import in_words
from napari_unet.core.rereading import Plane, Rereading
from napari_unet.network.config import PredictionConfig
from napari_unet.widgets.form import LayerChooser, Sentence, Tone, button, describe
from napari_unet.widgets.jobs import Job, Waiting
from napari_unet.widgets.latest import Latest
from napari_unet.widgets.layers import add_result, annotation_of, copy_image, copy_paint, has_paint
from napari_unet.widgets.lifetime import follow, is_alive
from napari_unet.widgets.marks import image_channels, mark_of, mode_of, source_of
from napari_unet.widgets.model_chooser import ModelFacts, newest_model, read_facts
from napari_unet.widgets.next_place_run import Known, Question, Ranked, planes_to_look_at, rank
from napari_unet.widgets.place_view import show_place
from napari_unet.widgets.prediction_events import Segmented, SourceWanted, TilesDone
from napari_unet.widgets.prediction_run import segment
from napari_unet.widgets.prediction_targets import Target, copy_of, is_stack, plane_shown, target_of
from napari_unet.widgets.preferences import read_preferences

KEY = "J"
"""Leads to the next place while an annotation layer is selected."""

_NO_PAINT = "Make the annotation layer first; then this leads you to where a stroke teaches most."
_NOTHING = "Paint some background and one object first; then this leads you to what looks unlike them."
_NO_MODEL = "No network has looked at this image yet; train one first, then its uncertainty shows."
_BY_LOOKS = "No network has looked at this image yet, so this goes by its looks alone."
_CERTAIN = (
    "The network is certain of all that is not painted here: look for its mistakes yourself, or try another "
    "image."
)
_CERTAIN_HERE = (
    "The network is certain of all that you see here: zoom out, or look elsewhere, and press again."
)
_ALL_PAINTED = "Everything is painted here, or close to paint: try another image."


@dataclass(frozen=True, slots=True, eq=False)
class _Request:
    """What was asked for: a place to go to, or the map alone."""

    image: Image
    paint: Labels
    leads: bool


class NextPlace(QWidget):
    """The button *Show me where to paint next*, what it says, and the map it goes by.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Its camera is moved.
    image : LayerChooser
        Says in which image.
    """

    told = Signal(str, str)
    """What it says, and in which tone."""

    def __init__(self, viewer: ViewerModel, image: LayerChooser) -> None:
        super().__init__()
        self._viewer = viewer
        self._chooser = image
        self._model: Callable[[], Path | None] = _newest
        self._kept: Callable[[Image], Known | None] = lambda _image: None
        self._seen: Callable[[Image], Known | None] = lambda _image: None
        self._own: tuple[Image, Known] | None = None
        self._shown: list[tuple[int, ...]] = []
        self._shown_of: tuple[Image, Path | None, bool] | None = None
        self._request: _Request | None = None
        self._job: Job | None = None
        self._planes: dict[Plane, NDArray[Any]] = {}
        self._failure = ""
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        go = button(
            "Show me where to paint next",
            self.go,
            name="next_go",
            tooltip="Move the view to the place where a stroke would teach most: where the network is\n"
            f"uncertain, nothing is painted, and you have not been. Key {KEY} on the annotation layer.",
        )
        self.show_map = QCheckBox("Show where the network is uncertain")
        describe(
            self.show_map,
            name="next_map",
            tooltip="Show an image layer that is bright where the most probable classes rival each other.",
        )
        self.show_map.toggled.connect(self._on_show_map)
        self._sentence = Sentence("next_sentence")
        for widget in (go, self.show_map, self._sentence):
            column.addWidget(widget)
        self._ranking = Latest("Looking where to paint", self)
        self._ranking.result.connect(self._on_ranked)
        self._ranking.failed.connect(lambda sentence: self._say(sentence, "error"))
        image.layer_changed.connect(lambda _layer: self._say(""))
        follow(self, viewer.layers.events.removed, self._on_removed)

    def use(
        self,
        model: Callable[[], Path | None],
        kept: Callable[[Image], Known | None],
        seen: Callable[[Image], Known | None],
    ) -> None:
        """Ask ``model`` which one is to look, and for what is known already.

        ``kept`` is what a prediction said, ``seen`` what a network that learns makes of the visible part.
        """
        self._model, self._kept, self._seen = model, kept, seen

    def bind_key(self, paint: Labels) -> None:
        """Let the key lead to the next place while this annotation layer is selected."""
        this = ref(self)

        def lead(_layer: Labels) -> None:
            widget = this()
            if widget is not None and is_alive(widget):
                widget.go()

        paint.bind_key(KEY, lead, overwrite=True)

    @property
    def is_busy(self) -> bool:
        """Whether the network looks at the image, or places are compared."""
        return self._job is not None or self._ranking.is_running

    def go(self) -> None:
        """Lead to the next place, as soon as it is known."""
        self._look(leads=True)

    def stop(self) -> None:
        """Give up what is being computed."""
        self._request = None
        if self._job is not None:
            self._job.stop()
        self._ranking.cancel()

    def _look(self, *, leads: bool) -> None:
        if self.is_busy:
            return
        image = self._chooser.layer
        paint = None if image is None else annotation_of(self._viewer, image)
        if image is None or paint is None:
            self._say(_NO_PAINT, "warning")
            return
        self._request = request = _Request(image, paint, leads)
        learning = self._seen(image)
        if learning is not None:
            self._rank(request, learning)
            return
        known, facts, target = self._known(image), None, None
        with suppress(InputError):  # without a model that suits, looks must do
            facts = read_facts(self._model())
            target = target_of(self._viewer, image, "auto", facts)
        if facts is None or target is None or (known is not None and known.model == facts.path):
            self._rank(request, known)
        else:
            self._predict(request, target, facts)

    def _known(self, image: Image) -> Known | None:
        """Return what a network said of ``image``, the newest if there are several."""
        own = self._own[1] if self._own is not None and self._own[0] is image else None
        kept = self._kept(image)
        newest = self._model()
        known = [each for each in (kept, own) if each is not None]
        return next((each for each in known if each.model == newest), known[0] if known else None)

    # The network looks at the image, if it has not done so.

    def _predict(self, request: _Request, target: Target, facts: ModelFacts) -> None:
        targets = [target]
        if is_stack(target, facts):
            leading = request.paint.data.shape[: request.paint.ndim - facts.ndim]
            visible = plane_shown(self._viewer, target)[: len(leading)]
            targets = [replace(target, plane=plane) for plane in planes_to_look_at(leading, visible)]
        self._planes, self._failure = {}, ""
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

        job = self._job = Job(
            events, f"Looking where to paint on {request.image.name}", len(targets), parent=self
        )
        self._say("The network looks at the image.")
        job.happened.connect(partial(self._on_event, targets))
        job.failed.connect(self._on_failed)
        job.ended.connect(partial(self._on_predicted, facts))
        job.start()

    def _on_event(self, targets: list[Target], event: object) -> None:
        match event:
            case Waiting():
                # A training computes, for minutes: what is known already must do.
                if self._job is not None:
                    self._job.stop()
            case SourceWanted():
                event.answer.put(copy_of(self._viewer, targets[event.number]))
            case TilesDone():
                share = (event.number + event.share) / len(targets)
                self._say(f"The network looks at the image: {share:.0%}.")
            case Segmented():
                self._planes[event.plane] = event.results["probabilities"][1:]

    def _on_failed(self, sentence: str) -> None:
        self._failure = sentence

    def _on_predicted(self, facts: ModelFacts) -> None:
        if self._job is not None:
            self._job.deleteLater()
        self._job = None
        planes, self._planes = self._planes, {}
        request = self._request
        if request is None or request.image not in self._viewer.layers:
            self._say("")
            return
        if planes:
            rereading = Rereading({})
            for plane, foreground in planes.items():
                rereading = rereading.with_planes(Rereading.of(foreground, facts.ndim, plane))
            self._own = request.image, Known(facts.path, rereading, facts.class_names, facts.reading)
        if self._failure:
            self._say(self._failure, "error")
        else:
            self._rank(request, self._known(request.image))

    # Where to go, and going there.

    def _rank(self, request: _Request, known: Known | None) -> None:
        image, paint = request.image, request.paint
        if known is None and (not request.leads or not has_paint(paint)):
            self._say(_NOTHING if request.leads else _NO_MODEL, "warning")
            return
        eyes = image, None if known is None else known.model, known is None
        if self._shown_of != eyes:  # with other eyes, all places are new
            self._shown, self._shown_of = [], eyes
        leading = paint.data.shape[:-2]
        point = paint.world_to_data(self._viewer.dims.point[-paint.ndim :])
        visible = tuple(
            min(max(round(float(at)), 0), length - 1) for at, length in zip(point, leading, strict=False)
        )
        question = Question(
            image=copy_image(image),
            channels=image_channels(image, paint),
            paint=copy_paint(paint),
            mode=mode_of(paint),
            known=known,
            planes=planes_to_look_at(leading, visible),
            shown=tuple(self._shown),
            wants_map=known is not None and self.show_map.isChecked(),
        )
        self._ranking.submit(lambda _control: rank(question))

    def _on_ranked(self, ranked: Ranked) -> None:
        request = self._request
        layers = self._viewer.layers
        if request is None or request.image not in layers or request.paint not in layers:
            self._say("")
            return
        if ranked.uncertainty is not None:
            shown = add_result(self._viewer, request.image, "uncertainty", ranked.uncertainty)
            if shown is not None:
                shown.visible = True
        if not request.leads:
            self._say("")
            return
        if not ranked.places:
            known = ranked.known
            self._say(_ALL_PAINTED if known is None else _CERTAIN_HERE if known.model is None else _CERTAIN)
            return
        place = ranked.places[0]
        self._shown = [*([] if ranked.again else self._shown), place.centre]
        show_place(self._viewer, request.image, request.paint, place.centre, place.radius)
        words = [in_words(place) if ranked.known is None else in_words(place, ranked.known.names)]
        if ranked.again:
            words.insert(0, "You have been everywhere once, so this begins anew.")
        if ranked.known is None:
            words.append(_BY_LOOKS)
        self._say(" ".join(words))

    def _say(self, sentence: str, tone: Tone = "hint") -> None:
        self._sentence.say(sentence, tone)
        self.told.emit(sentence, tone)

    def _on_show_map(self, show: bool) -> None:
        if show:
            self._look(leads=False)
            return
        image = self._chooser.layer
        for layer in self._viewer.layers:
            if _is_map(layer) and source_of(self._viewer, layer) is image:
                layer.visible = False

    def _on_removed(self, event: Any) -> None:
        if self._own is not None and self._own[0] not in self._viewer.layers:
            self._own = None
        if self._shown_of is not None and self._shown_of[0] not in self._viewer.layers:
            self._shown, self._shown_of = [], None
        if _is_map(event.value):
            self.show_map.setChecked(False)


def _is_map(layer: Layer) -> bool:
    mark = mark_of(layer)
    return mark is not None and mark.kind == "uncertainty"


def _newest() -> Path | None:
    return newest_model(read_preferences().models_folder)

"""Leads the user to where a stroke would teach most: a button, a key, and a map of the uncertainty."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from napari.components import ViewerModel
from napari.layers import Image, Labels
from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # no qtpy stubs
from qtpy.QtWidgets import QWidget

from napari_unet.core.errors import InputError
from napari_unet.core.guiding.next_place import in_words
from napari_unet.widgets.bridge.layers import (
    add_result,
    annotation_of,
    check_fits,
    has_paint,
    pixels_of,
    remove_orphans,
)
from napari_unet.widgets.bridge.marks import (
    full_data,
    image_channels,
    images_of,
    kind_of,
    known_full_of,
    layers_of,
    mode_of,
)
from napari_unet.widgets.bridge.placement import pixel_shown
from napari_unet.widgets.correcting.corrector import holds_tool
from napari_unet.widgets.guiding.next_place_run import (
    MOST_PLANES,
    Known,
    Question,
    Ranked,
    planes_to_look_at,
    rank,
)
from napari_unet.widgets.guiding.place_view import RING, show_place, turn_to
from napari_unet.widgets.jobs import once
from napari_unet.widgets.models.model_chooser import ModelFacts, newest_model, read_facts
from napari_unet.widgets.parts.form import Column, LayerChooser, Sentence, Tone, button, check_box
from napari_unet.widgets.parts.latest import Latest
from napari_unet.widgets.predicting.onlooker import Onlooker
from napari_unet.widgets.predicting.prediction_targets import Target
from napari_unet.widgets.projects.window_project import project_of
from napari_unet.widgets.training.live_preview import LivePreviewLayer
from napari_unet.widgets.window.lifetime import bind_key, follow, later

KEY = "J"
"""Key that leads to the next place, whichever layer is selected: napari leaves it free for all of them."""

_LEADS = (
    "Move the view to the place where a stroke would teach most: where the network is\n"
    "uncertain, nothing is painted, and you have not been, in any of the images with an\n"
    f"annotation layer. Key {KEY}, whichever layer is selected."
)
_MAP = "Show an image layer that is bright where the network can hardly decide."

_MAP_KIND: Literal["uncertainty"] = "uncertainty"

_STAY = 1.5
"""How much better a place in another image must be while a network learns: it sees only parts of that."""

_AGAIN_MS = 200
"""Milliseconds after which it is looked again whether the network has looked around."""

_NO_PAINT = "Make the annotation layer first; then this leads you to where a stroke teaches most."
_NOTHING = "Paint some background and one object first; then this leads you to what looks different."
_NO_MODEL = "No network has looked at this image yet; train one first, then its uncertainty shows."
_BY_LOOKS = "No network has looked at this image yet, so this goes by its appearance alone."
_CERTAIN = (
    "The network is certain of everything unpainted here: look for its mistakes yourself, or try another "
    "image."
)
_CERTAIN_HERE = (
    "The network is certain of everything you see here: zoom out, or look elsewhere, and press again."
)
_CERTAIN_THERE = (
    "The network is certain of everything you see here, and of what it looked at elsewhere: zoom out, or "
    "look elsewhere, and press again."
)
_GLANCES = "The network looks around, which takes a moment."
_ALL_PAINTED = "Everything is painted here, or close to paint: try another image."


_Pair = tuple[Image, Labels]
"""An image and its annotation layer."""


@dataclass(frozen=True, slots=True, eq=False)
class _Request:
    """What was asked for: a place to go to, or only the map; in these images, one of them the chosen one."""

    pairs: tuple[_Pair, ...]  # the chosen one first
    leads: bool


class NextPlace(QWidget):
    """The button *Show me where to paint next*, its sentences, and the map that it uses.

    It begins in the chosen image; another one with an annotation layer is chosen if it has a better place.
    """

    told = Signal(str, str)
    """A sentence and its tone."""

    def __init__(self, viewer: ViewerModel, image: LayerChooser) -> None:
        super().__init__()
        self._viewer = viewer
        self._chooser = image
        self._model: Callable[[], Path | None] = lambda: newest_model(project_of(viewer).model_folders)
        self._kept: Callable[[Image], Known | None] = lambda _image: None
        self._preview: Callable[[], LivePreviewLayer | None] = lambda: None
        self._is_glancing = False
        self._shown: dict[Image, list[tuple[int, ...]]] = {}
        self._shown_by: tuple[Path | None, bool] | None = None
        self._request: _Request | None = None
        self._onlooker = Onlooker(viewer, self)
        self._onlooker.told.connect(self._say)
        self._onlooker.ended.connect(self._on_looked)
        column = Column(self)
        self._go = button("Show me where to paint next", self.go, name="next_go", tooltip=_LEADS)
        self.show_map = check_box(
            "Show where it is uncertain", self._on_show_map, name="next_map", tooltip=_MAP
        )
        self._sentence = Sentence("next_sentence")
        for widget in (self._go, self.show_map, self._sentence):
            column.addWidget(widget)
        self._ranking = Latest("Looking where to paint", self)
        self._ranking.result.connect(self._on_ranked)
        self._ranking.failed.connect(lambda sentence: self._say(sentence, "error"))
        self._wanted = False  # whether a place is wanted, not a map alone, that was asked for meanwhile
        self._asked_again = later(self, _AGAIN_MS, self._ask_again)
        image.layer_changed.connect(self._on_image)
        follow(self, self._on_removed, viewer.layers.events.removed)
        # Not within the event: napari's list of layers must handle one removal before the next.
        self._orphaned = later(self, 0, partial(remove_orphans, viewer, RING, _MAP_KIND))
        bind_key(viewer, KEY, self, NextPlace.go)

    def use(
        self,
        model: Callable[[], Path | None],
        kept: Callable[[Image], Known | None],
        preview: Callable[[], LivePreviewLayer | None],
    ) -> None:
        """Take the model from ``model``, and what is known already from the other two.

        ``kept`` has earlier predictions; ``preview`` has what a network that is learning predicts for the
        visible part, and for parts of other images once it has glanced at them.
        """
        self._model, self._kept, self._preview = model, kept, preview

    def allow(self, *, has_annotation: bool) -> None:
        """Enable the button and the map, or say in their tooltips what comes first."""
        for control, tooltip in ((self._go, _LEADS), (self.show_map, _MAP)):
            control.setEnabled(has_annotation)
            control.setToolTip(tooltip if has_annotation else _NO_PAINT)

    @property
    def is_busy(self) -> bool:
        """Whether the network is looking at the image, or places are being compared."""
        return self._onlooker.is_looking or self._ranking.is_running or self._is_glancing

    def go(self) -> None:
        """Lead to the next place, as soon as it is known."""
        self._look(leads=True)

    def stop(self) -> None:
        """Stop what is being computed."""
        self._request = None
        self._asked_again.stop()
        self._onlooker.stop()
        self._ranking.cancel()

    def _look(self, *, leads: bool) -> None:
        if self.is_busy:
            if self._request is None:  # with what was asked for on another image
                self._wanted = leads
                self._say(_GLANCES)
                self._asked_again.start()
            return
        image = self._chooser.layer
        paint = annotation_of(self._viewer, image)
        if image is None or paint is None:
            self._say(_NO_PAINT, "warning")
            return
        try:
            check_fits(image, paint)
        except InputError as error:
            self._say(str(error), "error")
            return
        pairs = ((image, paint), *(self._other_pairs(image) if leads else ()))
        self._request = _Request(pairs, leads)
        preview, images = self._preview(), [each for each, _ in pairs]
        self._is_glancing = leads and preview is not None and preview.glance(images, self._on_glanced)
        if self._is_glancing:  # a network learns
            self._say(_GLANCES)
            return
        if self._seen(image) is None:
            with suppress(InputError):  # without a model, the looks of the image must do
                facts = read_facts(self._model())
                targets = self._unknown(pairs, facts)
                if targets:
                    self._onlooker.look(targets, facts)
                    return
        self._rank()

    def _ask_again(self) -> None:
        if self.is_busy:
            self._asked_again.start()
        else:
            self._look(leads=self._wanted)

    def _on_image(self, _image: Image | None) -> None:
        """Lead nowhere any more once the user has turned to another image."""
        if self.is_busy and self._request is not None and self._request.leads:
            self._request = None
        self._say("")

    def _other_pairs(self, chosen: Image) -> tuple[_Pair, ...]:
        """Return the other images with an annotation layer."""
        pairs = ((image, annotation_of(self._viewer, image)) for image in images_of(self._viewer))
        return tuple(
            (image, paint)
            for image, paint in pairs
            if image is not chosen and paint is not None and _fits(image, paint)
        )

    def _unknown(self, pairs: Sequence[_Pair], facts: ModelFacts) -> list[Target]:
        """Return the images that suit the model and that it has not looked at yet; the first ones if many."""
        targets: list[Target] = []
        for image, paint in pairs:
            if len(targets) >= MOST_PLANES:  # the others follow when the user asks again
                break
            known = self._known(image)
            if known is None or known.model != facts.path:
                with suppress(InputError):  # without a model that suits, the looks of the image must do
                    targets += self._onlooker.targets(image, paint, facts)
        return targets

    def _seen(self, image: Image) -> Known | None:
        preview = self._preview()
        return None if preview is None else preview.seen_of(image)

    def _known(self, image: Image) -> Known | None:
        """Return what a network predicted for ``image``: the newest if there are several predictions."""
        known = [each for each in (self._kept(image), self._onlooker.known(image)) if each is not None]
        newest = self._model()
        return next((each for each in known if each.model == newest), known[0] if known else None)

    def _on_looked(self, failure: str) -> None:
        if failure:
            self._say(failure, "error")
        else:
            self._rank()

    def _on_glanced(self) -> None:
        self._is_glancing = False
        self._rank()

    # Where to go, and going there.

    def _rank(self) -> None:
        """Compare the places, by what a network predicts while it learns or has predicted before."""
        request, layers = self._request, self._viewer.layers
        if request is None or request.pairs[0][0] not in layers:
            self._say("")
            return
        (image, paint), *others = request.pairs
        ask = self._known if self._seen(image) is None else self._seen
        asked = ((each, ask(each)) for each, _ in request.pairs if each in layers)
        known = {each: answer for each, answer in asked if answer is not None}
        eyes = known.get(image)
        if eyes is None and (not request.leads or not has_paint(paint)):
            if not request.leads:  # nothing is shown
                self.show_map.setChecked(False)
            self._say(_NOTHING if request.leads else _NO_MODEL, "warning")
            return
        by = None if eyes is None else eyes.model, eyes is None
        if self._shown_by != by:  # for another network, all places are new
            self._shown, self._shown_by = {}, by
        pairs = [(image, paint)]
        if eyes is not None:  # otherwise it goes by looks, which say nothing about other images
            pairs += [pair for pair in others if pair[0] in known and pair[1] in layers]
        questions = [self._question(*pair, known.get(pair[0])) for pair in pairs]
        wants_map = eyes is not None and self.show_map.isChecked()
        stay = _STAY if eyes is not None and eyes.model is None else 1.0
        self._ranking.submit(once(lambda: (pairs, rank(questions, wants_map=wants_map, stay=stay))))

    def _question(self, image: Image, paint: Labels, known: Known | None) -> Question:
        return Question(
            image=pixels_of(image),
            channels=image_channels(image, paint),
            paint=full_data(paint),
            regions=known_full_of(paint).regions,
            mode=mode_of(paint),
            known=known,
            planes=planes_to_look_at(paint.data.shape[:-2], pixel_shown(self._viewer, paint)[:-2]),
            shown=tuple(self._shown.get(image, ())),
        )

    def _on_ranked(self, result: tuple[Sequence[_Pair], Ranked]) -> None:
        pairs, ranked = result
        (image, paint), request = pairs[ranked.number], self._request
        layers = self._viewer.layers
        if request is None or image not in layers or paint not in layers:
            self._say("")
            return
        if ranked.uncertainty is not None:
            shown = add_result(self._viewer, image, _MAP_KIND, ranked.uncertainty)
            if shown is not None:
                shown.visible = True
        if not request.leads:
            self._say("")
            return
        place, known = ranked.place, ranked.known
        if place is None:
            self._say(_ALL_PAINTED if known is None else _CERTAIN if known.model else _certain(pairs, known))
            return
        if ranked.again:
            self._shown = {}
        self._shown.setdefault(image, []).append(place.centre)
        words = [in_words(place) if known is None else in_words(place, known.names)]
        if image is not self._chooser.layer:
            words.insert(0, turn_to(self._viewer, image, paint))
            self._chooser.choose(image)
        elif not holds_tool(layers.selection.active):  # otherwise strokes there would not be paint
            layers.selection.active = paint
        show_place(self._viewer, image, paint, place.centre, place.radius)
        if ranked.again:
            words.insert(0, "You have been everywhere once, so this starts again.")
        if known is None:
            words.append(_BY_LOOKS)
        self._say(" ".join(words))

    def _say(self, sentence: str, tone: Tone = "hint") -> None:
        self._sentence.say(sentence, tone)
        self.told.emit(sentence, tone)

    def _on_show_map(self, show: bool) -> None:
        if show:
            self._look(leads=False)
            return
        for layer in layers_of(self._viewer, self._chooser.layer, _MAP_KIND):
            layer.visible = False

    def _on_removed(self, event: Any) -> None:
        self._shown.pop(event.value, None)
        if kind_of(event.value) == _MAP_KIND:
            self.show_map.setChecked(False)
        self._orphaned.start()


def _fits(image: Image, paint: Labels) -> bool:
    with suppress(InputError):
        check_fits(image, paint)
        return True
    return False


def _certain(pairs: Sequence[_Pair], known: Known) -> str:
    """Return the sentence for when a network that is learning is certain."""
    is_all = len(pairs) == 1 and len(known.rereading.foregrounds) == 1
    return _CERTAIN_HERE if is_all else _CERTAIN_THERE

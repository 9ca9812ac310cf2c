"""The U-Net dock: painting, weights, training and prediction as the steps of one loop, for newcomers."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import napari
from napari.layers import Labels, Layer
from numpy.typing import NDArray
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unet.core.annotation import Mode, summarise_paint
from napari_unet.widgets.form import Sentence, fill, follow
from napari_unet.widgets.latest import Latest
from napari_unet.widgets.layers import copy_paint, edited_result
from napari_unet.widgets.marks import is_result, source_of
from napari_unet.widgets.paint import PaintDock
from napari_unet.widgets.predict import PredictDock
from napari_unet.widgets.section import Section
from napari_unet.widgets.train import TrainDock
from napari_unet.widgets.weights import WeightsDock

_STEPS = (
    ("Paint", "Mark a little of the background and some objects."),
    ("Weights", "See and set how much the borders between objects count; the defaults are good."),
    ("Train", "Let a network learn from the paint."),
    ("Predict", "Segment images with the trained network."),
)


@dataclass(frozen=True, slots=True)
class Stage:
    """How far the user is around the loop, for the chosen image.

    ``paint_teaches``: there is enough of it. ``trained``: in this session. ``predicted``: since that
    training. ``corrected``: predicted labels were edited. ``painted_on``: the paint has changed since the
    training began.
    """

    has_image: bool = False
    has_annotation: bool = False
    paint_teaches: bool = False
    is_training: bool = False
    trained: bool = False
    predicted: bool = False
    corrected: bool = False
    painted_on: bool = False


def next_step(stage: Stage) -> tuple[int, str]:
    """Return the number of the step to take now, 1 to 4, and what to do there."""
    if not stage.has_image:
        step = 1, "Open an image: File > Open, or File > Open Sample > U-Net."
    elif stage.is_training:
        step = 3, "The network learns. Go on painting meanwhile, or stop it in step 3 when the score is good."
    elif not stage.has_annotation:
        step = 1, "Make the annotation layer of this image in step 1. With a model at hand, go to step 4."
    elif not stage.paint_teaches:
        step = 1, "Paint some background and a few objects. Step 1 tells what is still missing."
    elif not stage.trained:
        step = 3, "Press Start training in step 3. Step 2 shows what the network will be taught at borders."
    elif not stage.predicted:
        step = 4, "Press Predict in step 4 to see what the network has learnt."
    elif stage.corrected:
        step = 1, "Press Take corrections in step 1, then train again in step 3."
    elif stage.painted_on:
        step = 3, "Train again in step 3: it goes on from the last model and learns the new paint."
    else:
        step = 4, "Correct what is wrong in the predicted layer with napari's brush, eraser and fill."
    return step


class UNetDock(QWidget):
    """The four docks as numbered steps that share one image, the weights and the trained model.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer whose images are worked on.
    """

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self.setObjectName("unet_dock")
        self._viewer = viewer
        self._paint_teaches = self._trained = self._predicted = self._corrected = self._painted_on = False
        self.paint = PaintDock(viewer, scrollable=False)
        self.weights = WeightsDock(viewer, scrollable=False)
        self.train = TrainDock(viewer, weights=self.weights.config, scrollable=False)
        self.predict = PredictDock(viewer, scrollable=False)
        self.paint.next_place.use(lambda: self.predict.model.path, self.predict.known)
        column = fill(self)
        self._advice = Sentence("unet_next")
        column.addWidget(self._advice)
        self._sections = []
        for number, ((title, tooltip), dock) in enumerate(
            zip(_STEPS, (self.paint, self.weights, self.train, self.predict), strict=True), start=1
        ):
            section = Section(
                f"{number}. {title}", name=f"unet_step_{number}", tooltip=tooltip, is_open=number == 1
            )
            inner = QVBoxLayout(section.content)
            inner.setContentsMargins(0, 0, 0, 0)
            inner.addWidget(dock)
            self._sections.append(section)
            column.addWidget(section)
        column.addStretch()
        self._counter = Latest("Looking at the paint", self)
        self._counter.result.connect(self._on_counted)
        self._choosers = (self.paint.image, self.weights.image, self.train.form.image, self.predict.image)
        self._connect()
        self._share_image(self.paint.image.layer)

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Stop when napari closes the dock, which takes this widget out of the window and keeps it."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.train.stop()
            self.predict.stop()
            self.paint.next_place.stop()

    def _connect(self) -> None:
        for chooser in self._choosers:
            chooser.layer_changed.connect(self._share_image)
        self.paint.annotation_changed.connect(self._on_annotation)
        self.train.started.connect(self._on_training)
        self.train.saved.connect(self._on_saved)
        self.train.ended.connect(self._refresh)
        self.predict.predicted.connect(self._on_predicted)
        events = self._viewer.layers.events
        follow(self, events.inserted, self._on_inserted)
        follow(self, events.removed, self._refresh)

    def _share_image(self, layer: Layer | None) -> None:
        """Choose in all steps the image that was chosen in one, but where several images are chosen."""
        for chooser in self._choosers:
            if not chooser.several:
                chooser.choose(layer)
        self._refresh()

    def _on_annotation(self, paint: Labels | None) -> None:
        self._painted_on = True
        image = self.paint.image.layer
        if self._corrected and image is not None:
            self._corrected = edited_result(self._viewer, image, self.paint.mode) is not None
        if paint is None:
            self._counter.cancel()
            self._on_counted(False)
            return
        pixels, mode = copy_paint(paint), self.paint.mode
        self._counter.submit(lambda _control: _teachable(pixels, mode))

    def _on_counted(self, teaches: bool) -> None:
        self._paint_teaches = teaches
        self._refresh()

    def _on_training(self) -> None:
        self._painted_on = False
        self._refresh()

    def _on_saved(self, path: Path) -> None:
        self._trained, self._predicted = True, False
        self.predict.select_model(path)
        self._refresh()

    def _on_predicted(self) -> None:
        self._predicted, self._corrected = True, False
        self._refresh()

    def _on_inserted(self, event: Any) -> None:
        layer = event.value
        if isinstance(layer, Labels) and is_result(layer):
            follow(self, layer.events.paint, self._on_edited)
        self._refresh()

    def _on_edited(self, event: Any) -> None:
        if source_of(self._viewer, event.source) is self.paint.image.layer:
            self._corrected = True
            self._refresh()

    def _refresh(self, _event: object = None) -> None:
        stage = Stage(
            has_image=self.paint.image.layer is not None,
            has_annotation=self.paint.annotation is not None,
            paint_teaches=self._paint_teaches,
            is_training=self.train.is_running,
            trained=self._trained,
            predicted=self._predicted,
            corrected=self._corrected,
            painted_on=self._painted_on,
        )
        following, sentence = next_step(stage)
        self._advice.say(sentence)
        done = (stage.paint_teaches, stage.trained, stage.trained, stage.predicted)
        for number, (section, (title, _), is_done) in enumerate(
            zip(self._sections, _STEPS, done, strict=True), start=1
        ):
            state = " – next" if number == following else " ✓" if is_done else ""
            if number == 3 and stage.is_training:
                state = " – learning"
            section.set_title(f"{number}. {title}{state}", emphasised=number == following)


def _teachable(paint: NDArray[Any], mode: Mode) -> Iterator[bool]:
    yield summarise_paint(paint, mode).teachable

"""The U-Net dock: painting, weights, training and prediction as the steps of one loop, for newcomers."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakSet

import napari
from napari.layers import Image, Labels, Layer
from qtpy.QtWidgets import QHBoxLayout

from napari_unet.files.networks.starters import is_starter
from napari_unet.widgets.bridge.layers import copy_paint
from napari_unet.widgets.bridge.marks import (
    full_data,
    images_of,
    is_paint,
    is_result,
    known_full_of,
    layers_of,
)
from napari_unet.widgets.next_step import ACTIONS, Action, Stage, next_step
from napari_unet.widgets.paint import PaintDock, checksum
from napari_unet.widgets.parts.dock import Dock, without_proxy
from napari_unet.widgets.parts.form import Column, Sentence, Tone, button
from napari_unet.widgets.parts.section import Section
from napari_unet.widgets.predict import PredictDock
from napari_unet.widgets.predicting.object_table import labels_of
from napari_unet.widgets.predicting.prediction_inputs import SELECTED, images_chosen
from napari_unet.widgets.predicting.saving import LabelSaver
from napari_unet.widgets.project import ProjectSection
from napari_unet.widgets.projects.window_project import project_of
from napari_unet.widgets.samples import coins
from napari_unet.widgets.train import TrainDock
from napari_unet.widgets.training.live_preview import PREVIEW, LivePreviewLayer
from napari_unet.widgets.weights import WeightsDock
from napari_unet.widgets.window.lifetime import follow

_STEPS = (
    ("Paint", "Mark a little of the background and some objects."),
    ("Weights", "See and set how much the borders between objects count; the defaults are good."),
    ("Train", "Let a network learn from the paint."),
    ("Predict", "Segment images with the trained network."),
)

_SHOWN_AT: dict[Action, int] = {"make": 1, "start": 3, "predict": 4}
"""The step that unfolds when its button above the steps is pressed."""

_FILES: tuple[Action, ...] = ("save", "table")
"""Actions that write files: their buttons are side by side."""


class UNetDock(Dock):
    """The four docks as numbered steps that share one image, the weights and the trained model.

    Above them, a sentence says what to do next, with buttons that do it.
    """

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self.setObjectName("unet_dock")
        self._viewer = viewer = without_proxy(viewer)
        self._place = ""
        # What happened to images since the last training, and to layers since they were written.
        self._predicted: set[object] = set()
        self._saved: set[object] = set()
        self._learnt: dict[object, int] = {}
        self._found: set[object] = set()  # paint that was there before, and is not counted yet
        self._taught: dict[object, int] = {}  # by the running training, with the paint as it began
        self._followed: WeakSet[Labels] = WeakSet()
        self.paint = PaintDock(viewer, scrollable=False)
        self.weights = WeightsDock(viewer, scrollable=False)
        self.train = TrainDock(viewer, weights=self.weights.config, scrollable=False)
        self.predict = PredictDock(viewer, scrollable=False)
        self.paint.next_place.use(lambda: self.predict.model.path, self.predict.known, self._preview)
        self._saver = LabelSaver(viewer, self)
        self._choosers = (self.paint.image, self.weights.image, self.train.form.image, self.predict.image)
        self._build()
        self._connect()
        self._take_stock()
        self._share_image(self.paint.image.layer)

    def _build(self) -> None:
        column = self.column
        column.addWidget(ProjectSection(self._viewer))
        self._advice = column.add(Sentence("unet_advice"))
        self._told = Sentence("unet_told")
        does: dict[Action, Callable[[], object]] = {
            "sample": self._open_sample,
            "make": self.paint.make,
            "background": self.paint.brushes.background.click,
            "object": self.paint.brushes.next.click,
            "class": self.paint.brushes.next.click,
            "start": self.train.start,
            "resume": self.train.pause,
            "stop": self.train.stop,
            "predict": self.predict.start,
            "next": self.paint.next_place.go,
            "take": self.paint.corrections.take,
            "save": partial(self._save, self._saver.ask),
            "table": partial(self._save, self._saver.ask_table),
        }
        self._buttons = {
            action: button(
                text, partial(self._do, action, does[action]), name=f"unet_{action}", tooltip=tooltip
            )
            for action, (text, tooltip) in ACTIONS.items()
        }
        files = QHBoxLayout()
        for action, made in self._buttons.items():
            (files if action in _FILES else column).addWidget(made)
        column.addLayout(files)
        column.addWidget(self._told)
        self._sections = []
        for number, ((title, tooltip), dock) in enumerate(
            zip(_STEPS, (self.paint, self.weights, self.train, self.predict), strict=True), start=1
        ):
            section = Section(
                f"{number}. {title}", name=f"unet_step_{number}", tooltip=tooltip, is_open=number == 1
            )
            inner = Column(section.content)
            inner.addWidget(dock)
            self._sections.append(section)
            column.addWidget(section)
        column.addStretch()

    def stop(self) -> None:
        """Stop whatever the steps are computing."""
        self.train.stop()
        self.predict.stop()
        self.paint.stop()

    def _connect(self) -> None:
        for chooser in self._choosers:
            chooser.layer_changed.connect(self._share_image)
        for changed in (self.paint.annotation_changed, self.paint.corrections.changed):
            changed.connect(self._refresh)
        self.paint.next_place.told.connect(self._on_place)
        self._sections[0].toggled.connect(self._on_paint_unfolded)
        self.train.started.connect(self._on_training)
        project = project_of(self._viewer)
        project.trained.connect(self._on_model)
        project.opened.connect(self._on_project)
        for signal in (self.train.begun, self.train.paused, self.train.live.learning_changed):
            signal.connect(self._refresh)
        self.train.ended.connect(self._on_ended)
        self.predict.started.connect(self._refresh)
        self.predict.ended.connect(self._on_ended)
        self.predict.predicted.connect(self._on_predicted)
        self.predict.model.model_changed.connect(self._refresh)
        self.predict.image.several_changed.connect(self._refresh)
        self._saver.saved.connect(self._on_saved)
        self._saver.told.connect(self._told.say)
        events = self._viewer.layers.events
        follow(self, self._on_layers, events.inserted)
        follow(self, self._refresh, events.removed)
        follow(self, self._on_selection, self._viewer.layers.selection.events.changed)

    def _preview(self) -> LivePreviewLayer | None:
        """Return the preview of what a network predicts while it learns."""
        return self.train.findChild(LivePreviewLayer) if self.train.is_running else None

    # What the buttons do.

    def _do(self, action: Action, does: Callable[[], object]) -> None:
        self._told.say("")
        step = _SHOWN_AT.get(action)
        if step is not None:
            for number, section in enumerate(self._sections, start=1):
                section.set_open(number == step)
        does()

    def _open_sample(self) -> None:
        ((pixels, how, _),) = coins()
        self._viewer.add_image(pixels, **how)

    def _save(self, ask: Callable[[Sequence[Image]], None]) -> None:
        """Write what is predicted for the image, or for several that are chosen together."""
        image = self.paint.image.layer
        several = images_chosen(self._viewer, self.predict.image.several)
        if several or image is not None:
            ask(several or [image])

    # What has happened.

    def _share_image(self, layer: Layer | None) -> None:
        """Choose in all steps the image that was chosen in one, except where several images are chosen.

        Steps that are computing go on showing the image they began with.
        """
        for chooser in self._choosers:
            if not chooser.several and chooser.isEnabled():
                chooser.choose(layer)
        self._told.say("")
        self._refresh()

    def _on_place(self, sentence: str, tone: Tone) -> None:
        """Say where to paint next, unless step 1 says so below."""
        is_said = self._sections[0].is_open
        self._told.say("" if is_said else sentence, tone)
        self._place = "" if is_said else sentence

    def _on_paint_unfolded(self, is_open: bool) -> None:
        if is_open and self._told.text() == self._place:
            self._told.say("")

    def _on_training(self) -> None:
        self._told.say("")
        self._taught = self._checksums()
        self._refresh()

    def _on_ended(self) -> None:
        """Catch up with the image that was chosen in the other steps meanwhile."""
        self._share_image(self.paint.image.layer)

    def _checksums(self) -> dict[object, int]:
        """Return the checksum of the paint by its layer; the last strokes may not be counted yet."""
        paint = self.paint.annotation
        if paint is None:
            return {}
        regions = known_full_of(paint).regions
        # A copy where it must be completed: stacks are large.
        return {paint.unique_id: checksum(copy_paint(paint) if regions else full_data(paint))}

    def _on_model(self, path: Path) -> None:
        self._told.say("")
        image = self.paint.image.layer
        if self.train.is_running:
            self._learnt |= self._taught
            self.predict.select_model(path)
        if not self.train.is_running or (image is not None and self.train.joins(image)):
            self._learnt |= self._checksums()
        self._trained = True
        self._predicted.clear()
        self._refresh()

    def _on_project(self) -> None:
        if project_of(self._viewer).session is None:  # it was closed, so everything stays as it is
            self._trained = project_of(self._viewer).last_model is not None
            self._refresh()
        else:
            self._take_stock()

    def _take_stock(self) -> None:
        """Assume that existing labels are from the last model, and that existing paint is what it learnt."""
        self._trained = project_of(self._viewer).last_model is not None
        self._found = {layer.unique_id for layer in self._viewer.layers if is_paint(layer)}
        self._predicted |= {
            image.unique_id for image in images_of(self._viewer) if labels_of(self._viewer, image)
        }
        self._on_layers()

    def _on_predicted(self, images: Sequence[Image]) -> None:
        path = self.predict.model.path
        if path is not None and not is_starter(path) and not self.train.is_running:
            last = project_of(self._viewer).last_model
            self.train.form.follow_model(path, is_last=path == last)
        self._predicted |= {image.unique_id for image in images}
        self._saved -= {layer.unique_id for image in images for layer in labels_of(self._viewer, image)}
        self._refresh()

    def _on_selection(self, _event: object) -> None:
        if self.predict.image.several == SELECTED:
            self._refresh()

    def _on_layers(self, _event: object = None) -> None:
        """Follow the predicted layers, also those that were there before or have just become such."""
        for layer in self._viewer.layers:
            if isinstance(layer, Labels) and is_result(layer) and layer not in self._followed:
                self._followed.add(layer)
                follow(self, self._on_edited, layer.events.paint)
        self._refresh()

    def _on_edited(self, event: Any) -> None:
        self._saved.discard(event.source.unique_id)
        self._refresh()

    def _on_saved(self, labels: Labels) -> None:
        self._saved.add(labels.unique_id)
        self._refresh()

    # What to do next.

    def _stage(self) -> Stage:
        """Return how far the user has come with the chosen image."""
        image, counted = self.paint.image.layer, self.paint.counted
        stage = Stage(
            has_image=image is not None,
            has_annotation=self.paint.annotation is not None,
            is_of_classes=(self.paint.mode if counted is None else counted.mode) == "classes",
            is_unknown=self.paint.is_unknown,
            finds_objects=self.predict.form.mode == "objects",
            has_model=self.predict.can_predict,
            is_training=self.train.is_running,
            is_paused=self.train.is_paused,
            paint_joins=image is not None and self.train.joins(image),
            has_preview=bool(layers_of(self._viewer, image, PREVIEW)),
            is_waiting=self.train.is_waiting,
            is_predicting=self.predict.is_running,
            trained=self._trained,
            size_can_be_set=self.predict.model.path is not None and is_starter(self.predict.model.path),
        )
        if counted is not None:
            if counted.layer in self._found:
                self._found.remove(counted.layer)
                self._learnt.setdefault(counted.layer, counted.checksum)
            stage = replace(
                stage,
                has_background=counted.summary.background > 0 or counted.summary.teachable,
                objects=counted.summary.objects,
                paint_teaches=counted.summary.teachable,
                painted_on=counted.checksum != self._learnt.get(counted.layer),
            )
        labels = labels_of(self._viewer, image)
        if image is None or not labels:
            several = images_chosen(self._viewer, self.predict.image.several)
            return replace(stage, has_labels=any(labels_of(self._viewer, other) for other in several))
        # After a change to classes, no classes are predicted yet, but there may be objects.
        suits = not stage.is_of_classes or bool(layers_of(self._viewer, image, "classes"))
        return replace(
            stage,
            has_labels=True,
            predicted=suits and image.unique_id in self._predicted,
            corrected=self.paint.corrections.has_some,
            saved=any(layer.unique_id in self._saved for layer in labels),
        )

    def _refresh(self, _event: object = None) -> None:
        stage = self._stage()
        advice = next_step(stage)
        self._advice.say(advice.sentence)
        # When these buttons are pressed by key, the focus goes to the next one, or waits for it.
        first = [self._buttons[action] for action in advice.actions[:1]]
        with self.hand_focus(first[0] if first else self._advice):
            for action, made in self._buttons.items():
                made.setVisible(action in advice.actions)
                font = made.font()
                font.setBold(made in first)
                made.setFont(font)
        if first and self._advice.hasFocus():
            first[0].setFocus()
        done = (stage.paint_teaches, stage.trained, stage.trained, stage.predicted)
        for number, (section, (title, _), is_done) in enumerate(
            zip(self._sections, _STEPS, done, strict=True), start=1
        ):
            state = " – next" if number == advice.step else " ✓" if is_done else ""
            if number == 3 and stage.is_training:
                state = " – paused" if stage.is_paused else " – learning"
            section.set_title(f"{number}. {title}{state}", emphasised=number == advice.step)

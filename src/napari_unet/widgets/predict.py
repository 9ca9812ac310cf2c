"""The Predict dock: from a trained network and images to label layers."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import napari
from napari.layers import Image, Labels
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, Signal  # type: ignore[attr-defined]  # no qtpy stubs
from qtpy.QtWidgets import QCheckBox, QProgressBar, QVBoxLayout, QWidget

from napari_unet.core.axes import Channels
from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.widgets.form import LayerChooser, Sentence, add_form, add_row, button, describe, fill, follow
from napari_unet.widgets.jobs import Job, Waiting
from napari_unet.widgets.layers import Kind, add_result, annotation_of, copy_image
from napari_unet.widgets.live_objects import LiveObjects
from napari_unet.widgets.marks import image_channels, is_result, source_of
from napari_unet.widgets.model_chooser import ModelChooser, ModelFacts, read_facts
from napari_unet.widgets.prediction_form import PredictionForm
from napari_unet.widgets.prediction_run import (
    Segmented,
    Source,
    TilesDone,
    into_stack,
    resolve_channels,
    segment,
)
from napari_unet.widgets.preferences import read_preferences

_STACK = "napari_unet stack"
"""Metadata of a result layer: the (kind, array) it shows, to which planes are added one by one."""


@dataclass(slots=True)
class _Run:
    """The prediction that goes on: its images, and what came of it."""

    job: Job
    layers: list[Image]
    done: float = 0.0
    added: int = 0
    problem: str = ""
    note: str = ""


class PredictDock(QWidget):
    """Choose a model and images, predict, cancel.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Its images are segmented, and the results added to it.
    scrollable : bool
        False inside another dock, which scrolls as a whole.
    """

    predicted = Signal()
    """Results were added."""

    def __init__(self, viewer: "napari.viewer.Viewer", *, scrollable: bool = True) -> None:
        super().__init__()
        self.setObjectName("predict_dock")
        self._viewer = viewer
        self._run: _Run | None = None
        self._facts: ModelFacts | None = None
        column = fill(self, scrollable=scrollable)
        self._inputs = QWidget()
        self._add_inputs()
        column.addWidget(self._inputs)
        self._predict = button(
            "Predict",
            self.start,
            name="predict_start",
            tooltip="Segment with the chosen model; the result becomes layers of the image.",
        )
        self._predict.setMinimumHeight(36)
        self._cancel = button(
            "Cancel", self.stop, name="predict_cancel", tooltip="End after the tile that is being computed."
        )
        self._bar = QProgressBar()
        describe(self._bar, name="predict_progress", tooltip="Tiles finished, of all images.")
        self._bar.setRange(0, 1000)
        self._status = Sentence("predict_status")
        self._discard = button(
            "Discard my edits",
            self._reread_anyway,
            name="predict_discard",
            tooltip="Replace the objects you edited by those of the settings above.",
        )
        self._discard.setVisible(False)
        for widget in (self._predict, self._cancel, self._bar, self._status, self._discard):
            column.addWidget(widget)
        column.addStretch()
        self._live = LiveObjects(viewer, self)
        self._live.refreshed.connect(self._on_reread)
        self._live.blocked.connect(lambda sentence: self._status.say(sentence, "warning"))
        self._live.edited.connect(self._on_edited)
        self.form.objects.changed.connect(self._reread)
        self.image.layer_changed.connect(self._refresh)
        self.model.model_changed.connect(self._on_model)
        for emitter in (viewer.layers.events.inserted, viewer.layers.events.removed):
            follow(self, emitter, self._refresh)
        self._on_model(self.model.path)

    def _add_inputs(self) -> None:
        column = QVBoxLayout(self._inputs)
        column.setContentsMargins(0, 0, 0, 0)
        form = add_form(column)
        self.model = ModelChooser(read_preferences().models_folder)
        add_row(
            form,
            "Model",
            self.model,
            name="predict_model",
            tooltip="The trained network, the newest first; the folder is set in napari's preferences.",
        )
        self._facts_line = Sentence("predict_facts")
        browse = button(
            "Browse…",
            self.model.browse,
            name="predict_browse",
            tooltip="Choose a model file elsewhere.",
        )
        form.addRow("", browse)
        form.addRow(self._facts_line)
        self.image = LayerChooser(self._viewer)
        add_row(form, "Image", self.image, name="predict_image", tooltip="The image to segment.")
        self._all = QCheckBox("and all others that suit the model")
        describe(self._all, name="predict_all", tooltip="Segment all images with as many channels.")
        self._slice = QCheckBox("only the slice shown")
        describe(
            self._slice,
            name="predict_slice",
            tooltip="Segment the plane on the screen alone, and add it to the result of the other planes.",
        )
        form.addRow("", self._all)
        form.addRow("", self._slice)
        self.form = PredictionForm()
        column.addWidget(self.form)

    @property
    def is_running(self) -> bool:
        """Whether a prediction runs or waits."""
        return self._run is not None

    def select_model(self, path: Path) -> None:
        """Choose a model file."""
        self.model.choose(path)

    def start(self) -> None:
        """Predict with the form as it is, unless a prediction runs."""
        if self._run is not None:
            return
        try:
            run = self._prepare()
        except InputError as error:
            self._status.say(str(error), "error")
            return
        self._run = run
        self._live.cancel()
        self._bar.setValue(0)
        self._status.say("Reading the model and the image.")
        run.job.happened.connect(self._on_event)
        run.job.delivered.connect(self._show_progress)
        run.job.failed.connect(self._on_failed)
        run.job.ended.connect(self._on_ended)
        run.job.start()
        self._refresh()

    def stop(self) -> None:
        """End the prediction after the tile that is being computed."""
        if self._run is not None:
            self._status.say("Stopping after this tile.")
            self._run.job.stop()

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Stop when napari closes the dock, which takes this widget out of the window and keeps it."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.stop()

    def _prepare(self) -> _Run:
        facts = read_facts(self.model.path)
        self.form.objects.choose(facts.path, facts.instances)  # the file may have been trained on
        kinds, config = self.form.kinds, self.form.config()
        chosen = self.image.layer
        if chosen is None:
            raise InputError("There is no image to segment; open one with File > Open.")
        if chosen not in self._viewer.layers:
            raise InputError(f"The image '{chosen.name}' is no longer in the viewer; choose another one.")
        # The chosen one first, even if it does not suit: its sentence says why.
        layers = [(chosen, self._channels(chosen, facts))]
        if self._all.isChecked():
            layers += [(layer, where) for layer, where in self._suiting(facts) if layer is not chosen]
        sources = [
            Source(copy_image(layer), where, self._plane(layer, where) if self._only_slice else None)
            for layer, where in layers
        ]
        device, keep = self.form.device, self.form.keeps_unfinished

        def events(control: Control) -> Iterator[TilesDone | Segmented]:
            return segment(
                facts.path, sources, kinds, config, device=device, keep_unfinished=keep, control=control
            )

        total = len(sources)
        job = Job(
            events,
            f"Predicting {chosen.name}",
            1000,
            measure=lambda event: _measure(event, total),
            parent=self,
        )
        return _Run(job, [layer for layer, _ in layers])

    @property
    def _only_slice(self) -> bool:
        return self._slice.isChecked() and self._slice.isEnabled()

    def _channels(self, layer: Image, facts: ModelFacts) -> Channels:
        channels = self.form.channels
        if channels == "auto":
            channels = image_channels(layer, annotation_of(self._viewer, layer))
        return resolve_channels(
            _shape(layer), channels=channels, ndim=facts.ndim, in_channels=facts.in_channels
        )

    def _suiting(self, facts: ModelFacts) -> list[tuple[Image, Channels]]:
        found = []
        for layer in self._viewer.layers:
            if isinstance(layer, Image) and not is_result(layer):
                try:
                    found.append((layer, self._channels(layer, facts)))
                except InputError:
                    continue
        return found

    def _plane(self, layer: Image, channels: Channels) -> tuple[int, ...]:
        """Index of the slice on the screen along the axes of ``layer`` that are not channels."""
        position = layer.world_to_data(self._viewer.dims.point[-layer.ndim :])
        shape = _shape(layer)[: layer.ndim]
        index = [min(max(round(float(at)), 0), size - 1) for at, size in zip(position, shape, strict=True)]
        if not layer.rgb and channels in ("first", "last"):
            del index[0 if channels == "first" else -1]
        return tuple(index)

    def _on_event(self, event: object) -> None:
        run = self._run
        if run is None:
            return
        if isinstance(event, Waiting):
            self._status.say(event.message)
        elif isinstance(event, TilesDone):
            run.done = (event.number + event.share) / len(run.layers)
            run.note = event.note
        elif isinstance(event, Segmented):
            self._show(run, event)

    def _show(self, run: _Run, event: Segmented) -> None:
        source = run.layers[event.number]
        if source not in self._viewer.layers:
            run.problem = f"The image '{source.name}' was deleted meanwhile, so its result was not added."
            return
        for kind, result in event.results.items():
            data = result
            if event.plane:
                data = into_stack(self._stack_of(source, kind), event.plane, result, event.shape, kind)
            layer = add_result(self._viewer, source, kind, data)
            if layer is not None:
                layer.metadata[_STACK] = (kind, data)
            if kind == "objects" and isinstance(layer, Labels):
                self._live.remember(source, layer, event.rereading)
        run.added += 1
        if not event.complete:
            run.problem = "Cancelled; the finished tiles were added."

    def _stack_of(self, source: Image, kind: Kind) -> NDArray[Any] | None:
        """Return what is shown of the other planes, with the user's corrections."""
        for layer in reversed(self._viewer.layers):
            of_kind, data = layer.metadata.get(_STACK, (None, None))
            if of_kind == kind and source_of(self._viewer, layer) is source:
                stack: NDArray[Any] = data if kind == "probabilities" else layer.data
                return stack
        return None

    def _show_progress(self) -> None:
        run = self._run
        if run is not None and not run.job.control.stopped and run.done > 0:
            self._bar.setValue(round(1000 * run.done))
            self._status.say(f"Predicting: {run.done:.0%} done. {run.note}".rstrip())

    def _on_failed(self, sentence: str) -> None:
        if self._run is not None:
            self._run.problem = sentence

    def _on_ended(self) -> None:
        run, self._run = self._run, None
        if run is None:
            return
        run.job.deleteLater()
        if run.added:
            self.predicted.emit()
        if run.problem:
            self._status.say(run.problem, "warning" if run.added else "error")
        elif not run.added:
            self._status.say("Cancelled; nothing was added.")
        else:
            images = f"{run.added} image{'s' * (run.added != 1)}"
            self._status.say(
                f"Done: see the results of {images} in the layer list, and correct them like any labels."
            )
        self._refresh()

    def _on_model(self, path: Path | None) -> None:
        self._facts = None
        try:
            self._facts = read_facts(path)
            self._facts_line.say(self._facts.sentence())
            self.form.suit(self._facts.mode)
            self.form.objects.choose(self._facts.path, self._facts.instances)
        except InputError as error:
            self._facts_line.say(str(error), "hint" if path is None else "error")
        self._refresh()

    def _reread(self) -> None:
        """Read the objects of the image again, if they were predicted, with the settings of the form."""
        self._live.refresh(self.image.layer, self.form.objects.config)

    def _reread_anyway(self) -> None:
        self._discard.setVisible(False)
        self._live.refresh(self.image.layer, self.form.objects.config, discard_edits=True)

    def _on_reread(self, count: int) -> None:
        self._discard.setVisible(False)
        self._status.say(f"{count:,} object{'s' * (count != 1)} with these settings.")

    def _on_edited(self, sentence: str) -> None:
        self._discard.setVisible(True)
        self._status.say(sentence, "warning")

    def _refresh(self, _event: object = None) -> None:
        """Enable what can be used now."""
        running = self._run is not None
        self._discard.setVisible(False)
        self._inputs.setEnabled(not running)
        self._predict.setVisible(not running)
        self._cancel.setVisible(running)
        self._bar.setVisible(running)
        self._slice.setEnabled(self._is_stack())

    def _is_stack(self) -> bool:
        layer, facts = self.image.layer, self._facts
        if layer is None or facts is None:
            return False
        try:
            channels = self._channels(layer, facts)
        except InputError:
            return False
        return len(_shape(layer)) - (channels != "none") > facts.ndim


def _shape(layer: Image) -> tuple[int, ...]:
    return tuple((layer.data[0] if layer.multiscale else layer.data).shape)


def _measure(event: object, images: int) -> tuple[float, float] | None:
    if isinstance(event, TilesDone):
        return 1000 * (event.number + event.share) / images, 1000
    return None

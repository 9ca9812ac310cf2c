"""The Predict dock: from a trained network and images to label layers."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import napari
from napari.layers import Image, Labels
from qtpy.QtCore import QEvent, Signal  # type: ignore[attr-defined]  # no qtpy stubs
from qtpy.QtWidgets import QCheckBox, QProgressBar, QVBoxLayout, QWidget

from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.files.predicted_files import FileSuspended, FileWritten
from napari_unet.network.in_turn import ImageFailed
from napari_unet.widgets.batch_report import BatchReport, Finished
from napari_unet.widgets.batch_tally import Tally
from napari_unet.widgets.correct_section import CorrectSection
from napari_unet.widgets.files_form import FilesForm
from napari_unet.widgets.form import LayerChooser, Sentence, add_form, add_row, button, describe, fill, follow
from napari_unet.widgets.jobs import Job, MakeEvents, Waiting
from napari_unet.widgets.live_objects import LiveObjects
from napari_unet.widgets.model_chooser import ModelChooser, ModelFacts, read_facts
from napari_unet.widgets.next_place_run import Known
from napari_unet.widgets.prediction_form import PredictionForm
from napari_unet.widgets.prediction_run import (
    FilesFound,
    Opened,
    Segmented,
    SourceWanted,
    TilesDone,
    segment,
    segment_files,
)
from napari_unet.widgets.prediction_targets import (
    Target,
    add_results,
    copy_of,
    images_of,
    is_stack,
    plane_shown,
    target_of,
    targets_that_suit,
)
from napari_unet.widgets.window_project import project_of

_ALL, _FILES = "all", "files"
"""What can be chosen instead of one image layer."""


@dataclass(slots=True, eq=False)
class _Run:
    """The prediction that goes on: its images, and what came of them."""

    job: Job
    tally: Tally
    facts: ModelFacts
    targets: list[Target] = field(default_factory=list)
    paths: tuple[Path, ...] = ()
    files: list[Finished] = field(default_factory=list)
    problem: str = ""


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
        self._project = project_of(viewer)
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
        self._report = BatchReport()
        self._report.opened.connect(self._on_opened)
        for widget in (self._predict, self._cancel, self._bar, self._status, self._discard, self._report):
            column.addWidget(widget)
        self.correct = CorrectSection(viewer, self.image)
        column.addWidget(self.correct)
        column.addStretch()
        self._live = LiveObjects(viewer, self)
        self._live.refreshed.connect(self._on_reread)
        self._live.blocked.connect(lambda sentence: self._status.say(sentence, "warning"))
        self._live.edited.connect(self._on_edited)
        self.form.objects.changed.connect(self._reread)
        self.image.layer_changed.connect(self._refresh)
        self.image.several_changed.connect(self._refresh)
        self.model.model_changed.connect(self._on_model)
        for emitter in (viewer.layers.events.inserted, viewer.layers.events.removed):
            follow(self, emitter, self._refresh)
        self._on_model(self.model.path)
        self._project.keep_settings("predict", self, {"predict_finished"})

    def _add_inputs(self) -> None:
        column = QVBoxLayout(self._inputs)
        column.setContentsMargins(0, 0, 0, 0)
        form = add_form(column)
        self.model = ModelChooser(self._project.models_folder)
        self.model.follow(self._project)
        add_row(
            form,
            "Model",
            self.model,
            name="predict_model",
            tooltip="The trained network, the newest first, and the starters, which need no training; the\n"
            "folder is set in napari's preferences.",
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
        self.image = LayerChooser(self._viewer, several={_ALL: "All images", _FILES: "A folder of files…"})
        add_row(
            form,
            "Image",
            self.image,
            name="predict_image",
            tooltip="The image to segment; or all images of the viewer that suit the model; or files, whose\n"
            "results are written to a folder.",
        )
        self._suits = Sentence("predict_suits")
        form.addRow(self._suits)
        self.files = FilesForm()
        form.addRow(self.files)
        self._slice = QCheckBox("only the slice shown")
        describe(
            self._slice,
            name="predict_slice",
            tooltip="Segment the plane on the screen alone, and add it to the result of the other planes.",
        )
        form.addRow("", self._slice)
        self.form = PredictionForm()
        column.addWidget(self.form)

    @property
    def is_running(self) -> bool:
        """Whether a prediction runs or waits."""
        return self._run is not None

    @property
    def can_predict(self) -> bool:
        """Whether the chosen model suits the chosen image."""
        return bool(self._candidates())

    def select_model(self, path: Path) -> None:
        """Choose a model file."""
        self.model.choose(path)

    def known(self, image: Image) -> Known | None:
        """Return the probabilities that are kept of ``image``."""
        return self._live.known(image)

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
        self._report.clear()
        self._status.say(f"Reading the model and the image{'' if self.image.layer else 's'}.")
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
        return self._prepare_files(facts) if self.image.several == _FILES else self._prepare_layers(facts)

    def _prepare_layers(self, facts: ModelFacts) -> _Run:
        kinds, config = self.form.kinds, self.form.config()
        if self.image.several == _ALL:
            targets = targets_that_suit(self._viewer, self.form.channels, facts)
        else:
            targets = [target_of(self._viewer, self.image.layer, self.form.channels, facts)]
        if not targets:
            raise InputError("None of the images suits the model; choose one of them, to be told why.")
        if self._only_slice:
            targets = [replace(target, plane=plane_shown(self._viewer, target)) for target in targets]
        names = [target.layer.name for target in targets]
        device, keep = self.form.device, self.form.keeps_unfinished

        def events(control: Control) -> Iterator[SourceWanted | TilesDone | Segmented | ImageFailed]:
            return segment(
                facts.path, len(names), kinds, config, device=device, keep_unfinished=keep, control=control
            )

        title = names[0] if len(names) == 1 else f"{len(names)} images"
        tally = Tally(names)
        return _Run(self._job(events, title, tally), tally, facts, targets)

    def _prepare_files(self, facts: ModelFacts) -> _Run:
        kinds, config, device = self.form.kinds, self.form.config(), self.form.device
        if self.form.channels != "auto":
            config = replace(config, channels=self.form.channels)
        pattern, output = self.files.pattern, self.files.output

        def events(control: Control) -> Iterator[object]:
            return segment_files(facts.path, pattern, output, kinds, config, device=device, control=control)

        tally = Tally(folder=str(output))
        return _Run(self._job(events, pattern, tally), tally, facts)

    def _job(self, events: MakeEvents, title: str, tally: Tally) -> Job:
        def measure(_event: object) -> tuple[float, float]:
            return 1000 * tally.share, 1000

        return Job(events, f"Predicting {title}", 1000, measure=measure, parent=self)

    @property
    def _only_slice(self) -> bool:
        return self._slice.isChecked() and self._slice.isEnabled()

    def _on_event(self, event: object) -> None:
        run = self._run
        if run is None:
            return
        match event:
            case Waiting():
                self._status.say(event.message)
            case SourceWanted():
                event.answer.put(copy_of(self._viewer, run.targets[event.number]))
            case FilesFound():
                run.tally.names = [path.name for path in event.paths]
                run.paths = event.paths
            case TilesDone():
                run.tally.advance(event.number, event.share, event.note)
            case Segmented():
                self._show(run, event)
            case FileWritten():
                run.tally.finish(event.number)
                run.files.append((run.paths[event.number], event.outputs))
            case FileSuspended():
                run.tally.has_part = True
            case ImageFailed():
                run.tally.fail(event.number, event.message)

    def _show(self, run: _Run, event: Segmented) -> None:
        source = run.targets[event.number].layer
        if source not in self._viewer.layers:
            run.tally.fail(
                event.number,
                f"The image '{source.name}' was deleted meanwhile, so its result was not added.",
            )
            return
        if event.scaled is not None:
            self.form.scale.show_scaled(event.scaled)
            self.form.objects.choose(run.facts.path, event.scaled.instances)
        layers = add_results(self._viewer, source, event.results, plane=event.plane, shape=event.shape)
        for kind, layer in layers.items():
            if kind == "objects" and isinstance(layer, Labels):
                self._live.remember(source, layer, event.rereading, run.facts)
        if event.complete:
            run.tally.finish(event.number)
        else:
            run.tally.has_part = True

    def _show_progress(self) -> None:
        run = self._run
        if run is not None and not run.job.control.stopped and run.tally.progress():
            self._bar.setValue(round(1000 * run.tally.share))
            self._status.say(run.tally.progress())

    def _on_failed(self, problem: str) -> None:
        if self._run is not None:
            self._run.problem = problem

    def _on_ended(self) -> None:
        run, self._run = self._run, None
        if run is None:
            return
        run.job.deleteLater()
        tally = run.tally
        if tally.finished or tally.has_part:
            self.predicted.emit()
        if run.problem:
            self._status.say(run.problem, "error")
        else:
            self._status.say(*tally.outcome(cancelled=run.job.control.stopped))
        failures = tally.failure_lines() if len(tally.names) > 1 else []
        self._report.show_result(failures, run.files)
        self._refresh()

    def _on_opened(self, event: Opened) -> None:
        image = Image(event.image, name=event.name, rgb=event.rgb)
        self._viewer.add_layer(image)
        add_results(self._viewer, image, event.results)

    def _on_model(self, path: Path | None) -> None:
        self._facts = None
        try:
            self._facts = read_facts(path)
            self._facts_line.say(self._facts.sentence())
            self.form.suit(self._facts.mode, is_starter=self._facts.is_starter)
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
        several = self.image.several
        self.files.setVisible(several == _FILES)
        targets, facts = self._candidates(), self._facts
        self._slice.setEnabled(facts is not None and any(is_stack(target, facts) for target in targets))
        self._slice.setVisible(several != _FILES)
        suits = f"{len(targets)} of {len(images_of(self._viewer))} images suit the model."
        self._suits.say(suits if several == _ALL and facts is not None else "")

    def _candidates(self) -> list[Target]:
        """Return the chosen layers, as far as they suit the model."""
        if self._facts is None or self.image.several == _FILES:
            return []
        suiting = targets_that_suit(self._viewer, self.form.channels, self._facts)
        return [target for target in suiting if self.image.several or target.layer is self.image.layer]

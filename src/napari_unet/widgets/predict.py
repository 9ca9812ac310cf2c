"""The Predict dock: from a trained network and images to label layers."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import napari
from napari.layers import Image, Labels
from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # no qtpy stubs
from qtpy.QtWidgets import QProgressBar

from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.files.results.measured_files import Finished
from napari_unet.files.results.predicted_files import FileSuspended, FileWritten
from napari_unet.network.in_turn import ImageFailed
from napari_unet.widgets.bridge.layers import edited_result
from napari_unet.widgets.bridge.marks import images_of
from napari_unet.widgets.correcting.correct_section import CorrectSection
from napari_unet.widgets.guiding.next_place_run import Known
from napari_unet.widgets.jobs import Job, MakeEvents, Waiting
from napari_unet.widgets.models.model_chooser import ModelFacts, read_facts
from napari_unet.widgets.parts.dock import Dock, without_proxy
from napari_unet.widgets.parts.form import Sentence, button, describe
from napari_unet.widgets.parts.turning import Turning
from napari_unet.widgets.predicting.batch_report import BatchReport, BatchTally
from napari_unet.widgets.predicting.files_run import FilesFound, OpenedFile, segment_files
from napari_unet.widgets.predicting.live_objects import LiveObjects
from napari_unet.widgets.predicting.prediction_inputs import ALL, FILES, SELECTED, PredictionInputs
from napari_unet.widgets.predicting.prediction_run import (
    PreviewBegun,
    RunEvent,
    Segmented,
    SourceWanted,
    StoredOnDisk,
    TilesDone,
    segment,
)
from napari_unet.widgets.predicting.prediction_targets import (
    Target,
    add_results,
    add_segmented,
    plane_shown,
    source_image,
    still_has,
    with_corrections,
)
from napari_unet.widgets.predicting.preview_layer import PreviewLayer
from napari_unet.widgets.predicting.save_row import SaveRow
from napari_unet.widgets.predicting.stored_results import show_stored
from napari_unet.widgets.projects.window_project import project_of
from napari_unet.widgets.window.lifetime import follow


@dataclass(slots=True, eq=False)
class _Run:
    """The prediction that is running: its images, and their results so far."""

    job: Job
    tally: BatchTally
    facts: ModelFacts
    targets: list[Target] = field(default_factory=list)
    paths: tuple[Path, ...] = ()
    files: list[Finished] = field(default_factory=list)
    images: list[Image] = field(default_factory=list)  # with results of it
    shows_hidden: bool = False  # a single image was asked for, and was hidden then

    def shows(self, target: Target) -> bool:
        """Return whether results are shown at once: not for images that are hidden, or have been since."""
        return target.layer.visible or self.shows_hidden


class PredictDock(Dock):
    """Choose a model and images, predict, cancel."""

    started = Signal()
    """A prediction has begun."""
    predicted = Signal(object)
    """Results of these images were added."""
    ended = Signal()
    """A prediction has ended, in whatever way."""

    def __init__(self, viewer: "napari.viewer.Viewer", *, scrollable: bool = True) -> None:
        super().__init__(scrollable=scrollable)
        self.setObjectName("predict_dock")
        self._viewer = viewer = without_proxy(viewer)
        self._run: _Run | None = None
        self._facts: ModelFacts | None = None
        self._is_refused = False
        column = self.column
        self._inputs = column.add(PredictionInputs(viewer, keeps_model=not scrollable))
        self.model, self.image = self._inputs.model, self._inputs.image
        self.files, self.form = self._inputs.files, self._inputs.form
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
            partial(self._reread, discard_edits=True),
            name="predict_discard",
            tooltip="Replace the objects you edited with those of the settings above.",
        )
        self._discard.setVisible(False)
        self._report = BatchReport()
        self._report.opened.connect(self._on_opened)
        for widget in (self._predict, self._cancel, self._bar, self._status, self._discard, self._report):
            column.addWidget(widget)
        if scrollable:  # the U-Net dock has these buttons above its steps, which share the image
            column.addWidget(SaveRow(viewer, self.image))
            Turning(viewer, self.image)
        self.correct = column.add(CorrectSection(viewer, self.image))
        self.correct.looked.connect(self._on_corrected)
        column.addStretch()
        self._preview = PreviewLayer(viewer)
        self._live = LiveObjects(viewer, self)
        self._live.refreshed.connect(self._on_reread)
        self._live.blocked.connect(lambda sentence: self._status.say(sentence, "warning"))
        self._live.edited.connect(self._on_edited)
        self.form.objects.changed.connect(self._reread)
        self.image.layer_changed.connect(self._on_image)
        self.image.several_changed.connect(self._on_image)
        self.form.channels_choice.currentIndexChanged.connect(self._on_changed)
        self.model.model_changed.connect(self._on_model)
        follow(self, self._refresh, viewer.layers.events.inserted)
        follow(self, self._on_removed, viewer.layers.events.removed)
        follow(self, self._on_selection, viewer.layers.selection.events.changed)
        self._on_model(self.model.path)
        self._inputs.suggest_model()
        project_of(viewer).keep_settings("predict", self)

    @property
    def is_running(self) -> bool:
        """Whether a prediction is running or waiting."""
        return self._run is not None

    @property
    def can_predict(self) -> bool:
        """Whether the chosen model suits the chosen image, or may suit files."""
        is_of_files = self._facts is not None and self.image.several == FILES  # files are not open yet
        return is_of_files or bool(self._inputs.candidates(self._facts))

    def select_model(self, path: Path) -> None:
        """Choose a model file."""
        self.model.choose(path)

    def known(self, image: Image) -> Known | None:
        """Return the probabilities kept for ``image``."""
        return self._live.known(image)

    def start(self) -> None:
        """Predict with the settings of the form, unless a prediction is running."""
        if self._run is not None:
            return
        self._withdraw()
        try:
            run = self._prepare()
        except InputError as error:
            self._status.say(str(error), "error")
            self._is_refused = True
            return
        self._run = run
        project_of(self._viewer).note_prediction(run.facts.path)
        self._live.cancel()
        self._bar.setValue(0)
        self._report.clear()
        self._status.say(f"Reading the model and the image{'' if self.image.layer else 's'}.")
        run.job.happened.connect(self._on_event)
        run.job.delivered.connect(self._show_progress)
        run.job.ended.connect(self._on_ended)
        run.job.start()
        self._refresh()
        self.started.emit()

    def stop(self) -> None:
        """End the prediction after the tile that is being computed."""
        if self._run is not None:
            self._status.say("Stopping after this tile.")
            self._run.job.stop()

    def _prepare(self) -> _Run:
        facts = read_facts(self.model.path)
        self.form.objects.choose(facts.path, facts.instances)  # the model may have been trained further
        return self._prepare_files(facts) if self.image.several == FILES else self._prepare_layers(facts)

    def _prepare_layers(self, facts: ModelFacts) -> _Run:
        kinds, config = self.form.kinds, self.form.config()
        targets = self._inputs.targets(facts)
        if self._inputs.only_slice:
            targets = [replace(target, plane=plane_shown(self._viewer, target)) for target in targets]
        names = [target.layer.name for target in targets]
        device, keep = self.form.device, self.form.keeps_unfinished

        def events(control: Control) -> Iterator[RunEvent]:
            return segment(
                facts.path, len(names), kinds, config, device=device, keep_unfinished=keep, control=control
            )

        tally, is_one = BatchTally(names), len(names) == 1
        job = self._job(events, names[0] if is_one else f"{len(names)} images", tally)
        return _Run(job, tally, facts, targets, shows_hidden=is_one and not targets[0].layer.visible)

    def _prepare_files(self, facts: ModelFacts) -> _Run:
        config, device = self.form.config(), self.form.device
        if self.form.channels != "auto":
            config = replace(config, channels=self.form.channels)
        wanted = self.files.wanted(self.form.kinds)

        def events(control: Control) -> Iterator[object]:
            return segment_files(facts.path, wanted, config, device=device, control=control)

        tally = BatchTally(folder=str(wanted.output))
        return _Run(self._job(events, wanted.pattern, tally), tally, facts)

    def _job(self, events: MakeEvents, title: str, tally: BatchTally) -> Job:
        def measure(_event: object) -> tuple[float, float]:
            return 1000 * tally.share, 1000

        return Job(events, f"Predicting {title}", 1000, measure=measure, parent=self)

    def _on_event(self, event: object) -> None:
        run = self._run
        if run is None:
            return
        match event:
            case Waiting():
                self._status.say(event.message)
            case SourceWanted():
                event.answer.put(source_image(self._viewer, run.targets[event.number]))
            case FilesFound():
                run.tally.names = [path.name for path in event.paths]
                run.paths = event.paths
            case PreviewBegun():
                target = run.targets[event.number]
                if run.shows(target):
                    self._preview.begin(target.layer, target.channels, event)
            case TilesDone():
                run.tally.advance(event.number, event.share, event.note)
                self._preview.add(event.part)
            case Segmented() | StoredOnDisk():
                self._preview.end()
                self._show(run, event)
            case FileWritten():
                run.tally.finish(event.number, was_there=event.was_there, apart=event.apart)
                run.files.append((run.paths[event.number], event.outputs))
            case FileSuspended():
                run.tally.has_part = True
            case ImageFailed():
                self._preview.end()
                run.tally.fail(event.number, event.message)

    def _show(self, run: _Run, event: Segmented | StoredOnDisk) -> None:
        target = run.targets[event.number]
        source, run.tally.names[event.number] = target.layer, target.layer.name  # as it is called now
        if source not in self._viewer.layers:
            run.tally.fail(
                event.number,
                f"The image '{source.name}' was deleted meanwhile, so its result was not added.",
            )
            return
        if isinstance(event, StoredOnDisk):
            self._show_stored(run, event)
            return
        if not still_has(target, event.shape):
            run.tally.fail(
                event.number,
                f"The image '{source.name}' has changed since it was segmented; predict it again.",
            )
            return
        self.form.show_scaled(event.scaled)
        if event.scaled is not None:
            self.form.objects.choose(run.facts.path, event.scaled.instances)
        event = with_corrections(self._viewer, source, event, run.facts.ndim)
        shown = add_segmented(self._viewer, source, event, shows=run.shows(target)).get("objects")
        run.images.append(source)
        if isinstance(shown, Labels):
            self._live.remember(source, shown, event.rereading, run.facts)
        if event.complete:
            run.tally.finish(event.number, event.counts, areas=event.areas)
        else:
            run.tally.has_part = True

    def _show_stored(self, run: _Run, event: StoredOnDisk) -> None:
        if not event.finished:
            run.tally.is_suspended = True
            return
        target = run.targets[event.number]
        layer, shows = target.layer, run.shows(target)
        objects = show_stored(self._viewer, layer, target.channels, event.outputs, shows=shows).get("objects")
        run.images.append(layer)
        if isinstance(objects, Labels):
            self._live.remember(layer, objects, None, run.facts)
        run.tally.finish(event.number, stored=event.outputs)

    def _show_progress(self) -> None:
        self._preview.repaint()
        run = self._run
        if run is not None and not run.job.control.stopped and run.tally.progress:
            self._bar.setValue(round(1000 * run.tally.share))
            self._status.say(run.tally.progress)

    def _on_ended(self) -> None:
        run, self._run = self._run, None
        if run is None:
            return
        self._preview.end()
        tally = run.tally
        if run.images:
            self.predicted.emit(run.images)
        failures = tally.failure_lines() if len(tally.names) > 1 else []
        self._report.show_result(failures, run.files)
        self._refresh()
        self.ended.emit()
        # Only now: until the end, other docks keep the image they had, and may choose another one then.
        if run.job.failure:
            self._status.say(run.job.failure, "error")
        else:
            self._status.say(*tally.outcome(cancelled=run.job.control.stopped))

    def _on_opened(self, event: OpenedFile) -> None:
        image = Image(event.image, name=event.name, rgb=event.rgb, metadata=dict(event.metadata))
        self._viewer.add_layer(image)
        add_results(self._viewer, image, event.results)

    def _on_image(self, _chosen: object = None) -> None:
        if self._run is None:
            self._status.say("")  # the sentence is on the last image
        self._on_changed()

    def _on_removed(self, _event: object) -> None:
        self._on_changed()
        if self.image.several == ALL and not images_of(self._viewer) and self._run is None:
            self._status.say("")
            self._report.clear()

    def _on_selection(self, _event: object = None) -> None:
        if self.image.several == SELECTED:
            self._refresh()

    def _on_changed(self, _event: object = None) -> None:
        self._withdraw()
        self._refresh()

    def _on_model(self, path: Path | None) -> None:
        self._withdraw()
        self._facts = None
        try:
            self._facts = read_facts(path)
            self._inputs.facts_line.say(self._facts.sentence())
            self.form.suit(self._facts.mode, is_starter=self._facts.is_starter)
            self.form.objects.choose(self._facts.path, self._facts.instances)
        except InputError as error:
            self._inputs.facts_line.say(str(error), "hint" if path is None else "error")
        self._refresh()

    def _reread(self, *, discard_edits: bool = False) -> None:
        """Read the objects of the image again, if they were predicted, with the settings of the form."""
        self._live.refresh(self.image.layer, self.form.objects.config, discard_edits=discard_edits)

    def _on_reread(self, count: int) -> None:
        self._discard.setVisible(False)
        self._status.say(f"{count:,} object{'s' * (count != 1)} with these settings.")

    def _on_edited(self, sentence: str) -> None:
        self._discard.setVisible(True)
        self._status.say(sentence, "warning")

    def _on_corrected(self) -> None:
        """Clear the sentence on edits when they were taken into the paint, or undone."""
        image = None if self._discard.isHidden() else self.image.layer
        if image is not None and edited_result(self._viewer, image, "objects") is None:
            self._withdraw()

    def _withdraw(self) -> None:
        """Hide the button to discard edits; clear the sentences on edits and on why nothing was segmented."""
        if not self._discard.isHidden() or self._is_refused:
            self._discard.setVisible(False)
            self._status.say("")
        self._is_refused = False

    def _refresh(self, _event: object = None) -> None:
        """Enable what can be used now."""
        running = self._run is not None
        with self.hand_focus(self._cancel if running else self._predict):
            self._inputs.setEnabled(not running)
            self._predict.setVisible(not running)
            self._cancel.setVisible(running)
        self._bar.setVisible(running)
        self._inputs.refresh(self._facts)

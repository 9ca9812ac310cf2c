"""The Train dock: from painted images to a trained network on disk."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import napari
from napari.layers import Image
from napari.utils.notifications import show_info
from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # no qtpy stubs
from qtpy.QtGui import QShowEvent

from napari_unet.core.borders.weight_config import WeightConfig
from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.files.networks.models import model_path
from napari_unet.network.events import (
    Adapted,
    Continued,
    PaintJoined,
    Preview,
    Resolved,
    Started,
    StepDone,
    Stopped,
    Validated,
    Warned,
)
from napari_unet.widgets.bridge.paint_watch import PaintWatch
from napari_unet.widgets.bridge.sight import bring_up
from napari_unet.widgets.jobs import Job, Waiting, once
from napari_unet.widgets.parts.dock import Dock, without_proxy
from napari_unet.widgets.parts.form import Sentence, Tone, button
from napari_unet.widgets.parts.latest import Latest
from napari_unet.widgets.parts.plot import CurvePlot
from napari_unet.widgets.projects.window_project import project_of
from napari_unet.widgets.training.live_form import LiveForm
from napari_unet.widgets.training.live_preview import LivePreviewLayer, Shown
from napari_unet.widgets.training.paint_tally import PaintTally
from napari_unet.widgets.training.training_form import TrainingForm
from napari_unet.widgets.training.training_images import (
    Pairs,
    copy_pairs,
    frame_doubts,
    images_learnt_from,
    images_scored,
)
from napari_unet.widgets.training.training_run import (
    Saved,
    TrainingProgress,
    device_in_words,
    read_history,
    train_and_save,
)
from napari_unet.widgets.window.lifetime import follow, later


@dataclass(slots=True)
class _Run:
    """The training that is running."""

    job: Job
    progress: TrainingProgress
    watch: PaintWatch
    preview: LivePreviewLayer
    has_begun: bool = False
    saved: Path | None = None
    warnings: list[str] = field(default_factory=list)


class TrainDock(Dock):
    """Choose how to train, start, watch the curve, pause and stop.

    ``weights`` returns the border weights to train with, as ``WeightsDock.config`` does; without it, presets
    are offered.
    """

    saved = Signal(object)
    """The ``Path`` of every model saved."""
    started = Signal()
    """A training begins, with the paint as it is now."""
    begun = Signal()
    """The training begins to learn: its turn has come, and paint and images are read."""
    paused = Signal()
    """The training was paused, or goes on."""
    ended = Signal()
    """A training ended, for whatever reason."""

    def __init__(
        self,
        viewer: "napari.viewer.Viewer",
        *,
        weights: Callable[[], WeightConfig] | None = None,
        scrollable: bool = True,
    ) -> None:
        super().__init__(scrollable=scrollable)
        self.setObjectName("train_dock")
        self._viewer = viewer = without_proxy(viewer)
        self._weights = weights
        self._run: _Run | None = None
        self._is_refused = False
        self._last: Stopped | None = None
        self._last_path: Path | None = None
        self._proposed: Path | None = None
        column = self.column
        self.form = column.add(TrainingForm(viewer, offers_weights=weights is None))
        self._tally = column.add(PaintTally("train_paint", viewer, self._learnt_from))
        self.live = column.add(LiveForm())
        self.live.learning_changed.connect(self._on_learning_changed)
        self.live.preview_changed.connect(self._on_preview_changed)
        self._start = button(
            "Start training",
            self.start,
            name="train_start",
            tooltip="Learn from the paint as it is now; you can keep painting meanwhile.\n"
            "After a training, this continues where it stopped.",
        )
        self._start.setMinimumHeight(36)
        self._pause = button(
            "Pause", self.pause, name="train_pause", tooltip="Wait after this step; press again to go on."
        )
        self._stop = button(
            "Stop and save",
            self.stop,
            name="train_stop",
            tooltip="End after this step; the best network so far is saved.",
        )
        column.add_row(self._start, self._pause, self._stop)
        self._status = column.add(Sentence("train_status"))
        self._warning = column.add(Sentence("train_warning"))
        self._outcome = column.add(Sentence("train_outcome"))
        self.plot = column.add(CurvePlot())
        self._device_line = column.add(Sentence("train_place"))
        column.addStretch()
        self.form.device_changed.connect(self._ask_device)
        self.form.images_changed.connect(self._tally.look)
        for changed in (self.form.images_changed, self._tally.changed):
            changed.connect(self._withdraw)
        self.form.image.layer_changed.connect(self._refresh)
        follow(self, self._refresh, viewer.layers.events.inserted, viewer.layers.events.removed)
        self._project = project_of(viewer)
        self._project.opened.connect(self._on_project)
        self._project.trained.connect(self._on_trained)
        self.saved.connect(self._project.note_model)
        self._on_project()
        # Settings made afterwards win over those that the model was trained with.
        self._project.keep_settings("train", self.form, {"train_start_from"})
        self._looking = Latest("Looking for a GPU", self)
        self._looking.result.connect(lambda found: self._show_device(*found))
        self._looking.failed.connect(lambda sentence: self._show_device(sentence, "", "warning"))
        self._refresh()
        self._ask_device()

    @property
    def is_running(self) -> bool:
        """Whether a training is running, waiting or paused."""
        return self._run is not None

    @property
    def is_paused(self) -> bool:
        """Whether a training is paused."""
        return self._run is not None and self._run.job.control.paused

    @property
    def is_waiting(self) -> bool:
        """Whether a training does not learn yet: it waits for its turn, or reads images and paint."""
        return self._run is not None and not self._run.has_begun

    def joins(self, image: Image) -> bool:
        """Return whether what the user paints on ``image`` now joins the training."""
        return self._run is not None and self._run.watch.joins(image)

    def start(self) -> None:
        """Train with the settings of the form, unless a training is running."""
        if self._run is not None:
            return
        self._withdraw()
        for sentence in (self._warning, self._outcome):
            sentence.say("")
        try:
            run = self._prepare()
        except InputError as error:
            self._refuse(str(error))
            return
        image = self.form.image.layer
        if image is not None and image.visible and (hidden := bring_up(self._viewer, image)):
            show_info(hidden)  # otherwise the preview would lie below another image
        self._run, job = run, run.job
        self._warning.say("\n".join(run.warnings), "warning")
        self.live.say_joined(None)
        self.plot.clear()
        self._status.say("Preparing: reading the paint and computing its border weights.")
        job.happened.connect(self._on_event)
        job.delivered.connect(self._show_progress)
        job.ended.connect(self._on_ended)
        job.start()
        self._refresh()
        self.started.emit()

    def pause(self) -> None:
        """Pause the training, or let a paused one go on."""
        if self._run is None:
            return
        job = self._run.job
        if job.control.paused:
            job.resume()
        else:
            job.pause()
        self._say_progress()
        self._refresh()
        self.paused.emit()

    def stop(self) -> None:
        """End the training after its current step; the best network is saved."""
        if self._run is not None:
            self._status.say("Stopping after this step.")
            self._run.job.stop()

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """Count what was painted while the dock was hidden."""
        super().showEvent(event)
        self._tally.look()

    def _prepare(self) -> _Run:
        pairs = self._learnt_from()
        copies = copy_pairs(pairs, images_scored(self._viewer, self.form.validation_image))
        weights, mode = None if self._weights is None else self._weights(), copies.mode
        config = self.form.config(mode=mode, weights=weights, channels=copies.channels)
        name = copies.layers[0].image.name
        path = model_path(self._project.models_folder, name, datetime.now().astimezone())
        start, device = self.form.chosen_start(self._last), self.form.device
        joins = self.form.all_painted.isChecked()
        watch = PaintWatch(self._viewer, copies.layers, all_images=joins, parent=self)
        watch.listen(self.live.learns.isChecked())
        preview = LivePreviewLayer(self._viewer, copies.layers, mode, self.live.suit(mode), self)
        before = self._last_path if isinstance(start, Stopped) else None

        def events(control: Control) -> Iterator[Any]:
            return train_and_save(
                copies.taught,
                config,
                start=start,
                device=device,
                path=path,
                control=control,
                before=before,
                feed=watch.feed,
                gaze=preview.gaze,
            )

        progress = TrainingProgress(seconds := self.form.seconds)
        job = Job(events, f"Training on {name}", round(seconds), measure=progress.measure, parent=self)
        return _Run(job, progress, watch, preview, warnings=[*copies.doubts, *frame_doubts(pairs, config)])

    def _learnt_from(self) -> Pairs:
        form = self.form
        return images_learnt_from(
            self._viewer, form.image.layer, form.validation_image, all_painted=form.all_painted.isChecked()
        )

    def _on_event(self, event: object) -> None:
        run = self._run
        if run is None:
            return
        match event:
            case StepDone() | Validated():
                self.plot.add(event)
                run.progress.add(event)
            case Preview():
                run.preview.add(event)
            case PaintJoined():
                self.live.say_joined(event)
            case Continued():
                self.plot.show_history(event.history)
                run.progress.go_on(event)
                self._outcome.say(event.message)
            case Waiting():
                self._status.say(event.message)
            case Started():
                weights = f"{event.parameters / 1e6:.1f} million weights"
                self._device_line.say(f"{event.device}, {event.precision}; a network of {weights}.")
                run.has_begun = True
                self.begun.emit()
            case Adapted():
                self._device_line.say(f"{self._device_line.text()}\n{event.message}")
            case Warned() | Resolved():
                self._note(run, event)
            case Stopped():
                self._last, self._last_path = event, None
                self.form.offer_last(f"step {event.model.history.best_step}")
            case Saved():
                self._last_path = run.saved = event.path
                self.form.offer_last(event.path.stem)
                self._outcome.say(f"Saved as {event.path.name} in the folder {event.path.parent.name}.")
                self._outcome.setToolTip(str(event.path))
                self.saved.emit(event.path)

    def _show_progress(self) -> None:
        self._say_progress()
        self.plot.repaint_curves()  # now, with the words: one repaint of the window for all
        if self._run is not None:
            self._run.preview.repaint()

    def _say_progress(self) -> None:
        run = self._run
        now = "" if run is None or run.job.control.stopped else run.progress.now(paused=self.is_paused)
        if now:
            self._status.say(now)

    def _note(self, run: _Run, event: Warned | Resolved) -> None:
        """Show all warnings that hold, one below the other, until the next training starts."""
        run.warnings = [message for message in run.warnings if message != event.message]
        if isinstance(event, Warned):
            run.warnings.append(event.message)
        self._warning.say("\n".join(run.warnings), "warning")

    def _on_learning_changed(self, on: bool) -> None:
        if self._run is not None:
            self._run.watch.listen(on)

    def _on_preview_changed(self, shown: Shown) -> None:
        if self._run is not None:
            self._run.preview.show_as(shown)

    def _on_ended(self) -> None:
        run, self._run = self._run, None
        if run is None:
            return
        if run.saved is not None:
            self._project.keep_model(run.saved)
        run.watch.close()
        run.preview.close()
        self.live.say_joined(None)
        self.plot.repaint_curves()
        if run.job.failure and not run.has_begun:
            self._refuse(run.job.failure)
        elif run.job.failure:
            self._status.say(run.job.failure, "error")
        else:
            self._status.say(run.progress.outcome())
        self._refresh()
        self.ended.emit()

    def _refuse(self, why: str) -> None:
        self._status.say(self.form.with_way_out(why), "error")
        self._is_refused = True

    def _withdraw(self) -> None:
        """Clear the reason why a training could not begin: layers or paint have changed."""
        if self._is_refused and self._run is None:
            self._status.say("")
        self._is_refused = False

    def _refresh(self, _event: object = None) -> None:
        """Enable the buttons that can be pressed now."""
        run = self._run
        with self.hand_focus(self._start if run is None else self._pause):
            self.form.setEnabled(run is None)
            self._start.setVisible(run is None)
            self._pause.setVisible(run is not None)
            self._stop.setVisible(run is not None)
        if run is not None:
            self._pause.setText("Go on" if run.job.control.paused else "Pause")

    def _on_project(self) -> None:
        """Offer to go on from the last model of the project, or else of the window, and show its curve."""
        path = self._project.last_model
        if path is not None and self._run is None:
            self._proposed = path
            self.form.start_from_file(path)
            with suppress(InputError):  # the error is shown when the training starts
                self.plot.show_history(read_history(path))

    def _on_trained(self, path: Path) -> None:
        """Offer what another dock of the window trained; what the user chose here stays.

        If this dock proposed the model before, whose state is now gone, it proposes the new one.
        """
        if path == self._last_path:
            return
        self.form.offer_file(path)
        chosen = self.form.chosen_start(None)
        if self._run is None and chosen is not None and chosen == self._proposed:
            self._proposed = path
            self.form.choose_file(path)

    def _ask_device(self) -> None:
        """Let a thread find out which device computes, once the dock is open: importing torch delays it."""
        device = self.form.device
        self._device_line.say("Looking for a GPU.")
        look = once(lambda: device_in_words(device))
        later(self, 0, lambda: self._looking.submit(look)).start()

    def _show_device(self, words: str, hint: str, tone: Tone = "hint") -> None:
        if self._device_line.text().startswith("Looking"):  # else it says what a training runs or ran on
            self._device_line.say(words, tone)
            self.form.show_hint(hint)

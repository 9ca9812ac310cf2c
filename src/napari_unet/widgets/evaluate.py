"""The Evaluate dock: how good predicted labels are, and where they are wrong."""

from collections.abc import Iterator
from contextlib import ExitStack
from math import sqrt

import napari
import numpy as np
from napari.layers import Labels
from qtpy.QtWidgets import QWidget

from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.core.scoring.label_errors import ErrorSite
from napari_unet.widgets.bridge.layers import add_error_map, copy_objects
from napari_unet.widgets.bridge.marks import is_paint, is_result
from napari_unet.widgets.guiding.place_view import centre_on
from napari_unet.widgets.jobs import Job
from napari_unet.widgets.parts.dock import Dock, without_proxy
from napari_unet.widgets.parts.form import Column, Form, LabelsChooser, Sentence, button, choice
from napari_unet.widgets.scoring.evaluation_run import Evaluated, PlanesDone, compare_labels
from napari_unet.widgets.scoring.score_view import ErrorLegend, ScoreTable
from napari_unet.widgets.window.lifetime import follow

_SITE_PIXELS = 100
"""Smallest size on the screen, in pixels, of an error in view, with its surroundings."""

_AROUND = 20
"""Pixels of the image that are shown around an error."""

_CHANGED = "The labels have changed since; evaluate again for their new scores."


class EvaluateDock(Dock):
    """Compare a label layer with the truth; see the scores, and the errors one by one."""

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self.setObjectName("evaluate_dock")
        self._viewer = viewer = without_proxy(viewer)
        self._job: Job | None = None
        self._compared: Labels | None = None
        self._result: Evaluated | None = None
        self._hint = ""
        self._is_outdated = False
        self._site = -1
        self._watched = ExitStack()
        column = self.column
        self._add_inputs(column)
        self._evaluate = button(
            "Evaluate",
            self.start,
            name="evaluate_start",
            tooltip="Compare the two layers as they are now.",
        )
        self._evaluate.setMinimumHeight(36)
        self._cancel = button(
            "Cancel", self.stop, name="evaluate_cancel", tooltip="End after the plane that is being compared."
        )
        self._status = Sentence("evaluate_status")
        for widget in (self._evaluate, self._cancel, self._status):
            column.addWidget(widget)
        self._add_results(column)
        column.addStretch()
        for chooser in (self.prediction, self.truth):
            chooser.layer_changed.connect(self._on_choice)
        follow(self, self._on_layers, viewer.layers.events.inserted, viewer.layers.events.removed)
        self._on_layers()

    def _add_inputs(self, column: Column) -> None:
        self._form = Form(column)
        self.prediction = self._form.add(
            "Prediction",
            LabelsChooser(self._viewer),
            name="evaluate_prediction",
            tooltip="The labels to judge: 0 is background, every other value one object.",
        )
        self.truth = self._form.add(
            "Truth",
            LabelsChooser(self._viewer),
            name="evaluate_truth",
            tooltip="Labels of the same image that are right everywhere, such as those made by an expert.",
        )
        self.extent = self._form.add(
            "Stack",
            choice([("Plane by plane", 2), ("Whole volume", None)]),
            name="evaluate_extent",
            tooltip="Plane by plane: the outline of an object in each plane is a separate object.\n"
            "Whole volume: an object extends over the planes in which it has the same number.",
        )

    def _add_results(self, column: Column) -> None:
        self._results = column.add(QWidget())
        inner = Column(self._results)
        self._legend = inner.add(ErrorLegend())
        self._show = button(
            "Show errors",
            self.show_errors,
            name="evaluate_show",
            tooltip="Add a layer that colours what is missed, invented, split or merged; it dims the rest.",
        )
        self._next = button(
            "&Next error",
            self.next_error,
            name="evaluate_next",
            tooltip="Move the view to the next error, the largest first (Alt+N).",
        )
        self._place = Sentence("evaluate_place")
        self.table = ScoreTable()
        self._copy = button(
            "Copy table",
            self.table.copy,
            name="evaluate_copy",
            tooltip="Copy all scores, to paste into a spreadsheet or a text.",
        )
        inner.add_row(self._show, self._next)
        for widget in (self._place, self.table, self._copy):
            inner.addWidget(widget)

    def start(self) -> None:
        """Compare the chosen layers as they are now, unless a comparison is running."""
        if self._job is not None:
            return
        try:
            job = self._prepare()
        except InputError as error:
            self._status.say(str(error), "error")
            return
        self._job = job
        self._result, self._site = None, -1
        self._status.say("Comparing.")
        job.happened.connect(self._on_event)
        job.ended.connect(self._on_ended)
        job.start()
        self._refresh()

    def stop(self) -> None:
        """End the comparison after the plane that is being compared."""
        if self._job is not None:
            self._job.stop()

    def _prepare(self) -> Job:
        prediction, truth = self.prediction.labels, self.truth.labels
        if prediction is None or truth is None:
            raise InputError("There are no labels to compare; predict, paint or open some first.")
        if prediction is truth:
            raise InputError(
                f"Prediction and truth are the same layer '{truth.name}'; choose another one for the truth. "
                "If napari opened it as an image, right-click it and choose Convert to Labels."
            )
        predicted, true = copy_objects(prediction), copy_objects(truth)
        if predicted.shape != true.shape:
            raise InputError(
                f"'{prediction.name}' has shape {predicted.shape} and '{truth.name}' {true.shape}; choose "
                "labels of the same image."
            )
        ndim = self.extent.currentData()

        def events(control: Control) -> Iterator[PlanesDone | Evaluated]:
            return compare_labels(predicted, true, ndim, control)

        self._compared = prediction
        self._hint, self._is_outdated = "", False
        if is_paint(prediction) or is_paint(truth):
            self._hint = " Unpainted pixels counted as background."
        self._watched.close()
        for layer in (prediction, truth):
            self._watched.callback(follow(self, self._on_edited, layer.events.paint, layer.events.data))
        # Not heavy: it takes seconds at most, and must not wait for hours of training.
        return Job(events, f"Evaluating {prediction.name}", heavy=False, parent=self)

    def _on_edited(self, _event: object = None) -> None:
        self._is_outdated = True
        if self._result is not None:
            self._status.say(_CHANGED)

    def _on_event(self, event: object) -> None:
        if isinstance(event, PlanesDone) and event.total > 1:
            self._status.say(f"Comparing: {event.done} of {event.total} planes.")
        elif isinstance(event, Evaluated):
            self._result = event
            self.table.show_scores(event.scores)
            self._legend.show_places(event)

    def _on_ended(self) -> None:
        job, self._job = self._job, None
        if job is None:
            return
        if job.failure:
            self._status.say(job.failure, "error")
        elif self._result is None:
            self._status.say("Cancelled; there are no scores.")
        elif self._is_outdated:  # while they were compared
            self._status.say(_CHANGED)
        else:
            self._status.say(self._result.sentence() + self._hint, "warning" if self._hint else "hint")
        self._refresh()

    def show_errors(self) -> None:
        """Add the map of errors, or update the existing one."""
        if self._result is None or self._compared is None:
            return
        try:
            add_error_map(self._viewer, self._compared, self._result.errors)
        except InputError as error:
            self._status.say(str(error), "error")

    def next_error(self) -> None:
        """Move the view to the next error."""
        if self._result is None or self._compared is None or not self._result.sites:
            return
        sites = self._result.sites
        self._site = (self._site + 1) % len(sites)
        site = sites[self._site]
        pixels = f"{site.size} pixel{'s' * (site.size != 1)}"
        self._place.say(f"Error {self._site + 1} of {len(sites)}: {site.kind.name.lower()}, {pixels}.")
        self._look_at(self._compared, site)

    def _look_at(self, labels: Labels, site: ErrorSite) -> None:
        centre_on(self._viewer, labels, site.centre)
        camera = self._viewer.scene.camera
        side = (sqrt(site.size) + _AROUND) * float(np.min(np.abs(labels.scale[-2:])))
        camera.zoom = max(camera.zoom, _SITE_PIXELS / side)

    def _on_choice(self, _layer: object = None) -> None:
        """Clear scores that are not of the chosen layers, unless their layers were deleted."""
        if self._job is None and (self._result is None or self._compared in self._viewer.layers):
            self._result = None
            self._status.say("")
        self._refresh()

    def _on_layers(self, _event: object = None) -> None:
        """Choose different layers for truth and prediction, if the user has chosen neither."""
        layers = [self.truth.itemData(index) for index in range(self.truth.count())]
        if len(layers) > 1 and self.truth.labels is self.prediction.labels:
            predicted = next((layer for layer in layers if is_result(layer)), layers[0])
            self.prediction.choose(predicted)
            self.truth.choose(next(layer for layer in layers if layer is not predicted))
        self._refresh()

    def _refresh(self) -> None:
        """Enable what can be used now."""
        running, result = self._job is not None, self._result
        with self.hand_focus(self._cancel if running else self._evaluate):
            for chooser in (self.prediction, self.truth):
                chooser.setEnabled(not running and chooser.count() > 0)
            self._evaluate.setVisible(not running)
            self._cancel.setVisible(running)
        labels = self.prediction.labels
        self._form.show_row(self.extent, labels is not None and labels.ndim > 2)
        self._results.setVisible(result is not None)
        has_errors = result is not None and bool(result.sites)
        self._show.setEnabled(has_errors)
        self._next.setEnabled(has_errors)
        if self._site < 0:
            self._place.say("")

"""The outcome for many images: which failed and why, and which can be looked at."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # no qtpy stubs
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QPlainTextEdit, QWidget

from napari_unet.core.annotation import BACKGROUND
from napari_unet.core.objects.prediction import PredictionKind
from napari_unet.files.results.measured_files import MEASURED, Finished, write_table_of_files
from napari_unet.widgets.jobs import once
from napari_unet.widgets.parts.form import Chooser, Column, Sentence, Tone, button, describe
from napari_unet.widgets.parts.latest import Latest
from napari_unet.widgets.predicting.files_run import read_results
from napari_unet.widgets.predicting.object_counts import ObjectCounts
from napari_unet.widgets.predicting.saving import with_ending

_LINES = 6
"""Lines of the list of failures that are visible without scrolling."""


class BatchTally:
    """Counts which of the images with these names are finished, failed or left.

    ``folder`` is where results are written, or "" if they become layers.
    """

    def __init__(self, names: Sequence[str] = (), folder: str = "") -> None:
        self.names = list(names)
        self.folder = folder
        self.finished: list[int] = []
        self.failures: dict[int, str] = {}
        self.has_part = False
        """Whether finished tiles of an unfinished image were kept."""
        self.is_suspended = False
        """Whether they are kept on disk, so that the same prediction can go on there."""
        self._there = 0  # of the finished
        self._apart: list[Path] = []
        self._stored: list[Path] = []
        self._counts: list[ObjectCounts] = []
        self._areas = Counter[int]()
        self.share = 0.0
        """How much of all images together is done, 0 to 1."""
        self.progress = ""
        """Where the work is, in words; "" before it has begun."""
        self._note = ""

    def advance(self, number: int, share: float, note: str = "") -> None:
        """Note that a ``share`` of image ``number`` is done; ``note`` is a sentence for the user."""
        total = len(self.names)
        self._note = note
        self.share = (number + share) / total
        where = f"Image {number + 1} of {total}, {self.names[number]}" if total > 1 else "Predicting"
        self.progress = f"{where}: {self.share:.0%} done. {note}".rstrip()

    def finish(
        self,
        number: int,
        counts: ObjectCounts | None = None,
        *,
        areas: Sequence[int] = (),
        was_there: bool = False,
        apart: Sequence[Path] = (),
        stored: Mapping[PredictionKind, Path] = MappingProxyType({}),
    ) -> None:
        """Note that an image is finished, with its results where they belong, and how many objects it has.

        ``areas`` are the pixels of each of its classes.
        Its results may have been there before, and others beside them that are ``apart``; those that are
        ``stored`` are shown from disk.
        """
        self.finished.append(number)
        self._there += was_there
        self._apart += apart
        self._stored += stored.values()
        self._areas.update(dict(enumerate(areas, start=BACKGROUND)))
        if counts is not None:
            self._counts.append(counts)
        self.advance(number, 1, self._note)  # for a short prediction, this may be the first news

    def fail(self, number: int, message: str) -> None:
        """Note why an image failed."""
        self.failures[number] = message
        self.advance(number, 1)

    def failure_lines(self) -> list[str]:
        """Return a line for every image that failed: its name and why."""
        return [f"{self.names[number]}: {message}" for number, message in self.failures.items()]

    def outcome(self, *, cancelled: bool) -> tuple[str, Tone]:
        """Return the outcome in words, and their tone."""
        words, tone = self._outcome(cancelled)
        if self._there:
            words += f" {self._told_of_there()}"
        if self._apart:
            more = f" and {len(self._apart) - 1} more" if len(self._apart) > 1 else ""
            words += (
                " Left there from an earlier run with another model, settings, format or release: "
                f"{self._apart[0].name}{more}; predict all kinds together, or delete what is old."
            )
            tone = "warning" if tone == "hint" else tone
        return words, tone

    def _told_of_there(self) -> str:
        all_of_them = "It was" if len(self.finished) == 1 else "All of them were"
        some = f"{self._there} of them {'was' if self._there == 1 else 'were'}"
        which = all_of_them if self._there == len(self.finished) else some
        return f"{which} segmented before, by this model with these settings."

    def _outcome(self, cancelled: bool) -> tuple[str, Tone]:
        total, done, failed = len(self.names), len(self.finished), len(self.failures)
        if total == failed == 1:
            return next(iter(self.failures.values())), "error"
        kept = f" in {self.folder}" if self.folder else " in the layer list"
        if cancelled and (total == 0 or done + failed < total):
            return self._cancelled(kept), "warning" if failed else "hint"
        if failed:
            where = f" The results are{kept}." if done else ""
            counts = f"{done} of {total} images segmented, {failed} failed"
            return f"{counts}: the list below says why.{where}", "warning" if done else "error"
        images = f"{done} images" if done != 1 else f"'{self.names[self.finished[0]]}'"
        objects = sum(sum(counts.numbers) for counts in self._counts)
        if self._counts and not objects:
            remedy = "train longer, or lower Threshold or Smallest object"
            return f"Done, and no object was found in {images}: {remedy}.", "warning"
        them = "it" if objects == 1 else "them"
        after = "" if self.folder else f", and correct {them} like any labels"
        if not self._counts:
            if self._stored:
                kept, after = f": they are in {self._stored[0].parent}, and shown from there", ""
            found = (
                f"{images} {self._shares()}; see the classes"
                if self._areas
                else f"see the results of {images}"
            )
            return f"Done: {found}{kept}{after}.", "hint"
        found = f"{objects:,} object{'s' * (objects != 1)}{self._accepted()} in {images}{self._spread()}"
        return f"Done: {found}; see {them}{kept}{after}.", "hint"

    def _shares(self) -> str:
        """Return how much of all pixels each class has."""
        shares = [
            f"{pixels / self._areas.total():.1%} {'background' if value == BACKGROUND else f'class {value}'}"
            for value, pixels in sorted(self._areas.items())
        ]
        return f"{'is' if len(self.finished) == 1 else 'are'} {', '.join(shares[:-1])} and {shares[-1]}"

    def _accepted(self) -> str:
        """Return how many of the objects are as the user corrected them."""
        accepted = sum(counts.accepted for counts in self._counts)
        if not accepted:
            return ""
        return f", {accepted:,} of which {'is' if accepted == 1 else 'are'} as you corrected before,"

    def _spread(self) -> str:
        """Return how many objects there are in each image, or in each plane of the only one."""
        if len(self._counts) == 1:
            (counts,) = self._counts
            numbers, where = counts.numbers, f" per {counts.each}"
        else:
            numbers, where = tuple(sum(counts.numbers) for counts in self._counts), " in each"
        lowest, highest = min(numbers), max(numbers)
        if len(numbers) == 1:
            return ""
        return f", {lowest:,}{'' if lowest == highest else f' to {highest:,}'}{where}"

    def _cancelled(self, kept: str) -> str:
        done, failed = len(self.finished), len(self.failures)
        if self.is_suspended and len(self.names) == 1:
            return "Cancelled; the finished tiles are kept on disk: Predict continues from them."
        if len(self.names) <= 1:
            what = "the finished tiles were" if self.has_part else "nothing was"
            return f"Cancelled; {what} {'written' if self.folder else 'added'}."
        more = f", {failed} failed" if failed else ""
        part = ", with the finished tiles of one more" if self.has_part else ""
        where = f" What is finished is{kept}{part}." if done or part else ""
        return f"Cancelled: {done} of {len(self.names)} images segmented{more}.{where}"


class BatchReport(QWidget):
    """A list of failures that can be copied, and a choice of finished files to open; hidden while empty."""

    opened = Signal(object)
    """Image and results of the requested file, an ``OpenedFile``."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("predict_report")
        self._files: list[Finished] = []
        column = Column(self)
        self._failed = QWidget()
        inner = Column(self._failed)
        self._list = inner.add(QPlainTextEdit())
        describe(self._list, name="predict_failures", tooltip="The images that failed, and why.")
        self._list.setAccessibleName("Failed images")
        self._list.setReadOnly(True)
        self._list.setTabChangesFocus(True)
        self._list.setFixedHeight(_LINES * self._list.fontMetrics().lineSpacing() + 12)
        inner.addWidget(
            button(
                "Copy list",
                self._copy,
                name="predict_failures_copy",
                tooltip="Copy the names of the images that failed, and why.",
            )
        )
        self._opening = QWidget()
        row = QHBoxLayout(self._opening)
        row.setContentsMargins(0, 0, 0, 0)
        self._finished = Chooser()
        self._finished.setAccessibleName("Finished image")
        describe(self._finished, name="predict_finished", tooltip="The images that were segmented.")
        label = QLabel("Finished")
        label.setBuddy(self._finished)
        row.addWidget(label)
        row.addWidget(self._finished, 1)
        row.addWidget(
            button(
                "Open results",
                self._open,
                name="predict_open",
                tooltip="Open this image and its results as layers.",
            )
        )
        self._table = button(
            "Save table of all…",
            self._ask_table,
            name="predict_table",
            tooltip="Write size, place and brightness of every object of all finished images to a CSV file.",
        )
        self._problem = Sentence("predict_open_problem")
        self.reading = Latest("Opening results", self)
        self.reading.result.connect(self.opened)
        self._measuring = Latest("Writing the table", self)
        self._measuring.result.connect(lambda path: self._problem.say(f"Saved the table as {path}"))
        for reads in (self.reading, self._measuring):
            reads.failed.connect(lambda problem: self._problem.say(problem, "error"))
        for widget in (self._failed, self._opening, self._table, self._problem):
            column.addWidget(widget)
        self.clear()

    def clear(self) -> None:
        """Show nothing."""
        self.show_result([], [])

    def show_result(self, failures: Sequence[str], finished: Sequence[Finished]) -> None:
        """Show lines on what failed, and the files that can be opened."""
        self._list.setPlainText("\n".join(failures))
        self._failed.setVisible(bool(failures))
        self._files = list(finished)
        self._finished.clear()
        self._finished.addItems([path.name for path, _ in finished])
        self._opening.setVisible(bool(finished))
        self._table.setVisible(any(kind in outputs for _, outputs in finished for kind in MEASURED))
        self._problem.say("")
        self.setVisible(bool(failures or finished))

    def _copy(self) -> None:
        clipboard = QGuiApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(self._list.toPlainText())

    def _open(self) -> None:
        if not self.reading.is_running:
            path, outputs = self._files[self._finished.currentIndex()]
            self._problem.say("")
            self.reading.submit(once(lambda: read_results(path, outputs)))

    def _ask_table(self) -> None:
        *_, last = self._files[0][1].values()
        suggested = str(last.with_name("objects.csv"))
        chosen, _ = QFileDialog.getSaveFileName(self, "Save a table", suggested, "Tables (*.csv)")
        if chosen:
            path, files = with_ending(Path(chosen), ".csv"), self._files
            self._problem.say(f"Measuring {len(files)} image{'s' * (len(files) != 1)}.")
            self._measuring.submit(once(lambda: write_table_of_files(path, files)))

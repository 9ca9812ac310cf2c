"""What came of many images: which failed and why, and which can be looked at."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # no qtpy stubs
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPlainTextEdit, QWidget

from napari_unet.files.results.large_prediction import Kind
from napari_unet.widgets.parts.form import Chooser, Sentence, button, column_in, describe
from napari_unet.widgets.parts.latest import Latest
from napari_unet.widgets.predicting.files_run import open_results

Finished = tuple[Path, Mapping[Kind, Path]]
"""An image file that was segmented, and the files of its results by kind."""

_LINES = 6
"""Lines of the list of failures that are seen without scrolling."""


class BatchReport(QWidget):
    """A list of failures that can be copied, and a choice of finished files to open; hidden while empty."""

    opened = Signal(object)
    """Image and results of the file asked for: :class:`~napari_unet.widgets.predicting.files_run.Opened`."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("predict_report")
        self._files: list[Finished] = []
        column = column_in(self)
        self._failed = QWidget()
        inner = column_in(self._failed)
        self._list = QPlainTextEdit()
        describe(self._list, name="predict_failures", tooltip="The images that failed, and why.")
        self._list.setAccessibleName("Failed images")
        self._list.setReadOnly(True)
        self._list.setTabChangesFocus(True)
        self._list.setFixedHeight(_LINES * self._list.fontMetrics().lineSpacing() + 12)
        inner.addWidget(self._list)
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
        self._problem = Sentence("predict_open_problem")
        self.reading = Latest("Opening results", self)
        self.reading.result.connect(self.opened)
        self.reading.failed.connect(lambda problem: self._problem.say(problem, "error"))
        for widget in (self._failed, self._opening, self._problem):
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
            self.reading.submit(lambda _control: open_results(path, outputs))

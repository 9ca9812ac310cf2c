"""Scores on the screen: a table that explains itself and can be copied, and the colours of errors."""

from qtpy.QtCore import QMimeData, Qt
from qtpy.QtGui import QGuiApplication, QKeyEvent, QKeySequence
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QLabel, QSizePolicy, QTableWidget, QTableWidgetItem

from napari_unet.core.scoring.label_errors import ERROR_COLOURS
from napari_unet.core.scoring.score_table import MEANINGS, delimited, named_values
from napari_unet.core.scoring.scores import Scores
from napari_unet.widgets.parts.form import describe
from napari_unet.widgets.scoring.evaluation_run import Evaluated


class ScoreTable(QTableWidget):
    """Every score with its value; the tooltip of a row says what it means. Copied as a whole with Ctrl+C."""

    def __init__(self) -> None:
        super().__init__(len(MEANINGS), 2)
        describe(self, name="evaluate_scores", tooltip="Rest the pointer on a score to read what it means.")
        self.setHorizontalHeaderLabels(["Score", "Value"])
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setTabKeyNavigation(False)  # the Tab key leaves the table; its rows are reached with the arrows
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header, numbers = self.horizontalHeader(), self.verticalHeader()
        if header is not None and numbers is not None:
            header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
            header.setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
            numbers.setVisible(False)
            numbers.setDefaultSectionSize(self.fontMetrics().height() + 6)
        # As high as all its rows: a scrolling list inside a scrolling dock would be tiresome.
        self.setSizeAdjustPolicy(QAbstractItemView.SizeAdjustPolicy.AdjustToContents)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        for row, meaning in enumerate(MEANINGS.values()):
            for column in (0, 1):
                item = QTableWidgetItem(meaning.title if column == 0 else "")
                item.setToolTip(meaning.sentence)
                self.setItem(row, column, item)
        self._rows: list[tuple[str, str]] = []

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        """Copy the table, where Qt would copy one cell."""
        if event is not None and event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
        else:
            super().keyPressEvent(event)

    def show_scores(self, scores: Scores) -> None:
        """Write the values."""
        self._rows = named_values(scores)
        for row, (_, value) in enumerate(self._rows):
            item = self.item(row, 1)
            if item is not None:
                item.setText(value)
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)

    def copy(self) -> None:
        """Put the table on the clipboard, for spreadsheets and for text."""
        clipboard = QGuiApplication.clipboard()
        if not self._rows or clipboard is None:
            return
        rows = [("Score", "Value"), *self._rows]
        data = QMimeData()
        data.setText(delimited(rows, "\t"))
        data.setData("text/csv", delimited(rows).encode())
        clipboard.setMimeData(data)


class ErrorLegend(QLabel):
    """The colour of each kind of error, and its number of places."""

    def __init__(self) -> None:
        super().__init__()
        describe(
            self,
            name="evaluate_legend",
            tooltip="Missed: true objects that were not found.\n"
            "Invented: predicted objects that fit no true one.\n"
            "Split: true objects cut into several, and their parts.\n"
            "Merged: predicted objects that swallow several, and what they swallowed.\n"
            "The numbers count connected areas.",
        )
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setWordWrap(True)

    def show_places(self, result: Evaluated) -> None:
        """Write the numbers."""
        entries = (
            f'<span style="color:{colour}">■</span>&nbsp;{kind.name.lower()}&nbsp;{result.places(kind)}'
            for kind, colour in ERROR_COLOURS.items()
        )
        self.setText("&ensp; ".join(entries))

"""Where image files are, and where their results go."""

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from napari_unet.core.errors import InputError
from napari_unet.widgets.form import add_form, add_row, button, describe

_RESULTS = "results"
"""Folder for the results, inside that of the images, where they are not taken for images."""

_OUTPUT_HELP = (
    "Folder for the results: cells.tif gives cells_objects.tif, and so on.\n"
    f"Default: the folder '{_RESULTS}' inside that of the images."
)


class FilesForm(QWidget):
    """Two folders: that of the images, or a pattern such as "data/*.tif", and that of the results."""

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        form = add_form(column)
        self._files, self._output = QLineEdit(), QLineEdit()
        for edit, label, browse, name, tooltip in (
            (
                self._files,
                "Files",
                self._browse_files,
                "predict_files",
                'Folder of the images, or a pattern such as "/data/plate/*.tif".',
            ),
            (
                self._output,
                "Results in",
                self._browse_output,
                "predict_output",
                _OUTPUT_HELP,
            ),
        ):
            row = QWidget()
            layout = QHBoxLayout(row)
            layout.setContentsMargins(0, 0, 0, 0)
            layout.addWidget(edit, 1)
            layout.addWidget(button("Browse…", browse, name=f"{name}_browse", tooltip="Choose a folder."))
            add_row(form, label, row, name=f"{name}_row", tooltip=tooltip)
            row.setFocusProxy(edit)
            edit.setAccessibleName(label)
            describe(edit, name=name, tooltip=tooltip)
        self._files.setPlaceholderText("Folder of images")
        self._output.setPlaceholderText("Folder for the results")
        self._files.textChanged.connect(self._propose_output)
        self._proposed = ""

    @property
    def pattern(self) -> str:
        """Which files.

        Raises
        ------
        InputError
            If nothing is chosen.
        """
        text = self._files.text().strip()
        if not text:
            raise InputError("No folder of images is chosen; choose one with Browse, next to Files.")
        return text

    @property
    def output(self) -> Path:
        """Where results go.

        Raises
        ------
        InputError
            If nothing is chosen.
        """
        text = self._output.text().strip()
        if not text:
            raise InputError(
                "No folder for the results is chosen; choose one with Browse, next to Results in."
            )
        return Path(text).expanduser()

    def choose(self, files: str | Path, output: str | Path | None = None) -> None:
        """Choose the files, and the folder for their results unless the default one will do."""
        self._files.setText(str(files))
        if output is not None:
            self._output.setText(str(output))

    def _browse_files(self) -> None:
        self._browse(self._files, "Choose the folder of the images")

    def _browse_output(self) -> None:
        self._browse(self._output, "Choose a folder for the results")

    def _browse(self, edit: QLineEdit, title: str) -> None:
        chosen = QFileDialog.getExistingDirectory(self, title, edit.text())
        if chosen:
            edit.setText(chosen)

    def _propose_output(self, files: str) -> None:
        """Follow the folder of the images, until the user chooses another one for the results."""
        if self._output.text() not in ("", self._proposed):
            return
        path = Path(files.strip()).expanduser()
        folder = path if path.is_dir() else path.parent
        self._proposed = str(folder / _RESULTS) if files.strip() and folder.is_dir() else ""
        self._output.setText(self._proposed)

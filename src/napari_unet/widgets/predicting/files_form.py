"""The folders of image files and of their results."""

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QWidget

from napari_unet.core.errors import InputError
from napari_unet.files.opening import user_path
from napari_unet.widgets.parts.form import Column, Form, button, describe

_RESULTS = "results"
"""Folder for the results, inside that of the images: there they are not taken for images."""

_OUTPUT_HELP = (
    "Folder for the results: cells.tif gives cells_objects.tif, and so on.\n"
    f"Default: the folder '{_RESULTS}' inside that of the images."
)


class FolderField(QWidget):
    """A row of ``form``: a folder as text, and a button that opens a window with this ``title`` to find it.

    The text field has the object name ``name``.
    """

    def __init__(
        self, form: Form, name: str, title: str, *, label: str, placeholder: str, tooltip: str
    ) -> None:
        super().__init__()
        self.edit = QLineEdit()
        self._title = title
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.edit, 1)
        layout.addWidget(button("Browse…", self._browse, name=f"{name}_browse", tooltip="Choose a folder."))
        self.setFocusProxy(self.edit)
        self.edit.setAccessibleName(label)
        self.edit.setPlaceholderText(placeholder)
        describe(self.edit, name=name, tooltip=tooltip)
        form.add(label, self, name=f"{name}_row", tooltip=tooltip)

    @property
    def folder(self) -> Path:
        """The folder; ``InputError`` if none is chosen."""
        text = self.edit.text().strip()
        if not text:
            raise InputError(
                "No folder for the results is chosen; choose one with Browse, next to Results in."
            )
        return user_path(text)

    def _browse(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, self._title, self.edit.text())
        if chosen:
            self.edit.setText(chosen)


class FilesForm(QWidget):
    """Two folders: that of the images, or a pattern such as "data/*.tif", and that of the results."""

    def __init__(self) -> None:
        super().__init__()
        column = Column(self)
        form = Form(column)
        files = FolderField(
            form,
            "predict_files",
            "Choose the folder of the images",
            label="Files",
            placeholder="Folder of images",
            tooltip='Folder of the images, or a pattern such as "/data/plate/*.tif".',
        )
        self._results = FolderField(
            form,
            "predict_output",
            "Choose a folder for the results",
            label="Results in",
            placeholder="Folder for the results",
            tooltip=_OUTPUT_HELP,
        )
        self._files, self._output = files.edit, self._results.edit
        self._files.textChanged.connect(self._propose_output)
        self._proposed = ""

    @property
    def pattern(self) -> str:
        """Which files; ``InputError`` if none are chosen."""
        text = self._files.text().strip()
        if not text:
            raise InputError("No folder of images is chosen; choose one with Browse, next to Files.")
        return text

    @property
    def output(self) -> Path:
        """Where results go; ``InputError`` if nothing is chosen."""
        return self._results.folder

    def choose(self, files: str | Path, output: str | Path | None = None) -> None:
        """Choose the files, and the folder for their results unless it is the default one."""
        self._files.setText(str(files))
        if output is not None:
            self._output.setText(str(output))

    def _propose_output(self, files: str) -> None:
        """Follow the folder of the images, until the user chooses another one for the results."""
        if self._output.text() not in ("", self._proposed):
            return
        path = user_path(files.strip())
        folder = path if path.is_dir() else path.parent
        self._proposed = str(folder / _RESULTS) if files.strip() and folder.is_dir() else ""
        self._output.setText(self._proposed)

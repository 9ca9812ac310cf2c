"""The folders of image files and of their results."""

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QWidget

from napari_unet.core.errors import InputError
from napari_unet.core.objects.prediction import PredictionKind
from napari_unet.files.opening import user_path
from napari_unet.files.results.outline_files import OUTLINES
from napari_unet.widgets.parts.form import Column, Form, button, check_box, describe
from napari_unet.widgets.predicting.files_run import FilesWanted

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
    """The folder of images, or a pattern such as "data/*.tif"; that of the results; and their outlines."""

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
        outlines = QWidget()
        row = QHBoxLayout(outlines)
        row.setContentsMargins(0, 0, 0, 0)
        self._outlines = {
            ending: check_box(
                name, name=f"predict_outlines_{program}", tooltip=f"Write them to *_objects{ending}, too."
            )
            for name, (program, ending) in zip(("ImageJ", "QuPath"), OUTLINES.items(), strict=True)
        }
        for box in self._outlines.values():
            row.addWidget(box)
        row.addStretch()
        form.add(
            "Outlines",
            outlines,
            name="predict_outlines",
            tooltip="Outlines of the objects as files that ImageJ and Fiji, or QuPath, open.",
        )

    def wanted(self, kinds: Sequence[PredictionKind]) -> FilesWanted:
        """Return what is to be done, with results of these kinds.

        ``InputError`` if a folder is not chosen, or there are no objects to outline.
        """
        outlines = [ending for ending, box in self._outlines.items() if box.isChecked()]
        if outlines and "objects" not in kinds:
            raise InputError("Outlines are those of objects; tick Objects, or untick the outlines.")
        return FilesWanted(self._pattern, self._results.folder, kinds, outlines)

    @property
    def _pattern(self) -> str:
        """Which files; ``InputError`` if none are chosen."""
        text = self._files.text().strip()
        if not text:
            raise InputError("No folder of images is chosen; choose one with Browse, next to Files.")
        return text

    def _propose_output(self, files: str) -> None:
        """Follow the folder of the images, until the user chooses another one for the results."""
        if self._output.text() not in ("", self._proposed):
            return
        path = user_path(files.strip())
        folder = path if path.is_dir() else path.parent
        self._proposed = str(folder / _RESULTS) if files.strip() and folder.is_dir() else ""
        self._output.setText(self._proposed)

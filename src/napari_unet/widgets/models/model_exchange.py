"""Models from elsewhere, for other tools and in the words of a paper: buttons below the list."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFileDialog, QInputDialog, QWidget

from napari_unet.core.errors import InputError
from napari_unet.files.networks.bioimageio import PackageInfo, export_package
from napari_unet.files.networks.container import NotOursError
from napari_unet.files.networks.methods_text import methods_text
from napari_unet.files.networks.models import free_path, read_info
from napari_unet.files.networks.package_sample import example_from
from napari_unet.widgets.bridge.layers import copy_image
from napari_unet.widgets.jobs import Job, once
from napari_unet.widgets.models.model_chooser import ModelChooser
from napari_unet.widgets.parts.form import Column, LayerChooser, Sentence, button

_COPIED = (
    "A paragraph on this model is copied: paste it into the methods section of your paper, and say what was "
    "painted there."
)


def import_model(source: Path, folder: Path) -> Path:
    """Save a network from elsewhere or from a package as a model in ``folder``, and return its path."""
    from napari_unet.files.networks.models import load_model, save_model  # torch takes seconds

    model = load_model(source)
    target = free_path(folder / f"{source.stem}.safetensors")
    save_model(model, target)
    return target


def export_model(source: Path, target: Path, info: PackageInfo, image: Any) -> Path:
    """Write a model as a package, with ``image`` as the example if it suits, and return its path."""
    from napari_unet.files.networks.models import load_model

    model = load_model(source)
    try:
        example = None if image is None else example_from(image, "auto", model)
    except InputError:
        example = None  # the image is of another kind than the model is for
    export_package(model, target, info, example)
    return target


class ModelExchange(QWidget):
    """Browse for a model, of ours or from elsewhere, export the chosen one, and describe it for a paper.

    The chosen image is the example of an exported one.
    """

    def __init__(self, chooser: ModelChooser, image: LayerChooser) -> None:
        super().__init__()
        self._chooser, self._image = chooser, image
        self._job: Job | None = None
        column = Column(self)
        self._browse = button(
            "Browse…",
            self.browse,
            name="predict_browse",
            tooltip="Choose a model file elsewhere; or a checkpoint of a U-Net in PyTorch, or a bioimage.io\n"
            "package: these are converted to a model in the folder of models.",
        )
        self._export = button(
            "Export…",
            self.export,
            name="predict_export",
            tooltip="Write the chosen model as a bioimage.io package, which other tools run; the chosen\n"
            "image is its example.",
        )
        self._methods = button(
            "Methods",
            self.copy_methods,
            name="predict_methods",
            tooltip="Copy a paragraph for the methods section of a paper: how the chosen model was made,\n"
            "and how it scored.",
        )
        column.add_row(self._browse, self._export, self._methods)
        self._status = column.add(Sentence("predict_exchange"))
        chooser.model_changed.connect(self._on_model)
        self._refresh()

    def browse(self) -> None:
        """Let the user look for a model, and take it as it is or converted."""
        chosen, _ = QFileDialog.getOpenFileName(
            self,
            "Choose a model",
            str(self._chooser.folder),
            "Models, checkpoints and packages (*.safetensors *.pth *.pt *.zip);;All files (*)",
        )
        if chosen:
            self.open(Path(chosen))

    def open(self, path: Path) -> None:
        """Choose a model file; one from elsewhere is converted first."""
        folder = self._chooser.folder
        try:
            read_info(path)
        except NotOursError:
            self._run(lambda: import_model(path, folder), f"Opening {path.name}.", self._on_imported)
        except InputError as error:
            self._status.say(str(error), "error")
        else:
            self._status.say("")
            self._chooser.choose(path)

    def export(self) -> None:
        """Ask who made the model and where to save the package, and write it."""
        source = self._chooser.path
        if source is None:
            return
        author, given = QInputDialog.getText(self, "Export a model", "Who made this model?")
        if not given:
            return
        proposed = str(Path.home() / f"{source.stem}.zip")
        chosen, _ = QFileDialog.getSaveFileName(self, "Export a model", proposed, "Packages (*.zip)")
        if not chosen:
            return
        try:
            info = PackageInfo(source.stem, (author,))
        except InputError as error:
            self._status.say(str(error), "error")
            return
        image = None if self._image.layer is None else copy_image(self._image.layer)
        self._run(
            lambda: export_model(source, Path(chosen), info, image),
            "Exporting the model.",
            lambda package: self._status.say(f"The package is {package}."),
        )

    def copy_methods(self) -> None:
        """Put a paragraph about the chosen model on the clipboard, for the methods section of a paper."""
        path, clipboard = self._chooser.path, QGuiApplication.clipboard()
        if path is None or clipboard is None:
            return
        try:
            clipboard.setText(methods_text(read_info(path)))
        except InputError as error:
            self._status.say(str(error), "error")
        else:
            self._status.say(_COPIED)

    def _run(self, work: Callable[[], Path], sentence: str, done: Callable[[Path], None]) -> None:
        self._status.say(sentence)
        self._job = Job(once(work), sentence, heavy=False, parent=self)
        self._job.happened.connect(done)
        self._job.failed.connect(lambda problem: self._status.say(problem, "error"))
        self._job.ended.connect(self._on_ended)
        self._refresh()
        self._job.start()

    def _on_imported(self, path: Path) -> None:
        self._chooser.choose(path)
        self._status.say(f"It is now the model {path.stem}.")

    def _on_model(self, _path: Path | None) -> None:
        """Clear the sentence on other files."""
        if self._job is None:
            self._status.say("")
        self._refresh()

    def _on_ended(self) -> None:
        self._job = None
        self._refresh()

    def _refresh(self) -> None:
        self._browse.setEnabled(self._job is None)
        self._export.setEnabled(self._job is None and self._chooser.path is not None)
        self._methods.setEnabled(self._chooser.path is not None)

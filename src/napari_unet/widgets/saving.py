"""From the predicted labels of an image to a TIFF file."""

from collections.abc import Iterator
from pathlib import Path

from napari.components import ViewerModel
from napari.layers import Image, Labels
from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # no qtpy stubs
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_unet.files.images import safe_name, stem, write_image
from napari_unet.widgets.jobs import Job
from napari_unet.widgets.marks import mark_of
from napari_unet.widgets.scales import micrometres

_KINDS = ("objects", "classes")

_AXES = {2: "YX", 3: "ZYX", 4: "TZYX"}


class LabelSaver(QWidget):
    """Asks where to, and writes the labels there.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Holds the labels.
    """

    saved = Signal(object, object)
    """The ``Labels`` layer that was written, and the ``Path``."""
    failed = Signal(str)
    """Why nothing was written, as a sentence."""

    def __init__(self, viewer: ViewerModel, parent: QWidget) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.setVisible(False)

    def ask(self, image: Image) -> None:
        """Let the user choose a file for the labels predicted of ``image``, and write it."""
        found = labels_of(self._viewer, image)
        if not found:
            self.failed.emit(f"There are no labels of '{image.name}' to save; press Predict first.")
            return
        active = self._viewer.layers.selection.active
        labels = next((layer for layer in found if layer is active), found[0])
        chosen, _ = QFileDialog.getSaveFileName(
            self, "Save labels", str(suggested_path(image, labels)), "TIFF files (*.tif *.tiff)"
        )
        if chosen:
            self.write(labels, Path(chosen))

    def write(self, labels: Labels, path: Path) -> None:
        """Write ``labels`` and the size of their pixels to ``path``, in the background.

        A file that is there is replaced.
        """
        if path.suffix.lower() not in (".tif", ".tiff"):
            path = path.with_name(f"{path.name}.tif")
        pixels, axes, size = labels.data.copy(), _AXES.get(labels.ndim, ""), micrometres(labels)

        def events(_control: object) -> Iterator[Path]:
            write_image(path, pixels, axes, size)
            yield path

        job = Job(events, f"Saving {path.name}", heavy=False, parent=self)
        job.happened.connect(lambda written: self.saved.emit(labels, written))
        job.failed.connect(self.failed)
        job.ended.connect(job.deleteLater)
        job.start()


def labels_of(viewer: ViewerModel, image: Image) -> list[Labels]:
    """Return the labels that were predicted of ``image``, objects first, the topmost of them first."""
    marked = [(layer, mark_of(layer)) for layer in reversed(viewer.layers) if isinstance(layer, Labels)]
    return [
        layer
        for kind in _KINDS
        for layer, mark in marked
        if mark is not None and mark.kind == kind and mark.image == image.unique_id
    ]


def suggested_path(image: Image, labels: Labels) -> Path:
    """Return "<image>_objects.tif" beside the file of the image, or else in the home folder."""
    mark = mark_of(labels)
    kind = _KINDS[0] if mark is None else mark.kind
    source = image.source.path
    if source is None:
        return Path.home() / f"{safe_name(image.name)}_{kind}.tif"
    return Path(source).with_name(f"{stem(Path(source))}_{kind}.tif")

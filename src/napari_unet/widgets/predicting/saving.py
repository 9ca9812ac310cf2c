"""From the predicted labels of an image to a TIFF file, and to a table of its objects."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from napari.components import ViewerModel
from napari.layers import Image, Labels
from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # no qtpy stubs
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_unet.core.arrays.axes import channels_first
from napari_unet.core.errors import InputError
from napari_unet.core.objects.measurements import measure_objects
from napari_unet.core.scoring.score_table import delimited
from napari_unet.files.atomic import writing
from napari_unet.files.pixels.images import BY_HAND, safe_name, stem, write_labels
from napari_unet.widgets.bridge.layers import at_hand, copy_image
from napari_unet.widgets.bridge.marks import kind_of, layers_of
from napari_unet.widgets.bridge.placement import micrometres
from napari_unet.widgets.bridge.sight import blended
from napari_unet.widgets.jobs import Job, once

_AXES = {2: "YX", 3: "ZYX", 4: "TZYX"}


class LabelSaver(QWidget):
    """Asks where to, and writes the labels, or a table of the objects, there."""

    saved = Signal(object, object)
    """The ``Labels`` layer that was written, and the ``Path``."""
    measured = Signal(object, object)
    """The ``Labels`` layer whose objects were written as a table, and the ``Path``."""
    failed = Signal(str)
    """Why nothing was written, as a sentence."""

    def __init__(self, viewer: ViewerModel, parent: QWidget) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.setVisible(False)

    def ask(self, image: Image) -> None:
        """Let the user choose a file for the labels predicted of ``image``, and write it."""
        labels = self._labels(image)
        if labels is None:
            return
        chosen, _ = QFileDialog.getSaveFileName(
            self, "Save labels", str(suggested_path(image, labels)), "TIFF files (*.tif *.tiff)"
        )
        if chosen:
            self.write(labels, Path(chosen))

    def ask_table(self, image: Image) -> None:
        """Let the user choose a file for a table of the objects predicted of ``image``, and write it."""
        labels = self._labels(image)
        if labels is None:
            return
        suggested = suggested_path(image, labels).with_suffix(".csv")
        chosen, _ = QFileDialog.getSaveFileName(self, "Save a table", str(suggested), "Tables (*.csv)")
        if chosen:
            self.write_table(image, labels, Path(chosen))

    def _labels(self, image: Image) -> Labels | None:
        found = at_hand(self._viewer, labels_of(self._viewer, image))
        if found is None:
            self.failed.emit(f"There are no labels of '{image.name}' to save; press Predict first.")
        return found

    def write(self, labels: Labels, path: Path) -> None:
        """Write ``labels`` and the size of their pixels to ``path``, in the background.

        A file that is there is replaced.
        """
        path = _with_ending(path, ".tif", ".tiff")
        pixels, axes, size = labels.data.copy(), _AXES.get(labels.ndim, ""), micrometres(labels)

        self._run(lambda: write_labels(path, pixels, axes, size, software=BY_HAND), path, labels, self.saved)

    def write_table(self, image: Image, labels: Labels, path: Path) -> None:
        """Write size, place and brightness of every object to ``path`` (CSV), in the background.

        A file that is there is replaced. Brightness is left out if image and labels differ in shape. Layers
        that the image is blended with are measured, too.
        """
        path = _with_ending(path, ".csv")
        pixels, found_in, size = labels.data.copy(), copy_image(image), micrometres(labels)
        axes = "0123456789"[: labels.ndim - 2] + "YX" if labels.ndim not in _AXES else _AXES[labels.ndim]
        edges = () if size is None else (size.z, size.y, size.x)
        beside = [layer for layer in blended(self._viewer, image) if layer is not image]
        others = {layer.name: copy_image(layer) for layer in beside if found_in.shape == pixels.shape}

        def write() -> None:
            channels = None
            with suppress(InputError):
                channels = channels_first(found_in, ndim=2, paint_shape=pixels.shape)
            rows = measure_objects(pixels, channels, axes=axes, pixel_size=edges, others=others)
            with writing(path) as temporary:
                temporary.write_text(delimited(rows), "utf-8", newline="")

        self._run(write, path, labels, self.measured)

    def _run(self, write: Callable[[], object], path: Path, labels: Labels, done: Any) -> None:
        job = Job(once(write), f"Saving {path.name}", heavy=False, parent=self)
        job.happened.connect(lambda _written: done.emit(labels, path))
        job.failed.connect(self.failed)
        job.start()


def _with_ending(path: Path, *endings: str) -> Path:
    """Return ``path`` with one of ``endings``, the first if it has none of them."""
    return path if path.suffix.lower() in endings else path.with_name(path.name + endings[0])


def labels_of(viewer: ViewerModel, image: Image | None) -> list[Labels]:
    """Return the labels that were predicted of ``image``: classes, then objects, the topmost of them last."""
    return [*layers_of(viewer, image, "classes"), *layers_of(viewer, image, "objects")]


def suggested_path(image: Image, labels: Labels) -> Path:
    """Return "<image>_objects.tif" beside the file of the image, or else in the home folder."""
    kind = kind_of(labels) or "objects"
    source = image.source.path
    if source is None:
        return Path.home() / f"{safe_name(image.name)}_{kind}.tif"
    return Path(source).with_name(f"{stem(Path(source))}_{kind}.tif")

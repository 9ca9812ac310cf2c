"""Saves the predicted labels of an image, as pixels or outlines, and a table of its objects."""

from collections.abc import Callable, Sequence
from pathlib import Path

from napari.components import ViewerModel
from napari.layers import Image, Labels
from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # no qtpy stubs
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_unet.files.pixels.images import BY_HAND, safe_name, stem, write_labels
from napari_unet.files.results.outline_files import IMAGEJ, QUPATH, write_outlines
from napari_unet.files.results.tables import write_table
from napari_unet.widgets.bridge.layers import at_hand
from napari_unet.widgets.bridge.marks import kind_of, source_of
from napari_unet.widgets.bridge.placement import micrometres
from napari_unet.widgets.jobs import Job, once
from napari_unet.widgets.predicting.object_table import (
    axis_letters,
    labels_of,
    measurable,
    object_table,
)

_TIFF = (".tif", ".tiff")

FORMATS: dict[str, tuple[str, ...]] = {
    "TIFF files (*.tif *.tiff)": _TIFF,
    f"Outlines for ImageJ and Fiji (*{IMAGEJ})": (IMAGEJ,),
    f"Outlines for QuPath (*{QUPATH})": (QUPATH,),
}
"""Endings of the files that labels are saved as, by what the file dialog calls them."""


class LabelSaver(QWidget):
    """Asks for a file, and writes the labels, or a table of the objects, to it."""

    saved = Signal(object, object)
    """The ``Labels`` layer that was written, and the ``Path``."""
    measured = Signal(object, object)
    """What the written table covers, in words, and the ``Path``."""
    failed = Signal(str)
    """Why nothing was written, as a sentence."""

    def __init__(self, viewer: ViewerModel, parent: QWidget) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.setVisible(False)

    def ask(self, image: Image) -> None:
        """Let the user choose a file for the labels predicted for ``image``, and write it."""
        labels = self._labels(image)
        if labels is None:
            return
        chosen, kind = QFileDialog.getSaveFileName(
            self, "Save labels", str(suggested_path(image, labels)), ";;".join(FORMATS)
        )
        if chosen and self._is_agreed(path := meant_path(Path(chosen), kind), Path(chosen)):
            self.write(labels, path)

    def ask_table(self, images: Sequence[Image]) -> None:
        """Let the user choose a file for a table of the objects predicted in ``images``, and write it."""
        found = [image for image in images if labels_of(self._viewer, image)]
        if not found:
            what = f"'{images[0].name}'" if len(images) == 1 else "these images"
            self.failed.emit(f"There are no labels of {what} to measure; press Predict first.")
            return
        suggested = suggested_path(found[0], labels_of(self._viewer, found[0])[-1])
        suggested = suggested.with_suffix(".csv") if len(found) == 1 else suggested.with_name("objects.csv")
        chosen, _ = QFileDialog.getSaveFileName(self, "Save a table", str(suggested), "Tables (*.csv)")
        if chosen and self._is_agreed(path := with_ending(Path(chosen), ".csv"), Path(chosen)):
            self.write_table(found, path)

    def _is_agreed(self, path: Path, chosen: Path) -> bool:
        """Return whether the dialog, which knew ``chosen`` alone, has asked before ``path`` is replaced."""
        if path == chosen or not path.exists():
            return True
        self.failed.emit(f"{path} already exists; give its whole name to replace it, or another one.")
        return False

    def _labels(self, image: Image) -> Labels | None:
        found = at_hand(self._viewer, labels_of(self._viewer, image))
        if found is None:
            self.failed.emit(f"There are no labels of '{image.name}' to save; press Predict first.")
        return found

    def write(self, labels: Labels, path: Path) -> None:
        """Write ``labels`` and the size of their pixels to ``path``, in the background.

        The ending may be any of ``FORMATS``. An existing file is replaced.
        """
        image = source_of(self._viewer, labels)
        pixels, size = labels.data.copy(), micrometres(labels, image=image)
        axes = axis_letters(labels, image)
        is_classes = kind_of(labels) == "classes"

        def write() -> None:
            if path.suffix.lower() in _TIFF:
                write_labels(path, pixels, axes if pixels.ndim <= 4 else "", size, software=BY_HAND)
            else:
                write_outlines(path, pixels, axes, is_classes=is_classes, software=BY_HAND)

        self._run(write, path, lambda: self.saved.emit(labels, path))

    def write_table(self, images: Sequence[Image], path: Path) -> None:
        """Write size, place and brightness of every object to ``path`` (CSV), in the background.

        An existing file is replaced. Layers that an image is blended with are measured, too.
        """
        found = measurable(self._viewer, images)
        what = f"'{found[0].name}'" if len(found) == 1 else f"{len(found)} images"
        self._run(
            lambda: write_table(path, object_table(found)), path, lambda: self.measured.emit(what, path)
        )

    def _run(self, write: Callable[[], object], path: Path, done: Callable[[], object]) -> None:
        job = Job(once(write), f"Saving {path.name}", heavy=False, parent=self)
        job.happened.connect(lambda _written: done())
        job.failed.connect(self.failed)
        job.start()


def with_ending(path: Path, *endings: str) -> Path:
    """Return ``path`` with one of ``endings``, the first if it has none of them."""
    return path if path.suffix.lower() in endings else path.with_name(path.name + endings[0])


def meant_path(chosen: Path, kind: str) -> Path:
    """Return the path for labels that a user means who chose this one, and a kind of ``FORMATS``.

    The ending decides, unless it is still that of the suggestion, a TIFF, beside another kind.
    """
    endings = FORMATS.get(kind, _TIFF)
    ending = chosen.suffix.lower()
    if ending in endings or ending in (IMAGEJ, QUPATH):
        return chosen
    return chosen.with_suffix(endings[0]) if ending in _TIFF else with_ending(chosen, *endings)


def suggested_path(image: Image, labels: Labels) -> Path:
    """Return "<image>_objects.tif" beside the file of the image, or else in the home folder."""
    kind = kind_of(labels) or "objects"
    source = image.source.path
    if source is None:
        return Path.home() / f"{safe_name(image.name)}_{kind}.tif"
    return Path(source).with_name(f"{stem(Path(source))}_{kind}.tif")

"""Saves predicted labels, as pixels or outlines, and tables of objects."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from napari.components import ViewerModel
from napari.layers import Image, Labels
from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # no qtpy stubs
from qtpy.QtWidgets import QFileDialog, QInputDialog, QMessageBox, QWidget

from napari_unet.core.arrays.sparse import copy_planes
from napari_unet.files.pixels.images import BY_HAND, result_stem, safe_name, stem, write_labels
from napari_unet.files.results.outline_files import IMAGEJ, QUPATH, write_outlines
from napari_unet.files.results.tables import write_table
from napari_unet.widgets.bridge.marks import RESULTS, file_of, kind_of, layers_of, source_of
from napari_unet.widgets.bridge.placement import micrometres
from napari_unet.widgets.jobs import Job, once
from napari_unet.widgets.predicting.object_table import (
    axis_letters,
    labels_at_hand,
    labels_kind,
    measurable,
    object_table,
)
from napari_unet.widgets.predicting.stored_results import stored_path

_TIFF = (".tif", ".tiff")

FORMATS: dict[str, tuple[str, ...]] = {
    "TIFF files (*.tif *.tiff)": _TIFF,
    f"Outlines for ImageJ and Fiji (*{IMAGEJ})": (IMAGEJ,),
    f"Outlines for QuPath (*{QUPATH})": (QUPATH,),
}
"""Endings of the files that labels are saved as, by what the file dialog calls them."""

_NAMED = 3
"""Files that are named when the user is asked whether they may be replaced."""


class LabelSaver(QWidget):
    """Asks for a file, and writes the labels, or a table of the objects, to it."""

    saved = Signal(object)
    """The ``Labels`` layer that was written."""
    told = Signal(str, str)
    """What was written, or why nothing, or no more, was: a sentence and its tone."""

    def __init__(self, viewer: ViewerModel, parent: QWidget) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.setVisible(False)

    def ask(self, images: Sequence[Image]) -> None:
        """Let the user choose where to save the labels predicted for ``images``, and write them.

        Those of one image become a file of any name, those of several become files in a folder.
        """
        at_hand = labels_at_hand(self._viewer, images)
        stored = [path for _, labels in at_hand if (path := stored_path(labels)) is not None]
        found = [pair for pair in at_hand if stored_path(pair[1]) is None]
        if stored and not found:
            self.told.emit(f"The labels of {_named(images)} are on disk already: {stored[0]}", "hint")
        elif not found:
            self._fail(f"There are no labels of {_named(images)} to save; press Predict first.")
        elif len(found) == 1:
            self._ask_file(*found[0])
        else:
            self._ask_folder(found, len(images) - len(found))

    def _ask_file(self, image: Image, labels: Labels) -> None:
        chosen, kind = QFileDialog.getSaveFileName(
            self, "Save labels", str(suggested_path(image, labels)), ";;".join(FORMATS)
        )
        if chosen and self._is_agreed(path := meant_path(Path(chosen), kind), Path(chosen)):
            self.write(labels, path)

    def _ask_folder(self, found: Sequence[tuple[Image, Labels]], without: int) -> None:
        what = f"the labels of {len(found)} images"
        kind, is_chosen = QInputDialog.getItem(
            self, "Save labels", f"Save {what} as", list(FORMATS), 0, False
        )
        if not is_chosen:
            return
        suggested = suggested_path(*found[0]).parent
        chosen = QFileDialog.getExistingDirectory(self, f"Folder for {what}", str(suggested))
        if not chosen:
            return
        folder = Path(chosen)
        paths = paths_in(folder, found, FORMATS[kind][0])
        if self._may_replace([path for path in paths if path.exists()]):
            lack = f"; {without} {'has' if without == 1 else 'have'} none yet" if without else ""
            files = [(labels, path) for (_, labels), path in zip(found, paths, strict=True)]
            self._write_all(files, f"Saved {what} in {folder}{lack}", 0)

    def _may_replace(self, paths: Sequence[Path]) -> bool:
        """Ask whether files that exist already may be replaced."""
        if not paths:
            return True
        names = ", ".join(f"'{path.name}'" for path in paths[:_NAMED]) + (
            f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
        )
        answer = QMessageBox.question(
            self,
            "Some files exist already",
            f"{paths[0].parent} already has {names}.\n\nReplace {'it' if len(paths) == 1 else 'them'}?",
            defaultButton=QMessageBox.StandardButton.No,
        )
        return bool(answer == QMessageBox.StandardButton.Yes)

    def ask_table(self, images: Sequence[Image]) -> None:
        """Let the user choose a file for a table of the objects predicted in ``images``, and write it."""
        found = labels_at_hand(self._viewer, images)
        if not found:
            self._fail(f"There are no labels of {_named(images)} to measure; press Predict first.")
            return
        suggested = suggested_path(*found[0])
        of_all = f"{labels_kind(found[0][1])}.csv"
        suggested = suggested.with_suffix(".csv") if len(found) == 1 else suggested.with_name(of_all)
        chosen, _ = QFileDialog.getSaveFileName(self, "Save a table", str(suggested), "Tables (*.csv)")
        if chosen and self._is_agreed(path := with_ending(Path(chosen), ".csv"), Path(chosen)):
            self.write_table([image for image, _ in found], path)

    def _is_agreed(self, path: Path, chosen: Path) -> bool:
        """Return whether the dialog, which knew ``chosen`` alone, has asked before ``path`` is replaced."""
        if path == chosen or not path.exists():
            return True
        self._fail(f"{path} already exists; give its whole name to replace it, or another one.")
        return False

    def write(self, labels: Labels, path: Path) -> None:
        """Write ``labels`` and the size of their pixels to ``path``, in the background.

        The ending may be any of ``FORMATS``. An existing file is replaced.
        """
        self._write(labels, path, lambda: self._on_written(labels, path), self._fail)

    def _write_all(self, files: Sequence[tuple[Labels, Path]], sentence: str, number: int) -> None:
        """Write the labels from this ``number`` on, one copy in memory at a time, and say the sentence."""
        if number == len(files):
            self.told.emit(sentence, "hint")
            return
        labels, path = files[number]

        def go_on() -> None:
            self._on_written(labels, path)
            self._write_all(files, sentence, number + 1)

        def give_up(reason: str) -> None:
            self._fail(f"{reason} {number} of {len(files)} images are saved.")

        self._write(labels, path, go_on, give_up)

    def _write(
        self, labels: Labels, path: Path, done: Callable[[], object], failed: Callable[[str], object]
    ) -> None:
        image = source_of(self._viewer, labels)
        pixels, size = copy_planes(labels.data), micrometres(labels, image)
        axes = axis_letters(labels, image)
        is_classes = kind_of(labels) == "classes"

        def write() -> None:
            if path.suffix.lower() in _TIFF:
                write_labels(path, pixels, axes if pixels.ndim <= 4 else "", size, software=BY_HAND)
            else:
                write_outlines(path, pixels, axes, is_classes=is_classes, software=BY_HAND)

        self._run(write, path, done, failed)

    def write_table(self, images: Sequence[Image], path: Path) -> None:
        """Write size, place and brightness of every object to ``path`` (CSV), in the background.

        An existing file is replaced. Layers that an image is blended with are measured, too.
        """
        found = measurable(self._viewer, images)
        what = f"'{found[0].name}'" if len(found) == 1 else f"{len(found)} images"
        beside = ""
        if found[0].is_classes:
            what = f"the classes of {what}"
            if any(layers_of(self._viewer, image, "objects") for image in images):
                beside = "\nFor a table of its objects, select their layer and press Save table… again."
        self._run(
            lambda: write_table(path, object_table(found)),
            path,
            lambda: self.told.emit(f"Saved the table of {what} as {path}{beside}", "hint"),
            self._fail,
        )

    def _run(
        self,
        write: Callable[[], object],
        path: Path,
        done: Callable[[], object],
        failed: Callable[[str], object],
    ) -> None:
        job = Job(once(write), f"Saving {path.name}", heavy=False, parent=self)
        job.happened.connect(lambda _written: done())
        job.failed.connect(failed)
        job.start()

    def _on_written(self, labels: Labels, path: Path) -> None:
        self.saved.emit(labels)
        self.told.emit(f"Saved '{labels.name}' as {path}", "hint")

    def _fail(self, reason: str) -> None:
        self.told.emit(reason, "error")


def _named(images: Sequence[Image]) -> str:
    return f"'{images[0].name}'" if len(images) == 1 else "these images"


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
    """Return "<image>_objects.tif" beside the file of the image, or else in the home folder.

    For results that were opened from a file, it is that file, which is then kept as it was corrected.
    """
    opened: Path | None = image.metadata.get(RESULTS, {}).get(labels_kind(labels))
    if opened is not None:
        return opened.with_suffix(".tif")
    source = file_of(image)
    if source is None:
        return Path.home() / f"{_by_layer(image, labels)}.tif"
    return source.with_name(f"{result_stem(stem(source))}_{labels_kind(labels)}.tif")


def paths_in(folder: Path, found: Sequence[tuple[Image, Labels]], ending: str) -> list[Path]:
    """Return a path in ``folder`` for the labels of each image, named as suggested.

    Images whose names would be the same, on any file system, are named after their layers, and numbered if
    that does not tell them apart.
    """
    suggested = [suggested_path(image, labels).stem for image, labels in found]
    uses = Counter(name.casefold() for name in suggested)
    taken, paths = set[str](), []
    for (image, labels), name in zip(found, suggested, strict=True):
        base = name if uses[name.casefold()] == 1 else _by_layer(image, labels)
        names = (base, *(f"{base}_{number}" for number in range(2, len(found) + 2)))
        free = next(name for name in names if name.casefold() not in taken)
        taken.add(free.casefold())
        paths.append(folder / f"{free}{ending}")
    return paths


def _by_layer(image: Image, labels: Labels) -> str:
    return f"{safe_name(image.name)}_{labels_kind(labels)}"

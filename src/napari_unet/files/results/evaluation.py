"""Compare predicted and true label files in pairs; failures are returned, not raised."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from napari_unet.core.arrays.lazy import as_pixels
from napari_unet.core.errors import InputError
from napari_unet.core.scoring.agreement import Agreement, measure_agreement
from napari_unet.core.scoring.label_errors import compare_parts
from napari_unet.core.scoring.overlap import comparable_parts, found_by_plane
from napari_unet.core.scoring.scores import Scores, pooled_scores
from napari_unet.files.pixels.finding import pair_by_stem
from napari_unet.files.pixels.images import check_replaceable, result_stem, stem, write_image
from napari_unet.files.pixels.sources import load_labels
from napari_unet.files.pixels.stored_image import StoredImage
from napari_unet.files.projects.project import PAINT, ProjectLabels, read_project
from napari_unet.files.projects.project_images import file_name
from napari_unet.files.projects.project_reading import read_truth
from napari_unet.files.projects.project_store import read_labels
from napari_unet.files.results.tables import check_table, write_table
from napari_unet.network.failures import sentence

Reader = Callable[[Path], StoredImage]

_ENDING = "_objects"
"""Ending of the stem of a predicted file, which the true file lacks."""

_FILES = ("prediction", "truth")
"""The first columns of a table of scores."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A predicted and a true file, what they have in common, and whether objects were found by plane."""

    prediction: Path
    truth: Path
    agreement: Agreement
    by_plane: bool = False

    @property
    def scores(self) -> Scores:
        """The scores of this pair."""
        return pooled_scores([self.agreement])


@dataclass(frozen=True, slots=True)
class Failed:
    """A file that was not compared, and a sentence that names it and says why."""

    path: Path
    message: str


def pair_labels(
    predictions: Sequence[Path], truths: Sequence[Path]
) -> tuple[list[tuple[Path, Path]], list[Path], list[Failed]]:
    """Find the truth of every prediction by its name: "a_objects.tif" and "a.tif" belong together.

    A single prediction and a single truth belong together, whatever their names. Returns pairs of prediction
    and truth, at least one; predictions without a truth; and truths without a prediction as failures: without
    them the other scores would look too good. ``InputError`` if there is no pair, a name occurs twice, a
    file is given as both, or predictions are classes.
    """
    if predictions and all(stem(path).endswith("_classes") for path in predictions):
        raise InputError(
            f"{predictions[0]} holds classes, and only separate objects are compared; predict objects, too."
        )
    if len(predictions) == len(truths) == 1:
        return (*pair_by_stem(predictions, truths), [])
    predicted = {_name(path) for path in predictions}
    paired = [path for path in truths if _name(path) in predicted]
    if not paired:
        raise InputError(
            f"{truths[0]} has no counterpart named {_name(truths[0])!r} among the predictions, and no other "
            "truth has one; name both files alike."
        )
    pairs, untrue = pair_by_stem(predictions, paired, endings=[_ENDING])
    failed = [
        Failed(
            path, f"{path} has no counterpart named {_name(path)!r}, so it was not scored; predict it, too."
        )
        for path in truths
        if _name(path) not in predicted
    ]
    return pairs, untrue, failed


def pair_project(
    folder: Path, predictions: Sequence[Path]
) -> tuple[list[tuple[Path, Path]], list[Path], list[Failed], Reader]:
    """Find the truths of a project (corrected objects, else paint), and a function that reads all files.

    Predictions are named after the keys of its images, or after their files. None stands for the objects that
    the window predicted, before correction. An image without a prediction is not a failure.
    ``InputError`` if there is no project, or no pair.
    """
    project = read_project(folder)
    truths: dict[str, ProjectLabels] = {}
    for labels in sorted(project.labels, key=lambda labels: labels.kind == "objects"):
        if labels.kind != "classes":
            truths[labels.image] = labels
    paint, untrue = folder / PAINT, list[Path]()
    if not predictions:
        corrected = [labels for labels in truths.values() if labels.predicted]
        pairs = [(paint / labels.predicted, paint / labels.file) for labels in corrected]
        if not pairs:
            raise InputError(
                f"No predicted objects were corrected in the project {folder}; give predictions to compare "
                "with its paint."
            )
    else:
        names = {
            result_stem(stem(Path(file_name(image)))): image.key
            for image in project.images
            if file_name(image)
        }
        names |= {image.key: image.key for image in project.images}
        keys = {path: names.get(_name(path), "") for path in predictions}
        pairs = [(path, paint / truths[key].file) for path, key in keys.items() if key in truths]
        untrue = [path for path, key in keys.items() if key not in truths]
        if not pairs:
            raise InputError(
                f"{predictions[0]} is named after no painted image of the project {folder}; its images are "
                f"{', '.join(truths) or 'none'}."
            )
    of_file = {paint / labels.file: labels for labels in truths.values()}

    def read(path: Path) -> StoredImage:
        if path in of_file:
            truth = read_truth(folder, project, of_file[path], of_all_planes=bool(predictions))
            return StoredImage(truth, "")
        is_ours = path.parent == paint
        return StoredImage(read_labels(folder, path.name)[0], "") if is_ours else load_labels(path)

    return pairs, untrue, [], read


def compare_files(
    pairs: Sequence[tuple[Path, Path]],
    *,
    ndim: int | None = None,
    errors_folder: Path | None = None,
    read: Reader = load_labels,
) -> Iterator[Compared | Failed]:
    """Compare pairs of prediction and truth, read by ``read``, one after the other.

    ``ndim`` is as for :func:`napari_unet.core.scoring.scores.evaluate`; without it, time points are compared
    one by one if a file has them. STEM_errors.tif, the map of errors, is written to ``errors_folder``; for
    that, both images must fit into memory; see
    :func:`~napari_unet.core.scoring.label_errors.error_map`.
    """
    for prediction, truth in pairs:
        try:
            yield _compare(prediction, truth, ndim, errors_folder, read)
        except (InputError, MemoryError) as error:
            reason = sentence(error)
            named = str(prediction) in reason or str(truth) in reason
            yield Failed(prediction, reason if named else f"{prediction} against {truth}: {reason}")


def check_csv(path: Path) -> None:
    """Raise InputError unless a table of scores can be written to ``path``."""
    check_table(path, "scores", _FILES)


def write_csv(path: Path, compared: Sequence[Compared]) -> None:
    """Write one line of scores per pair, below a header line.

    ``InputError`` if the file cannot be written.
    """
    names = [field.name for field in fields(Scores)]
    rows = [
        [result.prediction, result.truth, *(asdict(result.scores)[name] for name in names)]
        for result in compared
    ]
    write_table(path, [[*_FILES, *names], *rows])


def _compare(
    prediction: Path, truth: Path, ndim: int | None, errors_folder: Path | None, read: Reader
) -> Compared:
    image, true = read(prediction), read(truth)
    image, true = image.laid_as(true), true.laid_as(image)
    # Ids at other time points are other objects.
    is_series = "T" in (image.axes[:1], true.axes[:1]) and image.pixels.shape[0] > 1
    predicted, truly = image.pixels, true.pixels
    if predicted.shape != truly.shape:
        predicted, truly = image.without_single, true.without_single
    if ndim is None and is_series:
        ndim = predicted.ndim - 1
    parts = list(comparable_parts(as_pixels(predicted), as_pixels(truly), ndim))
    by_plane = bool(parts) and found_by_plane(*parts[0])
    if errors_folder is None:
        agreement = sum((measure_agreement(*part) for part in parts), Agreement())
        return Compared(prediction, truth, agreement, by_plane)
    target = errors_folder / f"{_name(prediction)}_errors.tif"
    check_replaceable(target)
    compared = list(compare_parts(np.asarray(predicted), np.asarray(truly), ndim=ndim))
    axes = "" if "C" in image.axes else image.axes
    errors = np.array([part.errors for part in compared], np.uint8).reshape(image.pixels.shape)
    write_image(target, *image.as_in_file(errors, axes), image.pixel_size)
    agreement = sum((part.agreement for part in compared), Agreement())
    return Compared(prediction, truth, agreement, by_plane)


def _name(path: Path) -> str:
    return result_stem(stem(path).removesuffix(_ENDING))

"""Predicted and true label files compared in pairs; what fails is told, not raised."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from napari_unet.core.agreement import Agreement
from napari_unet.core.comparison import compare_parts
from napari_unet.core.errors import InputError
from napari_unet.core.score_table import delimited
from napari_unet.core.scores import Scores, pooled_scores
from napari_unet.files.atomic import writing
from napari_unet.files.images import pair_by_stem, read_image, stem, write_image
from napari_unet.network.failures import sentence

_ENDING = "_objects"
"""What a predicted file has in its name that the true one has not."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A predicted and a true file, and what they have in common."""

    prediction: Path
    truth: Path
    agreement: Agreement

    @property
    def scores(self) -> Scores:
        """The scores of this pair."""
        return pooled_scores([self.agreement])


@dataclass(frozen=True, slots=True)
class Failed:
    """A file that was not compared, and why, in a sentence that names it."""

    path: Path
    message: str


def pair_labels(
    predictions: Sequence[Path], truths: Sequence[Path]
) -> tuple[list[tuple[Path, Path]], list[Path], list[Failed]]:
    """Find the truth of every prediction by its name: "a_objects.tif" and "a.tif" belong together.

    Parameters
    ----------
    predictions, truths : sequence of Path
        As :func:`napari_unet.files.images.expand_paths` returns them.

    Returns
    -------
    pairs : list of (Path, Path)
        Prediction and truth; at least one.
    untrue : list of Path
        Predictions without a truth.
    failed : list of Failed
        Truths without a prediction: without them the scores of the others would be too good.

    Raises
    ------
    InputError
        If there is no pair, a name occurs twice, or a file is given as both.
    """
    predicted = {_name(path) for path in predictions}
    paired = [path for path in truths if _name(path) in predicted]
    if not paired:
        raise InputError(
            f"{truths[0]} has no counterpart named {_name(truths[0])!r} among the predictions, and no other "
            "truth has one; name both files alike."
        )
    pairs, untrue = pair_by_stem(predictions, paired, ending=_ENDING)
    failed = [
        Failed(
            path, f"{path} has no counterpart named {_name(path)!r}, so it was not scored; predict it, too."
        )
        for path in truths
        if _name(path) not in predicted
    ]
    return pairs, untrue, failed


def compare_files(
    pairs: Sequence[tuple[Path, Path]], *, ndim: int | None = None, errors_folder: Path | None = None
) -> Iterator[Compared | Failed]:
    """Compare label files, one pair after the other.

    Parameters
    ----------
    pairs : sequence of (Path, Path)
        Prediction and truth.
    ndim : int, optional
        As for :func:`napari_unet.core.scores.evaluate`.
    errors_folder : Path, optional
        Where to write STEM_errors.tif, the map of what is wrong
        (:func:`~napari_unet.core.label_errors.label_errors`).
    """
    for prediction, truth in pairs:
        try:
            yield _compare(prediction, truth, ndim, errors_folder)
        except (InputError, MemoryError) as error:
            reason = sentence(error)
            named = str(prediction) in reason or str(truth) in reason
            yield Failed(prediction, reason if named else f"{prediction} against {truth}: {reason}")


def write_csv(path: Path, compared: Sequence[Compared]) -> None:
    """Write a line of all scores for every pair, under a line of their names.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    names = [field.name for field in fields(Scores)]
    rows = [
        [result.prediction, result.truth, *(asdict(result.scores)[name] for name in names)]
        for result in compared
    ]
    with writing(path) as temporary:
        temporary.write_text(delimited([["prediction", "truth", *names], *rows]), "utf-8", newline="")


def _compare(prediction: Path, truth: Path, ndim: int | None, errors_folder: Path | None) -> Compared:
    image = read_image(prediction)
    parts = list(compare_parts(image.pixels, read_image(truth).pixels, ndim=ndim))
    agreement = sum((part.agreement for part in parts), Agreement())
    if errors_folder is not None:
        axes = "" if "C" in image.axes else image.axes
        errors = np.array([part.errors for part in parts], np.uint8).reshape(image.pixels.shape)
        write_image(errors_folder / f"{_name(prediction)}_errors.tif", errors, axes)
    return Compared(prediction, truth, agreement)


def _name(path: Path) -> str:
    return stem(path).removesuffix(_ENDING)

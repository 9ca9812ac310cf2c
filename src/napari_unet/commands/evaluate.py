"""The work of ``napari-unet evaluate``: pairs of files compared, one after the other, and reported."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_unet.console import listed, note, print_json
from napari_unet.core.scoring.score_table import value_text
from napari_unet.core.scoring.scores import mask_doubt, mean_scores, pooled_scores
from napari_unet.files.atomic import check_writable
from napari_unet.files.pixels.finding import expand_paths
from napari_unet.files.pixels.sources import load_labels
from napari_unet.files.projects.project import project_folder
from napari_unet.files.results.evaluation import (
    Compared,
    Failed,
    check_csv,
    compare_files,
    pair_labels,
    pair_project,
    write_csv,
)

_COLUMNS = (
    *("n_true", "n_predicted", "f1", "splits", "merges", "touching_recall", "ap_50", "ap_75", "ap_90"),
    *("foreground_iou", "dice", "adapted_rand_error", "variation_of_information", "pixel_error"),
)
"""The scores that fit on one line."""


def compare(
    predictions: Sequence[str],
    truths: Sequence[str],
    project: Path | None,
    *,
    ndim: int | None,
    errors: Path | None,
    table: Path | None,
    as_json: bool,
) -> int:
    """Compare label images, print their scores, and return the exit code: 2 if a pair could not be compared.

    ``ndim`` is the number of spatial axes, by default all; ``errors`` is a folder for maps of errors, and
    ``table`` a file for all scores as comma-separated values.
    """
    predicted = expand_paths(predictions)
    pairs, untrue, failed, read = (
        (*pair_labels(predicted, expand_paths(truths)), load_labels)
        if project is None
        else pair_project(project_folder(project), predicted)
    )
    if table:
        check_csv(table)
    if errors:
        check_writable(errors / "errors.tif")
    width = max(len(str(prediction)) for prediction, _ in pairs)
    compared: list[Compared] = []
    for result in compare_files(pairs, ndim=ndim, errors_folder=errors, read=read):
        if isinstance(result, Failed):
            failed.append(result)
            continue
        if not (compared or as_json):
            print("  ".join(["prediction".ljust(width), *_COLUMNS]))
        name = str(result.prediction)
        told = {"event": "scores", "prediction": name, "truth": str(result.truth)}
        _report(name.ljust(width), told, asdict(result.scores), as_json)
        compared.append(result)
    if compared:
        pooled = asdict(pooled_scores(result.agreement for result in compared))
        mean = mean_scores([result.scores for result in compared])
        for name, values in (("pooled", pooled), ("mean", mean)):
            _report(name.ljust(width), {"event": name, "pairs": len(compared)}, values, as_json)
        if table:
            write_csv(table, compared)
    _tell_of_labels(compared)
    if untrue:
        note(f"Left out, as no truth was found: {listed(untrue)}.")
    for failure in failed:
        note(failure.message)
        if as_json:
            print_json({"event": "failed", "path": str(failure.path), "message": failure.message})
    return 2 if failed else 0


def _tell_of_labels(compared: Sequence[Compared]) -> None:
    masks = [(result, sentence) for result in compared if (sentence := mask_doubt(result.scores))]
    for result, sentence in masks[:1]:
        others = f", as {len(masks) - 1} more" if len(masks) > 1 else ""
        note(f"{result.prediction} against {result.truth}{others}: {sentence}")
    if flat := [result.prediction for result in compared if result.by_plane]:
        note(
            f"The objects of {listed(flat)} end in each plane, as those of a 2-D network do, and the true "
            "ones go on; compare them with --by-plane."
        )


def _report(name: str, told: dict[str, Any], scores: Mapping[str, float], as_json: bool) -> None:
    if as_json:
        print_json({**told, **scores})
    else:
        print("  ".join([name, *(value_text(scores[key]).rjust(len(key)) for key in _COLUMNS)]))

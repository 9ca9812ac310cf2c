"""The work of ``napari-unet evaluate``: pairs of files compared, one after the other, and reported."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from napari_unet.console import listed, note, print_json, report_scores, report_summary
from napari_unet.core.scoring.scores import mean_scores, pooled_scores
from napari_unet.files.atomic import check_writable
from napari_unet.files.pixels.images import expand_paths
from napari_unet.files.pixels.sources import load_labels
from napari_unet.files.projects.project import project_folder
from napari_unet.files.results.evaluation import (
    Compared,
    Failed,
    Reader,
    check_csv,
    compare_files,
    pair_labels,
    pair_project,
    write_csv,
)

Pairs = tuple[list[tuple[Path, Path]], list[Path], list[Failed], Reader]
"""Predictions with their truths, predictions without, truths without, and what reads all of these."""


def files_to_compare(predictions: Sequence[str], truths: Sequence[str]) -> Pairs:
    """Find predictions and truths, paired by their names."""
    return *pair_labels(expand_paths(predictions), expand_paths(truths)), load_labels


def project_to_compare(project: Path, predictions: Sequence[str]) -> Pairs:
    """Find predictions, or those of the project, and the truths that the project holds."""
    return pair_project(project_folder(project), expand_paths(predictions))


def compare(
    found: Pairs,
    *,
    ndim: int | None,
    errors: Path | None,
    table: Path | None,
    as_json: bool,
) -> int:
    """Compare label images and print their scores.

    Parameters
    ----------
    found : Pairs
        From :func:`files_to_compare` or :func:`project_to_compare`.
    ndim : int, optional
        Spatial axes; None takes all.
    errors : Path, optional
        Folder for maps of what is wrong.
    table : Path, optional
        A file for all scores as comma-separated values.
    as_json : bool
        Whether to print JSON lines.

    Returns
    -------
    int
        The exit code: 2 if a pair could not be compared.
    """
    pairs, untrue, failed, read = found
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
        report_scores(result, width, as_json, is_first=not compared)
        compared.append(result)
    if compared:
        pooled = asdict(pooled_scores(result.agreement for result in compared))
        mean = mean_scores([result.scores for result in compared])
        report_summary({"pooled": pooled, "mean": mean}, len(compared), width, as_json)
        if table:
            write_csv(table, compared)
    if untrue:
        note(f"Left out for want of a truth: {listed(untrue)}.")
    for failure in failed:
        note(failure.message)
        if as_json:
            print_json({"event": "failed", "path": str(failure.path), "message": failure.message})
    return 2 if failed else 0

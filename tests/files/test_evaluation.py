"""Label files in pairs: which belong together, and what becomes of those that cannot be compared."""

import csv
from dataclasses import fields
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import tifffile
import zarr

from napari_unet.core.errors import InputError
from napari_unet.core.scoring import overlap
from napari_unet.core.scoring.label_errors import ErrorKind
from napari_unet.core.scoring.scores import Scores
from napari_unet.files.pixels import sources
from napari_unet.files.pixels.images import write_image
from napari_unet.files.results.evaluation import Compared, Failed, compare_files, pair_labels, write_csv


def paths(*names: str) -> list[Path]:
    return [Path(name) for name in names]


def test_names_pair_files() -> None:
    predictions = paths("p/a_objects.tif", "p/b.tif", "p/d.tif")
    truths = paths("t/b_objects.png", "t/a.ome.tif", "t/c.tif")
    pairs, untrue, failed = pair_labels(predictions, truths)
    assert pairs == [(predictions[1], truths[0]), (predictions[0], truths[1])]
    assert untrue == [predictions[2]]
    assert [failure.path for failure in failed] == [truths[2]]
    assert str(truths[2]) in failed[0].message


def test_a_single_pair_needs_no_name_in_common() -> None:
    predictions, truths = paths("p/a.tif"), paths("t/b.tif")
    assert pair_labels(predictions, truths) == ([(predictions[0], truths[0])], [], [])


@pytest.mark.parametrize(
    ("predictions", "truths", "sentence"),
    [
        (["a.tif", "c.tif"], ["b.tif"], "no counterpart named 'b'"),
        (["x/a.tif", "y/a_objects.tif"], ["a.tif"], "same name 'a'"),
        (["x/a.tif"], ["x/a.tif"], "both roles"),
        (["a_classes.tif"], ["t/a.tif"], "holds classes"),
    ],
)
def test_names_that_pair_nothing(predictions: list[str], truths: list[str], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        pair_labels(paths(*predictions), paths(*truths))


def test_one_failure_does_not_keep_the_others(tmp_path: Path) -> None:
    right, flat, real = (tmp_path / f"{name}.tif" for name in ("right", "flat", "real"))
    tifffile.imwrite(right, np.eye(4, dtype=np.uint8))
    tifffile.imwrite(flat, np.zeros((2, 4), np.uint8))
    tifffile.imwrite(real, np.full((4, 4), 0.5, np.float32))
    pairs = [(flat, right), (right, real), (tmp_path / "none.tif", right), (right, right)]
    misshapen, not_whole, missing, compared = compare_files(pairs)
    for failure, words in [(misshapen, "shape (2, 4)"), (not_whole, "float32"), (missing, "none.tif")]:
        assert isinstance(failure, Failed)
        assert words in failure.message
    assert isinstance(not_whole, Failed)
    assert str(real) in not_whole.message
    assert isinstance(compared, Compared)
    assert compared.scores.ap_90 == 1


@pytest.mark.parametrize("bad", [0.5, np.nan, np.inf, 2.0**24])
def test_whole_floats_are_labels_and_others_are_not(tmp_path: Path, bad: float) -> None:
    labels = np.diag([1, 2, 2**24 - 1, 0])
    tifffile.imwrite(tmp_path / "right.tif", labels)
    tifffile.imwrite(tmp_path / "whole.tif", labels.astype(np.float32))
    tifffile.imwrite(tmp_path / "bad.tif", np.where(labels == 1, bad, labels).astype(np.float32))
    pairs = [(tmp_path / name, tmp_path / "right.tif") for name in ("whole.tif", "bad.tif")]
    compared, failed = compare_files(pairs)
    assert isinstance(compared, Compared)
    assert compared.scores.ap_90 == 1
    assert isinstance(failed, Failed)


def test_a_table_holds_every_score_exactly(tmp_path: Path) -> None:
    labels = np.zeros((3, 7), np.uint8)
    labels[1, :3] = 1
    tifffile.imwrite(tmp_path / "a, b.tif", labels)
    tifffile.imwrite(tmp_path / "truth.tif", labels[:, ::-1])
    results = list(compare_files([(tmp_path / "a, b.tif", tmp_path / "truth.tif")]))
    write_csv(tmp_path / "scores.csv", [result for result in results if isinstance(result, Compared)])
    with (tmp_path / "scores.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["prediction"] == str(tmp_path / "a, b.tif")
    assert isinstance(results[0], Compared)
    for field in fields(Scores):
        assert float(row[field.name]) == getattr(results[0].scores, field.name)


def test_large_labels_are_compared_as_small_ones_are(tmp_path: Path) -> None:
    objects = np.zeros((64, 96), np.int32)
    objects[4:20, 4:30], objects[30:50, 40:90] = 1, 2
    truth = np.where(objects == 2, 0, objects)
    write_image(tmp_path / "a.tif", truth)
    (tmp_path / "file").mkdir()
    write_image(tmp_path / "file" / "a_objects.tif", objects)
    zarr.create_array(tmp_path / "a_objects.zarr", data=objects, chunks=(16, 16))
    names, maps = ("file/a_objects.tif", "a_objects.zarr"), tmp_path / "maps"
    found = [compare(tmp_path / name, tmp_path / "a.tif") for name in names]
    found += [compare(tmp_path / name, tmp_path / "a.tif", maps) for name in names]
    with patch.object(sources, "_LABELS", 100), patch.object(overlap, "_BLOCK", 300):
        found += [compare(tmp_path / name, tmp_path / "a.tif") for name in names]
    assert [each.agreement for each in found] == [found[0].agreement] * 6
    assert found[0].scores.ap_50 == 0.5
    assert np.unique(tifffile.imread(maps / "a_errors.tif")).tolist() == [0, ErrorKind.INVENTED]


def compare(prediction: Path, truth: Path, maps: Path | None = None) -> Compared:
    (found,) = compare_files([(prediction, truth)], errors_folder=maps)
    assert isinstance(found, Compared)
    return found

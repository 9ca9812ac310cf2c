"""`napari-unet evaluate`: results compared with the truth."""

import csv
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from command_line import fails, json_lines, run

from napari_unet.cli import main
from napari_unet.files.pixels.images import read_image, write_image
from napari_unet.files.pixels.pixel_size import PixelSize


@pytest.fixture
def predictions(folder: Path, tmp_path: Path) -> Path:
    """Give a perfect prediction of a1, an empty one of a2, and a file without a truth."""
    truth = tifffile.imread(folder / "truth" / "a1.tif")
    made = tmp_path / "predictions"
    made.mkdir()
    tifffile.imwrite(made / "a1_objects.tif", truth)
    tifffile.imwrite(made / "a2_objects.tif", np.zeros_like(truth))
    tifffile.imwrite(made / "a1_classes.tif", truth)
    return made


def test_scores_pair_predictions_with_truths(
    folder: Path, predictions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truths = [str(folder / "truth" / name) for name in ("a1.tif", "a2.tif")]
    assert main(["evaluate", "--predictions", str(predictions), "--truths", *truths, "--json"]) == 0
    out, err = capsys.readouterr()
    first, second, pooled, mean = json_lines(out)
    assert (first["truth"], first["dice"], first["n_true"]) == (truths[0], 1.0, 3)
    assert (second["dice"], second["n_predicted"]) == (0.0, 0)
    assert (mean["event"], mean["pairs"], mean["dice"], mean["n_predicted"]) == ("mean", 2, 0.5, 1.5)
    assert (pooled["event"], pooled["recall"], pooled["precision"], pooled["n_true"]) == ("pooled", 0.5, 1, 6)
    assert "a1_classes.tif" in err
    assert main(["evaluate", "--predictions", str(predictions), "--truths", *truths]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    columns = header.split()
    assert columns[:3] == ["prediction", "n_true", "n_predicted"]
    assert [row.split()[0] for row in rows[2:]] == ["pooled", "mean"]
    assert [row.split()[columns.index("dice")] for row in rows] == ["1.000", "0.000", "0.667", "0.500"]
    assert len({len(row) for row in rows}) == 1


def test_a_mask_is_no_truth_of_objects(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = folder / "truth" / "a1.tif"
    mask = tmp_path / "a1.tif"
    tifffile.imwrite(mask, 255 * (tifffile.imread(truth) > 0).astype(np.uint8))
    assert main(["evaluate", "--predictions", str(truth), "--truths", str(mask)]) == 0
    assert (
        f"{mask}: The truth holds one object, and what it is compared with holds 3; if"
        in capsys.readouterr().err
    )
    (tmp_path / "masks").mkdir()
    for name in ("a1.tif", "a2.tif", "a10.tif"):
        shutil.copy(mask, tmp_path / "masks" / name)
    assert run("evaluate", "--predictions", folder / "truth", "--truths", tmp_path / "masks") == 0
    err = capsys.readouterr().err
    assert "a1.tif, as 2 more: The truth holds one object" in err
    assert err.count("\n") == 1
    tifffile.imwrite(mask, tifffile.imread(truth))
    assert main(["evaluate", "--predictions", str(truth), "--truths", str(mask)]) == 0
    assert capsys.readouterr().err == ""


def test_what_cannot_be_scored_is_told_at_the_end(
    folder: Path, predictions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truths = folder / "truth"
    tifffile.imwrite(predictions / "a2_objects.tif", np.zeros((20, 40), np.int32))
    arguments = ["evaluate", "--predictions", str(predictions), "--truths", str(truths), "--json"]
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert [line["event"] for line in json_lines(out)] == ["scores", "pooled", "mean", "failed", "failed"]
    # A truth without a prediction would make the mean too good; a prediction without a truth does not.
    left_out, unpaired, misshapen = err.splitlines()
    assert "a1_classes.tif" in left_out
    assert "a10.tif has no counterpart" in unpaired
    assert "a2_objects.tif" in misshapen
    assert "(20, 40)" in misshapen
    (predictions / "a2_objects.tif").write_bytes(b"II*\0 broken")
    assert main(arguments[:-1]) == 2
    out, err = capsys.readouterr()
    assert "a2_objects.tif could not be read" in err
    assert len(out.splitlines()) == 4
    # Nothing is left to score.
    only = [predictions / "a2_objects.tif", "--truths", truths / "a2.tif", "--csv", tmp_path / "x.csv"]
    assert "could not be read" in fails(capsys, ["evaluate", "--predictions", *only])
    only[-1] = tmp_path / "x.xlsx"
    assert "let its name end in .csv" in fails(capsys, ["evaluate", "--predictions", *only])
    assert not (tmp_path / "x.csv").exists()
    assert "no counterpart" in fails(
        capsys, ["evaluate", "--predictions", predictions, "--truths", truths / "a10.tif"]
    )


def test_scores_as_a_table_and_errors_as_maps(
    folder: Path, predictions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truths = [str(folder / "truth" / name) for name in ("a1.tif", "a2.tif")]
    table, maps = tmp_path / "scores.csv", tmp_path / "new" / "maps"
    arguments = ["evaluate", "--predictions", str(predictions), "--truths", *truths]
    assert main([*arguments, "--csv", str(table), "--errors", str(maps)]) == 0
    with table.open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["truth"], float(first["f1"]), second["n_true"]) == (truths[0], 1, "3")
    assert sorted(path.name for path in maps.iterdir()) == ["a1_errors.tif", "a2_errors.tif"]
    assert not tifffile.imread(maps / "a1_errors.tif").any()
    missed = tifffile.imread(maps / "a2_errors.tif")
    assert missed.dtype == np.uint8
    np.testing.assert_array_equal(missed, tifffile.imread(truths[1]) > 0)
    blocked = table / "maps"
    assert "cannot be written" in fails(capsys, [*arguments, "--errors", blocked])


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have names that are text")
def test_a_table_of_scores_holds_names_that_are_no_text(folder: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"a\xff.tif")
    for kind in ("predictions", "truths"):
        (tmp_path / kind).mkdir()
        shutil.copy(folder / "truth" / "a1.tif", tmp_path / kind / name)
    flags = ["--predictions", tmp_path / "predictions", "--truths", tmp_path / "truths"]
    assert run("evaluate", *flags, "--csv", tmp_path / "scores.csv") == 0
    assert r"a\udcff.tif" in (tmp_path / "scores.csv").read_text("utf-8")


def test_objects_found_by_plane_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    volume = np.zeros((3, 8, 8), np.uint16)
    volume[:, 1:5, 1:5] = 1
    size = PixelSize(0.5, 0.25, 2.0)
    write_image(tmp_path / "truth" / "a.tif", volume, "ZYX", size)
    by_plane = volume * np.arange(1, 4, dtype=np.uint16)[:, None, None]
    write_image(tmp_path / "found" / "a.tif", by_plane, "ZYX", size)
    flags = [
        "--predictions",
        tmp_path / "found",
        "--truths",
        tmp_path / "truth",
        "--errors",
        tmp_path / "maps",
    ]
    for more in ([], flags[-2:]):
        assert run("evaluate", *flags[:4], *more) == 0
        assert "a.tif end in each plane" in capsys.readouterr().err
    assert read_image(tmp_path / "maps" / "a_errors.tif").pixel_size == size
    assert run("evaluate", *flags, "--by-plane") == 0
    assert capsys.readouterr().err == ""


def test_stacks_are_scored_as_volumes_or_by_plane(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, shift in (("predictions", 0), ("truths", 2)):
        (tmp_path / name).mkdir()
        stack = np.zeros((3, 8, 8), np.uint16)
        stack[:2, 1:5, 1:5] = 1
        stack[2, 1:5, 1 + shift : 5 + shift] = 1
        tifffile.imwrite(tmp_path / name / "a.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    arguments = [
        "--predictions",
        str(tmp_path / "predictions"),
        "--truths",
        str(tmp_path / "truths"),
        "--json",
    ]
    for axes, flags, objects, matched in (
        ("ZYX", [], 1, 1),
        ("ZYX", ["--by-plane"], 3, 2),
        ("TYX", [], 3, 2),
    ):
        tifffile.imwrite(tmp_path / "truths" / "a.tif", stack, imagej=True, metadata={"axes": axes})
        assert main(["evaluate", *arguments, *flags, "--errors", str(tmp_path / "maps")]) == 0
        scores, *_ = json_lines(capsys.readouterr().out)
        assert (scores["n_true"], scores["n_matched"]) == (objects, matched)
        errors = tifffile.imread(tmp_path / "maps" / "a_errors.tif")
        assert errors.shape == (3, 8, 8)
        assert bool(errors[2].any()) == (objects == 3)

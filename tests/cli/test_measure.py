"""`napari-unet measure`: labels on disk become the table that `predict` writes."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import roifile
import tifffile
import zarr
from command_line import fails, json_lines, run
from skimage.io import imsave

from napari_unet.files.pixels.images import BY_HAND, maker_of, read_image, write_image, write_labels
from napari_unet.files.pixels.pixel_size import PixelSize


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text("utf-8-sig").splitlines()))


@pytest.fixture
def predicted(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Give a folder with results of all images, and their table."""
    arguments = ["predict", folder / "model.safetensors", "--images", folder / "images", "--output"]
    kinds = ["--what", "objects", "classes", "probabilities", "--set", "instances.min_size=1"]
    assert run(*arguments, tmp_path / "results", *kinds, "--table", tmp_path / "predicted.csv") == 0
    capsys.readouterr()
    return tmp_path


def test_results_give_the_table_that_predict_writes(
    folder: Path, predicted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = predicted / "measured.csv"
    arguments = ["measure", predicted / "results", "--images", folder / "images", "--output", table]
    assert run(*arguments) == 0
    assert table.read_bytes() == (predicted / "predicted.csv").read_bytes()
    assert capsys.readouterr() == (f"{table}\n", "")
    assert len(rows_of(table)) > 3
    arguments[-1] = folder / "images" / "a1.tif"
    assert "a1.tif already exists and is not a table of objects" in fails(capsys, arguments)


def test_corrected_labels_are_measured_and_outlined(
    folder: Path, predicted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corrected = np.zeros((48, 40), np.uint16)
    corrected[4:8, 5:10] = 3
    for name in ("a1", "a2", "a10"):
        write_labels(predicted / "results" / f"{name}_objects.tif", corrected, "YX", software=BY_HAND)
    table = predicted / "measured.csv"
    objects = predicted / "results" / "*_objects.tif"
    arguments = ["measure", objects, "--images", folder / "images", "--output", table, "--json"]
    assert run(*arguments, "--outlines", "imagej", "qupath") == 0
    written = [(event["what"], Path(event["path"]).name) for event in json_lines(capsys.readouterr().out)]
    assert written == [
        *(
            ("outlines", f"{name}_objects{end}")
            for name in ("a1", "a2", "a10")
            for end in (".zip", ".geojson")
        ),
        ("table", "measured.csv"),
    ]
    rows = rows_of(table)
    assert [row["image"] for row in rows] == ["a1.tif", "a2.tif", "a10.tif"]
    assert {(row["object"], row["pixels"], row["y_px"], row["x_px"]) for row in rows} == {
        ("3", "20", "5.5", "7.0")
    }
    means = [read_image(folder / "images" / row["image"]).pixels[4:8, 5:10].mean() for row in rows]
    np.testing.assert_allclose([float(row["mean"]) for row in rows], means, rtol=1e-5)
    (roi,) = roifile.roiread(predicted / "results" / "a1_objects.zip")
    assert (roi.name, roi.top, roi.left, roi.bottom, roi.right) == ("3", 4, 5, 8, 10)
    assert maker_of(predicted / "results" / "a1_objects.tif") == BY_HAND
    (predicted / "results" / "a1_objects.zip").write_bytes(b"of someone else")
    assert run(*arguments, "--outlines", "imagej") == 2
    out, err = capsys.readouterr()
    assert [event["event"] for event in json_lines(out)] == ["written"] * 3 + ["failed"]
    assert "a1_objects.zip already exists and is not a result of napari-unet" in err
    assert len(rows_of(table)) == 3


def test_classes_of_another_run_than_the_objects_are_told(
    folder: Path, predicted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = predicted / "results"
    arguments = ["predict", folder / "model.safetensors", "--images", folder / "images" / "a1.tif"]
    assert run(*arguments, "--output", results, "--set", "instances.min_size=2") == 0
    told = f"than the results beside: {results / 'a1_classes.tif'} and 1 more; predict all kinds together"
    assert told in capsys.readouterr().err
    write_labels(results / "a2_objects.tif", np.eye(48, 40, dtype=np.uint16), software=BY_HAND)  # corrected
    capsys.readouterr()
    table = predicted / "measured.csv"
    assert run("measure", results, "--images", folder / "images", "--output", table) == 0
    told = f"{results / 'a1_classes.tif'} may not belong to the objects beside: another model"
    assert capsys.readouterr().err.startswith(told)


def test_labels_of_other_programs_beside_the_images(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, labels in (("a1", "a1_cp_masks.png"), ("a2", "a2_labels.tif")):
        shutil.copy(folder / "images" / f"{name}.tif", tmp_path)
        image = read_image(folder / "truth" / f"{name}.tif").pixels.astype(np.uint16)
        if labels.endswith(".png"):
            imsave(tmp_path / labels, image, check_contrast=False)
        else:
            tifffile.imwrite(tmp_path / labels, image)
    shutil.copy(folder / "images" / "a10.tif", tmp_path)
    arguments = ["measure", tmp_path, "--images", tmp_path, "--output", tmp_path / "t.csv"]
    assert run(*arguments) == 0
    found = [(row["image"], row["object"]) for row in rows_of(tmp_path / "t.csv")]
    assert found == [(f"{name}.tif", number) for name in ("a1", "a2") for number in "234"]
    assert capsys.readouterr().err == f"Left out, as no labels were found: {tmp_path / 'a10.tif'}.\n"
    assert "would both be labels of the same image; give one of them" in fails(
        capsys, ["measure", tmp_path, "--output", tmp_path / "t.csv"]
    )


def test_layers_that_napari_saved_under_their_names_are_found(folder: Path, tmp_path: Path) -> None:
    for name in ("a1", "a2"):
        objects, classes = np.eye(48, 40, dtype=np.uint16), np.full((48, 40), 2, np.uint8)
        for kind, pixels in (("objects", objects), ("classes", classes), ("probability", objects / 2)):
            tifffile.imwrite(tmp_path / f"{name} {kind}.tif", pixels)
    arguments = ["measure", tmp_path, "--images", folder / "images", "--output", tmp_path / "t.csv"]
    assert run(*arguments) == 0
    rows = rows_of(tmp_path / "t.csv")
    assert [(row["image"], row["class"]) for row in rows] == [("a1.tif", "2"), ("a2.tif", "2")]


def test_without_images_labels_say_how_large_pixels_are(tmp_path: Path) -> None:
    labels = np.zeros((3, 20, 20), np.uint16)
    labels[:2, 2:4, 2:4] = 1
    write_labels(tmp_path / "a.tif", labels, "ZYX", PixelSize(z=2.0, y=0.5, x=0.5))
    assert run("measure", tmp_path / "a.tif", "--output", tmp_path / "t.csv") == 0
    (row,) = rows_of(tmp_path / "t.csv")
    assert (row["image"], row["object"], row["volume_um3"], row["z_px"]) == ("a.tif", "1", "4.0", "0.5")
    assert "mean" not in row
    tifffile.imwrite(tmp_path / "raw.tif", labels, photometric="minisblack")  # an image that does not say it
    arguments = ["measure", tmp_path / "a.tif", "--images", tmp_path / "raw.tif"]
    assert run(*arguments, "--output", tmp_path / "t.csv") == 0
    (row,) = rows_of(tmp_path / "t.csv")
    assert (row["image"], row["volume_um3"], row["mean"]) == ("raw.tif", "4.0", "1.0")


def test_what_cannot_be_measured_does_not_cost_the_others(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "labels"
    write_labels(labels / "a1.tif", np.eye(48, 40, dtype=np.uint16))
    write_labels(labels / "a2.tif", np.eye(40, 48, dtype=np.uint16))
    write_image(labels / "a10.tif", np.full((48, 40), 0.5, np.float32))
    write_labels(labels / "b.tif", np.eye(48, 40, dtype=np.uint16))
    arguments = ["measure", labels, "--images", folder / "images", "--output", tmp_path / "t.csv"]
    assert run(*arguments) == 2
    unpaired, shape, real = capsys.readouterr().err.splitlines()
    assert unpaired == f"{labels / 'b.tif'} is not in the table, as there is no image of its name."
    assert f"{labels / 'a2.tif'} has shape (40, 48) and " in shape
    assert f"{labels / 'a10.tif'} has values of type float32; give labels" in real
    assert {row["image"] for row in rows_of(tmp_path / "t.csv")} == {"a1.tif"}
    (tmp_path / "t.csv").unlink()
    (labels / "a1.tif").unlink()
    assert run(*arguments) == 2
    assert not (tmp_path / "t.csv").exists()


def test_an_axis_of_length_1_that_one_file_lacks_does_not_matter(tmp_path: Path) -> None:
    labels = np.zeros((1, 20, 30), np.uint16)
    labels[0, 2:4, 3:6] = 7
    zarr.create_array(tmp_path / "a_labels.zarr", data=labels, chunks=labels.shape)
    image = np.arange(600, dtype=np.uint16).reshape(20, 30)
    tifffile.imwrite(tmp_path / "a.ome.tif", image)
    arguments = ["measure", tmp_path / "a_labels.zarr", "--images", tmp_path / "a.ome.tif"]
    assert run(*arguments, "--output", tmp_path / "t.csv") == 0
    (row,) = rows_of(tmp_path / "t.csv")
    assert (row["pixels"], float(row["mean"])) == ("6", image[2:4, 3:6].mean())


def test_a_mask_is_told(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mask = np.zeros((48, 40), np.uint8)
    mask[2:5, 2:5] = mask[10:14, 2:5] = mask[20:25, 20:25] = 255
    tifffile.imwrite(tmp_path / "mask.tif", mask)
    arguments = ["measure", tmp_path / "mask.tif", "--images", folder / "images" / "a1.tif"]
    assert run(*arguments, "--output", tmp_path / "t.csv") == 0
    assert "mask.tif has one value, as in a mask, and is measured as one object" in capsys.readouterr().err


def test_an_image_in_place_of_labels_is_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = folder / "images" / "a1.tif"
    assert run("measure", image, "--output", tmp_path / "t.csv") == 0
    assert f"The numbers in {image} change from pixel to pixel, as in an image" in capsys.readouterr().err
    assert run("measure", folder / "truth", "--output", tmp_path / "t.csv") == 0
    cells = np.arange(1, 65, dtype=np.uint16).reshape(8, 8).repeat(3, 0).repeat(3, 1)  # all touch
    tifffile.imwrite(tmp_path / "cells.tif", cells)
    assert run("measure", tmp_path / "cells.tif", "--output", tmp_path / "t.csv") == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--outlines", "fiji"], "choose from imagej, qupath"),
        (["--images", "{folder}/a1.tif", "{folder}/a2.tif"], "c.tif has no image named 'c'"),
        (["--images", "nowhere"], "There is no file 'nowhere'"),
        (["--output", "t.xlsx"], "let its name end in .csv"),
    ],
)
def test_bad_input_is_told_at_once(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    problem: str,
) -> None:
    write_labels(tmp_path / "c.tif", np.eye(48, 40, dtype=np.uint16))
    arguments = ["measure", tmp_path / "c.tif", "--output", tmp_path / "t.csv"]
    arguments += [flag.format(folder=folder / "images") for flag in flags]
    assert problem in fails(capsys, arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["c.tif"]
    write_image(tmp_path / "c_probabilities.tif", np.zeros((2, 4, 4), np.float32))
    only = ["measure", tmp_path / "c_probabilities.tif", "--output", tmp_path / "t.csv"]
    assert "There are no labels among the files" in fails(capsys, only)

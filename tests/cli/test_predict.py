"""`napari-unet predict`: images segmented to TIFF and to zarr."""

import csv
import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roifile
import tifffile
import zarr
from command_line import SMALL, fails, json_lines, run

from napari_unet import load_model, predict, save_model
from napari_unet.cli import main
from napari_unet.core.errors import InputError
from napari_unet.core.objects.measurements import measure_objects
from napari_unet.files.pixels.images import read_image
from napari_unet.files.pixels.pixel_size import PixelSize
from napari_unet.files.pixels.sources import load_image, load_labels
from napari_unet.files.pixels.stored_image import StoredImage
from napari_unet.files.results import measured_files, predicted_files
from napari_unet.network.tiles.tile_run import TileRun


def test_what_cannot_be_for_any_image_is_told_once_for_all(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["predict", folder / "model.safetensors", "--images", folder / "images"]
    arguments += ["--output", tmp_path / "results"]
    assert "abacus" in fails(capsys, [*arguments, "--device", "abacus"])
    size = ["--set", "prediction.object_size=30"]
    assert "this model is no starter" in fails(capsys, [*arguments, *size])


def test_predictions_are_written_as_they_should_be(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = ["objects", "classes", "probabilities"]
    images = folder / "images"
    arguments = [
        "predict",
        str(folder / "model.safetensors"),
        "--images",
        str(images),
        "--output",
        str(tmp_path),
    ]
    assert main([*arguments, "--what", *kinds, "--set", "prediction.tile_size=16", "--json"]) == 0
    events = json_lines(capsys.readouterr().out)
    written = [Path(event["path"]).name for event in events if event["event"] == "written"]
    assert written == [f"{name}_{kind}.tif" for name in ("a1", "a2", "a10") for kind in kinds]
    tiles = [event for event in events if event["event"] == "tile_done" and event["image"].endswith("a1.tif")]
    assert [event["done"] for event in tiles] == list(range(1, tiles[0]["total"] + 1))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(written)
    objects, classes, probabilities = (tifffile.imread(tmp_path / f"a1_{kind}.tif") for kind in kinds)
    assert (objects.dtype, objects.shape) == (np.uint16, (48, 40))
    assert (classes.dtype, classes.shape) == (np.uint8, (48, 40))
    assert (probabilities.dtype, probabilities.shape) == (np.float32, (2, 48, 40))
    np.testing.assert_array_equal(classes, 1 + (probabilities[1] > probabilities[0]))


def test_objects_are_what_is_predicted_unless_said(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = folder / "images" / "a1.tif"
    assert (
        main(
            [
                "predict",
                str(folder / "model.safetensors"),
                "--images",
                str(image),
                "--output",
                str(tmp_path / "x"),
            ]
        )
        == 0
    )
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["a1_objects.tif"]
    assert capsys.readouterr().out.strip() == str(tmp_path / "x" / "a1_objects.tif")


def test_outlines_are_written_of_tiff_and_zarr_alike(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    movie = np.stack([tifffile.imread(folder / "images" / f"{name}.tif") for name in ("a1", "a2")])
    tifffile.imwrite(tmp_path / "movie.tif", movie, imagej=True, metadata={"axes": "TYX"})
    arguments = ["predict", str(folder / "model.safetensors"), "--images", str(tmp_path / "movie.tif")]
    arguments += ["--outlines", "imagej", "qupath", "--json", "--redo"]
    for kind in ("tiff", "zarr"):
        results = tmp_path / kind
        for _ in range(2):  # results may be replaced
            assert main([*arguments, "--output", str(results), "--format", kind]) == 0
            events = json_lines(capsys.readouterr().out)
            written = [(e["what"], Path(e["path"]).name) for e in events if e["event"] == "written"]
            assert written[1:] == [
                ("outlines", "movie_objects.zip"),
                ("outlines", "movie_objects.geojson"),
            ]
        objects = read_image(tmp_path / "tiff" / "movie_objects.tif").pixels
        rois = roifile.roiread(results / "movie_objects.zip")
        features = json.loads((results / "movie_objects.geojson").read_text())["features"]
        assert len(rois) == len(features) == objects.max()  # of single planes
        for roi, feature in zip(rois, features, strict=True):
            value = int(roi.name.removesuffix(f"_t{roi.position}"))
            times, rows, columns = np.nonzero(objects == value)
            assert set(times) == {roi.position - 1}
            assert (roi.top, roi.left) == (rows.min(), columns.min())
            assert (roi.bottom, roi.right) == (rows.max() + 1, columns.max() + 1)
            assert feature["properties"]["name"] == str(value)
            assert feature["geometry"]["plane"]["t"] == roi.position - 1


def test_outlines_that_cannot_be_are_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["predict", folder / "model.safetensors", "--images", folder / "images" / "a1.tif"]
    arguments += ["--output", tmp_path]
    assert "choose from imagej, qupath" in fails(capsys, [*arguments, "--outlines", "fiji"])
    assert "add objects to --what" in fails(capsys, [*arguments, "--outlines", "imagej", "--what", "classes"])
    (tmp_path / "a1_objects.zip").write_bytes(b"of someone else")
    assert "a1_objects.zip already exists" in fails(capsys, [*arguments, "--outlines", "imagej"])
    assert len(list(tmp_path.iterdir())) == 1
    monkeypatch.setattr(predicted_files, "free_host_memory", lambda: 48 * 40 * 50 - 1)
    assert main([*map(str, arguments), "--outlines", "qupath"]) == 0
    told = capsys.readouterr()
    assert "a1_objects.tif are not written, because its planes are too large" in told.err
    assert told.out.strip() == str(tmp_path / "a1_objects.tif")
    monkeypatch.setattr(predicted_files, "free_host_memory", lambda: 48 * 40 * 50)
    assert main([*map(str, arguments), "--outlines", "qupath"]) == 0
    assert (tmp_path / "a1_objects.geojson").is_file()


def test_results_are_no_images_and_keep_the_size_of_pixels(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tifffile.imread(folder / "images" / "a1.tif")
    metadata = {"axes": "YX", "unit": "um"}
    tifffile.imwrite(tmp_path / "a.tif", image, imagej=True, resolution=(4, 2), metadata=metadata)
    model = folder / "model.safetensors"
    arguments = ["predict", str(model), "--images", str(tmp_path), "--output", str(tmp_path)]
    for _ in range(2):
        assert main([*arguments, "--what", "objects", "classes"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif", "a_classes.tif", "a_objects.tif"]
    for kind in ("objects", "classes"):
        assert read_image(tmp_path / f"a_{kind}.tif").pixel_size == PixelSize(y=0.5, x=0.25)


@pytest.mark.parametrize("file_format", ["tiff", "zarr"])
def test_images_under_another_objective_are_scaled_to_the_pixels_that_were_learnt_from(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], file_format: str
) -> None:
    image = tifffile.imread(folder / "images" / "a1.tif")
    metadata = {"axes": "YX", "unit": "um"}
    tifffile.imwrite(tmp_path / "a.tif", image, imagej=True, resolution=(4, 4), metadata=metadata)
    model = replace(load_model(folder / "model.safetensors"), pixel_size=(0.5, 0.5))
    save_model(model, tmp_path / "model.safetensors")
    arguments = ["predict", tmp_path / "model.safetensors", "--images", tmp_path / "a.tif", "--json"]
    arguments += ["--output", tmp_path, "--what", "probabilities", "--format", file_format]
    results = []
    for more in ([], ["--set", "prediction.object_size=unscaled"]):
        assert run(*arguments, *more) == 0
        out, err = capsys.readouterr()
        (written,) = (event for event in json_lines(out) if event["event"] == "written")
        results.append(np.array(load_image(Path(written["path"])).pixels))
        told = "a.tif: The model sees this image at 0.5 times its size" in err
        assert told == ("prediction.object_size=unscaled leaves it as it is" in err) == (not more)
        scaled = [event for event in json_lines(out) if event["event"] == "scaled"]
        facts = [(event["factor"], event["pixel_size"], event["learnt"]) for event in scaled]
        assert facts == ([] if more else [(0.5, 0.25, 0.5)])
    assert results[0].shape == results[1].shape
    expected = predict(model, image, pixel_size=(0.25, 0.25)).probabilities
    np.testing.assert_allclose(results[0], expected, atol=1e-6)
    np.testing.assert_allclose(results[1], predict(model, image).probabilities, atol=1e-6)
    assert not np.allclose(*results, atol=0.01)


def test_zarr_and_images_beyond_the_memory_are_written_to_zarr(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "images" / "a1.tif"
    zarr.create_array(tmp_path / "in" / "z.zarr", data=tifffile.imread(path), chunks=(20, 20))
    tiles = ["--set", "prediction.tile_size=16"]
    model = str(folder / "model.safetensors")

    def predict(image: Path, *flags: str) -> list[str]:
        capsys.readouterr()
        assert (
            main(["predict", model, "--images", str(image), "--output", str(tmp_path), *tiles, *flags]) == 0
        )
        return [Path(line).name for line in capsys.readouterr().out.splitlines()]

    assert predict(path) == ["a1_objects.tif"]
    assert predict(path, "--format", "zarr", "--what", "objects", "classes") == [
        "a1_objects.zarr",
        "a1_classes.zarr",
    ]
    assert predict(tmp_path / "in") == ["z_objects.zarr"]
    assert predict(tmp_path / "in", "--format", "tiff") == ["z_objects.tif"]
    monkeypatch.setattr("napari_unet.files.results.large_prediction._FITTING_SHARE", 0)
    assert predict(folder / "images" / "a2.tif") == ["a2_objects.zarr"]
    expected = tifffile.imread(tmp_path / "a1_objects.tif")
    assert expected.any()
    for name in ("a1_objects.zarr", "z_objects.zarr"):
        np.testing.assert_array_equal(zarr.open_array(tmp_path / name / "0", mode="r")[...], expected)
    usual = ["predict", model, "--images", path, "--output", tmp_path]
    assert "choose from auto" in fails(capsys, [*usual, "--format", "png"])


def test_images_that_are_left_out_of_a_file_are_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tifffile.imread(folder / "images" / "a1.tif")
    with tifffile.TiffWriter(tmp_path / "a1.tif") as file:
        file.write(image)
        file.write(image[:30])
    predict = ["predict", folder / "model.safetensors", "--output", tmp_path]
    train = [
        "train",
        "--paint",
        folder / "paint" / "a1.tif",
        "--output",
        tmp_path / "m",
        "--steps",
        1,
        *SMALL,
    ]
    for command in (predict, train):
        capsys.readouterr()
        assert run(*command, "--images", tmp_path / "a1.tif") == 0
        assert "a1.tif holds 2 images, and the first is used" in capsys.readouterr().err


def test_one_bad_image_does_not_cost_the_others(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    good = (folder / "images" / "a1.tif").read_bytes()
    (tmp_path / "in" / "1.tif").write_bytes(good[: len(good) // 2])
    colours = np.arange(20 * 20 * 3, dtype=np.uint8).reshape(20, 20, 3)
    tifffile.imwrite(tmp_path / "in" / "2.tif", colours, photometric="rgb")
    (tmp_path / "in" / "3.tif").write_bytes(good)
    arguments = [
        "predict",
        str(folder / "model.safetensors"),
        "--images",
        str(tmp_path / "in"),
        "--output",
        str(tmp_path / "out"),
    ]
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out.splitlines() == [str(tmp_path / "out" / "3_objects.tif")]
    first, second, last = err.splitlines()
    assert last == "1 of 3 images segmented, 2 failed: 1.tif, 2.tif"
    assert "1.tif" in first
    assert "could not be read" in first
    assert "2.tif" in second
    assert "3 channels" in second
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["3_objects.tif"]
    assert main([*arguments, "--json"]) == 2
    assert [event["event"] for event in json_lines(capsys.readouterr().out)][:2] == ["failed", "failed"]


def test_predictions_that_cannot_be_are_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, images = folder / "model.safetensors", folder / "images"
    usual = ["predict", model, "--images", images]
    assert "choose from objects" in fails(capsys, [*usual, "--output", tmp_path, "--what", "boxes"])
    assert "same name" in fails(capsys, [*usual, folder / "truth", "--output", tmp_path])
    assert "folder is a file" in fails(capsys, [*usual, "--output", model])
    assert "would be a folder of that name" in fails(capsys, [*usual, "--output", tmp_path / "a.TIF"])
    assert "is not a napari-unet" in fails(
        capsys, ["predict", images / "a1.tif", *usual[2:], "--output", tmp_path]
    )


def test_images_too_large_to_find_objects_in_are_told_before_they_are_segmented(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_unet.core.instances._MOST_PIXELS", 100)
    model, image = folder / "model.safetensors", folder / "images" / "a1.tif"
    usual = ["predict", str(model), "--images", str(image), "--output", str(tmp_path / "out")]
    with monkeypatch.context() as context:
        context.setattr("napari_unet.network.prediction.predict_tiles", None)  # nothing is segmented
        said = fails(capsys, [*usual, "--format", "tiff"])
    assert "at most 100 pixels at once, and here are" in said
    assert "napari-unet predict --format zarr" in said
    assert main([*usual, "--what", "probabilities"]) == 0


@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "tile": (16, 16)}], ids=str)
def test_an_image_that_is_cut_off_while_it_is_read_costs_no_other(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
) -> None:
    """Somebody writes to a file while it is segmented block by block."""
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a1", "a2"):
        pixels = tifffile.imread(folder / "images" / f"{name}.tif")
        tifffile.imwrite(images / f"{name}.tif", pixels, **options)
    original = TileRun.events

    def events(run: TileRun, *arguments: Any) -> Any:
        cut_off = images / "a1.tif"
        cut_off.write_bytes(cut_off.read_bytes()[:700])
        return original(run, *arguments)

    monkeypatch.setattr(TileRun, "events", events)
    monkeypatch.setattr("napari_unet.files.pixels.sources._CACHE", 0)  # as if the image were larger than it
    arguments = ["predict", folder / "model.safetensors", "--images", images, "--output", tmp_path / "out"]
    capsys.readouterr()
    code = run(*arguments, "--format", "zarr")
    error = capsys.readouterr().err
    assert code == 2
    assert "a1.tif could not be read" in error
    assert "Traceback" not in error
    assert ("the file has become shorter" in error) == (not options)
    assert (tmp_path / "out" / "a2_objects.zarr").exists()
    assert not (tmp_path / "out" / "a1_objects.zarr").exists()


def rows_of(table: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(table.read_text("utf-8-sig").splitlines()))


def test_the_objects_of_all_images_are_in_one_table(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folder / "images", tmp_path / "images")
    image = tifffile.imread(tmp_path / "images" / "a1.tif")
    tifffile.imwrite(tmp_path / "images" / "Färbung 1.tif", np.zeros((40, 40), np.uint8))
    zarr.create_array(tmp_path / "images" / "z.zarr", data=image, chunks=(16, 16))
    (tmp_path / "images" / "a2.tif").write_bytes(b"")
    flags = [
        "--images",
        tmp_path / "images",
        "--output",
        tmp_path / "out",
        "--what",
        "probabilities",
        "classes",
    ]
    arguments = ["predict", folder / "model.safetensors", *flags, "--table", tmp_path / "new" / "objects.csv"]
    for _ in range(2):  # an earlier table is replaced
        assert run(*arguments, "--json") == 2
        assert json_lines(capsys.readouterr().out)[-1] == {
            "event": "written",
            "what": "table",
            "path": str(tmp_path / "new" / "objects.csv"),
        }
    rows = rows_of(tmp_path / "new" / "objects.csv")
    assert list(rows[0])[:3] == ["image", "class", "pixels"]
    assert {row["image"] for row in rows} == {"a1.tif", "a10.tif", "Färbung 1.tif", "z.zarr"}
    for name, result in (("a1.tif", "a1_classes.tif"), ("z.zarr", "z_classes.zarr")):
        names, *expected = measure_objects(load_labels(tmp_path / "out" / result).pixels, image)
        assert [(row["class"], row["pixels"], row["mean"]) for row in rows if row["image"] == name] == [
            (str(line[0]), str(line[1]), str(line[names.index("mean")])) for line in expected
        ]


def test_a_model_of_classes_gives_classes_unless_something_else_is_asked_for(
    folder: Path, tmp_path: Path
) -> None:
    model, images = tmp_path / "classes.safetensors", folder / "images" / "a1.tif"
    learns = ["--images", images, "--paint", folder / "paint" / "a1.tif", "--mode", "classes", *SMALL]
    assert run("train", *learns, "--output", model, "--steps", "1") == 0
    out, table = tmp_path / "out", tmp_path / "areas.csv"
    arguments = ["predict", model, "--images", images, "--output", out]
    assert run(*arguments, "--table", table) == 0
    assert [path.name for path in out.iterdir()] == ["a1_classes.tif"]
    assert list(rows_of(table)[0])[:4] == ["image", "class", "pixels", "percent"]
    assert run(*arguments, "--what", "objects") == 0
    assert (out / "a1_objects.tif").exists()


def test_objects_have_their_class_in_the_table_if_classes_are_asked_for(folder: Path, tmp_path: Path) -> None:
    arguments = ["predict", folder / "model.safetensors", "--images", folder / "images" / "a1.tif"]
    arguments += ["--output", tmp_path, "--what", "objects", "classes", "--set", "instances.min_size=1"]
    for _ in range(2):  # an earlier table is replaced
        assert run(*arguments, "--set", "instances.threshold=0.2", "--table", tmp_path / "t.csv") == 0
    rows = rows_of(tmp_path / "t.csv")
    assert list(rows[0])[:4] == ["image", "object", "class", "pixels"]
    objects, classes = (tifffile.imread(tmp_path / f"a1_{kind}.tif") for kind in ("objects", "classes"))
    counts = [
        np.bincount(classes[objects == value], minlength=3)[2:] for value in range(1, objects.max() + 1)
    ]
    expected = [
        (str(value), str(2 + of_object.argmax()) if of_object.any() else "")
        for value, of_object in enumerate(counts, start=1)
    ]
    assert [(row["object"], row["class"]) for row in rows] == expected != []


def test_an_image_without_objects_is_in_the_table(folder: Path, tmp_path: Path) -> None:
    arguments = ["predict", folder / "model.safetensors", "--images", folder / "images"]
    arguments += ["--output", tmp_path, "--set", "instances.min_size=9999"]
    assert run(*arguments, "--table", tmp_path / "t.csv") == 0
    assert [(row["image"], row["object"]) for row in rows_of(tmp_path / "t.csv")] == [
        (f"{name}.tif", "") for name in ("a1", "a2", "a10")
    ]


def test_images_of_the_same_name_are_told_apart_in_the_table(folder: Path, tmp_path: Path) -> None:
    plate = zarr.open_group(tmp_path / "plate.zarr")
    for well in "AB":
        plate.create_array(f"{well}/1/0", data=np.zeros((20, 20), np.uint8), chunks=(20, 20))
    arguments = [
        "predict",
        folder / "model.safetensors",
        "--images",
        tmp_path / "plate.zarr" / "*" / "*" / "*",
    ]
    assert run(*arguments, "--output", tmp_path / "out", "--table", tmp_path / "t.csv") == 0
    assert {row["image"] for row in rows_of(tmp_path / "t.csv")} == {"plate_A_1_0", "plate_B_1_0"}


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["t.csv", "--what", "probabilities"], "objects or classes"),
        (["t.xlsx"], "let its name end in .csv"),
        (["a1_objects.tif"], "let its name end in .csv"),
        (["notes.csv"], "is not a table of objects"),
        (["."], "is a folder"),
    ],
)
def test_a_table_that_cannot_be_written_is_told_before_the_work(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], problem: str
) -> None:
    (tmp_path / "notes.csv").write_text("image,object\n")
    arguments = ["predict", folder / "model.safetensors", "--images", folder / "images"]
    arguments += ["--output", tmp_path / "out", "--table", tmp_path / flags[0], *flags[1:]]
    assert problem in fails(capsys, arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.csv"]


def test_a_file_that_cannot_be_measured_does_not_cost_the_table(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load(path: Path) -> StoredImage:
        if path.name == "a2.tif":
            raise MemoryError
        return load_image(path)

    monkeypatch.setattr(measured_files, "load_image", load)
    arguments = ["predict", folder / "model.safetensors", "--images", folder / "images", "--output", tmp_path]
    assert run(*arguments, "--table", tmp_path / "t.csv") == 2
    assert "a2.tif is not in the table: " in capsys.readouterr().err
    assert {row["image"] for row in rows_of(tmp_path / "t.csv")} == {"a1.tif", "a10.tif"}


def test_a_full_disk_ends_the_run_which_then_goes_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = predicted_files.write_labels

    def full(path: Path, *rest: Any, **more: Any) -> None:
        if path.name.startswith("a2"):
            raise InputError(f"{path} could not be written (the disk is full).") from OSError(
                errno.ENOSPC, ""
            )
        original(path, *rest, **more)

    arguments = ["predict", folder / "model.safetensors", "--images", folder / "images", "--output", tmp_path]
    arguments += ["--set", "instances.min_size=1", "--table", tmp_path / "t.csv"]
    with monkeypatch.context() as patch:
        patch.setattr(predicted_files, "write_labels", full)
        assert run(*arguments) == 2
    assert capsys.readouterr().err.splitlines() == [
        "Ended after 1 of 3 images; the same command goes on from there.",
        f"{tmp_path / 'a2_objects.tif'} could not be written (the disk is full).",
    ]
    assert {row["image"] for row in rows_of(tmp_path / "t.csv")} == {"a1.tif"}
    assert run(*arguments) == 0
    assert capsys.readouterr().err.startswith("1 of 3 images was segmented before")
    assert {row["image"] for row in rows_of(tmp_path / "t.csv")} == {"a1.tif", "a2.tif", "a10.tif"}


def test_names_of_images_that_leave_no_room_for_that_of_a_result(folder: Path, tmp_path: Path) -> None:
    for number in range(2):
        for kind in ("images", "truth"):
            (tmp_path / kind).mkdir(exist_ok=True)
            shutil.copy(folder / kind / "a1.tif", tmp_path / kind / f"{'细胞' * 40}{number}.tif")
    arguments = ["predict", folder / "model.safetensors", "--images", tmp_path / "images"]
    arguments += ["--what", "objects", "probabilities", "--output", tmp_path / "out"]
    assert run(*arguments, "--table", tmp_path / "t.csv") == 0
    assert len(list((tmp_path / "out").iterdir())) == 4
    assert {row["image"] for row in rows_of(tmp_path / "t.csv")} == {
        path.name for path in (tmp_path / "images").iterdir()
    }
    compared = [
        "evaluate",
        "--predictions",
        tmp_path / "out" / "*_objects.tif",
        "--truths",
        tmp_path / "truth",
    ]
    assert run(*compared, "--errors", tmp_path / "maps") == 0
    assert len(list((tmp_path / "maps").iterdir())) == 2


def test_images_of_other_formats_in_the_folder_are_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folder / "images", tmp_path / "images")
    for name in ("raw.czi", "a1.czi"):  # of which there is a copy
        (tmp_path / "images" / name).write_bytes(b"ZISRAWFILE")
    arguments = ["predict", folder / "model.safetensors", "--images", tmp_path / "images"]
    assert run(*arguments, "--output", tmp_path) == 0
    left_out = tmp_path / "images" / "raw.czi"
    assert f"Left out, as it cannot be read here: {left_out};" in capsys.readouterr().err


def test_no_result_becomes_part_of_an_image(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    group = zarr.open_group(tmp_path / "a.zarr")
    group.create_array("0", data=np.zeros((20, 20), np.uint8))
    before = sorted(tmp_path.rglob("*"))
    arguments = ["predict", folder / "model.safetensors", "--images", tmp_path / "a.zarr", "--output"]
    for place in ("a.zarr", "a.zarr/results"):
        assert "is part of an image in zarr" in fails(capsys, [*arguments, tmp_path / place])
    assert sorted(tmp_path.rglob("*")) == before


def test_how_to_say_where_channels_are_is_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = np.random.default_rng(0).integers(0, 255, (2, 20, 20)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", image, imagej=True, metadata={"axes": "CYX"})
    arguments = [
        "predict",
        folder / "model.safetensors",
        "--images",
        tmp_path / "a.tif",
        "--output",
        tmp_path,
    ]
    assert "are by --set prediction.channels=none|first|last|middle," in fails(capsys, arguments)
    assert run(*arguments, "--set", "prediction.channels=none") == 0


def test_time_that_is_taken_for_space_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paint = np.zeros((6, 32, 32), np.uint8)
    paint[:, :4], paint[1:5, 8:16, 8:16], paint[1:5, 8:16, 20:28] = 1, 2, 3
    for name, axes in (("movie", "TYX"), ("volume", "ZYX")):
        tifffile.imwrite(tmp_path / f"{name}.tif", 50 * paint, imagej=True, metadata={"axes": axes})
    tifffile.imwrite(tmp_path / "paint.tif", paint)
    model, told = tmp_path / "m.safetensors", f"The points in time of {tmp_path / 'movie.tif'} are taken for"
    for name, ndim in (("movie", 2), ("volume", 3), ("movie", 3)):
        image = tmp_path / f"{name}.tif"
        training = ["train", "--images", image, "--paint", tmp_path / "paint.tif", "--output", model]
        settings = [*SMALL, f"network.ndim={ndim}", "network.levels=1"]
        for arguments in (
            [*training, "--steps", 1, *settings],
            ["predict", model, "--images", image, "--output", tmp_path / "out"],
        ):
            assert run(*arguments) == 0
            assert (told in capsys.readouterr().err) == (name == "movie" and ndim == 3)

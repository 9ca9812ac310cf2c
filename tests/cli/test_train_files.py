"""`napari-unet train`: what it makes of the files of images and paint."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from command_line import SMALL, fails, json_lines, painted, run
from PIL import Image

from napari_unet import border_weights, load_model, predict, save_model
from napari_unet.cli import main
from napari_unet.core.instances import InstanceConfig, find_objects
from napari_unet.files.networks.states import step_to_continue
from napari_unet.files.pixels.finding import expand_paths
from napari_unet.files.pixels.images import write_image
from napari_unet.files.pixels.pixel_size import PixelSize
from napari_unet.network.model import Model


def test_a_training_names_the_file_that_it_cannot_use(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folder / "paint", tmp_path / "paint")
    tifffile.imwrite(tmp_path / "paint" / "a2.tif", tifffile.imread(folder / "paint" / "a2.tif")[1:])
    arguments = ["train", "--images", folder / "images", "--paint", tmp_path / "paint"]
    assert run(*arguments, "--output", tmp_path / "model.safetensors") == 2
    assert f"{folder / 'images' / 'a2.tif'}: The image has shape" in capsys.readouterr().err


def test_channels_that_nobody_told_of_are(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = np.stack([tifffile.imread(folder / "images" / "a1.tif")] * 2)[:, None].repeat(3, axis=1)
    paint = np.zeros(image.shape, np.int32)
    paint[0, 0] = tifffile.imread(folder / "paint" / "a1.tif")
    (tmp_path / "paint").mkdir()
    tifffile.imwrite(tmp_path / "stains.tif", image, photometric="minisblack")
    tifffile.imwrite(tmp_path / "paint" / "stains.tif", paint, photometric="minisblack")
    learn = [
        "train",
        "--images",
        tmp_path / "stains.tif",
        "--paint",
        tmp_path / "paint",
        "--steps",
        1,
        *SMALL,
    ]
    assert run(*learn, "--output", tmp_path / "model.safetensors") == 0
    assert "its 3 planes just before Y and X are taken for grey ones" in capsys.readouterr().err
    segment = ["predict", tmp_path / "model.safetensors", "--images", tmp_path / "stains.tif"]
    assert run(*segment, "--output", tmp_path / "grey") == 0
    assert "set prediction.channels=middle" in capsys.readouterr().err
    assert run(*segment, "--output", tmp_path / "grey", "--set", "prediction.channels=none") == 0
    assert "middle" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a.png", "a.tif", "planar.tif"])
def test_grey_pictures_saved_in_colours_are_learnt_as_one_channel(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    grey = tifffile.imread(folder / "images" / "a1.tif")
    colours = np.stack([(grey / grey.max() * 255).astype(np.uint8)] * 3, axis=-1)
    path, model = tmp_path / name, tmp_path / "model.safetensors"
    if name == "planar.tif":
        tifffile.imwrite(path, np.moveaxis(colours, -1, 0), photometric="rgb", planarconfig="separate")
    elif path.suffix == ".tif":
        tifffile.imwrite(path, colours, photometric="rgb")
    else:
        Image.fromarray(colours).save(path)
    (tmp_path / "paint").mkdir()
    shutil.copy(folder / "paint" / "a1.tif", tmp_path / "paint" / f"{path.stem}.tif")
    learn = ["train", "--images", path, "--paint", tmp_path / "paint", "--output", model, "--steps", 1]
    assert run(*learn, *SMALL, "--start", "scratch") == 0
    assert "saved in colours are learnt as one channel" in capsys.readouterr().err
    assert load_model(model).network.in_channels == 1
    assert run("predict", model, "--images", path, folder / "images" / "a1.tif", "--output", tmp_path) == 0
    assert tifffile.imread(tmp_path / f"{path.stem}_objects.tif").shape == grey.shape


def test_channels_that_a_file_names_and_its_paint_has_are_told_to_be_planes(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "paint").mkdir()
    paint = tifffile.imread(folder / "paint" / "a1.tif")
    image = np.stack([tifffile.imread(folder / "images" / "a1.tif")] * 2)
    tifffile.imwrite(tmp_path / "a.tif", image, imagej=True, metadata={"axes": "CYX"})
    learn = ["train", "--images", tmp_path / "a.tif", "--paint", tmp_path / "paint", "--steps", 1, *SMALL]
    for taught, is_told in ((np.stack([paint] * 2), True), (paint, False)):
        tifffile.imwrite(tmp_path / "paint" / "a.tif", taught)
        assert run(*learn, "--output", tmp_path / "model.safetensors") == 0
        assert ("has 2 channels, which are taken for grey planes" in capsys.readouterr().err) == is_told


def test_planes_of_a_file_are_those_that_it_names(folder: Path, tmp_path: Path) -> None:
    images, paint = (
        [tifffile.imread(folder / kind / f"{n}.tif") for n in ("a1", "a2")] for kind in ("images", "paint")
    )
    for order, axes in ((0, "ZYX"), (-1, "YXZ")):
        (tmp_path / axes).mkdir()
        tifffile.imwrite(tmp_path / f"{axes}.tif", np.stack(images, order), metadata={"axes": axes})
        # As napari saves it: without a word on axes.
        tifffile.imwrite(tmp_path / axes / f"{axes}.tif", np.stack(paint, order))
    models = []
    for axes in ("ZYX", "YXZ"):
        given = ["--images", tmp_path / f"{axes}.tif", "--paint", tmp_path / axes / f"{axes}.tif"]
        assert run("train", *given, "--output", tmp_path / f"{axes}.model", "--steps", 1, *SMALL) == 0
        models.append(load_model(tmp_path / f"{axes}.model"))
        predict = ["predict", tmp_path / "ZYX.model", "--images", tmp_path / f"{axes}.tif"]
        assert run(*predict, "--what", "probabilities", "--output", tmp_path / "results") == 0
    assert models[0].history.scores[0][2:] == models[1].history.scores[0][2:]
    straight, turned = (
        tifffile.imread(tmp_path / "results" / f"{axes}_probabilities.tif") for axes in ("ZYX", "YXZ")
    )
    assert turned.shape == (2, 48, 40, 2)
    np.testing.assert_array_equal(np.moveaxis(turned, -1, 1), straight)


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of another kind")
def test_a_folder_without_permission_is_one_line(
    folder: Path, ordinary_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, locked = ordinary_folder / "images", ordinary_folder / "images" / "lost+found"
    locked.mkdir(parents=True)
    write_image(images / "a.tif", np.zeros((20, 20), np.uint8))
    locked.chmod(0)
    assert expand_paths([images]) == [images / "a.tif"]
    output = ["--output", ordinary_folder / "m.safetensors"]
    for given in (locked, locked / "b.tif", locked / "*.tif"):
        assert str(locked) in fails(capsys, ["train", "--images", given, "--paint", given, *output])
    usual = ["train", "--images", images, "--paint", images, *output]
    assert "Permission denied" in fails(capsys, [*usual, "--start", locked / "m.safetensors"])
    assert "is not readable" in fails(capsys, ["train", "--project", locked, *output])


def test_images_and_paint_are_read_in_every_form(folder: Path, tmp_path: Path) -> None:
    image, paint = (tifffile.imread(folder / kind / "a1.tif") for kind in ("images", "paint"))
    (tmp_path / "paint").mkdir()
    zarr.create_array(tmp_path / "a1.zarr", data=image)
    zarr.create_array(tmp_path / "paint" / "a1.zarr", data=paint)
    mask = Image.fromarray(paint.astype(np.uint8))
    mask.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
    mask.save(tmp_path / "a1.png")
    tifffile.imwrite(tmp_path / "a1.tif", paint.astype(np.float32))
    painted = [tmp_path / "a1.png", tmp_path / "a1.tif", tmp_path / "paint" / "a1.zarr"]
    scores = []
    for given in painted:
        arguments = ["train", "--images", tmp_path / "a1.zarr", "--paint", given, "--output", tmp_path / "m"]
        assert run(*arguments, "--steps", 1, *SMALL) == 0
        scores.append([score[2:] for score in load_model(tmp_path / "m").history.scores])
        assert main(["weights", str(given), "--output", str(tmp_path / "w.tif")]) == 0
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "w.tif"), border_weights(paint))
    assert scores == [scores[0]] * 3


def test_full_objects_teach_depth_and_how_predictions_are_read(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full, other = tmp_path / "full.safetensors", tmp_path / "other.safetensors"
    arguments = ["train", *painted(folder), "--steps", 12, *SMALL]
    assert run(*arguments, "--full", "--output", full) == 0
    model = load_model(full)
    assert model.network.distance
    assert not load_model(folder / "model.safetensors").network.distance
    # A twentieth of an object, or a part near that; of strokes it would be a sixth.
    assert model.instances.min_size < 15

    # Another reading of the same network shows in what is predicted with it.
    reading = InstanceConfig(threshold=0.9 * float(_foreground(model, folder).max()), min_size=1)
    save_model(replace(model, instances=reading), other)
    found = []
    for path in (full, other):
        output = tmp_path / path.stem
        assert main(["predict", str(path), "--images", str(folder / "images"), "--output", str(output)]) == 0
        found.append(tifffile.imread(output / "a10_objects.tif"))
        instances = load_model(path).instances
        np.testing.assert_array_equal(found[-1], find_objects(_foreground(model, folder), instances, ndim=2))
    assert not np.array_equal(*found)

    capsys.readouterr()
    assert main(["info", str(full), "--json"]) == 0
    (info,) = json_lines(capsys.readouterr().out)
    assert info["network"]["distance"] is True
    assert info["instances"]["min_size"] == model.instances.min_size
    assert main(["info", str(full)]) == 0
    text = capsys.readouterr().out
    assert "learnt from objects filled to their border" in text
    assert f"min_size {model.instances.min_size}" in text
    assert main(["info", str(folder / "model.safetensors")]) == 0
    assert "filled to their border" not in capsys.readouterr().out


def _foreground(model: Model, folder: Path) -> np.ndarray:
    return predict(model, tifffile.imread(folder / "images" / "a10.tif")).probabilities[1]


def test_full_is_of_objects(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", *painted(folder), "--full"]
    error = fails(capsys, [*arguments, "--output", tmp_path / "m", "--mode", "classes"])
    assert "leave --full out" in error


def test_a_model_knows_the_pixel_size_of_its_images(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, size in enumerate([0.5, 0.5, 0.65]):
        (tmp_path / "images").mkdir(exist_ok=True)
        pixels = tifffile.imread(folder / "images" / "a1.tif")
        write_image(tmp_path / "images" / f"{number}.tif", pixels, "YX", PixelSize(size, size))
        write_image(tmp_path / "paint" / f"{number}.tif", tifffile.imread(folder / "paint" / "a1.tif"), "YX")
    for count, known in ((2, "pixel size     0.5 x 0.5 µm"), (3, "pixel size     not known")):
        images = [str(tmp_path / "images" / f"{number}.tif") for number in range(count)]
        paint = [path.replace("images", "paint") for path in images]
        arguments = ["train", "--images", *images, "--paint", *paint, "--steps", "1", *SMALL]
        assert main([*arguments, "--output", str(tmp_path / "m")]) == 0
        assert main(["info", str(tmp_path / "m")]) == 0
        assert known in capsys.readouterr().out
    assert load_model(tmp_path / "m").pixel_size is None


def test_complete_paint_needs_no_background(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "paint").mkdir()
    for path in sorted((folder / "paint").glob("*.tif")):
        paint = tifffile.imread(path)
        tifffile.imwrite(tmp_path / "paint" / path.name, np.where(paint == 1, 0, paint))
    arguments = ["train", "--images", folder / "images", "--paint", tmp_path / "paint", "--steps", 2, *SMALL]
    arguments += ["--output", tmp_path / "model.safetensors"]
    assert run(*arguments) == 2
    assert "No background is painted" in capsys.readouterr().err
    assert run(*arguments, "--complete") == 0
    assert load_model(tmp_path / "model.safetensors").network.distance  # its objects are full


def write_volumes(folder: Path, **voxels: tuple[float, float]) -> list[Any]:
    """Write a painted volume for each name, whose voxels are so long along Z and across; return the flags."""
    paint = np.ones((6, 24, 24), np.uint8)
    paint[1:3, 4:12, 4:12], paint[3:5, 4:12, 12:20] = 2, 3
    pixels = np.random.default_rng(0).integers(0, 50, paint.shape, np.uint16) + 100 * (paint > 1)
    for name, (along, across) in voxels.items():
        sizes = {"PhysicalSizeZ": along, "PhysicalSizeY": across, "PhysicalSizeX": across}
        metadata = {"axes": "ZYX", **sizes}
        write_image(folder / "paint" / f"{name}.tif", paint, "ZYX")
        tifffile.imwrite(folder / f"{name}.ome.tif", pixels.astype(np.uint16), ome=True, metadata=metadata)
    return ["--images", *(folder / f"{name}.ome.tif" for name in voxels), "--paint", folder / "paint"]


def test_the_shape_of_voxels_is_that_of_the_files_unless_it_is_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = write_volumes(tmp_path, a=(0.5, 0.2), b=(0.5, 0.2))
    model = tmp_path / "m.safetensors"
    flags = ["train", *flags, "--output", model, "--device", "cpu", "--steps", "1"]
    small = [*SMALL, "training.patch_size=16"]

    def spacing_after(*more: Any) -> tuple[float, ...] | None:
        assert run(*flags, *more) == 0
        return load_model(model).training.spacing

    assert spacing_after(*small) is None  # a 2-D network sees Y and X alone
    assert "shape of the pixels" not in capsys.readouterr().err
    assert spacing_after(*small, "network.ndim=3") == (2.5, 1, 1)
    assert "the files say is 2.5 x 1 x 1" in capsys.readouterr().err
    assert spacing_after("--start", model) == (2.5, 1, 1)
    assert step_to_continue(model) == 2
    assert spacing_after("--start", model, "--set", "training.spacing=[3, 1, 1]") == (3, 1, 1)
    for path in tmp_path.glob("*.ome.tif"):  # which say it no more
        tifffile.imwrite(path, tifffile.imread(path), metadata={"axes": "ZYX"})
    assert spacing_after("--start", model) == (3, 1, 1)
    write_volumes(tmp_path, a=(0.8, 0.2), b=(0.5, 0.2))
    capsys.readouterr()
    assert spacing_after("--start", model) == (4, 1, 1)
    assert "differ in shape" in capsys.readouterr().err
    # A starter is 2-D, and may become 3-D.
    assert spacing_after("--start", "cells", "--set", "network.ndim=3") == (4, 1, 1)
    assert "settings of network" not in capsys.readouterr().err
    assert spacing_after("--start", "cells", "--set", "network.ndim=3", "network.features=8") == (4, 1, 1)
    assert "settings of network are those of cells" in capsys.readouterr().err


def test_masks_given_as_labels_are_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a1", "a2"):
        mask = np.uint8(255) * (tifffile.imread(folder / "truth" / f"{name}.tif") > 0)
        mask[40:46, 2:8] = mask[40:46, 12:18] = 255
        write_image(tmp_path / f"{name}.tif", mask, "YX")
    flags = [
        "train",
        "--images",
        folder / "images",
        "--paint",
        tmp_path,
        "--output",
        tmp_path / "m",
        "--labels",
    ]
    assert run(*flags, "--steps", 1, *SMALL) == 0
    assert "a1.tif and 1 more has one value, as in a mask" in capsys.readouterr().err


def test_labels_and_earlier_results_may_lie_beside_the_images(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a1", "a2"):
        shutil.copy(folder / "images" / f"{name}.tif", tmp_path)
        shutil.copy(folder / "truth" / f"{name}.tif", tmp_path / f"{name}_masks.tif")
    assert run("predict", folder / "model.safetensors", "--images", tmp_path, "--output", tmp_path) == 0
    monkeypatch.chdir(tmp_path)
    given = ["--images", ".", "--paint", tmp_path / "*_masks.tif", "--labels"]  # one path is not whole
    validation = ["--validation", "a2.tif"]
    assert run("train", *given, *validation, "--output", "m.safetensors", "--steps", 1, *SMALL) == 0


def test_label_images_teach_all_their_objects(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "labels").mkdir()
    for name in ("a1", "a2"):
        truth = tifffile.imread(folder / "truth" / f"{name}.tif")  # 0, and 2, 3, 4
        labels = np.where(truth > 0, truth - 1, 0).astype(np.uint16)
        labels[40:46, 2:8] = 4
        write_image(tmp_path / "labels" / f"{name}_objects.tif", labels, "YX")
    images = [folder / "images" / "a1.tif", folder / "images" / "a2.tif"]
    flags = [
        "train",
        "--images",
        *images,
        "--paint",
        tmp_path / "labels",
        "--output",
        tmp_path / "m.safetensors",
    ]
    assert run(*flags, "--labels", "--steps", 1, *SMALL, "--json") == 0
    out, err = capsys.readouterr()
    assert json_lines(out)[0]["known_pixels"] == 2 * 48 * 40
    assert "looks like one of the objects" not in err
    for path in list((tmp_path / "labels").iterdir()):
        path.rename(path.with_name(path.name.replace("_objects", "")))
    assert run(*flags, "--full", "--steps", 1, *SMALL, "--json") == 0
    out, err = capsys.readouterr()
    assert json_lines(out)[0]["known_pixels"] < 2 * 48 * 40
    assert "a1.tif and 1 more it looks like one of the objects" in err
    tifffile.imwrite(tmp_path / "labels" / "a1.tif", np.full((48, 40), -1, np.int32))
    assert "a1.tif: The paint has negative" in fails(capsys, [*flags, "--labels"])
    (tmp_path / "labels" / "a2.tif").rename(tmp_path / "labels" / "a2_cp_masks.tif")
    shutil.copy(images[1], tmp_path / "labels" / "a2.tif")
    beside = ["--images", tmp_path / "labels", "--paint", tmp_path / "labels" / "a2_cp_masks.tif"]
    assert (
        run("train", *beside, "--output", tmp_path / "m.safetensors", "--labels", "--steps", 1, *SMALL) == 0
    )
    assert "Left out, as no paint was found" in capsys.readouterr().err  # a1 alone

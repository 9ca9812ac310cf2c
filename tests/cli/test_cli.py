import csv
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
import zarr
from foreign_networks import Milesial, randomise
from PIL import Image
from skimage.draw import disk

from napari_unet import __version__, border_weights, load_model, predict, save_model
from napari_unet.cli import main
from napari_unet.console import TrainingReport
from napari_unet.core.borders.weight_config import WeightConfig, class_weights
from napari_unet.core.instances import InstanceConfig, find_objects
from napari_unet.files.networks.states import step_to_continue
from napari_unet.files.pixels.images import expand_paths, read_image, write_image
from napari_unet.files.pixels.pixel_size import PixelSize
from napari_unet.network.model import Model
from napari_unet.network.tiles.tile_run import TileRun

SMALL = ["--set", "network.features=2", "network.levels=2", "training.patch_size=32", "training.batch_size=1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give images a1, a2 and a10, paint for the first two, truths for all, and a model."""
    folder = tmp_path_factory.mktemp("cli")
    rng = np.random.default_rng(0)
    for name in ("images", "paint", "truth"):
        (folder / name).mkdir()
    for name in ("a1", "a2", "a10"):
        truth = np.zeros((48, 40), np.int32)
        for index, centre in enumerate([(12, 12), (30, 12), (30, 28)], start=2):
            truth[disk(centre, 7)] = index
        image = (rng.normal(50, 5, truth.shape) + 100 * (truth > 0)).astype(np.uint8)
        tifffile.imwrite(folder / "images" / f"{name}.tif", image, imagej=True, metadata={"axes": "YX"})
        tifffile.imwrite(folder / "truth" / f"{name}.tif", truth)
        if name != "a10":
            tifffile.imwrite(folder / "paint" / f"{name}.tif", np.where(truth, truth, 1))
    arguments = ["train", "--images", str(folder / "images"), "--paint", str(folder / "paint" / "*.tif")]
    assert main([*arguments, "--output", str(folder / "model.safetensors"), "--steps", "2", *SMALL]) == 0
    return folder


def run(*arguments: Any) -> int:
    """Run a command line and return its exit code."""
    return main([str(argument) for argument in arguments])


def painted(folder: Path) -> list[Any]:
    """Return what tells a training of the images and their paint."""
    return ["--images", folder / "images", "--paint", folder / "paint"]


def fails(capsys: pytest.CaptureFixture[str], arguments: list[Any]) -> str:
    """Run, see it fail as bad input does, and return the one line it says."""
    capsys.readouterr()
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_what_training_says_and_saves(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.toml").write_text("[training]\nseed = 3\nsteps = 9\n[weights]\nsigma = 2.0\nw0 = 4.0\n")
    arguments = [
        "train", "--images", folder / "images" / "a1.tif", folder / "images" / "a10.tif",
        "--paint", folder / "paint" / "a1.tif", "--output", tmp_path / "new" / "m.safetensors",
        "--config", tmp_path / "a.toml", *SMALL, "weights.w0=5", "training.steps=8", "--steps", "2", "--json",
    ]  # fmt: skip
    assert run(*arguments) == 0
    out, err = capsys.readouterr()
    events = json_lines(out)
    assert [event["event"] for event in events if event["event"] != "warned"] == [
        "started", "step_done", "step_done", "validated", "stopped",
    ]  # fmt: skip
    assert events[0]["images"] == 1
    scored = events[-2]
    assert 0 <= scored["interval"][0] <= scored["score"] <= scored["interval"][1] <= 1
    assert events[-1]["interval"] == scored["interval"]
    assert events[-1] | {"seconds": 0, "score": 0, "interval": 0} == {
        "event": "stopped", "reason": "finished", "output": str(tmp_path / "new" / "m.safetensors"),
        "steps": 2, "seconds": 0, "score": 0, "interval": 0,
    }  # fmt: skip
    assert "a10.tif" in err
    model = load_model(tmp_path / "new" / "m.safetensors")
    training = model.training
    assert (training.seed, training.steps, training.weights.sigma, training.weights.w0) == (3, 2, 2.0, 5.0)
    assert model.network.features == 2
    assert model.history.steps == 2


def test_warnings_are_on_stderr_whether_or_not_there_is_json(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from napari_unet.network.events import Resolved, Warned
    from napari_unet.network.learning import diagnosis

    monkeypatch.setattr(diagnosis.Watch, "look", lambda self, step, _: iter([Warned("W."), Resolved("W.")]))
    arguments = [
        "train", *painted(folder), "--output", tmp_path / "m",
        "--steps", "1", "--set", "training.held_out=0.5", *SMALL[1:],
    ]  # fmt: skip
    for more in ([], ["--json"]):
        capsys.readouterr()
        assert run(*arguments, *more) == 0
        out, err = capsys.readouterr()
        lines = err.splitlines()
        assert "There is too little paint to hold some out" in err
        assert lines.index("No longer so: W.") == lines.index("W.") + 1
    assert {"event": "resolved", "message": "W."} in json_lines(out)


def test_training_goes_on_from_a_model(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", *painted(folder), "--output", tmp_path / "m"]
    settings = ["--start", folder / "model.safetensors", "--steps", 1, "--set", "training.patch_size=32"]
    assert run(*arguments, *settings) == 0
    assert load_model(tmp_path / "m").network.levels == 2
    assert "Saved" in capsys.readouterr().out


def test_training_goes_on_with_optimiser_curve_and_settings(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = ["train", "--images", str(folder / "images"), "--paint", str(folder / "paint")]
    settings = [*SMALL, "training.learning_rate=0.002", "weights.sigma=3"]
    model, whole = tmp_path / "m.safetensors", tmp_path / "whole.safetensors"
    assert main([*usual, "--output", str(model), "--steps", "3", *settings]) == 0
    assert main([*usual, "--output", str(whole), "--steps", "5", *settings, "--no-state"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "m.safetensors", "m.safetensors.training", "whole.safetensors",
    ]  # fmt: skip
    capsys.readouterr()
    again = ["--start", str(model), "--steps", "2"]
    # Into the file it goes on from, as people do who train every evening.
    assert main([*usual, "--output", str(model), *again, "--json"]) == 0
    out, err = capsys.readouterr()
    assert "Going on from step 3 with its optimiser." in err
    events = json_lines(out)
    (continued,) = [event for event in events if event["event"] == "continued"]
    assert (continued["step"], continued["same_data"], "history" in continued) == (3, True, False)
    assert [event["step"] for event in events if event["event"] == "step_done"] == [4, 5]
    found, expected = load_model(model), load_model(whole)
    assert all(torch.equal(found.weights[name], value) for name, value in expected.weights.items())
    assert found.training == replace(expected.training, steps=2)

    assert main(["info", str(model)]) == 0
    text = capsys.readouterr().out
    assert "from step 5, with its optimiser" in text
    assert text.count("continued") == 1
    assert main(["info", str(whole), "--json"]) == 0
    assert json_lines(capsys.readouterr().out)[0]["continues_from_step"] is None
    assert main(["info", str(whole)]) == 0
    assert "no training state beside it" in capsys.readouterr().out

    other = ["--output", str(tmp_path / "other"), "--seed", "4", "--set", "network.features=3"]
    assert main([*usual, *again, *other, "--fresh-optimiser"]) == 0
    err = capsys.readouterr().err
    assert "Going on" not in err
    assert "settings of network are those of" in err
    fresh = load_model(tmp_path / "other")
    assert (fresh.history.steps, fresh.training.seed, fresh.training.weights.sigma) == (2, 4, 3.0)

    state = tmp_path / "m.safetensors.training"
    state.write_bytes(state.read_bytes()[:-1])
    assert main([*usual, *again, *other]) == 0
    assert "is damaged" in capsys.readouterr().err
    assert main(["info", str(model)]) == 0
    assert "is damaged" in capsys.readouterr().out


def test_validation_images_are_scored_and_not_learnt_from(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The images hold that of the validation, too, as a folder of all images does.
    arguments = ["train", *painted(folder), "--output", tmp_path / "m"]
    more = ["--validation", folder / "images" / "a1.tif", "--steps", 1, *SMALL, "--json"]
    assert run(*arguments, *more) == 0
    started, *_, validated, _ = json_lines(capsys.readouterr().out)
    assert (started["images"], started["known_pixels"]) == (1, 48 * 40)
    assert (validated["on"], validated["strokes"]) == ("validation", 4)
    assert main(["info", str(tmp_path / "m")]) == 0
    low, high = validated["interval"]
    assert f"score {validated['score']:.3f} ({low:.2f} to {high:.2f})" in capsys.readouterr().out


def test_a_log_says_how_far_a_score_can_be_trusted(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", *painted(folder), "--output", tmp_path / "m"]
    assert run(*arguments, "--steps", 1, *SMALL) == 0
    out, err = capsys.readouterr()
    assert re.search(r"step 1: score \d\.\d\d \(.*\) on the \d+ strokes learnt from, loss", err)
    assert re.search(r"which scored \d\.\d{3} \(\d\.\d\d to \d\.\d\d\)\.", out)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"--validation": "images/a2.tif"}, "cannot be scored on for want of paint"),
        ({"--validation": "images/a1.tif"}, "Every painted image is for scoring alone"),
        ({"--set": "training.patience=0"}, "training.patience is 0"),
        ({"--set": "training.pull=1.5"}, "training.pull is 1.5"),
        ({"--images": "none*.tif"}, "There is no file"),
        ({"--paint": "truth/a1.tif", "--images": "images/a2.tif"}, "no counterpart named 'a1'"),
        ({"--start": "nuclei"}, "There is no model file nuclei and no starter of that name"),
        ({"--start": "none.safetensors"}, "There is no model file"),
        ({"--start": "images/a1.tif"}, "is not a napari-unet model"),
        ({"--mode": "boxes"}, "training.mode is 'boxes'; give one of 'objects', 'classes'."),
        ({"--steps": "0"}, "training.steps is 0"),
        ({"--steps": "many"}, "Invalid value for '--steps'"),
        ({"--seconds": "nan"}, "training.seconds is nan"),
        ({"--seed": "-1"}, "training.seed is -1"),
        ({"--device": "abacus"}, "abacus"),
        ({"--set": "network.feature=2"}, "did you mean 'features'?"),
        ({"--config": "none.toml"}, "could not be read"),
        ({"--output": "images"}, "is a folder"),
        ({"--output": "cells"}, "cells is the name of a starter"),
        ({"--output": "model.safetensors/m"}, "folder is a file"),
        ({"--output": "x" * 300}, "File name too long"),
        ({"--frobnicate": "1"}, "No such option"),
    ],
)
def test_bad_input_to_training_is_one_line(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, str],
    sentence: str,
) -> None:
    monkeypatch.chdir(folder)
    usual = {
        "--images": "images/a1.tif",
        "--paint": "paint/a1.tif",
        "--output": "bad.safetensors",
        "--steps": "1",
    }
    before = sorted(folder.rglob("*"))
    assert sentence in fails(
        capsys, ["train", *(word for pair in (usual | changes).items() for word in pair)]
    )
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Missing command"),
        (["fly"], "No such command 'fly'"),
        (["train"], "--images is missing; give --images and --paint, or --project FOLDER."),
        (["train", "--images"], "--images has no value"),
        (["predict", "--output", "y"], "MODEL is missing; give MODEL and --images, or --project FOLDER."),
        (["predict", "none", "--images", "x", "--output", "y"], "There is no file 'x'"),
        (["info", "none"], "There is no model file none"),
        (["info", "--model", "x"], "give the model without a flag: napari-unet info NAME|MODEL ..."),
        (["weights", "--paint", "a.tif"], "give the paint without a flag: napari-unet weights PAINT.tif ..."),
        (["predict", "x", "--imagse", "y"], "No such option: --imagse"),
        (["info", "--jsn"], "see napari-unet info --help."),
        (
            ["predict", "x", *(f"{number}.tif" for number in range(999)), "--output", "y"],
            "23.tif ...; put the flag before them to which they belong, such as --images",
        ),
        (["info", "/dev/zero"], "/dev/zero is a pipe or device; save it as a file, and give the model file."),
        (["weights", "/dev/zero", "--output", "w.tif"], "is a pipe or device"),
        (["weights", "none.tif", "--output", "w.tif"], "There is no image file none.tif"),
        (["weights", "none.tif", "--output", "w.png"], "let its name end in .tif"),
        (["demo", "--output", "/dev/null/x"], "part of its folder is a file"),
        (["evaluate", "--predictions", "x", "--truths", "y"], "There is no file 'x'"),
    ],
)
def test_bad_command_lines_are_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    if not arguments:
        assert main([]) == 0  # as --help
        assert "evaluate" in capsys.readouterr().out
        assert main(["predict", "-h"]) == 0
        assert "--images" in capsys.readouterr().out
    else:
        assert sentence in fails(capsys, arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_training_that_fails_late_saves_the_model_so_far(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from napari_unet.network.learning.learner import Learner

    step, taken = Learner.step, []

    def fail_at_the_eighth(self: Learner, *batch: Any, rate: float = 1.0, **_: Any) -> float | None:
        taken.append(rate)
        if len(taken) == 8:
            raise RuntimeError("CUDA error: unspecified launch failure")
        return step(self, *batch, rate=rate)

    monkeypatch.setattr(Learner, "step", fail_at_the_eighth)
    model = tmp_path / "late.safetensors"
    arguments = ["train", "--images", str(folder / "images"), "--paint", str(folder / "paint")]
    assert main([*arguments, "--output", str(model), "--steps", "20", *SMALL]) == 1
    out, err = capsys.readouterr()
    assert "failed" in out
    assert "launch failure" in err
    assert "Traceback" not in err
    assert load_model(model).history.best_step == 5


def test_a_model_that_cannot_be_saved_in_its_place_is_saved_in_another(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    place = tmp_path / "disk" / "m.safetensors"

    def take_away(self: Any, event: Any, progress: Any) -> None:
        if place.parent.is_dir():
            place.parent.rmdir()
            place.parent.write_text("no folder any more")

    monkeypatch.setattr(TrainingReport, "show", take_away)
    arguments = ["train", *painted(folder), "--output", place]
    assert run(*arguments, "--steps", 1, *SMALL) == 2
    (saved,) = (tmp_path / "temporary").iterdir()
    assert load_model(saved).history.steps == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert "part of its folder is a file" in line
    assert f"The model is in {saved} meanwhile." in line


def test_a_device_that_is_not_there_is_told_once_for_all_images(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["predict", folder / "model.safetensors", "--images", folder / "images"]
    assert "abacus" in fails(capsys, [*arguments, "--output", tmp_path / "results", "--device", "abacus"])


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


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to one process there")
def test_ctrl_c_while_predicting_to_zarr_is_gone_on_from(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((640, 640), np.uint8))
    arguments = [
        "predict", str(folder / "model.safetensors"), "--images", str(tmp_path / "a.tif"),
        "--output", str(tmp_path), "--format", "zarr", "--json", "--set", "prediction.tile_size=32",
    ]  # fmt: skip
    command = [sys.executable, "-m", "napari_unet", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines = [process.stdout.readline()]
        process.send_signal(signal.SIGINT)
        lines += process.stdout  # not communicate(), which loses what came together with the first line
        err = process.stderr.read()
    assert process.returncode == 130, err
    assert err == "Interrupted after 0 of 1 images; the same command goes on where it was.\n"
    assert len(lines) < 400
    assert main(arguments) == 0
    assert json_lines(capsys.readouterr().out)[0]["done"] == len(lines) + 1


def test_ctrl_c_before_there_is_anything_to_save_is_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("napari_unet.files.networks.models.load_model", interrupt)
    images = ["--images", str(folder / "images"), "--output", str(tmp_path)]
    assert main(["predict", str(folder / "model.safetensors"), *images]) == 130
    assert capsys.readouterr() == ("", "Interrupted; whatever was not finished is not written.\n")


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
    assert "is not a napari-unet" in fails(
        capsys, ["predict", images / "a1.tif", *usual[2:], "--output", tmp_path]
    )


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


def test_weights_are_those_of_the_function(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paint = folder / "paint" / "a1.tif"
    for flags, config in [
        ([], WeightConfig()),
        (["--w0", "3", "--sigma", "2.5"], WeightConfig(w0=3, sigma=2.5)),
        (["--preset", "freiburg"], WeightConfig.preset("freiburg")),
    ]:
        assert main(["weights", str(paint), "--output", str(tmp_path / "w.tif"), *flags]) == 0
        written = tifffile.imread(tmp_path / "w.tif")
        assert written.dtype == np.float32
        np.testing.assert_array_equal(written, border_weights(tifffile.imread(paint), config))
    assert "preset" in fails(
        capsys, ["weights", paint, "--output", tmp_path / "x.tif", "--preset", "cellpose"]
    )
    assert not (tmp_path / "x.tif").exists()


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
        f"{mask}: The truth holds one object, and what it is compared with 3; if" in capsys.readouterr().err
    )
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


def test_info_is_for_people_and_programs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(folder / "model.safetensors"), "--json"]) == 0
    (info,) = json_lines(capsys.readouterr().out)
    assert info["network"]["features"] == 2
    assert info["history"]["steps"] == 2
    assert main(["info", str(folder / "model.safetensors")]) == 0
    text = capsys.readouterr().out
    for word in (
        "version 1",
        "features 2",
        "objects",
        str(info["parameters"]),
        "2 in",
        "scored on      the paint that it learnt from",
        info["history"]["device"],
    ):
        assert word in text


def test_info_writes_the_methods_of_a_paper(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(folder / "model.safetensors"), "--methods"]) == 0
    text = capsys.readouterr().out
    assert "U-Net (Ronneberger et al., 2015)" in text
    assert "for 2 steps" in text
    assert main(["info", str(folder / "model.safetensors"), "--methods", "--json"]) == 0
    (info,) = json_lines(capsys.readouterr().out)
    assert info["methods"] == text.strip()


def test_a_training_can_be_repeated_with_the_settings_that_info_prints(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = folder / "model.safetensors"
    assert run("info", model, "--settings") == 0
    (tmp_path / "same.toml").write_text(capsys.readouterr().out)
    again = tmp_path / "again.safetensors"
    assert run("train", *painted(folder), "--output", again, "--config", tmp_path / "same.toml") == 0
    first, second = load_model(model), load_model(again)
    assert second.training == first.training
    for name, weights in first.weights.items():
        assert torch.equal(weights, second.weights[name])
    assert run("info", "cells", "--settings") == 0
    assert "[instances]" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__


def test_anything_unexpected_is_one_line_and_a_traceback_on_demand(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def explode(*_arguments: object, **_options: object) -> None:
        raise RuntimeError("kaboom\nand more")

    monkeypatch.setattr("napari_unet.commands.info.find_model", explode)
    assert main(["info", "x.safetensors"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "kaboom" in err
    monkeypatch.setenv("NAPARI_UNET_DEBUG", "1")
    assert main(["info", "x.safetensors"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands in for the virtual display")
def test_the_demo_runs_as_its_own_process_on_a_virtual_display(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "install it" in fails(capsys, ["demo", "--headless"])
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    if sys.platform == "linux":
        assert "install it" in fails(capsys, ["demo"])
    virtual = tmp_path / "xvfb-run"
    virtual.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\nexit 7\n')
    virtual.chmod(0o755)
    assert main(["demo", "--headless", "--output", str(tmp_path / "here")]) == 7
    expected = f"-a {sys.executable} -m napari_unet.widgets.demo --output {tmp_path / 'here'} --headless"
    assert (tmp_path / "arguments").read_text().strip() == expected


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to one process there")
def test_ctrl_c_saves_the_model_so_far(folder: Path, tmp_path: Path) -> None:
    arguments = ["train", *painted(folder), "--seconds", "100", "--json"]
    command = [
        sys.executable,
        "-m",
        "napari_unet",
        *map(str, arguments),
        "--output",
        str(tmp_path / "m"),
        *SMALL,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["event"] == "step_done":
                process.send_signal(signal.SIGINT)
                break
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert json_lines(out)[-1]["reason"] == "stopped"
    assert "Traceback" not in err
    steps = load_model(tmp_path / "m").history.steps
    assert steps >= 1
    assert step_to_continue(tmp_path / "m") == steps


@pytest.fixture
def hangs_up() -> Iterator[None]:
    """Let a process that is started be told when its terminal closes; after `nohup` these tests are not."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.skipif(sys.platform == "win32", reason="no terminals of this kind")
@pytest.mark.usefixtures("hangs_up")
def test_a_closed_terminal_saves_the_model_so_far(folder: Path, tmp_path: Path) -> None:
    arguments = ["train", *painted(folder), "--seconds", 100]
    command = [sys.executable, "-m", "napari_unet", *map(str, arguments), "--output", str(tmp_path / "m")]
    terminal, end = os.openpty()
    with subprocess.Popen([*command, *SMALL], stdin=end, stdout=end, stderr=end) as process:
        os.close(end)
        shown = b""
        while b", loss" not in shown:
            shown += os.read(terminal, 1000)
        os.close(terminal)  # from now on, to write to it is an error
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGHUP)
        process.wait(60)
    assert process.returncode == 128 + signal.SIGHUP
    steps = load_model(tmp_path / "m").history.steps
    assert steps >= 1
    assert step_to_continue(tmp_path / "m") == steps


def test_help_imports_nothing_heavy() -> None:
    program = """
import sys
from napari_unet.cli import main
assert main(["train", "--help"]) == 0
heavy = {"torch", "napari", "qtpy", "scipy", "skimage", "tifffile", "numpy"} & sys.modules.keys()
assert not heavy, heavy
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    for name in [
        "images",
        "paint",
        "output",
        "start",
        "mode",
        "seconds",
        "steps",
        "device",
        "seed",
        "config",
        "set",
        "state",
        "fresh-optimiser",
        "json",
    ]:
        assert f"--{name} " in result.stdout


def test_a_closed_pipe_is_no_traceback(folder: Path) -> None:
    if os.name == "nt":
        pytest.skip("no shell pipes")
    command = f"{sys.executable} -m napari_unet info {folder / 'model.safetensors'} | head -c 1"
    result = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(os.name == "nt", reason="no such shell")
@pytest.mark.parametrize("end", ["| head -n 1", ">&- 2>&-"])
def test_a_training_of_which_nobody_reads_is_saved(folder: Path, tmp_path: Path, end: str) -> None:
    arguments = ["train", *painted(folder), *SMALL, "--json"]
    length = ["--seconds", 100] if "head" in end else ["--steps", 2]
    words = [sys.executable, "-m", "napari_unet", *arguments, *length, "--output", tmp_path / "m"]
    command = " ".join(shlex.quote(str(word)) for word in words)
    subprocess.run(["sh", "-c", f"{command} {end}"], check=True, timeout=90, stdout=subprocess.DEVNULL)
    assert load_model(tmp_path / "m").history.steps >= 1


def test_a_pipe_that_cannot_take_a_name_ends_no_work(folder: Path, tmp_path: Path) -> None:
    """Windows gives pipes an encoding of few letters."""
    for name in ("细胞", "Zellen"):
        shutil.copy(folder / "images" / "a1.tif", tmp_path / f"{name}.tif")
    arguments = ["predict", folder / "model.safetensors", "--images", tmp_path, "--output", tmp_path / "out"]
    run = subprocess.run(
        [sys.executable, "-m", "napari_unet", *map(str, arguments)],
        check=False, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "cp1252"},
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (0, b"")
    assert len(list((tmp_path / "out").iterdir())) == len(run.stdout.splitlines()) == 2


def test_the_entry_point_is_main() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert project["project"]["scripts"] == {"napari-unet": "napari_unet.cli:main"}


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


def test_a_checkpoint_from_elsewhere_is_told_of_used_and_trained_on(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint, model = tmp_path / "un et.pth", tmp_path / "m.safetensors"
    torch.save(randomise(Milesial(1, 1, width=2)).state_dict(), checkpoint)
    assert main(["info", str(checkpoint)]) == 0
    text = capsys.readouterr().out
    assert "converted from un et.pth, a network of the layout of milesial/Pytorch-UNet" in text
    assert text.startswith(f"{checkpoint}: checkpoint\n")
    assert "such as 0 to 255" in text
    assert "not by napari-unet" in text
    assert main(["info", str(checkpoint), "--methods"]) == 0
    assert "Its weights were converted from un et.pth" in capsys.readouterr().out
    package = tmp_path / "p.zip"
    assert main(["export", str(checkpoint), "--author", "A", "--output", str(package)]) == 0
    described = zipfile.Path(package, "bioimageio.yaml").read_text("utf-8")
    assert "2-D U-Net for objects, exported from napari-unet." in described
    capsys.readouterr()
    assert main(["info", str(package)]) == 0
    assert capsys.readouterr().out.startswith(f"{package}: bioimage.io package\n")
    images = ["--images", str(folder / "images")]
    assert main(["predict", str(checkpoint), *images, "--output", str(tmp_path / "out")]) == 0
    assert len(list((tmp_path / "out").glob("*_objects.tif"))) == 3
    arguments = ["train", *images, "--paint", str(folder / "paint"), "--start", str(checkpoint)]
    assert main([*arguments, "--steps", "1", "--output", str(model)]) == 0
    capsys.readouterr()
    assert main(["info", str(model)]) == 0
    text = capsys.readouterr().out
    assert "converted from un et.pth" in text
    assert "steps          1 in" in text
    (tmp_path / "other.pth").write_bytes(b"\x80\x02}.")
    error = fails(capsys, ["predict", tmp_path / "other.pth", *images, "--output", tmp_path / "out"])
    assert "not a napari-unet model" in error


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


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--images", "images/a1.tif", "--paint", "paint/a1.tif", "--output", "images/a1.tif"],
        ["train", "--images", "images/a1.tif", "--paint", "paint/a1.tif", "--output", "paint/a1.tif"],
        ["weights", "paint/a1.tif", "--output", "paint/a1.tif"],
        ["predict", "model.safetensors", "--images", "images/a1.tif", "--output", "corrected"],
        [
            *("evaluate", "--predictions", "corrected/a1_objects.tif", "--truths", "truth/a1.tif"),
            *("--errors", "corrected"),
        ],
        [
            *("evaluate", "--predictions", "corrected/a1_objects.tif", "--truths", "truth/a1.tif"),
            *("--csv", "truth/a1.tif"),
        ],
        ["export", "model.safetensors", "--author", "A", "--output", "model.safetensors"],
    ],
    ids=lambda arguments: f"{arguments[0]} to {arguments[-1]}",
)
def test_nothing_is_replaced_but_earlier_results(
    folder: Path, tmp_path: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    shutil.copytree(folder, tmp_path / "data")
    (tmp_path / "data" / "corrected").mkdir()
    for name in ("a1_objects.tif", "a1_errors.tif"):
        shutil.copy(folder / "truth" / "a1.tif", tmp_path / "data" / "corrected" / name)
    monkeypatch.chdir(tmp_path / "data")
    before = {path: path.read_bytes() for path in Path().rglob("*.*")}
    assert main(arguments) == 2
    assert "is there already, and no " in capsys.readouterr().err
    assert {path: path.read_bytes() for path in Path().rglob("*.*")} == before


def test_earlier_results_are_replaced(folder: Path, tmp_path: Path) -> None:
    paint, model = str(folder / "paint" / "a1.tif"), str(folder / "model.safetensors")
    commands = [
        ["weights", paint, "--output", str(tmp_path / "w.tif")],
        ["predict", model, "--images", str(folder / "images" / "a1.tif"), "--output", str(tmp_path)],
        ["export", model, "--author", "A", "--output", str(tmp_path / "m.zip")],
        [
            *("evaluate", "--predictions", str(tmp_path / "a1_objects.tif")),
            *("--truths", str(folder / "truth" / "a1.tif"), "--csv", str(tmp_path / "scores.csv")),
        ],
    ]
    for command in commands:
        assert [main(command), main(command)] == [0, 0]


@pytest.mark.parametrize("name", ["two words.tif", "Zellkern µ — 细胞.tif", "no ending"])
def test_files_may_have_any_name(folder: Path, tmp_path: Path, name: str) -> None:
    for kind in ("images", "paint"):
        (tmp_path / "my data" / kind).mkdir(parents=True)
        (tmp_path / "my data" / kind / name).write_bytes((folder / kind / "a1.tif").read_bytes())
    image, paint = (tmp_path / "my data" / kind / name for kind in ("images", "paint"))
    model, output = tmp_path / "mein Modell µ", tmp_path / "the results"
    arguments = ["train", "--images", image, "--paint", paint, "--output", model, "--steps", 1, *SMALL]
    assert run(*arguments) == 0
    assert main(["predict", str(model), "--images", str(image), "--output", str(output)]) == 0
    assert [path.name for path in output.iterdir()] == [f"{name.removesuffix('.tif')}_objects.tif"]


def test_an_image_that_is_cut_off_while_it_is_read_costs_no_other(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody writes to a file while it is segmented block by block."""
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a1", "a2"):
        pixels = tifffile.imread(folder / "images" / f"{name}.tif")
        tifffile.imwrite(images / f"{name}.tif", pixels, compression="zlib", tile=(16, 16))
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
    assert (tmp_path / "out" / "a2_objects.zarr").exists()
    assert not (tmp_path / "out" / "a1_objects.zarr").exists()


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
    assert "not of one shape" in capsys.readouterr().err
    # A starter is 2-D, and may become 3-D.
    assert spacing_after("--start", "cells", "--set", "network.ndim=3") == (4, 1, 1)
    assert "settings of network" not in capsys.readouterr().err
    assert spacing_after("--start", "cells", "--set", "network.ndim=3", "network.features=8") == (4, 1, 1)
    assert "settings of network are those of cells" in capsys.readouterr().err


def test_weights_follow_the_shape_of_the_voxels_of_the_paint(tmp_path: Path) -> None:
    paint = np.ones((6, 24, 24), np.uint8)
    paint[1, 4:12, 4:12], paint[4, 4:12, 4:12] = 2, 3
    write_image(tmp_path / "paint.tif", paint, "ZYX", PixelSize(0.2, 0.2, 0.5))
    assert run("weights", tmp_path / "paint.tif", "--output", tmp_path / "w.tif") == 0
    found = tifffile.imread(tmp_path / "w.tif")
    np.testing.assert_array_equal(found, border_weights(paint, spacing=(2.5, 1, 1)))
    assert (found != border_weights(paint)).any()


def test_settings_of_another_command_are_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "both.toml").write_text("[prediction]\ntile_size = 32\n[training]\nseed = 3\n")
    both = ["--config", tmp_path / "both.toml", "--set", "instances.min_size=3", "weights.w0=4"]
    flags = ["train", *painted(folder), "--output", tmp_path / "m.safetensors", "--steps", 1, *both]
    assert run(*flags, *SMALL[1:]) == 0
    err = capsys.readouterr().err
    assert "instances.min_size=3 is not used" in err
    assert err.count("is not used") == 1
    image = folder / "images" / "a1.tif"
    assert run("predict", folder / "model.safetensors", "--images", image, "--output", tmp_path, *both) == 0
    err = capsys.readouterr().err
    assert "weights.w0=4 is not used" in err
    assert err.count("is not used") == 1


def test_weights_of_planes_are_those_that_a_2d_network_learns_with(tmp_path: Path) -> None:
    paint = np.ones((2, 2, 24, 30), np.uint8)
    paint[:, :, 4:12, 4:12], paint[1, 0, 4:12, 14:22] = 2, 3
    paint[0, 1, 15:] = 0
    write_image(tmp_path / "paint.tif", paint, "TZYX", PixelSize(0.4, 0.2, 0.5))
    assert run("weights", tmp_path / "paint.tif", "--output", tmp_path / "w.tif", "--by-plane") == 0
    found = tifffile.imread(tmp_path / "w.tif")
    assert found.shape == paint.shape
    counts = np.array([np.sum(paint == 1), np.sum(paint > 1)])  # of all planes
    by_class = np.concatenate(([1], class_weights(counts, WeightConfig())))  # the 1 is taken away below
    for at in np.ndindex(2, 2):
        border = border_weights(paint[at], WeightConfig(class_balance="none"), spacing=(2, 1)) - 1
        kinds = np.minimum(paint[at], 2)
        np.testing.assert_allclose(found[at], border + by_class[kinds], atol=1e-5)


def test_points_in_time_have_no_borders_between_them(tmp_path: Path) -> None:
    paint = np.ones((2, 24, 30), np.uint8)
    paint[0, 4:12, 4:12], paint[1, 4:12, 14:22] = 2, 3
    for axes, is_one in (("ZYX", False), ("TYX", True)):
        write_image(tmp_path / "paint.tif", paint, axes)
        assert run("weights", tmp_path / "paint.tif", "--output", tmp_path / "w.tif") == 0
        of_background = tifffile.imread(tmp_path / "w.tif")[paint == 1]
        assert bool((of_background == of_background[0]).all()) is is_one


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
    write_image(tmp_path / "labels" / "a1.tif", np.full((48, 40), -1, np.int32), "YX")
    assert "a1.tif: The paint has negative" in fails(capsys, [*flags, "--labels"])
    (tmp_path / "labels" / "a2.tif").rename(tmp_path / "labels" / "a2_cp_masks.tif")
    shutil.copy(images[1], tmp_path / "labels" / "a2.tif")
    beside = ["--images", tmp_path / "labels", "--paint", tmp_path / "labels" / "a2_cp_masks.tif"]
    assert (
        run("train", *beside, "--output", tmp_path / "m.safetensors", "--labels", "--steps", 1, *SMALL) == 0
    )
    assert "Left out for want of paint" in capsys.readouterr().err  # a1 alone


def test_axes_of_length_1_may_be_kept_or_left_out(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [("t", "time"), ("c", "channel"), ("z", "space"), ("y", "space"), ("x", "space")]
    axes = [{"name": name, "type": kind} for name, kind in names]
    for kind in ("images", "paint", "truth"):
        pixels = tifffile.imread(folder / kind / "a1.tif")[np.newaxis, np.newaxis, np.newaxis]
        group = zarr.open_group(tmp_path / kind / "a1.zarr", mode="w", zarr_format=2)
        placed = [{"type": "scale", "scale": [1.0] * 5}]
        dataset = {"path": "0", "coordinateTransformations": placed}
        group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [dataset]}]
        group.create_array("0", data=pixels)
    model = tmp_path / "m.safetensors"
    for images, paint in ((tmp_path, folder), (folder, tmp_path), (tmp_path, tmp_path)):
        files = ["--images", *(images / "images").glob("a1.*"), "--paint", *(paint / "paint").glob("a1.*")]
        assert run("train", *files, "--output", model, "--steps", 1, *SMALL) == 0
        assert "grey planes" not in capsys.readouterr().err
    assert run("predict", model, "--images", tmp_path / "images", "--output", tmp_path / "out") == 0
    for truths in (folder, tmp_path):
        files = ["--predictions", tmp_path / "out", "--truths", *(truths / "truth").glob("a1.*")]
        assert run("evaluate", *files, "--errors", tmp_path / "maps") == 0
        assert read_image(tmp_path / "maps" / "a1_errors.tif").pixels.shape == (1, 1, 48, 40)


@pytest.mark.parametrize("shape", [(), (9,)])
def test_paint_without_planes_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], shape: tuple[int, ...]
) -> None:
    zarr.create_array(tmp_path / "p.zarr", data=np.ones(shape, np.uint8))
    line = fails(capsys, ["weights", tmp_path / "p.zarr", "--output", tmp_path / "w.tif", "--by-plane"])
    assert f"has the shape {shape}; give paint of an image" in line

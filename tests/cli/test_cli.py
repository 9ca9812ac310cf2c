"""What all commands have in common: flags, help, sentences on bad input, what is replaced."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from command_line import SMALL, fails, painted, run

from napari_unet import __version__
from napari_unet.cli import main
from napari_unet.files.pixels.images import read_image


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
            ".tif ...; put the flag they belong to before them, such as --images",
        ),
        (["weights", "1.tif", "2.tif", "--output", "w.tif"], " (2.tif); give one; see"),
        (
            ["evaluate", "1.tif", "--truths", "2.tif"],
            "they belong to before them, such as --predictions; see",
        ),
        (["info", "/dev/zero"], "/dev/zero is a pipe or device; save it as a file, and give the model file."),
        (["weights", "/dev/zero", "--output", "w.tif"], "is a pipe or device"),
        (["weights", "none.tif", "--output", "w.tif"], "There is no image file none.tif"),
        (["weights", "none.tif", "--output", "w.png"], "let its name end in .tif"),
        (["demo", "now"], " (now); leave it out; see napari-unet demo --help."),
        (["predict", "x", "--output"], "requires an argument; see napari-unet predict --help."),
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
    assert project["project"]["scripts"] == {"napari-unet": "napari_unet.__main__:main"}


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
    assert "already exists and is not " in capsys.readouterr().err
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


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_that_leads_back_to_itself_costs_no_other_file(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in ("images", "paint"):
        (tmp_path / kind).mkdir()
        shutil.copy(folder / kind / "a1.tif", tmp_path / kind)
        (tmp_path / kind / "loop.tif").symlink_to("loop.tif")
    images, paint, loop = tmp_path / "images", tmp_path / "paint", tmp_path / "images" / "loop.tif"
    predict = ["predict", folder / "model.safetensors", "--images"]
    assert run(*predict, images, "--output", tmp_path / "out") == 2
    told = "loop.tif could not be read (Too many levels of symbolic links); remove the link."
    err = capsys.readouterr().err
    assert told in err
    assert "1 of 2 images segmented" in err
    assert told in fails(capsys, ["train", "--images", images, "--paint", paint, "--output", tmp_path / "m"])
    assert told in fails(capsys, ["evaluate", "--predictions", loop, "--truths", paint / "loop.tif"])
    (tmp_path / "round").symlink_to("round")
    given = [*predict, images / "a1.tif", "--output", tmp_path / "round"]
    assert "cannot be written: part of its folder is a file" in fails(capsys, given)


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

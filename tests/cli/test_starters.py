"""Starters by name on the command line."""

import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_unet import __version__, load_model, save_model, train
from napari_unet.cli import main
from napari_unet.core.instances import InstanceConfig
from napari_unet.network.config import TrainingConfig, UNetConfig


def discs(edge: int, radius: int, apart: int) -> tuple[np.ndarray, np.ndarray]:
    """Bright discs in noise, uint16, and their labels."""
    y, x = np.indices((edge, edge))
    near = np.hypot(y % apart - apart / 2, x % apart - apart / 2)
    labels = np.where(near < radius, 1 + y // apart * 10 + x // apart, 0).astype(np.int32)
    rng = np.random.default_rng(0)
    return (300 + 2000 * (labels > 0) + rng.normal(0, 60, labels.shape)).astype(np.uint16), labels


@pytest.fixture(autouse=True)
def starter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "package" / "data" / "starters"
    folder.mkdir(parents=True)
    image, labels = discs(96, 9, 30)
    network = UNetConfig(features=4, levels=2)
    config = TrainingConfig(
        steps=60, held_out=0, patch_size=64, batch_size=4, network=network, precision="float32"
    )
    model = train([image], [labels + 1], config, full=[True], device="cpu")
    model = replace(model, object_size=18.0, instances=InstanceConfig(min_size=30))
    save_model(model, folder / "dots.safetensors", half=True)
    monkeypatch.setattr("napari_unet.files.networks.starters._FOLDER", folder)
    monkeypatch.chdir(tmp_path)


def test_predict_train_and_info_take_a_starter_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    image, labels = discs(192, 18, 60)
    channels = np.stack([image] * 3)
    channels[0, 0, 0] += 1  # or they would be learnt as one
    tifffile.imwrite("a.tif", channels, photometric="minisblack", metadata={"axes": "CYX"})
    command = ["predict", "dots", "--images", "a.tif", "--device", "cpu", "--output"]
    assert main([*command, "out", "--json"]) == 0
    out, err = capsys.readouterr()
    scaled = json.loads(out.splitlines()[0])
    assert (scaled["event"], scaled["estimated"]) == ("scaled", True)
    assert scaled["object_size"] == pytest.approx(36, rel=0.25)
    assert "a.tif: Objects are taken to be" in err
    assert "if they are not, set it by --set prediction.object_size=PIXELS and predict again." in err
    found = tifffile.imread("out/a_objects.tif")
    assert found.shape == (192, 192)
    assert np.unique(found).size == np.unique(labels).size == 10

    assert main([*command, "given", "--set", "prediction.object_size=9", "prediction.contrast=0.5"]) == 0
    assert "taken to be 9 pixels wide, as given" in capsys.readouterr().err
    assert not np.array_equal(tifffile.imread("given/a_objects.tif"), found)

    assert main(["info", "dots"]) == 0
    assert "for objects of about 18 pixels" in capsys.readouterr().out

    paint = np.where(labels > 0, 2, 1) * (np.indices(labels.shape)[0] % 60 < 20)
    tifffile.imwrite("a_paint.tif", paint.astype(np.uint8))
    Path("paint").mkdir()
    Path("a_paint.tif").rename("paint/a.tif")
    arguments = ["train", "--start", "dots", "--images", "a.tif", "--paint", "paint/a.tif", "--steps", "2"]
    assert main([*arguments, "--output", "m.safetensors", "--device", "cpu"]) == 0
    err = capsys.readouterr().err
    assert "learns to tell the channels apart" in err
    assert "no training state" not in err
    model = load_model("m.safetensors")
    assert (model.network.in_channels, model.network.features, model.is_starter) == (3, 4, False)
    assert model.origin == f"taken from the starter dots of napari-unet {__version__}"
    # How the starter was made is no example.
    assert (model.training.held_out, model.training.patch_size) == (0.2, None)


@pytest.mark.parametrize(
    "command", [["info", "dot"], ["predict", "dot", "--images", "a.tif", "--output", "o"]]
)
def test_a_wrong_name_is_one_line_with_the_right_one(
    capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    tifffile.imwrite("a.tif", np.zeros((8, 8), np.uint8))
    assert main(command) == 2
    assert capsys.readouterr().err == (
        "There is no model file dot and no starter of that name; give dots or a model file.\n"
    )


@pytest.mark.slow
def test_the_wheel_holds_the_starters_and_is_small(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path / "dist"), str(root)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    assert wheel.stat().st_size <= 25 * 2**20
    held = {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".safetensors")}
    source = root / "src" / "napari_unet" / "data" / "starters"
    assert held == {f"napari_unet/data/starters/{path.name}" for path in source.glob("*.safetensors")}

"""`napari-unet info` and `export`: what a model says of itself, and other programs of it."""

import zipfile
from pathlib import Path

import pytest
import torch
from command_line import fails, json_lines, painted, run
from foreign_networks import Milesial, randomise

from napari_unet import load_model
from napari_unet.cli import main


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

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from napari_unet.core.arrays.normalisation import Normalisation
from napari_unet.core.errors import InputError
from napari_unet.files.networks import starters
from napari_unet.files.networks.models import load_model, save_model
from napari_unet.files.networks.starters import (
    find_model,
    is_starter,
    load_starter,
    starter_names,
    starter_path,
)
from napari_unet.network.config import TrainingConfig, UNetConfig
from napari_unet.network.model import History, Model
from napari_unet.network.unet import UNet


def a_starter() -> Model:
    torch.manual_seed(0)
    network = UNetConfig(features=2, levels=1)
    return Model(
        network=network,
        weights=UNet(network).state_dict(),
        normalisation=Normalisation(),
        mode="objects",
        class_names=("background", "object"),
        training=TrainingConfig(network=network),
        history=History(),
        object_size=20.0,
    )


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with two starters in it."""
    folder = tmp_path / "package" / "data" / "starters"
    folder.mkdir(parents=True)
    save_model(a_starter(), folder / "dots.safetensors", half=True)
    save_model(a_starter(), folder / "balls.safetensors")
    (folder / "README.md").write_text("not a starter")
    monkeypatch.setattr(starters, "_FOLDER", folder)
    return tmp_path / "package"


def test_starters_are_opened_by_name(package: Path) -> None:
    assert starter_names() == ("balls", "dots")
    assert load_starter("dots").object_size == 20
    assert starter_path("dots") == package / "data" / "starters" / "dots.safetensors"
    assert is_starter(starter_path("dots"))


def test_the_name_of_a_starter_in_place_of_a_file_is_told(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("dots", "dot"):
        with pytest.raises(InputError, match=rf"no model file {name}; .*\(balls, dots\) by load_starter"):
            load_model(name)
    for name in ("dots.safetensors", "models/dots"):  # the name of a file
        with pytest.raises(InputError, match=r"^There is no model file [^;]*; check its name and folder\.$"):
            load_model(name)
    Path("dots").write_bytes(starter_path("dots").read_bytes())
    assert load_model("dots").object_size == 20


def test_a_wrong_name_is_a_sentence_with_the_right_ones(package: Path) -> None:
    with pytest.raises(
        InputError,
        match=r"^There is no starter 'dot'; give balls or dots, or open a model file by load_model\.$",
    ):
        load_starter("dot")
    with pytest.raises(InputError, match=r"^There is no model file dot and no starter of that name; give b"):
        find_model("dot")


def test_a_name_is_a_starter_and_a_path_is_a_file(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("dots").mkdir()  # a folder of images, say
    assert find_model("dots") == starter_path("dots")
    own = Path("dots.safetensors")
    save_model(a_starter(), own)
    assert find_model("dots.safetensors") == own
    assert not is_starter(own)
    assert find_model("absent.safetensors") == Path("absent.safetensors")  # opening it says what is wrong


def test_half_precision_keeps_three_digits_and_opens_as_float32(tmp_path: Path) -> None:
    model = a_starter()
    save_model(model, tmp_path / "half.safetensors", half=True)
    save_model(model, tmp_path / "full.safetensors")
    found = load_model(tmp_path / "half.safetensors")
    for name, tensor in model.weights.items():
        assert found.weights[name].dtype == tensor.dtype
        torch.testing.assert_close(found.weights[name], tensor, rtol=1e-3, atol=1e-7)
        if tensor.ndim < 2:
            assert torch.equal(found.weights[name], tensor)
    assert (tmp_path / "half.safetensors").stat().st_size < (tmp_path / "full.safetensors").stat().st_size


def test_what_half_precision_cannot_hold_is_refused(tmp_path: Path) -> None:
    model = a_starter()
    weights = dict(model.weights)
    weights["head.weight"] = weights["head.weight"] + 1e5
    with pytest.raises(InputError, match="in half precision has weights that are not finite"):
        save_model(replace(model, weights=weights), tmp_path / "m.safetensors", half=True)
    assert not list(tmp_path.iterdir())


def test_a_size_that_cannot_be_is_refused(tmp_path: Path) -> None:
    save_model(replace(a_starter(), object_size=-3.0), tmp_path / "m.safetensors")
    with pytest.raises(InputError, match=r"made for objects of -3\.0 pixels"):
        load_model(tmp_path / "m.safetensors")

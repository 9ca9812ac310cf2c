from pathlib import Path
from typing import Any

import numpy as np
import pytest
from predicting import make_model

from napari_unet import load_model, save_model
from napari_unet.core.errors import InputError
from napari_unet.files.networks.models import read_info
from napari_unet.files.networks.starters import find_model
from napari_unet.files.networks.states import state_path
from napari_unet.files.opening import user_path
from napari_unet.files.pixels.finding import expand_paths
from napari_unet.files.pixels.images import read_image, write_image
from napari_unet.files.pixels.sources import open_image
from napari_unet.files.projects.project import project_folder
from napari_unet.files.results.large_prediction import predict_to_zarr
from napari_unet.files.settings import read_settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a home folder; the current one is another, which is empty."""
    for name in ("home", "elsewhere"):
        (tmp_path / name).mkdir()
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "home"


def test_all_that_takes_the_name_of_a_file_knows_the_home_folder(home: Path) -> None:
    pixels = np.arange(1024, dtype=np.uint8).reshape(32, 32)
    model = make_model()
    save_model(model, "~/m.safetensors")
    write_image("~/a.tif", pixels)
    (home / "s.toml").write_text("[training]\nseed = 3\n")
    list(predict_to_zarr(model, pixels, "~/results", "a"))
    assert sorted(path.name for path in home.iterdir()) == ["a.tif", "m.safetensors", "results", "s.toml"]

    assert load_model("~/m.safetensors").network == model.network
    assert read_info("~/m.safetensors")["mode"] == model.mode
    assert find_model("~/m.safetensors") == home / "m.safetensors"
    assert state_path("~/m.safetensors") == home / "m.safetensors.training"
    assert read_settings("~/s.toml").training.seed == 3
    np.testing.assert_array_equal(read_image("~/a.tif").pixels, pixels)
    assert open_image("~/a.tif").pixels.shape == pixels.shape
    assert expand_paths(["~/*.tif"]) == [home / "a.tif"]
    assert project_folder("~/cells") == home / "cells"
    assert list(Path.cwd().iterdir()) == []


def test_a_name_that_only_begins_with_a_tilde_is_itself(home: Path) -> None:
    write_image("~copy of a.tif", np.zeros((4, 4), np.uint8))
    assert (Path.cwd() / "~copy of a.tif").is_file()
    assert expand_paths(["~copy of a.tif"]) == [user_path("~copy of a.tif")] == [Path("~copy of a.tif")]
    assert project_folder("~copy of cells") == Path("~copy of cells")


@pytest.mark.parametrize("name", [None, b"a.tif", 3])
def test_what_is_no_name_is_told(name: Any) -> None:
    with pytest.raises(InputError, match=r"The name of a file is .*; give text, or a Path"):
        load_model(name)

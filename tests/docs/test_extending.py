"""What "Extending it in an afternoon" shows works where the page puts it."""

import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from napari_unet import PredictionConfig, UNetConfig, predict
from napari_unet.core import instances
from napari_unet.core.errors import InputError
from napari_unet.core.instances import InstanceConfig, find_objects
from napari_unet.files.pixels import images
from napari_unet.files.pixels.images import read_image
from napari_unet.network import unet
from napari_unet.network.config import TrainingConfig
from napari_unet.network.training import train

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
BLOCK = re.compile(r"^```\{ \.python \.(\w+) \}\n(.*?)^```", re.MULTILINE | re.DOTALL)


def shown(module: ModuleType, name: str) -> Any:
    """Return what the page defines for a module, seeing what that module sees."""
    (text,) = [
        text for where, text in BLOCK.findall(PAGE.read_text("utf-8")) if module.__name__.endswith(where)
    ]
    names = dict(vars(module))
    exec(compile(text, "docs", "exec"), names)  # noqa: S102
    return names[name]


def test_a_landscape_of_distances_parts_discs(monkeypatch: pytest.MonkeyPatch):
    distances = shown(instances, "_distances")
    monkeypatch.setattr(instances, "_heights", lambda _probability, squared, *_: distances(squared))
    y, x = np.mgrid[:40, :70]
    discs = (np.hypot(y - 20, x - 20) < 15) | (np.hypot(y - 20, x - 46) < 15)
    objects = find_objects(discs.astype(np.float32), InstanceConfig(contrast=2), ndim=2)
    assert objects.max() == 2
    assert objects[20, 20] != objects[20, 46]
    assert find_objects(np.ones((8, 8), np.float32), ndim=2).max() == 1


def test_a_reader_of_numpy_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    read_npy = shown(images, "_read_npy")
    monkeypatch.setattr(images, "_read_other", lambda path, _is_label: read_npy(path))
    path, pixels = tmp_path / "a.npy", np.arange(12, dtype=np.uint16).reshape(3, 4)
    np.save(path, pixels)
    read = read_image(path)
    np.testing.assert_array_equal(read.pixels, pixels)
    assert read.axes == "YX"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(InputError, match="could not be read as an image"):
        read_image(path)
    np.save(path, np.array([{}], object))
    with pytest.raises(InputError, match="could not be read as an image"):
        read_image(path)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_a_residual_block_learns_and_its_tiles_equal_the_whole(
    monkeypatch: pytest.MonkeyPatch, ndim: Any, padding: Any
):
    monkeypatch.setattr(unet, "_two_convolutions", shown(unet, "_Residual"))
    image = np.random.default_rng(0).random((20,) * ndim, np.float32)
    paint = np.where(image > 0.5, 2, 1)
    network = UNetConfig(ndim=ndim, levels=1, features=2, padding=padding)
    config = TrainingConfig(steps=2, patch_size=16, batch_size=1, network=network, precision="float32")
    model = train([image], [paint], replace(config, mode="classes"), device="cpu")
    tiled, whole = (
        predict(model, image, PredictionConfig(tile_size=size), device="cpu").probabilities
        for size in (6, 100)
    )
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-5)

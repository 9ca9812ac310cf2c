"""A network that says something of any image, and what is to be found on disk of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from numpy.typing import NDArray
from scipy import ndimage
from torch import nn

from napari_unet.core.arrays.normalisation import Normalisation
from napari_unet.core.instances import InstanceConfig
from napari_unet.network.config import PredictionConfig, TrainingConfig, UNetConfig
from napari_unet.network.model import History, Model
from napari_unet.network.prediction import predict
from napari_unet.network.unet import UNet

KINDS = ("objects", "classes", "probabilities")


def make_model(seed: int = 0, classes: int = 2) -> Model:
    config = UNetConfig(levels=1, features=2, classes=classes)
    torch.manual_seed(seed)
    network = UNet(config)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias, std=0.3)
    return Model(
        network=config,
        weights=network.state_dict(),
        normalisation=Normalisation(),
        mode="objects" if classes == 2 else "classes",
        class_names=tuple(f"class {number}" for number in range(classes)),
        training=TrainingConfig(network=config),
        history=History(),
    )


def picture(*shape: int) -> NDArray[np.float32]:
    noise = np.random.default_rng(0).random(shape)
    return ndimage.gaussian_filter(noise, (0,) * (len(shape) - 2) + (2, 2)).astype(np.float32)


def config_for(model: Model, image: NDArray[Any]) -> PredictionConfig:
    """Thresholds that make many objects out of whatever an untrained network says, in tiles of 32 pixels."""
    config = PredictionConfig(tile_size=32, precision="float32")
    threshold = float(np.quantile(predict(model, image, config).probabilities[1], 0.6))
    return replace(config, instances=InstanceConfig(threshold, contrast=0.2, min_size=3))


def stored(folder: Path, kind: str) -> NDArray[Any]:
    return np.asarray(zarr.open_array(folder / f"a_{kind}.zarr" / "0", mode="r")[...])


def assert_same(folder: Path, expected: Any, kinds: tuple[str, ...] = KINDS) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"a_{kind}.zarr" for kind in kinds)
    for kind in kinds:
        result = stored(folder, kind)
        assert result.dtype == getattr(expected, kind).dtype
        np.testing.assert_array_equal(result, getattr(expected, kind))

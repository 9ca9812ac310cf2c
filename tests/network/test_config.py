"""Settings that cannot be used are refused in one sentence when they are made."""

from typing import Any

import numpy as np
import pytest

from napari_unet.core.errors import InputError
from napari_unet.network.config import PredictionConfig, TrainingConfig


@pytest.mark.parametrize("value", [1.5, "64", (32, 48), True])
@pytest.mark.parametrize("name", ["steps", "seed", "patch_size", "batch_size"])
def test_counts_are_whole_numbers(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"training.{name} is .*; give a whole number"):
        TrainingConfig(**{name: value})


@pytest.mark.parametrize("value", [32.0, "64", (32, 48), True])
def test_the_tile_size_is_a_whole_number(value: Any) -> None:
    with pytest.raises(InputError, match=r"prediction.tile_size is .*; give a whole number"):
        PredictionConfig(tile_size=value)
    assert PredictionConfig(tile_size=np.int64(32)).tile_size == 32

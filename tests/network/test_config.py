"""Settings that cannot be used are refused in one sentence when they are made."""

import contextlib
import math
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest
import torch

from napari_unet.core.arrays.normalisation import Normalisation
from napari_unet.core.errors import InputError
from napari_unet.core.instances import InstanceConfig
from napari_unet.core.weights import WeightConfig
from napari_unet.network.config import AugmentationConfig, PredictionConfig, TrainingConfig, UNetConfig


@pytest.mark.parametrize("value", [1.5, "64", (32, 48), True])
@pytest.mark.parametrize("name", ["steps", "seed", "patch_size", "batch_size"])
def test_counts_are_whole_numbers(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"training.{name} is .*; give a whole number"):
        TrainingConfig(**{name: value})


@pytest.mark.parametrize("value", [1.5, 2.0, "2", None, True])
@pytest.mark.parametrize("name", ["ndim", "in_channels", "classes", "levels", "features"])
def test_the_shape_of_a_network_is_whole_numbers(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"network.{name} is .*; give a whole number"):
        UNetConfig(**{name: value})


@pytest.mark.parametrize("value", ["3", (1, 2), True])
@pytest.mark.parametrize(
    ("config", "name"),
    [
        *((TrainingConfig, f"training.{n}") for n in ("seconds", "learning_rate", "body_rate", "ends_rate")),
        *((TrainingConfig, f"training.{name}") for name in ("pull", "held_out")),
        *((AugmentationConfig, f"augmentation.{name}") for name in ("rotation", "elastic_spacing")),
        (UNetConfig, "network.dropout"),
        (PredictionConfig, "prediction.contrast"),
    ],
)
def test_what_is_no_number_is_refused(config: Any, name: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"{name} is .*; give a number"):
        config(**{name.partition(".")[2]: value})


@pytest.mark.parametrize("name", ["network", "weights", "augmentation", "normalisation"])
def test_parts_are_configurations_of_their_own(name: str) -> None:
    with pytest.raises(
        InputError,
        match=rf"training.{name} is 'paper'; give one of type [UWAN]",
    ):
        TrainingConfig(**{name: "paper"})
    with pytest.raises(InputError, match=r"prediction.instances is \{\}; give one of type InstanceConfig"):
        PredictionConfig(instances={})


@pytest.mark.parametrize("value", [2, "ab", [[1, 1]], [None]])
def test_the_spacing_is_a_number_for_each_axis(value: Any) -> None:
    with pytest.raises(InputError, match=r"training.spacing is .*; give one number for each axis"):
        TrainingConfig(spacing=value)


def test_numbers_of_numpy_are_taken_as_their_own() -> None:
    config = TrainingConfig(seed=np.int64(3), spacing=np.array([0.5, 2]))
    assert type(config.seed) is int
    assert config.spacing == (0.5, 2.0)
    assert PredictionConfig(object_size=np.float32(30)) == PredictionConfig(object_size=np.int64(30))


@pytest.mark.parametrize(
    "config",
    [
        TrainingConfig(steps=np.uint8(200), seconds=np.float32(3)),
        PredictionConfig(tile_size=np.uint8(200), contrast=np.float16(2)),
        UNetConfig(features=np.int8(16)),
        AugmentationConfig(noise=np.float32(0.5)),
        WeightConfig(w0=np.uint8(9), border_in_foreground=np.True_),
        InstanceConfig(min_size=np.int16(5)),
        Normalisation(low=np.float16(2)),
    ],
)
def test_numbers_of_numpy_become_those_of_python(config: Any) -> None:
    values = [getattr(config, field.name) for field in fields(config)]
    assert not any(isinstance(value, np.generic) for value in values)
    assert config == type(config)(*values)


CONFIGS = (
    TrainingConfig,
    PredictionConfig,
    UNetConfig,
    AugmentationConfig,
    WeightConfig,
    InstanceConfig,
    Normalisation,
)


@pytest.mark.parametrize(("kind", "name"), [(kind, each.name) for kind in CONFIGS for each in fields(kind)])
def test_a_value_is_taken_or_refused_in_a_sentence(kind: type, name: str) -> None:
    for value in (None, "x", [1], object(), {"a": 1}, 1e300, -1, True, math.nan):
        with contextlib.suppress(InputError):
            kind(**{name: value})


@pytest.mark.parametrize(
    ("kind", "section"),
    [
        (UNetConfig, "network"),
        (TrainingConfig, "training"),
        (PredictionConfig, "prediction"),
        (WeightConfig, "weights"),
        (InstanceConfig, "instances"),
        (Normalisation, "normalisation"),
    ],
)
def test_each_choice_is_one_of_those_that_its_type_lists(kind: type, section: str) -> None:
    chosen = [each for each in fields(kind) if get_origin(each.type) is Literal]
    assert chosen
    for each in chosen:
        *_, last = get_args(each.type)
        assert getattr(kind(**{each.name: last}), each.name) == last
        other = last + 1 if isinstance(last, int) else "another"
        with pytest.raises(
            InputError, match=rf"^{section}.{each.name} is {other!r}; choose one of .*{last!r}"
        ):
            kind(**{each.name: other})


@pytest.mark.parametrize("value", [-0.1, 0.51, math.nan])
def test_at_most_half_of_the_strokes_are_held_out(value: float) -> None:
    with pytest.raises(InputError, match=r"training.held_out is .*; choose between 0 and 0\.5"):
        TrainingConfig(held_out=value)


def test_a_seed_is_one_that_torch_can_take() -> None:
    torch.manual_seed(TrainingConfig(seed=2**63 - 1).seed + 2**31)
    for seed in (2**63, -1):
        with pytest.raises(InputError, match=r"training.seed is .*; choose 0 or more, below"):
            TrainingConfig(seed=seed)


@pytest.mark.parametrize("name", ["rotation", "scale", "elastic", "noise", "colour"])
def test_augmentation_is_finite(name: str) -> None:
    for value in (float("inf"), float("nan")):
        with pytest.raises(InputError, match=f"augmentation.{name} is {value}"):
            AugmentationConfig(**{name: value})


@pytest.mark.parametrize("value", [32.0, "64", (32, 48), True])
def test_the_tile_size_is_a_whole_number(value: Any) -> None:
    with pytest.raises(InputError, match=r"prediction.tile_size is .*; give a whole number"):
        PredictionConfig(tile_size=value)
    assert PredictionConfig(tile_size=np.int64(32)).tile_size == 32

"""The starters that come with the package, as they are."""

import numpy as np
import pytest

from napari_unet import load_starter, predict, starter_names
from napari_unet.files.networks.starters import starter_path

NAMES = ("cells", "phase")


def test_these_come_with_the_package() -> None:
    assert starter_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_starter_is_small_and_says_what_it_is_for(name: str) -> None:
    assert starter_path(name).stat().st_size <= 8 * 2**20
    model = load_starter(name)
    assert model.is_starter
    assert model.mode == "objects"


@pytest.mark.parametrize("name", NAMES)
def test_a_starter_finds_bright_discs_before_the_first_stroke(name: str) -> None:
    y, x = np.indices((160, 160))
    near = np.hypot(y % 40 - 20, x % 40 - 20)
    image = 200 + 800 / (1 + np.exp(near - 11)) + np.random.default_rng(0).normal(0, 30, near.shape)
    objects = predict(load_starter(name), image, device="cpu").objects
    assert np.unique(objects).size - 1 == pytest.approx(16, abs=2)

"""Turns and mirrors, on arrays whose every value is another."""

import numpy as np
import pytest
import torch

from napari_unet.network.orientation import ORIENTATIONS

SHAPES = [(5, 7), (3, 5, 7)]


@pytest.mark.parametrize("shape", SHAPES)
def test_orientations_are_all_different_and_the_first_is_the_image(shape: tuple[int, ...]):
    x = torch.arange(np.prod(shape)).reshape(1, 1, *shape)
    views = [orientation.turn(x) for orientation in ORIENTATIONS]
    assert torch.equal(views[0], x)
    assert len({(view.shape, *view.flatten().tolist()) for view in views}) == 8
    assert all(view.shape[2:-2] == x.shape[2:-2] for view in views)  # planes stay planes


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_turn_back_undoes_a_turn_and_the_crop_turns_along(shape, orientation):
    x = torch.arange(2 * np.prod(shape)).reshape(1, 2, *shape)
    crop = (*(slice(0, 2) for _ in shape[:-2]), slice(1, 4), slice(2, 7))
    turned = orientation.turn(x)
    assert torch.equal(orientation.turn_back(turned[0]), x[0])
    part = turned[(..., *orientation.turn_crop(crop, shape))]
    assert torch.equal(orientation.turn_back(part[0]), x[0][(..., *crop)])

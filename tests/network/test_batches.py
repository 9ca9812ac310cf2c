"""How many patches of what size make a batch."""

import numpy as np
import pytest
import torch

from napari_unet.core.learning.dataset import build_dataset
from napari_unet.network.config import TrainingConfig, UNetConfig
from napari_unet.network.learning.batches import plan_batches


@pytest.mark.parametrize(
    ("device", "image", "asked", "expected"),
    [
        ("cpu", (300, 300), {}, (4, (192, 192))),
        ("cpu", (300, 90), {}, (4, (192, 96))),  # the next size that fits the network
        ("cpu", (300, 300), {"batch_size": 3}, (3, (192, 192))),
        ("cpu", (300, 300), {"patch_size": 128}, (9, (128, 128))),
        ("cpu", (300, 300), {"patch_size": 16}, (32, (32, 32))),  # the least; no more patches than that
        ("cpu", (300, 300), {"patch_size": 256}, (2, (256, 256))),
        ("cpu", (600, 600), {"patch_size": 512}, (2, (512, 512))),
        ("cpu", (20, 60, 60), {}, (2, (32, 48, 48))),
        ("cpu", (20, 60, 60), {"patch_size": 32}, (7, (32, 32, 32))),
        ("cuda", (300, 300), {}, (8, (256, 256))),
        ("cuda", (300, 300), {"patch_size": 128}, (32, (128, 128))),
    ],
)
def test_a_batch_has_as_many_pixels_whatever_the_patch(
    device: str, image: tuple[int, ...], asked: dict[str, int], expected: tuple[int, tuple[int, ...]]
) -> None:
    network = UNetConfig(ndim=3 if len(image) == 3 else 2)
    paint = np.zeros(image, np.int32)
    paint.flat[:2] = 1, 2
    dataset = build_dataset([np.zeros(image)], [paint], held_out=0, ndim=network.ndim)
    shape = plan_batches(dataset, network, TrainingConfig(**asked), torch.device(device))
    assert (shape.patches, shape.taught) == expected
    assert shape.margin == (0,) * network.ndim


def test_valid_networks_see_a_margin_more_than_they_are_taught() -> None:
    paint = np.zeros((300, 300), np.int32)
    paint.flat[:2] = 1, 2
    dataset = build_dataset([np.zeros(paint.shape)], [paint], held_out=0)
    network = UNetConfig(padding="valid")
    usual = plan_batches(dataset, network, TrainingConfig(), torch.device("cpu"))
    same = plan_batches(dataset, network, TrainingConfig(patch_size=usual.seen[0]), torch.device("cpu"))
    assert same == usual
    assert usual.patches == 4
    assert usual.seen[0] == usual.taught[0] + 2 * usual.margin[0] > 192 + 40

"""How many patches of what size make a batch."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from taught import build_dataset

from napari_unet.network.augment import augment
from napari_unet.network.config import AugmentationConfig, TrainingConfig, UNetConfig
from napari_unet.network.learning import batches
from napari_unet.network.learning.batches import draw_batch, plan_batches


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
    shape = plan_batches(dataset, TrainingConfig(network=network, **asked), torch.device(device))
    assert (shape.patches, shape.taught) == expected
    assert shape.margin == (0,) * network.ndim


def test_valid_networks_see_a_margin_more_than_they_are_taught() -> None:
    paint = np.zeros((300, 300), np.int32)
    paint.flat[:2] = 1, 2
    dataset = build_dataset([np.zeros(paint.shape)], [paint], held_out=0)
    config = TrainingConfig(network=UNetConfig(padding="valid"))
    usual = plan_batches(dataset, config, torch.device("cpu"))
    same = plan_batches(dataset, replace(config, patch_size=usual.seen[0]), torch.device("cpu"))
    assert same == usual
    assert usual.patches == 4
    assert usual.seen[0] == usual.taught[0] + 2 * usual.margin[0] > 192 + 40


@pytest.mark.parametrize("count", [1, 3])
def test_the_less_colour_changes_the_more_images_there_are(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint = np.zeros((40, 40), np.int32)
    paint[:2, :20] = [[1], [2]]
    image = np.random.default_rng(0).random((40, 40, 3)).astype(np.float32)
    config = TrainingConfig(augmentation=AugmentationConfig(colour=0.3), network=UNetConfig(levels=1))
    # One more for scoring alone, which teaches nothing.
    dataset = build_dataset([image] * (count + 1), [paint] * (count + 1), held_out=0, validation=1)
    device = torch.device("cpu")
    shape = plan_batches(dataset, config, device)
    colours = []

    def seen(*given: Any, config: AugmentationConfig, **named: Any) -> Any:
        colours.append(config.colour)
        return augment(*given, config=config, **named)

    monkeypatch.setattr(batches, "augment", seen)
    generator = torch.Generator().manual_seed(0)
    draw_batch(dataset, shape, config, device, rng=np.random.default_rng(0), generator=generator)
    assert colours == [pytest.approx(0.3 / count)]

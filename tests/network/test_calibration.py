from dataclasses import replace

import numpy as np
import torch
from taught import build_dataset

from napari_unet.network.config import AugmentationConfig, TrainingConfig
from napari_unet.network.learning.batches import BatchShape
from napari_unet.network.learning.calibration import calibration_images

CPU = torch.device("cpu")
SHAPE = BatchShape(patches=3, taught=(16, 16), margin=(2, 2))


def test_they_are_augmented_patches_around_the_paint_and_always_the_same() -> None:
    image = np.zeros((90, 90), np.float32)
    image[:, 60:] = 1.0
    paint = np.zeros(image.shape, np.int32)
    paint[10:12, 5:25], paint[20:22, 5:25] = 1, 2
    dataset = build_dataset([image], [paint])
    config = TrainingConfig(seed=4)
    images = calibration_images(dataset, SHAPE, config, CPU)
    assert [batch.shape for batch in images] == [(3, 1, 20, 20)] * 2
    assert all(map(torch.equal, images, calibration_images(dataset, SHAPE, config, CPU)))
    assert not torch.equal(images[0], calibration_images(dataset, SHAPE, replace(config, seed=5), CPU)[0])
    assert not torch.equal(images[0], images[1])
    # None of it from where there is no paint; noise and the like are small.
    plain = replace(config, augmentation=AugmentationConfig.none())
    assert not any(batch.any() for batch in calibration_images(dataset, SHAPE, plain, CPU))
    assert any(batch.any() for batch in images)

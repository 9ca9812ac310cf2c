"""What batch normalisation goes by at prediction, measured for the network that predicts.

A step normalises by what its own patches are like, a prediction by numbers that are kept. Those that torch
keeps are of the networks of the last steps; the network that predicts is another, the average of their
weights. In the first hundred steps, when weights change fast, such numbers made it sure of nonsense. So they
are measured for the averaged weights, on patches like those that teach.

After section 3.2 of Izmailov et al. (2018), "Averaging weights leads to wider optima and better
generalization".
"""

import numpy as np
import torch
from torch import Tensor

from napari_unet.core.learning.dataset import Dataset
from napari_unet.network.config import TrainingConfig
from napari_unet.network.learning.batches import BatchShape, draw_batch

_BATCHES = 2
"""Forward passes of a measurement: it takes two thirds of the time of a step."""


def calibration_images(
    dataset: Dataset, shape: BatchShape, config: TrainingConfig, device: torch.device
) -> list[Tensor]:
    """Return augmented batches (B, C, *seen) float32 around the paint to learn from, the same every time."""
    rng, generator = np.random.default_rng(config.seed), torch.Generator().manual_seed(config.seed)
    return [
        draw_batch(dataset, shape, config, device, rng=rng, generator=generator).image
        for _ in range(_BATCHES)
    ]

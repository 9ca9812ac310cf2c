"""What a training begins with, made of images and paints, for the tests of all that reads it."""

from napari_unet.core.arrays.normalisation import Normalisation
from napari_unet.core.borders.weight_config import WeightConfig
from napari_unet.core.learning.dataset import join_planes
from napari_unet.core.learning.reading import DatasetConfig, read_planes

USUAL = {
    "ndim": 2,
    "mode": "objects",
    "channels": "auto",
    "weights": WeightConfig(),
    "normalisation": Normalisation(),
    "held_out": 0.2,
    "spacing": None,
    "seed": 0,
}


def build_dataset(images, paints, *, validation=0, full=None, control=None, **how):
    """Read images and paints as usual, or ``how`` fields of DatasetConfig say, and join them."""
    config = DatasetConfig(**(USUAL | how))
    planes = read_planes(images, paints, config, validation=validation, full=full, control=control)
    return join_planes(planes, config)

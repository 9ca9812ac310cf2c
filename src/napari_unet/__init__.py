"""Paint a few strokes in napari, train a U-Net on them, get label layers back.

The public names are loaded when they are first used, so that importing the package, as napari does when it
looks for plugins, imports neither torch nor Qt.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari_unet._version import __version__

if TYPE_CHECKING:
    from napari_unet.core.arrays.normalisation import Normalisation
    from napari_unet.core.borders.weight_config import WeightConfig
    from napari_unet.core.errors import InputError
    from napari_unet.core.instances import InstanceConfig
    from napari_unet.core.objects.measurements import measure_objects
    from napari_unet.core.objects.prediction import Prediction
    from napari_unet.core.scoring.scores import Scores, evaluate
    from napari_unet.core.weights import border_weights
    from napari_unet.files.networks.models import load_model, save_model
    from napari_unet.files.networks.starters import load_starter, starter_names
    from napari_unet.files.projects.project_reading import PaintedImages, load_project
    from napari_unet.network.config import AugmentationConfig, PredictionConfig, TrainingConfig, UNetConfig
    from napari_unet.network.model import Model
    from napari_unet.network.prediction import predict
    from napari_unet.network.training import train
    from napari_unet.network.unet import UNet

_HOME = {
    "AugmentationConfig": "napari_unet.network.config",
    "InputError": "napari_unet.core.errors",
    "InstanceConfig": "napari_unet.core.instances",
    "Model": "napari_unet.network.model",
    "Normalisation": "napari_unet.core.arrays.normalisation",
    "PaintedImages": "napari_unet.files.projects.project_reading",
    "Prediction": "napari_unet.core.objects.prediction",
    "PredictionConfig": "napari_unet.network.config",
    "Scores": "napari_unet.core.scoring.scores",
    "TrainingConfig": "napari_unet.network.config",
    "UNet": "napari_unet.network.unet",
    "UNetConfig": "napari_unet.network.config",
    "WeightConfig": "napari_unet.core.borders.weight_config",
    "border_weights": "napari_unet.core.weights",
    "evaluate": "napari_unet.core.scoring.scores",
    "load_model": "napari_unet.files.networks.models",
    "load_project": "napari_unet.files.projects.project_reading",
    "load_starter": "napari_unet.files.networks.starters",
    "measure_objects": "napari_unet.core.objects.measurements",
    "predict": "napari_unet.network.prediction",
    "save_model": "napari_unet.files.networks.models",
    "starter_names": "napari_unet.files.networks.starters",
    "train": "napari_unet.network.training",
}

__all__ = [
    "AugmentationConfig",
    "InputError",
    "InstanceConfig",
    "Model",
    "Normalisation",
    "PaintedImages",
    "Prediction",
    "PredictionConfig",
    "Scores",
    "TrainingConfig",
    "UNet",
    "UNetConfig",
    "WeightConfig",
    "__version__",
    "border_weights",
    "evaluate",
    "load_model",
    "load_project",
    "load_starter",
    "measure_objects",
    "predict",
    "save_model",
    "starter_names",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

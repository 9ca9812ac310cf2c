"""The settings of a command: those of its flags, of a file, and of a model."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from napari_unet.console import note
from napari_unet.files.settings import Settings, not_of, override, read_settings, settings_after
from napari_unet.network.config import TrainingConfig
from napari_unet.network.model import Model


def settings_of(
    part: Literal["training", "prediction"],
    config: Path | None,
    assignments: Iterable[str] | None,
    model: Model | None,
) -> Settings:
    """Return the settings of file and flags; others are those of ``model``, or the defaults.

    Flags outside the ``part`` that the command reads are reported; a file may be for several commands.
    """
    base = Settings() if model is None else settings_after(model)
    given = list(assignments or ())
    settings = override(read_settings(config, base) if config else base, given)
    for assignment in not_of(part, given):
        note(f"{assignment} is not used: it is a setting of another command.")
    if model is not None and model.is_starter and settings.prediction.instances == model.instances:
        # The smallest object depends on the scale of each image.
        return replace(settings, prediction=replace(settings.prediction, instances=None))
    return settings


def axes_to_train(training: TrainingConfig, start: str, model: Model | None) -> int:
    """Return how many axes a network sees that is trained from ``model``, which is called ``start``.

    Settings of the network that cannot be followed then are reported.
    """
    ndim = training.network.ndim
    if model is None:
        return ndim
    ndim = ndim if model.is_starter else model.network.ndim  # a starter may become 3-D
    used = {"network": replace(model.network, ndim=ndim), "normalisation": model.normalisation}
    if fixed := [name for name, value in used.items() if getattr(training, name) != value]:
        note(f"The settings of {' and '.join(fixed)} are those of {start}; others are not used.")
    return ndim

"""What a person sets once, in napari's plugin preferences (``configurations`` in ``napari.yaml``)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from napari.settings import get_plugin_settings

from napari_unet.files.opening import user_path

PLUGIN = "napari-unet-interactive"

Device = Literal["auto", "cpu", "cuda", "mps"]


@dataclass(frozen=True, slots=True)
class Preferences:
    """The preferences, with the defaults of the manifest."""

    models_folder: Path  # where trained models are kept; it need not exist yet
    device: Device = "auto"
    brush_size: int = 10  # pixels of diameter of a new annotation layer's brush, 1 to 100
    training_minutes: float = 2.0  # a training ends by itself after these minutes, 0.1 to 1440


def read_preferences() -> Preferences:
    """Return the preferences as they are now; the defaults if napari does not know this plugin."""
    default_folder = Path.home() / "U-Net models"
    try:
        chosen = get_plugin_settings(PLUGIN).general
    except KeyError:
        # Not installed as a plugin, or disabled: a script shows a dock.
        return Preferences(default_folder)
    return Preferences(
        user_path(chosen.models_folder) if chosen.models_folder.strip() else default_folder,
        chosen.device,
        chosen.brush_size,
        chosen.training_minutes,
    )

"""The file of a model in training, and the training state beside it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from napari_unet.core.errors import InputError
from napari_unet.files.networks.models import free_path, save_model
from napari_unet.files.networks.states import save_state
from napari_unet.files.pixels.pixel_size import PixelSize, common_pixel_size
from napari_unet.network.events import Checkpoint, Stopped
from napari_unet.network.model import Model

CHECKPOINT_S = 60.0
"""Seconds of training that a crash or power cut may cost."""


class TrainingFile:
    """Where the model of one training goes: to ``path``, replacing a file that is already there.

    A file that appears there later is from another window whose training began in the same second: then
    ``path`` gets a number. The pixel size that the images have in common (``pixel_sizes``) is saved with the
    model.
    """

    def __init__(self, path: Path, pixel_sizes: Sequence[PixelSize | None] = ()) -> None:
        self.path = path
        self._replaces = path.exists()
        self._pixel_sizes = pixel_sizes
        self._told = ""

    def save_model(self, model: Model) -> None:
        """Write the model; as in the other methods, ``InputError`` if it cannot be written."""
        if not self._replaces:
            self.path = free_path(self.path)
        size = common_pixel_size(self._pixel_sizes, model.network.ndim)
        save_model(replace(model, pixel_size=size), self.path)
        self._replaces = True

    def save_state(self, event: Checkpoint | Stopped) -> None:
        """Write the state of a saved model, if it has one."""
        if event.state is not None:
            save_state(event.state, event.model, self.path)

    def save_checkpoint(self, event: Checkpoint, *, state: bool = True) -> list[str]:
        """Write both; if that fails, return a sentence that says why, once.

        The training continues, because the disk may have space again at its end.
        """
        try:
            self.save_model(event.model)
            if state:
                self.save_state(event)
        except InputError as error:
            before, self._told = self._told, str(error)
            if before != self._told:
                return [f"{error} The training continues, but is lost if this program ends before it does."]
        return []

"""The file of a model that is being trained, and the state of its training beside it."""

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
"""Seconds of training that a crash, or the end of the power, may cost."""


class TrainingFile:
    """Where the model of one training goes: to ``path``, in place of a file that is there already.

    A file that comes there later is of another window, whose training began in the same second: then ``path``
    gets a number. What the images it learns from have in common in ``pixel_sizes`` is saved with the model.
    """

    def __init__(self, path: Path, pixel_sizes: Sequence[PixelSize | None] = ()) -> None:
        self.path = path
        self._replaces = path.exists()
        self._pixel_sizes = pixel_sizes
        self._told = ""

    def save_model(self, model: Model) -> None:
        """Write the model; raises ``InputError`` where it cannot be written, as the others do."""
        if not self._replaces:
            self.path = free_path(self.path)
        size = common_pixel_size(self._pixel_sizes, model.network.ndim)
        save_model(replace(model, pixel_size=size), self.path)
        self._replaces = True

    def save_state(self, event: Checkpoint | Stopped) -> None:
        """Write the state, if it has one, of a model that was saved."""
        if event.state is not None:
            save_state(event.state, event.model, self.path)

    def save_checkpoint(self, event: Checkpoint, *, state: bool = True) -> list[str]:
        """Write both; return in a sentence why not, unless that was said before.

        The training goes on, for the disk may have room again at its end.
        """
        try:
            self.save_model(event.model)
            if state:
                self.save_state(event)
        except InputError as error:
            before, self._told = self._told, str(error)
            if before != self._told:
                return [f"{error} The training goes on, but is lost if this program ends before it does."]
        return []

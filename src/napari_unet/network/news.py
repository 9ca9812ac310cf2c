"""What a running training or prediction says of itself in words, to whoever asked for it."""

from collections.abc import Callable
from time import monotonic

from napari_unet.core.errors import InputError
from napari_unet.network.events import (
    Adapted,
    Continued,
    ImageScaled,
    PredictionEvent,
    Resolved,
    Started,
    TileDone,
    TrainingEvent,
    Validated,
)

Tell = Callable[[str], object]
"""Called with a sentence at a time, such as ``print``."""

_TILES_EVERY_S = 5.0


def check_tell(progress: Tell | None) -> None:
    """Raise ``InputError`` unless there is nobody to tell, or somebody who can be told."""
    if progress is not None and not callable(progress):
        raise InputError(f"progress is {progress!r}; give a function that takes a text, such as print.")


def training_news(event: TrainingEvent) -> str:
    """Return what an event of a training says in words; "" if nothing. Warnings go another way."""
    match event:
        case Started():
            images = f"{event.images} image{'s' * (event.images != 1)}"
            return f"{images}, {event.known_pixels} painted pixels; {event.device}, {event.precision}"
        case Continued() | Adapted():
            return event.message
        case Resolved():
            return f"No longer so: {event.message}"
        case Validated():
            return f"{event.seconds:.0f} s, step {event.step}: {event.words}, loss {event.loss:.3f}"
    return ""


class PredictionNews:
    """Puts the events of a prediction into words, and those of its tiles only every few seconds."""

    def __init__(self) -> None:
        self._began = self._latest = monotonic()

    def words(self, event: PredictionEvent) -> str:
        """Return what an event says in words; "" if nothing."""
        match event:
            case ImageScaled():
                return event.message
            case TileDone() if monotonic() >= self._latest + _TILES_EVERY_S:
                self._latest = monotonic()
                spent = self._latest - self._began
                return f"{spent:.0f} s: {event.done} of {event.total} tiles, {event.share:.0%} of the image"
        return ""

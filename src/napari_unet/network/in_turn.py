"""The same work for many images, one after the other: if one fails, the others go on."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from napari_unet.core.control import Control
from napari_unet.network.failures import has_filled_disk, sentence

Event = TypeVar("Event")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ImageFailed:
    """The work on image ``number`` failed; ``message`` is one sentence for the user."""

    number: int
    message: str


def in_turn(
    work: Callable[[int], Iterator[Event]], count: int, control: Control
) -> Iterator[Event | ImageFailed]:
    """Work on images 0 to ``count`` - 1, and collect what fails instead of raising it, but for a full disk.

    Parameters
    ----------
    work : callable
        ``work(number)`` yields the events of one image. It holds the pixels of that image alone, so that
        memory does not grow with the number of images.
    count : int
        Number of images.
    control : Control
        After a stop no further image is begun.
    """
    for number in range(count):
        if control.stopped:
            return
        error: Exception | None = None
        try:
            yield from work(number)
        except Exception as caught:  # whatever is wrong with one image, the others are not
            if has_filled_disk(caught):  # which would cost the work on all others
                raise
            _log.info("Image %d failed.", number, exc_info=True)
            # Without its traceback, whose frames keep the pixels of this image alive while the next is read.
            error = caught.with_traceback(None)
        if error is not None:
            yield ImageFailed(number, sentence(error))

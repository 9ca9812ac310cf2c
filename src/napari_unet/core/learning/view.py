"""What the user looks at, so that a training can show what it has learnt there."""

from collections import deque
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The part of an image on the screen."""

    key: Hashable  # says which image it is
    image: Any  # with its channel axis, as training takes it
    paint_shape: tuple[int, ...]  # shape of its paint (…YX), which tells channels from planes
    plane: tuple[int, ...]  # the visible plane, along all axes of the paint but the last two
    box: tuple[slice, slice]  # what is visible of it (YX), in pixels, inside the image
    # pixels of the image, along either axis, that the screen shows as one; 1 where it shows more
    step: int = 1


class Gaze:
    """Where the user looks now; set on one thread and read on another, which is why it is one attribute."""

    def __init__(self) -> None:
        self.view: View | None = None
        """None if there is nothing to show."""
        self.glances: deque[View] = deque()
        """Views to look at once more each: one block for every time that a view is in here."""

    def next_glance(self) -> View | None:
        """Take the next view to look at; None if there is none."""
        with suppress(IndexError):  # to look first would not do: the other thread may clear them meanwhile
            return self.glances.popleft()
        return None

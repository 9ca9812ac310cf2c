"""The progress bar of a job in napari's activity dock."""

from collections.abc import Callable

from napari.utils import cancelable_progress
from qtpy.QtWidgets import QLabel, QWidget

from napari_unet.widgets.window.lifetime import is_alive

_CALM = 5
"""Speed in percent of the spinner that napari turns while a bar is open. Each of its 30 pictures a second
redraws the whole window; without a graphics card, this takes the processor from the training."""


class ActivityBar(cancelable_progress):  # type: ignore[misc]  # napari's base class is untyped
    """A bar in napari's activity dock that can be cancelled, and closed twice.

    It counts up to ``total``, 0 if that is unknown; its button calls ``cancel``. The spinner of ``window``
    turns slowly while the bar is open.
    """

    def __init__(
        self, title: str, total: int, cancel: Callable[[], None], window: QWidget | None = None
    ) -> None:
        # Found now: a window that is closing must not be searched, some of its children are gone.
        labels = [] if window is None else window.findChildren(QLabel)
        self._movies = [movie for label in labels if (movie := label.movie()) is not None]
        super().__init__(desc=title, total=total)
        self._cancel = cancel
        self._shown_total = total
        self._turn_spinner(_CALM)

    def cancel(self) -> None:
        """Act on the Cancel button."""
        # napari only remembers the wish and polls it when it iterates; our loop is in another thread.
        super().cancel()
        self._cancel()

    def describe(self, text: str) -> None:
        """Write ``text`` before the bar."""
        if not self.disable:
            self.set_description(text)

    def show_progress(self, done: float, total: float) -> None:
        """Show ``done`` of ``total``; a total of 0 is unknown."""
        if self.disable or total <= 0:
            return
        if round(total) != self._shown_total:
            self._shown_total = self.total = round(total)
        self.update(min(round(done), self._shown_total) - self.n)

    def close(self) -> None:
        """Remove the bar from the dock."""
        super().close()
        self._turn_spinner(100)
        self._movies = []  # closed again, it may be by the garbage collector of another thread

    def _turn_spinner(self, speed: int) -> None:
        for movie in self._movies:
            if is_alive(movie):
                movie.setSpeed(speed)

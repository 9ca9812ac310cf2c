"""The progress bar of a job in napari's activity dock."""

import time
from collections.abc import Callable

from napari.utils import cancelable_progress

_BAR_S = 0.5
"""Shortest time in seconds between two repaints of the activity dock: more would slow the training down."""


class ActivityBar(cancelable_progress):  # type: ignore[misc]  # napari's base class is untyped
    """A bar in napari's activity dock that can be cancelled, painted seldom, and closed twice."""

    def __init__(self, title: str, total: int, cancel: Callable[[], None]) -> None:
        super().__init__(desc=title, total=total)
        self._cancel = cancel
        self._painted = 0.0
        self._shown_total = total

    def cancel(self) -> None:
        """Do what the Cancel button asks for."""
        # napari only remembers the wish and polls it when it iterates; our loop is in another thread.
        super().cancel()
        self._cancel()

    def describe(self, text: str) -> None:
        """Write ``text`` before the bar."""
        if not self.disable:
            self.set_description(text)

    def show_progress(self, done: float, total: float) -> None:
        """Show ``done`` of ``total``, unless it was painted a moment ago; a total of 0 is unknown."""
        now = time.monotonic()
        if self.disable or total <= 0 or now - self._painted < _BAR_S:
            return
        self._painted = now
        if round(total) != self._shown_total:
            self._shown_total = self.total = round(total)
        self.update(min(round(done), self._shown_total) - self.n)

"""Previews that keep up with a slider: only the newest request counts."""

from typing import Any

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]  # no qtpy stubs

from napari_unet.widgets.jobs import Job, MakeEvents


class Latest(QObject):
    """Compute previews in the background, only the newest request: those it overtook are stopped and dropped.

    Parameters
    ----------
    title : str
        What is computed.
    parent : QObject, optional
        Usually the dock; deleting it drops everything.
    """

    result = Signal(object)
    """Each result of the newest request."""
    failed = Signal(str)
    """Why the newest request failed, as a sentence."""

    def __init__(self, title: str, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._title = title
        self._job: Job | None = None
        self._next: MakeEvents | None = None

    @property
    def is_running(self) -> bool:
        """Whether a request is being computed."""
        return self._job is not None

    def submit(self, compute: MakeEvents) -> None:
        """Compute what ``compute(control)`` yields; it may poll ``control`` to give up early."""
        self._next = compute
        if self._job is None:
            self._start()
        else:
            self._job.control.stop()

    def cancel(self) -> None:
        """Drop what is being computed and what waits."""
        self._next = None
        if self._job is not None:
            self._job.control.stop()

    def _start(self) -> None:
        compute, self._next = self._next, None
        if compute is None:
            return
        job = self._job = Job(compute, self._title, heavy=False, parent=self)
        job.happened.connect(self._on_result)
        job.failed.connect(self._on_failed)
        job.ended.connect(self._on_ended)
        job.start()

    def _on_result(self, value: Any) -> None:
        if self._job is not None and not self._job.control.stopped:
            self.result.emit(value)

    def _on_failed(self, sentence: str) -> None:
        if self._job is not None and not self._job.control.stopped:
            self.failed.emit(sentence)

    def _on_ended(self) -> None:
        if self._job is not None:
            self._job.deleteLater()
        self._job = None
        self._start()

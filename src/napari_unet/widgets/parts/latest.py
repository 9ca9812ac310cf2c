"""Previews that keep up with a slider: only the newest request counts."""

from typing import Any

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]  # no qtpy stubs

from napari_unet.widgets.jobs import Job, MakeEvents


class Latest(QObject):
    """Compute previews in the background, for the newest request only: older ones are stopped and dropped.

    If it is ``patient``, an older request may still give its first result if it has given none: otherwise a
    slider that moves all the time would show nothing until it rests.
    """

    result = Signal(object)
    """Each result of the newest request."""
    failed = Signal(str)
    """Why the newest request failed, as a sentence."""

    def __init__(self, title: str, parent: QObject | None = None, *, patient: bool = False) -> None:
        super().__init__(parent)
        self._title = title
        self._patient = patient
        self._has_result = False
        self._job: Job | None = None
        self._next: tuple[MakeEvents, ...] = ()
        self._stages: tuple[MakeEvents, ...] = ()

    @property
    def is_running(self) -> bool:
        """Whether a request is being computed."""
        return self._job is not None

    def submit(self, *stages: MakeEvents) -> None:
        """Compute what each ``stage(control)`` yields in turn; they may poll ``control`` to give up early.

        The results of a stage arrive as soon as it ends; while it runs, they are collected only now and then.
        So make anything that cannot wait for the rest its own stage.
        """
        self._next = stages
        if self._job is None:
            self._start()
        elif self._has_result or not self._patient:
            self._job.control.stop()

    def cancel(self) -> None:
        """Drop the running request and the waiting one."""
        self._next = self._stages = ()
        if self._job is not None:
            self._job.control.stop()

    def _start(self) -> None:
        if self._next:
            self._stages, self._next = self._next, ()
            self._has_result = False
        if not self._stages:
            return
        stage, *rest = self._stages
        self._stages = tuple(rest)
        job = self._job = Job(stage, self._title, heavy=False, parent=self)
        job.happened.connect(self._on_result)
        job.failed.connect(self._on_failed)
        job.ended.connect(self._on_ended)
        job.start()

    def _on_result(self, value: Any) -> None:
        if self._job is not None and not self._job.control.stopped:
            self._has_result = True
            if self._next:
                self._job.control.stop()
            self.result.emit(value)

    def _on_failed(self, sentence: str) -> None:
        self._stages = ()
        if self._job is not None and not self._job.control.stopped:
            self.failed.emit(sentence)

    def _on_ended(self) -> None:
        self._job = None
        self._start()

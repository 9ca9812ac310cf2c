"""napari-unet as users run it: ``train_events`` and ``predict``, nothing else."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch

from annotator import Labels
from kinds import Image
from methods import Snapshot, Task
from napari_unet import load_model, predict, save_model
from napari_unet.core.control import Control
from napari_unet.files.settings import Settings
from napari_unet.network.events import Started, StepDone, Stopped, TrainingEvent
from napari_unet.network.model import Model
from napari_unet.network.training import train_events

_ENDLESS = 10**9


def ours(task: Task) -> Iterator[Snapshot]:
    """Train on the paint and yield the result of a stop at every mark."""
    config = replace(task.settings.training, seconds=None, steps=_ENDLESS, seed=task.seed)
    control = Control()
    paints = [painted.paint for painted in task.painted]
    full = [painted.full for painted in task.painted]
    events = train_events(task.images, paints, config, start=task.start, full=full, control=control)
    marks, steps = list(task.marks), 0
    if task.start is not None and task.start.is_starter:
        # Before the first stroke: the size of objects is estimated from every image.
        yield _snapshot((0.0,), task.start, task, 0)
    for event in events:
        if isinstance(event, Started):
            task.clock.restart()
        elif isinstance(event, StepDone):
            steps = event.step
            if task.clock.seconds < marks[0]:
                continue
            if len(marks) == 1:
                control.stop()
            else:
                with task.clock.paused():
                    path = task.folder / f"{marks[0]:g}.safetensors"
                    yield _snapshot((marks.pop(0),), _model_if_stopped(events, control, path), task, steps)
        elif isinstance(event, Stopped):
            save_model(event.model, task.folder / "model.safetensors")
            yield _snapshot(tuple(marks), event.model, task, steps)


def _model_if_stopped(events: Iterator[TrainingEvent], control: Control, path: Path) -> Model:
    """Return the model that a stop at this moment would give, while the training itself continues.

    A copy of this process is stopped instead: it does everything that a stop does (a last validation, the
    choice of the best weights) without affecting the training that is measured.
    """
    child = os.fork()
    if child == 0:
        failed = True
        try:
            torch.set_num_threads(1)  # other threads were not copied
            control.stop()
            *_, last = events
            save_model(cast("Stopped", last).model, path)
            failed = False
        finally:
            os._exit(failed)
    _, status = os.waitpid(child, 0)
    if status:
        raise RuntimeError(f"The copy of the training that was to be stopped for {path} failed.")
    return load_model(path)


def _snapshot(marks: tuple[float, ...], model: Model, task: Task, steps: int) -> Snapshot:
    return Snapshot(marks, lambda image: segment(model, image, task.settings), steps)


def segment(model: Model, image: Image, settings: Settings) -> dict[str, Labels]:
    """Return the objects of an image as users get them."""
    return {"predict": predict(model, image, settings.prediction).objects}

"""Processes that are killed at random moments, as a crash or the power button would: what is on disk opens.

Of each kind a few in every run; the long run kills more than fifty.
"""

import contextlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import predictor
import pytest
from predicting import KINDS, assert_same, config_for, make_model, picture

from napari_unet.files.networks.states import load_to_continue, state_path
from napari_unet.files.projects.project import read_project
from napari_unet.files.projects.project_images import read_kept
from napari_unet.files.projects.project_store import ProjectStore, read_labels
from napari_unet.network.prediction import predict

HERE = Path(__file__).parent
LOST_S = 2.0
"""Seconds of strokes that a kill may cost."""


def often(few, many):
    """Run a test with few kills, and in the long run with many."""
    long = pytest.param(many, id=str(many), marks=[pytest.mark.slow, pytest.mark.timeout(1800)])
    return pytest.mark.parametrize("kills", [pytest.param(few, id=str(few)), long])


class Victim:
    """A process whose lines are read as they come."""

    def __init__(self, script, *arguments, given=""):
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path]),
            "OMP_NUM_THREADS": "1",
        }
        self.lines = []
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / script), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{given}\n")
            self._process.stdin.flush()
        self._reader = threading.Thread(
            target=lambda: self.lines.extend(iter(self._process.stdout.readline, ""))
        )
        self._reader.start()

    def wait_for_lines(self, count=1, seconds=170):
        """Wait until the process has begun what it is killed in."""
        end = time.monotonic() + seconds
        while len(self.lines) < count:
            assert self._process.poll() is None, self._process.stderr.read()
            assert time.monotonic() < end
            time.sleep(0.01)

    @property
    def has_ended(self):
        """Whether it has come to its own end."""
        return self._process.poll() is not None

    def close(self):
        """Let go of what it said."""
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(BrokenPipeError):
                stream.close()

    def kill(self):
        """End it at once, and return when, by the clock of its lines."""
        assert self._process.poll() is None, self._process.stderr.read()
        moment = time.monotonic()
        self._process.kill()
        self._process.wait()
        self.close()
        return moment


@often(3, 30)
def test_painting(tmp_path, kills):
    from painter import SIZE, place

    moments = np.random.default_rng(kills)
    folder, painted = tmp_path / "p", 0
    for _ in range(kills):
        victim = Victim("painter.py", folder, given=painted)
        victim.wait_for_lines()
        time.sleep(moments.uniform(0.05, 2.5 if kills > 3 else 1.0))
        killed = victim.kill()
        strokes = [line.split() for line in victim.lines if line.endswith("\n")]
        safe = [int(number) for number, moment in strokes if float(moment) < killed - LOST_S]
        told = int(strokes[-1][0])
        if not (folder / "project.toml").exists():
            assert not safe  # killed as the project was made
            continue
        project = read_project(folder)
        paint = np.zeros((SIZE, SIZE), np.int32)
        for labels in project.labels:
            paint, damage = read_labels(folder, labels.file)
            assert damage == ""
        for image in project.images:
            if image.kept:
                assert read_kept(image, folder).shape == (SIZE, SIZE)
        for number in [*range(painted), *safe]:
            assert (paint[place(number)] == number + 2).all(), (number, painted, told)
        # Nothing is there that nobody painted; of the last stroke perhaps a part.
        values = set(np.unique(paint).tolist()) - {0}
        assert values <= set(range(2, told + 4))
        ProjectStore.open(folder).close()
        assert not list(folder.rglob("*.part"))
        painted = next(number for number in range(told + 2) if not (paint[place(number)] == number + 2).all())


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("number", range(5))
def test_painting_in_a_window(tmp_path, number):
    from window_painter import centre  # which needs a screen

    victim = Victim("window_painter.py", tmp_path / "p")
    victim.wait_for_lines(20)
    time.sleep(np.random.default_rng(number).uniform(0, 6))
    killed = victim.kill()
    strokes = [line.split() for line in victim.lines if line.endswith("\n")]
    safe = [int(stroke) for stroke, moment in strokes if float(moment) < killed - LOST_S]
    if not safe:
        return
    (labels,) = read_project(tmp_path / "p").labels
    paint, damage = read_labels(tmp_path / "p", labels.file)
    assert damage == ""
    lost = [stroke for stroke in safe if paint[centre(stroke)] != stroke + 2]
    assert lost == []
    ProjectStore.open(tmp_path / "p").close()


@often(1, 15)
def test_saving_a_training(tmp_path, kills):
    path = tmp_path / "model.safetensors"
    moments = np.random.default_rng(kills)
    for _ in range(kills):
        victim = Victim("trainer.py", tmp_path)
        victim.wait_for_lines(2)
        time.sleep(moments.uniform(0, 0.3))
        victim.kill()
        told = int(victim.lines[-1])
        model, state, sentence = load_to_continue(path)
        assert int(model.class_names[1].split()[1]) in (told, told + 1)
        # Between model and state there is a moment in which the state is that of the model before.
        assert state is not None or "belongs to another model" in sentence
        assert {item.name for item in tmp_path.iterdir() if not item.name.endswith(".part")} == {
            "model.safetensors",
            "model.safetensors.training",
        }


@often(1, 15)
def test_predicting_to_zarr(tmp_path, kills):
    moments = np.random.default_rng(kills)
    for _ in range(kills):
        victim = Victim("predictor.py", tmp_path / "out")
        victim.wait_for_lines(1)
        time.sleep(moments.uniform(0, 0.5))
        if victim.has_ended:
            victim.close()
            break
        victim.kill()
    model, image = make_model(seed=5), picture(330, 290)
    *_, last = predictor.events(tmp_path / "out")
    assert last.finished
    assert_same(tmp_path / "out", predict(model, image, config_for(model, image)))
    assert {item.name for item in (tmp_path / "out").iterdir()} == {f"a_{kind}.zarr" for kind in KINDS}


def test_training_by_command(tmp_path):
    folder = tmp_path / "t"
    victim = Victim("commander.py", folder)
    victim.wait_for_lines()
    end = time.monotonic() + 120
    while not state_path(folder / "m.safetensors").exists() and time.monotonic() < end:
        time.sleep(0.01)
    victim.kill()
    model, state, sentence = load_to_continue(folder / "m.safetensors")
    # The model may be newer than the state beside it, which is told; the weights are there all the same.
    assert (state is None) == bool(sentence)
    assert model.history.steps >= 5

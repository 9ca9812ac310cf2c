"""`napari-unet train`: what it says, saves and goes on from."""

import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import SMALL, fails, json_lines, painted, run

from napari_unet import load_model
from napari_unet.cli import main
from napari_unet.console import TrainingReport


def test_what_training_says_and_saves(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.toml").write_text("[training]\nseed = 3\nsteps = 9\n[weights]\nsigma = 2.0\nw0 = 4.0\n")
    arguments = [
        "train", "--images", folder / "images" / "a1.tif", folder / "images" / "a10.tif",
        "--paint", folder / "paint" / "a1.tif", "--output", tmp_path / "new" / "m.safetensors",
        "--config", tmp_path / "a.toml", *SMALL, "weights.w0=5", "training.steps=8", "--steps", "2", "--json",
    ]  # fmt: skip
    assert run(*arguments) == 0
    out, err = capsys.readouterr()
    events = json_lines(out)
    assert [event["event"] for event in events if event["event"] != "warned"] == [
        "started", "step_done", "step_done", "validated", "stopped",
    ]  # fmt: skip
    assert events[0]["images"] == 1
    scored = events[-2]
    assert 0 <= scored["interval"][0] <= scored["score"] <= scored["interval"][1] <= 1
    assert events[-1]["interval"] == scored["interval"]
    assert events[-1] | {"seconds": 0, "score": 0, "interval": 0} == {
        "event": "stopped", "reason": "finished", "output": str(tmp_path / "new" / "m.safetensors"),
        "steps": 2, "seconds": 0, "score": 0, "interval": 0,
    }  # fmt: skip
    assert "a10.tif" in err
    model = load_model(tmp_path / "new" / "m.safetensors")
    training = model.training
    assert (training.seed, training.steps, training.weights.sigma, training.weights.w0) == (3, 2, 2.0, 5.0)
    assert model.network.features == 2
    assert model.history.steps == 2


def test_warnings_are_on_stderr_whether_or_not_there_is_json(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from napari_unet.network.events import Resolved, Warned
    from napari_unet.network.learning import diagnosis

    monkeypatch.setattr(diagnosis.Watch, "look", lambda self, step, _: iter([Warned("W."), Resolved("W.")]))
    arguments = [
        "train", *painted(folder), "--output", tmp_path / "m",
        "--steps", "1", "--set", "training.held_out=0.5", *SMALL[1:],
    ]  # fmt: skip
    for more in ([], ["--json"]):
        capsys.readouterr()
        assert run(*arguments, *more) == 0
        out, err = capsys.readouterr()
        lines = err.splitlines()
        assert "the score is measured on the training paint itself" in err
        assert lines.index("No longer so: W.") == lines.index("W.") + 1
    assert {"event": "resolved", "message": "W."} in json_lines(out)


def test_training_goes_on_from_a_model(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", *painted(folder), "--output", tmp_path / "m"]
    settings = ["--start", folder / "model.safetensors", "--steps", 1, "--set", "training.patch_size=32"]
    assert run(*arguments, *settings) == 0
    assert load_model(tmp_path / "m").network.levels == 2
    assert "Saved" in capsys.readouterr().out


def test_training_goes_on_with_optimiser_curve_and_settings(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = ["train", "--images", str(folder / "images"), "--paint", str(folder / "paint")]
    settings = [*SMALL, "training.learning_rate=0.002", "weights.sigma=3"]
    model, whole = tmp_path / "m.safetensors", tmp_path / "whole.safetensors"
    assert main([*usual, "--output", str(model), "--steps", "3", *settings]) == 0
    assert main([*usual, "--output", str(whole), "--steps", "5", *settings, "--no-state"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "m.safetensors", "m.safetensors.training", "whole.safetensors",
    ]  # fmt: skip
    capsys.readouterr()
    again = ["--start", str(model), "--steps", "2"]
    # Into the file it goes on from, as people do who train every evening.
    assert main([*usual, "--output", str(model), *again, "--json"]) == 0
    out, err = capsys.readouterr()
    assert "Going on from step 3 with its optimiser." in err
    events = json_lines(out)
    (continued,) = [event for event in events if event["event"] == "continued"]
    assert (continued["step"], continued["same_data"], "history" in continued) == (3, True, False)
    assert [event["step"] for event in events if event["event"] == "step_done"] == [4, 5]
    found, expected = load_model(model), load_model(whole)
    assert all(torch.equal(found.weights[name], value) for name, value in expected.weights.items())
    assert found.training == replace(expected.training, steps=2)

    assert main(["info", str(model)]) == 0
    text = capsys.readouterr().out
    assert "from step 5, with its optimiser" in text
    assert text.count("continued") == 1
    assert main(["info", str(whole), "--json"]) == 0
    assert json_lines(capsys.readouterr().out)[0]["continues_from_step"] is None
    assert main(["info", str(whole)]) == 0
    assert "no training state beside it" in capsys.readouterr().out

    other = ["--output", str(tmp_path / "other"), "--seed", "4", "--set", "network.features=3"]
    assert main([*usual, *again, *other, "--fresh-optimiser"]) == 0
    err = capsys.readouterr().err
    assert "Going on" not in err
    assert "settings of network are those of" in err
    fresh = load_model(tmp_path / "other")
    assert (fresh.history.steps, fresh.training.seed, fresh.training.weights.sigma) == (2, 4, 3.0)

    state = tmp_path / "m.safetensors.training"
    state.write_bytes(state.read_bytes()[:-1])
    assert main([*usual, *again, *other]) == 0
    assert "is damaged" in capsys.readouterr().err
    assert main(["info", str(model)]) == 0
    assert "is damaged" in capsys.readouterr().out


def test_validation_images_are_scored_and_not_learnt_from(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The images hold that of the validation, too, as a folder of all images does.
    arguments = ["train", *painted(folder), "--output", tmp_path / "m"]
    more = ["--validation", folder / "images" / "a1.tif", "--steps", 1, *SMALL, "--json"]
    assert run(*arguments, *more) == 0
    started, *_, validated, _ = json_lines(capsys.readouterr().out)
    assert (started["images"], started["known_pixels"]) == (1, 48 * 40)
    assert (validated["on"], validated["strokes"]) == ("validation", 4)
    assert main(["info", str(tmp_path / "m")]) == 0
    low, high = validated["interval"]
    assert f"score {validated['score']:.3f} ({low:.2f} to {high:.2f})" in capsys.readouterr().out


def test_a_log_says_how_far_a_score_can_be_trusted(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", *painted(folder), "--output", tmp_path / "m"]
    assert run(*arguments, "--steps", 1, *SMALL) == 0
    out, err = capsys.readouterr()
    assert re.search(r"step 1: score \d\.\d\d \(.*\) on the \d+ strokes learnt from, loss", err)
    assert re.search(r"which scored \d\.\d{3} \(\d\.\d\d to \d\.\d\d\)\.", out)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"--validation": "images/a2.tif"}, "to score on; give paint of that name"),
        ({"--validation": "images/a1.tif"}, "Every painted image is for scoring alone"),
        ({"--set": "training.patience=0"}, "training.patience is 0"),
        ({"--set": "training.pull=1.5"}, "training.pull is 1.5"),
        ({"--images": "none*.tif"}, "There is no file"),
        ({"--paint": "truth", "--images": "images/a2.tif"}, "no counterpart named 'a1'"),
        ({"--start": "nuclei"}, "There is no model file nuclei and no starter of that name"),
        ({"--start": "none.safetensors"}, "There is no model file"),
        ({"--start": "images/a1.tif"}, "is not a napari-unet model"),
        ({"--mode": "boxes"}, "training.mode is 'boxes'; give one of 'objects', 'classes'."),
        ({"--steps": "0"}, "training.steps is 0"),
        ({"--steps": "many"}, "Invalid value for '--steps'"),
        ({"--seconds": "nan"}, "training.seconds is nan"),
        ({"--seed": "-1"}, "training.seed is -1"),
        ({"--device": "abacus"}, "abacus"),
        ({"--set": "network.feature=2"}, "did you mean 'features'?"),
        ({"--config": "none.toml"}, "could not be read"),
        ({"--output": "images"}, "is a folder"),
        ({"--output": "models/"}, "models/ is a folder; give the name of a file to write in it"),
        ({"--output": "cells"}, "cells is the name of a starter"),
        ({"--output": "model.safetensors/m"}, "folder is a file"),
        ({"--output": "x" * 300}, "File name too long"),
        ({"--frobnicate": "1"}, "No such option"),
    ],
)
def test_bad_input_to_training_is_one_line(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, str],
    sentence: str,
) -> None:
    monkeypatch.chdir(folder)
    usual = {
        "--images": "images/a1.tif",
        "--paint": "paint/a1.tif",
        "--output": "bad.safetensors",
        "--steps": "1",
    }
    before = sorted(folder.rglob("*"))
    assert sentence in fails(
        capsys, ["train", *(word for pair in (usual | changes).items() for word in pair)]
    )
    assert sorted(folder.rglob("*")) == before


def test_a_training_that_fails_late_saves_the_model_so_far(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from napari_unet.network.learning.learner import Learner

    step, taken = Learner.step, []

    def fail_at_the_eighth(self: Learner, *batch: Any, rate: float = 1.0, **_: Any) -> float | None:
        taken.append(rate)
        if len(taken) == 8:
            raise RuntimeError("CUDA error: unspecified launch failure")
        return step(self, *batch, rate=rate)

    monkeypatch.setattr(Learner, "step", fail_at_the_eighth)
    model = tmp_path / "late.safetensors"
    arguments = ["train", "--images", str(folder / "images"), "--paint", str(folder / "paint")]
    assert main([*arguments, "--output", str(model), "--steps", "20", *SMALL]) == 1
    out, err = capsys.readouterr()
    assert "failed" in out
    assert "launch failure" in err
    assert "Traceback" not in err
    assert load_model(model).history.best_step == 5


def test_a_model_that_cannot_be_saved_in_its_place_is_saved_in_another(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    place = tmp_path / "disk" / "m.safetensors"

    def take_away(self: Any, event: Any, progress: Any) -> None:
        if not place.parent.exists():  # which the check before left as it was
            place.parent.write_text("no folder")

    monkeypatch.setattr(TrainingReport, "show", take_away)
    arguments = ["train", *painted(folder), "--output", place]
    assert run(*arguments, "--steps", 1, *SMALL) == 2
    (saved,) = (tmp_path / "temporary").iterdir()
    assert load_model(saved).history.steps == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert "part of its folder is a file" in line
    assert f"The model is in {saved} meanwhile." in line

"""Commands that are ended from outside: Ctrl-C, a closed terminal, a closed pipe."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from command_line import SMALL, json_lines, painted

from napari_unet import load_model
from napari_unet.cli import main
from napari_unet.files.networks.states import step_to_continue


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to one process there")
def test_ctrl_c_while_predicting_to_zarr_is_gone_on_from(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # By so long a name the pipe is full before the last tile, and waits for the signal, however late that is.
    image = tmp_path / f"{'a' * 200}.tif"
    tifffile.imwrite(image, np.zeros((640, 640), np.uint8))
    arguments = [
        "predict", str(folder / "model.safetensors"), "--images", str(image),
        "--output", str(tmp_path), "--format", "zarr", "--json", "--set", "prediction.tile_size=32",
    ]  # fmt: skip
    command = [sys.executable, "-m", "napari_unet", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines = [process.stdout.readline()]
        process.send_signal(signal.SIGINT)
        lines += process.stdout  # not communicate(), which loses what came together with the first line
        err = process.stderr.read()
    assert process.returncode == 130, err
    assert err == "Interrupted after 0 of 1 images; the same command goes on from there.\n"
    assert len(lines) < 400
    assert main(arguments) == 0
    assert json_lines(capsys.readouterr().out)[0]["done"] == len(lines) + 1


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to one process there")
def test_ctrl_c_over_a_folder_is_gone_on_from(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "images").mkdir()
    for name in "abc":  # long names, as above
        pixels = np.random.default_rng(ord(name)).integers(0, 255, (640, 640), np.uint8)
        tifffile.imwrite(tmp_path / "images" / f"{name * 200}.tif", pixels)
    arguments = [
        "predict", str(folder / "model.safetensors"), "--images", str(tmp_path / "images"), "--output",
        str(tmp_path / "out"), "--table", str(tmp_path / "objects.csv"), "--json",
    ]  # fmt: skip
    tiles = ["--set", "prediction.tile_size=32"]
    command = [sys.executable, "-m", "napari_unet", *arguments, *tiles]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            if json.loads(line)["event"] == "written":
                process.send_signal(signal.SIGINT)
                break
        process.stdout.read()
        err = process.stderr.read()
    assert process.returncode == 130, err
    assert err == "Interrupted after 1 of 3 images; the same command goes on from there.\n"
    assert [path.name[0] for path in (tmp_path / "out").iterdir()] == ["a"]
    assert {line.split(",")[0][0] for line in (tmp_path / "objects.csv").read_text().splitlines()} == {
        "i",
        "a",
    }
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    ends = [event for event in json_lines(out) if event["event"] in ("kept", "written")]
    assert [event["event"] for event in ends] == ["kept", "written", "written", "written"]
    assert err == (
        "1 of 3 images was segmented before, by this model with these settings; --redo does it again.\n"
    )
    names = {line.split(",")[0][0] for line in (tmp_path / "objects.csv").read_text().splitlines()}
    assert names == {"i", "a", "b", "c"}
    assert main([*arguments, "--redo"]) == 0
    assert not any(event["event"] == "kept" for event in json_lines(capsys.readouterr().out))


def test_ctrl_c_while_the_command_line_is_loaded_is_quiet() -> None:
    program = """
import sys
class Interrupted:
    def find_spec(self, name, *_):
        if name == "typer":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
from napari_unet.__main__ import main
sys.exit(main())
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "")


def test_ctrl_c_before_there_is_anything_to_save_is_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("napari_unet.files.networks.models.load_model", interrupt)
    images = ["--images", str(folder / "images"), "--output", str(tmp_path)]
    assert main(["predict", str(folder / "model.safetensors"), *images]) == 130
    assert capsys.readouterr() == ("", "Interrupted; whatever was not finished is not written.\n")


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to one process there")
def test_ctrl_c_saves_the_model_so_far(folder: Path, tmp_path: Path) -> None:
    arguments = ["train", *painted(folder), "--seconds", "100", "--json"]
    command = [
        sys.executable,
        "-m",
        "napari_unet",
        *map(str, arguments),
        "--output",
        str(tmp_path / "m"),
        *SMALL,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["event"] == "step_done":
                process.send_signal(signal.SIGINT)
                break
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert json_lines(out)[-1]["reason"] == "stopped"
    assert "Traceback" not in err
    steps = load_model(tmp_path / "m").history.steps
    assert steps >= 1
    assert step_to_continue(tmp_path / "m") == steps


@pytest.fixture
def hangs_up() -> Iterator[None]:
    """Let a process that is started be told when its terminal closes; after `nohup` these tests are not."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.skipif(sys.platform == "win32", reason="no terminals of this kind")
@pytest.mark.usefixtures("hangs_up")
def test_a_closed_terminal_saves_the_model_so_far(folder: Path, tmp_path: Path) -> None:
    arguments = ["train", *painted(folder), "--seconds", 100]
    command = [sys.executable, "-m", "napari_unet", *map(str, arguments), "--output", str(tmp_path / "m")]
    terminal, end = os.openpty()
    with subprocess.Popen([*command, *SMALL], stdin=end, stdout=end, stderr=end) as process:
        os.close(end)
        shown = b""
        while b", loss" not in shown:
            shown += os.read(terminal, 1000)
        os.close(terminal)  # from now on, to write to it is an error
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGHUP)
        process.wait(60)
    assert process.returncode == 128 + signal.SIGHUP
    steps = load_model(tmp_path / "m").history.steps
    assert steps >= 1
    assert step_to_continue(tmp_path / "m") == steps


def test_a_closed_pipe_is_no_traceback(folder: Path) -> None:
    if os.name == "nt":
        pytest.skip("no shell pipes")
    command = f"{sys.executable} -m napari_unet info {folder / 'model.safetensors'} | head -c 1"
    result = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(os.name == "nt", reason="no such shell")
@pytest.mark.parametrize("end", ["| head -n 1", ">&- 2>&-"])
def test_a_training_of_which_nobody_reads_is_saved(folder: Path, tmp_path: Path, end: str) -> None:
    arguments = ["train", *painted(folder), *SMALL, "--json"]
    length = ["--seconds", 100] if "head" in end else ["--steps", 2]
    words = [sys.executable, "-m", "napari_unet", *arguments, *length, "--output", tmp_path / "m"]
    command = " ".join(shlex.quote(str(word)) for word in words)
    subprocess.run(["sh", "-c", f"{command} {end}"], check=True, timeout=90, stdout=subprocess.DEVNULL)
    assert load_model(tmp_path / "m").history.steps >= 1

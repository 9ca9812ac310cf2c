"""Command lines as tests give them, and what came of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from napari_unet.cli import main

SMALL = ["--set", "network.features=2", "network.levels=2", "training.patch_size=32", "training.batch_size=1"]


def run(*arguments: Any) -> int:
    """Run a command line and return its exit code."""
    return main([str(argument) for argument in arguments])


def painted(folder: Path) -> list[Any]:
    """Return what tells a training of the images and their paint."""
    return ["--images", folder / "images", "--paint", folder / "paint"]


def fails(capsys: pytest.CaptureFixture[str], arguments: list[Any]) -> str:
    """Run, see it fail as bad input does, and return the one line it says."""
    capsys.readouterr()
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]

"""`napari-unet demo`: the window in a process of its own."""

import sys
from pathlib import Path

import pytest
from command_line import fails

from napari_unet.cli import main


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands in for the virtual display")
def test_the_demo_runs_as_its_own_process_on_a_virtual_display(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "install it" in fails(capsys, ["demo", "--headless"])
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    if sys.platform == "linux":
        assert "install it" in fails(capsys, ["demo"])
    virtual = tmp_path / "xvfb-run"
    virtual.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\nexit 7\n')
    virtual.chmod(0o755)
    assert main(["demo", "--headless", "--output", str(tmp_path / "here")]) == 7
    expected = f"-a {sys.executable} -m napari_unet.widgets.demo --output {tmp_path / 'here'} --headless"
    assert (tmp_path / "arguments").read_text().strip() == expected

"""The work of ``napari-unet demo``: the whole loop in another process, which may have a window."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from napari_unet.core.errors import InputError
from napari_unet.files.atomic import check_writable


def run_demo(output: Path, *, headless: bool) -> int:
    """Run the demo and return its exit code; without a display, on a virtual one.

    ``InputError`` if there is neither, or nothing can be written to ``output``.
    """
    check_writable(output / "objects.tif")
    command = [sys.executable, "-m", "napari_unet.widgets.demo", "--output", str(output)]
    has_display = sys.platform != "linux" or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    if headless or not has_display:
        virtual = shutil.which("xvfb-run")
        if virtual is None:
            raise InputError(
                "There is no display and no xvfb-run to stand in for one; install it (Debian and Ubuntu: "
                "apt install xvfb) or run this on a desktop."
            )
        command = [virtual, "-a", *command, "--headless"]
    # Our own module, run by our own Python.
    return subprocess.run(command, check=False).returncode  # noqa: S603

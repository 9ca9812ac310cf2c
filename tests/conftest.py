"""What all tests share."""

import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# A shared or slow machine may take its time over one example; a hang is what the time-out of pytest is for.
settings.register_profile("napari-unet", deadline=None)
settings.load_profile("napari-unet")


@pytest.fixture(scope="module", autouse=True)
def little_to_sweep():
    """Exempt what is imported by now from the garbage collections that come with every window and layer."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def ordinary_folder() -> Iterator[Path]:
    """Give a folder of an ordinary user, and be that user: root may write anywhere."""
    folder = Path(tempfile.mkdtemp())
    if sys.platform == "win32" or os.geteuid() != 0:
        yield folder
    else:
        nobody = 65534
        os.chown(folder, nobody, nobody)
        os.setresuid(nobody, nobody, 0)
        try:
            yield folder
        finally:
            os.setresuid(0, 0, 0)
    folder.chmod(0o755)
    for root, folders, _ in os.walk(folder):
        for name in folders:
            Path(root, name).chmod(0o755)
    shutil.rmtree(folder)

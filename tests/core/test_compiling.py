"""How long the inner loops take to compile, which is part of the first prediction and training."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
import numpy as np
from numba.core import event
from napari_unet import border_weights
from napari_unet.core.instances import find_objects

with event.install_recorder("numba:compile") as recorder:
    find_objects(np.eye(32, dtype=np.float32), ndim=2)
    border_weights(np.eye(32, dtype=int) * np.arange(32))
compiled = [str(found.data["args"]) for _, found in recorder.buffer]
assert len(compiled) > 5
sys.exit(any("unicode" in types for types in compiled))
"""


def test_no_message_about_wrong_shapes_is_compiled(tmp_path: Path) -> None:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    run = [sys.executable, "-c", PROGRAM]
    assert subprocess.run(run, check=False, env=environment).returncode == 0

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

import napari_unet

PUBLIC = {
    "AugmentationConfig", "InputError", "InstanceConfig", "Model", "Normalisation", "PaintedImages",
    "Prediction", "PredictionConfig", "Scores", "TrainingConfig", "UNet", "UNetConfig", "WeightConfig",
    "__version__", "border_weights", "evaluate", "load_model", "load_project", "load_starter",
    "measure_objects", "predict", "save_model", "starter_names", "train",
}  # fmt: skip


def test_the_public_names_are_those_that_scripts_rely_on() -> None:
    assert set(napari_unet.__all__) == PUBLIC == set(dir(napari_unet))
    for name in PUBLIC:
        value = getattr(napari_unet, name)
        assert isinstance(value, str) or value.__name__ == name
        assert isinstance(value, str) or value.__doc__


def test_the_page_describes_what_is_public() -> None:
    page = (Path(__file__).parents[1] / "docs" / "api.md").read_text("utf-8")
    described = re.findall(r"^::: (\S+)\.(\w+)$", page, re.MULTILINE)
    assert {name for _, name in described} == PUBLIC - {"__version__"}
    for module, name in described:
        assert getattr(importlib.import_module(module), name) is getattr(napari_unet, name)


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'segment'"):
        napari_unet.segment  # noqa: B018 (the look-up is the test)


def test_the_version_is_that_of_the_distribution() -> None:
    assert importlib.metadata.version("napari-unet-interactive") == napari_unet.__version__


HELPERS = """
import importlib, pkgutil, sys

def import_all(package, but=None):
    package = importlib.import_module(package)
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if module.name != but:
            importlib.import_module(module.name)

def absent(*names):
    present = [name for name in names if name in sys.modules]
    assert not present, present
"""

SCREEN = (
    "napari",
    "qtpy",
    "PyQt5",
    "PyQt6",
    "PySide2",
    "PySide6",
    "magicgui",
    "superqt",
    "pyqtgraph",
    "vispy",
)


@pytest.mark.parametrize(
    ("imports", "kept_out"),
    [
        ("import napari_unet.cli", ("torch", "numpy", *SCREEN)),  # which imports napari_unet
        (
            "import napari_unet.network.config, napari_unet.network.events, napari_unet.network.failures",
            ("torch", *SCREEN),
        ),
        ("from napari_unet import UNetConfig, WeightConfig, border_weights, evaluate", ("torch", *SCREEN)),
        ("import numpy, napari_unet as u; u.Normalisation().limits(numpy.ones((1, 8, 8), 'u1'))", ("numba",)),
        ("import_all('napari_unet.core')", ("torch", "tifffile", "safetensors", "typer", *SCREEN)),
        # What cluster workers compute is imported in them, and where a cluster is asked for.
        ("import_all('napari_unet.files', 'napari_unet.files.results.cluster_worker')", ("torch", *SCREEN)),
        ("import napari_unet.files.results.cluster_worker; import_all('napari_unet.network')", SCREEN),
    ],
)
def test_what_an_import_must_not_bring_along(imports: str, kept_out: tuple[str, ...]) -> None:
    program = f"{HELPERS}\n{imports}\nabsent(*{kept_out!r})"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_jobs_alone_knows_the_threads_of_napari() -> None:
    folder = Path(napari_unet.__file__).parent
    knowing = [path.name for path in folder.rglob("*.py") if "qt.threading" in path.read_text("utf-8")]
    assert knowing == ["jobs.py"]

"""The manifest: valid, complete, found in napari's menus, and cheap to read."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from napari._app_model.constants._menus import MenuId
from npe2 import PluginManifest
from qtpy.QtWidgets import QWidget

import napari_unet

FORBID_TORCH = """
import os, sys, threading
class Forbid:
    def find_spec(name, *_):
        if name == "torch" and threading.current_thread() is threading.main_thread():
            os._exit(3)
sys.meta_path.insert(0, Forbid)
"""
DISCOVER = """
from npe2 import PluginManager
manager = PluginManager.instance()
manager.discover()
manager.get_manifest("napari-unet-interactive")
"""
MANIFEST = Path(napari_unet.__file__).parent / "napari.yaml"


@pytest.fixture
def manifest():
    return PluginManifest.from_file(MANIFEST)


def test_npe2_validates_it():
    result = subprocess.run(
        [sys.executable, "-m", "npe2", "validate", str(MANIFEST)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_command_exists(manifest):
    for command in manifest.contributions.commands:
        module, _, name = command.python_name.partition(":")
        assert callable(getattr(import_module(module), name)), command.id


def test_the_dock_of_all_steps_then_the_others_in_the_order_of_work(manifest):
    widgets = [widget.display_name for widget in manifest.contributions.widgets]
    assert widgets == ["U-Net", "Paint", "Weights", "Train", "Predict", "Evaluate", "Project"]
    assert manifest.display_name == "U-Net"


def test_napari_accepts_what_goes_into_its_menus(manifest):
    for menu in manifest.contributions.menus:
        assert menu in {str(item) for item in MenuId.contributables()}


def test_napari_shows_the_docks_and_samples_in_its_menus(make_napari_viewer, npe2pm, manifest):
    npe2pm.register(manifest)
    window = make_napari_viewer().window
    docks = {f"{widget.display_name} (U-Net)" for widget in manifest.contributions.widgets}
    assert docks <= _texts(window.plugins_menu)
    assert docks <= _texts(window.layers_menu) | _texts(window.file_menu)
    assert {sample.display_name for sample in manifest.contributions.sample_data} <= _texts(window.file_menu)


def test_a_dock_opens_by_its_name(make_napari_viewer, npe2pm, manifest):
    viewer = make_napari_viewer()
    npe2pm.register(manifest)
    _, widget = viewer.window.add_plugin_dock_widget("napari-unet-interactive", "Paint")
    assert type(widget).__name__ == "PaintDock"


@pytest.mark.parametrize("name", ["U-Net", "Paint", "Weights", "Train", "Predict", "Evaluate", "Project"])
def test_docks_from_the_menu_see_the_viewer_itself(make_napari_viewer, npe2pm, manifest, name):
    viewer = make_napari_viewer()
    npe2pm.register(manifest)
    _, dock = viewer.window.add_plugin_dock_widget("napari-unet-interactive", name)
    docks = [dock, *dock.findChildren(QWidget)]
    seen = [each._viewer for each in docks if hasattr(each, "_viewer")]
    assert seen
    assert all(each is viewer for each in seen)


def test_the_brush_in_the_hand_is_shown_in_a_dock_from_the_menu(make_napari_viewer, npe2pm, manifest):
    viewer = make_napari_viewer()
    npe2pm.register(manifest)
    _, dock = viewer.window.add_plugin_dock_widget("napari-unet-interactive", "Paint")
    viewer.add_image(np.zeros((32, 32)))
    dock.make()
    assert dock.brushes.background.isChecked()


def test_finding_the_plugin_imports_no_torch():
    # What importing the package brings is told in test_package.py, what opening docks does in test_train.py.
    result = subprocess.run(
        [sys.executable, "-c", FORBID_TORCH + DISCOVER + "os._exit(0)"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def test_torch_on_the_main_thread_would_be_noticed():
    result = subprocess.run([sys.executable, "-c", FORBID_TORCH + "import torch\n"], check=False)
    assert result.returncode == 3


def _texts(menu):
    texts = set()
    for action in menu.actions():
        texts |= {action.text()} if action.menu() is None else _texts(action.menu())
    return texts

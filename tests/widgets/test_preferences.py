"""Preferences come from napari's settings, and their defaults from the manifest."""

from pathlib import Path

import pytest
from npe2 import PluginManifest

import napari_unet
from napari_unet.widgets.window.preferences import PLUGIN, Preferences, read_preferences

MANIFEST = PluginManifest.from_file(Path(napari_unet.__file__).parent / "napari.yaml")


@pytest.fixture
def settings(plugin_settings, npe2pm):
    from napari.settings import get_plugin_settings

    npe2pm.register(MANIFEST)
    return get_plugin_settings(PLUGIN)


def test_defaults_without_the_plugin(plugin_settings):
    assert read_preferences() == Preferences(Path.home() / "U-Net models")


def test_the_manifest_has_the_same_defaults(settings):
    assert read_preferences() == Preferences(Path.home() / "U-Net models")


def test_what_the_user_sets_is_read_at_need(settings):
    settings.general.models_folder = "~/models"
    settings.general.device = "cpu"
    settings.general.brush_size = 25
    settings.general.training_minutes = 0.5
    assert read_preferences() == Preferences(Path.home() / "models", "cpu", 25, 0.5)


def test_napari_refuses_a_device_there_is_not(settings):
    with pytest.raises(ValueError, match="abacus"):
        settings.general.device = "abacus"

"""Networks from elsewhere into the list of models, and models out of it."""

from dataclasses import replace

import pytest
import torch
from dock_helpers import discs, make_model
from foreign_networks import Milesial, randomise
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFileDialog, QInputDialog, QLabel, QPushButton

from napari_unet.files.networks.models import load_model, save_model
from napari_unet.widgets.predict import PredictDock
from napari_unet.widgets.projects.window_project import project_of
from napari_unet.widgets.window.preferences import Preferences


@pytest.fixture
def dock(make_napari_viewer, tmp_path, monkeypatch, qtbot):
    monkeypatch.setattr(
        "napari_unet.widgets.projects.window_project.read_preferences",
        lambda: Preferences(tmp_path / "models"),
    )
    viewer = make_napari_viewer()
    viewer.add_image(discs(), name="cells")
    dock = PredictDock(viewer)
    qtbot.addWidget(dock)
    return dock


def sentence(dock):
    return dock.findChild(QLabel, "predict_exchange").text()


def click(dock, name):
    dock.findChild(QPushButton, name).click()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit.load
def test_a_checkpoint_becomes_a_model_and_a_model_a_package(dock, tmp_path, monkeypatch, qtbot):
    checkpoint, package = tmp_path / "my unet.pth", tmp_path / "my unet.zip"
    torch.save(randomise(Milesial(1, 1, width=2)).state_dict(), checkpoint)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_args: (str(checkpoint), ""))
    click(dock, "predict_browse")
    # The list may see the new file, and choose it, before the work has ended.
    qtbot.waitUntil(lambda: sentence(dock) == "It is now the model my unet.", timeout=60_000)
    assert dock.model.path.stem == "my unet"
    assert dock.model.path.suffix == ".safetensors"
    assert "milesial" in load_model(dock.model.path).origin
    facts = dock.findChild(QLabel, "predict_facts").text()
    assert facts.startswith("Finds separate objects in 2-D images of 1 channel. Converted from my unet.pth")

    monkeypatch.setattr(QInputDialog, "getText", lambda *_args: ("A. Painter", True))
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_args: (str(package), ""))
    qtbot.waitUntil(dock.findChild(QPushButton, "predict_export").isEnabled, timeout=10_000)
    click(dock, "predict_export")
    qtbot.waitUntil(lambda: sentence(dock) == f"The package is {package}.", timeout=60_000)
    assert load_model(package).network == load_model(dock.model.path).network


def test_what_is_no_model_is_said_in_place(dock, tmp_path, monkeypatch, qtbot):
    other = tmp_path / "other.pth"
    other.write_bytes(b"\x80\x02}.")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_args: (str(other), ""))
    before = dock.model.path
    click(dock, "predict_browse")
    qtbot.waitUntil(lambda: "is not a napari-unet model" in sentence(dock), timeout=60_000)
    assert dock.model.path == before
    save_model(make_model(), tmp_path / "ours.safetensors")
    dock.select_model(tmp_path / "ours.safetensors")
    assert sentence(dock) == ""


def test_a_model_of_ours_is_taken_as_it_is(dock, tmp_path, monkeypatch):
    save_model(make_model(), tmp_path / "ours.safetensors")
    monkeypatch.setattr(
        QFileDialog, "getOpenFileName", lambda *_args: (str(tmp_path / "ours.safetensors"), "")
    )
    click(dock, "predict_browse")
    assert dock.model.path == tmp_path / "ours.safetensors"
    assert sentence(dock) == ""


def test_a_package_names_an_author(dock, tmp_path, monkeypatch):
    save_model(make_model(), tmp_path / "ours.safetensors")
    dock.select_model(tmp_path / "ours.safetensors")
    monkeypatch.setattr(QInputDialog, "getText", lambda *_args: (" ", True))
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_args: (str(tmp_path / "p.zip"), ""))
    click(dock, "predict_export")
    assert "at least one author" in sentence(dock)
    assert not (tmp_path / "p.zip").exists()


def test_the_paragraph_for_a_paper_is_copied(dock, tmp_path):
    model = make_model()
    history = replace(model.history, steps=2, versions={"torch": "2.13.0"})
    save_model(replace(model, history=history), tmp_path / "ours.safetensors")
    dock.select_model(tmp_path / "ours.safetensors")
    click(dock, "predict_methods")
    paragraph = QGuiApplication.clipboard().text()
    assert paragraph.startswith("Images were segmented with a 2-D U-Net")
    assert "0.75" in paragraph
    assert "is copied" in sentence(dock)
    (tmp_path / "ours.safetensors").write_bytes(b"damaged")
    click(dock, "predict_methods")
    assert "is copied" not in sentence(dock)


def test_a_model_that_was_listed_during_its_training_is_read_again_after_it(dock, tmp_path, qtbot):
    (tmp_path / "models").mkdir()
    model, path = make_model(), tmp_path / "models" / "cells.safetensors"
    save_model(model, path)
    qtbot.waitUntil(lambda: dock.model.path == path, timeout=5_000)
    facts = dock.findChild(QLabel, "predict_facts")
    assert facts.text().endswith("for 30 s, score 0.75.")
    save_model(replace(model, history=replace(model.history, seconds=80.0)), path)
    project_of(dock._viewer).note_model(path)
    assert facts.text().endswith("for 80 s, score 0.75.")
    dock.select_model(path)  # as the U-Net dock does after a training, also if the user did before
    save_model(replace(model, history=replace(model.history, seconds=300.0)), path)
    dock.select_model(path)
    assert facts.text().endswith("for 5 min, score 0.75.")

"""Every code block of the documentation runs: Python as it stands, commands on files of these names.

Only times of training are shortened. Lines of other programs are told by their first word; what needs a
cluster is marked ``.elsewhere`` or names a scheduler.
"""

import re
import shlex
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from skimage import data

from napari_unet import TrainingConfig, evaluate, predict, save_model, train
from napari_unet.cli import main
from napari_unet.files.pixels.images import BY_HAND, write_image
from napari_unet.files.projects.project import LayerLook, ProjectImage, ProjectLabels
from napari_unet.files.projects.project_labels import chunks_in
from napari_unet.files.projects.project_store import ImageState, LabelsState, ProjectState, ProjectStore
from napari_unet.files.settings import read_settings
from napari_unet.network.config import UNetConfig

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```(\w*|\{.*?\})\n(.*?)^```", re.MULTILINE | re.DOTALL)
ELSEWHERE = ("pip", "python", "source", "make", "git", "napari", "conda", "xvfb-run", "OMP_NUM_THREADS=1")


def blocks(language: str) -> list[object]:
    """The blocks of one language, page by page: those of a page may build on each other."""
    found = []
    for page in PAGES:
        texts = [text for name, text in BLOCK.findall(page.read_text(encoding="utf-8")) if name == language]
        if texts:
            found.append(pytest.param(texts, id=page.name))
    return found


def commands() -> list[object]:
    """Every line that calls our command."""
    return [
        pytest.param(line, id=f"{page.stem}: {line[12:60]}")
        for page in PAGES
        for _, text in BLOCK.findall(page.read_text(encoding="utf-8"))
        for line in text.splitlines()
        if line.startswith("napari-unet ") and "--scheduler" not in line
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with everything the commands name."""
    folder = tmp_path_factory.mktemp("docs")
    image = data.coins()[:64, :64]
    paint = np.zeros(image.shape, np.int32)
    paint[4:24, 4:24], paint[40:60, 40:60], paint[30:34, 2:60] = 2, 3, 1
    for name in ("images", "plate"):
        (folder / name).mkdir()
        tifffile.imwrite(folder / name / "a.tif", image)
    for name in ("paint", "truth"):
        (folder / name).mkdir()
        tifffile.imwrite(folder / name / "a.tif", paint)
    write_image(folder / "paint.tif", paint, "YX")
    with warnings.catch_warnings():
        zarr.create_array(folder / "slide.zarr", data=image, chunks=(32, 32))
        zarr.open_group(folder / "plate.zarr").create_array("A/1/0", data=image, chunks=(32, 32))
    model = train([image], [paint], TrainingConfig(steps=2, network=UNetConfig(levels=1, features=2)))
    save_model(model, folder / "nuclei.safetensors")
    (folder / "results").mkdir()
    write_image(folder / "results" / "a_objects.tif", predict(model, image).objects, "YX")
    write_image(folder / "corrected" / "a_objects.tif", paint, "YX", software=BY_HAND)
    entry = ProjectImage("a", LayerLook("a"), image.shape, "uint8")
    labels = ProjectLabels("a.zarr", "a", LayerLook("a paint"))
    known = LabelsState(labels, np.where(paint == 0, 1, paint), list(chunks_in(paint.shape)))
    store = ProjectStore.create(folder / "my project")
    store.save(ProjectState((ImageState(entry, image, folder / "images" / "a.tif"),), (known,)))
    save_model(model, folder / "my project" / "models" / "m.safetensors")
    store.note_model("m.safetensors")
    store.close()
    return folder


@pytest.mark.parametrize("texts", blocks("python"))
def test_python_runs(texts, made, monkeypatch):
    monkeypatch.chdir(made)
    image = data.coins()[:64, :64]
    truth = (image > 100).astype(np.int32)
    paint = np.zeros(image.shape, np.int32)
    paint[4:24, 4:24], paint[40:60, 40:60], paint[30:34, 2:60] = 2, 3, 1
    names = {"image": image, "other_image": image, "paint": paint, "truth": truth, "evaluate": evaluate}
    for text in texts:
        exec(compile(re.sub(r"seconds=\d+", "steps=2", text), "docs", "exec"), names)  # noqa: S102


@pytest.mark.parametrize("line", commands())
def test_a_command_runs(line, made, monkeypatch, capsys):
    monkeypatch.chdir(made)
    words = shlex.split(line, comments=True)[1:]
    if words[0] == "train":
        budget = ["--steps", "2"]
        words = re.sub(r"--seconds \d+", "", shlex.join(words))
        words = [*shlex.split(words), *budget]
        if "--start" not in words:
            words += ["--set", "network.levels=1", "network.features=2"]
    assert main(words) == 0, capsys.readouterr().err


def test_other_commands_are_known():
    """A block of commands holds ours, or those of other programs that are named here."""
    known = {*ELSEWHERE, "napari-unet", "#", ""}
    for page in PAGES:
        for language, text in BLOCK.findall(page.read_text(encoding="utf-8")):
            if language == "sh":
                for line in text.splitlines():
                    assert line.strip().split(" ")[0] in known, f"{page.name}: {line}"


def test_settings_in_a_file_are_read(tmp_path):
    texts = [
        text for name, text in BLOCK.findall((ROOT / "docs" / "api.md").read_text("utf-8")) if name == "toml"
    ]
    for text in texts:
        (tmp_path / "settings.toml").write_text(text, "utf-8")
        settings = read_settings(tmp_path / "settings.toml")
        assert (settings.training.network.features, settings.prediction.instances.min_size) == (32, 50)
    assert texts


def test_blocks_of_other_languages_end_where_they_end():
    page = "```{ .python .elsewhere }\na\n```\n\nText.\n\n```sh\nb\n```\n"
    assert BLOCK.findall(page) == [("{ .python .elsewhere }", "a\n"), ("sh", "b\n")]

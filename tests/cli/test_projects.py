"""A project made in a window is trained on, predicted with and told of by the command line."""

import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from skimage.draw import disk
from skimage.io import imsave

from napari_unet import load_model, load_project
from napari_unet.cli import main
from napari_unet.files import atomic
from napari_unet.files.pixels import sources
from napari_unet.files.pixels.images import read_image
from napari_unet.files.projects.project import (
    LayerLook,
    ProjectImage,
    ProjectLabels,
    ProjectRegions,
    read_project,
    write_project,
)
from napari_unet.files.projects.project_labels import chunks_in
from napari_unet.files.projects.project_lock import FILE as LOCK
from napari_unet.files.projects.project_store import ImageState, LabelsState, ProjectState, ProjectStore

SMALL = [
    *("--steps", "1", "--device", "cpu", "--set", "network.features=2", "network.levels=2"),
    *("training.patch_size=32", "training.batch_size=1"),
]


def draw(seed=0):
    truth = np.zeros((48, 40), np.int32)
    for index, centre in enumerate([(12, 12), (30, 12), (30, 28)], start=2):
        truth[disk(centre, 7)] = index
    noise = np.random.default_rng(seed).normal(50, 5, truth.shape)
    return (noise + 100 * (truth > 0)).astype(np.uint8), truth


@pytest.fixture
def folder(tmp_path):
    """A project of a linked image that is annotated as a whole, one in no file, and one unpainted."""
    (tmp_path / "data").mkdir()
    paths = [tmp_path / "data" / f"{name}.tif" for name in ("cells [1] µ", "plain")]
    truth = draw()[1]
    images, labels = [], []
    for number, path in enumerate([paths[0], None, paths[1]]):
        shown = draw(number)[0]
        if path is not None:
            tifffile.imwrite(path, shown)
        key = "computed" if path is None else path.stem.replace("[", "_").replace("]", "_")
        entry = ProjectImage(key, LayerLook(key), shown.shape, "uint8")
        images.append(ImageState(entry, shown, path))
    in_part = np.where(truth == 3, 0, truth)
    in_part[:3] = 1
    for key, paint in ((images[0].entry.key, truth), ("computed", in_part)):
        entry = ProjectLabels(f"{key}.zarr", key, LayerLook(f"{key} paint"))
        labels.append(LabelsState(entry, paint, list(chunks_in(paint.shape))))
    corners = ((-1.0, -1.0), (-1.0, 60.0), (60.0, 60.0), (60.0, -1.0))
    regions = ProjectRegions(images[0].entry.key, LayerLook("regions"), ("rectangle",), (corners,))
    folder = tmp_path / "my project"
    store = ProjectStore.create(folder)
    assert store.save(ProjectState(tuple(images), tuple(labels), (regions,))) == []
    store.close()
    return folder


def json_lines(text):
    return [json.loads(line) for line in text.splitlines()]


def test_train_predict_info_and_evaluate(folder, tmp_path, capsys):
    assert main(["train", "--project", str(folder), *SMALL]) == 0
    assert not (folder / LOCK).exists()
    name = read_project(folder).model
    assert name.startswith("my project ")
    assert f"models/{name}" in capsys.readouterr().out
    model = load_model(folder / "models" / name)
    assert model.mode == "objects"
    assert model.network.distance  # for the objects of the complete region are full
    assert len(read_project(folder).labels) == 2

    assert main(["predict", "--project", str(folder), "--output", str(tmp_path / "out")]) == 0
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["cells _1_ µ_objects.tif", "computed_objects.tif", "plain_objects.tif"]
    assert read_image(tmp_path / "out" / written[0]).pixels.shape == (48, 40)

    capsys.readouterr()
    assert main(["info", "--project", str(folder / "project.toml"), "--json"]) == 0
    (told,) = json_lines(capsys.readouterr().out)
    assert (told["open"], told["model"], told["models"]) == ("", name, [name])
    assert [image["sentence"] for image in told["images"]] == ["", "", ""]
    (labels,) = told["images"][0]["labels"]
    assert (labels["objects"], labels["full"], labels["regions"], labels["labelled"]) == (3, 3, 1, 1.0)
    assert main(["info", "--project", str(folder)]) == 0
    assert "3 objects, 3 of them filled to their border, 100.0% labelled" in capsys.readouterr().out

    usual = ["evaluate", "--project", str(folder), "--json"]
    assert main([*usual, "--predictions", str(tmp_path / "out")]) == 2
    out, err = capsys.readouterr()
    scores, _, _, failed = json_lines(out)
    assert scores["n_true"] == 3
    assert "of 'computed paint' is labelled, so it cannot be the truth" in failed["message"]
    assert f"Left out, as no truth was found: {tmp_path / 'out' / 'plain_objects.tif'}." in err


def test_scoring_on_an_image_of_the_project(folder, capsys):
    usual = ["train", "--project", str(folder), *SMALL, "--validation"]
    assert main([*usual, "computed"]) == 0
    assert main([*usual, "plain"]) == 2
    assert (
        "has no painted image 'plain' to score on; it has cells _1_ µ, computed." in capsys.readouterr().err
    )


def test_an_open_project_is_read_and_not_written(folder, tmp_path, capsys):
    store = ProjectStore.open(folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert main(["train", "--project", str(folder), *SMALL]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("The project my project is open in a window on this computer; close that")
    model = str(tmp_path / "m.safetensors")
    assert main(["train", "--project", str(folder), "--output", model, *SMALL]) == 0
    assert main(["predict", model, "--project", str(folder), "--output", str(tmp_path / "out")]) == 0
    assert main(["info", "--project", str(folder)]) == 0
    assert "in use         on this computer\n" in capsys.readouterr().out  # by a window, or a command
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    store.close()
    assert main(["info", "--project", str(folder)]) == 0
    assert "in use         nowhere\n" in capsys.readouterr().out


def test_images_that_are_gone_changed_or_of_another_shape_are_said(folder, tmp_path, capsys):
    image = next((tmp_path / "data").glob("cells*"))
    for pixels, sentence in (
        (draw(9)[0], "has changed since it was painted on"),
        (np.zeros((9, 9), np.uint8), "had the shape (48, 40) when it was painted on, and has another now"),
        (None, "was not found; open the project in napari"),
    ):
        image.unlink()
        if pixels is not None:
            tifffile.imwrite(image, pixels)
        assert main(["train", "--project", str(folder), "--output", str(tmp_path / "m"), *SMALL]) == 0
        assert sentence in capsys.readouterr().err
    shutil.rmtree(tmp_path / "data")
    model = str(tmp_path / "m")
    assert main(["predict", model, "--project", str(folder), "--output", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("was not found") == 2
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["computed_objects.tif"]
    shutil.rmtree(folder / "images")
    assert main(["train", "--project", str(folder), *SMALL]) == 2
    assert "can be learnt from: The image" in capsys.readouterr().err


def test_what_was_corrected_is_compared_with_what_was_predicted(folder, capsys):
    store = ProjectStore.open(folder)
    images = tuple(ImageState(entry, None) for entry in store.project.images)
    predicted = draw()[1]
    mended = np.where(predicted == 4, 0, predicted)
    entry = ProjectLabels("plain objects.zarr", "plain", LayerLook("plain objects"), "objects")
    state = LabelsState(entry, mended, list(chunks_in(mended.shape)), predicted)
    store.save(ProjectState(images, (state,)))
    store.close()
    assert main(["evaluate", "--project", str(folder), "--json"]) == 0
    scores, *_ = json_lines(capsys.readouterr().out)
    assert (scores["n_true"], scores["n_predicted"]) == (2, 3)
    assert main(["info", "--project", str(folder)]) == 0
    assert "objects      2 objects, 0 of them" in capsys.readouterr().out


@pytest.mark.parametrize("planes", [((0,), (2,)), ((0, 0), (2, 0))])
def test_objects_of_which_some_planes_were_not_segmented_are_no_truth_for_all(
    folder, tmp_path, capsys, planes
):
    store = ProjectStore.open(folder)
    images = tuple(ImageState(entry, None) for entry in store.project.images)
    stack = np.stack([draw()[1]] * 3).reshape(3, *(1,) * (len(planes[0]) - 1), 48, 40)
    stack[1] = 0
    chunks = list(chunks_in(stack.shape))
    objects = ProjectLabels(
        "plain objects.zarr", "plain", LayerLook("plain objects"), "objects", planes=planes
    )
    store.save(ProjectState(images, (LabelsState(objects, stack, chunks, stack.copy()),)))
    tifffile.imwrite(tmp_path / "plain_objects.tif", stack, photometric="minisblack")
    usual = ["evaluate", "--project", str(folder)]
    assert main(usual) == 0
    assert main([*usual, "--predictions", str(tmp_path / "plain_objects.tif")]) == 2
    assert "Only 2 of 3 planes of 'plain objects' were segmented" in capsys.readouterr().err
    every = replace(objects, planes=tuple(np.ndindex(stack.shape[: len(planes[0])])))
    store.save(ProjectState(images, (LabelsState(every, stack, chunks, stack.copy()),)))
    store.close()
    assert main([*usual, "--predictions", str(tmp_path / "plain_objects.tif")]) == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train", "--paint", "x"], "The project already sets what --paint would"),
        (["train", "--complete"], "The project already sets what --complete would"),
        (["train", "--set", "training.mode = classes"], "The project already sets what training.mode would"),
        (["predict", "--images", "x", "--output", "y"], "The project already sets what --images would"),
        (["predict", "--output", "y"], "has no model yet"),
        (["evaluate", "--truths", "x"], "The project already sets what --truths would"),
        (["evaluate"], "No predicted objects were corrected"),
        (["info", "cells"], "The project already sets what MODEL would"),
    ],
)
def test_one_line_for_what_does_not_go_together(folder, capsys, arguments, sentence):
    assert main([*arguments, "--project", str(folder)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line


def test_no_project(tmp_path, capsys):
    for command in (["train"], ["predict", "--output", "y"], ["evaluate"], ["info"]):
        for path in (tmp_path, tmp_path / "none", Path(__file__)):
            assert main([*command, "--project", str(path)]) == 2
            (line,) = capsys.readouterr().err.splitlines()
            assert line.endswith("it holds no project.toml; choose one that does.")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["shot.png", "shot.tif"])
def test_colours_with_opaque_alpha_are_three_channels_as_in_files(tmp_path, monkeypatch, name):
    monkeypatch.setattr(sources, "_WHOLE", 0)  # so the TIFF file is read in pieces
    colour = np.random.default_rng(0).integers(0, 255, (48, 40, 4), np.uint8)
    colour[..., 3] = 255
    path = tmp_path / name
    imsave(path, colour, check_contrast=False)
    entry = ProjectImage("shot", LayerLook("shot"), colour.shape, "uint8", rgb=True)
    labels = LabelsState(
        ProjectLabels("shot.zarr", "shot", LayerLook("paint"), mode="classes"), draw()[1], [(0, 0)]
    )
    store = ProjectStore.create(tmp_path / "p")
    store.save(ProjectState((ImageState(entry, colour, path),), (labels,)))
    store.close()
    project = load_project(tmp_path / "p")
    assert project.sentences == []
    assert (project.mode, project.channels) == ("classes", "last")
    np.testing.assert_array_equal(project.images[0], colour[..., :3])


def test_objects_and_classes_do_not_go_together(folder):
    project = read_project(folder)
    classes = replace(project.labels[1], mode="classes")
    write_project(folder, replace(project, labels=(project.labels[0], classes)))
    with pytest.raises(Exception, match="some of classes; choose one for all"):
        load_project(folder)


def test_a_project_on_read_only_media_is_trained_on_with_output(folder, tmp_path, monkeypatch, capsys):
    original = atomic._empty_file_in

    def create(parent):
        if parent.is_relative_to(folder):
            raise OSError(errno.EROFS, "Read-only file system")
        return original(parent)

    monkeypatch.setattr(atomic, "_empty_file_in", create)
    arguments = ["train", "--project", str(folder), *SMALL]
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"The project {folder} cannot be written")
    assert "--output" in line
    assert main([*arguments, "--output", str(tmp_path / "m.safetensors")]) == 0

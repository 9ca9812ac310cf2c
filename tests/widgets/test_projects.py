"""Projects in a real viewer: what is painted is in the folder, and opens as it was, whatever happened."""

import os
import shutil
import time
from pathlib import Path

import napari_builtins
import numpy as np
import pytest
import tifffile
from dock_helpers import discs, paint_on, save, say, tiny_training
from napari.layers import Image, Labels, Shapes
from napari.settings import get_settings
from npe2 import PluginManifest
from qtpy.QtCore import Qt
from qtpy.QtGui import QCloseEvent, QHideEvent
from qtpy.QtWidgets import QFileDialog, QMessageBox, QPushButton
from skimage.io import imsave

import napari_unet
from napari_unet import load_project
from napari_unet.files.networks.states import step_to_continue
from napari_unet.files.pixels.pixel_size import relative_spacing
from napari_unet.files.projects.project import FILE, read_project
from napari_unet.files.projects.project_lock import FILE as LOCK
from napari_unet.files.projects.project_store import ProjectStore, read_labels, read_settings
from napari_unet.widgets.bridge import marks
from napari_unet.widgets.bridge.channel_order import move_channels_first
from napari_unet.widgets.bridge.layers import (
    add_result,
    annotation_of,
    copy_image,
    copy_paint,
    edited_result,
    make_annotation,
)
from napari_unet.widgets.bridge.placement import micrometres, pixel_sizes
from napari_unet.widgets.bridge.seen_axes import passed_on, said_axes
from napari_unet.widgets.bridge.sight import parts_of
from napari_unet.widgets.bridge.timeline import timeline_of
from napari_unet.widgets.correcting.corrector import corrector_of
from napari_unet.widgets.painting.channel_layers import combine
from napari_unet.widgets.painting.regions import regions_layer, take_region_tool
from napari_unet.widgets.painting.take_section import take_corrections
from napari_unet.widgets.predict import PredictDock
from napari_unet.widgets.predicting.object_table import measurable
from napari_unet.widgets.predicting.prediction_targets import add_results
from napari_unet.widgets.predicting.saving import suggested_path
from napari_unet.widgets.project import ProjectDock
from napari_unet.widgets.project_reader import get_reader
from napari_unet.widgets.projects import project_members
from napari_unet.widgets.projects.window_project import open_project, project_of
from napari_unet.widgets.train import TrainDock
from napari_unet.widgets.unet import UNetDock
from napari_unet.widgets.weights import WeightsDock
from napari_unet.widgets.window.lifetime import is_alive

PLUGIN = "napari-unet-interactive"


@pytest.fixture
def data(tmp_path, npe2pm):
    """A folder with two images; the plugin is known to napari."""
    npe2pm.register(PluginManifest.from_file(Path(napari_unet.__file__).parent / "napari.yaml"))
    npe2pm.register(PluginManifest.from_file(Path(napari_builtins.__file__).parent / "builtins.yaml"))
    folder = tmp_path / "my images µ"
    folder.mkdir()
    tifffile.imwrite(folder / "a b.tif", discs((64, 80)))
    tifffile.imwrite(folder / "stack.tif", discs((3, 64, 70), seed=1), photometric="minisblack")
    return folder


def open_image(viewer, path):
    (layer,) = viewer.open(str(path), plugin="napari")
    return layer


def saved(viewer):
    """Save now, as it happens within two seconds, and return the session."""
    session = project_of(viewer).session
    session.flush()
    assert session.problem == ""
    return session


def reopened(make_napari_viewer, folder, qtbot):
    """Open the project as napari's File > Open does, in a new viewer."""
    viewer = make_napari_viewer()
    viewer.open(str(folder), plugin=PLUGIN)
    qtbot.waitUntil(lambda: project_of(viewer).session is not None)
    return viewer


@pytest.fixture
def made(make_napari_viewer, data, tmp_path, qtbot):
    """A viewer with a painted image and a project of it, and the folder of that."""
    viewer = make_napari_viewer()
    image = open_image(viewer, data / "a b.tif")
    paint_on(viewer, image)
    folder = tmp_path / "project ✂ 1"
    project_of(viewer).create(folder)
    saved(viewer)
    return viewer, folder


def test_a_stroke_is_on_disk_within_two_seconds(made, qtbot):
    viewer, folder = made
    paint = annotation_of(viewer, viewer.layers[0])
    paint.paint((50, 60), 7)
    painted = time.monotonic()
    qtbot.waitUntil(lambda: read_labels(folder, "a b.zarr")[0][50, 60] == 7, timeout=2000)
    assert time.monotonic() - painted < 2
    paint.undo()
    qtbot.waitUntil(lambda: read_labels(folder, "a b.zarr")[0][50, 60] == 0, timeout=2000)
    paint.data[1, 1] = 5  # a script
    paint.refresh()
    qtbot.waitUntil(lambda: read_labels(folder, "a b.zarr")[0][1, 1] == 5, timeout=2000)


def test_a_stroke_that_goes_on_is_saved_before_it_ends(made, qtbot):
    viewer, folder = made
    paint = annotation_of(viewer, viewer.layers[0])
    with paint.block_history():  # as between press and release of the mouse
        paint.paint((50, 60), 7)
        qtbot.waitUntil(lambda: read_labels(folder, "a b.zarr")[0][50, 60] == 7, timeout=2000)


def test_a_tick_without_news_asks_no_disk_for_images(made, monkeypatch):
    viewer, _ = made
    session = saved(viewer)
    asked = []
    monkeypatch.setattr(Path, "exists", lambda path, **_: asked.append(path) or True)
    monkeypatch.setattr(session, "_next_beat", np.inf)
    session.tick()
    assert not asked


def test_everything_opens_again_as_it_was(make_napari_viewer, data, tmp_path, qtbot):
    viewer = make_napari_viewer()
    stack, plain = open_image(viewer, data / "stack.tif"), open_image(viewer, data / "a b.tif")
    computed = viewer.add_image(np.arange(12, dtype=np.float32).reshape(3, 4), name="computed: 1/2")
    colour = viewer.add_image(np.zeros((20, 30, 3), np.uint8) + 9, name="colour", rgb=True)
    stack.scale, stack.units = (2, 0.5, 0.5), ("um", "um", "um")
    plain.colormap, plain.contrast_limits, plain.opacity, plain.visible = "green", (900, 4000), 0.5, False
    plain.name = "renamed"
    paints = [paint_on(viewer, stack), paint_on(viewer, plain), make_annotation(viewer, colour)]
    marks.set_mode(paints[0], "classes")
    marks.set_filled(paints[1], True)
    marks.accept_objects(paints[1], [2])
    shapes = take_region_tool(viewer, paints[1], "rectangle")
    shapes.add_rectangles(np.array([[5, 5], [5, 20], [25, 20], [25, 5]]))
    viewer.layers.selection.active = paints[1]
    add_result(viewer, plain, "objects", np.ones((64, 80), np.int32))  # a result that nobody corrected
    folder = tmp_path / "p"
    project_of(viewer).create(folder)
    before = snapshot(viewer)
    viewer.close()  # and what was not saved yet is
    assert not (folder / LOCK).exists()

    viewer = reopened(make_napari_viewer, folder, qtbot)
    assert snapshot(viewer) == [layer for layer in before if layer["name"] != "renamed objects"]
    stack, plain = viewer.layers["stack"], viewer.layers["renamed"]
    assert annotation_of(viewer, stack) is viewer.layers["stack paint"]
    assert marks.mode_of(viewer.layers["stack paint"]) == "classes"
    paint = annotation_of(viewer, plain)
    full = marks.known_full_of(paint)
    assert full.filled
    assert full.within(paint.data) is True
    assert len(full.accepted) == 1
    assert len(full.regions) == 1
    assert regions_layer(viewer, paint) is not None
    assert viewer.layers["colour"].rgb
    assert read_project(folder).images[2].kept == "computed_ 1_2.tif"
    assert computed.name in viewer.layers
    paint.paint((60, 70), 4)
    saved(viewer)
    assert read_labels(folder, "renamed.zarr")[0][60, 70] == 4


def snapshot(viewer):
    """Return all that a user sees of the layers."""
    seen = []
    for layer in viewer.layers:
        pixels = layer.data if isinstance(layer, Shapes) else np.asarray(layer.data)
        entry = {
            "name": layer.name,
            "kind": type(layer).__name__,
            "pixels": [part.tolist() for part in pixels],
            "dtype": None if isinstance(layer, Shapes) else str(pixels.dtype),
            "scale": layer.scale.tolist(),
            "units": [str(unit) for unit in layer.units],
            "visible": layer.visible,
            "opacity": layer.opacity,
            "blending": str(layer.blending),
        }
        if isinstance(layer, Image) and not layer.rgb:
            entry |= {"colormap": layer.colormap.name, "limits": list(layer.contrast_limits)}
        elif isinstance(layer, Labels):
            entry["colours"] = layer.colormap.colors.tolist()
        seen.append(entry)
    return seen


def test_one_image_of_several_channels_opens_again(make_napari_viewer, data, tmp_path, qtbot):
    viewer = make_napari_viewer()
    layers = viewer.add_image(discs((2, 64, 80)), channel_axis=0, name=["DAPI", "GFP"], scale=(0.5, 0.25))
    image = viewer.add_layer(combine(layers[::-1]))
    image.name = "DAPI + GFP"
    make_annotation(viewer, image, "first").data_setitem((np.array([5]), np.array([6])), 2)
    project_of(viewer).create(tmp_path / "project")
    saved(viewer)
    viewer.close()
    again = reopened(make_napari_viewer, tmp_path / "project", qtbot)
    found = again.layers["DAPI + GFP"]
    np.testing.assert_array_equal(found.data, image.data)
    assert (found.opacity, found.axis_labels) == (0, ("C", "-2", "-1"))
    np.testing.assert_array_equal(found.scale, (1, 0.5, 0.25))
    paint = annotation_of(again, found)
    assert paint.data[5, 6] == 2
    assert marks.image_channels(found, paint) == "first"
    assert parts_of(again, found) == [again.layers["GFP"], again.layers["DAPI"]]


def test_the_layers_that_an_image_was_made_of_are_known_again(make_napari_viewer, data, tmp_path, qtbot):
    tifffile.imwrite(data / "GFP.tif", discs((64, 80), seed=1))
    viewer = make_napari_viewer()
    layers = [open_image(viewer, data / name) for name in ("GFP.tif", "a b.tif")]
    viewer.add_layer(combine(layers))
    project_of(viewer).create(tmp_path / "project")
    saved(viewer)
    viewer.close()
    (tmp_path / "far").mkdir()
    away = (data / "GFP.tif").rename(tmp_path / "far" / "GFP.tif")
    again = reopened(make_napari_viewer, tmp_path / "project", qtbot)
    found = again.layers["GFP + a b"]
    assert parts_of(again, found) == [again.layers["a b"]]
    saved(again)
    for _ in range(2):  # opened by hand; then removed, and opened again
        gfp = open_image(again, away)
        saved(again)
        assert parts_of(again, found) == [gfp, again.layers["a b"]]
        again.layers.remove(gfp)
        saved(again)
    assert read_project(tmp_path / "project").images[2].parts == ("GFP", "a b")


@pytest.mark.parametrize("opens", ["the menu", "the dock"])
def test_what_files_say_of_their_pixels_is_known_again(opens, make_napari_viewer, data, tmp_path, qtbot):
    viewer = make_napari_viewer()
    said = {"axes": "ZCYX", "spacing": 2.0, "unit": "um"}
    resolution = (2, 2)
    tifffile.imwrite(
        data / "cells.tif", discs((6, 2, 40, 50)), imagej=True, resolution=resolution, metadata=said
    )
    image = open_image(viewer, data / "cells.tif")
    move_channels_first(viewer, image, "middle")
    paint = make_annotation(viewer, image, "first")
    paint.data[0, 3:9, 3:9] = 2
    part = Image(image.data[:, 1:4], name="part", metadata=passed_on(image, (2, 3, 40, 50)))
    viewer.add_layer(part)
    objects = add_result(viewer, image, "objects", np.zeros((6, 40, 50), np.int32))
    known = [said_axes(image), said_axes(part), pixel_sizes(paint, image), suggested_path(image, objects)]
    assert known[2] == (2.0, 0.5, 0.5)
    assert known[3] == data / "cells_objects.tif"
    project_of(viewer).create(tmp_path / "p")
    saved(viewer)
    viewer.close()
    project = load_project(tmp_path / "p")
    assert (project.sizes, project.pixel_sizes) == ([(2.0, 0.5, 0.5)], [micrometres(paint, image)])
    viewer = make_napari_viewer() if opens == "the dock" else None
    if viewer is None:
        viewer = reopened(make_napari_viewer, tmp_path / "p", qtbot)
    else:
        open_project(viewer, tmp_path / "p")
    image, part, paint = (viewer.layers[name] for name in ("cells", "part", "cells paint"))
    objects = add_result(viewer, image, "objects", np.zeros((6, 40, 50), np.int32))
    assert known == [
        said_axes(image),
        said_axes(part),
        pixel_sizes(paint, image),
        suggested_path(image, objects),
    ]
    saved(viewer)
    assert read_project(tmp_path / "p").images[0].axes == "CZYX"


def test_files_are_asked_for_their_axes_once_not_twice_a_second(made, monkeypatch):
    viewer, _ = made
    image, asked = viewer.layers[0], []

    def said_and_noted(layer):
        asked.append(layer)
        return said_axes(layer)

    monkeypatch.setattr(project_members, "said_axes", said_and_noted)
    image.opacity = 0.5
    saved(viewer)
    assert asked == []
    image.data = image.data[:, :40]
    saved(viewer)
    assert asked == [image]


def test_a_script_reads_what_the_window_trains_on(make_napari_viewer, data, tmp_path):
    viewer = make_napari_viewer()
    shot = np.random.default_rng(0).integers(0, 255, (40, 50, 4), np.uint8)
    shot[..., 3] = 255
    imsave(data / "shot.png", shot, check_contrast=False)
    tifffile.imwrite(data / "hyper.tif", discs((3, 2, 40, 50)), imagej=True, metadata={"axes": "ZCYX"})
    names = ("stack.tif", "a b.tif", "shot.png", "hyper.tif")
    images = [open_image(viewer, data / name) for name in names]
    images[0].scale, images[0].units = (2, 0.5, 0.5), ("um", "um", "um")
    images[1].scale, images[1].rotate, images[1].translate = (0.1, 0.2), 30, (5, 7)
    images[1].shear, images[1].affine = (0.2,), np.array([[1, 0.1, 3], [0, 2, 4], [0, 0, 1]])
    paints = [paint_on(viewer, image) for image in images]
    marks.accept_objects(paints[0], [2])
    marks.set_filled(paints[2], True)
    shapes = take_region_tool(viewer, paints[1], "polygon")
    shapes.add_rectangles(np.array([[5, 5], [5, 20], [25, 20], [25, 5]]))
    shapes.add_ellipses(np.array([[30, 30], [30, 61], [45, 61], [45, 30]]))
    shapes.scale, shapes.translate = (0.12, 0.21), (4, 8)  # moved away from the paint
    shapes.data = shapes.data
    project_of(viewer).create(tmp_path / "p")
    saved(viewer)
    project = load_project(tmp_path / "p")
    assert project.sentences == []
    assert project.names == [image.name for image in images]
    assert len(marks.known_full_of(paints[1]).regions) == 2
    for number, (image, paint) in enumerate(zip(images, paints, strict=True)):
        pixels = copy_paint(paint)
        np.testing.assert_array_equal(project.images[number], copy_image(image))
        np.testing.assert_array_equal(project.paints[number], pixels)
        assert project.full[number] == marks.known_full_of(paint).within(pixels)
        assert relative_spacing(project.sizes[number]) == relative_spacing(pixel_sizes(paint))
        assert project.pixel_sizes[number] == micrometres(paint)
    assert (project.paints[1] == 1).sum() > (paints[1].data == 1).sum()
    assert project.full[0] == {2}
    assert project.images[2].shape == (40, 50, 3)


def test_corrections_of_a_prediction_are_kept_with_what_was_predicted(made, make_napari_viewer, qtbot):
    viewer, folder = made
    predicted = np.zeros((64, 80), np.int32)
    predicted[5:20, 5:20] = 1
    result = add_result(viewer, viewer.layers[0], "objects", predicted.copy())
    saved(viewer)
    assert len(read_project(folder).labels) == 1  # a prediction is made again; corrections are not
    result.paint((40, 40), 2)
    saved(viewer)
    viewer.close()
    viewer = reopened(make_napari_viewer, folder, qtbot)
    again = viewer.layers["a b objects"]
    assert again.data[40, 40] == 2
    np.testing.assert_array_equal(again.get_color(1), result.get_color(1))
    mark = marks.mark_of(again)
    assert mark.kind == "objects"
    np.testing.assert_array_equal(mark.shown, predicted)


def test_what_was_corrected_before_there_was_a_project_is_kept(make_napari_viewer, data, tmp_path, qtbot):
    viewer = make_napari_viewer()
    image = open_image(viewer, data / "a b.tif")
    make_annotation(viewer, image)
    predicted = np.zeros((64, 80), np.int32)
    predicted[5:20, 5:20], predicted[30:50, 30:50] = 1, 2
    result = add_result(viewer, image, "objects", predicted)
    corrector_of(viewer, result).stroke("rejected", np.array([[10.0, 10.0]]), (0, 1))
    project_of(viewer).create(tmp_path / "p")
    saved(viewer)
    viewer.close()
    viewer = reopened(make_napari_viewer, tmp_path / "p", qtbot)
    assert np.unique(viewer.layers["a b objects"].data).tolist() == [0, 2]


def test_which_planes_were_segmented_is_known_again(make_napari_viewer, data, tmp_path, qtbot):
    viewer = make_napari_viewer()
    image = open_image(viewer, data / "stack.tif")
    found = np.zeros((64, 70), np.int32)
    found[5:20, 5:20] = 1
    for plane in (0, 2):
        add_results(viewer, image, {"objects": found}, plane=(plane,), shape=image.data.shape)
    objects = viewer.layers["stack objects"]
    corrector_of(viewer, objects).stroke("rejected", np.array([[2.0, 10.0, 10.0]]), (1, 2))
    project_of(viewer).create(tmp_path / "p")
    saved(viewer)
    assert read_project(tmp_path / "p").labels[0].planes == ((0,), (2,))
    viewer.close()

    viewer = reopened(make_napari_viewer, tmp_path / "p", qtbot)

    def planes_in_table():
        (of_stack,) = measurable(viewer, [viewer.layers["stack"]])
        names, *rows = of_stack.table()
        return {row[names.index("z_px")] for row in rows}

    assert planes_in_table() == {0, 2}
    for plane in (1, 2):
        add_results(viewer, viewer.layers["stack"], {"objects": found}, plane=(plane,), shape=(3, 64, 70))
    assert planes_in_table() == {0, 1, 2}


def test_corrections_that_are_in_the_paint_are_not_to_be_taken_again(made, make_napari_viewer, qtbot):
    viewer, folder = made
    image, paint = viewer.layers[0], viewer.layers["a b paint"]
    predicted = np.zeros((64, 80), np.int32)
    predicted[5:20, 5:20], predicted[30:50, 30:50], predicted[5:20, 40:60] = 1, 2, 3
    result = add_result(viewer, image, "objects", predicted)
    timeline = timeline_of(paint)
    strokes = (
        ("rejected", np.array([[10.0, 10.0]])),
        ("split", np.array([[40.0, 25.0], [40.0, 55.0]])),
    )
    for kind, path in strokes:
        corrector_of(viewer, result).stroke(kind, path, (0, 1))
        saved(viewer)
    timeline.undo()
    saved(viewer)
    result.paint((10, 50), 7)
    saved(viewer)
    take_corrections(viewer, image)
    saved(viewer)
    assert edited_result(viewer, image, "objects") is None
    viewer.close()
    viewer = reopened(make_napari_viewer, folder, qtbot)
    assert np.unique(viewer.layers["a b objects"].data).tolist() == [0, 2, 3, 7]
    assert edited_result(viewer, viewer.layers["a b"], "objects") is None


def test_all_models_are_offered_in_a_project_its_own_first(made, models, make_napari_viewer, qtbot):
    _, folder = made
    _, usual = save(models, "same"), save(models, "usual")
    viewer = reopened(make_napari_viewer, folder, qtbot)  # a second window, which only reads
    dock = PredictDock(viewer)
    qtbot.addWidget(dock)
    chooser = dock.model

    def offered():
        return [chooser.itemText(index) for index in range(chooser.count())]

    assert offered() == ["usual (U-Net models)", "same (U-Net models)"]
    assert chooser.folder == models
    chooser.choose(usual)
    project_of(viewer).create(folder.parent / "copy")
    saved(viewer)
    assert offered() == ["usual (U-Net models)", "same (U-Net models)"]
    assert chooser.path == usual
    assert chooser.folder == folder.parent / "copy" / "models"
    save(models, "later")
    qtbot.waitUntil(lambda: len(offered()) == 3, timeout=5_000)
    os.utime(save(chooser.folder, "same"), (2e9, 2e9))
    qtbot.waitUntil(lambda: offered()[0] == "same", timeout=5_000)
    assert offered() == ["same", "later (U-Net models)", "usual (U-Net models)"]
    assert chooser.path == usual
    save(chooser.folder, "usual")
    qtbot.waitUntil(lambda: len(offered()) == 3 and offered()[1] == "usual", timeout=5_000)
    assert chooser.path == chooser.folder / "usual.safetensors"


def test_a_model_goes_into_a_project_that_is_made_while_it_learns(
    make_napari_viewer, data, home, qtbot, monkeypatch
):
    tiny_training(monkeypatch, steps=100_000)
    viewer = make_napari_viewer()
    paint_on(viewer, open_image(viewer, data / "a b.tif"))
    train, predict = TrainDock(viewer), PredictDock(viewer)
    for dock in (train, predict):
        qtbot.addWidget(dock)
    train.start()
    qtbot.waitUntil(lambda: say(train, "train_status").startswith("Step"), timeout=60_000)
    project_of(viewer).create(home / "p")
    with qtbot.waitSignal(train.saved, timeout=60_000) as trained:
        train.stop()
    qtbot.waitUntil(lambda: not train.is_running, timeout=20_000)
    saved(viewer)
    (path,) = trained.args
    copy = home / "p" / "models" / path.name
    assert read_project(home / "p").model == path.name
    assert step_to_continue(copy) == step_to_continue(path) > 0
    assert predict.model.path == copy
    assert [predict.model.itemText(index) for index in range(predict.model.count())] == [path.stem]


def test_a_model_trained_beside_a_project_that_is_only_read_goes_into_its_copy(
    made, make_napari_viewer, home, qtbot
):
    _, folder = made
    viewer = reopened(make_napari_viewer, folder, qtbot)
    path = save(home, "beside")
    project_of(viewer).note_model(path)
    assert project_of(viewer).last_model == path
    project_of(viewer).create(home / "p")
    saved(viewer)
    assert read_project(home / "p").model == path.name
    assert project_of(viewer).last_model == home / "p" / "models" / path.name


def test_a_prediction_that_is_deleted_leaves_nothing(made, make_napari_viewer, qtbot):
    viewer, folder = made
    result = add_result(viewer, viewer.layers[0], "objects", np.ones((64, 80), np.int32))
    saved(viewer)
    viewer.layers.remove(result)
    saved(viewer)
    saved(viewer)
    assert [labels.kind for labels in read_project(folder).labels] == ["paint"]


def test_settings_come_back_into_docks_that_are_open(made, make_napari_viewer, qtbot):
    viewer, folder = made
    dock = TrainDock(viewer)
    qtbot.addWidget(dock)
    dock.form._minutes.setValue(7.5)
    dock.form._seed.setValue(3)
    saved(viewer)
    project_of(viewer).note_model(save(folder / "models", "m"))
    viewer.close()
    viewer = make_napari_viewer()
    whole = UNetDock(viewer)
    qtbot.addWidget(whole)
    dock = whole.train
    open_project(viewer, folder)
    assert (dock.form._minutes.value(), dock.form._seed.value()) == (7.5, 3)
    # What is to be done next begins with its model, too.
    qtbot.waitUntil(lambda: "Predict, to see" in say(whole, "unet_advice"), timeout=20_000)
    saved(viewer)
    assert read_settings(folder)["train"]["train_minutes"] == 7.5


def test_a_dock_that_is_gone_hears_nothing_of_projects(make_napari_viewer, data, tmp_path, qtbot):
    viewer = make_napari_viewer()
    open_image(viewer, data / "a b.tif")
    docks = [kind(viewer) for kind in (TrainDock, PredictDock, UNetDock, ProjectDock)]
    for dock in docks:
        dock.deleteLater()
    qtbot.waitUntil(lambda: not any(map(is_alive, docks)))
    project_of(viewer).create(tmp_path / "p")  # what a slot raises fails the test
    saved(viewer)
    project_of(viewer).note_model(save(tmp_path / "p" / "models", "m"))
    project_of(viewer).create(tmp_path / "q")
    saved(viewer)
    project_of(viewer).close()


def test_of_two_docks_the_one_in_which_something_was_set_last_is_kept(made, qtbot):
    viewer, folder = made
    first, second = TrainDock(viewer), TrainDock(viewer)
    qtbot.addWidget(first)

    def minutes():
        saved(viewer)
        return read_settings(folder)["train"]["train_minutes"]

    for dock, value in ((first, 3), (second, 4), (first, 5)):
        dock.form._minutes.setValue(value)
        assert minutes() == value
    second.close()
    second.deleteLater()
    qtbot.wait(50)
    first.form._minutes.setValue(6)
    assert minutes() == 6
    third = TrainDock(viewer)
    qtbot.addWidget(third)
    assert third.form._minutes.value() == 6
    assert minutes() == 6


def test_settings_and_the_last_model_with_its_curve_come_back(made, make_napari_viewer, qtbot):
    viewer, folder = made
    train, weights, predict = TrainDock(viewer), WeightsDock(viewer), PredictDock(viewer)
    for dock in (train, weights, predict):
        qtbot.addWidget(dock)
    assert predict.model.folder == folder / "models"
    path = save(folder / "models", "first")
    train.saved.emit(path)
    # What is set after a training goes before what its model was trained with.
    train.form._minutes.setValue(7.5)
    train.form._augmentation.setCurrentIndex(3)
    weights.w0.setValue(33)
    saved(viewer)
    assert read_settings(folder)["train"]["train_minutes"] == 7.5
    viewer.close()

    viewer = reopened(make_napari_viewer, folder, qtbot)
    train, weights, predict = TrainDock(viewer), WeightsDock(viewer), PredictDock(viewer)
    for dock in (train, weights, predict):
        qtbot.addWidget(dock)
    assert train.form._minutes.value() == 7.5
    assert train.form._augmentation.currentText() == "Strong"
    assert weights.config().w0 == 33
    assert train.form.chosen_start(None) == path
    assert len(train.plot._scores) == 2
    assert predict.model.path == path
    assert project_of(viewer).models_folder == folder / "models"


@pytest.mark.parametrize(
    ("which", "opens"),
    [
        ("usual", "first"),
        ("starter", "later"),
        ("elsewhere", "later"),
        ("elsewhere", "first"),
        ("own", "first"),
    ],
)
def test_the_model_that_was_predicted_with_is_chosen_again(  # noqa: PLR0917 - fixtures
    which, opens, made, models, starters, make_napari_viewer, tmp_path, qtbot
):
    viewer, folder = made
    starters.mkdir(parents=True)
    places = {"usual": models, "starter": starters, "elsewhere": tmp_path, "own": folder / "models"}
    used = save(places[which], which)
    trained = save(folder / "models", "trained")
    project_of(viewer).note_model(trained)
    dock = PredictDock(viewer)
    qtbot.addWidget(dock)
    dock.select_model(used)
    with qtbot.waitSignal(dock.ended, timeout=60_000):
        dock.start()
    saved(viewer)
    viewer.close()

    def reopen():
        viewer = make_napari_viewer()
        docks = [PredictDock(viewer)] if opens == "later" else []
        open_project(viewer, folder)
        dock = docks[0] if docks else PredictDock(viewer)
        qtbot.addWidget(dock)
        return viewer, dock

    viewer, dock = reopen()
    assert dock.model.path == used
    saved(viewer)
    viewer.close()
    store = ProjectStore.open(folder)
    store.note_model(save(folder / "models", "by command").name)
    store.close()
    viewer, dock = reopen()
    assert dock.model.path.stem == "by command"  # it was trained since
    dock.select_model(used)
    with qtbot.waitSignal(dock.ended, timeout=60_000):
        dock.start()
    saved(viewer)
    viewer.close()
    used.unlink()
    viewer, dock = reopen()
    assert dock.model.path.stem == "by command"


@pytest.mark.parametrize("trains", [False, True])
def test_a_project_that_is_made_later_knows_what_was_predicted_with(  # noqa: PLR0917 - fixtures
    data, models, make_napari_viewer, tmp_path, qtbot, trains
):
    viewer = make_napari_viewer()
    open_image(viewer, data / "a b.tif")
    dock = PredictDock(viewer)
    qtbot.addWidget(dock)
    used, trained = save(models, "used"), save(models, "trained")
    project_of(viewer).note_model(trained)
    dock.select_model(trained if trains else used)
    with qtbot.waitSignal(dock.ended, timeout=60_000):
        dock.start()
    project_of(viewer).create(tmp_path / "p")
    saved(viewer)
    saved(viewer)
    viewer.close()
    viewer = reopened(make_napari_viewer, tmp_path / "p", qtbot)
    dock = PredictDock(viewer)
    qtbot.addWidget(dock)
    assert dock.model.path == (tmp_path / "p" / "models" / trained.name if trains else used)


def test_in_a_project_that_is_opened_again_the_labels_are_looked_at(made, make_napari_viewer, qtbot):
    viewer, folder = made
    found = np.zeros((64, 80), np.int32)
    found[34:40, 60:70], found[50:60, 60:70] = 1, 2
    objects = add_result(viewer, viewer.layers[0], "objects", found)
    corrector_of(viewer, objects).stroke("rejected", np.array([(36.0, 65)]), (0, 1))
    project_of(viewer).note_model(save(folder / "models", "first"))
    saved(viewer)
    viewer.close()
    viewer = make_napari_viewer()
    dock = UNetDock(viewer)
    qtbot.addWidget(dock)
    viewer.open(str(folder), plugin=PLUGIN)
    qtbot.waitUntil(lambda: dock.paint.counted is not None, timeout=20_000)
    assert "If they are right, save them" in say(dock, "unet_advice")
    annotation_of(viewer, viewer.layers[0]).paint((50, 60), 7)
    qtbot.waitUntil(lambda: "Train again" in say(dock, "unet_advice"), timeout=20_000)


def test_what_is_trained_after_the_project_was_deleted_goes_where_models_usually_go(
    made, home, qtbot, monkeypatch
):
    tiny_training(monkeypatch, steps=3)
    viewer, folder = made
    train = TrainDock(viewer)
    qtbot.addWidget(train)
    shutil.rmtree(folder)
    with qtbot.waitSignal(train.saved, timeout=60_000) as trained:
        train.start()
    qtbot.waitUntil(lambda: not train.is_running, timeout=20_000)
    assert trained.args[0].parent == home / "U-Net models"
    assert not folder.exists()


@pytest.mark.slow
def test_docks_that_are_open_follow_the_project(made, make_napari_viewer, qtbot):
    _, folder = made
    viewer = make_napari_viewer()
    train = TrainDock(viewer)
    qtbot.addWidget(train)
    row = ProjectDock(viewer)
    qtbot.addWidget(row)
    assert "No project" in say(row, "project_status")
    project_of(made[0]).close()
    path = save(folder / "models", "m")
    open_project(viewer, folder)
    assert "Project project ✂ 1" in say(row, "project_status")
    assert train.form.image.layer is viewer.layers[0]
    project_of(viewer).note_model(path)
    saved(viewer)
    assert read_project(folder).model == "m.safetensors"


# Where images went.


def test_images_that_moved_with_the_project_are_found(made, data, make_napari_viewer, tmp_path, qtbot):
    viewer, folder = made
    viewer.close()
    elsewhere = tmp_path / "another disk"
    elsewhere.mkdir()
    shutil.move(data, elsewhere / data.name)
    shutil.move(folder, elsewhere / folder.name)
    viewer = reopened(make_napari_viewer, elsewhere / folder.name, qtbot)
    np.testing.assert_array_equal(viewer.layers[0].data, discs((64, 80)))
    assert project_of(viewer).session.missing == []


def test_images_that_moved_alone_are_asked_for(  # noqa: PLR0917 - fixtures
    made, data, make_napari_viewer, tmp_path, qtbot, monkeypatch
):
    viewer, folder = made
    viewer.layers[0].name = "cells"
    saved(viewer)
    viewer.close()
    far = tmp_path / "far" / "away"
    far.mkdir(parents=True)
    shutil.move(data / "a b.tif", far / "a b.tif")
    viewer = reopened(make_napari_viewer, folder, qtbot)
    assert [layer.name for layer in viewer.layers] == ["a b paint"]
    dock = ProjectDock(viewer)
    qtbot.addWidget(dock)
    assert say(dock, "project_missing").startswith("1 image is not in this window (cells from a b.tif).")
    viewer.layers[0].paint((60, 60), 9)  # painting goes on without it
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path / "my images µ"))
    dock.findChild(QPushButton, "project_find").click()
    assert "cells from a b.tif is not in" in say(dock, "project_missing")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path / "far"))
    dock.findChild(QPushButton, "project_find").click()
    assert [layer.name for layer in viewer.layers] == ["cells", "a b paint"]
    assert annotation_of(viewer, viewer.layers[0]) is viewer.layers[1]
    assert viewer.layers.selection.active is viewer.layers[1]  # painting goes on
    assert say(dock, "project_missing") == ""
    saved(viewer)
    assert read_project(folder).images[0].path == "../far/away/a b.tif"
    assert read_labels(folder, "a b.zarr")[0][60, 60] == 9


@pytest.mark.parametrize("hides", [False, True])
def test_what_is_seen_is_worked_on(made, make_napari_viewer, qtbot, hides):
    viewer, folder = made
    other = viewer.add_image(discs(), name="other", visible=not hides)
    assert viewer.layers[-1] is other
    saved(viewer)
    viewer.close()
    viewer = reopened(make_napari_viewer, folder, qtbot)
    assert [layer.name for layer in viewer.layers] == ["a b", "a b paint", "other"]
    assert viewer.layers.selection.active.name == ("a b paint" if hides else "other")


@pytest.mark.slow
def test_a_missing_image_that_is_opened_by_hand_is_known(made, data, make_napari_viewer, tmp_path, qtbot):
    viewer, folder = made
    viewer.close()
    (tmp_path / "far").mkdir()
    shutil.move(data / "a b.tif", tmp_path / "far" / "a b.tif")
    viewer = reopened(make_napari_viewer, folder, qtbot)
    image = open_image(viewer, tmp_path / "far" / "a b.tif")
    qtbot.waitUntil(lambda: annotation_of(viewer, image) is not None)
    assert len(read_project(folder).images) == 1


def test_an_image_that_changed_is_said_and_one_of_another_shape_keeps_its_paint(
    made, data, make_napari_viewer, qtbot, monkeypatch
):
    viewer, folder = made
    painted = annotation_of(viewer, viewer.layers[0]).data.copy()
    viewer.close()
    tifffile.imwrite(data / "a b.tif", discs((64, 80)) + 1)
    said = []
    monkeypatch.setattr("napari_unet.widgets.projects.window_project.show_warning", said.append)
    viewer = reopened(make_napari_viewer, folder, qtbot)
    assert "has changed since it was painted on; see whether its paint still fits" in said.pop()
    assert annotation_of(viewer, viewer.layers[0]) is viewer.layers[1]
    viewer.close()
    tifffile.imwrite(data / "a b.tif", discs((64, 64)))
    viewer = reopened(make_napari_viewer, folder, qtbot)
    assert [layer.name for layer in viewer.layers] == ["a b paint"]
    np.testing.assert_array_equal(viewer.layers[0].data, painted)
    assert "has shape (64, 64) now and had (64, 80) when it was painted on" in said.pop()


# Two windows, folders that go, and closing.


def test_a_second_window_reads_only_and_says_so(made, make_napari_viewer, qtbot):
    first, folder = made
    second = reopened(make_napari_viewer, folder, qtbot)
    dock = ProjectDock(second)
    qtbot.addWidget(dock)
    session = project_of(second).session
    assert not session.is_writable
    assert "is open in another window on this computer" in say(dock, "project_problem")
    assert project_of(second).models_folder != folder / "models"
    second.layers[1].paint((60, 60), 9)
    session.flush()
    assert read_labels(folder, "a b.zarr")[0][60, 60] == 0
    second.close()
    assert (folder / LOCK).exists()  # of the first
    first.close()
    assert not (folder / LOCK).exists()


def test_a_folder_that_goes_and_comes_back_costs_nothing(made, tmp_path, qtbot):
    viewer, folder = made
    dock = ProjectDock(viewer)
    qtbot.addWidget(dock)
    folder.rename(tmp_path / "gone")
    paint = annotation_of(viewer, viewer.layers[0])
    paint.paint((50, 60), 7)
    qtbot.waitUntil(lambda: "is gone, so nothing is saved" in say(dock, "project_problem"), timeout=3000)
    assert "not saved" in say(dock, "project_status")
    paint.paint((10, 60), 8)  # painting goes on
    assert not folder.exists()
    (tmp_path / "gone").rename(folder)
    qtbot.waitUntil(lambda: say(dock, "project_problem") == "", timeout=8000)
    again = read_labels(folder, "a b.zarr")[0]
    assert (again[50, 60], again[10, 60]) == (7, 8)


def test_a_deleted_project_is_saved_elsewhere(made, tmp_path, qtbot, monkeypatch):
    viewer, folder = made
    save(folder / "models", "m")
    dock = ProjectDock(viewer)
    qtbot.addWidget(dock)
    shutil.rmtree(folder)
    annotation_of(viewer, viewer.layers[0]).paint((50, 60), 7)
    qtbot.waitUntil(lambda: "is gone" in say(dock, "project_problem"), timeout=3000)
    new = tmp_path / "deep" / "new"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(new), ""))
    dock.findChild(QPushButton, "project_new").click()
    saved(viewer)
    assert say(dock, "project_problem") == ""
    assert read_labels(new, "a b.zarr")[0][50, 60] == 7
    assert read_project(new).images[0].path == "../../my images µ/a b.tif"
    assert not folder.exists()


@pytest.mark.slow
def test_save_as_takes_all_of_the_project(made, tmp_path, qtbot, make_napari_viewer):
    viewer, folder = made
    save(folder / "models", "m")
    viewer.layers.remove(viewer.layers[1])  # the paint: in no window, and still in the project
    saved(viewer)
    project_of(viewer).create(tmp_path / "copy")
    saved(viewer)
    assert (tmp_path / "copy" / "models" / "m.safetensors").exists()
    assert not (folder / LOCK).exists()
    viewer.close()
    viewer = reopened(make_napari_viewer, tmp_path / "copy", qtbot)
    assert [layer.name for layer in viewer.layers] == ["a b", "a b paint"]
    assert viewer.layers[1].data.any()


def test_layers_that_are_removed_stay_in_the_project_until_they_are_left_out(made, qtbot, make_napari_viewer):
    viewer, folder = made
    dock = ProjectDock(viewer)
    qtbot.addWidget(dock)
    annotation_of(viewer, viewer.layers[0]).paint((50, 60), 7)
    viewer.layers.remove(viewer.layers[0])
    saved(viewer)
    dock.findChild(QPushButton, "project_forget").click()
    assert "delete these first" in say(dock, "project_missing")
    viewer.layers.clear()
    saved(viewer)
    assert read_labels(folder, "a b.zarr")[0][50, 60] == 7
    assert len(read_project(folder).labels) == 1
    assert "It stays in the project" in say(dock, "project_missing")
    dock.findChild(QPushButton, "project_forget").click()
    saved(viewer)
    assert read_project(folder).images == ()
    assert (folder / "paint" / "a b.zarr").exists()


def test_paint_that_is_made_anew_takes_the_place_of_the_one_that_was_removed(made, qtbot):
    viewer, folder = made
    viewer.layers.remove(viewer.layers[1])
    saved(viewer)
    make_annotation(viewer, viewer.layers[0]).paint((50, 60), 7)
    saved(viewer)
    (labels,) = read_project(folder).labels
    assert labels.file == "a b 2.zarr"
    assert (folder / "paint" / "a b.zarr").exists()


def test_what_waits_to_be_saved_is_saved_as_the_window_closes(made):
    viewer, folder = made
    annotation_of(viewer, viewer.layers[0]).paint((50, 60), 7)
    viewer.close()
    assert read_labels(folder, "a b.zarr")[0][50, 60] == 7
    assert not (folder / LOCK).exists()


class ByHand(QCloseEvent):
    """As from the button of the window."""

    def spontaneous(self):
        return True


def test_a_window_with_what_cannot_be_saved_asks_before_it_closes(made, tmp_path, monkeypatch):
    viewer, folder = made
    project, window = project_of(viewer), viewer.window.main_menu.window()
    asked = []
    monkeypatch.setattr(QMessageBox, "question", lambda *given, **_: asked.append(given[2]) or answers.pop())
    answers = [QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.No]
    assert not project.eventFilter(window, ByHand())
    assert asked == []
    folder.rename(tmp_path / "gone")
    annotation_of(viewer, viewer.layers[0]).paint((50, 60), 7)
    assert project.eventFilter(window, ByHand())
    assert "is gone, so nothing is saved" in asked[0]
    assert not project.eventFilter(window, ByHand())
    (tmp_path / "gone").rename(folder)
    project.eventFilter(window, QHideEvent())
    assert project.session is None
    assert read_labels(folder, "a b.zarr")[0][50, 60] == 7
    assert not (folder / LOCK).exists()


def test_closing_by_the_menu_asks_as_well(made, tmp_path, monkeypatch):
    viewer, folder = made
    window = viewer.window.main_menu.window()
    window.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)  # the fixture closes it again
    window.show()
    get_settings().application.confirm_close_window = False
    answers = [QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.No]
    monkeypatch.setattr(QMessageBox, "question", lambda *_, **__: answers.pop())
    folder.rename(tmp_path / "gone")
    annotation_of(viewer, viewer.layers[0]).paint((50, 60), 7)
    window.close(quit_app=False, confirm_need=True)  # as File > Close window does
    assert window.isVisible()
    assert project_of(viewer).session is not None
    window.close(quit_app=False, confirm_need=True)
    assert not window.isVisible()
    assert answers == []


def test_a_script_that_closes_the_window_is_asked_nothing(made, tmp_path, monkeypatch):
    viewer, folder = made
    viewer.window.show()
    asked = []
    monkeypatch.setattr(QMessageBox, "question", lambda *given, **_: asked.append(given[2]))
    folder.rename(tmp_path / "gone")
    annotation_of(viewer, viewer.layers[0]).paint((50, 60), 7)
    viewer.window.close()
    assert asked == []


@pytest.mark.slow
def test_another_project_in_the_same_window(made, make_napari_viewer, data, tmp_path, qtbot):
    viewer, folder = made
    other = make_napari_viewer()
    open_image(other, data / "stack.tif")
    project_of(other).create(tmp_path / "other")
    other.close()
    annotation_of(viewer, viewer.layers[0]).paint((50, 60), 7)
    open_project(viewer, tmp_path / "other")
    assert read_labels(folder, "a b.zarr")[0][50, 60] == 7  # the first was saved
    assert not (folder / LOCK).exists()
    saved(viewer)
    assert {image.key for image in read_project(tmp_path / "other").images} == {"stack", "a b"}


@pytest.mark.parametrize("how", ["dropped", "button"])
def test_a_project_that_is_open_is_not_read_again(made, qtbot, monkeypatch, how):
    viewer, folder = made
    added = []
    viewer.layers.events.inserted.connect(added.append)
    if how == "dropped":
        viewer.open(str(folder), plugin=PLUGIN)
    else:
        dock = ProjectDock(viewer)
        qtbot.addWidget(dock)
        monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))
        dock.findChild(QPushButton, "project_open").click()
        assert "open in this window already" in say(dock, "project_problem")
    qtbot.wait(50)
    assert not added
    assert project_of(viewer).session.is_writable


@pytest.mark.slow
def test_the_same_project_dropped_twice_at_once(made, make_napari_viewer, qtbot):
    _, folder = made
    made[0].close()
    viewer = make_napari_viewer()
    for _ in range(2):
        viewer.open(str(folder), plugin=PLUGIN)
    qtbot.waitUntil(lambda: project_of(viewer).session is not None)
    qtbot.waitUntil(lambda: len(viewer.layers) == 2)
    assert project_of(viewer).session.is_writable


# What is no project, or one with bad intent.


def test_the_reader_takes_projects_alone(made, data):
    _, folder = made
    assert get_reader(str(folder)) is not None
    assert get_reader(str(folder / FILE)) is not None
    assert get_reader([str(folder)]) is not None
    assert get_reader([str(folder), str(folder)]) is None
    assert get_reader(str(data)) is None
    assert get_reader(str(data / "a b.tif")) is None


def test_dropping_the_project_file_opens_it(made, make_napari_viewer, qtbot):
    viewer, folder = made
    viewer.close()
    viewer = make_napari_viewer()
    viewer.open(str(folder / FILE), plugin=None)  # none but this plugin opens it, so napari asks nobody
    qtbot.waitUntil(lambda: project_of(viewer).session is not None)
    assert len(viewer.layers) == 2
    assert any(
        widget.objectName() == "project_dock" for widget in viewer.window._qt_window.findChildren(ProjectDock)
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("version = 1", "version = 2"), "reads up to 1; update napari-unet"),
        (('file = "a b.zarr"', 'file = "../../../etc/passwd"'), "plain name of a file in the project"),
    ],
)
def test_newer_and_hostile_projects_are_refused_in_a_sentence(  # noqa: PLR0917 - fixtures
    made, make_napari_viewer, qtbot, change, sentence, monkeypatch
):
    viewer, folder = made
    viewer.close()
    text = (folder / FILE).read_text(encoding="utf-8")
    assert change[0] in text
    (folder / FILE).write_text(text.replace(*change), encoding="utf-8")
    said = []
    monkeypatch.setattr("napari_unet.widgets.project_reader.show_error", said.append)
    viewer = make_napari_viewer()
    viewer.open(str(folder), plugin=PLUGIN)
    qtbot.wait(10)
    assert len(viewer.layers) == 0
    assert sentence in said[0]
    assert project_of(viewer).session is None


def test_a_project_runs_no_code(made, make_napari_viewer, qtbot, tmp_path):
    viewer, folder = made
    viewer.close()
    script = tmp_path / "my images µ" / "evil.py"
    script.write_text(f"open({str(tmp_path / 'owned')!r}, 'w')")
    text = (folder / FILE).read_text(encoding="utf-8")
    (folder / FILE).write_text(text.replace("a b.tif", "evil.py"), encoding="utf-8")
    viewer = reopened(make_napari_viewer, folder, qtbot)
    assert not (tmp_path / "owned").exists()
    assert [layer.name for layer in viewer.layers] == ["a b paint"]


def test_odd_values_do_not_keep_a_project_from_opening(made, make_napari_viewer, qtbot):
    viewer, folder = made
    viewer.close()
    text = (folder / FILE).read_text(encoding="utf-8")
    odd = 'scale = [0.0, nan]\naffine = [[1.0]]\nunits = ["parsec?", ""]\nopacity = 7.0\nblending = "x"\n'
    odd += 'colormap = "none such"\ngamma = -1.0\nrotate = [[0.0, 0.0], [0.0, 0.0]]\naxis_labels = ["a"]\n'
    lines = [line for line in text.splitlines() if not line.startswith(("opacity", "blending"))]
    text = "\n".join(lines).replace('name = "a b"\n', 'name = "a b"\n' + odd)
    (folder / FILE).write_text(text.replace('name = "a b paint"\n', 'name = "a b paint"\n' + odd))
    viewer = reopened(make_napari_viewer, folder, qtbot)
    assert [layer.name for layer in viewer.layers] == ["a b", "a b paint"]


def test_layers_are_saved_as_a_project(make_napari_viewer, data, tmp_path, qtbot):
    viewer = make_napari_viewer()
    paint = paint_on(viewer, open_image(viewer, data / "a b.tif"))
    marks.set_filled(paint, True)
    written = viewer.layers.save(str(tmp_path / "saved.unet"), plugin=PLUGIN)
    assert [Path(path).name for path in written] == ["saved.unet"]
    viewer = reopened(make_napari_viewer, tmp_path / "saved.unet", qtbot)
    assert [layer.name for layer in viewer.layers] == ["a b", "a b paint"]
    assert marks.known_full_of(annotation_of(viewer, viewer.layers[0])).filled


def test_the_dock_is_described(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    dock = ProjectDock(viewer)
    qtbot.addWidget(dock)
    for control in dock.findChildren(QPushButton):
        assert control.toolTip()
        assert control.objectName()
    assert not dock.findChild(QPushButton, "project_find").isVisibleTo(dock)


def test_no_window_no_session(data, made):
    """A script without a window opens the layers alone."""
    from napari.components import ViewerModel

    viewer = ViewerModel()
    open_project(viewer, made[1])
    assert len(viewer.layers) == 2
    assert not project_of(viewer).session.is_writable

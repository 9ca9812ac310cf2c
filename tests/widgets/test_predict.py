"""The Predict dock with real threads and untrained networks; what it adds, and where."""

import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dask.array import from_array
from dock_helpers import discs, make_model, save, say
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from napari.layers import Image, Labels
from qtpy.QtWidgets import QCheckBox, QFileDialog, QInputDialog, QPushButton
from tifffile import imread

from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.files.networks.models import save_model
from napari_unet.network.config import PredictionConfig
from napari_unet.network.prediction import predict
from napari_unet.widgets.bridge.layers import add_result, edited_result, make_annotation
from napari_unet.widgets.bridge.marks import KEY, layers_of
from napari_unet.widgets.models.model_chooser import ModelChooser, ModelFacts
from napari_unet.widgets.predict import PredictDock
from napari_unet.widgets.predicting import prediction_run
from napari_unet.widgets.predicting.object_table import measurable
from napari_unet.widgets.predicting.prediction_run import (
    PreviewBegun,
    Segmented,
    SourceImage,
    SourceWanted,
    TilesDone,
    resolve_channels,
    segment,
)
from napari_unet.widgets.predicting.prediction_targets import add_results, write_plane
from napari_unet.widgets.predicting.save_row import SaveRow
from napari_unet.widgets.predicting.saving import FORMATS
from napari_unet.widgets.projects.window_project import project_of

LAST_ID = 2**31 - 1

pytestmark = pytest.mark.usefixtures("models")


@pytest.fixture
def dock(viewer, models, qtbot):
    save(models)
    dock = PredictDock(viewer)
    qtbot.addWidget(dock)
    return dock


def tick(dock, **boxes):
    for name, is_on in boxes.items():
        dock.findChild(QCheckBox, f"predict_{name}").setChecked(is_on)


def predict_with(dock, qtbot):
    dock.start()
    qtbot.waitUntil(lambda: not dock.is_running, timeout=60_000)


def test_a_dock_on_its_own_saves_the_labels_and_a_table_of_one_image_or_of_several(
    dock, viewer, qtbot, tmp_path, monkeypatch
):
    row, labels, table = (
        dock.findChild(kind, name)
        for kind, name in (
            (SaveRow, None),
            (QPushButton, "predict_save"),
            (QPushButton, "predict_save_table"),
        )
    )
    image = viewer.add_image(discs(), name="cells")
    assert row.isHidden()
    found = add_result(viewer, image, "objects", np.eye(64, dtype=np.int32))
    assert not row.isHidden()
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "saved"), ""))
    labels.click()
    saved = tmp_path / "saved.tif"
    qtbot.waitUntil(lambda: say(dock, "predict_saved") == f"Saved 'cells objects' as {saved}", timeout=20_000)
    np.testing.assert_array_equal(imread(saved), found.data)
    other = viewer.add_image(discs(), name="more")
    dock.image.choose(other)
    assert row.isHidden()
    add_result(viewer, other, "objects", np.eye(64, dtype=np.int32))
    dock.image.setCurrentIndex(dock.image.findData("all"))
    assert say(dock, "predict_saved") == ""  # it was on the image chosen before
    monkeypatch.setattr(QInputDialog, "getItem", lambda *_: (list(FORMATS)[1], True))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    labels.click()
    qtbot.waitUntil(lambda: "Saved the labels of 2 images" in say(dock, "predict_saved"), timeout=20_000)
    assert {path.name for path in tmp_path.glob("*.zip")} == {"cells_objects.zip", "more_objects.zip"}
    table.click()
    qtbot.waitUntil(lambda: "table of 2 images" in say(dock, "predict_saved"), timeout=20_000)
    assert len((tmp_path / "saved.csv").read_text().splitlines()) == 3
    inside = PredictDock(viewer, scrollable=False)  # the U-Net dock has such buttons itself
    qtbot.addWidget(inside)
    assert inside.findChild(SaveRow) is None


# Planes into stacks.


@given(
    stack=hnp.arrays(np.int32, (3, 4, 5), elements=st.sampled_from([0, 0, 1, 2, 7, LAST_ID])),
    plane=hnp.arrays(np.int32, (4, 5), elements=st.integers(0, 3)),
    index=st.integers(0, 2),
)
def test_a_plane_keeps_its_objects_and_shares_no_id(stack, plane, index):
    full = stack.copy()
    write_plane(full, (index,), plane, "objects")
    others = [other for other in range(3) if other != index]
    np.testing.assert_array_equal(full[others], stack[others])
    new = full[index]
    np.testing.assert_array_equal(new > 0, plane > 0)
    pairs = set(zip(plane[plane > 0].tolist(), new[plane > 0].tolist(), strict=True))
    assert len(pairs) == len({old for old, _ in pairs}) == len({fresh for _, fresh in pairs})
    assert not set(np.unique(new)) & (set(np.unique(full[others])) - {0})


def join(viewer, plane, result, kind, shape=(3, 4, 5)):
    image = viewer.layers[0]
    return add_results(viewer, image, {kind: result}, plane=(plane,), shape=shape)[kind]


def test_planes_of_probabilities_join_and_those_of_another_shape_begin_anew(viewer):
    viewer.add_image(np.zeros((3, 4, 5)))
    plane = np.full((2, 4, 5), 0.5, np.float32)
    layer = join(viewer, 1, plane, "probabilities")
    assert (layer.data.shape, layer.data.dtype) == ((3, 4, 5), np.float32)
    assert join(viewer, 2, plane / 2, "probabilities") is layer
    assert layer.data[:, 0, 0].tolist() == [0, 0.5, 0.25]
    other = join(viewer, 1, plane, "probabilities", shape=(2, 4, 5))
    assert other.data[:, 0, 0].tolist() == [0, 0.5]


@pytest.mark.parametrize("is_edited", [False, True])
def test_a_plane_of_labels_is_written_where_it_is_shown_unless_the_user_edited_them(viewer, is_edited):
    image = viewer.add_image(np.zeros((3, 4, 5)))
    viewer.dims.set_point(0, 2)
    plane = np.eye(4, 5, dtype=np.int32)
    layer = join(viewer, 1, plane, "objects")
    data, shown = layer.data, layer.metadata[KEY].shown
    if is_edited:
        layer.data_setitem((np.array([0]), np.array([0]), np.array([0])), 9)
    before, drawn = layer.data.copy(), []
    layer.events.set_data.connect(drawn.append)
    for index in (2, 1):  # the second again
        after = join(viewer, index, 3 * plane, "objects")
        assert bool(drawn) is not is_edited
        drawn.clear()
    assert (after is layer) is not is_edited
    assert (after.data is data) is (after.metadata[KEY].shown is shown) is not is_edited
    assert after.data is not after.metadata[KEY].shown
    highest = 12 if is_edited else 4
    expected = np.stack([before[0], (highest + 3) * plane, highest * plane])
    np.testing.assert_array_equal(after.data, expected)
    np.testing.assert_array_equal(after.metadata[KEY].shown, expected)
    np.testing.assert_array_equal(after._slice.image.raw, expected[2])
    assert edited_result(viewer, image, "objects") is (layer if is_edited else None)
    if is_edited:
        np.testing.assert_array_equal(layer.data, before)


@pytest.mark.parametrize(
    ("shape", "channels", "in_channels", "result"),
    [
        ((9, 8), "auto", 1, "none"),
        ((5, 9, 8), "auto", 1, "none"),
        ((9, 8, 3), "auto", 3, "last"),
        ((3, 9, 8), "auto", 3, "first"),
        ((7, 9, 8, 2), "auto", 2, "last"),
        ((9, 8, 1), "auto", 1, "last"),
        ((3, 9, 8), "first", 3, "first"),
        ((7, 3, 9, 8), "auto", 3, "middle"),
    ],
)
def test_channels_are_found_without_the_pixels(shape, channels, in_channels, result):
    assert resolve_channels(shape, channels=channels, ndim=2, in_channels=in_channels) == result


def test_channels_that_do_not_fit_are_told():
    with pytest.raises(InputError, match="1 channel "):
        resolve_channels((9, 8), channels="auto", ndim=2, in_channels=2)


# The computation.


def run_segment(path, sources, kinds=("probabilities",)):
    events = segment(
        path,
        len(sources),
        kinds,
        PredictionConfig(),
        device="cpu",
        keep_unfinished=False,
        control=Control(),
    )
    return list(answered(events, sources))


def answered(events, sources):
    """The events but those that ask for a source, which are answered."""
    for event in events:
        if isinstance(event, SourceWanted):
            event.answer.put(sources[event.number])
        elif not isinstance(event, PreviewBegun):
            yield event


def test_a_plane_alone_is_what_it_is_in_its_stack(models):
    path = save(models)
    stack = discs((3, 48, 40)) * np.array([1, 3, 9], np.uint16)[:, None, None]  # each plane brighter
    *_, whole = run_segment(path, [SourceImage(stack, "none")])
    *_, alone = run_segment(path, [SourceImage(stack, "none", plane=(2, 10, 10))])
    assert (alone.plane, alone.shape, whole.plane) == ((2,), (3, 48, 40), ())
    np.testing.assert_array_equal(alone.results["probabilities"], whole.results["probabilities"][:, 2])
    np.testing.assert_array_equal(
        whole.results["probabilities"], predict(make_model(), stack, device="cpu").probabilities
    )


def test_of_a_stack_only_the_plane_that_is_segmented_is_copied():
    stack = discs((3, 48, 40))
    plane = prediction_run._read(SourceImage(stack, "none", plane=(1, 0, 0)), make_model()).pixels
    assert plane.base is None  # nor is it a view of a copy of all planes
    np.testing.assert_array_equal(plane[0], stack[1])


def test_a_slice_beyond_the_memory_is_a_sentence_with_the_way_out(models, monkeypatch):
    monkeypatch.setattr("napari_unet.files.results.large_prediction._FITTING_SHARE", 0)
    with pytest.raises(InputError, match=r"20 × 30 pixels is too large.*untick 'only the slice shown'"):
        run_segment(
            save(models), [SourceImage(np.zeros((2, 20, 30)), "none", plane=(1, 0, 0), folder=models)]
        )
    with pytest.raises(InputError, match=r"2 × 20 × 30 pixels is too large.*press Predict,"):
        run_segment(save(models), [SourceImage(np.zeros((2, 20, 30)), "none")])


def test_several_images_in_turn(models):
    events = run_segment(
        save(models), [SourceImage(discs(), "none"), SourceImage(discs((40, 24)), "none")], ("objects",)
    )
    assert [type(event) for event in events] == [TilesDone, Segmented] * 2
    assert [event.number for event in events] == [0, 0, 1, 1]
    # One image of float32 is kept, not both classes, and none where no objects are wanted.
    assert events[3].rereading.nbytes == 4 * 40 * 24
    assert events[3].rereading.foregrounds[()].base.nbytes == 4 * 40 * 24
    *_, without = run_segment(models / "model.safetensors", [SourceImage(discs(), "none")], ("classes",))
    assert without.rereading is None
    assert events[3].results["objects"].shape == (40, 24)


@pytest.mark.parametrize("keep", [True, False])
def test_a_stop_gives_the_finished_tiles_or_nothing(models, keep):
    control = Control()
    events = []
    running = segment(
        save(models),
        2,
        ("classes",),
        PredictionConfig(tile_size=16),
        device="cpu",
        keep_unfinished=keep,
        control=control,
    )
    for event in answered(running, [SourceImage(discs(), "none")] * 2):
        events.append(event)
        control.stop()
    tiles = [event for event in events if isinstance(event, TilesDone)]
    assert len(tiles) < 16  # the first, and those that other threads had begun
    if not keep:
        assert events == tiles
        return
    *_, result = events
    classes = result.results["classes"]
    assert not result.complete
    assert (classes[:16, :16] > 0).all()
    assert not classes[-16:].any()


# The list of models.


def test_models_come_newest_first_and_go(models, qtbot):
    paths = [save(models, name) for name in ("old", "new")]
    for age, path in zip((2000, 1000), paths, strict=True):
        os.utime(path, (1e9 - age, 1e9 - age))
    chooser = ModelChooser(models)
    qtbot.addWidget(chooser)
    told = []
    chooser.model_changed.connect(told.append)
    assert [chooser.itemText(i) for i in range(chooser.count())] == ["new", "old"]
    assert chooser.path == paths[1]
    chooser.choose(paths[0])
    newest = save(models, "newest")
    qtbot.waitUntil(lambda: chooser.count() == 3, timeout=5_000)
    assert chooser.itemText(0) == "newest"
    assert chooser.path == paths[0]  # a new file does not take the choice away
    paths[0].unlink()
    qtbot.waitUntil(lambda: chooser.count() == 2, timeout=5_000)
    assert chooser.path == newest
    assert told == [paths[0], newest]


def test_a_model_elsewhere_and_a_folder_that_comes_later(tmp_path, qtbot):
    folder = tmp_path / "later"
    chooser = ModelChooser(folder)
    qtbot.addWidget(chooser)
    assert chooser.path is None
    elsewhere = save(tmp_path, "elsewhere")
    chooser.choose(elsewhere)
    assert chooser.path == elsewhere
    folder.mkdir()
    inside = save(folder, "inside")
    chooser.choose(inside)
    assert chooser.path == inside
    assert chooser.count() == 2


def test_a_folder_that_another_window_makes_is_seen(tmp_path, qtbot):
    folder = tmp_path / "lab" / "U-Net models"
    chooser = ModelChooser(folder)
    qtbot.addWidget(chooser)
    told = []
    chooser.model_changed.connect(told.append)
    folder.mkdir(parents=True)
    path = save(folder)
    qtbot.waitUntil(lambda: chooser.path == path, timeout=5_000)
    (tmp_path / "beside").mkdir()
    path.unlink()
    folder.rmdir()
    qtbot.waitUntil(lambda: chooser.path is None, timeout=5_000)
    folder.mkdir()
    again = save(folder, "again")
    qtbot.waitUntil(lambda: chooser.path == again, timeout=5_000)
    assert told == [path, None, again]


def test_a_folder_that_goes_while_it_is_listed_has_no_models(tmp_path, qtbot, monkeypatch):
    folder, elsewhere = tmp_path / "models", save(tmp_path, "elsewhere")
    folder.mkdir()
    inside = save(folder, "inside")
    chooser = ModelChooser(folder)
    qtbot.addWidget(chooser)
    scandir = os.scandir

    def too_late(path):
        if Path(path) == folder and folder.exists():
            inside.unlink()
            folder.rmdir()
        return scandir(path)

    monkeypatch.setattr(os, "scandir", too_late)
    chooser.choose(elsewhere)
    assert not folder.exists()
    assert chooser.path == elsewhere
    assert chooser.itemData(0) == elsewhere


def test_a_model_in_words(models):
    facts = ModelFacts.read(save(models, channels=3))
    assert facts.sentence() == (
        "Finds separate objects in 2-D images of 3 channels. Trained 02 Jan 2026 03:04 for 30 s, score 0.75."
    )
    assert "3 classes (background, class 2, class 3)" in ModelFacts.read(save(models, classes=3)).sentence()


# The dock.


def test_results_lie_on_the_source(dock, viewer, qtbot):
    image = viewer.add_image(
        discs(), name="cells", scale=(0.5, 0.25), translate=(3, 4), units=("um", "um"), axis_labels=("y", "x")
    )
    tick(dock, objects=True, classes=True, probabilities=True)
    with qtbot.waitSignal(dock.predicted, timeout=60_000):
        dock.start()
    qtbot.waitUntil(lambda: not dock.is_running)
    results = [layer for layer in viewer.layers if layer is not image]
    assert [layer.name for layer in results] == ["cells objects", "cells classes", "cells probability"]
    assert [layer.data.dtype for layer in results] == [np.int32, np.uint8, np.float32]
    for layer in results:
        assert layer.data.shape == image.data.shape
        np.testing.assert_array_equal(layer.scale, image.scale)
        np.testing.assert_array_equal(layer.translate, image.translate)
        assert layer.units == image.units
        assert layer.axis_labels == image.axis_labels
    assert say(dock, "predict_status").startswith("Done")


def test_renaming_and_choosing_another_image_meanwhile_misplaces_nothing(dock, viewer, qtbot):
    source = viewer.add_image(discs((64, 48)), name="source")
    dock.start()
    source.name = "renamed"
    other = viewer.add_image(discs((32, 40)), name="source")
    viewer.layers.selection.active = other
    dock.image.choose(other)
    qtbot.waitUntil(lambda: not dock.is_running, timeout=60_000)
    (result,) = (layer for layer in viewer.layers if isinstance(layer, Labels))
    assert result.data.shape == (64, 48)
    assert result.name == "renamed objects"
    assert "'renamed'" in say(dock, "predict_status")
    assert viewer.layers.selection.active is other


def test_what_came_of_an_image_is_told_until_another_one_is_chosen(dock, viewer, qtbot):
    first, second = (viewer.add_image(discs(), name=name) for name in ("first", "second"))
    dock.image.choose(first)
    dock.start()
    qtbot.waitUntil(lambda: not dock.is_running, timeout=60_000)
    assert "'first'" in say(dock, "predict_status")
    dock.image.choose(second)
    assert say(dock, "predict_status") == ""
    dock.ended.connect(lambda: dock.image.choose(first))  # as the dock of all steps does
    dock.start()
    qtbot.waitUntil(lambda: not dock.is_running, timeout=60_000)
    assert dock.image.layer is first
    assert "'second'" in say(dock, "predict_status")


def test_an_image_that_was_given_other_pixels_meanwhile(dock, viewer, qtbot):
    source = viewer.add_image(discs(), name="cells")

    def change(event):
        if isinstance(event, PreviewBegun):  # its pixels are copied
            source.data = discs((32, 32))

    dock.start()
    dock._run.job.happened.connect(change)
    qtbot.waitUntil(lambda: not dock.is_running, timeout=60_000)
    assert list(viewer.layers) == [source]
    assert "has changed since it was segmented" in say(dock, "predict_status")
    predict_with(dock, qtbot)
    assert viewer.layers[1].data.shape == (32, 32)


def test_an_image_that_was_deleted_meanwhile(dock, viewer, qtbot):
    source = viewer.add_image(discs(), name="cells")
    dock.start()
    viewer.layers.remove(source)
    qtbot.waitUntil(lambda: not dock.is_running, timeout=60_000)
    assert len(viewer.layers) == 0
    assert "'cells' was deleted" in say(dock, "predict_status")


def test_all_images_that_suit(dock, viewer, qtbot):
    viewer.add_image(discs(), name="a")
    colours = [discs(seed=number).astype(np.uint8) for number in range(3)]
    viewer.add_image(np.dstack(colours), rgb=True, name="colour")
    viewer.add_image(discs((3, 40, 32)), name="b")
    dock.image.choose(viewer.layers["a"])
    dock.image.setCurrentIndex(dock.image.findData("all"))
    assert say(dock, "predict_suits") == "2 of 3 images suit the model."
    predict_with(dock, qtbot)
    assert {layer.name for layer in viewer.layers if isinstance(layer, Labels)} == {"a objects", "b objects"}
    assert "2 images" in say(dock, "predict_status")
    # What was predicted is no image to predict.
    predict_with(dock, qtbot)
    assert len(viewer.layers) == 5


def in_colours(grey, *, alpha=False):
    """Return a grey picture as colours, as it is often saved."""
    opaque = [np.full(grey.shape, 255, np.uint8)] * alpha
    return np.stack([grey.astype(np.uint8)] * 3 + opaque, axis=-1)


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("shape", [(64, 64), (3, 64, 64)])
def test_a_grey_picture_in_colours_is_a_grey_one(dock, viewer, qtbot, shape, alpha):
    grey = viewer.add_image(discs(shape).astype(np.uint8), name="grey")
    image = viewer.add_image(in_colours(grey.data, alpha=alpha), rgb=True, name="colours")
    dock.image.choose(image)
    assert "read as one channel" in say(dock, "predict_suits")
    predict_with(dock, qtbot)
    dock.image.choose(grey)
    assert "read as one channel" not in say(dock, "predict_suits")
    predict_with(dock, qtbot)
    np.testing.assert_array_equal(viewer.layers["colours objects"].data, viewer.layers["grey objects"].data)


def test_a_picture_that_is_grey_where_it_was_looked_at_is_refused_once_all_of_it_is_read(dock, viewer, qtbot):
    picture = in_colours(discs((400, 400)))
    picture[1, 1, 0] += 1
    viewer.add_image(picture, rgb=True)
    dock.start()
    qtbot.waitUntil(lambda: not dock.is_running, timeout=60_000)
    assert "3 channels and the model was trained on 1" in say(dock, "predict_status")
    assert len(viewer.layers) == 1


def test_colours_on_disk_are_told_without_reading_them(dock, viewer):
    reads = []

    def read(block):
        reads.append(block.shape)
        return block

    grey, colours = in_colours(discs()), np.dstack([discs(seed=seed).astype(np.uint8) for seed in range(3)])
    for picture, suits in ((grey, True), (colours, False)):
        on_disk = from_array(picture, chunks=-1).map_blocks(read, meta=np.empty((0, 0, 0), np.uint8))
        image = viewer.add_image(on_disk, rgb=True)
        dock.image.choose(image)
        assert reads  # by napari
        reads.clear()
        assert dock.can_predict == suits
        assert not reads


def test_channels_that_were_found_are_told(dock, viewer, models):
    def told():
        return "channels of the model" in say(dock, "predict_suits")

    image = viewer.add_image(discs((3, 4, 2, 64, 64)), name="movie")
    assert not told()
    dock.select_model(save(models, "three", channels=3))
    assert say(dock, "predict_suits").startswith(
        "The first axis of 'movie' is taken for the 3 channels of the model; if that is wrong, choose another"
    )
    dock.form.channels_choice.setCurrentIndex(dock.form.channels_choice.findData("first"))
    assert not told()
    dock.form.channels_choice.setCurrentIndex(dock.form.channels_choice.findData("auto"))
    assert told()
    dock.select_model(save(models, "two", channels=2))
    assert say(dock, "predict_suits").startswith("The axis before Y and X of 'movie'")
    make_annotation(viewer, image, "middle")
    assert not told()
    colours = np.dstack([discs(seed=seed).astype(np.uint8) for seed in range(3)])
    for picture, is_rgb, model in ((colours, True, "three"), (colours[..., :1], False, "model")):
        dock.image.choose(viewer.add_image(picture, rgb=is_rgb))
        dock.select_model(models / f"{model}.safetensors")
        assert dock.can_predict
        assert not told()


@pytest.mark.parametrize("is_opaque", [True, False])
def test_an_opaque_alpha_channel_is_no_colour(dock, viewer, qtbot, models, is_opaque):
    picture = in_colours(discs(), alpha=True)
    if not is_opaque:
        picture[0, 0, 3] = 0
    viewer.add_image(picture, rgb=True)
    for channels in (3, 4):
        dock.select_model(save(models, f"{channels}", channels=channels))
        assert dock.can_predict == (channels == (3 if is_opaque else 4))
        if dock.can_predict:
            predict_with(dock, qtbot)
    assert len(viewer.layers) == 2
    assert viewer.layers[1].data.shape == (64, 64)


def test_slice_by_slice_into_one_stack(dock, viewer, qtbot):
    stack = viewer.add_image(discs((4, 48, 40)), name="stack", scale=(3, 1, 1), translate=(6, 0, 0))
    tick(dock, objects=True, probabilities=True, slice=True)
    shown = {}
    for plane in (2, 0):
        viewer.dims.set_point(0, 6 + 3 * plane)
        predict_with(dock, qtbot)
        shown[plane] = viewer.layers["stack probability"].data[plane].copy()
    assert len(viewer.layers) == 3
    probability, objects = viewer.layers["stack probability"].data, viewer.layers["stack objects"].data
    assert probability.shape == objects.shape == stack.data.shape
    for plane in (0, 2):
        np.testing.assert_array_equal(probability[plane], shown[plane])
        assert probability[plane].any()
    assert not probability[[1, 3]].any()
    tick(dock, slice=False, objects=False)
    predict_with(dock, qtbot)
    whole = viewer.layers["stack probability"].data
    np.testing.assert_array_equal(whole[[0, 2]], probability[[0, 2]])
    # A plane predicted after the whole stack keeps the rest of it, whichever dock did that.
    again = PredictDock(viewer)
    qtbot.addWidget(again)
    tick(again, objects=False, probabilities=True, slice=True)
    predict_with(again, qtbot)
    np.testing.assert_array_equal(viewer.layers["stack probability"].data, whole)


def test_a_plane_joins_labels_that_were_opened_again(dock, viewer, qtbot):
    image = viewer.add_image(discs((3, 40, 32)), name="stack")
    kept = np.zeros((3, 40, 32), np.int32)
    kept[1:, 3:9, 3:9] = 7
    objects = add_result(viewer, image, "objects", kept)  # as a project adds them
    viewer.dims.set_point(0, 1)
    tick(dock, slice=True)
    predict_with(dock, qtbot)
    assert [7 in plane for plane in objects.data] == [False, False, True]


def test_planes_that_nobody_segmented_are_not_in_the_table(dock, viewer, qtbot):
    image = viewer.add_image(discs((4, 40, 32)), name="stack")

    def places():
        (table,) = measurable(viewer, [image])
        names, *rows = table.table()
        return {(row[names.index("z_px")], row[names.index("object")] is not None) for row in rows}

    tick(dock, slice=True)
    for plane in (0, 2):
        viewer.dims.set_point(0, plane)
        predict_with(dock, qtbot)
    assert places() == {(0, False), (2, False)}
    tick(dock, slice=False)
    predict_with(dock, qtbot)
    assert places() == {(0, False), (1, False), (2, False), (3, False)}
    viewer.layers["stack objects"].data[1, 3:9, 3:9] = 7
    tick(dock, slice=True)
    predict_with(dock, qtbot)
    assert places() == {(0, False), (1, True), (2, False), (3, False)}
    objects = viewer.layers[-1]
    objects.data = objects.data.astype(np.uint16)  # the next plane is not one of these
    predict_with(dock, qtbot)
    assert places() == {(2, False)}


def test_only_stacks_have_slices(dock, viewer, models):
    box = dock.findChild(QCheckBox, "predict_slice")
    assert not box.isEnabled()
    viewer.add_image(discs(), name="plane")
    assert not box.isEnabled()
    assert say(dock, "predict_suits") == ""
    viewer.add_image(discs((3, 40, 32)), name="stack")
    dock.image.choose(viewer.layers["stack"])
    assert box.isEnabled()
    assert "Every plane is segmented on its own" in say(dock, "predict_suits")
    dock.select_model(save(models, "volumes", ndim=3))
    assert not box.isEnabled()
    assert say(dock, "predict_suits") == ""
    dock.select_model(save(models, "colours", channels=3))
    assert not box.isEnabled()


def test_channels_taken_for_x_are_told_until_somebody_says(dock, viewer):
    viewer.add_image(np.stack([discs((40, 32))] * 2, axis=-1), name="stains")
    assert "and its planes are taken to be 2 pixels wide; if the" in say(dock, "predict_suits")
    assert say(dock, "predict_suits").endswith("Channels > Last axis, and a model trained on such channels.")
    choice = dock.form.channels_choice
    choice.setCurrentIndex(choice.findData("none"))
    assert "pixels wide" not in say(dock, "predict_suits")


def test_channels_between_planes_and_y_are_told_until_somebody_says(dock, viewer, qtbot, models):
    viewer.add_image(np.stack([discs((4, 40, 32))] * 2, axis=1), name="stains")
    assert "'stains' has shape (4, 2, 40, 32)" in say(dock, "predict_suits")
    assert "and a model trained on such channels" in say(dock, "predict_suits")
    chosen = dock.model.path
    starter = replace(make_model(), object_size=30.0)
    save_model(starter, models / "starter.safetensors")
    dock.select_model(models / "starter.safetensors")
    assert say(dock, "predict_suits").endswith("choose Advanced > Channels > Before Y and X.")
    dock.select_model(chosen)
    choice = dock.form.channels_choice
    choice.setCurrentIndex(choice.findData("none"))
    assert "'stains' has shape" not in say(dock, "predict_suits")
    choice.setCurrentIndex(choice.findData("auto"))
    assert "'stains' has shape" in say(dock, "predict_suits")
    dock.select_model(save(models, "stains", channels=2))
    assert "'stains' has shape" not in say(dock, "predict_suits")
    predict_with(dock, qtbot)
    assert viewer.layers["stains objects"].data.shape == (4, 40, 32)


def test_what_cannot_be_predicted_is_one_sentence(dock, viewer, qtbot, models):
    dock.start()
    assert "no image" in say(dock, "predict_status")
    viewer.add_image(discs(), name="grey")
    assert say(dock, "predict_status") == ""
    tick(dock, objects=False)
    dock.start()
    assert "No result is ticked" in say(dock, "predict_status")
    tick(dock, objects=True)
    dock.select_model(save(models, "colours", channels=3))
    dock.start()
    assert "1 channel and the model was trained on 3" in say(dock, "predict_status")
    dock.select_model(save(models, "grey"))
    assert say(dock, "predict_status") == ""
    predict_with(dock, qtbot)
    viewer.layers.remove(viewer.add_image(discs(), name="other"))
    assert say(dock, "predict_status").startswith("Done")


def test_an_image_too_large_to_find_objects_in_is_told_before_it_is_segmented(
    dock, viewer, qtbot, monkeypatch
):
    monkeypatch.setattr("napari_unet.core.instances._MOST_PIXELS", 100)
    viewer.add_image(discs(), name="large")
    with monkeypatch.context() as context:
        context.setattr("napari_unet.network.prediction.predict_tiles", None)  # nothing is segmented
        predict_with(dock, qtbot)
    assert "at most 100 pixels at once, and here are 64 × 64; crop the image" in say(dock, "predict_status")
    tick(dock, objects=False, classes=True)
    predict_with(dock, qtbot)
    assert say(dock, "predict_status").startswith("Done")


def test_files_may_suit_the_model(dock, models):
    dock.image.setCurrentIndex(dock.image.findData("files"))
    assert dock.can_predict
    bad = models / "bad.safetensors"
    bad.write_bytes(b"nonsense")
    dock.select_model(bad)
    assert not dock.can_predict


def test_without_a_model_it_says_where_one_comes_from(viewer, qtbot):
    dock = PredictDock(viewer)
    qtbot.addWidget(dock)
    assert "under Train" in say(dock, "predict_facts")
    dock.start()
    assert "no model yet" in say(dock, "predict_status")


def test_a_file_that_is_no_model(dock, viewer, models):
    bad = models / "bad.safetensors"
    bad.write_bytes(b"nonsense")
    dock.select_model(bad)
    assert "is not a napari-unet model" in say(dock, "predict_facts")
    viewer.add_image(discs())
    dock.start()
    assert "is not a napari-unet model" in say(dock, "predict_status")
    assert not dock.is_running


def test_damaged_weights_are_told_once_they_are_loaded(dock, viewer, qtbot, models):
    bad = save(models, "bad")
    data = bad.read_bytes()
    bad.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    dock.select_model(bad)
    assert "Finds separate objects" in say(dock, "predict_facts")
    viewer.add_image(discs())
    predict_with(dock, qtbot)
    assert "its checksum does not match; use another copy" in say(dock, "predict_status")


@pytest.mark.parametrize("keep", [True, False])
def test_cancel(dock, viewer, qtbot, keep, monkeypatch):
    from napari_unet.network import prediction

    viewer.add_image(discs((6, 64, 64)), name="stack")
    tick(dock, keep=keep)
    begun, go_on = threading.Event(), threading.Event()
    original = prediction.probabilities_of

    def slowly(*args):
        result = original(*args)
        begun.set()
        assert go_on.wait(20)
        return result

    monkeypatch.setattr(prediction, "probabilities_of", slowly)
    dock.start()
    qtbot.waitUntil(begun.is_set, timeout=60_000)
    dock.stop()
    go_on.set()
    qtbot.waitUntil(lambda: not dock.is_running, timeout=60_000)
    assert len([layer for layer in viewer.layers if isinstance(layer, Labels)]) == int(keep)
    status = say(dock, "predict_status")
    assert status == (
        "Cancelled; the finished tiles were added." if keep else "Cancelled; nothing was added."
    )


def test_objects_are_found_in_the_thread(dock, viewer, qtbot, monkeypatch):
    from napari_unet.core.objects import prediction

    threads = []
    original = prediction.find_objects

    def spy(*args, **kwargs):
        threads.append(threading.current_thread())
        return original(*args, **kwargs)

    monkeypatch.setattr(prediction, "find_objects", spy)
    viewer.add_image(discs())
    predict_with(dock, qtbot)
    assert threads
    assert threading.main_thread() not in threads


def test_labels_are_copied_in_the_thread(dock, viewer, qtbot, monkeypatch):
    image = viewer.add_image(discs((2, 64, 64)), name="stack")
    tick(dock, objects=True, classes=True)
    monkeypatch.setattr("napari_unet.widgets.bridge.layers.copy_planes", None)
    for _ in range(2):  # the second time into the same layers
        predict_with(dock, qtbot)
        for kind in ("objects", "classes"):
            (layer,) = layers_of(viewer, image, kind)
            np.testing.assert_array_equal(layer.metadata[KEY].shown, layer.data)
            assert not np.may_share_memory(layer.metadata[KEY].shown, layer.data)
        assert layer.data.all()  # every class is 1 or more


def test_what_is_shown_anew_keeps_its_brush(dock, viewer, qtbot):
    viewer.add_image(discs())
    predict_with(dock, qtbot)
    objects = viewer.layers[-1]
    objects.mode = "pick"
    predict_with(dock, qtbot)
    assert objects.mode == "pick"
    objects.visible = False
    predict_with(dock, qtbot)
    assert viewer.layers[-1] is objects
    assert objects.visible


def test_edited_results_are_kept(dock, viewer, qtbot, monkeypatch):
    told = []
    monkeypatch.setattr("napari_unet.widgets.predicting.prediction_targets.show_info", told.append)
    image = viewer.add_image(discs(), name="cells")
    predict_with(dock, qtbot)
    first = viewer.layers["cells objects"]
    first.data[0, 0] = LAST_ID
    predict_with(dock, qtbot)
    assert viewer.layers["cells objects"] is first
    assert first.data[0, 0] == LAST_ID
    assert len(viewer.layers) == 3
    assert isinstance(image, Image)
    second = viewer.layers[-1]
    assert told == [
        f"You edited '{first.name}', so it is kept and hidden; what was predicted now is '{second.name}'."
    ]
    assert (first.visible, second.visible) == (False, True)  # the two would cover each other
    second.data[0, 0] = LAST_ID
    viewer.layers.selection.active = second
    predict_with(dock, qtbot)
    assert "so it is kept; what was predicted now" in told[1]
    assert second.visible  # the user is at work on it
    assert len(told) == 2
    assert add_result(viewer, image, "objects", first.data) is not first


def test_a_model_of_classes_gives_classes(dock, models):
    assert dock.form.kinds == ("objects",)
    tick(dock, probabilities=True)
    dock.select_model(save(models, "classes", classes=3))
    assert dock.form.kinds == ("classes", "probabilities")
    tick(dock, objects=True)
    dock.select_model(save(models, "more", classes=4))
    assert dock.form.kinds == ("objects", "classes", "probabilities")  # as it was chosen


def test_of_classes_the_dock_tells_how_much_there_is_of_each(dock, viewer, models, qtbot):
    viewer.add_image(discs(), name="cells")
    assert not dock.form.objects.isHidden()
    dock.select_model(save(models, "classes", classes=3))
    assert dock.form.objects.isHidden()  # it is about objects alone
    predict_with(dock, qtbot)
    counts = np.bincount(viewer.layers["cells classes"].data.ravel(), minlength=4)[1:]
    background, second, third = (f"{count / 64**2:.1%}" for count in counts)
    shares = f"{background} background, {second} class 2 and {third} class 3"
    assert say(dock, "predict_status").startswith(f"Done: 'cells' is {shares}; see the classes")


def test_an_unreadable_history_does_not_matter(models):

    model = make_model()
    path = models / "x.safetensors"
    save_model(replace(model, history=replace(model.history, started="?", scores=())), path)
    assert ModelFacts.read(path).sentence().endswith("Trained at an unknown time for 30 s.")


def test_a_model_that_another_dock_trained_is_used(viewer, models, qtbot):
    for path in models.iterdir():
        path.unlink()
    models.rmdir()
    dock = PredictDock(viewer)  # before there is a folder of models
    qtbot.addWidget(dock)
    assert dock.model.path is None
    models.mkdir()
    first, second = (save(models, name) for name in ("first", "second"))
    for path in (first, second):
        project_of(viewer).note_model(path)
        assert dock.model.path == path
    step = PredictDock(viewer, scrollable=False)  # of a U-Net dock, which has its own training
    qtbot.addWidget(step)
    for each in (dock, step):
        each.select_model(first)
    project_of(viewer).note_model(second)
    assert (dock.model.path, step.model.path) == (second, first)

"""Tiles that appear as they are finished, those looked at first; results too large for the memory."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import zarr
from dock_helpers import discs, make_model, save, say
from napari.layers import Image, Labels
from napari.utils.notifications import notification_manager
from qtpy.QtWidgets import QFileDialog

from napari_unet.core.instances import InstanceConfig
from napari_unet.files.pixels.sources import open_image
from napari_unet.files.pixels.world_axes import Axis
from napari_unet.network.config import PredictionConfig
from napari_unet.network.prediction import predict
from napari_unet.widgets.bridge.layers import make_annotation
from napari_unet.widgets.bridge.marks import is_result, source_of
from napari_unet.widgets.bridge.sight import select_image
from napari_unet.widgets.correcting.corrector import act_by_key
from napari_unet.widgets.predict import PredictDock
from napari_unet.widgets.predicting import preview_layer
from napari_unet.widgets.predicting.prediction_form import PredictionForm
from napari_unet.widgets.predicting.prediction_targets import Target, pixel_looked_at
from napari_unet.widgets.predicting.saving import LabelSaver
from napari_unet.widgets.predicting.stored_results import STORED

pytestmark = pytest.mark.usefixtures("models")


@pytest.fixture
def dock(viewer, models, qtbot, monkeypatch):
    config = PredictionForm.config
    monkeypatch.setattr(
        PredictionForm, "config", lambda self: small_tiles(config(self))
    )  # small tiles, so that there are some
    save(models)
    dock = PredictDock(viewer)
    qtbot.addWidget(dock)
    return dock


def small_tiles(config: PredictionConfig) -> PredictionConfig:
    # A threshold that gives many objects out of what an untrained network says.
    return replace(config, tile_size=16, precision="float32", instances=InstanceConfig(0.48, min_size=1))


def predict_with(dock, qtbot):
    dock.start()
    qtbot.waitUntil(lambda: not dock.is_running, timeout=60_000)


def watch_previews(viewer, monkeypatch):
    """Show every tile at once, and note what the preview looks like each time."""
    monkeypatch.setattr(preview_layer, "_PATIENCE_S", -1)
    monkeypatch.setattr(preview_layer, "_REST", 0)
    monkeypatch.setattr("napari_unet.widgets.jobs._REPAINT_S", 0)
    # However fast the network is, it waits for the window after every tile.
    monkeypatch.setattr("napari_unet.widgets.jobs._BACKLOG", 0)
    monkeypatch.setattr("napari_unet.widgets.jobs._DELIVERY_MS", 5)
    seen = []
    repaint = preview_layer.PreviewLayer.repaint

    def noting(self):
        repaint(self)
        layers = [layer for layer in viewer.layers if layer.name.endswith(" preview")]
        if layers:
            seen.append((layers[0], layers[0].data.copy(), [layer.visible for layer in viewer.layers]))

    monkeypatch.setattr(preview_layer.PreviewLayer, "repaint", noting)
    return seen


def test_tiles_appear_and_give_way_to_the_result(dock, viewer, qtbot, monkeypatch):
    seen = watch_previews(viewer, monkeypatch)
    image = viewer.add_image(discs((2, 64, 80)), name="cells", scale=(1, 0.5, 0.5))
    predict_with(dock, qtbot)
    assert seen
    layer, last, _ = seen[-1]
    assert isinstance(layer, Labels)
    assert (layer.editable, is_result(layer), source_of(viewer, layer)) == (False, True, image)
    np.testing.assert_array_equal(layer.scale, image.scale)
    names = [layer.name for layer in viewer.layers]
    assert names == ["cells", "cells objects"]
    # The same foreground; objects are those of each tile, and small ones are left out.
    result = viewer.layers["cells objects"].data
    assert last.shape == result.shape
    assert last.any()
    assert np.mean(result[last > 0] > 0) > 0.9
    # Again: what was there is hidden meanwhile, and comes back.
    before = len(seen)
    predict_with(dock, qtbot)
    assert [False for _, _, visible in seen[before:] if visible[1] is False]
    assert viewer.layers["cells objects"].visible


def test_results_do_not_cover_the_image_that_was_brought_up_meanwhile(dock, viewer, qtbot, monkeypatch):
    low = viewer.add_image(discs((8, 64, 64)), name="low")
    cells = viewer.add_image(discs((8, 64, 64)), name="cells")
    watch_previews(viewer, monkeypatch)
    shown, turned = preview_layer.PreviewLayer.repaint, []

    def turning(self):
        shown(self)
        if self._layer is not None and cells.visible:
            turned.append(len(viewer.layers))
            select_image(viewer, low)

    monkeypatch.setattr(preview_layer.PreviewLayer, "repaint", turning)
    for _ in range(2):  # the second time there is an earlier result, which the preview hides
        select_image(viewer, cells)
        dock.image.choose(cells)
        predict_with(dock, qtbot)
        assert [layer.name for layer in viewer.layers] == ["low", "cells", "cells objects"]
        assert [layer.visible for layer in viewer.layers] == [True, False, False]
    assert turned == [3, 4]
    select_image(viewer, cells)
    assert viewer.layers["cells objects"].visible


def test_the_preview_follows_what_is_asked_for(dock, viewer, qtbot, monkeypatch):
    from qtpy.QtWidgets import QCheckBox

    seen = watch_previews(viewer, monkeypatch)
    viewer.add_image(discs((8, 64, 64)), name="cells")
    dock.findChild(QCheckBox, "predict_objects").setChecked(False)
    dock.findChild(QCheckBox, "predict_probabilities").setChecked(True)
    predict_with(dock, qtbot)
    layer, last, _ = seen[-1]
    assert isinstance(layer, Image)
    finished = last > 0
    assert finished.any()
    result = viewer.layers["cells probability"].data
    np.testing.assert_allclose(last[finished], result[finished], atol=1e-6)


def test_a_preview_that_is_deleted_stays_away(dock, viewer, qtbot, monkeypatch):
    seen = watch_previews(viewer, monkeypatch)
    viewer.add_image(discs((8, 64, 64)), name="cells")
    noted = preview_layer.PreviewLayer.repaint

    def deleting(self):
        noted(self)
        for layer in [layer for layer in viewer.layers if layer.name.endswith(" preview")]:
            viewer.layers.remove(layer)

    monkeypatch.setattr(preview_layer.PreviewLayer, "repaint", deleting)
    predict_with(dock, qtbot)
    assert len(seen) == 1
    assert [layer.name for layer in viewer.layers] == ["cells", "cells objects"]


def test_a_fast_prediction_shows_no_preview(dock, viewer, qtbot, monkeypatch):
    monkeypatch.setattr(preview_layer, "_PATIENCE_S", 1000)
    inserted = []
    viewer.layers.events.inserted.connect(lambda event: inserted.append(event.value.name))
    viewer.add_image(discs(), name="cells")
    predict_with(dock, qtbot)
    assert inserted == ["cells", "cells objects"]


def test_the_pixel_in_the_middle_of_the_view(viewer):
    layer = viewer.add_image(
        np.zeros((3, 5, 40, 60)), name="cells", scale=(1, 2, 0.5, 0.5), translate=(0, 0, 10, 0)
    )
    viewer.dims.set_point((0, 1), (2, 6))
    viewer.scene.camera.center = (0, 15, 12)
    assert pixel_looked_at(viewer, Target(layer, "first")) == pytest.approx((3, 10, 24))
    assert pixel_looked_at(viewer, Target(layer, "none")) == pytest.approx((2, 3, 10, 24))
    viewer.scene.camera.center = (0, 1000, -7)
    assert pixel_looked_at(viewer, Target(layer, "none")) == pytest.approx((2, 3, 39, 0))


def test_what_is_looked_at_comes_first(dock, viewer, qtbot, monkeypatch):
    seen = watch_previews(viewer, monkeypatch)
    monkeypatch.setattr("napari_unet.network.prediction.tiles_at_once", lambda device: 1)
    order = []
    add = preview_layer.PreviewLayer.add
    monkeypatch.setattr(
        preview_layer.PreviewLayer, "add", lambda self, part: (order.append(part.where), add(self, part))[-1]
    )
    viewer.add_image(discs((2, 64, 64)), name="cells")
    viewer.dims.set_point(0, 1)
    viewer.scene.camera.center = (0, 40, 8)
    predict_with(dock, qtbot)
    assert seen
    assert order[0] == (1, slice(32, 48), slice(0, 16))
    assert [where[0] for where in order] == [1] * 16 + [0] * 16


@pytest.fixture
def short_of_memory(monkeypatch):
    monkeypatch.setattr("napari_unet.files.results.large_prediction._FITTING_SHARE", 0)


def lazy_image(viewer, folder, shape=(64, 80), **how):
    stored = zarr.create_array(
        folder / "cells.zarr", data=discs(shape), chunks=(1,) * (len(shape) - 2) + (32, 32)
    )
    return viewer.add_image(stored, name="cells: one/two [1] 50%#", **how)


@pytest.mark.usefixtures("short_of_memory")
def test_an_image_beyond_the_memory_goes_to_disk_and_is_shown_from_there(
    dock, viewer, qtbot, tmp_path, monkeypatch
):
    monkeypatch.setattr("napari_unet.files.pixels.pyramid.LARGEST", 32)  # so that there are smaller copies
    seen = watch_previews(viewer, monkeypatch)
    image = lazy_image(viewer, tmp_path, scale=(0.5, 0.5), units=("um", "um"))
    assert "too large for the memory" in say(dock, "predict_large")
    assert dock._inputs.stored.folder == tmp_path / "U-Net models" / "results"
    predict_with(dock, qtbot)
    assert seen
    layer = viewer.layers["cells: one/two [1] 50%# objects"]
    assert (layer.multiscale, layer.editable, source_of(viewer, layer)) == (True, False, image)
    np.testing.assert_array_equal(layer.scale, (0.5, 0.5))
    expected = predict(make_model(), discs((64, 80)), small_tiles(PredictionConfig()))
    assert expected.objects.max() > 5
    np.testing.assert_array_equal(np.asarray(layer.data[0]), expected.objects)
    assert (tmp_path / "U-Net models" / "results" / "cells_ one_two [1] 50%#_objects.zarr").is_dir()
    stored = open_image(tmp_path / "U-Net models" / "results" / "cells_ one_two [1] 50%#_objects.zarr")
    assert (stored.pixel_size.y, stored.pixel_size.x) == (0.5, 0.5)
    folder = tmp_path / "U-Net models" / "results"
    assert f"they are in {folder}, and shown from there" in say(dock, "predict_status")
    # They are saved already, and can be measured.
    saver, told = dock.findChild(LabelSaver), []
    saver.told.connect(lambda sentence, _tone: told.append(sentence))
    saver.ask([image])
    assert told == [f"The labels of '{image.name}' are on disk already: {layer.metadata[STORED]}"]
    asked = []
    monkeypatch.setattr(
        QFileDialog,
        "getSaveFileName",
        lambda *given: (asked.append(given[2]), (str(tmp_path / "a.csv"), ""))[1],
    )
    saver.ask_table([image])
    qtbot.waitUntil(lambda: len(told) == 2, timeout=30_000)
    assert asked[0].endswith("50%#_objects.csv")
    names, *rows = csv.reader((tmp_path / "a.csv").read_text("utf-8-sig").splitlines())
    assert len(rows) == expected.objects.max()
    assert names[:5] == ["image", "object", "pixels", "area_um2", "diameter_um"]
    # Settings cannot be changed afterwards, and that is said.
    dock.form.objects.changed.emit()
    assert "too large to be kept" in say(dock, "predict_status")
    # Nor can they be corrected.
    how = f"'{layer.name}' is shown from disk, where it cannot be corrected: select the image, zoom in"
    assert say(dock, "correct_count").startswith(how)
    paint = make_annotation(viewer, image)
    notification_manager.records.clear()
    for selected in (paint, layer, image):
        act_by_key(viewer, "accepted", selected)
    assert [note.message[: len(how)] for note in notification_manager.records] == [how] * 3
    viewer.layers.remove(paint)
    # Once more, elsewhere: the new result takes the place of the old layer.
    dock._inputs.stored.edit.setText(str(tmp_path / "elsewhere"))
    predict_with(dock, qtbot)
    assert [layer.name for layer in viewer.layers] == [
        "cells: one/two [1] 50%#",
        "cells: one/two [1] 50%# objects",
    ]
    assert (tmp_path / "elsewhere" / "cells_ one_two [1] 50%#_objects.zarr").is_dir()


@pytest.mark.usefixtures("short_of_memory")
def test_what_goes_to_disk_lies_there_as_its_image_does(dock, viewer, qtbot, tmp_path):
    where = {"scale": (30, 0.5, 0.5), "translate": (0, 100, -20), "units": ("s", "um", "um")}
    lazy_image(viewer, tmp_path, (2, 48, 48), **where)
    predict_with(dock, qtbot)
    stored = open_image(tmp_path / "U-Net models" / "results" / "cells_ one_two [1] 50%#_objects.zarr")
    assert stored.result_axes == (
        Axis("t", "time", "second", 30.0),
        Axis("y", "space", "micrometer", 0.5, 100.0),
        Axis("x", "space", "micrometer", 0.5, -20.0),
    )


@pytest.mark.usefixtures("short_of_memory")
def test_a_cancelled_one_goes_on(dock, viewer, qtbot, tmp_path, monkeypatch):
    lazy_image(viewer, tmp_path, (2, 48, 48))
    add = preview_layer.PreviewLayer.add

    def stopping(self, part):
        add(self, part)
        dock.stop()

    monkeypatch.setattr(preview_layer.PreviewLayer, "add", stopping)
    predict_with(dock, qtbot)
    monkeypatch.setattr(preview_layer.PreviewLayer, "add", add)
    if len(viewer.layers) == 1:  # else it was faster than the cancel
        assert "Predict continues from them" in say(dock, "predict_status")
        assert (tmp_path / "U-Net models" / "results" / ".cells_ one_two [1] 50%#.napari-unet").is_dir()
    predict_with(dock, qtbot)
    assert "Done" in say(dock, "predict_status")
    expected = predict(make_model(), discs((2, 48, 48)), small_tiles(PredictionConfig()))
    np.testing.assert_array_equal(np.asarray(viewer.layers[1].data), expected.objects)


@pytest.mark.usefixtures("short_of_memory")
def test_a_folder_that_cannot_be_written_to_is_a_sentence(dock, viewer, qtbot, tmp_path):
    lazy_image(viewer, tmp_path)
    (tmp_path / "file").touch()
    dock._inputs.stored.edit.setText(str(tmp_path / "file"))
    predict_with(dock, qtbot)
    assert "choose another folder" in say(dock, "predict_status")
    dock._inputs.stored.edit.setText("")
    dock.start()
    assert "No folder for the results" in say(dock, "predict_status")

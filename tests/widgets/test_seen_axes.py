"""What is known of the axes of layers that napari's own reader opened, which names none."""

import csv
from os import utime

import numpy as np
import pytest
import tifffile
from dock_helpers import discs, paint_on, save, say
from napari.layers import Image, Labels

from napari_unet.files.pixels.images import read_image
from napari_unet.files.pixels.pixel_size import PixelSize
from napari_unet.network.config import TrainingConfig, UNetConfig
from napari_unet.widgets.bridge.channel_order import move_channels_first
from napari_unet.widgets.bridge.layers import add_result, make_annotation
from napari_unet.widgets.bridge.placement import channel_doubt_of, micrometres, pixel_sizes, world_axes
from napari_unet.widgets.bridge.seen_axes import said_channels, seen_axes
from napari_unet.widgets.crop import crop
from napari_unet.widgets.paint import PaintDock
from napari_unet.widgets.painting.channel_layers import combine
from napari_unet.widgets.predict import PredictDock
from napari_unet.widgets.predicting.object_table import axis_letters
from napari_unet.widgets.training.training_images import copy_pairs, frame_doubts
from napari_unet.widgets.unet import UNetDock

pytestmark = pytest.mark.usefixtures("home")

IMAGEJ = {"unit": "um", "spacing": 2.0, "finterval": 30.0}


def opened(viewer, path, pixels, axes, **metadata):
    """Write an ImageJ file and open it with napari's own reader."""
    metadata = {"axes": axes, **IMAGEJ, **metadata}
    tifffile.imwrite(path, pixels, imagej=True, resolution=(4, 4), metadata=metadata)
    (layer,) = viewer.open(path, plugin="napari")
    assert layer.axis_labels == tuple(str(n - layer.ndim) for n in range(layer.ndim))
    assert (layer.scale == 1).all()
    return layer


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer()


def test_all_that_a_file_says(viewer, tmp_path):
    image = opened(viewer, tmp_path / "a.tif", discs((3, 4, 2, 64, 48)), "TZCYX")
    assert [(a.name, a.unit, a.step, a.micrometres, a.seconds) for a in seen_axes(image)] == [
        ("t", "second", 30, None, 30),
        ("z", "micrometer", 2, 2, None),
        ("c", "", 1, None, None),
        ("y", "micrometer", 0.25, 0.25, None),
        ("x", "micrometer", 0.25, 0.25, None),
    ]
    assert said_channels(image) == "middle"
    paint = Labels(np.zeros((3, 4, 64, 48), np.uint8))
    assert micrometres(paint, image) == PixelSize(y=0.25, x=0.25, z=2, t=30)
    assert [(a.name, a.kind, a.unit, a.step) for a in world_axes(image, "middle")] == [
        ("t", "time", "second", 30),
        ("z", "space", "micrometer", 2),
        ("y", "space", "micrometer", 0.25),
        ("x", "space", "micrometer", 0.25),
    ]
    assert pixel_sizes(image)[-1] == 0.25
    # The layer stays as it is.
    assert (image.scale == 1).all()
    assert {str(unit) for unit in image.units} == {"pixel"}


def test_ome_files(viewer, tmp_path):
    metadata = {"axes": "ZCYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 1.5}
    tifffile.imwrite(tmp_path / "a.ome.tif", discs((4, 2, 64, 48)), metadata=metadata)
    (image,) = viewer.open(tmp_path / "a.ome.tif", plugin="napari")
    assert [(axis.name, axis.step) for axis in seen_axes(image)] == [
        ("z", 1.5),
        ("c", 1),
        ("y", 0.5),
        ("x", 0.5),
    ]


def test_what_a_user_or_a_reader_said_is_not_overridden(viewer, tmp_path):
    image = opened(viewer, tmp_path / "a.tif", discs((3, 64, 48)), "ZYX")
    image.axis_labels = ("t", "y", "x")
    assert [axis.name for axis in seen_axes(image)] == ["t", "y", "x"]
    assert [axis.step for axis in seen_axes(image)] == [30, 0.25, 0.25]  # by name
    image.axis_labels = ("y", "-2", "-1")
    assert [axis.name for axis in seen_axes(image)] == ["y", "", "x"]  # no name is there twice
    image.scale = (1, 3, 3)
    assert [(axis.unit, axis.step) for axis in seen_axes(image)] == [("", 1), ("", 3), ("", 3)]
    assert micrometres(image) is None
    image.scale = (1, 1, 1)
    image.units = ("pixel", "mm", "mm")
    assert micrometres(image) == PixelSize(1000, 1000)


def test_files_of_another_shape_say_nothing(viewer, tmp_path):
    image = opened(viewer, tmp_path / "a.tif", discs((3, 64, 48)), "ZYX")
    image.data = image.data[:2]
    assert [axis.name for axis in seen_axes(image)] == ["", "", ""]
    array = Image(discs((3, 64, 48)))
    assert [axis.step for axis in seen_axes(array)] == [1, 1, 1]
    assert said_channels(array) == "auto"


def test_colours(viewer, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((64, 48, 3), np.uint8), photometric="rgb")
    (image,) = viewer.open(tmp_path / "a.tif", plugin="napari")
    assert image.rgb
    assert [axis.name for axis in seen_axes(image)] == ["y", "x"]
    assert said_channels(image) == "auto"  # of the layer, which has no such axis


@pytest.mark.parametrize(
    ("shape", "axes", "expected"),
    [
        ((2, 64, 48), "CYX", "first"),
        ((2, 3, 64, 48), "CZYX", "first"),
        ((3, 2, 64, 48), "ZCYX", "middle"),
        ((3, 64, 48), "TYX", "none"),
        ((64, 48), "YX", "none"),
    ],
)
def test_where_channels_are(viewer, tmp_path, shape, axes, expected):
    metadata = {"axes": axes}
    tifffile.imwrite(tmp_path / "a.ome.tif", discs(shape), photometric="minisblack", metadata=metadata)
    (image,) = viewer.open(tmp_path / "a.ome.tif", plugin="napari")
    assert said_channels(image) == expected


def test_planes_are_not_asked_about(viewer, tmp_path):
    image = opened(viewer, tmp_path / "a.tif", discs((3, 4, 64, 48)), "TZYX")
    assert channel_doubt_of(image, "say so") == ""
    assert "if they are channels, say so" in channel_doubt_of(Image(discs((3, 4, 64, 48))), "say so")


def test_channels_keep_what_is_known_when_they_are_moved(viewer, tmp_path):
    image = opened(viewer, tmp_path / "a.tif", discs((3, 4, 2, 64, 48)), "TZCYX")
    move_channels_first(viewer, image, "middle")
    assert image.axis_labels == ("c", "t", "z", "y", "x")
    assert [axis.step for axis in seen_axes(image)] == [1, 30, 2, 0.25, 0.25]
    assert said_channels(image) == "first"


def test_the_paint_dock_says_where_channels_are(viewer, tmp_path, qtbot):
    image = opened(viewer, tmp_path / "a.tif", discs((3, 4, 2, 64, 48)), "TZCYX")
    dock = PaintDock(viewer)
    qtbot.addWidget(dock)
    assert dock.channels.currentData() == "middle"
    assert "'a' says that it has 2 channels; if they are planes" in say(dock, "paint_advice")
    dock.channels.setCurrentIndex(0)
    assert "its 2 planes just before Y and X are taken for grey ones" in say(dock, "paint_advice")
    dock.channels.setCurrentIndex(dock.channels.findData("middle"))
    plain = viewer.add_image(discs((3, 64, 48)), name="plain")
    dock.image.choose(plain)
    assert dock.channels.currentData() == "auto"
    movie = opened(viewer, tmp_path / "b.tif", discs((3, 64, 48)), "TYX")
    dock.image.choose(plain)
    assert "first axis of 'plain', of length 3" in say(dock, "paint_advice")
    dock.image.choose(movie)
    assert say(dock, "paint_advice") == ""
    dock.image.choose(image)
    other = opened(viewer, tmp_path / "c.tif", discs((3, 4, 2, 64, 48)), "TZCYX")
    dock.image.choose(plain)
    paint_on(viewer, other)  # on its planes, whatever they are
    dock.image.choose(other)
    assert dock.channels.currentData() == "auto"
    dock.image.choose(image)
    dock.make()
    assert dock.annotation.data.shape == (3, 4, 64, 48)
    assert dock.annotation.axis_labels == ("t", "z", "y", "x")


def test_a_model_is_given_the_channels_that_a_file_names(viewer, tmp_path, qtbot):
    image = opened(viewer, tmp_path / "a.tif", discs((3, 2, 64, 48)), "TCYX")
    save(tmp_path / "U-Net models", "two", channels=2)
    save(tmp_path / "U-Net models", "one", channels=1)
    dock = PredictDock(viewer)
    qtbot.addWidget(dock)
    for name, channels in (("two", "middle"), ("one", "none")):
        dock.select_model(tmp_path / "U-Net models" / f"{name}.safetensors")
        (target,) = dock._inputs.candidates(dock._facts)
        assert (target.layer, target.channels) == (image, channels)
        assert "is taken for" not in say(dock, "predict_suits")  # nothing is guessed
    assert "if they are channels" in say(dock, "predict_suits")
    dock.select_model(tmp_path / "U-Net models" / "two.safetensors")
    movie = opened(viewer, tmp_path / "b.tif", discs((2, 64, 48)), "TYX")
    dock.image.choose(movie)
    assert not dock._inputs.candidates(dock._facts)  # two time points are not two channels


def test_a_model_for_other_channels_gives_way_when_paint_says_where_they_are(viewer, tmp_path, qtbot):
    image = opened(viewer, tmp_path / "a.tif", discs((2, 3, 64, 48)), "TCYX")
    folder = tmp_path / "U-Net models"
    three, one = save(folder, "three", channels=3), save(folder, "one")
    utime(three, (1, 1))
    dock = PredictDock(viewer)
    qtbot.addWidget(dock)
    assert dock.model.path == one
    make_annotation(viewer, image, "middle")
    assert dock.model.path == three
    assert dock.can_predict


def test_frames_are_not_taken_for_planes_unless_asked_for(viewer, tmp_path, qtbot):
    movie = opened(viewer, tmp_path / "movie.tif", discs((4, 64, 48)), "TYX")
    volume = opened(viewer, tmp_path / "volume.tif", discs((4, 64, 48)), "ZYX")
    viewer.layers.selection.active = movie
    folder = tmp_path / "U-Net models"
    flat, deep = save(folder, "flat"), save(folder, "deep", ndim=3)
    utime(flat, (1, 1))  # so that the other is the newest
    dock = PredictDock(viewer)
    qtbot.addWidget(dock)
    assert (dock.image.layer, dock.model.path) == (movie, flat)
    assert "planes" not in say(dock, "predict_suits")
    dock.select_model(deep)
    assert "takes the frames of 'movie' for planes" in say(dock, "predict_suits")
    dock.image.choose(volume)
    assert say(dock, "predict_suits") == ""


def test_it_is_said_that_frames_are_learnt_as_a_volume(viewer, tmp_path):
    pairs = []
    for name, axes in (("movie", "TYX"), ("volume", "ZYX"), ("volumes", "TZYX"), ("stains", "TCYX")):
        image = opened(
            viewer, tmp_path / f"{name}.tif", discs((4, 64, 48) if len(axes) == 3 else (3, 4, 64, 48)), axes
        )
        pairs.append((image, make_annotation(viewer, image, said_channels(image))))
    told = frame_doubts(pairs, TrainingConfig(network=UNetConfig(ndim=3)))
    assert [sentence.split("'")[1] for sentence in told] == ["movie", "stains"]
    assert frame_doubts(pairs, TrainingConfig()) == []


def test_layers_made_of_others_know_what_the_files_of_these_say(viewer, tmp_path):
    parts = [opened(viewer, tmp_path / f"{name}.tif", discs((3, 64, 48)), "TYX") for name in "ab"]
    made = combine(parts)
    viewer.add_layer(made)
    assert [axis.name for axis in seen_axes(made)] == ["C", "t", "y", "x"]
    assert [axis.step for axis in seen_axes(made)] == [1, 30, 0.25, 0.25]
    assert said_channels(made) == "first"
    for layer in viewer.layers:
        layer.visible = layer is made
    viewer.layers.selection.active = made
    made.corner_pixels = np.array([[0, 0, 10, 10], [0, 0, 30, 40]])
    crop(viewer)
    part = viewer.layers.selection.active
    assert part.data.shape == (2, 3, 20, 30)
    assert micrometres(part) == PixelSize(y=0.25, x=0.25, t=30)
    assert part.axis_labels == made.axis_labels
    # An array of other pixels is put there.
    part.data = part.data[:, :2]
    assert micrometres(part) is None


def test_one_channel_of_a_file_has_its_other_axes(viewer, tmp_path):
    image = opened(viewer, tmp_path / "a.tif", discs((3, 2, 64, 48)), "TCYX")
    image.data = image.data[:, 1]
    assert [(axis.name, axis.step) for axis in seen_axes(image)] == [("t", 30), ("y", 0.25), ("x", 0.25)]
    assert said_channels(image) == "none"


def test_networks_learn_from_the_sizes_of_voxels(viewer, tmp_path):
    image = opened(viewer, tmp_path / "a.tif", discs((3, 64, 64)), "ZYX")
    paint = paint_on(viewer, image)
    taught = copy_pairs([(image, paint)], []).taught
    assert taught.sizes == [(2, 0.25, 0.25)]
    assert taught.in_world == [PixelSize(0.25, 0.25, 2)]


def test_tables_and_files_have_what_is_known(viewer, tmp_path, qtbot):
    image = opened(viewer, tmp_path / "a.tif", discs((3, 64, 48)), "TYX")
    found = np.zeros((3, 64, 48), np.int32)
    found[1, 2:4, 3:7] = 5
    labels = add_result(viewer, image, "objects", found)
    assert (axis_letters(labels), axis_letters(labels, image)) == ("ZYX", "TYX")
    dock = UNetDock(viewer)
    qtbot.addWidget(dock)
    with qtbot.waitSignal(dock._saver.saved, timeout=20_000):
        dock._saver.write(labels, tmp_path / "labels.tif")
    written = read_image(tmp_path / "labels.tif")
    assert (written.axes, written.pixel_size) == ("TYX", PixelSize(y=0.25, x=0.25, t=30))
    with qtbot.waitSignal(dock._saver.told, timeout=20_000):
        dock._saver.write_table([image], tmp_path / "table.csv")
    (row,) = (
        row for row in csv.DictReader((tmp_path / "table.csv").read_text().splitlines()) if row["object"]
    )
    assert (row["t_px"], float(row["area_um2"])) == ("1.0", 8 / 16)

"""Image files into a folder of results, with real files and an untrained network."""

import errno
import json
import os
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import zarr
from dock_helpers import discs, make_model
from roifile import roiread
from skimage.io import imsave

from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.core.instances import InstanceConfig
from napari_unet.files.pixels.finding import expand_paths
from napari_unet.files.pixels.images import BY_HAND, read_image, write_image
from napari_unet.files.pixels.sources import open_image
from napari_unet.files.results import predicted_files
from napari_unet.files.results.predicted_files import (
    FileAdvanced,
    FileNoted,
    FilesPlan,
    FileSuspended,
    FileWritten,
    predict_files,
)
from napari_unet.network.config import PredictionConfig
from napari_unet.network.in_turn import ImageFailed
from napari_unet.network.prediction import predict

KINDS = ("objects", "probabilities")
CONFIG = PredictionConfig(tile_size=32)


@pytest.fixture
def images(tmp_path):
    """Five files, the third of which is damaged."""
    folder = tmp_path / "images"
    for number in range(5):
        write_image(folder / f"c{number}.tif", discs((64, 48), seed=number), "YX")
    damaged = folder / "c2.tif"
    damaged.write_bytes(damaged.read_bytes()[:200])
    return folder


def run(paths, output, control=None, kinds=KINDS, **how):
    plan = FilesPlan(tuple(paths), output, kinds, **how)
    return predict_files(make_model(), plan, CONFIG, device="cpu", control=control)


def test_a_damaged_file_does_not_keep_the_others_from_being_segmented(images, tmp_path):
    paths = expand_paths([images])
    events = list(run(paths, tmp_path / "new" / "out"))
    (failed,) = (event for event in events if isinstance(event, ImageFailed))
    assert failed.number == 2
    assert str(paths[2]) in failed.message
    written = [event for event in events if isinstance(event, FileWritten)]
    assert [event.number for event in written] == [0, 1, 3, 4]
    for event in written:
        expected = predict(make_model(), read_image(paths[event.number]).pixels, CONFIG, device="cpu")
        for kind in KINDS:
            found = read_image(event.outputs[kind]).pixels
            np.testing.assert_array_equal(found, getattr(expected, kind))
    assert len(list((tmp_path / "new" / "out").iterdir())) == 8
    shares = [(event.number, event.event.share) for event in events if isinstance(event, FileAdvanced)]
    assert shares == sorted(shares)
    assert len(shares) == 4 * 4


def test_a_stop_keeps_what_is_finished_and_writes_nothing_else(images, tmp_path):
    control = Control()
    for event in run(expand_paths([images]), tmp_path / "out", control):
        if isinstance(event, FileAdvanced) and event.number == 1:
            control.stop()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "c0_objects.tif",
        "c0_probabilities.tif",
    ]


def test_a_full_disk_ends_the_run_and_a_file_that_is_too_large_does_not(images, tmp_path, monkeypatch):
    original, number = predicted_files.write_labels, errno.EFBIG

    def full(path, *rest, **more):
        if path.name.startswith("c1"):
            raise InputError(f"{path} could not be written.") from OSError(number, "No room")
        original(path, *rest, **more)

    monkeypatch.setattr(predicted_files, "write_labels", full)
    events = list(run(expand_paths([images]), tmp_path / "out", kinds=("objects",)))
    assert [event.number for event in events if isinstance(event, ImageFailed)] == [1, 2]
    assert len(list((tmp_path / "out").glob("*_objects.tif"))) == 3
    number = errno.ENOSPC
    with pytest.raises(InputError, match=r"c1_objects\.tif could not be written"):
        list(run(expand_paths([images]), tmp_path / "new", kinds=("objects",)))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["c0_objects.tif"]


def test_a_folder_that_can_no_longer_be_written_to_costs_no_work(images, tmp_path):
    (images / "c2.tif").unlink()
    events = []
    for event in run(expand_paths([images]), tmp_path / "out", kinds=("objects",)):
        events.append(event)
        if isinstance(event, FileWritten):
            (tmp_path / "out").rename(tmp_path / "taken off")
            (tmp_path / "out").write_text("a file")
    failed = [event for event in events if isinstance(event, ImageFailed)]
    assert [event.number for event in failed] == [1, 2, 3]
    assert all("part of its folder is a file" in event.message for event in failed)
    assert {event.number for event in events if isinstance(event, FileAdvanced)} == {0}


def test_names_and_folders_that_cannot_work_are_told_before(images, tmp_path, monkeypatch):
    paths = expand_paths([images])
    (tmp_path / "other").mkdir()
    twin = tmp_path / "other" / "c0.png"
    with pytest.raises(InputError, match=r"c0.tif and .*c0.png would have results of the same name"):
        FilesPlan((*paths, twin), tmp_path, KINDS)
    pair = tmp_path / "A.tif", tmp_path / "a.tif"
    assert len(FilesPlan(pair, tmp_path, KINDS).paths) == 2
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "darwin")
        with pytest.raises(InputError, match=r"A.tif and .*a.tif would have results of the same name"):
            FilesPlan(pair, tmp_path, KINDS)
    foreign = images / "c0_objects.tif"
    tifffile.imwrite(foreign, np.zeros((8, 8), np.uint8))
    with pytest.raises(InputError, match=rf"would replace the image {re.escape(str(foreign))}"):
        FilesPlan(tuple(expand_paths([images])), images, KINDS)
    before = foreign.read_bytes()
    (tmp_path / "file").write_text("a file")
    with pytest.raises(InputError, match="part of its folder is a file"):
        FilesPlan(tuple(paths), tmp_path / "file" / "out", KINDS)
    assert foreign.read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_result_does_not_replace_an_image_through_a_link(images, tmp_path):
    tifffile.imwrite(images / "c0_objects.tif", np.zeros((8, 8), np.uint8))
    (tmp_path / "link").symlink_to(images)
    with pytest.raises(InputError, match="would replace the image"):
        FilesPlan(tuple(expand_paths([images])), tmp_path / "link", KINDS)


def test_a_device_that_is_not_there_is_told_once(images, tmp_path):
    paths = expand_paths([images])
    plan = FilesPlan(tuple(paths), tmp_path / "out", KINDS)
    with pytest.raises(InputError):
        predict_files(make_model(), plan, CONFIG, device="nonsense")
    with pytest.raises(InputError, match="does not compute in float16"):
        predict_files(make_model(), plan, replace(CONFIG, precision="float16"), device="cpu")


def test_to_zarr_it_is_the_same_and_a_stop_is_gone_on_from(images, tmp_path):
    paths = expand_paths([images / "c0.tif", images / "c1.tif"])
    control = Control()
    shares, events = [], []
    for event in run(paths, tmp_path / "out", control, file_format="zarr"):
        events.append(event)
        if isinstance(event, FileAdvanced):
            shares.append((event.number, event.share))
            if event.number == 1:
                control.stop()
    assert events[-1] == FileSuspended(1)
    assert shares == sorted(shares)
    assert len(list((tmp_path / "out").glob("*_*.zarr"))) == 2
    again = list(run(paths[1:], tmp_path / "out", file_format="zarr"))
    first = next(event.event for event in again if isinstance(event, FileAdvanced))
    assert first.done > 1
    written = again[-1]
    expected = predict(make_model(), read_image(paths[1]).pixels, CONFIG, device="cpu")
    for kind in KINDS:
        found = np.asarray(open_image(written.outputs[kind]).pixels)
        np.testing.assert_array_equal(found, getattr(expected, kind))


@pytest.mark.parametrize("file_format", ["tiff", "zarr"])
def test_a_run_goes_on_with_the_images_that_have_no_results_of_it(images, tmp_path, file_format):
    (images / "c2.tif").unlink()  # the damaged one
    paths, control = expand_paths([images]), Control()
    how = {"file_format": file_format, "kinds": KINDS}

    def kept(events):
        return [event.number for event in events if isinstance(event, FileWritten) and event.was_there]

    def there(model=None, config=CONFIG, **more):
        plan = FilesPlan(tuple(paths), tmp_path / "out", **(how | more))
        return kept(predict_files(model or make_model(), plan, config, device="cpu"))

    for event in run(paths, tmp_path / "out", control, **how):
        if isinstance(event, FileAdvanced) and event.number == 2:
            control.stop()
    targets = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("c[01]_*")}
    assert len(targets) == 4
    assert there() == [0, 1]
    assert {path: path.stat().st_mtime_ns for path in targets} == targets
    assert there() == [0, 1, 2, 3]
    assert there(redo=True) == []
    write_image(paths[1], read_image(paths[1]).pixels[::-1].copy(), "YX")
    assert there() == [0, 2, 3]
    (tmp_path / "out" / f"c0_probabilities.{file_format[:3].replace('zar', 'zarr')}").rename(tmp_path / "x")
    assert there() == [1, 2, 3]
    assert there(kinds=("objects",)) == [0, 1, 2, 3]
    trained = replace(make_model(), weights=dict(make_model().weights))
    name = next(iter(trained.weights))
    trained.weights[name] = trained.weights[name] * 1.01
    assert there(trained) == []
    assert there() == []
    assert there(config=replace(CONFIG, instances=InstanceConfig(0.4))) == []


def test_outlines_of_results_that_were_there_are_made_from_them(images, tmp_path):
    config = replace(CONFIG, instances=InstanceConfig(0.0, min_size=1))

    def last(**how):
        plan = FilesPlan((images / "c0.tif",), tmp_path / "out", ("objects",), **how)
        return list(predict_files(make_model(), plan, config, device="cpu"))[-1]

    objects = last().outputs["objects"]
    before = objects.stat().st_mtime_ns
    again = last(outlines=(".zip", ".geojson"))
    assert again.was_there
    assert objects.stat().st_mtime_ns == before
    assert [target.name for target in again.outlines] == ["c0_objects.zip", "c0_objects.geojson"]
    assert len(roiread(again.outlines[0])) == read_image(objects).pixels.max() > 0


def test_outlines_of_an_earlier_run_follow_the_objects(images, tmp_path):
    def rois(threshold, outlines=()):
        config = replace(CONFIG, instances=InstanceConfig(threshold, min_size=1))
        plan = FilesPlan((images / "c0.tif",), tmp_path / "out", ("objects",), outlines=outlines)
        *_, written = predict_files(make_model(), plan, config, device="cpu")
        objects = read_image(written.outputs["objects"]).pixels
        assert len(roiread(tmp_path / "out" / "c0_objects.zip")) == objects.max()
        return objects.max(), [path.name for path in written.outlines]

    assert rois(0.0, (".zip",)) == (1, ["c0_objects.zip"])
    assert rois(0.99) == (0, ["c0_objects.zip"])
    (tmp_path / "out" / "c0_objects.geojson").write_text("of someone else")
    assert rois(0.0) == (1, ["c0_objects.zip"])


@pytest.mark.parametrize("file_format", ["tiff", "zarr"])
def test_results_of_an_earlier_run_that_do_not_go_with_the_new_ones_are_told(images, tmp_path, file_format):
    def apart(*kinds, threshold=0.5, fmt=file_format):
        config = replace(CONFIG, instances=InstanceConfig(threshold))
        plan = FilesPlan((images / "c0.tif",), tmp_path / "out", kinds, fmt)
        *_, written = predict_files(make_model(), plan, config, device="cpu")
        return [path.stem for path in written.apart]

    assert apart("objects", "classes") == []
    assert apart("objects") == []  # kept
    assert apart("objects", threshold=0.4) == ["c0_classes"]
    assert apart("probabilities", threshold=0.4) == ["c0_classes"]
    assert apart("objects", "classes", threshold=0.4) == []
    assert apart("objects", threshold=0.4, fmt="zarr" if file_format == "tiff" else "tiff") == [
        *("c0_objects", "c0_classes", "c0_probabilities")
    ]
    for path in (tmp_path / "out").glob("c0_[cp]*.tif"):
        write_image(path, read_image(path).pixels, software=BY_HAND)
    if file_format == "tiff":
        assert apart("objects") == ["c0_objects"]


@pytest.mark.parametrize("file_format", ["tiff", "zarr"])
def test_further_images_in_a_file_are_told_when_it_is_reached(tmp_path, file_format):
    paths = [tmp_path / "a.tif", tmp_path / "b.tif"]
    for path in paths:
        with tifffile.TiffWriter(path) as file:
            file.write(discs((32, 32), seed=0))
            file.write(discs((20, 32), seed=0))
    events = list(run(paths, tmp_path / "out", kinds=("objects",), file_format=file_format))
    told = [event for event in events if isinstance(event, FileNoted | FileWritten)]
    assert [(type(event), event.number) for event in told] == [
        (FileNoted, 0),
        (FileWritten, 0),
        (FileNoted, 1),
        (FileWritten, 1),
    ]
    assert str(paths[1]) in told[2].message


@pytest.mark.parametrize("file_format", ["auto", "zarr"])
def test_what_was_saved_by_hand_keeps_its_own_image_alone_from_being_segmented(tmp_path, file_format):
    paths = [tmp_path / "images" / f"{name}.tif" for name in "abc"]
    for path in paths:
        write_image(path, discs((32, 32), seed=0), "YX")
    kept = tmp_path / "a_probabilities.tif"
    write_image(kept, discs((32, 32), seed=0), "YX", software=BY_HAND)
    kept.chmod(0o444)
    before = kept.read_bytes()
    events = list(run(paths, tmp_path, file_format=file_format))
    assert [event.number for event in events if isinstance(event, FileWritten)] == [1, 2]
    (failed,) = (event for event in events if isinstance(event, ImageFailed))
    told = f"{kept} was saved by hand and may be corrected, so it is kept; rename or delete it"
    assert (failed.number, told in failed.message) == (0, True)
    assert events[0] is failed  # before it is computed
    assert kept.read_bytes() == before
    with pytest.raises(InputError, match="saved by hand"):  # nothing else is left
        FilesPlan((paths[0],), tmp_path, KINDS)


def test_an_image_that_can_only_be_read_whole_is_written_to_zarr_too(tmp_path):
    pixels = discs((64, 48), seed=0)
    imsave(tmp_path / "a.png", pixels, check_contrast=False)
    *_, written = run([tmp_path / "a.png"], tmp_path / "out", file_format="zarr")
    expected = predict(make_model(), pixels, CONFIG, device="cpu")
    found = np.asarray(open_image(written.outputs["objects"]).pixels)
    np.testing.assert_array_equal(found, expected.objects)


TIME, CHANNEL, PLANE, *ACROSS = (
    {"name": "t", "type": "time", "unit": "second"},
    {"name": "c", "type": "channel"},
    {"name": "depth", "type": "space"},
    {"name": "y", "type": "space", "unit": "micrometer"},
    {"name": "x", "type": "space", "unit": "micrometer"},
)
STAIN = {"name": "stain"}


@pytest.mark.parametrize(
    ("axes", "kept"),
    [
        ([TIME, CHANNEL, *ACROSS], [TIME, *ACROSS]),
        ([CHANNEL, PLANE, *ACROSS], [PLANE, *ACROSS]),
        ([TIME, STAIN, *ACROSS], [TIME, STAIN, *ACROSS]),
        (ACROSS, ACROSS),
    ],
)
def test_results_lie_where_an_ome_zarr_image_does_with_its_axes(tmp_path, axes, kept):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    scale, shift = [[7.0, 1.0, 3.0, 0.5, 0.25][-len(axes) :], [float(n) for n in range(len(axes))]]
    placed = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": shift}]
    whole = [
        {"type": "scale", "scale": [2.0] * len(axes)},
        {"type": "translation", "translation": [10.0] * len(axes)},
    ]
    dataset = {"path": "0", "coordinateTransformations": placed}
    group.attrs["multiscales"] = [
        {"version": "0.4", "axes": axes, "datasets": [dataset], "coordinateTransformations": whole}
    ]
    shape = (*(2 if axis is TIME or axis is STAIN else 1 for axis in axes[:-2]), 48, 40)
    group.create_array("0", data=np.broadcast_to(discs((48, 40)), shape))
    (written,) = (
        event for event in run([tmp_path / "a.zarr"], tmp_path / "out") if isinstance(event, FileWritten)
    )
    (multiscale,) = json.loads((written.outputs["objects"] / ".zattrs").read_text())["multiscales"]
    assert multiscale["axes"] == kept
    numbers = [axes.index(axis) for axis in kept]
    assert multiscale["datasets"][0]["coordinateTransformations"] == [
        {"type": "scale", "scale": [2 * scale[n] for n in numbers]},
        {"type": "translation", "translation": [2 * shift[n] + 10 for n in numbers]},
    ]
    of_classes = json.loads((written.outputs["probabilities"] / ".zattrs").read_text())
    if TIME in axes:  # before which there may be no channels
        assert "multiscales" not in of_classes
    else:
        (multiscale,) = of_classes["multiscales"]
        assert multiscale["axes"] == [CHANNEL, *kept]


def test_grey_pictures_saved_in_colours_are_segmented_as_grey_ones(tmp_path):
    grey = discs((64, 48)).astype(np.uint8)
    colours = np.stack([grey] * 3, axis=-1)
    for name in ("a.png", "b.png"):
        imsave(tmp_path / name, colours, check_contrast=False)
    tifffile.imwrite(tmp_path / "c.tif", colours, photometric="rgb")
    stained = colours.copy()
    stained[0, 0, 0] ^= 1
    imsave(tmp_path / "d.png", stained, check_contrast=False)
    expected = predict(make_model(), grey, CONFIG, device="cpu").objects
    for file_format, read in (("tiff", read_image), ("zarr", lambda path: open_image(path))):
        events = list(run(expand_paths([tmp_path]), tmp_path / "out", file_format=file_format))
        notes = [event for event in events if isinstance(event, FileNoted)]
        assert [(note.number, "a.png is grey" in note.message) for note in notes] == [(0, True)]
        written = [event.outputs["objects"] for event in events if isinstance(event, FileWritten)]
        assert len(written) == 3
        for path in written:
            np.testing.assert_array_equal(np.asarray(read(path).pixels), expected)
        (failed,) = (event for event in events if isinstance(event, ImageFailed))
        assert (failed.number, "has 3 channels" in failed.message) == (3, True)


def test_pictures_that_leave_too_little_memory_are_segmented_block_by_block(tmp_path, monkeypatch):
    grey = discs((64, 48)).astype(np.uint8)
    imsave(tmp_path / "a.png", grey, check_contrast=False)
    tifffile.imwrite(tmp_path / "b.tif", grey)
    monkeypatch.setattr(predicted_files, "fits_into_memory", lambda pixels, **_: pixels.shape[-1] != 48)
    events = list(run(expand_paths([tmp_path]), tmp_path / "out", kinds=("objects",)))
    written = [event.outputs["objects"] for event in events if isinstance(event, FileWritten)]
    assert [path.name for path in written] == ["a_objects.zarr", "b_objects.zarr"]
    expected = predict(make_model(), grey, CONFIG, device="cpu").objects
    for path in written:
        np.testing.assert_array_equal(np.asarray(open_image(path).pixels), expected)


def test_points_in_time_are_not_taken_for_channels(tmp_path):
    pixels = discs((2, 40, 48))
    for name, axes, shape in (
        ("a", "TYX", (2, 40, 48)),
        ("b", "TZYX", (5, 2, 40, 48)),
        ("c", "TZYX", (2,) * 4),
    ):
        image = np.broadcast_to(pixels, shape) if name != "c" else pixels[:, None, :2, :2].repeat(2, axis=1)
        tifffile.imwrite(tmp_path / f"{name}.tif", image, imagej=True, metadata={"axes": axes})
    plan = FilesPlan(tuple(expand_paths([tmp_path])), tmp_path / "out", ("objects",))
    events = list(predict_files(make_model(channels=2), plan, CONFIG, device="cpu"))
    (failed,) = (event for event in events if isinstance(event, ImageFailed))
    assert (failed.number, "has 1 channel " in failed.message) == (0, True)
    assert read_image(plan.target(1, "objects")).pixels.shape == (5, 40, 48)
    assert read_image(plan.target(2, "objects")).pixels.shape == (2, 2, 2)
    how = replace(CONFIG, channels="first")
    list(predict_files(make_model(channels=2), plan, how, device="cpu"))
    assert read_image(plan.target(0, "objects")).pixels.shape == (40, 48)


def test_channels_that_are_taken_for_x_are_told(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.stack([discs((40, 48))] * 2, axis=-1))
    events = list(run([tmp_path / "a.tif"], tmp_path / "out", kinds=("objects",)))
    (noted,) = (event for event in events if isinstance(event, FileNoted))
    assert "a.tif has shape (40, 48, 2), and its planes are taken to be 2 pixels wide; " in noted.message
    assert noted.message.endswith("set prediction.channels=last, and train a model so.")


@pytest.mark.parametrize("version", [2, 3])
def test_the_images_of_a_plate_have_results_of_their_own(tmp_path, version):
    plate = zarr.open_group(tmp_path / "plate 1.ome.zarr", mode="w", zarr_format=version)
    plate.attrs["plate"] = {"wells": [{"path": "A/1"}]}
    for field in ("A/1/0", "A/1/1", "B/12/0"):
        image = plate.create_group(field)
        image.create_array("0", data=discs((40, 48)), chunks=(20, 20))
        image.attrs["multiscales"] = [{"version": "0.4", "datasets": [{"path": "0"}], "axes": ["y", "x"]}]
    with pytest.raises(
        InputError, match=r'is a plate of many images; give these by the pattern "(.*)"'
    ) as told:
        open_image(tmp_path / "plate 1.ome.zarr")
    pattern = str(told.value).split('"')[1]
    events = list(run(expand_paths([pattern]), tmp_path / "out", kinds=("objects",)))
    assert [event.number for event in events if isinstance(event, FileWritten)] == [0, 1, 2]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "plate 1_A_1_0_objects.zarr",
        "plate 1_A_1_1_objects.zarr",
        "plate 1_B_12_0_objects.zarr",
    ]

"""Segmented to disk or in memory: the same; ended at any moment: continued."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from predicting import KINDS, assert_same, config_for, make_model, picture

from napari_unet.cli import main
from napari_unet.core.arrays.normalisation import Normalisation
from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.core.instances import InstanceConfig
from napari_unet.core.tiling import Tile
from napari_unet.files.networks.models import save_model
from napari_unet.files.pixels.images import check_replaceable
from napari_unet.files.pixels.pixel_size import PixelSize
from napari_unet.files.pixels.sources import open_image
from napari_unet.files.pixels.world_axes import named_axes
from napari_unet.files.results.large_prediction import ObjectsFound, Stored, fits_into_memory, predict_to_zarr
from napari_unet.files.results.prediction_store import Grid, PredictionStore, open_results
from napari_unet.network import memory
from napari_unet.network.config import PredictionConfig
from napari_unet.network.events import TileDone
from napari_unet.network.model import Model
from napari_unet.network.prediction import predict


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch):
    """Compute one tile at a time, so that the number of those that a stop leaves is known."""
    monkeypatch.setattr("napari_unet.network.prediction.tiles_at_once", lambda device: 1)


def tiles_in(events: list[Any]) -> int:
    return sum(isinstance(event, TileDone) for event in events)


@pytest.mark.parametrize(("shape", "classes"), [((100, 83), 2), ((3, 50, 40), 2), ((2, 40, 50), 4)])
def test_on_disk_is_what_is_in_memory(tmp_path: Path, shape: tuple[int, ...], classes: int):
    model, image = make_model(seed=5, classes=classes), picture(*shape)
    config = config_for(model, image)
    source = zarr.create_array(tmp_path / "in.zarr", data=image, chunks=(1,) * (len(shape) - 2) + (37, 29))
    *events, last = predict_to_zarr(model, source, tmp_path / "out", "a", config, kinds=KINDS)
    assert last == Stored({kind: tmp_path / "out" / f"a_{kind}.zarr" for kind in KINDS}, finished=True)
    expected = predict(model, image, config)
    assert expected.objects.max() > 5
    assert_same(tmp_path / "out", expected)
    parts = [event.done for event in events if isinstance(event, ObjectsFound)]
    assert parts == sorted(parts)
    assert parts[-1] == pytest.approx(1)


def test_objects_are_read_as_the_model_says_where_nothing_else_is_asked_for(tmp_path: Path):
    model, image = make_model(seed=5), picture(60, 50)
    config = config_for(model, image)
    fitted = replace(model, instances=config.instances)
    list(predict_to_zarr(fitted, image, tmp_path, "a", replace(config, instances=None)))
    expected = predict(model, image, config)
    assert expected.objects.max() > 5
    assert_same(tmp_path, expected, kinds=("objects",))


def test_the_metadata_are_those_of_ome_zarr(tmp_path: Path):
    model, image = make_model(), picture(3, 40, 40)
    size = PixelSize(y=0.25, x=0.5, z=2.0)
    axes = named_axes("ZYX", size)
    events = predict_to_zarr(
        model, image, tmp_path, "a", PredictionConfig(tile_size=32), kinds=KINDS, axes=axes
    )
    list(events)
    objects = open_image(tmp_path / "a_objects.zarr")
    assert (objects.axes, objects.pixel_size, objects.pixels.shape) == ("ZYX", size, image.shape)
    probabilities = open_image(tmp_path / "a_probabilities.zarr")
    assert (probabilities.axes, probabilities.pixels.shape) == ("CZYX", (2, *image.shape))
    attributes = json.loads((tmp_path / "a_objects.zarr" / ".zattrs").read_text())
    assert attributes["image-label"] == {"version": "0.4"}
    assert attributes["multiscales"][0]["version"] == "0.4"
    assert "image-label" not in json.loads((tmp_path / "a_probabilities.zarr" / ".zattrs").read_text())


def test_a_stop_ends_after_the_tile_and_the_next_run_goes_on(tmp_path: Path):
    model, image = make_model(), picture(100, 83)
    config = config_for(model, image)
    control, first = Control(), []
    for event in predict_to_zarr(model, image, tmp_path, "a", config, kinds=KINDS, control=control):
        first.append(event)
        if len(first) == 5:
            control.stop()
    assert tiles_in(first) in (5, 6)  # one may have begun
    assert isinstance(first[-1], Stored)
    assert not first[-1].finished
    assert [path.name for path in tmp_path.iterdir()] == [".a.napari-unet"]
    second = list(predict_to_zarr(model, image, tmp_path, "a", config, kinds=KINDS))
    total = second[0].total
    assert tiles_in(first) + tiles_in(second) == total == 12
    assert second[0].done == tiles_in(first) + 1
    assert_same(tmp_path, predict(model, image, config))


def test_a_stop_while_objects_are_found_keeps_the_planes_that_have_theirs(tmp_path: Path):
    model, image = make_model(), picture(3, 40, 40)
    config = config_for(model, image)
    control, planes = Control(), []
    for event in predict_to_zarr(model, image, tmp_path, "a", config, control=control):
        if isinstance(event, ObjectsFound):
            planes.append(event.done)
            if event.done > 0.5:
                control.stop()
    second = list(predict_to_zarr(model, image, tmp_path, "a", config))
    assert tiles_in(second) == 0
    again = [event.done for event in second if isinstance(event, ObjectsFound)]
    assert planes[0] < 1 / 3 < again[0]
    assert_same(tmp_path, predict(model, image, config), kinds=("objects",))


def stop_after(model: Model, image: Any, folder: Path, config: PredictionConfig, tiles: int = 5) -> None:
    control = Control()
    for number, _ in enumerate(predict_to_zarr(model, image, folder, "a", config, control=control), start=1):
        if number == tiles:
            control.stop()


def test_nothing_of_another_model_image_or_setting_is_taken(tmp_path: Path):
    model, image = make_model(), picture(100, 83)
    config = config_for(model, image)
    other_image = image.copy()
    other_image[0, 0] += 0.1
    others = [
        (make_model(seed=1), image, config),
        (model, other_image, config),
        (model, image, replace(config, precision="bfloat16")),
        (model, image, replace(config, tile_size=48)),
        (replace(model, normalisation=Normalisation(low=2)), image, config),
    ]
    for number, (a_model, an_image, a_config) in enumerate(others):
        folder = tmp_path / str(number)
        stop_after(model, image, folder, config)
        events = list(predict_to_zarr(a_model, an_image, folder, "a", a_config))
        assert tiles_in(events) == events[0].total
        assert_same(folder, predict(a_model, an_image, a_config), kinds=("objects",))


def test_an_image_that_was_changed_in_one_corner_is_another_one(tmp_path: Path):
    model, image = make_model(), picture(300, 300)
    config = PredictionConfig(tile_size=128, precision="float32")
    stop_after(model, image, tmp_path, config)
    changed = image.copy()
    changed[:80, -80:] = image[:80, -80:][::-1]  # of the same brightness
    events = list(predict_to_zarr(model, changed, tmp_path, "a", config))
    assert tiles_in(events) == events[0].total


def test_other_objects_are_found_in_the_same_probabilities(tmp_path: Path):
    model, image = make_model(), picture(100, 83)
    config = config_for(model, image)
    stop_after(model, image, tmp_path, config, tiles=14)  # among the objects
    other = replace(config, instances=replace(config.instances, min_size=30))
    events = list(predict_to_zarr(model, image, tmp_path, "a", other))
    assert tiles_in(events) == 0
    assert_same(tmp_path, predict(model, image, other), kinds=("objects",))


def test_tiles_planned_from_the_memory_stay_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model, image = make_model(), picture(100, 83)
    config = PredictionConfig(precision="float32")
    plan = "napari_unet.network.tiles.tile_size.plan_tile_size"
    monkeypatch.setattr(plan, lambda *_, **__: 32)
    stop_after(model, image, tmp_path, config)
    monkeypatch.setattr(plan, lambda *_, **__: 64)
    events = list(predict_to_zarr(model, image, tmp_path, "a", config))
    assert (tiles_in(events) < 8, events[0].total) == (True, 12)


def test_a_tile_written_in_smaller_ones_counts(tmp_path: Path):
    def tile(*sides: slice) -> Tile:
        return Tile(sides, sides, sides)

    whole = tile(slice(0, 8), slice(8, 16))
    store = PredictionStore(tmp_path / "x", {}, [], 8)
    for y in (0, 4):
        for x in (8, 12):
            assert not store.is_finished((1,), whole)
            store.finish((1,), tile(slice(y, y + 4), slice(x, x + 4)))
    for again in (store, PredictionStore(tmp_path / "x", {}, [], 8)):
        assert again.is_finished((1,), whole)
        assert not again.is_finished((0,), whole)
        assert not again.is_finished((1,), tile(slice(0, 8), slice(0, 8)))


@pytest.mark.parametrize(
    "line",
    [
        "{",
        '"a"',
        '{"start": 3}',
        '{"plane": [], "start": [0], "stop": ["a"]}',
        '{"plane": [], "start": [0], "stop": [8, 8]}',
        '{"objects": 3}',
        '{"objects": {}, "planes": "1", "used": 2}',
        "[" * 100_000,
    ],
)
def test_a_damaged_journal_is_begun_anew(tmp_path: Path, line: str):
    tile = Tile(*((slice(0, 8), slice(0, 8)),) * 3)
    store = PredictionStore(tmp_path / "x", {}, [], 8)
    store.finish((), tile)
    with (tmp_path / "x" / "journal.jsonl").open("a") as file:
        file.write(f"{line}\n")
    again = PredictionStore(tmp_path / "x", {}, [], 16)
    assert (again.tile_size, again.is_finished((), tile)) == (16, False)
    (tmp_path / "x" / "journal.jsonl").write_bytes(b"\xff\n")
    with pytest.raises(InputError, match="is not a folder of napari-unet"):
        PredictionStore(tmp_path / "x", {}, [], 16)


@pytest.mark.parametrize("text", ["", '{"jour'])
def test_a_folder_on_which_the_disk_was_full_at_once_is_begun_anew(tmp_path: Path, text: str):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "journal.jsonl").write_text(text)
    assert PredictionStore(tmp_path / "x", {}, [], 16).tile_size == 16
    (tmp_path / "x" / "journal.jsonl").write_text(text)
    (tmp_path / "x" / "somebody's").mkdir()
    with pytest.raises(InputError, match="is not a folder of napari-unet"):
        PredictionStore(tmp_path / "x", {}, [], 16)


def test_what_an_ousted_run_writes_while_it_is_removed_and_after_goes_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "x" / "probabilities.zarr" / "0").mkdir(parents=True)
    remove, failures = shutil.rmtree, [OSError(errno.ENOTEMPTY, "Directory not empty")]

    def rmtree(folder: Path) -> None:
        if failures:
            raise failures.pop()
        remove(folder)

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    assert PredictionStore(tmp_path / "x", {}, [], 16).tile_size == 16
    assert [item.name for item in (tmp_path / "x").iterdir()] == ["journal.jsonl"]
    (tmp_path / "y" / "somebody's.zarr").mkdir(parents=True)
    with pytest.raises(InputError, match="is not a folder of napari-unet"):
        PredictionStore(tmp_path / "y", {}, [], 16)


@pytest.mark.skipif(sys.platform == "win32", reason="no locks on folders")
def test_of_runs_that_begin_at_once_one_ends_well(tmp_path: Path):
    image = picture(130, 150)
    config = config_for(make_model(seed=5), image)
    together = threading.Barrier(3)

    def run(seed: int, folder: Path) -> str:
        together.wait()
        try:
            list(predict_to_zarr(make_model(seed=seed), image, folder, "a", config))
        except InputError as error:
            return str(error)
        return "ended well"

    for number in range(5):
        folder = tmp_path / str(number)
        with ThreadPoolExecutor() as pool:
            told = list(pool.map(run, (5, 6, 5), (folder,) * 3))
        assert "ended well" in told
        known = "ended well", "Another run segments", "What was written"
        assert all(sentence.startswith(known) for sentence in told)
        assert (folder / "a_objects.zarr").is_dir()


def test_what_fits_into_the_memory_depends_on_what_a_scheduler_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    image = np.zeros((100, 100), np.uint8)
    assert fits_into_memory(image, classes=2, in_channels=1)
    (tmp_path / "own").write_text("0::/\n")
    for name, content in {"max": "100000", "current": "0", "stat": "inactive_file 0"}.items():
        (tmp_path / f"memory.{name}").write_text(content)
    monkeypatch.setattr(memory, "_ROOT", tmp_path)
    monkeypatch.setattr(memory, "_OWN", tmp_path / "own")
    assert not fits_into_memory(image, classes=2, in_channels=1)


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("until", [TileDone, ObjectsFound])
@pytest.mark.parametrize("seed", [5, 6])  # of the network of the later run
def test_of_two_runs_the_later_one_goes_on(tmp_path: Path, until: type, seed: int):
    image = picture(130, 150)
    config = config_for(make_model(seed=5), image)
    first = predict_to_zarr(make_model(seed=5), image, tmp_path, "a", config)
    while not isinstance(next(first), until):
        pass
    model = make_model(seed=seed)
    later = predict_to_zarr(model, image, tmp_path, "a", config)
    next(later)
    before = content(tmp_path)
    with pytest.raises(InputError, match="Another run segments the same image"):
        list(first)
    assert content(tmp_path) == before
    list(later)
    assert_same(tmp_path, predict(model, image, config), kinds=("objects",))


def test_a_tile_of_another_number_of_axes_is_none_of_this_prediction(tmp_path: Path):
    tile = Tile(*((slice(0, 8), slice(0, 8)),) * 3)
    PredictionStore(tmp_path / "x", {}, [], 8)
    with (tmp_path / "x" / "journal.jsonl").open("a") as file:
        file.write(
            '{"plane": [], "start": [0], "stop": [8]}\n{"plane": [], "start": [0, 0], "stop": [4, 8]}\n'
        )
    assert not PredictionStore(tmp_path / "x", {}, [], 8).is_finished((), tile)


@pytest.mark.parametrize("text", ["{", "3", "[" * 100_000])
def test_what_only_looks_like_a_result_is_not_replaced(tmp_path: Path, text: str):
    (tmp_path / "a_objects.zarr").mkdir()
    (tmp_path / "a_objects.zarr" / ".zattrs").write_text(text)
    with pytest.raises(InputError, match="already exists"):
        check_replaceable(tmp_path / "a_objects.zarr")


KILLED = """
import os, signal, sys
import numpy as np
from napari_unet import load_model
from napari_unet.core.instances import InstanceConfig
from napari_unet.files.results.large_prediction import predict_to_zarr
from napari_unet.files.pixels.sources import open_image
from napari_unet.network import memory
from napari_unet.network.config import PredictionConfig

folder, threshold, events = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
instances = InstanceConfig(threshold, contrast=0.2)
config = PredictionConfig(tile_size=32, precision="float32", instances=instances)
model, image = load_model(folder + "/model.safetensors"), open_image(folder + "/in.tif")
work = predict_to_zarr(model, image.pixels, folder + "/out", "a", config)
for number, event in enumerate(work, start=1):
    if number == events:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_process_is_continued(tmp_path: Path):
    model, image = make_model(), picture(100, 83)
    config = config_for(model, image)
    save_model(model, tmp_path / "model.safetensors")
    tifffile.imwrite(tmp_path / "in.tif", image, compression="zlib", rowsperstrip=10)
    threshold = repr(config.instances.threshold)
    command = [sys.executable, "-c", KILLED, str(tmp_path), threshold]
    for events in ("5", "8"):  # among the tiles; after the 7 that are left, among the objects
        run = subprocess.run([*command, events], check=False, stderr=subprocess.PIPE)
        assert run.returncode == -signal.SIGKILL, run.stderr
    # The last line of the journal is cut off, as a crash may leave it.
    with (tmp_path / "out" / ".a.napari-unet" / "journal.jsonl").open("a") as file:
        file.write('{"plane": [')
    pixels = open_image(tmp_path / "in.tif").pixels
    assert tiles_in(list(predict_to_zarr(model, pixels, tmp_path / "out", "a", config))) == 0
    assert_same(tmp_path / "out", predict(model, image, config), kinds=("objects",))


FULL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.argv = ["napari-unet", *sys.argv[2:]]
from napari_unet.cli import main
sys.exit(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of file sizes")
def test_a_full_disk_is_one_sentence_and_the_rest_is_done_later(tmp_path: Path):
    model, image = make_model(), picture(100, 83)
    save_model(model, tmp_path / "model.safetensors")
    tifffile.imwrite(tmp_path / "a.tif", image)
    arguments = [
        "predict", tmp_path / "model.safetensors", "--images", tmp_path / "a.tif",
        "--output", tmp_path / "out", "--format", "zarr",
        "--set", "prediction.tile_size=32", "prediction.precision=float32",
    ]  # fmt: skip
    arguments = [str(argument) for argument in arguments]
    run = [sys.executable, "-c", FULL, "1500", *arguments]  # bytes: less than a chunk
    full = subprocess.run(run, check=False, capture_output=True, text=True)
    assert full.returncode == 2
    assert full.stderr.count("\n") == 1
    assert "The disk is full" in full.stderr
    assert main(arguments) == 0
    expected = predict(model, image, PredictionConfig(tile_size=32, precision="float32"))
    assert_same(tmp_path / "out", expected, kinds=("objects",))


def test_earlier_results_are_replaced_and_nothing_else_is(tmp_path: Path):
    model, image = make_model(), picture(40, 40)
    config = config_for(model, image)
    list(predict_to_zarr(make_model(seed=1), image, tmp_path, "a", config))
    list(predict_to_zarr(model, image, tmp_path, "a", config))
    assert_same(tmp_path, predict(model, image, config), kinds=("objects",))
    for name in ("b_objects.zarr", ".c.napari-unet"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine").touch()
        with pytest.raises(InputError, match="napari-unet; "):
            list(predict_to_zarr(model, image, tmp_path, name.strip(".")[0], config))
        assert os.listdir(tmp_path / name) == ["mine"]  # noqa: PTH208


def test_chunks_that_are_held_for_a_moment_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    replace, tried = Path.replace, set[Path]()

    def held(source: Path, target: Path) -> Path:
        if source.name.endswith(".partial") and target not in tried:
            tried.add(target)
            raise PermissionError(errno.EACCES, "Access is denied", str(target))
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", held)
    monkeypatch.setattr("napari_unet.files.results.patient_store.PAUSES_S", (0.0,))
    model, image = make_model(), picture(40, 40)
    config = config_for(model, image)
    list(predict_to_zarr(model, image, tmp_path, "a", config, kinds=KINDS))
    assert len(tried) > 20
    assert_same(tmp_path, predict(model, image, config))
    group = PredictionStore(tmp_path / ".b.napari-unet", {}, ["classes"], 32)
    group.array("classes", Grid((8, 8), (8, 8)), "uint8")
    open_results(group.folder, ["classes"])["classes"][:] = 1
    assert (group.folder / "classes.zarr" / "0" / "0" / "0").is_file()


def test_paths_that_are_too_long_for_windows_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def too_long(*_: Any) -> Any:
        raise FileNotFoundError(errno.ENOENT, "The system cannot find the path specified", "n" * 300)

    model, image = make_model(), picture(40, 40)
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr("napari_unet.files.results.large_prediction.write_tile", too_long)
    with pytest.raises(InputError, match=r"are too long for Windows; choose a folder with a shorter one\."):
        list(predict_to_zarr(model, image, tmp_path, "a", config_for(model, image)))


@pytest.mark.parametrize("times", [1, 1000])
def test_a_result_that_a_program_has_open_is_replaced_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
):
    """Windows moves and removes nothing that is open, be it for a moment, by what looks for viruses."""
    left = {"replace": times, "rmtree": times}

    def unless_open(name: str, move: Any) -> Any:
        def attempt(*arguments: Any, **options: Any) -> Any:
            is_ours = arguments[0] in (tmp_path / "a_objects.zarr", tmp_path / ".a.napari-unet")
            left[name] -= is_ours
            if is_ours and left[name] >= 0:
                raise PermissionError(errno.EACCES, "Access is denied", str(arguments[0]))
            return move(*arguments, **options)

        return attempt

    model, image = make_model(), picture(40, 40)
    config = config_for(model, image)
    list(predict_to_zarr(make_model(seed=1), image, tmp_path, "a", config))
    with monkeypatch.context() as patch:
        patch.setattr("napari_unet.files.atomic.PAUSES_S", (0.0,) * 3)
        patch.setattr("napari_unet.files.results.prediction_store._PAUSE_S", 0.0)
        patch.setattr(Path, "replace", unless_open("replace", Path.replace))
        patch.setattr(shutil, "rmtree", unless_open("rmtree", shutil.rmtree))
        if times > 1:
            with pytest.raises(
                InputError, match=r"replaced \(Access is denied\); close it in other programs"
            ):
                list(predict_to_zarr(model, image, tmp_path, "a", config))
        else:
            list(predict_to_zarr(model, image, tmp_path, "a", config))
    events = list(predict_to_zarr(model, image, tmp_path, "a", config))
    assert (tiles_in(events), events[-1].was_there) == (0, times == 1), "what was finished is kept"
    assert os.listdir(tmp_path) == ["a_objects.zarr"]  # noqa: PTH208
    assert_same(tmp_path, predict(model, image, config), kinds=("objects",))


def test_a_region_too_large_to_separate_is_refused_and_its_probabilities_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    model, image = make_model(), picture(64, 64)
    config = PredictionConfig(tile_size=32, precision="float32", instances=InstanceConfig(0))
    monkeypatch.setattr("napari_unet.files.results.large_prediction._MEMORY_SHARE", 1e-12)
    monkeypatch.setattr("napari_unet.files.results.large_prediction._OBJECT_BLOCK", 32**2)
    with pytest.raises(InputError, match="connected over 64 × 64 pixels"):
        list(predict_to_zarr(model, image, tmp_path, "a", config))
    monkeypatch.undo()
    assert tiles_in(list(predict_to_zarr(model, image, tmp_path, "a", config))) == 0


def test_objects_across_chunks_in_several_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("napari_unet.files.results.large_prediction._OBJECT_BLOCK", 32**2)
    model, image = make_model(), picture(100, 83)
    config = config_for(model, image)
    list(predict_to_zarr(model, image, tmp_path, "a", config))
    assert_same(tmp_path, predict(model, image, config), kinds=("objects",))

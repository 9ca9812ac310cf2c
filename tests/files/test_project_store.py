"""The folder of a project follows its window, one window at a time, whatever happens to the folder."""

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_unet.core.errors import InputError
from napari_unet.files.atomic import writing
from napari_unet.files.networks.states import state_path
from napari_unet.files.projects.project import LayerLook, ProjectImage, ProjectLabels, read_project
from napari_unet.files.projects.project_images import read_kept
from napari_unet.files.projects.project_labels import chunks_in
from napari_unet.files.projects.project_lock import FILE as LOCK
from napari_unet.files.projects.project_lock import InUseError
from napari_unet.files.projects.project_store import (
    ImageState,
    LabelsState,
    ProjectState,
    ProjectStore,
    matches,
    read_labels,
    read_settings,
)


def image_of(pixels, source=None, key="cells", reads=None):
    entry = ProjectImage(key, LayerLook(key), tuple(pixels.shape), str(pixels.dtype))
    return ImageState(entry, pixels, source, reads)


def paint_of(pixels, file="cells.zarr", image="cells", chunks=None, **how):
    entry = ProjectLabels(file, image, LayerLook(f"{image} paint"))
    return LabelsState(entry, pixels, list(chunks_in(pixels.shape)) if chunks is None else chunks, **how)


def state_of(pixels, paint, **how):
    return ProjectState(
        (image_of(pixels, **how),), (paint_of(paint),), settings={"train": {"train_minutes": 2.0}}
    )


PIXELS = np.random.default_rng(0).integers(0, 4000, (600, 700)).astype(np.uint16)


@pytest.fixture
def paint():
    paint = np.zeros((600, 700), np.int32)
    paint[10:20, 10:600] = 2
    return paint


def test_what_is_in_the_window_is_in_the_folder(tmp_path, paint):
    folder = tmp_path / "my project ✂"
    store = ProjectStore.create(folder)
    assert store.save(state_of(PIXELS, paint)) == []
    project = read_project(folder)
    assert project == store.project
    np.testing.assert_array_equal(read_labels(folder, "cells.zarr")[0], paint)
    np.testing.assert_array_equal(read_kept(project.images[0], folder), PIXELS)
    assert read_settings(folder) == {"train": {"train_minutes": 2.0}}
    assert {item.name for item in folder.iterdir()} == {
        "project.toml",
        "project.lock",
        "settings.toml",
        "paint",
        "images",
        "models",
    }
    store.close()
    assert not (folder / LOCK).exists()


def test_nothing_is_written_where_nothing_changed(tmp_path, paint):
    store = ProjectStore.create(tmp_path / "p")
    store.save(state_of(PIXELS, paint))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "p").rglob("*") if path.name != LOCK}
    store.save(state_of(PIXELS, paint))
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_a_file_is_linked_only_if_it_holds_what_the_window_shows(tmp_path, paint):
    source = tmp_path / "cells.tif"
    tifffile.imwrite(source, PIXELS)
    store = ProjectStore.create(tmp_path / "p")

    def reads(path):
        return [tifffile.imread(path)]

    other = image_of(PIXELS // 2, source, "halved", reads)
    store.save(ProjectState((image_of(PIXELS, source, reads=reads), other)))
    linked, kept = store.project.images
    assert (linked.path, linked.kept) == ("../cells.tif", "")
    assert (kept.path, kept.kept) == ("", "halved.tif")
    assert matches(linked, PIXELS)
    assert not matches(linked, PIXELS + 1)


def test_an_image_that_cannot_be_kept_costs_no_paint_and_is_said_once(tmp_path, paint):
    store = ProjectStore.create(tmp_path / "p")
    state = state_of(PIXELS.astype(np.complex64), paint)
    assert "which TIFF does not hold" in store.save(state)[0]
    assert store.save(state) == []
    np.testing.assert_array_equal(read_labels(tmp_path / "p", "cells.zarr")[0], paint)


def test_paint_of_another_shape_does_not_overwrite(tmp_path, paint):
    store = ProjectStore.create(tmp_path / "p")
    store.save(state_of(PIXELS, paint))
    store.save(ProjectState((image_of(PIXELS),), (paint_of(np.ones((5, 5), np.uint8)),)))
    assert store.project.labels[0].file == "cells 2.zarr"
    np.testing.assert_array_equal(read_labels(tmp_path / "p", "cells.zarr")[0], paint)
    np.testing.assert_array_equal(read_labels(tmp_path / "p", "cells 2.zarr")[0], 1)


def test_paint_that_was_left_out_of_the_project_is_not_written_on(tmp_path, paint):
    store = ProjectStore.create(tmp_path / "p")
    store.save(state_of(PIXELS, paint))
    store.save(ProjectState())
    store.close()
    store = ProjectStore.open(tmp_path / "p")
    store.save(state_of(PIXELS, np.ones_like(paint)))
    assert store.project.labels[0].file == "cells 2.zarr"
    np.testing.assert_array_equal(read_labels(tmp_path / "p", "cells.zarr")[0], paint)


def test_an_image_that_was_replaced_in_the_window_is_kept(tmp_path, paint):
    source = tmp_path / "cells.tif"
    tifffile.imwrite(source, PIXELS)
    store = ProjectStore.create(tmp_path / "p")
    state = state_of(PIXELS, paint, source=source, reads=lambda path: [tifffile.imread(path)])
    store.save(state)
    assert store.project.images[0].path == "../cells.tif"
    smoothed = PIXELS // 2
    store.save(replace(state, images=(replace(state.images[0], pixels=smoothed),)))
    (kept,) = store.project.images
    np.testing.assert_array_equal(read_kept(kept, tmp_path / "p"), smoothed)


def test_predictions_are_kept_with_what_was_corrected(tmp_path, paint):
    store = ProjectStore.create(tmp_path / "p")
    predicted = paint.copy()
    paint[100:110] = 3
    entry = replace(paint_of(paint).entry, kind="objects")
    labels = LabelsState(entry, paint, list(chunks_in(paint.shape)), predicted)
    store.save(ProjectState((image_of(PIXELS),), (labels,)))
    (stored,) = read_project(tmp_path / "p").labels
    np.testing.assert_array_equal(read_labels(tmp_path / "p", stored.file)[0], paint)
    np.testing.assert_array_equal(read_labels(tmp_path / "p", stored.predicted)[0], predicted)


def test_it_goes_on_where_it_was(tmp_path, paint):
    store = ProjectStore.create(tmp_path / "p")
    store.save(state_of(PIXELS, paint))
    store.close()
    identity = store.project.identity
    store = ProjectStore.open(tmp_path / "p")
    paint[500, 500] = 9
    store.save(ProjectState((image_of(PIXELS),), (paint_of(paint, chunks=[(0, 0)]),)))
    assert not read_labels(tmp_path / "p", "cells.zarr")[0][500, 500] or paint[500, 500] == 9
    store.save(ProjectState((image_of(PIXELS),), (paint_of(paint),)))
    np.testing.assert_array_equal(read_labels(tmp_path / "p", "cells.zarr")[0], paint)
    assert store.project.identity == identity
    assert store.project.images[0].kept == "cells.tif"  # not forgotten


def test_unfinished_writes_are_swept_up(tmp_path, paint):
    store = ProjectStore.create(tmp_path / "p")
    store.save(state_of(PIXELS, paint))
    store.close()
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    with writing(tmp_path / "a") as temporary:
        own = temporary.name
    of_ended = own.replace(f"-{os.getpid()}-", f"-{ended.pid}-")
    places = [tmp_path / "p" / place for place in ("", "paint/cells.zarr", "models")]
    for place in places:
        for name in (own, of_ended):
            (place / name).touch()
    ProjectStore.open(tmp_path / "p")
    assert not any((place / of_ended).exists() for place in places)
    assert all((place / own).exists() for place in places)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match="is not empty"):
        ProjectStore.create(tmp_path)
    ProjectStore.create(tmp_path / "p").close()
    with pytest.raises(InputError, match="is a project already"):
        ProjectStore.create(tmp_path / "p")


def test_where_nothing_can_be_written_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="part of its folder is a file"):
        ProjectStore.create(tmp_path / "file" / "p")


def test_a_deleted_folder_is_said_and_not_brought_back_in_pieces(tmp_path, paint):
    store = ProjectStore.create(tmp_path / "p")
    store.save(state_of(PIXELS, paint))
    (tmp_path / "p").rename(tmp_path / "elsewhere")
    paint[300:310] = 4
    with pytest.raises(InputError, match=r"is gone, so nothing is saved; bring the folder back"):
        store.save(state_of(PIXELS, paint))
    assert not (tmp_path / "p").exists()
    (tmp_path / "elsewhere").rename(tmp_path / "p")
    store.save(state_of(PIXELS, paint))
    np.testing.assert_array_equal(read_labels(tmp_path / "p", "cells.zarr")[0], paint)


def test_a_full_disk_is_said_and_costs_nothing(tmp_path):
    # In a process of its own: the limit on the size of files would hold for all tests.
    code = f"""
import resource, signal, sys
import numpy as np
from test_project_store import *
folder = Path({str(tmp_path / "p")!r})
rng = np.random.default_rng(0)
paint = np.zeros((512, 512), np.int32)
store = ProjectStore.create(folder)
store.save(state_of(PIXELS[:512, :512], paint))
paint[:10] = 2
store.save(state_of(PIXELS[:512, :512], paint))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
paint[100:] = rng.integers(0, 2**30, (412, 512))  # does not compress
try:
    store.save(state_of(PIXELS[:512, :512], paint))
except InputError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
before = read_labels(folder, "cells.zarr")[0]
assert before[:10].all() and not before[10:].any()
store.save(state_of(PIXELS[:512, :512], paint))
assert (read_labels(folder, "cells.zarr")[0] == paint).all()
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert run.returncode == 0, run.stderr
    assert "free some space there or choose another folder." in run.stdout
    assert run.stdout.count("\n") == 1


@pytest.mark.parametrize("name", ["paint", "images", "models", "settings.toml", "project.lock"])
def test_links_that_lead_out_of_the_project_are_refused(tmp_path, paint, name):
    store = ProjectStore.create(tmp_path / "p")
    store.save(state_of(PIXELS, paint))
    store.close()
    inner = tmp_path / "p" / name
    if inner.exists():
        inner.rename(tmp_path / "outside")
    inner.symlink_to(tmp_path / "outside")
    with pytest.raises(InputError, match="leads out of the project"):
        ProjectStore.open(tmp_path / "p")


def test_a_link_in_the_place_of_paint_is_refused(tmp_path, paint):
    store = ProjectStore.create(tmp_path / "p")
    (tmp_path / "outside").mkdir()
    (tmp_path / "p" / "paint").mkdir()
    (tmp_path / "p" / "paint" / "cells.zarr").symlink_to(tmp_path / "outside")
    with pytest.raises(InputError, match="leads out of the project"):
        read_labels(tmp_path / "p", "cells.zarr")
    store.save(state_of(PIXELS, paint))
    assert store.project.labels[0].file == "cells 2.zarr"
    assert not list((tmp_path / "outside").iterdir())


def test_models_and_removed_labels_are_copied(tmp_path):
    first, second = ProjectStore.create(tmp_path / "a"), ProjectStore.create(tmp_path / "b")
    (first.folder / "models" / "m 1.safetensors").write_bytes(b"weights")
    first.save(state_of(PIXELS, np.ones((600, 700), np.uint8)))
    second.copy_rest(first.folder, ["cells.zarr"])
    second.copy_rest(tmp_path / "nowhere", ["cells.zarr"])
    assert read_labels(second.folder, "cells.zarr")[0].all()
    assert (second.folder / "models" / "m 1.safetensors").read_bytes() == b"weights"


def test_a_training_state_that_is_copied_takes_no_room_twice(tmp_path):
    store, model = ProjectStore.create(tmp_path / "p"), tmp_path / "m.safetensors"
    paths = (model, state_path(model))
    for path in paths:
        path.write_bytes(b"as it was")
    store.copy_model(model)
    copied, state = (store.folder / "models" / path.name for path in paths)
    assert not copied.samefile(model)
    assert state.samefile(state_path(model))
    with writing(state) as temporary:
        temporary.write_bytes(b"trained on")
    assert state_path(model).read_bytes() == copied.read_bytes() == b"as it was"


def test_a_training_state_is_copied_where_files_have_one_name_only(tmp_path, monkeypatch):
    def refuse(self, path):
        raise OSError(errno.EXDEV, "another disk")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    (tmp_path / "m.safetensors.training").write_bytes(b"state")
    store = ProjectStore.create(tmp_path / "p")
    store.copy_model(tmp_path / "m.safetensors")
    assert (store.folder / "models" / "m.safetensors.training").read_bytes() == b"state"


# One window at a time.


def test_a_second_window_is_told(tmp_path):
    store = ProjectStore.create(tmp_path / "p")
    with pytest.raises(InUseError, match=r"open in another window on this computer, so nothing you paint"):
        ProjectStore.open(tmp_path / "p")
    with pytest.raises(
        InUseError, match=r"open in a window on this computer; close that, or .* with --output"
    ):
        ProjectStore.open(tmp_path / "p", of_command=True)
    store.close()
    ProjectStore.open(tmp_path / "p").close()


def test_others_are_told_that_a_command_has_it(tmp_path):
    ProjectStore.create(tmp_path / "p").close()
    store = ProjectStore.open(tmp_path / "p", of_command=True)
    for of_command in (False, True):
        with pytest.raises(InUseError, match=r"written by napari-unet train on this computer.* wait until"):
            ProjectStore.open(tmp_path / "p", of_command=of_command)
    store.close()


def entry_of(folder, **change):
    path = folder / LOCK
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


def test_the_lock_of_a_process_that_was_killed_is_taken_over(tmp_path):
    code = (
        "import os, signal; from pathlib import Path\n"
        "from napari_unet.files.projects.project_store import ProjectStore\n"
        f"ProjectStore.create(Path({str(tmp_path / 'p')!r})); os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert (tmp_path / "p" / LOCK).exists()
    ProjectStore.open(tmp_path / "p").close()


def test_a_process_number_that_was_given_to_another_is_no_lock(tmp_path):
    ProjectStore.create(tmp_path / "p")
    entry_of(tmp_path / "p", started=1.0)
    ProjectStore.open(tmp_path / "p").close()


def test_another_computer_has_it_while_it_gives_signs_of_life(tmp_path):
    ProjectStore.create(tmp_path / "p")
    entry_of(tmp_path / "p", host="lab-7")
    with pytest.raises(InUseError, match="in another window on lab-7"):
        ProjectStore.open(tmp_path / "p")
    long_ago = time.time() - 120
    os.utime(tmp_path / "p" / LOCK, (long_ago, long_ago))
    ProjectStore.open(tmp_path / "p").close()


@pytest.mark.parametrize(
    "rubbish", ["", "[]", '{"host": 1}', "{", '{"host": "x", "process": "1", "token": ""}']
)
def test_a_lock_that_says_nothing_is_none(tmp_path, rubbish):
    ProjectStore.create(tmp_path / "p")
    (tmp_path / "p" / LOCK).write_text(rubbish)
    ProjectStore.open(tmp_path / "p").close()


def test_a_window_that_was_taken_for_gone_stops_writing(tmp_path, paint):
    first = ProjectStore.create(tmp_path / "p")
    entry_of(tmp_path / "p", started=1.0)
    second = ProjectStore.open(tmp_path / "p")
    with pytest.raises(InUseError, match="took over the project p"):
        first.save(state_of(PIXELS, paint))
    second.save(state_of(PIXELS, paint))
    first.close()
    assert (tmp_path / "p" / LOCK).exists()  # it is not the first one's to give back
    second.close()


def test_a_lock_that_somebody_deleted_is_made_again(tmp_path, paint):
    store = ProjectStore.create(tmp_path / "p")
    (tmp_path / "p" / LOCK).unlink()
    store.save(state_of(PIXELS, paint))
    assert json.loads((tmp_path / "p" / LOCK).read_text())["host"] == socket.gethostname()


def test_every_save_is_a_sign_of_life(tmp_path):
    lock = ProjectStore.create(tmp_path / "p")._lock
    long_ago = time.time() - 120
    os.utime(tmp_path / "p" / LOCK, (long_ago, long_ago))
    lock.check()
    assert time.time() - (tmp_path / "p" / LOCK).stat().st_mtime < 60


def test_a_damaged_project_takes_no_lock(tmp_path):
    ProjectStore.create(tmp_path / "p").close()
    (tmp_path / "p" / "project.toml").write_text("rubbish")
    with pytest.raises(InputError, match="is damaged"):
        ProjectStore.open(tmp_path / "p")
    assert not (tmp_path / "p" / LOCK).exists()
    shutil.rmtree(tmp_path / "p")


def test_saves_of_two_threads_wait_for_each_other(tmp_path, paint):
    store = ProjectStore.create(tmp_path / "p")
    threads = [threading.Thread(target=store.save, args=(state_of(PIXELS, paint),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(read_labels(tmp_path / "p", "cells.zarr")[0], paint)

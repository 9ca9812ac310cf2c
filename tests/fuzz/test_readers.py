"""Every reader, given thousands of damaged and hostile files: an answer or one sentence, and nothing else.

A reader may say InputError. It must not run code, take more than 5 s, or allocate more than 64 MiB and four
times the size of the file. By default each gets some hundred files, in the long run ten thousand.
"""

import hashlib
import io
import json
import logging
import random
import resource
import shutil
import socket
import sys
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import tomli_w
import torch
import zarr
from foreign_networks import Milesial
from mutations import mutated, mutated_json
from safetensors.torch import load, save
from skimage.io import imsave

from napari_unet.core.arrays.normalisation import Normalisation
from napari_unet.core.borders.weight_config import WeightConfig
from napari_unet.core.errors import InputError
from napari_unet.core.instances import InstanceConfig
from napari_unet.core.tiling import Tile
from napari_unet.files.networks.bioimageio import PackageInfo, export_package
from napari_unet.files.networks.models import load_model, read_info, save_model
from napari_unet.files.networks.states import load_state, save_state, state_path
from napari_unet.files.pixels.images import check_replaceable, read_image, write_image
from napari_unet.files.pixels.sources import open_image
from napari_unet.files.pixels.tiff_axes import read_tiff_axes
from napari_unet.files.plain import to_plain
from napari_unet.files.projects.project import (
    LayerLook,
    Project,
    ProjectImage,
    ProjectLabels,
    read_project,
    write_project,
)
from napari_unet.files.projects.project_labels import LabelsFile, chunks_in
from napari_unet.files.projects.project_lock import ProjectLock
from napari_unet.files.results.outline_files import write_outlines
from napari_unet.files.results.prediction_store import Grid, PredictionStore
from napari_unet.files.settings import read_settings
from napari_unet.network.config import AugmentationConfig, TrainingConfig, UNetConfig
from napari_unet.network.events import Stopped
from napari_unet.network.training import train_events

pytestmark = pytest.mark.filterwarnings("ignore")  # decoders warn of what they find in damaged files

SECONDS, BYTES, TIMES = 5.0, 64 * 2**20, 4

FORBIDDEN = (
    "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "subprocess.Popen", "os.startfile",
    "socket.connect", "webbrowser.open",
)  # fmt: skip


class Guard:
    """Notices, by Python's own audit events, what no reader of files has a reason to do."""

    watching = False
    seen: list[str]

    def __init__(self) -> None:
        self.seen = []

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.watching and event in FORBIDDEN:
            self.seen.append(event)


GUARD = Guard()
sys.addaudithook(GUARD)  # it stays until Python ends, so it is one, and sleeps


@dataclass(frozen=True)
class Case:
    """A good file, what becomes of it, and who reads it."""

    path: Path
    spoil: Callable[[random.Random], None]
    read: Callable[[], Any]
    prepare: Callable[[], Any] = lambda: None
    is_sparse: bool = False
    """Whether it may stand for zeros without number, which take no memory."""


@pytest.fixture(scope="module")
def trained() -> Stopped:
    image = np.random.default_rng(0).integers(0, 255, (32, 32), np.uint8)
    paint = np.zeros((32, 32), np.uint8)
    paint[:8, :8], paint[20:, 20:] = 1, 2
    network = UNetConfig(features=1, levels=1)
    config = TrainingConfig(steps=1, patch_size=16, batch_size=1, network=network)
    *_, stopped = train_events([image], [paint], config, device="cpu")
    assert isinstance(stopped, Stopped)
    return stopped


def of_bytes(path: Path, read: Callable[[Path], Any]) -> Case:
    good = path.read_bytes()
    return Case(path, lambda chance: void(path.write_bytes(mutated(good, chance))), lambda: read(path))


def void(_: object) -> None:
    pass


def model_file(folder: Path, trained: Stopped) -> Path:
    path = folder / "m.safetensors"
    save_model(trained.model, path)
    return path


def model_bytes(folder: Path, trained: Stopped) -> Case:
    def read(path: Path) -> None:
        try:
            read_info(path)
        finally:
            load_model(path)

    return of_bytes(model_file(folder, trained), read)


def model_header(folder: Path, trained: Stopped) -> Case:
    """What a list of models reads of them, without the checksum."""
    return of_bytes(model_file(folder, trained), lambda path: read_info(path, verify=False))


def model_record(folder: Path, trained: Stopped) -> Case:
    """The description of a model, with a checksum that fits: only a program makes such a file."""
    path = model_file(folder, trained)
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    record = json.loads(json.loads(data[8:end])["__metadata__"]["napari_unet"])
    tensors = load(data)

    def spoil(chance: random.Random) -> None:
        changed = mutated_json(record, chance)
        if isinstance(changed, dict):
            changed["sha256"] = "0" * 64
        forged = save(tensors, {"napari_unet": json.dumps(changed, separators=(",", ":"))})
        path.write_bytes(forged.replace(b"0" * 64, hashlib.sha256(forged).hexdigest().encode(), 1))

    return Case(path, spoil, lambda: load_model(path))


def training_state(folder: Path, trained: Stopped) -> Case:
    path = model_file(folder, trained)
    assert trained.state is not None
    save_state(trained.state, trained.model, path)
    return of_bytes(state_path(path), lambda _: load_state(trained.model, path))


def settings(folder: Path, _trained: Stopped) -> Case:
    sections = {
        "training": {"mode": "objects", "seconds": 60.0, "spacing": [0.5, 0.5]},
        "network": to_plain(UNetConfig()),
        "weights": to_plain(WeightConfig()),
        "augmentation": to_plain(AugmentationConfig()),
        "normalisation": to_plain(Normalisation()),
        "instances": to_plain(InstanceConfig()),
    }
    (folder / "settings.toml").write_text(tomli_w.dumps(sections))
    return of_bytes(folder / "settings.toml", read_settings)


def checkpoint(folder: Path, _trained: Stopped, *, zipped: bool) -> Case:
    path = folder / "unet.pth"
    torch.save(Milesial(1, 1, width=1).state_dict(), path, _use_new_zipfile_serialization=zipped)
    return of_bytes(path, load_model)


def package(folder: Path, trained: Stopped) -> Case:
    path = folder / "package.zip"
    export_package(trained.model, path, PackageInfo("fuzzed", ("A",)))
    return of_bytes(path, load_model)


def foreign_package(folder: Path, _trained: Stopped) -> Case:
    """A package whose description is spoilt, too, under a checksum that fits."""
    path, buffer = folder / "package.zip", io.BytesIO()
    torch.save(Milesial(1, 1, width=1).state_dict(), buffer)
    steps = [{"id": "scale_range", "kwargs": {"min_percentile": 1, "max_percentile": 99}}]
    described = {"type": "model", "inputs": [{"id": "raw", "preprocessing": steps}]}

    def write(description: bytes) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("rdf.yaml", description)
            archive.writestr("unet.pth", buffer.getvalue())

    def spoil(chance: random.Random) -> None:
        text = json.dumps(mutated_json(described, chance)).encode()
        write(mutated(text, chance) if chance.random() < 0.5 else text)

    return Case(path, spoil, lambda: load_model(path), lambda: write(json.dumps(described).encode()))


def image(folder: Path, _trained: Stopped, *, name: str) -> Case:
    pixels, path = np.random.default_rng(0).integers(0, 255, (3, 16, 16), np.uint8), folder / name
    if name == "imagej.tif":
        write_image(path, pixels, "ZYX")
    elif name.startswith("ome"):
        tifffile.imwrite(path, pixels, metadata={"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5})
    elif path.suffix == ".tif":
        tifffile.imwrite(path, pixels, compression="zlib" if name == "zlib.tif" else None, tile=(16, 16))
    else:
        imsave(path, pixels[0], check_contrast=False)

    def read(path: Path) -> None:
        read_tiff_axes(path)
        read_image(path)
        if path.suffix == ".tif":
            pixels = open_image(path).pixels
            np.asarray(pixels[tuple(slice(0, 8) for _ in pixels.shape)])

    return of_bytes(path, read)


def outlines(folder: Path, _trained: Stopped, *, name: str) -> Case:
    """Outlines that others may replace, if they can tell what these are."""
    path = folder / name
    write_outlines(path, np.arange(16).reshape(4, 4), "YX")
    return of_bytes(path, check_replaceable)


def zarr_folder(folder: Path, _trained: Stopped, *, version: int) -> Case:
    path, good = folder / "a.zarr", folder / "good.zarr"
    group = zarr.open_group(good, mode="w", zarr_format=version)
    array = group.create_array("0", shape=(2, 16, 16), chunks=(1, 16, 16), dtype="u2")
    array[:] = np.arange(512).reshape(2, 16, 16)
    axes = [{"name": letter, "type": "space", "unit": "micrometer"} for letter in "zyx"]
    scale = [{"type": "scale", "scale": [1.0, 0.5, 0.5]}]
    multiscale = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    group.attrs["multiscales" if version == 2 else "ome"] = (
        [multiscale] if version == 2 else {"version": "0.5", "multiscales": [multiscale]}
    )

    def prepare() -> None:
        if path.exists():
            shutil.rmtree(path)
        shutil.copytree(good, path)

    names = sorted(file.relative_to(good) for file in good.rglob("*") if file.is_file())

    def spoil(chance: random.Random) -> None:
        prepare()
        file = path / chance.choice(names)
        data = file.read_bytes()
        if data.startswith(b"{") and chance.random() < 0.6:
            file.write_text(json.dumps(mutated_json(json.loads(data), chance)))
        elif chance.random() < 0.1:
            file.unlink()
        else:
            file.write_bytes(mutated(data, chance))

    def read() -> None:
        pixels = open_image(path).pixels
        np.asarray(pixels[tuple(slice(0, 16) for _ in pixels.shape)])

    return Case(path, spoil, read, prepare)


def project(folder: Path, _trained: Stopped) -> Case:
    entry = ProjectImage("cells", LayerLook("cells"), (8, 8), "uint8")
    labels = ProjectLabels("cells.zarr", "cells", LayerLook("paint"))
    write_project(folder, Project(images=(entry,), labels=(labels,)))
    return of_bytes(folder / "project.toml", lambda _: read_project(folder))


def paint(folder: Path, _trained: Stopped) -> Case:
    """Paint of a project with one spoilt file, which is read whole, and painted on."""
    path, pixels = folder / "paint", np.arange(512, dtype=np.int32).reshape(2, 16, 16)

    def prepare() -> None:
        shutil.rmtree(path, ignore_errors=True)
        LabelsFile.create(path, pixels.shape, pixels.dtype).update(pixels, chunks_in(pixels.shape))

    def spoil(chance: random.Random) -> None:
        prepare()
        file = path / chance.choice((".zarray", "0.0.0"))
        data = file.read_bytes()
        if data.startswith(b"{") and chance.random() < 0.6:
            file.write_text(json.dumps(mutated_json(json.loads(data), chance)))
        else:
            file.write_bytes(mutated(data, chance))

    def read() -> None:
        file = LabelsFile(path)
        file.read()
        if file.fits(pixels):
            file.update(pixels, chunks_in(pixels.shape))
            assert file.read()[1] == ""

    return Case(path, spoil, read, prepare, is_sparse=True)


def lock(folder: Path, _trained: Stopped) -> Case:
    write_project(folder, Project())

    path = folder / "project.lock"
    entry = {
        "host": socket.gethostname(),
        "process": 2**30,
        "started": 1.0,
        "token": "ab",
    }  # of one that is gone
    path.write_text(json.dumps(entry))
    return of_bytes(path, lambda _: ProjectLock(folder).check())


def journal(folder: Path, _trained: Stopped) -> Case:
    """What a prediction to zarr has left, which another goes on with."""
    path = folder / "hidden"
    tile = Tile(*((slice(0, 8), slice(0, 8)),) * 3)

    def prepare() -> None:
        shutil.rmtree(path, ignore_errors=True)
        store = PredictionStore(path, {"model": "m"}, ["classes"], 8)
        store.array("classes", Grid((16, 16), (8, 8)), "u1", is_label=True)
        store.finish((), tile)
        store.finish_objects({"threshold": 0.5}, 1, 7)

    def spoil(chance: random.Random) -> None:
        prepare()
        file = path / chance.choice(("journal.jsonl", "journal.jsonl", "classes.zarr/.zattrs"))
        file.write_bytes(mutated(file.read_bytes(), chance))

    def read() -> None:
        check_replaceable(path / "classes.zarr")
        store = PredictionStore(path, {"model": "m"}, ["classes"], 8)
        store.is_finished((), tile)
        store.objects_until({"threshold": 0.5})

    return Case(path, spoil, read, prepare)


READERS: dict[str, Callable[[Path, Stopped], Case]] = {
    "model, bytes": model_bytes,
    "model, header": model_header,
    "model, record": model_record,
    "training state": training_state,
    "settings": settings,
    "checkpoint": partial(checkpoint, zipped=True),
    "old checkpoint": partial(checkpoint, zipped=False),
    "package": package,
    "foreign package": foreign_package,
    **{
        name: partial(image, name=name)
        for name in ("imagej.tif", "ome.ome.tif", "zlib.tif", "a.png", "a.jpg")
    },
    **{name: partial(outlines, name=name) for name in ("a.zip", "a.geojson")},
    "project": project,
    "paint": paint,
    "lock": lock,
    "journal": journal,
    "zarr 2": partial(zarr_folder, version=2),
    "zarr 3": partial(zarr_folder, version=3),
}


@pytest.fixture
def measured() -> Iterator[None]:
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # as the command line does; it takes longest
    tracemalloc.start()
    yield
    tracemalloc.stop()
    GUARD.watching = False


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize(
    "rounds", [20, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]
)
@pytest.mark.parametrize("kind", READERS)
def test_hostile_files(tmp_path: Path, trained: Stopped, kind: str, rounds: int) -> None:
    case = READERS[kind](tmp_path, trained)
    case.prepare()
    case.read()  # as it is; and what is imported late is no memory of a file
    size = _size(case.path)
    refused, highest = list[str](), _peak_memory()
    chance = random.Random(f"{kind} {rounds}")  # noqa: S311 (a reproducible one is wanted)
    for number in range(rounds):
        case.spoil(chance)
        GUARD.seen.clear()
        tracemalloc.reset_peak()
        before, began = tracemalloc.get_traced_memory()[0], time.process_time()
        GUARD.watching = True
        try:
            case.read()
        except InputError as error:
            refused.append(str(error))
        finally:
            GUARD.watching = False
        assert time.process_time() - began < SECONDS, number
        if not case.is_sparse:
            assert tracemalloc.get_traced_memory()[1] - before < BYTES + TIMES * size, number
        assert not GUARD.seen, number
    assert refused
    assert all(sentence[-1] in ".?" and "\n" not in sentence for sentence in refused)
    # What is allocated outside Python, as torch does.
    assert _peak_memory() - highest < BYTES + TIMES * size + 2**27


def _size(path: Path) -> int:
    return sum(
        file.stat().st_size for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file()
    )


def _peak_memory() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

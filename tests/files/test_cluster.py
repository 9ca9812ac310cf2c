"""Segmented by the worker processes of a cluster, some of which are lost: the same as in memory."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from distributed import LocalCluster
from numpy.typing import NDArray
from predicting import KINDS, assert_same, config_for, make_model, picture

from napari_unet.cli import main
from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.files.networks.models import save_model
from napari_unet.files.pixels.sources import open_image
from napari_unet.files.results import cluster as cluster_module
from napari_unet.files.results.cluster import Cluster, OnCluster
from napari_unet.files.results.large_prediction import Stored, StoredEvent, predict_to_zarr
from napari_unet.files.results.predicted_files import FilesPlan, predict_files
from napari_unet.network.config import PredictionConfig
from napari_unet.network.events import TileStored
from napari_unet.network.in_turn import ImageFailed
from napari_unet.network.model import Model
from napari_unet.network.prediction import predict

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")


@pytest.fixture(scope="module")
def workers() -> Iterator[LocalCluster]:
    """Two worker processes with a thread each."""
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as started:
        yield started


@pytest.fixture
def cluster(workers: LocalCluster) -> Iterator[Cluster]:
    with Cluster(workers.scheduler_address) as connected:
        yield connected


def on_workers(cluster: Cluster, work: Callable[..., Any]) -> list[Any]:
    """Call a local function in every worker: those of this module they could not import."""
    return list(cluster._client.run(work).values())


@contextmanager
def changed(cluster: Cluster, name: str, change: Callable[[Any, Any], Any]) -> Iterator[None]:
    """Put ``change(original, worker)`` in the place of a name in `cluster_worker`, in every worker."""

    def begin(dask_worker: Any) -> None:
        from napari_unet.files.results import cluster_worker

        dask_worker.original = getattr(cluster_worker, name)
        setattr(cluster_worker, name, change(dask_worker.original, dask_worker))

    def end(dask_worker: Any) -> None:
        from napari_unet.files.results import cluster_worker

        if hasattr(dask_worker, "original"):  # not one that was started meanwhile
            setattr(cluster_worker, name, dask_worker.original)

    on_workers(cluster, begin)
    try:
        yield
    finally:
        on_workers(cluster, end)


def write_input(folder: Path, *shape: int) -> tuple[Path, NDArray[np.float32]]:
    image = picture(*shape)
    zarr.create_array(folder / "a.zarr", data=image, chunks=(1,) * (len(shape) - 2) + (37, 29))
    return folder / "a.zarr", image


def segment(
    cluster: Cluster, model: Model, path: Path, config: PredictionConfig, **options: Any
) -> Iterator[StoredEvent]:
    return predict_to_zarr(
        model,
        open_image(path).pixels,
        path.parent / "out",
        "a",
        config,
        cluster=OnCluster(cluster, path),
        **options,
    )


def tiles_in(events: list[Any]) -> list[TileStored]:
    return [event for event in events if isinstance(event, TileStored)]


@pytest.mark.parametrize(("shape", "classes"), [((130, 150), 2), ((3, 50, 40), 4)])
def test_it_is_what_is_in_memory_and_a_worker_loads_the_network_once(
    tmp_path: Path, cluster: Cluster, shape: tuple[int, ...], classes: int
):
    def counting(ready: Any, worker: Any) -> Any:
        worker.loads = 0

        def count(*arguments: Any) -> Any:
            worker.loads += 1
            return ready(*arguments)

        return count

    model = make_model(seed=5, classes=classes)
    path, image = write_input(tmp_path, *shape)
    config = config_for(model, image)
    with changed(cluster, "ready_network", counting):
        for tile_size in (32, 48):  # one after the other, as two images are, in the same place
            config = replace(config, tile_size=tile_size)
            expected = predict(model, image, config)
            assert expected.objects.max() > 5
            *events, last = segment(cluster, model, path, config, kinds=KINDS)
            assert isinstance(last, Stored)
            assert_same(tmp_path / "out", expected)
            tiles = tiles_in(events)
            assert [tile.done for tile in tiles] == list(range(1, tiles[0].total + 1))
            assert tiles[-1].share == 1
        assert set(on_workers(cluster, lambda dask_worker: dask_worker.loads)) == {1}


def test_a_killed_workers_tiles_are_done_by_others(tmp_path: Path, cluster: Cluster):
    def slower(attempt: Any, _worker: Any) -> Any:
        def slowly(*arguments: Any) -> Any:
            time.sleep(0.1)
            return attempt(*arguments)

        return slowly

    model = make_model(seed=5)
    path, image = write_input(tmp_path, 200, 190)
    config = config_for(model, image)
    victim, other = on_workers(cluster, os.getpid)
    tiles = []
    with changed(cluster, "attempt_tile", slower):
        for event in segment(cluster, model, path, config):
            if isinstance(event, TileStored):
                tiles.append((event.plane, event.tile))
                if len(tiles) == event.total // 2:
                    os.kill(victim, signal.SIGKILL)  # each worker is at a tile, and has another one waiting
        assert len(tiles) == len(set(map(repr, tiles))) == 42
        assert_same(tmp_path / "out", predict(model, image, config), kinds=("objects",))
        left = on_workers(cluster, os.getpid)
        assert other in left
        assert victim not in left
    cluster._client.wait_for_workers(2)


def test_what_is_finished_is_not_done_again(tmp_path: Path, cluster: Cluster):
    model = make_model()
    path, image = write_input(tmp_path, 130, 150)
    config = config_for(model, image)
    control, first = Control(), []
    for event in segment(cluster, model, path, config, control=control):
        first.append(event)
        if len(first) == 5:
            control.stop()
    assert 5 <= len(tiles_in(first)) <= 5 + 4  # one for each worker, and one that waits
    assert not first[-1].finished
    # The rest without a cluster: both write the same.
    here = list(predict_to_zarr(model, open_image(path).pixels, tmp_path / "out", "a", config))
    second = [event for event in here if hasattr(event, "tile")]
    assert len(tiles_in(first)) + len(second) == second[0].total == 25
    assert_same(tmp_path / "out", predict(model, image, config), kinds=("objects",))


def test_memory_that_is_short_makes_tiles_smaller(tmp_path: Path, cluster: Cluster):
    def refusing(attempt: Any, _worker: Any) -> Any:
        def refuse(compute: Any, place: Any) -> Any:
            sides = [part.stop - part.start for part in place[1].write]
            return None if max(sides) > 8 else attempt(compute, place)

        return refuse

    model = make_model(seed=5)
    path, image = write_input(tmp_path, 60, 50)
    config = config_for(model, image)
    with changed(cluster, "attempt_tile", refusing):
        *_, last = segment(cluster, model, path, config)
    assert last.finished
    assert_same(tmp_path / "out", predict(model, image, config), kinds=("objects",))


def test_a_starter_scales_the_image_as_it_does_here(tmp_path: Path, cluster: Cluster):
    model = replace(make_model(seed=5), object_size=10.0)
    path, image = write_input(tmp_path, 60, 50)
    config = replace(config_for(model, image), object_size=15.0)
    *_, last = segment(cluster, model, path, config, kinds=KINDS)
    assert last.finished
    expected = predict(model, image, config)
    assert_same(tmp_path / "out", expected)
    assert not np.array_equal(
        expected.probabilities, predict(model, image, replace(config, object_size="unscaled")).probabilities
    )


def test_of_equal_channels_the_workers_read_one(tmp_path: Path, cluster: Cluster):
    model, (_, image) = make_model(), write_input(tmp_path, 100, 83)
    path = tmp_path / "colours.zarr"
    zarr.create_array(path, data=np.stack([image] * 3, axis=-1), chunks=(37, 29, 3))
    config = replace(config_for(model, image), channels="last")
    *_, last = segment(cluster, model, path, config, kinds=KINDS)
    assert last.finished
    assert_same(tmp_path / "out", predict(model, image, config_for(model, image)))


def test_the_command(tmp_path: Path, workers: LocalCluster, capsys: pytest.CaptureFixture[str]):
    model = make_model(seed=5)
    path, image = write_input(tmp_path, 100, 83)
    save_model(model, tmp_path / "model.safetensors")
    command = ["predict", tmp_path / "model.safetensors", "--images", path, "--output", tmp_path / "out"]
    command += ["--set", "prediction.tile_size=32", "prediction.precision=float32", "--json"]
    arguments = [str(word) for word in command]
    assert main([*arguments, "--scheduler", workers.scheduler_address]) == 0
    assert '"tile_done"' in capsys.readouterr().out
    expected = predict(model, image, PredictionConfig(tile_size=32, precision="float32"))
    assert_same(tmp_path / "out", expected, kinds=("objects",))
    assert main([*arguments, "--scheduler", workers.scheduler_address, "--format", "tiff"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_no_answer_is_a_sentence_in_time(monkeypatch: pytest.MonkeyPatch):
    assert cluster_module._ANSWER_S < 10
    monkeypatch.setattr(cluster_module, "_ANSWER_S", 1)
    for address in ("tcp://127.0.0.1:9", "nonsense://here"):
        started = time.monotonic()
        with pytest.raises(InputError, match=f"no scheduler at {address}"):
            Cluster(address)
        assert time.monotonic() - started < 3
    with pytest.raises(InputError, match="no scheduler file"):
        Cluster("nowhere.json")
    # A client without a port leaves a traceback of its own, ten seconds later.
    monkeypatch.setattr("distributed.Client", lambda **_given: pytest.fail("it is made"))
    with pytest.raises(InputError, match="no scheduler at localhost"):
        Cluster("localhost")


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match="pip install distributed"):
        Cluster("tcp://127.0.0.1:9")


def test_a_cluster_without_workers_is_a_sentence(tmp_path: Path):
    path, _ = write_input(tmp_path, 40, 40)
    with (
        LocalCluster(n_workers=0, dashboard_address=":0", silence_logs=50) as empty,
        Cluster(empty.scheduler_address) as cluster,
        pytest.raises(InputError, match="no workers yet"),
    ):
        list(segment(cluster, make_model(), path, PredictionConfig()))


def test_a_scheduler_that_is_lost_half_way_is_a_sentence_at_once_for_all_other_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cluster_module, "_ANSWER_S", 1)
    path, image = write_input(tmp_path, 130, 150)
    paths = [path, *(tmp_path / f"{name}.zarr" for name in "bcde")]
    for other in paths[1:]:
        zarr.create_array(other, data=image)
    plan = FilesPlan(tuple(paths), tmp_path / "out", ("objects",))
    with (
        LocalCluster(
            n_workers=1, processes=False, protocol="tcp", dashboard_address=":0", silence_logs=50
        ) as local,
        Cluster(local.scheduler_address) as cluster,
    ):
        events = predict_files(make_model(), plan, PredictionConfig(tile_size=32), cluster=cluster)
        next(events)
        local.close()
        failed = [(event, time.monotonic()) for event in events if isinstance(event, ImageFailed)]
    assert [event.number for event, _ in failed] == [0, 1, 2, 3, 4]
    assert all(f"scheduler at {cluster.address} was lost" in event.message for event, _ in failed)
    assert failed[-1][1] - failed[0][1] < 0.5


def test_workers_that_do_not_see_the_files_are_a_sentence(tmp_path: Path, cluster: Cluster):
    image = picture(40, 40)
    elsewhere, _ = write_input(tmp_path / "other", 50, 40)
    for wrong, words in (
        (tmp_path / "gone.zarr", "does not see"),
        (elsewhere, r"finds an image of shape \(50"),
    ):
        with pytest.raises(InputError, match=words):
            list(
                predict_to_zarr(make_model(), image, tmp_path / "out", "a", cluster=OnCluster(cluster, wrong))
            )


def test_a_device_that_a_worker_lacks_is_a_sentence(tmp_path: Path, cluster: Cluster):
    path, _ = write_input(tmp_path, 40, 40)
    with pytest.raises(InputError, match=r"The worker .* cannot do this .*Apple GPU"):
        list(segment(cluster, make_model(), path, PredictionConfig(), device="mps"))

"""Tiles on an NVIDIA GPU are those of the CPU; what needs none is tested without one."""

import threading
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from napari_unet.core.arrays.normalisation import CLIPS, Normalisation, apply_limits
from napari_unet.core.arrays.ordered import map_in_order
from napari_unet.core.control import Control
from napari_unet.core.tiling import mirrored_box, plan_tiles, read_mirrored
from napari_unet.files.results.large_prediction import Stored, predict_to_zarr
from napari_unet.network import prediction
from napari_unet.network.config import PredictionConfig, TrainingConfig, UNetConfig
from napari_unet.network.events import TilesHalved
from napari_unet.network.geometry import tile_geometry
from napari_unet.network.model import History, Model
from napari_unet.network.prediction import plan_prediction, predict, predict_events, tile_computer
from napari_unet.network.tiles import bands, gpu_tiles, inference
from napari_unet.network.tiles.bands import run_cropped
from napari_unet.network.tiles.gpu_tiles import GpuTiles, fetch, mirrored, scaled, send
from napari_unet.network.tiles.inference import class_probabilities, ready_network
from napari_unet.network.unet import UNet

CPU = torch.device("cpu")
DTYPES = ["u1", "i1", "<u2", ">u2", "i2", "u4", ">i4", "u8", "i8", "f2", "f4", ">f4", "f8", "?"]

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def make_model(**changes: Any) -> Model:
    """Return a model with random weights, of which every pixel counts."""
    config = UNetConfig(**{"levels": 2, "features": 4, "norm": "none", **changes})
    torch.manual_seed(0)
    network = UNet(config)
    with torch.no_grad():
        network.head.weight *= 0.3
    return Model(
        network=config,
        weights=network.state_dict(),
        normalisation=Normalisation(),
        mode="objects",
        class_names=("background", "object"),
        training=TrainingConfig(network=config),
        history=History(),
    )


def pixels_of(dtype: str, *shape: int) -> NDArray[Any]:
    """Return pixels from all of the range of a type, and what is no number, where there is such."""
    rng = np.random.default_rng(0)
    kind = np.dtype(dtype)
    if kind.kind in "ui":
        info = np.iinfo(kind)
        return rng.integers(info.min, info.max, shape, kind.newbyteorder("=")).astype(kind)
    pixels = (rng.normal(size=shape) * 50).astype(kind)
    if kind.kind == "f":
        pixels.flat[:4] = np.nan, np.inf, -np.inf, np.finfo(kind).max
    return pixels


def exactly(model: Model, image: Any, device: str, **changes: Any) -> NDArray[np.float32]:
    config = PredictionConfig(**{"precision": "float32", **changes})
    return predict(model, image, config, device=device).probabilities


# ---- without a GPU


@pytest.mark.parametrize("dtype", DTYPES)
def test_pixels_are_scaled_to_the_last_bit_as_on_the_cpu(dtype: str):
    image = pixels_of(dtype, 2, 40, 30)
    limits = Normalisation().limits(image)
    for view in (image, np.moveaxis(image, 0, -1).copy().transpose(2, 1, 0), image[:, ::-1, ::2]):
        for clip in CLIPS.values():
            expected = apply_limits(view, limits, clip)
            result = scaled(send(view, CPU), limits, clip).numpy()
            np.testing.assert_array_equal(result.view(np.uint32), expected.view(np.uint32))


@settings(deadline=None, max_examples=100)
@given(
    image=arrays.arrays(np.float64, (2, 7)),
    limits=arrays.arrays(np.float64, (2, 2), elements=st.floats(-3e38, 3e38), unique=True),
)
def test_numbers_of_any_size_are_scaled_as_on_the_cpu(image: NDArray[Any], limits: NDArray[np.float64]):
    limits.sort(axis=1)
    expected = apply_limits(image, limits)
    result = scaled(send(image, CPU), limits, CLIPS["percentiles"]).numpy()
    np.testing.assert_array_equal(result, expected)


@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    starts=st.tuples(st.integers(-20, 8), st.integers(-20, 8)),
    lengths=st.tuples(st.integers(1, 30), st.integers(1, 30)),
)
def test_a_tile_is_mirrored_as_on_the_cpu(shape, starts, lengths):
    image = np.arange(np.prod(shape), dtype=np.float32).reshape(1, *shape)
    part = [slice(start, start + length) for start, length in zip(starts, lengths, strict=True)]
    box, indices = mirrored_box(shape, part)
    result = mirrored(torch.from_numpy(image[(slice(None), *box)]), indices).numpy()
    np.testing.assert_array_equal(result, read_mirrored(image, part))


class Nothing:
    """Stands for a stream or an event where there is no GPU."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def record(self, *_: Any) -> None: ...

    def synchronize(self) -> None: ...

    def wait_stream(self, _: Any) -> None: ...


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch):
    for name in ("current_stream", "default_stream", "Event"):
        monkeypatch.setattr(torch.cuda, name, Nothing)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda *_: None)


@pytest.mark.usefixtures("without_gpu")
@pytest.mark.parametrize("part_bytes", [1, 100, 10**6])
@pytest.mark.parametrize("shape", [(2, 7, 5), (3, 4, 6, 5)])
def test_all_of_a_tile_is_fetched(shape: tuple[int, ...], part_bytes: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gpu_tiles, "_PART_BYTES", part_bytes)
    values = torch.randn(shape)
    result = np.zeros([size + 2 for size in shape], np.float32)
    inside = (slice(1, -1),) * len(shape)
    fetch(values, result[inside])
    np.testing.assert_array_equal(result[inside], values.numpy())
    assert np.count_nonzero(result) == np.count_nonzero(values)


@pytest.mark.usefixtures("without_gpu")
@pytest.mark.parametrize("changes", [{}, {"padding": "valid"}, {"ndim": 3, "levels": 1}])
def test_a_tile_is_that_of_the_cpu(changes: dict[str, Any]):
    model = make_model(in_channels=2, **changes)
    image = pixels_of(">u2", 2, 3, *((40, 33) if "ndim" not in changes else (9, 20, 13)))
    plan = plan_prediction(model, image, PredictionConfig(tile_size=16, precision="float32"), device="cpu")
    network = ready_network(model, CPU, torch.float32)
    on_cpu = tile_computer(model, network, plan.pixels, plan.limits, plan.geometry, None, 2)
    tiles = GpuTiles(plan.pixels, plan.limits, CLIPS["percentiles"])
    result = np.full((2, *plan.leading, *plan.shape), np.nan, np.float32)
    expected = result.copy()
    for plane, tile in plan.tile_run().todo:
        where: tuple[Any, ...] = (slice(None), *plane, *tile.write)
        expected[where] = on_cpu(plane, tile)
        np.testing.assert_array_equal(tiles.compute(network, 2, plane, tile), expected[where])
        assert np.shares_memory(tiles.compute(network, 2, plane, tile, result[where]), result)
    np.testing.assert_array_equal(result, expected)
    assert np.isfinite(result).all()


@pytest.mark.usefixtures("without_gpu")
def test_one_thread_that_stays_launches_what_all_others_send(monkeypatch: pytest.MonkeyPatch):
    launched_by = set()

    def note(*args: Any) -> torch.Tensor:
        launched_by.add(threading.get_ident())
        return class_probabilities(*args)

    monkeypatch.setattr(gpu_tiles, "class_probabilities", note)
    model, image = make_model(), pixels_of("u2", 1, 64, 64)
    network = ready_network(model, CPU, torch.float32)
    tiles = GpuTiles(image, Normalisation().limits(image), CLIPS["percentiles"])
    places = [((), tile) for tile in plan_tiles((64, 64), 16, tile_geometry(model.network))]
    for _ in range(2):
        assert len(list(map_in_order(lambda place: tiles.compute(network, 1, *place), places, 3))) == 16
    assert len(launched_by) == 1
    assert threading.get_ident() not in launched_by


# ---- with one


@pytest.mark.gpu
@on_gpu
@pytest.mark.parametrize(
    "changes", [{}, {"padding": "valid"}, {"upsampling": "convolution"}, {"norm": "batch"}]
)
@pytest.mark.parametrize("many", [0, bands._MANY])
def test_tiles_equal_the_whole_on_a_gpu_and_the_cpu(
    changes: dict[str, Any], many: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(bands, "_MANY", many)
    model = make_model(features=16, **changes)
    image = np.random.default_rng(0).integers(0, 4096, (700, 500), np.uint16)
    whole = exactly(model, image, "cuda", tile_size=1000)
    for tile_size in (64, 176, 512):
        assert np.abs(exactly(model, image, "cuda", tile_size=tile_size) - whole).max() <= 1e-5
    assert np.abs(exactly(model, image, "cpu", tile_size=176) - whole).max() <= 1e-4
    rounded = predict(model, image, device="cuda").probabilities
    assert 0 < np.abs(rounded - whole).max() < 0.15


@pytest.mark.gpu
@on_gpu
@pytest.mark.parametrize("channels", [1, 3, 8])
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("many", [0, bands._MANY])
@torch.inference_mode()
def test_layers_of_their_own_round_no_more(
    channels: int, precision: torch.dtype, many: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(bands, "_MANY", many)
    model = make_model(features=16, in_channels=channels)
    x = torch.randn(1, channels, 256, 320, device="cuda")
    exact = ready_network(model, x.device, torch.float32)(x.double())
    network = ready_network(model, x.device, precision)
    x = x.to(precision).contiguous(memory_format=torch.channels_last)
    errors = [
        (logits - exact).abs().mean().item()
        for logits in (run_cropped(network, x, [slice(0, 256), slice(0, 320)]), network(x))
    ]
    assert 0 < errors[0] <= 1.05 * errors[1]


@pytest.mark.gpu
@on_gpu
@pytest.mark.parametrize("dtype", DTYPES)
def test_pixels_of_any_type_are_those_of_the_cpu_on_a_gpu(dtype: str):
    image = pixels_of(dtype, 90, 70)
    limits = Normalisation().limits(image[np.newaxis])
    result = scaled(send(image[np.newaxis], torch.device("cuda")), limits, (-1.0, 4.0)).cpu().numpy()
    np.testing.assert_array_equal(result, apply_limits(image[np.newaxis], limits))
    model = make_model()
    on_cpu = exactly(model, image, "cpu", tile_size=32)
    np.testing.assert_allclose(exactly(model, image, "cuda", tile_size=32), on_cpu, rtol=0, atol=1e-4)


@pytest.mark.gpu
@on_gpu
def test_volumes_stacks_and_colours_on_a_gpu():
    for changes, shape in (
        ({"ndim": 3, "levels": 1, "in_channels": 2}, (2, 20, 40, 30)),
        ({"in_channels": 3}, (4, 50, 40, 3)),
    ):
        model, image = make_model(**changes), pixels_of("u1", *shape)
        on_cpu, on_it = (exactly(model, image, device, tile_size=24) for device in ("cpu", "cuda"))
        np.testing.assert_allclose(on_it, on_cpu, rtol=0, atol=1e-4)
        turned = exactly(model, image, "cuda", tile_size=24, test_time_augmentation=True)
        expected = exactly(model, image, "cpu", tile_size=24, test_time_augmentation=True)
        np.testing.assert_allclose(turned, expected, rtol=0, atol=1e-4)


@pytest.mark.gpu
@on_gpu
@pytest.mark.parametrize("kept", [0.0, 1 / 16])
def test_a_gpu_gets_its_memory_back_and_stops_within_a_tile(kept: float, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(prediction, "KEPT_ON_GPU", kept)
    model = make_model(features=16)
    image = pixels_of("u2", 1024, 1024)
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved()
    whole = exactly(model, image, "cuda", tile_size=64)
    threads = threading.active_count()  # one of them launches, and stays
    after = torch.cuda.memory_reserved()
    torch.cuda.empty_cache()
    assert after > torch.cuda.memory_reserved() if kept else after <= before + 2**26
    control, tiles = Control(), 0
    config = PredictionConfig(tile_size=64, precision="float32")
    *_, last = (
        control.stop() or event if index == 4 else event
        for index, event in enumerate(predict_events(model, image, config, device="cuda", control=control))
    )
    tiles = int(last.finished.sum()) // 64**2
    assert 5 <= tiles <= 9
    np.testing.assert_allclose(
        last.prediction.probabilities[:, last.finished], whole[:, last.finished], rtol=0, atol=1e-5
    )
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() <= before + 2**26  # nothing is held
    assert threading.active_count() == threads


@pytest.mark.gpu
@on_gpu
def test_tiles_halve_where_a_gpu_has_too_little_memory():
    model = make_model(features=16)
    image = pixels_of("u2", 2048, 2048)
    expected = exactly(model, image, "cuda", tile_size=256)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 400 * 2**20) / total)
    try:
        config = PredictionConfig(tile_size=2048, precision="float32")
        *events, last = predict_events(model, image, config, device="cuda")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert any(isinstance(event, TilesHalved) for event in events)
    assert last.finished is None
    np.testing.assert_allclose(last.prediction.probabilities, expected, rtol=0, atol=1e-5)


@pytest.mark.gpu
@on_gpu
def test_a_gpu_segments_zarr_to_zarr(tmp_path):
    model = make_model(features=16)
    image = pixels_of("u2", 3, 200, 300)
    source = zarr.create_array(
        str(tmp_path / "image.zarr"), shape=image.shape, chunks=(1, 64, 64), dtype="u2"
    )
    source[...] = image
    config = PredictionConfig(tile_size=96, precision="float32")
    *_, last = predict_to_zarr(
        model, source, tmp_path, "image", config, kinds=("probabilities",), device="cuda"
    )
    assert isinstance(last, Stored)
    stored = zarr.open_array(last.outputs["probabilities"] / "0", mode="r")[...]
    np.testing.assert_allclose(stored, exactly(model, image, "cuda", tile_size=96), rtol=0, atol=1e-5)


@pytest.mark.gpu
@on_gpu
def test_one_thread_launches_scaled_tiles_too_and_they_are_those_of_the_cpu(monkeypatch: pytest.MonkeyPatch):
    model, image = replace(make_model(), object_size=20.0), pixels_of("u2", 2, 150, 200)
    expected = exactly(model, image, "cpu", tile_size=64, object_size=30.0)
    launched_by = set()

    def note(*args: Any) -> torch.Tensor:
        launched_by.add(threading.get_ident())
        return class_probabilities(*args)

    monkeypatch.setattr(inference, "class_probabilities", note)
    result = exactly(model, image, "cuda", tile_size=64, object_size=30.0)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-4)
    assert len(launched_by) == 1
    assert threading.get_ident() not in launched_by

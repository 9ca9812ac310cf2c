"""Tiled prediction equals the network on the whole image, whatever the image and the tiles."""

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from napari_unet.core import instances
from napari_unet.core.arrays.lazy import LazyPixels
from napari_unet.core.arrays.normalisation import Normalisation, apply_limits
from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.core.tiling import plan_tiles
from napari_unet.network.config import PredictionConfig, TrainingConfig, UNetConfig
from napari_unet.network.events import Predicted, TileDone
from napari_unet.network.geometry import nearest_sizes, tile_geometry
from napari_unet.network.model import History, Model
from napari_unet.network.prediction import predict, predict_events
from napari_unet.network.tiles.inference import fold_batch_norm, ready_network
from napari_unet.network.tiles.tile_size import bytes_per_pixel, plan_tile_size
from napari_unet.network.unet import UNet

CPU = torch.device("cpu")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Compute in one thread: the tiles here are too small to share."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="class")  # hypothesis wants more than "function"; ends with the test all the same
def in_float64():
    """Compute in float64, where rounding cannot be mistaken for a tile that saw too little, nor hide one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_unet.network.prediction.choose_precision", lambda device, wanted: torch.float64)
        yield


def make_model(seed: int = 0, **changes: Any) -> Model:
    """Return a model with random weights and batch statistics, so that every pixel and every layer counts."""
    config = UNetConfig(**{"levels": 2, "features": 4, **changes})
    torch.manual_seed(seed)
    network = UNet(config)
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
            for values in (module.weight, module.running_var):
                nn.init.uniform_(values, 0.5, 2)
            for values in (module.bias, module.running_mean):
                nn.init.normal_(values, std=0.3)
    with torch.no_grad():
        network.head.weight *= 0.3  # logits of a few units, as trained networks have
    return Model(
        network=config,
        weights=network.state_dict(),
        normalisation=Normalisation(),
        mode="objects" if config.classes == 2 else "classes",
        class_names=tuple(f"class {number}" for number in range(config.classes)),
        training=TrainingConfig(network=config),
        history=History(),
    )


def noise(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def settings_of(tile_size: int | None = None, **changes: Any) -> PredictionConfig:
    return PredictionConfig(tile_size=tile_size, **{"precision": "float32", **changes})


def slow_probabilities(model: Model, image: NDArray[Any]) -> NDArray[np.float32]:
    """The whole image (C, spatial...) at once through the plain network, extended by numpy's own mirror."""
    config = model.network
    network = UNet(config).eval()
    network.load_state_dict(dict(model.weights))
    pixels = apply_limits(image, model.normalisation.limits(image))
    lost = tile_geometry(config).halo if config.padding == "valid" else 0
    wide = [(0, 0)]
    for size in pixels.shape[1:]:
        fitting = next(
            total for total in range(size + 2 * lost, 10**6) if nearest_sizes(config, total)[0] == total
        )
        wide.append((lost, fitting - size - lost))
    with torch.no_grad():
        logits = network(torch.from_numpy(np.pad(pixels, wide, mode="reflect"))[None])
    kept = tuple(slice(0, size) for size in pixels.shape[1:])
    return logits.softmax(1)[0].numpy()[(slice(None), *kept)]


# ---- tiled equals whole

VARIANTS = [
    {"padding": padding, "upsampling": upsampling, "pooling": pooling}
    for padding in ("same", "valid")
    for upsampling, pooling in (("linear", "max"), ("nearest", "average"), ("convolution", "max"))
] + [{"padding": "same", "upsampling": "aligned", "pooling": "max"}]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: "-".join(map(str, variant.values())))
@pytest.mark.parametrize("tile_size", [8, 13, 40, 64, 1000])
def test_tiles_equal_the_whole_image(variant: dict[str, str], tile_size: int):
    model = make_model(in_channels=2, classes=3, **variant)
    image = noise(2, 67, 45)
    result = predict(model, image, settings_of(tile_size)).probabilities
    np.testing.assert_allclose(result, slow_probabilities(model, image), rtol=0, atol=1e-5)
    np.testing.assert_allclose(result.sum(axis=0), 1, atol=1e-5)


@pytest.mark.usefixtures("in_float64")
@settings(deadline=None, max_examples=40)
@given(
    shape=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    tile_size=st.integers(8, 80),
    variant=st.sampled_from(VARIANTS),
    levels=st.integers(1, 3),
)
def test_tiles_equal_one_tile_at_any_size(shape, tile_size, variant, levels):
    model = make_model(levels=levels, features=2, **variant)
    image = noise(*shape)
    tiled, whole = (predict(model, image, settings_of(size)).probabilities for size in (tile_size, 200))
    assert tiled.shape == (2, *shape)
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-6)


@pytest.mark.usefixtures("in_float64")
@settings(deadline=None, max_examples=12)
@given(
    shape=st.tuples(st.integers(1, 12), st.integers(1, 30), st.integers(1, 30)),
    tile_size=st.integers(6, 40),
    variant=st.sampled_from(VARIANTS),
)
def test_tiles_equal_one_tile_in_volumes(shape, tile_size, variant):
    model = make_model(ndim=3, levels=1, features=2, **variant)
    image = noise(*shape)
    tiled, whole = (predict(model, image, settings_of(size)).probabilities for size in (tile_size, 200))
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-6)


@pytest.mark.usefixtures("in_float64")
def test_a_halo_that_is_too_small_would_be_seen(monkeypatch: pytest.MonkeyPatch):
    model = make_model()
    image = noise(96, 96)
    whole = predict(model, image, settings_of(96)).probabilities
    geometry = tile_geometry(model.network)
    short = replace(geometry, halo=geometry.halo - geometry.alignment)
    monkeypatch.setattr("napari_unet.network.prediction.tile_geometry", lambda config: short)
    assert np.abs(predict(model, image, settings_of(16)).probabilities - whole).max() > 1e-5


# ---- turned and mirrored


def slow_average(model: Model, image: NDArray[Any]) -> NDArray[np.float32]:
    """The mean of what the plain network says of the eight views of an image that fits it."""
    plane = (image.ndim - 2, image.ndim - 1)
    total = np.zeros((), np.float32)
    for turns in range(4):
        for mirrored in (False, True):
            view = np.rot90(image, turns, plane)
            view = np.flip(view, 1) if mirrored else view
            result = slow_probabilities(model, np.ascontiguousarray(view))
            result = np.flip(result, 1) if mirrored else result
            total = total + np.rot90(result, -turns, plane) / 8
    return total


@pytest.mark.parametrize("tile_size", [8, 24, 100])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("ndim", "shape"), [(2, (48, 64)), (3, (8, 24, 16))])
def test_orientations_are_averaged(ndim: int, shape: tuple[int, ...], padding: str, tile_size: int):
    levels = 4 - ndim
    model = make_model(ndim=ndim, levels=levels, padding=padding, in_channels=2)
    if padding == "valid":  # so that nothing has to be mirrored at one end alone
        shape = tuple(size + tile_geometry(model.network).remainder for size in shape)
    image = noise(2, *shape)
    result = predict(model, image, settings_of(tile_size, test_time_augmentation=True)).probabilities
    np.testing.assert_allclose(result, slow_average(model, image), rtol=0, atol=1e-5)
    once = predict(model, image, settings_of(tile_size)).probabilities
    assert np.abs(result - once).max() > 1e-3


@pytest.mark.usefixtures("in_float64")
@settings(deadline=None, max_examples=15)
@given(
    shape=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    tile_size=st.integers(8, 60),
    variant=st.sampled_from(VARIANTS),
)
def test_tiles_equal_one_tile_in_all_orientations(shape, tile_size, variant):
    model = make_model(features=2, **variant)
    image = noise(*shape)
    tiled, whole = (
        predict(model, image, settings_of(size, test_time_augmentation=True)).probabilities
        for size in (tile_size, 200)
    )
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-6)


# ---- the network made ready


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_folding_changes_nothing_but_the_speed(ndim: int, padding: str):
    model = make_model(ndim=ndim, levels=1, padding=padding)
    plain = UNet(model.network).eval()
    plain.load_state_dict(dict(model.weights))
    folded = UNet(model.network).eval()
    folded.load_state_dict(dict(model.weights))
    fold_batch_norm(folded)
    assert any(isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)) for module in plain.modules())
    assert not any(isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)) for module in folded.modules())
    x = torch.randn(1, 1, *(nearest_sizes(model.network, 40)[1],) * ndim)
    with torch.no_grad():
        torch.testing.assert_close(folded(x), plain(x), rtol=1e-5, atol=1e-5)


def test_the_model_stays_as_it_is():
    model = make_model()
    before = {name: values.clone() for name, values in model.weights.items()}
    predict(model, noise(20, 20), settings_of(precision="bfloat16"))
    ready_network(model, CPU, torch.bfloat16)
    for name, values in model.weights.items():
        assert values.dtype == before[name].dtype
        assert torch.equal(values, before[name])


def test_the_threads_own_random_numbers_and_gradients_are_left_alone():
    model = make_model()
    state = torch.random.get_rng_state()
    for _ in predict_events(model, noise(20, 20), settings_of(4)):
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("ndim", [2, 3])
def test_bfloat16_stays_close_to_float32(ndim: int):
    model = make_model(ndim=ndim, levels=1, features=8)
    image = noise(*(40, 48, 16)[:ndim])
    exact = predict(model, image, settings_of()).probabilities
    rounded = predict(model, image, settings_of(precision="bfloat16")).probabilities
    assert rounded.dtype == np.float32
    difference = np.abs(rounded - exact)
    assert 0 < difference.max() < 0.15
    assert difference.mean() < 0.01


def test_weights_of_another_network_are_refused():
    model = replace(make_model(), weights=make_model(features=5).weights)
    with pytest.raises(InputError, match="do not belong to the network"):
        predict(model, noise(8, 8))


# ---- images of every kind


@pytest.mark.parametrize(
    ("shape", "changes", "expected"),
    [
        ((30, 21), {}, (2, 30, 21)),
        ((1, 1), {}, (2, 1, 1)),
        ((3, 2), {}, (2, 3, 2)),
        ((4, 30, 21), {}, (2, 4, 30, 21)),
        ((2, 3, 30, 21), {}, (2, 2, 3, 30, 21)),
        ((30, 21, 3), {"in_channels": 3, "classes": 4}, (4, 30, 21)),
        ((3, 30, 21), {"in_channels": 3}, (2, 30, 21)),
        ((5, 30, 21, 3), {"in_channels": 3}, (2, 5, 30, 21)),
        ((6, 20, 21), {"ndim": 3, "levels": 1}, (2, 6, 20, 21)),
        ((2, 1, 1, 2), {"ndim": 3, "levels": 1}, (2, 2, 1, 1, 2)),
    ],
)
def test_shapes_of_images_and_predictions(shape, changes, expected):
    prediction = predict(make_model(**changes), noise(*shape))
    assert prediction.probabilities.shape == expected
    assert prediction.probabilities.dtype == np.float32
    assert prediction.classes.shape == expected[1:]
    assert prediction.ndim == changes.get("ndim", 2)


def test_channels_first_and_last_are_the_same_image():
    model = make_model(in_channels=3)
    image = noise(3, 24, 20)
    first = predict(model, image, settings_of()).probabilities
    last = predict(model, np.moveaxis(image, 0, -1), settings_of()).probabilities
    np.testing.assert_array_equal(first, last)


def test_planes_of_a_stack_are_normalised_together_and_predicted_apart():
    model = make_model()
    stack = noise(2, 2, 24, 20) * np.array([1, 10]).reshape(2, 1, 1, 1)
    result = predict(model, stack, settings_of()).probabilities
    network = ready_network(model, CPU, torch.float32)
    pixels = apply_limits(stack[np.newaxis], model.normalisation.limits(stack[np.newaxis]))
    for plane in np.ndindex(2, 2):
        x = torch.from_numpy(pixels[(slice(None), *plane)])[None]
        expected = network(x).softmax(1)[0].numpy()
        np.testing.assert_allclose(result[(slice(None), *plane)], expected, atol=1e-5)


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", ">i4", "<f4", ">f4", "<f8", "f2", "i1", "u8"])
def test_the_type_of_the_numbers_does_not_matter(dtype: str):
    model = make_model()
    whole_numbers = np.random.default_rng(0).integers(0, 100, (40, 33))
    expected = predict(model, whole_numbers.astype(np.float32), settings_of(16)).probabilities
    result = predict(model, whole_numbers.astype(dtype), settings_of(16)).probabilities
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)


def test_views_masks_and_read_only_arrays_are_images_too():
    model = make_model()
    image = noise(40, 33)
    expected = predict(model, image[::-1, ::-2].copy(), settings_of()).probabilities
    np.testing.assert_array_equal(predict(model, image[::-1, ::-2], settings_of()).probabilities, expected)
    fortran = np.asfortranarray(image)
    fortran.flags.writeable = False
    expected = predict(model, image, settings_of(16)).probabilities
    np.testing.assert_array_equal(predict(model, fortran, settings_of(16)).probabilities, expected)
    mask = image > 0
    expected = predict(model, mask.astype(np.uint8), settings_of()).probabilities
    np.testing.assert_array_equal(predict(model, mask, settings_of()).probabilities, expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_bad_pixel_does_not_spoil_its_neighbours(bad: float):
    model = make_model(in_channels=3)
    image = noise(3, 64, 64)
    good = predict(model, image, settings_of()).probabilities
    image[:, 5, 5] = bad
    result = predict(model, image, settings_of()).probabilities
    assert np.isfinite(result).all()
    np.testing.assert_allclose(result[:, 40:, 40:], good[:, 40:, 40:], atol=0.02)  # percentiles move a little
    assert np.isfinite(predict(model, np.full((3, 9, 9), bad)).probabilities).all()


@pytest.mark.parametrize(
    ("changes", "image", "words"),
    [
        ({"in_channels": 3}, np.zeros((10, 10)), "1 channel and the model was trained on 3"),
        ({}, np.zeros(10), "at least 2 spatial axes; choose another image."),
        ({"ndim": 3}, np.zeros((10, 10)), "at least 3 spatial axes; choose another image, or a 2-D model"),
        ({}, np.zeros((0, 10)), "empty"),
        ({}, np.zeros((10, 10), complex), "complex"),
    ],
)
def test_an_image_that_does_not_suit_the_model_is_refused_in_a_sentence(changes, image, words):
    with pytest.raises(InputError, match=words):
        predict(make_model(**changes), image)


# ---- events, stop and failure


def test_every_tile_is_told_once_and_the_result_comes_last():
    model = make_model()
    events = list(predict_events(model, noise(3, 40, 40), settings_of(16)))
    *tiles, last = events
    assert isinstance(last, Predicted)
    assert last.finished is None
    assert [tile.done for tile in tiles] == list(range(1, len(tiles) + 1))
    assert {tile.total for tile in tiles} == {len(tiles)} == {3 * 9}
    rebuilt = np.full_like(last.prediction.probabilities, np.nan)
    for tile in tiles:
        assert isinstance(tile, TileDone)
        rebuilt[(slice(None), *tile.plane, *tile.tile.write)] = tile.probabilities
    np.testing.assert_array_equal(rebuilt, last.prediction.probabilities)


def test_tiles_around_the_place_asked_for_come_first_and_the_result_is_the_same():
    model, image = make_model(), noise(3, 40, 40)
    expected = predict(model, image, settings_of(16)).probabilities
    *tiles, last = predict_events(model, image, settings_of(16), start_at=(1, 25.0, 39.5))
    assert isinstance(last, Predicted)
    np.testing.assert_array_equal(last.prediction.probabilities, expected)
    order = [(tile.plane, [part.start for part in tile.tile.write]) for tile in tiles]
    assert order[:3] == [((1,), [16, 32]), ((1,), [32, 32]), ((1,), [16, 16])]
    assert [plane for plane, _ in order[::9]] == [(1,), (0,), (2,)]
    assert {(tile.done, tile.total) for tile in tiles} == {(number, 27) for number in range(1, 28)}


def test_a_stop_from_another_thread_keeps_the_finished_tiles():
    model = make_model()
    image = noise(64, 64)
    whole = predict(model, image, settings_of(16), device="cpu").probabilities
    control, halfway, stopped = Control(), threading.Event(), threading.Event()

    def stop() -> None:
        halfway.wait(10)
        control.stop()
        stopped.set()

    thread = threading.Thread(target=stop)
    thread.start()
    events = []
    for event in predict_events(model, image, settings_of(16), device="cpu", control=control):
        events.append(event)
        if len(events) == 5:
            halfway.set()
            assert stopped.wait(10)
    thread.join()
    *tiles, last = events
    assert len(tiles) == 5  # not one tile more
    assert isinstance(last, Predicted)
    assert last.finished is not None
    assert last.finished.sum() == 5 * 16 * 16
    result = last.prediction.probabilities
    np.testing.assert_array_equal(result[:, last.finished], whole[:, last.finished])
    assert (result[0][~last.finished] == 1).all()
    assert (result[1:, ~last.finished] == 0).all()


def test_a_stop_before_the_start_gives_background():
    control = Control()
    control.stop()
    (last,) = predict_events(make_model(), noise(20, 20), control=control)
    assert isinstance(last, Predicted)
    assert last.finished is not None
    assert not last.finished.any()
    assert not last.prediction.objects.any()


def test_a_pause_waits_and_a_resume_goes_on():
    control = Control()
    events = predict_events(make_model(), noise(32, 32), settings_of(16), device="cpu", control=control)
    next(events)
    control.pause()
    rest: list[object] = []
    thread = threading.Thread(target=lambda: rest.extend(events))
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()
    assert rest == []
    control.resume()
    thread.join(30)
    assert len(rest) == 4


@pytest.mark.parametrize(
    "error", [RuntimeError("shape"), ValueError("odd"), InputError("too small"), KeyboardInterrupt("stop")]
)
def test_a_failure_in_a_tile_comes_out_as_it_is(error: BaseException, monkeypatch: pytest.MonkeyPatch):
    model = make_model()
    calls = 0
    heads = UNet.heads

    def fail(network: UNet, x: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise error
        return heads(network, x)

    monkeypatch.setattr(UNet, "heads", fail)
    events = predict_events(model, noise(64, 64), settings_of(16), device="cpu")
    with pytest.raises(type(error), match=str(error)):
        list(events)
    assert calls == 3
    predict(model, noise(64, 64), settings_of(16))  # the next one works


# ---- how large tiles are


def test_tiles_take_the_memory_there_is():
    config = UNetConfig()
    geometry = tile_geometry(config)
    size = bytes_per_pixel(config, 2)
    for memory in (2**26, 2**28, 2**30, 2**33):
        edge = plan_tile_size((3000, 5000), geometry, config, memory=memory, itemsize=2, device="mps")
        assert edge % geometry.alignment == 0
        for tile in plan_tiles((3000, 5000), edge, geometry):
            pixels = np.prod([part.stop - part.start for part in tile.read])
            assert pixels * size <= memory / 2
    assert edge >= 3000  # with 8 GB


def test_tiles_on_a_cpu_are_soon_done_and_tiny_memory_still_plans():
    config = UNetConfig()
    plan = {"memory": 2**40, "itemsize": 4, "device": "cpu"}
    assert plan_tile_size((4096, 4096), tile_geometry(config), config, **plan) == 1024
    assert plan_tile_size((700, 800), tile_geometry(config), config, **plan) == 800  # whole: no halo at all
    assert plan_tile_size((1, 1), tile_geometry(config), config, **plan) == 16
    assert plan_tile_size((4096, 4096), tile_geometry(config), config, **{**plan, "memory": 0}) == 16
    volume = UNetConfig(ndim=3, levels=2)
    assert plan_tile_size((50, 300, 300), tile_geometry(volume), volume, **plan) == 300


def test_without_a_tile_size_one_is_planned():
    image = noise(70, 50)
    model = make_model()
    planned = predict(model, image, PredictionConfig(precision="float32")).probabilities
    np.testing.assert_allclose(planned, predict(model, image, settings_of(8)).probabilities, atol=1e-5)


def test_a_result_that_does_not_fit_into_the_memory_is_told_at_once():
    # On disk it would be read piece by piece: the pixels take no room.
    image = LazyPixels(np.broadcast_to(np.float32(0), (100, 30_000, 30_000)))
    with pytest.raises(InputError, match=r"need 720 GB of memory, and .* are free; crop the image"):
        predict(make_model(), image, PredictionConfig(tile_size=1024))


def test_more_pixels_than_objects_can_be_found_in_are_told_before_the_network_runs(monkeypatch):
    image = LazyPixels(np.broadcast_to(np.float32(0), (2**16, 2**15)))
    told = "at most 2,147,483,647 pixels at once, and here are 65536 × 32768; crop the image, or segment"
    with pytest.raises(InputError, match=told):
        next(predict_events(make_model(), image, PredictionConfig(tile_size=1024)))
    with pytest.raises(InputError, match=told):
        predict(make_model(), image, PredictionConfig(tile_size=1024))
    # A stack of small planes has as many pixels as it likes, and other results do without objects.
    monkeypatch.setattr(instances, "_MOST_PIXELS", 22 * 22)
    assert predict(make_model(), noise(3, 20, 20), settings_of(16)).objects.shape == (3, 20, 20)
    with pytest.raises(InputError, match="at most 484 pixels at once, and here are 20 × 21"):
        predict(make_model(), noise(20, 21), settings_of(16))
    for kind in ("classes", "probabilities"):
        *_, last = predict_events(make_model(), noise(20, 21), settings_of(16), kinds=(kind,))
        assert getattr(last.prediction, kind).shape[-2:] == (20, 21)
    of_classes = make_model(classes=3)
    assert predict(of_classes, noise(20, 21), settings_of(16)).classes.shape == (20, 21)
    with pytest.raises(InputError, match="at most 484 pixels"):
        next(predict_events(of_classes, noise(20, 21), settings_of(16), kinds=("classes", "objects")))

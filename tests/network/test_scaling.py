import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from skimage.draw import disk

from napari_unet import predict, train
from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.core.instances import InstanceConfig
from napari_unet.files.pixels.pixel_size import PixelSize
from napari_unet.files.results.large_prediction import Stored, predict_to_zarr
from napari_unet.network.config import PredictionConfig, TrainingConfig, UNetConfig
from napari_unet.network.events import ImageScaled, Predicted, TileDone
from napari_unet.network.model import Model
from napari_unet.network.prediction import predict_events
from napari_unet.network.tiles import object_size, scaling

SIZE = 14.0


def discs(diameter: float, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """An image of discs and its labels."""
    rng = np.random.default_rng(1)
    labels = np.zeros(shape, np.int32)
    for y in np.arange(diameter, shape[0] - diameter / 2, 1.7 * diameter):
        for x in np.arange(diameter, shape[1] - diameter / 2, 1.7 * diameter):
            labels[disk((y, x), diameter / 2, shape=shape)] = labels.max() + 1
    image = rng.normal(200, 30, shape) + 600 * (labels > 0)
    return image.clip(0).astype(np.uint16), labels


@pytest.fixture(scope="module")
def starter() -> Model:
    """A network that knows bright discs of one size."""
    image, labels = discs(SIZE, (160, 160))
    config = TrainingConfig(
        steps=60,
        held_out=0,
        patch_size=64,
        batch_size=4,
        network=UNetConfig(features=4, levels=2),
        precision="float32",
    )
    model = train([image], [labels + 1], config, full=[True], device="cpu")
    return replace(model, object_size=SIZE, instances=InstanceConfig(min_size=20))


def last(model: Model, image: Any, config: PredictionConfig = PredictionConfig()) -> Predicted:
    *_, event = predict_events(model, image, config, device="cpu")
    assert isinstance(event, Predicted)
    return event


@pytest.mark.parametrize("diameter", [7.0, 11.0, 23.0])
def test_the_size_is_found_between_the_scales_that_are_tried(
    starter: Model, monkeypatch: pytest.MonkeyPatch, diameter: float
) -> None:
    seen = object_size._Sight(diameter, 0.9)  # at every scale, so that votes lie on a parabola
    monkeypatch.setattr(object_size, "_look", lambda *_: seen)
    image = np.zeros((1, 160, 160), np.float32)
    estimate = object_size.estimate_size(
        starter, image, np.array([[0.0, 1.0]]), torch.device("cpu"), torch.float32
    )
    assert estimate.diameter == pytest.approx(diameter)
    assert estimate.is_sure


def test_grain_that_follows_the_scale_is_not_taken_for_objects(
    starter: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is found at a fine scale has the size expected there, and more of it as the scale is coarser."""

    def look(_model: object, _network: object, _pixels: object, _limits: object, factor: float) -> Any:
        size = SIZE / factor
        return object_size._Sight(size if size < 12 else 37.0, 0.9 if size < 12 else 0.8)

    monkeypatch.setattr(object_size, "_look", look)
    image = np.zeros((1, 400, 400), np.float32)
    estimate = object_size.estimate_size(
        starter, image, np.array([[0.0, 1.0]]), torch.device("cpu"), torch.float32
    )
    assert estimate.diameter == pytest.approx(37, rel=0.1)


@pytest.mark.parametrize("diameter", [6.0, 14.0, 50.0])
def test_discs_of_any_size_are_found_on_the_grid_of_the_image(starter: Model, diameter: float) -> None:
    image, labels = discs(diameter, (220, 251))
    first, *_, end = predict_events(starter, image, device="cpu")
    assert isinstance(first, ImageScaled)
    assert first.estimated
    assert first.object_size == pytest.approx(diameter, rel=0.25)
    assert "pixels wide, as estimated from the image; if they are not, set" in first.message
    assert isinstance(end, Predicted)
    prediction = end.prediction
    assert prediction.probabilities.shape == (2, 220, 251)
    np.testing.assert_allclose(prediction.probabilities.sum(axis=0), 1, atol=1e-5)
    found = np.unique(prediction.objects[labels > 0])
    assert np.count_nonzero(found) == pytest.approx(labels.max(), rel=0.1)
    overlap = (prediction.objects > 0) & (labels > 0)
    assert overlap.sum() / ((prediction.objects > 0) | (labels > 0)).sum() > 0.75


def test_where_nothing_is_found_the_image_stays_as_it_is_and_the_starter_is_not_sure(starter: Model) -> None:
    scaled = next(iter(predict_events(starter, np.full((100, 120), 7, np.uint16), device="cpu")))
    assert isinstance(scaled, ImageScaled)
    assert (scaled.object_size, scaled.is_sure) == (SIZE, False)
    assert " by a starter that is not sure; if they are not, set the object size" in scaled.message


@pytest.mark.parametrize("size", [5.0, 37.0])
def test_tiles_of_a_scaled_image_are_exact(starter: Model, size: float) -> None:
    image, _ = discs(20, (150, 171))
    image = np.stack([image, image[::-1], np.roll(image, 7)])
    config = PredictionConfig(object_size=size, precision="float32")
    whole = last(starter, image, replace(config, tile_size=512)).prediction
    tiled = last(starter, image, replace(config, tile_size=40)).prediction
    np.testing.assert_allclose(tiled.probabilities, whole.probabilities, atol=2e-6)
    np.testing.assert_array_equal(tiled.objects, whole.objects)


def test_size_and_contrast_change_the_result_and_the_smallest_object_follows(starter: Model) -> None:
    image, _ = discs(28, (150, 171))
    given = last(starter, image, PredictionConfig(object_size=28.0)).prediction
    # Twice the diameter is four times the area.
    assert given.instances.min_size == 80
    as_it_is = last(starter, image, PredictionConfig(object_size="unscaled")).prediction
    assert as_it_is.instances.min_size == 20
    assert not np.allclose(given.probabilities, as_it_is.probabilities, atol=0.05)
    dim = last(starter, image, PredictionConfig(object_size=28.0, contrast=0.3)).prediction
    assert not np.allclose(given.probabilities, dim.probabilities, atol=0.05)
    own = PredictionConfig(object_size=28.0, instances=InstanceConfig(min_size=5))
    assert last(starter, image, own).prediction.instances.min_size == 5


def test_other_models_take_images_as_they_are(starter: Model) -> None:
    image, _ = discs(28, (64, 80))
    model = replace(starter, object_size=None)
    events = list(predict_events(model, image, device="cpu"))
    assert not any(isinstance(event, ImageScaled) for event in events)
    same = last(starter, image, PredictionConfig(object_size="unscaled")).prediction
    np.testing.assert_array_equal(events[-1].prediction.probabilities, same.probabilities)
    with pytest.raises(InputError, match="object_size is 30 but this model is no starter"):
        predict(model, image, PredictionConfig(object_size=np.float32(30)), device="cpu")


@pytest.mark.parametrize("value", [1.0, 3000, "large"])
def test_sizes_that_cannot_be(value: Any) -> None:
    with pytest.raises(InputError, match=r"prediction\.object_size is"):
        PredictionConfig(object_size=value)


def test_contrasts_that_cannot_be() -> None:
    with pytest.raises(InputError, match=r"prediction\.contrast is 0\.0; choose between"):
        PredictionConfig(contrast=0.0)


def test_an_image_in_colour_is_segmented_as_its_grey_one(starter: Model) -> None:
    image, _ = discs(28, (96, 110))
    config = PredictionConfig(object_size=28.0, precision="float32")
    grey = last(starter, image, config).prediction
    colour = last(starter, np.repeat(image[..., None], 3, axis=-1), config).prediction
    np.testing.assert_allclose(colour.probabilities, grey.probabilities, atol=1e-5)


def test_a_stop_keeps_whole_tiles_of_a_scaled_image(starter: Model) -> None:
    image, _ = discs(28, (150, 171))
    control = Control()
    config = PredictionConfig(object_size=28.0, tile_size=48)
    for event in predict_events(starter, image, config, device="cpu", control=control):
        if isinstance(event, TileDone):
            control.stop()
    assert isinstance(event, Predicted)
    assert event.finished is not None
    assert 0 < event.finished.mean() < 1
    whole = last(starter, image, config).prediction.probabilities
    np.testing.assert_array_equal(event.prediction.probabilities[:, event.finished], whole[:, event.finished])


@pytest.mark.parametrize(
    ("learnt", "own", "factor"),
    [
        ((1.0, 1.0), (2.0, 2.0), 2.0),
        ((0.65, 0.65), (0.325, 0.325), 0.5),
        ((2.0, 0.5, 0.5), (1.0, 0.25, 0.25), 0.5),
        ((1.0, 1.0), (2.1, 2.0), math.sqrt(4.2)),
        ((1.0, 1.0), (1.09, 1.09), None),  # training varies sizes by more
        ((1.0, 1.0), (0.92, 0.92), None),
        ((1.0, 1.0), (2.0, 1.0), None),  # another shape
        ((1.0, 0.5, 0.5), (1.0, 0.25, 0.25), None),
        ((1.0, 1.0), (1000.0, 1000.0), None),  # one must be wrong
        ((1.0, 1.0), (0.001, 0.001), None),
        (None, (2.0, 2.0), None),
        ((1.0, 1.0), None, None),
    ],
)
def test_pixels_are_made_as_large_as_those_that_were_learnt_from(
    learnt: tuple[float, ...] | None, own: tuple[float, ...] | None, factor: float | None
) -> None:
    scale = scaling._to_learnt_pixels(learnt, own)
    assert (None if scale is None else scale.factor) == (factor and pytest.approx(factor))


def test_a_model_sees_an_image_under_another_objective_as_those_it_learnt_from(
    starter: Model, tmp_path: Path
) -> None:
    """Discs twice as wide, in pixels half as large: the same cells."""
    model = replace(starter, object_size=None, pixel_size=(1.0, 1.0))
    image, labels = discs(2 * SIZE, (220, 251))
    config = PredictionConfig(precision="float32", tile_size=64)
    first, *_, end = predict_events(model, image, config, device="cpu", pixel_size=(0.5, 0.5))
    assert isinstance(first, ImageScaled)
    assert first.message.startswith("The model sees this image at 0.5 times its size: its pixels are 0.5 µm")
    assert isinstance(end, Predicted)
    assert end.prediction.instances.min_size == 80  # four times the area
    assert np.count_nonzero(np.unique(end.prediction.objects[labels > 0])) == labels.max()
    # As a starter that is told how large the objects are.
    told = predict(starter, image, replace(config, object_size=2 * SIZE), device="cpu")
    np.testing.assert_array_equal(end.prediction.probabilities, told.probabilities)
    as_it_is = predict(model, image, config, device="cpu").probabilities
    assert not np.allclose(end.prediction.probabilities, as_it_is, atol=0.05)
    unscaled = replace(config, object_size="unscaled")
    same = predict(model, image, unscaled, device="cpu", pixel_size=(0.5, 0.5)).probabilities
    np.testing.assert_array_equal(same, as_it_is)
    config = replace(config, instances=InstanceConfig(min_size=20))
    for size in (PixelSize(0.5, 0.5), None):  # it is not the same result
        *_, stored = predict_to_zarr(model, image, tmp_path, "a", config, device="cpu", pixel_size=size)
        assert isinstance(stored, Stored)
        assert not stored.was_there
        objects = np.asarray(zarr.open_group(tmp_path / "a_objects.zarr", mode="r")["0"])
        expected = predict(model, image, config, device="cpu", pixel_size=size and (0.5, 0.5))
        np.testing.assert_array_equal(objects, expected.objects)


def test_progress_tells_that_an_image_is_scaled(starter: Model) -> None:
    model, told = replace(starter, object_size=None, pixel_size=(1.0, 1.0)), list[str]()
    image, _ = discs(SIZE, (64, 80))
    predict(model, image, device="cpu", pixel_size=[2, 2], progress=told.append)
    assert ["at 2 times its size" in sentence for sentence in told] == [True]


@pytest.mark.parametrize("size", [1.0, (1.0,), (0.0, 1.0), (1.0, math.inf), ("a", "b"), (1.0, 1.0, 1.0)])
def test_pixel_sizes_that_cannot_be(starter: Model, size: Any) -> None:
    with pytest.raises(InputError, match=r"The pixel size is .* for each of 2 axes"):
        predict(starter, np.zeros((32, 32), np.uint8), device="cpu", pixel_size=size)


def test_on_disk_as_in_memory(starter: Model, tmp_path: Path) -> None:
    image, _ = discs(28, (150, 171))
    first, *_ = predict_to_zarr(starter, image, tmp_path, "a", device="cpu")
    assert isinstance(first, ImageScaled)
    stored = np.asarray(zarr.open_group(tmp_path / "a_objects.zarr", mode="r")["0"])
    np.testing.assert_array_equal(stored, last(starter, image).prediction.objects)


def test_a_volume_is_scaled_along_all_its_axes(starter: Model) -> None:
    from napari_unet.network.adaptation import adapted_weights

    network = replace(starter.network, ndim=3)
    weights = adapted_weights(starter.weights, starter.network, network)
    model = replace(starter, network=network, weights=weights)
    plane, _ = discs(28, (64, 70))
    volume = np.stack([plane] * 12)
    prediction = last(model, volume, PredictionConfig(object_size=28.0)).prediction
    assert prediction.probabilities.shape == (2, 12, 64, 70)
    assert prediction.instances.min_size == 160

"""From full paint to a model that learnt depth and knows how it is best read."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from taught import build_dataset

from napari_unet import load_model, predict, save_model, train
from napari_unet.core.arrays.boxes import common
from napari_unet.core.instances import InstanceConfig
from napari_unet.core.painted.object_distance import full_objects
from napari_unet.core.patches import place_box
from napari_unet.network.config import PredictionConfig, TrainingConfig, UNetConfig
from napari_unet.network.learning import fitting
from napari_unet.network.learning.fitting import fit_reading

SMALL = TrainingConfig(
    steps=12, patch_size=32, batch_size=2, network=UNetConfig(levels=2, features=4), precision="float32"
)


def squares(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return an image of touching bright squares, and paint that fills them, with background strokes."""
    rng = np.random.default_rng(seed)
    paint = np.zeros((96, 96), np.int32)
    for number in range(12):
        y, x = 6 + 30 * (number // 4), 8 + 20 * (number % 4)
        paint[y : y + 20, x : x + 20] = number + 2
    image = np.where(paint > 0, 200, 30) + rng.normal(0, 5, paint.shape)
    paint[28:34] = 1
    return image.astype(np.float32), paint


def test_full_paint_teaches_depth_and_the_reading():
    image, paint = squares()
    taught = train([image], [paint], SMALL, full=[True])
    assert taught.network.distance
    assert {"distance_head.weight", "distance_head.bias"} <= taught.weights.keys()
    assert taught.instances.min_size in (10, 20, 40)
    plain = train([image], [paint], SMALL)
    assert not plain.network.distance
    assert plain.instances.min_size == 70  # a sixth of a square, or so
    assert any(not torch.equal(plain.weights[name], taught.weights[name]) for name in plain.weights)


def test_a_model_is_read_as_it_was_fitted_unless_told_otherwise(tmp_path):
    image, paint = squares()
    model = train([image], [paint], SMALL, full=[True])
    save_model(model, tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    assert loaded.instances == model.instances
    assert predict(loaded, image).instances == model.instances
    other = InstanceConfig(contrast=3)
    assert predict(loaded, image, PredictionConfig(instances=other)).instances == other


def test_predictions_do_without_the_distance():
    image, paint = squares()
    model = train([image], [paint], SMALL, full=[True])
    plain = replace(
        model,
        network=replace(model.network, distance=False),
        weights={name: value for name, value in model.weights.items() if "distance" not in name},
    )
    np.testing.assert_array_equal(predict(model, image).probabilities, predict(plain, image).probabilities)


@pytest.mark.parametrize("full", [False, True])
def test_training_goes_on_from_a_model_with_and_without_a_distance(full):
    image, paint = squares()
    first = train([image], [paint], SMALL, full=[not full])
    second = train([image], [paint], SMALL, start=first, full=[full])
    assert second.network.distance  # once learnt it stays


def test_only_some_objects_may_be_full():
    image, paint = squares()
    dataset = build_dataset([image], [paint], full=[(3, 4)])
    (sample,) = dataset.samples
    assert sample.distance is not None
    assert (sample.distance[(paint == 3) | (paint == 4)] > 0).all()
    assert (sample.distance[paint == 5] == -1).all()
    assert build_dataset([image], [paint], full=[False]).samples[0].distance is None
    assert (
        build_dataset([image], [np.minimum(paint, 3)], full=[True], mode="classes").samples[0].distance
        is None
    )


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("shape", "full"), [((96, 96), False), ((41, 70), True), ((450, 96), True)])
def test_windows_of_any_shape_are_read(padding, shape, full):
    image, paint = (np.resize(array, shape) for array in squares())
    config = replace(SMALL, steps=1, network=replace(SMALL.network, padding=padding))
    model = train([image], [paint], config, full=[full])
    dataset = build_dataset([image], [paint], full=[full])
    fitted = fit_reading(model, dataset, torch.device("cpu"), torch.float32)
    assert fitted == model.instances


@pytest.mark.parametrize(
    ("shape", "body_rate", "contrast"),
    [((96, 96), 1.0, 2.0), ((96, 96), 0.2, 3.0), ((16, 96, 96), 1.0, 1.0), ((16, 96, 96), 0.2, 1.0)],
)
def test_the_usual_contrast_is_that_of_planes_or_volumes_and_of_a_starter(
    monkeypatch, shape, body_rate, contrast
):
    image, paint = (np.broadcast_to(array, shape) for array in squares())
    config = replace(
        SMALL, steps=1, patch_size=16, network=replace(SMALL.network, ndim=len(shape)), body_rate=body_rate
    )
    begun = []
    monkeypatch.setattr(fitting, "fit_instances", lambda _, start, **__: begun.append(start) or start)
    train([image], [paint], config)
    assert {start.contrast for start in begun} == {contrast}


def test_sizes_of_what_is_found_count_where_nothing_is_full(monkeypatch):
    image, paint = squares()
    found = []
    monkeypatch.setattr(
        fitting,
        "size_from_found",
        lambda examples, start: found.append(examples) or replace(start, min_size=99),
    )
    assert train([image], [paint], replace(SMALL, steps=1)).instances.min_size == 99
    assert len(found) == 1
    assert train([image], [paint], replace(SMALL, steps=1), full=[(2, 3)]).instances.min_size == 20
    assert len(found) == 1


def test_windows_are_around_full_objects_or_else_around_all(monkeypatch):
    """In an image that is larger than a window."""
    image, paint = (np.pad(array, ((0, 500), (0, 0))) for array in squares())
    paint[560:580, 40:60] = 99
    shown = []
    monkeypatch.setattr(
        fitting, "fit_instances", lambda examples, start, **_: shown.append(examples) or start
    )
    for full in (False, (2, 3)):
        train([image], [paint], replace(SMALL, steps=1), full=[full])
    strokes, around_full = ({*np.concatenate([e.paint.ravel() for e in shot])} for shot in shown)
    assert strokes == {0, *range(1, 14), 99}
    assert 99 not in around_full
    assert {2, 3} <= around_full


def test_what_a_starter_learnt_from_strokes_is_read_at_a_higher_contrast(monkeypatch):
    image, paint = squares()
    starter = replace(train([image], [paint], SMALL, full=[True]), object_size=20.0)
    usual = []
    monkeypatch.setattr(fitting, "fit_instances", lambda examples, start, **_: usual.append(start) or start)
    scratch = train([image], [paint], replace(SMALL, steps=1))
    adapted = train([image], [paint], replace(SMALL, steps=1), start=starter)
    train([image], [paint], replace(SMALL, steps=1), start=adapted)
    train([image], [paint], replace(SMALL, steps=1), start=scratch)
    assert [reading.contrast for reading in usual] == [2.0, 3.0, 3.0, 2.0]


@pytest.mark.parametrize(
    ("full", "mostly"), [(False, False), (range(2, 9), False), (range(2, 10), True), (True, True)]
)
def test_full_objects_are_most_from_two_thirds_of_all_on(full, mostly, monkeypatch):
    image, paint = squares()
    told = []
    monkeypatch.setattr(
        fitting, "fit_instances", lambda _, start, *, mostly_full: told.append(mostly_full) or start
    )
    train([image], [paint], replace(SMALL, steps=1), full=[full if isinstance(full, bool) else tuple(full)])
    assert told == [mostly]


def test_classes_are_not_fitted():
    image, paint = squares()
    model = train([image], [np.minimum(paint, 3)], replace(SMALL, mode="classes"), full=[True])
    assert model.instances == InstanceConfig()


def test_volumes():
    rng = np.random.default_rng(1)
    paint = np.zeros((16, 40, 40), np.int32)
    paint[4:12, 4:18, 4:18], paint[4:12, 18:32, 4:18], paint[14:] = 2, 3, 1
    image = (np.where(paint > 1, 200, 20) + rng.normal(0, 4, paint.shape)).astype(np.float32)
    config = replace(SMALL, steps=2, patch_size=16, network=UNetConfig(ndim=3, levels=2, features=4))
    model = train([image], [paint], config, full=[True])
    assert model.network.distance
    assert predict(model, image).objects.shape == image.shape


@pytest.mark.parametrize("full", [True, (5, 9, 23, 24, 2**30), (24,), ()])
def test_windows_show_all_objects_that_fit_in_the_order_of_their_values(full):
    rng = np.random.default_rng(3)
    paints = [np.zeros((90, 150), np.int32), np.zeros((30, 200), np.int32), np.zeros((20, 20), np.int32)]
    paints[0][10:75, 90:145] = 24  # larger than a window
    for value in [*range(2, 24), 2**30]:
        paint = paints[value % 2]
        y, x = (rng.integers(0, length - 9) for length in paint.shape)
        paint[y : y + 9, x : x + 6] = value
    boxes = [{value: box for value, box, _ in full_objects(paint, full)} for paint in paints]
    expected = []
    left = [list(each.values()) for each in boxes]
    while any(left) and len(expected) < fitting._MOST_WINDOWS:
        for number, paint in enumerate(paints):
            if left[number] and len(expected) < fitting._MOST_WINDOWS:
                middle = [(side.start + side.stop) // 2 for side in left[number][0]]
                window = place_box(middle, [min(40, length) for length in paint.shape], paint.shape)
                whole = {value for value, box in boxes[number].items() if common(window, box) == box}
                left[number] = [box for box in left[number][1:] if common(window, box) != box]
                expected.append((number, window, whole))
    found = [fitting._Boxes.of(paint, full) for paint in paints]
    windows = fitting._choose_windows(found, [paint.shape for paint in paints], 40)
    assert [
        (number, window, set(found[number].values[found[number].lie_in(window)].tolist()))
        for number, window in windows
    ] == expected
    assert bool(expected) == bool(full)

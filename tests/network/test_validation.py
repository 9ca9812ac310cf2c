"""What of the paint is scored, and that every pixel of it is counted once, for its own stroke."""

import math
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from taught import build_dataset
from torch import Tensor

from napari_unet.core.learning.dataset import Dataset
from napari_unet.network.learning import validation
from napari_unet.network.learning.batches import BatchShape
from napari_unet.network.learning.validation import INTERVAL, Validation, crop_budget, interval_on

CPU = torch.device("cpu")
SHAPE = BatchShape(patches=3, taught=(32, 32), margin=(0, 0))


def _dataset(held_out: float, planes: int = 1, size: int = 128) -> Dataset:
    """Strokes of both classes; the image shows the target."""
    paint = np.zeros((size, size), np.int32)
    for number in range(size // 16):
        paint[16 * number : 16 * number + 6, 10 : size // 2 - 10] = 1
        paint[16 * number : 16 * number + 6, size // 2 + 10 : size - 10] = 2 + number
    image = (paint >= 2).astype(np.float32)
    return build_dataset([image] * planes, [paint] * planes, held_out=held_out)


def _right(image: Tensor) -> Tensor:
    """Predict what the image shows, surely."""
    return torch.cat([(0.5 - image) * 100, (image - 0.5) * 100], dim=1)


@pytest.mark.parametrize("held_out", [0.0, 0.25])
@pytest.mark.parametrize("predict", [_right, lambda image: -_right(image), lambda image: _right(image * 0)])
def test_every_stroke_has_the_counts_of_its_pixels(held_out: float, predict: Any) -> None:
    dataset = _dataset(held_out)
    # Small crops, some of which cut strokes in two, and one that holds everything.
    for edge in (32, 128):
        shape = BatchShape(patches=3, taught=(edge, edge), margin=(0, 0))
        with patch.object(validation, "_COST", 1.0):
            scored = Validation(dataset, shape, CPU)
        tally = scored.tally(predict)
        (sample,) = dataset.samples
        known = (sample.held_out if held_out else sample.weight) > 0
        found = predict(torch.from_numpy(sample.image)[None]).argmax(dim=1)[0].numpy()
        numbers = np.unique(sample.strokes[known])
        assert scored.strokes == len(tally.confusions) == numbers.size
        for number, confusion in zip(numbers, tally.confusions, strict=True):
            of_stroke = known & (sample.strokes == number)
            pairs = 2 * sample.target[of_stroke].astype(int) + found[of_stroke]
            assert confusion.ravel().tolist() == np.bincount(pairs, minlength=4).tolist()
        truth = sample.target.astype(bool)
        union = (truth | (found == 1)) & known
        assert tally.score == pytest.approx((truth & (found == 1) & known).sum() / union.sum())
        assert scored.on == ("held-out" if held_out else "training")
        low, high = tally.interval(0)
        assert 0 <= low <= tally.score <= high <= 1
        assert math.isfinite(tally.loss)


def test_valid_networks_are_scored_on_what_they_see() -> None:
    """The crop is wider than what is taught; strokes and predictions must lie on each other."""
    dataset = _dataset(0.0)
    shape = BatchShape(patches=2, taught=(48, 48), margin=(8, 8))
    tally = Validation(dataset, shape, CPU).tally(lambda image: _right(image[..., 8:-8, 8:-8]))
    assert tally.score == 1
    assert tally.confusions.sum() > 0


def test_the_budget_is_a_twentieth_of_the_steps_between() -> None:
    for patches in (1, 2, 4, 8):
        assert crop_budget(patches) >= 1
        assert crop_budget(patches) <= 0.05 * INTERVAL * patches * 3 < crop_budget(patches) + 1


def test_a_gpu_is_scored_half_as_often() -> None:
    assert [interval_on(torch.device(kind)) for kind in ("cpu", "cuda", "mps")] == [25, 50, 50]


def test_images_and_strokes_share_a_budget_that_is_too_small() -> None:
    dataset = _dataset(0.0, planes=5)
    shape = BatchShape(patches=3, taught=(16, 16), margin=(0, 0))
    seen = []

    def look(image: Tensor) -> Tensor:
        seen.append(image)
        return _right(image)

    scored = Validation(dataset, shape, CPU)
    tally = scored.tally(look)
    crops = sum(len(image) for image in seen)
    assert crops == crop_budget(3) == 11
    # Each crop shows another stroke, of both classes, and of all images.
    assert scored.strokes >= crops
    assert (tally.confusions.sum(axis=(0, 2)) > 0).all()
    offsets = np.cumsum([0, *(sample.strokes.max() for sample in dataset.samples)])
    assert offsets.size == 6
    counted = sum(int((crops.weight > 0).sum()) for crops in scored._batches)
    assert counted == tally.confusions.sum()
    # The maps of the training are as they were.
    again = _dataset(0.0, planes=5)
    for sample, other in zip(dataset.samples, again.samples, strict=True):
        np.testing.assert_array_equal(sample.weight, other.weight)
        np.testing.assert_array_equal(sample.strokes, other.strokes)


@pytest.mark.parametrize("planes", [1, 4])
def test_every_image_has_its_turn(planes: int) -> None:
    dataset = _dataset(0.0, planes=planes)
    shape = BatchShape(patches=1, taught=(16, 16), margin=(0, 0))
    with patch.object(validation, "crop_budget", lambda patches: planes):
        numbers = [
            set(np.unique(strokes)) - {0}
            for _, strokes in validation._choose_crops(dataset, shape, most=planes)
        ]
    owners = [
        next(n for n, sample in enumerate(dataset.samples) if found <= set(np.unique(sample.strokes)))
        for found in numbers
    ]
    assert sorted(owners) == list(range(planes))


@pytest.mark.parametrize(("planes", "most"), [(1, 2), (2, 2), (2, 4), (4, 2), (4, 8)])
def test_every_class_has_its_turn(planes: int, most: int) -> None:
    shape = BatchShape(patches=1, taught=(8, 8), margin=(0, 0))
    crops = [crop for crop, _ in validation._choose_crops(_dataset(0.0, planes=planes), shape, most=most)]
    shown = [np.unique(crop.target[crop.weight > 0])[0] for crop in crops]
    assert np.bincount(shown).tolist() == [most / 2, most / 2]


def test_validation_images_are_scored_alone() -> None:
    paint = np.zeros((64, 64), np.int32)
    paint[10:20, 10:20], paint[40:50, 40:50] = 1, 2
    image = (paint >= 2).astype(np.float32)
    dataset = build_dataset([image, image], [paint, paint], validation=1)
    scored = Validation(dataset, BatchShape(2, (64, 64), (0, 0)), CPU)
    assert scored.on == "validation"
    tally = scored.tally(_right)
    assert tally.confusions.sum() == 200
    assert tally.interval(0) == (0, 1)  # one stroke of each class


def test_a_network_that_computes_nonsense_has_a_score_all_the_same() -> None:
    tally = Validation(_dataset(0.25), SHAPE, CPU).tally(lambda image: _right(image) * float("nan"))
    assert 0 <= tally.score <= 1
    assert not tally.is_finite


def test_one_class_without_the_other_is_no_failure() -> None:
    """Validation images may have paint of one class alone; a warning says that this tells little."""
    paint = np.zeros((64, 64), np.int32)
    paint[10:20, 10:20], paint[40:50, 40:50] = 1, 2
    image = (paint >= 2).astype(np.float32)
    for value, name in ((1, "objects"), (2, "background")):
        dataset = build_dataset([image] * 2, [paint, np.where(paint == value, paint, 0)], validation=1)
        assert [sentence for sentence in dataset.warnings if f"no paint of {name}" in sentence]
        tally = Validation(dataset, BatchShape(1, (64, 64), (0, 0)), CPU).tally(_right)
        assert (tally.score, tally.interval(0)) == (1, (0, 1))
        wrong = Validation(dataset, BatchShape(1, (64, 64), (0, 0)), CPU).tally(lambda image: -_right(image))
        assert wrong.score == 0

"""The crops on which training is scored, and the score itself."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_unet.core.dataset import Dataset, build_dataset
from napari_unet.network.batches import BatchShape
from napari_unet.network.validation import Validation, mean_iou

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
def test_the_score_is_that_of_every_pixel_in_the_crops(held_out: float, predict: object) -> None:
    dataset = _dataset(held_out)
    # One crop holds the whole image: the score must be that of all pixels, counted once.
    shape = BatchShape(patches=1, taught=(128, 128), margin=(0, 0))
    validation = Validation(dataset, shape, torch.device("cpu"), seed=0)
    score, loss = validation.score(predict)
    (sample,) = dataset.samples
    known = (sample.held_out if held_out else sample.weight) > 0
    found = predict(torch.from_numpy(sample.image)[None]).argmax(dim=1)[0].numpy().astype(bool)
    truth = sample.target.astype(bool)
    assert score == pytest.approx((truth & found & known).sum() / ((truth | found) & known).sum())
    assert validation.on == ("held-out" if held_out else "training")
    assert math.isfinite(loss)


def test_no_pixel_counts_twice_and_both_classes_are_shown() -> None:
    dataset = _dataset(0.0, planes=3)
    seen = []

    def look(image: Tensor) -> Tensor:
        seen.append(image)
        return _right(image)

    validation = Validation(dataset, SHAPE, torch.device("cpu"), seed=0)
    assert validation.score(look)[0] == 1
    assert sum(len(image) for image in seen) == 8
    assert sum(float(image.sum()) for image in seen) > 0
    counted = sum(float((weight > 0).sum()) for _, _, weight in validation._batches)
    total = sum(np.count_nonzero(sample.weight) for sample in dataset.samples)
    assert 0 < counted <= total
    # The maps of the training are as they were.
    assert all(np.count_nonzero(sample.weight) == total / 3 for sample in dataset.samples)


def test_few_pixels_make_few_crops() -> None:
    shape = BatchShape(patches=3, taught=(64, 64), margin=(0, 0))
    validation = Validation(_dataset(0.0, size=64), shape, torch.device("cpu"), seed=0)
    assert sum(len(image) for image, *_ in validation._batches) == 1


@pytest.mark.parametrize(
    ("confusion", "expected"),
    [
        ([[5, 0], [0, 5]], 1.0),
        ([[5, 5], [0, 5]], 0.5),
        ([[9, 0], [5, 0]], 0.0),
        ([[9, 0], [0, 0]], 1.0),
        ([[0, 0], [0, 0]], 1.0),
        ([[1, 0, 0], [0, 4, 4], [0, 0, 0]], 0.25),
        ([[1, 0, 0], [0, 4, 0], [0, 0, 0]], 1.0),
    ],
)
def test_mean_iou_of_known_tables(confusion: list[list[int]], expected: float) -> None:
    assert mean_iou(np.array(confusion)) == expected

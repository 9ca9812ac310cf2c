import numpy as np
import pytest

from napari_unet.core.errors import InputError
from napari_unet.core.painted.label_images import (
    may_be_labels,
    may_be_mask,
    may_be_opened_as_image,
    paint_of_labels,
)


def squares(*values: int) -> np.ndarray:
    """Give each value a square of its own on 0."""
    labels = np.zeros((10, 10 * len(values)), np.uint8)
    for number, value in enumerate(values):
        labels[2:8, 10 * number + 2 : 10 * number + 8] = value
    return labels


def test_every_label_is_an_object_and_the_rest_background():
    labels = squares(1, 2, 255)
    assert np.unique(paint_of_labels(labels)).tolist() == [1, 2, 3, 256]
    assert ((paint_of_labels(labels) == 1) == (labels == 0)).all()
    for wrong in (labels - 1.5, labels > 0, -labels.astype(int)):
        with pytest.raises(InputError):
            paint_of_labels(wrong)


@pytest.mark.parametrize(
    ("paint", "expected"),
    [
        (squares(1, 2, 3, 4), True),
        (squares(1, 2, 2**8 - 1, 4).astype(">u4"), True),
        (squares(1, 2, 3), False),  # two objects and a stroke of background
        (np.where(np.arange(10)[:, np.newaxis] % 4 == 0, 0, squares(1, 2, 3, 4)), False),  # two strokes of it
        (squares(0, 2, 3, 4), False),
        (np.maximum(squares(0, 2, 3, 4), 1), False),
        (squares(1, 2, 3, 4) > 0, False),
    ],
)
def test_label_images_are_told_from_paint(paint: np.ndarray, expected: bool):
    assert may_be_labels(paint) is expected


@pytest.mark.parametrize(
    ("labels", "least", "expected"),
    [
        (squares(255, 255, 255), 1, True),
        (squares(1, 1, 1).astype(">i4"), 1, True),
        (squares(1, 1, 1), 2, False),  # three strokes of background
        (squares(1, 1, 2), 1, False),
        (squares(7, 7), 1, False),
        (squares(0), 1, False),
        (squares(2, 2, 2) / 2, 1, False),
    ],
)
def test_masks_are_told_from_labels(labels: np.ndarray, least: int, expected: bool):
    assert may_be_mask(labels, least) is expected


@pytest.mark.parametrize(
    ("pixels", "rgb", "expected"),
    [
        (squares(3, 4), False, True),
        (squares(3, 4).astype(np.float32), False, True),
        (squares(1, 1) > 0, False, True),
        (np.stack([squares(3, 4)] * 20), False, True),
        (np.stack([squares(3, 4), squares(9, 9), squares(4, 3)], axis=-1), True, True),
        (squares(3, 4) / 7, False, False),
        (np.full((20, 20), 5), False, False),  # of one brightness
        (np.zeros((0, 20), int), False, False),
        (
            np.random.default_rng(0).poisson(0.1, (200, 200)),
            False,
            False,
        ),  # photons, nearly all of them alone
        (np.random.default_rng(0).integers(2, 5, (200, 200)), False, False),
        (np.random.default_rng(0).integers(0, 9, (50, 50, 3)), True, False),
    ],
)
def test_labels_that_were_opened_as_an_image_are_told_from_images(pixels, rgb, expected):
    assert may_be_opened_as_image(pixels, rgb=rgb) is expected

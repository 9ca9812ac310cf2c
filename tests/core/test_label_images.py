import numpy as np
import pytest

from napari_unet.core.errors import InputError
from napari_unet.core.painted.label_images import may_be_labels, may_be_mask, paint_of_labels


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

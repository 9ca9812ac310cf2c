from dataclasses import replace

import numpy as np
import pytest

from napari_unet.core.borders.weight_config import WeightConfig
from napari_unet.core.borders.weight_reading import WeightReading, count_touching
from napari_unet.core.weights import measure_parts


@pytest.mark.parametrize(
    ("touching", "objects", "share", "words"),
    [
        (12, 40, 0.31, "12 of 40 objects touch; borders carry 31 % of the loss."),
        (1, 3, 0.004, "1 of 3 objects touches; borders carry less than 1 % of the loss."),
        (2, 2, 0.0, "2 of 2 objects touch; borders carry 0 % of the loss."),
        (0, 5, 0.0, "None of 5 objects touch; borders carry 0 % of the loss. Paint objects that touch,"),
        (0, 1, 0.0, "Only one object is painted"),
        (0, 0, 0.0, "No object is painted yet"),
    ],
)
def test_sentences(touching, objects, share, words):
    assert WeightReading(touching, objects, share).sentence.startswith(words)


def test_counts_by_hand():
    objects = np.array([[2, 2, 1, 3, 0, 1, 9]])
    border = np.array([[0, 0.49, 0.5, 0, 0, 0, 0]], np.float32)
    # Half of w0 is enough; 2 and 3 are beside it, 9 is not.
    assert count_touching(objects, border) == (2, 3)
    assert count_touching(objects, 0.99 * border) == (0, 3)
    assert count_touching(0 * objects, border) == (0, 0)


@pytest.mark.parametrize("preset", ["paper", "freiburg"])
@pytest.mark.parametrize(("gap", "touching"), [(0, 2), (1, 2), (2, 2), (4, 2), (7, 0), (30, 0)])
def test_objects_touch_where_they_are_near(preset, gap, touching):
    """Up to 1.18 sigma apart: 5.9 pixels (paper), 7.1 (freiburg), from pixel to pixel."""
    paint = np.repeat([[2, 1, 3, 1, 2**31 - 1]], [9, gap, 9, 60, 9], axis=1)
    paint = np.repeat(paint, 5, axis=0)
    parts = measure_parts(paint, replace(WeightConfig.preset(preset), w0=1))
    assert count_touching(paint, parts.border) == (touching, 3)


def test_components_of_classes_are_objects():
    paint = np.array([[2, 2, 1, 2, 1, 3]])
    parts = measure_parts(paint, WeightConfig(w0=1), mode="classes")
    # 3 is beside the gap between the two of class 2
    assert count_touching(parts.components + 1, parts.border) == (3, 3)

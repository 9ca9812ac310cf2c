import numpy as np
import pytest

from napari_unet.core.weight_reading import TOUCHING, WeightReading, read_weights
from napari_unet.core.weights import WeightConfig, measure_parts


@pytest.mark.parametrize(
    ("touching", "objects", "share", "words"),
    [
        (12, 40, 0.31, "12 of 40 objects touch; borders carry 31 % of the loss."),
        (1, 3, 0.004, "1 of 3 objects touches; borders carry less than 1 % of the loss."),
        (2, 2, 0.0, "2 of 2 objects touch; borders carry 0 % of the loss."),
        (0, 5, 0.0, "None of 5 objects touch; borders carry 0 % of the loss. Paint objects that touch,"),
        (0, 1, 0.0, "One object only is painted"),
        (0, 0, 0.0, "No object is painted yet"),
    ],
)
def test_sentences(touching, objects, share, words):
    assert WeightReading(touching, objects, share).sentence.startswith(words)


def test_exact_shares_and_counts():
    objects = np.array([[2, 2, 1, 3, 0, 1, 9]])
    of_class = np.array([[1, 1, 1, 1, 0, 1, 1]], np.float32)
    border = np.array([[0, 4.9, 5, 0, 0, 0, 0]], np.float32)
    # the term of 5 is half of w0; 2 and 3 are beside it, 9 is not
    assert read_weights(objects, of_class, border, 10) == WeightReading(2, 3, pytest.approx(9.9 / 15.9))
    assert read_weights(objects, of_class, border, 10.1) == WeightReading(0, 3, pytest.approx(9.9 / 15.9))
    assert read_weights(objects, of_class, 0 * border, 0) == WeightReading(0, 3, 0)
    assert read_weights(0 * objects, 0 * of_class, 0 * border, 10) == WeightReading(0, 0, 0)
    assert read_weights(objects, of_class, border, 10).border_share == pytest.approx(9.9 / 15.9)


@pytest.mark.parametrize("preset", ["paper", "freiburg"])
@pytest.mark.parametrize(("gap", "touching"), [(0, 2), (1, 2), (2, 2), (4, 2), (7, 0), (30, 0)])
def test_objects_touch_where_they_are_near(preset, gap, touching):
    """Up to 1.18 sigma apart: 5.9 pixels (paper), 7.1 (freiburg), from pixel to pixel."""
    paint = np.repeat([[2, 1, 3, 1, 2**31 - 1]], [9, gap, 9, 60, 9], axis=1)
    paint = np.repeat(paint, 5, axis=0)
    config = WeightConfig.preset(preset)
    parts = measure_parts(paint, config)
    rest = parts.of_class(config) + (0 if parts.halo is None else parts.halo)
    reading = read_weights(paint, rest, parts.border, config.w0)
    assert (reading.touching, reading.objects) == (touching, 3)
    assert reading.border_share == pytest.approx(parts.border.sum() / parts.sum(config).sum(), rel=1e-5)
    assert TOUCHING == 0.5


def test_components_of_classes_are_objects():
    paint = np.array([[2, 2, 1, 2, 1, 3]])
    parts = measure_parts(paint, mode="classes")
    reading = read_weights(parts.components + 1, parts.of_class(WeightConfig()), parts.border, 10)
    assert (reading.touching, reading.objects) == (3, 3)  # 3 is beside the gap between the two of class 2

"""What is shown of a prediction while it grows."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.instances import InstanceConfig
from napari_unet.core.objects import preview as preview_module
from napari_unet.core.objects.prediction import Prediction, PredictionKind
from napari_unet.core.objects.preview import Previewer
from napari_unet.core.tiling import Geometry, plan_tiles

KEEP_ALL = InstanceConfig(min_size=1)


def prediction_of(foreground: np.ndarray, ndim: int) -> Prediction:
    return Prediction(np.stack([1 - foreground, foreground]).astype(np.float32), ndim, "objects", KEEP_ALL)


@settings(deadline=None, max_examples=60)
@given(
    shape=st.one_of(st.tuples(*[st.integers(1, 60)] * 2), st.tuples(*[st.integers(1, 16)] * 3)),
    planes=st.integers(1, 3),
    tile_size=st.integers(1, 70),
    most=st.integers(1, 2000),
    kind=st.sampled_from(["classes", "probabilities"]),
)
def test_the_tiles_together_are_every_nth_pixel(
    shape: tuple[int, ...], planes: int, tile_size: int, most: int, kind: PredictionKind
):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preview_module, "_OF_A_PLANE", most)
        previewer = Previewer((planes, *shape), len(shape), kind)
    foreground = np.random.default_rng(0).random((planes, *shape)).astype(np.float32)
    shown = np.full(previewer.shape, 255, np.float32)
    for plane in range(planes):
        for tile in plan_tiles(shape, tile_size, Geometry(4, 8, "same")):
            part = previewer.part((plane,), tile, prediction_of(foreground[(plane, *tile.write)], len(shape)))
            if part is not None:
                assert part.values.shape == shown[part.where].shape
                shown[part.where] = part.values
    whole = prediction_of(foreground, len(shape))
    expected = whole.classes if kind == "classes" else 1 - whole.probabilities[0]
    step = previewer.step
    every = (slice(None), *(slice(None, None, step) for _ in shape))
    np.testing.assert_array_equal(shown, expected[every])
    assert previewer.steps == (1, *(step for _ in shape))
    smaller = [-(-size // max(1, step - 1)) for size in shape]
    assert step == 1 or np.prod(smaller, dtype=float) > most**0.5  # no coarser than it must be


def discs() -> np.ndarray:
    """Two discs that touch, on the border between two tiles of 32 pixels, and one apart."""
    y, x = np.indices((32, 64))
    foreground = np.zeros((32, 64), np.float32)
    for cy, cx in ((16, 8), (16, 21), (16, 52)):
        foreground = np.maximum(foreground, np.clip(1.4 - np.hypot(y - cy, x - cx) / 8, 0, 1))
    return foreground


@pytest.mark.parametrize(("seconds", "expected"), [(0.0, [3, 3]), (1.0, [2, 2])])
def test_objects_of_every_tile_have_their_own_number_and_the_time_for_parting_them_is_short(
    seconds: float, expected: list[int], monkeypatch: pytest.MonkeyPatch
):
    # Finding objects seems to take so long.
    monkeypatch.setattr(preview_module, "perf_counter", itertools.count(step=seconds).__next__)
    previewer = Previewer((32, 64), 2, "objects")
    foreground = discs()
    right, left = plan_tiles((32, 64), 32, Geometry(4, 8, "same"))[::-1]
    shown = np.zeros(previewer.shape, np.int32)
    counts = []
    for tile in (right, left, left):
        part = previewer.part((), tile, prediction_of(foreground[tile.write], 2))
        assert part is not None
        assert part.values.dtype == np.int32
        shown[part.where] = part.values
        counts.append(len(np.unique(shown)) - 1)
    assert set(np.unique(shown[:, 32:])) & set(np.unique(shown[:, :32])) == {0}
    assert counts == [1, *expected]


def test_specks_that_are_not_parted_go_by_how_sure_the_network_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(preview_module, "perf_counter", itertools.count().__next__)
    previewer = Previewer((32, 32), 2, "objects")
    (tile,) = plan_tiles((32, 32), 32, Geometry(4, 8, "same"))
    foreground = np.zeros((32, 32), np.float32)
    foreground[4:8, 4:8], foreground[20:24, 20:24] = 1, 0.6
    instances = InstanceConfig(min_size=16)
    first, second = (
        previewer.part((), tile, replace(prediction_of(foreground, 2), instances=instances)) for _ in range(2)
    )
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.values > 0, foreground == 1)  # with all its time
    np.testing.assert_array_equal(second.values > 0, foreground == 1)  # with none left

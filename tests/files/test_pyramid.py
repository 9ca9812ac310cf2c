from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_unet.files.pixels import pyramid
from napari_unet.files.pixels.world_axes import Axis, named_axes
from napari_unet.files.results.prediction_store import Grid, PredictionStore


@pytest.mark.parametrize("is_label", [True, False])
def test_copies_are_half_as_large_until_they_are_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_label: bool
):
    monkeypatch.setattr(pyramid, "LARGEST", 20)
    store = PredictionStore(tmp_path / "x", {}, ["a"], 16)
    pixels = np.random.default_rng(0).integers(0, 99, (3, 75, 42))
    grid = Grid(pixels.shape, (16, 16), [*named_axes("ZY"), Axis("x", "space", offset=3.0)])
    array = store.array("a", grid, "int32" if is_label else "float32")
    array[...] = pixels
    for _ in range(2):  # again, as after a run that was ended
        done = list(pyramid.build_levels(store.group("a"), is_label=is_label))
        assert done == sorted(done)
        assert done[-1] == 1
    group = zarr.open_group(tmp_path / "x" / "a.zarr", mode="r")
    datasets = group.attrs["multiscales"][0]["datasets"]
    assert [dataset["path"] for dataset in datasets] == ["0", "1", "2"]
    scales = [dataset["coordinateTransformations"][0]["scale"] for dataset in datasets]
    assert scales == [[1, 1, 1], [1, 2, 2], [1, 4, 4]]
    shifts = [dataset["coordinateTransformations"][1]["translation"] for dataset in datasets]
    assert shifts == [[0, 0, 3]] * 3
    assert group["1"].shape == (3, 38, 21)
    assert group["2"].shape == (3, 19, 11)
    if is_label:
        np.testing.assert_array_equal(group["2"][...], pixels[:, ::4, ::4])
    else:
        np.testing.assert_allclose(group["1"][1, 5, 7], pixels[1, 10:12, 14:16].mean())
        np.testing.assert_allclose(group["1"][1, 37, 7], pixels[1, 74, 14:16].mean())


def test_small_images_need_none(tmp_path: Path):
    store = PredictionStore(tmp_path / "x", {}, ["a"], 16)
    store.array("a", Grid((30, 30), (16, 16)), "int32")
    assert list(pyramid.build_levels(store.group("a"), is_label=True)) == []
    assert list(store.group("a")) == ["0"]

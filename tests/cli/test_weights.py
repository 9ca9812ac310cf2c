"""`napari-unet weights`: the weight map as an image."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from command_line import fails, run

from napari_unet import border_weights
from napari_unet.cli import main
from napari_unet.core.borders.weight_config import WeightConfig, class_weights
from napari_unet.files.pixels.images import write_image
from napari_unet.files.pixels.pixel_size import PixelSize


def test_weights_are_those_of_the_function(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paint = folder / "paint" / "a1.tif"
    for flags, config in [
        ([], WeightConfig()),
        (["--w0", "3", "--sigma", "2.5"], WeightConfig(w0=3, sigma=2.5)),
        (["--preset", "freiburg"], WeightConfig.preset("freiburg")),
    ]:
        assert main(["weights", str(paint), "--output", str(tmp_path / "w.tif"), *flags]) == 0
        written = tifffile.imread(tmp_path / "w.tif")
        assert written.dtype == np.float32
        np.testing.assert_array_equal(written, border_weights(tifffile.imread(paint), config))
    assert "preset" in fails(
        capsys, ["weights", paint, "--output", tmp_path / "x.tif", "--preset", "cellpose"]
    )
    assert not (tmp_path / "x.tif").exists()


def test_weights_follow_the_shape_of_the_voxels_of_the_paint(tmp_path: Path) -> None:
    paint = np.ones((6, 24, 24), np.uint8)
    paint[1, 4:12, 4:12], paint[4, 4:12, 4:12] = 2, 3
    write_image(tmp_path / "paint.tif", paint, "ZYX", PixelSize(0.2, 0.2, 0.5))
    assert run("weights", tmp_path / "paint.tif", "--output", tmp_path / "w.tif") == 0
    found = tifffile.imread(tmp_path / "w.tif")
    np.testing.assert_array_equal(found, border_weights(paint, spacing=(2.5, 1, 1)))
    assert (found != border_weights(paint)).any()


def test_weights_of_planes_are_those_that_a_2d_network_learns_with(tmp_path: Path) -> None:
    paint = np.ones((2, 2, 24, 30), np.uint8)
    paint[:, :, 4:12, 4:12], paint[1, 0, 4:12, 14:22] = 2, 3
    paint[0, 1, 15:] = 0
    write_image(tmp_path / "paint.tif", paint, "TZYX", PixelSize(0.4, 0.2, 0.5))
    assert run("weights", tmp_path / "paint.tif", "--output", tmp_path / "w.tif", "--by-plane") == 0
    found = tifffile.imread(tmp_path / "w.tif")
    assert found.shape == paint.shape
    counts = np.array([np.sum(paint == 1), np.sum(paint > 1)])  # of all planes
    by_class = np.concatenate(([1], class_weights(counts, WeightConfig())))  # the 1 is taken away below
    for at in np.ndindex(2, 2):
        border = border_weights(paint[at], WeightConfig(class_balance="none"), spacing=(2, 1)) - 1
        kinds = np.minimum(paint[at], 2)
        np.testing.assert_allclose(found[at], border + by_class[kinds], atol=1e-5)


def test_points_in_time_have_no_borders_between_them(tmp_path: Path) -> None:
    paint = np.ones((2, 24, 30), np.uint8)
    paint[0, 4:12, 4:12], paint[1, 4:12, 14:22] = 2, 3
    for axes, is_one in (("ZYX", False), ("TYX", True)):
        write_image(tmp_path / "paint.tif", paint, axes)
        assert run("weights", tmp_path / "paint.tif", "--output", tmp_path / "w.tif") == 0
        of_background = tifffile.imread(tmp_path / "w.tif")[paint == 1]
        assert bool((of_background == of_background[0]).all()) is is_one


@pytest.mark.parametrize("shape", [(), (9,)])
def test_paint_without_planes_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], shape: tuple[int, ...]
) -> None:
    zarr.create_array(tmp_path / "p.zarr", data=np.ones(shape, np.uint8))
    line = fails(capsys, ["weights", tmp_path / "p.zarr", "--output", tmp_path / "w.tif", "--by-plane"])
    assert f"has the shape {shape}; give paint of an image" in line


def test_labels_in_place_of_paint_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = np.kron([[1, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0]], np.ones((6, 6), np.uint8))
    for paint, told in ((labels, True), (labels + 1, False)):
        tifffile.imwrite(tmp_path / "a.tif", paint)
        assert run("weights", tmp_path / "a.tif", "--output", tmp_path / "w.tif") == 0
        assert ("it looks like one of the objects" in capsys.readouterr().err) == told

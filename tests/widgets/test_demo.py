"""The paint of the demo, and the demo itself as a user runs it."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from napari.layers import Labels
from scipy import ndimage
from skimage import data

from napari_unet.core.painted.advice import summarise_paint
from napari_unet.files.networks.models import load_model
from napari_unet.files.pixels.images import read_image
from napari_unet.widgets.demo import Demo, Stroke, main, paint_stroke, read_strokes

SHAPE = data.immunohistochemistry().shape[:2]


def painted(strokes):
    layer = Labels(np.zeros(SHAPE, np.int32))
    for stroke in strokes:
        paint_stroke(layer, stroke)
    return layer.data


@pytest.fixture(scope="module")
def paint():
    return painted(read_strokes())


def test_a_stream_that_does_not_know_a_letter_ends_no_demo(tmp_path, monkeypatch) -> None:
    """Windows gives pipes an encoding of few letters."""
    out = io.TextIOWrapper(io.BytesIO(), "cp1252")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(Demo, "__init__", lambda self, *_: setattr(self, "_began", 0.0))
    monkeypatch.setattr(Demo, "run", lambda self: self._say("Pictures are in 细胞."))
    monkeypatch.setattr(Demo, "close", lambda _: None)
    assert main(["--output", str(tmp_path), "--headless"]) == 0
    out.flush()
    assert out.buffer.getvalue().endswith(rb"Pictures are in \u7ec6\u80de." + os.linesep.encode())


def test_stored_paint_can_teach_objects(paint) -> None:
    summary = summarise_paint(paint, "objects")
    assert summary.missing == ()
    assert summary.objects >= 20
    assert np.array_equal(np.unique(paint), np.arange(summary.objects + 2)), "unlabelled, background, objects"
    assert (paint > 0).mean() < 0.1, "strokes, not a full annotation"


def test_stored_strokes_never_cross_each_other(paint) -> None:
    assert np.array_equal(painted(reversed(read_strokes())), paint)


def test_stored_paint_holds_touching_objects(paint) -> None:
    objects = np.where(paint > 1, paint, 0)
    grown = ndimage.grey_dilation(objects, size=5)
    assert len(np.unique(objects[(grown != objects) & (objects > 0) & (grown > 0)])) >= 3


def test_stored_strokes_stay_in_their_tissue(paint) -> None:
    # Nuclei are bluer than all around them, DAB-stained or not; the strokes must tell the two apart.
    image = ndimage.gaussian_filter(data.immunohistochemistry().astype(float), (1, 1, 0))
    blueness = image[..., 2] - image[..., 0]
    for value in range(2, paint.max() + 1):
        window = tuple(
            slice(max(part.start - 8, 0), part.stop + 8)
            for part in ndimage.find_objects((paint == value).astype(int))[0]
        )
        inside = paint[window] == value
        distance = ndimage.distance_transform_edt(~inside)
        around = (distance > 3) & (distance < 6) & (paint[window] < 2)
        assert np.median(blueness[window][inside]) > np.median(blueness[window][around]), value


def test_a_stroke_joins_its_points_and_is_one_step_of_undo() -> None:
    layer = Labels(np.zeros((20, 30), np.int32))
    paint_stroke(layer, Stroke(value=3, width=3, points=((5, 5), (5, 20), (12, 20))))
    expected = np.zeros((20, 30), bool)
    expected[4:7, 4:22] = expected[4:14, 19:22] = True
    assert np.array_equal(layer.data == 3, expected)
    layer.undo()
    assert not layer.data.any()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_whole_loop_in_a_window(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "napari_unet.widgets.demo", "--headless", "--seconds", "12"]
    done = subprocess.run(
        [*command, "--output", str(tmp_path)], capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("0?-*.png"))) == 7
    assert load_model(tmp_path / "nuclei.safetensors").mode == "objects"
    assert read_image(tmp_path / "objects.tif").pixels.max() > 1
    corrected, painted = (
        read_image(tmp_path / f"{name}.tif").pixels for name in ("corrected_paint", "paint")
    )
    assert np.count_nonzero(corrected) > np.count_nonzero(painted)


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path, capsys) -> None:
    (tmp_path / "file").touch()
    assert main(["--output", str(tmp_path / "file" / "demo"), "--headless"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1

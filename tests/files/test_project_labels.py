"""Paint on disk: exact, partial, readable by zarr, and bounded whatever the files hold."""

import json
import zlib

import numpy as np
import pytest
import zarr

from napari_unet.core.errors import InputError
from napari_unet.files.projects.project_labels import LabelsFile, chunk_shape, chunks_in

SHAPES = [(70, 90), (513, 1030), (3, 600, 20), (2, 3, 5, 4), (1, 1)]


def painted(shape, dtype=np.int32, seed=0):
    rng = np.random.default_rng(seed)
    paint = np.zeros(shape, dtype)
    for _ in range(5):
        box = tuple(slice(start, start + 9) for start in rng.integers(0, shape))
        paint[box] = rng.integers(1, 100)
    return paint


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.dtype(">u2"), np.int64])
def test_what_is_written_is_read_back(tmp_path, shape, dtype):
    paint = painted(shape, dtype)
    file = LabelsFile.create(tmp_path / "a.zarr", shape, paint.dtype)
    file.update(paint, chunks_in(shape))
    again, sentence = LabelsFile(tmp_path / "a.zarr").read()
    np.testing.assert_array_equal(again, paint)
    assert sentence == ""
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "a.zarr", mode="r")[:], paint)


def test_only_what_changed_is_written(tmp_path):
    paint = painted((2, 1024, 1024))
    file = LabelsFile.create(tmp_path / "a.zarr", paint.shape, paint.dtype)
    file.update(paint, chunks_in(paint.shape))
    paint[1, 600, 600] = 7
    assert file.update(paint, chunks_in(paint.shape)) == 1
    assert file.update(paint, chunks_in(paint.shape)) == 0
    again = LabelsFile(tmp_path / "a.zarr")
    assert again.update(paint, chunks_in(paint.shape)) == 0  # what is on disk is known in another session
    paint[:] = 0
    again.update(paint, chunks_in(paint.shape))
    assert not LabelsFile(tmp_path / "a.zarr").read()[0].any()


def test_chunks_that_a_box_touches():
    assert chunk_shape((3, 1000, 100)) == (1, 512, 100)
    box = (slice(1, 2), slice(500, 513), slice(0, 1))
    assert list(chunks_in((3, 1000, 100), box)) == [(1, 0, 0), (1, 1, 0)]
    assert len(list(chunks_in((3, 1000, 100)))) == 6


def test_a_damaged_chunk_is_written_anew_where_nothing_is_painted_any_more(tmp_path):
    paint = np.ones((20, 30), np.int32)
    file = LabelsFile.create(tmp_path / "a.zarr", paint.shape, paint.dtype)
    file.update(paint, chunks_in(paint.shape))
    (tmp_path / "a.zarr" / "0.0").write_bytes(b"damaged")
    file = LabelsFile(tmp_path / "a.zarr")
    assert file.update(0 * paint, chunks_in(paint.shape)) == 1
    pixels, sentence = file.read()
    assert (pixels.any(), sentence) == (False, "")


def test_a_damaged_chunk_costs_that_chunk_and_is_written_anew(tmp_path):
    paint = np.ones((513, 513), np.int32)
    LabelsFile.create(tmp_path / "a.zarr", paint.shape, paint.dtype).update(paint, chunks_in(paint.shape))
    (tmp_path / "a.zarr" / "0.0").write_bytes(b"rubbish")
    file = LabelsFile(tmp_path / "a.zarr")
    again, sentence = file.read()
    assert again[512:].all()
    assert again[:, 512:].all()
    assert not again[:512, :512].any()
    assert sentence.startswith("1 part of ")
    assert file.update(paint, chunks_in(paint.shape)) == 1
    assert file.read()[1] == ""


def test_a_chunk_does_not_become_larger_than_it_says(tmp_path):
    file = LabelsFile.create(tmp_path / "a.zarr", (8, 8), np.dtype(np.int32))
    (tmp_path / "a.zarr" / "0.0").write_bytes(zlib.compress(bytes(50_000_000)))
    _, sentence = file.read()
    assert "could not be read" in sentence


@pytest.mark.parametrize("stray", ["9.9", "0.0.0", "x.y", "-1.0", ".napari-unet-1.part", "٣.0"])
def test_other_files_are_passed_over(tmp_path, stray):
    file = LabelsFile.create(tmp_path / "a.zarr", (8, 8), np.dtype(np.int32))
    (tmp_path / "a.zarr" / stray).write_bytes(b"")
    assert file.read()[1] == ""


@pytest.mark.parametrize(
    "change",
    [
        {"shape": "large"},
        {"shape": [8]},
        {"chunks": [10**9, 10**9]},
        {"dtype": "O"},
        {"dtype": "<f4"},
        {"compressor": {"id": "pickle"}},
        {"filters": [{"id": "pickle"}]},
        {"zarr_format": 3},
    ],
)
def test_descriptions_that_are_not_ours_are_refused(tmp_path, change):
    LabelsFile.create(tmp_path / "a.zarr", (8, 8), np.dtype(np.int32))
    path = tmp_path / "a.zarr" / ".zarray"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match="backup"):
        LabelsFile(tmp_path / "a.zarr")


def test_one_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="is not there"):
        LabelsFile(tmp_path / "a.zarr")


@pytest.mark.parametrize("shape", [(2**40, 2**40), (2**32, 16, 16)])  # the system would give the latter
def test_a_huge_one_is_refused_in_a_sentence(tmp_path, shape):
    LabelsFile.create(tmp_path / "a.zarr", shape, np.dtype(np.int32))
    with pytest.raises(InputError, match="does not fit into memory"):
        LabelsFile(tmp_path / "a.zarr").read()


def test_one_of_more_axes_than_there_can_be_is_refused(tmp_path):
    with pytest.raises(InputError, match="is not paint"):
        LabelsFile.create(tmp_path / "a.zarr", (1,) * 70, np.dtype(np.int32))


def test_a_link_is_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    file = LabelsFile.create(tmp_path / "a.zarr", (8, 8), np.dtype(np.int32))
    (tmp_path / "a.zarr" / "0.0").symlink_to(outside)
    with pytest.raises(InputError, match="is a link"):
        file.update(np.ones((8, 8), np.int32), [(0, 0)])
    assert outside.read_bytes() == b"precious"

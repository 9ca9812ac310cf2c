"""Images are linked, kept, found where they went, and known again by their pixels."""

import numpy as np
import pytest
import tifffile
import zarr

from napari_unet.core.errors import InputError
from napari_unet.files.projects.project import LayerLook, ProjectImage
from napari_unet.files.projects.project_images import (
    file_name,
    file_size,
    keep,
    link,
    places,
    read_kept,
    sample,
    search,
)


def entry(pixels, key="cells"):
    return ProjectImage(key, LayerLook(key), tuple(pixels.shape), str(pixels.dtype), sample=sample(pixels))


def noise(shape=(40, 50), dtype=np.uint16, seed=0):
    return np.random.default_rng(seed).integers(0, 200, shape).astype(dtype)


def test_a_sample_tells_images_apart_and_is_the_same_from_disk(tmp_path):
    first, second = noise((5, 300, 400)), noise((5, 300, 400), seed=1)
    assert sample(first) != sample(second)
    stored = zarr.create_array(tmp_path / "a.zarr", data=first)
    assert sample(stored) == sample(first) == sample(first.astype(">u2"))
    assert sample(np.zeros((0, 5))) == "0"
    brighter = first.copy()
    brighter += 1
    assert sample(brighter) != sample(first)


@pytest.mark.parametrize(
    "pixels",
    [
        noise(),
        noise((3, 4, 5), np.uint8),
        noise((1, 40, 1), np.float64),
        noise((20, 20, 3), np.uint8),
        noise((9, 9), np.int64) > 100,
        noise((2, 3, 4, 5), np.float32),
    ],
    ids=lambda pixels: f"{pixels.dtype}{pixels.shape}",
)
def test_what_is_kept_is_read_back(tmp_path, pixels):
    kept = keep(entry(pixels), tmp_path, pixels)
    again = read_kept(kept, tmp_path)
    np.testing.assert_array_equal(again, pixels)
    assert again.dtype == pixels.dtype
    assert (tmp_path / "images" / "cells.tif").exists()


def test_what_cannot_be_kept_is_said(tmp_path, monkeypatch):
    pixels = noise().astype(complex)
    with pytest.raises(InputError, match="TIFF does not hold"):
        keep(entry(pixels), tmp_path, pixels)
    huge = np.broadcast_to(np.uint8(0), (2**17, 2**17))
    with pytest.raises(InputError, match=r"too large to be kept in the project \(16 GB\)"):
        keep(entry(huge), tmp_path, huge)


def test_a_kept_image_that_was_replaced_or_damaged_is_said(tmp_path):
    kept = keep(entry(noise()), tmp_path, noise())
    path = tmp_path / "images" / "cells.tif"
    tifffile.imwrite(path, noise((7, 7)))
    with pytest.raises(InputError, match="has shape"):
        read_kept(kept, tmp_path)
    path.write_bytes(b"II*\0rubbish")
    with pytest.raises(InputError, match="could not be read"):
        read_kept(kept, tmp_path)


def test_a_moved_tree_is_followed_by_the_relative_path(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    for root in (old, new):
        (root / "data").mkdir(parents=True)
        (root / "project").mkdir()
        (root / "data" / "cells.tif").touch()
    linked = link(entry(noise()), old / "project", old / "data" / "cells.tif")
    assert linked.path == "../data/cells.tif"
    assert next(places(linked, new / "project")) == new / "data" / "cells.tif"
    assert linked.size == file_size(old / "data" / "cells.tif") == 0


def test_an_image_that_moved_is_found_by_its_name(tmp_path):
    linked = link(entry(noise()), tmp_path / "project", tmp_path / "data" / "cells.tif")
    assert list(places(linked, tmp_path / "project")) == []
    found = tmp_path / "far" / "away" / "cells.tif"
    found.parent.mkdir(parents=True)
    found.touch()
    others = search(tmp_path / "far", {file_name(linked)})
    assert others == [found]
    assert list(places(linked, tmp_path / "project", others)) == [found]
    beside = tmp_path / "project" / "cells.tif"
    beside.parent.mkdir()
    beside.touch()
    assert list(places(linked, tmp_path / "project")) == [beside]


def test_paths_of_another_system_have_a_name():
    image = ProjectImage("a", LayerLook("a"), (1, 1), "uint8", path="", absolute="C:\\data\\cells.tif")
    assert file_name(image) == "cells.tif"


def test_a_zarr_folder_is_found_and_not_searched(tmp_path):
    inner = tmp_path / "a.zarr" / "a.zarr"
    inner.mkdir(parents=True)
    assert search(tmp_path, {"a.zarr"}) == [tmp_path / "a.zarr"]

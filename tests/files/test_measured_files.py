"""The table of the objects in segmented files."""

import csv
from pathlib import Path

import numpy as np
import tifffile
import zarr

from napari_unet.core.objects.prediction import PredictionKind
from napari_unet.files.pixels.images import write_labels
from napari_unet.files.results.measured_files import measure_file, write_table_of_files


def test_every_image_has_a_name_that_tells_it_from_others(tmp_path: Path) -> None:
    labels = np.eye(3, dtype=np.int32)
    zarr.open_group(tmp_path / "plate.zarr").create_array("A/1/0", data=labels)
    images = [tmp_path / "plate.zarr" / "A" / "1" / "0"]
    for name in ("monday/a.tif", "tuesday/a.tif", "b.png.tif"):
        images.append(tmp_path / name)
        images[-1].parent.mkdir(exist_ok=True)
        tifffile.imwrite(images[-1], labels)
    outputs: list[dict[PredictionKind, Path]] = []
    for name in ("plate_A_1_0", "a", "a 2", "b.png"):
        outputs.append({"objects": tmp_path / f"{name}_objects.tif"})
        write_labels(outputs[-1]["objects"], labels)
    table = write_table_of_files(tmp_path / "t.csv", list(zip(images, outputs, strict=True)))
    names = [row["image"] for row in csv.DictReader(table.read_text("utf-8").splitlines())]
    assert names == ["plate_A_1_0", "a", "a 2", "b.png.tif"]


def test_labels_without_named_axes_are_those_of_their_image(tmp_path: Path) -> None:
    labels = np.zeros((4, 5, 2), np.uint16)  # Y, X, Z
    labels[1, 3, 0], labels[2, 4, 1] = 1, 2
    tifffile.imwrite(tmp_path / "a.tif", labels, metadata={"axes": "YXZ"}, photometric="minisblack")
    tifffile.imwrite(tmp_path / "labels.tif", labels, photometric="minisblack")
    names, *rows = measure_file((tmp_path / "a.tif", {"objects": tmp_path / "labels.tif"}))
    at = [names.index(f"{axis}_px") for axis in "zyx"]
    assert [[row[n] for n in at] for row in rows] == [[0, 1, 3], [1, 2, 4]]
    assert [row[names.index("mean")] for row in rows] == [1, 2]

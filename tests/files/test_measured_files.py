"""The table of the objects in segmented files."""

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from napari_unet.core.errors import InputError
from napari_unet.core.objects.prediction import PredictionKind
from napari_unet.files.pixels.images import write_labels
from napari_unet.files.results.measured_files import (
    check_object_table,
    measure_file,
    write_table_of_files,
)


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


def test_objects_have_a_class_where_both_results_are_there_and_a_table_of_classes_says_so(
    tmp_path: Path,
) -> None:
    objects = np.array([[1, 1, 1, 0], [0, 2, 2, 0]])
    classes = np.array([[3, 3, 2, 1], [1, 2, 2, 1]])
    tifffile.imwrite(tmp_path / "a.tif", classes.astype(np.uint8))
    paths: dict[PredictionKind, Path] = {}
    results: list[tuple[PredictionKind, np.ndarray]] = [("objects", objects), ("classes", classes)]
    for kind, labels in results:
        paths[kind] = tmp_path / f"a_{kind}.tif"
        write_labels(paths[kind], labels.astype(np.int32))

    def columns(*kinds: PredictionKind) -> list[list[object]]:
        return [row[:3] for row in measure_file((tmp_path / "a.tif", {kind: paths[kind] for kind in kinds}))]

    both = [["object", "class", "pixels"], [1, 3, 3], [2, 2, 2]]
    assert columns("classes", "objects") == both
    assert [row[:2] for row in columns("objects")] == [["object", "pixels"], [1, 3], [2, 2]]
    assert [row[:2] for row in columns("classes")] == [["class", "pixels"], [1, 3], [2, 3], [3, 2]]
    # Of another shape, they are those of something else.
    write_labels(paths["classes"], np.ones((3, 4), np.int32))
    assert columns("objects", "classes") == columns("objects")


@pytest.mark.parametrize("names", ["object", "object,class", "class"])
def test_an_earlier_table_of_objects_or_classes_may_be_replaced(tmp_path: Path, names: str) -> None:
    table = tmp_path / "t.csv"
    for mark in ("", "\ufeff"):
        table.write_text(f"{mark}image,{names},pixels,diameter_px\n", "utf-8")
        check_object_table(table)
    table.write_text(f"image,{names},pixel\n")
    with pytest.raises(InputError, match="is not a table of objects"):
        check_object_table(table)

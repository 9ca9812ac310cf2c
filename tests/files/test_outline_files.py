"""Outlines as files, read back by roifile and json and filled again by a slow, obvious rule."""

import json
import zipfile

import numpy as np
import pytest
import roifile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.core.errors import InputError
from napari_unet.files.pixels.images import BY_HAND, check_replaceable
from napari_unet.files.results.outline_files import write_outlines


def inside(rings, shape):
    """Pixels whose centre has an odd number of vertical lines to its left."""
    result = np.zeros(shape, bool)
    for y, x in np.ndindex(shape):
        result[y, x] = (
            sum(
                x0 == x1 and x0 <= x and min(y0, y1) <= y < max(y0, y1)
                for ring in rings
                for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True)
            )
            % 2
        )
    return result


def of_rois(path, shape):
    """The names of the ROIs in a zip, and the pixels of the objects they are named after."""
    labels = np.zeros(shape, int)
    rois = roifile.roiread(path)
    for roi in rois:
        rings = roi.coordinates(multi=True)
        corners = np.concatenate(rings)
        assert (corners == corners.round()).all()
        assert (corners.min(axis=0) == (roi.left, roi.top)).all()
        assert (corners.max(axis=0) == (roi.right, roi.bottom)).all()
        where = (
            (roi.position - 1,)
            if roi.position
            else (roi.t_position - 1, roi.z_position - 1)[4 - len(shape) :]
        )
        plane = labels[where] if len(shape) > 2 else labels
        found = inside(rings, plane.shape)
        assert not plane[found].any()
        plane[found] = int(roi.name.split("_")[0])
    with zipfile.ZipFile(path) as file:
        assert file.namelist() == [f"{roi.name}.roi" for roi in rois]
        assert file.testzip() is None
    return [roi.name for roi in rois], labels


def of_geojson(path, shape):
    """The features in a file, and the pixels of the objects they are named after."""
    labels = np.zeros(shape, int)
    content = json.loads(path.read_text("utf-8"))
    assert content["type"] == "FeatureCollection"
    for feature in content["features"]:
        assert feature["type"] == "Feature"
        geometry = feature["geometry"]
        polygons = geometry["coordinates"]
        if geometry["type"] == "Polygon":
            polygons = [polygons]
        else:
            assert geometry["type"] == "MultiPolygon"
            assert len(polygons) > 1
        place = geometry.get("plane", {})
        plane = labels[(place["t"], place["z"])[4 - len(shape) :]] if len(shape) > 2 else labels
        for outer, *holes in polygons:
            assert all(ring[0] == ring[-1] and len(ring) >= 5 for ring in (outer, *holes))
            found = inside([outer[:-1]], plane.shape)
            for hole in holes:
                out = inside([hole[:-1]], plane.shape)
                assert found[out].all()
                found &= ~out
            assert not plane[found].any()
            plane[found] = int(feature["properties"]["name"])
    return content["features"], labels


@settings(max_examples=150, deadline=None)
@given(
    arrays(np.int32, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=st.sampled_from([0, 0, 3, 9]))
)
def test_both_formats_give_back_exactly_the_pixels(tmp_path_factory, labels):
    folder = tmp_path_factory.mktemp("outlines")
    write_outlines(folder / "a.zip", labels, "YX")
    write_outlines(folder / "a.geojson", labels, "YX")
    numbers = [str(value) for value in np.unique(labels) if value]
    names, found = of_rois(folder / "a.zip", labels.shape)
    np.testing.assert_array_equal(found, labels)
    assert names == numbers
    features, found = of_geojson(folder / "a.geojson", labels.shape)
    np.testing.assert_array_equal(found, labels)
    assert [feature["properties"] for feature in features] == [
        {"objectType": "detection", "name": name} for name in numbers
    ]
    assert not any("plane" in feature["geometry"] for feature in features)


def stack():
    labels = np.zeros((2, 3, 5, 6), np.uint16)
    labels[0, :2, 1:4, 1:4] = 400
    labels[0, 0, 2, 2] = 0  # a hole
    labels[1, 2, 0, 0] = labels[1, 2, 4, 5] = 7  # two parts
    return labels


@pytest.mark.parametrize(
    ("shape", "axes", "named"),
    [
        ((2, 3, 5, 6), "TZYX", ["400_t1_z1", "400_t1_z2", "7_t2_z3"]),
        ((6, 5, 6), "ZYX", ["400_z1", "400_z2", "7_z6"]),
        ((6, 5, 6), "TYX", ["400_t1", "400_t2", "7_t6"]),
        ((6, 5, 6), "", ["400_z1", "400_z2", "7_z6"]),
    ],
)
def test_an_object_has_an_outline_in_each_of_its_planes(tmp_path, shape, axes, named):
    labels = stack().reshape(shape)
    write_outlines(tmp_path / "a.zip", labels, axes)
    names, found = of_rois(tmp_path / "a.zip", shape)
    assert names == named
    np.testing.assert_array_equal(found, labels)
    write_outlines(tmp_path / "a.geojson", labels, axes)
    features, found = of_geojson(tmp_path / "a.geojson", (6, 1, 5, 6) if axes == "TYX" else shape)
    np.testing.assert_array_equal(found.reshape(shape), labels)
    assert all(feature["geometry"]["plane"]["c"] == -1 for feature in features)
    assert [feature["properties"]["name"] for feature in features] == ["400", "400", "7"]


def test_imagej_has_one_kind_of_position_for_one_axis_and_another_for_two(tmp_path):
    write_outlines(tmp_path / "a.zip", stack(), "TZYX")
    write_outlines(tmp_path / "b.zip", stack()[1], "ZYX")
    rois = [*roifile.roiread(tmp_path / "a.zip"), *roifile.roiread(tmp_path / "b.zip")]
    places = [(roi.position, roi.c_position, roi.z_position, roi.t_position) for roi in rois]
    assert places == [(0, 0, 1, 1), (0, 0, 2, 1), (0, 0, 3, 2), (3, 0, 0, 0)]


def test_more_axes_than_imagej_has_are_counted_as_planes(tmp_path):
    write_outlines(tmp_path / "a.zip", stack()[:, None], "01ZYX")
    assert [roi.position for roi in roifile.roiread(tmp_path / "a.zip")] == [1, 2, 6]


def test_imagej_is_told_traced_lines_and_composites(tmp_path):
    write_outlines(tmp_path / "a.zip", stack()[0], "ZYX")
    holed, whole = roifile.roiread(tmp_path / "a.zip")
    assert (whole.roitype, whole.composite) == (roifile.ROI_TYPE.TRACED, False)
    assert (holed.roitype, holed.composite) == (roifile.ROI_TYPE.RECT, True)
    assert holed.multi_coordinates.tolist() == [
        *(0, 1, 1, 1, 4, 1, 1, 4, 4, 1, 1, 4, 4),
        *(0, 2, 2, 1, 2, 3, 1, 3, 3, 1, 3, 2, 4),
    ]


def test_far_pixels_keep_their_place(tmp_path):
    labels = np.zeros((2, 70_000), np.uint8)
    labels[:, 69_998:] = 1
    write_outlines(tmp_path / "a.zip", labels, "YX")
    (roi,) = roifile.roiread(tmp_path / "a.zip")
    assert roi.composite  # the numbers of a polygon end before
    assert sorted(map(tuple, roi.coordinates()[:-1].tolist())) == [
        (69_998, 0),
        (69_998, 2),
        (70_000, 0),
        (70_000, 2),
    ]


def test_classes_are_outlined_without_the_background(tmp_path):
    classes = np.array([[1, 1, 2], [3, 1, 2]], np.uint8)
    write_outlines(tmp_path / "a.geojson", classes, "YX", is_classes=True)
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert [feature["properties"] for feature in features] == [
        {"objectType": "annotation", "name": name, "classification": {"name": name}}
        for name in ("class 2", "class 3")
    ]
    write_outlines(tmp_path / "a.zip", classes, "YX", is_classes=True)
    assert [roi.name for roi in roifile.roiread(tmp_path / "a.zip")] == ["class 2", "class 3"]


@pytest.mark.parametrize("ending", [".zip", ".geojson"])
def test_results_replace_results_but_not_what_was_saved_by_hand_or_is_from_elsewhere(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    labels = np.ones((2, 2), np.uint8)
    write_outlines(path, labels)
    check_replaceable(path)
    write_outlines(path, labels, software=BY_HAND)
    with pytest.raises(InputError, match="saved by hand"):
        check_replaceable(path)
    for foreign in (b"", b"PK", b'{"type": "FeatureCollection", "features": []}', b"\xff"):
        path.write_bytes(foreign)
        with pytest.raises(InputError, match="not a result of napari-unet"):
            check_replaceable(path)


def test_an_ending_that_is_not_known_is_told(tmp_path):
    with pytest.raises(InputError, match=r"does not end in \.zip \(for ImageJ\) or \.geojson \(for QuPath\)"):
        write_outlines(tmp_path / "a.roi", np.ones((2, 2), np.uint8))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", [".zip", ".geojson"])
def test_a_file_is_written_whole_or_not_at_all(tmp_path, ending, monkeypatch):
    path = tmp_path / f"a{ending}"
    path.write_text("before")

    class Failing:
        shape = (2, 3, 3)

        def __getitem__(self, where):
            if where == (1,):
                raise OSError("the share is gone")
            return np.ones((3, 3), np.uint8)

    with pytest.raises(InputError, match="the share is gone"):
        write_outlines(path, Failing(), "ZYX")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]

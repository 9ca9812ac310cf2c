"""The table of objects, against scikit-image and by hand."""

import re
from unittest.mock import patch

import numpy as np
import pytest
from skimage.measure import regionprops

from napari_unet.core.arrays.lazy import LazyPixels, as_pixels
from napari_unet.core.errors import InputError
from napari_unet.core.instances import InstanceConfig
from napari_unet.core.objects import measurements
from napari_unet.core.objects.measurements import Measurable, join_tables, measure_objects
from napari_unet.core.objects.prediction import Prediction


def table(*arguments, **options):
    names, *rows = measure_objects(*arguments, **options)
    return [dict(zip(names, row, strict=True)) for row in rows]


def test_two_objects_by_hand():
    labels = np.array([[7, 7, 0], [0, 0, 3]])
    image = np.array([[[1, 3, 100], [100, 100, 5]]])
    assert measure_objects(labels, image, axes="YX", pixel_size=(0.5, 0.25)) == [
        ["object", "pixels", "area_um2", "diameter_um", "y_px", "x_px", "mean"],
        [3, 1, 0.125, 0.398942, 1.0, 2.0, 5.0],
        [7, 2, 0.25, 0.56419, 0.0, 0.5, 2.0],
    ]


def test_what_else_shows_the_place_is_measured_by_name():
    labels = np.array([[[1, 1], [0, 2]], [[0, 0], [2, 2]]])
    grey, stain = np.arange(8.0).reshape(1, 2, 2, 2), 10 * np.arange(8).reshape(2, 2, 2)
    first, second = table(labels, grey, axes="TYX", others={"GFP": stain})
    assert (list(first)[-2:], first["mean"], first["mean_GFP"]) == (["mean", "mean_GFP"], 0.5, 5)
    assert (second["mean"], second["mean_GFP"]) == pytest.approx((16 / 3, 160 / 3), rel=1e-5)


def test_planes_without_objects_are_counted_where_objects_are_of_planes():
    labels = np.zeros((3, 2, 2), int)
    labels[1, 0] = 5
    names, *rows = measure_objects(labels, labels[None], axes="TYX")
    assert [dict(zip(names, row, strict=True)) for row in rows] == [
        {
            "object": 5,
            "pixels": 2,
            "diameter_px": 1.59577,
            "t_px": 1.0,
            "y_px": 0.0,
            "x_px": 0.5,
            "mean": 5.0,
        },
        *({name: at if name == "t_px" else None for name in names} for at in (0.0, 2.0)),
    ]
    labels[:2, 1] = 7  # through planes, so that a plane is nothing to count in
    assert [row[0] for row in measure_objects(labels, axes="ZYX")[1:]] == [5, 7]
    assert measure_objects(labels[2, :1], axes="YX")[1:] == [[None] * 5]


def test_planes_of_a_volume_are_segmented_with_it():
    labels = np.zeros((3, 2, 4, 4), int)
    labels[0, 0, :2] = 5
    planes = frozenset({(0,), (2,)})  # time points, whose planes a network for volumes sees together
    names, *rows = Measurable("", labels, None, "TZYX", (), {}, planes=planes).table()
    empty = [(row[names.index("t_px")], row[names.index("z_px")]) for row in rows if row[0] is None]
    assert empty == [(0, 1), (2, 0), (2, 1)]


def test_tables_of_several_images_are_one_with_blanks_where_an_image_lacks_a_column():
    joined = join_tables(
        [("a", [["object", "mean"], [1, 2.0]]), ("b", [["object", "mean_1"], [1, 3.0], [2, 4.0]])]
    )
    assert joined == [
        ["image", "object", "mean", "mean_1"],
        ["a", 1, 2.0, None],
        ["b", 1, None, 3.0],
        ["b", 2, None, 4.0],
    ]


def test_the_class_of_an_object_is_that_of_most_of_its_pixels_and_the_lower_one_in_a_draw():
    labels = np.array([[9, 9, 9, 0], [4, 4, 0, 6]])
    classes = np.array([[3, 2, 3, 5], [3, 2, 5, 4]], np.uint8)
    names, *rows = measure_objects(labels, classes=classes)
    assert names[:3] == ["object", "class", "pixels"]
    assert [row[:3] for row in rows] == [[4, 2, 2], [6, 4, 1], [9, 3, 3]]
    names, row = measure_objects(np.zeros((2, 2), int), classes=np.ones((2, 2), int))
    assert (names[1], row) == ("class", [None] * 6)


def test_no_object_is_of_the_class_background():
    labels = np.array([[9, 9, 9, 9], [4, 4, 0, 6]])
    classes = np.array([[1, 0, 1, 3], [0, 0, 5, 1]], np.uint8)  # erased under 4, painted over under 6
    rows = measure_objects(labels, classes=classes)[1:]
    assert [row[:3] for row in rows] == [[4, None, 2], [6, None, 1], [9, 3, 4]]
    # Below a threshold of a half, background may be the most probable of all in an object.
    dim = np.empty((3, 6, 6), np.float32)
    dim[0], dim[1], dim[2] = 0.6, 0.4, 0
    dim[:, 0, 0] = 0.4, 0, 0.6
    found = Prediction(dim, ndim=2, mode="classes", instances=InstanceConfig(threshold=0.3, min_size=3))
    assert [row[:2] for row in measure_objects(found)[1:]] == [[1, None]]
    found.classes[3, 3] = 2
    assert [row[:2] for row in measure_objects(found)[1:]] == [[1, 2]]


def test_the_class_is_counted_through_all_pieces():
    labels, classes = np.ones((2, 6, 2), int), np.full((2, 6, 2), 2)
    labels[:, :, 1] = 2
    classes[0, :2, 0], classes[1, 3:, 0] = 4, 3  # never the most of a piece or plane alone, but 7 to 3 to 2
    classes[0, :, 1], classes[1, 2:, 1] = 7, 3  # most of the first plane, and the second of both: 6 to 4 to 2
    with patch.multiple(measurements, _PIXELS=4, _ROWS=2):
        pieces = measure_objects(LazyPixels(labels), classes=LazyPixels(classes))
    assert [row[:3] for row in pieces[1:]] == [[1, 2, 12], [2, 7, 12]]
    assert pieces == measure_objects(labels, classes=classes)


def test_an_image_with_classes_alone_stands_beside_others_in_a_table():
    assert join_tables(
        [("a", [["class", "pixels"], [1, 4]]), ("b", [["object", "class", "pixels"], [7, 2, 3]])]
    ) == [["image", "object", "class", "pixels"], ["a", None, 1, 4], ["b", 7, 2, 3]]


@pytest.mark.parametrize("ndim", [2, 3])
def test_against_scikit_image(ndim):
    random = np.random.default_rng(ndim)
    labels = random.integers(0, 6, (9, 8, 7)[-ndim:])
    image = random.integers(0, 1000, (2, *labels.shape)).astype(np.uint16)
    measured = table(labels, image, axes="ZYX"[-ndim:])
    expected = regionprops(labels, np.moveaxis(image, 0, -1))
    assert len(measured) == len(expected) == 5
    for row, region in zip(measured, expected, strict=True):
        assert (row["object"], row["pixels"]) == (region.label, region.area)
        assert row["diameter_px"] == pytest.approx(region.equivalent_diameter_area, rel=1e-5)
        place = [row[f"{axis}_px"] for axis in "zyx"[-ndim:]]
        assert place == pytest.approx(region.centroid, rel=1e-5)
        assert [row["mean_1"], row["mean_2"]] == pytest.approx(region.intensity_mean.tolist(), rel=1e-5)


def test_objects_of_single_planes_have_areas_and_those_through_planes_volumes():
    flat = np.zeros((2, 4, 4), int)
    flat[0, :2, :2], flat[1, :2, :2] = 1, 2
    sizes = (None, 0.5, 0.5)
    assert [row["area_um2"] for row in table(flat, axes="TYX", pixel_size=sizes)] == [1.0, 1.0]
    assert [row["t_px"] for row in table(flat, axes="TYX")] == [0.0, 1.0]
    through = np.minimum(flat, 1)
    assert [row["volume_um3"] for row in table(through, axes="ZYX", pixel_size=(2, 0.5, 0.5))] == [4.0]
    # A volume cannot be known where the distance of planes is not.
    assert "volume_um3" not in table(through, axes="ZYX", pixel_size=sizes)[0]


def test_no_object_is_an_empty_line_and_large_values_cost_nothing():
    assert len(measure_objects(np.zeros((3, 3), int), axes="YX")) == 2
    (row,) = table(np.full((2, 2), 2**62), axes="YX")
    assert (row["object"], row["pixels"]) == (2**62, 4)


def test_what_is_not_in_memory_is_measured_piece_by_piece():
    random = np.random.default_rng(0)
    labels = np.kron(random.integers(0, 9, (3, 5, 2)), np.ones((1, 4, 9), int))
    labels[1] = 0
    colours = random.integers(0, 99, (*labels.shape, 3))
    whole = measure_objects(labels, colours, others={"GFP": labels})
    assert whole[0][-4:] == ["mean_1", "mean_2", "mean_3", "mean_GFP"]
    with patch.multiple(measurements, _PIXELS=100, _ROWS=3):
        pieces = measure_objects(LazyPixels(labels), LazyPixels(colours), others={"GFP": LazyPixels(labels)})
    assert pieces == whole


@pytest.mark.parametrize(
    ("labels", "options", "problem"),
    [
        (np.zeros((3, 4)), {}, "of type float64"),
        (np.zeros(3, int), {}, "with two axes or more"),
        ("a.tif", {}, "The labels are 'a.tif'; give the pixels"),
        (np.zeros((3, 4), bool), {}, "yes/no mask; give each object its own number first"),
        ([[0, -1]], {}, "negative in places (down to -1)"),
        ([[0, 1]], {"axes": "ZYX"}, "have shape (1, 2)"),
        (np.zeros((1, 1, 2), int), {"axes": "XYX"}, "a different letter"),
        ([[0, 1]], {"axes": 2}, "name of the axes is 2"),
        ([[0, 1]], {"image": np.zeros((2, 2, 2))}, "has shape (2, 2, 2) and the labels (1, 2)"),
        ([[0, 1]], {"others": {"GFP": np.zeros((1, 3))}}, "image of 'GFP' has shape (1, 3)"),
        ([[0, 1]], {"others": {"GFP": "b.tif"}}, "The image of 'GFP' is 'b.tif'; give the pixels"),
        ([[0, 1]], {"image": "b.tif"}, "The image is 'b.tif'; give the pixels"),
        ([[0, 1]], {"classes": "c.tif"}, "The classes are 'c.tif'; give the pixels"),
        ([[0, 1]], {"others": [np.zeros((1, 2))]}, "them by name"),
        ([[0, 1]], {"classes": [[1, 2, 3]]}, "type int64 and shape (1, 3), and the labels have shape (1, 2)"),
        ([[0, 1]], {"classes": [[1, 0.5]]}, "The classes are of type float64"),
        ([[0, 1]], {"pixel_size": 0.5}, "one number for each of the last axes"),
        ([[0, 1]], {"pixel_size": "0.5"}, "one number for each of the last axes"),
        ([[0, 1]], {"pixel_size": (1, 1, 1)}, "the labels have 2 axes"),
        ([[0, 1]], {"pixel_size": (1, -1)}, "a size above 0"),
        ([[0, 1]], {"pixel_size": (None, np.nan)}, "a size above 0"),
    ],
)
def test_what_cannot_be_measured_is_told(labels, options, problem):
    with pytest.raises(InputError, match=re.escape(problem)):
        measure_objects(labels, **options)


def test_axes_without_a_name_are_those_of_most_images():
    assert measure_objects(np.zeros((2, 1, 1, 1), int))[0][-4:] == ["t_px", "z_px", "y_px", "x_px"]
    assert measure_objects(np.zeros((2, 1, 1, 1, 1), int))[0][-5:] == ["0_px", "1_px", "2_px", "y_px", "x_px"]


def test_a_prediction_has_its_objects_measured():
    probability = np.zeros((9, 9), np.float32)
    probability[2:6, 2:5] = 1
    found = Prediction(np.stack([1 - probability, probability]), ndim=2, instances=InstanceConfig(min_size=1))
    names, row = measure_objects(found, pixel_size=np.array([2.0, 0.5]))
    assert dict(zip(names, row, strict=True))["area_um2"] == 12
    assert "class" not in names


def test_objects_of_a_prediction_in_classes_mode_have_their_class():
    classes = np.ones((9, 9), int)
    classes[1:4, 1:4], classes[1:4, 6:8], classes[6:8, 1:4] = 3, 2, 3
    probabilities = (classes == np.arange(1, 4)[:, None, None]).astype(np.float32)
    found = Prediction(probabilities, ndim=2, mode="classes", instances=InstanceConfig(min_size=1))
    names, *rows = measure_objects(found)
    assert names[:3] == ["object", "class", "pixels"]
    assert [row[:3] for row in rows] == [[1, 3, 9], [2, 2, 6], [3, 3, 6]]
    other = np.where(classes == 3, 5, 4)
    assert [row[1] for row in measure_objects(found, classes=other)[1:]] == [5, 4, 5]


def test_classes_have_a_line_in_every_plane_also_where_there_are_none_of_them():
    classes = np.ones((2, 3, 4), np.uint8)
    classes[0, 0], classes[1, :2], classes[1, 2, 0] = 2, 3, 0
    image = np.arange(24).reshape(2, 3, 4)

    def lines(pixel_size=()):
        return Measurable(
            "a", as_pixels(classes), as_pixels(image), "TYX", pixel_size, {}, is_classes=True
        ).table()

    assert lines() == [
        ["class", "pixels", "percent", "t_px", "mean"],
        [1, 8, 66.6667, 0, 7.5],
        [2, 4, 33.3333, 0, 1.5],
        [3, 0, 0, 0, None],
        [1, 3, 27.2727, 1, 22],
        [2, 0, 0, 1, None],
        [3, 8, 72.7273, 1, 15.5],
    ]
    names, *rows = lines((None, 0.5, 0.5))
    assert names[:4] == ["class", "pixels", "area_um2", "percent"]
    assert [row[2] for row in rows] == [2, 1, 0, 0.75, 0, 2]
    classes[0] = 0  # a plane that was not segmented
    assert [row[:4] for row in lines()[1:]] == [[1, 3, 27.2727, 1], [3, 8, 72.7273, 1]]
    classes[:] = 0
    assert lines() == [["class", "pixels", "percent", "t_px", "mean"]]

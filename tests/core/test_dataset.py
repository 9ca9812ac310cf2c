"""Pairs, planes, classes and balance over a whole set; every refusal a sentence."""

from typing import Any

import numpy as np
import pytest
from taught import USUAL, build_dataset

from napari_unet.core.arrays.normalisation import Normalisation
from napari_unet.core.borders.weight_config import WeightConfig
from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.core.learning.reading import DatasetConfig, read_planes
from napari_unet.core.weights import border_weights


def _paint(shape: tuple[int, ...] = (40, 50), background: bool = True, foreground: bool = True) -> np.ndarray:
    paint = np.zeros(shape, np.int32)
    if background:
        paint[..., 2:6, 5:30] = 1
    if foreground:
        paint[..., 10:16, 5:12] = 2
        paint[..., 10:16, 15:22] = 3
    return paint


def _image(shape: tuple[int, ...] = (40, 50), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 60000, shape).astype(np.uint16)


def test_one_image() -> None:
    paint = _paint()
    dataset = build_dataset([_image()], [paint], held_out=0)
    (sample,) = dataset.samples
    assert (dataset.in_channels, dataset.n_classes, dataset.known_pixels) == (1, 2, 100 + 84)
    assert sample.image.shape == (1, 40, 50)
    assert (sample.image.dtype, sample.target.dtype, sample.weight.dtype) == (
        np.float32,
        np.uint8,
        np.float32,
    )
    np.testing.assert_array_equal(sample.target, paint >= 2)
    np.testing.assert_array_equal(sample.weight > 0, paint > 0)
    assert not sample.held_out.any()
    for value, pixels in enumerate(sample.pixels):
        np.testing.assert_array_equal(pixels, np.flatnonzero((paint > 0) & ((paint >= 2) == value)))


@pytest.mark.parametrize("balance", ["auto", "inverse", "none"])
def test_the_weights_of_a_single_image_are_its_border_weights(balance: Any) -> None:
    paint = _paint()
    config = WeightConfig(class_balance=balance)
    (sample,) = build_dataset([_image()], [paint], weights=config, held_out=0).samples
    np.testing.assert_allclose(sample.weight, border_weights(paint, config), rtol=1e-6)


def test_classes_are_balanced_over_all_images() -> None:
    # Alone, the ten pixels of the rare class on the first image would weigh as much as all the others.
    rare, common = np.ones((40, 40), np.int32), np.full((40, 40), 2, np.int32)
    rare[0, :10] = 2
    config = WeightConfig(w0=0)
    samples = build_dataset([_image((40, 40))] * 2, [rare, common], weights=config, held_out=0).samples
    both = np.concatenate([rare, common])
    expected = border_weights(both, config)
    np.testing.assert_allclose(samples[0].weight, expected[:40], rtol=1e-6)
    np.testing.assert_allclose(samples[1].weight, expected[40:], rtol=1e-6)


@pytest.mark.parametrize(("strokes", "balance"), [(5, "inverse"), (0, "none")])
def test_all_images_together_say_whether_paint_is_complete(strokes: int, balance: Any) -> None:
    config = WeightConfig(w0=0, class_balance="auto")
    complete = np.ones((40, 40), np.int32)
    complete[0, :10] = 2
    paint = np.zeros((40, 40), np.int32)
    paint[:2, : 4 * strokes] = 3
    paints = [complete, paint][: 1 + (strokes > 0)]
    images = [_image((40, 40))] * len(paints)
    samples = build_dataset(images, paints, weights=config, held_out=0).samples
    expected = border_weights(np.concatenate(paints), WeightConfig(w0=0, class_balance=balance))
    np.testing.assert_allclose(samples[0].weight, expected[:40], rtol=1e-6)


def test_held_out_strokes_and_training_paint_share_the_weight_map() -> None:
    paint = np.zeros((80, 80), np.int32)
    for number in range(8):
        paint[10 * number : 10 * number + 4, 5:20] = 1
        paint[10 * number : 10 * number + 4, 40:60] = 2 + number
    (sample,) = build_dataset([_image((80, 80))], [paint], held_out=0.25).samples
    np.testing.assert_allclose(sample.weight + sample.held_out, border_weights(paint), rtol=1e-6)
    assert not np.any((sample.weight > 0) & (sample.held_out > 0))
    assert set(sample.target[sample.held_out > 0]) == {0, 1}
    taught = np.concatenate(sample.pixels)
    np.testing.assert_array_equal(np.sort(taught), np.flatnonzero(sample.weight))


def _seams(count: int) -> np.ndarray:
    """Five strokes of background, and ``count`` objects so thin that every pixel touches the next object."""
    paint = np.zeros((80, 80), np.int32)
    paint[:50:10, 5:20] = 1
    for number in range(count):
        paint[60 + number, 5:70] = 2 + number
    return paint


def test_strokes_are_not_held_out_where_a_class_would_be_left_without_paint() -> None:
    paint = _seams(4)
    paint[5:15, 40:60] = 100
    for seed in range(20):
        (sample,) = build_dataset([_image((80, 80))], [paint], held_out=0.5, seed=seed).samples
        assert all(pixels.size for pixels in sample.pixels)


def test_objects_that_are_all_seam_cannot_teach() -> None:
    with pytest.raises(InputError, match="paint the objects wider"):
        build_dataset([_image((80, 80))], [_seams(4)])


def test_one_sample_per_annotated_plane() -> None:
    image = _image((3, 4, 40, 50))
    image[2, 3] = 65535  # the limits come from the whole image, painted or not
    paint = np.zeros((3, 4, 40, 50), np.int32)
    paint[0, 1] = _paint(foreground=False)
    paint[2, 0] = _paint(background=False)
    dataset = build_dataset([image], [paint], held_out=0)
    assert len(dataset.samples) == 2
    low, high = np.percentile(image, (1, 99.8))
    for sample, index in zip(dataset.samples, [(0, 1), (2, 0)], strict=True):
        np.testing.assert_allclose(sample.image[0], (image[index] - low) / (high - low), atol=2e-2)
        np.testing.assert_array_equal(sample.weight > 0, paint[index] > 0)


def test_one_sample_per_volume() -> None:
    paint = np.zeros((2, 6, 40, 50), np.int32)
    paint[1, 2:4] = _paint()
    dataset = build_dataset([_image((2, 6, 40, 50))], [paint], ndim=3, held_out=0)
    (sample,) = dataset.samples
    assert sample.image.shape == (1, 6, 40, 50)
    np.testing.assert_array_equal(sample.target, paint[1] >= 2)


@pytest.mark.parametrize("last", [True, False])
def test_channels_and_limits_of_each(last: bool) -> None:
    rgb = np.stack([_image(seed=channel) // (channel + 1) for channel in range(3)])
    dataset = build_dataset([np.moveaxis(rgb, 0, -1) if last else rgb], [_paint()])
    assert dataset.in_channels == 3
    np.testing.assert_allclose(np.percentile(dataset.samples[0].image, 99.8, axis=(1, 2)), 1, atol=1e-3)


def test_grey_pictures_saved_in_colours_are_learnt_from_with_grey_ones() -> None:
    grey, other = _image(), _image(seed=1)
    colours = np.stack([other] * 3, axis=-1)
    found = build_dataset([grey, colours], [_paint(), _paint()])
    expected = build_dataset([grey, other], [_paint(), _paint()])
    assert found.in_channels == 1
    for sample, same in zip(found.samples, expected.samples, strict=True):
        np.testing.assert_array_equal(sample.image, same.image)
    colours[0, 0, 0] += 1
    with pytest.raises(InputError, match="Image 2 has 3 channels and Image 1 has 1"):
        build_dataset([grey, colours], [_paint(), _paint()])


def test_grey_pictures_saved_in_colours_are_learnt_as_one_channel() -> None:
    grey, other = _image(), _image(seed=1)
    colours = [np.stack([image] * 3, axis=-1) for image in (grey, other)]
    true = colours[1].copy()
    true[0, 0, 0] += 1
    paints = [_paint()] * 2
    found, expected = build_dataset(colours, paints), build_dataset([grey, other], paints)
    assert found.in_channels == 1
    for sample, same in zip(found.samples, expected.samples, strict=True):
        np.testing.assert_array_equal(sample.image, same.image)
    for validation in (0, 1):
        assert build_dataset(colours, paints, validation=validation).in_channels == 1
        assert build_dataset([colours[0], true], paints, validation=validation).in_channels == 3
    assert build_dataset(colours, paints, channels="last").in_channels == 1
    # A model that is trained on keeps its channels; of another number it is adapted in any case.
    assert [build_dataset(colours, paints, in_channels=count).in_channels for count in (1, 2, 3)] == [1, 1, 3]
    assert build_dataset([*colours, grey], [*paints, _paint()], in_channels=3).in_channels == 1


@pytest.mark.parametrize(("count", "axis"), [(2, -1), (4, -1), (3, 0)])
def test_other_equal_channels_stay(count: int, axis: int) -> None:
    """A model of one channel would read them as planes, or not at all."""
    image = np.stack([_image()] * count, axis=axis)
    assert build_dataset([image], [_paint()]).in_channels == count


def test_an_axis_in_front_may_be_known_to_be_one_of_colours() -> None:
    images, paints = [np.stack([_image()] * 3)] * 2, [_paint()] * 2
    for known, channels in ((True, 1), (False, 3)):
        config = DatasetConfig(**USUAL)
        planes = read_planes(images, paints, config, colours_first=[True, known])
        assert [len(plane.image) for plane in planes] == [channels] * 2


def test_nan_and_infinite_pixels_stay_local() -> None:
    image = _image().astype(np.float64)
    clean = build_dataset([image], [_paint()]).samples[0].image
    image[0, 0], image[20, 20], image[39, 0] = np.nan, np.inf, -np.inf
    spoilt = build_dataset([image], [_paint()]).samples[0].image
    assert np.isfinite(spoilt).all()
    np.testing.assert_allclose(
        np.delete(spoilt.ravel(), [0, 1020, 1950]), np.delete(clean.ravel(), [0, 1020, 1950]), atol=0.01
    )


def test_the_largest_object_ids() -> None:
    paint = _paint().astype(np.int64)
    paint[paint == 2] = 2**31 - 1
    paint[paint == 3] = 2**31 - 2
    (sample,) = build_dataset([_image()], [paint], held_out=0).samples
    np.testing.assert_array_equal(sample.target, paint >= 2)
    np.testing.assert_allclose(sample.weight, border_weights(_paint()), rtol=1e-6)


def test_all_images_share_the_classes_of_the_set() -> None:
    first, second = _paint(foreground=False), _paint(background=False)
    dataset = build_dataset([_image(), _image()], [first, second], mode="classes", held_out=0)
    assert dataset.n_classes == 3
    assert [set(sample.target[sample.weight > 0]) for sample in dataset.samples] == [{0}, {1, 2}]
    assert all(len(sample.pixels) == 3 for sample in dataset.samples)


def test_a_missing_class_is_a_warning() -> None:
    paint = _paint()
    paint[paint == 3] = 5
    assert any(
        "classes 3, 4" in sentence for sentence in build_dataset([_image()], [paint], mode="classes").warnings
    )


def test_full_objects_of_a_volume_that_end_beside_a_plane_without_paint_are_told() -> None:
    """If they go on there, their rims teach what is wrong."""
    paint = np.zeros((6, 40, 50), int)
    paint[2:4, 5:9, 5:9], paint[2:4, 20:30, 20:30] = 2, 1

    def is_told(full: Any, ndim: int = 3) -> bool:
        warnings = build_dataset([_image((6, 40, 50))], [paint], ndim=ndim, full=[full]).warnings
        return any("beside which nothing is painted" in sentence for sentence in warnings)

    assert is_told(True)
    assert not is_told({2})  # as accepted from a prediction, which has seen where it ends
    assert not is_told(False)
    assert not is_told(True, ndim=2)
    paint[[1, 4], 0] = 1
    assert not is_told(True)


def test_without_painted_background_seams_are_it() -> None:
    paint = np.full((40, 50), 2)
    paint[:, 25:] = 3
    (sample,) = build_dataset([_image()], [paint]).samples
    assert (sample.target[sample.weight > 0] == 0).sum() == 2 * 40


@pytest.mark.parametrize(
    ("images", "paints", "mode", "said"),
    [
        ([], [], "objects", "no image"),
        ([_image()], [], "objects", "1 images and 0 paints"),
        ([_image()], [np.zeros((40, 50), int)], "objects", "Nothing is painted"),
        ([_image()], [_paint(foreground=False)], "objects", "Only background"),
        ([_image()], [_paint(background=False)], "objects", "No background"),
        ([_image()], [_paint(background=False) * (_paint() != 3)], "classes", "Only class 2"),
        ([_image()], [_paint((40, 49))], "objects", "same pixels"),
        ([_image()] * 2, [_paint(), _paint((40, 49))], "objects", "Image 2: "),
        ([_image()] * 2, [_paint(), -_paint()], "objects", "Image 2: The paint has negative"),
        (
            [_image(), _image((40, 50, 3))],
            [_paint(), _paint()],
            "objects",
            "Image 2 has 3 channels and Image 1 has 1",
        ),
        ([_image((0, 50))], [np.zeros((0, 50), int)], "objects", "empty"),
    ],
)
def test_what_cannot_teach_is_one_sentence(images: Any, paints: Any, mode: Any, said: str) -> None:
    with pytest.raises(InputError) as caught:
        build_dataset(images, paints, mode=mode)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_images_are_named_where_something_is_wrong_with_one() -> None:
    config = DatasetConfig(2, "objects", "auto", WeightConfig(), Normalisation(), 0.2, None, 0)
    names = ["a.tif", "b.tif"]
    for image, paint, said in (
        (_image(), _paint((40, 49)), "b.tif: The image has shape"),
        (_image(), -_paint(), "b.tif: The paint has negative"),
        (_image((40, 50, 3)), _paint(), "b.tif has 3 channels and a.tif has 1"),
    ):
        with pytest.raises(InputError, match=said):
            read_planes([_image(), image], [_paint(), paint], config, names=names)


def test_full_is_told_of_each_image() -> None:
    with pytest.raises(InputError, match="There are 2 images to learn from, and for 1 it is said"):
        build_dataset([_image()] * 3, [_paint()] * 3, full=[True, False], validation=1)


def test_a_union_may_teach_what_its_parts_do_not() -> None:
    dataset = build_dataset(
        [_image(), _image()], [_paint(foreground=False), _paint(background=False)], held_out=0
    )
    assert [len(sample.pixels[1]) > 0 for sample in dataset.samples] == [False, True]


def test_the_input_is_left_alone() -> None:
    image, paint = _image(), _paint()
    before = image.copy(), paint.copy()
    build_dataset([image], [paint], normalisation=Normalisation(5, 95))
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(paint, before[1])


def test_a_stop_ends_the_preparation() -> None:
    control = Control()
    control.stop()
    with pytest.raises(InputError, match="stopped before its first step"):
        build_dataset([_image()], [_paint()], control=control)


def test_validation_images_teach_nothing_and_hold_nothing_out() -> None:
    alone = build_dataset([_image()], [_paint()], held_out=0)
    dataset = build_dataset([_image(), _image(seed=1)], [_paint(), _paint() // 2 * 2], validation=1)
    taught, scored = dataset.samples
    np.testing.assert_array_equal(
        taught.weight, alone.samples[0].weight
    )  # nor do they shift the class balance
    assert not taught.held_out.any()
    assert not scored.weight.any()
    assert all(pixels.size == 0 for pixels in scored.pixels)
    assert (scored.held_out > 0).sum() == np.count_nonzero(_paint() // 2 * 2)
    assert dataset.known_pixels == np.count_nonzero(_paint())
    assert (alone.on, dataset.on) == ("training", "validation")
    assert any("no paint of background" in sentence for sentence in dataset.warnings)


def test_validation_images_have_no_other_classes() -> None:
    with pytest.raises(InputError, match=r"Image 2: The paint has the value 9.* 3 classes"):
        build_dataset(
            [_image()] * 2, [_paint(), np.where(_paint() == 3, 9, _paint())], mode="classes", validation=1
        )


def test_strokes_are_numbered_over_all_samples() -> None:
    dataset = build_dataset([_image(), _image()], [_paint(), _paint()], held_out=0)
    numbers = [set(np.unique(sample.strokes).tolist()) - {0} for sample in dataset.samples]
    assert not numbers[0] & numbers[1]
    for sample in dataset.samples:
        np.testing.assert_array_equal(sample.strokes > 0, _paint() > 0)


def test_objects_without_numbers_are_scored_and_measured_each():
    paint = np.zeros((120, 60), np.int32)
    for number in range(12):
        paint[number * 10, 2:40] = 1
        paint[number * 10 + 4 : number * 10 + 8, 5:12] = 2 + number
    image = np.random.default_rng(0).random(paint.shape)
    (numbered,) = build_dataset([image], [paint]).samples
    joined = build_dataset([image], [np.minimum(paint, 2)])
    (sample,) = joined.samples
    assert joined.on == "held-out"
    np.testing.assert_array_equal(sample.held_out > 0, numbered.held_out > 0)
    np.testing.assert_array_equal(sample.objects.spans, numbered.objects.spans)
    assert sample.objects.spans.tolist() == [[4, 7]] * 12
    # Two pieces may be of one object, so nobody can tell whether a network joins what is to be kept apart.
    assert sample.objects.inside.size == 1
    np.testing.assert_array_equal(sample.paint, np.minimum(paint, 2))
    assert joined.warnings[0].startswith("Objects are painted in 12 separate pieces but share number 2;")
    accepted = build_dataset([image], [np.minimum(paint, 2)], full=[{2}])
    assert not any("separate pieces" in warning for warning in accepted.warnings)
    one = np.where(paint == 5, 2, np.minimum(paint, 1))
    elsewhere = build_dataset([image] * 2, [np.minimum(paint, 2), one], full=[False, {2}])
    assert elsewhere.warnings[0] == joined.warnings[0]
    several = build_dataset([image] * 3, [np.minimum(paint, 2), np.minimum(paint, 3), paint])
    assert several.warnings[0].startswith("Objects are painted in 24 separate pieces but share 2 numbers;")

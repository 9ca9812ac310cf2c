"""Places to paint next: properties that hold of any image and paint, and scenes with a known answer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from napari_unet.core.guiding.looks import Looks, block_mean
from napari_unet.core.guiding.next_place import Place, in_words, next_place
from napari_unet.core.instances import InstanceConfig
from napari_unet.core.objects import uncertainty as uncertainty_module
from napari_unet.core.objects.extent import object_extent, typical_extent
from napari_unet.core.objects.uncertainty import uncertainty, unclear_seams, without_lines

EXTENT = (8.0, 8.0)


def apart(one, other, extent):
    """How far two centres are from each other, in objects."""
    return np.linalg.norm((np.array(one) - other)[-len(extent) :] / np.array(extent))


def blob(shape, centre, radius, height=1.0):
    """A disc (or ball) of ``height``."""
    squares = sum((axis - at) ** 2 for axis, at in zip(np.indices(shape), centre, strict=True))
    return np.where(squares < radius**2, height, 0).astype(np.float32)


def next_to_paint(paint, extent, *, image=None, **how):
    """The next place; without an image, all places look alike."""
    image = np.zeros((1, *paint.shape)) if image is None else image
    return next_place(paint, extent, image=image, **how)


# Uncertainty.


@given(
    hnp.arrays(
        np.float32, st.tuples(st.integers(1, 4), st.just(3), st.just(4)), elements=st.floats(0, 1, width=32)
    )
)
def test_uncertainty_is_the_margin_of_the_two_most_probable_classes(raw):
    foreground = raw / max(1, float(raw.sum(axis=0).max()))
    every = np.concatenate([1 - foreground.sum(axis=0, keepdims=True), foreground])
    ordered = np.sort(every, axis=0)
    np.testing.assert_allclose(uncertainty(foreground), 1 - (ordered[-1] - ordered[-2]), atol=1e-5)


@pytest.mark.parametrize(
    ("probability", "expected"), [(0, 0), (0.25, 0.5), (0.5, 1), (0.75, 0.5), (1, 0), (np.nan, 0)]
)
def test_uncertainty_of_one_foreground(probability, expected):
    assert uncertainty(np.full((1, 2, 2), probability, np.float32))[0, 0] == pytest.approx(expected)


@given(
    hnp.arrays(np.float32, st.tuples(*[st.integers(1, 9)] * 3), elements=st.sampled_from([0, 0.25, 0.5, 1]))
)
def test_lines_go_as_in_a_grey_opening(uncertain):
    for values in (uncertain, uncertain[0]):
        np.testing.assert_array_equal(without_lines(values), ndimage.grey_opening(values, (3,) * values.ndim))


def test_the_mean_of_blocks_counts_small_ones_at_the_edge_in_full():
    plane = np.arange(35, dtype=np.float32).reshape(5, 7)
    means = block_mean(plane, (2, 3))
    assert means.shape == (3, 3)
    assert means[0, 0] == plane[:2, :3].mean()
    assert means[2, 2] == plane[4:, 6:].mean()


# Properties.


@st.composite
def scenes(draw):
    leading = draw(st.sampled_from([(), (3,)]))
    shape = (*leading, draw(st.integers(6, 40)), draw(st.integers(6, 40)))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    paint = np.where(
        rng.random(shape) < draw(st.sampled_from([0, 0.02, 0.3, 1])), rng.integers(1, 4, shape), 0
    )
    foreground = rng.random((1, *shape), dtype=np.float32)
    image = rng.random((2, *shape))
    planes = list(np.ndindex(leading))
    known = draw(st.booleans())
    foregrounds = {plane: foreground[(slice(None), *plane)] if known else None for plane in planes}
    return paint, foregrounds, image


@settings(max_examples=40)
@given(scenes())
def test_places_are_unpainted_inside_apart_and_always_the_same(scene):
    paint, foregrounds, image = scene
    places = []
    while len(places) < 6:
        shown = [place.centre for place in places]
        place = next_to_paint(paint, EXTENT, foregrounds=foregrounds, image=image, shown=shown)
        assert place == next_to_paint(paint, EXTENT, foregrounds=foregrounds, image=image, shown=shown)
        if place is None:
            break
        assert len(place.centre) == paint.ndim
        assert all(0 <= at < length for at, length in zip(place.centre, paint.shape, strict=True))
        assert paint[place.centre] == 0
        assert place.score >= 0.01
        for other in shown:
            far_planes = any(abs(a - b) >= 2 for a, b in zip(place.centre[:-2], other[:-2], strict=True))
            # To a block, within which the pixel is chosen.
            assert far_planes or apart(place.centre, other, EXTENT) > 1.3
        places.append(place)
    scores = [place.score for place in places]
    assert scores == sorted(scores, reverse=True)


def score_everywhere(paint, foreground, new, *, seams, shown):
    """The score of every pixel of a plane, where objects are 8 pixels wide and blocks are pixels."""
    painted = paint != 0
    uncertain = np.ones(paint.shape, np.float32)
    if foreground is not None:
        uncertain = ndimage.grey_opening(uncertainty(foreground), (3, 3))
        uncertain[seams] = 1
    uncertain[painted] = 0
    wavering = ndimage.gaussian_filter(uncertain, 2, mode="constant")
    distance = ndimage.distance_transform_edt(~painted, sampling=1 / 8) if painted.any() else np.inf
    scores = wavering * (1 - np.exp(-((distance / 0.4) ** 2))) * (0.5 + 0.5 * new)
    y, x = np.indices(paint.shape)
    for centre in shown:
        scores[np.hypot(y + 0.5 - centre[0], x + 0.5 - centre[1]) < 12] = 0
    return scores


@settings(max_examples=40)
@given(scenes())
def test_no_other_place_scores_higher(scene):
    paint, foregrounds, image = scene
    marked = {plane: np.random.default_rng(7).random(paint.shape[-2:]) < 0.01 for plane in foregrounds}
    looks = Looks.of(image, paint, (1, 1), EXTENT)
    shown = []
    for _ in range(4):
        place = next_to_paint(
            paint, EXTENT, foregrounds=foregrounds, image=image, seams=marked.get, shown=shown
        )
        scores = {}
        for plane, foreground in foregrounds.items():
            here = paint[plane]
            new = looks.novelty(plane, np.ones(here.shape, bool)).reshape(here.shape)
            near = [centre[-2:] for centre in shown if not plane or abs(centre[0] - plane[0]) < 2]
            scores[plane] = score_everywhere(here, foreground, new, seams=marked[plane], shown=near)
        best = max(each.max() for each in scores.values())
        if place is None:
            assert best < 0.01
            return
        assert place.score == pytest.approx(best, rel=1e-6)
        assert scores[place.centre[:-2]][place.centre[-2:]] == pytest.approx(best, rel=1e-6)
        shown.append(place.centre)


# Scenes with a known answer.


def test_it_leads_to_the_blob_that_the_network_does_not_know():
    shape = (100, 120)
    foreground = blob(shape, (20, 20), 8) + blob(shape, (60, 90), 8, 0.5)
    place = next_to_paint(np.zeros(shape, int), (16, 16), foregrounds={(): foreground[np.newaxis]})
    assert np.linalg.norm(np.array(place.centre) - (60, 90)) < 8
    assert place.why == "wavers"
    assert place.between == (1, 2)


def test_outlines_are_never_quite_certain_and_do_not_count():
    shape = (100, 120)
    foreground = blob(shape, (20, 20), 8) + blob(shape, (60, 90), 8, 0.5)
    for radius, probability in ((9, 0.5), (8, 1.0)):  # rings one pixel wide around many certain objects
        for y in range(10, 100, 22):
            for x in range(10, 70, 22):
                foreground[blob(shape, (y, x), radius) > 0] = probability
    where = {"foregrounds": {(): foreground[np.newaxis]}}
    place = next_to_paint(np.zeros(shape, int), (16, 16), **where)
    assert np.linalg.norm(np.array(place.centre) - (60, 90)) < 8
    assert next_to_paint(np.zeros(shape, int), (16, 16), shown=[place.centre], **where) is None


def test_paint_sends_it_elsewhere():
    shape = (100, 120)
    foreground = (blob(shape, (20, 20), 8, 0.5) + blob(shape, (60, 90), 8, 0.45))[np.newaxis]
    paint = np.zeros(shape, int)
    first = next_to_paint(paint, (16, 16), foregrounds={(): foreground})
    assert np.linalg.norm(np.array(first.centre) - (20, 20)) < 8
    paint[18:22, 16:24] = 2
    second = next_to_paint(paint, (16, 16), foregrounds={(): foreground})
    assert np.linalg.norm(np.array(second.centre) - (60, 90)) < 8
    assert second.distance == pytest.approx(78, abs=10)


def test_of_two_uncertain_blobs_it_prefers_what_looks_new():
    shape = (100, 120)
    foreground = (blob(shape, (20, 20), 8, 0.5) + blob(shape, (60, 90), 8, 0.5))[np.newaxis]
    image = (blob(shape, (20, 20), 8) + blob(shape, (60, 90), 8, 3) + blob(shape, (80, 20), 8))[np.newaxis]
    image = image + 0.01 * np.random.default_rng(0).normal(size=image.shape)
    paint = np.zeros(shape, int)
    paint[76:84, 16:24] = 2
    paint[5, :] = 1
    where = {"foregrounds": {(): foreground}, "image": image}
    place = next_to_paint(paint, (16, 16), **where)
    other = next_to_paint(paint, (16, 16), shown=[place.centre], **where)
    assert np.linalg.norm(np.array(place.centre) - (60, 90)) < 8
    assert place.novelty > other.novelty
    # Without a network, by the looks alone.
    place = next_to_paint(paint, (16, 16), foregrounds={(): None}, image=image)
    assert np.linalg.norm(np.array(place.centre) - (60, 90)) < 16
    assert place.why == "unlike"


def test_it_finds_the_plane_of_a_stack():
    shape = (5, 60, 60)
    foregrounds = {(z,): np.zeros((1, 60, 60), np.float32) for z in range(5)}
    foregrounds[3,] = blob((60, 60), (30, 40), 8, 0.5)[np.newaxis]
    place = next_to_paint(np.zeros(shape, int), (16, 16), foregrounds=foregrounds)
    assert place.centre[0] == 3
    assert np.linalg.norm(np.array(place.centre[1:]) - (30, 40)) < 8


def test_a_volume_has_places_too():
    shape = (20, 40, 40)
    foreground = (blob(shape, (6, 10, 10), 5) + blob(shape, (12, 30, 28), 5, 0.5))[np.newaxis]
    paint = np.zeros(shape, int)
    place = next_to_paint(paint, (8, 10, 10), foregrounds={(): foreground}, image=foreground)
    assert np.linalg.norm(np.array(place.centre) - (12, 30, 28)) < 5


def test_where_all_is_certain_or_painted_there_is_no_place():
    certain = {(): np.ones((1, 20, 20), np.float32)}
    assert next_to_paint(np.zeros((20, 20), int), EXTENT, foregrounds=certain) is None
    assert next_to_paint(np.ones((20, 20), int), EXTENT, foregrounds={(): None}) is None


def dumb_bell(width):
    """Two discs of certain foreground, joined by a bridge of so many pixels."""
    foreground = blob((60, 80), (30, 25), 14) + blob((60, 80), (30, 55), 14)
    foreground[30 - width // 2 : 30 + (width + 1) // 2, 25:55] = 1
    return np.minimum(foreground, 1)


@pytest.mark.parametrize(("width", "unclear"), [(2, False), (14, True), (27, False)])
def test_a_seam_is_unclear_if_some_readings_see_it_and_others_do_not(width, unclear):
    foreground = dumb_bell(width)
    seams = unclear_seams(foreground, InstanceConfig(contrast=1.5))
    assert seams.any() == unclear
    if not unclear:
        return
    assert np.argwhere(seams)[:, 1].mean() == pytest.approx(40, abs=4)
    how = {"foregrounds": {(): foreground[np.newaxis]}}
    place = next_to_paint(np.zeros((60, 80), int), (28, 28), seams={(): seams}.get, **how)
    assert place.why == "seam"
    assert seams[place.centre]
    assert next_to_paint(np.zeros((60, 80), int), (28, 28), **how) is None


@pytest.mark.parametrize("angle", [0, 90])
def test_all_within_two_steps_of_a_seam_counts_as_it(angle, monkeypatch):
    foreground = ndimage.rotate(dumb_bell(14), angle)
    seams = unclear_seams(foreground, InstanceConfig(contrast=1.5))
    monkeypatch.setattr(uncertainty_module, "_WIDE", 0)
    bare = unclear_seams(foreground, InstanceConfig(contrast=1.5))
    assert bare.any()
    np.testing.assert_array_equal(seams, ndimage.binary_dilation(bare, iterations=2))


def test_the_edge_of_the_image_is_no_better_than_its_middle():
    foreground = blob((100, 120), (0, 60), 8, 0.5) + blob((100, 120), (50, 60), 8, 0.5)
    place = next_to_paint(np.zeros((100, 120), int), (16, 16), foregrounds={(): foreground[np.newaxis]})
    assert place.centre[0] > 40


def test_the_extent_is_the_median_of_the_boxes():
    labels = np.zeros((2, 60, 60), int)
    assert typical_extent(labels) is None
    labels[1, 5:15, 5:25] = 7
    labels[1, 30:42, 5:29] = 900
    labels[1, 30:40, 40:48] = 5
    assert typical_extent(labels) == (10, 20)


def test_the_extent_counts_all_objects_of_a_plane_without_background():
    labels = np.full((1, 60, 60), 3)
    labels[..., 40:] = 9
    assert typical_extent(labels) == (60, 30)
    assert typical_extent(np.full((1, 60, 60), 3)) is None


def squares(*sizes):
    """Squares of these edges along the diagonal, each with a value of its own from 2 on."""
    paint = np.zeros((200, 200), int)
    at = 2
    for value, size in enumerate(sizes, start=2):
        paint[at : at + size, at : at + size] = value
        at += size + 4
    return paint


@pytest.mark.parametrize(
    ("paint", "seen", "extent"),
    [
        (squares(), None, 32),
        (squares(10, 12, 14), None, 12),
        (squares(1, 1), None, 8),
        (squares(), squares(20, 22, 24), 22),
        (squares(10, 12, 14), squares(20, 22, 24), 22),
        (squares(10, 12, 14), squares(60, 80), 36),  # objects that are merged, or background
        (squares(30, 30), squares(10, 10), 30),
        (squares(90, 90), None, 50),  # a quarter of the image
    ],
)
def test_the_extent_of_objects_follows_paint_and_prediction(paint, seen, extent):
    foreground = None if seen is None else (seen > 0)[np.newaxis].astype(np.float32)
    assert object_extent(paint, "objects", {(): foreground}, 2) == (extent, extent)
    if seen is None:
        assert object_extent((paint > 0) * 2, "classes", {(): foreground}, 2) == (extent, extent)


@pytest.mark.parametrize(
    ("why", "novelty", "between", "words"),
    [
        ("seam", 0.1, (1, 2), "The seam is unclear"),
        ("seam", 0.1, (1, 2), "without a gap, a stroke of each object beside it"),
        (
            "wavers",
            0.1,
            (1, 2),
            "cannot decide between background and object here: paint what it is, and a stroke",
        ),
        ("wavers", 0.9, (2, 3), "cannot decide between object and class 3 here"),
        ("unlike", 0.9, (1, 2), "unlike what is painted"),
    ],
)
def test_the_reason_in_words(why, novelty, between, words):
    place = Place((3, 4), 30, why, between, 57.4, novelty, 1.0)
    assert words in in_words(place)
    assert ("57 px away" in in_words(place)) is (novelty > 0.5 and why != "unlike")

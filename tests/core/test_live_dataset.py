"""After any painting, a dataset that follows its paint is the dataset built anew."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from painting import boxes

from napari_unet.core.arrays.normalisation import Normalisation
from napari_unet.core.borders.weight_config import WeightConfig
from napari_unet.core.learning import live_dataset
from napari_unet.core.learning.dataset import join_planes
from napari_unet.core.learning.live_dataset import LiveDataset
from napari_unet.core.learning.reading import DatasetConfig, read_planes
from napari_unet.core.painted.advice import summarise_paint
from napari_unet.core.painted.known_full import KnownFull
from napari_unet.core.painted.object_distance import Depth
from napari_unet.core.painted.paint_feed import PaintFeed, Source
from napari_unet.core.painted.regions import Region


def read(mode="objects", held_out=0.2, ndim=2, weights=WeightConfig()):
    return DatasetConfig(ndim, mode, "none", weights, Normalisation(), held_out, None, 0)


def picture(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 60000, shape).astype(np.uint16)


def planes_of(sources, config):
    return read_planes(
        [source.image for source in sources],
        [
            np.stack([source.read(index) for index in source.planes(config.ndim)]).reshape(source.paint.shape)
            for source in sources
        ],
        config,
        full=[source.known.within(source.paint) for source in sources],
        validation=sum(source.scored for source in sources),
    )


def follow(sources, config):
    return LiveDataset(planes_of(sources, config), config)


def anew(sources, config, n_classes=None):
    """The dataset of a training that begins now, with as many classes."""
    return join_planes(planes_of(sources, config), config, n_classes=n_classes)


def assert_same(found, expected):
    assert (found.n_classes, found.known_pixels, found.on) == (
        expected.n_classes,
        expected.known_pixels,
        expected.on,
    )
    assert found.warnings == expected.warnings
    assert len(found.samples) == len(expected.samples)
    for sample, other in zip(found.samples, expected.samples, strict=True):
        for name in ("image", "target", "weight", "held_out", "strokes", "paint", "distance"):
            one, two = getattr(sample, name), getattr(other, name)
            assert (one is None) == (two is None), name
            if one is not None:
                np.testing.assert_array_equal(one, two, err_msg=name)
        for one, two in zip(sample.pixels, other.pixels, strict=True):
            np.testing.assert_array_equal(one, two)
        assert sample.full == other.full
        if sample.objects is not None:
            np.testing.assert_array_equal(sample.objects.spans, other.objects.spans)
            assert sample.objects.shows_border == other.objects.shows_border


@st.composite
def sources(draw, mode):
    """Two stacks of two planes with many strokes, so that some are held out; objects may lack numbers."""
    made = []
    for number in range(2):
        paint = np.zeros((2, 60, 70), np.int32)
        numbers = draw(st.sampled_from([1, 5, 60]))
        for row in range(0, 60, 6):
            value = draw(st.sampled_from([1, 1, 2, 3])) if mode == "classes" else row % numbers + 2
            paint[0, row, 2:40] = 1
            paint[0, row + 2 : row + 5, 2:40:7] = value
        if mode == "classes":
            paint[0, 2:4, 50:60] = 2
            paint[0, 12:14, 50:60] = 3
        made.append(Source(number, picture(paint.shape, number), paint))
    return made


@pytest.fixture(autouse=True, scope="module")
def _narrow_bands():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live_dataset, "_BAND", 500)  # as an image of many megapixels has several
        yield


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(["objects", "classes"]), st.sampled_from([0.0, 0.2]), st.data())
def test_strokes_and_erasing_join_as_if_it_began_with_them(mode, held_out, data):
    ids = (0, 0, 1, 1, 2, 3, 9, 40) if mode == "objects" else (0, 0, 1, 2, 3)
    given_sources = data.draw(sources(mode))
    config = read(mode, held_out)
    live = follow(given_sources, config)
    feed = PaintFeed(given_sources)
    assert_same(live.dataset, anew(given_sources, config))
    for _ in range(data.draw(st.integers(1, 4))):
        source = data.draw(st.sampled_from(given_sources))
        for _ in range(data.draw(st.integers(1, 3))):
            plane = data.draw(st.integers(0, 1))
            source.paint[plane][data.draw(boxes((60, 70)))] = data.draw(st.sampled_from(ids))
            if data.draw(st.booleans()):
                accepted = source.known.accept(source.paint, set(data.draw(st.lists(st.sampled_from(ids)))))
                known = replace(accepted, filled=data.draw(st.integers(0, 9)) == 0)
                if data.draw(st.booleans()):
                    box = data.draw(boxes((60, 70)))
                    mask = np.ones([side.stop - side.start for side in box], bool)
                    known = replace(known, regions=(*known.regions, Region((plane,), box, mask)))
                given_sources[source.key] = source = replace(source, known=known)
                feed.put(source)
            feed.put(source, data.draw(st.sampled_from([None, (plane,)])))
        old = live.dataset
        copies = [sample.paint.copy() for sample in old.samples]
        live.update(feed.take())
        assert feed.take() is None
        assert_same(live.dataset, anew(given_sources, config, old.n_classes))
        for sample, copy in zip(old.samples, copies, strict=True):
            np.testing.assert_array_equal(sample.paint, copy)  # left as it was


def one(config=None, shape=(60, 70), paint=None):
    if paint is None:
        paint = np.zeros(shape, np.int32)
        paint[..., 2:6, 5:40] = 1
        paint[..., 20:30, 10:20] = 2
        paint[..., 20:30, 24:34] = 3
    source = Source("a", picture(paint.shape), paint)
    config = config or read(held_out=0)
    return source, config, follow([source], config), PaintFeed([source])


def test_erased_paint_is_gone_and_what_is_fresh_is_told():
    source, _config, live, feed = one()
    source.paint[20:30, 10:20] = 0
    source.paint[40:44, 5:15] = 4
    feed.put(source)
    assert live.update(feed.take())
    (sample,) = live.dataset.samples
    assert not sample.weight[20:30, 10:20].any()
    (fresh,) = live.fresh
    np.testing.assert_array_equal(np.unravel_index(fresh.pixels, sample.paint.shape)[0] // 4, 10)
    assert fresh.pixels.size == 40
    feed.put(source)
    assert not live.update(feed.take())


def test_the_paint_that_it_begins_with_is_left_as_it_was():
    """It may be the very array of whoever starts a training."""
    source, config, _, feed = one()
    given = source.paint.copy()
    live = LiveDataset(read_planes([source.image], [given], config), config)
    for row in (40, 45):
        source.paint[row, 5:15] = 4
        feed.put(replace(source, known=KnownFull().accept(source.paint, {4})))
        assert live.update(feed.take())
        assert not given[40:].any()
    assert_same(live.dataset, anew([replace(source, known=KnownFull().accept(source.paint, {4}))], config))


def test_a_stroke_takes_no_memory_as_large_as_the_image():
    paint = np.zeros((1024, 1024), np.int32)
    paint[2:6], paint[20:30, 10:20], paint[20:30, 24:34] = 1, 2, 3
    source, _, live, feed = one(paint=paint)
    for row in (300, 320):
        source.paint[row, 200:240] = 4
        feed.put(source)
        tracemalloc.start()
        assert live.update(feed.take())
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert most < 3 * 2**20  # of bytes: the plane has four of them, and its maps 25


def test_new_images_and_planes_join():
    config = read(held_out=0)
    source, _, live, feed = one(shape=(3, 60, 70), paint=None)
    source.paint[1:] = 0
    live = follow([source], config)
    source.paint[2, 4:9, 4:9] = 1
    other = Source("b", picture((50, 50), 1), np.zeros((50, 50), np.uint8))
    other.paint[10:20, 10:20] = 2
    feed.put(source, (2,))
    feed.put(other)
    assert live.update(feed.take())
    assert_same(live.dataset, anew([source, other], config))


def test_held_out_strokes_are_never_fresh():
    paint = np.zeros((120, 60), np.int32)
    for number in range(12):
        paint[number * 10, 2:40] = 1
        paint[number * 10 + 4 : number * 10 + 8, 5:12] = number + 2
    source, _config, live, feed = one(read(), paint=paint)
    assert live.dataset.on == "held-out"
    for number in range(12):
        source.paint[number * 10 + 4 : number * 10 + 8, 30:37] = number + 30
    feed.put(source)
    live.update(feed.take())
    (sample,) = live.dataset.samples
    assert (sample.held_out.reshape(-1)[live.fresh[0].pixels] == 0).all()
    assert (sample.held_out[:, 30:37] > 0).any()
    assert not ((sample.held_out > 0) & (sample.weight > 0)).any()


def test_paint_that_cannot_teach_any_more_waits_for_more():
    source, config, live, feed = one()
    before, same = live.dataset, anew([source], config)
    source.paint[20:22] = 0
    source.paint[22:30][source.paint[22:30] >= 2] = 0
    feed.put(source)
    assert not live.update(feed.take())
    assert live.dataset is before
    assert_same(before, same)
    assert "Only background is painted" in live.held_back[0]
    feed.put(source)  # of a stroke that changed nothing
    assert not live.update(feed.take())
    assert "Only background is painted" in live.held_back[0]
    source.paint[40:50, 40:50] = 7
    feed.put(source)
    assert live.update(feed.take())
    assert live.held_back == ()
    assert_same(live.dataset, anew([source], config))


def test_a_class_that_the_network_lacks_waits_for_the_next_training():
    source, config, live, feed = one(read("classes", held_out=0))
    source.paint[50:55, 50:55] = 4
    source.paint[50:55, 5:10] = 3
    feed.put(source)
    assert live.update(feed.take())
    (sentence,) = live.held_back
    assert sentence.startswith("This training began without class 4;")
    expected = source.paint.copy()
    expected[50:55, 50:55] = 0
    assert_same(live.dataset, anew([replace(source, paint=expected)], config))


@pytest.mark.parametrize("known", [KnownFull(filled=True), "accepted", "region"])
def test_what_is_known_of_objects_follows(known):
    source, config, live, feed = one()
    if known == "accepted":
        known = KnownFull().accept(source.paint, {2})
    elif known == "region":
        known = KnownFull(regions=(Region((), (slice(15, 40), slice(5, 40)), np.ones((25, 35), bool)),))
    told = replace(source, known=known)
    feed.put(told)
    assert live.update(feed.take())
    sample = live.dataset.samples[0]
    assert sample.distance is not None
    expected = anew([replace(told, paint=told.read(()))], config)
    assert_same(live.dataset, expected)
    live.distance = False
    source.paint[50, 50] = 1
    feed.put(told)
    live.update(feed.take())
    assert live.dataset.samples[0].distance is None


@pytest.mark.parametrize("ndim", [2, 3])
def test_regions_and_full_objects_of_a_stack_follow(ndim):
    paint = np.zeros((4, 40, 50), np.int32)
    paint[:, 2:4, 5:40] = 1
    paint[1:3, 10:20, 10:20] = 2
    source, _, live, feed = one(read(held_out=0, ndim=ndim), paint=paint)
    regions = (
        Region((1,), (slice(8, 33), slice(5, 40)), np.tri(25, 35, 8, dtype=bool)),
        Region((2,), (slice(8, 33), slice(5, 40)), np.ones((25, 35), bool)),
    )
    source = replace(source, known=KnownFull(regions=regions).accept(paint, {2}))
    for box, value in (
        ((1, 5, 5), 0),
        ((2, slice(22, 26), slice(7, 12)), 3),
        ((3, slice(36, 40), slice(46, 50)), 4),
        ((1, slice(12, 14), slice(19, 23)), 2),  # so that it is full no more, on neither plane
        ((3, slice(36, 40), slice(46, 50)), 0),
    ):
        source.paint[box] = value
        feed.put(source, box[:1])
        live.update(feed.take())
        whole = np.stack([replace(source, paint=source.paint).read((z,)) for z in range(4)])
        expected = anew([replace(source, paint=whole)], live._config)
        found = live.dataset
        assert_same(found, expected)


def test_after_paint_that_cannot_teach_all_edits_are_in_it():
    source, config, live, feed = one()
    for edit in ((2, 0), (3, 0), (0, 0)):
        source.paint[source.paint == edit[0]] = edit[1]
        feed.put(source)
        live.update(feed.take())
    source.paint[50:54, 50:54] = 9
    feed.put(source)
    assert live.update(feed.take())
    assert_same(live.dataset, anew([source], config))
    source.paint[44:48, 50:54] = 1
    feed.put(source)
    assert live.update(feed.take())
    assert_same(live.dataset, anew([source], config))


def test_an_edit_measures_no_object_that_it_does_not_touch(monkeypatch):
    source, config, live, feed = one()
    source = replace(source, known=KnownFull(filled=True))
    feed.put(source)
    live.update(feed.take())
    measured = []
    original = Depth.of
    monkeypatch.setattr(Depth, "of", lambda *given: measured.append(given[0]) or original(*given))
    before = live.dataset.samples[0].depths
    source.paint[24:26, 19:21] = 2  # wider by a pixel
    feed.put(source)
    assert live.update(feed.take())
    after = live.dataset.samples[0].depths
    assert len(measured) == 1
    assert after[3] is before[3]
    assert after[2] is not before[2]
    assert_same(live.dataset, anew([source], config))


def test_an_object_that_is_painted_over_on_one_plane_is_full_on_none():
    source, config, live, feed = one(shape=(2, 60, 70))
    told = replace(source, known=KnownFull().accept(source.paint, {2}))
    feed.put(told)
    assert live.update(feed.take())
    assert live.dataset.samples[1].full == {2}
    source.paint[0, 20, 10] = 0
    feed.put(told, (0,))
    assert live.update(feed.take())
    assert live.dataset.samples[1].full is False
    assert_same(live.dataset, anew([told], config))


def test_an_image_of_other_channels_is_told_of_and_does_not_join():
    source, _, live, feed = one()
    other = Source("b", picture((60, 70, 3)), source.paint.copy())
    feed.put(replace(other, image=np.moveaxis(other.image, -1, 0)[:2]))
    live._config = replace(live._config, channels="auto")
    assert not live.update(feed.take())
    assert "2 channels was painted on, but the network learns from 1" in live.held_back[0]
    feed.put(other)
    assert not live.update(feed.take())
    assert live.held_back[0].startswith("A colour image was painted on, but the network learns from")
    feed.put(replace(other, image=np.stack([other.image[..., 0]] * 3)))
    assert live.update(feed.take())
    assert live.held_back == ()
    assert len(live.dataset.samples) == 2


def test_what_is_scored_changes_with_numbers_and_is_told():
    """What was taught may be scored from then on, so networks are scored anew, as after all other paint."""
    paint = np.zeros((120, 60), np.int32)
    for number in range(12):
        paint[number * 10, 2:40] = 1
        paint[number * 10 + 4 : number * 10 + 8, 5:12] = 2
    source, config, live, feed = one(read(held_out=0.5), paint=paint)
    assert np.unique(live.dataset.samples[0].held_out[paint == 2] > 0).size == 2
    for number in range(1, 12):
        paint[number * 10 + 4 : number * 10 + 8, 20:34] = 3 + number  # so many that 2 is one object
        feed.put(source)
        assert live.update(feed.take())
        (sample,) = live.dataset.samples
        strokes = np.unique(sample.strokes[paint == 2])
        assert strokes.size == (12 if summarise_paint(paint).lacks_numbers else 1)
        assert_same(live.dataset, anew([source], config))
    assert strokes.size == 1
    assert np.unique(sample.held_out[paint == 2] > 0).size == 1

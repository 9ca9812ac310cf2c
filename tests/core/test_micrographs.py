"""Synthetic micrographs: the same for the same seed, with true labels, in every kind and shape."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_unet.core.errors import InputError
from napari_unet.core.micrographs import FLAT_ONLY, KINDS, MicrographConfig, draw_micrograph
from napari_unet.core.micrographs.fields import smooth_noise, uneven_light
from napari_unet.core.micrographs.shapes import place_objects


def check_labels(labels):
    """Assert that objects are numbered without gaps and that each of them is one connected part."""
    assert labels.dtype == np.int32
    boxes = ndimage.find_objects(labels)
    assert labels.min() >= 0
    for value, box in enumerate(boxes, start=1):
        assert box is not None, f"{value} of {len(boxes)} is missing"
        assert ndimage.label(labels[box] == value)[1] == 1, f"{value} is in pieces"


@settings(deadline=None, max_examples=40)
@given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 2**32),
    shape=st.tuples(st.integers(16, 90), st.integers(16, 90)),
)
def test_any_micrograph_has_finite_counts_and_true_labels(kind, seed, shape):
    image, labels = draw_micrograph(kind, shape, np.random.default_rng(seed))
    assert image.dtype in (np.uint8, np.uint16)
    assert image.shape == ((*shape, 3) if kind == "tissue" else shape)
    assert labels.shape == shape
    check_labels(labels)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["phase", "rods"])
def test_objects_that_cross_are_not_cut_up(kind, seed):
    config = MicrographConfig(kind, diameter=24, coverage=0.7, clustering=0.9, elongation=6)
    check_labels(draw_micrograph(config, (160, 160), np.random.default_rng(seed)).labels)


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_alone_decides(kind):
    first, again, other = (draw_micrograph(kind, (96, 80), np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert first.image.shape != other.image.shape or (first.image != other.image).any()


@pytest.mark.parametrize("kind", KINDS)
def test_objects_have_the_diameter_and_cover_the_part_that_was_asked_for(kind):
    config = MicrographConfig(kind, diameter=20, spread=0.1, coverage=0.25, irregularity=0.05)
    if kind == "membranes":
        config = replace(config, coverage=1.0)
    _, labels = draw_micrograph(config, (256, 256), np.random.default_rng(0))
    areas = np.bincount(labels.ravel())[1:]
    diameter = 2 * np.sqrt(np.median(areas) / np.pi)
    assert 0.7 * 20 < diameter < 1.25 * 20
    covered = (labels > 0).mean()
    assert covered > 0.55 if kind == "membranes" else 0.2 < covered < 0.3


@pytest.mark.parametrize("kind", ["phase", "nuclei"])
def test_some_spindly_cells_have_rounded_up(kind):
    """Discs of half the diameter, and only among spindly cells."""
    config = MicrographConfig(kind, diameter=32, spread=0.05, coverage=0.1, clustering=0)
    scenes = [place_objects((256, 256), config, np.random.default_rng(seed)) for seed in range(12)]
    assert all(scene.round.shape == (scene.count,) for scene in scenes)
    found = 0
    for scene in scenes:
        boxes = ndimage.find_objects(scene.labels)
        for rows, columns in (boxes[index] for index in np.flatnonzero(scene.round)):
            if min(rows.start, columns.start) > 0 and max(rows.stop, columns.stop) < 256:
                height, width = rows.stop - rows.start, columns.stop - columns.start
                assert height == pytest.approx(width, abs=4)
                assert 10 < height < 22
                found += 1
    assert found > 3 if kind == "phase" else found == 0


def test_thin_cells_in_phase_contrast_are_as_bright_as_the_ground():
    """In some micrographs, as in life; a threshold finds nothing there."""

    def difference(seed):
        config = MicrographConfig("phase", diameter=40, coverage=0.3, photons=1e6, unevenness=0, background=0)
        image, labels = draw_micrograph(config, (192, 192), np.random.default_rng(seed))
        return abs(np.median(image[labels > 0]) - np.median(image[labels == 0])) / image.std()

    differences = [difference(seed) for seed in range(12)]
    assert min(differences) < 0.3
    assert max(differences) > 1


def test_clustered_objects_touch_and_scattered_ones_seldom_do():
    def touching(clustering):
        config = MicrographConfig("nuclei", diameter=20, coverage=0.15, clustering=clustering)
        labels = draw_micrograph(config, (256, 256), np.random.default_rng(0)).labels
        right, below = (labels[:, 1:], labels[:, :-1]), (labels[1:], labels[:-1])
        return sum(np.count_nonzero((a != b) & (a > 0) & (b > 0)) for a, b in (right, below))

    assert touching(0.9) > 2 * touching(0.0)


@pytest.mark.parametrize(
    ("bits", "dtype", "highest"), [(8, np.uint8, 255), (12, np.uint16, 4095), (16, np.uint16, 65535)]
)
def test_the_camera_counts_in_its_range(bits, dtype, highest):
    config = MicrographConfig("nuclei", bits=bits)
    image, _ = draw_micrograph(config, (128, 128), np.random.default_rng(1))
    assert image.dtype == dtype
    assert highest / 12 < image.max() <= highest


@pytest.mark.parametrize("kind", ["nuclei", "rods"])
def test_objects_are_brighter_than_the_ground_unless_inverted(kind):
    def contrast(inverted):
        config = MicrographConfig(kind, inverted=inverted, variety=0.1, haze=0.0)
        image, labels = draw_micrograph(config, (128, 128), np.random.default_rng(2))
        return np.median(image[labels > 0]) - np.median(image[labels == 0])

    assert contrast(False) > 20
    assert contrast(True) < -20


def test_fewer_photons_make_more_noise():
    def roughness(photons):
        config = MicrographConfig(
            "nuclei", texture=0, background=0, haze=0, debris=0, read_noise=0, photons=photons
        )
        image, labels = draw_micrograph(config, (128, 128), np.random.default_rng(5))
        inside = ndimage.binary_erosion(labels > 0, iterations=3)
        return (image - ndimage.uniform_filter(image.astype(float), 3))[inside].std()

    few, some, many = (roughness(photons) for photons in (50, 500, 50_000))
    assert few > 2 * some > 4 * many


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in FLAT_ONLY])
def test_volumes_of_what_has_them(kind):
    config = MicrographConfig(kind, diameter=12, coverage=0.9 if kind == "membranes" else 0.2)
    image, labels = draw_micrograph(config, (16, 40, 48), np.random.default_rng(0))
    assert image.shape == labels.shape == (16, 40, 48)
    assert labels.max() > 4
    check_labels(labels)


@pytest.mark.parametrize("kind", FLAT_ONLY)
def test_no_volumes_of_what_has_none(kind):
    with pytest.raises(InputError, match="There are no volumes"):
        draw_micrograph(kind, (16, 32, 32), np.random.default_rng(0))


@pytest.mark.parametrize("shape", [(64,), (15, 64), (64, 15), (2, 3, 32, 32), (0, 32, 32)])
def test_shapes_that_cannot_be_drawn(shape):
    with pytest.raises(InputError, match="give Y and X"):
        draw_micrograph("nuclei", shape, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"kind": "stars"}, "micrograph.kind is 'stars'; choose one of 'nuclei'"),
        ({"bits": 10}, "micrograph.bits is 10; choose one of 8, 12, 16"),
        ({"diameter": 3}, "micrograph.diameter is 3; choose between 4 and 400"),
        ({"coverage": 1.5}, "micrograph.coverage is 1.5; choose between 0 and 1"),
        ({"elongation": 0.5}, "micrograph.elongation is 0.5; choose between 1 and 20"),
        ({"photons": 0}, "micrograph.photons is 0; choose between 1 and 1e"),
    ],
)
def test_settings_that_cannot_be_used(change, sentence):
    with pytest.raises(InputError, match=sentence):
        MicrographConfig(**change)


def test_nothing_to_draw_is_an_empty_field():
    config = MicrographConfig("nuclei", coverage=0.0)
    image, labels = draw_micrograph(config, (32, 32), np.random.default_rng(0))
    assert labels.max() == 0
    assert image.shape == (32, 32)


@pytest.mark.parametrize("shape", [(64, 80), (1, 40), (8, 16, 24)])
@pytest.mark.parametrize("scale", [0.5, 3.0, 200.0])
def test_smooth_noise_has_unit_spread_and_changes_over_its_scale(shape, scale):
    fields = np.stack([smooth_noise(shape, scale, np.random.default_rng(seed)) for seed in range(200)])
    assert fields.shape[1:] == shape
    assert 0.85 < fields.std(axis=0).mean() < 1.15
    steps = np.abs(np.diff(fields, axis=-1)).mean()
    assert steps < 3 / scale


def test_uneven_light_is_as_deep_as_asked():
    light = uneven_light((40, 60), 0.4, np.random.default_rng(0))
    assert light.min() == pytest.approx(0.6)
    assert light.max() == pytest.approx(1.0)

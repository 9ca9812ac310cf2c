"""The recipe of starters, end to end with tiny settings: its images, what is shown, going on after a kill."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from library import choose_views, cut_batch, load_library
from make_views import DRAWN, PLANES, Writer, choose_kind, create
from napari_unet import evaluate, load_model, predict
from napari_unet.core.micrographs import MicrographConfig, draw_micrograph
from napari_unet.network.config import AugmentationConfig, UNetConfig
from real_images import KINDS, list_files, load_images, shares
from recipe import Recipe, draw_batch, train_starter
from views import WINDOW, as_sample, real_view, synthetic_view

TRAINING = Path(__file__).parents[2] / "training"
STARTER = Path(__file__).parents[2] / "src/napari_unet/data/starters/cells.safetensors"
TINY = UNetConfig(features=2, levels=2, distance=True)

FILES = {  # image folder: (name, how many there are, how many may be trained on)
    "nuclei_dsb2018": [
        ("fluo_256_{:02}", 12, 9),
        ("fluo_360_{:02}", 3, 0),
        ("fluo_520x696_{:02}", 12, 9),
        ("fluo_misc_{:02}", 2, 0),
        ("histology_rgb_{:02}", 12, 9),
        ("brightfield_1024_{:02}", 4, 3),
    ],
    "phase_contrast_t98g": [("set{:02}", 12, 9)],
    "nuclei_stardist_2d": [("img2d", 1, 1)],
    "nuclei_stardist_3d": [("img3d", 1, 0)],
    "membranes_ovule_3d": [("sample_ovule", 1, 1)],
    "nuclei_plant_3d": [("1135_mini", 1, 0)],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder laid out as the labelled images are, with small images of four squares."""
    folder = tmp_path_factory.mktemp("data")
    plane = np.zeros((40, 48), np.uint8)
    for value, (y, x) in enumerate([(4, 4), (4, 14), (20, 8), (22, 30)], start=1):
        plane[y : y + 10, x : x + 10] = value
    for name, sets in FILES.items():
        for part in ("images", "labels"):
            (folder / name / part).mkdir(parents=True)
        for pattern, count, _ in sets:
            labels = np.repeat(plane[None], 24, axis=0) if "3d" in name else plane
            image = np.where(labels > 0, 180, 30).astype(np.uint8)
            if "rgb" in pattern:
                image = np.repeat(image[..., None], 3, axis=-1)
            for number in range(count):
                tifffile.imwrite(folder / name / "images" / f"{pattern.format(number)}.tif", image)
                tifffile.imwrite(folder / name / "labels" / f"{pattern.format(number)}.tif", labels)
    return folder


def test_no_image_is_trained_on_that_is_reported_on(data):
    trained = sorted(path.relative_to(data).as_posix() for _, path, _ in list_files(data))
    assert trained == sorted(
        f"{folder}/images/{pattern.format(number)}.tif"
        for folder, sets in FILES.items()
        for pattern, _, first in sets
        for number in range(first)
    )


def test_the_score_sheet_reports_on_none_of_them():
    """On the real images, where they are: by the score sheet's own choice of images."""
    folder = Path(os.environ.get("NAPARI_UNET_DATA", "/work/shared/data"))
    if not folder.exists():
        pytest.skip("the labelled images are not here")
    from kinds import REPORT, load_kind

    trained = [tifffile.imread(path) for _, path, _ in list_files(folder)]
    for name in REPORT:
        kind = load_kind(name, folder, report=True)
        for image, _ in [*kind.paint, *kind.score]:
            assert not any(_contains(other, image) for other in trained)


def _contains(whole, part):
    """Return whether ``part`` is ``whole`` or its middle."""
    if whole.ndim != part.ndim or any(a < b for a, b in zip(whole.shape, part.shape, strict=True)):
        return False
    box = tuple(slice((a - b) // 2, (a - b) // 2 + b) for a, b in zip(whole.shape, part.shape, strict=True))
    return np.array_equal(whole[box], part)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_that_is_left_out_is_left_out(data, kind):
    assert kind in {image.kind for image in load_images(data)}
    assert kind not in {image.kind for image in load_images(data, (kind,))}
    left = shares((kind,))
    assert kind not in left
    assert sum(left.values()) == pytest.approx(1)


@pytest.fixture(scope="module")
def library(data, tmp_path_factory):
    """Four drawn and thirty real views."""
    folder = tmp_path_factory.mktemp("views")
    kinds = [choose_kind(number, seed=0, drawn=4) for number in range(34)]
    create(folder, kinds)
    writer = Writer(folder, 0, kinds, load_images(data))
    for number in range(34):
        writer.write(number)
    return load_library(folder, torch.device("cpu"))


def test_views_are_as_large_as_they_say_and_0_beyond(library):
    assert [set(library.numbers[DRAWN].tolist())] == [{0, 1, 2, 3}]
    assert library.extent[:4].tolist() == [[WINDOW, WINDOW]] * 4
    for number, (rows, columns) in enumerate(library.extent):
        for name in PLANES:
            plane = getattr(library, name)[number]
            assert not plane[rows:].any()
            assert not plane[:, columns:].any()
        assert library.weight[number, :rows, :columns].float().mean() == pytest.approx(1, rel=0.01)
        assert library.target[number].any()


def test_a_step_sees_only_the_kinds_that_are_left(library):
    def seen(**settings):
        rng = np.random.default_rng(0)
        return set(choose_views(library, 400, rng, **settings).tolist())

    assert set(library.numbers) == {DRAWN, *KINDS}
    real = {kind: set(library.numbers[kind].tolist()) for kind in KINDS}
    assert seen(drawn=1.0, leave_out=()) == set(library.numbers[DRAWN].tolist())
    assert seen(drawn=0.5, leave_out=KINDS) == set(library.numbers[DRAWN].tolist())
    assert seen(drawn=0.0, leave_out=("phase",)) == set().union(*real.values()) - real["phase"]


def test_nothing_is_known_beyond_a_view(library):
    """Patches larger than a view of 100 pixels: weight in it alone."""
    small = replace(library, extent=np.full_like(library.extent, 100))
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    still = AugmentationConfig.none()
    views = np.array([1, 30])
    batch = cut_batch(small, views, rng, generator, edge=128, config=still)
    known = batch.weight > 0
    assert known.sum().item() == (library.weight[views, :100, :100] > 0).sum().item()
    for patch, number in zip(range(2), views, strict=True):
        top, left = (int(line.nonzero()[0]) for line in (known[patch].any(1), known[patch].any(0)))
        inside = np.s_[top : top + 100, left : left + 100]
        torch.testing.assert_close(batch.image[patch, 0][inside], library.image[number, :100, :100].float())
        torch.testing.assert_close(
            batch.distance[patch][inside], library.distance[number, :100, :100].float()
        )


def test_planes_that_are_kept_out_are_kept_out(data):
    labels = tifffile.imread(data / "membranes_ovule_3d/labels/sample_ovule.tif")
    membranes = [image for image in load_images(data) if image.kind == "membranes"]
    assert len(membranes) == 11  # every other one of the first 21 of 24
    for plane, image in zip(range(0, 21, 2), membranes, strict=True):
        inside = image.labels > 0
        np.testing.assert_array_equal(image.labels[inside], labels[plane][inside])


def test_missing_images_are_named(tmp_path):
    with pytest.raises(SystemExit, match="no images of brightfield, fluorescence"):
        load_images(tmp_path)


@pytest.mark.parametrize("seed", range(6))
def test_views_are_windows_in_one_channel_with_weights_of_mean_1(data, seed):
    images = load_images(data)
    for view in (synthetic_view(np.random.default_rng(seed)), real_view(images, np.random.default_rng(seed))):
        assert view.image.dtype == np.float32
        assert view.image.shape == (1, *view.target.shape)
        assert max(view.target.shape) <= WINDOW + 2
        assert np.isfinite(view.image).all()
        assert view.weight.mean() == pytest.approx(1, rel=1e-3)
        assert view.distance.min() >= 0


def test_touching_objects_are_taught_apart():
    labels = np.zeros((20, 20), np.int32)
    labels[5:15, 3:10], labels[5:15, 10:17] = 1, 2
    view = as_sample(np.zeros((20, 20), np.float32), labels)
    assert not view.target[5:15, 9:11].any()
    assert view.target[6:14, 4:9].all()
    assert view.weight[10, 9] > 3 * view.weight[0, 0]


def test_what_a_step_sees_follows_from_its_number(library):
    recipe = Recipe(steps=100, batch=2, patch=32)
    first, again, other = (draw_batch(library, recipe, step) for step in (5, 5, 6))
    for one, two in zip(first, again, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)
    assert not torch.equal(first.image, other.image)


def test_the_rate_rises_stays_and_falls():
    recipe = Recipe(steps=1000, tail=0.4)
    rates = [recipe.rate(step, 0.0) for step in (1, 50, 100, 600, 800, 1000)]
    assert rates[:4] == [0.01, 0.5, 1.0, 1.0]
    assert rates[4] == pytest.approx(0.5)
    assert rates[5] < 0.01
    assert Recipe(minutes=10, tail=0.5).rate(500, 450.0) == pytest.approx(0.5)
    assert Recipe(steps=1000, tail=0).rate(1000, 0.0) == 1


def test_a_training_that_goes_on_is_that_of_one_go(library, tmp_path):
    recipe = Recipe(steps=6, batch=2, patch=32, network=TINY)
    run = {"library": library, "checkpoint_every": 3}
    *_, told = train_starter(recipe, output=tmp_path / "one.safetensors", **run)
    assert told.step == 6
    stops = iter([False, False, False, True])  # killed after the checkpoint of step 3
    for _ in train_starter(recipe, output=tmp_path / "two.safetensors", stopped=lambda: next(stops), **run):
        pass
    *_, told = train_starter(recipe, output=tmp_path / "two.safetensors", resume=True, **run)
    assert told.step == 6
    one, two = (load_model(tmp_path / name) for name in ("one.safetensors", "two.safetensors"))
    assert two.history.steps == 6
    for name, weights in one.weights.items():
        torch.testing.assert_close(weights, two.weights[name], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_command_goes_on_after_a_kill(data, tmp_path):
    output, views = tmp_path / "cells.safetensors", tmp_path / "views"
    make = [sys.executable, TRAINING / "make_views.py", "--data", data, "--output", views]
    subprocess.run([*make, "--drawn", "2", "--real", "20", "--workers", "2"], check=True)
    command = [sys.executable, TRAINING / "make_starter.py", "--views", views, "--output", output, "--resume"]
    command += ["--checkpoint-every", "2", "--leave-out", "phase"]
    with subprocess.Popen([*command, "--steps", "100000"], stdout=subprocess.DEVNULL) as process:
        while not Path(f"{output}.training").exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    before = load_model(output).history.steps
    done = subprocess.run([*command, "--steps", str(before + 2)], check=True, capture_output=True, text=True)
    assert f"step {before + 2:6d}" in done.stdout
    after = load_model(output)
    assert after.history.steps == before + 2
    assert after.mode == "objects"
    assert after.network.distance


@pytest.mark.parametrize("kind", ["nuclei", "tissue", "membranes"])
def test_the_starter_in_the_package_finds_objects(kind):
    model = load_model(STARTER)
    assert STARTER.stat().st_size <= 8e6
    assert (model.network.in_channels, model.network.ndim, model.mode) == (1, 2, "objects")
    assert model.object_size == 30
    config = MicrographConfig(kind, coverage=0.8 if kind == "membranes" else 0.25, photons=2000)
    image, labels = draw_micrograph(config, (192, 192), np.random.default_rng(77))
    assert evaluate(predict(model, image).objects, labels).ap_50 > 0.5

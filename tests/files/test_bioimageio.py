"""Packages for other tools: their own test passes, they compute what we do, and ours come back complete."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import imageio.v3
import numpy as np
import pytest
import torch
from foreign_networks import Milesial, randomise

from napari_unet import load_model, predict
from napari_unet.core.arrays.normalisation import Normalisation
from napari_unet.core.errors import InputError
from napari_unet.files.networks.bioimageio import PackageInfo, export_package
from napari_unet.files.networks.package_sample import halo_of, make_sample
from napari_unet.network.config import PredictionConfig, TrainingConfig, UNetConfig
from napari_unet.network.geometry import margin
from napari_unet.network.model import History, Model
from napari_unet.network.unet import UNet

INFO = PackageInfo("cells: my µ-model", ("A. Painter",))
FLOAT32 = PredictionConfig(precision="float32")
rng = np.random.default_rng(0)

# What bioimageio.core and torch's own reader of TorchScript warn of.
pytestmark = pytest.mark.filterwarnings("ignore")


def make_model(normalisation: Normalisation = Normalisation(), **network: Any) -> Model:
    config = UNetConfig(**{"levels": 1, "features": 3, **network})
    names = ("background", *(f"class {k}" for k in range(2, config.classes + 1)))
    return Model(
        network=config,
        weights=randomise(UNet(config)).state_dict(),
        normalisation=normalisation,
        mode="objects" if config.classes == 2 else "classes",
        class_names=names,
        training=TrainingConfig(network=config, normalisation=normalisation),
        history=History(steps=3, started="2026-01-02T03:04:05+00:00", device="CPU", seconds=1.0),
        pixel_size=(0.5,) * config.ndim,
    )


MODELS: dict[str, Any] = {
    "plain": lambda: make_model(),
    "three classes, two channels": lambda: make_model(classes=3, in_channels=2, distance=True),
    "paper": lambda: make_model(padding="valid", upsampling="convolution", norm="none"),
    "valid, linear": lambda: make_model(padding="valid"),
    "volume": lambda: make_model(ndim=3),
    "aligned": lambda: make_model(Normalisation(method="range"), upsampling="aligned"),
    "deviations": lambda: make_model(Normalisation(method="deviations"), upsampling="nearest"),
}


QUICK = ("three classes, two channels",)
"""Their test takes seconds."""


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BIOIMAGEIO_CACHE_PATH", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    "kind", [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow) for kind in MODELS]
)
def test_their_own_test_passes_and_they_compute_what_we_do(tmp_path: Path, kind: str) -> None:
    core = pytest.importorskip("bioimageio.core")
    model = MODELS[kind]()
    path = tmp_path / "package.zip"
    export_package(model, path, INFO)
    summary = core.test_model(path, devices=["cpu"])
    assert summary.status == "passed", summary.display()

    if margin(model.network) % model.network.alignment:
        return  # their pooling grid begins where they begin to read
    size = (44, 90, 100)[-model.network.ndim :]
    image = rng.integers(0, 256, (model.network.in_channels, *size)).astype(np.float32)
    image.flat[0] = 255
    settings = replace(FLOAT32, channels="first" if len(image) > 1 else "none")
    ours = predict(model, image if len(image) > 1 else image[0], settings).probabilities
    # By blocks: of a whole image, their present release takes statistics after it padded the border.
    blocks = 20 if halo_of(model.network) else None
    result = core.predict(
        model=core.load_description(path), inputs={"input": image[None]}, blocksize_parameter=blocks
    )
    theirs = np.asarray(result.members["output"].data)[0]
    # They pad the border of the image with what is mirrored there; a valid network leaves it out.
    edge = max(halo_of(model.network), margin(model.network))
    ours = ours[(slice(None), *(slice(edge, length - edge) for length in size))]
    inside = [slice(halo_of(model.network), length - halo_of(model.network)) for length in theirs.shape[1:]]
    np.testing.assert_allclose(theirs[(slice(None), *inside)], ours, atol=1e-4)


@pytest.mark.parametrize("kind", ["plain", "three classes, two channels", "aligned"])
def test_a_package_comes_back_as_the_model_it_was(tmp_path: Path, kind: str) -> None:
    model = MODELS[kind]()
    export_package(model, tmp_path / "package.zip", INFO)
    found = load_model(tmp_path / "package.zip")
    for name in ("network", "normalisation", "mode", "class_names", "training", "history", "pixel_size"):
        assert getattr(found, name) == getattr(model, name)
    assert all(torch.equal(found.weights[name], values) for name, values in model.weights.items())


def test_what_a_package_says(tmp_path: Path) -> None:
    path = tmp_path / "package.zip"
    image = rng.integers(0, 4000, (1, 700, 620)).astype(np.uint16)
    export_package(make_model(), path, replace(INFO, license="CC0-1.0"), image)
    with zipfile.ZipFile(path) as archive:
        described = json.loads(archive.read("bioimageio.yaml"))
        page = archive.read("README.md").decode()
        cover = imageio.v3.imread(archive.read("cover.png"), extension=".png")
        example = np.lib.format.read_array(archive.open("test_input.npy"))
    assert described["name"] == "cells  my  -model"
    assert described["authors"] == [{"name": "A. Painter"}]
    assert described["license"] == "CC0-1.0"
    assert described["cite"][0]["doi"] == "10.1007/978-3-319-24574-4_28"
    assert described["inputs"][0]["axes"][2] == {
        "type": "space", "id": "y", "unit": "micrometer", "scale": 0.5, "size": {"min": 22, "step": 2},
    }  # fmt: skip
    assert described["outputs"][0]["axes"][2]["halo"] == halo_of(UNetConfig(levels=1)) == 10
    assert "Validation" in page
    assert "0.5 x 0.5 µm" in page
    assert cover.shape == (256, 512)
    np.testing.assert_array_equal(example[0, 0], image[0, 94:606, 54:566])  # the middle of it


@pytest.mark.parametrize("size", [1, 3, 20])
def test_a_small_image_is_mirrored(size: int) -> None:
    image = rng.random((1, size, size))
    sample = make_sample(make_model(), image)
    assert sample.input.shape == (1, 1, 22, 22)
    assert sample.output.shape == (1, 2, 22, 22)


def test_what_cannot_be_exported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one author"):
        PackageInfo("name", (" ",))
    for name in ("do what you like", "foo", "", "MIT OR Apache-2.0", "LicenseRef-of-the-lab"):
        with pytest.raises(InputError, match="SPDX"):
            PackageInfo("name", ("A",), license=name)
    assert PackageInfo("name", ("A",), license="cc-by-4.0").license == "CC-BY-4.0"
    with pytest.raises(InputError, match="sample image"):
        export_package(make_model(), tmp_path / "p.zip", INFO, np.zeros((3, 30, 30)))
    with pytest.raises(InputError, match="is a folder"):
        export_package(make_model(), tmp_path, INFO)
    assert list(tmp_path.iterdir()) == []


def foreign_package(path: Path, steps: Any, *, weights: bytes | None = None) -> Path:
    """Write a package of a network from elsewhere, as bioimage.io has them."""
    network = randomise(Milesial(1, 1, width=2))
    torch.save(network.state_dict(), path.with_suffix(".pth"))
    steps = "" if steps is None else f"\n  preprocessing: {json.dumps(steps)}"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rdf.yaml", f"type: model\ninputs:\n- id: raw{steps}\n")
        archive.writestr("nested/weights.pth", weights or path.with_suffix(".pth").read_bytes())
    return path


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (
            [{"id": "scale_range", "kwargs": {"min_percentile": 2, "max_percentile": 99.5}}, {"id": "clip"}],
            Normalisation(2.0, 99.5),
        ),
        ([{"name": "zero_mean_unit_variance"}], Normalisation(method="deviations")),
        ([{"id": "scale_linear", "kwargs": {"gain": 1 / 255, "offset": 0}}], Normalisation(method="range")),
    ],
)
def test_networks_from_elsewhere_scale_images_as_their_package_says(
    tmp_path: Path, steps: Any, expected: Normalisation
) -> None:
    model = load_model(foreign_package(tmp_path / "unet.zip", steps))
    assert model.normalisation == model.training.normalisation == expected
    assert "the package unet.zip, a network of the layout of milesial" in model.origin


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (None, "does not say how"),
        ([], "in a way that napari-unet does not know"),
        ([{"id": "scale_linear", "kwargs": {"gain": 2}}], "does not say how"),
        ([{"id": "fixed_zero_mean_unit_variance"}], "does not say how"),
        ("a text", "does not say how"),
    ],
)
def test_a_scaling_that_is_not_known_is_not_guessed(tmp_path: Path, steps: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load_model(foreign_package(tmp_path / "unet.zip", steps))


def test_packages_of_other_networks_and_damaged_ones(tmp_path: Path) -> None:
    path = tmp_path / "p.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rdf.yaml", "type: model")
        archive.writestr("weights.onnx", b"...")
    with pytest.raises(InputError, match="without a network that is known"):
        load_model(path)
    with pytest.raises(InputError, match=r"nested/weights\.pth in .*p\.zip is not a napari-unet model"):
        load_model(foreign_package(path, [], weights=b"\x80\x02}."))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rdf.yaml", "type: model")
        archive.writestr("bomb.safetensors", bytes(10**8))
    with pytest.raises(InputError, match="damaged package"):
        load_model(path)


def test_nothing_is_written_where_a_package_says(tmp_path: Path) -> None:
    """The names of an archive may climb out of the folder it is unpacked to (zip-slip)."""
    model = make_model()
    export_package(model, tmp_path / "good.zip", INFO)
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / "good.zip") as good, zipfile.ZipFile(inner / "bad.zip", "w") as bad:
        bad.writestr("bioimageio.yaml", good.read("bioimageio.yaml"))
        bad.writestr("../../escaped.safetensors", good.read("model.safetensors"))
        bad.writestr(f"{tmp_path}/absolute.safetensors", good.read("model.safetensors"))
    before = set(tmp_path.rglob("*"))
    assert load_model(inner / "bad.zip").network == model.network
    assert set(tmp_path.rglob("*")) == before

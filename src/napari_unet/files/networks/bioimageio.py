"""Models as packages of https://bioimage.io, which other tools run.

A package is a zip archive: a description, the network as TorchScript, an image and the network's output for
it, a picture, a README, and our own model file, so that nothing is lost when it is read again. The
specification wants a YAML description; it is written as JSON, which is also YAML and needs no library.
"""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from napari_unet.core.arrays.normalisation import CLIPS, Normalisation
from napari_unet.core.errors import InputError
from napari_unet.files.atomic import writing
from napari_unet.files.networks.methods_text import REFERENCE, methods_text
from napari_unet.files.networks.models import describe, save_model
from napari_unet.files.networks.package_sample import halo_of, least_size, make_sample
from napari_unet.network.geometry import margin
from napari_unet.network.model import Model

_FORMAT_VERSION = "0.5.4"
"""Version of the specification: the first with everything used here, and known to many tools."""

_DESCRIPTION = "bioimageio.yaml"

_NAME = re.compile(r"[^A-Za-z0-9_+\-() ]+")
"""Characters that are not allowed in names."""


@dataclass(frozen=True, slots=True)
class PackageInfo:
    """What a package contains about itself, besides the model.

    Characters in ``name`` that the specification does not allow are left out. ``license`` is an SPDX
    identifier, such as "CC-BY-4.0" or "CC0-1.0".
    """

    name: str
    authors: tuple[str, ...]
    license: str = "CC-BY-4.0"

    def __post_init__(self) -> None:
        if not any(author.strip() for author in self.authors):
            raise InputError("A package must name who made the model; give at least one author.")
        object.__setattr__(self, "license", _spdx(self.license))


def _spdx(name: str) -> str:
    """Return the identifier of a licence as SPDX writes it; other programs refuse a package without one."""
    known = ""
    with suppress(InvalidLicenseExpression):
        known = canonicalize_license_expression(name)
    if not known or " " in known or known.startswith("LicenseRef-"):  # one licence, known to all
        raise InputError(f"The license is {name!r}; give its SPDX identifier, such as CC-BY-4.0 or CC0-1.0.")
    return known


def export_package(
    model: Model, path: str | Path, info: PackageInfo, image: NDArray[Any] | None = None
) -> None:
    """Write a model as a bioimage.io package, completely or not at all.

    The middle of ``image`` (C, spatial...), a typical one for the model, becomes the example in the package;
    None makes one up. ``InputError`` if the file cannot be written, or the image does not suit the model.
    """
    from napari_unet.network.torchscript import to_torchscript

    sample = make_sample(model, image)
    name = _NAME.sub(" ", info.name).strip()[:64]
    info = replace(info, name=name if len(name) >= 5 else f"U-Net {name}".strip())
    files = {
        "README.md": _page(model, info).encode(),
        "cover.png": sample.picture(),
        "test_input.npy": _as_npy(sample.input),
        "test_output.npy": _as_npy(sample.output),
        "weights.pt": to_torchscript(model),
        "model.safetensors": _own_file(model),
    }
    described = _describe(model, info, files)
    files = {_DESCRIPTION: json.dumps(described, indent=1, ensure_ascii=False).encode(), **files}
    with writing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, content in files.items():
            archive.writestr(zipfile.ZipInfo(entry, (1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)


def _describe(model: Model, info: PackageInfo, files: Mapping[str, bytes]) -> dict[str, Any]:
    def file(name: str) -> dict[str, str]:
        return {"source": name, "sha256": hashlib.sha256(files[name]).hexdigest()}

    import torch

    network = model.network
    kind = "objects" if model.mode == "objects" else f"{network.classes} classes"
    made = "trained in" if model.history.steps else "exported from"
    return {
        "format_version": _FORMAT_VERSION,
        "type": "model",
        "name": info.name,
        "description": f"{network.ndim}-D U-Net for {kind}, {made} napari-unet.",
        "authors": [{"name": author} for author in info.authors],
        "license": info.license,
        "cite": [{"text": REFERENCE, "doi": "10.1007/978-3-319-24574-4_28"}],
        "tags": [
            f"{network.ndim}d",
            f"unet{network.ndim}d",
            "unet",
            "pytorch",
            "instance-segmentation" if model.mode == "objects" else "semantic-segmentation",
        ],
        "documentation": file("README.md"),
        "covers": [file("cover.png")],
        "attachments": [file("model.safetensors")],
        "inputs": [
            {
                "id": "input",
                "description": "Intensities as they were recorded.",
                "axes": _input_axes(model),
                "test_tensor": file("test_input.npy"),
                "data": {"type": "float32"},
                "preprocessing": _preprocessing(model.normalisation, network.ndim),
            }
        ],
        "outputs": [
            {
                "id": "output",
                "description": "Probability of each class; background is the first.",
                "axes": _output_axes(model),
                "test_tensor": file("test_output.npy"),
                "data": {"type": "float32", "range": [0.0, 1.0]},
            }
        ],
        "weights": {
            "torchscript": {**file("weights.pt"), "pytorch_version": torch.__version__.partition("+")[0]}
        },
    }


def _spatial(model: Model) -> list[dict[str, Any]]:
    """Return what input and output axes have in common."""
    axes: list[dict[str, Any]] = [{"type": "space", "id": axis} for axis in "zyx"[-model.network.ndim :]]
    for axis, size in zip(axes, model.pixel_size or (), strict=False):  # all of them, or none
        axis |= {"unit": "micrometer", "scale": size}
    return axes


def _input_axes(model: Model) -> list[dict[str, Any]]:
    network = model.network
    size = {"min": least_size(network), "step": network.alignment}
    names = [f"channel{number}" for number in range(network.in_channels)]
    return [
        {"type": "batch"},
        {"type": "channel", "channel_names": names},
        *({**axis, "size": size} for axis in _spatial(model)),
    ]


def _output_axes(model: Model) -> list[dict[str, Any]]:
    network = model.network
    offset = -2 * margin(network)
    halo = {"halo": halo_of(network)} if halo_of(network) else {}
    return [
        {"type": "batch"},
        {"type": "channel", "channel_names": list(model.class_names)},
        *(
            {**axis, "size": {"tensor_id": "input", "axis_id": axis["id"], "offset": offset}, **halo}
            for axis in _spatial(model)
        ),
    ]


def _preprocessing(normalisation: Normalisation, ndim: int) -> list[dict[str, Any]]:
    """Return the scaling of intensities in terms of the specification."""
    axes = list("zyx"[-ndim:])
    low, high = CLIPS[normalisation.method]
    clip = {"id": "clip", "kwargs": {"min": low, "max": high}}
    if normalisation.method == "range":
        return [{"id": "scale_linear", "kwargs": {"gain": 1 / 255, "offset": 0.0}}, clip]
    if normalisation.method == "deviations":
        return [{"id": "zero_mean_unit_variance", "kwargs": {"axes": axes, "eps": 1e-9}}, clip]
    percentiles = {"min_percentile": normalisation.low, "max_percentile": normalisation.high}
    return [{"id": "scale_range", "kwargs": {"axes": axes, "eps": 1e-9, **percentiles}}, clip]


def _own_file(model: Model) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save_model(model, path)
        return path.read_bytes()


def _as_npy(array: NDArray[np.float32]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _page(model: Model, info: PackageInfo) -> str:
    classes = "\n".join(f"- channel {number}: {name}" for number, name in enumerate(model.class_names))
    scale = (
        "not known"
        if model.pixel_size is None
        else " x ".join(f"{size:g}" for size in model.pixel_size) + " µm"
    )
    by_hand = (
        "Its intensities are those of 8-bit images; divide others so that they reach 255."
        if model.normalisation.method == "range"
        else "Intensities are scaled by the whole image; scaling every block by itself gives other results."
    )
    return f"""# {info.name}

{methods_text(describe(model))}

## Input

Channels: {model.network.in_channels}. Size of its pixels: {scale}.
{by_hand}

## Output

The probability of every pixel for each class:

{classes}

## In napari

This package opens in napari-unet with everything the model knows: `napari-unet info` prints it, the Predict
dock segments with it, and training goes on from it.

## Validation

Compare its objects with a few that you outlined by hand, in images it has not learnt from:
`napari-unet evaluate --predictions PATH --truths PATH`.
"""

"""Models from bioimage.io packages: our own, and U-Nets of the layouts we know.

Nothing is unpacked under a name from the archive, and nothing in it is run. Files that may hold weights are
read one by one, like any other file of weights.
"""

import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from napari_unet.core.arrays.normalisation import Normalisation
from napari_unet.core.errors import InputError
from napari_unet.files.networks.foreign import load_foreign
from napari_unet.network.model import Model

_DESCRIPTIONS = ("bioimageio.yaml", "rdf.yaml", "model.yaml")
_OURS, _WEIGHTS = ".safetensors", (".safetensors", ".pth", ".pt")

_SLACK = 2**24
_LONGEST = 2**18
"""Limit in bytes of a description."""


def is_package(path: Path) -> bool:
    """Return whether a file is a zip archive with the description of a model."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name in _DESCRIPTIONS for name in archive.namelist())
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return False


def load_package(path: Path, load_ours: Callable[[Path], Model]) -> Model:
    """Read the model of a bioimage.io package, with ``load_ours`` if it holds a model file of ours.

    Otherwise read a U-Net from elsewhere, see :func:`napari_unet.files.networks.foreign.load_foreign`, and
    scale images as the package says. ``InputError`` if it holds no such model, or is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    candidates = [name for name in names if name.endswith(_WEIGHTS)]
    reasons = []
    for name in sorted(candidates, key=lambda name: not name.endswith(_OURS)):  # our own first
        with TemporaryDirectory() as folder:
            weights = Path(folder) / "weights"
            weights.write_bytes(_content(path, name))
            try:
                if name.endswith(_OURS):
                    return load_ours(weights)
                return _as_described(load_foreign(weights), path, names)
            except InputError as error:
                reasons.append(str(error).replace(str(weights), f"{name} in {path}"))
    raise InputError(
        reasons[0]
        if len(reasons) == 1
        else f"{path} is a package without a network that is known; give one with a napari-unet model."
    )


def _content(path: Path, name: str, most: int | None = None) -> bytes:
    """Return a file of the archive, unless it would be much larger than the archive itself."""
    most = path.stat().st_size + _SLACK if most is None else most
    try:
        with zipfile.ZipFile(path) as archive, archive.open(name) as file:
            content = file.read(most + 1)
    except Exception as error:  # for a damaged archive, the decoders raise nearly anything
        raise _damaged(path) from error
    if len(content) > most:
        raise _damaged(path)
    return content


def _as_described(model: Model, path: Path, names: Sequence[str]) -> Model:
    """Return a model that scales images as its package says; ``names`` are the files in it."""
    name = next(name for name in names if name in _DESCRIPTIONS)
    try:
        described = yaml.safe_load(_content(path, name, _LONGEST))
        steps = described["inputs"][0]["preprocessing"]
        scalings = [found for step in steps if (found := _scaling(step)) is not None]
    except (yaml.YAMLError, LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path} does not say how its network scales images; use another package, or its weights alone."
        ) from error
    if len(scalings) != 1:
        raise InputError(
            f"{path} scales images in a way that napari-unet does not know; use another package, or its "
            "weights alone."
        )
    return replace(
        model,
        normalisation=scalings[0],
        training=replace(model.training, normalisation=scalings[0]),
        origin=f"taken from the package {path.name}, a network {model.origin.partition('a network ')[2]}",
    )


def _scaling(step: Mapping[str, Any]) -> Normalisation | None:
    """Return the scaling of a step of the preprocessing; None for a step that scales nothing."""
    kind, settings = step.get("id", step.get("name")), step.get("kwargs") or {}
    match kind:
        case "scale_range":
            low = settings.get("min_percentile", 0.0)
            return Normalisation(float(low), float(settings.get("max_percentile", 100.0)))
        case "zero_mean_unit_variance":
            return Normalisation(method="deviations")
        case "scale_linear" if abs(255 * float(settings["gain"]) - 1) < 0.01 and not settings.get("offset"):
            return Normalisation(method="range")
        case "clip" | "ensure_dtype":
            return None
    raise ValueError(kind)


def _damaged(path: Path) -> InputError:
    return InputError(f"{path} is a damaged package; use another copy of it.")

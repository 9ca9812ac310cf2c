"""Models as single files: weights as safetensors, everything else as JSON in their header.

See :mod:`napari_unet.files.networks.container` for how they are kept from damage.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from itertools import chain, count
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from napari_unet.core.annotation import Mode
from napari_unet.core.arrays.normalisation import Normalisation
from napari_unet.core.errors import InputError
from napari_unet.core.instances import InstanceConfig
from napari_unet.files.networks.container import (
    Kind,
    NotOursError,
    read_container,
    read_record,
    write_container,
)
from napari_unet.files.opening import user_path
from napari_unet.files.pixels.images import safe_name
from napari_unet.files.plain import from_plain, to_plain
from napari_unet.network.config import TrainingConfig, UNetConfig
from napari_unet.network.model import History, Model, check_model

if TYPE_CHECKING:
    from torch import Tensor

MODEL = Kind(
    noun="model",
    version=1,
    if_other="choose a .safetensors file saved by it",
    if_damaged="use another copy of it, or train again",
    if_newer="update napari-unet",
)

_PARTS: dict[str, Any] = {
    "network": UNetConfig,
    "normalisation": Normalisation,
    "mode": Mode,
    "class_names": tuple[str, ...],
    "training": TrainingConfig,
    "history": History,
    "instances": InstanceConfig,
    "object_size": float | None,
    "pixel_size": tuple[float, ...] | None,
    "origin": str,
}
"""Every field of :class:`Model` except its weights."""

_LATER_PARTS = {"instances", "object_size", "pixel_size", "origin"}
"""Parts that files written by earlier releases lack."""


def save_model(model: Model, path: str | Path, *, half: bool = False) -> None:
    """Write ``model`` to one file, completely or not at all.

    Parameters
    ----------
    model : Model
        With finite weights that fit its network.
    path : str or Path
        Any name; ``.safetensors`` is the usual ending. An existing file is replaced.
    half : bool
        Write convolutions in half precision: half the size, three correct digits. Models that are read back
        always have float32 weights.

    Raises
    ------
    InputError
        If the file cannot be written, or :func:`load_model` would refuse the weights.
    """
    check_model(model)
    _check_weights(model.weights, model.network, "The model")
    weights = model.weights
    if half:  # only kernels: factors and statistics are few, and are not converted
        weights = {
            name: tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor
            for name, tensor in weights.items()
        }
        _check_weights(_in_full(weights), model.network, "The model in half precision")
    write_container(path, MODEL, weights, {name: to_plain(getattr(model, name)) for name in _PARTS})


def load_model(path: str | Path) -> Model:
    """Read a model that :func:`save_model` wrote, or a U-Net that was trained elsewhere.

    U-Nets from elsewhere are those of :func:`napari_unet.files.networks.foreign.load_foreign`, as single
    files or in a bioimage.io package.

    Unknown entries in the description, training configuration or history, from a later release with the same
    file version, are left out; unknown entries in the network or normalisation, which would change what it
    computes, are refused.

    Raises
    ------
    InputError
        If the file is missing, is something else, is damaged (truncated, or a bit flipped anywhere), comes
        from a newer version, or holds weights that are not finite or do not fit the network it describes.
    """
    from safetensors.torch import load

    path = user_path(path)
    _check_is_no_name(path)
    try:
        data, record = read_container(path, MODEL)
    except NotOursError:
        from napari_unet.files.networks.foreign import load_foreign
        from napari_unet.files.networks.package_reading import is_package, load_package

        return load_package(path, load_model) if is_package(path) else load_foreign(path)
    parts = _read_parts(record, path)
    try:
        weights = _in_full(load(data))
    except SafetensorError as error:
        raise InputError(f"{path} is damaged ({error}); use another copy of it, or train again.") from error
    _check_weights(weights, parts["network"], str(path))
    return Model(weights=weights, **parts)


def _check_is_no_name(path: Path) -> None:
    """Raise ``InputError`` for a word that is no file: most likely the name of a starter."""
    from napari_unet.files.networks.starters import starter_names

    if path.parts == (path.stem,) and not (path.exists() or path.is_symlink()):
        starters = ", ".join(starter_names())
        raise InputError(
            f"There is no model file {path}; give its whole name with its folder, or open one of the "
            f"starters ({starters}) by load_starter(name)."
        )


def read_info(path: str | Path, *, verify: bool = True) -> dict[str, Any]:
    """Return the record of a model file, without torch and without its weights.

    Parameters
    ----------
    path : str or Path
        The model file.
    verify : bool
        Whether to read the whole file and compare it with its checksum, which takes up to a second. Without
        it, damage that leaves the file as long as before may go unnoticed until the model is loaded.

    Returns
    -------
    dict
        ``format``, ``version``, ``sha256``, ``network``, ``normalisation``, ``mode``, ``class_names``,
        ``training``, ``history`` and, not in files of earlier releases, ``instances``, ``object_size``,
        ``pixel_size`` and ``origin`` as plain values, and ``parameters``, the number of values in tensors.

    Raises
    ------
    InputError
        As :func:`load_model`, except that the weights are not checked.
    """
    path = user_path(path)
    record = read_container(path, MODEL)[1] if verify else read_record(path, MODEL)
    parts = {name: to_plain(part) for name, part in _read_parts(record, path).items()}
    return {key: record.get(key) for key in ("format", "version", "sha256", "parameters")} | parts


def model_path(folder: Path, image_name: str, now: datetime) -> Path:
    """Return "<image> <date time>.safetensors" in ``folder``: an unused name that every system allows."""
    return free_path(folder / f"{safe_name(image_name) or 'model'} {now:%Y-%m-%d %H.%M.%S}.safetensors")


def free_path(path: Path) -> Path:
    """Return ``path``, or, if that file exists, the path with the next free number added.

    A training can end within the second in which it began; its name must not be used twice.
    """
    numbered = (path.with_stem(f"{path.stem} ({number})") for number in count(2))
    return next(one for one in chain((path,), numbered) if not one.exists())


def model_digest(model: Model) -> str:
    """Return a digest that identifies a network and how it reads intensities."""
    described = {name: to_plain(getattr(model, name)) for name in ("network", "normalisation", "mode")}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for name, tensor in sorted(model.weights.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def describe(model: Model) -> dict[str, Any]:
    """Return what :func:`read_info` would for a model that is not in a file of ours."""
    parts = {name: to_plain(getattr(model, name)) for name in _PARTS}
    parameters = sum(tensor.numel() for tensor in model.weights.values())
    return {"format": "checkpoint", "version": 0, "sha256": "", "parameters": parameters} | parts


def _in_full(weights: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """Return weights, with those stored in half precision as float32."""
    import torch

    return {
        name: tensor.float() if tensor.dtype == torch.float16 else tensor for name, tensor in weights.items()
    }


def _read_parts(record: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return every part of a model except its weights."""
    absent = _PARTS.keys() - _LATER_PARTS - record.keys()
    if absent:
        raise InputError(f"{path} is incomplete: it lacks {', '.join(sorted(absent))}; train again.")
    try:
        parts = {
            name: from_plain(kind, record[name], name, ignore_unknown=name in ("training", "history"))
            for name, kind in _PARTS.items()
            if name in record
        }
    except InputError as error:
        raise InputError(f"{path} describes a model that cannot be used: {error}") from error
    if len(parts["class_names"]) != parts["network"].classes:
        raise InputError(
            f"{path} names {len(parts['class_names'])} classes and its network has "
            f"{parts['network'].classes}; train again."
        )
    size = parts.get("object_size")
    if size is not None and not 1 <= size < 1e6:
        raise InputError(f"{path} is made for objects of {size} pixels, which is impossible; train again.")
    lengths = parts.get("pixel_size")
    if lengths is not None and (
        len(lengths) != parts["network"].ndim or not all(0 < length < inf for length in lengths)
    ):
        raise InputError(f"{path} is made for pixels of {lengths} µm, which is impossible; train again.")
    return parts


def _check_weights(weights: "Mapping[str, Tensor]", network: UNetConfig, what: str) -> None:
    """Raise ``InputError`` unless ``weights`` are finite and exactly those of ``network``."""
    import torch

    from napari_unet.network.unet import UNet

    with torch.device("meta"):  # shapes without memory: a file may describe a network of any size
        expected = UNet(network).state_dict()
    if weights.keys() != expected.keys():
        odd = min(weights.keys() ^ expected.keys())
        raise InputError(
            f"{what} has weights of another network than the one it describes ({odd!r} is only in one); "
            "train again."
        )
    for name, tensor in weights.items():
        if tensor.shape != expected[name].shape or tensor.dtype != expected[name].dtype:
            raise InputError(
                f"{what} has weights {name!r} of shape {tuple(tensor.shape)} and type {tensor.dtype} where "
                "its network "
                f"has {tuple(expected[name].shape)} and {expected[name].dtype}; train again."
            )
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(
                f"{what} has weights that are not finite numbers; train again with a lower learning rate."
            )

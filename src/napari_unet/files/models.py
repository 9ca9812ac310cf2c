"""Models as single files: weights as safetensors, everything else as JSON in their header.

Nothing is ever unpickled. A SHA-256 checksum covers every byte of the file, and the header can be read
without torch.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from safetensors import SafetensorError

from napari_unet.core.annotation import Mode
from napari_unet.core.errors import InputError
from napari_unet.core.normalisation import Normalisation
from napari_unet.files.atomic import writing
from napari_unet.files.plain import from_plain, to_plain
from napari_unet.network.config import TrainingConfig, UNetConfig
from napari_unet.network.model import History, Model

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = "napari-unet model"
VERSION = 1
"""Raised whenever a file of the new kind would be misunderstood by an older release."""

_ENTRY = "napari_unet"
"""The only metadata key: safetensors writes several in an order that changes from run to run."""

_PARTS: dict[str, Any] = {
    "network": UNetConfig,
    "normalisation": Normalisation,
    "mode": Mode,
    "class_names": tuple[str, ...],
    "training": TrainingConfig,
    "history": History,
}
"""Every field of :class:`Model` but its weights."""

_HEADER_LIMIT = 100_000_000
"""Longest header in bytes that the safetensors format allows."""

_NO_CHECKSUM = b"0" * 64
_CHECKSUM = re.compile(rb'(?<=\\"sha256\\":\\")[0-9a-f]{64}')
"""The checksum as it stands in the header: JSON in a JSON string, so every quotation mark of a name is
escaped twice and cannot be mistaken for one of these.
"""


def save_model(model: Model, path: str | Path) -> None:
    """Write ``model`` to one file, completely or not at all.

    Parameters
    ----------
    model : Model
        With finite weights that fit its network.
    path : str or Path
        Any name; ``.safetensors`` is the usual ending. An existing file is replaced.

    Raises
    ------
    InputError
        If the file cannot be written, or the weights are not ones that :func:`load_model` would take.
    """
    from safetensors.torch import save

    # `contiguous`: training keeps weights channels-last, which the format does not know.
    weights = {name: tensor.detach().to("cpu").contiguous() for name, tensor in model.weights.items()}
    _check_weights(weights, model.network, "The model")
    record = {
        "format": FORMAT,
        "version": VERSION,
        "sha256": _NO_CHECKSUM.decode(),
        **{name: to_plain(getattr(model, name)) for name in _PARTS},
    }
    data = save(weights, {_ENTRY: json.dumps(record, separators=(",", ":"))})
    end = 8 + int.from_bytes(data[:8], "little")
    header, tensors = data[:end], data[end:]
    with writing(path) as temporary, temporary.open("wb") as file:
        file.write(_CHECKSUM.sub(_digest(header, tensors).encode(), header, count=1))
        file.write(tensors)


def load_model(path: str | Path) -> Model:
    """Read a model that :func:`save_model` wrote.

    Further entries in its description, its training configuration or its history, from a later release with
    the same file version, are left out; an unknown entry in its network or normalisation, which would change
    what it computes, is refused.

    Raises
    ------
    InputError
        One sentence if the file is missing, is something else, is damaged (truncated, or a bit flipped
        anywhere), comes from a newer version, or holds weights that are not finite or do not fit the network
        it describes.
    """
    from safetensors.torch import load

    path = Path(path)
    data, record = _read(path)
    parts = _read_parts(record, path)
    try:
        weights = load(data)
    except SafetensorError as error:
        raise InputError(f"{path} is damaged ({error}); use another copy of it, or train again.") from error
    _check_weights(weights, parts["network"], str(path))
    return Model(weights=weights, **parts)


def read_info(path: str | Path) -> dict[str, Any]:
    """Return what a model file says of itself, without torch and without its weights.

    Returns
    -------
    dict
        ``format``, ``version``, ``sha256``, ``network``, ``normalisation``, ``mode``, ``class_names``,
        ``training``, ``history`` as plain values, and ``parameters``, the number of values it holds.

    Raises
    ------
    InputError
        As :func:`load_model`, except that the weights are not looked at.
    """
    path = Path(path)
    _, record = _read(path)
    parts = {name: to_plain(part) for name, part in _read_parts(record, path).items()}
    return {key: record[key] for key in ("format", "version", "sha256", "parameters")} | parts


def _read(path: Path) -> tuple[bytes, dict[str, Any]]:
    """Return all of an undamaged file, and what it says of itself."""
    try:
        with path.open("rb") as file:
            header = _read_header(file, path)
            record = _read_record(header, path)
            tensors = file.read()
    except IsADirectoryError as error:
        raise InputError(f"{path} is a folder; give a model file.") from error
    except FileNotFoundError as error:
        raise InputError(f"There is no model file {path}; check its name and folder.") from error
    except OSError as error:
        raise InputError(f"{path} could not be read ({error.strerror}); check its permissions.") from error
    if record.get("sha256") != _digest(_CHECKSUM.sub(_NO_CHECKSUM, header, count=1), tensors):
        raise InputError(
            f"{path} is damaged: its checksum does not match; use another copy of it, or train again."
        )
    return header + tensors, record


def _read_header(file: BinaryIO, path: Path) -> bytes:
    """Return how a safetensors file begins: the length of its header (8 bytes, little-endian), and that."""
    size = file.read(8)
    length = int.from_bytes(size, "little")
    # Looked at before it is read: eight bytes of any other file are a number of many terabytes.
    header = file.read(length) if len(size) == 8 and 2 <= length <= _HEADER_LIMIT else b""
    if not header.startswith(b"{"):
        raise InputError(f"{path} is not a napari-unet model; choose a .safetensors file saved by it.")
    if len(header) < length:
        raise InputError(f"{path} is cut off; use another copy of it, or train again.")
    return size + header


def _read_record(header: bytes, path: Path) -> dict[str, Any]:
    other = InputError(f"{path} is not a napari-unet model; choose a .safetensors file saved by it.")
    try:
        tensors = json.loads(header[8:])
        record: dict[str, Any] = json.loads(tensors.pop("__metadata__")[_ENTRY])
        is_ours = record["format"] == FORMAT
        version = record["version"]
        record["parameters"] = sum(math.prod(tensor["shape"]) for tensor in tensors.values())
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise other from error
    if not is_ours or type(version) is not int:
        raise other
    if version > VERSION:
        raise InputError(
            f"{path} has model file version {version} and this napari-unet reads up to {VERSION}; update "
            "napari-unet."
        )
    return record


def _read_parts(record: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return every part of a model but its weights."""
    absent = _PARTS.keys() - record.keys()
    if absent:
        raise InputError(f"{path} is incomplete: it lacks {', '.join(sorted(absent))}; train again.")
    try:
        parts = {
            name: from_plain(kind, record[name], name, ignore_unknown=name in ("training", "history"))
            for name, kind in _PARTS.items()
        }
    except InputError as error:
        raise InputError(f"{path} describes a model that cannot be used: {error}") from error
    if len(parts["class_names"]) != parts["network"].classes:
        raise InputError(
            f"{path} names {len(parts['class_names'])} classes and its network has "
            f"{parts['network'].classes}; train again."
        )
    return parts


def _check_weights(weights: "Mapping[str, Tensor]", network: UNetConfig, what: str) -> None:
    """Raise ``InputError`` unless ``weights`` are finite and just those of ``network``."""
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


def _digest(header: bytes, tensors: bytes) -> str:
    digest = hashlib.sha256(header)
    digest.update(tensors)
    return digest.hexdigest()

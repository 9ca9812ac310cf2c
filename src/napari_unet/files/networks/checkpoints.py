"""State dicts of networks from elsewhere, read without running anything that is in them.

Safetensors files hold nothing but numbers. Files of ``torch.save`` are pickles: they are opened only with
``weights_only=True``, which allows tensors and plain values, and not by a torch with known holes in that.
"""

import io
import pickletools
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.core.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

_SAFE_SINCE = (2, 10)
"""Earlier releases of torch run code from a file made for it even with ``weights_only=True``."""

_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network")
"""Keys under which training scripts save the weights next to other state."""

_PARALLEL = "module."
"""What ``torch.nn.DataParallel`` puts before every name."""

_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
"""First bytes of files written by ``torch.save``: today, and before its version 1.6."""


def read_state_dict(path: Path) -> "tuple[dict[str, Tensor], tuple[int, ...]]":
    """Read the weights of a network by name, as real numbers on the CPU, none larger than the file.

    Also returns the ``mask_values`` that milesial/Pytorch-UNet saves: the values of classes in masks.
    ``InputError`` if the file cannot be read, was made to do harm, or holds something else.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
        content = _read_torch(path, start) if start.startswith((_ZIP, _PICKLE)) else _read_safetensors(path)
    except OSError as error:
        raise InputError(
            f"{path} could not be read ({error.strerror or error}); check its permissions."
        ) from error
    return _state_of(content, path)


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(path.read_bytes())
    except (SafetensorError, ValueError) as error:
        raise _damaged(path) from error


def _read_torch(path: Path, start: bytes) -> object:
    import torch

    # The first two numbers of versions such as "2.13.0+cpu" or "2.10.0a0+git".
    found = tuple(int(part) for part in re.findall(r"\d+", torch.__version__)[:2])
    if found < _SAFE_SINCE:
        raise InputError(
            f"{path} is a checkpoint that torch {torch.__version__} cannot open safely; update torch to "
            f"{'.'.join(map(str, _SAFE_SINCE))} or later, or give the weights as safetensors."
        )
    # From memory: for a text that claims to be longer than the file, memory would be reserved before it is
    # read. And torch would judge a path by its ending.
    content = io.BytesIO(path.read_bytes())
    if start == _ZIP:
        _check_archive(path)
    else:
        _check_pickle(content, path)
        content.seek(0)
    try:
        return torch.load(content, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises nearly anything for a damaged file
        raise InputError(
            f"{path} is not a napari-unet model, and as a checkpoint it is damaged or holds more than "
            "weights, so it is not opened; save only the state_dict() of its network."
        ) from error


def _check_archive(path: Path) -> None:
    """Refuse an archive whose content claims to be larger than the file: torch never compresses."""
    try:
        with zipfile.ZipFile(path) as archive:
            inside = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
        raise _damaged(path) from error
    if inside > path.stat().st_size:
        raise _damaged(path)


def _check_pickle(content: io.BytesIO, path: Path) -> None:
    """Refuse a file of torch before 1.6 with sizes beyond that of the file; checking runs nothing in it."""
    most = path.stat().st_size + 2**16  # not of a tensor: old files have protocol number 1001
    try:
        for _ in range(4):  # a magic number, the protocol, the system, and the weights
            for operation, argument, _position in pickletools.genops(content):
                is_number = operation.name.startswith(("BININT", "LONG", "INT"))
                if is_number and most < int(argument or 0) < 2**63:
                    raise _damaged(path)
    except ValueError as error:
        raise _damaged(path) from error


def _state_of(content: object, path: Path) -> "tuple[dict[str, Tensor], tuple[int, ...]]":
    import torch

    for key in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping):
        raise InputError(
            f"{path} is not a napari-unet model and holds no named weights; save the state_dict() of its "
            "network."
        )
    values = content.get("mask_values", ())
    state: dict[str, Tensor] = {}
    limit = path.stat().st_size
    for key, tensor in content.items():
        if key == "mask_values":
            continue
        if not isinstance(key, str) or not isinstance(tensor, torch.Tensor):
            raise InputError(
                f"{path} is not a napari-unet model and holds {str(key)[:40]!r}, which is no weight; save "
                "the state_dict() of its network."
            )
        is_plain = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_complex()
        # A tensor can claim to be larger than its data by repeating it many times.
        if not is_plain or tensor.numel() * tensor.itemsize > limit:
            raise _damaged(path)
        state[key.removeprefix(_PARALLEL)] = tensor.detach()
    whole = isinstance(values, list | tuple) and all(type(value) is int for value in values)
    return state, tuple(values) if whole else ()


def _damaged(path: Path) -> InputError:
    return InputError(
        f"{path} is not a napari-unet model, nor the undamaged checkpoint of a network; choose another file."
    )

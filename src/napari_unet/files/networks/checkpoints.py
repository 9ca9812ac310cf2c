"""State dicts of networks from elsewhere, read without running anything that is in them.

Safetensors files hold nothing but numbers. What ``torch.save`` wrote is a pickle: it is opened with
``weights_only=True`` alone, which knows tensors and plain values, and by no torch with known holes in that.
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
"""Keys under which training scripts put the weights beside their other state."""

_PARALLEL = "module."
"""What ``torch.nn.DataParallel`` puts before every name."""

_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
"""How what ``torch.save`` wrote begins: today, and before its version 1.6."""


def read_state_dict(path: Path) -> "tuple[dict[str, Tensor], tuple[int, ...]]":
    """Read the weights of a network by name, each of real numbers and no larger than the file, on the CPU.

    Returned with them are the ``mask_values`` that milesial/Pytorch-UNet saves: what classes are called in
    masks. ``InputError`` if the file cannot be read, was made to do harm, or holds something else.
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

    # Of "2.13.0+cpu", "2.10.0a0+git" and the like the first two numbers.
    found = tuple(int(part) for part in re.findall(r"\d+", torch.__version__)[:2])
    if found < _SAFE_SINCE:
        raise InputError(
            f"{path} is a checkpoint that torch {torch.__version__} cannot open safely; update torch to "
            f"{'.'.join(map(str, _SAFE_SINCE))} or later, or give the weights as safetensors."
        )
    # From memory: a text that claims to be longer than the file would be given room before it is read. And of
    # a path, torch would go by its ending.
    content = io.BytesIO(path.read_bytes())
    if start == _ZIP:
        _check_archive(path)
    else:
        _check_pickle(content, path)
        content.seek(0)
    try:
        return torch.load(content, map_location="cpu", weights_only=True)
    except Exception as error:  # torch says nearly anything of a damaged file
        raise InputError(
            f"{path} is not a napari-unet model, and as a checkpoint it is damaged or holds more than "
            "weights, which is not opened; save the state_dict() of its network alone."
        ) from error


def _check_archive(path: Path) -> None:
    """Refuse an archive that claims to be larger inside than outside: torch never compresses."""
    try:
        with zipfile.ZipFile(path) as archive:
            inside = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
        raise _damaged(path) from error
    if inside > path.stat().st_size:
        raise _damaged(path)


def _check_pickle(content: io.BytesIO, path: Path) -> None:
    """Refuse sizes beyond that of the file in what torch wrote before 1.6; looking at it runs nothing."""
    most = path.stat().st_size + 2**16  # that of no tensor: the protocol of old files is number 1001
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
            f"{path} is not a napari-unet model and holds no weights by name; save the state_dict() of its "
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
        # A tensor can claim to be larger than its numbers, by counting them many times.
        if not is_plain or tensor.numel() * tensor.itemsize > limit:
            raise _damaged(path)
        state[key.removeprefix(_PARALLEL)] = tensor.detach()
    whole = isinstance(values, list | tuple) and all(type(value) is int for value in values)
    return state, tuple(values) if whole else ()


def _damaged(path: Path) -> InputError:
    return InputError(
        f"{path} is not a napari-unet model, nor the undamaged checkpoint of a network; choose another file."
    )

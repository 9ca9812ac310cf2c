"""Safetensors files that also hold a JSON record, under one checksum.

Nothing is ever unpickled. A SHA-256 checksum covers every byte of the file, and the record can be read
without torch.
"""

import hashlib
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from napari_unet.core.errors import InputError
from napari_unet.files.atomic import writing
from napari_unet.files.opening import opening

if TYPE_CHECKING:
    from torch import Tensor

_ENTRY = "napari_unet"
"""The only metadata key: safetensors writes several in an order that changes from run to run."""

_HEADER_LIMIT = 100_000_000
"""Longest header in bytes that the safetensors format allows."""

_NO_CHECKSUM = b"0" * 64
_CHECKSUM = re.compile(rb'(?<=\\"sha256\\":\\")[0-9a-f]{64}')
"""The checksum as written in the header: JSON in a JSON string, so that every quotation mark in a name is
escaped twice and cannot be mistaken for one of these.
"""


class NotOursError(InputError):
    """A file is not a model or training state of ours."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file: what it holds, and how the error message ends if one cannot be used.

    ``noun`` follows "napari-unet" in its format; ``version`` increases whenever an older release would
    misunderstand a new file.
    """

    noun: str
    version: int
    if_other: str
    if_damaged: str
    if_newer: str


def write_container(
    path: str | Path, kind: Kind, tensors: "Mapping[str, Tensor]", entries: Mapping[str, Any]
) -> None:
    """Write tensors and JSON ``entries`` to one file, completely or not at all.

    ``InputError`` if the file cannot be written.
    """
    from safetensors.torch import save

    record = {
        "format": f"napari-unet {kind.noun}",
        "version": kind.version,
        "sha256": _NO_CHECKSUM.decode(),
        **entries,
    }
    # `contiguous`: training keeps weights channels-last, which the format lacks.
    plain = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    data = save(plain, {_ENTRY: json.dumps(record, separators=(",", ":"))})
    end = 8 + int.from_bytes(data[:8], "little")
    header, rest = data[:end], data[end:]
    with writing(path) as temporary, temporary.open("wb") as file:
        file.write(_CHECKSUM.sub(_digest(header, rest).encode(), header, count=1))
        file.write(rest)


def read_container(path: Path, kind: Kind) -> tuple[bytes, dict[str, Any]]:
    """Return the bytes of an undamaged file, for safetensors to load, and its record.

    The record gets another entry: ``parameters``, the number of values in all tensors. ``InputError`` if the
    file is missing, is something else (``NotOursError``), is damaged or comes from a newer version.
    """
    with opening(path, kind.noun) as file:
        header = _read_header(file, path, kind)
        record, _ = _parse(header, path, kind)
        tensors = file.read()
    if record.get("sha256") != _digest(_CHECKSUM.sub(_NO_CHECKSUM, header, count=1), tensors):
        raise InputError(f"{path} is damaged: its checksum does not match; {kind.if_damaged}.")
    return header + tensors, record


def read_record(path: Path, kind: Kind) -> dict[str, Any]:
    """Return the record of a file, and read no tensors: what a list of files needs, at once.

    Raises as :func:`read_container`, but damage that leaves the file as long as before may go unnoticed.
    """
    with opening(path, kind.noun) as file:
        header = _read_header(file, path, kind)
        record, length = _parse(header, path, kind)
        if file.seek(0, os.SEEK_END) != len(header) + length:
            raise InputError(f"{path} is damaged: its length is wrong; {kind.if_damaged}.")
    return record


def _read_header(file: BinaryIO, path: Path, kind: Kind) -> bytes:
    """Return the start of a safetensors file: the length of its header (8 bytes, little-endian), and it."""
    size = file.read(8)
    length = int.from_bytes(size, "little")
    # Checked before reading: eight bytes of any other file may mean many terabytes.
    header = file.read(length) if len(size) == 8 and 2 <= length <= _HEADER_LIMIT else b""
    if not header.startswith(b"{"):
        raise _other(path, kind)
    if len(header) < length:
        raise InputError(f"{path} is cut off; {kind.if_damaged}.")
    return size + header


def _parse(header: bytes, path: Path, kind: Kind) -> tuple[dict[str, Any], int]:
    """Return the record in the header of a file, and how many bytes of tensors follow the header."""
    try:
        tensors = json.loads(header[8:])
        record: dict[str, Any] = json.loads(tensors.pop("__metadata__")[_ENTRY])
        is_of_kind = record["format"] == f"napari-unet {kind.noun}"
        version = record["version"]
        record["parameters"] = sum(math.prod(tensor["shape"]) for tensor in tensors.values())
        length = max((tensor["data_offsets"][1] for tensor in tensors.values()), default=0)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _other(path, kind) from error
    if not is_of_kind or type(version) is not int or type(length) is not int:
        raise _other(path, kind)
    if version > kind.version:
        raise InputError(
            f"{path} has {kind.noun} file version {version} and this napari-unet reads up to {kind.version}; "
            f"{kind.if_newer}."
        )
    return record, length


def _other(path: Path, kind: Kind) -> NotOursError:
    return NotOursError(f"{path} is not a napari-unet {kind.noun}; {kind.if_other}.")


def _digest(header: bytes, tensors: bytes) -> str:
    digest = hashlib.sha256(header)
    digest.update(tensors)
    return digest.hexdigest()

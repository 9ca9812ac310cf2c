"""Paint on disk: zarr arrays whose changed chunks alone are written, each completely or not at all.

The arrays are zarr version 2 with zlib, which zarr, napari and Fiji open. They are written here, not by the
zarr library, because a stroke is safe only in a file that was flushed before it replaced the older one; and
read here, because a chunk of a malicious file must not unpack to more than it should.
"""

import itertools
import json
import math
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from napari_unet.core.errors import InputError
from napari_unet.files.atomic import writing

Chunk = tuple[int, ...]
"""A chunk of an array: its number along every axis."""

_EDGE = 512
"""Pixels of a chunk along the last two axes: 1 MiB of paint, so that a stroke is written in milliseconds."""

_MOST_AXES = 32

_NUMBER = re.compile("[0-9]{1,9}")
_METADATA = ".zarray"
_EMPTY, _DAMAGED = 0, -1
"""Checksums of a chunk of zeros, and of one that cannot be read."""

_LEVEL = 1  # of zlib: paint is mostly empty, and is compressed during painting


def chunk_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return how many pixels a chunk has along every axis: each plane has its own chunks."""
    return (1,) * (len(shape) - 2) + tuple(max(1, min(length, _EDGE)) for length in shape[-2:])


def chunks_in(shape: tuple[int, ...], box: tuple[slice, ...] | None = None) -> Iterator[Chunk]:
    """Yield the chunks of an array, or those that ``box`` (slices with starts and stops) touches."""
    box = tuple(slice(0, length) for length in shape) if box is None else box
    ranges = [
        range(part.start // size, -(-part.stop // size))
        for part, size in zip(box, chunk_shape(shape), strict=True)
    ]
    yield from itertools.product(*ranges)


class LabelsFile:
    """One array of whole numbers, (…YX), in its own folder.

    ``InputError`` if there is none, or it was not written here.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            metadata = json.loads((folder / _METADATA).read_text(encoding="utf-8"))
            self.shape = tuple(int(length) for length in metadata["shape"])
            self.dtype = np.dtype(metadata["dtype"])
            usable = metadata == _metadata(self.shape, self.dtype)
        except FileNotFoundError as error:
            raise InputError(f"The paint {folder} is not there; take it from a backup.") from error
        except OSError as error:
            raise InputError(
                f"{folder} could not be read ({error.strerror}); check its permissions."
            ) from error
        except (ValueError, LookupError, TypeError, OverflowError, RecursionError) as error:
            raise InputError(f"{folder} is damaged; take it from a backup.") from error
        if (
            not usable
            or not 2 <= len(self.shape) <= _MOST_AXES
            or self.dtype.kind not in "iu"
            or min(self.shape) < 0
        ):
            raise InputError(f"{folder} is not paint of napari-unet; take it from a backup.")
        self._checksums: dict[Chunk, int] | None = None

    @classmethod
    def create(cls, folder: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> "LabelsFile":
        """Make an array of zeros; only its metadata is written."""
        text = json.dumps(_metadata(shape, dtype), indent=1)
        with writing(folder / _METADATA) as temporary:
            temporary.write_text(text, encoding="utf-8")
        made = cls(folder)
        made._checksums = {}
        return made

    def fits(self, pixels: Any) -> bool:
        """Return whether ``pixels`` fit this array."""
        return tuple(pixels.shape) == self.shape and np.dtype(pixels.dtype) == self.dtype

    def read(self) -> tuple[NDArray[Any], str]:
        """Return all pixels, and a sentence on unreadable chunks, which are empty; "" if there are none."""
        size = math.prod(self.shape) * self.dtype.itemsize
        try:
            # Zeros take no memory until they are painted on, so any number may be had; but they are looked
            # through.
            if size > 2 * psutil.virtual_memory().total:
                raise MemoryError  # noqa: TRY301 (one sentence for both)
            pixels = np.zeros(self.shape, self.dtype)
        except MemoryError as error:
            raise InputError(
                f"{self.folder} of shape {self.shape} does not fit into memory; use a computer with more."
            ) from error
        damaged = 0
        for chunk, block in self._stored():
            if block is None:
                damaged += 1
            else:
                pixels[self._box(chunk)] = block
        if not damaged:
            return pixels, ""
        return pixels, (
            f"{damaged} part{'s' * (damaged != 1)} of {self.folder} could not be read and came back empty; "
            "take that folder from a backup."
        )

    def update(self, pixels: Any, chunks: Iterable[Chunk]) -> int:
        """Bring chunks up to date with ``pixels``, which may be painted on at the same time.

        A chunk that is painted on while it is copied may hold half a stroke; painting then reports the chunk
        again. Returns how many chunks had changed and were written. ``InputError`` if one cannot be written;
        it is then unchanged.
        """
        checksums = self._known()
        written = 0
        for chunk in chunks:
            block = np.array(pixels[self._box(chunk)], self.dtype, order="C")
            checksum = _checksum(block)
            if checksums.get(chunk, _EMPTY) == checksum:
                continue
            self._write(chunk, block)
            checksums[chunk] = checksum
            written += 1
        return written

    def _known(self) -> dict[Chunk, int]:
        """Return the checksum of every chunk on disk; read once."""
        if self._checksums is None:
            self._checksums = {
                chunk: _DAMAGED if block is None else _checksum(block) for chunk, block in self._stored()
            }
        return self._checksums

    def _write(self, chunk: Chunk, block: NDArray[Any]) -> None:
        path = self._path(chunk)
        if path.parent.is_symlink() or path.is_symlink():
            raise InputError(f"{path} is a link, and could lead out of the project; replace it with a file.")
        whole = np.zeros(chunk_shape(self.shape), self.dtype)
        whole[tuple(slice(0, length) for length in block.shape)] = block
        with writing(path) as temporary:
            temporary.write_bytes(zlib.compress(whole.tobytes(), _LEVEL))

    def _decode(self, chunk: Chunk) -> NDArray[Any] | None:
        """Return a stored chunk, cropped to the array; None if it cannot be read."""
        shape = chunk_shape(self.shape)
        size = math.prod(shape) * self.dtype.itemsize
        try:
            raw = zlib.decompressobj().decompress(self._path(chunk).read_bytes(), size + 1)
            block = np.frombuffer(raw, self.dtype).reshape(shape)  # a ValueError unless its length is right
        except (OSError, ValueError, zlib.error):
            return None
        return block[tuple(slice(0, part.stop - part.start) for part in self._box(chunk))]

    def _stored(self) -> Iterator[tuple[Chunk, NDArray[Any] | None]]:
        for path in self.folder.iterdir():
            numbers = path.name.split(".")
            if len(numbers) == len(self.shape) and all(map(_NUMBER.fullmatch, numbers)):
                chunk = tuple(map(int, numbers))
                sizes = zip(chunk, chunk_shape(self.shape), self.shape, strict=True)
                if all(number * size < length for number, size, length in sizes):
                    yield chunk, self._decode(chunk)

    def _path(self, chunk: Chunk) -> Path:
        return self.folder / ".".join(map(str, chunk))

    def _box(self, chunk: Chunk) -> tuple[slice, ...]:
        return tuple(
            slice(number * size, min((number + 1) * size, length))
            for number, size, length in zip(chunk, chunk_shape(self.shape), self.shape, strict=True)
        )


def _metadata(shape: tuple[int, ...], dtype: np.dtype[Any]) -> dict[str, Any]:
    """Return the metadata of an array (https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html)."""
    return {
        "zarr_format": 2,
        "shape": list(shape),
        "chunks": list(chunk_shape(shape)),
        "dtype": np.dtype(dtype).newbyteorder("<").str,
        "compressor": {"id": "zlib", "level": _LEVEL},
        "fill_value": 0,
        "order": "C",
        "filters": None,
    }


def _checksum(block: NDArray[Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(block).data) or 1 if block.any() else _EMPTY

"""How chunks of a zarr are unpacked: by codecs that run nothing, into no more memory than pixels need.

The unpacked size is given twice: by the metadata of the array, and usually by the chunk itself. Codecs
reserve the memory that the chunk asks for before they check whether it can fill it.
"""

import asyncio
import bz2
import gzip
import io
import lzma
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numcodecs
import numpy as np
import zarr
from zarr.abc.codec import BytesBytesCodec, Codec
from zarr.codecs import ShardingCodec

from napari_unet.files.pixels.images import ALWAYS

_MOST_PACKED = 2**15
"""Bytes that one byte of a chunk may unpack to: zstd needs 4 for 128 KiB of one value."""

_FILTERS = {"bitround", "shuffle", "delta", "fixedscaleoffset", "quantize"}
_CHECKSUMS = {"adler32", "crc32", "crc32c", "fletcher32"}
_LZMA_MEMORY = ALWAYS + 2**20  # which its strongest preset needs


def bounded(array: zarr.Array[Any]) -> zarr.Array[Any]:
    """Return a zarr array that refuses to read chunks which unpack to more than they should.

    ``ValueError`` if its pixels are not numbers, or it is packed in an unknown way.
    """
    if array.dtype.kind not in "biufc":
        raise ValueError(f"its pixels are not numbers but {array.dtype}")
    metadata: Any = array.metadata
    if metadata.zarr_format == 2:
        filters = metadata.filters or ()
        for item in filters:
            types = [np.dtype(getattr(item, name, "u1")) for name in ("dtype", "astype")]
            if item.codec_id not in _FILTERS | _CHECKSUMS or any(kind.kind not in "biuf" for kind in types):
                raise _unknown(item.codec_id)
        size = math.prod(metadata.chunks) * array.dtype.itemsize * (8 if filters else 1)
        if metadata.compressor is not None:
            metadata = replace(metadata, compressor=_Unpacker(metadata.compressor, size))
    else:
        metadata = replace(metadata, codecs=_bounded_codecs(metadata.codecs))
    return zarr.Array(zarr.AsyncArray(metadata, array.store_path))


def _unknown(name: str) -> ValueError:
    return ValueError(f"it is packed with {name!r}, which is not known here")


def _bounded_codecs(codecs: Sequence[Codec]) -> tuple[Codec, ...]:
    """Return codecs of zarr 3 that unpack no more than the pixels of a chunk."""
    if len(codecs) == 1 and isinstance(codecs[0], ShardingCodec):  # else a shard would be unpacked whole
        shard = codecs[0]
        return (
            replace(
                shard, codecs=_bounded_codecs(shard.codecs), index_codecs=_bounded_codecs(shard.index_codecs)
            ),
        )
    return tuple(_bounded_codec(codec) for codec in codecs)


def _bounded_codec(codec: Codec) -> Codec:
    description: Any = codec.to_dict()
    name = description["name"].removeprefix("numcodecs.")
    if not isinstance(codec, BytesBytesCodec):
        if name not in {"bytes", "transpose"}:
            raise _unknown(name)
        return codec
    if name in _CHECKSUMS | {"shuffle"}:
        return codec
    return _BoundedCodec(codec, numcodecs.get_codec({"id": name}))


@dataclass(frozen=True)
class _BoundedCodec(BytesBytesCodec):
    """A codec of zarr 3 that unpacks with :func:`unpack`."""

    codec: BytesBytesCodec
    unpacks: Any
    is_fixed_size = False

    def to_dict(self) -> Any:
        return self.codec.to_dict()

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
        return self.codec.compute_encoded_size(input_byte_length, chunk_spec)

    async def _decode_single(self, chunk_data: Any, chunk_spec: Any) -> Any:
        size = math.prod(chunk_spec.shape) * chunk_spec.dtype.to_native_dtype().itemsize
        raw = await asyncio.to_thread(unpack, self.unpacks, chunk_data.to_bytes(), size)
        return chunk_spec.prototype.buffer.from_bytes(raw)


class _Unpacker(numcodecs.abc.Codec):  # type: ignore[misc]
    """A compressor of zarr 2 that unpacks with :func:`unpack`."""

    codec_id = "bounded"

    def __init__(self, codec: Any, size: int) -> None:
        self.codec, self.size = codec, size

    def encode(self, buf: Any) -> Any:
        return self.codec.encode(buf)

    def decode(self, buf: Any) -> Any:
        return unpack(self.codec, bytes(buf), self.size)


def unpack(codec: Any, data: bytes, size: int) -> bytes:
    """Return the content of a chunk whose pixels take ``size`` bytes.

    A little more may come out, such as a checksum. ``ValueError`` if much more would come out, or it is
    packed in an unknown way.
    """
    name, most = codec.codec_id, size + size // 8 + 4096
    match name:
        case "gzip":
            raw = gzip.GzipFile(fileobj=io.BytesIO(data)).read(most + 1)
        case "bz2":
            raw = bz2.BZ2File(io.BytesIO(data)).read(most + 1)
        case "zlib":
            raw = zlib.decompressobj().decompress(data, most + 1)
        case "lzma":
            raw = lzma.LZMADecompressor(memlimit=_LZMA_MEMORY).decompress(data, most + 1)
        case "blosc" | "lz4" | "zstd":
            claim = _claim(name, data)
            _check(size if claim is None else claim, min(most, _MOST_PACKED * len(data) + ALWAYS))
            # If the size is not given, zstd unpacks without limit; so its output gets one.
            raw = bytes(codec.decode(data, out=None if claim is not None else np.zeros(size, np.uint8)))
        case _:
            raise _unknown(name)
    _check(len(raw), most)
    return raw


def _check(size: int, most: int) -> None:
    if size > most:
        raise ValueError(f"a chunk of it becomes {size} bytes or more, of {most} at most")


def _claim(name: str, data: bytes) -> int | None:
    """Return the unpacked size that a chunk gives; None if it gives none."""
    if name == "blosc":
        return int.from_bytes(data[4:8], "little")
    if name == "lz4":
        return int.from_bytes(data[:4], "little")
    # https://datatracker.ietf.org/doc/html/rfc8878#section-3.1.1.1
    descriptor = data[4] if len(data) > 4 else 0
    is_single = bool(descriptor & 0x20)
    width = (int(is_single), 2, 4, 8)[descriptor >> 6]
    start = 5 + (not is_single) + (0, 1, 2, 4)[descriptor & 3]
    return int.from_bytes(data[start : start + width], "little") + 256 * (width == 2) if width else None

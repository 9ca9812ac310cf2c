"""Whatever packs a zarr in earnest is read; what a chunk may become is bounded by its pixels."""

import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec, TransposeCodec, ZstdCodec

from napari_unet.core.errors import InputError
from napari_unet.files.pixels.sources import open_image

PIXELS = np.random.default_rng(0).integers(0, 60_000, (3, 40, 50), np.uint16)

Peak = Callable[[Callable[[], Any]], tuple[Any, int]]


def check(folder: Path) -> None:
    np.testing.assert_array_equal(np.asarray(open_image(folder).pixels), PIXELS)
    np.testing.assert_array_equal(np.asarray(open_image(folder).pixels[1, 5:33:2, 9:]), PIXELS[1, 5:33:2, 9:])


def of_numcodecs(name: str) -> dict[str, Any]:
    return {"name": f"numcodecs.{name}", "configuration": {}}


@pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr version 3")
@pytest.mark.parametrize(
    "packed",
    [
        {"compressors": None},
        {"compressors": [GzipCodec()]},
        {"compressors": [ZstdCodec(checksum=True)]},
        {"compressors": [BloscCodec(cname="zstd"), GzipCodec()]},
        {"compressors": [of_numcodecs("bz2"), Crc32cCodec()]},
        {"compressors": [Crc32cCodec(), of_numcodecs("lz4")]},
        {"compressors": [of_numcodecs("lzma")], "filters": [TransposeCodec(order=(2, 0, 1))]},
        {"compressors": [of_numcodecs("zlib")], "shards": (2, 32, 32)},
        {"compressors": [BloscCodec()], "shards": (1, 16, 16)},
    ],
)  # fmt: skip
def test_what_packs_zarr_3(tmp_path: Path, packed: dict[str, Any]) -> None:
    array = zarr.create_array(tmp_path / "a", shape=PIXELS.shape, chunks=(1, 16, 16), dtype="u2", **packed)
    array[:] = PIXELS
    check(tmp_path / "a")


@pytest.mark.parametrize(
    ("compressor", "filters"),
    [
        (None, None),
        (numcodecs.Blosc("zstd"), [numcodecs.Delta("u2")]),
        (numcodecs.Zstd(), [numcodecs.Shuffle(2), numcodecs.CRC32()]),
        (numcodecs.LZ4(), [numcodecs.FixedScaleOffset(0, 1, "u2", "f8")]),
        (numcodecs.Zlib(), None),
        (numcodecs.GZip(), None),
        (numcodecs.BZ2(), None),
        (numcodecs.LZMA(), None),
    ],
)
def test_what_packs_zarr_2(tmp_path: Path, compressor: Any, filters: Any) -> None:
    array = zarr.create_array(
        tmp_path / "a", shape=PIXELS.shape, chunks=(1, 16, 16), dtype=">u2", zarr_format=2,
        compressors=compressor, filters=filters,
    )  # fmt: skip
    array[:] = PIXELS
    check(tmp_path / "a")


def test_a_frame_of_zstd_need_not_say_how_long_it_is(tmp_path: Path) -> None:
    array = make(tmp_path, numcodecs.Zstd())
    data = np.arange(256, dtype="<u2").tobytes()
    frame = b"\x28\xb5\x2f\xfd\x00\x58" + (1 | len(data) << 3).to_bytes(3, "little") + data
    (array / "0.0").write_bytes(frame)
    np.testing.assert_array_equal(np.asarray(open_image(array).pixels), np.arange(256).reshape(16, 16))


def test_a_large_empty_zarr_is_opened_and_read_piece_by_piece(tmp_path: Path) -> None:
    for name, packed in {"a": {}, "b": {"shards": (8192, 8192)}}.items():
        zarr.create_array(tmp_path / name, shape=(30_000,) * 2, chunks=(1024,) * 2, dtype="f4", **packed)
        pixels = open_image(tmp_path / name).pixels
        assert not np.asarray(pixels[29_000:29_400, :400]).any()


def test_large_chunks_are_unpacked_one_after_the_other(tmp_path: Path, peak: Peak) -> None:
    array = zarr.create_array(tmp_path / "a", shape=(64, 3072, 3072), chunks=(1, 3072, 3072), dtype="u1")
    for number in (0, 1, 2, 3, 40):
        array[number] = number + 1
    pixels = open_image(tmp_path / "a").pixels
    part, most = peak(lambda: np.asarray(pixels[:, 5:9, 5:9]))
    assert part[:, 0, 0].tolist() == [1, 2, 3, 4, *[0] * 36, 41, *[0] * 23]
    assert most < 64 * 2**20


@pytest.fixture
def peak() -> Peak:
    """Return what a function returns, or the sentence it ends with, and the memory it took at most."""

    def measure(function: Callable[[], Any]) -> tuple[Any, int]:
        tracemalloc.start()
        try:
            result = function()
        except InputError as error:
            result = str(error)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return result, most

    return measure


def make(folder: Path, codec: Any = None, **more: Any) -> Path:
    """Describe an array of one chunk, of 512 bytes."""
    description = {
        "zarr_format": 2, "shape": [16, 16], "chunks": [16, 16], "dtype": "<u2", "fill_value": 0,
        "order": "C", "compressor": codec and codec.get_config(), "filters": None,
    }  # fmt: skip
    (folder / ".zarray").write_text(json.dumps(description | more))
    return folder


HUGE = 2**31 - 100
ZSTD_ZEROS = b"\x28\xb5\x2f\xfd\x00\x58" + b"".join(
    ((number == 4000) | 2 | 2**17 << 3).to_bytes(3, "little") + b"\0" for number in range(4001)
)


@pytest.mark.parametrize(
    ("codec", "chunk"),
    [
        (numcodecs.Blosc(), bytes([2, 1, 33, 2]) + HUGE.to_bytes(4, "little") + bytes(500)),
        (numcodecs.LZ4(), HUGE.to_bytes(4, "little") + bytes(500)),
        (numcodecs.Zstd(), b"\x28\xb5\x2f\xfd\xa0" + HUGE.to_bytes(4, "little") + bytes(500)),
        (numcodecs.Zstd(), b"\x28\xb5\x2f\xfd\xe0" + HUGE.to_bytes(8, "little") + bytes(500)),
        (numcodecs.Zstd(), ZSTD_ZEROS),
        (numcodecs.Zstd(), b"\x28\xb5\x2f"),
        (numcodecs.Zlib(), zlib.compress(bytes(2**27))),
        (numcodecs.GZip(), gzip.compress(bytes(2**27))),
        (numcodecs.BZ2(), numcodecs.BZ2().encode(bytes(2**27))),
        (numcodecs.LZMA(), numcodecs.LZMA().encode(bytes(2**27))),
    ],
    # Not the bytes: gzip notes the time, and tests that run side by side need the same names.
    ids=["blosc", "lz4", "zstd", "zstd of 8 bytes", "zeros", "cut", "zlib", "gzip", "bz2", "lzma"],
)
def test_a_chunk_does_not_become_more_than_its_pixels(
    tmp_path: Path, peak: Peak, codec: Any, chunk: bytes
) -> None:
    (make(tmp_path, codec) / "0.0").write_bytes(chunk)
    pixels = open_image(tmp_path).pixels
    sentence, most = peak(lambda: np.asarray(pixels))
    assert "could not be read as an image" in sentence
    assert sentence.endswith("use another copy of it.")  # not another format: it is zarr
    assert most < 2**24
    # ... nor where the description agrees and the chunk is too small for it.
    if codec.codec_id in ("blosc", "lz4"):
        make(tmp_path, codec, shape=[46_340] * 2, chunks=[46_340] * 2, dtype="|u1")
        pixels = open_image(tmp_path).pixels
        sentence, most = peak(lambda: np.asarray(pixels[:4, :4]))
        assert "could not be read as an image" in sentence
        assert most < 2**24


@pytest.mark.parametrize(
    "described",
    [
        {"compressor": {"id": "pickle"}},
        {"filters": [{"id": "pickle"}]},
        {"filters": [{"id": "vlen-utf8"}, {"id": "pickle"}], "dtype": "|O", "fill_value": ""},
        {"filters": [{"id": "json2"}]},
        {"filters": [{"id": "delta", "dtype": "<U99999999"}]},
        {"filters": [{"id": "delta", "dtype": "<u2", "astype": "<U99999999"}]},
        {"dtype": "<U99999999", "fill_value": ""},
        {"dtype": [["a", "<u2"], ["b", "<u2"]]},
    ],
)
def test_what_could_run_or_hold_anything_is_not_opened(tmp_path: Path, described: dict[str, Any]) -> None:
    make(tmp_path, **described)
    with pytest.raises(InputError, match="could not be read as an image"):
        open_image(tmp_path)


@pytest.mark.parametrize("codecs", [["vlen-utf8"], ["bytes", "numcodecs.pickle"], ["sharding", "gzip"]])
def test_what_zarr_3_may_not_be_packed_with(tmp_path: Path, codecs: list[str]) -> None:
    shards = (16, 16) if codecs[0] == "sharding" else None
    zarr.create_array(tmp_path, shape=(16, 16), chunks=(8, 8), shards=shards, dtype="u2")
    described = json.loads((tmp_path / "zarr.json").read_text())
    first = described["codecs"][0] if shards else {"name": codecs[0]}
    described["codecs"] = [first, *({"name": name, "configuration": {}} for name in codecs[1:])]
    (tmp_path / "zarr.json").write_text(json.dumps(described))
    with pytest.raises(InputError, match="could not be read as an image"):
        open_image(tmp_path)

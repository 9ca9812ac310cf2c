import json
import os
import random
import re
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image
from skimage.io import imsave

from napari_unet.core.errors import InputError
from napari_unet.files.pixels.finding import expand_paths, not_read, pair_by_stem
from napari_unet.files.pixels.images import (
    BY_HAND,
    SOFTWARE,
    check_replaceable,
    read_image,
    result_stem,
    safe_name,
    stem,
    write_image,
    write_labels,
)
from napari_unet.files.pixels.pixel_size import PixelSize
from napari_unet.files.pixels.sources import open_image

LARGEST = 2**31 - 1
dtypes = st.sampled_from([np.uint8, np.uint16, np.int32, np.float32, np.int16, np.uint32, np.float64])


@settings(max_examples=60, deadline=None)
@given(data=st.data(), axes=st.sampled_from(["", "YX", "ZYX", "CYX", "TZCYX", "CZYX", "TYX"]))
def test_every_value_survives(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, axes: str
) -> None:
    shape = tuple(data.draw(st.integers(1, 5), label="size") for _ in axes or "YX")
    pixels = data.draw(hnp.arrays(data.draw(dtypes), shape))
    path = tmp_path_factory.mktemp("images") / "a.tif"
    write_image(path, pixels, axes)
    read = read_image(path)
    if "C" in axes:
        pixels = np.moveaxis(pixels, axes.index("C"), 0)
        axes = "C" + axes.replace("C", "")
    np.testing.assert_array_equal(read.pixels, pixels)
    assert read.pixels.dtype == pixels.dtype
    assert read.axes == (axes or "YX")
    assert read.channels == ("first" if "C" in axes else "auto")


def test_large_label_ids_are_exact(tmp_path: Path) -> None:
    labels = np.array([[0, 2**24 + 1], [LARGEST - 1, LARGEST]], np.int32)
    write_image(tmp_path / "a.tif", labels, "YX")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), labels)


def test_imagej_gets_its_own_kind_of_file_where_it_can(tmp_path: Path) -> None:
    for dtype, axes, expected in [
        (np.uint8, "ZYX", True), (np.float32, "CYX", True), (np.uint16, "YX", True),
        (np.int32, "YX", False), (np.float32, "CZYX", False), (np.uint8, "", False),
    ]:  # fmt: skip
        write_image(tmp_path / "a.tif", np.ones((2,) * len(axes or "YX"), dtype), axes)
        with tifffile.TiffFile(tmp_path / "a.tif") as file:
            assert file.is_imagej == expected, (dtype, axes)


@pytest.mark.parametrize(
    ("largest", "dtype", "expected"),
    [
        (2**16 - 1, np.int32, np.uint16), (2**16, np.int32, np.int32), (2**16 - 1, np.uint64, np.uint16),
        (255, np.uint8, np.uint8), (2.0, np.float32, np.float32),
    ],
)  # fmt: skip
def test_labels_are_of_imagej_where_they_fit(tmp_path: Path, largest: Any, dtype: Any, expected: Any) -> None:
    labels = np.array([[[0, 1], [2, largest]]] * 3, dtype)
    size = PixelSize(0.5, 0.25, t=30.0)
    write_labels(tmp_path / "a.tif", labels, "TYX", size)
    found = read_image(tmp_path / "a.tif")
    assert found.pixels.dtype == expected
    np.testing.assert_array_equal(found.pixels, labels)
    assert (found.axes, found.pixel_size) == ("TYX", size)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.is_imagej == (expected != np.int32)


def test_negative_and_no_labels_stay_as_they_are(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.tif", np.full((2, 2), -1, np.int32), "YX")
    assert read_image(tmp_path / "a.tif").pixels.min() == -1


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        ("YXZ", "ZYX"), ("XYZ", "ZYX"), ("YXT", "TYX"), ("TYXZ", "TZYX"), ("YXCZ", "CZYX"), ("XYC", "CYX"),
        ("YXQ", "YXQ"), ("ZTYX", "ZTYX"), ("CYX", "CYX"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("read", [read_image, open_image])
def test_planes_are_those_that_the_file_names(tmp_path: Path, axes: str, expected: str, read: Any) -> None:
    pixels = np.arange(5 * 6 * 7 * 8, dtype=np.int32).reshape(5, 6, 7, 8)[(0,) * (4 - len(axes))]
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", metadata={"axes": axes})
    image = read(tmp_path / "a.tif")
    assert image.axes == expected
    in_order = pixels.transpose([axes.index(letter) for letter in expected])
    np.testing.assert_array_equal(np.asarray(image.pixels), in_order)
    result = in_order[0] if "C" in axes else in_order
    back, letters = image.as_in_file(result, expected.replace("C", ""))
    assert letters == axes.replace("C", "")
    np.testing.assert_array_equal(back, np.moveaxis(pixels, axes.index("C"), 0)[0] if "C" in axes else pixels)


@pytest.mark.parametrize("planes", [3, 4])
def test_three_planes_are_not_mistaken_for_colours(tmp_path: Path, planes: int) -> None:
    stack = np.arange(planes * 30, dtype=np.uint8).reshape(planes, 5, 6)
    write_image(tmp_path / "a.tif", stack)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").pixels, stack)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_tiff_of_either_byte_order_and_size(tmp_path: Path, byteorder: Any, bigtiff: bool) -> None:
    pixels = np.arange(30, dtype=byteorder + "u2").reshape(5, 6)
    tifffile.imwrite(tmp_path / "name without ending", pixels, byteorder=byteorder, bigtiff=bigtiff)
    np.testing.assert_array_equal(read_image(tmp_path / "name without ending").pixels, pixels)


def test_channels_come_first_whatever_wrote_the_tiff(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (5, 6, 3), np.uint8)
    tifffile.imwrite(tmp_path / "rgb.tif", rgb, photometric="rgb")
    stack = np.moveaxis(rgb, -1, 1)  # Z, C, X
    tifffile.imwrite(tmp_path / "a.ome.tif", stack[:, :, np.newaxis], metadata={"axes": "ZCYX"}, ome=True)
    read = read_image(tmp_path / "rgb.tif")
    assert (read.axes, read.channels) == ("CYX", "first")
    np.testing.assert_array_equal(read.pixels, np.moveaxis(rgb, -1, 0))
    read = read_image(tmp_path / "a.ome.tif")
    assert read.axes == "CZYX"
    np.testing.assert_array_equal(read.pixels[:, :, 0], stack.swapaxes(0, 1))


def test_a_stack_that_says_nothing_of_its_axes(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 5, 6), np.uint16), metadata=None)
    read = read_image(tmp_path / "a.tif")
    assert (read.pixels.shape, read.channels) == ((2, 5, 6), "auto")


@pytest.mark.parametrize(
    ("pixels", "shape"),
    [
        (np.full((5, 6), 7, np.uint8), (5, 6)),
        (np.full((5, 6), 700, np.uint16), (5, 6)),
        (np.full((5, 6, 3), 7, np.uint8), (3, 5, 6)),
        (np.dstack([np.full((5, 6, 3), 7, np.uint8), np.full((5, 6), 255, np.uint8)]), (3, 5, 6)),
        (np.dstack([np.full((5, 6, 3), 7, np.uint8), np.full((5, 6), 100, np.uint8)]), (4, 5, 6)),
    ],
)
def test_png(tmp_path: Path, pixels: NDArray[Any], shape: tuple[int, ...]) -> None:
    imsave(tmp_path / "a.png", pixels, check_contrast=False)
    read = read_image(tmp_path / "a.png")
    assert read.pixels.shape == shape
    assert read.pixels.dtype == pixels.dtype
    assert read.pixels.ravel()[0] == pixels.ravel()[0]


def test_of_an_animation_the_first_frame_is_read(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((5, 6), value, np.uint8)) for value in (7, 9)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    read = read_image(tmp_path / "a.png")
    assert (read.axes, read.pixels.tolist()) == ("YX", [[7] * 6] * 5)


def test_what_a_decoder_says_of_damage_is_not_repeated(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.random.default_rng(0).random((90, 90)), compression="zlib")
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"could not be read as an image \(it is damaged\)"):
        read_image(tmp_path / "a.tif")


def test_a_palette_has_colours_for_an_image_and_numbers_for_labels(tmp_path: Path) -> None:
    mask = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8))
    mask.putpalette([0, 0, 0, 200, 0, 0, 0, 100, 0])
    mask.save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").pixels[0].tolist() == [[0, 200], [0, 200]]
    labels = read_image(tmp_path / "a.png", is_label=True)
    assert (labels.axes, labels.pixels.tolist()) == ("YX", [[0, 1], [2, 1]])


@pytest.mark.parametrize("compression", ["zlib", "lzw", "zstd"])
def test_compressed_files_are_read(tmp_path: Path, compression: str) -> None:
    pixels = np.arange(30, dtype=np.uint16).reshape(5, 6)
    tifffile.imwrite(tmp_path / "a.tif", pixels, compression=compression)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").pixels, pixels)


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("a.tif", b"", "it is empty"),
        ("a.txt", b"x", "it is damaged"),
        ("a.tif", b"II*\0", "could not be read as an image"),
        ("a.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 50, "could not be read as an image"),
        ("a.txt", b"some text", "could not be read as an image"),
        ("a.czi", b"ZISRAWFILE" + b"\0" * 50, ".tif, .tiff"),
    ],
)
def test_a_file_that_is_no_image_is_one_sentence(
    tmp_path: Path, name: str, content: bytes, word: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_image(tmp_path / name)
    assert word in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^There is no image file"):
        read_image(tmp_path / "a.tif")
    with pytest.raises(InputError, match="is a folder"):
        read_image(tmp_path)


@pytest.mark.parametrize("rounds", [150, pytest.param(5_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["a.tif", "imagej.tif", "zlib.tif", "a.png", "a.jpg"])
@pytest.mark.filterwarnings("ignore")  # decoders warn of what they find in damaged files
def test_damaged_images_are_read_or_said_to_be_damaged(tmp_path: Path, kind: str, rounds: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 16, 16), np.uint8)
    path = tmp_path / kind
    if kind == "imagej.tif":
        write_image(path, pixels, "ZYX")
    elif path.suffix == ".tif":
        tifffile.imwrite(path, pixels, compression="zlib" if kind == "zlib.tif" else None)
    else:
        imsave(path, pixels[0], check_contrast=False)
    original = path.read_bytes()
    chance = random.Random(0)  # noqa: S311 (a reproducible one is wanted)
    sentences = []
    for _ in range(rounds):
        position = chance.randrange(len(original))
        damaged = bytearray(original)
        if chance.random() < 0.3:
            del damaged[position:]
        else:
            # Most of a small file's fragile bytes are at its ends.
            position = chance.choice([position, position % 300, -1 - position % 300])
            damaged[position] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        try:
            read_image(path)
        except InputError as error:
            sentences.append(str(error))
    assert sentences
    assert not any("\n" in sentence for sentence in sentences)


def test_a_text_file_with_the_ending_of_an_image_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"some text")
    with pytest.raises(InputError, match="it holds no kind of image known here"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize(("alpha", "channels"), [(255, 3), (254, 4)])
def test_only_an_opaque_alpha_channel_of_a_tiff_is_left_out(
    tmp_path: Path, alpha: int, channels: int
) -> None:
    pixels = np.full((8, 9, 4), 7, np.uint8)
    pixels[..., 3] = alpha
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["unassalpha"])
    image = read_image(tmp_path / "a.tif")
    assert (image.axes, image.pixels.shape) == ("CYX", (channels, 8, 9))


@pytest.mark.parametrize(
    "options",
    [
        {"imagej": True, "metadata": {"spacing": "wide", "unit": "um"}, "resolution": (2, 2)},
        {"description": "Aperio Image Library|MPP = wide", "metadata": None},
        {"description": "<OME></OME>", "metadata": None},
        {"description": "<OME><Image></OME>", "metadata": None},
    ],
    ids=str,
)
def test_an_image_that_says_nonsense_of_its_size_is_read_without(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    pixels = np.arange(72, dtype=np.uint8).reshape(8, 9)
    tifffile.imwrite(tmp_path / "a.tif", pixels, **options)
    image = read_image(tmp_path / "a.tif")
    assert image.pixel_size is None
    np.testing.assert_array_equal(image.pixels, pixels)


def test_truncated_pixels_are_never_filled_in(tmp_path: Path) -> None:
    write_image(tmp_path / "a.tif", np.ones((64, 64), np.int32), "YX")
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(data[:-100])
    with pytest.raises(InputError, match="could not be read as an image"):
        read_image(tmp_path / "a.tif")


def test_writing_into_a_file_that_cannot_be_replaced(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        write_image(tmp_path, np.zeros((2, 2), np.uint8))


def touch(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return paths


def test_folders_list_images_in_natural_order(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "t10.tif",
        "t2.TIF",
        "t1.png",
        "notes.txt",
        ".hidden.tif",
        "t2b.tif",
        "t3.SVS",
        "deeper/t3.tif",
        "x.tif.part",
    )
    (tmp_path / "folder.tif").mkdir()
    assert [path.name for path in expand_paths([tmp_path])] == [
        *("t1.png", "t2.TIF", "t2b.tif", "t3.SVS", "t10.tif")
    ]


def test_files_patterns_and_repetitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "b.tif", "a10.tif", "a9.tif", "deep/er/c.tif", "cells [1].tif", "odd name")
    monkeypatch.chdir(tmp_path)
    assert expand_paths(["b.tif", "a*.tif", "b.tif"]) == [Path("b.tif"), Path("a9.tif"), Path("a10.tif")]
    assert expand_paths(["b.tif", "deep/../b.tif", tmp_path / "b.tif"]) == [Path("b.tif")]
    assert expand_paths(["**/*.tif"])[-1] == Path("deep/er/c.tif")
    assert expand_paths(["cells [1].tif", "odd name"]) == [Path("cells [1].tif"), Path("odd name")]
    assert expand_paths([str(tmp_path / "a?.tif")]) == [tmp_path / "a9.tif"]


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links_to_what_is_gone_are_told_when_they_are_read(tmp_path: Path) -> None:
    (tmp_path / "gone.tif").symlink_to(tmp_path / "unmounted" / "a.tif")
    (tmp_path / "folder.tif").symlink_to(tmp_path)
    for meant in (tmp_path, tmp_path / "*.tif"):
        assert expand_paths([meant]) == [tmp_path / "gone.tif"]
    with pytest.raises(InputError, match=r"gone.tif is a link to .*unmounted/a.tif, which is not there"):
        read_image(tmp_path / "gone.tif")


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.tif")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert expand_paths(["~/a.tif"]) == [tmp_path / "a.tif"]


def test_what_stands_for_no_file_is_named(tmp_path: Path) -> None:
    tmp_path = tmp_path / "inside"
    touch(tmp_path, "notes.txt")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")  # which would be waited at
    for pattern, word in [
        ("none.tif", "There is no file"),
        ("*.tif", "There is no file"),
        ("pipe", "There is no file"),
        ("", r"holds no images; choose one with .* files\.$"),
        ("..", r'holds no images; .* files, or those of folders in it by ".*\*\*/\*\.tif"\.$'),
    ]:
        with pytest.raises(InputError, match=word):
            expand_paths([tmp_path / "notes.txt", str(tmp_path / pattern)])
    with pytest.raises(InputError, match="There is no file ''"):
        expand_paths([""])  # as a shell makes of "$UNSET"
    with pytest.raises(InputError, match=re.escape(r"There is no file 'C:\no\a.tif'")):
        expand_paths([r"C:\no\a.tif"])


def test_a_scan_of_many_pixels_is_no_attack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (40, 50)).save(tmp_path / "scan.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1500)
    assert read_image(tmp_path / "scan.png").pixels.shape == (50, 40)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.raises(InputError, match=r"scan.png has more pixels than are read in its format; save it as"):
        read_image(tmp_path / "scan.png")


def test_images_that_only_programs_of_microscopes_read_are_told(tmp_path: Path) -> None:
    touch(tmp_path, "raw/b.CZI", "raw/a10.lif", "raw/a9.LIF", "raw/.c.czi", "raw/notes.txt")
    with pytest.raises(InputError, match=r"raw holds \.\w+ files, which cannot be read here; save"):
        expand_paths([tmp_path / "raw"])
    for name, words in (("a.npy", "Save masks in Cellpose"), ("a.zip", "in ImageJ"), ("a.ROI", "in ImageJ")):
        touch(tmp_path, f"of {name}/{name}")
        with pytest.raises(InputError, match=words):
            expand_paths([tmp_path / f"of {name}"])
    touch(tmp_path, "raw/b.tif", "other/d.czi")
    found = expand_paths([tmp_path / "raw"])
    assert not_read([tmp_path / "raw", tmp_path / "other" / "*", found[0]], found) == [
        tmp_path / "raw" / "a9.LIF",
        tmp_path / "raw" / "a10.lif",
    ]
    with pytest.raises(InputError, match=r"'https://x.org/a\.zarr' is an address on the net"):
        expand_paths(["https://x.org/a.zarr"])


names = st.lists(st.text("ab12 ü", min_size=1, max_size=3), unique=True, max_size=6)


@given(names, names)
def test_pairs_are_all_of_equal_name(images: list[str], paints: list[str]) -> None:
    image_paths = [Path("images", name + ".tif") for name in images]
    paint_paths = [Path("paint", name + ".png") for name in paints]
    if len(images) == len(paints) == 1:
        assert pair_by_stem(image_paths, paint_paths) == ([(image_paths[0], paint_paths[0])], [])
    elif not paints or set(paints) - set(images):
        with pytest.raises(InputError):
            pair_by_stem(image_paths, paint_paths)
    else:
        pairs, unpainted = pair_by_stem(image_paths, paint_paths)
        assert pairs == [(Path("images", name + ".tif"), Path("paint", name + ".png")) for name in paints]
        assert unpainted == [path for path in image_paths if path.stem not in paints]


def test_pairing_sees_through_endings() -> None:
    assert stem(Path("a.ome.tif")) == "a"
    assert stem(Path("a.b.TIFF")) == "a.b"
    pairs, _ = pair_by_stem([Path("x/a.ome.tif")], [Path("y/a.png")])
    assert len(pairs) == 1
    pairs, _ = pair_by_stem([Path("x/Zellkörper.tif")], [Path("y/Zellko\u0308rper.tif")])  # of a Mac
    assert len(pairs) == 1
    pairs, left = pair_by_stem(
        [Path("x/a_objects.tif"), Path("x/a_classes.tif")], [Path("y/a.tif")], endings=["_masks", "_objects"]
    )
    assert pairs == [(Path("x/a_objects.tif"), Path("y/a.tif"))]
    assert left == [Path("x/a_classes.tif")]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("cells [1] (50%), Zellkörper", "cells [1] (50%), Zellkörper"),
        (" a/b\\c: <d>?\n.. ", "a_b_c_ _d___"),
        ("...", ""),
        ("a" * 80, "a" * 80),
        ("a" * 60 + "b" * 60, "a" * 36 + "_0c5e28_" + "b" * 36),
        ("细" * 66, "细" * 66),
        ("细" * 60 + "胞" * 60, "细" * 32 + "_4ad9b3_" + "胞" * 32),
    ],
)
def test_names_that_all_systems_allow(text, name) -> None:
    assert safe_name(text) == name


def test_long_names_stay_different_and_short_enough_for_any_ending() -> None:
    long = [f"{'细' * half}{number}{'胞' * half}" for half in (40, 200) for number in range(3)]
    for names, most in ((map(safe_name, long), 200), (map(result_stem, long), 236)):
        found = set(names)
        assert len(found) == len(long)
        for name in found:
            assert len(name.encode()) <= most
            assert result_stem(name) == name
    assert result_stem("a" * 236) == "a" * 236
    assert len(result_stem("a" * 237)) == 236
    assert len(result_stem("\udcff" * 99)) < 99  # a name that is no text


@pytest.mark.parametrize(
    ("images", "paints", "word"),
    [
        (["x/a.tif", "x/c.tif"], ["y/b.tif"], r"y.b\.tif has no counterpart named 'b'"),
        (["x/a.tif"], ["y/a.tif", "y/b.tif"], r"y.b\.tif has no counterpart named 'b'"),
        (["x/a.tif", "y/a.png"], ["z/a.tif"], "have the same name 'a'"),
        (["x/a.tif"], ["y/a.tif", "z/a.tif"], "have the same name 'a'"),
        (["x/a.tif"], ["x/a.tif"], "in both roles"),
        (["x/a.tif"], [], "There is no paint"),
    ],
)
def test_pairs_that_cannot_be(images: list[str], paints: list[str], word: str) -> None:
    with pytest.raises(InputError, match=word):
        pair_by_stem([Path(name) for name in images], [Path(name) for name in paints])


SIZES: dict[str, tuple[dict[str, Any], PixelSize | None]] = {
    "ImageJ": (
        {"imagej": True, "resolution": (4, 2), "metadata": {"axes": "ZYX", "spacing": 2.0, "unit": "micron"}},
        PixelSize(z=2.0, y=0.5, x=0.25),
    ),
    "ImageJ without a unit": ({"imagej": True, "metadata": {"axes": "ZYX"}}, None),
    "OME": (
        {
            "ome": True,
            "metadata": {
                "axes": "ZYX",
                "PhysicalSizeX": 250.0,
                "PhysicalSizeXUnit": "nm",
                "PhysicalSizeY": 0.5,
                "PhysicalSizeZ": 2.0,
            },
        },
        PixelSize(z=2.0, y=0.5, x=0.25),
    ),
    "ImageJ in time": (
        {
            "imagej": True,
            "resolution": (4, 2),
            "metadata": {"axes": "TYX", "unit": "um", "finterval": 2.0, "tunit": "min"},
        },
        PixelSize(y=0.5, x=0.25, t=120.0),
    ),
    "ImageJ in time alone": (
        {"imagej": True, "metadata": {"axes": "TYX", "finterval": 2.0}},
        PixelSize(t=2.0),
    ),
    "OME in time alone": ({"ome": True, "metadata": {"axes": "TYX", "TimeIncrement": 0.5}}, PixelSize(t=0.5)),
    "OME in time": (
        {
            "ome": True,
            "metadata": {"axes": "TYX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5, "TimeIncrement": 0.5},
        },
        PixelSize(y=0.5, x=0.25, t=0.5),
    ),
    "OME without sizes": ({"ome": True, "metadata": {"axes": "ZYX"}}, None),
    "per centimetre": (
        {"resolution": (40000, 20000), "resolutionunit": "CENTIMETER"},
        PixelSize(y=0.5, x=0.25),
    ),
    "to be printed": ({"resolution": (300, 300), "resolutionunit": "INCH"}, None),
    "to be printed, by a picture editor": (
        {"resolution": (118, 118), "resolutionunit": "CENTIMETER", "metadata": None},
        None,
    ),
    "nothing": ({}, None),
}


def test_a_slide_says_how_large_its_pixels_are(tmp_path: Path) -> None:
    description = "Aperio Image Library v11.2.1 \r\n512x512 JPEG/RGB Q=70|AppMag = 20|MPP = 0.4990|Left = 1"
    with tifffile.TiffWriter(tmp_path / "a.svs") as file:
        for step in (1, 4):  # full resolution, and a small copy
            pixels = np.zeros((512 // step, 512 // step, 3), np.uint8)
            file.write(pixels, tile=(128, 128), photometric="rgb", description=description, metadata=None)
    image = read_image(tmp_path / "a.svs")
    assert (image.pixels.shape, image.pixel_size) == ((3, 512, 512), PixelSize(0.499, 0.499))


@pytest.mark.parametrize(("options", "expected"), SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32])
def test_the_size_of_pixels_is_kept(tmp_path: Path, options: dict[str, Any], expected: Any, dtype: Any):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 30, 40), np.uint8), photometric="minisblack", **options)
    read = read_image(tmp_path / "a.tif")
    assert read.pixel_size == expected
    write_image(tmp_path / "b.tif", np.zeros((2, 30, 40), dtype), read.axes, read.pixel_size)
    again = read_image(tmp_path / "b.tif").pixel_size
    if expected is None:
        assert again is None
    else:
        assert again is not None
        assert (again.y, again.x) == pytest.approx((expected.y, expected.x))
        assert (again.z, again.t) == (expected.z, expected.t)


def test_results_among_the_images_are_no_images(tmp_path: Path):
    for name in ("a", "b"):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.zeros((9, 9), np.uint8))
    tifffile.imwrite(tmp_path / "a_objects_by_hand.tif", np.zeros((9, 9), np.int32))
    write_image(tmp_path / "a_objects.tif", np.zeros((9, 9), np.int32))
    (tmp_path / "broken.tif").write_bytes(b"II*")
    (tmp_path / "b_objects.zarr").mkdir()
    (tmp_path / "b_objects.zarr" / ".zgroup").write_text("{}")
    (tmp_path / "b_objects.zarr" / ".zattrs").write_text(json.dumps({SOFTWARE: {}}))
    (tmp_path / "c.zarr").mkdir()
    (tmp_path / "c.zarr" / "zarr.json").write_text("{}")
    images = ["a.tif", "a_objects_by_hand.tif", "b.tif", "broken.tif", "c.zarr"]
    for pattern in (tmp_path, tmp_path / "*"):
        assert [path.name for path in expand_paths([pattern], results=False)] == images
    assert len(expand_paths([tmp_path])) == 7
    result = tmp_path / "a_objects.tif"
    assert expand_paths([result], results=False) == [result]  # asked for by name
    with pytest.raises(InputError, match="holds only results of napari-unet"):
        expand_paths([tmp_path / "*_objects.*"], results=False)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_pages_that_lead_round_in_circles_are_not_followed(tmp_path: Path, big: bool, byteorder: str) -> None:
    path = tmp_path / "a.tif"
    pixels = np.zeros((3, 16, 16), np.uint8)
    tifffile.imwrite(path, pixels, bigtiff=big, byteorder=byteorder, metadata=None, photometric="minisblack")
    np.testing.assert_array_equal(read_image(path).pixels, pixels)  # three pages are followed
    with tifffile.TiffFile(path) as file:
        first, last = file.pages[0].offset, file.pages[2].offset
    data = bytearray(path.read_bytes())
    width, entry = (8, 20) if big else (2, 12)
    order = "little" if byteorder == "<" else "big"
    after = last + width + entry * int.from_bytes(data[last : last + width], order)
    size = 8 if big else 4
    data[after : after + size] = first.to_bytes(size, order)
    path.write_bytes(data)
    for read in (read_image, open_image):
        with pytest.raises(InputError, match="lead back to each other"):
            read(path)


@pytest.mark.parametrize("edge", [2**20, 2**28])
def test_no_room_is_made_for_tiles_that_no_file_of_this_size_holds(tmp_path: Path, edge: int) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((16, 16), np.uint8), compression="zlib", tile=(16, 16))
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages[0].tags["TileLength"].overwrite(edge, dtype="I")
        file.pages[0].tags["TileWidth"].overwrite(2**8, dtype="I")
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="header claims"):
            read_image(path)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_a_file_that_ends_before_its_pixels_is_refused_before_room_is_made(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((2048, 2048), np.uint16))
    path.write_bytes(path.read_bytes()[: 2**20])
    for reads in (read_image, open_image):
        with pytest.raises(InputError, match="the file ends before"):
            reads(path)


def test_what_somebody_saved_is_no_image_and_not_replaced(tmp_path: Path) -> None:
    predicted, saved, image = (tmp_path / name for name in ("p.tif", "s.tif", "i.tif"))
    labels = np.zeros((5, 6), np.int32)
    write_image(predicted, labels)
    write_image(saved, labels, software=BY_HAND)
    tifffile.imwrite(image, labels)
    assert expand_paths([tmp_path], results=False) == [image]
    check_replaceable(predicted)
    for path, words in ((saved, "saved by hand"), (image, "not a result of napari-unet")):
        with pytest.raises(InputError, match=words):
            check_replaceable(path)

"""Tables as CSV files, which replace nothing but earlier tables of their kind."""

import codecs
from collections.abc import Sequence
from pathlib import Path

from napari_unet.core.errors import InputError
from napari_unet.core.scoring.score_table import delimited
from napari_unet.files.atomic import check_writable, writing
from napari_unet.files.pixels.images import SUFFIXES

_OTHERS = (".xlsx", ".xls", ".ods", ".zarr", *SUFFIXES)
"""Endings that promise something else than a table of text: a spreadsheet, or an image."""


def check_table(path: Path, kind: str, *beginnings: Sequence[str]) -> None:
    """Raise InputError unless ``path`` is free or an earlier table.

    Also raised if the name ends like that of a spreadsheet or image, which no program could open. ``kind`` is
    what the table is of, in words; ``beginnings`` are names that the first columns of one may have.
    """
    check_writable(path)
    if path.exists():
        begins = tuple(f"{','.join(names)},".encode() for names in beginnings)
        with path.open("rb") as file:
            found = file.read(len(codecs.BOM_UTF8) + max(map(len, begins))).removeprefix(codecs.BOM_UTF8)
        if not found.startswith(begins):
            raise InputError(f"{path} already exists and is not a table of {kind}; choose another name.")
    if path.suffix.lower() in _OTHERS:
        raise InputError(f"{path} would be a table of another kind; let its name end in .csv.")


def write_table(path: Path, rows: Sequence[Sequence[object]]) -> None:
    """Write a table as CSV in UTF-8, with a mark at its start if Excel would misread letters without it.

    ``InputError`` if the file cannot be written.
    """
    text = delimited(rows)
    with writing(path) as temporary:
        # File names on disk may not be valid text.
        encoding = "utf-8" if text.isascii() else "utf-8-sig"
        temporary.write_text(text, encoding, "backslashreplace", newline="")

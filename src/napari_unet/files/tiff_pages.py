"""The pages of a TIFF file, before a decoder goes through them: damage may lead it round in circles."""

import struct
from pathlib import Path


def check_pages(path: Path) -> None:
    """Refuse a TIFF file whose directories, one leading to the next, are more than it has room for.

    Raises
    ------
    ValueError
        If they overlap or lead back to each other.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(16)
        order = "<" if start.startswith(b"I") else ">"
        is_big = start[2:4] in (b"+\0", b"\0+")
        count_format, entry, offset_format = (
            (f"{order}Q", 20, f"{order}Q") if is_big else (f"{order}H", 12, f"{order}I")
        )
        head, tail = struct.calcsize(count_format), struct.calcsize(offset_format)
        place, total = start[8:16] if is_big else start[4:8], 0
        while len(place) == tail:
            (offset,) = struct.unpack(offset_format, place)
            if not 0 < offset < size:
                return
            file.seek(offset)
            count = file.read(head)
            if len(count) < head:
                return
            length = head + entry * struct.unpack(count_format, count)[0] + tail
            total += length
            if total > size + length:
                raise ValueError("its pages lead back to each other")
            if offset + length > size:
                return
            file.seek(offset + length - tail)
            place = file.read(tail)

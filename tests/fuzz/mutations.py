"""Damage, accidental and hostile, for whatever a reader is given."""

import json
import random
import re
from typing import Any

_NUMBER = re.compile(rb"\d+")
_ODD_NUMBERS = (b"0", b"-1", b"1e999", b"4294967296", b"9" * 18, b"9" * 60, b"NaN", b"1.5")
_ODD_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 2**31, 2**63, 10**30, 1.5, float("nan"), float("inf"), "", "x" * 300, "../../x",
    [], [[]], {}, {"x": 1}, [None], "\0", "\n",
)  # fmt: skip


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Return ``data`` with one to three changes."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        data = _changed(data, chance)
    return data


def _changed(data: bytes, chance: random.Random) -> bytes:
    if not data:
        return chance.randbytes(8)
    last = len(data) - 1
    start = chance.choice(
        (chance.randrange(len(data)), min(last, chance.randrange(400)), max(0, last - chance.randrange(400)))
    )  # headers are where the harm is
    length = chance.choice((1, 2, 4, 8, 64))
    part, rest = data[start : start + length], data[start + length :]
    numbers = list(_NUMBER.finditer(data, start, start + 4096))
    if numbers and chance.random() < 0.15:
        found = chance.choice(numbers)
        return data[: found.start()] + chance.choice(_ODD_NUMBERS) + data[found.end() :]
    flipped = bytes([data[start] ^ (1 << chance.randrange(8))]) + data[start + 1 :]
    end = chance.choice((
        flipped,
        b"",  # cut off
        rest,  # a part is missing
        chance.randbytes(length) + data[start:],
        chance.choice((b"\xff", b"\x7f", b"\x00", b"\x40")) * length + rest,  # lengths that are far too large
        part + part + rest,
        part[::-1] + rest,
    ))  # fmt: skip
    return data[:start] + end


def mutated_json(value: Any, chance: random.Random) -> Any:
    """Return a JSON value in which one part, anywhere, is another, absent, or there twice."""
    root: dict[Any, Any] = {"": json.loads(json.dumps(value))}
    holder: Any = root
    key: Any = ""
    while isinstance(holder[key], dict | list) and holder[key] and chance.random() < 0.75:
        holder = holder[key]
        key = chance.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    match chance.randrange(4):
        case 0 if isinstance(holder, dict) and holder is not root:
            del holder[key]
        case 1 if isinstance(holder, dict) and holder is not root:
            holder[f"{key}x"] = holder[key]
        case 2 if isinstance(holder, list):
            holder.append(holder[key])
        case _:
            holder[key] = chance.choice(_ODD_VALUES)
    return root[""]

"""How the command line listens and speaks: flags, lines, JSON, progress, signals."""

import json
import math
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import typer

from napari_unet.core.control import Control
from napari_unet.core.errors import InputError

MULTIPLE = frozenset({"--images", "--paint", "--set", "--what", "--predictions", "--truths"})
"""Flags that take every value up to the next flag."""

Progress = Callable[[float, str], None]
"""Called with the part that is done, in [0, 1], and a few words on it."""

_BAR_LENGTH = 1000


def repeat_flags(arguments: Sequence[str]) -> list[str]:
    """Return ``arguments`` with "--images a b" as "--images a --images b", the only way Typer knows.

    Raises
    ------
    InputError
        If a flag in ``MULTIPLE`` has no value.
    """
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    result: list[str] = []
    flag, bare = "", False  # the flag that takes further values, and whether it has none yet
    for argument in arguments[:end]:
        if argument.startswith("-") and argument != "-":
            _require_value(flag, bare)
            name, equals, _ = argument.partition("=")
            flag = name if name in MULTIPLE else ""
            bare = bool(flag) and not equals
            if not bare:
                result.append(argument)
        else:
            result += [flag, argument] if flag else [argument]
            bare = False
    _require_value(flag, bare)
    return result + list(arguments[end:])


def _require_value(flag: str, bare: bool) -> None:
    if bare:
        raise InputError(f"{flag} has no value; give at least one after it.")


def note(text: str) -> None:
    """Print one line for the user on stderr."""
    over_a_bar = "\r\x1b[K" if sys.stderr.isatty() else ""
    print(over_a_bar + " ".join(text.split()), file=sys.stderr, flush=True)


def print_json(values: Mapping[str, Any]) -> None:
    """Print one JSON object on one line of stdout; numbers that JSON does not have are null."""
    print(json.dumps(_finite(values), allow_nan=False), flush=True)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def progress_bar(label: str) -> Iterator[Progress]:
    """Show a bar on stderr if that is a terminal; logs and pipes get none."""
    if not sys.stderr.isatty():
        yield lambda _part, _words: None
        return
    latest = ""
    bar: Any  # Typer exports the function, not the class
    with typer.progressbar(
        length=_BAR_LENGTH, label=label, item_show_func=lambda _item: latest, file=sys.stderr
    ) as bar:

        def show(part: float, words: str) -> None:
            nonlocal latest
            latest = words
            bar.update(round(min(part, 1) * _BAR_LENGTH) - bar.pos)

        yield show


@contextmanager
def signals_stop(control: Control) -> Iterator[list[int]]:
    """Let Ctrl-C, and the end of a cluster job's time, stop a job that can still save its result.

    Yields
    ------
    list of int
        The signals that came. A second one ends the program at once.

    Raises
    ------
    KeyboardInterrupt
        If the job, once stopped, says that it has no result yet.
    """
    received: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        control.stop()

    watched = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, stop) for number in watched]
    try:
        yield received
    except InputError as error:
        if received:
            raise KeyboardInterrupt from error
        raise
    finally:
        for number, handler in zip(watched, before, strict=True):
            signal.signal(number, handler)

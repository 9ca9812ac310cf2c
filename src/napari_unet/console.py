"""Input and output of the command line: flags, lines, JSON, progress, signals."""

import contextlib
import io
import json
import math
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from textwrap import shorten
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

import typer
from typer.core import TyperGroup

from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.files.opening import user_path

if TYPE_CHECKING:
    from napari_unet.network.events import Stopped, TrainingEvent

MULTIPLE = frozenset(
    {
        "--images",
        "--paint",
        "--validation",
        "--set",
        "--what",
        "--outlines",
        "--predictions",
        "--truths",
        "--author",
    }
)
"""Flags that take every value up to the next flag."""

Progress = Callable[[float, str], None]
"""Called with the part that is done, in [0, 1], and a few words about it."""

_BAR_LENGTH = 1000

_QUOTED = re.compile(r'(?s)(--[\w-]+=)?[^"=]*".*')
"""A path with a quotation mark in it, but not a setting whose value is text."""

_LONGEST_MESSAGE = 200
"""Limit of letters in a message about a command line, which may have thousands of names from a pattern."""


def ready_streams() -> None:
    """Keep printing from failing if a stream is closed, or cannot encode a letter of a name."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 (to the end)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def in_home(argument: str) -> str:
    """Return an argument with "~/" expanded, even after "--flag=", where shells do not."""
    return re.sub(r"(?s)^(--[\w-]+=)?(~.*)", lambda found: f"{found[1] or ''}{user_path(found[2])}", argument)


def repeat_flags(arguments: Sequence[str]) -> list[str]:
    """Return ``arguments`` with "--images a b" as "--images a --images b", the only way Typer knows.

    ``InputError`` if a flag in ``MULTIPLE`` has no value, an argument is empty (as a path it would be the
    current folder), or the quotation mark after a folder became part of it.
    """
    for before, argument in pairwise(("napari-unet", *arguments)):
        if not argument or re.fullmatch(r"--[\w-]+=", argument):
            raise InputError(
                f"There is nothing after {argument[:-1] or before}, as from a variable that is not set; give "
                "a value."
            )
        if sys.platform == "win32" and _QUOTED.fullmatch(argument):
            raise InputError(
                f'{argument} has a quotation mark in it, which Windows makes of \\"; leave out the \\ at the '
                "end of a folder."
            )
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    result: list[str] = []
    flag, bare = "", False  # the flag that takes more values, and whether it has none yet
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


def check_project(
    project: Path | None, told: Mapping[str, object], need: Sequence[str], may: Sequence[str] = ()
) -> None:
    """Raise ``InputError`` if flags repeat what the project says, or are missing without one.

    ``told`` are the flags that a project sets and their values, ``need`` those needed without a project, and
    ``may`` those allowed with one.
    """
    given = [flag for flag, value in told.items() if value]
    twice = [flag for flag in given if flag not in may]
    if project is not None and twice:
        raise InputError(f"The project already sets what {twice[0]} would; leave out one of the two.")
    absent = [flag for flag in need if flag not in given]
    if project is None and absent:
        raise InputError(f"{absent[0]} is missing; give {' and '.join(need)}, or --project FOLDER.")


def usage_sentence(error: Any, given: Sequence[str]) -> str:
    """Return a sentence about a command line, ``given``, that Typer refuses, and what to do."""
    # Typer does not tell which command lacks the value of its last flag.
    command = error.ctx.command_path if error.ctx else " ".join(("napari-unet", *given[:1]))
    option = getattr(error, "option_name", "")
    for parameter in error.ctx.command.params if error.ctx else ():
        if parameter.param_type_name == "argument" and option == f"--{parameter.name}":
            usage = f"{command} {parameter.metavar}"
            return f"{option} is not known here; give the {parameter.name} without a flag: {usage} ..."
    message = shorten(error.format_message().rstrip("."), _LONGEST_MESSAGE, placeholder=" ...")
    if message.startswith("Got unexpected extra argument"):
        flags = [item.opts[0] for item in error.ctx.command.params if item.metavar == "PATH..."]
        has_argument = any(item.param_type_name == "argument" for item in error.ctx.command.params)
        usage = "give one" if has_argument else "leave it out"
        message += f"; put the flag they belong to before them, such as {flags[0]}" if flags else f"; {usage}"
    return f"{message}; see {command} --help."


def note(text: str) -> None:
    """Print one line for the user on stderr, unless its terminal was closed."""
    with contextlib.suppress(OSError):
        _clear_bar()
        print(" ".join(text.split()), file=sys.stderr, flush=True)


def _clear_bar() -> None:
    """Clear the progress bar for the next line; it is drawn again below that."""
    if sys.stderr.isatty():
        typer.echo("\r\x1b[K", nl=False, file=sys.stderr)  # which handles Windows consoles


def listed(paths: Sequence[Path]) -> str:
    """Return the first path in words, and how many more there are."""
    return f"{paths[0]}{f' and {len(paths) - 1} more' if len(paths) > 1 else ''}"


def print_json(values: Mapping[str, Any]) -> None:
    """Print one JSON object on one line of stdout; NaN and infinity become null."""
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
            with contextlib.suppress(OSError):  # the terminal is closed
                bar.update(round(min(part, 1) * _BAR_LENGTH) - bar.pos)

        yield show


class TrainingReport:
    """Prints the events of a training; a budget of seconds or steps that was not given is infinite."""

    def __init__(self, seconds: float, steps: float, *, as_json: bool) -> None:
        self._seconds = seconds
        self._steps = steps
        self._as_json = as_json
        self._before = 0.0, 0  # seconds and steps of earlier sessions

    def show(self, event: "TrainingEvent", progress: Progress) -> None:
        """Print an event, or move the progress bar."""
        from napari_unet.network import events
        from napari_unet.network.news import training_news

        if self._as_json:
            name = re.sub(r"\B(?=[A-Z])", "_", type(event).__name__).lower()  # "step_done"
            print_json({"event": name} | _json_values(event))
        match event:
            case events.Warned():
                note(event.message)
            case events.StepDone():
                seconds, steps = event.seconds - self._before[0], event.step - self._before[1]
                part = max(seconds / self._seconds, steps / self._steps)
                progress(part, f"step {event.step}, loss {event.loss:.3f}")
            case events.Started() if self._as_json:
                pass
            case events.Validated() if self._as_json or sys.stderr.isatty():
                pass  # logs get these
            case _ if words := training_news(event):
                note(words)
        if isinstance(event, events.Continued):
            self._before = event.history.seconds, event.history.steps


def _json_values(event: "TrainingEvent") -> dict[str, Any]:
    from napari_unet.network.events import Continued

    if isinstance(event, Continued):  # whose curve is in the model file
        history = event.history
        return {"step": history.steps, "seconds": history.seconds, "same_data": event.same_data}
    return asdict(event)


def report_saved(event: "Stopped", output: Path, as_json: bool) -> None:
    """Print which model was saved, and where."""
    history = event.model.history
    # The last one: a network that continues with other paint is scored again.
    kept = [score for score in history.scores if score[0] == history.best_step]
    score, _, *interval = kept[-1][2:] if kept else (math.nan, math.nan)
    if as_json:
        values = {"reason": event.reason, "output": str(output), "steps": history.steps}
        print_json(
            {"event": "stopped"} | values | {"seconds": history.seconds, "score": score, "interval": interval}
        )
    else:
        print(
            f"Saved {output}: {event.reason} after {history.steps} step{'s' * (history.steps != 1)} and "
            f"{history.seconds:.0f} s, "
            f"with the weights of step {history.best_step}, which scored {score:.3f}{say_interval(interval)}."
        )


def say_interval(interval: Sequence[float]) -> str:
    """Return the interval of a score in words; early models have none."""
    return " ({:.2f} to {:.2f})".format(*interval) if interval else ""


def report_written(image: Path, kind: str, path: Path, as_json: bool, *, was_there: bool = False) -> None:
    """Print where a result of an image is, which may have been there before."""
    if as_json:
        event = "kept" if was_there else "written"
        print_json({"event": event, "image": str(image), "what": kind, "path": str(path)})
    else:
        _clear_bar()
        print(path)


def report_table(path: Path, as_json: bool) -> None:
    """Print where the table of the objects of all images is."""
    if as_json:
        print_json({"event": "written", "what": "table", "path": str(path)})
    else:
        print(path)


@contextmanager
def signals_stop(control: Control) -> Iterator[list[int]]:
    """Let Ctrl-C, a closed terminal and the time limit of a cluster job stop a job that can save its result.

    Yields the signals received. A second one ends the program at once, except that of a closed terminal.
    ``KeyboardInterrupt`` if the job, once stopped, has no result; the reason is printed before.
    """
    received: list[int] = []
    terminals = [stream for stream in (sys.stdout, sys.stderr) if stream.isatty()]
    # Windows has no SIGHUP, but Ctrl-Break.
    hang_up, ctrl_break = getattr(signal, "SIGHUP", None), getattr(signal, "SIGBREAK", None)

    def stop(number: int, _frame: FrameType | None) -> None:
        if number == hang_up:  # which may come twice: from the system and from the shell
            _let_go(terminals)
        elif received:
            raise KeyboardInterrupt
        received.append(number)
        control.stop()

    watched = [signal.SIGINT, signal.SIGTERM, *filter(None, [ctrl_break])]
    if hang_up is not None and signal.getsignal(hang_up) != signal.SIG_IGN:  # as after nohup
        watched.append(hang_up)
    before = [signal.signal(number, stop) for number in watched]
    try:
        yield received
    except InputError as error:
        if received:
            note(str(error))
            raise KeyboardInterrupt from error
        raise
    finally:
        for number, handler in zip(watched, before, strict=True):
            signal.signal(number, handler)


def _let_go(terminals: Iterable[TextIO]) -> None:
    """Discard further output: writing to a terminal that is gone is an error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in terminals:
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


class Commands(TyperGroup):
    """The commands; Ctrl-C is reported, while Typer would only return an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the given command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise typer.Abort from error

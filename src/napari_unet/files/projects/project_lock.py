"""Only one window or command writes a project: a file in its folder says which, and that it still runs."""

import contextlib
import json
import os
import secrets
import socket
import time
from pathlib import Path
from typing import Any

import psutil

from napari_unet.core.errors import InputError
from napari_unet.files.atomic import writing
from napari_unet.files.projects.project import FILE as PROJECT

FILE = "project.lock"

_FORGOTTEN_S = 60.0
"""Seconds without a sign of life after which a window on another computer counts as closed."""


class InUseError(InputError):
    """Another window, or a command, writes this project."""


class ProjectLock:
    """The right to write the project in ``folder``, until :meth:`release`.

    It can be taken from a window that was killed; error messages of others say whether a command or a window
    has it. ``InUseError`` if a window or a command has it, ``InputError`` if the folder cannot be written.
    """

    def __init__(self, folder: Path, *, of_command: bool = False) -> None:
        if where := open_where(folder):
            raise InUseError(_in_use(folder, where, of_command=of_command))
        self._path = folder / FILE
        own = psutil.Process()
        self._entry = {
            "host": socket.gethostname(),
            "process": own.pid,
            "started": own.create_time(),
            "token": secrets.token_hex(8),
            "command": of_command,
        }
        self._write()
        # If two found it free at the same moment, the one that wrote last has it.
        self.check()

    def check(self) -> None:
        """Give a sign of life.

        ``InUseError`` if another window has taken the right, for example while this computer was asleep.
        ``InputError`` if the folder is gone.
        """
        if not (self._path.parent / PROJECT).is_file():
            raise InputError(
                f"The project {self._path.parent} is gone, so nothing is saved; bring the folder back, or "
                "save the project elsewhere."
            )
        holder = _read(self._path)
        if holder is None:
            self._write()
        elif holder["token"] != self._entry["token"]:
            raise InUseError(
                f"Another window took over the project {self._path.parent.name}, so nothing is saved in it "
                "from here any more; save elsewhere."
            )
        with contextlib.suppress(OSError):  # saving will report what cannot be written
            os.utime(self._path)

    def release(self) -> None:
        """Give the right back; doing so twice does no harm."""
        holder = _read(self._path)
        if holder is not None and holder["token"] == self._entry["token"]:
            with contextlib.suppress(OSError):
                self._path.unlink()

    def _write(self) -> None:
        with writing(self._path) as temporary:
            temporary.write_text(json.dumps(self._entry), encoding="utf-8")


def open_where(folder: Path) -> str:
    """Return, in words, which computer writes the project in ``folder``; "" if none does."""
    holder = _read(folder / FILE)
    if holder is None or not _is_alive(holder, folder / FILE):
        return ""
    return "on this computer" if holder["host"] == socket.gethostname() else f"on {holder['host']}"


def _in_use(folder: Path, where: str, *, of_command: bool) -> str:
    """Return a sentence that says who has the project, for a command or window that wanted it."""
    holder, other = _read(folder / FILE) or {}, "a" if of_command else "another"
    who, ends = f"open in {other} window", "close that"
    if holder.get("command") is True:
        who, ends = "written by napari-unet train", "wait until that ends"
    what = f"The project {folder.resolve().name} is {who} {where}"
    if of_command:
        return f"{what}; {ends}, or save the model elsewhere, with --output."
    return (
        f"{what}, so nothing you paint here is saved; {ends} and open it here again, or save this elsewhere."
    )


def _read(path: Path) -> dict[str, Any] | None:
    """Return who holds the lock; None if nobody does or it cannot be read."""
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        if {"host": str, "process": int, "token": str} == {
            key: type(holder[key]) for key in ("host", "process", "token")
        }:
            return dict(holder)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        pass
    return None


def _is_alive(holder: dict[str, Any], path: Path) -> bool:
    if holder["host"] != socket.gethostname():
        try:
            return _now(path.parent) - path.stat().st_mtime < _FORGOTTEN_S
        except OSError:
            return False
    try:
        # After a restart another process may have this number, but it began at another time.
        return bool(abs(psutil.Process(holder["process"]).create_time() - holder.get("started", 0)) < 2)
    except (psutil.Error, ValueError, TypeError, OverflowError):
        return False


def _now(folder: Path) -> float:
    """Return the time by the clock that dates files in ``folder``: a server's may differ from ours."""
    probe = folder / f".{FILE}-{secrets.token_hex(4)}"
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        return time.time()
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()

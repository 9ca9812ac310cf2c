"""Files that are either written completely or not touched at all."""

import contextlib
import hashlib
import os
import re
import secrets
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import psutil

from napari_unet.core.errors import InputError
from napari_unet.files.opening import user_path
from napari_unet.network.failures import is_disk_full

if sys.platform != "win32":
    import fcntl

_TEMPORARY = re.compile(r"\.napari-unet-(?P<here>[0-9a-f]{8})-(?P<process>[0-9]{1,9})-[0-9a-f]{8}\.part")
"""Pattern of temporary files; their names say which process made them."""


PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Pauses between attempts to move a file: on Windows, virus scanners hold new files for a moment."""

_LONG = 248
"""Length of a folder's path that is too long for Windows, unless it was set up for more."""

_SEPARATORS = tuple(filter(None, (os.sep, os.altsep)))


def file_to_write(name: str | Path) -> Path:
    """Return the path that a user means by the name of a file; ``InputError`` for "models/", a folder."""
    if str(name).endswith(_SEPARATORS):
        raise InputError(f"{name} is a folder; give the name of a file to write in it.")
    return user_path(name)


@contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path to write to, which replaces ``path`` if the block succeeds.

    The temporary file is hidden in the same folder, because only there can a file be replaced in one step. It
    is flushed to the disk first, so that a crash or power cut at any moment leaves either the old file or the
    new one. If anything fails, the temporary file is removed and an existing file is unchanged. What a killed
    process has left is removed by the next one that writes there.

    Missing folders are made: losing a result because its folder does not exist would be worse. Links are
    followed, not replaced. The file gets the permissions of any new file. ``InputError`` if it cannot be
    written: a folder or device is in its place, permission is missing, the disk is full, or a program keeps
    the old file from being replaced.
    """
    target = Path(os.path.realpath(file_to_write(path)))
    try:
        if target.is_dir():
            raise InputError(f"{path} is a folder; give the name of a file to write in it.")
        if target.exists() and not target.is_file():  # such as /dev/null, which must stay
            raise InputError(f"{path} is not an ordinary file; give the name of a file to write.")
        if target.exists() and not os.access(target, os.W_OK):
            raise InputError(f"{path} is write-protected; allow writing to it, or choose another name.")
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target.parent)
        temporary = _empty_file_in(target.parent)
        try:
            # What a new file may do here is decided by the umask; writers that make private files must not
            # change it.
            permissions = temporary.stat().st_mode
            yield temporary
            temporary.chmod(permissions)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            _put_in_place(temporary, target, path)
        except BaseException:
            with contextlib.suppress(OSError):  # the error itself is reported; the next writer removes it
                temporary.unlink(missing_ok=True)
            raise
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(
            f"{path} cannot be written: part of its folder is a file; choose another folder."
        ) from error
    except OSError as error:
        is_full = is_disk_full(error)
        reason = error.strerror or ("the disk is full" if is_full else error)
        remedy = (
            "free some space there or choose another folder" if is_full else "choose another name or folder"
        )
        if is_too_long(error):
            reason, remedy = "its path is too long for Windows", "choose a folder with a shorter path"
        raise InputError(f"{path} could not be written ({reason}); {remedy}.") from error
    _flush_folder(target.parent)


def _put_in_place(temporary: Path, target: Path, name: str | Path) -> None:
    try:
        move(temporary, target)
    except PermissionError as error:
        raise InputError(
            f"{name} could not be replaced ({error.strerror}); close it in other programs, or choose another "
            "name."
        ) from error


def move(source: Path, target: Path) -> None:
    """Move a file to ``target``, replacing it, or a folder if there is none.

    On Windows nothing can be moved while a program has it open, so that this tries for a moment before it
    raises ``PermissionError``.
    """
    for pause in PAUSES_S:
        try:
            source.replace(target)
        except PermissionError:
            time.sleep(pause)
        else:
            return
    source.replace(target)


def is_too_long(error: OSError) -> bool:
    """Return whether a file's path is too long for Windows, whose error does not say so."""
    is_missing = isinstance(error, FileNotFoundError)
    return sys.platform == "win32" and is_missing and len(str(error.filename or "")) >= _LONG


def check_writable(path: str | Path) -> None:
    """Check that ``path`` can be written, before hours are spent on its content; no folder is left behind.

    ``InputError`` as :func:`writing`.
    """
    target = Path(os.path.realpath(file_to_write(path)))
    # Not `Path.exists`, which raises for a name that is too long, or in a folder that must not be read.
    folders = [folder for folder in target.parents if not os.path.exists(folder)]  # noqa: PTH110
    try:
        with contextlib.suppress(_NothingToWrite), writing(path):
            raise _NothingToWrite
        if target.exists():
            _put_in_place(target, target, path)  # changes nothing, but fails while a program keeps the file
    finally:
        for folder in folders:  # the innermost first
            with contextlib.suppress(OSError):  # not made, or another process has written there meanwhile
                folder.rmdir()


class _NothingToWrite(Exception):  # noqa: N818  (not an error: it undoes the rehearsal of a write)
    pass


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Lock a folder against other processes of this computer for a while, after waiting for them.

    Windows, and servers without locks, do not wait.
    """
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def remove_unowned(path: Path) -> None:
    """Remove a temporary file of :func:`writing` if the process that made it, on this computer, has ended."""
    found = _TEMPORARY.fullmatch(path.name)
    if found and found["here"] == _here() and not psutil.pid_exists(int(found["process"])):
        with contextlib.suppress(OSError):
            path.unlink()


@cache
def _sweep(folder: Path) -> None:
    """Remove what killed processes have left in a folder; only once, as it may hold many files."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 (names alone)
            remove_unowned(folder / name)


@cache
def _here() -> str:
    """Return a name for the processes visible from here: those of this computer, or this container."""
    space = ""
    with contextlib.suppress(OSError):
        space = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 (no path)
    return hashlib.sha256(f"{socket.gethostname()} {space}".encode(errors="replace")).hexdigest()[:8]


def _empty_file_in(folder: Path) -> Path:
    # The name does not include that of the file, which may already be as long as the file system allows. It
    # names the process instead of a lock: on Windows shares, only who locks a file can write to it.
    temporary = folder / f".napari-unet-{_here()}-{os.getpid()}-{secrets.token_hex(4)}.part"
    temporary.touch(exist_ok=False)
    return temporary


def _flush_folder(folder: Path) -> None:
    if sys.platform == "win32":  # which has no way to flush a folder
        return
    # The file is complete and in its place: a file system that cannot flush folders is no reason to say
    # otherwise.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

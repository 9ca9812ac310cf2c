"""Files that are either written completely or not touched at all."""

import contextlib
import hashlib
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from napari_unet.core.errors import InputError
from napari_unet.files.opening import user_path
from napari_unet.network.failures import is_disk_full

if sys.platform != "win32":
    import fcntl


@contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path to write to, which takes the place of ``path`` if the block succeeds.

    The temporary file lies, hidden, in the same folder, because only there is replacing a file one
    indivisible step. It is flushed to the disk first, so that a crash or power cut at any moment leaves the
    old file or the new one. If anything fails, the temporary file is removed and a file that was there before
    is as it was. What a process that was killed has left is removed by the next one that writes ``path``.

    Missing folders are made: losing a result to a folder that does not exist yet would be worse. A link is
    followed, not replaced. The file gets the permissions of any new file. ``InputError`` if it cannot be
    written there: a folder or device in its place, no permission, a full disk.
    """
    target = Path(os.path.realpath(user_path(path)))
    try:
        if target.is_dir():
            raise InputError(f"{path} is a folder; give the name of a file to write.")
        if target.exists() and not target.is_file():  # such as /dev/null, which everybody needs
            raise InputError(f"{path} is no ordinary file; give the name of a file to write.")
        if target.exists() and not os.access(target, os.W_OK):
            raise InputError(f"{path} is write-protected; allow writing to it, or choose another name.")
        target.parent.mkdir(parents=True, exist_ok=True)
        with _empty_file_beside(target) as temporary:
            # What a new file may do here is decided by the umask; writers that make private files must not
            # change it.
            permissions = temporary.stat().st_mode
            yield temporary
            temporary.chmod(permissions)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(target)
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
        raise InputError(f"{path} could not be written ({reason}); {remedy}.") from error
    _flush_folder(target.parent)


def check_writable(path: str | Path) -> None:
    """Say why ``path`` cannot be written, before hours are spent on what would go there.

    ``InputError`` as :func:`writing` would.
    """
    with contextlib.suppress(_NothingToWrite), writing(path):
        raise _NothingToWrite


class _NothingToWrite(Exception):  # noqa: N818  (not an error: it undoes the rehearsal of a write)
    pass


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other process of this computer works in a folder in this way, and keep it for a while.

    Windows, and servers without locks, let all in.
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
    """Remove a temporary file unless a living process has it, or nobody can tell."""
    if sys.platform == "win32" or not path.is_file():  # there, what is locked cannot get another name
        return
    with contextlib.suppress(OSError), path.open("rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its owner may have finished meanwhile, and another one begun.
        if _is_at(path, file.fileno()):
            path.unlink()


@contextmanager
def _empty_file_beside(target: Path) -> Iterator[Path]:
    """Give a new file in the folder of ``target``, which is removed if the block fails.

    It is locked meanwhile, which tells others that somebody has it, until the end of the process at the
    latest.
    """
    # The name of the target may already be as long as the file system allows. Of two computers, the one may
    # not see what the other one locks.
    name = hashlib.sha256(os.fsencode(f"{socket.gethostname()}/{target.name}")).hexdigest()[:12]
    for number in count():
        temporary = target.parent / f".napari-unet-{name}-{number}.part"
        remove_unowned(temporary)
        try:
            file = temporary.open("xb")
        except FileExistsError:
            continue
        with file:
            if not _lock(temporary, file.fileno()):
                continue
            if sys.platform == "win32":  # where what is open cannot get another name
                file.close()
            try:
                yield temporary
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            return


def _lock(path: Path, descriptor: int) -> bool:
    """Lock a file that was just made, unless another process took it for one without an owner."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # where there are no locks, nobody removes it
        return True
    return _is_at(path, descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


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

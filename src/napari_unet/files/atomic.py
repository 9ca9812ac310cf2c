"""Files that are either written completely or not touched at all."""

import contextlib
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_unet.core.errors import InputError
from napari_unet.files.opening import user_path
from napari_unet.network.failures import is_disk_full


@contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path to write to, which takes the place of ``path`` if the block succeeds.

    The temporary file lies, hidden, in the same folder, because only there is replacing a file one
    indivisible step. It is flushed to the disk first, so that a crash or power cut at any moment leaves the
    old file or the new one. If anything fails, the temporary file is removed and a file that was there before
    is as it was.

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
        temporary = _empty_file_in(target.parent)
        try:
            # What a new file may do here is decided by the umask; writers that make private files must not
            # change it.
            permissions = temporary.stat().st_mode
            yield temporary
            temporary.chmod(permissions)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
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


def _empty_file_in(folder: Path) -> Path:
    # The name does not hold that of the file, which may already be as long as the file system allows.
    temporary = folder / f".napari-unet-{secrets.token_hex(6)}.part"
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

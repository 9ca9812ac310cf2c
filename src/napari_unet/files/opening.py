"""Open files by the names that users give, or say in a sentence why they cannot be opened."""

import errno
import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from napari_unet.core.errors import InputError


def user_path(name: str | Path) -> Path:
    """Return the path that a user means by a name, with "~/" as the home folder.

    A name that merely begins with "~", such as "~backup.tif", is not changed. ``InputError`` if it is not a
    name.
    """
    try:
        path = Path(name)
    except TypeError as error:
        said = " ".join(reprlib.repr(name).split())
        raise InputError(f"The name of a file is {said}; give text, or a Path.") from error
    # Not `expanduser`, which takes such a name for that of a user.
    return Path.home().joinpath(*path.parts[1:]) if path.parts[:1] == ("~",) else path


@contextmanager
def opening(path: Path, noun: str) -> Iterator[BinaryIO]:
    """Open a file for a while; error messages call it "``noun`` file".

    ``InputError`` if it is missing, a folder, a pipe or a device, or cannot be read.
    """
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder; give the {noun} file.")
        if path.exists() and not path.is_file():  # reading could wait for ever
            raise InputError(f"{path} is a pipe or device; save it as a file, and give the {noun} file.")
        with path.open("rb") as file:
            yield file
    except FileNotFoundError as error:
        if path.is_symlink():
            raise InputError(
                f"{path} is a link to {path.readlink()}, which is not there; bring that back, or remove the "
                "link."
            ) from error
        raise InputError(f"There is no {noun} file {path}; check its name and folder.") from error
    except OSError as error:
        remedy = "remove the link" if error.errno == errno.ELOOP else "check its permissions"
        raise InputError(f"{path} could not be read ({error.strerror}); {remedy}.") from error

"""What the tests of files share: Windows moves and removes no file that is open, and so it is here."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

OWN = Path("/proc/self/fd")


def open_files() -> Iterator[str]:
    """Yield the paths of the files that this process has open."""
    for name in os.listdir(OWN):  # noqa: PTH208 (names alone)
        try:
            path = os.readlink(OWN / name)  # noqa: PTH115 (pipes have none)
        except FileNotFoundError:  # it was closed meanwhile
            continue
        if os.path.isfile(path):  # noqa: PTH113
            yield path


def refusing(move: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``move``, which takes paths, without what is open."""

    def moved(*paths: Any, **options: Any) -> Any:
        for path in paths if options.get("dir_fd") is None else ():
            whole = os.path.realpath(path)
            if any(one == whole or one.startswith(f"{whole}{os.sep}") for one in open_files()):
                raise PermissionError(errno.EACCES, "The file is being used by this process", str(path))
        return move(*paths, **options)

    return moved


@pytest.fixture(autouse=True)
def nothing_open_is_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse to replace, rename and remove what this process has open, where it can tell that."""
    if OWN.is_dir():
        for name in ("replace", "rename", "unlink"):
            monkeypatch.setattr(os, name, refusing(getattr(os, name)))
        remove = shutil.rmtree
        monkeypatch.setattr(
            shutil,
            "rmtree",
            lambda path, *rest, **options: refusing(lambda _: remove(path, *rest, **options))(path),
        )

"""The starters: models that come with the package, opened by name."""

import atexit
from contextlib import ExitStack
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.core.errors import InputError
from napari_unet.files.models import load_model

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from napari_unet.network.model import Model

_FOLDER = "data/starters"
_SUFFIX = ".safetensors"

_unpacked = ExitStack()
"""Files of a package that is not a folder, such as a zip archive; they are deleted when Python ends."""
atexit.register(_unpacked.close)


def starter_names() -> tuple[str, ...]:
    """Return the names of the starters there are, in alphabetical order."""
    return tuple(sorted(_resources()))


def load_starter(name: str) -> "Model":
    """Return a starter, such as ``load_starter("cells")``, to predict with or to start a training from.

    Raises
    ------
    InputError
        If there is none of this name, with the names there are.
    """
    return load_model(starter_path(name))


@cache
def starter_path(name: str) -> Path:
    """Return the file of a starter; from a package that is an archive, a copy that lasts until Python ends.

    Raises
    ------
    InputError
        If there is none of this name, with the names there are.
    """
    resources = _resources()
    if name not in resources:
        raise InputError(f"There is no starter {name!r}; {_offered(resources)}.")
    return _unpacked.enter_context(as_file(resources[name]))


def is_starter(path: str | Path) -> bool:
    """Return whether a file is that of a starter."""
    return Path(path) in {starter_path(name) for name in starter_names()}


def find_model(name: str | Path) -> Path:
    """Return the file that a user means who gives the name of a starter, or the path of a model file.

    Raises
    ------
    InputError
        If it is neither.
    """
    resources = _resources()
    if str(name) in resources:  # even where a folder is called so, too
        return starter_path(str(name))
    path = Path(name)
    if path.suffix == _SUFFIX or path.exists():
        return path
    raise InputError(f"There is no model file {name} and no starter of that name; {_offered(resources)}.")


def _resources() -> "dict[str, Traversable]":
    folder = files("napari_unet") / _FOLDER
    found = folder.iterdir() if folder.is_dir() else ()
    return {item.name.removesuffix(_SUFFIX): item for item in found if item.name.endswith(_SUFFIX)}


def _offered(resources: "dict[str, Traversable]") -> str:
    names = ", ".join(sorted(resources))
    return f"give {names} or a model file" if names else "none comes with this release; give a model file"

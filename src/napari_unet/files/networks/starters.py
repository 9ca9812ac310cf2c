"""The starters: models that come with the package, opened by name."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.core.errors import InputError
from napari_unet.files.networks.models import load_model
from napari_unet.files.opening import user_path

if TYPE_CHECKING:
    from napari_unet.network.model import Model

_FOLDER = Path(__file__).parents[2] / "data" / "starters"
_SUFFIX = ".safetensors"


def starter_names() -> tuple[str, ...]:
    """Return the names of all starters, in alphabetical order."""
    return tuple(sorted(path.stem for path in _FOLDER.glob(f"*{_SUFFIX}")))


def load_starter(name: str) -> "Model":
    """Return a starter, such as ``load_starter("cells")``, to predict with or to start a training from.

    Raises
    ------
    InputError
        If there is none of this name; the message lists the names.
    """
    model = load_model(starter_path(name))
    release = model.history.versions.get("napari-unet", "")
    return replace(model, origin=f"taken from the starter {name} of napari-unet {release}".rstrip())


def starter_path(name: str) -> Path:
    """Return the file of a starter.

    ``InputError``, with a list of names, if there is none of this name.
    """
    if name not in starter_names():
        raise InputError(
            f"There is no starter {name!r}; give {' or '.join(starter_names())}, or open a model file by "
            "load_model."
        )
    return _FOLDER / f"{name}{_SUFFIX}"


def is_starter(path: str | Path) -> bool:
    """Return whether a file is one of the starters."""
    return Path(path) in {starter_path(name) for name in starter_names()}


def find_model(name: str | Path) -> Path:
    """Return the model file that a user means by the name of a starter, or by a path.

    ``InputError`` if it is neither.
    """
    if str(name) in starter_names():  # even if a folder has this name
        return starter_path(str(name))
    path = user_path(name)
    if path.suffix == _SUFFIX or path.exists():
        return path
    raise InputError(
        f"There is no model file {name} and no starter of that name; "
        f"give {', '.join(starter_names())} or a model file."
    )

"""Settings of training and prediction as one TOML file, with a section for each part."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tomli_w

from napari_unet.core.errors import InputError
from napari_unet.files.opening import user_path
from napari_unet.files.plain import from_plain, suggest, to_plain
from napari_unet.network.config import PredictionConfig, TrainingConfig
from napari_unet.network.model import Model


@dataclass(frozen=True, slots=True)
class Settings:
    """How a network is trained, and how it then segments.

    In files and overrides, every part is a separate section: ``[training]``, ``[network]``,
    ``[weights]``, ``[augmentation]``, ``[normalisation]``, ``[prediction]`` and ``[instances]``.
    """

    training: TrainingConfig = field(default_factory=TrainingConfig)
    prediction: PredictionConfig = field(default_factory=PredictionConfig)


def settings_after(model: Model) -> Settings:
    """Return the settings of a training that begins with a model, and of a prediction with it.

    A starter was made differently than by training on strokes, so only its network and scaling are used.
    """
    # Training time is not a setting of a model, and other images may have other voxels.
    training = replace(model.training, seconds=None, steps=None, patience=None, spacing=None)
    if model.is_starter:
        training = TrainingConfig(network=model.network, normalisation=model.normalisation)
    return Settings(training, PredictionConfig(instances=model.instances))


_PARENTS = {
    "network": "training",
    "weights": "training",
    "augmentation": "training",
    "normalisation": "training",
    "instances": "prediction",
}
"""The part that contains each section, though files list them side by side."""

_SECTIONS = ("training", "prediction", *_PARENTS)


def read_settings(path: str | Path, base: Settings | None = None) -> Settings:
    """Read settings from a TOML file; missing ones are as in ``base``, or have their defaults.

    ``InputError`` if the file cannot be read, is not TOML, or holds a section, key or value that does not
    exist.
    """
    try:
        # Windows editors put a byte order mark before it.
        return _from_sections(tomllib.loads(user_path(path).read_text(encoding="utf-8-sig")), base)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 text; save it with this encoding, or give settings in TOML."
        ) from error
    except OSError as error:
        raise InputError(
            f"{path} could not be read ({error.strerror}); check its name and folder."
        ) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{path} is not valid TOML ({error}); correct it there.") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def settings_text(settings: Settings) -> str:
    """Return all settings as TOML, which :func:`read_settings` reads."""
    sections = _to_sections(settings)
    return tomli_w.dumps(
        {
            name: {key: value for key, value in values.items() if value is not None}
            for name, values in sections.items()
        }
    )


def override(settings: Settings, assignments: Iterable[str]) -> Settings:
    """Return ``settings`` with some values replaced by ``assignments``, each "section.key=value".

    The value is TOML, such as in "weights.sigma=3", or else plain text; with nothing after the "=", an
    optional value is not set. All are applied before they are checked against each other. ``InputError`` if
    one cannot be used.
    """
    sections = _to_sections(settings)
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        section, dot, key = name.strip().partition(".")
        if not (equals and dot and section and key):
            raise InputError(
                f"{assignment!r} is not a setting; write section.key=value, such as weights.sigma=3."
            )
        sections.setdefault(section, {})[key] = _parse_value(text.strip())
    return _from_sections(sections)


def not_of(part: str, assignments: Iterable[str]) -> list[str]:
    """Return the assignments to sections that do not belong to ``part``, "training" or "prediction"."""
    sections = ((assignment, assignment.partition(".")[0].strip()) for assignment in assignments)
    return [assignment for assignment, section in sections if _PARENTS.get(section, section) != part]


def _parse_value(text: str) -> Any:
    if not text:
        return None
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
    return parsed["value"] if len(parsed) == 1 else text  # more lines would be more keys


def _to_sections(settings: Settings) -> dict[str, dict[str, Any]]:
    nested: dict[str, dict[str, Any]] = to_plain(settings)
    inner = {name: nested[parent].pop(name) for name, parent in _PARENTS.items()}
    # A part that is not set (those of the model are used) has no section.
    return nested | {name: values for name, values in inner.items() if values is not None}


def _from_sections(sections: Mapping[str, Any], base: Settings | None = None) -> Settings:
    # Of all settings, since a part may have other defaults here than alone.
    nested: dict[str, Any] = to_plain(base or Settings())
    for name, values in sections.items():
        if name not in _SECTIONS:
            raise InputError(f"There is no section {name!r}; {suggest(name, _SECTIONS)}")
        if not isinstance(values, Mapping):
            raise InputError(f"{name} is {values!r}; give a section with settings of its own.")
        for key in values:
            if _PARENTS.get(key) == name:
                raise InputError(f"{name}.{key} is a section of its own; write [{key}].")
        where = nested[_PARENTS[name]] if name in _PARENTS else nested
        where[name] = {**(where[name] or {}), **values}
    settings: Settings = from_plain(Settings, nested, "settings")
    return settings

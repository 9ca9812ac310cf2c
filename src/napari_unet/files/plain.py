"""Convert frozen dataclasses to plain dictionaries, as in TOML and JSON, and strictly back."""

import difflib
import reprlib
import types
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from napari_unet.core.errors import InputError


def to_plain(value: object) -> Any:
    """Return ``value`` as dictionaries, lists, text, numbers, booleans and None."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    if isinstance(value, np.generic):  # such as a pixel size that came from an array
        return value.item()
    return value


def from_plain(kind: Any, value: object, name: str, *, ignore_unknown: bool = False) -> Any:
    """Return ``value`` as a ``kind``, or say which of its keys cannot be used, and what can be used instead.

    Parameters
    ----------
    kind : type
        bool, int, float, str, ``Literal``, optional, a tuple or mapping of these, or a dataclass of them. A
        field that is a dataclass is a separate section: its keys are called "section.key" at any depth.
    value : object
        A result of :func:`to_plain`, or the content of a file. Missing keys get their defaults; whole numbers
        are accepted as real ones, and nothing else is converted.
    name : str
        Name of the section or key, for error messages.
    ignore_unknown : bool
        Whether keys that a dataclass does not have are left out rather than refused.

    Raises
    ------
    InputError
        For the first key that cannot be used.
    """
    section = _section(kind)
    if section is not None and (value is not None or section is kind):
        return section(**_arguments(section, value, name, ignore_unknown))
    found = _plain_value(kind, value)
    if found is MISSING:
        raise InputError(f"{name} is {reprlib.repr(value)}; give {_describe(kind)}.")
    return found


def _arguments(kind: type, value: object, name: str, ignore_unknown: bool) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{name} is {reprlib.repr(value)}; give a section with settings of its own.")
    hints = get_type_hints(kind)
    arguments: dict[str, Any] = {}
    for key, item in value.items():
        if key in hints:
            full_name = f"{name}.{key}" if _section(hints[key]) is None else key
            arguments[key] = from_plain(hints[key], item, full_name, ignore_unknown=ignore_unknown)
        elif not ignore_unknown:
            raise InputError(f"{name} has no setting {reprlib.repr(key)}; {suggest(str(key), hints)}")
    return arguments


def _section(kind: Any) -> type | None:
    """Return the dataclass that ``kind`` is, or allows beside None; else None."""
    for option in (kind, *get_args(kind)):
        if is_dataclass(option) and isinstance(option, type):
            return option
    return None


def suggest(word: str, known: Iterable[str]) -> str:
    """Return how a message about an unknown word ends: "did you mean 'x'?", or all known words."""
    names = list(known)
    near = difflib.get_close_matches(word, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(map(repr, names))}."


def _plain_value(kind: Any, value: Any) -> Any:
    """Return ``value`` as ``kind``, or ``MISSING`` if it is not one."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        found = (_plain_value(option, value) for option in arguments)
        return next((item for item in found if item is not MISSING), MISSING)
    if origin is Literal:
        # `1 == True == 1.0`: equal is not enough.
        fits = any(type(value) is type(choice) and value == choice for choice in arguments)
        return value if fits else MISSING
    if origin is not None:
        return _plain_collection(origin, arguments, value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value) if abs(value) < 2**1000 else MISSING
    return value if type(value) is kind else MISSING


def _plain_collection(origin: Any, arguments: tuple[Any, ...], value: Any) -> Any:
    if issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            return MISSING
        table = {key: _plain_value(arguments[1], item) for key, item in value.items()}
        return MISSING if MISSING in table.values() else table
    if not isinstance(value, list | tuple):
        return MISSING
    kinds = (arguments[0],) * len(value) if arguments[-1] is Ellipsis else arguments
    if len(kinds) != len(value):
        return MISSING
    items = tuple(_plain_value(kind, item) for kind, item in zip(kinds, value, strict=True))
    return MISSING if MISSING in items else items


_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text in quotes",
    types.NoneType: "nothing",
}


def _describe(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        options = [_describe(option) for option in arguments if option is not types.NoneType]
        return " or ".join(options) + (", or leave it out" if types.NoneType in arguments else "")
    if origin is Literal:
        return "one of " + ", ".join(map(repr, arguments))
    if origin is tuple:
        kinds = arguments[:1] if arguments[-1] is Ellipsis else arguments
        return f"a list of {' and '.join(_describe(item) for item in kinds)}"
    if origin is not None:
        return "a table"
    return _WORDS[kind]

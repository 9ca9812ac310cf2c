"""Checks that all configurations share: that one was given, and of its numbers and choices."""

import reprlib
from dataclasses import fields
from numbers import Integral
from typing import TYPE_CHECKING, Literal, get_args, get_origin

import numpy as np

from napari_unet.core.errors import InputError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def check_kind(value: object, kind: type, noun: str, remedy: str) -> None:
    """Raise ``InputError`` unless the ``value`` given for a ``noun`` is of this kind."""
    if not isinstance(value, kind):
        raise InputError(f"The {noun} is {' '.join(reprlib.repr(value).split())}; give {remedy}.")


def check_number(kind: type, name: str, value: object, *, optional: bool = False) -> None:
    """Raise ``InputError`` unless a setting is a number, ``Integral`` or ``Real``, or left out, None.

    Before it is compared with its limits: truth values and texts would raise other errors, or none.
    """
    if (value is None and optional) or (isinstance(value, kind) and not isinstance(value, bool)):
        return
    raise InputError(f"{name} is {value!r}; give a {'whole ' if kind is Integral else ''}number.")


def make_plain(config: "DataclassInstance") -> None:
    """Replace the numbers of numpy in a frozen configuration by Python's.

    Those of few bits would overflow in sums, and no file could hold them.
    """
    for field in fields(config):
        value = getattr(config, field.name)
        if isinstance(value, np.generic):
            object.__setattr__(config, field.name, value.item())


def check_choices(config: "DataclassInstance", section: str) -> None:
    """Raise ``InputError`` unless each setting with named choices, a ``Literal``, holds one of them."""
    for field in fields(config):
        value = getattr(config, field.name)
        if get_origin(field.type) is Literal and value not in get_args(field.type):
            choices = ", ".join(map(repr, get_args(field.type)))
            raise InputError(f"{section}.{field.name} is {value!r}; choose one of {choices}.")

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pytest

from napari_unet.core.errors import InputError
from napari_unet.files.plain import from_plain, suggest, to_plain


@dataclass(frozen=True, slots=True)
class Inner:
    size: float = 1.0
    sides: tuple[int, float] = (1, 2.0)

    def __post_init__(self) -> None:
        if self.size < 0:
            raise InputError(f"inner.size is {self.size}; choose 0 or more.")


@dataclass(frozen=True, slots=True)
class Outer:
    number: int = 0
    real: float = 0.0
    on: bool = False
    text: str = ""
    kind: Literal["a", 2] = "a"
    maybe: int | None = None
    many: tuple[float, ...] | None = None
    rows: tuple[tuple[int, float], ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    inner: Inner = field(default_factory=Inner)


FULL = Outer(3, 0.5, True, "x", 2, 7, (1.0, 2.5), ((1, 2.0), (3, 4.0)), {"k": "v"}, Inner(4.0, (5, 6.0)))


@pytest.mark.parametrize("value", [Outer(), FULL])
def test_round_trip_through_json(value: Outer) -> None:
    assert from_plain(Outer, json.loads(json.dumps(to_plain(value))), "outer") == value


def test_numbers_of_arrays_become_plain() -> None:
    plain = to_plain(Outer(real=np.float32(0.5), many=(np.float64(2),), number=np.int64(3)))  # type: ignore[arg-type]
    assert [type(plain["real"]), type(plain["many"][0]), type(plain["number"])] == [float, float, int]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"real": 2}, Outer(real=2.0)),
        ({"many": [1, 2]}, Outer(many=(1.0, 2.0))),
        ({"inner": {"size": 3}}, Outer(inner=Inner(3.0))),
        ({"maybe": None}, Outer()),
        ({}, Outer()),
    ],
)
def test_what_is_converted(given: dict[str, Any], expected: Outer) -> None:
    result = from_plain(Outer, given, "outer")
    assert result == expected
    assert type(result.real) is float


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"number": 2.0}, "outer.number is 2.0; give a whole number."),
        ({"number": True}, "outer.number is True; give a whole number."),
        ({"real": True}, "outer.real is True; give a number."),
        ({"real": 10**400}, "give a number."),
        ({"real": "2"}, "outer.real is '2'; give a number."),
        ({"on": 1}, "outer.on is 1; give true or false."),
        ({"text": None}, "outer.text is None; give text in quotes."),
        ({"kind": "b"}, "outer.kind is 'b'; give one of 'a', 2."),
        ({"kind": 2.0}, "outer.kind is 2.0; give one of 'a', 2."),
        ({"kind": []}, "outer.kind is []; give one of 'a', 2."),
        ({"maybe": "x"}, "outer.maybe is 'x'; give a whole number, or leave it out."),
        ({"many": 1.0}, "outer.many is 1.0; give a list of a number, or leave it out."),
        ({"rows": [[1]]}, "outer.rows is [[1]]; give a list of"),
        ({"names": {"k": 1}}, "outer.names is {'k': 1}; give a table."),
        ({"names": []}, "outer.names is []; give a table."),
        ({"inner": 1}, "inner is 1; give a section with settings of its own."),
        ({"inner": {"size": "x"}}, "inner.size is 'x'; give a number."),
        ({"inner": {"size": -1}}, "inner.size is -1.0; choose 0 or more."),
        (
            {"inner": {"sides": [1, 2, 3]}},
            "inner.sides is [1, 2, 3]; give a list of a whole number and a number.",
        ),
        ({"nummer": 1}, "outer has no setting 'nummer'; did you mean 'number'?"),
        ({"inner": {"zzz": 1}}, "inner has no setting 'zzz'; choose one of 'size', 'sides'."),
        ({3: 1}, "outer has no setting 3"),
        ([], "outer is []; give a section with settings of its own."),
    ],
)
def test_what_cannot_be_used_is_one_sentence_that_names_the_key(given: Any, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        from_plain(Outer, given, "outer")
    assert sentence in str(caught.value)
    assert len(str(caught.value)) < 200


def test_unknown_keys_are_left_out_at_every_depth_if_asked() -> None:
    given = {"number": 1, "later": 2, "inner": {"size": 3.0, "later": {}}}
    assert from_plain(Outer, given, "outer", ignore_unknown=True) == Outer(number=1, inner=Inner(3.0))


def test_suggestions() -> None:
    assert suggest("sigm", ["sigma", "w0"]) == "did you mean 'sigma'?"
    assert suggest("q", ["sigma", "w0"]) == "choose one of 'sigma', 'w0'."

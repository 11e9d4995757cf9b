"""One line for whatever pydantic finds wrong."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from typing_extensions import TypedDict

from recbole_decm.errors import ConfigError
from recbole_decm.io.typed import STRICT, Entries, Expected, Typed, complaint, one_of


class Parts(TypedDict, total=False):
    size: Annotated[int, Field(ge=1)]
    way: Literal["full", "half"]


class Record(TypedDict, total=False):
    __pydantic_config__ = STRICT

    rate: Annotated[float, Field(gt=0)]
    share: Annotated[float, Field(ge=0, lt=1)]
    names: list[str]
    parts: Annotated[Parts, Entries(("size", "way"))]
    single: Annotated[dict[str, int], Entries(("a", "b"), one=("a", "b"))]
    either: Annotated[int | list[int], Expected("a whole number or a list of them")]
    even: Annotated[int, Expected("an even number", lambda value: value % 2 == 0)]
    case: Annotated[str, one_of("adam", "sgd")]


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"rate": "x"}, "rate: expected a number, found 'x'."),
        ({"rate": 0}, "rate: expected a number above 0, found 0."),
        ({"rate": float("nan")}, "rate: expected a finite number, found nan."),
        ({"share": 1}, "share: expected a number below 1, found 1."),
        ({"names": "x"}, "names: expected a list, found 'x'."),
        ({"names": ["a", 3]}, "names, entry 2: expected a text, found 3."),
        ({"parts": {"size": 0}}, "parts.size: expected a number of at least 1, found 0."),
        ({"parts": {"way": "ful"}}, "parts.way: expected full or half, found 'ful'. Did you mean 'full'?"),
        ({"parts": {"sise": 1}}, "parts: expected entries of size, way, found 'sise'. Did you mean 'size'?"),
        ({"single": {"a": 1, "b": 1}}, "single: expected one of a, b, found {'a': 1, 'b': 1}."),
        ({"either": ["x"]}, "either: expected a whole number or a list of them, found ['x']."),
        ({"even": 3}, "even: expected an even number, found 3."),
        ({"case": "adamm"}, "case: expected adam or sgd, found 'adamm'. Did you mean 'adam'?"),
        ({"names": "x" * 500}, "names: expected a list, found '" + "x" * 199 + "...."),
    ],
)
def test_what_is_said(values, line):
    with pytest.raises(ValidationError) as error:
        TypeAdapter(Record).validate_python(values)
    assert complaint(error.value) == line


def test_what_fits():
    fitting = {"rate": 1, "parts": {"size": 2}, "single": {"b": 3}, "either": [1], "even": 4, "case": "SGD"}
    assert TypeAdapter(Record).validate_python(fitting) == fitting


@dataclass(frozen=True, config=STRICT)
class Sizes(Typed):
    big_one: Annotated[int, Field(ge=1)] = 2

    @staticmethod
    def option(field: str) -> str:
        return "--" + field.replace("_", "-")


def test_a_typed_value_speaks_of_its_options():
    assert Sizes().big_one == 2
    with pytest.raises(ConfigError, match=r"^--big-one: expected a number of at least 1, found 0\.$"):
        Sizes(big_one=0)

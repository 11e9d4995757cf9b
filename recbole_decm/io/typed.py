"""Values that are read: types with ranges, and what to say, in one line, of a value that does not fit."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass as plain_dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError, core_schema

from recbole_decm.errors import ConfigError, suggest

# A text is no number and True is none either; an integer is a float. NaN and infinity only where a field admits them.
STRICT = ConfigDict(strict=True, allow_inf_nan=False)

_WORDS = {
    "bool_type": "True or False",
    "dict_type": "keys and values",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "int_type": "a whole number",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le}",
    "list_type": "a list",
    "missing": "a value",
    "model_type": "keys and values",
    "string_too_long": "at most {max_length} characters",
    "string_too_short": "a text that is not empty",
    "string_type": "a text",
    "too_long": "at most {max_length} entries",
    "too_short": "at least {min_length} entry",
    "tuple_type": "a list",
}
_KIND = re.compile(r"(literal|dict|list|tuple|function-\w+)\[|(str|bool|int|float|literal)$")
"""Where several kinds of values may stand, which of them a complaint is about, in the path of a key."""


@plain_dataclass(frozen=True)
class Expected:
    """In ``Annotated[type, Expected("...")]``: what to say of a value that does not fit, and a further check.

    Attributes:
        words: what is expected, as in "expected WORDS, found 3".
        fits: whether a value of the type is one that can be used.
    """

    words: str
    fits: Callable[[Any], bool] = lambda value: True

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        def check(value: Any, inner: Callable[[Any], Any]) -> Any:
            try:
                found = inner(value)
            except ValidationError:
                fits = False
            else:
                fits = self.fits(found)
            if not fits:
                raise PydanticCustomError("expected", "{words}", {"words": self.words})
            return found

        return core_schema.no_info_wrap_validator_function(check, handler(source))


def one_of(*names: str) -> Expected:
    """One of some names, in upper or lower case; the nearest is named where none is meant."""
    return Expected(" or ".join(names), lambda value: value is None or value.lower() in names)


@plain_dataclass(frozen=True)
class Entries:
    """In ``Annotated[SomeTypedDict, Entries(...)]``: an entry of another name is refused, and the nearest is named.

    Attributes:
        names: of the entries there may be.
        one: those of them of which there is to be exactly one.
    """

    names: tuple[str, ...]
    one: tuple[str, ...] = ()

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        def check(values: Any) -> Any:
            if isinstance(values, dict):
                words = f"{'one' if self.one else 'entries'} of {', '.join(self.one or self.names)}"
                wrong = [name for name in values if name not in self.names]
                if wrong:
                    raise PydanticCustomError("expected", "{words}", {"words": words, "found": wrong[0]})
                if self.one and len(set(values) & set(self.one)) != 1:
                    raise PydanticCustomError("expected", "{words}", {"words": words})
            return values

        return core_schema.no_info_before_validator_function(check, handler(source))


def complaint(error: ValidationError, name: Callable[[str], str] = str) -> str:
    """The first thing that does not fit, as one line: ``key: expected ..., found ....``, with the nearest choice.

    Args:
        name: how a reader knows a key, such as ``--key`` on a command line.
    """
    same = _about_one(error.errors(include_url=False))
    first = same[0]
    place, context = place_of(first["loc"], name), first.get("ctx", {})
    if first["type"] == "value_error":  # a validator of ours, which says it all
        return f"{place}: {context['error']}"
    found, words = context.get("found", first["input"]), " or ".join(dict.fromkeys(map(_expected, same)))
    hint = suggest(found, _names(words)) if isinstance(found, str) and _has_names(first) else ""
    text = "none" if first["type"] == "missing" else repr(found)
    return f"{place}: expected {words}, found {text if len(text) < 200 else text[:200] + '...'}.{hint}"


def place_of(path: Sequence[int | str], name: Callable[[str], str] = str) -> str:
    """A key and what is inside it, as in ``key, entry 2.part``; ``name`` as of :func:`complaint`."""
    key, *inside = path or ("value",)
    inside = [part for part in inside if part != "[key]" and not _is_kind(part)]
    return name(str(key)) + "".join(f", entry {part + 1}" if isinstance(part, int) else f".{part}" for part in inside)


def _is_kind(part: int | str) -> bool:
    return isinstance(part, str) and _KIND.match(part) is not None


def _about_one(errors: Sequence[Any]) -> Sequence[Any]:
    """The complaints about one value: where several kinds may stand, one of each; of the kind that was given, what is
    wrong inside it.
    """
    *before, last = errors[0]["loc"] or ("",)
    if not before or not _is_kind(last):
        return errors[:1]
    alike = [one for one in errors if list(one["loc"][: len(before)]) == before and _is_kind(one["loc"][len(before)])]
    inside = [one for one in alike if len(one["loc"]) > len(before) + 1]
    return _about_one(inside) if inside else alike


def _has_names(error: Any) -> bool:
    return error["type"] in ("literal_error", "expected")


def _expected(error: Any) -> str:
    """What one complaint expects."""
    context = error.get("ctx", {})
    if error["type"] == "literal_error":
        return " or ".join(re.findall(r"'([^']*)'", context["expected"]))
    if error["type"] == "expected":
        return str(context["words"])
    numbers = {part: f"{value:g}" if isinstance(value, float) else value for part, value in context.items()}
    return _WORDS.get(error["type"], error["msg"]).format(**numbers)


def _names(words: str) -> Iterable[str]:
    return re.split(r", | or ", re.sub("^(one|entries) of ", "", words))


@dataclass(frozen=True, config=STRICT)
class Typed:
    """Base of frozen values with a type, a range and a description for each field.

    Raises:
        ConfigError: a value that does not fit, when one is made; ``option`` says how its message names the field.
    """

    @staticmethod
    def option(field: str) -> str:
        """A field by the name its users know."""
        return field

    @model_validator(mode="wrap")
    @classmethod
    def _explained(cls, given: Any, handler: Callable[[Any], Any]) -> Any:
        try:
            return handler(given)
        except ValidationError as error:
            raise ConfigError(complaint(error, cls.option)) from error


class Strict(BaseModel):
    """Base of what is read: of the types it says, without keys it does not know. An empty value counts as not given."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known(cls, values: Any) -> Any:
        known = list(cls.model_fields)
        if not isinstance(values, dict):
            raise ValueError(f"expected the keys {', '.join(known)} with their values, found {values!r}.")
        for key in values:
            if key not in known:
                hint = suggest(str(key), known)
                raise ValueError(f"expected one of the keys {', '.join(known)}, found '{key}'.{hint}")
        return {key: value for key, value in values.items() if value is not None}

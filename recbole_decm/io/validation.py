"""Values of a file as typed, frozen models; what does not fit is told in one line."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from recbole_decm.errors import suggest

_EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "keys and values",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "int_type": "a whole number",
    "list_type": "a list",
    "missing": "a value",
    "string_type": "a text",
    "too_short": "at least {min_length} entry",
    "tuple_type": "a list",
}


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


def explain(error: ValidationError, where: object) -> str:
    """The first thing that does not fit, in one line: ``FILE, seeds, entry 2: expected a whole number, found 1.5.``

    Args:
        where: what the values were read from.
    """
    first = error.errors(include_url=False)[0]
    place = [f"entry {part + 1}" if isinstance(part, int) else part for part in first["loc"] if part != "[key]"]
    context = first.get("ctx", {})
    if first["type"] == "value_error":  # a validator of ours, which says it all
        told = str(context["error"])
    else:
        words = _EXPECTED.get(first["type"], first["msg"]).format(**context)
        told = f"expected {words}, found {first['input']!r}."
    return f"{', '.join(map(str, [where, *place]))}: {told}"

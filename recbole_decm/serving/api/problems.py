"""Errors as a client sees them: RFC 9457 problems that say what was expected, what was found and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from recbole_decm.errors import ConfigError, DataError, DecCMError, ResourceError, StoreUnavailable, suggest
from recbole_decm.io.typed import complaint, place_of

MEDIA_TYPE = "application/problem+json"
TITLES = {
    400: "Not a request that can be read",
    401: "A key is needed",
    403: "Not allowed",
    404: "Not there",
    405: "No such method here",
    406: "No such form of answer",
    408: "The request took too long to arrive",
    409: "Not possible at the moment",
    413: "Too large",
    415: "Another kind of content is expected",
    421: "Not this server",
    422: "A value that cannot be used",
    429: "Too many requests",
    431: "Headers too large",
    500: "A fault of the server",
    503: "Not available at the moment",
}


class Problem(Exception):
    """An answer that says why there is no other.

    Args:
        status: of HTTP.
        detail: expected, found, what to do.
        retry_after: seconds after which the same request may succeed.
    """

    def __init__(self, status: int, detail: str, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.retry_after = status, detail, retry_after

    def headers(self) -> dict[str, str]:
        """Headers of the answer, beside its type."""
        found = {} if self.retry_after is None else {"retry-after": str(self.retry_after)}
        return found | ({"www-authenticate": "Bearer"} if self.status == 401 else {})

    def body(self, request_id: str) -> bytes:
        """The JSON object of the answer."""
        return to_json(
            {
                "type": "about:blank",
                "title": TITLES.get(self.status, "Not possible"),
                "status": self.status,
                "detail": self.detail,
                "instance": f"urn:request:{request_id}",
            }
        )


def of_error(error: DecCMError) -> Problem:
    """The problem that an error of this package is for a client."""
    if isinstance(error, StoreUnavailable):
        return Problem(503, str(error), 1)
    if isinstance(error, (ConfigError, DataError)):
        return Problem(422, str(error))
    if isinstance(error, ResourceError):
        return Problem(503, str(error), 5)
    return Problem(409, str(error))


def read_json(model: type[BaseModel], body: bytes, what: str = "body") -> Any:
    """A value of ``model`` from JSON.

    Raises:
        Problem: 400 where it is no JSON, 422 where it does not fit.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        first = next(
            (one for one in errors if one["type"] == "extra_forbidden"), errors[0]
        )  # a slip of the pen, mostly
        if first["type"] in ("json_invalid", "json_type"):
            reason = str(first.get("ctx", {}).get("error", first["msg"]))
            raise Problem(400, f"{what}: expected JSON in UTF-8, but {reason}.") from None
        raise Problem(422, _in_one_line(error, model, first)) from None


def _in_one_line(error: ValidationError, model: type[BaseModel], first: Mapping[str, Any]) -> str:
    if first["type"] != "extra_forbidden":
        return complaint(error)
    known = _known(model, first["loc"][:-1])
    place = place_of(first["loc"][:-1]) if first["loc"][1:] else "body"
    name = str(first["loc"][-1])
    return f"{place}: expected the keys {', '.join(known)}, found '{name[:100]}'.{suggest(name, known)}"


def _known(model: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    """The keys of the model at a place inside ``model``."""
    schema = model.model_json_schema()
    node: Any = schema
    for part in (None, *path):
        if part is not None:
            node = node.get("items", {}) if isinstance(part, int) else node.get("properties", {}).get(part, {})
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    return list(node.get("properties", {}))

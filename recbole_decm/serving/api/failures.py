"""What is made of errors: a problem for the client, and a line of the log where it is the server's fault."""

from __future__ import annotations

from collections.abc import Mapping
from logging import getLogger
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from recbole_decm.errors import DecCMError
from recbole_decm.serving.api.problems import Problem, of_error


def problem_of(scope: Mapping[str, Any], error: Exception) -> Problem:
    """What a client is told of an error.

    Args:
        scope: of the request.
    """
    if isinstance(error, Problem):
        return error
    if isinstance(error, DecCMError):
        return of_error(error)
    if isinstance(error, HTTPException):
        asked = f"{scope['method']} {scope['path'][:200]}"
        if error.status_code == 404:
            return Problem(404, f"{asked}: expected one of the routes of /docs, found no such.")
        if error.status_code == 405:
            return Problem(405, f"{asked}: expected a method of this route, as in /docs, found another.")
        return Problem(error.status_code, error.detail)
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        return Problem(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
    if isinstance(error, ClientDisconnect):
        return Problem(400, "body: expected all of it, but the connection ended.")
    getLogger("recbole_decm.serving").error("request %s", scope.get("request_id"), exc_info=error)
    return Problem(500, "expected an answer, but the server has a fault. Its log says which.")

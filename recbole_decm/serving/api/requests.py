"""What all routes ask of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import Request

from recbole_decm.serving.api.problems import Problem

if TYPE_CHECKING:
    from recbole_decm.serving.api.service import Service


def service_of(request: Request) -> Service:
    """What answers."""
    return request.app.state.service


def kind_of(request: Request) -> str:
    """The type of the content, without its parameters.

    Raises:
        Problem: 415, it is compressed.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem(415, "Content-Encoding: expected none, since nothing is unpacked here.")
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def require_json(request: Request) -> None:
    """Refuse other content, and forms of other pages with it.

    Raises:
        Problem: 415.
    """
    if kind_of(request) != "application/json":
        raise Problem(415, f"Content-Type: expected application/json, found '{kind_of(request)[:100]}'.")
